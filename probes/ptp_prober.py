"""Measuring the PTP masters of one domain on one segment: the best as the target itself, every other as its child.

Rule: a poll is one question to all masters; each that is heard gets one account of itself, measured or missed with its reason, and
so does the target where there is none. What the probe hears is never taken for time before it is on the probe's present clock. A
master is named by its port identity; the target is whichever the best-master algorithm would choose now.
The protocol is in timesync/exchange/ptp.py; here are only sending, waiting and naming.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from probes.names import HostName, NotResolved
from probes.ptp_answers import PeerAnswers
from probes.ptp_segment import EVENT_PORT, GENERAL_PORT, TRANSPORTS, Place, PtpSegment
from probes.ptp_telling import Telling
from probes.sockets import icmp_reason, send_reason
from timesync.exchange.ptp import (
    MasterKey,
    PtpListener,
    PtpMeasured,
    PtpMissed,
    PtpPeerMeasured,
    PtpRefused,
)
from timesync.exchange.ptp_facts import Reading, facts_of, reading_of
from timesync.exchange.ptp_profiles import PROFILES
from timesync.exchange.ptp_unicast import UnicastNegotiation
from timesync.model import ClockOffset, Exchange, Missed, Outcome, Severity, Timestamping
from timesync.reasons import Reason
from timesync.uncertainty import PROBE_PRECISION_S, worse_timestamping
from timesync.wire.ptp.header import Flag, MessageType, decode_port

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping, Sequence

    from timesync.exchange.ntp import Stamp
    from timesync.model import PtpFacts
    from timesync.plugin import EngineContext
    from timesync.settings import TargetSettings
    from timesync.timescale import LeapTable
    from timesync.wire.ptp.header import PortIdentity

__all__ = ["PROTOCOL", "PtpProber", "Shared", "options_of", "place_of"]

PROTOCOL = "ptp"
# Where sourcePortIdentity and sequenceId stand in a PTP header (clause 13.3.1).
PORT_AT, SEQUENCE_AT = 20, 30
QUESTIONS = 2
TICK_S = 1.0
# How long a complete poll waits for the hardware stamp of its question.
HARDWARE_STAMP_WAIT_S = 0.005
RESOLVER_PATIENCE_S = 5.0
# Masters of one target that get a name of their own: more are forged, or a mistake.
CHILDREN_LIMIT = 256


class Shared:
    """What all probers of a process share: the segments by place, and the leap-second table."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: EngineContext,
        leaps: LeapTable,
        refused: Counter[Reason],
        open_segment: Callable[[Place, Mapping[str, Any]], PtpSegment],
    ) -> None:
        self.loop = loop
        self.context = context
        self.leaps = leaps
        self.refused = refused
        self._open = open_segment
        self._segments: dict[Place, PtpSegment] = {}

    def segment(self, place: Place, options: Mapping[str, Any]) -> PtpSegment:
        """The segment at a place, opened if it is not, as a target's options wish. Raises OSError."""
        segment = self._segments.get(place)
        if segment is None or not segment.alive:
            segment = self._segments[place] = self._open(place, options)
        return segment

    def leave(self, segment: PtpSegment) -> None:
        """Close a segment that nobody uses any more."""
        if not segment.in_use:
            segment.close()
            if self._segments.get(segment.place) is segment:
                del self._segments[segment.place]


def options_of(target: TargetSettings) -> Mapping[str, Any]:
    """A target's options: what its profile sets, and on top what it sets itself."""
    options: Mapping[str, Any] = target.options
    return {**PROFILES[options.get("profile", "default")].options, **options}


def place_of(target: TargetSettings) -> Place:
    """Where a target's masters are listened for."""
    options = options_of(target)
    ports = options.get("event_port", EVENT_PORT), options.get("general_port", GENERAL_PORT)
    return Place(target.address, options.get("transport", "udp4"), *ports)


class PtpProber:
    """One target."""

    def __init__(self, shared: Shared, target: TargetSettings) -> None:
        options = options_of(target)
        profile = PROFILES[options.get("profile", "default")]
        self._shared = shared
        self._target = target
        self._place = place_of(target)
        self._declared = options.get("timescale", "announced")
        self._by_peer = options.get("delay", "e2e") == "p2p"
        self._questions: int = options.get("questions", QUESTIONS)
        self._hybrid = options.get("hybrid", False)
        self._not_forwarded = options.get("destination", "forwardable") == "nonforwardable"
        self._answers_peers = options.get("answer_peers", False)
        self._rank = profile.rank
        self._telling = Telling(target.name, profile, shared.context.emit)
        self.domain: int = options.get("domain", 0)
        self.major_sdo_id: int = options.get("major_sdo_id", 0)
        self._sdo = self.major_sdo_id << 8
        self.unicast: str | None = None
        self._name: HostName | None = None
        if "unicast" in options:
            family = TRANSPORTS[self._place.transport].family
            self._name = HostName(shared.loop, options["unicast"], self._place.event_port, family)
        self._segment: PtpSegment | None = None
        self._listener: PtpListener | None = None
        self._negotiation: UnicastNegotiation | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._epoch = shared.context.clock_epoch()
        self._done: asyncio.Future[None] | None = None
        self._answers: PeerAnswers | None = None
        # The questions of the poll under way: their sequenceId, by the number of their message.
        self._sent: dict[int, int] = {}
        self._hosts: dict[PortIdentity, str] = {}
        self._sent_kind = Timestamping.USER
        self._trouble: tuple[int, str] | None = None
        self._children: set[str] = set()

    async def begin(self) -> None:
        """Begin to listen, so that the masters are known when the first poll comes; a trouble is told by the polls."""
        await self._ready(patience_s=0.0)

    async def poll(self) -> Sequence[Outcome]:
        """Ask once; one outcome for each master, the target's own first."""
        began_ns = time.time_ns()
        trouble = await self._ready(RESOLVER_PATIENCE_S)
        if trouble is not None:
            return [self._missed(self._target.name, *trouble, began_ns, sent=False)]
        segment, listener = self._segment, self._listener
        assert segment is not None
        assert listener is not None
        epoch = self._shared.context.clock_epoch()
        if epoch != self._epoch:
            self._epoch = epoch
            listener.restart()
        self._done, self._trouble = self._shared.loop.create_future(), None
        try:
            self._ask(segment, listener)
        except OSError as error:
            detail = f"{error.strerror or error} (sending on {self._place.interface})"
            return [self._missed(self._target.name, send_reason(error.errno or 0), detail, began_ns, sent=False)]
        self._look()
        timer = self._shared.loop.call_later(self._target.timeout_s, self._finish)
        try:
            await self._done
        finally:
            timer.cancel()
            self._done = None
        if segment.phc_to_system is not None and self._sent_kind is not Timestamping.HARDWARE:
            await asyncio.sleep(HARDWARE_STAMP_WAIT_S)
        return self._account(listener, began_ns)

    async def close(self) -> Sequence[Outcome]:
        """Give back what was granted, and listen no more."""
        self._finish()
        if self._name is not None:
            self._name.close()
        self._leave()
        return ()

    # Being there

    async def _ready(self, patience_s: float) -> tuple[Reason, str] | None:
        """See that the segment is open and a unicast master's address known. Why not, or None."""
        if self._name is not None and self.unicast is None:
            self._name.ask(self._shared.loop.time())
            await self._name.wait(patience_s)
            found = self._name.take()
            if found is None or isinstance(found, NotResolved):
                return Reason.NAME_NOT_RESOLVED, found or "the resolver has not answered yet"
            self.unicast = found[0][0]
        if self._segment is not None and not self._segment.alive:
            self._leave()
        if self._segment is None:
            try:
                self._segment = self._shared.segment(self._place, self._target.options)
            except OSError as error:
                what = f"{self._place.interface}, {self._place.transport}: {error.strerror or error}"
                if isinstance(error, PermissionError):
                    what += "; it needs the capability CAP_NET_BIND_SERVICE, and for l2 CAP_NET_RAW"
                return Reason.SEND_FAILED, what
            self._listener = PtpListener(self._segment.subscribe(self), self._rank)
            if self._answers_peers:
                self._answers = PeerAnswers(self._segment, self, self._listener.identity)
            if self.unicast is not None:
                self._negotiation = UnicastNegotiation(self._listener.identity, self.domain)
            self._tick()
        return None

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        segment, self._segment, self._listener, self._answers = self._segment, None, None, None
        if segment is None:
            return
        if self._negotiation is not None:
            self._say(segment, self._negotiation.close(self._shared.loop.time()))
        segment.unsubscribe(self)
        self._shared.leave(segment)

    def _tick(self) -> None:
        """Once a second: who has gone, and what is to be asked for again."""
        segment, listener = self._segment, self._listener
        if segment is None or listener is None:
            return
        now_s = self._shared.loop.time()
        if self._negotiation is not None:
            self._say(segment, self._negotiation.due(now_s))
        for event in listener.tick(now_s):
            self._telling.tell(event)
        if self._hybrid:
            known = {key.port for key in listener.masters}
            self._hosts = {port: host for port, host in self._hosts.items() if port in known}
        self._timer = self._shared.loop.call_later(TICK_S, self._tick)

    def _say(self, segment: PtpSegment, messages: Sequence[bytes]) -> None:
        for message in messages:
            try:
                segment.send_general(message, self)
            except OSError as error:
                self.failed(error.errno or 0, error.strerror or str(error))

    # Hearing, as `Subscriber`

    def heard(self, data: bytes, stamp: Stamp, sender: str) -> None:
        """See `Subscriber`."""
        listener = self._listener
        if listener is None:
            return
        now_s = self._shared.loop.time()
        if self._negotiation is not None and self._segment is not None:
            self._say(self._segment, self._negotiation.received(data, now_s))
        for event in listener.received(data, stamp, now_s):
            if isinstance(event, PtpRefused):
                self._shared.refused[event.reason] += 1
            else:
                self._telling.tell(event)
        if self._hybrid and data[0] & 0x0F == MessageType.SYNC:
            self._hosts[decode_port(data, PORT_AT)] = sender
        self._answer(lambda answers: answers.heard(data, stamp))
        self._look()

    def transmitted(self, number: int, stamp: Stamp) -> None:
        """See `Subscriber`."""
        listener = self._listener
        if listener is None:
            return
        if number in self._sent:
            self._sent_kind = stamp.kind
            if self._by_peer:
                listener.peer.asked(stamp)
            else:
                listener.asked(self.domain, stamp, self._sdo, self._sent[number])
        self._answer(lambda answers: answers.transmitted(number, stamp))

    def _answer(self, do: Callable[[PeerAnswers], None]) -> None:
        """Whatever a neighbour's question needs; that an answer could not be sent is the neighbour's loss."""
        if self._answers is not None:
            try:
                do(self._answers)
            except OSError as error:
                self.failed(error.errno or 0, error.strerror or str(error))

    def failed(self, number: int, text: str) -> None:
        """See `Subscriber`."""
        self._trouble = (number, text)
        if self.unicast is not None:
            self._finish()

    # One poll

    def _ask(self, segment: PtpSegment, listener: PtpListener) -> None:
        self._sent, self._sent_kind = {}, Timestamping.USER
        if self._by_peer:
            self._send(segment, listener.peer.ask(self.domain, self._sdo), to_peer=True)
            return
        listener.begin(self.domain, self._sdo)
        flags = 0 if self.unicast is None and not self._hybrid else Flag.UNICAST
        to_whom = [(port, host) for port, host in self._hosts.items()] if self._hybrid else [(None, None)]
        for port, host in to_whom:
            # Back to back: the first warms the path up, as often as not, for the others.
            for _ in range(self._questions):
                question = listener.question(self.domain, self._sdo, flags, port)
                self._send(segment, question, to=host, to_peer=self._not_forwarded)

    def _send(
        self,
        segment: PtpSegment,
        question: bytes,
        *,
        to: str | None = None,
        to_peer: bool = False,
    ) -> None:
        number, stamp = segment.send_event(question, self, to_peer=to_peer, to=to)
        self._sent[number] = int.from_bytes(question[SEQUENCE_AT : SEQUENCE_AT + 2], "big")
        self.transmitted(number, stamp)
        segment.drain_transmit_stamps()

    def _look(self) -> None:
        """Whether the poll is complete."""
        listener = self._listener
        if self._done is not None and listener is not None and listener.best(self.domain, self._sdo) is not None:
            look = listener.answered_peer if self._by_peer else listener.answered
            if look(self.domain, self._sdo):
                self._finish()

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _account(self, listener: PtpListener, began_ns: int) -> Sequence[Outcome]:
        now_s = self._shared.loop.time()
        results: Sequence[PtpMeasured | PtpPeerMeasured | PtpMissed]
        account = listener.account_peer if self._by_peer else listener.account
        results = account(self.domain, now_s, self._sdo)
        stepped = self._shared.context.clock_epoch() != self._epoch
        best = listener.best(self.domain, self._sdo)
        own: list[Outcome] = []
        others: list[Outcome] = []
        for result in results:
            name = self._name_of(result.key, best, settled=listener.masters[result.key].settled(now_s))
            if name is None:
                continue  # too new: it is not known yet whether it will be the best
            if stepped:
                what = "the probe's clock changed during the exchange"
                outcome: Outcome = self._missed(name, Reason.CLOCK_STEPPED, what, began_ns)
            else:
                outcome = self._outcome(name, result, listener, began_ns)
            (own if name == self._target.name else others).append(outcome)
        if not own:
            own.append(self._no_master(len(results), began_ns))
        return [*own, *others]

    def _no_master(self, heard: int, began_ns: int) -> Missed:
        name, negotiation = self._target.name, self._negotiation
        if self._trouble is not None:
            number, text = self._trouble
            return self._missed(name, icmp_reason(number), text, began_ns)
        detail = (
            f"domain {self.domain} on {self._place.interface} ({self._place.transport}): {heard} heard, none qualifies"
        )
        if negotiation is not None and negotiation.refused:
            detail += f"; it refuses {', '.join(negotiation.refused)}"
        return self._missed(name, Reason.NO_MASTER, detail, began_ns)

    def _name_of(self, key: MasterKey, best: MasterKey | None, *, settled: bool) -> str | None:
        """The name that a master is recorded under; None while it has none."""
        if key == best:
            return self._target.name
        name = f"{self._target.name}/{key.port}"
        if not settled or name in self._children:
            return name if settled else None
        if len(self._children) >= CHILDREN_LIMIT:
            self._shared.refused[Reason.TOO_MANY_MASTERS] += 1
            return None
        self._children.add(name)
        if len(self._children) == CHILDREN_LIMIT:
            text = f"{CHILDREN_LIMIT} masters have been heard: further ones are not measured"
            self._telling.emit("too_many_masters", text, Severity.WARNING)
        return name

    def _outcome(
        self, name: str, result: PtpMeasured | PtpPeerMeasured | PtpMissed, listener: PtpListener, at_ns: int
    ) -> Outcome:
        state = listener.masters[result.key]
        reading = reading_of(state.announce, state.announce_flags, self._declared, self._shared.leaps, at_ns)
        self._telling.compare(result.key, state.announce, reading, self._shared.leaps, at_ns)
        facts = facts_of(
            result.key,
            state.announce,
            state.announce_flags,
            reading.timescale,
            two_step=None if isinstance(result, PtpMissed) else result.two_step,
            information=state.information,
            neighbor_rate_offset=result.link.rate_offset if isinstance(result, PtpPeerMeasured) else None,
        )
        if isinstance(result, PtpMissed):
            return self._missed(name, result.reason, result.detail, at_ns, facts)
        if isinstance(result, PtpMeasured):
            return self._exchange(name, result, reading, facts)
        return self._offset(name, result, reading, facts)

    def _exchange(self, name: str, result: PtpMeasured, reading: Reading, facts: PtpFacts) -> Exchange:
        return Exchange(
            name,
            PROTOCOL,
            self._where,
            result.t1.at_ns,
            result.t2_ns - reading.tai_minus_utc_ns,
            result.t3_ns - reading.tai_minus_utc_ns,
            result.t4.at_ns,
            result.t1.kind,
            result.t4.kind,
            "hybrid" if self._hybrid else "e2e" if self.unicast is None else "unicast",
            facts,
            self._epoch,
            no_claim=reading.no_claim,
        )

    def _offset(self, name: str, result: PtpPeerMeasured, reading: Reading, facts: PtpFacts) -> ClockOffset:
        """By peer delay; its two exchanges are as far apart as the probe's oscillator counts."""
        link = result.link
        timestamping = worse_timestamping(result.t4.kind, worse_timestamping(link.t1.kind, link.t4.kind))
        stamps_ns = (link.t1.at_ns, link.t4.at_ns, result.t4.at_ns)
        lasted_s = (max(stamps_ns) - min(stamps_ns)) / 1e9
        return ClockOffset(
            name,
            PROTOCOL,
            result.t4.at_ns,
            result.offset_s - reading.tai_minus_utc_ns / 1e9,
            2.0 * link.delay_s,
            result.path_bound_s,
            facts.precision_s + PROBE_PRECISION_S[timestamping],
            self._shared.context.settings.oscillator_ppm * 1e-6 * lasted_s,
            facts.upstream_s,
            timestamping,
            self._epoch,
            facts=facts,
            no_claim=reading.no_claim,
        )

    @property
    def _where(self) -> str:
        """What was asked: the interface, or the unicast master."""
        return self._target.address if self.unicast is None else f"{self.unicast} by {self._target.address}"

    def _missed(
        self,
        name: str,
        reason: Reason,
        detail: str,
        at_ns: int,
        facts: PtpFacts | None = None,
        *,
        sent: bool = True,
    ) -> Missed:
        return Missed(name, PROTOCOL, self._where, at_ns, reason, detail, self._epoch, sent=sent, facts=facts)
