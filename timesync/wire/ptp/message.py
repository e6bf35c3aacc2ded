"""Whole PTP messages: the bodies of the message types and their codec (IEEE 1588-2019 clause 13, 15.4).

Rule: one small dataclass a body, one table from message type to codec. A body of an unknown type is octets. TLVs stand behind the
fixed part of every type. Octets behind messageLength (Ethernet padding, the two that UDP over IPv6 adds) are no part of a message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from timesync.errors import WireError
from timesync.wire.ptp.header import (
    HEADER_OCTETS,
    ClockIdentity,
    Header,
    MessageType,
    PortIdentity,
    Timestamp,
    decode_header,
    decode_port,
    decode_timestamp,
    encode_header,
    encode_port,
    encode_timestamp,
)
from timesync.wire.ptp.tlv import Tlv, decode_tlvs, encode_tlvs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Announce",
    "Body",
    "Management",
    "Message",
    "PdelayReq",
    "Response",
    "Signaling",
    "Stamped",
    "Unknown",
    "decode",
    "encode",
]

_ANNOUNCE = struct.Struct(">hBBBBHBQHB")
_MANAGEMENT = struct.Struct(">BBBB")
_NOTHING = bytes(10)


@dataclass(frozen=True, slots=True)
class Stamped:
    """Sync and Delay_Req (originTimestamp) and Follow_Up (preciseOriginTimestamp): clauses 13.6 and 13.7."""

    timestamp: Timestamp


@dataclass(frozen=True, slots=True)
class Response:
    """Delay_Resp, Pdelay_Resp and Pdelay_Resp_Follow_Up: an instant, and whose request it answers (clauses 13.8, 13.10, 13.11)."""

    timestamp: Timestamp
    requesting: PortIdentity


@dataclass(frozen=True, slots=True)
class PdelayReq:
    """Pdelay_Req (clause 13.9): as long as its response, by ten reserved octets."""

    timestamp: Timestamp
    reserved: bytes = _NOTHING


@dataclass(frozen=True, slots=True)
class Announce:
    """Announce (clause 13.5): what a clock says of its grandmaster."""

    timestamp: Timestamp
    current_utc_offset_s: int
    priority1: int
    clock_class: int
    clock_accuracy: int
    offset_scaled_log_variance: int
    priority2: int
    grandmaster: ClockIdentity
    steps_removed: int
    time_source: int
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Signaling:
    """Signaling (clause 13.12): to whom; its content is its TLVs."""

    target: PortIdentity


@dataclass(frozen=True, slots=True)
class Management:
    """Management (clause 15.4.1): to whom, how far, and what to do (action 0 GET, 1 SET, 2 RESPONSE, 3 COMMAND, 4 ACKNOWLEDGE)."""

    target: PortIdentity
    starting_boundary_hops: int
    boundary_hops: int
    action: int
    reserved: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Unknown:
    """The octets of a message type that this codec does not know, TLVs and all."""

    octets: bytes


Body = Stamped | Response | PdelayReq | Announce | Signaling | Management | Unknown


@dataclass(frozen=True, slots=True)
class Message:
    """A message: header, body and TLVs."""

    header: Header
    body: Body
    tlvs: tuple[Tlv, ...] = ()


def _decode_stamped(data: bytes) -> Stamped:
    return Stamped(decode_timestamp(data, HEADER_OCTETS))


def _encode_stamped(body: Stamped) -> bytes:
    return encode_timestamp(body.timestamp)


def _decode_response(data: bytes) -> Response:
    return Response(decode_timestamp(data, HEADER_OCTETS), decode_port(data, HEADER_OCTETS + 10))


def _encode_response(body: Response) -> bytes:
    return encode_timestamp(body.timestamp) + encode_port(body.requesting)


def _decode_pdelay_req(data: bytes) -> PdelayReq:
    return PdelayReq(decode_timestamp(data, HEADER_OCTETS), data[HEADER_OCTETS + 10 : HEADER_OCTETS + 20])


def _encode_pdelay_req(body: PdelayReq) -> bytes:
    return encode_timestamp(body.timestamp) + body.reserved


def _decode_announce(data: bytes) -> Announce:
    offset, reserved, priority1, clock_class, accuracy, variance, priority2, grandmaster, steps, source = (
        _ANNOUNCE.unpack_from(data, HEADER_OCTETS + 10)
    )
    stamp = decode_timestamp(data, HEADER_OCTETS)
    return Announce(
        stamp, offset, priority1, clock_class, accuracy, variance, priority2, grandmaster, steps, source, reserved
    )


def _encode_announce(body: Announce) -> bytes:
    return encode_timestamp(body.timestamp) + _ANNOUNCE.pack(
        body.current_utc_offset_s,
        body.reserved,
        body.priority1,
        body.clock_class,
        body.clock_accuracy,
        body.offset_scaled_log_variance,
        body.priority2,
        body.grandmaster,
        body.steps_removed,
        body.time_source,
    )


def _decode_signaling(data: bytes) -> Signaling:
    return Signaling(decode_port(data, HEADER_OCTETS))


def _encode_signaling(body: Signaling) -> bytes:
    return encode_port(body.target)


def _decode_management(data: bytes) -> Management:
    starting, hops, action, last = _MANAGEMENT.unpack_from(data, HEADER_OCTETS + 10)
    return Management(decode_port(data, HEADER_OCTETS), starting, hops, action & 0x0F, (action >> 4, last))


def _encode_management(body: Management) -> bytes:
    upper, last = body.reserved
    return encode_port(body.target) + _MANAGEMENT.pack(
        body.starting_boundary_hops, body.boundary_hops, upper << 4 | body.action, last
    )


@dataclass(frozen=True, slots=True)
class _Codec:
    octets: int
    kind: type
    decode: Callable[[bytes], Body]
    encode: Callable[[Any], bytes]


_STAMPED = _Codec(10, Stamped, _decode_stamped, _encode_stamped)
_RESPONSE = _Codec(20, Response, _decode_response, _encode_response)
_CODECS: Mapping[int, _Codec] = {
    MessageType.SYNC: _STAMPED,
    MessageType.DELAY_REQ: _STAMPED,
    MessageType.FOLLOW_UP: _STAMPED,
    MessageType.DELAY_RESP: _RESPONSE,
    MessageType.PDELAY_RESP: _RESPONSE,
    MessageType.PDELAY_RESP_FOLLOW_UP: _RESPONSE,
    MessageType.PDELAY_REQ: _Codec(20, PdelayReq, _decode_pdelay_req, _encode_pdelay_req),
    MessageType.ANNOUNCE: _Codec(30, Announce, _decode_announce, _encode_announce),
    MessageType.SIGNALING: _Codec(10, Signaling, _decode_signaling, _encode_signaling),
    MessageType.MANAGEMENT: _Codec(14, Management, _decode_management, _encode_management),
}


def decode(data: bytes) -> Message:
    """The message at the beginning of `data`; what follows messageLength is ignored.

    Raises WireError for anything that is no PTP version 2 message, and nothing else.
    """
    header, length = decode_header(data)
    codec = _CODECS.get(header.message_type)
    if codec is None:
        return Message(header, Unknown(data[HEADER_OCTETS:length]))
    end = HEADER_OCTETS + codec.octets
    if length < end:
        name = MessageType(header.message_type).name
        raise WireError(f"a {name} of {length} octets is shorter than {end}")
    return Message(header, codec.decode(data), decode_tlvs(data[end:length]) if length > end else ())


def encode(message: Message) -> bytes:
    """The octets of a message. Raises TypeError for a body of another type, struct.error for a field beyond its width."""
    codec = _CODECS.get(message.header.message_type)
    body = message.body
    if isinstance(body, Unknown):
        content = body.octets
    elif codec is None or not isinstance(body, codec.kind):
        raise TypeError(f"message type {message.header.message_type:#x} does not take a {type(body).__name__}")
    else:
        content = codec.encode(body) + encode_tlvs(message.tlvs)
    return encode_header(message.header, HEADER_OCTETS + len(content)) + content
