"""How true the forecasts are: on the record itself, cut at many places, each time as if nothing later were known.

Rule: a forecast is judged by samples that it has not seen, and by nothing else; what could not be judged is counted.

The best possible is the filter that knows the noises beforehand. For a real clock nobody knows them; what comes nearest is the
median of what the whole record tells, the later part included: `width_ratio` is against that, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.holdover.fit import LEAST, Belief, fit, known
from timesync.holdover.forecast import draw, measured
from timesync.holdover.predict import clean
from timesync.holdover.thinning import thinned

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from timesync.holdover.clock import Floats

__all__ = ["Backtest", "Cut", "backtest"]

CUTS = 20
JUDGED = 48  # samples of each forecast that are judged, spread over the horizon
PATHS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One forecast: made at at_s, judged at t_s (seconds later) by what was measured; arrays (J,) in s."""

    at_s: float
    t_s: Floats
    error_s: Floats
    inside: float
    held: bool
    width_ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """All forecasts of a walk through a record.

    pointwise: share of samples inside the interval of their own instant. simultaneous: share of forecasts whose band held
    throughout. width_ratio: median width of the bands over that of the filter told the noises of the whole record.
    Both shares should be about `confidence`.
    """

    confidence: float
    horizon_s: float
    cuts: tuple[Cut, ...]
    skipped: int

    @property
    def pointwise(self) -> float:
        """Coverage at single instants."""
        return float(np.mean([cut.inside for cut in self.cuts]))

    @property
    def simultaneous(self) -> float:
        """Coverage of whole bands."""
        return float(np.mean([cut.held for cut in self.cuts]))

    @property
    def width_ratio(self) -> float:
        """Width against the best possible."""
        return float(np.median([cut.width_ratio for cut in self.cuts]))


def backtest(
    t_s: ArrayLike, x_s: ArrayLike, horizon_s: float, *, confidence: float = 0.95, cuts: int = CUTS
) -> Backtest:
    """Walk through samples of phase x_s (s) at t_s (s): `cuts` forecasts of horizon_s, from a third of the record on.

    Each learns from all that is before it. Raises DataError where the record is too short for a single one.
    """
    t, x, _ = clean(t_s, x_s)
    if t.size < 2 * LEAST or t[-1] - t[0] < 1.5 * horizon_s:
        raise DataError(
            f"a backtest over {horizon_s:g} s needs a record of {max(2 * LEAST, 1)} samples and {1.5 * horizon_s:g} s at least"
        )
    begin_s = t[0] + (t[-1] - t[0] - horizon_s) / 3
    noise = fit(thinned(t, x)).noise
    done, skipped = [], 0
    for at_s in np.linspace(begin_s, t[-1] - horizon_s, cuts):
        last = int(np.searchsorted(t, at_s, side="right"))
        end = int(np.searchsorted(t, t[last - 1] + horizon_s, side="right"))
        if last < LEAST or end - last < 1:
            skipped += 1
            continue
        judged = np.unique(np.linspace(last, end - 1, min(JUDGED, end - last)).round().astype(np.int64))
        samples = thinned(t[:last], x[:last])
        best = known(samples, noise, drift_u=None)
        done.append(_cut(fit(samples), best, t[judged] - t[last - 1], x[judged], confidence))
    if not done:
        raise DataError("no place in the record has samples enough before and after it")
    return Backtest(confidence, horizon_s, tuple(done), skipped)


def _cut(belief: Belief, best: Belief, ahead_s: Floats, x: Floats, confidence: float) -> Cut:
    mine, other = (measured(each, draw(each, ahead_s, paths=PATHS), confidence) for each in (belief, best))
    ratio = np.median((mine.band_high_s - mine.band_low_s) / (other.band_high_s - other.band_low_s))
    return Cut(
        belief.states.at_s,
        ahead_s,
        x - mine.mean_s,
        float(np.mean((x >= mine.low_s) & (x <= mine.high_s))),
        bool(np.all((x >= mine.band_low_s) & (x <= mine.band_high_s))),
        float(ratio) if math.isfinite(ratio) else math.nan,
    )
