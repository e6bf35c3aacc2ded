"""What is known of one PTP master, what a poll makes of it, and what may happen to it. Without I/O.

Rule: a poll gives each master one result: measured, or missed with its reason. Sources: IEEE 1588-2019 clauses 9.3.2.4.4 (foreign
masters); IEEE 802.1AS-2020 clause 11.4.4.3 (Follow_Up information).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from timesync.reasons import Reason
from timesync.wire.ptp.header import Flag, PortIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.exchange.ntp import Stamp
    from timesync.exchange.ptp_peer import PeerLink
    from timesync.wire.ptp.message import Announce
    from timesync.wire.ptp.tlv import FollowUpInformation

__all__ = [
    "ANNOUNCE_TIMEOUT_INTERVALS",
    "Answer",
    "Appeared",
    "BestChanged",
    "Changed",
    "Half",
    "MasterKey",
    "MasterState",
    "PtpEvent",
    "PtpMeasured",
    "PtpMissed",
    "PtpPeerMeasured",
    "PtpRefused",
    "Request",
    "Stepped",
    "SyncPair",
    "Vanished",
    "link_of",
    "peer_result",
    "result",
]

# Clause 9.3.2.4.4: a master counts once it has been heard twice within four of its intervals.
FOREIGN_MASTER_THRESHOLD = 2
# Clause 9.2.6.12: announceReceiptTimeout, in intervals; profiles use 2 to 10, the default profile 3.
ANNOUNCE_TIMEOUT_INTERVALS = 3
STEPS_REMOVED_LIMIT = 255


class MasterKey(NamedTuple):
    """Who is measured: a port, in a domain of a standard development organisation."""

    domain: int
    sdo: int
    port: PortIdentity


class Half(NamedTuple):
    """One of Sync and Follow_Up, waiting for the other: its instant and correction."""

    at_ns: int
    correction: int
    stamp: Stamp | None


@dataclass(slots=True)
class Request:
    """A Delay_Req that is open, to one master or (None) to all; its stamp may be bettered until the poll is closed."""

    sequence_id: int
    to: PortIdentity | None = None
    t1: Stamp | None = None


class Answer(NamedTuple):
    """A master's Delay_Resp: when the request reached it, corrected."""

    t2_ns: int
    request: Request
    correction: int


class SyncPair(NamedTuple):
    """A complete Sync: when it left by the master (corrected), and when it came."""

    t3_ns: int
    t4: Stamp
    sequence_id: int
    heard_s: float
    two_step: bool
    correction: int


@dataclass(slots=True)
class MasterState:
    """What is known of one master. Times `_s` are the caller's monotonic seconds."""

    key: MasterKey
    since_s: float
    heard_s: float
    announce: Announce | None = None
    announce_flags: int = 0
    announce_interval_s: float = 2.0
    announced_s: float = float("-inf")
    announces: int = 0
    sync_interval_s: float = 1.0
    sync: SyncPair | None = None
    syncs: int = 0
    syncs_missed: int = 0
    responses: list[Answer] = field(default_factory=list)
    information: FollowUpInformation | None = None
    last_sync_sequence: int | None = None
    refused_sync_sequence: int | None = None
    halves: dict[int, Half] = field(default_factory=dict)
    follow_ups: dict[int, Half] = field(default_factory=dict)

    @property
    def qualified(self) -> bool:
        """Whether the best-master algorithm would look at it (clause 9.3.2.5)."""
        announce = self.announce
        return (
            announce is not None
            and self.announces >= FOREIGN_MASTER_THRESHOLD
            and announce.steps_removed < STEPS_REMOVED_LIMIT
            and not self.announce_flags & Flag.ALTERNATE_MASTER
        )

    def settled(self, now_s: float) -> bool:
        """Whether it is known what this master is: it counts, or has had the time to."""
        return self.qualified or now_s - self.since_s > ANNOUNCE_TIMEOUT_INTERVALS * self.announce_interval_s


class PtpMeasured(NamedTuple):
    """One master, measured: t2 and t3 on its own time scale, corrections applied."""

    key: MasterKey
    t1: Stamp
    t2_ns: int
    t3_ns: int
    t4: Stamp
    announce: Announce | None
    announce_flags: int
    two_step: bool
    sync_correction: int
    delay_correction: int


class PtpPeerMeasured(NamedTuple):
    """One master, measured by its Sync and the delay of our link: t3 on its own time scale, corrections applied."""

    key: MasterKey
    t3_ns: int
    t4: Stamp
    link: PeerLink
    announce: Announce | None
    announce_flags: int
    two_step: bool

    @property
    def offset_s(self) -> float:
        """Master minus us: the Sync left at t3 and took the link's delay to come at t4."""
        return (self.t3_ns - self.t4.at_ns) / 1e9 + self.link.delay_s

    @property
    def path_bound_s(self) -> float:
        """How far the path may have made `offset_s` wrong.

        The Sync took no less than no time, and our question no less either: the offset lies between t3 - t4 and, where the peer is
        the master itself, t2 - t1. Behind another peer nothing is known of how long this Sync waited: then it is the link's delay.
        """
        link = self.link
        bound_s = abs(link.delay_s)
        if link.t2_ns is None or link.peer != self.key.port:
            return bound_s
        return max(bound_s, abs((link.t2_ns - link.t1.at_ns) / 1e9 - self.offset_s))


class PtpMissed(NamedTuple):
    """A master that is there, and was not measured by this poll."""

    key: MasterKey
    reason: Reason
    detail: str


class PtpRefused(NamedTuple):
    """A message that was not used."""

    reason: Reason
    detail: str


class Appeared(NamedTuple):
    """A master that was not known, or is back."""

    key: MasterKey


class Vanished(NamedTuple):
    """A master that has not been heard for too long."""

    key: MasterKey
    silent_s: float


class Changed(NamedTuple):
    """Something a master announces has changed: which field, from what, to what."""

    key: MasterKey
    what: str
    old: int
    new: int


class Stepped(NamedTuple):
    """A gPTP grandmaster says that its phase or frequency has jumped, or that another one has taken over (gmTimeBaseIndicator)."""

    key: MasterKey
    old: FollowUpInformation
    new: FollowUpInformation


class BestChanged(NamedTuple):
    """The master that the best-master algorithm would choose in a domain is another one."""

    domain: int
    sdo: int
    old: MasterKey | None
    new: MasterKey | None


PtpEvent = PtpRefused | Appeared | Vanished | Changed | Stepped | BestChanged


def result(state: MasterState, now_s: float) -> PtpMeasured | PtpMissed:
    """What this poll learned of one master."""
    sync = state.sync
    if sync is None:
        return _without_sync(state)
    # Of questions that left together the one that travelled fastest waited least on its way.
    travelled = [
        (answer.t2_ns - t1.at_ns, number, t1)
        for number, answer in enumerate(state.responses)
        if (t1 := answer.request.t1) is not None
    ]
    if not travelled:
        return PtpMissed(state.key, Reason.NO_DELAY_RESPONSE, f"the last Sync is {now_s - sync.heard_s:.1f} s old")
    _, number, t1 = min(travelled, key=lambda each: each[:2])
    response = state.responses[number]
    return PtpMeasured(
        state.key,
        t1,
        response.t2_ns,
        sync.t3_ns,
        sync.t4,
        state.announce,
        state.announce_flags,
        sync.two_step,
        sync.correction,
        response.correction,
    )


def _without_sync(state: MasterState) -> PtpMissed:
    halves = len(state.halves)
    reason = Reason.NO_FOLLOW_UP if halves else Reason.NO_SYNC
    return PtpMissed(state.key, reason, f"{state.syncs} Sync heard in all, {halves} without Follow_Up")


def link_of(key: MasterKey, links: Mapping[PortIdentity, PeerLink]) -> PeerLink | None:
    """The link by which a master's Sync comes: to itself, or to the only peer there is (a transparent or boundary clock)."""
    if key.port in links:
        return links[key.port]
    return next(iter(links.values())) if len(links) == 1 else None


def peer_result(
    state: MasterState, links: Mapping[PortIdentity, PeerLink], now_s: float
) -> PtpPeerMeasured | PtpMissed:
    """What this poll learned of one master by peer delay."""
    sync, link = state.sync, link_of(state.key, links)
    if sync is None:
        return _without_sync(state)
    if link is None:
        what = f"{len(links)} peers answered the Pdelay_Req; the last Sync is {now_s - sync.heard_s:.1f} s old"
        return PtpMissed(state.key, Reason.NO_DELAY_RESPONSE, what)
    return PtpPeerMeasured(state.key, sync.t3_ns, sync.t4, link, state.announce, state.announce_flags, sync.two_step)
