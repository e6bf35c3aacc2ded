"""The daemon's UTC: what has been published is loaded, fetched on schedule, and results that it touches are computed again.

Rule: measuring uses new values at once. What is on record from before is read from the history, computed again row by row, and what
has changed goes through the spool to every sink; a row's first estimate stays in it. How far this has come is kept across restarts.
It takes its time: polls go first, and no more is put into the spool than the sinks take.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timesync.errors import StoreError
from timesync.model import Event, Severity
from timesync.reference.published import Label, UtcBook, UtcTable, laboratory, realisation
from timesync.store.local import History, Selection
from timesync.store.published import FILE, PublishedStore
from timesync.timescale import format_utc
from timesync.utc_rows import revised

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from timesync.model import FieldValue, Record
    from timesync.settings import ProbeSettings
    from timesync.store.published import Imported

__all__ = ["APPLIED", "UtcService", "first_difference"]

APPLIED = "published.applied"
HISTORY_FILE = "history.sqlite3"
LOOK_EVERY_S = 10.0
SETTLE_S = 3.0  # what was measured by the old values has reached the history by then
GULP = 64
PAUSE_S = 0.0005
BATCH = 200
SPOOL_ROOM = 20_000
PIECE_NS = 3600 * 1_000_000_000


def first_difference(old: UtcTable, new: UtcTable) -> int | None:
    """The first instant (Unix ns) at which two tables may give different answers; None where they give the same."""
    for one, other in zip(old.segments, new.segments, strict=False):
        if one != other:
            return min(one.start_ns, other.start_ns)
    rest = old.segments[len(new.segments) :] or new.segments[len(old.segments) :]
    return rest[0].start_ns if rest else None


@dataclass(slots=True)
class Revision:
    """What a computation has changed so far."""

    rows: int = 0
    sum_s: float = 0.0
    largest_s: float = 0.0
    first_ns: int = 0
    last_ns: int = 0

    def count(self, at_ns: int, old: Mapping[str, FieldValue], new: Mapping[str, FieldValue]) -> None:
        """Take in one row that has changed."""
        self.first_ns = min(self.first_ns or at_ns, at_ns)
        self.last_ns = max(self.last_ns, at_ns)
        self.rows += 1
        before, now = old.get("utc_minus_x_s"), new.get("utc_minus_x_s")
        if isinstance(before, float) and isinstance(now, float):
            self.sum_s += now - before
            if abs(now - before) > abs(self.largest_s):
                self.largest_s = now - before


class UtcService:
    """`book` is what the pipeline asks. `append` puts rows into the spool, `waiting` tells how many are there; `report` hears."""

    def __init__(
        self,
        settings: ProbeSettings,
        append: Callable[[Sequence[Record]], object],
        waiting: Callable[[], int],
        report: Callable[[Event], object],
        *,
        clock_ns: Callable[[], int],
    ) -> None:
        self.book = UtcBook()
        self._append = append
        self._waiting = waiting
        self._report = report
        self._clock_ns = clock_ns
        self._directory: Path = settings.spool.directory
        self._seen: tuple[int, int] | None = None
        self._next_fetch_s = float("-inf")
        self._told = ""
        self._loaded = 0
        self.configure(settings)

    @property
    def _path(self) -> Path:
        return self._directory / FILE

    def configure(self, settings: ProbeSettings) -> None:
        """Take new settings: other laboratories, another address."""
        ties = [target.tie for target in settings.targets if target.tie is not None]
        if settings.local_reference is not None:
            ties.append(settings.local_reference.tie)
        self.labs = sorted({laboratory(tie.realises) for tie in ties})
        self.settings = settings.utc
        self._next_fetch_s = float("-inf")
        self._seen = None

    def load(self) -> bool:
        """Read what is published, if there is more than before; whether there was. Never raises: what cannot be read is told."""
        try:
            state = self._path.stat()
        except OSError:
            return False
        seen = (state.st_mtime_ns, state.st_size)
        if seen == self._seen:
            return False
        try:
            with PublishedStore(self._path, read_only=True) as store:
                revision = store.revision()
                self.book.replace({lab: store.table(lab) for lab in self.labs})
        except StoreError as error:
            self._tell("utc_unreadable", Severity.WARNING, str(error))
            return False
        self._seen = seen
        more, self._loaded = revision != self._loaded, revision
        return more

    async def run(self) -> None:
        """For ever: look, fetch, compute again."""
        while True:
            await self.turn()
            await asyncio.sleep(LOOK_EVERY_S)

    async def turn(self) -> None:
        """One look."""
        if (self.settings.api_url or self.settings.circular_t_url) and time.monotonic() >= self._next_fetch_s:
            self._next_fetch_s = time.monotonic() + self.settings.every_s
            await self._fetch()
        self.load()
        if self._loaded and self._loaded != self._applied():
            await asyncio.sleep(SETTLE_S)
            await self._revise()

    async def _fetch(self) -> None:
        from timesync.utc_fetch import fetch_all  # noqa: PLC0415 - most sites import files, or nothing

        try:
            taken, troubles = await fetch_all(self.settings, self._path, self.labs, self._clock_ns())
        except StoreError as error:
            taken, troubles = [], [str(error)]
        for each in taken:
            self._report(_taken_event(each, self._clock_ns()))
        if troubles:
            self._tell("utc_fetch_failed", Severity.WARNING, "; ".join(troubles))
        else:
            self._told = ""

    def _tell(self, kind: str, severity: Severity, text: str) -> None:
        """Once, until it is another text."""
        if text != self._told:
            self._told = text
            self._report(Event(kind, self._clock_ns(), severity, text))

    # --- what is on record -------------------------------------------------------------------------------------------

    def _applied(self) -> int:
        """The revision by which everything on record has been computed."""
        try:
            return int((self._directory / APPLIED).read_text())
        except (OSError, ValueError):
            return 0

    def _write_applied(self, revision: int) -> None:
        path = self._directory / APPLIED
        new = path.with_suffix(".new")
        new.write_text(f"{revision}\n")
        new.replace(path)

    async def _revise(self) -> None:
        """Compute again what the newest publications touch, and remember that it has been done."""
        revision, begun = self._loaded, self._applied()
        history = self._directory / HISTORY_FILE
        try:
            spans = await asyncio.to_thread(self._spans, begun, revision)
            for lab, start_ns in spans.items():
                if history.exists():
                    await self._revise_lab(lab, start_ns, history)
            await asyncio.to_thread(self._write_applied, revision)
        except (StoreError, OSError) as error:
            text = f"what is on record was not computed again: {error}; it is tried again"
            self._tell("utc_not_revised", Severity.WARNING, text)

    def _spans(self, begun: int, revision: int) -> dict[str, int]:
        """Each laboratory whose values have changed, and from which instant on."""
        spans = {}
        with PublishedStore(self._path, read_only=True) as store:
            for lab in self.labs:
                before, now = (UtcTable(lab, store.values(lab, up_to=number)) for number in (begun, revision))
                start_ns = first_difference(before, now)
                if start_ns is not None:
                    spans[lab] = start_ns
        return spans

    async def _revise_lab(self, lab: str, start_ns: int, history: Path) -> None:
        """Rows from an instant on, up to now; those that change go into the spool."""
        found = Revision()
        end_ns = self._clock_ns()
        rows = _changed_rows(history, lab, self.book, start_ns, end_ns, found)
        try:
            while batch := await asyncio.to_thread(_some, rows, BATCH):
                while self._waiting() > SPOOL_ROOM:  # noqa: ASYNC110 - the sinks tell nobody how far they are
                    await asyncio.sleep(0.5)
                self._append(batch)
        finally:
            await asyncio.to_thread(rows.close)
        if found.rows:
            self._report(_revised_event(lab, found, self.book, self._clock_ns()))


def _some(rows: Iterator[Record], count: int) -> list[Record]:
    """The next rows, at most so many."""
    some: list[Record] = []
    for row in rows:
        some.append(row)
        if len(some) == count:
            break
    return some


def _changed_rows(
    history: Path, lab: str, book: UtcBook, start_ns: int, end_ns: int, found: Revision
) -> Generator[Record, None, None]:
    """The rows of a span whose UTC - X is another now, whole, target by target; reads as it goes, with pauses."""
    source = History(history, read_only=True)
    realises = realisation(lab)
    try:
        for target in source.targets():
            for selection in _pieces(source, target, start_ns, end_ns):
                for index, record in enumerate(source.records(selection), start=1):
                    if index % GULP == 0:
                        time.sleep(PAUSE_S)  # the event loop has the interpreter meanwhile
                    if record.fields.get("realises") != realises:
                        continue
                    new = revised(record.fields, book.at(realises, record.at_ns))
                    if new is not None:
                        found.count(record.at_ns, record.fields, new)
                        yield record._replace(fields=new)
    finally:
        source.close()


def _pieces(source: History, target: str, start_ns: int, end_ns: int) -> Iterator[Selection]:
    """The span in hours: a question that stays open long would keep the history's log from being taken in."""
    span = source.span(target)
    if span is not None:
        last_ns = min(end_ns, span[1] + 1)
        for begin_ns in range(max(start_ns, span[0]), last_ns, PIECE_NS):
            yield Selection(target=target, start_ns=begin_ns, end_ns=min(begin_ns + PIECE_NS, last_ns))


def _taken_event(taken: Imported, now_ns: int) -> Event:
    issue = taken.issue
    text = f"{issue.name} was fetched: {issue.labs} laboratories, MJD {issue.first_mjd} to {issue.last_mjd}"
    severity = Severity.INFO
    if taken.rejected:
        text += f"; {len(taken.rejected)} rows could not be taken, the first in line {taken.rejected[0].line}"
        severity = Severity.WARNING
    evidence: dict[str, FieldValue] = {"issue": issue.name, "sha256": issue.sha256, "source": issue.source}
    return Event("utc_published", now_ns, severity, text, None, evidence)


def _revised_event(lab: str, found: Revision, book: UtcBook, now_ns: int) -> Event:
    mean_s = found.sum_s / found.rows
    newest = book.at(f"UTC({lab})", found.first_ns)
    span = f"{format_utc(found.first_ns)[:19]} to {format_utc(found.last_ns)[:19]}"
    text = (
        f"UTC - X against UTC({lab}) was computed again from {span}: "
        f"{found.rows} rows, on the mean {mean_s * 1e9:+.1f} ns, at most {found.largest_s * 1e9:+.1f} ns; it begins {newest.label}"
    )
    evidence: dict[str, FieldValue] = {
        "realises": f"UTC({lab})",
        "rows": found.rows,
        "mean_change_s": mean_s,
        "largest_change_s": found.largest_s,
        "span_start_ns": found.first_ns,
        "span_end_ns": found.last_ns,
        "issue": newest.issue,
    }
    if newest.label is Label.UNAVAILABLE:
        del evidence["issue"]
    return Event("utc_revised", now_ns, Severity.INFO, text, None, evidence)
