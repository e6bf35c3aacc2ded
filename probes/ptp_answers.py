"""Answering a neighbour's Pdelay_Req on a segment, with the stamps of the answer's own departure.

Rule: one answer for each request, and no more open at once than `OPEN_LIMIT`: who asks faster than the stamps come is not answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.errors import WireError
from timesync.exchange.ptp_peer import PeerResponder
from timesync.model import Timestamping
from timesync.wire.ptp.header import Header, MessageType, decode_header

if TYPE_CHECKING:
    from probes.ptp_segment import PtpSegment, Subscriber
    from timesync.exchange.ntp import Stamp
    from timesync.wire.ptp.header import PortIdentity

__all__ = ["PeerAnswers"]

OPEN_LIMIT = 8


class PeerAnswers:
    """Of one subscriber of a segment."""

    def __init__(self, segment: PtpSegment, subscriber: Subscriber, identity: PortIdentity) -> None:
        self._segment = segment
        self._subscriber = subscriber
        self._identity = identity
        self._responder = PeerResponder(identity)
        self._open: dict[int, tuple[Header, Timestamping]] = {}

    def heard(self, data: bytes, stamp: Stamp) -> None:
        """Any message of the domain; a neighbour's question is answered. Raises OSError where it cannot be sent."""
        if data[0] & 0x0F != MessageType.PDELAY_REQ:
            return
        try:
            request, _ = decode_header(data)
        except WireError:
            return  # counted by the listener, which gets it too
        if request.source == self._identity:
            return
        while len(self._open) >= OPEN_LIMIT:
            del self._open[next(iter(self._open))]
        answer = self._responder.response(request, stamp)
        number, _ = self._segment.send_event(answer, self._subscriber, to_peer=True)
        self._open[number] = (request, stamp.kind)
        self._segment.drain_transmit_stamps()

    def transmitted(self, number: int, stamp: Stamp) -> None:
        """A message left; if it was an answer of ours, its follow-up says when. Raises OSError where that cannot be sent."""
        found = self._open.get(number)
        # A card's stamp comes after the kernel's; both stamps of an answer are to be of the same clock.
        if found is not None and stamp.kind in {found[1], Timestamping.HARDWARE}:
            del self._open[number]
            self._segment.send_general(self._responder.follow_up(found[0], stamp), self._subscriber, to_peer=True)
