"""An NTP client, a server model and the path between them in simulated time, and what a step must have come to."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from support.ntpserver import Server
from timesync.exchange.ntp import NtpClient, Refused, Stamp
from timesync.model import Timestamping

__all__ = [
    "BACK_NS",
    "KEY_ID",
    "OUT_NS",
    "ROLLOVER_NS",
    "SECRET",
    "START_NS",
    "Link",
    "basic",
    "only",
    "refusal",
    "with_octets",
]

START_NS = 1_795_000_000_123_456_789
OUT_NS, BACK_NS = 300_000, 200_000
KEY_ID, SECRET = 7, b"a secret of twenty o"
ROLLOVER_NS = 2_085_978_496 * 10**9  # RFC 5905 figure 4: 2036-02-07T06:28:16Z begins era 1


@dataclass
class Link:
    """A client, a server and the path between them, in simulated time."""

    client: NtpClient[int] = field(default_factory=NtpClient)
    server: Server = field(default_factory=Server)
    now_ns: int = START_NS
    polls: int = 0
    requests: list[bytes] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def ask(self) -> bytes:
        """Send a request; it leaves now."""
        self.polls += 1
        request = self.client.request(self.random.getrandbits(64) | 1, self.random.getrandbits(64) & ~1 | 2, self.polls)
        self.client.transmitted(Stamp(self.now_ns, Timestamping.KERNEL), self.polls)
        self.requests.append(request)
        return request

    def answer(self, request: bytes) -> tuple[bytes, int]:
        """The server's reply, and when it reaches the client."""
        reply, leaves_ns = self.server.answer(request, self.now_ns + OUT_NS)
        return reply, leaves_ns + BACK_NS

    def take(self, data: bytes, t4_ns: int, *, from_server: bool = True) -> list[object]:
        """A datagram reaches the client."""
        return list(self.client.received(data, Stamp(t4_ns, Timestamping.KERNEL), from_server=from_server))

    def poll(self) -> list[object]:
        """One poll that is answered, and 16 s pass."""
        reply, t4_ns = self.answer(self.ask())
        events = self.take(reply, t4_ns)
        self.now_ns += 16 * 10**9
        return events

    def lose(self) -> list[object]:
        """One poll whose reply is lost (the server has seen it), and 16 s pass."""
        self.answer(self.ask())
        self.now_ns += 16 * 10**9
        return list(self.client.expired())


def basic() -> Link:
    return Link(NtpClient(interleaved=False))


def only(events: list[object]) -> object:
    assert len(events) == 1, events
    return events[0]


def refusal(events: list[object]) -> Refused[int]:
    event = only(events)
    assert isinstance(event, Refused), event
    return event


def with_octets(data: bytes, at: int, octets: bytes) -> bytes:
    return data[:at] + octets + data[at + len(octets) :]
