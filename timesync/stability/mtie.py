"""Time interval error: MTIE, TIE rms, and the constant and dynamic time error.

Rule: these see the whole time error, its slope included, so nothing is taken off the phase; MTIE is the very difference
of two samples that a search through all windows would find, to the last bit.

MTIE over windows of m + 1 points: for octaves, maxima over 2w points are maxima of two over w; for dense lists MTIE is a
staircase, found by bisection between averaging factors where it is equal at both ends. With missing points a window
counts with those that are present, if two are; where the phase is broken (missing frequency) only unbroken windows count.

Sources: ITU-T G.810 (08/96) 4.5.13 and II.5 (MTIE), II.4 (TIE rms); G.8260 (cTE, dTE, max|TE|).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from timesync.errors import DataError
from timesync.stability.blocks import TABLE, Room, aligned
from timesync.stability.estimate import Statistic, Terms
from timesync.stability.record import BLOCK, Record, read_record, time_error, whole
from timesync.stability.taus import TauGrid
from timesync.stability.together import difference_sums

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from timesync.stability.result import Booleans, Floats, Integers, Kind

__all__ = ["Extremes", "cte", "dte", "max_abs_te", "mtie", "tierms"]


AT_ONCE = 16384  # windows times averaging factors that are cheaper to look at together than by bisection


class Extremes(NamedTuple):
    """Largest and smallest of the points i .. i + steps, for every start i; and the largest range among them."""

    largest: Floats
    smallest: Floats
    steps: int
    widest: float


def _pairs(record: Record, room: Room) -> Extremes:
    x = time_error(record)
    high = low = x
    if record.missing_points is not None:
        # A missing point is never the largest nor the smallest; a window without any has range -inf.
        gone = np.isnan(x)
        high, low = np.where(gone, -np.inf, x), np.where(gone, np.inf, x)
    count = max(x.size - 1, 0)
    largest = np.maximum(high[:-1], high[1:], out=aligned(count))
    smallest = np.minimum(low[:-1], low[1:], out=aligned(count))
    return Extremes(largest, smallest, 1, _widest(Extremes(largest, smallest, 1, math.nan), 1, None, room))


def _doubled(e: Extremes, room: Room) -> Extremes:
    """Windows of twice as many steps, in place (views): two that share their middle point."""
    w, count = e.steps, e.largest.size - e.steps
    if count <= TABLE:
        highest, lowest = np.maximum(e.largest[:-w], e.largest[w:]), np.minimum(e.smallest[:-w], e.smallest[w:])
        return Extremes(highest, lowest, 2 * w, float((highest - lowest).max()))
    widest = -math.inf
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        left, right = slice(start, stop), slice(start + w, stop + w)
        # A lag shorter than the piece must not read what it has written.
        high = e.largest[left] if w >= stop - start else room.take(0, stop - start)
        low = e.smallest[left] if w >= stop - start else room.take(1, stop - start)
        np.maximum(e.largest[left], e.largest[right], out=high)
        np.minimum(e.smallest[left], e.smallest[right], out=low)
        if w < stop - start:
            e.largest[left], e.smallest[left] = high, low
        widest = max(widest, float(np.subtract(high, low, out=room.take(2, stop - start)).max()))
    return Extremes(e.largest[:count], e.smallest[:count], 2 * w, widest)


def _widest(e: Extremes, m: int, keep: Booleans | None, room: Room) -> float:
    """Largest range over windows of m steps, e.steps <= m <= 2 e.steps: each is covered by two of e's windows."""
    shift = m - e.steps
    count = e.largest.size - shift
    widest = -math.inf
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        here, there = slice(start, stop), slice(start + shift, stop + shift)
        high = np.maximum(e.largest[here], e.largest[there], out=room.take(0, stop - start))
        low = np.minimum(e.smallest[here], e.smallest[there], out=room.take(1, stop - start))
        high -= low
        if keep is not None:
            high = high[keep[here]]
        if high.size:
            widest = max(widest, float(high.max()))
    return widest


def _windows(record: Record, m: int) -> Booleans | None:
    """Which windows of m steps count; None: all."""
    count = record.size - m
    if record.missing_steps is not None:
        return whole(record, count, m)
    if record.missing_points is not None:
        lost = record.missing_points
        return np.asarray((m + 1) - (lost[m + 1 : m + 1 + count] - lost[:count]) >= 2)
    return None


def _sparse(record: Record, factors: Integers) -> Terms:
    """MTIE at a few averaging factors, one pass of doubling for all."""
    dev, n, room = np.zeros(factors.size), record.size - factors, Room()
    e = _pairs(record, room)
    for k, m in enumerate(factors.tolist()):
        while 2 * e.steps <= m:
            e = _doubled(e, room)
        keep = _windows(record, m) if record.has_gaps else None
        if keep is not None:
            n[k] = np.count_nonzero(keep)
        if n[k]:
            dev[k] = e.widest if keep is None and m == e.steps else _widest(e, m, keep, room)
    return Terms(dev, n)


def _dense(record: Record, factors: Integers) -> Terms:
    """MTIE at many averaging factors of a record without gaps, one octave of them after the other."""
    dev, room = np.zeros(factors.size), Room()
    e = _pairs(record, room)
    first = 0
    while first < factors.size:
        while 2 * e.steps <= factors[first]:
            e = _doubled(e, room)
        after = int(np.searchsorted(factors, 2 * e.steps))
        dev[first:after] = _staircase(e, factors[first:after], room)
        first = after
    return Terms(dev, record.size - factors)


def _continued(e: Extremes) -> Extremes:
    """Windows as long again, past the end of the record: as the last one. A wider window made of them is cut there."""
    high, low = np.full(e.steps, e.largest[-1]), np.full(e.steps, e.smallest[-1])
    return Extremes(np.concatenate((e.largest, high)), np.concatenate((e.smallest, low)), e.steps, e.widest)


def _ranges(e: Extremes, starts: Integers, m: Integers) -> Floats:
    """Ranges of the windows of m steps at the given starts (broadcast); e is `_continued`."""
    there = starts + (m - e.steps)
    high: Floats = np.maximum(e.largest[starts], e.largest[there])
    high -= np.minimum(e.smallest[starts], e.smallest[there])
    return high


def _all_ranges(e: Extremes, m: int) -> Floats:
    """As `_ranges` at every start, without picking elements one by one."""
    count, shift = e.largest.size - e.steps, m - e.steps
    high: Floats = np.maximum(e.largest[:count], e.largest[shift : shift + count])
    high -= np.minimum(e.smallest[:count], e.smallest[shift : shift + count])
    return high


def _staircase(e: Extremes, factors: Integers, room: Room) -> Floats:
    """MTIE at averaging factors within the octave of e.

    It never falls with m: where it is equal at two averaging factors it is so at all between. Where it is not, only
    windows whose range at the longer m is above MTIE at the shorter can matter between the two: few are left soon.
    """
    out = np.zeros(factors.size)
    starts = np.arange(e.largest.size)
    final = factors.size - 1
    out[0] = _widest(e, int(factors[0]), None, room)
    e = _continued(e)
    ranges = _all_ranges(e, int(factors[final]))
    out[final] = ranges.max()
    spans = [(0, final, starts, ranges)]
    while spans:
        left, right, starts, ranges = spans.pop()
        if right - left < 2:
            continue
        matter = ranges > out[left]
        starts, ranges = starts[matter], ranges[matter]
        if not starts.size:
            out[left:right] = out[left]
            continue
        if starts.size * (right - left) <= AT_ONCE:
            between = _ranges(e, starts[:, None], factors[left + 1 : right])
            out[left + 1 : right] = np.maximum(between.max(axis=0), out[left])
            continue
        middle = (left + right) // 2
        shorter = _ranges(e, starts, factors[middle])
        out[middle] = max(out[left], float(shorter.max()))
        spans += [(left, middle, starts, shorter), (middle, right, starts, ranges)]
    return out


def _mtie(record: Record, factors: Integers) -> Terms:
    if not factors.size:
        return Terms(np.zeros(0), factors)
    many = factors.size > 4 * int(factors[-1]).bit_length() and not record.has_gaps
    return _dense(record, factors) if many else _sparse(record, factors)


def _tierms(record: Record, factors: Integers) -> Terms:
    totals, n = difference_sums(record, time_error(record), factors, 1, Room())
    return Terms(np.sqrt(totals / np.maximum(n, 1)), n)


def _grid(points: int) -> TauGrid:
    return TauGrid(max(points - 1, 0))


mtie = Statistic("mtie", "maximum time interval error", "s", "ITU-T G.810 II.5", _grid, _mtie)
tierms = Statistic("tierms", "rms time interval error", "s", "ITU-T G.810 II.4", _grid, _tierms)


def _present(x: ArrayLike, kind: Kind) -> Floats:
    record = read_record(x, 1.0, kind)
    present = record.phase[np.isfinite(record.phase)]
    if present.size == 0:
        raise DataError("x: no time error is present; cTE, dTE and max|TE| need at least one point")
    return present


def cte(x: ArrayLike) -> float:
    """Constant time error, s: the mean of time error x (s, shape (points,), NaN where missing). G.8260; window: all of x.

    Raises DataError where no point is present.
    """
    present = _present(x, "phase")
    return float(present[0] + np.mean(present - present[0]))


def dte(x: ArrayLike) -> Floats:
    """Dynamic time error, s: x less its constant time error; NaN stays where a point is missing. G.8260."""
    return read_record(x, 1.0, "phase").phase - cte(x)


def max_abs_te(x: ArrayLike) -> float:
    """Largest absolute time error max|TE|, s, of time error x (s, NaN where missing). G.8260."""
    return float(np.abs(_present(x, "phase")).max())
