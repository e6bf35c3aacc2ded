"""`timesync stability FILE...`: statistics of stability of phase or frequency data, from files or from our own history.

Rule: what was read, how it was put on a grid, what was computed by which definition, and what is missing and why, is all in the
output; a script needs the exit status only.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from timesync.commands.history import add_place_options, history_file
from timesync.commands.numbers import instant, seconds
from timesync.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from timesync.phase_files import PhaseFile
    from timesync.stability import Levels, Stability
    from timesync.stability.masks import Mask, Verdict
    from timesync.stability.result import Floats, Integers, Kind
    from timesync.stability.taus import Taus
    from timesync.stability_report import Analysis, Data

__all__ = ["Progress", "add_file_options", "add_parser", "nothing_found", "plot_name", "read_file", "run"]

FINE, MASK_FAILED, INSUFFICIENT = 0, 1, 3

EPILOG = """\
statistics (all: every one):
  adev oadev mdev tdev hdev ohdev pdev totdev mtotdev ttotdev htotdev theo1 theobr theoh tierms mtie

masks (or a TOML file of one's own):
  g811 prtc-a prtc-b eprtc eec-1 g8273.2-a g8273.2-b g8273.2-c g8273.2-d g8271.1-c iec-61850-9-3 rts25-100us rts25-1ms
  rts25-1s us-cat-client us-cat-venue utc-k

files:
  One value a line, or a time and a value; CSV with named columns; Stable32 files; compressed with gzip or not; - is standard
  input. Phase in seconds (a column named x_ns or "x [ns]" is in ns); times in seconds, or with a name or --time-unit in
  another unit. A missing value is nan, an empty cell, or a gap in the times.

examples:
  timesync stability phase.txt --tau0 1
  timesync stability clock.frq --kind frequency --statistics adev,oadev,hdev --taus decade
  timesync stability counter.csv.gz --column ch2_ns --time-column mjd --plot sigma-tau.svg
  timesync stability phase.txt --statistics tdev,mtie --mask prtc-b && echo conforms
  timesync stability --history ntp1 --from 2026-11-01 --to 2026-11-08 --directory /var/lib/timesync --json
  zcat run.gz | timesync stability - --taus 1,10,100,1000 --csv

Exit status: 0 fine, 1 a mask is exceeded, 2 usage or input, 3 too little data for a statistic, a tau or a mask asked for.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `stability` to the command line."""
    parser = subparsers.add_parser(
        "stability",
        help="Allan deviation and its kin, MTIE and masks, of files or of what has been measured",
        description="Statistics of frequency and time stability, with confidence intervals, masks and a plot.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="data; - for standard input")
    _add_input_options(parser)
    _add_statistics_options(parser)
    output = parser.add_argument_group("output")
    shape = output.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    shape.add_argument("--csv", action="store_true", help="print one table of all, as CSV")
    output.add_argument("--plot", metavar="OUT", type=plot_name, help="draw sigma against tau, as .svg, .png or .pdf")
    output.add_argument("--title", metavar="TEXT", help="the plot's title (default: the sources)")
    parser.set_defaults(run=run, usage_error=parser.error)


def add_file_options(data: argparse._ArgumentGroup) -> None:
    """Add what says how a file of phase or frequency is to be read."""
    data.add_argument(
        "--kind", choices=("phase", "frequency"), help="what the values are (as the file says, else phase)"
    )
    data.add_argument(
        "--tau0", metavar="S", type=positive, help="sampling interval (as the times or the file say, else 1)"
    )
    data.add_argument("--column", metavar="NAME|N", help="column of the values")
    data.add_argument("--time-column", metavar="NAME|N", help="column of the times; none: there is none")
    data.add_argument(
        "--time-unit", choices=("s", "ms", "us", "ns", "h", "d", "mjd", "utc"), help="what the times are counted in"
    )
    data.add_argument("--scale", metavar="X", type=positive, default=1.0, help="factor on the values: 1e-9 for ns")
    data.add_argument("--missing", metavar="X", type=finite, help="a number that stands for a missing value")


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    add_file_options(data)
    data.add_argument(
        "--tolerance",
        metavar="X",
        type=_share,
        default=0.25,
        help="how far a time may lie off the grid, in tau0 (0.25)",
    )
    history = parser.add_argument_group("history")
    history.add_argument("--history", metavar="TARGET", action="append", help="a target's time error; may be repeated")
    history.add_argument("--from", dest="start", metavar="T", type=instant, help="first instant (ISO 8601 or MJD)")
    history.add_argument("--to", dest="end", metavar="T", type=instant, help="end, itself not included")
    add_place_options(history)


def _add_statistics_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("statistics")
    what.add_argument("--statistics", metavar="LIST", type=_words, default=["oadev"], help="names with commas (oadev)")
    what.add_argument(
        "--taus",
        type=_taus,
        default="octave",
        help="octave, decade, all, log-spaced:N a decade, or seconds with commas",
    )
    what.add_argument(
        "--ci", metavar="P", type=_level, default=0.683, help="level of the intervals (0.683); none for none"
    )
    what.add_argument(
        "--convention",
        choices=("exact", "stable32"),
        default="exact",
        help="as defined, or as Stable32 corrects it (exact)",
    )
    what.add_argument(
        "--mask", metavar="NAME|FILE", action="append", default=[], help="judge by this mask; may be repeated"
    )


# --- words of the command line -----------------------------------------------------------------------------------------


def finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def positive(text: str) -> float:
    value = seconds(text)
    if value == 0.0:
        raise argparse.ArgumentTypeError("0 is not above 0")
    return value


def _share(text: str) -> float:
    value = finite(text)
    if not 0.0 < value <= 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and at most 0.5")
    return value


def _level(text: str) -> float | None:
    if text == "none":
        return None
    value = finite(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a level between 0 and 1, nor none")
    return value


def _words(text: str) -> list[str]:
    words = [word.strip().lower() for word in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name in it")
    return list(dict.fromkeys(words))


def _taus(text: str) -> Taus:
    """A named list as it is, or averaging times in seconds."""
    if text[:1].isalpha():
        return text.replace("log-spaced:", "log:")
    return [positive(word) for word in text.split(",")]


def plot_name(text: str) -> Path:
    """A file to draw into."""
    path = Path(text)
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .svg, .png or .pdf")
    return path


# --- the run -----------------------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Read, compute, print; returns the exit status. Raises DataError, ConfigError and StoreError for bad input."""
    if not args.files and not args.history:
        args.usage_error("give a FILE, - for standard input, or --history TARGET")
    if args.files.count("-") > 1:
        args.usage_error("standard input can be read once")
    if not args.history and any(each is not None for each in (args.start, args.end, args.directory, args.config)):
        args.usage_error("--from, --to, --directory and --config go with --history")
    progress = Progress(show=sys.stderr.isatty())
    names = _statistics(args.statistics)
    masks = [mask for word in args.mask for mask in _masks(word)]
    if args.plot is not None:
        from timesync.stability_plot import need_matplotlib  # noqa: PLC0415 - before an hour of computing, not after it

        need_matplotlib()
    try:
        analyses = [_analyse(data, names, masks, args, progress.say) for data in _series(args, progress.say)]
    finally:
        progress.clear()
    status = _status(analyses, args.taus)
    if args.plot is not None:
        from timesync.stability_plot import plot  # noqa: PLC0415 - matplotlib, an extra

        plot(analyses, args.plot, title=args.title)
    _print(analyses, status, args)
    return status


class Progress:
    """One line on the terminal that is written over, and is gone when the work is done."""

    def __init__(self, *, show: bool) -> None:
        self._show = show

    def say(self, text: str) -> None:
        """What is being done now."""
        if self._show:
            print(f"\r\x1b[K{text} ...", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave no trace."""
        if self._show:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _statistics(wanted: Sequence[str]) -> list[str]:
    from timesync.stability import STATISTICS  # noqa: PLC0415 - numpy, which --help does not need

    if wanted == ["all"]:
        return list(STATISTICS)
    for name in wanted:
        if name not in STATISTICS:
            raise DataError(f"there is no statistic {name!r}; choose from {', '.join(STATISTICS)}, or all")
    return list(wanted)


def _masks(word: str) -> Sequence[Mask]:
    """The masks of a profile, or of a TOML file."""
    from timesync.stability.mask_table import PROFILES  # noqa: PLC0415 - numpy, which --help does not need
    from timesync.stability.masks import masks_from_toml  # noqa: PLC0415 - as above

    if word.lower() in PROFILES:
        return PROFILES[word.lower()].masks
    path = Path(word)
    if path.suffix != ".toml" and not path.is_file():
        raise DataError(f"there is no mask {word!r}; choose from {', '.join(PROFILES)}, or name a TOML file")
    try:
        return masks_from_toml(path.read_text(encoding="utf-8"), word)
    except OSError as error:
        raise DataError(f"{word}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{word}: is not UTF-8 text ({error})") from error


def _series(args: argparse.Namespace, say: Callable[[str], None]) -> Iterator[Data]:
    for name in args.files:
        say(f"reading {name}")
        yield _from_file(read_file(name, args, say), args)
    if args.history:
        yield from _from_history(args, say)


def read_file(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> PhaseFile:
    """The file (- for standard input) as the options of `add_file_options` say. Raises DataError where it cannot be used."""
    from timesync.phase_files import Choice, read_phase  # noqa: PLC0415 - numpy, which --help does not need

    choice = Choice(args.column, args.time_column, args.time_unit)
    source = "standard input" if name == "-" else name
    try:
        if name == "-":
            return read_phase(sys.stdin.buffer, source, choice, scale=args.scale, missing=args.missing, progress=say)
        with Path(name).open("rb") as stream:
            return read_phase(stream, source, choice, scale=args.scale, missing=args.missing, progress=say)
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror or error})") from error


def _from_file(file: PhaseFile, args: argparse.Namespace) -> Data:
    from timesync.stability_report import Data  # noqa: PLC0415 - numpy, which --help does not need

    kind: Kind = args.kind or file.kind or "phase"
    notes = list(file.notes)
    if file.kind is not None and file.kind != kind:
        notes.append(f"the file says that it holds {file.kind}; read as {kind}, as asked")
    if file.at_ns is not None:
        return _gridded(file.source, file.at_ns, file.values, kind, notes, args)
    origins = ((args.tau0, "as given"), (file.tau0_s, "from the header"), (1.0, "assumed; --tau0 gives another"))
    tau0_s, origin = next((value, text) for value, text in origins if value is not None)
    return Data(file.source, file.values, kind, tau0_s, origin, tuple(notes))


def _gridded(
    source: str, at_ns: Integers, values: Floats, kind: Kind, notes: Sequence[str], args: argparse.Namespace
) -> Data:
    """Put samples on a regular grid; a missing sample leaves its place empty."""
    import numpy as np  # noqa: PLC0415 - which --help does not need

    from timesync.stability import on_grid  # noqa: PLC0415 - as above
    from timesync.stability_report import Data  # noqa: PLC0415 - as above

    present = ~np.isnan(values)
    if np.count_nonzero(present) < 2:
        raise DataError(f"{source}: {np.count_nonzero(present)} value(s) with a time; a grid needs at least two")
    try:
        grid = on_grid(at_ns[present], values[present], args.tau0, tolerance=args.tolerance)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
    missing = int(np.count_nonzero(~present))
    told = (
        (missing, "named as missing"),
        (grid.off_grid, f"left out: farther than {grid.tolerance:g} tau0 from the grid"),
        (grid.crowded, "left out: another is nearer to the same grid point"),
    )
    counted = [f"{count} sample{'s' if count != 1 else ''} {text}" for count, text in told if count]
    if grid.deviation_s > 1e-6 * grid.tau0_s:
        counted.append(f"samples lie up to {grid.deviation_s:.3g} s from the grid")
    origin = "as given" if args.tau0 is not None else "fitted to the times"
    return Data(source, grid.x, kind, grid.tau0_s, origin, (*notes, *counted))


def _from_history(args: argparse.Namespace, say: Callable[[str], None]) -> Iterator[Data]:
    from timesync.store.local import History, Selection  # noqa: PLC0415 - sqlite, which files do not need

    path = history_file(args)
    column = args.column or "time_error_s"
    history = History(path, read_only=True)
    try:
        for target in args.history:
            say(f"reading {target}")
            span = {"start_ns": args.start, "end_ns": args.end}
            selection = Selection(target=target, **{key: value for key, value in span.items() if value is not None})
            found = history.columns(selection, [column])
            if found.at_ns.size == 0:
                raise DataError(nothing_found(target, column, history.targets(), path))
            yield _gridded(
                f"{target} ({column})", found.at_ns, found.values[column] * args.scale, args.kind or "phase", (), args
            )
    finally:
        history.close()


def nothing_found(target: str, column: str, targets: Sequence[str], path: Path) -> str:
    """Why the history gave no sample: the target is unknown, or has no such value in the span."""
    if target not in targets:
        there = ", ".join(targets) or "none at all"
        return f"{path} has no target {target!r}; it has {there}"
    return (
        f"{path} has no {column} of {target!r} in this span; "
        "without a claim against UTC(k) there is still --column offset_s"
    )


def _analyse(
    data: Data,
    names: Sequence[str],
    masks: Sequence[Mask],
    args: argparse.Namespace,
    say: Callable[[str], None],
) -> Analysis:
    from timesync.stability import STATISTICS, levels  # noqa: PLC0415 - numpy, which --help does not need
    from timesync.stability_report import Analysis  # noqa: PLC0415 - as above

    judged = [mask.statistic for mask in masks if mask.statistic in STATISTICS]
    results = {}
    for name in dict.fromkeys([*names, *judged]):
        say(f"{data.source}: {name}")
        try:
            results[name] = STATISTICS[name](
                data.x, data.tau0_s, args.taus, data.kind, ci=args.ci, convention=args.convention
            )
        except DataError as error:
            raise DataError(f"{data.source}: {name}: {error}") from error
    found = levels(data.x, ci=args.ci) if data.kind == "phase" and data.present else None
    verdicts = [(mask, _judged(mask, data, results, found)) for mask in masks]
    return Analysis(data, results, found, verdicts)


def _judged(mask: Mask, data: Data, results: Mapping[str, Stability], levels: Levels | None) -> Verdict:
    from timesync.stability.masks import judge, judge_level  # noqa: PLC0415 - numpy, which --help does not need

    if mask.statistic in results:
        return judge(mask, results[mask.statistic].tau_s, results[mask.statistic].dev)
    duration_s = (data.x.size - 1) * data.tau0_s
    value_s = math.nan if levels is None else getattr(levels, mask.statistic).value_s
    return judge_level(mask, value_s, duration_s=duration_s)


def _status(analyses: Sequence[Analysis], taus: Taus) -> int:
    outcomes = {verdict.outcome for analysis in analyses for _, verdict in analysis.verdicts}
    if "fail" in outcomes:
        return MASK_FAILED
    results = [result for analysis in analyses for result in analysis.results.values()]
    explicit = not isinstance(taus, str)
    if "insufficient" in outcomes or any(not len(r) or (explicit and r.reason) for r in results):
        return INSUFFICIENT
    return FINE


def _print(analyses: Sequence[Analysis], status: int, args: argparse.Namespace) -> None:
    from timesync.stability_report import csv_text, document, table, verdict_lines  # noqa: PLC0415 - numpy

    if args.json:
        print(json.dumps(document(analyses, status), indent=2, allow_nan=False))
    elif args.csv:
        print(csv_text(analyses), end="")
        for analysis in analyses:
            for line in verdict_lines(analysis):
                print(line, file=sys.stderr)
    else:
        print("\n\n".join("\n".join(table(analysis)) for analysis in analyses))
        if args.plot is not None:
            print(f"\nPlot: {args.plot}")
