"""One network interface as a PTP port sees it: the sockets for event and general messages, and who listens to them.

Rule: an observer takes nothing from a PTP stack beside it: multicast groups are joined for the interface only, and the port
identity is our own. Every message is given to those listeners whose domain it is of, unicast ones only to who asked for them.

Sources: IEEE 1588-2019 annex C (UDP over IPv4), D (IPv6), E (Ethernet); linux/if_packet.h, ioctl numbers of linux/sockios.h.
"""

from __future__ import annotations

import fcntl
import secrets
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from probes.sockets import SOL_PACKET, Address, TimestampedSocket
from timesync.wire.ptp.header import Flag, MessageType, PortIdentity

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from probes.sockets import SocketCounters
    from timesync.exchange.ntp import Stamp

__all__ = ["EVENT_PORT", "GENERAL_PORT", "TRANSPORTS", "Place", "PtpSegment", "Subscriber"]

EVENT_PORT, GENERAL_PORT = 319, 320
ETHERTYPE = 0x88F7
# linux/in.h, linux/if_packet.h, linux/sockios.h
IP_MULTICAST_ALL, IPV6_MULTICAST_ALL = 49, 29
PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST = 1, 0
SIOCGIFHWADDR = 0x8927
# Octets of a PTP header that tell where a message goes (clause 13.3.1).
LEAST_OCTETS, DOMAIN_AT, FLAGS_AT = 34, 4, 6
UNICAST_BIT = Flag.UNICAST >> 8
# Answers of a master that may come without the unicast flag.
ANSWERS = {MessageType.DELAY_RESP, MessageType.SIGNALING}
# Annex D: a message over IPv6 is followed by two octets that a transparent clock may use.
IPV6_TRAILER = bytes(2)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen: an interface, a transport, and the ports (others than the standard's need no privilege)."""

    interface: str
    transport: str
    event_port: int = EVENT_PORT
    general_port: int = GENERAL_PORT


class Subscriber(Protocol):
    """Who listens on a segment: a domain, of which standards organisation (majorSdoId, 1: IEEE 802.1AS), and the address of the one
    master that is asked by unicast (None: multicast).
    """

    domain: int
    major_sdo_id: int
    unicast: str | None

    def heard(self, data: bytes, stamp: Stamp, sender: str) -> None:
        """A message of the domain came, from that address."""
        ...

    def transmitted(self, number: int, stamp: Stamp) -> None:
        """The time stamp of a message that was sent, by its number."""
        ...

    def failed(self, number: int, text: str) -> None:
        """The network or the kernel says that what was sent last did not arrive."""
        ...


def _udp4(sock: socket.socket, index: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
    for group in (UDP4.primary, UDP4.peer):
        request = socket.inet_aton(group) + bytes(4) + struct.pack("=i", index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("=i", index))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)


def _udp6(sock: socket.socket, index: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
    for group in (UDP6.primary, UDP6.peer):
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=i", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)


def _ethernet(sock: socket.socket, index: int) -> None:
    for group in (L2.primary, L2.peer):
        octets = bytes.fromhex(group.replace(":", ""))
        request = struct.pack("=iHH8s", index, PACKET_MR_MULTICAST, len(octets), octets)
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)


@dataclass(frozen=True, slots=True)
class Transport:
    """How messages travel: the groups of all messages and of those between neighbours, and how a socket joins them."""

    family: socket.AddressFamily
    primary: str
    peer: str
    prepare: Callable[[socket.socket, int], None]


UDP4 = Transport(socket.AF_INET, "224.0.1.129", "224.0.0.107", _udp4)
UDP6 = Transport(socket.AF_INET6, "ff0e::181", "ff02::6b", _udp6)
L2 = Transport(socket.AF_PACKET, "01:1b:19:00:00:00", "01:80:c2:00:00:0e", _ethernet)
TRANSPORTS = {"udp4": UDP4, "udp6": UDP6, "l2": L2}


def own_clock(interface: str) -> int:
    """A clock identity for an observer on that interface: its MAC with two random octets in the middle.

    (Clause 7.5.2.2.2; a PTP stack on the same interface has fffe there, and another observer other octets.)
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock.fileno(), SIOCGIFHWADDR, struct.pack("40s", interface.encode()))
    mac = answer[18:24]
    return int.from_bytes(mac[:3] + secrets.token_bytes(2) + mac[3:], "big")


class PtpSegment:
    """An open place. Raises OSError where it cannot be opened."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        counters: SocketCounters,
        phc_to_system: Callable[[int], int | None] | None = None,
    ) -> None:
        self.place = place
        self.phc_to_system = phc_to_system
        self._transport = TRANSPORTS[place.transport]
        self._index = socket.if_nametoindex(place.interface)
        self._clock = own_clock(place.interface)
        self._ports = 0
        self._subscribers: list[Subscriber] = []
        self._senders: dict[int, Subscriber] = {}
        self._last: Subscriber | None = None
        self._loop = loop
        self._counters = counters
        self._event = self._open(place.event_port, phc_to_system)
        try:
            self._general = self._event if place.transport == "l2" else self._open(place.general_port, None)
        except OSError:
            self._event.close()
            raise

    def _open(self, port: int, phc_to_system: Callable[[int], int | None] | None) -> TimestampedSocket:
        transport, interface = self._transport, self.place.interface
        ethernet = transport is L2
        anywhere = "::" if transport is UDP6 else "0.0.0.0"  # noqa: S104 - on one interface; groups need it
        return TimestampedSocket(
            self._loop,
            transport.family,
            self._on_datagram,
            self._on_transmit if port == self.place.event_port else _ignore_stamp,
            self._on_error,
            counters=self._counters,
            source=(interface, ETHERTYPE) if ethernet else (anywhere, port),
            interface=None if ethernet else interface,
            phc_to_system=phc_to_system,
            protocol=ETHERTYPE if ethernet else 0,
            prepare=lambda sock: transport.prepare(sock, self._index),
        )

    @property
    def alive(self) -> bool:
        """Whether the interface is still the one that was opened."""
        try:
            return socket.if_nametoindex(self.place.interface) == self._index
        except OSError:
            return False

    @property
    def in_use(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscribers)

    def subscribe(self, subscriber: Subscriber) -> PortIdentity:
        """Begin to listen; the identity to ask by, another for each subscriber."""
        self._subscribers.append(subscriber)
        self._ports += 1
        return PortIdentity(self._clock, self._ports & 0xFFFF or 1)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Listen no more."""
        self._subscribers.remove(subscriber)
        self._senders = {number: each for number, each in self._senders.items() if each is not subscriber}
        if self._last is subscriber:
            self._last = None

    def send_event(
        self, data: bytes, subscriber: Subscriber, *, to_peer: bool = False, to: str | None = None
    ) -> tuple[int, Stamp]:
        """Send a message whose departure is stamped; its number, and the user-space stamp. Raises OSError.

        It goes to the address `to`, or to the subscriber's master if that is one alone, or to the group of all, or of neighbours.
        """
        group = self._transport.peer if to_peer else self._transport.primary
        self._last = subscriber
        host = to or subscriber.unicast or group
        number, stamp = self._event.send(data + self._trailer, self._address(host, self.place.event_port))
        self._senders[number] = subscriber
        if len(self._senders) > 64:
            del self._senders[next(iter(self._senders))]
        return number, stamp

    def drain_transmit_stamps(self) -> None:
        """Hand on the stamps that are there already."""
        self._event.drain_transmit_stamps()

    def send_general(self, data: bytes, subscriber: Subscriber, *, to_peer: bool = False) -> None:
        """Send a message that is not stamped. Raises OSError."""
        self._last = subscriber
        to = subscriber.unicast or (self._transport.peer if to_peer else self._transport.primary)
        self._general.send(data + self._trailer, self._address(to, self.place.general_port))

    @property
    def _trailer(self) -> bytes:
        return IPV6_TRAILER if self._transport is UDP6 else b""

    def _address(self, host: str, port: int) -> Address:
        if self._transport is L2:
            return (self.place.interface, ETHERTYPE, 0, 0, bytes.fromhex(host.replace(":", "")))
        return (host, port, 0, self._index) if self._transport is UDP6 else (host, port)

    def _sender(self, address: Address) -> str:
        """The host of an address, as `send_event` takes it."""
        return str(bytes(address[4]).hex(":")) if self._transport is L2 else str(address[0]).partition("%")[0]

    def close(self) -> None:
        """Let the ports go."""
        self._event.close()
        self._general.close()

    def _on_datagram(self, data: bytes, address: Address, stamp: Stamp) -> None:
        if len(data) < LEAST_OCTETS:
            return
        major_sdo_id = data[0] >> 4
        domain, flagged = data[DOMAIN_AT], bool(data[FLAGS_AT] & UNICAST_BIT)
        answer = data[0] & 0x0F in ANSWERS
        sender = self._sender(address)
        for subscriber in tuple(self._subscribers):
            if subscriber.domain != domain or subscriber.major_sdo_id != major_sdo_id:
                continue
            if subscriber.unicast is None:
                if answer or not flagged:
                    subscriber.heard(data, stamp, sender)
            elif subscriber.unicast == sender and (flagged or answer):
                subscriber.heard(data, stamp, sender)

    def _on_transmit(self, number: int, stamp: Stamp) -> None:
        subscriber = self._senders.get(number)
        if subscriber is not None:
            subscriber.transmitted(number, stamp)

    def _on_error(self, number: int, text: str) -> None:
        if self._last is not None:
            self._last.failed(number, text)


def _ignore_stamp(_number: int, _stamp: Stamp) -> None:
    """When a general message left is of no interest."""
