"""What an observer has learned: the result of a capture, as frozen data.

Rule: differences are floats in seconds, a positive offset means that the clock is ahead of the capture's clock; instants are
Unix ns of the capture's clock. What is not known is None. `document` gives the whole of it as JSON knows it, names as they
are here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.capture.findings import Finding
    from timesync.capture.tally import Bin, Summary

__all__ = [
    "Association",
    "CaptureReport",
    "Corrections",
    "Domain",
    "Limits",
    "Master",
    "NtpServer",
    "Profile",
    "Requester",
    "Stream",
    "TwoWay",
    "document",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one direction alone says of a clock's offset from the capture's: not below, not above (None: nothing is known).

    They hold for a clock that keeps its offset throughout.
    """

    at_least_s: float | None
    at_most_s: float | None


@dataclass(frozen=True, slots=True)
class TwoWay:
    """The offset of `clock` from the capture's clock, by questions and answers that passed the capture point.

    `mechanism`: "e2e", "p2p", "basic", "interleaved". `offset` and `round_trip` (capture point to the clock and back) over all
    exchanges; `best_offset_s` of the one with the shortest round trip, `best_bound_s` half of that round trip and what an
    oscillator of 15 ppm gains in between. None where only the delay can be known (`note` says why). `timescale`: as Announce
    tells ("ptp": UTC by the announced offset; "arbitrary"), "utc", "tai" (declared), "local" (a clock that follows nobody).
    """

    clock: str
    mechanism: str
    requester: str
    timescale: str
    exchanges: int
    offset: Summary | None
    round_trip: Summary
    best_offset_s: float | None
    best_bound_s: float | None
    best_at_ns: int
    note: str
    timeline: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """The messages of one type from one port to one destination.

    `interval_s` is the mean over what the sequence numbers count, so that a loss does not lengthen it; `spacing` is between
    neighbours that both came. `announced_by`: "logMessageInterval", "grant" or "" (not announced).
    """

    source: str
    domain: int
    message: str
    destination: str
    count: int
    announced_interval_s: float | None
    announced_by: str
    interval_s: float | None
    spacing: Summary | None
    longest_silence_s: float
    lost: int
    repeated: int
    out_of_order: int
    jumps: int
    first_at_ns: int
    last_at_ns: int


@dataclass(frozen=True, slots=True)
class Corrections:
    """The correctionField of a port's messages of one type: so many, so many not zero, and their values, s."""

    message: str
    not_zero: int
    values: Summary


@dataclass(frozen=True, slots=True)
class Master:
    """A port that sends Announce or Sync. What it announces is of its last Announce, None without one.

    `best`: the best-master algorithm would choose it in its domain (by what was announced last, clause 9.3.4).
    `timescale` is that of `offset_limits`, see `TwoWay` and `Limits`; `two_step`: None where no Sync was seen.
    """

    port: str
    domain: int
    sdo: int
    transport: str
    vlans: tuple[int, ...]
    addresses: tuple[str, ...]
    versions: tuple[str, ...]
    best: bool
    announces: int
    syncs: int
    two_step: bool | None
    unicast: bool
    grandmaster: str | None
    clock_class: int | None
    clock_accuracy: int | None
    offset_scaled_log_variance: int | None
    priority1: int | None
    priority2: int | None
    steps_removed: int | None
    time_source: int | None
    utc_offset_s: int | None
    utc_offset_valid: bool | None
    ptp_timescale: bool | None
    time_traceable: bool | None
    frequency_traceable: bool | None
    path_trace: tuple[str, ...]
    timescale: str
    changes: tuple[tuple[int, str], ...]
    offset_limits: Limits
    corrections: tuple[Corrections, ...]
    syncs_timeline: tuple[Bin, ...]
    losses_timeline: tuple[Bin, ...]
    first_at_ns: int
    last_at_ns: int


@dataclass(frozen=True, slots=True)
class Requester:
    """A port that asks: Delay_Req (`mechanism` "e2e") or Pdelay_Req ("p2p"). `answered` counts what was seen of both sides."""

    port: str
    domain: int
    mechanism: str
    addresses: tuple[str, ...]
    requests: int
    answered: int
    unanswered: int
    answered_by: tuple[str, ...]
    interval_s: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A PTP profile that a domain's messages show, by which evidence.

    `certainty`: "marked" (the messages name it), "fits" (all that it prescribes and that was seen is as it prescribes).
    """

    name: str
    certainty: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """A PTP domain on one transport and VLAN."""

    domain: int
    sdo: int
    transport: str
    vlans: tuple[int, ...]
    masters: int
    requesters: int
    mechanisms: tuple[str, ...]
    profiles: tuple[Profile, ...]
    messages: Mapping[str, int]
    tlvs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class NtpServer:
    """What an NTP server said last, and how many of its packets of which mode were seen."""

    server: str
    version: int
    leap: int
    stratum: int
    reference_id: str
    precision_s: float
    root_delay_s: float
    root_dispersion_s: float
    replies: int
    clients: int
    authentication: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Association:
    """A client and a server of NTP. `interval_s` is the mean between requests, `poll_s` what the client's packets announce.

    `client_clock`: "told" where the requests hold the client's time, "hidden" where they do not (RFC 9109 data minimisation);
    `client_offset_limits` is what its requests then say of the client's clock against the capture's.
    """

    client: str
    server: str
    requests: int
    replies: int
    unanswered: int
    basic: int
    interleaved: int
    poll_s: float | None
    interval_s: float | None
    client_clock: str
    client_offset_limits: Limits
    server_offset_limits: Limits
    first_at_ns: int
    last_at_ns: int


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """All of it. `passed_over` counts frames by `frames.Passed`; `kernel_dropped` is None for a file.

    `resolution_s`: of the capture's timestamps. `complete` is False where the file ends within a record, with the reason in
    `notes`.
    """

    source: str
    live: bool
    first_at_ns: int | None
    last_at_ns: int | None
    frames: int
    ptp_messages: int
    ntp_packets: int
    passed_over: Mapping[str, int]
    resolution_s: float | None
    kernel_dropped: int | None
    complete: bool
    notes: tuple[str, ...]
    domains: tuple[Domain, ...]
    masters: tuple[Master, ...]
    requesters: tuple[Requester, ...]
    streams: tuple[Stream, ...]
    ntp_servers: tuple[NtpServer, ...]
    associations: tuple[Association, ...]
    exchanges: tuple[TwoWay, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether any message of PTP or NTP was read."""
        return bool(self.ptp_messages or self.ntp_packets)


def document(report: CaptureReport) -> dict[str, Any]:
    """The report as dictionaries, lists and plain values, keys as the fields are called."""
    return asdict(report)
