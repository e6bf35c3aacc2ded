"""Frames for the observer, octet by octet with struct: headers as the standards draw them, not by the codec under test."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field

__all__ = ["AT_NS", "GROUP", "Script", "ethernet", "ipv4", "ipv6", "l2", "ntp", "ptp", "stamp", "udp4", "udp6", "vlan"]

AT_NS = 1_795_000_000_000_000_000  # 2026-11-18T11:06:40Z
SERVER, CLIENT, GROUP = "10.0.0.2", "10.0.0.1", "224.0.1.129"
SYNC, DELAY_REQ, PDELAY_REQ, PDELAY_RESP, FOLLOW_UP, DELAY_RESP, PDELAY_FOLLOW_UP, ANNOUNCE, SIGNALING = (
    *(0x0, 0x1, 0x2, 0x3),
    *(0x8, 0x9, 0xA, 0xB, 0xC),
)
TWO_STEP = 0x0200
MASTER, SLAVE = 0x001122FFFE334455, 0x00AABBFFFECCDDEE


def ethernet(kind: int, payload: bytes, to: str = "01:1b:19:00:00:00", source: str = "02:00:00:00:00:01") -> bytes:
    """An Ethernet frame."""
    return (
        bytes.fromhex(to.replace(":", "")) + bytes.fromhex(source.replace(":", "")) + struct.pack("!H", kind) + payload
    )


def vlan(frame: bytes, tag: int, kind: int = 0x8100) -> bytes:
    """A frame with a VLAN tag (IEEE 802.1Q) before what it holds."""
    return frame[:12] + struct.pack("!HH", kind, tag) + frame[12:]


def udp(source_port: int, port: int, payload: bytes) -> bytes:
    """A UDP datagram."""
    return struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload


def ipv4(payload: bytes, source: str = SERVER, to: str = GROUP, *, flags: int = 0, options: bytes = b"") -> bytes:
    """An IPv4 packet that holds UDP; `flags` are those and the fragment offset."""
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | length // 4, 0, length + len(payload), 0, flags, 64, 17, 0)
    return head + ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed + options + payload


def ipv6(payload: bytes, source: str = "fd00::2", to: str = "ff0e::181", *, following: int = 17) -> bytes:
    """An IPv6 packet."""
    head = struct.pack("!IHBB", 6 << 28, len(payload), following, 64)
    return head + ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed + payload


def udp4(port: int, payload: bytes, source: str = SERVER, to: str = GROUP, source_port: int | None = None) -> bytes:
    """An Ethernet frame with UDP over IPv4."""
    return ethernet(0x0800, ipv4(udp(source_port or port, port, payload), source, to))


def udp6(port: int, payload: bytes, source: str = "fd00::2", to: str = "ff0e::181") -> bytes:
    """An Ethernet frame with UDP over IPv6; PTP adds two octets (annex D)."""
    return ethernet(0x86DD, ipv6(udp(port, port, payload + bytes(2)), source, to))


def l2(payload: bytes, to: str = "01:1b:19:00:00:00") -> bytes:
    """An Ethernet frame of PTP, padded to the least length."""
    return ethernet(0x88F7, payload, to).ljust(60, b"\0")


def stamp(at_ns: int) -> bytes:
    """A PTP Timestamp."""
    seconds, nanoseconds = divmod(at_ns, 10**9)
    return struct.pack(">HII", seconds >> 32, seconds & 0xFFFFFFFF, nanoseconds)


def ptp(
    kind: int,
    body: bytes,
    *,
    number: int = 0,
    clock: int = MASTER,
    port: int = 1,
    domain: int = 0,
    flags: int = 0,
    correction: int = 0,
    log: int = 0,
    sdo: int = 0,
    version: int = 2,
) -> bytes:
    """A PTP message; `correction` is in 2^-16 ns, `sdo` the majorSdoId."""
    return (
        struct.pack(
            ">BBHBBHqIQHHBb",
            *(sdo << 4 | kind, version, 34 + len(body), domain, 0, flags, correction, 0, clock, port),
            *(number & 0xFFFF, 0, log),
        )
        + body
    )


def announce_body(
    *, utc_offset_s: int = 37, priority1: int = 128, clock_class: int = 6, clock: int = MASTER, steps: int = 0
) -> bytes:
    """What an Announce holds behind its header."""
    told = (utc_offset_s, 0, priority1, clock_class, 0x21, 0x4E5D, 128, clock, steps, 0x20)
    return bytes(10) + struct.pack(">hBBBBHBQHB", *told)


def ntp(
    mode: int, *, origin: int = 0, receive: int = 0, transmit: int = 0, stratum: int = 1, leap: int = 0, poll: int = 6
) -> bytes:
    """An NTP header, version 4; time stamps are the 64 bits of the wire."""
    return struct.pack(
        "!BBbbII4sQQQQ", leap << 6 | 4 << 3 | mode, stratum, poll, -20, 0, 0, b"GPS\0", 0, origin, receive, transmit
    )


@dataclass
class Script:
    """A master and a slave that talk end-to-end over UDP, multicast; the frames as they pass a capture point in between.

    The master is `ahead_ns` of the capture's clock, `to_master_ns` and `to_slave_ns` away from the capture point by its two ways.
    Attributes are what a test changes; `frames` is what passed, as (capture time, frame).
    """

    ahead_ns: int = 0
    from_master_ns: int = 1000
    to_master_ns: int = 1000
    interval_ns: int = 125_000_000
    log: int = -3
    flags: int = 0x000C
    utc_offset_s: int = 37
    sync_flags: int = TWO_STEP
    sync_correction: int = 0
    follow_up_correction: int = 0
    request_correction: int = 0
    response_correction: int = 0
    now_ns: int = AT_NS
    number: int = 0
    frames: list[tuple[int, bytes]] = field(default_factory=list)

    def passes(self, at_ns: int, port: int, message: bytes, source: str = SERVER) -> None:
        """A message passes the capture point."""
        self.frames.append((at_ns, udp4(port, message, source)))

    def master_time(self, at_ns: int) -> int:
        """What the master's clock shows (TAI) when the capture's shows `at_ns`."""
        return at_ns + self.ahead_ns + self.utc_offset_s * 10**9

    def announce(self) -> None:
        """An Announce."""
        body = announce_body(utc_offset_s=self.utc_offset_s)
        message = ptp(ANNOUNCE, body, number=self.number, flags=self.flags, log=self.log)
        self.passes(self.now_ns, 320, message)

    def sync(self, *, follow_up: bool = True, number: int | None = None, follow_up_number: int | None = None) -> None:
        """A two-step Sync, and its Follow_Up."""
        number = self.number if number is None else number
        left_ns = self.now_ns
        residence_ns = (self.sync_correction + self.follow_up_correction) >> 16
        passed_ns = left_ns + self.from_master_ns + residence_ns
        sync = ptp(SYNC, bytes(10), number=number, flags=self.sync_flags, log=self.log, correction=self.sync_correction)
        self.passes(passed_ns, 319, sync)
        if follow_up:
            told = stamp(self.master_time(left_ns))
            number = number if follow_up_number is None else follow_up_number
            message = ptp(FOLLOW_UP, told, number=number, log=self.log, correction=self.follow_up_correction)
            self.passes(passed_ns + 50_000, 320, message)

    def ask(self, *, answer: bool = True, answer_number: int | None = None, asker: int = SLAVE) -> None:
        """A Delay_Req of the slave, and its Delay_Resp."""
        asked_ns = self.now_ns + 10_000_000
        request = ptp(
            DELAY_REQ, bytes(10), number=self.number, clock=SLAVE, log=0x7F, correction=self.request_correction
        )
        self.passes(asked_ns, 319, request, CLIENT)
        if answer:
            residence_ns = (self.response_correction - self.request_correction) >> 16
            told = stamp(self.master_time(asked_ns + self.to_master_ns + residence_ns)) + struct.pack(">QH", asker, 1)
            number = self.number if answer_number is None else answer_number
            message = ptp(DELAY_RESP, told, number=number, log=self.log, correction=self.response_correction)
            self.passes(asked_ns + self.to_master_ns + self.from_master_ns + 30_000, 320, message)

    def turn(self, *, ask: bool = True) -> None:
        """One interval in which all is well."""
        self.announce()
        self.sync()
        if ask:
            self.ask()
        self.step()

    def step(self) -> None:
        """An interval passes."""
        self.now_ns += self.interval_ns
        self.number += 1

    def turns(self, count: int) -> None:
        """So many intervals in which all is well."""
        for _ in range(count):
            self.turn()
