"""`timesync up`: the main job on embedded defaults: a probe with history and metrics, and a live table.

Rule: without a configuration it measures a demonstration network on loopback, and says on every screen that it is simulated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from timesync import logs
from timesync.alerts.limits import PROFILES
from timesync.allocator import be_thrifty
from timesync.commands.numbers import interval, port
from timesync.config import load
from timesync.errors import TimesyncError
from timesync.plugin import Demonstration, load_demonstration
from timesync.reloading import hold_hangups
from timesync.settings import (
    AlertSettings,
    HoldoverSettings,
    HttpSettings,
    LogSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    StabilitySettings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.daemon import Daemon
    from timesync.settings import TargetSettings
    from timesync.tui import Screen

__all__ = ["add_parser", "run"]

DEMONSTRATION_LIMIT = "rts25-100us"

EPILOG = """\
examples:
  timesync up                          the demonstration network, a live table; Ctrl-C ends it
  timesync up --config site.toml       your own site, a live table
  timesync up --no-tui --duration 30   for a script: log lines, ends after 30 s
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `up` to the command line."""
    parser = subparsers.add_parser(
        "up",
        help="measure now, without a configuration: a live table, history and metrics",
        description="Start a probe with local history and metrics, and show what it measures. "
        "Without a configuration it measures simulated servers on loopback.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="a site's configuration instead of the demonstration"
    )
    parser.add_argument("--no-tui", action="store_true", help="log lines instead of the live table")
    parser.add_argument("--duration", metavar="S", type=interval, help="end after so many seconds")
    parser.add_argument(
        "--directory",
        metavar="DIR",
        type=Path,
        help="where the demonstration keeps its history (default: user's state)",
    )
    parser.add_argument("--port", type=port, help="port of the demonstration's metrics (9787; 0 chooses a free one)")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="with --duration: write the last table as an SVG")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run until interrupted; returns the exit status."""
    if args.picture is not None:
        check_picture(args.picture, args.duration)
    if args.config is not None:
        hold_hangups()
    be_thrifty()
    table = not args.no_tui and sys.stdout.isatty()
    asyncio.run(_up(args, table=table))
    return 0


def check_picture(path: Path, duration_s: float | None) -> None:
    """See now that the picture can be written at the end. Raises TimesyncError."""
    if duration_s is None:
        raise TimesyncError("--picture is written at the end of --duration; give --duration as well")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise TimesyncError(
            f"--picture {path}: no file can be written there; name one in a directory of yours that exists"
        )


async def _up(args: argparse.Namespace, *, table: bool) -> None:
    if args.config is not None:
        settings = load(args.config)
        await _serve(settings, None, args, table=table)
        return
    demonstration = load_demonstration()
    targets = await demonstration.start()
    try:
        settings = demonstration_settings(targets, args.directory or state_directory(), args.port)
        await _serve(settings, demonstration, args, table=table)
    finally:
        await demonstration.stop()


def state_directory() -> Path:
    """Where the demonstration keeps its spool and history (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "timesync" / "demonstration"


def demonstration_settings(targets: Sequence[TargetSettings], directory: Path, port: int | None) -> ProbeSettings:
    """Embedded defaults around the simulated targets."""
    http = HttpSettings() if port is None else HttpSettings(port=port)
    limit = PROFILES[DEMONSTRATION_LIMIT]
    return ProbeSettings(
        SiteSettings("demonstration", "simulated"),
        tuple(replace(target, limit=limit) for target in targets),
        SpoolSettings(directory, max_bytes=200_000_000),
        http=http,
        log=LogSettings(format="text"),
        reference_max_age_s=5.0,
        # Somebody is looking: results come sooner, and alerts after a tenth of their patience.
        stability=StabilitySettings(every_s=5.0),
        holdover=HoldoverSettings(limits_s=(limit.error_s, 1e-3), horizon_s=3600.0, every_s=5.0),
        alerts=AlertSettings(patience=0.1, default_limit=limit.name),
    )


async def _serve(
    settings: ProbeSettings, demonstration: Demonstration | None, args: argparse.Namespace, *, table: bool
) -> None:
    from timesync.daemon import Daemon  # noqa: PLC0415 - aiohttp and the store, which --help does not need
    from timesync.tui import Screen, log_table  # noqa: PLC0415 - rich, which --help does not need

    logs.set_up(settings.log)
    daemon = Daemon(
        settings, reload=None if args.config is None else lambda: load(args.config), demonstration=demonstration
    )
    screen = Screen(daemon.measuring.pipeline, settings, demonstration)
    with contextlib.ExitStack() as stack:
        if table:
            stack.enter_context(screen.shown())
        watcher = asyncio.create_task(
            screen.refresh(daemon) if table else log_table(screen, logging.getLogger(__name__))
        )
        stopper = asyncio.create_task(_stop_after(daemon, args, screen))
        urls: list[str] = []
        try:
            await daemon.run(lambda: urls.extend(daemon.urls))
        finally:
            for task in (watcher, stopper):
                task.cancel()
            await asyncio.wait([watcher, stopper])
        for task in (watcher, stopper):
            if not task.cancelled():
                task.result()
    if table:
        print(farewell(urls, args.config, settings.spool.directory))


def farewell(urls: Sequence[str], config: Path | None, directory: Path) -> str:
    """What a person reads last: that the page is gone with the probe, how to look again, and where the history is."""
    command = "timesync up" if config is None else f"timesync up --config {config}"
    page = f"The page {urls[0]} ended with it. " if urls else ""
    return (
        f"The probe has ended. {page}To look again: {command}\n"
        f"What it measured is kept in {directory}: timesync export --directory {directory}"
    )


async def _stop_after(daemon: Daemon, args: argparse.Namespace, screen: Screen) -> None:
    if args.duration is not None:
        await asyncio.sleep(args.duration)
        try:
            if args.picture is not None:
                screen.save(args.picture, daemon.urls)
        except OSError as error:
            raise TimesyncError(f"the picture {args.picture} cannot be written: {error.strerror}") from error
        finally:
            daemon.stop()
