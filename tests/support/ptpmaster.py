"""A scripted PTP master on loopback or a cable, its octets by struct: for what no real stack does on demand.

Rule: its behaviour is its attributes, which a test changes while it runs. Its stamps are user space's, taken before it sends and
after it received, so that what they are wrong by looks like a longer path and an observer's bound must hold.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Self

__all__ = ["ScriptedMaster"]

GROUP = "224.0.1.129"
SYNC, DELAY_REQ, FOLLOW_UP, DELAY_RESP, ANNOUNCE = 0x0, 0x1, 0x8, 0x9, 0xB
TWO_STEP, PTP_TIMESCALE, OFFSET_VALID = 0x0200, 0x0008, 0x0004
TAI = 37


@dataclass
class ScriptedMaster:
    """Announces and syncs by multicast, answers Delay_Req. Entered, it runs in a thread.

    `ahead_s` is its error against UTC, `rate` its gain, s/s. Of `muted` message types nothing is sent.
    """

    event_port: int
    general_port: int
    interface: str = "lo"
    clock: int = 0x001122FFFE334455
    domain: int = 0
    ahead_s: float = 0.0
    rate: float = 0.0
    clock_class: int = 6
    priority1: int = 128
    flags: int = PTP_TIMESCALE | OFFSET_VALID
    utc_offset_s: int = TAI
    one_step: bool = False
    muted: frozenset[int] = frozenset()
    follow_up_late_s: float = 0.0
    follow_up_sequence_shift: int = 0
    response_sequence_shift: int = 0
    response_to_other: bool = False
    response_late_s: float = 0.0
    # Share of its messages that never leave, by a generator that begins the same each time.
    dropped: float = 0.0
    sync_correction_ns: int = 0
    interval_s: float = 0.0625
    log_interval: int = -4
    sent: int = 0
    answered: int = 0
    sequence: int = 0
    _ending: threading.Event = field(default_factory=threading.Event)
    _chance: random.Random = field(default_factory=lambda: random.Random(7))

    def __enter__(self) -> Self:
        self._began_ns = time.time_ns()
        self._event, self._general = self._open(self.event_port), self._open(self.general_port)
        self._thread = threading.Thread(target=self._run, name="scripted master")
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ending.set()
        self._thread.join()
        self._event.close()
        self._general.close()

    def _open(self, port: int) -> socket.socket:
        index = socket.if_nametoindex(self.interface)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        membership = socket.inet_aton(GROUP) + bytes(4) + struct.pack("=i", index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("=i", index))
        sock.bind(("", port))
        return sock

    @property
    def port_text(self) -> str:
        """Its port identity, as it is written."""
        digits = f"{self.clock:016x}"
        return f"{digits[:6]}.{digits[6:10]}.{digits[10:]}-1"

    def true_s(self, at_ns: int) -> float:
        """Its error against UTC at an instant."""
        return self.ahead_s + self.rate * (at_ns - self._began_ns) / 1e9

    def _stamp(self, at_ns: int) -> bytes:
        shown_ns = at_ns + round(self.true_s(at_ns) * 1e9) + TAI * 10**9
        seconds, nanoseconds = divmod(shown_ns, 10**9)
        return struct.pack(">HII", seconds >> 32, seconds & 0xFFFFFFFF, nanoseconds)

    def _header(self, kind: int, length: int, sequence: int, flags: int = 0, correction_ns: int = 0) -> bytes:
        return struct.pack(
            ">BBHBBHqIQHHBb",
            *(kind, 2, length, self.domain, 0, flags, correction_ns << 16, 0, self.clock, 1),
            *(sequence & 0xFFFF, 0, self.log_interval),
        )

    def _send(self, sock: socket.socket, port: int, data: bytes) -> None:
        if data[0] & 0x0F not in self.muted and self._chance.random() >= self.dropped:
            sock.sendto(data, (GROUP, port))
            self.sent += 1

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._ending.is_set():
            ready, _, _ = select.select([self._event], [], [], max(0.0, due_s - time.monotonic()))
            if ready:
                self._answer()
            if time.monotonic() >= due_s:
                due_s += self.interval_s
                self._tick()

    def _tick(self) -> None:
        self.sequence = (self.sequence + 1) & 0xFFFF
        body = struct.pack(
            ">hBBBBHBQHB",
            *(self.utc_offset_s, 0, self.priority1, self.clock_class, 0x21, 0x4E5D, 128, self.clock, 0, 0x20),
        )
        header = self._header(ANNOUNCE, 64, self.sequence, self.flags)
        self._send(self._general, self.general_port, header + bytes(10) + body)
        left_ns = time.time_ns()
        flags, stamp = (0, self._stamp(left_ns)) if self.one_step else (TWO_STEP, bytes(10))
        sync = self._header(SYNC, 44, self.sequence, flags, self.sync_correction_ns)
        self._send(self._event, self.event_port, sync + stamp)
        if self.one_step:
            return
        follow_up = self._header(FOLLOW_UP, 44, self.sequence + self.follow_up_sequence_shift) + self._stamp(left_ns)
        if self.follow_up_late_s:
            timer = threading.Timer(self.follow_up_late_s, self._send, (self._general, self.general_port, follow_up))
            timer.start()
            timer.join()
        else:
            self._send(self._general, self.general_port, follow_up)

    def _answer(self) -> None:
        request, _ = self._event.recvfrom(2048)
        at_ns = time.time_ns()
        if len(request) < 44 or request[0] & 0x0F != DELAY_REQ or request[4] != self.domain:
            return
        (sequence,) = struct.unpack_from(">H", request, 30)
        asked = bytes(10) if self.response_to_other else request[20:30]
        header = self._header(DELAY_RESP, 54, sequence + self.response_sequence_shift)
        time.sleep(self.response_late_s)
        self._send(self._general, self.general_port, header + self._stamp(at_ns) + asked)
        self.answered += 1
