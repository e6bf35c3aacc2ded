"""The embedded history: a SQLite file that is the default sink and answers questions about the past.

Rule: (measurement, tags, instant) identifies a record, and writing it again replaces it. The values that are read by the
million stand in a narrow table of their own, in the order of series and time; all fields stand, typed, in a second one, so
that nothing is lost. An absent value is an absent row in an answer, never NaN. Another process may read while this one writes.

A batch has a row of each of a thousand series: what is kept in their order is rewritten page by page for every row. So the wide
rows are only ever put at the end of their table, and the narrow ones, fifty to a page, say where.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from heapq import merge
from sys import intern
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from timesync.errors import DataError, StoreError
from timesync.model import Event, FieldValue, Record, Severity
from timesync.store.retention import verdict
from timesync.store.segment import CORRUPT, make_private, quarantine
from timesync.store.sink import Refusal, SinkUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from timesync.store.retention import Verdict

__all__ = ["COLUMNS", "Columns", "History", "HistorySink", "Selection"]

COLUMNS = ("time_error_s", "time_error_bound_s", "offset_s", "bound_s", "delay_s", "time_error_u_s")
"""The values kept for fast reading: `History.columns` gives these."""

LAYOUT = 3
"""The number of the tables' layout, in the file as its user_version. Layout 2 had no column time_error_u_s."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series
    (id INTEGER PRIMARY KEY, measurement TEXT NOT NULL, tags TEXT NOT NULL, target TEXT, UNIQUE (measurement, tags));
CREATE TABLE IF NOT EXISTS shape (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS point
    (series INTEGER, at_ns INTEGER, time_error_s REAL, time_error_bound_s REAL, offset_s REAL, bound_s REAL, delay_s REAL,
     time_error_u_s REAL, shape INTEGER NOT NULL, detail INTEGER NOT NULL, PRIMARY KEY (series, at_ns)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS detail (id INTEGER PRIMARY KEY, fields BLOB NOT NULL);
CREATE TRIGGER IF NOT EXISTS replaced AFTER UPDATE ON point BEGIN DELETE FROM detail WHERE id = old.detail; END;
"""
_VALUES = (*COLUMNS, "shape", "detail")
_POINT = (
    f"INSERT INTO point (series, at_ns, {', '.join(_VALUES)}) VALUES (?, ?{', ?' * len(_VALUES)}) "  # noqa: S608 - constants
    f"ON CONFLICT (series, at_ns) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _VALUES)}"
)
_RECORDS = "SELECT at_ns, shape, fields FROM point JOIN detail ON detail.id = point.detail"
# Each by itself is found at once in the order of the table; both in one question would look at every row.
_ENDS = "SELECT (SELECT min(at_ns) FROM point WHERE series = ?), (SELECT max(at_ns) FROM point WHERE series = ?)"
_DETAIL = "INSERT INTO detail (id, fields) VALUES (?, ?)"
_PRUNE_EVERY_S = 3600.0
_PRUNE_ROWS = 20_000
_PRUNE_SHARE = 20
_DAY_NS = 86_400 * 10**9
_END_OF_TIME_NS = 2**63 - 1
_KINDS = {bool: "b", int: "i", float: "f", str: "s"}
_GULP = 64  # records prepared between two pauses, so that the event loop never waits long for the interpreter lock
_PAUSE_S = 0.0002
_STEPS = 50_000  # of SQLite's machine: some milliseconds
_AT_ONCE = 300  # a decoded record takes 6 kB


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records: of one measurement (and target, if given), start_ns <= at_ns < end_ns (Unix ns)."""

    measurement: str = "time_error"
    target: str | None = None
    start_ns: int = -(2**63)
    end_ns: int = _END_OF_TIME_NS


@dataclass(frozen=True, slots=True)
class Columns:
    """Instants (int64 Unix ns, ascending) and one float64 array of the same length for each column asked for."""

    at_ns: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]


class History:
    """The file, read or written by one thread at a time. Methods raise `StoreError` with the remedy where SQLite fails."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Open the history; a writer makes the file if it is missing, a reader wants one to be there.

        Raises `StoreError` for a file of another layout.
        """
        self.path = path
        self._series: dict[tuple[str, ...], int] = {}
        self._shapes: dict[tuple[object, ...], int] = {}
        if read_only and not path.exists():
            raise StoreError(f"there is no history at {path}; give the spool directory of a probe that keeps one")
        if not read_only:
            make_private(path)
        name = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}"
        self._connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            self._check_layout(read_only=read_only)
            if not read_only:
                self._prepare()
        except StoreError:
            self._connection.close()
            raise
        except sqlite3.Error as error:
            self._connection.close()
            if read_only:
                raise StoreError(f"the history {path} cannot be read: {error}") from error
            raise

    def _check_layout(self, *, read_only: bool) -> None:
        (layout,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and layout == LAYOUT - 1 and not read_only:
            # The new column is empty in the old rows: it costs a moment, whatever the size.
            self._connection.execute("ALTER TABLE point ADD COLUMN time_error_u_s REAL")
            self._connection.execute(f"PRAGMA user_version={LAYOUT}")
        elif tables and layout == LAYOUT - 1:
            raise StoreError(
                f"the history {self.path} has layout {layout}, and this version reads layout {LAYOUT}: start the probe with this "
                "version, which brings the file up to date at its first record"
            )
        elif tables and layout != LAYOUT:
            raise StoreError(
                f"the history {self.path} has layout {layout}, and this version reads and writes layout {LAYOUT}: "
                "move the file away (a new one is begun), or use the version that made it"
            )

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA cache_size=-1500")  # the rest is in the cache of the system anyway
        # Rows of many series dirty the same pages second after second: with a longer log each is copied back less often.
        self._connection.execute("PRAGMA wal_autocheckpoint=4000")
        self._connection.execute(f"PRAGMA user_version={LAYOUT}")  # first: tables without it are another layout
        self._connection.executescript(_SCHEMA)

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, records: Sequence[Record]) -> list[Refusal]:
        """Store all records in one transaction; returns those whose instant or values SQLite cannot hold."""
        refusals: list[Refusal] = []
        points: list[tuple[object, ...]] = []
        details: list[tuple[object, ...]] = []
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            (last,) = execute("SELECT coalesce(max(id), 0) FROM detail").fetchone()
            for index, record in enumerate(records, start=1):
                if index % _GULP == 0:
                    self._put(points, details)
                    time.sleep(_PAUSE_S)
                try:
                    series, shape, values = self._placed(record)
                except (TypeError, orjson.JSONEncodeError) as error:
                    refusals.append(Refusal(record, f"the history cannot hold it: {error}"))
                    continue
                fields = record.fields
                detail = last + index
                numbers = [_number(fields.get(name)) for name in COLUMNS]
                points.append((series, record.at_ns, *numbers, shape, detail))
                details.append((detail, values))
            self._put(points, details)
            execute("COMMIT")
        except sqlite3.Error:
            self._series.clear()  # their rows went with the transaction
            self._shapes.clear()
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        return refusals

    def _put(self, points: list[tuple[object, ...]], details: list[tuple[object, ...]]) -> None:
        """Hand a gulp to SQLite and empty the lists: what orjson makes takes ten times its length until it is let go."""
        self._connection.executemany(_DETAIL, details)
        self._connection.executemany(_POINT, points)
        points.clear()
        details.clear()

    def _placed(self, record: Record) -> tuple[int, int, bytes]:
        if not -_END_OF_TIME_NS < record.at_ns < _END_OF_TIME_NS:
            raise TypeError(f"the instant {record.at_ns} does not fit 64 bits")
        tags = record.tags
        series = self._series.get((record.measurement, *tags, *tags.values()))
        if series is None:
            series = self._new_series(record)
        key = (*record.fields, *map(type, record.fields.values()))
        shape = self._shapes.get(key)
        if shape is None:
            names = tuple([_kind(value) + name for name, value in record.fields.items()])
            shape = self._shapes[key] = self._new_shape(names)
        return series, shape, orjson.dumps(list(record.fields.values()))

    def _new_series(self, record: Record) -> int:
        tags = orjson.dumps(dict(record.tags), option=orjson.OPT_SORT_KEYS)
        key = (record.measurement, tags.decode())
        self._connection.execute(
            "INSERT OR IGNORE INTO series (measurement, tags, target) VALUES (?, ?, ?)",
            (*key, record.tags.get("target")),
        )
        (series,) = self._connection.execute("SELECT id FROM series WHERE measurement = ? AND tags = ?", key).fetchone()
        known = (record.measurement, *record.tags, *record.tags.values())
        if all(type(text) is str for text in known):
            # Names and most values are those of every series: one object each serves for all.
            self._series[tuple(map(intern, known))] = series
        return int(series)

    def _new_shape(self, names: tuple[str, ...]) -> int:
        text = orjson.dumps(names).decode()
        self._connection.execute("INSERT OR IGNORE INTO shape (names) VALUES (?)", (text,))
        (shape,) = self._connection.execute("SELECT id FROM shape WHERE names = ?", (text,)).fetchone()
        return int(shape)

    def prune(self, before_ns: int) -> int:
        """Delete records older than an instant, a limited number in one go; returns how many (0: none are left)."""
        execute = self._connection.execute
        series = execute("SELECT id FROM series").fetchall()
        share = max(
            _PRUNE_SHARE, _PRUNE_ROWS // max(1, len(series))
        )  # of each series: what arrived together goes together
        gone: list[tuple[int]] = []
        execute("BEGIN IMMEDIATE")
        try:
            for (number,) in series:
                old = execute(
                    "SELECT detail, at_ns FROM point WHERE series = ? AND at_ns < ? ORDER BY at_ns LIMIT ?",
                    (number, before_ns, share),
                ).fetchall()
                if old:
                    execute("DELETE FROM point WHERE series = ? AND at_ns <= ?", (number, old[-1][1]))
                    gone.extend((detail,) for detail, _ in old)
            self._connection.executemany("DELETE FROM detail WHERE id = ?", sorted(gone))
            execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        if gone:
            execute("PRAGMA incremental_vacuum(2000)").fetchall()
        return len(gone)

    # --- reading -----------------------------------------------------------------------------------------------------

    def oldest_ns(self) -> int | None:
        """The instant of the oldest record; None in an empty history."""
        sql = "SELECT min((SELECT min(at_ns) FROM point WHERE series = id)) FROM series"
        found: int | None = self._connection.execute(sql).fetchone()[0]
        return found

    def has_record(self, start_ns: int, end_ns: int) -> bool:
        """Whether there is a record with start_ns <= instant < end_ns."""
        sql = (
            "SELECT EXISTS (SELECT 1 FROM series WHERE EXISTS "
            "(SELECT 1 FROM point WHERE series = id AND at_ns >= ? AND at_ns < ?))"
        )
        return bool(self._connection.execute(sql, (start_ns, end_ns)).fetchone()[0])

    def span(self, target: str, measurement: str = "time_error") -> tuple[int, int] | None:
        """The instants of the oldest and the newest record of a target (Unix ns); None where it has none."""
        ends = [
            end
            for series in self.series_of(Selection(measurement, target))
            for end in self._ask(_ENDS, (series, series))
            if end[0] is not None
        ]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None

    def targets(self, measurement: str = "time_error") -> list[str]:
        """The targets that have records, sorted."""
        rows = self._ask(
            "SELECT DISTINCT target FROM series WHERE measurement = ? AND target IS NOT NULL", (measurement,)
        )
        return sorted(target for (target,) in rows)

    def measurements(self) -> list[str]:
        """The measurements that have records, sorted."""
        return sorted(name for (name,) in self._ask("SELECT DISTINCT measurement FROM series", ()))

    def series_of(self, selection: Selection) -> dict[int, dict[str, str]]:
        """The tags of every series that a selection may touch, by the series' number."""
        sql = "SELECT id, tags FROM series WHERE measurement = ? AND (? IS NULL OR target = ?)"
        rows = self._ask(sql, (selection.measurement, selection.target, selection.target))
        return {series: orjson.loads(tags) for series, tags in rows}

    def records(self, selection: Selection) -> Iterator[Record]:
        """The records of a selection, in time order; reads as it goes."""
        shapes = self.shapes()
        return merge(
            *(self._records_of(series, tags, selection, shapes) for series, tags in self.series_of(selection).items()),
            key=lambda record: record.at_ns,
        )

    def _records_of(
        self, series: int, tags: Mapping[str, str], selection: Selection, shapes: dict[int, tuple[str, ...]]
    ) -> Iterator[Record]:
        sql = f"{_RECORDS} WHERE series = ? AND at_ns >= ? AND at_ns < ? ORDER BY at_ns"
        for at_ns, shape, fields in self._ask(sql, (series, selection.start_ns, selection.end_ns)):
            if shape not in shapes:  # another process has begun to write it since
                shapes.update(self.shapes())
            yield Record(selection.measurement, at_ns, tags, _fields(shapes[shape], fields))

    def shapes(self) -> dict[int, tuple[str, ...]]:
        """Every combination of field names in use, by its number; each name has its kind (b, i, f, s) before it."""
        return {number: tuple(orjson.loads(names)) for number, names in self._ask("SELECT id, names FROM shape", ())}

    def shapes_of(self, selection: Selection) -> list[tuple[str, ...]]:
        """The combinations of field names that occur in a selection."""
        series = self.series_of(selection)
        marks = ",".join("?" * len(series))
        sql = f"SELECT DISTINCT shape FROM point WHERE series IN ({marks}) AND at_ns >= ? AND at_ns < ?"  # noqa: S608 - marks only
        shapes = self.shapes()
        return [shapes[shape] for (shape,) in self._ask(sql, (*series, selection.start_ns, selection.end_ns))]

    def latest(self, measurement: str = "time_error") -> dict[str, Record]:
        """The newest record of each target."""
        shapes = self.shapes()
        newest: dict[str, Record] = {}
        for series, tags in self.series_of(Selection(measurement)).items():
            sql = f"{_RECORDS} WHERE series = ? ORDER BY at_ns DESC LIMIT 1"
            for at_ns, shape, fields in self._ask(sql, (series,)):
                target = tags.get("target")
                if target is not None and (target not in newest or newest[target].at_ns < at_ns):
                    newest[target] = Record(measurement, at_ns, tags, _fields(shapes[shape], fields))
        return newest

    def newest(self, target: str, at_ns: int | None = None, measurement: str = "time_error") -> Record | None:
        """The newest record of a target, at or before an instant (Unix ns) if given: one with a time error, if any."""
        end_ns = _END_OF_TIME_NS if at_ns is None else at_ns
        shapes = self.shapes()
        for claimed in ("AND time_error_s IS NOT NULL ", ""):
            found: list[Record] = []
            for series, tags in self.series_of(Selection(measurement, target)).items():
                sql = f"{_RECORDS} WHERE series = ? AND at_ns <= ? {claimed}ORDER BY at_ns DESC LIMIT 1"
                found += [
                    Record(measurement, at, tags, _fields(shapes[shape], fields))
                    for at, shape, fields in self._ask(sql, (series, end_ns))
                ]
            if found:
                return max(found, key=lambda record: record.at_ns)
        return None

    def columns(self, selection: Selection, names: Sequence[str]) -> Columns:
        """The named values (of `COLUMNS`) as arrays, where all of them are present; in time order.

        A million rows take about a second. The records that lack a value are not in the answer: `records` has them,
        with the reason. Raises `DataError` for a name that is no such column.
        """
        import numpy as np  # noqa: PLC0415 - 100 ms that the probe itself need not spend

        if unknown := [name for name in names if name not in COLUMNS]:
            raise DataError(f"no column {unknown[0]!r}; choose from {', '.join(COLUMNS)}")
        series = self.series_of(selection)
        marks = ",".join("?" * len(series))
        present = " AND ".join(f"{name} IS NOT NULL" for name in names)
        sql = (
            f"SELECT at_ns, {', '.join(names)} FROM point WHERE series IN ({marks}) "  # noqa: S608 - names are of COLUMNS
            f"AND at_ns >= ? AND at_ns < ? AND {present}"
        )
        layout = np.dtype([("at_ns", np.int64), *((name, np.float64) for name in names)])
        try:
            # Straight from the cursor: a generator in between costs a fifth of the time.
            rows = self._connection.execute(sql, (*series, selection.start_ns, selection.end_ns))
            table = np.fromiter(rows, dtype=layout)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        if len(series) > 1:
            table = table[np.argsort(table["at_ns"], kind="stable")]
        return Columns(
            np.ascontiguousarray(table["at_ns"]), {name: np.ascontiguousarray(table[name]) for name in names}
        )

    def give_up_when(self, late: Callable[[], bool]) -> None:
        """From now on end a question, with a `StoreError`, as soon as `late` says so; it is asked every few milliseconds."""
        self._connection.set_progress_handler(late, _STEPS)

    def ask(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """The rows of a question of another module of the store."""
        return self._ask(sql, values)

    def _ask(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        try:
            for row in self._connection.execute(sql, values):  # noqa: UP028 - yield from would close a cursor whose file is closed
                yield row
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"the history {self.path} cannot be read: {error}")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _kind(value: FieldValue) -> str:
    """One letter for the type of a value; a text or number of a narrower type counts as what it is made of."""
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind
    for base, letter in _KINDS.items():
        if isinstance(value, base):
            return letter
    raise TypeError(f"a {type(value).__name__} is not a number, a text or a truth value")


def _number(value: FieldValue | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _fields(names: Sequence[str], values: bytes) -> dict[str, FieldValue]:
    return dict(zip((name[1:] for name in names), orjson.loads(values), strict=True))


def _doubt(found: Verdict, now_ns: int) -> Event:
    due, settle = found.due_ns / _DAY_NS, found.settle_ns / _DAY_NS
    text = (
        f"by this machine's clock {due:.1f} days of the history are past its retention, but its newest records do not lead up to "
        f"that clock: nothing is deleted until they have, for {settle:.2g} days. Check the clock; retention_days says what is kept"
    )
    return Event(
        "history_clock_doubted", now_ns, Severity.WARNING, text, evidence={"due_days": due, "settle_days": settle}
    )


class HistorySink:
    """The history as a sink: writes in a thread of its own, forgets what is older than `retention_days` (retention.py).

    `clock_ns` gives the present for the retention, `steady_s` (which nobody can set) says when to look again, `report` hears
    (on the event loop) of a damaged file and of a clock that is not believed.
    """

    def __init__(
        self,
        path: Path,
        retention_days: float | None,
        *,
        clock_ns: Callable[[], int],
        report: Callable[[Event], None],
        steady_s: Callable[[], float] = time.monotonic,
        name: str = "history",
    ) -> None:
        """Nothing is opened before the first write."""
        self.name = name
        self.at_once = _AT_ONCE
        self.path = path
        self._retention_days = retention_days
        self._clock_ns = clock_ns
        self._report = report
        self._history: History | None = None
        self._events: list[Event] = []
        self._steady_s = steady_s
        self._next_prune_s = float("-inf")
        self._doubted = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="timesync-history")

    async def write(self, records: Sequence[Record]) -> Sequence[Refusal]:
        """Store the records. Raises `SinkUnavailableError` when the disk will not have them now."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._worker, self._write, records)
        finally:
            while self._events:
                self._report(self._events.pop(0))

    def _write(self, records: Sequence[Record]) -> list[Refusal]:
        for _ in range(2):  # once more in a new file if the old one turned out to be damaged
            try:
                if self._history is None:
                    self._history = History(self.path, read_only=False)
                refusals = self._history.write(records)
                self._forget_old()
            except (OSError, sqlite3.Error) as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in CORRUPT:
                    raise SinkUnavailableError(f"the history {self.path} cannot be written: {error}") from error
                self._events.append(self._put_aside(error))
            else:
                return refusals
        raise SinkUnavailableError(f"the history {self.path} is damaged again at once: check the disk")

    def _put_aside(self, error: Exception) -> Event:
        if self._history is not None:
            self._history.close()
            self._history = None
        now_ns = self._clock_ns()
        aside = quarantine(self.path, now_ns)
        text = (
            f"the history was damaged ({error}): put aside as {aside.name}, a new one is begun; "
            f"`sqlite3 {aside.name} .recover` gives what can be read of it"
        )
        return Event("history_quarantined", now_ns, Severity.ERROR, text, evidence={"file": aside.name})

    def _forget_old(self) -> None:
        steady_s = self._steady_s()
        if self._retention_days is None or self._history is None or steady_s < self._next_prune_s:
            return
        self._next_prune_s = steady_s + _PRUNE_EVERY_S
        now_ns = self._clock_ns()
        retention_ns = int(self._retention_days * _DAY_NS)
        found = verdict(now_ns, retention_ns, self._history.oldest_ns(), self._history.has_record)
        if not found.agreed:
            if not self._doubted:
                self._events.append(_doubt(found, now_ns))
            self._doubted = True
            return
        self._doubted = False
        if self._history.prune(found.before_ns):
            self._next_prune_s = steady_s  # there may be more: with the next batch

    async def close(self) -> None:
        """Close the file and end the thread."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._worker, self._close)
        self._worker.shutdown()

    def _close(self) -> None:
        if self._history is not None:
            self._history.close()
            self._history = None
