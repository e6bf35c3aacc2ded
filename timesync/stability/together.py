"""Sums of squared differences at many averaging factors, in one passage over the data where that is possible.

Rule: the terms are those of `blocks.difference_blocks`, formed in the same way; only the order in which pieces of the
record come differs, so that a piece that has been brought into the processor's cache serves every averaging factor that
it can. Short lags: a piece and what follows it. Long lags that double: every m-th point, laid out in columns.

Measured on the way (1e6 points, octaves): reading the record anew for each averaging factor is a third of the time, and a
result that does not begin on a line of the cache costs twice what it should (`blocks.aligned`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.blocks import TABLE, UNTHREADED, Room, difference_blocks, dot, present_at, sum_squares
from timesync.stability.record import BLOCK, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from timesync.stability.result import Booleans, Floats, Integers

__all__ = [
    "difference_sums",
    "double_windows",
    "doubles",
    "mean_square_differences",
    "octave_of_windows",
    "window_octaves",
]

REACH = 8192  # points beyond a piece that it may take along
TOGETHER = 11  # octaves of windows from one piece
HEIGHT = 256  # rows of a table, at most: narrower columns are not worth their copying
TABLES = (2, 3)  # the working arrays of tables and of sums over windows within a piece
DOUBLED = (-1, -2)  # those of sums over windows, as long as the record


class _Plan:
    """What is done to one table of points, for all its lags: views of working arrays, laid out once and used for each.

    table   where the points go
    run()   forms the differences and adds their squares to the totals
    last    sums over windows twice as long as the last lag, where they were asked for
    """

    def __init__(self, room: Room, size: int, lags: list[int], order: int, most: int, *, windows: bool) -> None:
        """Differences of this order of `size` points, at each lag, from the first `most` starts.

        windows: the points are sums over windows of the first lag's length, to be added in pairs as the lag doubles.
        """
        self.table = self.last = room.take(TABLES[0], size)
        for which in (0, 1, TABLES[1]):
            room.take(
                which, size
            )  # at once at its largest: views of an array that is outgrown would not share its place
        self._steps: list[tuple[Callable[..., object], Floats, Floats, Floats]] = []
        self._products = np.zeros((len(lags), 1 + most // UNTHREADED))
        self._totals = np.zeros_like(self._products)
        for k, lag in enumerate(lags):
            count = min(most, self.last.size - order * lag)
            if count > 0:
                values = self.last[: count + order * lag]
                for step in range(order):
                    values = self._step(np.subtract, values, lag, room.take(step % 2, values.size - lag))
                self._square(values, self._products[k])
            # also where no difference is left: the sums are wanted for as long as there are any
            if windows and self.last.size > lag:
                self.last = self._step(np.add, self.last, lag, room.take(TABLES[(k + 1) % 2], self.last.size - lag))

    def _step(self, what: Callable[..., object], values: Floats, lag: int, out: Floats) -> Floats:
        self._steps.append((what, values[lag:], values[: values.size - lag], out))
        return out

    def _square(self, values: Floats, out: Floats) -> None:
        """Scalar products of pieces too short for BLAS to start threads."""
        pieces = values.size // UNTHREADED
        even = pieces * UNTHREADED
        if pieces:
            rows = values[:even].reshape(pieces, 1, UNTHREADED)
            self._steps.append((np.matmul, rows, rows.transpose(0, 2, 1), out[:pieces].reshape(pieces, 1, 1)))
        if even < values.size:
            self._steps.append((np.dot, values[even:], values[even:], out[pieces : pieces + 1].reshape(())))

    def run(self) -> None:
        for what, a, b, out in self._steps:
            what(a, b, out)
        self._totals += self._products

    def totals(self) -> Floats:
        """Sum of squares for each lag."""
        return np.asarray(self._totals.sum(axis=1))


def difference_sums(record: Record, x: Floats, factors: Integers, order: int, room: Room) -> tuple[Floats, Integers]:
    """Sums of the squared differences of phase x at the lags `factors` (increasing), and how many terms each has."""
    totals, terms, begun = np.zeros(factors.size), np.zeros(factors.size, np.int64), 0
    wanted = factors.tolist()
    if not record.has_gaps and x.size >= 2 * TABLE:
        begun = int(np.searchsorted(factors, REACH // order, side="right"))
        totals[:begun] = _short_lags(x, wanted[:begun], order, room)
        rest = wanted[begun:]
        if rest and doubles(rest) and x.size <= HEIGHT * rest[0]:
            totals[begun:] = _long_octaves(x, rest[0], len(rest), order, room, windows=False)
            begun = factors.size
        terms[:begun] = np.maximum(x.size - order * factors[:begun], 0)
    for k, m in enumerate(wanted[begun:], begun):
        totals[k], terms[k] = _at_one_lag(record, x, m, order, room)
    return totals, terms


def mean_square_differences(record: Record, x: Floats, m: int, order: int, room: Room) -> tuple[float, int]:
    """Mean square of the differences of phase x at lag m, and the number of terms (0 gives a mean of 0)."""
    total, terms = _at_one_lag(record, x, m, order, room)
    return total / max(terms, 1), terms


def doubles(factors: list[int]) -> bool:
    """Is each factor twice the one before it?"""
    return factors == [factors[0] << k for k in range(len(factors))]


def _at_one_lag(record: Record, x: Floats, m: int, order: int, room: Room) -> tuple[float, int]:
    if x.size < 2 * TABLE and not record.has_gaps:
        d = x
        for _ in range(order):
            d = d[m:] - d[:-m]
        return dot(d, d), d.size
    keep = present_at(record, x.size - order * m, m, order) if record.has_gaps else None
    return sum_squares(difference_blocks(x, m, order, room), keep)


def _short_lags(x: Floats, lags: list[int], order: int, room: Room) -> Floats:
    """One piece through all lags at a time."""
    totals = np.zeros(len(lags))
    if not lags:
        return totals
    for first, after, plan in _pieces(x, lags, order, order * lags[-1], room, windows=False):
        for start in range(first, after, BLOCK):
            np.copyto(plan.table, x[start : start + plan.table.size])
            plan.run()
        totals += plan.totals()
    return totals


def _pieces(
    x: Floats, lags: list[int], order: int, reach: int, room: Room, *, windows: bool
) -> Iterator[tuple[int, int, _Plan]]:
    """Stretches of starts (from, to) to be gone through in steps of BLOCK, with a plan for each of those steps.

    All but the last few starts have the whole reach after them; those few have plans of their own.
    """
    whole = max(x.size - reach, 0) // BLOCK * BLOCK
    if whole:
        yield 0, whole, _Plan(room, BLOCK + reach, lags, order, BLOCK, windows=windows)
    for start in range(whole, x.size, BLOCK):
        size = min(BLOCK + reach, x.size - start)
        yield start, start + 1, _Plan(room, size, lags, order, BLOCK, windows=windows)


def _long_octaves(x: Floats, m: int, octaves: int, order: int, room: Room, *, windows: bool) -> Floats:
    """Lags m, 2m, 4m ...: x in rows of m points, as many columns of that table at a time as the cache holds.

    windows: x holds sums over m points, to be added in pairs to those over 2m, 4m ... as the lag doubles.
    """
    totals = np.zeros(octaves)
    rows = -(-x.size // m)
    full = x.size - (rows - 1) * m  # columns that reach into the last row
    step = x.itemsize
    for first, after, height in ((0, full, rows), (full, m, rows - 1)):
        width = min(max(BLOCK // max(height, 1), 1), after - first)
        whole = after - (after - first) % width if width else first
        for begin, end in ((first, whole), (whole, after)):
            wide = min(width, end - begin)
            if not wide:
                continue
            lags = [wide << k for k in range(octaves)]
            plan = _Plan(room, height * wide, lags, order, height * wide, windows=windows)
            table = plan.table.reshape(height, wide)
            for left in range(begin, end, wide):
                np.copyto(table, np.ndarray((height, wide), x.dtype, x.data, left * step, (m * step, step)))
                plan.run()
            totals += plan.totals()
    return totals


def window_octaves(x: Floats, octaves: int, room: Room) -> Floats:
    """Sums of squares of the second differences at lag m of the sums over m points: m = 1, 2, 4 ... (N <= 3m not among them).

    x has no gaps. The sums over 2m points are those over m added in pairs.
    """
    together = min(octaves, TOGETHER)
    sums = room.take(DOUBLED[0], max(x.size - (1 << together) + 1, 0))
    totals = np.zeros(octaves)
    totals[:together] = _short_windows(x, together, sums, room)
    k = together
    while k < octaves and x.size > HEIGHT << k:
        m = 1 << k
        doubled = room.take(DOUBLED[(k - together + 1) % 2], sums.size - m)
        totals[k] = octave_of_windows(sums, m, None, doubled, room)[0]
        sums, k = doubled, k + 1
    if k < octaves:
        totals[k:] = _long_octaves(sums, 1 << k, octaves - k, 2, room, windows=True)
    return totals


def _short_windows(x: Floats, octaves: int, out: Floats, room: Room) -> Floats:
    """The first octaves of `window_octaves`; out becomes the sums over windows of 2**octaves points."""
    totals, lags = np.zeros(octaves), [1 << k for k in range(octaves)]
    for first, after, plan in _pieces(x, lags, 2, 3 * lags[-1] - 1, room, windows=True):
        for start in range(first, after, BLOCK):
            np.copyto(plan.table, x[start : start + plan.table.size])
            plan.run()
            target = out[start : start + BLOCK]
            np.copyto(target, plan.last[: target.size])
        totals += plan.totals()
    return totals


def octave_of_windows(sums: Floats, m: int, keep: Booleans | None, out: Floats, room: Room) -> tuple[float, int]:
    """Second differences at lag m of sums over windows of m points: sum of their squares, and terms.

    On the way, while they are in the cache, the sums are added in pairs to those over 2m: out, shorter by m.
    """
    total, terms, done = 0.0, 0, max(sums.size - 2 * m, 0)
    for start, d in difference_blocks(sums, m, 2, room):
        good = d if keep is None else d[keep[start : start + d.size]]
        total += dot(good, good)
        terms += good.size
        double_windows(sums, m, out, start, start + d.size)
    double_windows(sums, m, out, done, out.size)
    return total, terms


def double_windows(sums: Floats, m: int, out: Floats, start: int, stop: int) -> None:
    """From sums over windows of m points make those over 2m at the given starts (below size - m), in another array."""
    np.add(sums[start:stop], sums[start + m : stop + m], out=out[start:stop])
