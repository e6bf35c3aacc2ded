"""One file of the spool: a SQLite database in WAL mode that is only ever appended to, then read, then removed whole.

Rule: a record is in the file, safe from the death of this process, when `SegmentWriter.append` returns, and appending
never waits for the disk: the writer does not checkpoint, and since a log that is never checkpointed is never restarted,
SQLite has no reason to call fsync in a commit. Checkpoint and fsync happen in `sync` and `seal`, in another thread.
Each row carries a checksum (CRC-32 of its payload), since SQLite has none of its own outside the log.
Source: the SQLite documentation, "Write-Ahead Logging" and "PRAGMA synchronous".
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import quote
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "CORRUPT",
    "Damage",
    "Salvage",
    "SegmentReader",
    "SegmentWriter",
    "create",
    "file_bytes",
    "make_private",
    "quarantine",
    "remove",
    "salvage",
    "sync_directory",
    "write_rows",
]

MODE = 0o640  # what has been measured, and where: for this user and its group
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_SMALL_CACHE = "PRAGMA cache_size=-256"  # kB; rows are appended and read in order, so no page is wanted twice
_INSERT = "INSERT OR REPLACE INTO record (row, payload, crc) VALUES (?, ?, ?)"
_TOGETHER = 16  # rows of one statement: each statement is a turn of its own for the interpreter lock
_INSERT_TOGETHER = _INSERT + ", (?, ?, ?)" * (_TOGETHER - 1)

CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""The primary error codes that say: this file is damaged, trying again does not help."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A row whose payload is not what was written."""

    row: int


def make_private(path: Path) -> None:
    """Make an empty database file that others may not read, if there is none yet; SQLite gives its companions the same rights."""
    try:
        # Never opened where it is there: closing it again would drop the locks that SQLite holds on it (POSIX locks are so).
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, MODE))
    except FileExistsError:
        return


def create(path: Path) -> None:
    """Make an empty segment. It gets its name when it is whole, so that a death in between leaves no half segment."""
    new = path.with_name("new.sqlite3")
    remove(new)
    make_private(new)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        # A lone record costs a page or two of log; of many that come at once three share one.
        connection.execute("PRAGMA page_size=4096")
        connection.execute("CREATE TABLE record (row INTEGER PRIMARY KEY, payload BLOB, crc INTEGER)")
    finally:
        connection.close()
    new.rename(path)
    sync_directory(path.parent)


class SegmentWriter:
    """The end of a segment that takes records. `append` belongs to one thread; `sync` and `seal` may run in another."""

    def __init__(self, path: Path, durability: str) -> None:
        """Open a file that `create` made; leaves its log begun, so that no later commit needs to sync the log's header.

        `durability` "full" syncs every commit (slow, survives a power cut); "normal" leaves that to `sync`.
        """
        self.path = path
        self._wal = f"{path}-wal"
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.2)
        try:
            self._execute("PRAGMA journal_mode=WAL")
            self._execute("PRAGMA wal_autocheckpoint=0")
            self._execute(_SMALL_CACHE)
            self._execute("PRAGMA secure_delete=OFF")
            self._execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
            (times,) = self._execute("PRAGMA user_version").fetchone()
            self._execute(f"PRAGMA user_version={times + 1}")  # a commit, here and not later: it begins the log
            self.last_row: int = self._execute("SELECT coalesce(max(row), 0) FROM record").fetchone()[0]
        except sqlite3.Error:
            self._connection.close()
            raise

    def _execute(self, sql: str) -> sqlite3.Cursor:
        return self._connection.execute(sql)

    def append(self, payloads: Sequence[bytes]) -> int:
        """Write all payloads in one transaction and return the last row number. Raises `sqlite3.Error`, nothing written."""
        first = self.last_row + 1  # numbered here: a repetition after a doubtful failure replaces and does not double
        if len(payloads) == 1:
            self._connection.execute(_INSERT, (first, payloads[0], crc32(payloads[0])))
        else:
            self.put(enumerate(payloads, start=first))
        self.last_row += len(payloads)
        return self.last_row

    def put(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Write rows that have their numbers already, in one transaction. Raises `sqlite3.Error`, nothing written."""
        summed = [(row, payload, crc32(payload)) for row, payload in rows]
        alone = len(summed) % _TOGETHER
        try:
            self._execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, summed[:alone])
            for first in range(alone, len(summed), _TOGETHER):
                together = chain.from_iterable(summed[first : first + _TOGETHER])
                self._connection.execute(_INSERT_TOGETHER, tuple(together))
            self._execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
            raise

    def log_bytes(self) -> int:
        """The size of the log: what this segment weighs until it is sealed."""
        return os.stat(self._wal).st_size  # noqa: PTH116 - called for every batch; a Path would cost more than the call

    def sync(self) -> None:
        """Bring what was committed to the disk itself, so that a power cut cannot take it."""
        descriptor = os.open(self._wal, os.O_RDONLY)  # SQLite keeps no locks on the log: closing this drops none
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def seal(self) -> None:
        """Move the log into the database file, on the disk, and close. Slow: it waits for the disk.

        Raises `sqlite3.Error` when the disk will not take it; the segment stays open and whole, to be sealed later.
        """
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._connection.close()

    def abandon(self) -> None:
        """Close without looking after the file."""
        self._connection.close()


class SegmentReader:
    """Reads rows of a segment, also while it is being written. Belongs to one thread."""

    def __init__(self, path: Path) -> None:
        name = f"file:{quote(str(path))}?mode=rw"  # never create: a file that has gone is missed, not replaced by an empty one
        self._connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
        self._connection.execute("PRAGMA wal_autocheckpoint=0")
        self._connection.execute(_SMALL_CACHE)

    def last_row(self) -> int:
        """The highest row number, 0 in an empty segment."""
        found: int = self._connection.execute("SELECT coalesce(max(row), 0) FROM record").fetchone()[0]
        return found

    def check(self) -> None:
        """Look through the whole file; raises `sqlite3.DatabaseError` if its structure is damaged."""
        (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            error = sqlite3.DatabaseError(answer)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    def rows(self, low: int, high: int, limit: int) -> list[tuple[int, bytes | Damage]]:
        """Up to `limit` rows with low <= row < high, in order; a damaged one comes as `Damage`."""
        found = self._connection.execute(
            "SELECT row, payload, crc FROM record WHERE row >= ? AND row < ? ORDER BY row LIMIT ?", (low, high, limit)
        ).fetchall()
        return [(row, _intact(row, payload, crc)) for row, payload, crc in found]

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _intact(row: int, payload: object, crc: object) -> bytes | Damage:
    return payload if isinstance(payload, bytes) and crc32(payload) == crc else Damage(row)


def file_bytes(path: Path) -> int:
    """What a segment takes on the disk, its log included."""
    total = 0
    for suffix in ("", "-wal"):
        try:
            total += os.stat(f"{path}{suffix}").st_size  # noqa: PTH116 - a name with a suffix, not a path of its own
        except FileNotFoundError:
            continue
    return total


def remove(path: Path) -> None:
    """Delete a segment with its companions."""
    for suffix in reversed(_COMPANIONS):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def quarantine(path: Path, at_ns: int) -> Path:
    """Rename a database and its companions out of the way; returns the new name, which carries the instant."""
    aside = path.with_name(f"{path.name}.corrupt-{at_ns}")
    for suffix in reversed(_COMPANIONS):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    return aside


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk: a new file is only as safe as its name."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Salvage:
    """What could be read from a damaged segment, and how many rows are known to be missing."""

    rows: tuple[tuple[int, bytes], ...]
    missing: int


def salvage(path: Path, last_row: int | None) -> Salvage:
    """Read every intact row of a damaged segment. `last_row` is the last number known to have been written, if it is."""
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error:
        return Salvage((), last_row or 0)
    try:
        found = {
            row: payload
            for row, payload, crc in _rows_around_holes(connection, last_row)
            if isinstance(payload, bytes) and crc32(payload) == crc
        }
    finally:
        connection.close()
    expected = max(last_row or 0, max(found, default=0))
    return Salvage(tuple(sorted(found.items())), expected - len(found))


def write_rows(path: Path, rows: Sequence[tuple[int, bytes]]) -> None:
    """Make a sealed segment of rows that keep their numbers."""
    create(path)
    writer = SegmentWriter(path, "normal")
    try:
        writer.put(rows)
    finally:
        writer.seal()


def _rows_around_holes(connection: sqlite3.Connection, last_row: int | None) -> Iterator[tuple[int, object, object]]:
    """Every row that SQLite still finds: a scan from each end, then one by one where both scans broke off."""
    ends: dict[str, int] = {}
    for order in ("ASC", "DESC"):
        try:
            for row in connection.execute(f"SELECT row, payload, crc FROM record ORDER BY row {order}"):  # noqa: S608 - two constants
                ends[order] = row[0]
                yield row
        except sqlite3.Error:
            continue
        return
    first = ends.get("ASC", 0) + 1
    beyond = ends.get("DESC", (last_row or 0) + 1)
    for number in range(first, beyond):
        try:
            row = connection.execute("SELECT row, payload, crc FROM record WHERE row = ?", (number,)).fetchone()
        except sqlite3.Error:
            continue
        if row is not None:
            yield row
