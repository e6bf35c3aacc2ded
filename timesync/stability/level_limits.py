"""cTE, max|dTE| and max|TE| (G.8260) with intervals that say how far another record of the same clock and length may be off.

Rule: each interval says what it is of, or why there is none. A mean and a maximum of samples are what they are; what they
leave open is the next record. For Gaussian noise of one type without frequency offset:

cTE          the next record's cTE lies in cTE +- t sqrt(V). V is the variance of the difference of two adjacent means over the
             record, which is finite where the mean itself has no variance; it follows from MDEV at the longest octave with 12
             degrees of freedom (`EDF`) and the noise found there, in the ratio that the noise model gives; t is Student's,
             for those degrees of freedom.
max|dTE|     interval for the median of the max|dTE| of such records. Over its median its distribution depends on the type of
             noise and the number of points only (as in `mtie_limits`).
max|TE|      the same of records of the same cTE: of what max|TE| has beyond |cTE|. How much both ends of dTE matter depends on
             |cTE| over max|dTE|.

No interval under flicker FM and redder noise, where the record is less than nine tenths there, where a frequency offset makes up
more than a quarter of the record's range, for fewer than 16 points.

TABLE has 1/s and g of ln U = (exp(g z) - 1) s/g for phase noise, from 12 000 seeded records of each cell; WALK has ln U itself for
white FM, from 48 000 (`tests/support/level_table.py` makes them anew). Measured coverage: CONFIDENCE.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.stability.allan import mdev
from timesync.stability.estimate import CI
from timesync.stability.mtie import cte, max_abs_te
from timesync.stability.mtie_limits import OFFSET, PRESENT, offset_share, place, relative_quantile
from timesync.stability.powerlaw import NOISE_NAMES, difference_covariance
from timesync.stability.record import read_record

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from timesync.stability.result import Floats

__all__ = ["POINTS", "SHARES", "Level", "Levels", "level_ratio", "levels"]

STEEPEST = 0  # white FM
EDF = 12.0  # of the deviation that the noise's level is taken from
OF_NEXT = "of the cTE of the next such record, without frequency offset"
OF_DTE = "of the median max|dTE| of such records, by simulation of the noise found, without frequency offset"
OF_TE = (
    "of the median max|TE| of such records of the same cTE, by simulation of the noise found, without frequency offset"
)

POINTS = (16, 64, 256, 1024, 4096, 16384)
WALK_POINTS = (16, 64, 256, 4096)  # white FM; longer records are as the last
NORMAL = (-2.576, -1.96, -1.645, -1.0, -0.674, 0.0, 0.674, 1.0, 1.645, 1.96, 2.576)
SHARES = (0.0, 0.05, 0.15, 0.4, 1.0)  # |cTE| over the median max|dTE|; beyond the last one end of dTE is all
# (1/s, g) of phase noise by type, number of points, and |cTE|
TABLE = {
    2: (
        ((4.15, -0.04), (3.99, -0.05), (3.77, -0.05), (3.65, -0.04), (3.64, -0.04)),
        ((6.35, 0.06), (6.07, 0.05), (5.69, 0.04), (5.54, 0.04), (5.54, 0.04)),
        ((8.56, 0.13), (8.16, 0.12), (7.63, 0.10), (7.52, 0.10), (7.52, 0.10)),
        ((10.71, 0.17), (10.20, 0.16), (9.72, 0.16), (9.66, 0.16), (9.66, 0.16)),
        ((13.13, 0.18), (12.52, 0.18), (12.01, 0.18), (11.95, 0.17), (11.95, 0.17)),
        ((15.30, 0.21), (14.68, 0.21), (14.29, 0.21), (14.27, 0.21), (14.27, 0.21)),
    ),
    1: (
        ((3.87, -0.04), (3.68, -0.05), (3.50, -0.05), (3.42, -0.04), (3.41, -0.04)),
        ((5.45, 0.01), (5.22, 0.01), (4.98, 0.01), (4.88, 0.02), (4.88, 0.02)),
        ((6.94, 0.08), (6.65, 0.08), (6.39, 0.08), (6.32, 0.09), (6.32, 0.09)),
        ((8.55, 0.10), (8.18, 0.10), (7.86, 0.10), (7.79, 0.10), (7.79, 0.10)),
        ((10.02, 0.12), (9.61, 0.12), (9.25, 0.12), (9.22, 0.12), (9.22, 0.12)),
        ((11.56, 0.15), (11.05, 0.14), (10.77, 0.14), (10.74, 0.14), (10.74, 0.14)),
    ),
}  # fmt: skip
# ln U at NORMAL, of white FM, by number of points and |cTE|
WALK = (
    (
        (-0.938, -0.731, -0.622, -0.387, -0.263, 0.000, 0.260, 0.385, 0.615, 0.718, 0.904),
        (-0.998, -0.773, -0.653, -0.404, -0.273, 0.000, 0.271, 0.400, 0.637, 0.739, 0.930),
        (-1.027, -0.792, -0.670, -0.414, -0.281, 0.000, 0.280, 0.414, 0.657, 0.767, 0.957),
        (-1.005, -0.778, -0.659, -0.409, -0.278, 0.000, 0.278, 0.411, 0.665, 0.774, 0.977),
        (-1.002, -0.775, -0.656, -0.407, -0.276, 0.000, 0.277, 0.410, 0.665, 0.776, 0.978),
    ),
    (
        (-0.796, -0.628, -0.536, -0.334, -0.230, 0.000, 0.243, 0.359, 0.578, 0.677, 0.851),
        (-0.843, -0.662, -0.563, -0.352, -0.242, 0.000, 0.250, 0.369, 0.594, 0.698, 0.873),
        (-0.857, -0.669, -0.573, -0.360, -0.245, 0.000, 0.254, 0.379, 0.610, 0.718, 0.904),
        (-0.835, -0.652, -0.558, -0.352, -0.240, 0.000, 0.253, 0.377, 0.611, 0.721, 0.923),
        (-0.833, -0.650, -0.557, -0.351, -0.239, 0.000, 0.251, 0.376, 0.611, 0.722, 0.924),
    ),
    (
        (-0.735, -0.591, -0.505, -0.319, -0.219, 0.000, 0.229, 0.340, 0.552, 0.652, 0.821),
        (-0.778, -0.616, -0.528, -0.332, -0.227, 0.000, 0.238, 0.351, 0.572, 0.672, 0.846),
        (-0.785, -0.621, -0.536, -0.338, -0.232, 0.000, 0.241, 0.360, 0.584, 0.689, 0.876),
        (-0.767, -0.605, -0.521, -0.330, -0.227, 0.000, 0.238, 0.357, 0.586, 0.692, 0.889),
        (-0.766, -0.604, -0.520, -0.329, -0.226, 0.000, 0.237, 0.356, 0.586, 0.692, 0.890),
    ),
    (
        (-0.719, -0.565, -0.484, -0.310, -0.211, 0.000, 0.226, 0.329, 0.537, 0.630, 0.807),
        (-0.747, -0.592, -0.506, -0.322, -0.221, 0.000, 0.232, 0.341, 0.555, 0.650, 0.827),
        (-0.743, -0.592, -0.508, -0.324, -0.224, 0.000, 0.235, 0.352, 0.570, 0.669, 0.851),
        (-0.723, -0.576, -0.496, -0.316, -0.219, 0.000, 0.233, 0.349, 0.572, 0.672, 0.862),
        (-0.722, -0.575, -0.495, -0.315, -0.218, 0.000, 0.233, 0.348, 0.571, 0.672, 0.861),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """A value, s; its limits, s, NaN where there are none; and of what they are, or why there are none."""

    value_s: float
    lo_s: float
    hi_s: float
    interval: str


@dataclass(frozen=True, slots=True)
class Levels:
    """cTE, max|dTE| and max|TE| of a record; the noise behind the intervals (NaN where not found) and their level."""

    cte: Level
    max_abs_dte: Level
    max_abs_te: Level
    alpha: float
    ci: float | None


def levels(x: ArrayLike, *, ci: float | None = CI) -> Levels:
    """cTE, max|dTE| and max|TE| of time error x, with intervals.

    x: s, shape (points,), on a regular grid, NaN where missing. ci: probability of the intervals, None for none.
    Raises DataError where no point is present, and for ci out of range.
    """
    if ci is not None and not 0.0 < ci < 1.0:
        raise DataError(f"ci: a confidence level lies between 0 and 1, not {ci!r}; use None for no intervals")
    record = read_record(x, 1.0, "phase")
    constant, largest = cte(record.phase), max_abs_te(record.phase)
    spread = float(np.nanmax(np.abs(record.phase - constant)))
    alpha, half, why = math.nan, math.nan, "not asked for"
    if ci is not None:
        alpha, half, why = _noise(record.phase, record.completeness, ci)
    if ci is None or why:
        bare = [Level(value, math.nan, math.nan, f"none: {why}") for value in (constant, spread, largest)]
        return Levels(bare[0], bare[1], bare[2], alpha, ci)
    tail = 0.5 * (1.0 - ci)

    def scaled(size: float, share: float) -> tuple[float, float]:
        above, below = (level_ratio(p, int(alpha), record.size, share) for p in (1.0 - tail, tail))
        return size / above, size / below

    lo, hi = scaled(spread, 0.0)
    beyond_lo, beyond_hi = scaled(largest - abs(constant), abs(constant) / spread)
    return Levels(
        Level(constant, constant - half, constant + half, OF_NEXT),
        Level(spread, lo, hi, OF_DTE),
        Level(largest, abs(constant) + beyond_lo, abs(constant) + beyond_hi, OF_TE),
        alpha,
        ci,
    )


def _noise(x: Floats, present: float, ci: float) -> tuple[float, float, str]:
    """The noise, half the width of cTE's interval (s), and why there is none."""
    nothing = math.nan, math.nan
    if x.size < POINTS[0]:
        return *nothing, f"fewer than {POINTS[0]} points"
    if present < PRESENT:
        return *nothing, f"only {present:.0%} of the record is there"
    found = mdev(x)
    sure = np.flatnonzero((found.edf >= EDF) & (found.dev > 0.0))
    if not sure.size:
        return *nothing, "noise not identified" if found.dev.any() else "there is no noise"
    k = int(sure[-1])
    alpha, m = float(found.alpha[k]), int(found.m[k])
    if alpha < STEEPEST:
        return alpha, math.nan, f"time error has no distribution under {NOISE_NAMES[int(alpha)]}"
    alpha = min(alpha, 2.0)
    whole = np.array([x.size - 1])
    extent = np.array([np.nanmax(x) - np.nanmin(x)])
    if float(offset_share(x, whole, extent, np.array([alpha]))[0]) > OFFSET:
        return alpha, math.nan, "a frequency offset makes up much of it; take it off to see the noise"
    adjacent, second = (
        float(difference_covariance(np.zeros(1), int(alpha), order, over, summed=True)[0])
        for order, over in ((1, x.size), (2, m))
    )
    variance = 2.0 * (float(found.dev[k]) * m) ** 2 * adjacent / second
    return alpha, student_quantile(0.5 + 0.5 * ci, float(found.edf[k])) * math.sqrt(variance), ""


def level_ratio(probability: float, alpha: int, points: int, share: float) -> float:
    """What max|TE| - |cTE| over its median falls below with this probability, |cTE| being `share` of max|dTE|.

    share 0: max|dTE| itself. alpha: 2, 1 or 0.
    """
    if alpha == STEEPEST:
        row, down = place(min(points, WALK_POINTS[-1]), WALK_POINTS)
        lines = (1.0 - down) * np.array(WALK[row]) + down * np.array(WALK[row + 1])
        line = [float(np.interp(share, SHARES, each)) for each in lines.T]
        return math.exp(_through(NormalDist().inv_cdf(probability), line))
    row, down = place(points, POINTS)
    cells = np.array(TABLE[alpha])
    by_share = [[float(np.interp(share, SHARES, line)) for line in cells[row + i].T] for i in (0, 1)]
    inverse = (1.0 - down) * by_share[0][0] + down * by_share[1][0]
    near = min(down, 1.0)
    g = (1.0 - near) * by_share[0][1] + near * by_share[1][1]
    return relative_quantile(probability, inverse, g)


def _through(z: float, line: list[float]) -> float:
    """The straight line between two of NORMAL, the outermost ones continued."""
    k = min(max(int(np.searchsorted(NORMAL, z, side="right")) - 1, 0), len(NORMAL) - 2)
    return line[k] + (line[k + 1] - line[k]) * (z - NORMAL[k]) / (NORMAL[k + 1] - NORMAL[k])


def student_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t by its expansion in 1/degrees (Abramowitz and Stegun, 26.7.5): to 1e-4 from 12 degrees on."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
    )
    return sum(term / degrees**k for k, term in enumerate(terms))
