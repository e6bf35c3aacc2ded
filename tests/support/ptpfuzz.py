"""Random and mutated PTP messages for the codec and the listener, and the judge of what was accepted.

Rule: an answer to a question of ours counts only if its octets name our port, the open question and its domain; whoever else
answers changes nothing. The judge reads the octets by itself (struct); it does not ask the code under test.
"""

from __future__ import annotations

import random
import struct
import time
from dataclasses import dataclass

from timesync.errors import WireError
from timesync.exchange.ntp import Stamp
from timesync.exchange.ptp import MASTERS_LIMIT, PtpListener, PtpMeasured, PtpMissed
from timesync.exchange.ptp_management import ManagementClient
from timesync.exchange.ptp_unicast import UnicastNegotiation
from timesync.model import Timestamping
from timesync.ptp_stack import parts_of
from timesync.wire.ptp.header import PortIdentity
from timesync.wire.ptp.message import decode, encode

__all__ = ["ForgedAnswerError", "FuzzedPtp", "fuzz_ptp"]

NOW_NS = 1_795_000_000_000_000_000
US = PortIdentity(0xAABBCCFFFEDDEEFF, 1)
SYNC, PDELAY_RESP, FOLLOW_UP, DELAY_RESP, PDELAY_RESP_FOLLOW_UP, ANNOUNCE, SIGNALING = 0, 3, 8, 9, 10, 11, 12
MANAGEMENT, RESPONSE, DEFAULT_DATA_SET = 0x0D, 2, 0x2000
LENGTHS = {SYNC: 44, PDELAY_RESP: 54, FOLLOW_UP: 44, DELAY_RESP: 54, PDELAY_RESP_FOLLOW_UP: 54, ANNOUNCE: 64}
MESSAGES_OF_A_POLL = 24


class ForgedAnswerError(AssertionError):
    """The listener took for an answer to us what was not addressed to us."""


@dataclass
class FuzzedPtp:
    """What came of the messages."""

    packets: int = 0
    decoded: int = 0
    measured: int = 0
    seconds: float = 0.0


def _message(rng: random.Random, sequence: int) -> bytes:
    """A good message of one of four masters, as often as not an answer to us."""
    kind = rng.choice(tuple(LENGTHS))
    to_us = rng.random() < 0.7
    stamp = struct.pack(">HII", 0, NOW_NS // 10**9 + 37, rng.randrange(10**9))
    other = struct.pack(">QH", rng.getrandbits(64), rng.getrandbits(16))
    body = stamp + (struct.pack(">QH", US.clock, US.port) if to_us else other)
    if kind == ANNOUNCE:
        body = stamp + struct.pack(">hBBBBHBQHB", 37, 0, 128, 6, 0x21, 0x4E5D, 128, rng.randrange(4), 0, 0x20)
    length = LENGTHS[kind]
    flags = 0x0200 if kind in {SYNC, PDELAY_RESP} and rng.random() < 0.7 else 0x000C
    number = sequence if rng.random() < 0.97 else rng.getrandbits(16)
    header = struct.pack(
        ">BBHBBHqIQHHBb", kind, 2, length, 0, 0, flags, rng.getrandbits(20), 0, rng.randrange(4), 1, number, 0, 0
    )
    return (header + body)[:length]


def _mutated(rng: random.Random, data: bytes) -> bytes:
    """As it is, or: a bit flipped, octets overwritten, cut, lengthened, or nothing but noise."""
    choice = rng.randrange(10)
    if choice == 1:
        at = rng.randrange(8 * len(data))
        return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]
    if choice == 2:
        at = rng.randrange(len(data))
        return (data[:at] + rng.randbytes(rng.choice((1, 2, 8))) + data[at + 8 :])[: len(data)]
    if choice == 3:
        return data[: rng.randrange(len(data))]
    if choice == 4:
        tail = struct.pack(">HH", rng.randrange(12), rng.choice((0, 4, 8, 0xFFFF))) + rng.randbytes(
            rng.choice((0, 4, 8))
        )
        longer = data + tail
        return longer[:2] + struct.pack(">H", len(longer)) + longer[4:]
    return data if choice > 5 else rng.randbytes(rng.choice((0, 33, 34, 44, 54, 64, 300)))


def _management(rng: random.Random, sequence: int) -> bytes:
    """A RESPONSE with a DEFAULT_DATA_SET of one of four clocks, as often as not to us."""
    to = struct.pack(">QH", US.clock, US.port) if rng.random() < 0.7 else rng.randbytes(10)
    clock = rng.randrange(4)
    data = struct.pack(">BBHBBBHBQBB", 1, 0, 1, 128, 248, 0xFE, 0xFFFF, 128, clock, 0, 0)
    number = sequence if rng.random() < 0.97 else rng.getrandbits(16)
    header = struct.pack(">BBHBBHqIQHHBb", MANAGEMENT, 2, 74, 0, 0, 0, 0, 0, clock, 1, number, 4, 0x7F)
    return header + to + struct.pack(">BBBBHHH", 0, 0, RESPONSE, 0, 1, 22, DEFAULT_DATA_SET) + data


def _reports_to_us(data: bytes, sequence: int) -> bool:
    """Whether octets are a RESPONSE to the open DEFAULT_DATA_SET question of domain 0."""
    if len(data) < 74 or data[0] != MANAGEMENT or data[4] != 0 or data[5] != 0 or data[46] & 0x0F != RESPONSE:
        return False
    (number,) = struct.unpack_from(">H", data, 30)
    return bool(number == sequence and data[34:44] == struct.pack(">QH", US.clock, US.port))


def _answers_us(data: bytes, kind: int, sequence: int) -> bool:
    """Whether octets are an answer of that type to the open question of domain 0."""
    if len(data) < 54 or data[0] != kind or data[4] != 0 or data[5] != 0:
        return False
    (number,) = struct.unpack_from(">H", data, 30)
    return bool(number == sequence and data[44:54] == struct.pack(">QH", US.clock, US.port))


def fuzz_ptp(count: int, seed: int = 1) -> FuzzedPtp:
    """Feed `count` messages; raises ForgedAnswerError for one that should not have been believed, or what the code raises."""
    rng = random.Random(seed)
    result = FuzzedPtp()
    begun = time.perf_counter()
    listener, negotiation, manager = PtpListener(US), UnicastNegotiation(US, 0), ManagementClient(US)
    now_s = 0.0
    while result.packets < count:
        by_peer = rng.random() < 0.3
        request = listener.peer.ask(0) if by_peer else listener.ask(0)
        (sequence,) = struct.unpack_from(">H", request, 30)
        stamp = Stamp(NOW_NS, Timestamping.KERNEL)
        listener.peer.asked(stamp)
        listener.asked(0, stamp)
        answered = False
        (open_question,) = struct.unpack_from(">H", manager.ask()[0], 30)
        reported = False
        for _ in range(MESSAGES_OF_A_POLL):
            managed = rng.random() < 0.1
            data = _mutated(rng, _management(rng, open_question) if managed else _message(rng, sequence))
            result.packets += 1
            _decode(data, result)
            now_s += 0.01
            listener.received(data, Stamp(NOW_NS + rng.randrange(10**6), Timestamping.KERNEL), now_s)
            negotiation.received(data, now_s)
            manager.received(data)
            reported |= _reports_to_us(data, open_question)
            answered |= _answers_us(data, PDELAY_RESP if by_peer else DELAY_RESP, sequence)
        results = listener.account_peer(0, now_s) if by_peer else listener.account(0, now_s)
        measured = [each for each in results if not isinstance(each, PtpMissed)]
        if measured and not answered:
            raise ForgedAnswerError(f"nobody answered question {sequence}, and {measured[0]} was measured")
        result.measured += len(measured)
        for each in measured:
            assert abs(each.t3_ns) < 1 << 80
            assert isinstance(each, PtpMeasured) != by_peer
        reports = manager.account()
        if reports and not reported:
            raise ForgedAnswerError(f"nobody answered question {open_question}, and {reports[0]} was taken")
        result.measured += len(reports)
        for report in reports:
            parts_of(report)
        listener.tick(now_s)
        if len(listener.masters) > MASTERS_LIMIT:
            raise AssertionError(f"{len(listener.masters)} masters are followed")
    result.seconds = time.perf_counter() - begun
    return result


def _decode(data: bytes, result: FuzzedPtp) -> None:
    """Decoding raises nothing but WireError, and encoding gives the octets back."""
    try:
        message = decode(data)
    except WireError:
        return
    result.decoded += 1
    length = int.from_bytes(data[2:4], "big")
    if encode(message) != data[:length]:
        raise AssertionError(f"encoding gives other octets than were decoded: {data.hex()}")
