"""How the spool and its sinks stand, for metrics, health checks and the status page: plain figures.

Rule: an absent figure is None, never zero or -1; counts only ever grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SinkStatus", "SpoolStatus"]


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How one sink stands. `depth` counts undelivered records, `backlog` those of them that wait behind the live lane."""

    depth: int = 0
    backlog: int = 0
    refused: int = 0
    delivered: int = 0
    failures: int = 0
    unavailable_since_ns: int | None = None
    last_delivered_at_ns: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """How the spool stands: records, bytes and counts. `oldest_at_ns` is the oldest undelivered record's own instant.

    `depth` counts records that at least one sink lacks, `buffered` those held in memory because the disk refuses them.
    `dropped` and `refused` count since the spool was first made; `dropped_by` names the causes.
    """

    depth: int
    oldest_at_ns: int | None
    bytes: int
    dropped: int
    refused: int
    buffered: int
    failing: str | None
    dropped_by: Mapping[str, int] = field(default_factory=dict)
    sinks: Mapping[str, SinkStatus] = field(default_factory=dict)
