"""The peer delay mechanism: how long the link to the next PTP port is. Without I/O.

Rule: a link delay comes from one question and one peer's complete answer to it; several peers on one link (a bridge that knows no
PTP lets them answer) are kept apart by their identities, and none is chosen for another.

Sources: IEEE 1588-2019 clause 11.4.2: D = ((t4 - t1) - (responseOriginTimestamp - requestReceiptTimestamp) - corrections) / 2; a
one-step answer has the difference of the two in its correctionField. IEEE 802.1AS-2020 clauses 11.2.19.3.3 and 11.2.19.3.4: the
peer's rate over ours, r, by its and our stamps of answers some time apart; with it D = (r (t4 - t1) - (t3 - t2) - corrections) / 2.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from timesync.reasons import Reason
from timesync.wire.ptp.header import Flag, Header, MessageType, PortIdentity, Timestamp
from timesync.wire.ptp.message import Message, PdelayReq, Response, encode

if TYPE_CHECKING:
    from timesync.exchange.ntp import Stamp

__all__ = ["PeerDelay", "PeerLink", "PeerResponder"]

PEERS_KEPT = 32
# The rate of a peer is taken over at least this long, so that reading errors do not make it, and at most so long.
LEAST_SPAN_NS, GREATEST_SPAN_NS = 1_000_000_000, 60_000_000_000
ANSWERS_KEPT = 16
# A rate further from ours than this is a step of one of the clocks (802.1AS allows each 100 ppm).
GREATEST_RATE_OFFSET = 1e-3


class PeerLink(NamedTuple):
    """The link to a peer: its delay, our two stamps of the exchange, and when our question came by the peer's clock.

    `t2_ns` is None where the peer does not tell (a one-step answer). `rate_offset` is the peer's rate over ours, minus 1
    (neighborRateRatio of 802.1AS); None while it is not known.
    """

    peer: PortIdentity
    delay_s: float
    t1: Stamp
    t4: Stamp
    t2_ns: int | None
    rate_offset: float | None = None


@dataclass(slots=True)
class _Answer:
    """What a peer has said so far; ns, and corrections in 2^-16 ns."""

    received_ns: int
    t4: Stamp
    correction: int
    two_step: bool
    sent_ns: int | None = None


@dataclass(slots=True)
class _Question:
    """An open Pdelay_Req. `early` holds the follow-ups that overtook their answers (another socket): instant and correction."""

    domain: int
    sdo: int
    sequence_id: int
    t1: Stamp | None = None
    answers: dict[PortIdentity, _Answer] = field(default_factory=dict)
    early: dict[PortIdentity, tuple[int, int]] = field(default_factory=dict)


class PeerDelay:
    """One port of ours that asks its peer, one question at a time."""

    def __init__(self, identity: PortIdentity) -> None:
        self._identity = identity
        self._sequence = 0
        self._question: _Question | None = None
        # By peer: when its answers left by its clock and came by ours, ns, oldest first.
        self._answered: dict[PortIdentity, deque[tuple[int, int]]] = {}

    def ask(self, domain: int, sdo: int = 0) -> bytes:
        """A Pdelay_Req; an older question is forgotten."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._question = _Question(domain, sdo, self._sequence)
        header = Header(
            MessageType.PDELAY_REQ,
            self._identity,
            self._sequence,
            domain,
            control=5,
            log_interval=0x7F,
            major_sdo_id=sdo >> 8,
            minor_sdo_id=sdo & 0xFF,
        )
        return encode(Message(header, PdelayReq(Timestamp(0, 0))))

    def asked(self, stamp: Stamp) -> None:
        """When the question left; of several stamps the last counts."""
        if self._question is not None:
            self._question.t1 = stamp

    def close(self) -> None:
        """No answer is awaited any more; those that came serve the peers' rates."""
        question, self._question = self._question, None
        if question is None:
            return
        for peer, answer in question.answers.items():
            if answer.sent_ns is not None:
                self._answered.setdefault(peer, deque(maxlen=ANSWERS_KEPT)).append((answer.sent_ns, answer.t4.at_ns))
        while len(self._answered) > PEERS_KEPT:
            del self._answered[next(iter(self._answered))]

    def restart(self) -> None:
        """The probe's clock was stepped: what was stamped before is of no use."""
        self._question = None
        self._answered.clear()

    def _rate_offset(self, peer: PortIdentity, sent_ns: int, came_ns: int) -> float | None:
        """The peer's rate over ours, minus 1, from its oldest answer that is young enough to this one."""
        answered = self._answered.get(peer)
        while answered and came_ns - answered[0][1] > GREATEST_SPAN_NS:
            answered.popleft()
        if not answered or came_ns - answered[0][1] < LEAST_SPAN_NS:
            return None
        first_sent_ns, first_came_ns = answered[0]
        ours_ns = came_ns - first_came_ns
        offset = (sent_ns - first_sent_ns - ours_ns) / ours_ns
        if abs(offset) > GREATEST_RATE_OFFSET:
            answered.clear()
            return None
        return offset

    def responded(self, header: Header, response: Response, stamp: Stamp) -> tuple[Reason, str] | None:
        """A Pdelay_Resp came: why it was not used, or None."""
        if response.requesting != self._identity:
            return None  # the answer to another port's question
        question = self._awaiting(header)
        if question is None:
            return Reason.LATE, f"Pdelay_Resp {header.sequence_id} of {header.source} was not awaited"
        if header.source in question.answers:
            return Reason.DUPLICATE, f"Pdelay_Resp {header.sequence_id} of {header.source} came twice"
        if not response.timestamp.is_valid:
            return Reason.MALFORMED, f"a Pdelay_Resp of {header.source} has 1e9 ns or more"
        if len(question.answers) >= PEERS_KEPT:
            return Reason.TOO_MANY_MASTERS, f"more than {PEERS_KEPT} peers answer on one link"
        answer = _Answer(response.timestamp.at_ns, stamp, header.correction, header.has(Flag.TWO_STEP))
        question.answers[header.source] = answer
        early = question.early.pop(header.source, None)
        if early is not None and answer.two_step:
            answer.sent_ns = early[0]
            answer.correction += early[1]
        return None

    def followed_up(self, header: Header, response: Response) -> tuple[Reason, str] | None:
        """A Pdelay_Resp_Follow_Up came: why it was not used, or None."""
        if response.requesting != self._identity:
            return None
        question = self._awaiting(header)
        if question is None:
            return Reason.LATE, f"Pdelay_Resp_Follow_Up {header.sequence_id} of {header.source} was not awaited"
        answer = question.answers.get(header.source)
        if header.source in question.early or (answer is not None and answer.sent_ns is not None):
            return Reason.DUPLICATE, f"Pdelay_Resp_Follow_Up {header.sequence_id} of {header.source} came twice"
        if not response.timestamp.is_valid:
            return Reason.MALFORMED, f"a Pdelay_Resp_Follow_Up of {header.source} has 1e9 ns or more"
        if answer is not None:
            answer.sent_ns = response.timestamp.at_ns
            answer.correction += header.correction
        elif len(question.early) < PEERS_KEPT:
            question.early[header.source] = (response.timestamp.at_ns, header.correction)
        else:
            return Reason.TOO_MANY_MASTERS, f"more than {PEERS_KEPT} peers answer on one link"
        return None

    def _awaiting(self, header: Header) -> _Question | None:
        question = self._question
        sdo = header.major_sdo_id << 8 | header.minor_sdo_id
        if question is None:
            return None
        same = (question.domain, question.sdo, question.sequence_id) == (header.domain, sdo, header.sequence_id)
        return question if same else None

    def links(self) -> dict[PortIdentity, PeerLink]:
        """The links whose answers are complete, by peer."""
        question = self._question
        if question is None or question.t1 is None:
            return {}
        found = {}
        for peer, answer in question.answers.items():
            held_ns, t2_ns, rate_offset = 0, None, None
            if answer.two_step:
                if answer.sent_ns is None:
                    continue
                held_ns, t2_ns = answer.sent_ns - answer.received_ns, answer.received_ns
                rate_offset = self._rate_offset(peer, answer.sent_ns, answer.t4.at_ns)
            ours_ns = answer.t4.at_ns - question.t1.at_ns
            round_ns = ours_ns - held_ns - answer.correction / 65536 + (rate_offset or 0.0) * ours_ns
            found[peer] = PeerLink(peer, round_ns / 2e9, question.t1, answer.t4, t2_ns, rate_offset)
        return found


class PeerResponder:
    """Answers a neighbour's Pdelay_Req, two-step: a gPTP port is silent towards a neighbour that does not (asCapable).

    It serves no time: the two instants of an answer are on the probe's clock, whatever that shows, and only their difference and
    rate are of use.
    """

    def __init__(self, identity: PortIdentity) -> None:
        self._identity = identity

    def response(self, request: Header, came: Stamp) -> bytes:
        """The Pdelay_Resp to a request that came then."""
        header = self._header(MessageType.PDELAY_RESP, request, Flag.TWO_STEP)
        return encode(Message(header, Response(Timestamp.of_ns(came.at_ns), request.source)))

    def follow_up(self, request: Header, left: Stamp) -> bytes:
        """The Pdelay_Resp_Follow_Up for a response that left then."""
        header = self._header(MessageType.PDELAY_RESP_FOLLOW_UP, request, 0)
        return encode(Message(header, Response(Timestamp.of_ns(left.at_ns), request.source)))

    def _header(self, kind: MessageType, request: Header, flags: int) -> Header:
        """(IEEE 1588-2019 clause 11.4.2: domain, sequenceId and correctionField are the request's, the last in the follow-up.)"""
        return Header(
            kind,
            self._identity,
            request.sequence_id,
            request.domain,
            flags,
            correction=request.correction if kind == MessageType.PDELAY_RESP_FOLLOW_UP else 0,
            control=5,
            log_interval=0x7F,
            major_sdo_id=request.major_sdo_id,
            minor_sdo_id=request.minor_sdo_id,
        )
