"""The row of segment files that holds the spooled records, and the ids by which the rest of the spool speaks of them.

Rule: an id is (segment number << 32) + row, so ids ascend for ever and a segment can vanish whole without renumbering.
`append` belongs to the event loop and touches only the newest segment; everything that may wait for the disk (sealing,
removing, repairing, preparing the next file) happens in `maintain` and `read`, which belong to one other thread.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from timesync.model import FieldValue, Severity
from timesync.store import segment as files
from timesync.store.lanes import Span
from timesync.store.segment import CORRUPT, Damage, SegmentReader, SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = ["GULP", "PAUSE_S", "Chunk", "Note", "Shelf"]

ROW_BITS = 32
_PATTERN = "segment-*.sqlite3"
GULP = 128  # rows between two pauses of a long read: the event loop waits for the interpreter lock no longer than that
PAUSE_S = 0.0002
_OPEN_READERS = 4
# Calls of `maintain` (about a second each) after which a file that is no longer appended to is sealed, which makes it smaller; with
# more files than these, at once. Where the sinks follow, it has been removed by then, and nothing had to be written twice.
_SEAL_AFTER = 10
_SEAL_BEYOND = 2


class Note(Protocol):
    """How the shelf says that something happened."""

    def __call__(self, kind: str, severity: Severity, text: str, evidence: Mapping[str, FieldValue]) -> None:
        """Called from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows read: (id, payload or damage) in order; everything from the asked id up to `beyond` is covered."""

    rows: tuple[tuple[int, bytes | Damage], ...]
    beyond: int


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is broken: trying again would not help."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in CORRUPT  # the low byte is the primary code


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    last_row: int
    size: int
    writer: SegmentWriter | None = field(default=None)
    damaged: bool = False
    rested: int = 0

    @property
    def first_id(self) -> int:
        return (self.number << ROW_BITS) + 1

    @property
    def next_id(self) -> int:
        return (self.number << ROW_BITS) + self.last_row + 1


class Shelf:
    """All segments in a directory. `note` hears of repairs; `clock_ns` names quarantined files."""

    def __init__(
        self,
        directory: Path,
        segment_bytes: int,
        durability: str,
        after_id: int,
        note: Note,
        clock_ns: Callable[[], int],
    ) -> None:
        """Open the directory's segments and the newest one for appending, with ids beyond `after_id`."""
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._durability = durability
        self._note = note
        self._clock_ns = clock_ns
        self._lock = threading.Lock()  # guards the list and its figures, never held while the disk works
        self._readers: dict[int, SegmentReader] = {}
        self._segments: list[_Segment] = []
        self._spare: _Segment | None = None
        self._unsynced = False
        self.written_from = 0
        paths = sorted(directory.glob(_PATTERN))
        for path in paths:
            self._segments.append(self._survey(path, newest=path == paths[-1]))
        self._begin(after_id)

    # --- opening -------------------------------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self._directory / f"segment-{number:010d}.sqlite3"

    def _survey(self, path: Path, *, newest: bool) -> _Segment:
        """Look at a segment left by an earlier run; a damaged one is repaired before anything else happens."""
        found = _Segment(int(path.name[8:18]), path, 0, files.file_bytes(path))
        try:
            reader = SegmentReader(path)
            try:
                if newest:  # the one that was open when the last run ended, perhaps in the middle of a write
                    reader.check()
                found.last_row = reader.last_row()
            finally:
                reader.close()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._repair(found, None, error)
        return found

    def _begin(self, after_id: int) -> None:
        last = self._segments[-1] if self._segments else None
        if last is not None and last.next_id > after_id and last.size < self._segment_bytes and not last.damaged:
            last.writer = SegmentWriter(last.path, self._durability)
            return
        number = max((last.number if last else 0) + 1, (after_id >> ROW_BITS) + 1)
        self._segments.append(self._create(number))

    def _create(self, number: int) -> _Segment:
        path = self._path(number)
        files.create(path)
        writer = SegmentWriter(path, self._durability)
        return _Segment(number, path, writer.last_row, files.file_bytes(path), writer)

    # --- appending: the event loop --------------------------------------------------------------------------------------

    def append(self, payloads: list[bytes]) -> bool:
        """Write all payloads; true if `maintain` has now something to do.

        Raises `sqlite3.Error`, nothing written, unless the file was damaged: then the next one is begun and takes them.
        """
        head = self._segments[-1]
        if head.damaged:
            head = self._rotate()
        try:
            self._write(head, payloads)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            head.damaged = True
            self._note("spool_damaged", Severity.ERROR, f"{head.path.name}: {error}; going on in a new file", {})
            self._write(self._rotate(), payloads)
            return True
        if head.size < self._segment_bytes or self._spare is None:
            return False
        self._rotate()
        return True

    def _write(self, head: _Segment, payloads: list[bytes]) -> None:
        if head.writer is None:
            raise sqlite3.OperationalError(f"{head.path.name} is closed")
        last_row = head.writer.append(payloads)
        size = head.writer.log_bytes()
        with self._lock:
            head.last_row, head.size = last_row, size
            self.written_from = head.next_id - len(payloads)
            self._unsynced = True

    def _rotate(self) -> _Segment:
        """Make the prepared file the newest. Files are only ever made by the worker, never here."""
        with self._lock:
            if self._spare is None:
                raise sqlite3.OperationalError("the next spool file is not ready yet")
            head = self._spare
            self._segments.append(head)
            self._spare = None
        return head

    # --- figures: any thread --------------------------------------------------------------------------------------------

    @property
    def next_id(self) -> int:
        """The id the next record will get, unless a new segment begins first."""
        with self._lock:
            return self._segments[-1].next_id

    @property
    def first_id(self) -> int:
        """The lowest id that may still be there."""
        with self._lock:
            return self._segments[0].first_id

    @property
    def size(self) -> int:
        """Bytes on the disk, all segments together."""
        with self._lock:
            return sum(each.size for each in self._segments)

    def count(self, spans: Iterable[Span]) -> int:
        """How many records the spans cover."""
        with self._lock:
            extents = [Span(each.first_id, each.next_id) for each in self._segments]
        return sum(
            max(0, min(span.high, extent.high) - max(span.low, extent.low)) for span in spans for extent in extents
        )

    def newest(self, count: int) -> int:
        """The id from which on there are `count` records (all of them, if there are fewer)."""
        with self._lock:
            for each in reversed(self._segments):
                if each.last_row >= count:
                    return each.next_id - count
                count -= each.last_row
            return self._segments[0].first_id

    # --- reading and keeping order: the worker thread -------------------------------------------------------------------

    def read(self, low: int, high: int, limit: int) -> Chunk:
        """Up to `limit` rows with low <= id < high. Gulps, so that the event loop is never kept waiting for long."""
        rows: list[tuple[int, bytes | Damage]] = []
        position = low
        with self._lock:
            segments = [each for each in self._segments if each.next_id > low and each.first_id < high]
        for each in segments:
            position = max(position, each.first_id)
            stop = min(high, each.next_id)
            while position < stop and len(rows) < limit:
                base = each.number << ROW_BITS
                found = self._rows(each, position - base, stop - base, min(GULP, limit - len(rows)))
                rows.extend((base + row, payload) for row, payload in found)
                position = base + found[-1][0] + 1 if found else stop
                time.sleep(PAUSE_S)
            if len(rows) >= limit:
                break
        else:
            position = high  # nothing more is there, also where a file has gone
        return Chunk(tuple(rows), position)

    def _rows(self, each: _Segment, low: int, high: int, limit: int) -> list[tuple[int, bytes | Damage]]:
        try:
            return self._reader(each).rows(low, high, limit)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            each.damaged = True
            if each is self._segments[-1]:
                raise  # the event loop leaves it at its next append; then it can be repaired
            self._repair(each, each.last_row, error)
        return self._reader(each).rows(low, high, limit)

    def _reader(self, each: _Segment) -> SegmentReader:
        reader = self._readers.get(each.number)
        if reader is None:
            while len(self._readers) >= _OPEN_READERS:
                self._readers.pop(next(iter(self._readers))).close()
            reader = self._readers[each.number] = SegmentReader(each.path)
        return reader

    def _close_reader(self, number: int) -> None:
        reader = self._readers.pop(number, None)
        if reader is not None:
            reader.close()

    def maintain(self) -> None:
        """Put to rest what is no longer appended to, repair what is damaged, prepare the next file, sync the log."""
        for each in self._segments[:-1]:
            if each.damaged:
                self._repair(each, each.last_row, None)
            elif each.writer is not None:
                self._put_to_rest(each, each.writer)
        if self._spare is None:
            self._spare = self._create(self._segments[-1].number + 1)
        if self._unsynced:
            self._unsynced = False
            head = self._segments[-1]
            if head.writer is not None:
                head.writer.sync()

    def _put_to_rest(self, each: _Segment, writer: SegmentWriter) -> None:
        if each.rested == 0:
            writer.sync()
        each.rested += 1
        if each.rested < _SEAL_AFTER and len(self._segments) <= _SEAL_BEYOND:
            return
        writer.seal()
        each.writer = None
        with self._lock:
            each.size = files.file_bytes(each.path)

    def _repair(self, each: _Segment, last_row: int | None, error: sqlite3.Error | None) -> None:
        """Put a damaged file aside, and what can still be read of it into a new one of the same number."""
        if each.writer is not None:
            each.writer.abandon()
            each.writer = None
        self._close_reader(each.number)
        aside = files.quarantine(each.path, self._clock_ns())
        saved = files.salvage(aside, last_row)
        files.write_rows(each.path, saved.rows)
        with self._lock:
            each.last_row = max(last_row or 0, saved.rows[-1][0] if saved.rows else 0)
            each.size = files.file_bytes(each.path)
            each.damaged = False
        lost = (
            f"{saved.missing} records could not be read"
            if saved.missing or last_row is not None
            else "their number was not known"
        )
        self._note(
            "spool_quarantined",
            Severity.ERROR,
            f"{each.path.name} was damaged ({error or 'found while writing'}): put aside as {aside.name}; "
            f"{len(saved.rows)} records were saved, {lost}",
            {"file": aside.name, "saved": len(saved.rows), "lost": saved.missing},
        )

    def remove_below(self, floor: int) -> None:
        """Delete every segment, the newest excepted, whose ids are all below `floor`."""
        while len(self._segments) > 1 and self._segments[0].next_id <= floor:
            self._drop_first()

    def drop_oldest(self) -> Span | None:
        """Delete the oldest segment to make room; returns the ids it held, or None when only the newest is left."""
        if len(self._segments) < 2:
            return None
        gone = self._segments[0]
        self._drop_first()
        return Span(gone.first_id, gone.next_id)

    def _drop_first(self) -> None:
        with self._lock:
            gone = self._segments.pop(0)
        self._close_reader(gone.number)
        # Before it is closed: SQLite writes a log out when the last to use it lets go, unless its file has gone.
        try:
            files.remove(gone.path)
        finally:
            if gone.writer is not None:
                gone.writer.abandon()

    def close(self) -> None:
        """Seal everything and let go."""
        for number in tuple(self._readers):
            self._close_reader(number)
        for each in self._segments:
            if each.writer is not None:
                each.writer.seal()
                each.writer = None
        if self._spare is not None and self._spare.writer is not None:
            self._spare.writer.abandon()
            files.remove(self._spare.path)
            self._spare = None
