"""`timesync explain TARGET [--at T]`: how do you know? One result with its chain to UTC and the budget of its uncertainty.

Rule: explained is what is on record, as it is on record: the newest result at or before the instant.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.commands.history import add_place_options, history_file
from timesync.commands.numbers import instant
from timesync.errors import DataError

if TYPE_CHECKING:
    from timesync.explain import Explanation
    from timesync.model import Record
    from timesync.store.local import History

__all__ = ["add_parser", "run"]

FINE, NO_CLAIM = 0, 3

EPILOG = """\
examples:
  timesync explain ntp1 --config site.toml                           the newest result
  timesync explain ntp1 --at 2026-07-03T12:00:00Z --html ntp1.html   one of the past, as a page for a certificate
  timesync explain ntp1 --json | jq '.budget[] | [.quantity, .contribution_s]'

Exit status: 0 fine, 2 usage, or no such history or target, 3 the result has no claim against UTC(k).
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain` to the command line."""
    parser = subparsers.add_parser(
        "explain",
        help="the chain from a result to UTC, and its uncertainty budget",
        description="Show what a result rests on: target, probe, reference, UTC(k), UTC, each step with value, uncertainty, "
        "validity and source; and the uncertainty budget.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET", help="whose result")
    parser.add_argument("--at", metavar="T", type=instant, help="the newest at or before T (ISO 8601 or MJD); now")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page that can be printed")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="write the chain as a picture")
    add_place_options(parser.add_argument_group("history"))
    parser.set_defaults(run=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Explain; returns the exit status. Raises DataError, ConfigError or StoreError for bad input."""
    from timesync.explain import explain  # noqa: PLC0415 - not for --help
    from timesync.explain_picture import picture  # noqa: PLC0415 - as above
    from timesync.explain_text import page, text  # noqa: PLC0415 - as above
    from timesync.store.local import History  # noqa: PLC0415 - sqlite, as above

    history = History(history_file(args), read_only=True)
    try:
        found = explain(_row(history, args.target, args.at))
    finally:
        history.close()
    files = {path: make for path, make in ((args.html, page), (args.svg, picture)) if path is not None}
    for path, make in files.items():
        try:
            path.write_text(make(found), encoding="utf-8")
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); name another file") from error
        print(f"written to {path}", file=sys.stderr)
    if args.json:
        print(json.dumps(_document(found), indent=2))
    elif not files:
        print("\n".join(text(found)))
    return FINE if found.no_claim is None else NO_CLAIM


def _row(history: History, target: str, at_ns: int | None) -> Record:
    found = history.newest(target, at_ns)
    if found is None:
        targets = history.targets()
        if target in targets:
            raise DataError(f"{history.path} has no result of {target} at or before that instant; ask for a later one")
        raise DataError(f"{history.path} has no target {target!r}; it has {', '.join(targets) or 'none'}")
    return found


def _document(found: Explanation) -> dict[str, Any]:
    return {"at": found.at, **asdict(found)}
