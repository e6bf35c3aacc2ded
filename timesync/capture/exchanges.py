"""Times of PTP and NTP messages as they pass the capture point, made into offsets of the clocks that answer. Pure.

Rule: a question that passes at p1, reaches a clock at its t2, and an answer (or a Sync) that left that clock at its t3 and
passes at p2 are a two-way exchange between the capture point and that clock: offset = ((t2 - p1) + (t3 - p2)) / 2, the clock
minus the capture's, and round trip = (p2 - p1) - (t3 - t2), wherever the asker is. What corrections tell of waiting on the
part of the path between is taken out. All in units of 2^-16 ns, integers.

Sources: IEEE 1588-2019 clauses 11.2 to 11.4 and 13.3.2.9 (correctionField); RFC 5905 section 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from timesync.capture.report import Limits, TwoWay
from timesync.capture.tally import Spread, Timeline

__all__ = ["TIMELINES", "UNITS_PER_NS", "UNIT_S", "OneWay", "Pair", "SyncPoint"]

UNITS_PER_NS = 1 << 16
UNIT_S = 1 / 65536e9
# What two oscillators may drift apart, s/s (RFC 5905: PHI); it counts for the time between a Sync and the question it is used
# with.
PHI = 15e-6
# So many pairs of each protocol have a timeline: what an eye can take in, and memory.
TIMELINES = 512
# A round trip that is negative by less is how a host is captured: the kernel stamps what it sends for the capture before it
# stamps it for the sender, and the sender may be interrupted in between. The error is half of that, and in the bound.
NOISE_NS = 50_000


class SyncPoint(NamedTuple):
    """A Sync as it passed: its instant at the capture point and at its master, corrected, both in units."""

    passed: int
    left: int


@dataclass(slots=True)
class OneWay:
    """What messages of one direction say of a clock's offset: it is at least `floor`, at most `ceiling` units."""

    floor: int | None = None
    ceiling: int | None = None

    def left(self, told: int, passed: int) -> None:
        """A message left the clock at its `told`, and passed later."""
        if self.floor is None or told - passed > self.floor:
            self.floor = told - passed

    def reached(self, told: int, passed: int) -> None:
        """A message passed, and reached the clock at its `told`."""
        if self.ceiling is None or told - passed < self.ceiling:
            self.ceiling = told - passed

    def limits(self, shift: int = 0) -> Limits:
        """In seconds, after `shift` units are added."""
        return Limits(
            None if self.floor is None else (self.floor + shift) * UNIT_S,
            None if self.ceiling is None else (self.ceiling + shift) * UNIT_S,
        )


@dataclass(slots=True)
class Pair:
    """The exchanges with one clock by one asker and mechanism. The first pairs have a timeline (see TIMELINES)."""

    clock: str
    mechanism: str
    requester: str
    offset: Spread = field(default_factory=Spread)
    round_trip: Spread = field(default_factory=Spread)
    timeline: Timeline | None = None
    best: tuple[int, int, int] | None = None
    best_at_ns: int = 0

    def exchange(self, p1: int, t2: int, t3: int, p2: int, at_ns: int) -> bool:
        """Take in an exchange; False where no path can have made it."""
        round_trip = (p2 - p1) - (t3 - t2)
        if round_trip < -NOISE_NS * UNITS_PER_NS:
            return False
        offset = ((t2 - p1) + (t3 - p2)) // 2
        self.offset.add(offset)
        self.round_trip.add(round_trip)
        if self.timeline is not None:
            self.timeline.add(at_ns, offset)
        if self.best is None or abs(round_trip) < self.best[0]:
            self.best, self.best_at_ns = (abs(round_trip), offset, abs(p2 - p1)), at_ns
        return True

    def turnaround(self, p1: int, p2: int, turnaround: int, at_ns: int) -> bool:
        """Take in an exchange of which only the delay can be known."""
        round_trip = p2 - p1 - turnaround
        if round_trip < -NOISE_NS * UNITS_PER_NS:
            return False
        self.round_trip.add(round_trip)
        self.best_at_ns = self.best_at_ns or at_ns
        return True

    def report(self, timescale: str, shift: int, resolution_ns: int, note: str = "") -> TwoWay | None:
        """What is known after `shift` units are added to the offset; None of nothing."""
        round_trip = self.round_trip.summary(UNIT_S)
        if round_trip is None:
            return None
        offset_s = bound_s = None
        if self.best is not None:
            shortest, offset, apart = self.best
            offset_s = (offset + shift) * UNIT_S
            bound_s = shortest * UNIT_S / 2 + PHI * apart * UNIT_S + resolution_ns * 1e-9
        elif not note:
            note = "one-step answers: only the delay is known"
        return TwoWay(
            self.clock,
            self.mechanism,
            self.requester,
            timescale,
            self.round_trip.count,
            self.offset.summary(UNIT_S, shift),
            round_trip,
            offset_s,
            bound_s,
            self.best_at_ns,
            note,
            self.timeline.bins(UNIT_S, shift) if self.timeline is not None else (),
        )
