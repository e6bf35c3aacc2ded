"""The content of management messages: the data sets of a clock and of its ports (IEEE 1588-2019 clause 15), and linuxptp's own.

Rule: a MANAGEMENT TLV of any identifier is kept as octets; reading a data set is a question of its own, and one that is too short
is None. Octets behind a data set's last field are none of its content: `data_set(tlv).tlv()` gives a TLV of exactly its length.

Sources: IEEE 1588-2019 clauses 15.5.3 (data sets), 15.5.4 (MANAGEMENT_ERROR_STATUS), table 59 (managementId). Identifiers from
0xC000 on are the implementer's, those here linuxptp's (its pmc(8)). PORT_STATS_NP alone is little-endian in its counters.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Self

from timesync.wire.ptp.header import PortIdentity, decode_port, encode_port
from timesync.wire.ptp.tlv import Tlv, TlvType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.wire.ptp.header import ClockIdentity

__all__ = [
    "Action",
    "CurrentDataSet",
    "DataSet",
    "DefaultDataSet",
    "GrandmasterSettings",
    "ManagementError",
    "ManagementId",
    "ParentDataSet",
    "PortDataSet",
    "PortDataSetNp",
    "PortProperties",
    "PortStats",
    "TimePropertiesDataSet",
    "TimeStatus",
    "data_set",
    "management",
    "management_error",
]

_ID = struct.Struct(">H")
MESSAGE_TYPES = 16


class Action(IntEnum):
    """actionField (table 57)."""

    GET = 0
    SET = 1
    RESPONSE = 2
    COMMAND = 3
    ACKNOWLEDGE = 4


class ManagementId(IntEnum):
    """managementId values that are read here (table 59, and linuxptp's)."""

    NULL = 0x0000
    DEFAULT_DATA_SET = 0x2000
    CURRENT_DATA_SET = 0x2001
    PARENT_DATA_SET = 0x2002
    TIME_PROPERTIES_DATA_SET = 0x2003
    PORT_DATA_SET = 0x2004
    TIME_STATUS_NP = 0xC000
    GRANDMASTER_SETTINGS_NP = 0xC001
    PORT_DATA_SET_NP = 0xC002
    PORT_PROPERTIES_NP = 0xC004
    PORT_STATS_NP = 0xC005


class _Fixed:
    """A data set whose fields are numbers in one struct."""

    __slots__ = ()
    ID: ClassVar[ManagementId]
    LAYOUT: ClassVar[struct.Struct]

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """From the dataField; None if it is too short."""
        return cls(*cls.LAYOUT.unpack_from(data)) if len(data) >= cls.LAYOUT.size else None

    def write(self) -> bytes:
        """As a dataField. Raises struct.error for a field beyond its width."""
        return self.LAYOUT.pack(*astuple(self))  # type: ignore[call-overload]  # every subclass is a dataclass

    def tlv(self) -> Tlv:
        """As a MANAGEMENT TLV."""
        return management(self.ID, self.write())


@dataclass(frozen=True, slots=True)
class DefaultDataSet(_Fixed):
    """DEFAULT_DATA_SET (clause 15.5.3.3.1): what the clock is. `flags`: bit 0 two-step, bit 1 slave only."""

    flags: int
    reserved: int
    number_ports: int
    priority1: int
    clock_class: int
    clock_accuracy: int
    offset_scaled_log_variance: int
    priority2: int
    clock: ClockIdentity
    domain: int
    reserved_last: int = 0

    ID: ClassVar[ManagementId] = ManagementId.DEFAULT_DATA_SET
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BBHBBBHBQBB")


@dataclass(frozen=True, slots=True)
class CurrentDataSet(_Fixed):
    """CURRENT_DATA_SET (clause 15.5.3.4.1). Offset (this clock minus its master) and delay are TimeIntervals: 2^-16 ns."""

    steps_removed: int
    offset_from_master: int
    mean_path_delay: int

    ID: ClassVar[ManagementId] = ManagementId.CURRENT_DATA_SET
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">Hqq")


@dataclass(frozen=True, slots=True)
class ParentDataSet:
    """PARENT_DATA_SET (clause 15.5.3.5.1): whom the clock follows, and that one's grandmaster."""

    parent: PortIdentity
    parent_stats: int
    reserved: int
    observed_variance: int
    observed_phase_change_rate: int
    priority1: int
    clock_class: int
    clock_accuracy: int
    offset_scaled_log_variance: int
    priority2: int
    grandmaster: ClockIdentity

    ID: ClassVar[ManagementId] = ManagementId.PARENT_DATA_SET
    REST: ClassVar[struct.Struct] = struct.Struct(">BBHiBBBHBQ")

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """From the dataField; None if it is too short."""
        return cls(decode_port(data, 0), *cls.REST.unpack_from(data, 10)) if len(data) >= 10 + cls.REST.size else None

    def write(self) -> bytes:
        """As a dataField."""
        return encode_port(self.parent) + self.REST.pack(
            self.parent_stats,
            self.reserved,
            self.observed_variance,
            self.observed_phase_change_rate,
            self.priority1,
            self.clock_class,
            self.clock_accuracy,
            self.offset_scaled_log_variance,
            self.priority2,
            self.grandmaster,
        )

    def tlv(self) -> Tlv:
        """As a MANAGEMENT TLV."""
        return management(self.ID, self.write())


@dataclass(frozen=True, slots=True)
class TimePropertiesDataSet(_Fixed):
    """TIME_PROPERTIES_DATA_SET (clause 15.5.3.6.1). `flags` are the lower octet of an Announce's flagField (`header.Flag`)."""

    current_utc_offset_s: int
    flags: int
    time_source: int

    ID: ClassVar[ManagementId] = ManagementId.TIME_PROPERTIES_DATA_SET
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">hBB")


@dataclass(frozen=True, slots=True)
class GrandmasterSettings(_Fixed):
    """GRANDMASTER_SETTINGS_NP: what the clock would announce as a grandmaster."""

    clock_class: int
    clock_accuracy: int
    offset_scaled_log_variance: int
    current_utc_offset_s: int
    flags: int
    time_source: int

    ID: ClassVar[ManagementId] = ManagementId.GRANDMASTER_SETTINGS_NP
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BBHhBB")


@dataclass(frozen=True, slots=True)
class TimeStatus(_Fixed):
    """TIME_STATUS_NP: the newest offset (this clock minus its master, ns), and what a gPTP grandmaster says of its steps.

    `last_gm_phase_change` is a ScaledNs in its three parts on the wire: upper 16 bits, 64 bits of ns, 16 bits of fraction.
    """

    master_offset_ns: int
    ingress_time_ns: int
    cumulative_scaled_rate_offset: int
    scaled_last_gm_phase_change: int
    gm_time_base_indicator: int
    last_gm_phase_change_upper: int
    last_gm_phase_change_ns: int
    last_gm_phase_change_fraction: int
    gm_present: int
    grandmaster: ClockIdentity

    ID: ClassVar[ManagementId] = ManagementId.TIME_STATUS_NP
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">qqiiHHQHiQ")


class _OfPort:
    """A data set that begins with the identity of its port and goes on as one struct."""

    __slots__ = ()
    ID: ClassVar[ManagementId]
    REST: ClassVar[struct.Struct]
    port: PortIdentity

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """From the dataField; None if it is too short."""
        if len(data) < 10 + cls.REST.size:
            return None
        return cls(decode_port(data, 0), *cls.REST.unpack_from(data, 10))  # type: ignore[call-arg]  # a dataclass

    def write(self) -> bytes:
        """As a dataField."""
        _, *rest = astuple(self)  # type: ignore[call-overload]  # every subclass is a dataclass
        return encode_port(self.port) + self.REST.pack(*rest)

    def tlv(self) -> Tlv:
        """As a MANAGEMENT TLV."""
        return management(self.ID, self.write())


@dataclass(frozen=True, slots=True)
class PortDataSet(_OfPort):
    """PORT_DATA_SET (clause 15.5.3.7.1). `version` has the minor version in its upper half."""

    port: PortIdentity
    state: int
    log_min_delay_req_interval: int
    peer_mean_path_delay: int
    log_announce_interval: int
    announce_receipt_timeout: int
    log_sync_interval: int
    delay_mechanism: int
    log_min_pdelay_req_interval: int
    version: int

    ID: ClassVar[ManagementId] = ManagementId.PORT_DATA_SET
    REST: ClassVar[struct.Struct] = struct.Struct(">BbqbBbBbB")


@dataclass(frozen=True, slots=True)
class PortDataSetNp(_Fixed):
    """PORT_DATA_SET_NP: whether the port may run gPTP, and up to which delay of its link (ns). It does not name its port."""

    neighbor_prop_delay_threshold_ns: int
    as_capable: int

    ID: ClassVar[ManagementId] = ManagementId.PORT_DATA_SET_NP
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">Ii")


@dataclass(frozen=True, slots=True)
class PortProperties:
    """PORT_PROPERTIES_NP: the interface of a port, as octets of its name, and where it takes its stamps (a code)."""

    port: PortIdentity
    state: int
    timestamping: int
    interface: bytes

    ID: ClassVar[ManagementId] = ManagementId.PORT_PROPERTIES_NP

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """From the dataField; None if it is too short."""
        if len(data) < 13 or len(data) < 13 + data[12]:
            return None
        return cls(decode_port(data, 0), data[10], data[11], data[13 : 13 + data[12]])

    def write(self) -> bytes:
        """As a dataField, made even by a zero. Raises ValueError for a name of more than 255 octets."""
        data = encode_port(self.port) + bytes((self.state, self.timestamping, len(self.interface))) + self.interface
        return data + bytes(len(data) % 2)

    def tlv(self) -> Tlv:
        """As a MANAGEMENT TLV."""
        return management(self.ID, self.write())


@dataclass(frozen=True, slots=True)
class PortStats:
    """PORT_STATS_NP: messages received and sent by a port since it began, by message type (index)."""

    port: PortIdentity
    received: tuple[int, ...]
    sent: tuple[int, ...]

    ID: ClassVar[ManagementId] = ManagementId.PORT_STATS_NP
    REST: ClassVar[struct.Struct] = struct.Struct(f"<{2 * MESSAGE_TYPES}Q")

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """From the dataField; None if it is too short."""
        if len(data) < 10 + cls.REST.size:
            return None
        counts = cls.REST.unpack_from(data, 10)
        return cls(decode_port(data, 0), counts[:MESSAGE_TYPES], counts[MESSAGE_TYPES:])

    def write(self) -> bytes:
        """As a dataField."""
        return encode_port(self.port) + self.REST.pack(*self.received, *self.sent)

    def tlv(self) -> Tlv:
        """As a MANAGEMENT TLV."""
        return management(self.ID, self.write())


DataSet = (
    DefaultDataSet
    | CurrentDataSet
    | ParentDataSet
    | TimePropertiesDataSet
    | PortDataSet
    | TimeStatus
    | GrandmasterSettings
    | PortDataSetNp
    | PortProperties
    | PortStats
)

_KINDS: tuple[type[DataSet], ...] = (
    DefaultDataSet,
    CurrentDataSet,
    ParentDataSet,
    TimePropertiesDataSet,
    PortDataSet,
    TimeStatus,
    GrandmasterSettings,
    PortDataSetNp,
    PortProperties,
    PortStats,
)
DATA_SETS: Mapping[int, type[DataSet]] = {kind.ID: kind for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class ManagementError:
    """A MANAGEMENT_ERROR_STATUS: what could not be done, and why (table 60, managementErrorId)."""

    error: int
    management_id: int


def management(identifier: int, data: bytes = b"") -> Tlv:
    """A MANAGEMENT TLV; without data it asks."""
    return Tlv(TlvType.MANAGEMENT, _ID.pack(identifier) + data)


def data_set(tlv: Tlv) -> DataSet | None:
    """The data set that a TLV holds; None if it is another TLV, one that is not read here, or too short."""
    if tlv.type != TlvType.MANAGEMENT or len(tlv.value) < _ID.size:
        return None
    (identifier,) = _ID.unpack_from(tlv.value)
    kind = DATA_SETS.get(identifier)
    return None if kind is None else kind.read(tlv.value[_ID.size :])


def management_error(tlv: Tlv) -> ManagementError | None:
    """The error that a TLV tells; None for any other TLV."""
    if tlv.type != TlvType.MANAGEMENT_ERROR_STATUS or len(tlv.value) < 2 * _ID.size:
        return None
    return ManagementError(*struct.unpack_from(">HH", tlv.value))
