"""A frame is unwrapped to the datagram it holds, by every link layer, tag and transport that PTP and NTP come on."""

from __future__ import annotations

import struct

import pytest
from support.frames import ethernet, ipv4, ipv6, l2, ntp, ptp, udp, udp4, udp6, vlan

from timesync.capture.frames import Datagram, Passed, unwrap

MESSAGE = ptp(0x0, bytes(10))
REQUEST = ntp(3, transmit=7)


def datagram(data: bytes, link_type: int = 1, wire: int | None = None) -> Datagram:
    got = unwrap(link_type, data, len(data) if wire is None else wire)
    assert isinstance(got, Datagram), got
    return got


@pytest.mark.parametrize(
    ("frame", "transport", "vlans"),
    [
        (l2(MESSAGE), "l2", ()),
        (udp4(319, MESSAGE), "udp4", ()),
        (udp6(319, MESSAGE), "udp6", ()),
        (vlan(l2(MESSAGE), 5), "l2", (5,)),
        (vlan(udp4(319, MESSAGE), 0x6005), "udp4", (5,)),
        (vlan(vlan(udp6(320, MESSAGE), 7), 300, 0x88A8), "udp6", (300, 7)),
        # IEC 62439-3: the HSR tag is path and size, a sequence number, and the Ethertype of what it protects.
        (ethernet(0x892F, struct.pack("!HHH", 0x0034, 9, 0x88F7) + MESSAGE), "l2", ()),
        (ethernet(0x0800, ipv4(udp(319, 319, MESSAGE), options=bytes(4))), "udp4", ()),
        (ethernet(0x86DD, ipv6(struct.pack("!BB6x", 17, 0) + udp(319, 319, MESSAGE), following=0)), "udp6", ()),
    ],
)
def test_ptp_is_found_behind_tags_and_headers(frame: bytes, transport: str, vlans: tuple[int, ...]) -> None:
    got = datagram(frame)
    assert (got.protocol, got.transport, got.vlans) == ("ptp", transport, vlans)
    assert got.payload.startswith(MESSAGE)
    assert got.missing == 0


def test_udp_payload_ends_where_udp_says_and_not_with_the_padding() -> None:
    frame = udp4(123, REQUEST).ljust(120, b"\xee")
    assert datagram(frame).payload == REQUEST


@pytest.mark.parametrize(
    ("link_type", "head"),
    [
        (113, struct.pack("!HHH8sH", 0, 1, 6, bytes(8), 0x0800)),  # Linux cooked capture
        (276, struct.pack("!HHIHBB8s", 0x0800, 0, 2, 1, 0, 6, bytes(8))),  # its version 2
        (101, b""),
        (228, b""),
        (0, struct.pack("<I", 2)),
        (0, struct.pack(">I", 2)),
        (108, struct.pack(">I", 2)),
        (0x14000001 & 0xFFFF | 0x14000000, bytes(12) + struct.pack("!H", 0x0800)),  # with a frame check sequence
    ],
)
def test_ntp_is_found_on_every_link_layer(link_type: int, head: bytes) -> None:
    got = datagram(head + ipv4(udp(40000, 123, REQUEST), "192.0.2.1", "192.0.2.2"), link_type)
    assert (got.protocol, got.source, got.destination, got.source_port) == ("ntp", "192.0.2.1", "192.0.2.2", 40000)


def test_addresses_are_as_people_write_them() -> None:
    assert datagram(udp6(319, MESSAGE, "fd00:0:0:0::2")).source == "fd00::2"
    assert datagram(l2(MESSAGE)).destination == "01:1b:19:00:00:00"


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (ethernet(0x0806, bytes(46)), Passed.OTHER),  # ARP
        (ethernet(46, bytes(46)), Passed.OTHER),  # IEEE 802.3 with a length
        (udp4(53, REQUEST), Passed.OTHER),
        (ethernet(0x0800, ipv4(udp(319, 319, MESSAGE), flags=0x2000)), Passed.FRAGMENT),
        (ethernet(0x0800, ipv4(udp(319, 319, MESSAGE), flags=0x0010)), Passed.FRAGMENT),
        (ethernet(0x86DD, ipv6(struct.pack("!BBHI", 17, 0, 1, 9) + MESSAGE, following=44)), Passed.FRAGMENT),
        (ethernet(0x0800, ipv4(struct.pack("!HHHH", 319, 319, 7, 0))), Passed.MALFORMED),
        (ethernet(0x0800, ipv4(struct.pack("!HHHH", 319, 319, 900, 0))), Passed.MALFORMED),
        (ethernet(0x0800, b"\x45"), Passed.MALFORMED),
        (b"", Passed.MALFORMED),
        (bytes(13), Passed.MALFORMED),
    ],
)
def test_what_is_no_datagram_is_passed_over_by_its_reason(frame: bytes, why: Passed) -> None:
    assert unwrap(1, frame, len(frame)) is why


def test_what_a_capture_cut_off_is_told() -> None:
    whole = udp4(320, MESSAGE)
    assert unwrap(1, whole[:30], len(whole)) is Passed.CUT_OFF
    got = datagram(whole[:-6], wire=len(whole))
    assert got.missing == 6
    assert unwrap(147, whole, len(whole)) is Passed.UNKNOWN_LINK_TYPE


def test_further_ntp_ports_are_heeded() -> None:
    frame = udp4(1123, REQUEST)
    assert unwrap(1, frame, len(frame)) is Passed.OTHER
    got = unwrap(1, frame, len(frame), frozenset({123, 1123}))
    assert isinstance(got, Datagram)
