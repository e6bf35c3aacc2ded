"""The whole way from samples to an answer: how far off the clock will be, and how long it stays within a limit.

Rule: pure; the instant of the last sample is the present. A record that tells too little is refused with the reason,
and what limits an answer is said with it (`notes`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.holdover.fit import Belief, fit
from timesync.holdover.forecast import PATHS, POINTS, Forecast, Passage, clock, draw, grid, measured, passage
from timesync.holdover.thinning import thinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from timesync.holdover.clock import Floats

__all__ = ["Prediction", "clean", "learn", "predict", "seconds_since"]

OUTLIER = 8.0  # robust standard deviations from the median of seven neighbours
NEIGHBOURS = 7
LONGER = 1.05  # horizon over record, from which on it is said


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer. All arrays of the forecast are over its t_s, seconds after the last sample.

    passages: one for each limit asked for. seen: what samples at these instants will show (white PM included).
    """

    belief: Belief
    clock: Forecast
    seen: Forecast
    passages: tuple[Passage, ...]
    notes: tuple[str, ...]

    @property
    def confidence(self) -> float:
        """The level of the bands."""
        return self.clock.confidence

    def stays_s(self, limit: int = 0, confidence: float | None = None) -> float | None:
        """How long the clock stays within a limit (by its number) with this probability; None: beyond the horizon."""
        wanted = self.confidence if confidence is None else confidence
        return self.passages[limit].quantile_s(1.0 - wanted)


def seconds_since(at_ns: ArrayLike) -> NDArray[np.float64]:
    """Instants (Unix ns) as seconds from the first of them."""
    instants = np.asarray(at_ns, dtype=np.int64)
    return np.asarray((instants - instants[0]) / 1e9)


def clean(t_s: ArrayLike, x_s: ArrayLike) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Samples in the order of time, without what is missing and without lone outliers; and what was left out, in words.

    Raises DataError for arrays of other shapes, infinite values, and two samples at one instant.
    """
    t, x = np.asarray(t_s, dtype=float), np.asarray(x_s, dtype=float)
    if t.ndim != 1 or t.shape != x.shape:
        raise DataError(f"times and phases must be two rows of equal length, not of shapes {t.shape} and {x.shape}")
    if np.any(np.isinf(x)) or not np.all(np.isfinite(t)):
        raise DataError("times and phases must be finite numbers (nan for a missing phase)")
    there = ~np.isnan(x)
    order = np.argsort(t[there], kind="stable")
    t, x = t[there][order], x[there][order]
    if np.any(np.diff(t) <= 0):
        raise DataError("two samples have the same instant")
    keep = _near_neighbours(x)
    left_out = int(np.count_nonzero(~keep))
    notes = (f"{left_out} lone outlier{'s' if left_out != 1 else ''} left out",) if left_out else ()
    return t[keep], x[keep], notes


def _near_neighbours(x: Floats) -> NDArray[np.bool_]:
    """Which samples lie within OUTLIER robust deviations of the median about them."""
    if x.size < 4 * NEIGHBOURS:
        return np.ones(x.size, dtype=bool)
    # Reflected in the end points, so that a slope goes on beyond them.
    about = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, NEIGHBOURS // 2, mode="reflect", reflect_type="odd"), NEIGHBOURS
    )
    away = np.abs(x - np.median(about, axis=1))
    usual = 1.4826 * float(np.median(away[away > 0])) if np.any(away > 0) else math.inf
    return np.asarray(away <= OUTLIER * usual)


def learn(t_s: ArrayLike, x_s: ArrayLike) -> Belief:
    """What samples of phase x_s (s) at t_s (s) tell of their clock; nan is missing. Raises DataError for too few."""
    t, x, notes = clean(t_s, x_s)
    belief = fit(thinned(t, x))
    return Belief(belief.r, belief.q, belief.states, belief.begin_s, belief.samples, notes)


def predict(
    belief: Belief,
    horizon_s: float,
    limits_s: Sequence[float] = (),
    *,
    confidence: float = 0.95,
    first_s: float | None = None,
    points: int = POINTS,
    paths: int = PATHS,
) -> Prediction:
    """Forecast from the last sample to horizon_s; first passages through each of limits_s (s).

    first_s: the first instant of the forecast, a sampling interval as a rule (1/1000 of the horizon where not given).
    Raises DataError for a horizon, limit or level that is none.
    """
    if not (math.isfinite(horizon_s) and horizon_s > 0):
        raise DataError(f"the horizon must be above 0 s, not {horizon_s!r}")
    if not 0.5 <= confidence < 1.0:
        raise DataError(f"confidence must lie from 0.5 to below 1, not {confidence!r}")
    if any(not (math.isfinite(each) and each > 0) for each in limits_s):
        raise DataError("a limit must be above 0 s")
    ahead = grid(first_s or horizon_s / 1000, horizon_s, points)
    drawn = draw(belief, ahead, paths=paths)
    return Prediction(
        belief,
        clock(belief, drawn, confidence),
        measured(belief, drawn, confidence),
        tuple(passage(drawn, limit) for limit in limits_s),
        (*belief.notes, *_doubts(belief, horizon_s)),
    )


def _doubts(belief: Belief, horizon_s: float) -> tuple[str, ...]:
    span_s = belief.states.at_s - belief.begin_s
    if horizon_s > LONGER * span_s:
        return (
            f"the horizon is {horizon_s / span_s:.1f} times as long as the record: noise slower than the record is not foreseen",
        )
    return ()
