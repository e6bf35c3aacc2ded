"""Octets of a link layer to a datagram of PTP or NTP, or the reason why there is none.

Rule: nothing is raised, whatever the octets. What is not PTP or NTP is passed over early. A datagram that the capture cut short,
or that is one fragment of many, is told and not guessed at.

Sources: the link types of pcap (www.tcpdump.org/linktypes.html); IEEE 802.1Q; IEC 62439-3 (HSR tag); RFC 791, RFC 8200, RFC 768;
IEEE 1588-2019 annexes C (UDP over IPv4), D (IPv6), E (Ethernet); RFC 5905.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ETHERNET", "LINK_TYPES", "NTP_PORTS", "PTP_PORTS", "Datagram", "Passed", "unwrap"]

ETHERNET = 1
PTP_PORTS = frozenset({319, 320})
NTP_PORTS = frozenset({123})

IPV4, IPV6, PTP, HSR = 0x0800, 0x86DD, 0x88F7, 0x892F
VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
MAX_TAGS = 4
# IPv6 extension headers that are walked over (RFC 8200 section 4): hop-by-hop, routing, destination options.
WALKED = frozenset({0, 43, 60})
FRAGMENT_HEADER, UDP = 44, 17

_U16 = struct.Struct("!H")
_UDP = struct.Struct("!HHH")


class Passed(StrEnum):
    """Why a frame is no datagram of PTP or NTP that can be read."""

    OTHER = "other"
    UNKNOWN_LINK_TYPE = "unknown_link_type"
    CUT_OFF = "cut_off"
    FRAGMENT = "fragment"
    MALFORMED = "malformed"
    NO_TIMESTAMP = "no_timestamp"


class Datagram(NamedTuple):
    """One message as it passed: `protocol` is "ptp" or "ntp"; `vlans` the VLAN identifiers, the outer first; addresses are text.

    `missing` is how many octets of the payload the capture did not keep.
    """

    protocol: str
    transport: str
    vlans: tuple[int, ...]
    source: str
    destination: str
    source_port: int
    destination_port: int
    payload: bytes
    missing: int = 0


@lru_cache(4096)
def mac_text(octets: bytes) -> str:
    """A MAC address as people write it."""
    return octets.hex(":")


@lru_cache(4096)
def ip_text(octets: bytes) -> str:
    """An IPv4 or IPv6 address as people write it."""
    if len(octets) == 4:
        return ".".join(map(str, octets))
    return str(IPv6Address(octets))


def unwrap(link_type: int, data: bytes, wire_octets: int, ntp_ports: frozenset[int] = NTP_PORTS) -> Datagram | Passed:
    """The datagram in a frame of that link type (pcap's number); `wire_octets` is how long the frame was on the wire."""
    layout = _LAYOUTS.get(link_type & 0xFFFF)  # the upper bits tell of a frame check sequence
    if layout is None:
        return Passed.UNKNOWN_LINK_TYPE
    try:
        return layout(data, wire_octets, ntp_ports)
    except (struct.error, IndexError):
        return Passed.CUT_OFF if len(data) < wire_octets else Passed.MALFORMED


def _ethernet(data: bytes, wire: int, ntp_ports: frozenset[int]) -> Datagram | Passed:
    return _by_ethertype(data, 12, wire, ntp_ports, mac=True)


def _cooked(data: bytes, wire: int, ntp_ports: frozenset[int]) -> Datagram | Passed:
    return _by_ethertype(data, 14, wire, ntp_ports)


def _cooked_2(data: bytes, wire: int, ntp_ports: frozenset[int]) -> Datagram | Passed:
    (kind,) = _U16.unpack_from(data, 0)
    return _content(data, kind, 20, wire, (), ntp_ports)


def _raw(data: bytes, wire: int, ntp_ports: frozenset[int]) -> Datagram | Passed:
    return _content(data, {4: IPV4, 6: IPV6}.get(data[0] >> 4, 0), 0, wire, (), ntp_ports)


def _null(data: bytes, wire: int, ntp_ports: frozenset[int]) -> Datagram | Passed:
    """BSD's loopback: the address family in the byte order of the machine that captured."""
    family = data[0] or data[3]
    return _content(data, IPV4 if family == 2 else IPV6 if family in {10, 24, 28, 30} else 0, 4, wire, (), ntp_ports)


_LAYOUTS: Mapping[int, Callable[[bytes, int, frozenset[int]], Datagram | Passed]] = {
    0: _null,
    ETHERNET: _ethernet,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _null,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}
LINK_TYPES = frozenset(_LAYOUTS)
"""The link types that are read: Ethernet, Linux cooked 1 and 2, BSD loopback, raw IP."""


def _by_ethertype(
    data: bytes, at: int, wire: int, ntp_ports: frozenset[int], *, mac: bool = False
) -> Datagram | Passed:
    """What stands behind an Ethertype at `at`, and behind any VLAN and HSR tags."""
    (kind,) = _U16.unpack_from(data, at)
    at += 2
    vlans: tuple[int, ...] = ()
    for _ in range(MAX_TAGS):
        if kind in VLAN_TAGS:
            tag, kind = struct.unpack_from("!HH", data, at)
            vlans += (tag & 0x0FFF,)
            at += 4
        elif kind == HSR:
            (kind,) = _U16.unpack_from(data, at + 4)
            at += 6
        else:
            break
    if kind == PTP:
        addresses = (mac_text(data[6:12]), mac_text(data[:6])) if mac else ("", "")
        return Datagram("ptp", "l2", vlans, *addresses, 0, 0, data[at:], max(0, wire - len(data)))
    return _content(data, kind, at, wire, vlans, ntp_ports)


def _content(
    data: bytes, kind: int, at: int, wire: int, vlans: tuple[int, ...], ntp_ports: frozenset[int]
) -> Datagram | Passed:
    if kind == IPV4:
        return _ipv4(data, at, wire, vlans, ntp_ports)
    if kind == IPV6:
        return _ipv6(data, at, wire, vlans, ntp_ports)
    return (
        Datagram("ptp", "l2", vlans, "", "", 0, 0, data[at:], max(0, wire - len(data))) if kind == PTP else Passed.OTHER
    )


def _ipv4(data: bytes, at: int, wire: int, vlans: tuple[int, ...], ntp_ports: frozenset[int]) -> Datagram | Passed:
    header = 4 * (data[at] & 0x0F)
    if data[at + 9] != UDP:
        return Passed.OTHER
    if data[at] >> 4 != 4 or header < 20:
        return Passed.MALFORMED
    if _U16.unpack_from(data, at + 6)[0] & 0x3FFF:  # more fragments, or not the first
        return Passed.FRAGMENT
    return _udp(data, at + header, wire, "udp4", vlans, data[at + 12 : at + 16], data[at + 16 : at + 20], ntp_ports)


def _ipv6(data: bytes, at: int, wire: int, vlans: tuple[int, ...], ntp_ports: frozenset[int]) -> Datagram | Passed:
    if data[at] >> 4 != 6:
        return Passed.MALFORMED
    following, behind = data[at + 6], at + 40
    while following in WALKED:
        following, behind = data[behind], behind + 8 * (data[behind + 1] + 1)
    if following == FRAGMENT_HEADER and data[behind] == UDP:
        return Passed.FRAGMENT
    if following != UDP:
        return Passed.OTHER
    return _udp(data, behind, wire, "udp6", vlans, data[at + 8 : at + 24], data[at + 24 : at + 40], ntp_ports)


def _udp(
    data: bytes,
    at: int,
    wire: int,
    transport: str,
    vlans: tuple[int, ...],
    source: bytes,
    destination: bytes,
    ntp_ports: frozenset[int],
) -> Datagram | Passed:
    source_port, destination_port, length = _UDP.unpack_from(data, at)
    if destination_port in PTP_PORTS:
        protocol = "ptp"
    elif destination_port in ntp_ports or source_port in ntp_ports:
        protocol = "ntp"
    else:
        return Passed.OTHER
    if length < 8:
        return Passed.MALFORMED
    missing = max(0, at + length - len(data))
    if missing and len(data) >= wire:
        return Passed.MALFORMED
    payload = data[at + 8 : at + length]
    ends = ip_text(source), ip_text(destination)
    return Datagram(protocol, transport, vlans, *ends, source_port, destination_port, payload, missing)
