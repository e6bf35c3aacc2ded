"""`timesync check FILE`: everything wrong with a configuration at once, or a summary of what it will do.

Rule: nothing is started, sent or written. The result goes to standard output, as text or (`--json`) as one JSON object; the exit
status is 0 for a good configuration, 1 for one with problems, 2 where there is none to check.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.config import load, remarks
from timesync.config.wording import number_text
from timesync.errors import ConfigError
from timesync.text import aligned

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from timesync.config import Remark
    from timesync.settings import ProbeSettings, TargetSettings, Tie

__all__ = ["add_parser", "run"]

GOOD, PROBLEMS, USAGE = 0, 1, 2
NS = 1_000_000_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="check a configuration: every problem at once, or a summary",
        description="Check a configuration: every problem at once, each with its remedy; or a summary of what it will do.",
        epilog="Exit status: 0 good, 1 problems, 2 the file cannot be read or the command line is wrong.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check `args.file`; returns the exit status."""
    path: Path = args.file
    if not path.is_file() or not os.access(path, os.R_OK):
        reason = "is a directory" if path.is_dir() else "cannot be read" if path.exists() else "does not exist"
        sys.stderr.write(f"timesync check: {path} {reason}\n")
        return USAGE
    try:
        settings = load(path)
    except ConfigError as error:
        lines = [json.dumps(_problems_json(error), indent=2)] if args.json else list(_problems(error))
        status = PROBLEMS
    else:
        notes = remarks(settings, time.time_ns())
        lines = [json.dumps(_summary_json(settings, notes), indent=2)] if args.json else list(_summary(settings, notes))
        status = GOOD
    sys.stdout.write("\n".join(lines) + "\n")
    return status


def _problems(error: ConfigError) -> Iterator[str]:
    """What is wrong on one line, its remedy on the next."""
    yield str(error).splitlines()[0]
    for problem in error.problems:
        yield f"  {problem.where}: {problem.what}"
        yield f"      {problem.remedy}"


def _problems_json(error: ConfigError) -> dict[str, Any]:
    problems = [{"where": p.where, "what": p.what, "remedy": p.remedy} for p in error.problems]
    return {"file": error.source, "good": False, "problems": problems}


def _summary_json(settings: ProbeSettings, notes: Sequence[Remark]) -> dict[str, Any]:
    return {
        "file": settings.source,
        "good": True,
        "problems": [],
        "notes": [{"where": note.where, "text": note.text} for note in notes],
        "site": settings.site.name,
        "probe": settings.site.probe,
        "references": [
            {"name": name, "realises": tie.realises, "bound_s": tie.bound_s, "u_s": tie.u_s, "valid_until": _until(tie)}
            for name, tie in _references(settings)
        ],
        "targets": [
            {
                "name": target.name,
                "kind": target.kind,
                "address": target.address,
                "interval_s": target.interval_s,
                "reference": target.reference,
            }
            for target in settings.targets
        ],
        "sinks": [{"name": name, "destination": destination} for name, destination in _sinks(settings)],
    }


def _summary(settings: ProbeSettings, notes: Sequence[Remark]) -> Iterator[str]:
    yield f"{settings.source}: good. Probe {settings.site.probe} at {settings.site.name}."
    references = [
        (name, tie.realises, *_how_well(tie), _until(tie) or "no end declared") for name, tie in _references(settings)
    ]
    yield from _table("References", ("NAME", "REALISES", "BOUND", "u", "VALID UNTIL"), references)
    rows = [
        (t.name, t.kind, t.address, _rhythm(t), t.reference or ("is one" if t.tie else "none"))
        for t in settings.targets
    ]
    yield from _table("Targets", ("NAME", "KIND", "ADDRESS", "EVERY", "REFERENCE"), rows)
    yield from _table("Sinks", ("NAME", "DESTINATION"), list(_sinks(settings)))
    if notes:
        yield ""
        yield "Worth a thought"
        yield from (f"  {note}" for note in notes)


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """A table with its columns aligned; where there are no rows, one line that says so."""
    yield ""
    if not rows:
        yield f"{title}: none"
        return
    yield f"{title} ({len(rows)})"
    for line in aligned(heads, rows):
        yield f"  {line}"


def _references(settings: ProbeSettings) -> Iterator[tuple[str, Tie]]:
    if settings.local_reference is not None:
        yield "local", settings.local_reference.tie
    for target in settings.targets:
        if target.tie is not None:
            yield target.name, target.tie


def _sinks(settings: ProbeSettings) -> Iterator[tuple[str, str]]:
    """Where records go, in words; secrets are files and are not opened."""
    if settings.history.enabled:
        days = settings.history.retention_days
        kept = "for ever" if days is None else f"for {number_text(days)} days"
        yield "history", f"{settings.spool.directory}, kept {kept}"
    for sink in settings.influx:
        place = f"bucket {sink.bucket}" if sink.api == "v2" else f"database {sink.database}"
        yield sink.name, f"{sink.url} (InfluxDB api {sink.api}), {place}"
    if settings.http.enabled:
        host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
        yield "metrics", f"http://{host}:{settings.http.port}/metrics, scraped by Prometheus"


def _rhythm(target: TargetSettings) -> str:
    interval = f"{number_text(target.interval_s)} s"
    return interval if target.burst == 1 else f"{interval}, {target.burst} at a time"


def _how_well(tie: Tie) -> tuple[str, str]:
    """Bound and u as they are declared, or the link that measures them."""
    if tie.no_claim is not None:
        return f"by {tie.link}", f"by {tie.link}"
    return f"{tie.bound_s:g} s", f"{tie.u_s:g} s"


def _until(tie: Tie) -> str | None:
    """The end of a tie in ISO 8601, to the second."""
    if tie.valid_until_ns is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(tie.valid_until_ns // NS))
