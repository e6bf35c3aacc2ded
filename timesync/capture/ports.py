"""What is held of one PTP port while a capture is read. Every collection here is bounded.

Source: IEEE 1588-2019 clauses 7.3.7, 9.2.6.12 (announceReceiptTimeout), 16.1 (unicast negotiation).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from timesync.capture.exchanges import OneWay, SyncPoint
from timesync.capture.tally import Sequence, Spread, Timeline

if TYPE_CHECKING:
    from timesync.capture.streams import StreamState
    from timesync.wire.ptp.header import PortIdentity, Timestamp
    from timesync.wire.ptp.message import Announce

__all__ = ["Asked", "Half", "PeerAnswer", "Port", "PortKey", "bound_dict", "is_group"]

ADDRESSES = 8
CHANGES = 32
Key = TypeVar("Key")
Value = TypeVar("Value")


class PortKey(NamedTuple):
    """A port identity in a domain, on one transport and VLAN. `sdo` is majorSdoId * 256 + minorSdoId."""

    transport: str
    vlans: tuple[int, ...]
    sdo: int
    domain: int
    port: PortIdentity


class Half(NamedTuple):
    """One of Sync and Follow_Up, waiting for the other: its instant (ns), time stamp and correction (2^-16 ns)."""

    at_ns: int
    stamp: Timestamp
    correction: int
    flags: int


@dataclass(slots=True)
class Asked:
    """A question that passed: its instant (ns), correction, and who has answered."""

    at_ns: int
    correction: int
    answered_by: list[PortIdentity] = field(default_factory=list)


class PeerAnswer(NamedTuple):
    """A two-step Pdelay_Resp that waits for its Follow_Up; `asked` is the question."""

    at_ns: int
    reached: Timestamp
    correction: int
    asked: Asked


@lru_cache(4096)
def is_group(address: str, transport: str) -> bool:
    """Whether an address is a multicast or broadcast one; an unknown one counts as a group."""
    if transport == "udp4":
        return 224 <= int(address.partition(".")[0]) <= 255
    if transport == "udp6":
        return address.startswith("ff")
    return not address or bool(int(address[:2], 16) & 1)


def bound_dict(held: dict[Key, Value], limit: int) -> Value | None:
    """Take out the oldest where there are more than `limit`; None otherwise."""
    return held.pop(next(iter(held))) if len(held) > limit else None


@dataclass(slots=True)
class Port:
    """One port. `pools` are the numbers of all its unicast messages of a type; `grants` what it has granted, by type and
    address."""

    key: PortKey
    first_ns: int
    last_ns: int = 0
    addresses: dict[str, None] = field(default_factory=dict)
    versions: dict[str, None] = field(default_factory=dict)
    streams: dict[tuple[int, str], StreamState] = field(default_factory=dict)
    pools: dict[int, Sequence] = field(default_factory=dict)
    grants: dict[tuple[int, str], int] = field(default_factory=dict)
    # As a master.
    announce: Announce | None = None
    announce_flags: int = 0
    announces: int = 0
    first_announce_ns: int = 0
    last_announce_ns: int = 0
    announce_ns: int | None = None
    group_master: bool = False
    path: tuple[int, ...] = ()
    changes: list[tuple[int, str]] = field(default_factory=list)
    syncs: int = 0
    two_step: bool | None = None
    unicast: bool = False
    waiting: dict[tuple[str, int], Half] = field(default_factory=dict)
    early: dict[tuple[str, int], Half] = field(default_factory=dict)
    one_steps: dict[tuple[str, int], Half] = field(default_factory=dict)
    latest: SyncPoint | None = None
    one_way: OneWay = field(default_factory=OneWay)
    corrections: dict[int, tuple[Spread, list[int]]] = field(default_factory=dict)
    sync_times: Timeline = field(default_factory=Timeline)
    loss_times: Timeline = field(default_factory=Timeline)
    # As one that asks, by the type of its question.
    asked: dict[tuple[int, str, int], Asked] = field(default_factory=dict)
    questions: dict[int, int] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)
    unanswered: dict[int, int] = field(default_factory=dict)
    answered_by: dict[int, dict[PortIdentity, None]] = field(default_factory=dict)
    # As a peer that answers: what waits for its Follow_Up, by who asked and the number.
    peer_answers: dict[tuple[PortIdentity, int], PeerAnswer] = field(default_factory=dict)

    text: str = ""

    def __post_init__(self) -> None:
        """How it is told, once: it is asked for with every message."""
        where = f"{self.key.port} domain {self.key.domain}"
        if self.key.sdo:
            where += f" sdoId {self.key.sdo:#05x}"
        self.text = where + "".join(f" VLAN {vlan}" for vlan in self.key.vlans)

    def __str__(self) -> str:
        return self.text

    def met(self, at_ns: int, address: str, version: str) -> None:
        """A message of it came."""
        self.last_ns = max(self.last_ns, at_ns)
        if address and len(self.addresses) < ADDRESSES:
            self.addresses[address] = None
        if len(self.versions) < ADDRESSES:
            self.versions[version] = None

    def changed(self, at_ns: int, text: str) -> None:
        """It says something else of itself than before; the first 32 times are kept in words."""
        if len(self.changes) < CHANGES:
            self.changes.append((at_ns, text))

    def correct(self, kind: int, correction: int) -> None:
        """Count a correctionField."""
        spread, not_zero = self.corrections.setdefault(kind, (Spread(), [0]))
        spread.add(correction)
        not_zero[0] += correction != 0
