"""The newest records of the spool as they are in memory, so that a sink that follows need not have them read back from the disk.

Rule: what is here is on the disk, too, and equals what would be read there; whatever is doubtful (a draft that nothing has
replaced, a value that changes its type on the way) is read from the disk. Bounded; to forget it costs no more than that reading.
Pure; the caller locks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from timesync.model import Record

__all__ = ["Recent", "Taken"]

# What comes back from JSON as the very type that went in.
PLAIN = frozenset({float, int, str, bool})
TEXT = frozenset({str})


class Taken(NamedTuple):
    """Records in order; with those that need not be handed on, they are all from the asked id up to `beyond`."""

    records: tuple[Record, ...]
    beyond: int


class Recent:
    """At most `limit` of the newest ids, every one from `_since` up to `_beyond`: with its record, or without where the disk has to
    be asked. On the disk there may be more already, which are added in a moment.
    """

    def __init__(self, limit: int, since: int) -> None:
        """`since` is the lowest id that can still come."""
        self._limit = limit
        self._since = self._beyond = since
        self._kept: deque[tuple[int, Record | None]] = deque()

    def add(self, first_id: int, records: Sequence[Record | None], beyond: int) -> None:
        """These have got the ids from `first_id` on; None for a draft, and for one that is not `is_plain`. `beyond` is the next id
        that will be given out.
        """
        if first_id != self._beyond:
            self.forget(first_id)  # something was written that was never added
        kept = self._kept
        kept.extend(enumerate(records, first_id))
        self._beyond = beyond
        while len(kept) > self._limit:
            self._since = kept.popleft()[0] + 1

    def forget(self, next_id: int) -> None:
        """Records were written that are not here: what is here begins with `next_id`."""
        self._kept.clear()
        self._since = self._beyond = next_id

    def release(self, floor: int) -> None:
        """No sink needs the ids below `floor` any more."""
        kept = self._kept
        while kept and kept[0][0] < floor:
            self._since = kept.popleft()[0] + 1

    def take(self, low: int, high: int, limit: int, is_replaced: Callable[[int], bool]) -> Taken | None:
        """Up to `limit` records with low <= id < high; None where the disk has to be asked for one of them: it gives them all, for
        a batch that is less than full says that its lane is up to date.
        """
        high = min(high, self._beyond)
        if low < self._since or low >= high:
            return None
        records: list[Record] = []
        for number, record in self._kept:
            if number < low:
                continue
            if number >= high:
                break
            if record is not None:
                if len(records) == limit:
                    return Taken(tuple(records), number)
                records.append(record)
            elif not is_replaced(number):
                return None
        return Taken(tuple(records), high)


def is_plain(record: Record) -> bool:
    """Whether everything in it has the type with which it comes back from the disk."""
    return (
        type(record.at_ns) is int
        and type(record.measurement) is str
        and TEXT.issuperset(map(type, record.tags.values()))
        and PLAIN.issuperset(map(type, record.fields.values()))
    )
