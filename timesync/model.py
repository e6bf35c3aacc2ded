"""The records that flow: Exchange -> ClockOffset -> TimeError -> Record.

Rules. Instants are integer nanoseconds since the Unix epoch (UTC); differences are floats in seconds. The sign is
ITU-T G.810's: clock minus reference, so a positive offset means that the target is ahead. Every record says how it
was timestamped and how far it can be wrong. Nothing here reads a clock or does I/O. The records that each exchange makes are
tuples: a frozen dataclass takes four times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.reasons import Reason
    from timesync.settings import Tie

__all__ = [
    "PROBE_CLOCK",
    "ClockOffset",
    "Event",
    "Exchange",
    "FieldValue",
    "Missed",
    "Outcome",
    "Part",
    "PtpFacts",
    "Quality",
    "Record",
    "Reported",
    "ServerFacts",
    "Severity",
    "TimeError",
    "Timestamping",
    "Validity",
]

FieldValue = float | int | str | bool
NO_PARTS: Mapping[str, float] = MappingProxyType({})


PROBE_CLOCK = "probe"
"""The tag `reference` of a result against the probe's own clock, as it runs; no target may have this name."""


class Timestamping(StrEnum):
    """Where a timestamp was taken, best first."""

    HARDWARE = "hardware"
    KERNEL = "kernel"
    USER = "user"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself. Kept as claims; none of it enters the bound of its own measurement."""

    leap: int | None = None
    stratum: int | None = None
    version: int | None = None
    poll: int | None = None
    precision_s: float | None = None
    root_delay_s: float | None = None
    root_dispersion_s: float | None = None
    reference_id: str | None = None
    reference_time_ns: int | None = None

    @property
    def upstream_s(self) -> float:
        """The root distance that it claims: root delay / 2 + root dispersion (RFC 5905 section 11.1)."""
        return (self.root_delay_s or 0.0) / 2.0 + (self.root_dispersion_s or 0.0)


@dataclass(frozen=True, slots=True)
class PtpFacts:
    """What a PTP master says of itself and its grandmaster (IEEE 1588-2019 clauses 7.6.2, 13.5). What it did not announce is None.

    `timescale` is how its time was read: "ptp" (TAI, UTC by its own currentUtcOffset), "utc" or "tai" (as the operator declared),
    or "arbitrary" (no UTC can be had from it). Of a gPTP master also what its Follow_Up says of the grandmaster's steps and rate.
    By peer delay `neighbor_rate_offset` is measured: the neighbour's rate over the probe's clock, minus 1.
    """

    port_identity: str
    domain: int
    timescale: str
    two_step: bool | None = None
    clock_class: int | None = None
    clock_accuracy: int | None = None
    clock_accuracy_s: float | None = None
    offset_scaled_log_variance: int | None = None
    priority1: int | None = None
    priority2: int | None = None
    grandmaster: str | None = None
    steps_removed: int | None = None
    time_source: int | None = None
    utc_offset_s: int | None = None
    utc_offset_valid: bool | None = None
    time_traceable: bool | None = None
    frequency_traceable: bool | None = None
    leap: int | None = None
    gm_time_base_indicator: int | None = None
    last_gm_phase_change_s: float | None = None
    last_gm_freq_change: float | None = None
    cumulative_rate_offset: float | None = None
    neighbor_rate_offset: float | None = None

    @property
    def upstream_s(self) -> float:
        """How far its grandmaster says that it may be from its source: clockAccuracy where it is known."""
        return self.clock_accuracy_s or 0.0

    @property
    def precision_s(self) -> float:
        """PTP timestamps are whole nanoseconds (clause 5.3.3)."""
        return 1e-9


class Exchange(NamedTuple):
    """One completed two-way exchange: the four timestamps and how they were taken.

    `t1_ns` and `t4_ns` are on the probe's clock, `t2_ns` and `t3_ns` on the target's. `clock_epoch` counts the steps and
    suspends of the probe's clock: exchanges of different epochs are never compared. `no_claim` is why nothing can be said of UTC
    by this exchange, whatever the reference; None, as a rule.
    """

    target: str
    protocol: str
    address: str
    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int
    tx_timestamping: Timestamping
    rx_timestamping: Timestamping
    mode: str
    facts: ServerFacts | PtpFacts
    clock_epoch: int
    authenticated: bool = False
    no_claim: Reason | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """A poll that gave no measurement, with its reason. `sent` is false where nothing was asked of the server.

    `polls` is above 1 where one record tells of several: the polls that a stalled probe lost, the first of them at `at_ns`.
    """

    target: str
    protocol: str
    address: str
    at_ns: int
    reason: Reason
    detail: str
    clock_epoch: int
    sent: bool = True
    facts: ServerFacts | PtpFacts | None = None
    polls: int = 1


class ClockOffset(NamedTuple):
    """Target minus probe at `at_ns` (the middle of the exchange on the probe's clock).

    `bound_s` is the sum of its parts: the error of `offset_s` cannot exceed it. `upstream_s` is what the server
    claims of itself (NTP: root delay / 2 + root dispersion; PTP: clockAccuracy): it matters where the target is a reference.
    An instrument that measures an offset directly makes this record itself, without an exchange. `no_claim` is as in `Exchange`.
    `correction_s` is what of `offset_s` corrects a known asymmetry of the path, with its bound and standard uncertainty.
    """

    target: str
    protocol: str
    at_ns: int
    offset_s: float
    delay_s: float
    bound_path_s: float
    bound_timestamping_s: float
    bound_oscillator_s: float
    upstream_s: float
    timestamping: Timestamping
    clock_epoch: int
    exchange: Exchange | None = None
    facts: ServerFacts | PtpFacts | None = None
    no_claim: Reason | None = None
    correction_s: float = 0.0
    bound_asymmetry_s: float = 0.0
    u_asymmetry_s: float = 0.0

    @property
    def bound_s(self) -> float:
        """The sum of the parts: path, asymmetry, timestamping, oscillator."""
        return self.bound_path_s + self.bound_timestamping_s + self.bound_oscillator_s + self.bound_asymmetry_s


class Part(NamedTuple):
    """One row of a report: its measurement, its own tags (a clock, a port), and its fields."""

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]


class Reported(NamedTuple):
    """What the software of a clock says of itself at `at_ns` (the probe's clock): claims, kept apart from what is measured.

    A poll that gave a report is an answered one. Its rows are stored as they are, in measurements other than `time_error`.
    """

    target: str
    protocol: str
    address: str
    at_ns: int
    clock_epoch: int
    parts: tuple[Part, ...]


Outcome = Exchange | ClockOffset | Missed | Reported


class Quality(StrEnum):
    """How the reference of a time error was had, for the target's instant."""

    INTERPOLATED = "interpolated"  # between the measurements of it before and after
    HELD = "held"  # from the measurements on one side only
    CARRIED = "carried"  # it is lost; the probe's own clock carries it on
    LOCAL = "local"  # it is the probe's own clock
    ITSELF = "itself"  # the target is the reference
    NONE = "none"  # not at all: there is no claim


class TimeError(NamedTuple):
    """Target minus UTC(k), with its bound and standard uncertainty; or an offset and the reason why there is no claim.

    `time_error_s`, `bound_s` and `u_s` are all present or all absent; where absent, `no_claim` says why. The parts name each
    contribution in seconds: the bound is their plain sum, u their root sum of squares, or the bound where that is less. `tie`
    is the one that was used.
    """

    offset: ClockOffset
    reference: str | None
    realises: str | None
    time_error_s: float | None = None
    bound_s: float | None = None
    u_s: float | None = None
    no_claim: Reason | None = None
    bound_parts: Mapping[str, float] = NO_PARTS
    u_parts: Mapping[str, float] = NO_PARTS
    quality: Quality = Quality.NONE
    tie: Tie | None = None


class Severity(StrEnum):
    """How much an event matters to an operator."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, once, at an instant: a clock step, a change of address, a server that denies access."""

    kind: str
    at_ns: int
    severity: Severity
    text: str
    target: str | None = None
    evidence: Mapping[str, FieldValue] = field(default_factory=dict)


class Validity(NamedTuple):
    """From when until when a certificate is valid, Unix ns."""

    from_ns: int
    until_ns: int


class Record(NamedTuple):
    """What is stored and handed on: one row of one measurement. An absent field is absent, never null.

    (`measurement`, `tags`, `at_ns`) identifies a record: writing it twice is harmless, a later one replaces the earlier.
    `tags` are site, probe, target, protocol, reference (those that apply, all non-empty); everything else is a field.
    """

    measurement: str
    at_ns: int
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]
