"""Random and mutated packets for the NTP decoder and client, and the judge of what was accepted.

Rule: a forgery is any packet that does not echo the open request's nonce in server mode from the server, and with a key any packet
whose MAC is not right. The judge reads the octets by itself (struct, hashlib); it does not ask the code under test.
"""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.ntpserver import Header, Server, Sha1Key, trailer
from timesync.errors import WireError
from timesync.exchange.ntp import Accepted, Measured, NtpClient, Refused, Stamp
from timesync.model import Timestamping
from timesync.wire.ntp import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KEY", "ForgeryError", "Fuzzed", "fuzz", "is_forgery"]

NOW_NS = 1_795_000_000_000_000_000
KEY_ID, SECRET = 42, b"known to the two of us"
KEY = Sha1Key(KEY_ID, SECRET)
MAC_OCTETS = 24


class ForgeryError(AssertionError):
    """The client believed a packet that the server did not make for this request."""


@dataclass
class Fuzzed:
    """What came of the packets."""

    packets: int = 0
    decoded: int = 0
    believed: int = 0
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)


def is_forgery(packet: bytes, request: bytes, *, from_server: bool, keyed: bool) -> bool:
    """Whether no server that answers `request` (and, with a key, knows it) can have made `packet`."""
    if not from_server or len(packet) < 48 or packet[0] & 7 != 4:
        return True
    transmit, receive = request[40:48], request[32:40]
    if packet[24:32] != transmit and (receive == bytes(8) or packet[24:32] != receive):
        return True
    return keyed and packet[-MAC_OCTETS:] != trailer(KEY_ID, SECRET, packet[:-MAC_OCTETS])


def _random(rng: random.Random, _reply: bytes, _old: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 4, 47, 48, 48, 48, 52, 68, 72, 76, 100, 300)))


def _random_server(rng: random.Random, reply: bytes, _old: bytes) -> bytes:
    return b"\x24" + rng.randbytes(len(reply) - 1)


def _flip(rng: random.Random, reply: bytes, _old: bytes) -> bytes:
    at = rng.randrange(8 * len(reply))
    return reply[: at // 8] + bytes([reply[at // 8] ^ 1 << at % 8]) + reply[at // 8 + 1 :]


def _overwrite(rng: random.Random, reply: bytes, _old: bytes) -> bytes:
    at, length = rng.randrange(len(reply)), rng.choice((1, 2, 4, 8, 16))
    octets = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return (reply[:at] + octets + reply[at + length :])[: len(reply)]


def _cut(rng: random.Random, reply: bytes, _old: bytes) -> bytes:
    return reply[: rng.randrange(len(reply))]


def _extend(rng: random.Random, reply: bytes, _old: bytes) -> bytes:
    kind, length = rng.getrandbits(16), rng.choice((0, 3, 4, 16, 28, 32, 0xFFFF))
    body = rng.randbytes(rng.choice((0, 12, 24, 28)))
    return reply[:48] + struct.pack(">HH", kind, length) + body + reply[48:]


def _replay(_rng: random.Random, _reply: bytes, old: bytes) -> bytes:
    return old


def _spliced(rng: random.Random, reply: bytes, old: bytes) -> bytes:
    """The right origin in another reply's body, under that one's MAC."""
    return old[:24] + reply[24:32] + old[32:] if rng.random() < 0.5 else reply[:32] + old[32:]


def _crypto_nak(_rng: random.Random, reply: bytes, _old: bytes) -> bytes:
    return reply[:48] + bytes(4)


def _truth(_rng: random.Random, reply: bytes, _old: bytes) -> bytes:
    return reply


MAKERS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    _random, _random_server, _flip, _flip, _flip, _overwrite, _overwrite, _cut, _extend, _replay, _spliced, _crypto_nak, _truth,
)  # fmt: skip


def _headers(rng: random.Random) -> Header:
    """Mostly a sound server; at times one that sends nonsense."""
    if rng.random() < 0.9:
        return Header()
    return Header(
        leap=rng.choice((0, 0, 1, 2, 3)),
        stratum=rng.choice((0, 0, 1, 15, 16, rng.randrange(256))),
        poll=rng.randrange(-128, 128),
        precision=rng.randrange(-128, 128),
        root_delay=rng.getrandbits(32),
        root_dispersion=rng.getrandbits(32),
        reference_id=rng.choice((b"RATE", b"DENY", b"RSTR", b"XXXX", rng.randbytes(4))),
        reference=rng.randbytes(8),
    )


def fuzz(count: int, seed: int) -> Fuzzed:
    """Feed `count` packets to the decoder and to clients of all sorts; raises ForgeryError, or whatever the code raises."""
    rng = random.Random(seed)
    result = Fuzzed()
    begun = time.perf_counter()
    clients = [(NtpClient(interleaved=i, key=KEY if k else None), k) for i in (False, True) for k in (False, True)]
    servers = [Server(key=(KEY_ID, SECRET) if keyed else None) for _, keyed in clients]
    old = [bytes(72)] * len(clients)
    token = now_ns = 0
    while result.packets < count:
        which = token % len(clients)
        (client, keyed), server = clients[which], servers[which]
        token += 1
        now_ns = NOW_NS + token * 1_000_000_000
        request = client.request(rng.getrandbits(62) + 1, rng.getrandbits(63) + (1 << 63), token)
        client.transmitted(Stamp(now_ns, Timestamping.KERNEL), token)
        server.header = _headers(rng)
        reply, leaves_ns = server.answer(request, now_ns + 100_000)
        for _ in range(8):
            packet = rng.choice(MAKERS)(rng, reply, old[which])
            from_server = rng.random() < 0.98
            result.packets += 1
            _decode(packet, result)
            events = client.received(packet, Stamp(leaves_ns + 100_000, Timestamping.KERNEL), from_server=from_server)
            if _judge(events, packet, request, result, from_server=from_server, keyed=keyed):
                break
        else:
            client.expired()
        old[which] = reply
    result.seconds = time.perf_counter() - begun
    return result


def _decode(packet: bytes, result: Fuzzed) -> None:
    """Decoding raises nothing but WireError, and encoding gives the octets back."""
    try:
        read = decode(packet)
    except WireError:
        return
    result.decoded += 1
    if encode(read) != packet:
        raise AssertionError(f"encoding gives other octets than were decoded: {packet.hex()}")


def _judge(events: object, packet: bytes, request: bytes, result: Fuzzed, *, from_server: bool, keyed: bool) -> bool:
    """Whether the packet ended the poll; raises if it should not have been believed."""
    ended = False
    for event in events:  # type: ignore[attr-defined]  # a sequence of the client's events
        if isinstance(event, Refused):
            result.refused[event.reason.value] += 1
        # A final refusal believes the packet too: it is the server's own answer.
        if isinstance(event, Measured | Accepted) or (isinstance(event, Refused) and event.final):
            ended = True
            result.believed += 1
    if ended and is_forgery(packet, request, from_server=from_server, keyed=keyed):
        raise ForgeryError(f"believed {packet.hex()} as the answer to {request.hex()} (key: {keyed})")
    return ended
