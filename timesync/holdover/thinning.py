"""A long record as few elements: the newest samples one by one, older ones as means that grow with their age.

Rule: no sample is dropped, only averaged with its neighbours; a mean never reaches across a gap. So a month costs little more
than an hour, the short-term noise is seen in the newest samples and the long-term noise in all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from timesync.holdover.clock import Floats, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KEEP", "PER_LEVEL", "thinned"]

KEEP = 512  # newest samples that stay as they are
PER_LEVEL = 96  # means of each size, 2, 4, 8 ... samples, before the next size begins
GAP = 1.75  # an interval longer than this many usual ones is a gap


def thinned(t_s: Floats, x_s: Floats, *, keep: int = KEEP, per_level: int = PER_LEVEL) -> Samples:
    """Samples at t_s (increasing, s) of phase x_s (s), shape (points,), as elements in the order of time."""
    points = t_s.size
    # Boundaries of elements, from the newest backwards: keep ones, per_level twos, per_level fours ...
    sizes = [np.ones(min(keep, points), dtype=np.int64)]
    left, size = points - min(keep, points), 2
    while left > 0:
        count = min(per_level, -(-left // size))
        sizes.append(np.full(count, size, dtype=np.int64))
        left -= count * size
        size *= 2
    begins = points - np.cumsum(np.concatenate(sizes))[::-1]
    begins[0] = 0
    if points > keep:
        intervals = np.diff(t_s)
        gaps = np.flatnonzero(intervals > GAP * float(np.median(intervals))) + 1
        begins = np.union1d(begins, gaps)
    return _means(t_s, x_s, begins)


def _means(t_s: Floats, x_s: Floats, begins: NDArray[np.int64]) -> Samples:
    ends = np.append(begins[1:], t_s.size)
    count = ends - begins
    # Summed as differences from the first of each: instants are large numbers.
    first, first_x = t_s[begins], x_s[begins]
    t_mean = np.add.reduceat(t_s - np.repeat(first, count), begins) / count
    x_mean = np.add.reduceat(x_s - np.repeat(first_x, count), begins) / count
    return Samples(first, t_s[ends - 1], first + t_mean, first_x + x_mean, count)
