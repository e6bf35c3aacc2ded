"""The common header of PTP messages, port identities and timestamps (IEEE 1588-2019 clauses 5.3 and 13.3).

Rule: the first nibbles are majorSdoId and minorVersionPTP, which a version 2.0 sender leaves zero; they are kept, so that a 2.1 or
802.1AS message comes back as it was.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from timesync.errors import WireError

__all__ = ["HEADER_OCTETS", "ClockIdentity", "Flag", "Header", "MessageType", "PortIdentity", "Timestamp"]

HEADER_OCTETS = 34
PORT_IDENTITY_OCTETS = 10
TIMESTAMP_OCTETS = 10

_HEADER = struct.Struct(">BBHBBHqIQHHBb")
_PORT = struct.Struct(">QH")
_TIMESTAMP = struct.Struct(">HII")
_NS = 1_000_000_000

ClockIdentity = int
"""A clockIdentity (clause 7.5.2.2): 64 bits as one unsigned integer; `identity_text` shows it as people write it."""


class MessageType(IntEnum):
    """The messageType field (table 36)."""

    SYNC = 0x0
    DELAY_REQ = 0x1
    PDELAY_REQ = 0x2
    PDELAY_RESP = 0x3
    FOLLOW_UP = 0x8
    DELAY_RESP = 0x9
    PDELAY_RESP_FOLLOW_UP = 0xA
    ANNOUNCE = 0xB
    SIGNALING = 0xC
    MANAGEMENT = 0xD


class Flag(IntFlag):
    """The flagField (table 37), its first octet in the upper half."""

    ALTERNATE_MASTER = 0x0100
    TWO_STEP = 0x0200
    UNICAST = 0x0400
    PROFILE_SPECIFIC_1 = 0x2000
    PROFILE_SPECIFIC_2 = 0x4000
    LEAP_61 = 0x0001
    LEAP_59 = 0x0002
    CURRENT_UTC_OFFSET_VALID = 0x0004
    PTP_TIMESCALE = 0x0008
    TIME_TRACEABLE = 0x0010
    FREQUENCY_TRACEABLE = 0x0020
    SYNCHRONIZATION_UNCERTAIN = 0x0040


def identity_text(identity: ClockIdentity) -> str:
    """A clock identity as linuxptp prints it: "001122.fffe.334455"."""
    digits = f"{identity:016x}"
    return f"{digits[:6]}.{digits[6:10]}.{digits[10:]}"


@dataclass(frozen=True, slots=True, order=True)
class PortIdentity:
    """A port of a clock (clause 5.3.5). Port 0xFFFF of clock 0xFFFFFFFFFFFFFFFF stands for all."""

    clock: ClockIdentity
    port: int

    def __str__(self) -> str:
        return f"{identity_text(self.clock)}-{self.port}"


ALL_PORTS = PortIdentity((1 << 64) - 1, (1 << 16) - 1)


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A Timestamp (clause 5.3.3): 48 bits of seconds and 32 bits of nanoseconds of the sender's time scale, as on the wire."""

    seconds: int
    nanoseconds: int

    @property
    def at_ns(self) -> int:
        """Nanoseconds since the sender's epoch."""
        return self.seconds * _NS + self.nanoseconds

    @property
    def is_valid(self) -> bool:
        """Whether the nanoseconds are fewer than a second, as clause 5.3.3 demands."""
        return self.nanoseconds < _NS

    @classmethod
    def of_ns(cls, at_ns: int) -> Timestamp:
        """The timestamp of so many nanoseconds since the epoch."""
        return cls(*divmod(at_ns, _NS))


@dataclass(frozen=True, slots=True)
class Header:
    """The common header. `message_type` is an integer: types that are not in `MessageType` are kept."""

    message_type: int
    source: PortIdentity
    sequence_id: int
    domain: int = 0
    flags: int = 0
    correction: int = 0
    log_interval: int = 0
    control: int = 0
    major_sdo_id: int = 0
    minor_sdo_id: int = 0
    version: int = 2
    minor_version: int = 1
    type_specific: int = 0

    @property
    def correction_s(self) -> float:
        """The correctionField in seconds; its unit is 2^-16 ns (clause 13.3.2.9)."""
        return self.correction / 65536e9

    def has(self, flag: Flag) -> bool:
        """Whether a flag is set."""
        return bool(self.flags & flag)


def decode_header(data: bytes) -> tuple[Header, int]:
    """The header of a message and its messageLength. Raises WireError if the octets cannot be a PTP version 2 message."""
    if len(data) < HEADER_OCTETS:
        raise WireError(f"{len(data)} octets are too few for a PTP header of {HEADER_OCTETS}")
    first, second, length, domain, minor_sdo, flags, correction, specific, clock, port, sequence, control, interval = (
        _HEADER.unpack_from(data)
    )
    if second & 0x0F != 2:
        raise WireError(f"PTP version {second & 0x0F} is not 2")
    if not HEADER_OCTETS <= length <= len(data):
        raise WireError(f"messageLength {length} does not fit {len(data)} octets")
    header = Header(
        first & 0x0F,
        PortIdentity(clock, port),
        sequence,
        domain,
        flags,
        correction,
        interval,
        control,
        first >> 4,
        minor_sdo,
        second & 0x0F,
        second >> 4,
        specific,
    )
    return header, length


def encode_header(header: Header, length: int) -> bytes:
    """The 34 octets of a header. Raises struct.error for a field that does not fit its width."""
    return _HEADER.pack(
        header.major_sdo_id << 4 | header.message_type,
        header.minor_version << 4 | header.version,
        length,
        header.domain,
        header.minor_sdo_id,
        header.flags,
        header.correction,
        header.type_specific,
        header.source.clock,
        header.source.port,
        header.sequence_id,
        header.control,
        header.log_interval,
    )


def decode_port(data: bytes, at: int) -> PortIdentity:
    """A port identity at an offset that has been checked."""
    return PortIdentity(*_PORT.unpack_from(data, at))


def encode_port(identity: PortIdentity) -> bytes:
    """Ten octets."""
    return _PORT.pack(identity.clock, identity.port)


def decode_timestamp(data: bytes, at: int) -> Timestamp:
    """A timestamp at an offset that has been checked."""
    high, low, nanoseconds = _TIMESTAMP.unpack_from(data, at)
    return Timestamp(high << 32 | low, nanoseconds)


def encode_timestamp(timestamp: Timestamp) -> bytes:
    """Ten octets."""
    return _TIMESTAMP.pack(timestamp.seconds >> 32, timestamp.seconds & 0xFFFFFFFF, timestamp.nanoseconds)
