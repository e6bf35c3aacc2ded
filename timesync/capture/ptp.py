"""All PTP messages of a capture: ports, masters, domains, and what is wrong with them.

Rule: whatever comes is counted once, and what cannot be read is told with its sender where the header still tells it. At most 1024
ports and 8192 streams are followed; of further ones only that they were there is told.

Sources: IEEE 1588-2019 clauses 9.2.6.12 (announce receipt time-out), 13.3 (header), 13.5 (Announce), 16.1 (unicast negotiation).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from timesync.capture.findings import FindingName, Findings
from timesync.capture.ports import Port, PortKey, is_group
from timesync.capture.questions import Questions
from timesync.capture.streams import REGULAR, StreamState, interval_ns_of, type_name
from timesync.capture.syncs import follow_up, sync
from timesync.capture.tally import Sequence, Step
from timesync.errors import WireError
from timesync.wire.ptp.header import Flag, Header, MessageType, PortIdentity, decode_header, identity_text
from timesync.wire.ptp.message import Announce, Message, Response, Stamped, decode
from timesync.wire.ptp.tlv import Tlv, TlvType, organization_extension, path_trace, unicast_grant

if TYPE_CHECKING:
    from timesync.capture.frames import Datagram

__all__ = ["ANNOUNCE_TIMEOUT", "DomainKey", "DomainState", "PtpWatch"]

PORTS, STREAMS, DOMAINS = 1024, 8192, 512
GRANTS = 256
# Clause 9.2.6.12: announceReceiptTimeout, in intervals, and one more for a late message.
ANNOUNCE_TIMEOUT = 4
# Flags that IEEE 1588-2019 table 37 has no meaning for; 0x8000 was version 2.0's security flag.
RESERVED_FLAGS = 0x1880
# An Announce whose flag octets are interchanged has its leap and time scale flags where reserved ones are.
SWAPPED_ANNOUNCE = 0x1800
TLV_NAMES: dict[int, str] = {int(kind): kind.name for kind in TlvType}
EVENTS = frozenset({MessageType.SYNC, MessageType.DELAY_REQ, MessageType.PDELAY_REQ, MessageType.PDELAY_RESP})
EVENT_PORT, GENERAL_PORT = 319, 320

DomainKey = tuple[str, tuple[int, ...], int, int]


class DomainState:
    """What was seen of a domain on one transport and VLAN."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.tlvs: Counter[str] = Counter()
        self.destinations: dict[str, None] = {}
        self.organisations: dict[tuple[bytes, bytes], None] = {}
        self.logs: dict[int, dict[int, None]] = {}
        self.classes: dict[int, None] = {}
        self.priorities_1: dict[int, None] = {}
        self.multicast = self.unicast = self.negotiated = False


class PtpWatch:
    """Takes PTP datagrams in the order of their capture."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.ports: dict[PortKey, Port] = {}
        self.domains: dict[DomainKey, DomainState] = {}
        self.questions = Questions(findings, self.ports.get)
        self.messages = 0
        self._streams = 0
        # The octets that tell a port -> what is held of it: a key that is quick to hash.
        self._known: dict[tuple[str, tuple[int, ...], int, bytes, bytes], Port] = {}

    def take(self, at_ns: int, datagram: Datagram) -> bool:
        """One datagram; whether it was a message that could be read."""
        try:
            message = decode(datagram.payload)
        except WireError as error:
            self._refuse(at_ns, datagram, error)
            return False
        self.messages += 1
        header = message.header
        port = self._port(at_ns, datagram, header)
        if port is None:
            return True
        group = is_group(datagram.destination, datagram.transport)
        domain = self._domain(port, at_ns, datagram, message, group=group)
        port.met(at_ns, datagram.source, f"{header.version}.{header.minor_version}")
        step = self._count(port, at_ns, datagram, message, group=group)
        self._look_at_flags(port, at_ns, header)
        if domain is not None:
            self._look_at_tlvs(port, at_ns, message, domain)
        if header.message_type in EVENTS or isinstance(message.body, Response):
            port.correct(header.message_type, header.correction)
        if step is not Step.REPEATED:
            self._dispatch(port, at_ns, datagram, message, step, group=group)
        return True

    def _refuse(self, at_ns: int, datagram: Datagram, error: WireError) -> None:
        """Octets that are no message of version 2; as much of its sender as can be told."""
        data = datagram.payload
        if len(data) >= 2 and data[1] & 0x0F != 2 and len(data) >= 34:
            version = data[1] & 0x0F
            self.findings.add(FindingName.OLD_VERSION, datagram.source or "?", at_ns, f"version {version}")
            return
        if datagram.missing:
            self.findings.add(FindingName.CUT_OFF, f"PTP from {datagram.source or '?'}", at_ns, str(error))
            return
        subject = datagram.source or "?"
        try:
            header, _ = decode_header(data)
        except WireError:
            pass  # the address must do
        else:
            subject = f"{header.source} domain {header.domain}"
        self.findings.add(FindingName.MALFORMED, f"PTP from {subject}", at_ns, str(error))

    def _port(self, at_ns: int, datagram: Datagram, header: Header) -> Port | None:
        data = datagram.payload
        quick = (datagram.transport, datagram.vlans, data[0] >> 4, data[4:6], data[20:30])
        port = self._known.get(quick)
        if port is None:
            if len(self.ports) >= PORTS:
                self.findings.add(FindingName.TOO_MANY, "PTP ports", at_ns, f"more than {PORTS}")
                return None
            sdo = header.major_sdo_id << 8 | header.minor_sdo_id
            key = PortKey(datagram.transport, datagram.vlans, sdo, header.domain, header.source)
            port = self._known[quick] = self.ports[key] = Port(key, at_ns)
        return port

    def _domain(
        self, port: Port, at_ns: int, datagram: Datagram, message: Message, *, group: bool
    ) -> DomainState | None:
        header = message.header
        key = port.key[:4]
        domain = self.domains.get(key)
        if domain is None:
            if len(self.domains) >= DOMAINS:
                self.findings.add(FindingName.TOO_MANY, "PTP domains", at_ns, f"more than {DOMAINS}")
                return None
            domain = self.domains[key] = DomainState()
        kind = header.message_type
        domain.messages[type_name(kind)] += 1
        if group:
            domain.multicast = domain.multicast or kind in EVENTS or kind == MessageType.ANNOUNCE
            if len(domain.destinations) < 16:
                domain.destinations[datagram.destination] = None
            logs = domain.logs.setdefault(kind, {})
            if len(logs) < 16:
                logs[header.log_interval] = None
        else:
            domain.unicast = True
        if isinstance(message.body, Announce):
            domain.classes[message.body.clock_class] = None
            domain.priorities_1[message.body.priority1] = None
        return domain

    def _count(self, port: Port, at_ns: int, datagram: Datagram, message: Message, *, group: bool) -> Step:
        """Count it with its stream; what its number is to those before it."""
        header = message.header
        kind = header.message_type
        key = (kind, datagram.destination)
        stream = port.streams.get(key)
        if stream is None:
            if self._streams >= STREAMS:
                self.findings.add(FindingName.TOO_MANY, "streams", at_ns, f"more than {STREAMS}")
                return Step.NEXT
            self._streams += 1
            stream = port.streams[key] = StreamState(kind, datagram.destination, group)
        told = interval_ns_of(header.log_interval)
        if told is not None and (kind in REGULAR or (kind == MessageType.PDELAY_REQ and header.major_sdo_id)):
            stream.announce(told, "logMessageInterval")
        elif (granted := port.grants.get(key)) is not None:
            stream.announce(granted, "grant")
        pool = None if group else port.pools.setdefault(kind, Sequence())
        lost = stream.numbers.lost
        step = stream.take(at_ns, header.sequence_id, datagram.payload, pool, str(port), self.findings)
        if kind == MessageType.SYNC:
            port.sync_times.add(at_ns, 1)
            if stream.numbers.lost > lost:
                port.loss_times.add(at_ns, stream.numbers.lost - lost)
        return step

    def _look_at_flags(self, port: Port, at_ns: int, header: Header) -> None:
        flags = header.flags
        if not flags & (RESERVED_FLAGS | 0x3):
            return
        about, detail = f"{type_name(header.message_type)} of {port}", f"flags {flags:#06x}"
        if header.message_type == MessageType.ANNOUNCE:
            if flags & 0x3 == 0x3:
                self.findings.add(FindingName.LEAP_FLAGS_CONTRADICT, about, at_ns, detail)
            if flags & SWAPPED_ANNOUNCE and not flags & 0xFF:
                self.findings.add(FindingName.FLAG_OCTETS_SWAPPED, about, at_ns, detail)
                return
        if flags & RESERVED_FLAGS:
            self.findings.add(FindingName.RESERVED_FLAGS, about, at_ns, detail)

    def _look_at_tlvs(self, port: Port, at_ns: int, message: Message, domain: DomainState) -> None:
        for tlv in message.tlvs:
            name = TLV_NAMES.get(tlv.type)
            if name is None:
                detail = f"tlvType {tlv.type:#06x} in {type_name(message.header.message_type)}"
                self.findings.add(FindingName.UNKNOWN_TLV, str(port), at_ns, detail)
                name = f"{tlv.type:#06x}"
            if name in domain.tlvs or len(domain.tlvs) < 64:
                domain.tlvs[name] += 1
            extension = organization_extension(tlv)
            if extension is not None and len(domain.organisations) < 32:
                domain.organisations[extension.organization, extension.subtype] = None

    def _dispatch(
        self, port: Port, at_ns: int, datagram: Datagram, message: Message, step: Step, *, group: bool
    ) -> None:
        header, body = message.header, message.body
        kind, findings = header.message_type, self.findings
        if isinstance(body, Stamped):
            if kind == MessageType.SYNC:
                port.unicast = port.unicast or not group
                sync(port, at_ns, header, body.timestamp, datagram.destination, findings)
            elif kind == MessageType.FOLLOW_UP:
                port.correct(kind, header.correction)
                follow_up(port, at_ns, header, body.timestamp, datagram.destination, step, findings)
            else:
                self.questions.asked(port, at_ns, header, datagram.destination)
        elif kind == MessageType.PDELAY_REQ:
            self.questions.asked(port, at_ns, header, datagram.destination)
        elif isinstance(body, Response):
            self._answer(port, at_ns, header, body)
        elif isinstance(body, Announce):
            self._announce(port, at_ns, header, body, message.tlvs, group=group)
        elif kind == MessageType.SIGNALING:
            self._signaling(port, at_ns, datagram, message)
        elif kind not in set(MessageType):
            findings.add(FindingName.UNKNOWN_MESSAGE_TYPE, str(port), at_ns, type_name(kind))

    def _answer(self, port: Port, at_ns: int, header: Header, body: Response) -> None:
        addresses = tuple(port.addresses)
        if header.message_type == MessageType.DELAY_RESP:
            asker = self.ports.get(port.key._replace(port=body.requesting))
            told = interval_ns_of(header.log_interval)
            if asker is not None and told is not None:
                for (kind, _), stream in asker.streams.items():
                    if kind == MessageType.DELAY_REQ:
                        stream.announce(told, "logMinDelayReqInterval")
            self.questions.delay_response(port, at_ns, header, body, addresses)
        elif header.message_type == MessageType.PDELAY_RESP:
            self.questions.peer_response(port, at_ns, header, body, addresses)
        else:
            self.questions.peer_follow_up(port, at_ns, header, body)

    def _announce(
        self, port: Port, at_ns: int, header: Header, body: Announce, tlvs: tuple[Tlv, ...], *, group: bool
    ) -> None:
        port.announces += 1
        if port.announce is None:
            port.first_announce_ns = at_ns
        else:
            self._compare(port, at_ns, header, body)
            if port.announce_ns and at_ns - port.last_announce_ns > ANNOUNCE_TIMEOUT * port.announce_ns and group:
                silent_s = (at_ns - port.last_announce_ns) * 1e-9
                self.findings.add(FindingName.MASTER_SILENT, str(port), port.last_announce_ns, f"for {silent_s:.3f} s")
        port.announce, port.announce_flags, port.last_announce_ns = body, header.flags, at_ns
        port.group_master = port.group_master or (group and not header.flags & Flag.ALTERNATE_MASTER)
        port.announce_ns = interval_ns_of(header.log_interval) or port.announce_ns
        for tlv in tlvs:
            trace = path_trace(tlv)
            if trace is not None:
                port.path = trace[:32]

    def _compare(self, port: Port, at_ns: int, header: Header, body: Announce) -> None:
        """What it says otherwise than before; only the timestamp may differ."""
        old = port.announce
        assert old is not None  # there was an Announce before
        fields = ("grandmaster", "clock_class", "clock_accuracy", "priority1", "priority2", "steps_removed")
        told = [*fields, "current_utc_offset_s", "time_source"]
        changes = [
            f"{name} {_shown(name, getattr(old, name))} -> {_shown(name, getattr(body, name))}"
            for name in told
            if getattr(old, name) != getattr(body, name)
        ]
        if header.flags != port.announce_flags:
            changes.append(f"flags {port.announce_flags:#06x} -> {header.flags:#06x}")
        if changes:
            text = ", ".join(changes)
            port.changed(at_ns, text)
            self.findings.add(FindingName.MASTER_CHANGED, str(port), at_ns, text)

    def _signaling(self, port: Port, at_ns: int, datagram: Datagram, message: Message) -> None:
        """Grants tell the intervals of unicast messages, which do not tell theirs."""
        for tlv in message.tlvs:
            grant = unicast_grant(tlv)
            if grant is None:
                continue
            domain = self.domains.get(port.key[:4])
            if domain is not None:
                domain.negotiated = True
            name = type_name(grant.message_type)
            if not grant.duration_s:
                detail = f"{name} for {datagram.destination}"
                self.findings.add(FindingName.UNICAST_REFUSED, str(port), at_ns, detail)
                continue
            interval = interval_ns_of(grant.log_interval)
            if interval is not None and (len(port.grants) < GRANTS):
                port.grants[grant.message_type, datagram.destination] = interval
                if grant.message_type == MessageType.SYNC:
                    port.grants[int(MessageType.FOLLOW_UP), datagram.destination] = interval

    def master_ports(self) -> list[Port]:
        """Ports that have sent Announce or Sync."""
        return [port for port in self.ports.values() if port.announces or port.syncs]


def _shown(name: str, value: int) -> str:
    return identity_text(value) if name == "grandmaster" else str(value)


def rank(port: Port) -> tuple[int, ...]:
    """The order of the data set comparison (clause 9.3.4, figure 34, then 35): the smallest is best."""
    announce = port.announce
    assert announce is not None  # only ports that announce are ranked
    source: PortIdentity = port.key.port
    return (
        announce.priority1,
        announce.clock_class,
        announce.clock_accuracy,
        announce.offset_scaled_log_variance,
        announce.priority2,
        announce.grandmaster,
        announce.steps_removed,
        source.clock,
        source.port,
    )
