"""The messages of one type from one PTP port to one destination: their rate, their numbers, and what is wrong with them.

Rule: a mean interval is judged only over at least eight intervals, by the 30 % of IEEE 1588-2019 clause 9.5.9.2; sequence
numbers are judged within their own pool (clause 7.3.7), and where a sender shares one pool among its unicast destinations,
within that.

Sources: IEEE 1588-2019 clauses 7.3.7 (sequenceId), 7.7.2 and table 42 (logMessageInterval), 9.5.9 to 9.5.13 (intervals).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from timesync.capture.findings import FindingName, Findings
from timesync.capture.report import Stream
from timesync.capture.tally import Sequence, Spread, Step
from timesync.wire.ptp.header import MessageType

__all__ = ["NS_S", "REGULAR", "StreamState", "interval_ns_of", "type_name"]

NS_S = 1e-9
NOT_TOLD = 0x7F
# Intervals that are believed: a thousandth of a second to 18 hours, as profiles have them.
LOG_INTERVALS = range(-10, 17)
TOLERANCE = 0.3
JUDGED_INTERVALS = 8

NUMBERED = frozenset(
    {
        MessageType.SYNC,
        MessageType.FOLLOW_UP,
        MessageType.ANNOUNCE,
        MessageType.DELAY_REQ,
        MessageType.PDELAY_REQ,
        MessageType.SIGNALING,
    }
)
"""Types with numbers of their own; an answer has the number of its question."""
REGULAR = frozenset({MessageType.SYNC, MessageType.FOLLOW_UP, MessageType.ANNOUNCE})
"""Types that come at the announced interval; questions come no faster than theirs."""
TOLD_OTHERWISE = frozenset({MessageType.FOLLOW_UP})
"""A missing Follow_Up is told as such."""

_NAMES = {
    MessageType.SYNC: "Sync",
    MessageType.DELAY_REQ: "Delay_Req",
    MessageType.PDELAY_REQ: "Pdelay_Req",
    MessageType.PDELAY_RESP: "Pdelay_Resp",
    MessageType.FOLLOW_UP: "Follow_Up",
    MessageType.DELAY_RESP: "Delay_Resp",
    MessageType.PDELAY_RESP_FOLLOW_UP: "Pdelay_Resp_Follow_Up",
    MessageType.ANNOUNCE: "Announce",
    MessageType.SIGNALING: "Signaling",
    MessageType.MANAGEMENT: "Management",
}


def type_name(kind: int) -> str:
    """A message type as IEEE 1588 writes it; a number for one that it reserves."""
    return _NAMES.get(kind, f"type {kind:#x}")  # type: ignore[call-overload, no-any-return] # an IntEnum's member is its integer


def interval_ns_of(log_interval: int) -> int | None:
    """The interval of a logMessageInterval, ns; None where it tells none (clause 13.3.2.14)."""
    return round(2.0**log_interval * 1e9) if log_interval in LOG_INTERVALS else None


@dataclass(slots=True)
class StreamState:
    """One stream; `announced_ns` is the interval that its messages, or the grant that they answer, tell."""

    kind: int
    destination: str
    group: bool
    announced_ns: int | None = None
    announced_by: str = ""
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    longest_ns: int = 0
    elapsed_ns: int = 0
    steps: int = 0
    numbers: Sequence = field(default_factory=Sequence)
    spacing: Spread = field(default_factory=Spread)
    reused: int = 0
    last_octets: bytes = b""

    def announce(self, interval_ns: int | None, by: str) -> None:
        """Its interval is told; where it is another than before, the mean begins anew."""
        if interval_ns is None or interval_ns == self.announced_ns:
            return
        if self.announced_ns is not None:
            self.elapsed_ns = self.steps = 0
        self.announced_ns, self.announced_by = interval_ns, by

    def take(
        self, at_ns: int, number: int, octets: bytes, shared: Sequence | None, subject: str, findings: Findings
    ) -> Step:
        """Count a message; `shared` is the pool of all unicast destinations of its port and type."""
        since_ns = at_ns - self.last_ns if self.count else 0
        pooled = shared.take(number, since_ns, self.announced_ns)[0] if shared is not None else None
        step, ahead = Step.NEXT, 1
        if self.kind in NUMBERED:
            before = self.numbers.lost
            step, ahead = self.numbers.take(number, since_ns, self.announced_ns)
            if step in {Step.GAP, Step.JUMP} and pooled is Step.NEXT:
                self.numbers = Sequence()
                self.numbers.take(number)
                self.numbers.lost = before
                step, ahead = Step.NEXT, 1
            if step is not Step.NEXT:
                self._tell(step, ahead, at_ns, number, octets, subject, findings)
        if not self.count:
            self.first_ns = at_ns
        else:
            self.longest_ns = max(self.longest_ns, since_ns)
            if step is Step.NEXT or step is Step.GAP:
                self.elapsed_ns += since_ns
                self.steps += ahead
            if step is Step.NEXT:
                self.spacing.add(since_ns)
        self.count += 1
        self.last_ns = max(at_ns, self.last_ns)
        self.last_octets = octets
        return step

    def _tell(
        self, step: Step, ahead: int, at_ns: int, number: int, octets: bytes, subject: str, findings: Findings
    ) -> None:
        if step is Step.FIRST:
            return
        about = f"{type_name(self.kind)} of {subject}"
        detail = f"sequenceId {number}"
        if step is Step.REPEATED:
            same = octets == self.last_octets or number != self.numbers.last
            if not same:
                self.reused += 1
                self.numbers.repeated -= 1
            findings.add(FindingName.REPEATED if same else FindingName.SEQUENCE_REUSED, about, at_ns, detail)
        elif step is Step.GAP and self.kind not in TOLD_OTHERWISE:
            findings.add(FindingName.LOST, about, at_ns, f"{ahead - 1} before {detail}", count=ahead - 1)
        elif step is Step.LATE:
            findings.add(FindingName.OUT_OF_ORDER, about, at_ns, detail)
            findings.take_back(FindingName.LOST, about)
        elif step is Step.JUMP:
            findings.add(FindingName.SEQUENCE_JUMP, about, at_ns, f"to {detail}")

    @property
    def interval_ns(self) -> float | None:
        """The mean interval by what the numbers count."""
        return self.elapsed_ns / self.steps if self.steps else None

    def judge(self, subject: str, findings: Findings) -> None:
        """At the end: is the mean interval what was announced?"""
        about = f"{type_name(self.kind)} of {subject}"
        mean_ns, told_ns = self.interval_ns, self.announced_ns
        if self.kind in REGULAR and self.group and told_ns is None and self.count:
            findings.add(FindingName.INTERVAL_NOT_ANNOUNCED, about, self.first_ns)
        if mean_ns is None or told_ns is None or self.steps < JUDGED_INTERVALS:
            return
        too_slow = self.kind in REGULAR and mean_ns > told_ns * (1 + TOLERANCE)
        if too_slow or mean_ns < told_ns * (1 - TOLERANCE):
            detail = f"{mean_ns * NS_S:.6g} s on the mean, {told_ns * NS_S:.6g} s announced"
            findings.add(FindingName.INTERVAL_NOT_AS_ANNOUNCED, about, self.last_ns, detail)

    def report(self, source: str, domain: int) -> Stream:
        """What is known of it."""
        mean_ns = self.interval_ns
        return Stream(
            source,
            domain,
            type_name(self.kind),
            self.destination,
            self.count,
            self.announced_ns * NS_S if self.announced_ns is not None else None,
            self.announced_by,
            mean_ns * NS_S if mean_ns is not None else None,
            self.spacing.summary(NS_S),
            self.longest_ns * NS_S,
            self.numbers.lost,
            self.numbers.repeated,
            self.numbers.late,
            self.numbers.jumps,
            self.first_ns,
            self.last_ns,
        )
