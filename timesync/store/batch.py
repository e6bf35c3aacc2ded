"""What passes between the spool and its reader: a batch of records, and the spool's own limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timesync.model import Record
    from timesync.store.lanes import Lane
    from timesync.store.ledger import RefusedRecord

__all__ = ["ORDINARY", "Batch", "SpoolOptions"]


@dataclass(frozen=True, slots=True)
class SpoolOptions:
    """What nobody configures. `buffer_records` bounds what waits in memory while the disk refuses, `recent_ids` what is kept there
    so that sinks that follow need not wait for the disk: three seconds of 1,000 targets, with their drafts.

    A live lane is cut from its backlog where it is `far_behind`: further than a probe of 1,000 targets gets in the ordinary way,
    because cutting hands on records whose drafts lie before the cut twice.
    """

    buffer_records: int = 50_000
    keep_refused: int = 10_000
    far_behind: int = 20_000
    recent_ids: int = 6000


ORDINARY = SpoolOptions()


@dataclass(frozen=True, slots=True)
class Batch:
    """Records for one sink, in order, from one lane; `low` and `beyond` say which ids they settle."""

    sink: str
    lane: Lane
    low: int
    beyond: int
    records: tuple[Record, ...]
    damaged: tuple[RefusedRecord, ...] = ()
