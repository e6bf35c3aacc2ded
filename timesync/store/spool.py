"""The durable queue between measuring and the sinks.

Rule: a record that `append` took is on the disk, safe from kill -9, before it returns; it stays until every sink has it,
and what cannot be kept is counted and told, never dropped in silence. Each sink has its own position; delivery is at least
once and in order within a lane (lanes.py).

A power cut may take what the kernel had not yet written: with durability "normal" that is what came after the last `maintain`
(once a second, from delivery.py); with "full" nothing, at the price of one fsync for every append.

Threads: `append`, `retry` and `status` belong to the event loop and do not wait for the disk. All other methods may
wait, and belong to the spool's one worker thread: call them with `await spool.in_worker(spool.method, ...)`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from itertools import repeat
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from timesync.errors import StoreError
from timesync.model import Event, FieldValue, Severity
from timesync.store import lanes as lane_rules
from timesync.store import segment as files
from timesync.store.batch import ORDINARY, Batch, SpoolOptions
from timesync.store.claim import claim
from timesync.store.drafts import Drafts, key_of
from timesync.store.lanes import Lane, Lanes
from timesync.store.ledger import Ledger, RefusedRecord
from timesync.store.payload import UnstorableRecordError, decode, encode
from timesync.store.recent import Recent, is_plain
from timesync.store.segment import CORRUPT, Damage
from timesync.store.shelf import GULP, PAUSE_S, Shelf
from timesync.store.status import SinkStatus, SpoolStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.model import Record
    from timesync.settings import SpoolSettings
    from timesync.store.sink import Refusal

__all__ = ["Batch", "Spool", "SpoolOptions"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _in_turn(method: Callable[Concatenate[Spool, _P], _T]) -> Callable[Concatenate[Spool, _P], _T]:
    """Let one disk-bound method run at a time."""

    @wraps(method)
    def taking_turns(self: Spool, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self._working:
            return method(self, *args, **kwargs)

    return taking_turns


_SMALLEST_SEGMENT = 256 * 1024
_LARGEST_SEGMENT = 16 * 1024 * 1024
_MOST_BACKLOG_SPANS = 64
_RETRY_CHUNK = 256
_RETRY_CHUNKS = 8  # at one go: tens of milliseconds of the event loop
_RETRY_EVERY = 16  # while the disk refuses, every so many appends try it again


class Spool:
    """See the module's docstring. Events for the operator gather in the spool; `take_events` hands them over."""

    def __init__(
        self,
        settings: SpoolSettings,
        sinks: Sequence[str],
        clock_ns: Callable[[], int],
        options: SpoolOptions = ORDINARY,
    ) -> None:
        """Open the directory (made if missing) for these sinks. A new sink begins at the present.

        `clock_ns` stamps events, refusals and quarantined files. Raises `StoreError` if the directory cannot be used.
        """
        self._settings = settings
        self._options = options
        self._clock_ns = clock_ns
        self._lock = (
            threading.Lock()
        )  # guards what the event loop shares with the worker; never held while the disk works
        self._working = (
            threading.RLock()
        )  # one disk-bound method at a time, from whatever thread; the event loop never takes it
        self._drafts = Drafts()
        self._events: deque[Event] = deque(maxlen=1000)
        self._told: dict[str, str] = {}
        self._buffer: deque[bytes] = deque()
        self._failing: str | None = None
        self._held_appends = 0
        self._unsaved_counts: Counter[str] = Counter()
        self._unsaved_refused: list[RefusedRecord] = []
        self._oldest_at_ns: int | None = None
        self._closed = False
        try:
            settings.directory.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._claim = claim(settings.directory)
            self._ledger = self._open_ledger()
            self._lanes = self._saved_lanes = self._ledger.lanes()
            self._counters: Counter[str] = Counter(self._ledger.counters())
            furthest = max((state.live for state in self._lanes.values()), default=0)
            size = min(_LARGEST_SEGMENT, max(_SMALLEST_SEGMENT, settings.max_bytes // 16))
            self._shelf = Shelf(settings.directory, size, settings.durability, furthest - 1, self._note, clock_ns)
            self._shelf.maintain()
            self._recent = Recent(options.recent_ids, self._shelf.next_id)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the spool in {settings.directory} cannot be used: {error}; check that the directory is on a local "
                f"disk with free space and belongs to the user that runs this"
            ) from error
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="timesync-spool")
        self.set_sinks(sinks)

    def _open_ledger(self) -> Ledger:
        path = self._settings.directory / "ledger.sqlite3"
        self._positions_lost = not path.exists()
        try:
            return Ledger(path, self._options.keep_refused)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in CORRUPT:
                raise
            aside = files.quarantine(path, self._clock_ns())
            self._positions_lost = True
            text = f"the spool's ledger was damaged ({error}): put aside as {aside.name}; every sink gets again all that is kept"
            self._note("spool_quarantined", Severity.ERROR, text, {"file": aside.name})
            return Ledger(path, self._options.keep_refused)

    # --- the event loop ---------------------------------------------------------------------------------------------

    def append(self, records: Sequence[Record], drafts: Sequence[Record] = ()) -> bool:
        """Keep these records. True: they are on the disk. False: the disk refuses, some wait in memory (see `status`).

        `drafts` will be written again within some seconds, under the same key; then only the last of each is handed on. The records
        must not be changed afterwards: sinks that follow get these very ones.
        Raises `StoreError` after `close`, and never because of the disk.
        """
        if self._closed:
            raise StoreError("the spool is closed; nothing can be kept any more")
        kept_drafts, payloads = self._encoded(
            drafts
        )  # first: a row of the same call may be the better one of its draft
        kept_records, more = self._encoded(records)
        payloads += more
        if not payloads:
            return True
        if self._settings.when_full == "drop_newest" and self._shelf.size >= self._settings.max_bytes:
            self._drop("spool full", len(more))  # a draft has a successor, which is counted when its turn comes
            self._note_once(
                "spool_full", f"the spool has reached {self._settings.max_bytes} bytes: new records are dropped"
            )
            return False
        self._over("spool_full")
        if self._buffer:
            self._hold(payloads)
            self._held_appends += 1
            return self._held_appends % _RETRY_EVERY == 0 and self.retry()
        if not self._store(payloads):
            return False
        new = [*repeat(None, len(kept_drafts)), *(record if is_plain(record) else None for record in kept_records)]
        with self._lock:
            first_id = self._shelf.written_from
            self._recent.add(first_id, new, self._shelf.next_id)
            if kept_drafts or self._drafts:
                self._drafts.add([key_of(record) for record in kept_drafts], first_id)
                self._drafts.replace(kept_records)
        return True

    def _encoded(self, records: Sequence[Record]) -> tuple[list[Record], list[bytes]]:
        """Those of the records that can be kept, and their bytes; the others are put aside with the reason."""
        kept: list[Record] = []
        payloads: list[bytes] = []
        for record in records:
            try:
                payloads.append(encode(record))
            except UnstorableRecordError as error:
                self._refuse_unstorable(record, str(error))
            else:
                kept.append(record)
        return kept, payloads

    def retry(self) -> bool:
        """Try the disk again with what waits in memory, some thousand records at most; true when nothing waits any more."""
        for _ in range(_RETRY_CHUNKS):
            if not self._buffer:
                break
            chunk = [self._buffer[index] for index in range(min(_RETRY_CHUNK, len(self._buffer)))]
            try:
                self._to_shelf(chunk)
            except (OSError, sqlite3.Error) as error:
                self._failing = str(error)
                return False
            for _ in chunk:
                self._buffer.popleft()
            with self._lock:
                self._recent.forget(self._shelf.next_id)
        if self._buffer:
            return False
        if self._failing is not None:
            self._failing = None
            self._over("spool_memory_full")
            self._note(
                "spool_recovered", Severity.INFO, "the spool writes to the disk again; nothing waits in memory", {}
            )
        return True

    def _store(self, payloads: list[bytes]) -> bool:
        try:
            self._to_shelf(payloads)
        except (OSError, sqlite3.Error) as error:
            if self._failing is None:
                self._note(
                    "spool_append_failed",
                    Severity.ERROR,
                    f"the spool cannot write ({error}): records wait in memory",
                    {},
                )
            self._failing = str(error)
            self._hold(payloads)
            return False
        return True

    def _to_shelf(self, payloads: list[bytes]) -> None:
        if self._shelf.append(payloads) and not self._closed:
            self._worker.submit(self.maintain)

    def _hold(self, payloads: list[bytes]) -> None:
        self._buffer.extend(
            bytes(memoryview(payload)) for payload in payloads
        )  # orjson's own take 8 kB each, these 1.5
        excess = len(self._buffer) - self._options.buffer_records
        if excess <= 0:
            return
        take = self._buffer.popleft if self._settings.when_full == "drop_oldest" else self._buffer.pop
        for _ in range(excess):
            take()
        self._drop("memory full", excess)
        which = "oldest" if self._settings.when_full == "drop_oldest" else "newest"
        self._note_once(
            "spool_memory_full",
            f"the disk has refused for so long that {self._options.buffer_records} records wait in memory: "
            f"the {which} are dropped, and counted, until it accepts",
        )

    def _drop(self, cause: str, count: int) -> None:
        with self._lock:
            self._counters[f"dropped:{cause}"] += count
            self._unsaved_counts[f"dropped:{cause}"] += count

    def _refuse_unstorable(self, record: Record, reason: str) -> None:
        self._note("record_refused", Severity.ERROR, reason, {})
        self._keep_refused(RefusedRecord(self._clock_ns(), "spool", reason, repr(record).encode(errors="replace")))

    def _keep_refused(self, *records: RefusedRecord) -> None:
        with self._lock:
            self._unsaved_refused.extend(records)
            for each in records:
                self._counters[f"refused:{each.sink}"] += 1
                self._unsaved_counts[f"refused:{each.sink}"] += 1

    def take_events(self) -> list[Event]:
        """What happened since the last call, oldest first; any thread."""
        events: list[Event] = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def status(self) -> SpoolStatus:
        """How the spool stands, from memory; `oldest_at_ns` is as of the last delivery or `maintain`."""
        with self._lock:
            lanes = self._lanes  # replaced, never changed
            counters = dict(self._counters)
        present = self._shelf.next_id
        waiting = {name: lane_rules.pending_spans(state, present) for name, state in lanes.items()}
        dropped = {name.partition(":")[2]: count for name, count in counters.items() if name.startswith("dropped:")}
        sinks = {
            name: SinkStatus(
                depth=self._shelf.count(spans),
                backlog=self._shelf.count(lanes[name].backlog),
                refused=counters.get(f"refused:{name}", 0),
            )
            for name, spans in waiting.items()
        }
        depth = self._shelf.count(lane_rules.merged(span for spans in waiting.values() for span in spans))
        return SpoolStatus(
            depth=depth,
            oldest_at_ns=self._oldest_at_ns if depth else None,
            bytes=self._shelf.size,
            dropped=sum(dropped.values()),
            refused=sum(count for name, count in counters.items() if name.startswith("refused:")),
            buffered=len(self._buffer),
            failing=self._failing,
            dropped_by=dropped,
            sinks=sinks,
        )

    async def in_worker(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run one of the methods below in the spool's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: function(*args, **kwargs))

    # --- the worker thread ------------------------------------------------------------------------------------------

    @_in_turn
    def set_sinks(self, names: Sequence[str]) -> None:
        """Serve exactly these sinks from now on: a new one begins at the present, one no longer named is forgotten."""
        present = self._shelf.next_id
        for name in [name for name in self._lanes if name not in names]:
            count = self._shelf.count(lane_rules.pending_spans(self._lanes[name], present))
            with self._lock:
                self._lanes = {other: state for other, state in self._lanes.items() if other != name}
            self._ledger.forget(name)
            text = f"sink {name!r} is no longer configured: {count} records that it had not got are not kept for it"
            self._note("sink_forgotten", Severity.WARNING, text, {"sink": name, "undelivered": count})
        with self._lock:
            floor = self._shelf.first_id
            begin = Lanes(floor if self._positions_lost else present)
            self._lanes = {name: lane_rules.raise_floor(self._lanes.get(name, begin), floor) for name in names}
            self._positions_lost = False
        self._save()
        self._remove_delivered()

    @_in_turn
    def read(self, sink: str, lane: Lane, limit: int) -> Batch | None:
        """The next records for a sink from one lane, at most `limit`; None if there are none.

        A live lane that is far behind, and more than four batches, jumps to the newest batch and leaves the rest as a backlog.
        Raises `StoreError` if the disk cannot be read now.
        """
        present = self._shelf.next_id
        with self._lock:
            state = self._lanes[sink]
            horizon = self._drafts.horizon()
            ready = present if horizon is None else min(present, horizon)
            behind = self._shelf.count(lane_rules.pending_spans(Lanes(state.live), ready))
            if behind > max(4 * limit, self._options.far_behind) and len(state.backlog) < _MOST_BACKLOG_SPANS:
                state = lane_rules.split(state, min(present, self._shelf.newest(limit)))
                self._lanes = {**self._lanes, sink: state}
        if lane is Lane.LIVE:
            low, high = state.live, ready
        elif state.backlog:
            low, high = state.backlog[0].low, lane_rules.reach(state)
        else:
            return None
        if low >= high:
            return None
        if lane is Lane.LIVE:
            with self._lock:
                taken = self._recent.take(low, high, limit, self._drafts.is_replaced)
            if taken is not None:
                return Batch(sink, lane, low, taken.beyond, taken.records)
        return self._read_back(sink, lane, low, high, limit)

    def _read_back(self, sink: str, lane: Lane, low: int, high: int, limit: int) -> Batch:
        """A batch as it is on the disk. Raises `StoreError` if that cannot be read now."""
        try:
            chunk = self._shelf.read(low, high, limit)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the spool cannot be read now: {error}; trying again") from error
        records: list[Record] = []
        damaged: list[RefusedRecord] = []
        for index, (number, payload) in enumerate(chunk.rows, start=1):
            if index % GULP == 0:
                time.sleep(PAUSE_S)
            if isinstance(payload, Damage):
                reason, kept = f"record {number}: damaged on the disk, its checksum does not fit", b""
            else:
                if self._drafts.is_replaced(number):
                    continue
                try:
                    records.append(decode(payload))
                    continue
                except UnstorableRecordError as error:
                    reason, kept = f"record {number}: {error}", payload
            damaged.append(RefusedRecord(self._clock_ns(), sink, reason, kept))
        return Batch(sink, lane, low, chunk.beyond, tuple(records), tuple(damaged))

    @_in_turn
    def settle(self, batch: Batch, refusals: Sequence[Refusal] = ()) -> None:
        """The sink has this batch; what it refused is kept aside with the reasons."""
        now_ns = self._clock_ns()
        refused = [RefusedRecord(now_ns, batch.sink, each.reason, encode(each.record)) for each in refusals]
        self._keep_refused(*batch.damaged, *refused)
        with self._lock:
            state = self._lanes.get(batch.sink)
            if state is not None:  # it may have been taken out of the configuration while it was being written to
                state = lane_rules.advance(state, batch.lane, batch.low, batch.beyond)
                self._lanes = {**self._lanes, batch.sink: state}
        self._save()
        self._remove_delivered()

    @_in_turn
    def refused(self, limit: int = 100) -> list[RefusedRecord]:
        """The newest refused records with their reasons, newest first."""
        self._save()
        return self._ledger.refused(limit)

    @_in_turn
    def maintain(self) -> None:
        """What has to be done every second or so: sync, seal, keep within the size, save counts."""
        with self._lock:
            self._drafts.tick()
        try:
            self._shelf.maintain()
            self._over("spool_maintenance_failed")
        except (OSError, sqlite3.Error) as error:
            self._note_once("spool_maintenance_failed", f"the spool cannot be kept in order: {error}; trying again")
        self._remove_delivered()
        self._keep_within_size()
        self._save()
        self._find_oldest()

    def _keep_within_size(self) -> None:
        while self._settings.when_full == "drop_oldest" and self._shelf.size > self._settings.max_bytes:
            present = self._shelf.next_id
            with self._lock:
                waiting = [span for state in self._lanes.values() for span in lane_rules.pending_spans(state, present)]
            before = self._shelf.count(lane_rules.merged(waiting))
            try:
                if self._shelf.drop_oldest() is None:
                    return
            except OSError as error:
                self._note_once(
                    "spool_maintenance_failed", f"the oldest spool file cannot be removed: {error}; trying again"
                )
                return
            lost = before - self._shelf.count(lane_rules.merged(waiting))
            with self._lock:
                floor = self._shelf.first_id
                self._lanes = {name: lane_rules.raise_floor(state, floor) for name, state in self._lanes.items()}
            if lost:
                self._drop("spool full", lost)
                text = f"the spool has reached {self._settings.max_bytes} bytes: the oldest {lost} undelivered records were dropped"
                self._note("spool_full", Severity.ERROR, text, {"dropped": lost})

    def _remove_delivered(self) -> None:
        with self._lock:
            floor = min((lane_rules.lowest(state) for state in self._lanes.values()), default=self._shelf.next_id)
            self._recent.release(floor)
        try:
            self._shelf.remove_below(floor)
        except OSError as error:
            self._note_once(
                "spool_maintenance_failed", f"a delivered spool file cannot be removed: {error}; trying again"
            )

    def _save(self) -> None:
        """Write positions, refusals and counts; what cannot be written now is written next time."""
        with self._lock:
            lanes = self._lanes
            refused, self._unsaved_refused = self._unsaved_refused, []
            counts, self._unsaved_counts = self._unsaved_counts, Counter()
        if lanes == self._saved_lanes and not refused and not counts:
            return
        try:
            self._ledger.write(lanes, refused, counts)
            self._saved_lanes = lanes
            self._over("spool_ledger_failed")
        except sqlite3.Error as error:
            with self._lock:
                self._unsaved_refused = [*refused, *self._unsaved_refused][-self._options.keep_refused :]
                self._unsaved_counts.update(counts)
            self._note_once("spool_ledger_failed", f"the spool's positions cannot be written ({error}); trying again")

    def _find_oldest(self) -> None:
        with self._lock:
            low = min((lane_rules.lowest(state) for state in self._lanes.values()), default=self._shelf.next_id)
        try:
            rows = self._shelf.read(low, self._shelf.next_id, 1).rows
            self._oldest_at_ns = decode(rows[0][1]).at_ns if rows and isinstance(rows[0][1], bytes) else None
        except (OSError, sqlite3.Error, UnstorableRecordError):
            self._oldest_at_ns = None  # reading it for delivery will say what is wrong

    def close(self) -> None:
        """Write what waits in memory if the disk will have it, sync everything and let go. Waits for the disk."""
        if self._closed:
            return
        self._worker.submit(self.maintain).result()
        self._closed = True
        waiting = len(self._buffer)
        while not self.retry() and len(self._buffer) < waiting:
            waiting = len(self._buffer)
        if self._buffer:
            self._drop("disk refused until the end", len(self._buffer))
        self._worker.submit(self._save).result()
        self._worker.shutdown()
        self._shelf.close()
        self._ledger.close()
        os.close(self._claim)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _note(self, kind: str, severity: Severity, text: str, evidence: Mapping[str, FieldValue]) -> None:
        self._events.append(Event(kind, self._clock_ns(), severity, text, evidence=evidence))

    def _note_once(self, kind: str, text: str) -> None:
        """Say it unless it was the last that was said of this kind; `_over` makes it news again."""
        if self._told.get(kind) != text:
            self._told[kind] = text
            self._note(kind, Severity.ERROR, text, {})

    def _over(self, kind: str) -> None:
        self._told.pop(kind, None)
