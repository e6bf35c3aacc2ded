"""From timestamps as they came to a regular grid with its gaps marked, which is what the statistics take.

Rule: a sample is put on the grid point it is nearest to, its value untouched, or it is left out and counted; nothing is
interpolated. A grid point without a sample is NaN. What was done is in the result: how many samples lay too far from
the grid, how many came second to a grid point, how far the kept ones are from it.

A sample that lies dt from its grid point carries an error of dt times the clock's fractional frequency: at the default
tolerance of a quarter of tau0 = 1 s, and 1e-6, 0.25 us. The tolerance bounds it; `deviation_s` states it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from timesync.stability.result import Floats, Integers

__all__ = ["GridSeries", "on_grid"]

TOLERANCE = 0.25  # of the sampling interval
LARGEST = 2**31  # grid points
NS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class GridSeries:
    """Phase on a regular grid.

    x              shape (points,), s; NaN where no sample was near enough
    tau0_s         interval of the grid, s
    start_ns       instant of x[0], ns since the Unix epoch, rounded
    tolerance      what "near enough" was, as a share of tau0
    off_grid       samples left out because they lay farther from the grid than that
    crowded        samples left out because another was nearer to the same grid point
    missing        samples that were NaN when they came
    deviation_s    largest distance of a kept sample from its grid point, s
    """

    x: Floats
    tau0_s: float
    start_ns: int
    tolerance: float
    off_grid: int
    crowded: int
    missing: int
    deviation_s: float

    @property
    def completeness(self) -> float:
        """Present points / grid points."""
        return float(np.count_nonzero(~np.isnan(self.x)) / self.x.size)


def _checked(at_ns: ArrayLike, x: ArrayLike) -> tuple[Integers, Floats]:
    instants, values = np.asarray(at_ns), np.asarray(x)
    if instants.ndim != 1 or values.shape != instants.shape:
        raise DataError(f"at_ns and x: two arrays of one length are needed, not {instants.shape} and {values.shape}")
    if instants.dtype.kind not in "iu":
        raise DataError(f"at_ns: whole nanoseconds are needed, not {instants.dtype}; a double resolves 238 ns today")
    if values.dtype.kind not in "iuf":
        raise DataError(f"x: real numbers are needed, not {values.dtype}")
    if instants.size < 2:
        raise DataError(f"at_ns: {instants.size} sample(s); a grid needs at least two")
    instants, values = instants.astype(np.int64), values.astype(np.float64)
    if np.isinf(values).any():
        where = int(np.flatnonzero(np.isinf(values))[0])
        raise DataError(f"x: element {where} is infinite; mark a missing value as NaN")
    backwards = np.flatnonzero(np.diff(instants) <= 0)
    if backwards.size:
        where = int(backwards[0]) + 1
        raise DataError(
            f"at_ns: element {where} ({instants[where]}) is not later than the one before it ({instants[where - 1]}); "
            "sort by time and remove repetitions"
        )
    return instants, values


def _fitted(since: Integers) -> tuple[float, float, NDArray[np.int64]]:
    """Origin and interval, ns, of the grid that fits best, and each sample's place on it.

    The median interval says how many intervals lie between neighbours; a straight line through all places then gives
    the interval itself, which a median in whole nanoseconds, or in the middle of jitter, does not.
    """
    steps = np.diff(since)
    typical = float(np.median(steps))
    place = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.rint(steps / typical).astype(np.int64))))
    k, t = place - place.mean(), since - since.mean()
    interval = float(np.dot(k, t) / np.dot(k, k)) if place[-1] else typical
    origin = float(since.mean() - interval * place.mean())
    return origin, interval, np.rint((since - origin) / interval).astype(np.int64)


def on_grid(at_ns: ArrayLike, x: ArrayLike, tau0_s: float | None = None, *, tolerance: float = TOLERANCE) -> GridSeries:
    """Phase samples on a regular grid, NaN where there is none.

    at_ns       instants, whole ns since the Unix epoch, strictly increasing, shape (samples,)
    x           phase, s, shape (samples,); NaN for a sample known to be missing
    tau0_s      the grid's interval, s, the first sample being on it; None: interval and origin are fitted to the samples
    tolerance   largest distance from the grid, as a share of tau0, above 0 and at most 0.5

    Raises DataError for shapes or types that do not fit, infinite values, instants that do not increase, a tolerance out
    of range, and a grid of more than 2**31 points.
    """
    if not 0.0 < tolerance <= 0.5:
        raise DataError(f"tolerance: a share of the sampling interval above 0 and at most 0.5, not {tolerance!r}")
    instants, values = _checked(at_ns, x)
    since = instants - instants[0]
    if tau0_s is None:
        origin, interval, place = _fitted(since)
    elif math.isfinite(tau0_s) and tau0_s > 0:
        origin, interval = 0.0, tau0_s * NS
        place = np.rint(since / interval).astype(np.int64)
    else:
        raise DataError(f"tau0_s: the sampling interval must be positive seconds, not {tau0_s!r}")
    points = int(place[-1] - place[0]) + 1
    if points > LARGEST:
        raise DataError(f"tau0_s: {interval / NS:g} s over this span makes {points} grid points; 2**31 is the most")
    distance = np.abs(since - (origin + place * interval))
    near = distance <= tolerance * interval
    # Nearest last, so that of several samples for one point the nearest is the one that stays.
    order = np.flatnonzero(near)[np.argsort(-distance[near], kind="stable")]
    grid = np.full(points, np.nan)
    grid[place[order] - place[0]] = values[order]
    kept = np.unique(place[order]).size
    return GridSeries(
        x=grid,
        tau0_s=interval / NS,
        start_ns=int(instants[0]) + round(origin + int(place[0]) * interval),
        tolerance=tolerance,
        off_grid=int(np.count_nonzero(~near)),
        crowded=int(order.size - kept),
        missing=int(np.count_nonzero(np.isnan(values))),
        deviation_s=float(distance[near].max(initial=0.0)) / NS,
    )
