"""One level of a stream: the newest points, and the sums and extremes of the terms that end in them.

Rule: differences first. Points come less a straight line whose values are exact (see `streaming`), running sums as pairs of
doubles whose sum is exact; a term is a difference of differences of these, so that a large offset takes no digit.

A term counts if its points are present: those it uses for differences of points, all in its span for the modified ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.stream_extremes import Coverings, Tail, Windows

if TYPE_CHECKING:
    from timesync.stability.result import Booleans, Floats, Integers
    from timesync.stability.stream_plan import LevelPlan, StreamPlan

__all__ = ["CHANNELS", "Contribution", "Level", "Points"]

CHANNELS = ("levelled", "sum_high", "sum_low", "missing", "raw")
_MISSING, _RAW = CHANNELS.index("missing"), CHANNELS.index("raw")
DISJOINT_ROWS = frozenset({"second_disjoint", "third_disjoint"})


@dataclass(frozen=True, slots=True)
class Points:
    """New points of one level.

    channels   shape (CHANNELS, points): phase less the line (NaN: missing); running sum of it, high and low part; running
               number of missing samples; phase as it came
    extremes   shape (2, points): largest of x and of -x in the stride that ends at each point
    """

    channels: Floats
    extremes: Floats

    @property
    def size(self) -> int:
        return int(self.channels.shape[1])


@dataclass(frozen=True, slots=True)
class Contribution:
    """What new points add: sums of squares and terms, shape (rows, lags); extremes, shape (lags,), -inf where none."""

    sums: Floats
    terms: Integers
    top: Floats
    cover: Floats
    windows: Integers


class Level:
    """See the module. `seen`: points since the origin; `clean`: points in a row that are there, up to the newest; `part`:
    points of the level below in the stride begun, `part_extremes` theirs.
    """

    __slots__ = ("_rows", "clean", "coverings", "part", "part_extremes", "plan", "seen", "tail", "windows")

    def __init__(self, plan: StreamPlan, level: LevelPlan) -> None:
        self.plan = level
        self._rows = plan.rows
        self.tail = Tail(len(CHANNELS), level.need, level.chunk)
        self.windows: Windows | None = None
        self.coverings: Coverings | None = None
        if plan.extremes and level.lags.size:
            if level.stride == 1:
                self.windows = Windows(level.lags, level.chunk)
            else:
                self.coverings = Coverings(level.lags, level.chunk)
        self.forget()

    def forget(self) -> None:
        """A new origin: nothing before it is part of any term."""
        last = np.full((len(CHANNELS), self.plan.need), np.nan)
        last[1:3] = 0.0
        # The running sums begin with the origin, so the one before the first point is known: a window may begin there.
        last[_MISSING] = -1.0
        last[_MISSING, -1] = 0.0
        self.tail.fill(last)
        self.seen = 0
        self.clean = 0
        self.part = 0
        self.part_extremes = np.full(2, -np.inf)
        for each in (self.windows, self.coverings):
            if each is not None:
                each.forget()

    def thinned(self, points: Points, factor: int) -> Points:
        """Every factor-th of the points of the level below; what is left over is remembered."""
        width, before = points.size, self.part
        ends = np.arange(factor - 1 - before, width, factor)
        self.part = (before + width) % factor
        starts = np.concatenate(([0], ends + 1))
        starts = starts[starts < width]
        largest = np.maximum.reduceat(points.extremes, starts, axis=1)
        largest[:, 0] = np.maximum(largest[:, 0], self.part_extremes)
        self.part_extremes = largest[:, -1].copy() if ends.size < starts.size else np.full(2, -np.inf)
        return Points(points.channels[:, ends], largest[:, : ends.size])

    def push(self, points: Points, index: int) -> Contribution:
        """Take points, the first of which is number `index` on the stream's grid of this level's strides."""
        width, lags = points.size, self.plan.lags.size
        clean = self._clean(points)
        view = self.tail.extend(points.channels)
        self.seen += width
        sums, terms = np.zeros((len(self._rows), lags)), np.zeros((len(self._rows), lags), np.int64)
        top = cover = np.full(lags, -np.inf)
        windows = np.zeros(lags, np.int64)
        for k, lag in enumerate(self.plan.lags.tolist()):
            each = Terms(view, width, lag, careful=clean < 3 * lag + 1)
            for i, row in enumerate(self._rows):
                if row not in DISJOINT_ROWS:
                    sums[i, k], terms[i, k] = each.squares(row)
                elif self.plan.stride == 1:
                    sums[i, k], terms[i, k] = each.disjoint(row, index)
            if self.windows is not None or self.coverings is not None:
                windows[k] = self._windows(view, width, lag) if clean < lag + 1 else width
        if self.windows is not None:
            top = cover = self.windows.push(points.extremes)
        elif self.coverings is not None:
            raw = points.channels[_RAW]
            ends = np.where(np.isnan(raw), -np.inf, np.stack((raw, -raw)))
            top, cover = self.coverings.push(points.extremes, ends)
        return Contribution(sums, terms, top, cover, windows)

    def _clean(self, points: Points) -> int:
        """Points in a row, just before these, of which none is missing; 0 where one of these is."""
        before, clean = self.tail.last()[_MISSING, -1], self.clean
        lost = points.channels[_MISSING]
        if lost[-1] == before:
            self.clean += points.size
            return clean
        missing = np.flatnonzero(np.diff(lost, prepend=before))
        self.clean = points.size - 1 - int(missing[-1])
        return 0

    def covering(self, partial: Floats) -> Floats:
        """Upper bound of MTIE for windows that end in the stride begun, partial its extremes so far; -inf where there is none."""
        if self.coverings is None:
            return np.full(self.plan.lags.size, -np.inf)
        return self.coverings.covering(partial)

    def _windows(self, view: Floats, width: int, lag: int) -> int:
        """Windows of `lag` steps that end in the new points, do not begin before the origin, and hold two points or more."""
        lost = view[_MISSING]
        first = lost.size - width
        # the samples after the window's first point, and that point
        present = lag * self.plan.stride - (lost[first:] - lost[first - lag : -lag])
        present += ~np.isnan(view[0, first - lag : -lag])
        present[: max(0, lag - (self.seen - width))] = 0
        return int(np.count_nonzero(present >= 2))


class Terms:
    """The terms of one lag that end in the last `width` points of a view of a level's tail."""

    __slots__ = ("_careful", "_lag", "_second", "_third", "_view", "_width")

    def __init__(self, view: Floats, width: int, lag: int, *, careful: bool) -> None:
        self._view, self._width, self._lag, self._careful = view, width, lag, careful
        x0, x1, x2, x3 = self._shifted(0)
        newer, older = x1 - x2, x2 - x3
        self._second = x0 - x1
        self._second -= newer
        newer -= older
        self._third = np.subtract(self._second, newer, out=newer)

    def _shifted(self, channel: int) -> tuple[Floats, Floats, Floats, Floats]:
        """The newest points, and those one, two and three lags before: views."""
        row, width, lag = self._view[channel], self._width, self._lag
        end = row.size
        return (
            row[end - width :],
            row[end - width - lag : end - lag],
            row[end - width - 2 * lag : end - 2 * lag],
            row[end - width - 3 * lag : end - 3 * lag],
        )

    def squares(self, row: str) -> tuple[float, int]:
        """Sum of squares of a row, and number of terms."""
        values, whole = self._values(row)
        if self._careful:
            values = values[~np.isnan(values) if whole is None else whole]
        return float(np.dot(values, values)), values.size

    def _values(self, row: str) -> tuple[Floats, Booleans | None]:
        """All differences, and which of them count where that is not told by NaN."""
        if row == "first":
            now, back, _, _ = self._shifted(_RAW)
            return now - back, None
        if row == "modified":
            now, _, _, back = self._shifted(_MISSING)
            return self._modified(), np.equal(now, back) if self._careful else None
        return self._second if row == "second" else self._third, None

    def _modified(self) -> Floats:
        """Third differences of the running sums: second differences of the sums over one lag."""
        high0, high1, high2, high3 = self._shifted(1)
        low0, low1, low2, low3 = self._shifted(2)
        newer, older = high1 - high2, high2 - high3
        value = high0 - high1
        value -= newer
        newer -= older
        value -= newer
        np.subtract(low1, low2, out=newer)
        newer *= 3.0
        np.subtract(low0, low3, out=older)
        older -= newer
        value += older
        return value

    def disjoint(self, row: str, index: int) -> tuple[float, int]:
        """The same of those whose last point lies a whole number of lags from the stream's first."""
        values = self._second if row == "second_disjoint" else self._third
        chosen = np.ascontiguousarray(values[(-index) % self._lag :: self._lag])
        if self._careful:
            chosen = chosen[~np.isnan(chosen)]
        return float(np.dot(chosen, chosen)), chosen.size
