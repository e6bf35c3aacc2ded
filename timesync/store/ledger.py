"""What the spool remembers beside the records: where each sink stands, what was refused and why, what was dropped.

Rule: losing this file loses no record. Without it every sink is given everything the spool still holds, once more, which
an idempotent sink does not mind. It is written from the spool's own thread only, never from the event loop.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timesync.store.lanes import Lanes, Span
from timesync.store.segment import make_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Ledger", "RefusedRecord"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sink (name TEXT PRIMARY KEY, live INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS backlog (sink TEXT, low INTEGER, high INTEGER, PRIMARY KEY (sink, low)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused
    (number INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, sink TEXT NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_COUNT = "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that a sink (or the spool itself) would not take: when, who, why, and its bytes as far as there are any."""

    at_ns: int
    sink: str
    reason: str
    payload: bytes


class Ledger:
    """The positions, refusals and counters of one spool, in a SQLite file. Every method may raise `sqlite3.Error`."""

    def __init__(self, path: Path, keep_refused: int) -> None:
        """Open or create the file. At most `keep_refused` refused records are kept, the newest; all are counted."""
        self._keep_refused = keep_refused
        make_private(path)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error:
            self._connection.close()
            raise

    def lanes(self) -> dict[str, Lanes]:
        """Every sink that is remembered, with what it has still to be given."""
        backlog: dict[str, list[Span]] = {}
        for sink, low, high in self._connection.execute("SELECT sink, low, high FROM backlog ORDER BY sink, low"):
            backlog.setdefault(sink, []).append(Span(low, high))
        sinks = self._connection.execute("SELECT name, live FROM sink").fetchall()
        return {name: Lanes(live, tuple(backlog.get(name, ()))) for name, live in sinks}

    def counters(self) -> dict[str, int]:
        """Every count, by name."""
        return dict(self._connection.execute("SELECT name, value FROM counter").fetchall())

    def write(
        self,
        lanes: Mapping[str, Lanes],
        refused: Sequence[RefusedRecord] = (),
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """In one transaction: set the positions of these sinks, add refused records, add to counters."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for name, state in lanes.items():
                execute("INSERT OR REPLACE INTO sink VALUES (?, ?)", (name, state.live))
                execute("DELETE FROM backlog WHERE sink = ?", (name,))
                for span in state.backlog:
                    execute("INSERT INTO backlog VALUES (?, ?, ?)", (name, span.low, span.high))
            for record in refused:
                execute(
                    "INSERT INTO refused (at_ns, sink, reason, payload) VALUES (?, ?, ?, ?)",
                    (record.at_ns, record.sink, record.reason, record.payload),
                )
            if refused:
                execute(
                    "DELETE FROM refused WHERE number <= (SELECT max(number) FROM refused) - ?", (self._keep_refused,)
                )
            for name, count in (counts or {}).items():
                execute(_COUNT, (name, count))
            execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def forget(self, sink: str) -> None:
        """Remove a sink and its positions."""
        self._connection.execute("DELETE FROM backlog WHERE sink = ?", (sink,))
        self._connection.execute("DELETE FROM sink WHERE name = ?", (sink,))

    def refused(self, limit: int) -> list[RefusedRecord]:
        """The newest refused records, newest first."""
        rows = self._connection.execute(
            "SELECT at_ns, sink, reason, payload FROM refused ORDER BY number DESC LIMIT ?", (limit,)
        )
        return [RefusedRecord(*row) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
