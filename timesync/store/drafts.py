"""Records that will soon be written again: kept on the disk at once, handed on once.

Rule: a draft is as safe as any record. While it is young it is held back, and with it what came after, so that its successor
can take its place; then whichever is there goes out, the draft too if nothing has replaced it. A draft that is handed on all
the same does no harm: the successor replaces it in the sink. Pure; the caller locks, and counts time by `tick`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from timesync.model import Record

__all__ = ["Drafts", "Key", "key_of"]

Key = tuple[str, str | None, int]

# Ticks (about a second each) for which a draft is held back.
PATIENCE = 3
# Replaced ids are remembered as bits, in pages of so many ids, of which the newest so many are kept: a minute's worth at a thousand
# targets a second, in 20 kB (a set of 20,000 numbers takes 2.7 MB). Ids begin anew with every segment, far from those before.
PAGE_IDS = 2048
PAGES = 64


def key_of(record: Record) -> Key:
    """What a draft and its successor share."""
    return record.measurement, record.tags.get("target"), record.at_ns


class Drafts:
    """Which of the newest records are drafts, and which of them have been replaced."""

    def __init__(self) -> None:
        self._open: dict[Key, tuple[int, int]] = {}
        self._replaced: dict[int, bytearray] = {}
        self._now = 0

    def __bool__(self) -> bool:
        """Whether any draft waits for its successor."""
        return bool(self._open)

    def add(self, keys: Sequence[Key], first_id: int) -> None:
        """These drafts have got the ids from `first_id` on."""
        for identity, key in enumerate(keys, first_id):
            self._open[key] = identity, self._now

    def replace(self, records: Iterable[Record]) -> None:
        """These records are on the disk: drafts among their predecessors need not be handed on."""
        for record in records:
            draft = self._open.pop(key_of(record), None)
            if draft is not None:
                self._remember(draft[0])

    def _remember(self, identity: int) -> None:
        number, place = divmod(identity, PAGE_IDS)
        page = self._replaced.get(number)
        if page is None:
            if len(self._replaced) == PAGES:
                del self._replaced[next(iter(self._replaced))]
            page = self._replaced[number] = bytearray(PAGE_IDS // 8)
        page[place >> 3] |= 1 << (place & 7)

    def tick(self) -> None:
        """A second has gone by: drafts that have waited long enough are no longer held back."""
        self._now += 1
        while self._open:
            key, (_, since) = next(iter(self._open.items()))
            if self._now - since < PATIENCE:
                return
            del self._open[key]

    def horizon(self) -> int | None:
        """The id of the oldest draft that is held back; None if none is."""
        first = next(iter(self._open.values()), None)
        return None if first is None else first[0]

    def is_replaced(self, identity: int) -> bool:
        """Whether the record of that id need not be handed on."""
        number, place = divmod(identity, PAGE_IDS)
        page = self._replaced.get(number)
        return page is not None and bool(page[place >> 3] >> (place & 7) & 1)
