"""Holdovers that are over: what was promised, what happened, and what many of them say together.

Rule: an episode is judged by the forecast that was made as it began (or as soon as enough was known), never by a later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from timesync.holdover.clock import Floats
    from timesync.holdover.forecast import Forecast

__all__ = ["MARKS", "Episode", "History", "episode", "history"]

MARKS = {
    "10s": 10.0,
    "1min": 60.0,
    "10min": 600.0,
    "1h": 3600.0,
    "4h": 14_400.0,
    "1d": 86_400.0,
    "7d": 604_800.0,
}
"""Elapsed times, s, at which the time error of a holdover is kept for the statistics of many; by the name they are stored under."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One holdover, from entry to exit. What was not measured is None.

    max_abs_s: largest |time error|. end_step_s: time error after the exit minus the last before. rate: fitted fractional
    frequency while it lasted, drift the same in 1/s. held: whether the forecast's band held throughout; inside: share of the
    samples inside; judged: how many there were. end_s: the last time error of it that was judged; promised_s, promised_u_s: what
    the forecast had said of that instant, with its standard uncertainty. gaps: intervals more than twice the usual one. after_s:
    (elapsed time, time error) at those of `MARKS` that it lasted.
    """

    entry_ns: int
    exit_ns: int
    samples: int
    max_abs_s: float | None
    end_step_s: float | None
    rate: float | None
    drift: float | None
    held: bool | None
    inside: float | None
    judged: int
    gaps: int
    after_s: tuple[tuple[float, float], ...] = ()
    end_s: float | None = None
    promised_s: float | None = None
    promised_u_s: float | None = None

    @property
    def duration_s(self) -> float:
        """How long it lasted."""
        return (self.exit_ns - self.entry_ns) / 1e9


def episode(
    entry_ns: int,
    exit_ns: int,
    t_s: Floats,
    x_s: Floats,
    *,
    after_s: float | None = None,
    forecast: Forecast | None = None,
    forecast_at_s: float = 0.0,
) -> Episode:
    """The account of a holdover: samples of time error x_s (s) at t_s, seconds after the entry.

    after_s: the first time error after the exit. forecast: made forecast_at_s after the entry, of what would be measured.
    """
    there = t_s.size
    rate = drift = None
    if there >= 3:
        order = 2 if there >= 12 else 1
        fitted = np.polynomial.Polynomial.fit(t_s, x_s, order).convert().coef
        rate = float(fitted[1]) if fitted.size > 1 else 0.0
        drift = 2 * float(fitted[2]) if fitted.size > 2 else None
    held = inside = end = promised = promised_u = None
    judged = 0
    if forecast is not None:
        ahead = t_s - forecast_at_s
        within = (ahead >= forecast.t_s[0]) & (ahead <= forecast.t_s[-1])
        judged = int(np.count_nonzero(within))
        if judged:
            low, high = (
                np.interp(ahead[within], forecast.t_s, each) for each in (forecast.band_low_s, forecast.band_high_s)
            )
            good = (x_s[within] >= low) & (x_s[within] <= high)
            held, inside = bool(np.all(good)), float(np.mean(good))
            end, last = float(x_s[within][-1]), float(ahead[within][-1])
            promised, promised_u = (
                float(np.interp(last, forecast.t_s, each)) for each in (forecast.mean_s, forecast.u_s)
            )
    intervals = np.diff(t_s)
    gaps = int(np.count_nonzero(intervals > 2 * np.median(intervals))) if intervals.size else 0
    return Episode(
        entry_ns,
        exit_ns,
        there,
        float(np.max(np.abs(x_s))) if there else None,
        after_s - float(x_s[-1]) if there and after_s is not None else None,
        rate,
        drift,
        held,
        inside,
        judged,
        gaps,
        tuple((at, float(np.interp(at, t_s, x_s))) for at in MARKS.values() if there and t_s[0] <= at <= t_s[-1]),
        end,
        promised,
        promised_u,
    )


@dataclass(frozen=True, slots=True)
class History:
    """Many episodes of one target: how many, how long, how far, how fast, and how many forecasts held of those judged.

    What none of them has is None. elapsed_s: marks that some of them lasted, so many each (lasted); percentiles_s: the 50th, 90th
    and 99th of |time error| then.
    """

    episodes: int
    median_duration_s: float
    longest_s: float
    max_abs_s: float | None
    median_end_step_s: float | None
    median_rate: float | None
    judged: int
    held: int
    elapsed_s: tuple[float, ...]
    lasted: tuple[int, ...]
    percentiles_s: tuple[tuple[float, float, float], ...]


def history(episodes: Sequence[Episode]) -> History | None:
    """Statistics of episodes, of sizes without their signs; None if there are none."""
    if not episodes:
        return None
    rows, kept, lasted = [], [], []
    for mark in MARKS.values():
        sizes = [abs(x) for each in episodes for at, x in each.after_s if at == mark]
        if sizes:
            middle, high, highest = np.percentile(sizes, [50, 90, 99]).tolist()
            rows.append((middle, high, highest))
            kept.append(mark)
            lasted.append(len(sizes))
    durations = [each.duration_s for each in episodes]
    most = _sizes(each.max_abs_s for each in episodes)
    return History(
        len(episodes),
        float(np.median(durations)),
        max(durations),
        max(most, default=None),
        _median(_sizes(each.end_step_s for each in episodes)),
        _median(_sizes(each.rate for each in episodes)),
        sum(each.held is not None for each in episodes),
        sum(each.held is True for each in episodes),
        tuple(kept),
        tuple(lasted),
        tuple(rows),
    )


def _sizes(values: Iterable[float | None]) -> list[float]:
    return [abs(value) for value in values if value is not None]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
