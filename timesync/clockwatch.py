"""Watches the probe's own clock: steps of the wall clock, and suspends of the machine.

Rule: the epoch counts every discontinuity; measurements of different epochs are never compared, interpolated or fed to one
statistic. CLOCK_REALTIME and CLOCK_MONOTONIC are slewed alike, so their difference moves only when the wall clock is
stepped (or a leap second is inserted by the kernel); CLOCK_BOOTTIME - CLOCK_MONOTONIC moves only when the machine slept.
CLOCK_MONOTONIC_RAW is not slewed: it is read with the others for `timesync/slews.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, clock_gettime_ns, monotonic_ns, time_ns
from typing import NamedTuple

__all__ = ["ClockChange", "ClockReading", "ClockWatch", "read_clocks"]

# A reading interrupted for longer than this between two clocks is taken again.
READ_GAP_NS = 2_000
# The smallest step that is told from the noise of reading two clocks one after the other.
STEP_NS = 10_000
SLEEP_NS = 10_000_000


class ClockReading(NamedTuple):
    """The four clocks at one moment, ns; `gap_ns` is how long reading them took at most."""

    realtime_ns: int
    monotonic_ns: int
    boottime_ns: int
    raw_ns: int
    gap_ns: int


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A discontinuity: the wall clock moved by `step_s` beyond what went by, after a sleep of `slept_s`."""

    at_ns: int
    step_s: float
    slept_s: float
    epoch: int


def read_clocks() -> ClockReading:
    """Read the clocks as nearly together as user space can; the best of three tries, or the first good one."""
    best = _read_clocks_once()
    for _ in range(2):
        if best.gap_ns <= READ_GAP_NS:
            break
        best = min(best, _read_clocks_once(), key=attrgetter("gap_ns"))
    return best


def _read_clocks_once() -> ClockReading:
    before = monotonic_ns()
    realtime = time_ns()
    raw = clock_gettime_ns(CLOCK_MONOTONIC_RAW)
    boottime = clock_gettime_ns(CLOCK_BOOTTIME)
    gap = monotonic_ns() - before
    return ClockReading(realtime, before + gap // 2, boottime, raw, gap)


class ClockWatch:
    """Compares each reading with the one before. Pure: readings are given, not taken."""

    def __init__(self, first: ClockReading) -> None:
        self.epoch = 0
        self.steps = 0
        self.suspends = 0
        self._wall_ns = first.realtime_ns - first.monotonic_ns
        self._sleep_ns = first.boottime_ns - first.monotonic_ns
        self._gap_ns = first.gap_ns

    def observe(self, reading: ClockReading) -> ClockChange | None:
        """The change since the last reading, if there is one; the epoch has then grown by one."""
        wall_ns = reading.realtime_ns - reading.monotonic_ns
        sleep_ns = reading.boottime_ns - reading.monotonic_ns
        noise_ns = reading.gap_ns + self._gap_ns
        slept_ns = sleep_ns - self._sleep_ns
        slept_ns = slept_ns if abs(slept_ns) > SLEEP_NS + noise_ns else 0
        # While the machine sleeps the wall clock goes on and the monotonic one does not: that is no step.
        step_ns = wall_ns - self._wall_ns - slept_ns
        step_ns = step_ns if abs(step_ns) > STEP_NS + noise_ns else 0
        if not (step_ns or slept_ns):
            if reading.gap_ns < self._gap_ns:
                # A quieter reading is the better one to compare with: one taken under load must not blunt the watch for ever.
                self._wall_ns, self._sleep_ns, self._gap_ns = wall_ns, sleep_ns, reading.gap_ns
            return None
        self._wall_ns, self._sleep_ns, self._gap_ns = wall_ns, sleep_ns, reading.gap_ns
        self.epoch += 1
        self.steps += bool(step_ns)
        self.suspends += bool(slept_ns)
        return ClockChange(reading.realtime_ns, step_ns / 1e9, slept_ns / 1e9, self.epoch)
