"""The Allan and Hadamard families: mean squares of second and third differences of phase.

Rule: every term of the definition that the record holds is summed; a term that touches a gap is not, and is not counted.
All are blind to a constant phase and frequency, so the record is levelled first (`record.levelled`) and loses no digit.

Sources: NIST SP 1065: ADEV eq. (7), OADEV (11), MDEV (14), TDEV (15), HDEV (18), OHDEV (20), each in its phase form.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.blocks import TABLE, Room, Windows, difference_blocks, dot, powers_of_two, sum_squares
from timesync.stability.estimate import Statistic, Terms
from timesync.stability.record import Record, steady, whole
from timesync.stability.taus import TauGrid
from timesync.stability.together import (
    difference_sums,
    double_windows,
    doubles,
    mean_square_differences,
    octave_of_windows,
    window_octaves,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.stability.result import Booleans, Floats, Integers

__all__ = ["adev", "hdev", "mdev", "oadev", "ohdev", "tdev"]

DOUBLED = (-1, -2)  # the working arrays that hold sums over windows
NORM = {2: 2.0, 3: 6.0}  # sum of the squares of the weights of frequency: (1, -1) and (1, -2, 1)


def _overlapping(order: int) -> Callable[[Record, Integers], Terms]:
    def evaluate(record: Record, factors: Integers) -> Terms:
        totals, n = difference_sums(record, steady(record), factors, order, Room())
        return Terms(np.sqrt(totals / np.maximum(n, 1) / NORM[order]) / (factors * record.tau0_s), n)

    return evaluate


def _every_mth(record: Record, x: Floats, m: int) -> tuple[Record, Floats]:
    """The record decimated to every m-th point, and the decimated phase."""
    thin = x[::m] if m == 1 else np.ascontiguousarray(x[::m])
    if not record.has_gaps:
        return record, thin
    steps = None if record.missing_steps is None else record.missing_steps[::m]
    points = None
    if record.missing_points is not None:
        points = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.isnan(thin))))
    return Record(thin, 0.0, m * record.tau0_s, record.kind, points, steps, record.completeness), thin


def _disjoint(order: int) -> Callable[[Record, Integers], Terms]:
    def evaluate(record: Record, factors: Integers) -> Terms:
        dev, n, room = np.zeros(factors.size), np.zeros(factors.size, np.int64), Room()
        x = steady(record)
        for k, m in enumerate(factors.tolist()):
            thin_record, thin = _every_mth(record, x, m)
            mean, n[k] = mean_square_differences(thin_record, thin, 1, order, room)
            dev[k] = math.sqrt(mean / NORM[order]) / (m * record.tau0_s)
        return Terms(dev, n)

    return evaluate


def _averaged_phase(record: Record, factors: Integers) -> Terms:
    """MDEV: second differences at lag m of the sums over m points.

    The sums over 2m points are those over m added in pairs, so a list of octaves costs one addition a point and tau.
    """
    dev, n, room = np.zeros(factors.size), np.zeros(factors.size, np.int64), Room()
    x = steady(record)
    if record.missing_points is not None:
        np.nan_to_num(x, copy=False)  # the windows that hold these points are left out by `keep`
    if powers_of_two(factors):
        dev[:], n[:] = _octaves(record, x, factors)
    else:
        windows = Windows(x)
        for k, m in enumerate(factors.tolist()):
            total, n[k] = sum_squares(difference_blocks(windows.at(m), m, 2, room), _unbroken(record, m))
            dev[k] = _modified(total, n[k], m, record.tau0_s)
    return Terms(dev, n)


def _unbroken(record: Record, m: int) -> Booleans | None:
    return whole(record, record.size - 3 * m + 1, 3 * m - 1) if record.has_gaps else None


def _modified(total: float, terms: int, m: int, tau0_s: float) -> float:
    return math.sqrt(total / max(terms, 1) / 2.0) / (m * m * tau0_s)


def _octaves(record: Record, x: Floats, factors: Integers) -> tuple[Floats, Integers]:
    """MDEV at powers of two. The sums over 2m points take turns in two arrays; x is not written to."""
    dev, n, room = np.zeros(factors.size), np.zeros(factors.size, np.int64), Room()
    sums, m = x, 1
    if not record.has_gaps and factors.size and factors[0] == 1 and doubles(factors.tolist()):
        n[:] = x.size - 3 * factors + 1
        totals = window_octaves(x, factors.size, room) if x.size >= 2 * TABLE else _short_octaves(x, factors.size)
        return np.sqrt(totals / n / 2.0) / (factors * factors * record.tau0_s), n
    for k, wanted in enumerate(factors.tolist()):
        while m < wanted:
            doubled = room.take(DOUBLED[m.bit_length() % 2], sums.size - m)
            double_windows(sums, m, doubled, 0, doubled.size)
            sums, m = doubled, 2 * m
        doubled = room.take(DOUBLED[m.bit_length() % 2], max(sums.size - m, 0))
        total, n[k] = octave_of_windows(sums, m, _unbroken(record, m), doubled, room)
        dev[k] = _modified(total, n[k], m, record.tau0_s)
        sums, m = doubled, 2 * m
    return dev, n


def _short_octaves(x: Floats, octaves: int) -> Floats:
    """As `window_octaves`, for so few points that the calls are what costs."""
    totals, sums = np.zeros(octaves), x
    for k in range(octaves):
        m = 1 << k
        step = sums[m:] - sums[:-m]
        term = step[m:] - step[:-m]
        totals[k] = dot(term, term)
        sums = sums[m:] + sums[:-m]
    return totals


def _time(record: Record, factors: Integers) -> Terms:
    terms = _averaged_phase(record, factors)
    return Terms(terms.dev * (factors * record.tau0_s / math.sqrt(3.0)), terms.n)


def _thirds(points: int) -> TauGrid:
    return TauGrid(points // 3)  # 3 m points hold three averages


def _second(points: int) -> TauGrid:
    return TauGrid((points - 1) // 2)


def _third(points: int) -> TauGrid:
    return TauGrid((points - 1) // 3)


adev = Statistic("adev", "Allan deviation", "1", "SP 1065 eq. (7)", _second, _disjoint(2))
oadev = Statistic("oadev", "overlapping Allan deviation", "1", "SP 1065 eq. (11)", _second, _overlapping(2))
mdev = Statistic("mdev", "modified Allan deviation", "1", "SP 1065 eq. (14)", _thirds, _averaged_phase)
tdev = Statistic("tdev", "time deviation", "s", "SP 1065 eq. (15); ITU-T G.810 II.3", _thirds, _time)
hdev = Statistic("hdev", "Hadamard deviation", "1", "SP 1065 eq. (18)", _third, _disjoint(3))
ohdev = Statistic("ohdev", "overlapping Hadamard deviation", "1", "SP 1065 eq. (20)", _third, _overlapping(3))
