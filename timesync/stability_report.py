"""What `timesync stability` has found, as a table for people and as JSON and CSV for programs.

Rule: all three say the same, with the convention, the completeness and every reason why something is missing; an absent number
is "-" in the table, null in JSON, empty in CSV.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from timesync.stability import STATISTICS
from timesync.stability.powerlaw import NOISE_NAMES
from timesync.text import aligned, offset_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from timesync.stability import Levels, Stability
    from timesync.stability.level_limits import Level
    from timesync.stability.masks import Mask, Verdict
    from timesync.stability.result import Floats, Kind

__all__ = ["Analysis", "Data", "csv_text", "document", "label", "table", "verdict_lines"]

LEVEL_NAMES = {"cte": "cTE", "max_abs_te": "max|TE|", "max_abs_dte": "max|dTE|"}
_COLUMNS = ("tau_s", "m", "dev", "lo", "hi", "n", "edf", "alpha")


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """A series ready for the statistics: x shape (points,), s or fractional frequency, NaN where missing.

    tau0_from says where the sampling interval comes from; notes say what was done to the input.
    """

    source: str
    x: Floats
    kind: Kind
    tau0_s: float
    tau0_from: str
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> int:
        """Points that are not missing."""
        return int(np.count_nonzero(~np.isnan(self.x)))


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """One series with its results by statistic, its levels (none for frequency) and the masks' verdicts."""

    data: Data
    results: Mapping[str, Stability]
    levels: Levels | None
    verdicts: Sequence[tuple[Mask, Verdict]]


def label(statistic: str) -> str:
    """A statistic as people write it: "OADEV", "TIE rms", "TheoBR"."""
    special = {"tierms": "TIE rms", "theo1": "Theo1", "theobr": "TheoBR", "theoh": "TheoH", **LEVEL_NAMES}
    return special.get(statistic, statistic.upper())


# --- text --------------------------------------------------------------------------------------------------------------


def table(analysis: Analysis) -> Iterator[str]:
    """The lines of one series' report."""
    data = analysis.data
    gaps = data.x.size - data.present
    yield (
        f"{data.source}: {data.x.size} points of {data.kind}, "
        + (f"{gaps} of them missing ({gaps / data.x.size:.2%}), " if gaps else "complete, ")
        + f"tau0 {data.tau0_s:.9g} s ({data.tau0_from})"
    )
    for note in data.notes:
        yield f"  {note}"
    if analysis.levels is not None:
        yield from (f"  {line}" for line in _levels(analysis.levels))
    for name, result in analysis.results.items():
        yield ""
        yield from _statistic(name, result)
    if analysis.verdicts:
        yield ""
        yield from verdict_lines(analysis)


def _levels(levels: Levels) -> Iterator[str]:
    """The three levels, and below them of what their intervals are: in one line where all have the same to say."""
    named = {"cTE": levels.cte, "max|TE|": levels.max_abs_te, "max|dTE|": levels.max_abs_dte}
    texts = {"cTE": offset_text}
    shown = []
    for name, level in named.items():
        text = texts.get(name, size_text)
        limits = "" if math.isnan(level.lo_s) else f" ({text(level.lo_s)} to {text(level.hi_s)})"
        shown.append(f"{name} {text(level.value_s)}{limits}")
    yield ", ".join(shown)
    said = {level.interval for level in named.values()}
    if len(said) == 1:
        yield f"interval: {said.pop()}"
        return
    for name, level in named.items():
        yield f"interval of {name}: {levels.ci:g} {level.interval}"


def _statistic(name: str, result: Stability) -> Iterator[str]:
    statistic = STATISTICS[name]
    unit = "s" if statistic.unit == "s" else "fractional frequency"
    yield f"{label(name)}: {statistic.title}, {unit} ({statistic.source}; {result.convention})"
    if len(result):
        heads = ("TAU (S)", "M", label(name).upper(), "LOW", "HIGH", "N", "EDF", "NOISE")
        rows = [_row(row) for row in result.rows()]
        shown = [column for column in range(len(heads)) if any(row[column] != "-" for row in rows)]
        named = [heads[column] for column in shown]
        cut = [[row[column] for column in shown] for row in rows]
        yield from (f"  {line}" for line in aligned(named, cut, right=[head for head in named if head != "NOISE"]))
        yield f"  interval: {result.interval}"
    if result.reason is not None:
        yield f"  {'missing' if len(result) else 'no value'}: {result.reason}"


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    def limit(name: str) -> str:
        return "-" if row[name] is None else f"{row[name]:.3e}"

    return (
        f"{row['tau_s']:.9g}",
        str(row["m"]),
        f"{row['dev']:.6e}",
        limit("lo"),
        limit("hi"),
        str(row["n"]),
        "-" if row["edf"] is None else f"{row['edf']:.1f}",
        "-" if row["alpha"] is None else NOISE_NAMES.get(round(row["alpha"]), f"alpha {row['alpha']:.1f}"),
    )


def verdict_lines(analysis: Analysis) -> Iterator[str]:
    """One line a mask: the outcome first, so that `grep FAIL` finds it."""
    for mask, verdict in analysis.verdicts:
        words = [f"{verdict.outcome.upper()} {mask.name} ({mask.source}, {mask.edition}, {mask.clause}): "]
        if math.isnan(verdict.margin):
            words.append(verdict.reason)
        else:
            at = "" if math.isnan(verdict.worst_tau_s) else f" at tau {verdict.worst_tau_s:g} s"
            words.append(
                f"{label(verdict.statistic)} {size_text(verdict.value_s)} of {size_text(verdict.limit_s)}{at}, "
                f"margin {verdict.margin:.3g}"
            )
            if verdict.outcome == "insufficient":
                words.append(f"; {verdict.reason}")
        yield "".join(words)


# --- for programs ------------------------------------------------------------------------------------------------------


def document(analyses: Sequence[Analysis], status: int) -> dict[str, Any]:
    """The JSON object: one entry a series."""
    return {"status": status, "series": [_series(each) for each in analyses]}


def _series(analysis: Analysis) -> dict[str, Any]:
    data, levels = analysis.data, analysis.levels
    return {
        "source": data.source,
        "kind": data.kind,
        "points": int(data.x.size),
        "present": data.present,
        "tau0_s": data.tau0_s,
        "tau0_from": data.tau0_from,
        "notes": list(data.notes),
        "cte_s": None if levels is None else levels.cte.value_s,
        "max_abs_te_s": None if levels is None else levels.max_abs_te.value_s,
        "levels": {} if levels is None else {name: _level(getattr(levels, name)) for name in LEVEL_NAMES},
        "statistics": {name: _result(name, result) for name, result in analysis.results.items()},
        "verdicts": [_verdict(mask, verdict) for mask, verdict in analysis.verdicts],
    }


def _level(level: Level) -> dict[str, Any]:
    limits = {"lo_s": level.lo_s, "hi_s": level.hi_s}
    known = {name: None if math.isnan(value) else value for name, value in limits.items()}
    return {"value_s": level.value_s, **known, "interval": level.interval}


def _result(name: str, result: Stability) -> dict[str, Any]:
    return {
        "title": STATISTICS[name].title,
        "definition": STATISTICS[name].source,
        "unit": STATISTICS[name].unit,
        "convention": result.convention,
        "ci": result.ci,
        "interval": result.interval,
        "completeness": result.completeness,
        "reason": result.reason,
        "rows": result.rows(),
    }


def _verdict(mask: Mask, verdict: Verdict) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "mask": mask.name,
        "statistic": verdict.statistic,
        "source": f"{mask.source}, {mask.edition}, {mask.clause}",
        "outcome": verdict.outcome,
        "margin": number(verdict.margin),
        "worst_tau_s": number(verdict.worst_tau_s),
        "value_s": number(verdict.value_s),
        "limit_s": number(verdict.limit_s),
        "reason": verdict.reason or None,
    }


def csv_text(analyses: Sequence[Analysis]) -> str:
    """One line a series, statistic and tau."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["source", "statistic", "unit", "convention", "ci", *_COLUMNS])
    for analysis in analyses:
        for name, result in analysis.results.items():
            head = (analysis.data.source, name, STATISTICS[name].unit, result.convention, result.ci)
            writer.writerows([*head, *(row[column] for column in _COLUMNS)] for row in result.rows())
    return out.getvalue()
