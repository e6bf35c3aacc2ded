"""A simulated PTP grandmaster on loopback: real multicast messages and kernel timestamps, a made-up clock.

Rule: as in probes/simulated.py everything is labelled as simulated and the truth is known. Its ports are above 1024, so that it
needs no privilege and no PTP stack hears it. Two-step, end-to-end, on TAI with the leap-second table's offset.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from probes.ptp_segment import Place, PtpSegment
from probes.sockets import SocketCounters
from timesync.errors import WireError
from timesync.leapseconds import embedded_leap_table
from timesync.wire.ptp.header import Flag, Header, MessageType, Timestamp
from timesync.wire.ptp.message import Announce, Body, Message, Response, Stamped, decode, encode

if TYPE_CHECKING:
    from probes.simulated import SimulatedClock
    from timesync.exchange.ntp import Stamp

__all__ = ["SimulatedGrandmaster", "free_place"]

LOOPBACK = "lo"
LOG_INTERVAL = -3
INTERVAL_S = 2.0**LOG_INTERVAL
# What it says of itself: locked to a primary reference, within 1 us, by GNSS (IEEE 1588-2019 tables 4, 5 and 6).
CLOCK_CLASS, CLOCK_ACCURACY, VARIANCE, PRIORITY, TIME_SOURCE = 6, 0x23, 0x4E5D, 128, 0x20
FLAGS = Flag.PTP_TIMESCALE | Flag.CURRENT_UTC_OFFSET_VALID | Flag.TIME_TRACEABLE | Flag.FREQUENCY_TRACEABLE


def free_place() -> Place:
    """The loopback interface, with two UDP ports that nothing uses now."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return Place(LOOPBACK, "udp4", one.getsockname()[1], other.getsockname()[1])


class SimulatedGrandmaster:
    """A master whose time is that of a simulated clock. Raises OSError where loopback has no multicast."""

    domain: int = 0
    major_sdo_id: int = 0
    unicast: str | None = None

    def __init__(self, clock: SimulatedClock, place: Place) -> None:
        self.place = place
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._began_ns = time.time_ns()
        self._tai_minus_utc_s = embedded_leap_table().tai_minus_utc_s(self._began_ns)
        self._segment = PtpSegment(self._loop, place, SocketCounters())
        self._identity = self._segment.subscribe(self)
        self._sequence = 0
        self._sent: dict[int, int] = {}
        self._timer: asyncio.Handle = self._loop.call_soon(self._tick)

    def close(self) -> None:
        """Fall silent."""
        self._timer.cancel()
        self._segment.close()

    def true_x_s(self, at_ns: int) -> float:
        """The clock's time error at a true instant (Unix ns)."""
        return self._clock.x_s((at_ns - self._began_ns) / 1e9)

    def _shown(self, true_ns: int) -> Timestamp:
        """What the simulated clock shows, TAI."""
        return Timestamp.of_ns(true_ns + round(self.true_x_s(true_ns) * 1e9) + self._tai_minus_utc_s * 1_000_000_000)

    def _message(self, kind: MessageType, sequence: int, body: Body, flags: int = 0) -> bytes:
        header = Header(kind, self._identity, sequence, self.domain, flags, log_interval=LOG_INTERVAL)
        return encode(Message(header, body))

    def _tick(self) -> None:
        self._timer = self._loop.call_later(INTERVAL_S, self._tick)
        self._sequence = (self._sequence + 1) & 0xFFFF
        announce = Announce(
            Timestamp(0, 0),
            self._tai_minus_utc_s,
            PRIORITY,
            CLOCK_CLASS,
            CLOCK_ACCURACY,
            VARIANCE,
            PRIORITY,
            self._identity.clock,
            0,
            TIME_SOURCE,
        )
        self._segment.send_general(self._message(MessageType.ANNOUNCE, self._sequence, announce, FLAGS), self)
        sync = self._message(MessageType.SYNC, self._sequence, Stamped(Timestamp(0, 0)), Flag.TWO_STEP)
        number, _ = self._segment.send_event(sync, self)
        self._sent = {number: self._sequence}
        self._segment.drain_transmit_stamps()

    # As a `Subscriber` of the segment

    def transmitted(self, number: int, stamp: Stamp) -> None:
        """A Sync left: its Follow_Up says when."""
        sequence = self._sent.pop(number, None)
        if sequence is not None:
            body = Stamped(self._shown(stamp.at_ns))
            self._segment.send_general(self._message(MessageType.FOLLOW_UP, sequence, body), self)

    def heard(self, data: bytes, stamp: Stamp, _sender: str) -> None:
        """A Delay_Req is answered; all else is left alone."""
        try:
            header = decode(data).header
        except WireError:
            return
        if header.message_type == MessageType.DELAY_REQ:
            body = Response(self._shown(stamp.at_ns), header.source)
            self._segment.send_general(self._message(MessageType.DELAY_RESP, header.sequence_id, body), self)

    def failed(self, number: int, text: str) -> None:
        """A listener that has gone is no concern of the master."""
