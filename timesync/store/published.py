"""What the BIPM has published, kept with where it came from: each issue once, by its content, with its number, SHA-256 and source.

Rule: nothing that was taken in is ever changed; a later issue stands beside the earlier, and counts. What comes twice is told and
kept once. The text itself is kept too, so that every value can be shown to an auditor as it was printed. Several processes may
use the file: a command imports while the daemon runs, which sees by `revision` that there is more.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from timesync.errors import DataError, StoreError
from timesync.reference.bipm_api import parse_reply
from timesync.reference.circular_t import UTCR, issue_of_mjd, parse_bulletin
from timesync.reference.published import Published, UtcTable
from timesync.store.segment import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from timesync.reference.bipm_api import ApiSeries
    from timesync.reference.circular_t import Bulletin, RejectedRow

__all__ = ["FILE", "Imported", "Issue", "PublishedStore"]

FILE = "published.sqlite3"
LAYOUT = 1
API = "bipm_api"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS issue (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, number INTEGER, name TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE, source TEXT NOT NULL, imported_ns INTEGER NOT NULL, labs INTEGER NOT NULL,
    first_mjd INTEGER NOT NULL, last_mjd INTEGER NOT NULL, text BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS value (lab TEXT NOT NULL, rapid INTEGER NOT NULL, mjd INTEGER NOT NULL, issue INTEGER NOT NULL,
    value_ns REAL NOT NULL, u_a_ns REAL, u_b_ns REAL, u_ns REAL, PRIMARY KEY (lab, rapid, mjd, issue)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (url TEXT PRIMARY KEY, etag TEXT, last_modified TEXT, fetched_ns INTEGER NOT NULL);
"""
# A bulletin's own text before what the API says of it; of two alike the higher number, then the later import.
_VALUES = """
SELECT value.mjd, value.value_ns, value.u_ns, value.rapid, issue.name, issue.kind FROM value JOIN issue ON issue.id = value.issue
WHERE value.lab = ? AND issue.id <= ? ORDER BY issue.kind != 'bipm_api', coalesce(issue.number, 0), issue.id
"""
_Row = tuple[str, int, int, float, float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue as it is kept. `number` is None of a reply of the web API; instants are Unix ns."""

    name: str
    kind: str
    number: int | None
    sha256: str
    source: str
    imported_ns: int
    labs: int
    first_mjd: int
    last_mjd: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: its issue, whether it was new, and the rows that could not be taken."""

    issue: Issue
    new: bool
    rejected: Sequence[RejectedRow] = ()


class PublishedStore:
    """The file; one thread at a time. A context manager. Raises StoreError where SQLite fails."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.exists():
            raise StoreError(f"nothing published is kept at {path}; import an issue: timesync circular-t import FILE")
        if not read_only:
            try:
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                make_private(path)
            except OSError as error:
                raise StoreError(f"{path} cannot be made: {error.strerror}; name another --directory") from error
        name = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
        try:
            self._connection = sqlite3.connect(
                name, uri=True, isolation_level=None, check_same_thread=False, timeout=10
            )
            (layout,) = self._connection.execute("PRAGMA user_version").fetchone()
            if not read_only and layout == 0:
                self._connection.executescript(f"{_SCHEMA}PRAGMA user_version={LAYOUT};")
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be used: {error}; check the disk and its rights") from error
        if layout not in (0, LAYOUT):
            self._connection.close()
            raise StoreError(
                f"{path} has layout {layout}, and this version knows {LAYOUT}: use the version that made it"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    # --- taking in ---------------------------------------------------------------------------------------------------

    def add_bulletin(self, data: bytes, source: str, now_ns: int) -> Imported:
        """Take in a Circular T or a UTCr bulletin. Raises DataError where it is neither."""
        bulletin = parse_bulletin(data.decode("latin-1"), source)
        mjds = bulletin.mjds
        head = (bulletin.kind, bulletin.number, bulletin.name)
        rows = list(_bulletin_rows(bulletin))
        return self._add(head, data, source, now_ns, (mjds[0], mjds[-1]), rows, bulletin.rejected)

    def add_reply(self, data: bytes, source: str, now_ns: int) -> Imported | None:
        """Take in a reply of the BIPM web API; None where it has no value. Raises DataError where it is none."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{source}: it is no JSON ({error}); look at what answers at the configured address"
            ) from error
        series = parse_reply(document, source)
        rows = [row for each in series for row in _series_rows(each)]
        if not rows:
            return None
        mjds = [row[2] for row in rows]
        return self._add((API, None, "BIPM web API"), data, source, now_ns, (min(mjds), max(mjds)), rows, ())

    def _add(
        self,
        head: tuple[str, int | None, str],
        data: bytes,
        source: str,
        now_ns: int,
        span: tuple[int, int],
        rows: Sequence[_Row],
        rejected: Sequence[RejectedRow],
    ) -> Imported:
        digest = hashlib.sha256(data).hexdigest()
        labs = len({row[0] for row in rows})
        issue = Issue(head[2], head[0], head[1], digest, source, now_ns, labs, *span)
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                there = next((each for each in self.issues() if each.sha256 == digest), None)
                if there is None:
                    values = (*head, digest, source, now_ns, labs, *span, zlib.compress(data, 9))
                    number = execute(
                        "INSERT INTO issue (kind, number, name, sha256, source, imported_ns, labs, first_mjd, last_mjd, text) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        values,
                    ).lastrowid
                    self._connection.executemany(
                        "INSERT OR REPLACE INTO value (lab, rapid, mjd, value_ns, u_a_ns, u_b_ns, u_ns, issue) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        [(*row, number) for row in rows],
                    )
            finally:
                execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be written: {error}; check the disk and its rights") from error
        return Imported(there or issue, there is None, rejected)

    def remember_answer(self, url: str, etag: str | None, last_modified: str | None, now_ns: int) -> None:
        """What a server said of the version that was just fetched, for the next, conditional request."""
        sql = "INSERT OR REPLACE INTO answer (url, etag, last_modified, fetched_ns) VALUES (?, ?, ?, ?)"
        try:
            self._connection.execute(sql, (url, etag, last_modified, now_ns))
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be written: {error}; check the disk and its rights") from error

    def answer(self, url: str) -> tuple[str | None, str | None]:
        """The ETag and Last-Modified that came with what was fetched from there, None where there is none."""
        rows = list(self._ask("SELECT etag, last_modified FROM answer WHERE url = ?", (url,)))
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    # --- giving out --------------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """A number that grows whenever an issue is taken in."""
        ((number,),) = self._ask("SELECT coalesce(max(id), 0) FROM issue", ())
        return int(number)

    def issues(self) -> list[Issue]:
        """All that is kept, oldest dates first."""
        sql = (
            "SELECT name, kind, number, sha256, source, imported_ns, labs, first_mjd, last_mjd FROM issue "
            "ORDER BY last_mjd, kind, id"
        )
        return [Issue(*row) for row in self._ask(sql, ())]

    def text(self, sha256: str) -> bytes | None:
        """The text of an issue as it came in; None where it is not kept."""
        rows = list(self._ask("SELECT text FROM issue WHERE sha256 = ?", (sha256,)))
        return zlib.decompress(rows[0][0]) if rows else None

    def labs(self) -> list[str]:
        """The laboratories of which something is published, sorted."""
        return [lab for (lab,) in self._ask("SELECT DISTINCT lab FROM value ORDER BY lab", ())]

    def values(self, lab: str, up_to: int | None = None) -> list[Published]:
        """All values of a laboratory, those that count last; as they were at an earlier revision, if one is given."""
        found = []
        for mjd, value_ns, u_ns, rapid, name, kind in self._ask(_VALUES, (lab, 2**62 if up_to is None else up_to)):
            u_s = None if u_ns is None else u_ns * 1e-9
            found.append(Published(mjd, value_ns * 1e-9, u_s, bool(rapid), _cited(name, kind, mjd, rapid=bool(rapid))))
        return found

    def table(self, lab: str) -> UtcTable:
        """UTC - UTC(k) of a laboratory at any instant."""
        return UtcTable(lab, self.values(lab))

    def _ask(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error


def _cited(name: str, kind: str, mjd: int, *, rapid: bool) -> str:
    """The issue as it is cited beside a value: a final value of the API is that of its month's Circular T."""
    if kind != API:
        return name
    return "UTCr (BIPM web API)" if rapid else f"Circular T {issue_of_mjd(mjd)} (BIPM web API)"


def _bulletin_rows(bulletin: Bulletin) -> Iterator[_Row]:
    for row in bulletin.rows:
        for mjd, value_ns in zip(row.mjds, row.values_ns, strict=True):
            if value_ns is not None:
                yield row.lab, int(bulletin.kind == UTCR), mjd, value_ns, row.u_a_ns, row.u_b_ns, row.u_ns


def _series_rows(series: ApiSeries) -> Iterator[_Row]:
    for mjd, value_ns, u_ns in zip(series.mjds, series.values_ns, series.u_ns, strict=True):
        if value_ns is not None:
            yield series.lab, int(series.rapid), mjd, value_ns, None, None, u_ns
