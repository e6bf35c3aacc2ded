"""The parabolic deviation: the difference of two frequencies, each fitted by least squares to m phase points.

Rule: exact sums in a number of operations that does not grow with m. A fit needs the sum and the first moment of its m
points; those of 2m points follow from two neighbours of m points, with no running sum over the record and its rounding.

Source: F. Vernotte, M. Lenczner, P.-Y. Bourgeois, E. Rubiola, "The parabolic variance (PVAR)", IEEE UFFC 63 (2016), eq.
(31) there with M = N - 2m terms as in F. Vernotte et al., "Response and uncertainty of the parabolic variance PVAR to
noninteger exponents of the power law", Metrologia 57 (2020). At m = 1 it is OADEV.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.blocks import Room, difference_blocks, powers_of_two, sum_squares
from timesync.stability.estimate import Statistic, Terms
from timesync.stability.record import BLOCK, Record, levelled, whole
from timesync.stability.taus import TauGrid
from timesync.stability.together import mean_square_differences

if TYPE_CHECKING:
    from timesync.stability.result import Floats, Integers

__all__ = ["double_moments", "moments", "pdev"]


def double_moments(sums: Floats, slopes: Floats, m: int, room: Room) -> tuple[Floats, Floats]:
    """From windows of m points those of 2m, in place (views, shorter by m).

    sums[i] is the sum of x[i+k], slopes[i] that of ((m-1)/2 - k) x[i+k], k = 0 .. m-1: about the window's own middle, so
    that a constant cancels. The middles of the two halves lie m/2 to either side of the whole's.
    """
    count = sums.size - m
    work = room.take(0, min(BLOCK, max(count, 0)))
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        left, right = slice(start, stop), slice(start + m, stop + m)
        lever = np.subtract(sums[left], sums[right], out=work[: stop - start])
        lever *= m / 2
        lever += slopes[right]
        slopes[left] += lever
        np.add(sums[left], sums[right], out=sums[left])
    return sums[:count], slopes[:count]


def moments(x: Floats, m: int) -> Floats:
    """First moments of m consecutive points about their middle, for every start, shape (size - m + 1,); no NaN in x.

    As `window_sums`: running sums begin anew at every multiple of m.
    """
    stretches = -(-x.size // m)
    sums = np.zeros((stretches + 1, m + 1))
    table = np.zeros((stretches + 1, m))
    table.ravel()[: x.size] = x
    np.cumsum(table, axis=1, out=sums[:, 1:])  # sums[r, t]: the first t points of stretch r
    t = np.arange(m, dtype=np.float64)
    table *= t
    firsts = np.zeros_like(sums)
    np.cumsum(table, axis=1, out=firsts[:, 1:])
    # A window that starts at t ends with the first t points of the next stretch, which lie m - t points on.
    tail, after = sums[:-1, -1:] - sums[:-1, :-1], sums[1:, :-1]
    first_moment = firsts[:-1, -1:] - firsts[:-1, :-1] - t * tail + firsts[1:, :-1] + (m - t) * after
    out = (m - 1) / 2 * (tail + after) - first_moment
    return out.ravel()[: x.size - m + 1]


def _parabolic(record: Record, factors: Integers) -> Terms:
    dev, n, room = np.zeros(factors.size), np.zeros(factors.size, np.int64), Room()
    x = levelled(record)
    if factors.size and factors[0] == 1:
        mean, n[0] = mean_square_differences(record, x, 1, 2, room)
        dev[0] = math.sqrt(mean / 2.0) / record.tau0_s
    if record.missing_points is not None:
        np.nan_to_num(x, copy=False)  # the windows that hold these points are left out by `keep`
    doubling = powers_of_two(factors)
    sums, slopes, width = x, np.zeros(x.size if doubling else 0), 1
    for k, m in enumerate(factors.tolist()):
        if m == 1:
            continue
        if doubling:
            while width < m:
                (sums, slopes), width = double_moments(sums, slopes, width, room), 2 * width
        else:
            slopes = moments(x, m)
        keep = whole(record, record.size - 2 * m, 2 * m - 1) if record.has_gaps else None
        # Dropping the last moment leaves the N - 2m terms of the definition.
        total, n[k] = sum_squares(difference_blocks(slopes[:-1], m, 1, room), keep)
        dev[k] = math.sqrt(72.0 * total / max(n[k], 1)) / (m * m * m * record.tau0_s)
    return Terms(dev, n)


def _grid(points: int) -> TauGrid:
    return TauGrid((points - 1) // 2)


pdev = Statistic("pdev", "parabolic deviation", "1", "Vernotte et al. 2016, eq. (31); 2020", _grid, _parabolic)
