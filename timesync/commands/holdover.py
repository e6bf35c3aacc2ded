"""`timesync holdover TARGET|FILE`: how long a clock stays within a limit once its source is lost, and how far that can be trusted.

Rule: the answer comes first, in one sentence; what it rests on comes after it. A script needs the exit status only.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from timesync.commands.history import add_place_options, history_file
from timesync.commands.numbers import duration, instant
from timesync.commands.stability import Progress, add_file_options, nothing_found, plot_name, read_file
from timesync.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.holdover.episodes import History as Past
    from timesync.holdover_report import Outlook, Series

__all__ = ["add_parser", "run"]

FINE, LEAVES, INSUFFICIENT = 0, 1, 3

EPILOG = """\
The record should be that of a free-running clock: one that is steered shows its servo, not its oscillator, and coasts otherwise
than it was seen to run. Of a target that has lost its source, give --from the instant when it did.

examples:
  timesync holdover ntp1                                 from the history of the demonstration, 1 us, 24 h
  timesync holdover gm --limit 100ns --limit 1us --horizon 3d --directory /var/lib/timesync --plot gm.svg
  timesync holdover ntp1 --from 2026-11-01T08:14Z --backtest
  timesync holdover rubidium.csv --column x_ns --time-column mjd --limit 1.1us --horizon 24h --confidence 0.99
  timesync holdover phase.txt --tau0 1 --json | jq .limits[0].within_s

Exit status: 0 within every limit throughout the horizon with that confidence, 1 not, 2 usage or input, 3 too little is known.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `holdover` to the command line."""
    parser = subparsers.add_parser(
        "holdover",
        help="how long a clock stays within a limit when its source is lost, of a file or of what has been measured",
        description="How far off a clock will be when its source is lost, how long it stays within a limit, and whether such "
        "forecasts of it have been true.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="TARGET|FILE", help="a target of the history, or a file of phase; - for standard input"
    )
    ask = parser.add_argument_group("question")
    ask.add_argument(
        "--limit", metavar="T", type=duration, action="append", help="time error not to leave (1us); may be repeated"
    )
    ask.add_argument("--horizon", metavar="T", type=duration, default=86_400.0, help="how far ahead (24h)")
    ask.add_argument(
        "--confidence", metavar="P", type=_level, default=0.95, help="probability of the band and the time (0.95)"
    )
    ask.add_argument("--backtest", action="store_true", help="also judge such forecasts on the record itself")
    add_file_options(parser.add_argument_group("file"))
    history = parser.add_argument_group("history")
    history.add_argument("--from", dest="start", metavar="T", type=instant, help="first instant (ISO 8601 or MJD)")
    history.add_argument(
        "--to", dest="end", metavar="T", type=instant, help="end, itself not included: the present of the forecast"
    )
    add_place_options(history)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object")
    output.add_argument("--plot", metavar="OUT", type=plot_name, help="draw it, as .svg, .png or .pdf")
    parser.set_defaults(run=run, usage_error=parser.error)


def _level(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.5 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability from 0.5 to below 1")
    return value


def run(args: argparse.Namespace) -> int:
    """Read, learn, forecast, print; returns the exit status. Raises DataError, ConfigError and StoreError for bad input."""
    progress = Progress(show=sys.stderr.isatty())
    if args.plot is not None:
        from timesync.stability_plot import need_matplotlib  # noqa: PLC0415 - before the work, not after it

        need_matplotlib()
    try:
        outlook = _outlook(args, progress.say)
    finally:
        progress.clear()
    if outlook is None:
        return INSUFFICIENT
    if args.plot is not None:
        from timesync.holdover_plot import plot  # noqa: PLC0415 - matplotlib, an extra

        plot(outlook, args.plot)
    status = FINE if all(each is None for each in outlook.within_s) else LEAVES
    _print(outlook, status, args)
    return status


def _outlook(args: argparse.Namespace, say: Callable[[str], None]) -> Outlook | None:
    """The answer; None where too little is known, which is told."""
    from timesync.holdover import learn, predict  # noqa: PLC0415 - numpy, which --help does not need
    from timesync.holdover.backtest import backtest  # noqa: PLC0415 - as above
    from timesync.holdover_report import Outlook, history_document, history_lines  # noqa: PLC0415 - as above

    series = _series(args, say)
    past = None if _is_file(args) else _past(args)
    limits = args.limit or [1e-6]
    say("learning the clock")
    try:
        belief = learn(series.t_s, series.x_s)
    except DataError as error:
        if args.json:
            told = None if past is None else history_document(past)
            print(json.dumps({"status": INSUFFICIENT, "source": series.source, "reason": str(error), "history": told}))
        elif past is not None:
            print("\n".join(history_lines(past)))
        print(f"timesync: {series.source}: {error}", file=sys.stderr)
        return None
    say("forecasting")
    prediction = predict(
        belief,
        args.horizon,
        limits,
        confidence=args.confidence,
        first_s=min(series.interval_s, args.horizon / 2),
    )
    judged = None
    if args.backtest:
        say("judging forecasts on the record")
        judged = backtest(series.t_s, series.x_s, min(args.horizon, series.span_s / 4), confidence=args.confidence)
    return Outlook(series, prediction, judged, past)


def _series(args: argparse.Namespace, say: Callable[[str], None]) -> Series:
    say(f"reading {args.source}")
    if _is_file(args):
        return _from_file(args, say)
    return _from_history(args)


def _is_file(args: argparse.Namespace) -> bool:
    return args.source == "-" or Path(args.source).is_file()


def _past(args: argparse.Namespace) -> Past | None:
    """What came of the target's holdovers that were over before --to; None if there was none."""
    from timesync.holdover.episodes import history  # noqa: PLC0415 - numpy, which files of phase need, too
    from timesync.holdover_service import EPISODE, episode_of  # noqa: PLC0415 - as above
    from timesync.store.local import History, Selection  # noqa: PLC0415 - sqlite, which files do not need

    found = History(history_file(args), read_only=True)
    try:
        rows = [record.fields for record in found.records(Selection(EPISODE, args.source))]
    finally:
        found.close()
    end_ns = math.inf if args.end is None else args.end
    return history([episode_of(row) for row in rows if int(row["exit_ns"]) <= end_ns])


def _from_file(args: argparse.Namespace, say: Callable[[str], None]) -> Series:
    import numpy as np  # noqa: PLC0415 - which --help does not need

    from timesync.holdover import seconds_since  # noqa: PLC0415 - as above
    from timesync.holdover_report import Series  # noqa: PLC0415 - as above

    file = read_file(args.source, args, say)
    values = file.values
    even_s = np.arange(values.size, dtype=float) * float(args.tau0 or file.tau0_s or 1.0)
    t_s = even_s if file.at_ns is None else seconds_since(file.at_ns)
    if (args.kind or file.kind) == "frequency":
        # Mean frequencies over the intervals that begin at their instants; a missing one leaves what comes after unknown.
        if np.any(np.isnan(values)):
            raise DataError(
                f"{file.source}: a record of frequency with gaps has no phase: cut it to the part without them"
            )
        steps = np.append(np.diff(t_s), np.median(np.diff(t_s)))
        t_s = np.append(t_s, t_s[-1] + steps[-1])
        values = np.concatenate([[0.0], np.cumsum(values * steps)])
    return Series(file.source, t_s, values, None if file.at_ns is None else int(file.at_ns[0]), tuple(file.notes))


def _from_history(args: argparse.Namespace) -> Series:
    from timesync.holdover import seconds_since  # noqa: PLC0415 - numpy, which --help does not need
    from timesync.holdover_report import Series  # noqa: PLC0415 - as above
    from timesync.store.local import History, Selection  # noqa: PLC0415 - sqlite, which files do not need

    path = history_file(args)
    column = args.column or "time_error_s"
    history = History(path, read_only=True)
    try:
        span = {"start_ns": args.start, "end_ns": args.end}
        selection = Selection(target=args.source, **{key: each for key, each in span.items() if each is not None})
        found = history.columns(selection, [column])
        if found.at_ns.size == 0:
            raise DataError(nothing_found(args.source, column, history.targets(), path))
    finally:
        history.close()
    name = args.source if column == "time_error_s" else f"{args.source} ({column})"
    return Series(name, seconds_since(found.at_ns), found.values[column] * args.scale, int(found.at_ns[0]), ())


def _print(outlook: Outlook, status: int, args: argparse.Namespace) -> None:
    from timesync.holdover_report import document, lines  # noqa: PLC0415 - numpy

    if args.json:
        print(json.dumps(document(outlook, status), indent=2, allow_nan=False))
        return
    print("\n".join(lines(outlook)))
    if args.plot is not None:
        print(f"\nPlot: {args.plot}")
