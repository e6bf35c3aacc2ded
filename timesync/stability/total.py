"""The total deviations: the record, or each stretch of 3 m points of it, is extended by reflection before differencing.

Rule: every term of the definition, and no copy of the data extended threefold, but of a short record for TOTDEV. All of TOTDEV's
terms but those at the two ends are those of OADEV. For MTOTDEV and HTOTDEV the extension is even, so the running sum of an extended
stretch is the odd reflection of the stretch's own running sum: each of the 6 m terms is a combination of five values of one running
sum over the record, and half of the terms are mirror images of the other half.

Deviations here are raw; the correction for bias is a convention, applied where the result is finished.

Sources: NIST SP 1065 eq. (25) TOTDEV, (27) MTOTDEV, (28) TTOTDEV, (29) HTOTDEV; D. Howe, "The total deviation approach
to long-term characterization of frequency stability", IEEE UFFC 47 (2000). At m = 1 HTOTDEV is OHDEV (W. Riley).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.blocks import TABLE, Room, aligned, dot, shifted
from timesync.stability.estimate import Statistic, Terms
from timesync.stability.record import BLOCK, Record, levelled, steady, trimmed, whole
from timesync.stability.taus import TauGrid
from timesync.stability.together import difference_sums, mean_square_differences

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.stability.result import Booleans, Floats, Integers

__all__ = ["htotdev", "mtotdev", "totdev", "ttotdev"]

STARTS = 2048  # stretches taken together; few enough that a running sum over them keeps its digits


def _end_terms(x: Floats, m: int, lost: Integers | None, room: Room, *, gaps: bool) -> tuple[float, int]:
    """Sum of squares, and number, of TOTDEV's terms that reach over the beginning of x: centres 1 .. m-1.

    Beyond its first point the record continues as 2 x[0] - x. lost[i]: missing frequency values before point i.
    """
    total, terms = 0.0, 0
    beginning = x[m::-1]  # beginning[j] = x[m - j]
    for start in range(1, m, BLOCK):
        stop = min(start + BLOCK, m)
        term, other = room.take(0, stop - start), room.take(1, stop - start)
        np.subtract(x[start + m : stop + m], x[start:stop], out=term)
        term -= np.subtract(beginning[start:stop], x[0], out=other)
        term -= np.subtract(x[start:stop], x[0], out=other)
        if lost is not None:
            term = term[lost[start + m : stop + m] == lost[0]]
        elif gaps:
            term = term[np.isfinite(term)]
        total += dot(term, term)
        terms += term.size
    return total, terms


def _short_total(record: Record, factors: Integers) -> Terms:
    """TOTDEV of a record so short, and free of gaps, that its extension costs less than calls for each end do."""
    x = levelled(record)
    x -= x[0]
    size, inner = x.size, x[-2:0:-1]
    extended = np.concatenate((-inner, x, 2.0 * x[-1] - inner))
    totals, work = np.zeros(factors.size), aligned(extended.size)
    for k, m in enumerate(factors.tolist()):
        step, term = work[: size - 2 + m], work[: size - 2]
        np.subtract(extended[size - 1 : 2 * size - 3 + m], extended[size - 1 - m : 2 * size - 3], out=step)
        np.subtract(step[m:], term, out=term)
        totals[k] = dot(term, term)
    n = np.full(factors.size, size - 2, np.int64)
    return Terms(np.sqrt(totals / (2.0 * max(size - 2, 1))) / (np.maximum(factors, 1) * record.tau0_s), n)


def _total(record: Record, factors: Integers) -> Terms:
    if not record.has_gaps and 2 < record.size < 2 * TABLE:
        return _short_total(record, factors)
    dev, n, room = np.zeros(factors.size), np.zeros(factors.size, np.int64), Room()
    record = trimmed(record)
    x = steady(record)
    backwards = x[::-1]
    lost = record.missing_steps
    lost_backwards = None if lost is None else lost[-1] - lost[::-1]
    here = factors[2 * factors <= x.size - 1]
    inner, inner_terms = difference_sums(record, x, here, 2, room)
    for k, m in enumerate(here.tolist()):
        parts = (
            (inner[k], inner_terms[k]),
            _end_terms(x, m, lost, room, gaps=record.has_gaps),
            _end_terms(backwards, m, lost_backwards, room, gaps=record.has_gaps),
        )
        n[k] = sum(terms for _, terms in parts)
        total = math.fsum(part for part, _ in parts)
        dev[k] = math.sqrt(total / max(n[k], 1) / 2.0) / (m * record.tau0_s)
    return Terms(dev, n)


def _straight(values: Floats) -> Floats:
    """Values less the line through the first and the last: small numbers to sum."""
    slope = (values[-1] - values[0]) / (values.size - 1)
    rest: Floats = values - (values[0] + slope * np.arange(values.size))
    return rest


def _slopes(running: Floats, m: int, count: int) -> Floats:
    """Trend of each stretch of 3 m points, per point: mean of its second half less that of its first, over their distance.

    The middle point of an odd number belongs to neither half.
    """
    half = 3 * m // 2
    late = running[3 * m : 3 * m + count] - running[3 * m - half : 3 * m - half + count]
    early = running[half : half + count] - running[:count]
    return np.asarray((late - early) / (half * (3 * m - half)))


def _shapes(c: Floats, m: int) -> tuple[tuple[Floats, Floats, float], tuple[Floats, Floats, float]]:
    """A term that reaches p points over the end is near(p) + far(3m - p) + ends * C(3m): for p <= m, and for more.

    It is the third difference, at lag m, of the running sum C(0 .. 3m) continued beyond 3m as 2 C(3m) - C(6m - t).
    """
    two = 3.0 * c[m:] - c[:-m]
    one = 3.0 * (c[m:-m] - c[2 * m :]) - c[: -2 * m]
    return (one, -c, 2.0), (two, two, -4.0)


def _trend_terms(m: int) -> tuple[Floats, Floats]:
    """The terms p = 1 .. m, and p = m+1 .. 3m/2, of a stretch that rises by 1 a point."""
    t = np.arange(3 * m + 1, dtype=np.float64)
    ramp = t * (t - 1.0) / 2.0
    reach = np.arange(1, 3 * m // 2 + 1)
    (near, far, ends), (near_2, far_2, ends_2) = _shapes(ramp, m)
    p, p_2 = reach[:m], reach[m:]
    return near[p] + far[3 * m - p] + ends * ramp[-1], near_2[p_2] + far_2[3 * m - p_2] + ends_2 * ramp[-1]


def _one_side(running: Floats, m: int, of_trend: tuple[Floats, Floats], keep: Floats | None, room: Room) -> float:
    """Sum of the squared terms that reach 1 .. 3m - 1 points over the end of their stretch, over all stretches.

    running: R, running sum of the points, shape (stretches + 3m,). A stretch less its trend has C(t) = R(i + t) - R(i) -
    slope t (t - 1)/2. The terms p and 3m - p are equal, so half are formed, and the middle one counts once.
    """
    count = running.size - 3 * m
    height = max(1, TABLE // count)
    terms, lines = (room.take(which, height * count).reshape(height, count) for which in (0, 1))
    slopes = _slopes(running, m, count)
    total = last = 0.0
    first = 1
    for (near, far, ends), trend in zip(_shapes(running, m), of_trend, strict=True):
        near_at, far_at, constant = shifted(near, count), shifted(far, count), ends * running[3 * m :]
        stop = first + trend.size
        for top in range(first, stop, height):
            under = min(top + height, stop)
            z, line = terms[: under - top], lines[: under - top]
            np.add(near_at[top:under], far_at[3 * m - top : 3 * m - under : -1], out=z)
            np.multiply(trend[top - first : under - first, None], slopes, out=line)
            line -= constant
            z -= line
            if keep is not None:
                z *= keep
            flat = z.ravel()
            total += float(np.dot(flat, flat))
            last = float(np.dot(z[-1], z[-1]))
        first = stop
    return 2.0 * total - (last if m % 2 == 0 else 0.0)


def _sum_over_stretches(
    count: int, m: int, running: Callable[[int, int], Floats], ok: Booleans | None
) -> tuple[float, int]:
    """Sum of the squared terms of `count` stretches of 3 m points, 6 m each, and the number of stretches summed.

    running(start, stop): running sums of the points at the bounds start .. stop - 1, from any origin.
    ok: which stretches hold no gap; None: all.
    """
    total, room = 0.0, Room()
    of_trend = _trend_terms(m)
    for start in range(0, count, STARTS):
        stop = min(start + STARTS, count)
        keep = None if ok is None else ok[start:stop].astype(np.float64)
        r = running(start, stop + 3 * m)
        inside = (r[3 * m :] - r[: -3 * m]) - 3.0 * (r[2 * m : -m] - r[m : -2 * m])
        if keep is not None:
            inside *= keep
        # The whole stretch lies in two of the 6 m windows: as it is, and reflected.
        total += 2.0 * float(np.dot(inside, inside))
        total += _one_side(r, m, of_trend, keep, room)
        total += _one_side(-r[::-1], m, of_trend, None if keep is None else keep[::-1], room)
    return total, count if ok is None else int(np.count_nonzero(ok))


def _modified(record: Record, factors: Integers) -> Terms:
    dev, n = np.zeros(factors.size), np.zeros(factors.size, np.int64)
    x = levelled(record)
    if record.missing_points is not None:
        np.nan_to_num(x, copy=False)  # the stretches that hold these points are left out

    def running(start: int, stop: int) -> Floats:
        return np.concatenate((np.zeros(1), np.cumsum(_straight(x[start : stop - 1]))))

    for k, m in enumerate(factors.tolist()):
        count = x.size - 3 * m + 1
        ok = whole(record, count, 3 * m - 1) if record.has_gaps else None
        total, n[k] = _sum_over_stretches(count, m, running, ok)
        dev[k] = math.sqrt(total / max(n[k], 1) / (12.0 * m)) / (m * m * record.tau0_s)
    return Terms(dev, n)


def _time(record: Record, factors: Integers) -> Terms:
    terms = _modified(record, factors)
    return Terms(terms.dev * (factors * record.tau0_s / math.sqrt(3.0)), terms.n)


def _hadamard(record: Record, factors: Integers) -> Terms:
    dev, n, room = np.zeros(factors.size), np.zeros(factors.size, np.int64), Room()
    x = levelled(record)
    if record.missing_points is not None:
        np.nan_to_num(x, copy=False)  # as in _modified

    def running(start: int, stop: int) -> Floats:
        return _straight(x[start:stop])

    for k, m in enumerate(factors.tolist()):
        count = x.size - 3 * m
        if m == 1:
            mean, n[k] = mean_square_differences(record, levelled(record), 1, 3, room)
            dev[k] = math.sqrt(mean / 6.0) / record.tau0_s
            continue
        ok = whole(record, count, 3 * m) if record.has_gaps else None
        total, n[k] = _sum_over_stretches(count, m, running, ok)
        dev[k] = math.sqrt(total / max(n[k], 1) / (36.0 * m)) / (m * record.tau0_s)
    return Terms(dev, n)


def _halves(points: int) -> TauGrid:
    return TauGrid((points - 1) // 2)


def _third_points(points: int) -> TauGrid:
    return TauGrid(points // 3)


def _third_steps(points: int) -> TauGrid:
    return TauGrid((points - 1) // 3)


totdev = Statistic("totdev", "total deviation", "1", "SP 1065 eq. (25)", _halves, _total)
mtotdev = Statistic("mtotdev", "modified total deviation", "1", "SP 1065 eq. (27)", _third_points, _modified)
ttotdev = Statistic("ttotdev", "time total deviation", "s", "SP 1065 eq. (28)", _third_points, _time)
htotdev = Statistic("htotdev", "Hadamard total deviation", "1", "SP 1065 eq. (29)", _third_steps, _hadamard)
