"""`timesync probe --config FILE`: the daemon of a site."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from timesync import logs
from timesync.allocator import be_thrifty
from timesync.config import load
from timesync.reloading import hold_hangups

if TYPE_CHECKING:
    from timesync.settings import ProbeSettings

__all__ = ["add_parser", "run"]

EPILOG = """\
signals:
  SIGHUP   read the configuration again; targets that did not change are not disturbed, a bad file changes nothing
  SIGTERM  store what is in flight, hand it on for at most 5 s, end

example:
  timesync check /etc/timesync/site.toml && timesync probe --config /etc/timesync/site.toml

Exit status: 0 ended when told to, 2 it could not begin (the message says why).
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `probe` to the command line."""
    parser = subparsers.add_parser(
        "probe",
        help="run the daemon on a configuration",
        description="Measure the targets of a configuration until told to stop. Runs unprivileged; made for systemd.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the site's configuration (TOML)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the daemon; returns the exit status."""
    hold_hangups()
    be_thrifty()
    settings = load(args.config)
    logs.set_up(settings.log)
    asyncio.run(_serve(settings, args.config))
    return 0


async def _serve(settings: ProbeSettings, path: Path) -> None:
    from timesync.daemon import Daemon  # noqa: PLC0415 - aiohttp and the store, which --help does not need

    await Daemon(settings, reload=lambda: load(path)).run()
