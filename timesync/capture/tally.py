"""Running statistics, timelines and sequence numbers: exact, and of bounded size however much goes in.

Rule: integers in, and nothing is sampled or forgotten: mean and standard deviation by Welford's recurrence (Technometrics 4, 1962),
about the first value, so that a large common offset costs no digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

__all__ = ["Bin", "Sequence", "Spread", "Step", "Summary", "Timeline"]

BINS = 128
FIRST_WIDTH_NS = 1 << 27  # about an eighth of a second
MISSING_REMEMBERED = 64
# A step back by no more than this is a repeated message; a longer one is a new beginning.
RECENT = 16
# So many missing numbers are believed where no interval is known, and beyond what the elapsed time explains.
BELIEVED_GAP = 64


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of so many values, s: `sd` is the sample standard deviation, absent for one value."""

    count: int
    mean_s: float
    sd_s: float | None
    min_s: float
    max_s: float


class Spread:
    """Count, mean, standard deviation, smallest and largest of integers."""

    __slots__ = ("_base", "_mean", "_squares", "count", "largest", "smallest")

    def __init__(self) -> None:
        self.count = 0
        self.smallest = self.largest = self._base = 0
        self._mean = self._squares = 0.0

    def add(self, value: int) -> None:
        """Take in a value."""
        if not self.count:
            self._base = self.smallest = self.largest = value
        elif value < self.smallest:
            self.smallest = value
        elif value > self.largest:
            self.largest = value
        self.count += 1
        relative = value - self._base
        difference = relative - self._mean
        self._mean += difference / self.count
        self._squares += difference * (relative - self._mean)

    def summary(self, unit_s: float, shift: int = 0) -> Summary | None:
        """In seconds, one unit being `unit_s`, after `shift` units are added to all; None of nothing."""
        if not self.count:
            return None
        sd = math.sqrt(max(0.0, self._squares) / (self.count - 1)) * unit_s if self.count > 1 else None
        # The whole part first: adding a small mean to a large base would round.
        mean_s = (self._base + shift) * unit_s + self._mean * unit_s
        return Summary(self.count, mean_s, sd, (self.smallest + shift) * unit_s, (self.largest + shift) * unit_s)


@dataclass(frozen=True, slots=True)
class Bin:
    """What came from `at_ns` (Unix ns, the capture's clock) for `width_ns`: how many, their mean, smallest and largest, s."""

    at_ns: int
    width_ns: int
    count: int
    mean_s: float
    min_s: float
    max_s: float


class Timeline:
    """Values over time in at most 128 bins, whose width doubles whenever the time outgrows them."""

    __slots__ = ("_bins", "_start", "_width")

    def __init__(self) -> None:
        self._start: int | None = None
        self._width = FIRST_WIDTH_NS
        self._bins: dict[int, list[int]] = {}

    def add(self, at_ns: int, value: int) -> None:
        """Take in a value of an instant. One before the first counts with the first."""
        if self._start is None:
            self._start = at_ns
        place = max(0, at_ns - self._start) // self._width
        while place >= BINS:
            self._double()
            place //= 2
        held = self._bins.get(place)
        if held is None:
            self._bins[place] = [1, value, value, value]
            return
        held[0] += 1
        held[1] += value
        held[2] = min(held[2], value)
        held[3] = max(held[3], value)

    def _double(self) -> None:
        self._width *= 2
        merged: dict[int, list[int]] = {}
        for place, (count, total, low, high) in self._bins.items():
            held = merged.setdefault(place // 2, [0, 0, low, high])
            held[0] += count
            held[1] += total
            held[2] = min(held[2], low)
            held[3] = max(held[3], high)
        self._bins = merged

    def bins(self, unit_s: float, shift: int = 0) -> tuple[Bin, ...]:
        """The bins that hold something, in time order, in seconds after `shift` units are added."""
        start = self._start or 0
        return tuple(
            Bin(
                start + place * self._width,
                self._width,
                count,
                (total + shift * count) / count * unit_s,
                (low + shift) * unit_s,
                (high + shift) * unit_s,
            )
            for place, (count, total, low, high) in sorted(self._bins.items())
        )


class Step(Enum):
    """What a sequence number is to those before it."""

    FIRST = "first"
    NEXT = "next"
    GAP = "gap"
    REPEATED = "repeated"
    LATE = "late"
    JUMP = "jump"


class Sequence:
    """The 16-bit sequence numbers of one stream: what is missing, repeated, out of order, or begun anew."""

    __slots__ = ("_missing", "jumps", "last", "late", "lost", "repeated")

    def __init__(self) -> None:
        self.last: int | None = None
        self.lost = self.repeated = self.late = self.jumps = 0
        self._missing: dict[int, None] = {}

    def take(self, number: int, elapsed_ns: int = 0, interval_ns: int | None = None) -> tuple[Step, int]:
        """What this number is, and by how many steps it is ahead of the last one.

        `elapsed_ns` since the last one and the stream's interval tell a gap from a new beginning.
        """
        if self.last is None:
            self.last = number
            return Step.FIRST, 0
        ahead = (number - self.last) & 0xFFFF
        if ahead == 1:
            self.last = number
            self._missing.pop(number, None)
            return Step.NEXT, 1
        if 0 < ahead < 0x8000:
            return self._forward(number, ahead, elapsed_ns, interval_ns)
        return self._back(number, ahead)

    def _back(self, number: int, ahead: int) -> tuple[Step, int]:
        """A number that is not after the last one; `ahead` is 0 or above half of all numbers."""
        if number in self._missing:
            del self._missing[number]
            self.lost -= 1
            self.late += 1
            return Step.LATE, 0
        if ahead == 0 or 0x10000 - ahead < RECENT:
            self.repeated += 1
            return Step.REPEATED, 0
        return self._begin_anew(number)

    def _forward(self, number: int, ahead: int, elapsed_ns: int, interval_ns: int | None) -> tuple[Step, int]:
        explained = BELIEVED_GAP if not interval_ns else 8 + 2 * (elapsed_ns // interval_ns)
        if ahead - 1 > explained:
            return self._begin_anew(number)
        assert self.last is not None  # the first number has been taken
        self.lost += ahead - 1
        for missing in range(max(1, ahead - MISSING_REMEMBERED), ahead):
            self._missing[(self.last + missing) & 0xFFFF] = None
        while len(self._missing) > MISSING_REMEMBERED:
            del self._missing[next(iter(self._missing))]
        self.last = number
        return Step.GAP, ahead

    def _begin_anew(self, number: int) -> tuple[Step, int]:
        self.jumps += 1
        self.last = number
        self._missing.clear()
        return Step.JUMP, 0
