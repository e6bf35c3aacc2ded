"""Asking PTP clocks what they know of themselves: a management client that only ever GETs. Without I/O.

Rule: an answer counts if it names our port, an open question's sequence number and what was asked; each clock's answers are kept
apart by its identity, and those of its ports by their numbers. What a clock says that it does not have is remembered, so that
nothing is waited for in vain. We never SET.

Sources: IEEE 1588-2019 clause 15.4 (management messages), 15.5.3 (data sets).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from timesync.errors import WireError
from timesync.reasons import Reason
from timesync.wire.ptp.header import ALL_PORTS, Header, MessageType, PortIdentity
from timesync.wire.ptp.management import (
    Action,
    DefaultDataSet,
    ManagementId,
    data_set,
    management,
    management_error,
)
from timesync.wire.ptp.message import Management, Message, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from timesync.wire.ptp.header import ClockIdentity
    from timesync.wire.ptp.management import DataSet

__all__ = ["CLOCKS_LIMIT", "PORTS_LIMIT", "ClockReport", "ManagementClient", "Unused"]

OF_CLOCK = (
    ManagementId.DEFAULT_DATA_SET,
    ManagementId.CURRENT_DATA_SET,
    ManagementId.PARENT_DATA_SET,
    ManagementId.TIME_PROPERTIES_DATA_SET,
    ManagementId.TIME_STATUS_NP,
)
OF_PORT = (
    ManagementId.PORT_DATA_SET,
    ManagementId.PORT_DATA_SET_NP,
    ManagementId.PORT_PROPERTIES_NP,
    ManagementId.PORT_STATS_NP,
)
# Clocks that one question may reach, and ports of one clock: more are forged, or a mistake.
CLOCKS_LIMIT, PORTS_LIMIT = 64, 256


class ClockReport(NamedTuple):
    """What one clock said of itself and its ports. `refused`: what it said that it does not have, by managementErrorId."""

    clock: ClockIdentity
    sets: Mapping[ManagementId, DataSet]
    ports: Mapping[int, Mapping[ManagementId, DataSet]]
    refused: Mapping[ManagementId, int]


class Unused(NamedTuple):
    """A management message that was not used."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class _Clock:
    sets: dict[ManagementId, DataSet] = field(default_factory=dict)
    ports: dict[int, dict[ManagementId, DataSet]] = field(default_factory=dict)
    refused: dict[ManagementId, int] = field(default_factory=dict)

    def complete(self) -> bool:
        """Whether there is an answer to each question, of each of its ports."""
        default = self.sets.get(ManagementId.DEFAULT_DATA_SET)
        if not isinstance(default, DefaultDataSet) or not all(
            each in self.sets or each in self.refused for each in OF_CLOCK
        ):
            return False
        for each in OF_PORT:
            answers = sum(each in sets for sets in self.ports.values())
            if answers < default.number_ports and each not in self.refused:
                return False
        return True


class ManagementClient:
    """One asker. `hops` is how many boundary clocks a question may pass; 0 stays with the clocks that it reaches directly.

    `ask` gives all questions to whoever is there, at once; `one_by_one` gives those to a single clock, of which each is to be
    answered (`answered`) before the next is sent: so nothing ever waits in a queue between the two.
    """

    def __init__(self, identity: PortIdentity, domain: int = 0, sdo: int = 0, hops: int = 0) -> None:
        self.identity = identity
        self._domain = domain
        self._sdo = sdo
        self._hops = hops
        self._sequence = 0
        self._open: dict[int, ManagementId] = {}
        self._unanswered: set[int] = set()
        self._clocks: dict[ClockIdentity, _Clock] = {}

    def ask(self) -> Sequence[bytes]:
        """The questions of a poll to all ports of all clocks; what an older poll still lacks is not waited for any more."""
        self._begin()
        return [self._question(identifier, ALL_PORTS) for identifier in (*OF_CLOCK, *OF_PORT)]

    def one_by_one(self) -> Iterator[bytes]:
        """The questions of a poll to one clock, port by port once it has said how many it has."""
        self._begin()
        for identifier in OF_CLOCK:
            yield self._question(identifier, ALL_PORTS)
        for clock, known in list(self._clocks.items()):
            default = known.sets.get(ManagementId.DEFAULT_DATA_SET)
            ports = default.number_ports if isinstance(default, DefaultDataSet) else 0
            for number in range(1, min(ports, PORTS_LIMIT) + 1):
                for identifier in OF_PORT:
                    if identifier not in known.refused:
                        yield self._question(identifier, PortIdentity(clock, number))

    def answered(self) -> bool:
        """Whether the newest question has an answer."""
        return self._sequence not in self._unanswered

    def _begin(self) -> None:
        self._open.clear()
        self._unanswered.clear()
        self._clocks.clear()

    def _question(self, identifier: ManagementId, target: PortIdentity) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._open[self._sequence] = identifier
        self._unanswered.add(self._sequence)
        header = Header(
            MessageType.MANAGEMENT,
            self.identity,
            self._sequence,
            self._domain,
            control=4,
            log_interval=0x7F,
            major_sdo_id=self._sdo >> 8,
            minor_sdo_id=self._sdo & 0xFF,
        )
        body = Management(target, self._hops, self._hops, Action.GET)
        return encode(Message(header, body, (management(identifier),)))

    def received(self, data: bytes) -> Unused | None:
        """A PTP message came; why it was not used, or None. Never raises, whatever the octets."""
        try:
            message = decode(data)
        except WireError as error:
            return Unused(Reason.MALFORMED, str(error))
        header, body = message.header, message.body
        if not isinstance(body, Management) or body.target != self.identity or body.action != Action.RESPONSE:
            return None  # not for us
        asked = self._open.get(header.sequence_id)
        if asked is None or (header.domain, header.major_sdo_id << 8 | header.minor_sdo_id) != (
            self._domain,
            self._sdo,
        ):
            return Unused(Reason.LATE, f"response {header.sequence_id} of {header.source} was not awaited")
        if header.source.clock not in self._clocks and len(self._clocks) >= CLOCKS_LIMIT:
            return Unused(Reason.TOO_MANY_MASTERS, f"more than {CLOCKS_LIMIT} clocks answer")
        unused = self._take(header.source, asked, message)
        if unused is None:
            self._unanswered.discard(header.sequence_id)
        return unused

    def _take(self, source: PortIdentity, asked: ManagementId, message: Message) -> Unused | None:
        for tlv in message.tlvs:
            found, error = data_set(tlv), management_error(tlv)
            if found is not None and asked == found.ID:
                return self._keep(source, asked, found)
            if error is not None and error.management_id == asked:
                self._clock(source).refused[asked] = error.error
                return None
        return Unused(Reason.MALFORMED, f"{source} answers {asked.name} with something else")

    def _clock(self, source: PortIdentity) -> _Clock:
        return self._clocks.setdefault(source.clock, _Clock())

    def _keep(self, source: PortIdentity, asked: ManagementId, found: DataSet) -> Unused | None:
        clock = self._clock(source)
        sets = clock.sets
        if asked in OF_PORT:
            # The data set names its port, save PORT_DATA_SET_NP, whose port is the one that sends.
            named = getattr(found, "port", source)
            if named.clock != source.clock:
                return Unused(Reason.WRONG_SOURCE, f"{source} speaks of the port {named}")
            if named.port not in clock.ports and len(clock.ports) >= PORTS_LIMIT:
                return Unused(Reason.TOO_MANY_MASTERS, f"more than {PORTS_LIMIT} ports of {source}")
            sets = clock.ports.setdefault(named.port, {})
        elif isinstance(found, DefaultDataSet) and found.clock != source.clock:
            return Unused(Reason.WRONG_SOURCE, f"{source} speaks of another clock")
        if asked in sets:
            return Unused(Reason.DUPLICATE, f"{asked.name} of {source} came twice")
        sets[asked] = found
        return None

    def complete(self) -> bool:
        """Whether a clock has answered, and each that has lacks nothing."""
        return bool(self._clocks) and all(clock.complete() for clock in self._clocks.values())

    def account(self) -> Sequence[ClockReport]:
        """Close the poll: what each clock said that told at least what it is (DEFAULT_DATA_SET), by its identity."""
        clocks = self._clocks
        self._clocks = {}
        self._begin()
        return [
            ClockReport(identity, clock.sets, clock.ports, clock.refused)
            for identity, clock in sorted(clocks.items())
            if ManagementId.DEFAULT_DATA_SET in clock.sets
        ]
