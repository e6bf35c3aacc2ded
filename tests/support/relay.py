"""A path with known faults between two network namespaces: delay, jitter, loss and duplication, each way by itself.

Each host has a TAP device; a process of its own carries the frames between them in user space, because the kernel's netem is
not everywhere. Its own delay is some ten microseconds, the same both ways. Only UDP is delayed and lost: ARP and neighbour
discovery pass at once, so that a test sees the fault it asked for and no other.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Relay", "Way", "relayed_pair"]

_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x0002 | 0x1000
_PR_SET_TIMERSLACK = 29
_SPIN_S = 150e-6
_INTERFACE = "path"


@dataclass(frozen=True, slots=True)
class Way:
    """One direction. Jitter is uniform in 0..jitter_s on top of the delay; loss and duplicates are probabilities."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0


def _open_tap() -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", _INTERFACE.encode(), _IFF_TAP_NO_PI))
    return handle


def _is_udp(frame: bytes) -> bool:
    kind = frame[12:14]
    return (kind == b"\x08\x00" and frame[23] == 17) or (kind == b"\x86\xdd" and frame[20] == 17)


class _Carrier:
    """The relay process: frames in, frames out when they are due."""

    def __init__(self, client: int, server: int, control: socket.socket) -> None:
        self._other = {client: server, server: client}
        self._ways = {client: Way(), server: Way()}
        self._order = (client, server)
        self._control = control
        self._due: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._random = random.Random(1)

    def run(self) -> None:
        while True:
            self._deliver()
            patience = max(0.0, self._due[0][0] - time.monotonic() - _SPIN_S) if self._due else None
            ready, _, _ = select.select([*self._order, self._control.fileno()], [], [], patience)
            for source in ready:
                if source == self._control.fileno():
                    message = self._control.recv(65536)
                    if not message:
                        return
                    ways = [Way(**way) for way in json.loads(message)]
                    self._ways = dict(zip(self._order, ways, strict=True))
                    self._control.send(b"ok")
                else:
                    self._take(source)

    def _take(self, source: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = os.read(source, 65536)
                now = time.monotonic()
                way = self._ways[source] if _is_udp(frame) else Way()
                if self._random.random() < way.loss:
                    continue
                copies = 2 if self._random.random() < way.duplicates else 1
                for _ in range(copies):
                    due = now + way.delay_s + way.jitter_s * self._random.random()
                    self._count += 1
                    heapq.heappush(self._due, (due, self._count, self._other[source], frame))

    def _deliver(self) -> None:
        while self._due and self._due[0][0] - time.monotonic() <= _SPIN_S:
            due, _, target, frame = heapq.heappop(self._due)
            while time.monotonic() < due:
                pass
            with contextlib.suppress(OSError):  # an interface that is down or full loses the frame, as a cable does
                os.write(target, frame)


@dataclass(frozen=True, slots=True)
class Relay:
    """The running path. `set` changes both ways at once and returns when it is in force."""

    control: socket.socket

    def set(self, *, out: Way, back: Way) -> None:
        """`out` is from client to server, `back` the other way."""
        self.control.send(json.dumps([asdict(out), asdict(back)]).encode())
        if self.control.recv(16) != b"ok":
            raise RuntimeError("the relay process has ended")


@contextmanager
def relayed_pair(*, out: Way, back: Way) -> Iterator[tuple[Pair, Relay]]:
    """Two hosts joined by a path with these faults: the pair (with its addresses) and the relay between."""
    from support.netns import Pair, hosts
    from support.process import Program

    with contextlib.ExitStack() as stack:
        client, server = stack.enter_context(hosts(2))
        taps = [client.call(_open_tap), server.call(_open_tap)]
        for tap in taps:
            stack.callback(os.close, tap)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(ours)
        fds = [*taps, theirs.fileno()]
        argv: list[str | Path] = [sys.executable, Path(__file__).resolve(), *map(str, fds)]
        stack.enter_context(Program(argv, pass_fds=fds))
        theirs.close()
        ours.settimeout(10.0)
        relay = Relay(ours)
        relay.set(out=out, back=back)
        pair = Pair(client, server)
        pair.give_addresses(_INTERFACE)
        yield pair, relay


if TYPE_CHECKING:
    from support.netns import Pair

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    first, second, line = map(int, sys.argv[1:])
    _Carrier(first, second, socket.socket(fileno=line)).run()
