"""TLVs of PTP messages (IEEE 1588-2019 clause 14): kept as octets, and read where their content is known.

Rule: a chain of TLVs is read to its end or refused; a TLV of any type is kept as it came. Reading a known type is a question of its
own, so that a malformed content never makes the message around it unreadable.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from timesync.errors import WireError

if TYPE_CHECKING:
    from timesync.wire.ptp.header import ClockIdentity

__all__ = [
    "FollowUpInformation",
    "OrganizationExtension",
    "Tlv",
    "TlvType",
    "UnicastGrant",
    "UnicastRequest",
    "cancel_unicast",
    "follow_up_information",
    "organization_extension",
    "path_trace",
    "unicast_cancellation",
    "unicast_grant",
    "unicast_request",
]

_HEAD = struct.Struct(">HH")
_REQUEST = struct.Struct(">BbI")
_GRANT = struct.Struct(">BbIBB")
_IDENTITY = struct.Struct(">Q")

IEEE_802_1 = b"\x00\x80\xc2"
FOLLOW_UP_SUBTYPE = b"\x00\x00\x01"


class TlvType(IntEnum):
    """tlvType values (table 52)."""

    MANAGEMENT = 0x0001
    MANAGEMENT_ERROR_STATUS = 0x0002
    ORGANIZATION_EXTENSION = 0x0003
    REQUEST_UNICAST_TRANSMISSION = 0x0004
    GRANT_UNICAST_TRANSMISSION = 0x0005
    CANCEL_UNICAST_TRANSMISSION = 0x0006
    ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION = 0x0007
    PATH_TRACE = 0x0008
    ALTERNATE_TIME_OFFSET_INDICATOR = 0x0009
    ORGANIZATION_EXTENSION_PROPAGATE = 0x4000
    ENHANCED_ACCURACY_METRICS = 0x4001
    ORGANIZATION_EXTENSION_DO_NOT_PROPAGATE = 0x8000
    L1_SYNC = 0x8001
    PORT_COMMUNICATION_AVAILABILITY = 0x8002
    PROTOCOL_ADDRESS = 0x8003
    SLAVE_RX_SYNC_TIMING_DATA = 0x8004
    CUMULATIVE_RATE_RATIO = 0x8007
    PAD = 0x8008
    AUTHENTICATION = 0x8009


@dataclass(frozen=True, slots=True)
class Tlv:
    """One TLV: its type and its value, uninterpreted."""

    type: int
    value: bytes


def decode_tlvs(data: bytes) -> tuple[Tlv, ...]:
    """A chain of TLVs that fills `data`. Raises WireError if it does not come out even."""
    found = []
    at = 0
    while at < len(data):
        if len(data) - at < _HEAD.size:
            raise WireError(f"{len(data) - at} octets are left over behind the last TLV")
        kind, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if length > len(data) - at:
            raise WireError(f"TLV type {kind:#06x} claims {length} octets, {len(data) - at} are there")
        found.append(Tlv(kind, data[at : at + length]))
        at += length
    return tuple(found)


def encode_tlvs(tlvs: tuple[Tlv, ...]) -> bytes:
    """The chain as octets. Raises struct.error for a value of more than 65535 octets."""
    return b"".join(_HEAD.pack(tlv.type, len(tlv.value)) + tlv.value for tlv in tlvs)


@dataclass(frozen=True, slots=True)
class UnicastRequest:
    """REQUEST_UNICAST_TRANSMISSION (clause 16.1.4.1): one message type, its interval (log2 s) and duration (s)."""

    message_type: int
    log_interval: int
    duration_s: int

    def tlv(self) -> Tlv:
        """As a TLV."""
        value = _REQUEST.pack(self.message_type << 4, self.log_interval, self.duration_s)
        return Tlv(TlvType.REQUEST_UNICAST_TRANSMISSION, value)


@dataclass(frozen=True, slots=True)
class UnicastGrant:
    """GRANT_UNICAST_TRANSMISSION (clause 16.1.4.2). A duration of 0 is a refusal; `renewal` invites to ask again."""

    message_type: int
    log_interval: int
    duration_s: int
    renewal: bool

    def tlv(self) -> Tlv:
        """As a TLV."""
        value = _GRANT.pack(self.message_type << 4, self.log_interval, self.duration_s, 0, self.renewal)
        return Tlv(TlvType.GRANT_UNICAST_TRANSMISSION, value)


@dataclass(frozen=True, slots=True)
class OrganizationExtension:
    """An organisation's own TLV (clause 14.3): its identifier, subtype and data."""

    organization: bytes
    subtype: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class FollowUpInformation:
    """The Follow_Up information TLV (IEEE 802.1AS-2020 clause 11.4.4.3).

    `cumulative_scaled_rate_offset` is (rate ratio - 1) * 2^41; `last_gm_phase_change` is 96 bits, signed, in 2^-16 ns;
    `scaled_last_gm_freq_change` is the fractional frequency change * 2^41.
    """

    cumulative_scaled_rate_offset: int
    gm_time_base_indicator: int
    last_gm_phase_change: int
    scaled_last_gm_freq_change: int

    @property
    def rate_ratio(self) -> float:
        """Grandmaster frequency over the sender's."""
        return 1.0 + self.cumulative_scaled_rate_offset / 2.0**41

    @property
    def last_gm_phase_change_s(self) -> float:
        """By how much the grandmaster's phase jumped when it last did."""
        return self.last_gm_phase_change / 65536e9

    @property
    def last_gm_freq_change(self) -> float:
        """By how much its frequency jumped, as a fraction."""
        return self.scaled_last_gm_freq_change / 2.0**41

    def tlv(self) -> Tlv:
        """As a TLV."""
        value = (
            IEEE_802_1
            + FOLLOW_UP_SUBTYPE
            + self.cumulative_scaled_rate_offset.to_bytes(4, "big", signed=True)
            + self.gm_time_base_indicator.to_bytes(2, "big")
            + self.last_gm_phase_change.to_bytes(12, "big", signed=True)
            + self.scaled_last_gm_freq_change.to_bytes(4, "big", signed=True)
        )
        return Tlv(TlvType.ORGANIZATION_EXTENSION, value)


def unicast_request(tlv: Tlv) -> UnicastRequest | None:
    """The request that a TLV holds; None if it is another type or too short."""
    if tlv.type != TlvType.REQUEST_UNICAST_TRANSMISSION or len(tlv.value) < _REQUEST.size:
        return None
    kind, interval, duration = _REQUEST.unpack_from(tlv.value)
    return UnicastRequest(kind >> 4, interval, duration)


def unicast_grant(tlv: Tlv) -> UnicastGrant | None:
    """The grant that a TLV holds; None if it is another type or too short."""
    if tlv.type != TlvType.GRANT_UNICAST_TRANSMISSION or len(tlv.value) < _GRANT.size:
        return None
    kind, interval, duration, _reserved, renewal = _GRANT.unpack_from(tlv.value)
    return UnicastGrant(kind >> 4, interval, duration, bool(renewal & 1))


def cancel_unicast(message_type: int) -> Tlv:
    """CANCEL_UNICAST_TRANSMISSION for a message type (clause 16.1.4.3)."""
    return Tlv(TlvType.CANCEL_UNICAST_TRANSMISSION, bytes((message_type << 4, 0)))


def unicast_cancellation(tlv: Tlv) -> int | None:
    """The message type whose transmission a TLV cancels, or acknowledges as cancelled; None for any other TLV."""
    wanted = (TlvType.CANCEL_UNICAST_TRANSMISSION, TlvType.ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION)
    return tlv.value[0] >> 4 if tlv.type in wanted and tlv.value else None


def path_trace(tlv: Tlv) -> tuple[ClockIdentity, ...] | None:
    """The clocks that an Announce has passed (clause 16.2), the grandmaster first; None for any other TLV."""
    if tlv.type != TlvType.PATH_TRACE or len(tlv.value) % _IDENTITY.size:
        return None
    return tuple(identity for (identity,) in _IDENTITY.iter_unpack(tlv.value))


def organization_extension(tlv: Tlv) -> OrganizationExtension | None:
    """An organisation's TLV of any of the three types; None for any other."""
    wanted = (
        TlvType.ORGANIZATION_EXTENSION,
        TlvType.ORGANIZATION_EXTENSION_PROPAGATE,
        TlvType.ORGANIZATION_EXTENSION_DO_NOT_PROPAGATE,
    )
    if tlv.type not in wanted or len(tlv.value) < 6:
        return None
    return OrganizationExtension(tlv.value[:3], tlv.value[3:6], tlv.value[6:])


def follow_up_information(tlv: Tlv) -> FollowUpInformation | None:
    """The 802.1AS information of a Follow_Up; None for any other TLV."""
    extension = organization_extension(tlv)
    if extension is None or (extension.organization, extension.subtype) != (IEEE_802_1, FOLLOW_UP_SUBTYPE):
        return None
    data = extension.data
    if len(data) < 22:
        return None
    return FollowUpInformation(
        int.from_bytes(data[:4], "big", signed=True),
        int.from_bytes(data[4:6], "big"),
        int.from_bytes(data[6:18], "big", signed=True),
        int.from_bytes(data[18:22], "big", signed=True),
    )
