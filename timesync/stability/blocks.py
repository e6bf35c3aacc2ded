"""Sums of squares over long arrays, piece by piece so that every intermediate stays in the processor's cache.

Rule: each term of the definition is formed, and formed as a difference of differences, so that nothing cancels that the
definition does not cancel. No array as long as the data is made here.

Measured on the way: a whole-array expression such as x[2m:] - 2*x[m:-m] + x[:-2m] spends most of its time moving
temporaries to and from memory; and BLAS starts threads for dot products longer than 10 000 elements, hence the block.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.record import BLOCK, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.stability.result import Booleans, Floats, Integers

__all__ = [
    "difference_blocks",
    "dot",
    "double_windows",
    "mean_square_differences",
    "powers_of_two",
    "present_at",
    "shifted",
    "sum_squares",
    "window_sums",
]


def difference_blocks(x: Floats, m: int, order: int) -> Iterator[tuple[int, Floats]]:
    """Differences of the given order at lag m, for every start, in pieces (start of the piece, values).

    Order 2: x[i+2m] - 2 x[i+m] + x[i]. The pieces cover each start once, in no set order; each is valid until the next.
    """
    count = x.size - order * m
    if count <= 0:
        return iter(())
    return _side_by_side(x, m, order, count) if m < BLOCK else _along_chains(x, m, order)


def _side_by_side(x: Floats, m: int, order: int, count: int) -> Iterator[tuple[int, Floats]]:
    """Short lags: the lower differences of a block, with (order - 1) m more of them, give the higher ones."""
    room = BLOCK + (order - 1) * m
    buffers = (np.empty(room), np.empty(room))
    for start in range(0, count, BLOCK):
        width = min(BLOCK, count - start)
        length = width + (order - 1) * m
        d = np.subtract(x[start + m : start + m + length], x[start : start + length], out=buffers[0][:length])
        for step in range(1, order):
            length -= m
            d = np.subtract(d[m : m + length], d[:length], out=buffers[step % 2][:length])
        yield start, d


def _along_chains(x: Floats, m: int, order: int) -> Iterator[tuple[int, Floats]]:
    """Long lags: walk start, start + m, start + 2m ...; each lower difference serves the two that follow from it."""
    # rows[k] holds the two latest differences of order k + 1.
    rows = [[np.empty(BLOCK), np.empty(BLOCK)] for _ in range(order)]
    for left in range(0, m, BLOCK):
        width = min(BLOCK, m - left)
        for link, start in enumerate(range(left, x.size - m, m)):
            wide = min(width, x.size - m - start)
            np.subtract(x[start + m : start + m + wide], x[start : start + wide], out=rows[0][link % 2][:wide])
            for k in range(1, min(order, link + 1)):
                new, old = rows[k - 1][link % 2], rows[k - 1][(link - 1) % 2]
                np.subtract(new[:wide], old[:wide], out=rows[k][link % 2][:wide])
            if link >= order - 1:
                yield start - (order - 1) * m, rows[order - 1][link % 2][:wide]


def dot(a: Floats, b: Floats) -> float:
    """Scalar product, in pieces too short for BLAS to start threads."""
    if a.size <= BLOCK:
        return float(np.dot(a, b))
    return math.fsum(float(np.dot(a[i : i + BLOCK], b[i : i + BLOCK])) for i in range(0, a.size, BLOCK))


def sum_squares(pieces: Iterator[tuple[int, Floats]], keep: Booleans | None = None) -> tuple[float, int]:
    """Sum of the squares of the pieces, and how many were summed.

    keep: boolean by start, False for a term to leave out; None where there are no gaps. NaN terms are left out with it.
    """
    total, terms = 0.0, 0
    if keep is None:
        for _, d in pieces:
            total += float(np.dot(d, d))
            terms += d.size
        return total, terms
    for start, d in pieces:
        good = d[keep[start : start + d.size]]
        total += float(np.dot(good, good))
        terms += good.size
    return total, terms


def mean_square_differences(record: Record, x: Floats, m: int, order: int) -> tuple[float, int]:
    """Mean square of the differences of phase x at lag m, and the number of terms (0 gives a mean of 0)."""
    keep = present_at(record, x.size - order * m, m, order) if record.has_gaps else None
    total, terms = sum_squares(difference_blocks(x, m, order), keep)
    return total / max(terms, 1), terms


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


def double_windows(sums: Floats, m: int) -> Floats:
    """From sums over windows of m points (start 0, 1, ...) those over 2m, in place; the returned view is shorter by m."""
    count = sums.size - m
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        np.add(sums[start:stop], sums[start + m : stop + m], out=sums[start:stop])
    return sums[:count]


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
