"""An NTP server for tests, written from the RFCs with struct and nothing of ours, so that the two can disagree.

Sources: RFC 5905 figure 8 (header) and section 7.3 (MAC: digest of key and message); RFC 9769 section 2 (interleaved mode).
It is a model: bytes and true times in, bytes and its own transmit time out.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field

__all__ = ["ERA_NS", "Header", "Server", "Sha1Key", "ntp_time", "trailer"]

HEADER = struct.Struct(">BBbbIII8s8s8s8s")
ERA_NS = 2**32 * 10**9
UNIX_IN_NTP_S = (70 * 365 + 17) * 86400


def ntp_time(unix_ns: int) -> bytes:
    """The 64 bits of an instant: whole seconds since 1900 modulo 2^32, and the fraction rounded to the nearest 2^-32 s."""
    seconds, ns = divmod(unix_ns + UNIX_IN_NTP_S * 10**9, 10**9)
    fraction = (ns * 2**32 + 5 * 10**8) // 10**9
    return struct.pack(">II", (seconds + (fraction >> 32)) % 2**32, fraction % 2**32)


def trailer(key_id: int, secret: bytes, message: bytes) -> bytes:
    """Key number and SHA-1 digest (RFC 5905 section 7.3)."""
    return struct.pack(">I", key_id) + hashlib.sha1(secret + message).digest()  # the digest that deployed servers use


@dataclass(frozen=True, slots=True)
class Sha1Key:
    """A client's key by hashlib alone (RFC 5905 section 7.3: digest of key and message)."""

    key_id: int
    secret: bytes

    def mac(self, data: bytes) -> bytes:
        return hashlib.sha1(self.secret + data).digest()

    def verify(self, data: bytes, digest: bytes) -> bool:
        return hmac.compare_digest(self.mac(data), digest)


@dataclass(slots=True)
class Header:
    """What a server writes into every reply."""

    leap: int = 0
    version: int | None = None
    mode: int = 4
    stratum: int = 1
    poll: int = 6
    precision: int = -25
    root_delay: int = 0
    root_dispersion: int = 0
    reference_id: bytes = b"GPS\0"
    reference: bytes = b"\x01" * 8


@dataclass(slots=True)
class Server:
    """A server whose clock is `offset_ns` ahead; `interleaved` gives that mode to those that ask for it."""

    offset_ns: int = 0
    interleaved: bool = True
    processing_ns: int = 20_000
    header: Header = field(default_factory=Header)
    key: tuple[int, bytes] | None = None
    sent: dict[bytes, bytes] = field(default_factory=dict)

    def restart(self) -> None:
        """All transmit times are forgotten."""
        self.sent.clear()

    def answer(self, request: bytes, arrives_ns: int) -> tuple[bytes, int]:
        """The reply to a request that arrives at a true instant, and the true instant at which it leaves."""
        first = request[0]
        _reference, origin, receive, transmit = (request[at : at + 8] for at in (16, 24, 32, 40))
        t2 = ntp_time(arrives_ns + self.offset_ns)
        leaves_ns = arrives_ns + self.processing_ns
        t3 = ntp_time(leaves_ns + self.offset_ns)
        # RFC 9769: the client's origin names a receive time of ours, and its receive and transmit times differ.
        earlier = self.sent.get(origin) if self.interleaved and receive != transmit else None
        self.sent[t2] = t3
        head = self.header
        version = head.version if head.version is not None else first >> 3 & 7
        reply = HEADER.pack(
            head.leap << 6 | version << 3 | head.mode,
            head.stratum,
            head.poll,
            head.precision,
            head.root_delay,
            head.root_dispersion,
            int.from_bytes(head.reference_id, "big"),
            head.reference,
            transmit if earlier is None else receive,
            t2,
            t3 if earlier is None else earlier,
        )
        if self.key is not None:
            reply += trailer(*self.key, reply)
        return reply, leaves_ns
