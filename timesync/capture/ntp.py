"""NTP requests with their replies as they pass, and what servers say of themselves.

Rule: a reply is matched to its request by the origin timestamp that it echoes, never by its time or port. In basic mode the reply
echoes the request's transmit timestamp and carries its own T2 and T3; in interleaved mode (RFC 9769) it echoes the request's
receive timestamp, and its transmit timestamp is the T3 of the reply before it, which the request named by its origin. So an
interleaved exchange is complete with the next reply. At most 4096 associations and 1024 servers are followed.

Sources: RFC 5905 sections 7.3, 7.4, 8; RFC 9769; RFC 7822 and RFC 8915 (extension fields).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from timesync.capture.exchanges import TIMELINES, UNITS_PER_NS, OneWay, Pair
from timesync.capture.findings import FindingName, Findings
from timesync.capture.ports import bound_dict
from timesync.capture.report import Association, NtpServer
from timesync.capture.tally import Spread, Timeline
from timesync.errors import WireError
from timesync.timescale import NS_PER_S, ntp_to_unix_ns, precision_to_s, short_to_s
from timesync.wire.ntp import HEADER_OCTETS, Packet, decode, kiss_code, reference_id_text

if TYPE_CHECKING:
    from timesync.capture.frames import Datagram

__all__ = ["NtpWatch"]

ASSOCIATIONS, SERVERS = 4096, 1024
OPEN, ANSWERED = 16, 16
CLIENT, SERVER, BROADCAST = 3, 4, 5
# A transmit timestamp within so much of the capture's time is the client's clock; a random one is so once in two million.
PLAUSIBLE_NS = 1000 * NS_PER_S
POLLS = range(-7, 18)
NTS_FIELDS = frozenset({0x0104, 0x0204, 0x0304, 0x0404})  # RFC 8915 section 5.7
MODES = {1: "symmetric active", 2: "symmetric passive", 5: "broadcast", 6: "control", 7: "private"}


@dataclass(slots=True)
class _Request:
    at_ns: int
    packet: Packet
    answered: bool = False


@dataclass(slots=True)
class _Answered:
    """An exchange whose T3 the next interleaved reply may tell: when question and answer passed, and T2 (ns)."""

    p1_ns: int
    p2_ns: int
    t2_ns: int


@dataclass(slots=True)
class _Association:
    client: str
    server: str
    first_ns: int
    last_ns: int = 0
    requests: int = 0
    replies: int = 0
    unanswered: int = 0
    poll: int | None = None
    told: int = 0
    spacing: Spread = field(default_factory=Spread)
    last_request_ns: int = 0
    open: dict[int, _Request] = field(default_factory=dict)
    interleaved_names: dict[int, int] = field(default_factory=dict)
    answered: dict[int, _Answered] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)
    client_way: OneWay = field(default_factory=OneWay)
    server_way: OneWay = field(default_factory=OneWay)

    def __str__(self) -> str:
        return f"{self.client} to {self.server}"


@dataclass(slots=True)
class _Server:
    packet: Packet
    replies: int = 0
    clients: set[str] = field(default_factory=set)
    authentication: dict[str, None] = field(default_factory=dict)


class NtpWatch:
    """Takes NTP datagrams in the order of their capture."""

    def __init__(self, findings: Findings, ntp_ports: frozenset[int]) -> None:
        self._findings = findings
        self._ports = ntp_ports
        self._associations: dict[tuple[str, str], _Association] = {}
        self._servers: dict[str, _Server] = {}
        self.packets = self._pairs = 0
        self.other_modes: dict[str, int] = {}

    def take(self, at_ns: int, datagram: Datagram) -> bool:
        """One datagram; whether it was a packet that could be read."""
        # What a capture cut off behind the header is not needed.
        data = datagram.payload[:HEADER_OCTETS] if datagram.missing else datagram.payload
        try:
            packet = decode(data)
        except WireError as error:
            finding = FindingName.CUT_OFF if datagram.missing else FindingName.MALFORMED
            self._findings.add(finding, f"NTP from {datagram.source}", at_ns, str(error))
            return False
        self.packets += 1
        if packet.mode == CLIENT:
            self._request(at_ns, datagram, packet)
        elif packet.mode == SERVER:
            self._reply(at_ns, datagram, packet)
        else:
            name = MODES.get(packet.mode, "reserved")
            self.other_modes[name] = self.other_modes.get(name, 0) + 1
        return True

    def _association(self, at_ns: int, client: str, host: str, port: int) -> _Association | None:
        server = host if port == 123 else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        key = (client, server)
        found = self._associations.get(key)
        if found is None:
            if len(self._associations) >= ASSOCIATIONS:
                self._findings.add(FindingName.TOO_MANY, "NTP associations", at_ns, f"more than {ASSOCIATIONS}")
                return None
            found = self._associations[key] = _Association(client, server, at_ns)
        found.last_ns = max(found.last_ns, at_ns)
        return found

    def _request(self, at_ns: int, datagram: Datagram, packet: Packet) -> None:
        held = self._association(at_ns, datagram.source, datagram.destination, datagram.destination_port)
        if held is None:
            return
        if packet.transmit in held.open:
            self._findings.add(FindingName.REPEATED, f"NTP request of {held}", at_ns)
            return
        if held.requests:
            held.spacing.add(at_ns - held.last_request_ns)
        held.requests += 1
        held.last_request_ns = at_ns
        held.poll = packet.poll if packet.poll in POLLS else None
        told_ns = ntp_to_unix_ns(packet.transmit, at_ns)
        if packet.transmit and abs(told_ns - at_ns) < PLAUSIBLE_NS:
            held.told += 1
            held.client_way.left(told_ns * UNITS_PER_NS, at_ns * UNITS_PER_NS)
        held.open[packet.transmit] = _Request(at_ns, packet)
        if packet.receive:
            held.interleaved_names[packet.receive] = packet.transmit
            bound_dict(held.interleaved_names, OPEN)
        oldest = bound_dict(held.open, OPEN)
        if oldest is not None:
            self._settle(held, oldest)

    def _settle(self, held: _Association, request: _Request) -> None:
        if request.answered:
            return
        held.unanswered += 1
        if held.replies:
            self._findings.add(FindingName.REQUEST_UNANSWERED, f"NTP request of {held}", request.at_ns)

    def _reply(self, at_ns: int, datagram: Datagram, packet: Packet) -> None:
        held = self._association(at_ns, datagram.destination, datagram.source, datagram.source_port)
        if held is None:
            return
        self._note_server(at_ns, held, packet)
        held.replies += 1
        basic = held.open.get(packet.origin)
        name = held.interleaved_names.get(packet.origin) if basic is None else None
        request = basic if basic is not None else held.open.get(name) if name is not None else None
        if request is None:
            if held.requests:
                self._findings.add(FindingName.WRONG_ORIGIN, f"NTP reply of {held.server} to {held.client}", at_ns)
            return
        if request.answered:
            subject = f"NTP reply of {held.server} to {held.client}"
            self._findings.add(FindingName.RESPONSE_REPEATED, subject, at_ns)
            return
        request.answered = True
        if self._usable(at_ns, held, packet):
            self._exchange(at_ns, held, request, packet, interleaved=basic is None)

    def _exchange(
        self, at_ns: int, held: _Association, request: _Request, packet: Packet, *, interleaved: bool
    ) -> None:
        t2_ns = ntp_to_unix_ns(packet.receive, at_ns)
        t3_ns = ntp_to_unix_ns(packet.transmit, at_ns)
        held.server_way.reached(t2_ns * UNITS_PER_NS, request.at_ns * UNITS_PER_NS)
        answered = _Answered(request.at_ns, at_ns, t2_ns)
        mode = "interleaved" if interleaved else "basic"
        complete: _Answered | None = answered
        if interleaved:
            complete = held.answered.pop(request.packet.origin, None)
        held.answered[packet.receive] = answered
        bound_dict(held.answered, ANSWERED)
        if complete is None:
            return
        if t3_ns < complete.t2_ns:
            detail = f"by {complete.t2_ns - t3_ns} ns"
            self._findings.add(FindingName.TRANSMIT_BEFORE_RECEIVE, f"NTP server {held.server}", at_ns, detail)
            return
        held.server_way.left(t3_ns * UNITS_PER_NS, complete.p2_ns * UNITS_PER_NS)
        pair = held.pairs.get(mode)
        if pair is None:
            pair = held.pairs[mode] = Pair(held.server, mode, held.client)
            self._pairs += 1
            pair.timeline = Timeline() if self._pairs <= TIMELINES else None
        p1, t2, t3, p2 = (each * UNITS_PER_NS for each in (complete.p1_ns, complete.t2_ns, t3_ns, complete.p2_ns))
        if not pair.exchange(p1, t2, t3, p2, complete.p2_ns):
            self._findings.add(FindingName.IMPOSSIBLE_DELAY, f"NTP server {held.server}", at_ns)

    def _usable(self, at_ns: int, held: _Association, packet: Packet) -> bool:
        """Whether a reply holds a time; what is wrong with it is told."""
        subject = f"NTP server {held.server}"
        code = kiss_code(packet)
        if packet.mac is not None and not packet.mac.digest:
            self._findings.add(FindingName.CRYPTO_NAK, subject, at_ns)
            return False
        if code is not None:
            self._findings.add(FindingName.KISS, subject, at_ns, code)
            return False
        if packet.leap == 3 or packet.stratum in {0, *range(16, 256)}:
            detail = f"leap {packet.leap}, stratum {packet.stratum}"
            self._findings.add(FindingName.UNSYNCHRONISED, subject, at_ns, detail)
            return False
        if not (packet.receive and packet.transmit):
            self._findings.add(FindingName.ZERO_TIMESTAMP, subject, at_ns)
            return False
        return True

    def _note_server(self, at_ns: int, held: _Association, packet: Packet) -> None:
        server = self._servers.get(held.server)
        if server is None:
            if len(self._servers) >= SERVERS:
                self._findings.add(FindingName.TOO_MANY, "NTP servers", at_ns, f"more than {SERVERS}")
                return
            server = self._servers[held.server] = _Server(packet)
        server.packet = packet
        server.replies += 1
        if len(server.clients) < ASSOCIATIONS:
            server.clients.add(held.client)
        if packet.mac is not None and packet.mac.digest:
            server.authentication[f"MAC of {len(packet.mac.digest)} octets"] = None
        if any(each.type in NTS_FIELDS for each in packet.extensions):
            server.authentication["NTS"] = None

    def finish(self, end_ns: int) -> None:
        """At the end: what is open for more than a second is unanswered."""
        for held in self._associations.values():
            for request in held.open.values():
                if end_ns - request.at_ns > NS_PER_S:
                    self._settle(held, request)
            held.open.clear()

    def servers(self) -> tuple[NtpServer, ...]:
        """What servers said last."""
        return tuple(
            NtpServer(
                name,
                held.packet.version,
                held.packet.leap,
                held.packet.stratum,
                reference_id_text(held.packet.stratum, held.packet.reference_id),
                precision_to_s(held.packet.precision),
                short_to_s(held.packet.root_delay),
                short_to_s(held.packet.root_dispersion),
                held.replies,
                len(held.clients),
                tuple(held.authentication),
            )
            for name, held in sorted(self._servers.items())
        )

    def pairs(self) -> list[Pair]:
        """The exchanges with every server."""
        return [pair for _, held in sorted(self._associations.items()) for pair in held.pairs.values()]

    def associations(self) -> tuple[Association, ...]:
        """Who asks whom."""
        return tuple(_report(held) for _, held in sorted(self._associations.items()))


def _report(held: _Association) -> Association:
    interval = held.spacing.summary(1e-9)
    counts = {mode: pair.round_trip.count for mode, pair in held.pairs.items()}
    # A random timestamp may look like a time once, not mostly.
    told = held.told * 2 > held.requests
    return Association(
        held.client,
        held.server,
        held.requests,
        held.replies,
        held.unanswered,
        counts.get("basic", 0),
        counts.get("interleaved", 0),
        2.0**held.poll if held.poll is not None else None,
        interval.mean_s if interval is not None else None,
        "" if not held.requests else "told" if told else "hidden",
        (held.client_way if told else OneWay()).limits(),
        held.server_way.limits(),
        held.first_ns,
        held.last_ns,
    )
