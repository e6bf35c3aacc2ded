"""Negotiated unicast: asking a PTP master for its messages, keeping them granted, and giving them back. Without I/O.

Rule: each message type is a grant of its own, asked for again when three quarters of it have passed, and every `RETRY_S` while it
is not granted. What the master cancels is acknowledged and asked for anew. At the end all that is granted is cancelled.

Source: IEEE 1588-2019 clause 16.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from timesync.errors import WireError
from timesync.wire.ptp.header import ALL_PORTS, Flag, Header, MessageType, PortIdentity
from timesync.wire.ptp.message import Message, Signaling, decode, encode
from timesync.wire.ptp.tlv import Tlv, TlvType, UnicastRequest, cancel_unicast, unicast_cancellation, unicast_grant

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UnicastNegotiation"]

DURATION_S = 60
RETRY_S = 2.0
RENEW_AT = 0.75
# What is asked for, and its interval (log2 s): an Announce and a Sync every second, an answer to each question. The Announce as
# often as the Sync: a master sends them together, and a lone Sync meets cold caches and sleeping processors, some 100 us of them.
WANTED = {MessageType.ANNOUNCE: 0, MessageType.SYNC: 0, MessageType.DELAY_RESP: 0}


@dataclass(slots=True)
class _Grant:
    """One message type: when to ask (again), until when it is granted, and whether the last answer was a refusal."""

    ask_s: float = float("-inf")
    until_s: float = float("-inf")
    refused: bool = False


class UnicastNegotiation:
    """With one master. `due` gives the messages to send; `received` takes its Signaling. Times are monotonic seconds."""

    def __init__(self, identity: PortIdentity, domain: int) -> None:
        self._identity = identity
        self._domain = domain
        self._sequence = 0
        self._grants = {kind: _Grant() for kind in WANTED}

    def granted(self, now_s: float) -> bool:
        """Whether all is granted now."""
        return all(grant.until_s > now_s for grant in self._grants.values())

    @property
    def refused(self) -> Sequence[str]:
        """The message types that the master will not send."""
        return [kind.name for kind, grant in self._grants.items() if grant.refused]

    def due(self, now_s: float) -> Sequence[bytes]:
        """The requests to send now, one for each message type that is to be asked for."""
        requests = []
        for kind, grant in self._grants.items():
            if now_s >= grant.ask_s:
                grant.ask_s = now_s + RETRY_S
                requests.append(self._signaling(UnicastRequest(kind, WANTED[kind], DURATION_S).tlv()))
        return requests

    def received(self, data: bytes, now_s: float) -> Sequence[bytes]:
        """A Signaling message of the master came; what to answer. Never raises, whatever the octets."""
        try:
            message = decode(data)
        except WireError:
            return ()
        body = message.body
        if not isinstance(body, Signaling) or body.target not in {self._identity, ALL_PORTS}:
            return ()
        answers = []
        for tlv in message.tlvs:
            granted = unicast_grant(tlv)
            if granted is not None and granted.message_type in self._grants:
                grant = self._grants[MessageType(granted.message_type)]
                grant.refused = granted.duration_s == 0
                if not grant.refused:
                    grant.until_s = now_s + granted.duration_s
                    grant.ask_s = now_s + RENEW_AT * granted.duration_s
            cancelled = unicast_cancellation(tlv) if tlv.type == TlvType.CANCEL_UNICAST_TRANSMISSION else None
            if cancelled is not None and cancelled in self._grants:
                self._grants[MessageType(cancelled)] = _Grant(ask_s=now_s + RETRY_S)
                acknowledgement = Tlv(TlvType.ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION, tlv.value)
                answers.append(self._signaling(acknowledgement))
        return answers

    def close(self, now_s: float) -> Sequence[bytes]:
        """Give back what is granted."""
        cancellations = []
        for kind, grant in self._grants.items():
            if grant.until_s > now_s:
                cancellations.append(self._signaling(cancel_unicast(kind)))
            self._grants[kind] = _Grant()
        return cancellations

    def _signaling(self, tlv: Tlv) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        header = Header(
            MessageType.SIGNALING,
            self._identity,
            self._sequence,
            self._domain,
            flags=Flag.UNICAST,
            control=5,
            log_interval=0x7F,
        )
        return encode(Message(header, Signaling(ALL_PORTS), (tlv,)))
