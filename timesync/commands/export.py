"""`timesync export [TARGET]`: what has been measured, as CSV, JSON lines or Parquet; without a target, what there is.

Rule: a file appears whole or not at all; every record of the selection is in it, or the exit status is not 0.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from timesync.commands.history import add_place_options, history_file
from timesync.commands.numbers import instant
from timesync.errors import DataError
from timesync.text import aligned
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.store.local import History, Selection

__all__ = ["add_parser", "run"]

FINE, NOTHING = 0, 3

EPILOG = """\
examples:
  timesync export --directory /var/lib/timesync                    the targets that there are
  timesync export ntp1 --config site.toml > ntp1.csv
  timesync export ntp1 --from 2026-11-01 --to 2026-11-08 --format parquet --output ntp1.parquet
  timesync export --all --measurement event --format jsonl | jq .fields.kind
  timesync export ntp1 | timesync stability - --statistics tdev,mtie

Exit status: 0 fine, 2 usage, or no such history or target, 3 no record in the span.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="give what has been measured as CSV, JSON lines or Parquet",
        description="Give what has been measured as CSV, JSON lines or Parquet. Without a target: list what there is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET", nargs="?", help="whose records")
    parser.add_argument("--all", action="store_true", help="the records of all targets, and those that have none")
    parser.add_argument("--from", dest="start", metavar="T", type=instant, help="first instant (ISO 8601 or MJD)")
    parser.add_argument("--to", dest="end", metavar="T", type=instant, help="end, itself not included")
    parser.add_argument(
        "--format", choices=("csv", "jsonl", "parquet"), default="csv", help="csv (default), jsonl, parquet"
    )
    parser.add_argument("--measurement", metavar="NAME", default="time_error", help="time_error (default), event, ...")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write here instead of to standard output")
    add_place_options(parser.add_argument_group("history"))
    parser.set_defaults(run=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """List or export; returns the exit status. Raises DataError, ConfigError or StoreError for bad input."""
    listing = args.target is None and not args.all
    if args.target is not None and args.all:
        args.usage_error("give a TARGET or --all")
    if listing and any(each is not None for each in (args.start, args.end, args.output)):
        args.usage_error("say which TARGET, or --all")
    if args.start is not None and args.end is not None and args.start >= args.end:
        args.usage_error("--from is not before --to: the span is empty")
    if args.format == "parquet" and args.output is None and sys.stdout.isatty() and not listing:
        args.usage_error("Parquet is not for a terminal: give --output FILE")
    from timesync.store.local import History, Selection  # noqa: PLC0415 - sqlite, which --help does not need

    path = history_file(args)
    history = History(path, read_only=True)
    try:
        _know(history, args)
        if listing:
            print("\n".join(_listing(history, args.measurement)))
            return FINE
    finally:
        history.close()
    span = {"start_ns": args.start, "end_ns": args.end}
    bounds = {name: value for name, value in span.items() if value is not None}
    count = _export(path, args, Selection(args.measurement, args.target, **bounds))
    if count == 0:
        whose = args.target or "any target"
        print(f"timesync export: no {args.measurement} of {whose} in this span", file=sys.stderr)
        return NOTHING
    if args.output is not None:
        print(f"{count} record{'s' if count != 1 else ''} in {args.output}", file=sys.stderr)
    return FINE


def _know(history: History, args: argparse.Namespace) -> None:
    """Raises DataError for a measurement or target that the history does not have, naming those that it has."""
    measurements = history.measurements()
    if args.measurement not in measurements:
        there = ", ".join(measurements) or "none yet"
        raise DataError(f"{history.path} has no measurement {args.measurement!r}; it has {there}")
    targets = history.targets(args.measurement)
    if args.target is not None and args.target not in targets:
        there = ", ".join(targets) or "none"
        raise DataError(f"{history.path} has no {args.measurement} of a target {args.target!r}; it has {there}")


def _listing(history: History, measurement: str) -> Iterator[str]:
    newest = history.latest(measurement)
    rows = [(target, format_utc(newest[target].at_ns)) for target in history.targets(measurement) if target in newest]
    yield from aligned(("TARGET", "NEWEST RECORD"), rows)


def _export(path: Path, args: argparse.Namespace, selection: Selection) -> int:
    """Write the selection where it is wanted; returns the number of records."""
    from timesync.store.export import export_history  # noqa: PLC0415 - sqlite, which --help does not need

    output: Path | None = args.output
    if output is None:
        return export_history(path, sys.stdout.buffer, args.format, selection)
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            count = export_history(path, stream, args.format, selection)
        if count:
            part.replace(output)
    except OSError as error:
        raise DataError(f"{output}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)
    return count
