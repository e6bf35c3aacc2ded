"""The error budget of one sample: a hard bound and a standard uncertainty, kept apart, part by part.

Rule: the bound is a plain sum that the error cannot exceed; u is the root sum of squares of standard uncertainties (GUM
section 5.1.2), with the expanded uncertainty U = coverage factor * u. Both come from the same parts. Neither u nor U is reported
above the bound: where the scatter, which is no part of the bound, makes the root sum larger, u is the bound, not that sum; its
parts are kept as they are, so that it can be seen.

What the target's server claims of itself (root delay, root dispersion) is no part of the bound of a measurement *of* that
server: its clock is what is being measured, and a server that claims a large dispersion must not become unmeasurable. Where
a server is the *reference*, its claim is how far it may be from UTC(k), and counts in full.

Sources: RFC 5905 section 11.1 (root distance) and appendix A.5.1.1 (PHI); JCGM 100:2008 section 4.3.7 (rectangular distribution).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum, hypot, sqrt
from typing import TYPE_CHECKING, Protocol

from timesync.model import ClockOffset, Exchange, Timestamping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.settings import KnownPath

__all__ = [
    "HARDWARE_PRECISION_S",
    "HARDWARE_SPAN_NS",
    "PHI",
    "Slewed",
    "TypeA",
    "bound_of",
    "clock_offset",
    "contradicts",
    "expanded_uncertainty_s",
    "standard_uncertainty_s",
    "steady",
    "with_known_path",
    "worse_timestamping",
]

# Frequency tolerance of an ordinary clock, s/s (RFC 5905 section 7.2).
PHI = 15e-6
SQRT3 = sqrt(3.0)

# What reading the probe's own clock costs, s: the kernel reads it to the ns, user space after a system call; a hardware stamp is
# carried over to it by reading both clocks together, to within this or not at all (probes/hardware.py).
HARDWARE_PRECISION_S = 2.5e-6
# Cross-readings of both clocks from so long before may be in a hardware stamp as it is carried over, ns.
HARDWARE_SPAN_NS = 9_000_000_000
PROBE_PRECISION_S = {Timestamping.HARDWARE: HARDWARE_PRECISION_S, Timestamping.KERNEL: 2e-9, Timestamping.USER: 200e-9}
WORSE = (Timestamping.USER, Timestamping.KERNEL, Timestamping.HARDWARE)
# A server's claim of a precision of a second or more is no use as a clock at all; RFC 5905 allows the byte to say 2^127.
WORST_PRECISION_S = 1.0


class Slewed(Protocol):
    """How far the probe's clock was slewed between two of its instants (ns) of one epoch, s; never negative."""

    def __call__(self, epoch: int, from_ns: int, to_ns: int, /) -> float:
        """The greatest difference of phase that the slews seen between the two can have made."""
        ...


def steady(_epoch: int, _from_ns: int, _to_ns: int, /) -> float:
    """A clock that nobody slews."""
    return 0.0


def worse_timestamping(one: Timestamping, other: Timestamping) -> Timestamping:
    """The kind of a sample whose two stamps were taken in different places: the worse one."""
    if one is other:
        return one
    return one if WORSE.index(one) <= WORSE.index(other) else other


def contradicts(offset: ClockOffset, path: KnownPath) -> bool:
    """Whether the exchange was quicker than the path is said to allow, by more than the timestamps can be wrong."""
    slack_s = 2.0 * (offset.bound_timestamping_s + offset.bound_oscillator_s)
    return offset.delay_s < path.minimum_delay_s - slack_s


def with_known_path(offset: ClockOffset, path: KnownPath) -> ClockOffset:
    """The offset with what is known of its path: corrected for the asymmetry, and bounded by the least delay.

    Both ways together take the delay d, each at least its least time: m_out + m_back = `minimum_delay_s` and m_out - m_back =
    `asymmetry_s`, within its bound. An asymmetry a is itself a least delay, as no way takes less than no time. The offset is
    wrong by half of (out - back); taking a / 2 away leaves at most (d - minimum) / 2, and half the bound of a. An exchange that
    contradicts this shows that it is not true: it is then worth what it is without, and no less.
    """
    if contradicts(offset, path):
        return offset
    minimum_s = max(path.minimum_delay_s, abs(path.asymmetry_s) - path.asymmetry_bound_s)
    correction_s = -path.asymmetry_s / 2.0
    return ClockOffset(
        offset.target,
        offset.protocol,
        offset.at_ns,
        offset.offset_s + correction_s,
        offset.delay_s,
        max(0.0, abs(offset.delay_s) - minimum_s) / 2.0,
        offset.bound_timestamping_s,
        offset.bound_oscillator_s,
        offset.upstream_s,
        offset.timestamping,
        offset.clock_epoch,
        offset.exchange,
        offset.facts,
        offset.no_claim,
        correction_s,
        path.asymmetry_bound_s / 2.0,
        path.asymmetry_u_s / 2.0,
    )


def clock_offset(exchange: Exchange, phi: float = PHI, slewed_s: float = 0.0) -> ClockOffset:
    """Target minus probe by an exchange, with the bound's parts (RFC 5905 section 8).

    offset = ((t2 - t1) + (t3 - t4)) / 2 and delay = (t4 - t1) - (t3 - t2), summed in integers so that no digit is lost; the
    bound is delay / 2 (all of the round trip may lie in one direction), the precision of both clocks, and phi times the
    time between the probe's two stamps, whichever came first (a PTP master's Sync may come before or after the question), and
    how far the probe's clock was seen to be slewed in between. A delay below zero shows that the stamps are wrong by as much, and
    counts the same. `phi` is the largest rate of the probe's clock against the target's, s/s.
    """
    t1, t2, t3, t4 = exchange.t1_ns, exchange.t2_ns, exchange.t3_ns, exchange.t4_ns
    delay_s = ((t4 - t1) - (t3 - t2)) / 1e9
    facts = exchange.facts
    timestamping = worse_timestamping(exchange.tx_timestamping, exchange.rx_timestamping)
    server_precision_s = min(facts.precision_s or 0.0, WORST_PRECISION_S)
    return ClockOffset(
        exchange.target,
        exchange.protocol,
        (t1 + t4) // 2,
        ((t2 - t1) + (t3 - t4)) / 2e9,
        delay_s,
        abs(delay_s) / 2.0,
        server_precision_s + PROBE_PRECISION_S[timestamping],
        phi * abs(t4 - t1) / 1e9 + slewed_s,
        facts.upstream_s,
        timestamping,
        exchange.clock_epoch,
        exchange,
        facts,
        exchange.no_claim,
    )


def bound_of(parts: Mapping[str, float]) -> float:
    """The hard bound, s: the plain sum of its parts."""
    return fsum(parts.values())


def standard_uncertainty_s(parts: Mapping[str, float], bound_s: float) -> float:
    """The combined standard uncertainty, s: independent parts with sensitivity 1 (JCGM 100:2008 section 5.1.2).

    Never above the hard bound: an error that cannot exceed it has no larger standard deviation, whatever the scatter says.
    """
    return min(hypot(*parts.values()), bound_s)


def expanded_uncertainty_s(u_s: float, bound_s: float, coverage_factor: float) -> float:
    """U = coverage factor * u, s; never above the hard bound, which the error cannot exceed."""
    return min(coverage_factor * u_s, bound_s)


@dataclass(slots=True)
class TypeA:
    """A running type A uncertainty of single samples: TDEV at the sampling interval (NIST SP 1065 section 5.2.6).

    At m = 1 TDEV is the rms second difference of time error over sqrt(6), so a constant offset and a constant rate do not count.
    Where a poll was lost the intervals differ: then the middle sample's distance from the straight line through its neighbours is
    taken, scaled so that white phase noise gives the same value. With equal intervals both are one formula.
    No difference spans a step of the probe's clock (another epoch); the spread seen before it is kept.
    The mean square is over the last `SPAN` differences, by exponential weights; None before three samples.
    """

    _older: tuple[int, float] | None = None
    _newer: tuple[int, float] | None = None
    _mean_square: float = 0.0
    _count: int = 0
    _epoch: int | None = None

    SPAN = 32

    def push(self, epoch: int, at_ns: int, x_s: float) -> None:
        """The next sample: epoch of the probe's clock, instant (Unix ns) and time error (s).

        One that is not later than the last, by epoch and then by instant, is left out: after a step back the instants are lower.
        """
        if self._epoch is not None and epoch < self._epoch:
            return
        if epoch != self._epoch:
            self.restart()
            self._epoch = epoch
        older, newer = self._older, self._newer
        if newer is not None and at_ns <= newer[0]:
            return
        if older is not None and newer is not None:
            weight = (newer[0] - older[0]) / (at_ns - older[0])
            residual = newer[1] - (older[1] + (x_s - older[1]) * weight)
            variance = residual * residual / (1.0 + weight * weight + (1.0 - weight) ** 2)
            self._count = min(self._count + 1, self.SPAN)
            self._mean_square += (variance - self._mean_square) / self._count
        self._older, self._newer = newer, (at_ns, x_s)

    def restart(self) -> None:
        """Forget the samples, not the spread: no difference spans a gap in the claims."""
        self._older = self._newer = None

    @property
    def u_s(self) -> float | None:
        """Standard uncertainty of one sample, s."""
        return sqrt(self._mean_square) if self._count else None
