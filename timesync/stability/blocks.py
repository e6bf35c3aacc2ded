"""Sums of squares over long arrays, piece by piece so that every intermediate stays in the processor's cache.

Rule: each term of the definition is formed, and formed as a difference of differences, so that nothing cancels that the
definition does not cancel. No array as long as the data is made here.

Measured on the way: a whole-array expression such as x[2m:] - 2*x[m:-m] + x[:-2m] spends most of its time moving
temporaries to and from memory. BLAS starts threads for scalar products of more than 10 000 elements, and they wait for
each other by spinning: on a busy machine that costs ten times what it gains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from timesync.stability.record import BLOCK, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.stability.result import Booleans, Floats, Integers

LINE = 64  # bytes of a line of the cache
TABLE = 8192  # elements of a two-dimensional piece
UNTHREADED = 9984  # elements of a scalar product
CHAIN = {1: BLOCK, 2: BLOCK, 3: BLOCK // 2}  # elements of a piece at long lags, by the order of the difference
NEAR = 3  # points by which windows grow faster one by one than anew

_Plan: TypeAlias = "tuple[Floats, list[tuple[Floats, Floats, Floats]], Floats]"

__all__ = [
    "TABLE",
    "UNTHREADED",
    "Room",
    "Windows",
    "aligned",
    "difference_blocks",
    "dot",
    "powers_of_two",
    "present_at",
    "shifted",
    "sum_squares",
    "window_sums",
]


def aligned(size: int) -> Floats:
    """An uninitialised array whose first element begins a line of the cache."""
    spare = LINE // 8
    room = np.empty(size + spare)
    first = -(room.ctypes.data // 8) % spare
    return room[first : first + size]


class Room:
    """Working arrays that are kept from one averaging factor to the next: fresh memory costs as much as the work in it."""

    def __init__(self) -> None:
        self._arrays: dict[int, Floats] = {}

    def take(self, which: int, size: int) -> Floats:
        """The first `size` elements of working array number `which`, whatever they hold."""
        array = self._arrays.get(which)
        if array is None or array.size < size:
            array = self._arrays[which] = aligned(size)
        return array[:size]


def difference_blocks(x: Floats, m: int, order: int, room: Room) -> Iterator[tuple[int, Floats]]:
    """Differences of the given order at lag m, for every start, in pieces (start of the piece, values).

    Order 2: x[i+2m] - 2 x[i+m] + x[i]. The pieces cover each start once, in no set order; a piece is valid until the
    next is taken.
    """
    if x.size <= order * m:
        return iter(())
    return _side_by_side(x, m, order, room) if 2 * m < BLOCK else _along_chains(x, m, order, room)


def _plan(buffers: tuple[Floats, Floats], m: int, order: int, width: int) -> _Plan:
    """Views for the differences of `width` starts: where the first ones go, how the higher follow, where the last are."""
    length = width + (order - 1) * m
    first = last = buffers[0][:length]
    steps = []
    for step in range(1, order):
        length -= m
        out = buffers[step % 2][:length]
        steps.append((last[m:], last[:length], out))
        last = out
    return first, steps, last


def _side_by_side(x: Floats, m: int, order: int, room: Room) -> Iterator[tuple[int, Floats]]:
    """Short lags: the lower differences of a block, with (order - 1) m more of them, give the higher ones."""
    count = x.size - order * m
    longest = min(BLOCK, count) + (order - 1) * m
    buffers = (room.take(0, longest), room.take(1, longest))
    first, steps, last = _plan(buffers, m, order, min(BLOCK, count))
    for start in range(0, count, BLOCK):
        if start + BLOCK > count:
            first, steps, last = _plan(buffers, m, order, count - start)
        stop = start + first.size
        np.subtract(x[start + m : stop + m], x[start:stop], out=first)
        for later, earlier, out in steps:
            np.subtract(later, earlier, out=out)
        yield start, last


def _along_chains(x: Floats, m: int, order: int, room: Room) -> Iterator[tuple[int, Floats]]:
    """Long lags: walk start, start + m, start + 2m ...; each lower difference serves the two that follow from it.

    The highest difference takes the place of the older of the two that it is made of, which nobody needs after it.
    """
    width = -(-m // -(-m // CHAIN[order]))
    # rows[k] holds the two latest differences of order k + 1.
    full = [[room.take(2 * k, width), room.take(2 * k + 1, width)] for k in range(max(order - 1, 1))]
    for left in range(0, m, width):
        rows = full
        for link, start in enumerate(range(left, x.size - m, m)):
            wide = min(width, m - left, x.size - m - start)
            if wide < rows[0][0].size:
                rows = [[row[:wide] for row in pair] for pair in rows]
            new, old = link % 2, (link - 1) % 2
            last = np.subtract(x[start + m : start + m + wide], x[start : start + wide], out=rows[0][new])
            for k in range(1, min(order, link + 1)):
                out = rows[k - 1][old] if k == order - 1 else rows[k][new]
                last = np.subtract(rows[k - 1][new], rows[k - 1][old], out=out)
            if link >= order - 1:
                yield start - (order - 1) * m, last


def dot(a: Floats, b: Floats) -> float:
    """Scalar product, in pieces too short for BLAS to start threads, all in one call."""
    pieces = a.size // UNTHREADED
    if not pieces:
        return float(np.dot(a, b))
    even = pieces * UNTHREADED
    rows, columns = a[:even].reshape(pieces, 1, UNTHREADED), b[:even].reshape(pieces, UNTHREADED, 1)
    total = float(np.add.reduce(np.matmul(rows, columns), axis=None))
    return total if even == a.size else total + float(np.dot(a[even:], b[even:]))


def sum_squares(pieces: Iterator[tuple[int, Floats]], keep: Booleans | None = None) -> tuple[float, int]:
    """Sum of the squares of the pieces, and how many were summed.

    keep: boolean by start, False for a term to leave out; None where there are no gaps.
    """
    total, terms = 0.0, 0
    for start, d in pieces:
        good = d if keep is None else d[keep[start : start + d.size]]
        total += dot(good, good)
        terms += good.size
    return total, terms


def present_at(record: Record, count: int, m: int, order: int) -> Booleans:
    """For each start i < count: are the points i, i+m .. i + order m present, with no break from first to last?"""
    count = max(count, 0)
    ok = np.ones(count, dtype=bool)
    if record.missing_points is not None:
        here = np.isfinite(record.phase)
        for k in range(order + 1):
            ok &= here[k * m : k * m + count]
    if record.missing_steps is not None:
        lost = record.missing_steps
        ok &= lost[order * m : order * m + count] == lost[:count]
    return ok


class Windows:
    """Sums over windows of m points, for averaging factors that rise: each from the last where that is near.

    Over 2m: in pairs. Over 5m/2, the step from 4 to 10 in a decade list: the pairs and, after them, what was over m/2. Over
    a point or two more: those points. Otherwise anew (`window_sums`).
    """

    def __init__(self, x: Floats) -> None:
        self._x, self._sums, self._halves, self._m = x, x, x[:0], 1

    def at(self, m: int) -> Floats:
        """Sums over m points for every start, shape (size - m + 1,); m not below the last one. Not to be written to."""
        old = self._m
        if m == old:
            return self._sums
        if m == 2 * old:
            self._take(self._sums[:-old] + self._sums[old:], self._sums, m)
        elif 2 * m == 5 * old and self._halves.size:
            count = self._x.size - m + 1
            longer = self._sums[:count] + self._sums[old : old + count]
            longer += self._halves[2 * old : 2 * old + count]
            self._take(longer, self._x[:0], m)
        elif m - old <= NEAR:
            longer = self._sums[: self._x.size - m + 1].copy()
            for k in range(old, m):
                longer += self._x[k : k + longer.size]
            self._take(longer, self._x[:0], m)
        else:
            self._take(window_sums(self._x, m), self._x[:0], m)
        return self._sums

    def _take(self, sums: Floats, halves: Floats, m: int) -> None:
        self._sums, self._halves, self._m = sums, halves, m


def window_sums(x: Floats, m: int) -> Floats:
    """Sums of m consecutive points for every start, shape (size - m + 1,); no NaN in x.

    Running sums begin anew at every multiple of m, so their rounding is relative to one window and not to the record:
    a window is the end of one stretch and the beginning of the next.
    """
    stretches = -(-x.size // m)
    running = np.zeros((stretches + 1, m))
    running.ravel()[: x.size] = x
    np.cumsum(running, axis=1, out=running)
    sums = np.empty((stretches, m))
    sums[:] = running[:-1, -1:]
    sums[:, 1:] -= running[:-1, :-1]
    sums[:, 1:] += running[1:, :-1]
    return sums.ravel()[: x.size - m + 1]


def shifted(values: Floats, count: int) -> Floats:
    """A view whose row k is values[k : k + count]."""
    width = values.itemsize
    return np.ndarray((values.size - count + 1, count), values.dtype, values.data, 0, (width, width))


def powers_of_two(m: Integers) -> bool:
    """Are all averaging factors powers of two?"""
    return bool(np.all((m & (m - 1)) == 0))
