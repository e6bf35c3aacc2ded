"""Records that are kept for as long as they are the newest of a target, in a quarter of the memory.

Rule: the records of one sort have the same field names, in the same order; those are kept once, each record keeps its values.
A dictionary of 45 fields takes 1.5 kB, and a probe shows the newest of a thousand targets. Pure; made in one thread, read in any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.model import FieldValue, Record

__all__ = ["Kept", "Shapes"]

# Names of fields are few sorts; should a kind of probe make up new ones for ever, they are no longer shared.
SHAPES_AT_MOST = 1000


class Kept:
    """A record as it is kept. `fields` makes the dictionary anew: ask once."""

    __slots__ = ("_names", "_values", "at_ns", "measurement", "tags")

    def __init__(self, record: Record, names: tuple[str, ...]) -> None:
        """`names` are those of the record's fields, in their order."""
        self.measurement = record.measurement
        self.at_ns = record.at_ns
        self.tags = record.tags
        self._names = names
        self._values = tuple(record.fields.values())

    @property
    def fields(self) -> Mapping[str, FieldValue]:
        """The record's fields, in their order."""
        return dict(zip(self._names, self._values, strict=True))


class Shapes:
    """The sorts of records met so far."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def keep(self, record: Record) -> Kept:
        """The record, kept."""
        names = tuple(record.fields)
        if len(self._known) < SHAPES_AT_MOST:
            return Kept(record, self._known.setdefault(names, names))
        return Kept(record, self._known.get(names, names))
