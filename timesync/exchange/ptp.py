"""A PTP port that only listens and asks: every master it hears is followed, none is ever served or obeyed. Without I/O.

Rule: a master is a port identity in a domain, and each is followed on its own, best or not. Time comes from a Sync with its
Follow_Up (or a one-step Sync), the path from our Delay_Req and the master's Delay_Resp; each is matched by domain, identity and
sequence number, and what does not match is refused by name. Corrections count in both directions. We never send Announce or Sync.

Sources: IEEE 1588-2019 clauses 11.2 (offset), 11.3 (delay request-response), 11.4 (peer delay), 9.2.6.12
(announce receipt time-out). What is known of one master is in ptp_master.py.

The exchange is given in the order of the rest of this project: t1 our request leaves, t2 it reaches the master, t3 the
master's Sync leaves, t4 it reaches us; t2 and t3 on the master's time scale, so that offset = ((t2 - t1) + (t3 - t4)) / 2
is master minus probe, the opposite of a PTP stack's offsetFromMaster.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from timesync.errors import WireError
from timesync.exchange.ptp_master import (
    ANNOUNCE_TIMEOUT_INTERVALS,
    Answer,
    Appeared,
    BestChanged,
    Changed,
    Half,
    MasterKey,
    MasterState,
    PtpEvent,
    PtpMeasured,
    PtpMissed,
    PtpPeerMeasured,
    PtpRefused,
    Request,
    Stepped,
    SyncPair,
    Vanished,
    link_of,
    peer_result,
    result,
)
from timesync.exchange.ptp_peer import PeerDelay
from timesync.exchange.ptp_profiles import default_rank
from timesync.reasons import Reason
from timesync.wire.ptp.header import Flag, Header, MessageType, PortIdentity, Timestamp
from timesync.wire.ptp.message import Announce, Message, Response, Stamped, decode, encode
from timesync.wire.ptp.tlv import follow_up_information

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from timesync.exchange.ntp import Stamp

Rank: TypeAlias = "Callable[[Announce, PortIdentity], tuple[int, ...]]"

__all__ = [
    "MASTERS_LIMIT",
    "Appeared",
    "BestChanged",
    "Changed",
    "MasterKey",
    "MasterState",
    "PtpEvent",
    "PtpListener",
    "PtpMeasured",
    "PtpMissed",
    "PtpPeerMeasured",
    "PtpRefused",
    "Stepped",
    "Vanished",
]

# Syncs and Follow_Ups that wait for their other half, per master.
HALVES_KEPT = 8
# A Sync older than this many of its own intervals is no sign of a living master.
SYNC_TIMEOUT_INTERVALS = 5
WATCHED = ("grandmaster", "clock_class", "clock_accuracy", "steps_removed", "current_utc_offset_s", "time_source")
GREATEST_LOG_INTERVAL = 12
# Between the sequence numbers of the questions of one poll to one master.
SEQUENCE_STRIDE = 0x1FFF
# Masters followed at once: forged identities must not fill the memory.
MASTERS_LIMIT = 512


def _interval_s(log_interval: int, otherwise_s: float) -> float:
    """2 to the power of a logMessageInterval; 0x7F and nonsense say nothing."""
    return 2.0**log_interval if -GREATEST_LOG_INTERVAL <= log_interval <= GREATEST_LOG_INTERVAL else otherwise_s


class PtpListener:
    """One port of ours on one segment, in all domains.

    Give it every PTP message by `received`. For a poll: `ask` gives the Delay_Req to send, `asked` says when it left, and `account`
    closes the poll with one result for each master of the domain. `tick` notices who has gone. Where the path is measured by peer
    delay it is `peer.ask`, `peer.asked` and `account_peer`.
    """

    def __init__(self, identity: PortIdentity, rank: Rank = default_rank) -> None:
        """`rank` puts masters in the order of a profile's best-master algorithm."""
        self.identity = identity
        self._rank = rank
        self.masters: dict[MasterKey, MasterState] = {}
        self.peer = PeerDelay(identity)
        self.refused: Counter[Reason] = Counter()
        self._best: dict[tuple[int, int], MasterKey | None] = {}
        self._requests: dict[tuple[int, int], list[Request]] = {}
        self._sequence = self._newest = 0
        self._handlers: Mapping[int, Callable[[Header, Any, Stamp, float], Sequence[PtpEvent]]] = {
            MessageType.ANNOUNCE: self._announced,
            MessageType.SYNC: self._synced,
            MessageType.FOLLOW_UP: self._followed_up,
            MessageType.DELAY_RESP: self._responded,
            MessageType.PDELAY_RESP: self._peer_responded,
            MessageType.PDELAY_RESP_FOLLOW_UP: self._peer_followed_up,
        }

    # Asking

    def ask(self, domain: int, sdo: int = 0, flags: int = 0) -> bytes:
        """`begin`, and one Delay_Req to every master of the domain."""
        self.begin(domain, sdo)
        return self.question(domain, sdo, flags)

    def begin(self, domain: int, sdo: int = 0) -> None:
        """A poll of a domain begins: its older questions, and their answers, are forgotten."""
        self._requests[domain, sdo] = []
        for key, state in self.masters.items():
            if (key.domain, key.sdo) == (domain, sdo):
                state.responses.clear()

    def question(self, domain: int, sdo: int = 0, flags: int = 0, to: PortIdentity | None = None) -> bytes:
        """A Delay_Req of the poll, to one master or to all. Of several the one that travels fastest counts."""
        before = sum(request.to == to for request in self._requests[domain, sdo])
        if not before:
            self._sequence = (self._sequence + 1) & 0xFFFF
        # Far apart: the answer of a master that counts wrongly must not pass for one to the question beside it.
        self._newest = (self._sequence + before * SEQUENCE_STRIDE) & 0xFFFF
        self._requests[domain, sdo].append(Request(self._newest, to))
        header = Header(
            MessageType.DELAY_REQ,
            self.identity,
            self._newest,
            domain,
            flags,
            control=1,
            log_interval=0x7F,
            major_sdo_id=sdo >> 8,
            minor_sdo_id=sdo & 0xFF,
        )
        return encode(Message(header, Stamped(Timestamp(0, 0))))

    def asked(self, domain: int, stamp: Stamp, sdo: int = 0, sequence_id: int | None = None) -> None:
        """When an open Delay_Req of the domain left (the newest, if its number is not given).

        Of several stamps of one question the last counts (a hardware stamp comes last).
        """
        wanted = self._newest if sequence_id is None else sequence_id
        for request in self._requests.get((domain, sdo), ()):
            if request.sequence_id == wanted:
                request.t1 = stamp

    def answered(self, domain: int, sdo: int = 0) -> bool:
        """Whether every master of the domain that is heard has answered each open question and has a fresh Sync."""
        requests = self._requests.get((domain, sdo), ())
        states = [state for key, state in self.masters.items() if (key.domain, key.sdo) == (domain, sdo)]
        if not states or not requests:
            return False
        for state in states:
            asked = sum(request.to in {None, state.key.port} for request in requests)
            if state.sync is None or not asked or len(state.responses) < asked:
                return False
        return True

    def account(self, domain: int, now_s: float, sdo: int = 0) -> Sequence[PtpMeasured | PtpMissed]:
        """One result for each master of the domain: measured, or why not. A Sync is used once."""
        self._requests.pop((domain, sdo), None)
        results: list[PtpMeasured | PtpMissed] = []
        for key, state in self.masters.items():
            if (key.domain, key.sdo) == (domain, sdo):
                results.append(result(state, now_s))
                state.sync = None
                state.responses.clear()
        return results

    def answered_peer(self, domain: int, sdo: int = 0) -> bool:
        """Whether every master of the domain that is heard has a fresh Sync, and the delay of its link is known."""
        links = self.peer.links()
        states = [state for key, state in self.masters.items() if (key.domain, key.sdo) == (domain, sdo)]
        return bool(states) and all(state.sync is not None and link_of(state.key, links) for state in states)

    def account_peer(self, domain: int, now_s: float, sdo: int = 0) -> Sequence[PtpPeerMeasured | PtpMissed]:
        """As `account`, by the delay of our link."""
        links = self.peer.links()
        self.peer.close()
        results: list[PtpPeerMeasured | PtpMissed] = []
        for key, state in self.masters.items():
            if (key.domain, key.sdo) == (domain, sdo):
                results.append(peer_result(state, links, now_s))
                state.sync = None
        return results

    def restart(self) -> None:
        """The probe's clock was stepped: what was stamped before is of no use."""
        self._requests.clear()
        self.peer.restart()
        for state in self.masters.values():
            state.sync = None
            state.responses.clear()
            state.halves.clear()

    # Hearing

    def received(self, data: bytes, stamp: Stamp, now_s: float) -> Sequence[PtpEvent]:
        """A PTP message arrived. Never raises, whatever the octets; what is not for us and not from a master is left alone."""
        try:
            message = decode(data)
        except WireError as error:
            return [self._refuse(Reason.MALFORMED, str(error))]
        header, body = message.header, message.body
        handle = self._handlers.get(header.message_type)
        if handle is None or header.source == self.identity:
            return []  # not a master's message, or our own multicast come back
        events = handle(header, body, stamp, now_s)
        if message.tlvs and header.message_type == MessageType.FOLLOW_UP:
            return [*events, *self._informed(message)]
        return events

    def _informed(self, message: Message) -> Sequence[PtpEvent]:
        """The Follow_Up information of a gPTP master: what it says of its grandmaster's rate and steps."""
        header = message.header
        state = self.masters.get(
            MasterKey(header.domain, header.major_sdo_id << 8 | header.minor_sdo_id, header.source)
        )
        for tlv in message.tlvs:
            information = follow_up_information(tlv)
            if information is not None and state is not None:
                before, state.information = state.information, information
                if before is not None and before.gm_time_base_indicator != information.gm_time_base_indicator:
                    return [Stepped(state.key, before, information)]
        return ()

    def tick(self, now_s: float) -> Sequence[PtpEvent]:
        """Once a second or so: masters that have fallen silent are let go, and the best is chosen again."""
        events: list[PtpEvent] = []
        for key, state in list(self.masters.items()):
            patience_s = ANNOUNCE_TIMEOUT_INTERVALS * state.announce_interval_s
            patience_s = max(patience_s, SYNC_TIMEOUT_INTERVALS * state.sync_interval_s)
            if now_s - state.heard_s > patience_s:
                del self.masters[key]
                events.append(Vanished(key, now_s - state.heard_s))
                events += self._choose(key)
            elif state.announce is not None and now_s - state.announced_s > patience_s:
                state.announce, state.announces = None, 0
                events += self._choose(key)
        return events

    def best(self, domain: int, sdo: int = 0) -> MasterKey | None:
        """The master that the best-master algorithm would choose there."""
        return self._best.get((domain, sdo))

    def _refuse(self, reason: Reason, detail: str) -> PtpRefused:
        self.refused[reason] += 1
        return PtpRefused(reason, detail)

    def _master(self, header: Header, now_s: float, events: list[PtpEvent]) -> MasterState | None:
        """The sender's state; None if so many are followed already that no other can be."""
        sdo = header.major_sdo_id << 8 | header.minor_sdo_id
        key = MasterKey(header.domain, sdo, header.source)
        state = self.masters.get(key)
        if state is None:
            if len(self.masters) >= MASTERS_LIMIT:
                events.append(self._refuse(Reason.TOO_MANY_MASTERS, f"{header.source} is not followed"))
                return None
            state = self.masters[key] = MasterState(key, now_s, now_s)
            events.append(Appeared(key))
        state.heard_s = now_s
        return state

    def _announced(self, header: Header, announce: Announce, _: Stamp, now_s: float) -> Sequence[PtpEvent]:
        events: list[PtpEvent] = []
        state = self._master(header, now_s, events)
        if state is None:
            return events
        old = state.announce
        if old is not None:
            for name in WATCHED:
                before, after = getattr(old, name), getattr(announce, name)
                if before != after:
                    events.append(Changed(state.key, name, before, after))
            if state.announce_flags != header.flags:
                events.append(Changed(state.key, "flags", state.announce_flags, header.flags))
        state.announce, state.announce_flags, state.announced_s = announce, header.flags, now_s
        state.announce_interval_s = _interval_s(header.log_interval, state.announce_interval_s)
        state.announces += 1
        events += self._choose(state.key)
        return events

    def _choose(self, key: MasterKey) -> Sequence[PtpEvent]:
        """The best master of a key's domain, if it is another one than before."""
        place = (key.domain, key.sdo)
        candidates = [
            state for other, state in self.masters.items() if (other.domain, other.sdo) == place and state.qualified
        ]
        best = min(candidates, key=self._place).key if candidates else None
        old = self._best.get(place)
        if best == old:
            return ()
        self._best[place] = best
        return [BestChanged(key.domain, key.sdo, old, best)]

    def _place(self, state: MasterState) -> tuple[int, ...]:
        assert state.announce is not None
        return self._rank(state.announce, state.key.port)

    def _synced(self, header: Header, sync: Stamped, stamp: Stamp, now_s: float) -> Sequence[PtpEvent]:
        events: list[PtpEvent] = []
        state = self._master(header, now_s, events)
        if state is None:
            return events
        sequence = header.sequence_id
        last = state.last_sync_sequence
        if last is not None:
            step = (sequence - last) & 0xFFFF
            if step == 0 or step >= 0x8000:
                # One that goes back is refused; two that follow each other are a master that has begun to count anew.
                before, state.refused_sync_sequence = state.refused_sync_sequence, sequence
                if step == 0 or before is None or sequence != (before + 1) & 0xFFFF:
                    events.append(self._refuse(Reason.DUPLICATE, f"Sync {sequence} after {last} from {header.source}"))
                    return events
                state.halves.clear()
                state.follow_ups.clear()
            else:
                state.syncs_missed += step - 1
        state.last_sync_sequence, state.refused_sync_sequence = sequence, None
        state.syncs += 1
        state.sync_interval_s = _interval_s(header.log_interval, state.sync_interval_s)
        if not header.has(Flag.TWO_STEP):
            if not sync.timestamp.is_valid:
                events.append(self._refuse(Reason.MALFORMED, f"a Sync of {header.source} has 1e9 ns or more"))
                return events
            state.sync = _pair(sync.timestamp, header.correction, stamp, sequence, now_s, two_step=False)
            return events
        waiting = state.follow_ups.pop(sequence, None)
        if waiting is None:
            _keep(state.halves, sequence, Half(0, header.correction, stamp))
        else:
            state.sync = SyncPair(
                waiting.at_ns + _correction_ns(header.correction + waiting.correction),
                stamp,
                sequence,
                now_s,
                two_step=True,
                correction=header.correction + waiting.correction,
            )
        return events

    def _followed_up(self, header: Header, follow_up: Stamped, _: Stamp, now_s: float) -> Sequence[PtpEvent]:
        events: list[PtpEvent] = []
        state = self._master(header, now_s, events)
        if state is None:
            return events
        if not follow_up.timestamp.is_valid:
            events.append(self._refuse(Reason.MALFORMED, f"a Follow_Up of {header.source} has 1e9 ns or more"))
            return events
        waiting = state.halves.pop(header.sequence_id, None)
        if waiting is None:
            # The Follow_Up came first (another socket), or its Sync was lost.
            _keep(state.follow_ups, header.sequence_id, Half(follow_up.timestamp.at_ns, header.correction, None))
        elif waiting.stamp is not None:
            correction = waiting.correction + header.correction
            state.sync = _pair(follow_up.timestamp, correction, waiting.stamp, header.sequence_id, now_s, two_step=True)
        return events

    def _responded(self, header: Header, response: Response, _: Stamp, __: float) -> Sequence[PtpEvent]:
        if response.requesting != self.identity:
            return ()  # the answer to another port's question
        sdo = header.major_sdo_id << 8 | header.minor_sdo_id
        open_ones = self._requests.get((header.domain, sdo), ())
        request = next((each for each in open_ones if each.sequence_id == header.sequence_id), None)
        if request is None:
            return [self._refuse(Reason.LATE, f"Delay_Resp {header.sequence_id} of {header.source} was not awaited")]
        state = self.masters.get(MasterKey(header.domain, sdo, header.source))
        if state is None or request.to not in {None, header.source}:
            why = "which sends no Sync" if state is None else f"to a question for {request.to}"
            return [self._refuse(Reason.WRONG_SOURCE, f"Delay_Resp of {header.source}, {why}")]
        if any(answer.request is request for answer in state.responses):
            return [self._refuse(Reason.DUPLICATE, f"Delay_Resp {header.sequence_id} of {header.source} came twice")]
        if not response.timestamp.is_valid:
            return [self._refuse(Reason.MALFORMED, f"a Delay_Resp of {header.source} has 1e9 ns or more")]
        t2_ns = response.timestamp.at_ns - _correction_ns(header.correction)
        state.responses.append(Answer(t2_ns, request, header.correction))
        return ()

    def _peer_responded(self, header: Header, response: Response, stamp: Stamp, _: float) -> Sequence[PtpEvent]:
        refusal = self.peer.responded(header, response, stamp)
        return [self._refuse(*refusal)] if refusal is not None else ()

    def _peer_followed_up(self, header: Header, response: Response, _: Stamp, __: float) -> Sequence[PtpEvent]:
        refusal = self.peer.followed_up(header, response)
        return [self._refuse(*refusal)] if refusal is not None else ()


def _correction_ns(correction: int) -> int:
    """A correctionField (2^-16 ns) to the nearest ns."""
    return (correction + 0x8000) >> 16


def _pair(
    timestamp: Timestamp, correction: int, stamp: Stamp, sequence_id: int, now_s: float, *, two_step: bool
) -> SyncPair:
    return SyncPair(timestamp.at_ns + _correction_ns(correction), stamp, sequence_id, now_s, two_step, correction)


def _keep(halves: dict[int, Half], sequence_id: int, half: Half) -> None:
    halves[sequence_id] = half
    if len(halves) > HALVES_KEPT:
        del halves[next(iter(halves))]
