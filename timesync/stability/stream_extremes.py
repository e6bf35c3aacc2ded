"""Largest and smallest phase in sliding windows, as points arrive: what MTIE is made of.

Rule: a window counts with the points that are present, if two are; one that reaches back before the origin (the start of the
stream, or a break in it) does not count. Extremes are compared, never computed: MTIE is the very difference of two samples.

Two rows are kept, x and -x, so that both are maxima. A missing point is -inf in both; what lies before the origin is NaN, which
every maximum hands on.

At level 1 the windows of 2w steps are made of two of w steps (as in `mtie`), each octave remembering its last w: 4 m numbers in
all. At a level of stride s the windows of exactly m steps that end there are looked at, for a lower bound of MTIE; and the m/s + 1
strides that cover any window of m steps that ends in the last of them, for an upper one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from timesync.stability.result import Floats, Integers

__all__ = ["Coverings", "Tail", "Windows"]


class Tail:
    """The last `need` columns of a growing table, and room for new ones; moved to the front only when the room is used up."""

    __slots__ = ("_end", "_room", "need", "table")

    def __init__(self, rows: int, need: int, chunk: int) -> None:
        self.need = need
        self._room = max(chunk, need // 4)
        self.table = np.full((rows, need + self._room), np.nan)
        self._end = need

    def extend(self, block: Floats) -> Floats:
        """Append columns; a view of the last `need` before them, and them."""
        width = block.shape[1]
        if self._end + width > self.table.shape[1]:
            if width > self._room:
                raise ValueError(f"{width} columns at once; {self._room} is the most")
            self.table[:, : self.need] = self.table[:, self._end - self.need : self._end]
            self._end = self.need
        self.table[:, self._end : self._end + width] = block
        self._end += width
        return self.table[:, self._end - self.need - width : self._end]

    def last(self) -> Floats:
        """The last `need` columns (a view)."""
        return self.table[:, self._end - self.need : self._end]

    def fill(self, columns: Floats) -> None:
        """Put these in the place of the last `need` columns; shape (rows, need), or what broadcasts to it."""
        self.last()[:] = columns


class Windows:
    """MTIE at level 1: for each averaging factor the largest range of the windows that end in the newest points."""

    def __init__(self, lags: Integers, chunk: int) -> None:
        self._lags = lags.tolist()
        octaves = int(self._lags[-1]).bit_length()
        # tails[0] holds points; tails[j] the extremes of windows of 2**(j-1) steps
        self.tails = [Tail(2, 1 << max(j - 1, 0), chunk) for j in range(octaves + 1)]

    def push(self, pair: Floats) -> Floats:
        """pair: x and -x, shape (2, points). Largest range for each lag; -inf where no window counts."""
        out = np.empty(len(self._lags))
        view = self.tails[0].extend(pair)
        now = np.maximum(view[:, 1:], view[:, :-1])
        done = 0
        for tail in self.tails[1:]:
            steps, width = tail.need, now.shape[1]
            view = tail.extend(now)
            while done < len(self._lags) and self._lags[done] < 2 * steps:
                shift = self._lags[done] - steps
                wide = np.maximum(now, view[:, steps - shift : steps - shift + width]) if shift else now
                out[done] = _largest(wide[0] + wide[1])
                done += 1
            if done < len(self._lags):
                now = np.maximum(now, view[:, :width])
        return out

    def forget(self) -> None:
        """A new origin."""
        for tail in self.tails:
            tail.fill(np.array(np.nan))


def _largest(ranges: Floats) -> float:
    # fmax leaves out NaN, windows from before the origin, and gives NaN only where there is no other
    value = float(np.fmax.reduce(ranges))
    return -math.inf if math.isnan(value) else value


class Coverings:
    """Bounds of MTIE at a level of longer stride, from the extremes of its strides and the points between them."""

    def __init__(self, lags: Integers, chunk: int) -> None:
        self._lags = lags.tolist()
        # rows: x and -x of the extremes of a stride, then of the point at its end
        self.tail = Tail(4, self._lags[-1] + 1, chunk)

    def push(self, extremes: Floats, points: Floats) -> tuple[Floats, Floats]:
        """Of strides just completed, shape (2, strides) each: lower and upper bound for each lag."""
        width = extremes.shape[1]
        view = self.tail.extend(np.concatenate((extremes, points)))
        lower, upper = np.empty(len(self._lags)), np.empty(len(self._lags))
        need = self.tail.need
        for k, lag in enumerate(self._lags):
            inside = _sliding(view[:2, need - lag + 1 :], lag, width)
            before = slice(need - lag, need - lag + width)
            window = np.maximum(inside, view[2:, before])
            lower[k] = _largest(window[0] + window[1])
            cover = np.maximum(inside, view[:2, before])
            upper[k] = _largest(cover[0] + cover[1])
        return lower, upper

    def covering(self, partial: Floats) -> Floats:
        """Upper bound for the windows that end within the stride begun: partial, shape (2,), its extremes so far."""
        last = self.tail.last()[:2]
        ranges = [np.maximum(last[:, -lag:].max(axis=1), partial) for lag in self._lags]
        return np.array([_largest(np.array([pair[0] + pair[1]])) for pair in ranges])

    def forget(self) -> None:
        """A new origin."""
        self.tail.fill(np.array(np.nan))


def _sliding(rows: Floats, width: int, count: int) -> Floats:
    """Maxima of `width` neighbours, `count` of them from the first on, row by row."""
    steps = (rows.strides[0], rows.strides[1], rows.strides[1])
    return np.asarray(np.lib.stride_tricks.as_strided(rows, (rows.shape[0], count, width), steps).max(axis=2))
