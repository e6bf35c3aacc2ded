"""A path with known faults between two network namespaces: delay, jitter, loss and duplication, each way by itself.

Each host has a TAP device; a process of its own carries the frames between them in user space, because the kernel's netem is
not everywhere. The delay counts from the kernel's own stamp of the frame's departure, so that it does not depend on how soon the
process wakes up. Only UDP is delayed and lost: ARP and neighbour discovery pass at once, so that a test sees the fault it
asked for and no other.
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
_SPIN_NS = 200_000
_SO_TIMESTAMPNS = 35
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_INTERFACE = "path"


@dataclass(frozen=True, slots=True)
class Way:
    """One direction. Jitter is uniform in 0..jitter_s on top of the delay; loss and duplicates are probabilities."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0


def _open_tap() -> tuple[int, int]:
    """A TAP device in the caller's namespace: its handle, to write frames to, and a socket that sees what leaves, stamped."""
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", _INTERFACE.encode(), _IFF_TAP_NO_PI))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0) as watcher:
        watcher.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        watcher.bind((_INTERFACE, _ETH_P_ALL))
        return handle, watcher.detach()


def _is_udp(frame: bytes) -> bool:
    kind = frame[12:14]
    return (kind == b"\x08\x00" and frame[23] == 17) or (kind == b"\x86\xdd" and frame[20] == 17)


class _Carrier:
    """The relay process: frames in, frames out when they are due. Instants are Unix ns, the kernel stamps' scale."""

    def __init__(self, taps: list[int], watchers: list[int], control: socket.socket) -> None:
        self._taps = taps
        self._watchers = [socket.socket(fileno=number) for number in watchers]
        self._ways = [Way(), Way()]
        self._control = control
        self._due: list[tuple[int, int, int, bytes]] = []
        self._count = 0
        self._random = random.Random(1)

    def run(self) -> None:
        """Carry until the other end of the control socket is closed."""
        # A watcher sees a frame before the device takes its transmit stamp: woken by it, we would keep the sender from that.
        numbers = [*self._taps, self._control.fileno()]
        while True:
            self._deliver()
            patience_s = max(0, self._due[0][0] - time.time_ns() - _SPIN_NS) / 1e9 if self._due else None
            ready, _, _ = select.select(numbers, [], [], patience_s)
            for side in (0, 1):
                if self._taps[side] in ready:
                    self._discard(self._taps[side])
                    self._take(side)
            if self._control.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        message = self._control.recv(65536)
        if message:
            self._ways = [Way(**way) for way in json.loads(message)]
            self._control.send(b"ok")
        return bool(message)

    def _discard(self, tap: int) -> None:
        """Empty the device's own queue: the watcher has seen these frames."""
        with contextlib.suppress(BlockingIOError):
            while True:
                os.read(tap, 65536)

    def _take(self, side: int) -> None:
        with contextlib.suppress(OSError):  # nothing more is there, or the interface is not up yet
            while True:
                frame, control, _flags, address = self._watchers[side].recvmsg(65536, 64)
                if address[2] != _PACKET_OUTGOING:
                    continue
                seconds, ns = struct.unpack("qq", control[0][2])
                self._send_on(side, frame, seconds * 1_000_000_000 + ns)

    def _send_on(self, side: int, frame: bytes, left_ns: int) -> None:
        way = self._ways[side] if _is_udp(frame) else Way()
        if self._random.random() < way.loss:
            return
        for _ in range(2 if self._random.random() < way.duplicates else 1):
            due_ns = left_ns + round(1e9 * (way.delay_s + way.jitter_s * self._random.random()))
            self._count += 1
            heapq.heappush(self._due, (due_ns, self._count, self._taps[1 - side], frame))

    def _deliver(self) -> None:
        while self._due and self._due[0][0] - time.time_ns() <= _SPIN_NS:
            due_ns, _, tap, frame = heapq.heappop(self._due)
            while time.time_ns() < due_ns:
                pass
            with contextlib.suppress(OSError):  # an interface that is down or full loses the frame, as a cable does
                os.write(tap, frame)


@dataclass(frozen=True, slots=True)
class Relay:
    """The running path. `set` changes both ways at once and returns when it is in force."""

    program: Program
    control: socket.socket

    def set(self, *, out: Way, back: Way) -> None:
        """`out` is from client to server, `back` the other way."""
        self.control.send(json.dumps([asdict(out), asdict(back)]).encode())
        self.program.wait_ready(self._obeyed, "it obeyed")

    def _obeyed(self) -> bool:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            return self.control.recv(16) == b"ok"
        return False


@contextmanager
def relayed_pair(*, out: Way, back: Way) -> Iterator[tuple[Pair, Relay]]:
    """Two hosts joined by a path with these faults: the pair (with its addresses) and the relay between."""
    # Not at the top: the relay process runs this file as a script and needs neither.
    from support.netns import Pair, hosts
    from support.process import Program

    with contextlib.ExitStack() as stack:
        client, server = stack.enter_context(hosts(2))
        (tap_a, watcher_a), (tap_b, watcher_b) = client.call(_open_tap), server.call(_open_tap)
        numbers = [tap_a, tap_b, watcher_a, watcher_b]
        for number in numbers:
            stack.callback(os.close, number)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(ours)
        fds = [*numbers, theirs.fileno()]
        argv: list[str | Path] = [sys.executable, Path(__file__).resolve(), *map(str, fds)]
        program = stack.enter_context(Program(argv, pass_fds=fds))
        theirs.close()
        ours.setblocking(False)
        relay = Relay(program, ours)
        relay.set(out=out, back=back)
        pair = Pair(client, server)
        pair.give_addresses(_INTERFACE)
        yield pair, relay


if TYPE_CHECKING:
    from support.netns import Pair
    from support.process import Program

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # a late delivery would be a delay not asked for
    *handles, line = map(int, sys.argv[1:])
    _Carrier(handles[:2], handles[2:], socket.socket(fileno=line)).run()
