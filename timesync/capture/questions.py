"""Delay_Req, Pdelay_Req and their answers as they pass, made into two-way exchanges with the clock that answers.

Rule: an answer is matched by who asked, the number and the domain. A question is counted as unanswered only by a later one's
coming, and only where any answer to that port was seen at all: otherwise the capture sees one direction.

In Delay_Resp the correctionField holds all that the question was delayed by; what it had when it passed here is taken off, so
that what remains belongs to the part of the path between the capture point and the master (IEEE 1588-2019 clauses 11.3.2,
11.4.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.capture.exchanges import TIMELINES, UNITS_PER_NS, Pair
from timesync.capture.findings import FindingName, Findings
from timesync.capture.ports import Asked, PeerAnswer, Port, PortKey, bound_dict, is_group
from timesync.capture.tally import Timeline
from timesync.wire.ptp.header import Flag, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.wire.ptp.header import Header
    from timesync.wire.ptp.message import Response

__all__ = ["Questions"]

OPEN_QUESTIONS = 16
OPEN_ANSWERS = 64
PAIRS = 2048


class Questions:
    """All questions and answers; `port_of` finds a port that has been seen."""

    def __init__(self, findings: Findings, port_of: Callable[[PortKey], Port | None]) -> None:
        self._findings = findings
        self._port_of = port_of
        self.pairs: dict[tuple[PortKey, str, PortKey], Pair] = {}

    def asked(self, port: Port, at_ns: int, header: Header, destination: str) -> None:
        """A Delay_Req or Pdelay_Req that is no repetition."""
        kind = header.message_type
        port.questions[kind] = port.questions.get(kind, 0) + 1
        port.asked[kind, destination, header.sequence_id] = Asked(at_ns, header.correction)
        if len(port.asked) > OPEN_QUESTIONS:
            (old_kind, _, number), old = next(iter(port.asked.items()))
            del port.asked[old_kind, _, number]
            self._settle(port, old_kind, number, old)

    def finish(self, port: Port, end_ns: int, patience_ns: int) -> None:
        """At the end: what is open and older than `patience_ns`."""
        for (kind, _, number), old in port.asked.items():
            if old.answered_by or end_ns - old.at_ns > patience_ns:
                self._settle(port, kind, number, old)
        port.asked.clear()

    def _settle(self, port: Port, kind: int, number: int, question: Asked) -> None:
        if question.answered_by:
            port.answered[kind] = port.answered.get(kind, 0) + 1
            return
        port.unanswered[kind] = port.unanswered.get(kind, 0) + 1
        if port.answered_by.get(kind):
            name = "Delay_Req" if kind == MessageType.DELAY_REQ else "Pdelay_Req"
            subject = f"{name} of {port}"
            self._findings.add(FindingName.REQUEST_UNANSWERED, subject, question.at_ns, f"sequenceId {number}")

    def _question(self, port: Port, response: Response, header: Header, addresses: tuple[str, ...]) -> Asked | None:
        """The question that an answer of `port` answers; what is wrong with it is told."""
        kind = MessageType.DELAY_REQ if header.message_type == MessageType.DELAY_RESP else MessageType.PDELAY_REQ
        asker = self._port_of(port.key._replace(port=response.requesting))
        if asker is None or not asker.questions.get(kind):
            return None  # the capture does not see that direction
        found = None
        for (asked_kind, destination, number), question in asker.asked.items():
            if asked_kind != kind or number != header.sequence_id:
                continue
            if is_group(destination, port.key.transport) or destination in addresses:
                found = question
        detail = f"sequenceId {header.sequence_id} for {response.requesting}"
        if found is None:
            self._findings.add(FindingName.RESPONSE_WITHOUT_REQUEST, str(port), port.last_ns, detail)
            return None
        by = port.key.port
        if by in found.answered_by:
            self._findings.add(FindingName.RESPONSE_REPEATED, str(port), port.last_ns, detail)
            return None
        found.answered_by.append(by)
        known = asker.answered_by.setdefault(kind, {})
        if len(known) < OPEN_QUESTIONS:
            known[by] = None
        return found

    def _pair(self, port: Port, mechanism: str, requester: PortKey) -> Pair | None:
        key = (port.key, mechanism, requester)
        pair = self.pairs.get(key)
        if pair is None and len(self.pairs) < PAIRS:
            pair = self.pairs[key] = Pair(str(port), mechanism, str(requester.port))
            pair.timeline = Timeline() if len(self.pairs) <= TIMELINES else None
        if pair is None:
            self._findings.add(FindingName.TOO_MANY, "pairs of a clock and who asks it", port.last_ns)
        return pair

    def _valid(self, port: Port, response: Response, at_ns: int) -> bool:
        if not response.timestamp.is_valid:
            detail = f"{response.timestamp.nanoseconds} ns"
            self._findings.add(FindingName.INVALID_TIMESTAMP, str(port), at_ns, detail)
        return response.timestamp.is_valid

    def delay_response(
        self, port: Port, at_ns: int, header: Header, response: Response, addresses: tuple[str, ...]
    ) -> None:
        """A Delay_Resp that is no repetition: with the newest Sync of the same port it is a two-way exchange."""
        question = self._question(port, response, header, addresses)
        if question is None or not self._valid(port, response, at_ns):
            return
        p1 = question.at_ns * UNITS_PER_NS
        t2 = response.timestamp.at_ns * UNITS_PER_NS - (header.correction - question.correction)
        port.one_way.reached(t2, p1)
        if port.latest is None:
            return
        pair = self._pair(port, "e2e", port.key._replace(port=response.requesting))
        if pair is not None and not pair.exchange(p1, t2, port.latest.left, port.latest.passed, at_ns):
            self._findings.add(FindingName.IMPOSSIBLE_DELAY, str(port), at_ns, f"sequenceId {header.sequence_id}")

    def peer_response(
        self, port: Port, at_ns: int, header: Header, response: Response, addresses: tuple[str, ...]
    ) -> None:
        """A Pdelay_Resp: complete where it is one-step, else it waits for its Follow_Up."""
        question = self._question(port, response, header, addresses)
        if question is None or not self._valid(port, response, at_ns):
            return
        if header.flags & Flag.TWO_STEP:
            answer = PeerAnswer(at_ns, response.timestamp, header.correction, question)
            port.peer_answers[response.requesting, header.sequence_id] = answer
            lost = bound_dict(port.peer_answers, OPEN_ANSWERS)
            if lost is not None:
                self._findings.add(FindingName.FOLLOW_UP_MISSING, f"Pdelay_Resp of {port}", lost.at_ns)
            return
        pair = self._pair(port, "p2p", port.key._replace(port=response.requesting))
        p1, p2 = question.at_ns * UNITS_PER_NS, at_ns * UNITS_PER_NS
        if pair is not None and not pair.turnaround(p1, p2, header.correction - question.correction, at_ns):
            self._findings.add(FindingName.IMPOSSIBLE_DELAY, str(port), at_ns, f"sequenceId {header.sequence_id}")

    def peer_follow_up(self, port: Port, at_ns: int, header: Header, response: Response) -> None:
        """A Pdelay_Resp_Follow_Up: with its Pdelay_Resp and the question it is a two-way exchange."""
        answer = port.peer_answers.pop((response.requesting, header.sequence_id), None)
        if answer is None:
            asker = self._port_of(port.key._replace(port=response.requesting))
            if asker is not None and asker.questions.get(MessageType.PDELAY_REQ):
                subject = f"Pdelay_Resp_Follow_Up of {port}"
                self._findings.add(
                    FindingName.FOLLOW_UP_WITHOUT_SYNC, subject, at_ns, f"sequenceId {header.sequence_id}"
                )
            return
        if not self._valid(port, response, at_ns):
            return
        pair = self._pair(port, "p2p", port.key._replace(port=response.requesting))
        if pair is None:
            return
        p1, p2 = answer.asked.at_ns * UNITS_PER_NS, answer.at_ns * UNITS_PER_NS
        t2, t3 = answer.reached.at_ns * UNITS_PER_NS, response.timestamp.at_ns * UNITS_PER_NS
        # On which of the two ways a correction was earned is not told: half of it is taken from each.
        correction = answer.correction + header.correction - answer.asked.correction
        if not pair.exchange(p1, t2 - correction // 2, t3 + correction // 2, p2, at_ns):
            self._findings.add(FindingName.IMPOSSIBLE_DELAY, str(port), at_ns, f"sequenceId {header.sequence_id}")
