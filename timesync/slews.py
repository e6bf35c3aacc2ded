"""Slews of the probe's clock: how far it ran away from its own oscillator, and when.

Rule: what is seen is counted in full, between the readings where it was seen. CLOCK_MONOTONIC_RAW runs with the oscillator alone,
so CLOCK_REALTIME against it shows every change of rate that adjtimex makes: of frequency (500 ppm at most) and of tick (10 %).
A rate within phi of the usual one, the median of the last quarter of an hour, is what the bound allows for anyway; beyond that
the whole difference of phase is excess. Where in its stretch it arose is not known, only that no slew is faster than the kernel's.

Two readings tell a difference no finer than what reading two clocks takes. A slew at a constant rate below 500 ppm that goes on
for longer than half the quarter of an hour counts as the clock's frequency from then on.

Source: adjtimex(2), ADJ_FREQUENCY and ADJ_TICK; clock_gettime(2), CLOCK_MONOTONIC_RAW.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median, median_high
from typing import TYPE_CHECKING

from timesync.timescale import GREATEST_RATE, GREATEST_SLEW

if TYPE_CHECKING:
    from timesync.clockwatch import ClockReading

__all__ = ["Slew", "SlewWatch"]

# A stretch is closed, and its rate judged, when it is at least this long.
STRETCH_NS = 500_000_000
# Rates kept to know the usual one.
RATES = 900
# Stretches with a slew kept; then the oldest two become one.
KEPT = 512
# A slew that begins within this time after the last is the same episode.
QUIET_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Slew:
    """An episode of slewing begins: `rate` is the clock's rate beyond its usual one, s/s."""

    at_ns: int
    rate: float
    epoch: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Between two readings the clock was slewed by `excess_ns` at most."""

    epoch: int
    begin_ns: int
    end_ns: int
    excess_ns: float

    def within(self, epoch: int, from_ns: int, to_ns: int) -> float:
        overlap_ns = min(to_ns, self.end_ns) - max(from_ns, self.begin_ns)
        return min(self.excess_ns, GREATEST_SLEW * overlap_ns) if epoch == self.epoch and overlap_ns > 0 else 0.0


class SlewWatch:
    """Compares readings of the probe's clocks with earlier ones. Pure: readings are given, not taken.

    `phi` is how far the clock's rate may stray without being a slew, s/s.
    """

    def __init__(self, phi: float) -> None:
        self.phi = phi
        self._stretches: deque[_Stretch] = deque()
        self._open: _Stretch | None = None
        self._anchor: ClockReading | None = None
        self._epoch = 0
        self._rates: deque[float] = deque(maxlen=RATES)
        self._errors: deque[float] = deque(maxlen=RATES)
        # The usual rate, and how far it may be off: until one has been seen, only what no frequency correction can be is a slew.
        self._usual, self._usual_error = 0.0, GREATEST_RATE
        self._quiet_from_ns: int | None = None

    def observe(self, reading: ClockReading, epoch: int) -> Slew | None:
        """The next reading, and the epoch that it belongs to. Tells once when an episode of slewing begins."""
        anchor = self._anchor
        if anchor is None or epoch != self._epoch:
            self._anchor, self._epoch, self._open = reading, epoch, None
            return None
        span_ns = reading.raw_ns - anchor.raw_ns
        beyond_ns = reading.realtime_ns - anchor.realtime_ns - span_ns * (1.0 + self._usual)
        noise_ns = reading.gap_ns + anchor.gap_ns + self._usual_error * span_ns
        self._open = None
        if abs(beyond_ns) > self.phi * span_ns + noise_ns:
            self._open = _Stretch(epoch, anchor.realtime_ns, reading.realtime_ns, abs(beyond_ns) + noise_ns)
        return self._close(anchor, reading, span_ns, beyond_ns) if span_ns >= STRETCH_NS else None

    def _close(self, anchor: ClockReading, reading: ClockReading, span_ns: int, beyond_ns: float) -> Slew | None:
        stretch, self._open, self._anchor = self._open, None, reading
        rate = (reading.realtime_ns - anchor.realtime_ns) / span_ns - 1.0
        if abs(rate) <= GREATEST_RATE:
            self._rates.append(rate)
            self._errors.append((reading.gap_ns + anchor.gap_ns) / span_ns)
            # At least half of the rates are within this of the truth, so their median is.
            self._usual, self._usual_error = median(self._rates), median_high(self._errors)
        if stretch is None:
            return None
        self._keep(stretch)
        known = self._quiet_from_ns is not None and reading.raw_ns < self._quiet_from_ns
        self._quiet_from_ns = reading.raw_ns + QUIET_NS
        return None if known else Slew(stretch.begin_ns, beyond_ns / span_ns, stretch.epoch)

    def _keep(self, stretch: _Stretch) -> None:
        kept = self._stretches
        kept.append(stretch)
        if len(kept) > KEPT:
            one, other = kept.popleft(), kept.popleft()
            if one.epoch == other.epoch:
                other = _Stretch(one.epoch, one.begin_ns, other.end_ns, one.excess_ns + other.excess_ns)
            kept.appendleft(other)

    def excess_s(self, epoch: int, from_ns: int, to_ns: int, /) -> float:
        """How far the clock was slewed between two of its instants, at most, s: a `Slewed` of timesync/uncertainty.py."""
        if self._open is None and not self._stretches:
            return 0.0
        total_ns = sum(stretch.within(epoch, from_ns, to_ns) for stretch in self._stretches)
        if self._open is not None:
            total_ns += self._open.within(epoch, from_ns, to_ns)
        return total_ns / 1e9
