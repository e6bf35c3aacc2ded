"""What `timesync holdover` has found, as sentences and tables for people and as JSON for programs.

Rule: the answer first; every number with its unit; what was left out, and what limits the answer, is said.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from timesync.text import aligned, offset_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.holdover import Prediction
    from timesync.holdover.backtest import Backtest
    from timesync.holdover.clock import Floats
    from timesync.holdover.episodes import History

__all__ = ["Outlook", "Series", "document", "limit_text", "lines", "sentences", "span_text"]

SHOWN = 9  # rows of the table


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The record: phase x_s (s, NaN where missing) at t_s (s); begin_ns: the instant of t_s = 0, None if unknown."""

    source: str
    t_s: Floats
    x_s: Floats
    begin_ns: int | None
    notes: tuple[str, ...] = ()

    @property
    def interval_s(self) -> float:
        """The usual interval of samples."""
        return float(np.median(np.diff(self.t_s))) if self.t_s.size > 1 else 1.0

    @property
    def span_s(self) -> float:
        """From the first sample to the last."""
        return float(self.t_s[-1] - self.t_s[0]) if self.t_s.size else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """A record, the forecast from its end, the backtest if one was wanted, and what came of holdovers before, if any are known."""

    series: Series
    prediction: Prediction
    backtest: Backtest | None = None
    history: History | None = None

    @property
    def within_s(self) -> list[float | None]:
        """For each limit how long it is kept with the confidence; None: throughout the horizon."""
        return [self.prediction.stays_s(number) for number in range(len(self.prediction.passages))]


def span_text(value_s: float) -> str:
    """A time in the unit that suits it, two or three digits: "5.2 h", "37 s", "3.0 d"."""
    for scale, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if value_s >= 2 * scale or unit == "s":
            value = value_s / scale
            return (
                f"{value:.0f} {unit}"
                if value >= 99.5
                else f"{value:.2g} {unit}"
                if value < 1
                else f"{value:.1f} {unit}"
            )
    raise AssertionError("the last unit takes everything")


def limit_text(value_s: float) -> str:
    """A limit, s, in the unit that suits it: "100 us", "1.5 us"."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value_s >= 0.9995 * scale:
            return f"{value_s / scale:.6g} {unit}"
    return f"{value_s * 1e9:.6g} ns"


def sentences(outlook: Outlook) -> Iterator[str]:
    """One sentence a limit."""
    prediction = outlook.prediction
    name = outlook.series.source.rpartition("/")[2]
    level = f"{100 * prediction.confidence:.6g} % confidence"
    for found, within in zip(prediction.passages, outlook.within_s, strict=True):
        limit = limit_text(found.limit_s)
        if within is None:
            yield f"{name} stays within {limit} for the whole {span_text(found.horizon_s)} with {level}."
        elif within == 0.0:
            now = offset_text(float(np.median(prediction.belief.states.mean[0])))
            yield f"{name} cannot be said to be within {limit} even now ({now}), with {level}."
        else:
            yield f"{name} stays within {limit} for {span_text(within)} with {level}."


def _rows(outlook: Outlook) -> list[int]:
    t = outlook.prediction.clock.t_s
    wanted = [1, 10, 60, 600, 3600, 4 * 3600, 86_400, 7 * 86_400, 30 * 86_400]
    near = {int(np.argmin(np.abs(np.log(t / each)))) for each in wanted if t[0] <= each <= t[-1]}
    return sorted(near | {t.size - 1})[-SHOWN:]


def lines(outlook: Outlook) -> Iterator[str]:
    """The report for people."""
    yield from sentences(outlook)
    series, prediction = outlook.series, outlook.prediction
    belief, forecast = prediction.belief, prediction.clock
    yield ""
    yield f"  learned from {belief.samples} samples over {span_text(series.span_s)}, one every {span_text(series.interval_s)}"
    for note in (*series.notes, *prediction.notes):
        yield f"  {note}"
    yield f"  {_clock_text(outlook)}"
    yield ""
    level = f"{100 * prediction.confidence:.6g} %"
    heads = ("AFTER", "TIME ERROR", "U (K=1)", f"{level} LOW", f"{level} HIGH", "BAND LOW", "BAND HIGH")
    rows = []
    for k in _rows(outlook):
        values = (forecast.low_s, forecast.high_s, forecast.band_low_s, forecast.band_high_s)
        texts = (offset_text(float(each[k])) for each in values)
        rows.append(
            (
                span_text(float(forecast.t_s[k])),
                offset_text(float(forecast.mean_s[k])),
                size_text(float(forecast.u_s[k])),
                *texts,
            )
        )
    yield from aligned(heads, rows, right=heads)
    yield f"  the band holds the clock at all instants together with {level}; LOW and HIGH each instant by itself"
    yield ""
    yield from _limit_lines(outlook, level)
    if outlook.backtest is not None:
        yield ""
        yield from _backtest_lines(outlook.backtest)
    if outlook.history is not None:
        yield ""
        yield from history_lines(outlook.history)


def _limit_lines(outlook: Outlook, level: str) -> Iterator[str]:
    heads = ("LIMIT", f"WITHIN FOR ({level})", "MEDIAN", "LEFT BY THE HORIZON")
    rows = []
    for found, within in zip(outlook.prediction.passages, outlook.within_s, strict=True):
        horizon = span_text(found.horizon_s)
        times = (f"> {horizon}" if each is None else span_text(each) for each in (within, found.quantile_s(0.5)))
        rows.append((limit_text(found.limit_s), *times, f"{100 * found.probability[-1]:.1f} %"))
    yield from aligned(heads, rows, right=heads)


def _clock_text(outlook: Outlook) -> str:
    belief = outlook.prediction.belief
    noise = belief.noise
    slow = math.sqrt(noise.q2 / 3)
    frequency = float(np.mean(belief.states.mean[1]))
    frequency_u = math.sqrt(float(np.mean(np.maximum(belief.states.p[3], 0.0)) + np.var(belief.states.mean[1])))
    drift = float(np.mean(belief.states.mean[2])) * 86_400
    drift_u = math.sqrt(float(np.mean(np.maximum(belief.states.p[5], 0.0)) + np.var(belief.states.mean[2]))) * 86_400
    return (
        f"frequency {frequency:+.3g} (u {frequency_u:.1g}), drift {drift:+.2g}/d (u {drift_u:.1g}/d); white PM "
        f"{size_text(math.sqrt(noise.r))}, white FM {math.sqrt(noise.q1):.2g}/sqrt(tau/s), random-walk FM "
        f"{slow:.2g}*sqrt(tau/s)"
    )


def _backtest_lines(found: Backtest) -> Iterator[str]:
    count = len(found.cuts)
    yield (
        f"Backtest: {count} forecasts of {span_text(found.horizon_s)} on the record itself, {100 * found.confidence:.6g} % wanted: "
        f"{100 * found.simultaneous:.0f} % of the bands held throughout, {100 * found.pointwise:.0f} % of single samples inside; "
        f"bands {found.width_ratio:.2f} times as wide as with the noises of the whole record known."
    )
    if found.skipped:
        yield f"  {found.skipped} more could not be judged: too few samples before or after"


def history_lines(found: History) -> Iterator[str]:
    """What came of the holdovers that are over."""
    lasted = f"median {span_text(found.median_duration_s)}, longest {span_text(found.longest_s)}"
    yield f"Holdovers that are over: {found.episodes}, {lasted}"
    facts = []
    if found.max_abs_s is not None:
        facts.append(f"largest time error {size_text(found.max_abs_s)}")
    if found.median_end_step_s is not None:
        facts.append(f"median step at the end {size_text(found.median_end_step_s)}")
    if found.median_rate is not None:
        facts.append(f"median rate {found.median_rate:.2g}")
    if facts:
        yield "  " + ", ".join(facts)
    if found.judged:
        yield f"  {found.held} of the {found.judged} forecasts made in them held throughout"
    if found.elapsed_s:
        heads = ("AFTER", "LASTED SO LONG", "|TIME ERROR| 50 %", "90 %", "99 %")
        rows = [
            (span_text(at), str(count), *(size_text(each) for each in sizes))
            for at, count, sizes in zip(found.elapsed_s, found.lasted, found.percentiles_s, strict=True)
        ]
        yield from aligned(heads, rows, right=heads)


def document(outlook: Outlook, status: int) -> dict[str, Any]:
    """The JSON object."""
    series, prediction = outlook.series, outlook.prediction
    forecast, noise = prediction.clock, prediction.belief.noise
    begin_ns = series.begin_ns
    last_ns = None if begin_ns is None else begin_ns + round(prediction.belief.states.at_s * 1e9)
    return {
        "status": status,
        "answer": list(sentences(outlook)),
        "source": series.source,
        "samples": prediction.belief.samples,
        "span_s": series.span_s,
        "from_ns": last_ns,
        "confidence": prediction.confidence,
        "notes": [*series.notes, *prediction.notes],
        "noise": {"white_pm_s": math.sqrt(noise.r), "q1_s": noise.q1, "q2_per_s": noise.q2},
        "limits": [
            {
                "limit_s": found.limit_s,
                "within_s": within,
                "median_s": found.quantile_s(0.5),
                "horizon_s": found.horizon_s,
                "left_by_horizon": float(found.probability[-1]),
            }
            for found, within in zip(prediction.passages, outlook.within_s, strict=True)
        ],
        "forecast": {
            name: getattr(forecast, name).tolist()
            for name in ("t_s", "mean_s", "u_s", "low_s", "high_s", "band_low_s", "band_high_s")
        },
        "backtest": None if outlook.backtest is None else _backtest_document(outlook.backtest),
        "history": None if outlook.history is None else history_document(outlook.history),
    }


def history_document(found: History) -> dict[str, Any]:
    """The part of the JSON object that tells of holdovers that are over."""
    told = asdict(found)
    del told["elapsed_s"], told["lasted"], told["percentiles_s"]
    told["after"] = [
        {"elapsed_s": at, "episodes": count, "p50_s": middle, "p90_s": high, "p99_s": highest}
        for at, count, (middle, high, highest) in zip(found.elapsed_s, found.lasted, found.percentiles_s, strict=True)
    ]
    return told


def _backtest_document(found: Backtest) -> dict[str, Any]:
    return {
        "horizon_s": found.horizon_s,
        "forecasts": len(found.cuts),
        "skipped": found.skipped,
        "simultaneous_coverage": found.simultaneous,
        "pointwise_coverage": found.pointwise,
        "width_ratio": found.width_ratio,
    }
