"""Every frame that real PTP stacks emit decodes, and encodes to the same octets: ptp4l in its modes and profiles, and ptpd."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.debian import binary
from support.netns import cabled_pair
from support.process import Program, wait_until
from support.ptp4l import G8275_1, GPTP, Ptp4l

from timesync.capture.frames import ETHERNET, Datagram, unwrap
from timesync.wire.ptp.header import MessageType
from timesync.wire.ptp.message import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import NeedPrograms
    from support.netns import Host

ETH_P_ALL = 3
ETHERTYPE_PTP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x88F7, 0x0800, 0x86DD
CASES: dict[str, tuple[dict[str, Any], set[MessageType]]] = {
    "udp4 e2e": ({}, {MessageType.DELAY_REQ, MessageType.DELAY_RESP}),
    "udp6 p2p": ({"transport": "udp6", "delay": "p2p"}, {MessageType.PDELAY_REQ, MessageType.PDELAY_RESP_FOLLOW_UP}),
    "gptp": ({"transport": "l2", "delay": "p2p", "options": GPTP}, {MessageType.PDELAY_REQ, MessageType.PDELAY_RESP}),
    "g.8275.1": ({"transport": "l2", "options": G8275_1}, {MessageType.DELAY_REQ, MessageType.DELAY_RESP}),
}
ALWAYS = {MessageType.SYNC, MessageType.FOLLOW_UP, MessageType.ANNOUNCE}


def ptp_octets(frame: bytes) -> bytes | None:
    """The PTP message of an Ethernet frame, None if it holds none. UDP's own length rules; padding is left out."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETHERTYPE_PTP:
        return frame[14:]
    at = {ETHERTYPE_IPV4: 14 + 4 * (frame[14] & 0x0F), ETHERTYPE_IPV6: 54}.get(kind)
    if at is None or int.from_bytes(frame[at + 2 : at + 4], "big") not in {319, 320}:
        return None
    return frame[at + 8 : at + int.from_bytes(frame[at + 4 : at + 6], "big")]


@contextlib.contextmanager
def sniffing(inside: Host) -> Iterator[socket.socket]:
    """A packet socket on the cable."""
    sock = inside.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
    sock.bind(("cable", ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    with sock:
        sock.setblocking(False)
        yield sock


def take(sock: socket.socket, seen: dict[int, int]) -> None:
    """All that has come so far: each message is decoded and encoded, and counted by its type."""
    with contextlib.suppress(BlockingIOError):
        while True:
            frame = sock.recv(4096)
            data = ptp_octets(frame)
            datagram = unwrap(ETHERNET, frame, len(frame))
            if data is None:
                assert not isinstance(datagram, Datagram), frame.hex()
                continue
            assert isinstance(datagram, Datagram), frame.hex()
            assert (datagram.protocol, datagram.payload) == ("ptp", data)
            message = decode(data)
            length = int.from_bytes(data[2:4], "big")
            assert encode(message) == data[:length], data.hex()
            seen[message.header.message_type] = seen.get(message.header.message_type, 0) + 1


def collect(sock: socket.socket, wanted: set[MessageType]) -> dict[int, int]:
    """Take frames until all types that are wanted have come, and for a second more."""
    seen: dict[int, int] = {}

    def complete() -> bool:
        take(sock, seen)
        return wanted <= seen.keys()

    wait_until(complete, f"frames of the types {sorted(wanted)}", timeout_s=20)
    time.sleep(1.0)
    take(sock, seen)
    return seen


@pytest.mark.parametrize("case", CASES)
def test_every_frame_of_ptp4l_comes_back_as_it_was(lab: NeedPrograms, root: None, case: str) -> None:
    lab("ptp4l")
    how, wanted = CASES[case]
    with cabled_pair() as pair, sniffing(pair.client) as sock, Ptp4l(pair.server, **how):
        how = {**how, "options": {**how.get("options", {}), "priority1": 250}}
        with Ptp4l(pair.client, client=case != "gptp", waits=case != "gptp", **how):
            seen = collect(sock, wanted | ALWAYS)
    assert sum(seen.values()) > 10


def test_every_frame_of_unicast_negotiation_comes_back_as_it_was(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l")
    with cabled_pair() as pair, sniffing(pair.client) as sock:
        table = ["[unicast_master_table]", "table_id 1", "logQueryInterval 0", f"UDPv4 {pair.server_ipv4}"]
        served = {"unicast_listen": 1, "inhibit_multicast_service": 1}
        with (
            Ptp4l(pair.server, options=served),
            Ptp4l(pair.client, client=True, sections=[*table, "[cable]", "unicast_master_table 1"]),
        ):
            wanted = {MessageType.SIGNALING, MessageType.DELAY_REQ, MessageType.DELAY_RESP}
            assert collect(sock, wanted | ALWAYS)[MessageType.SIGNALING] >= 4


def test_every_management_message_comes_back_as_it_was(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l", "pmc")
    questions = ("GET DEFAULT_DATA_SET", "GET TIME_PROPERTIES_DATA_SET", "GET PORT_DATA_SET", "GET USER_DESCRIPTION")
    with cabled_pair() as pair, sniffing(pair.client) as sock, Ptp4l(pair.server):
        argv = [binary("pmc"), "-4", "-b", "1", "-i", "cable", *questions]
        with Program(argv, namespace=pair.client.name) as program:
            program.wait(timeout_s=20)
        seen: dict[int, int] = {}
        take(sock, seen)
    assert seen[MessageType.MANAGEMENT] >= 2 * len(questions)


def test_every_frame_of_ptpd_comes_back_as_it_was(lab: NeedPrograms, root: None) -> None:
    lab("ptpd")
    with cabled_pair() as pair, sniffing(pair.client) as sock:
        shared = ["-C", "-i", "cable", "-n", "-L", "--global:log_status=n", "--ptpengine:ip_mode=multicast"]
        with (
            Program([binary("ptpd"), *shared, "-M"], namespace=pair.server.name),
            Program([binary("ptpd"), *shared, "-s"], namespace=pair.client.name),
        ):
            seen = collect(sock, ALWAYS | {MessageType.DELAY_REQ, MessageType.DELAY_RESP})
    assert sum(seen.values()) > 10
