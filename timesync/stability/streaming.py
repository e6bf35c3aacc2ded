"""Statistics of a series that never ends: samples go in block by block, results come out at any moment.

    stream = Stream(make_plan(1.0, ("oadev", "tdev", "mtie"), longest_s=65536.0))
    stream.push(x)                      # phase in s on a regular grid, NaN where missing, as many as there are
    stream.result("oadev")              # a Stability, as the batch function gives it
    stream.result("oadev", days=(20780, 20786))
    state = stream.to_bytes()           # and Stream.from_bytes(state): a restart loses nothing

Rule: the same data give the same result as the batch function (to 1e-12), gaps included, however they were cut into blocks, in a
memory that does not grow with the run. What is not computed from every term has a name of its own. STREAMING.md has the
definitions, the size of the state, and what is lost when.

Precision: a stream cannot level its record as a whole, so it takes off the line through the first samples after an origin, in
whole multiples of one power of two, so that every value of the line is exactly a double for the next 2**38 samples. It is laid
at the 1st, 2nd, 4th, 16th and 256th sample, whatever block they come in; what is remembered is then made again from those samples.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.stability.daysums import DAY_S, DaySums
from timesync.stability.stream_bytes import pack, unpack
from timesync.stability.stream_level import CHANNELS, Level, Points
from timesync.stability.stream_results import names, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

    from timesync.stability.daysums import Sums
    from timesync.stability.result import Floats, Stability
    from timesync.stability.stream_plan import StreamPlan

__all__ = ["Line", "Stream"]

CI = 0.683
NS = 1_000_000_000
LEVELLED_AT = (1, 2, 4, 16, 256)  # samples after the first one present since the origin
HEADROOM = 23  # bits of a double's 53 that resolve the line over the first samples; the others are room to go on


@dataclass(frozen=True, slots=True)
class Line:
    """What is taken off the phase: constant_s + slope_s * (i - first)."""

    constant_s: float = 0.0
    slope_s: float = 0.0
    first: int = 0

    def at(self, index: int, count: int) -> Floats:
        """Its values at `count` grid points from `index` on."""
        return (
            np.arange(index - self.first, index - self.first + count, dtype=np.float64) * self.slope_s + self.constant_s
        )


def _line_through(x: Floats, first: int) -> Line:
    """Through the first and last of x that are present; the first one is."""
    present = np.flatnonzero(~np.isnan(x))
    begin, end = float(x[0]), float(x[present[-1]])
    extent = max(abs(begin), abs(end))
    if extent == 0.0:
        return Line(0.0, 0.0, first)
    quantum = math.ldexp(1.0, max(math.frexp(extent)[1] - HEADROOM, -1000))
    run = max(1, int(present[-1]))
    return Line(round(begin / quantum) * quantum, round((end - begin) / run / quantum) * quantum, first)


class Stream:
    """One series. Not thread-safe. Read-only: `plan`, `start_ns`, `size`, `days`."""

    def __init__(self, plan: StreamPlan, *, start_ns: int = 0, keep_days: int | None = 400) -> None:
        """Begin a stream whose first grid point is at `start_ns` (ns since the Unix epoch: it decides which day is which).

        keep_days: days whose sums are kept apart; older ones become one sum. None keeps all, and grows by the day.
        """
        self.plan = plan
        self.start_ns = start_ns
        self.start_index = 0
        self.index = 0
        self.kept = DaySums(plan, keep_days)
        self.levels = [Level(plan, level) for level in plan.levels]
        self._tau0_ns = Fraction(plan.tau0_s) * NS
        self._day_ends = 0  # index of the first grid point of the next day
        self._waiting: list[Floats] = []
        self._room_left = plan.chunk
        self._forget()

    def _forget(self) -> None:
        """A new origin, here."""
        self.origin = self.index
        self.line = Line()
        self.running = (0.0, 0.0, 0)  # sum of levelled phase, high and low part, and missing samples, since the origin
        self.ahead = 0  # missing samples between the origin and the first one present
        self.early: Floats | None = np.empty(
            0
        )  # the samples from the first present one on, while the line may yet move
        for level in self.levels:
            level.forget()

    def resume(self, *, start_index: int, index: int, origin: int, ahead: int) -> None:
        """Take up the counters of a saved state; `stream_bytes` puts the rest in its place."""
        self.start_index, self.index, self.origin, self.ahead = start_index, index, origin, ahead

    # --- data in ---------------------------------------------------------------------------------------------------

    def push(self, x: ArrayLike) -> None:
        """Take the next samples of the grid: phase, s, shape (samples,), any number of them, NaN where missing.

        Raises DataError for another shape or type, or an infinite sample; nothing is taken then.
        """
        values = np.asarray(x)
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise DataError(f"x: one-dimensional real numbers are needed, not {values.dtype} of shape {values.shape}")
        values = np.array(values, dtype=np.float64)
        infinite = np.isinf(values)
        if infinite.any():
            raise DataError(f"x: element {np.flatnonzero(infinite)[0]} is infinite; mark a missing value as NaN")
        self._waiting.append(values)
        self._room_left -= values.size
        if self._room_left <= 0:
            self.work()

    def work(self) -> None:
        """Do what has been put off: samples wait until there are enough of them to be worked on together, or a result is wanted."""
        values = np.concatenate((np.empty(0), *self._waiting))
        self._waiting, self._room_left = [], self.plan.chunk
        done = 0
        while done < values.size:
            width = self._room(values[done:])
            self._take(values[done : done + width])
            done += width

    def skip(self, count: int) -> None:
        """Take `count` missing samples, however many, in a time that does not grow with them (but for the days gone by)."""
        if count < 0:
            raise DataError(f"count: not {count}; time does not go back")
        self.work()
        if self.early is not None and self.early.size:
            settled = min(count, LEVELLED_AT[-1] - self.early.size)
            self._missing(settled)
            count -= settled
        gone = count - self._remembered(count)
        self._missing(count - gone)
        if not gone:
            return
        end = self.index + gone
        self.ahead += gone if self.early is not None else 0
        if self._last_day(end) - self._day() > 10 * (self.kept.keep_days or 10_000):
            raise DataError(f"count: {count} samples are a gap beyond reason; begin a new stream")
        while self.index < end:
            self._look_at_day()
            until = min(end, self._day_ends)
            self.kept.on(self._day()).points += until - self.index
            self.index = until

    def _missing(self, count: int) -> None:
        block = np.full(min(count, self.plan.chunk), np.nan)
        for begin in range(0, count, self.plan.chunk):
            self.push(block[: count - begin])
        self.work()

    def interrupt(self, start_ns: int | None = None) -> None:
        """Break the series here: no term spans what came before and what comes now. The sums stay.

        start_ns: the instant of the next sample, where the grid begins anew (earlier, too, if a clock was set back); None
        where it goes on.
        """
        self.work()
        self.settle()
        if start_ns is not None:
            self.start_ns, self.start_index = start_ns, self.index
            self._day_ends = self.index
        self._forget()

    def _room(self, waiting: Floats) -> int:
        """How many samples can be taken at once: a chunk, within the day, up to where the line moves."""
        self._look_at_day()
        width = min(waiting.size, self.plan.chunk, self._day_ends - self.index)
        if self.early is None:
            return width
        if not self.early.size and math.isnan(waiting[0]):
            present = np.flatnonzero(~np.isnan(waiting[:width]))
            return int(present[0]) if present.size else width
        return min(width, next(n for n in LEVELLED_AT if n > self.early.size) - self.early.size)

    def _take(self, x: Floats) -> None:
        sums = self.kept.on(self._day())
        sums.points += x.size
        sums.present += x.size - int(np.count_nonzero(np.isnan(x)))
        for level, points in self._through_levels(x, self.index):
            sums.add_level(level.plan.columns, level.push(points, self.index))
        self.index += x.size
        if self.early is not None:
            self._lay_line(x)

    def _lay_line(self, x: Floats) -> None:
        """Remember the early samples; where the line moves, make anew what the levels remember of them.

        It moves behind a given sample, whatever block that came in: so no rounding depends on how the data were cut.
        """
        assert self.early is not None
        if not self.early.size and math.isnan(x[0]):  # and so are all of x: see `_room`
            self.ahead += x.size
            return
        self.early = np.concatenate((self.early, x))
        if self.early.size in LEVELLED_AT:
            self.line = _line_through(self.early, self.origin + self.ahead)
            self._replay(self.early)
            if self.early.size == LEVELLED_AT[-1]:
                self.early = None

    def _replay(self, early: Floats) -> None:
        """Bring the levels to where they are now, from the origin, with the new line and without counting anything twice."""
        self.running = (0.0, 0.0, 0)
        for level in self.levels:
            level.forget()
        ahead = self._remembered(self.ahead)
        index = self.origin + self.ahead - ahead
        for block in (np.full(ahead, np.nan), early):
            for begin in range(0, block.size, self.plan.chunk):
                x = block[begin : begin + self.plan.chunk]
                for level, points in self._through_levels(x, index):
                    level.push(points, index)
                index += x.size

    def _remembered(self, count: int) -> int:
        """How many of `count` missing samples need be gone through to remember them all, strides in their place."""
        step = self.levels[-1].plan.stride
        reach = self.plan.reach + step
        return count if count <= 2 * reach else reach + (count - reach) % step

    def _through_levels(self, x: Floats, index: int) -> Iterator[tuple[Level, Points]]:
        """The new points of each level that has any."""
        points = self._points(x, index)
        below = 1
        for level in self.levels:
            stride = level.plan.stride
            if stride > below:
                if not points.size:
                    return
                points = level.thinned(points, stride // below)
                below = stride
            if points.size:
                yield level, points

    def _points(self, x: Floats, index: int) -> Points:
        channels = np.empty((len(CHANNELS), x.size))
        channels[0] = x - self.line.at(index, x.size)
        missing = np.isnan(x)
        high, low, lost = self.running
        if missing.any():
            values = np.where(missing, 0.0, channels[0])
            channels[3] = lost + np.cumsum(missing)
            extremes = np.where(missing, -np.inf, np.stack((x, -x)))
        else:
            values = channels[0]
            channels[3] = lost
            extremes = np.stack((x, -x))
        sums = np.concatenate(((high,), values))
        np.cumsum(sums, out=sums)
        # what each addition rounded off (Knuth's two-sum), so that high + low is the exact sum
        back = sums[1:] - sums[:-1]
        rounded = (sums[:-1] - (sums[1:] - back)) + (values - back)
        np.cumsum(rounded, out=rounded)
        rounded += low
        # high is the double next to the sum: the same one wherever the blocks were cut
        np.add(sums[1:], rounded, out=channels[1])
        np.subtract(sums[1:], channels[1], out=channels[2])
        channels[2] += rounded
        channels[4] = x
        self.running = (float(channels[1, -1]), float(channels[2, -1]), int(channels[3, -1]))
        return Points(channels, extremes)

    # --- days ------------------------------------------------------------------------------------------------------

    def instant_ns(self, index: int) -> int:
        """When grid point `index` is, ns since the Unix epoch."""
        return self.start_ns + math.floor((index - self.start_index) * self._tau0_ns + Fraction(1, 2))

    def _day(self) -> int:
        return self._last_day(self.index)

    def _last_day(self, index: int) -> int:
        return self.instant_ns(index) // (DAY_S * NS)

    def _look_at_day(self) -> None:
        """Where the next day begins, if this one is over; what the old one has begun is settled first."""
        if self.index < self._day_ends:
            return
        if self.index:
            self.settle()
        midnight = (self._day() + 1) * DAY_S * NS
        after = max(1, math.floor((midnight - self.start_ns) / self._tau0_ns) + self.start_index - self.index - 1)
        while self.instant_ns(self.index + after) < midnight:
            after += 1
        self._day_ends = self.index + after

    def settle(self) -> None:
        """Let the strides begun count in the upper bound of MTIE of the day whose samples they hold so far."""
        if self.plan.extremes and self.index:
            sums = self.kept.on(self._last_day(self.index - 1))
            partial = np.full(2, -np.inf)
            for level in self.levels:
                # what the levels below have begun, too, belongs to this one's stride
                partial = np.maximum(partial, level.part_extremes)
                covered = level.covering(partial)
                sums.raise_extremes(level.plan.columns, np.full(covered.size, -np.inf), covered)

    # --- results out -----------------------------------------------------------------------------------------------

    @property
    def days(self) -> DaySums:
        """The sums by day, up to now."""
        self.work()
        self.settle()
        return self.kept

    @property
    def size(self) -> int:
        """Grid points so far."""
        return self.index + self.plan.chunk - self._room_left

    @property
    def names(self) -> tuple[str, ...]:
        """What `result` can give, exact ones first."""
        return names(self.plan)

    def sums(self, days: tuple[int, int] | None = None) -> Sums:
        """The sums over the days first .. last (numbers since the Unix epoch), or over everything."""
        return self.days.whole() if days is None else self.days.window(*days)

    def result(self, name: str, *, days: tuple[int, int] | None = None, ci: float | None = CI) -> Stability:
        """The statistic so far, or over some whole days, both included.

        ci: level of the intervals, None for none. Raises DataError for a name that is not in `names`, and for days no
        longer kept apart.
        """
        return summary(self.plan, self.sums(days), name, ci)

    def copy(self) -> Stream:
        """Another stream in the same state."""
        return copy.deepcopy(self)

    # --- state -----------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The whole state: versioned, with a checksum."""
        self.work()
        return pack(self)

    @classmethod
    def from_bytes(cls, state: bytes) -> Stream:
        """The stream whose state that is. Raises DataError, with what is wrong, for anything else."""
        return unpack(state, cls)
