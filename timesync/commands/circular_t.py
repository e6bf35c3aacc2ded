"""`timesync circular-t import|show|report`: what the BIPM has published, and what it makes of the results on record.

Rule: an import is whole or nothing; every row that could not be taken is told with its line. A running daemon sees an import
within seconds and computes what it touches again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.commands.history import FILE as HISTORY_FILE
from timesync.commands.history import place
from timesync.commands.numbers import instant
from timesync.errors import DataError
from timesync.reference.published import Label, laboratory
from timesync.store.published import FILE, PublishedStore
from timesync.text import aligned
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from timesync.reference.published import UtcEstimate
    from timesync.store.local import History
    from timesync.store.published import Imported
    from timesync.utc_report import DayOfUtc

__all__ = ["add_parser", "run"]

FINE, REJECTED, NOTHING = 0, 1, 3

EPILOG = """\
examples:
  timesync circular-t import cirt.463 cirt.464 --config site.toml      from files, for a site without internet
  timesync circular-t import utcr_2624 reply.json --directory /var/lib/timesync
  timesync circular-t show --config site.toml                          what there is, with where it came from
  timesync circular-t show NIM --at 2026-07-03T12:00:00Z               UTC - UTC(NIM) at an instant
  timesync circular-t report ntp1 --from 2026-06-01 --to 2026-07-01    UTC - ntp1 day by day, computed anew
  timesync circular-t report --all --json > june.json

Exit status: 0 fine, 1 some rows of a file could not be taken, 2 usage or a file that is none, 3 nothing is known.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `circular-t` to the command line."""
    parser = subparsers.add_parser(
        "circular-t",
        help="import and show Circular T, UTCr and replies of the BIPM web API",
        description="Keep what the BIPM publishes of UTC - UTC(k), show it, and compute UTC - X from it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="what to do", metavar="import|show|report", required=True)
    take = verbs.add_parser("import", help="take in files: Circular T, UTCr, or JSON of the BIPM web API")
    take.add_argument("files", metavar="FILE", nargs="+", type=Path, help="an issue as the BIPM publishes it")
    show = verbs.add_parser("show", help="the issues that there are, or UTC - UTC(k) at an instant")
    show.add_argument("lab", metavar="LAB", nargs="?", help='a laboratory, such as NIM or "UTC(NIM)"')
    show.add_argument("--at", metavar="T", type=instant, help="instant (ISO 8601 or MJD); now if not given")
    report = verbs.add_parser("report", help="UTC - X of a target day by day, computed anew from the history")
    report.add_argument("targets", metavar="TARGET", nargs="*", help="whose results")
    report.add_argument("--all", action="store_true", help="those of all targets, several at a time")
    report.add_argument("--from", dest="start", metavar="T", type=instant, help="first instant (ISO 8601 or MJD)")
    report.add_argument("--to", dest="end", metavar="T", type=instant, help="end, itself not included")
    for verb, function in ((take, _import), (show, _show), (report, _report)):
        group = verb.add_argument_group("place").add_mutually_exclusive_group()
        group.add_argument("--directory", metavar="DIR", type=Path, help="the spool's directory (the demonstration's)")
        group.add_argument("--config", metavar="FILE", type=Path, help="the configuration of the probe")
        verb.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        verb.set_defaults(run=run, verb=function, usage_error=verb.error)


def run(args: argparse.Namespace) -> int:
    """Do what is asked; returns the exit status. Raises DataError, ConfigError or StoreError for bad input."""
    status: int = args.verb(args, place(args))
    return status


def _import(args: argparse.Namespace, directory: Path) -> int:
    now_ns = time.time_ns()
    done: list[tuple[Path, Imported]] = []
    with PublishedStore(directory / FILE) as store:
        for path in args.files:
            done.append((path, _take(store, path, now_ns)))
            if not args.json:
                print("\n".join(_told(path, done[-1][1])))
    if args.json:
        print(json.dumps({"imported": [_imported_json(path, each) for path, each in done]}, indent=2))
    return REJECTED if any(each.rejected for _, each in done) else FINE


def _take(store: PublishedStore, path: Path, now_ns: int) -> Imported:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file as the BIPM publishes it") from error
    source = str(path.absolute())
    if not data.lstrip().startswith(b"{"):
        return store.add_bulletin(data, source, now_ns)
    taken = store.add_reply(data, source, now_ns)
    if taken is None:
        raise DataError(f"{path}: the reply holds no value; ask for a laboratory and dates that there are")
    return taken


def _told(path: Path, taken: Imported) -> Iterator[str]:
    issue = taken.issue
    known = "" if taken.new else " (there already)"
    yield f"{path}: {issue.name}, {issue.labs} laboratories, MJD {issue.first_mjd} to {issue.last_mjd}{known}"
    for row in taken.rejected:
        yield f"  line {row.line}, {row.lab}: not taken, {row.why}"


def _imported_json(path: Path, taken: Imported) -> dict[str, Any]:
    rejected = [asdict(row) for row in taken.rejected]
    return {"file": str(path), "new": taken.new, "issue": asdict(taken.issue), "rejected": rejected}


def _show(args: argparse.Namespace, directory: Path) -> int:
    with PublishedStore(directory / FILE, read_only=True) as store:
        if args.lab is None:
            if args.at is not None:
                raise DataError("--at asks for a value: say which LAB")
            return _show_issues(args, store)
        lab = laboratory(args.lab)
        if lab not in store.labs():
            raise DataError(f"nothing is published of {lab} in what was imported; there are {', '.join(store.labs())}")
        at_ns = time.time_ns() if args.at is None else args.at
        found = store.table(lab).at(at_ns)
    if args.json:
        print(json.dumps(_estimate_json(lab, at_ns, found), indent=2))
    else:
        print(_estimate_text(lab, at_ns, found))
    return NOTHING if found.label is Label.UNAVAILABLE else FINE


def _show_issues(args: argparse.Namespace, store: PublishedStore) -> int:
    issues = store.issues()
    if args.json:
        print(json.dumps({"issues": [asdict(each) for each in issues], "laboratories": store.labs()}, indent=2))
    else:
        heads = ("ISSUE", "MJD", "LABORATORIES", "IMPORTED", "SHA-256", "FROM")
        rows = [
            (
                i.name,
                f"{i.first_mjd}-{i.last_mjd}",
                str(i.labs),
                format_utc(i.imported_ns)[:19],
                i.sha256[:12],
                i.source,
            )
            for i in issues
        ]
        print("\n".join(aligned(heads, rows, right=("LABORATORIES",))))
    return FINE if issues else NOTHING


def _estimate_json(lab: str, at_ns: int, found: UtcEstimate) -> dict[str, Any]:
    known: dict[str, Any] = {"laboratory": lab, "at": format_utc(at_ns), "label": found.label.value}
    if found.label is not Label.UNAVAILABLE:
        known |= {"issue": found.issue, "utc_minus_utck_s": found.value_s, "u_s": found.u_s}
        known |= {"u_interpolation_s": found.u_interpolation_s, "total_u_s": found.total_u_s}
    return known


def _estimate_text(lab: str, at_ns: int, found: UtcEstimate) -> str:
    if found.label is Label.UNAVAILABLE:
        return f"UTC - UTC({lab}) at {format_utc(at_ns)}: unavailable, no date near enough has been published"
    u = "no u published"
    if found.total_u_s is not None and found.u_s is not None:
        u = f"u = {_ns(found.total_u_s)} (published {_ns(found.u_s)}, to this instant {_ns(found.u_interpolation_s)})"
    value = f"UTC - UTC({lab}) at {format_utc(at_ns)} = {found.value_s * 1e9:+.1f} ns"
    return f"{value}, {u}; {found.label.value}, {found.issue}"


def _ns(value_s: float) -> str:
    return f"{value_s * 1e9:.1f} ns"


def _report(args: argparse.Namespace, directory: Path) -> int:
    from timesync.store.local import History  # noqa: PLC0415 - sqlite and numpy only where whole series are read
    from timesync.utc_report import reports  # noqa: PLC0415 - as above

    path, published = directory / HISTORY_FILE, directory / FILE
    if not path.is_file():
        raise DataError(f"there is no history in {directory}; name the probe's spool with --directory, or use --config")
    if args.all == bool(args.targets):
        args.usage_error("say which TARGET, or --all")
    history = History(path, read_only=True)
    try:
        targets = list(args.targets)
        if args.all:
            targets = [target for target in history.targets() if _realises(history, target) is not None]
        realised = {target: _realised(history, target) for target in targets}
    finally:
        history.close()
    PublishedStore(published, read_only=True).close()  # told before the work begins, where there is none
    found = []
    for report in reports(path, published, realised, args.start, args.end):
        found.append(report)
        if not args.json:
            print(f"UTC - {report.target}, against {report.realises}")
            print("\n".join(_days_text(report.days)), flush=True)
        if not report.days:
            print(f"timesync circular-t: no result of {report.target} in this span", file=sys.stderr)
    if args.json:
        print(json.dumps({"targets": [asdict(report) for report in found]}, indent=2))
    return FINE if any(report.days for report in found) else NOTHING


def _realises(history: History, target: str) -> str | None:
    newest = history.newest(target)
    realises = None if newest is None else newest.fields.get("realises")
    return None if realises is None else str(realises)


def _realised(history: History, target: str) -> str:
    realises = _realises(history, target)
    if realises is None:
        if target not in history.targets():
            raise DataError(f"{history.path} has no target {target!r}; it has {', '.join(history.targets()) or 'none'}")
        raise DataError(f"{target} has no reference that realises a UTC(k); give one `realises` and its tie")
    return realises


def _days_text(days: Sequence[DayOfUtc]) -> Iterator[str]:
    heads = ("MJD", "DATE", "UTC - X / ns", "u / ns", "SAMPLES", "FINAL", "RAPID", "PREDICTED", "UNAVAILABLE")
    rows = []
    for day in days:
        counts = [str(day.labels.get(label.value, 0)) for label in Label]
        value = "-" if day.mean_s is None else f"{day.mean_s * 1e9:+.1f}"
        u = "-" if day.u_s is None else f"{day.u_s * 1e9:.1f}"
        rows.append((str(day.mjd), day.date, value, u, str(day.samples), *counts))
    yield from aligned(heads, rows, right=heads[2:])
