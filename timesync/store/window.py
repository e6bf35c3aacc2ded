"""A window of the history for people to look at: as many rows as a screen can show, and no peak hidden.

Rule: every row of an answer is one that was measured. Where there are more rows than asked for, the window is cut into equal parts,
and of each part those rows stay in which a value is least or greatest (min-max decimation): a spike of one sample in a million is
there. What was polled and what was missed is counted for each part. SQLite does the work and keeps no lock of the interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from timesync.model import FieldValue, Record
from timesync.store.local import COLUMNS, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.store.local import History

__all__ = ["MOST_PARTS", "Part", "Window", "newest", "newest_of_each", "window"]

MOST_PARTS = 2000
"""A window is cut into at most so many parts: more than any screen has columns."""

_EXTREMES = (
    "min(time_error_s)",
    "max(time_error_s)",
    "max(time_error_bound_s)",
    "min(delay_s)",
    "max(delay_s)",
)
# Without a claim there is only the offset from the probe's clock to judge a row by.
_UNCLAIMED = ("min(offset_s)", "max(offset_s)")
_NAMES = ", ".join(COLUMNS)
Row = tuple[int, float | None, float | None, float | None, float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Part:
    """What start_ns <= instant < end_ns holds: records, those with an offset, and those with a claim against UTC(k)."""

    start_ns: int
    end_ns: int
    records: int
    measured: int
    claimed: int


@dataclass(frozen=True, slots=True)
class Window:
    """Rows in time order: the instant (Unix ns) and the values of `COLUMNS`, None where absent.

    `thinned` tells whether `records` of the history were more than these; `parts` count them all, without the empty parts.
    """

    rows: Sequence[Row]
    parts: Sequence[Part]
    records: int
    thinned: bool


def window(history: History, selection: Selection, points: int) -> Window:
    """The window of a selection in about `points` columns; `selection` has a beginning and an end, Unix ns.

    Where it holds at most 4 times `points` rows they are all in the answer. Raises `StoreError`.
    """
    series = list(history.series_of(selection))
    parts = _parts(history, series, selection, max(1, min(points, MOST_PARTS)))
    records = sum(part.records for part in parts)
    if records <= 4 * points:
        rows = {row[0]: row for number in series for row in _all(history, number, selection)}
    else:
        rows = {row[0]: row for part in parts for row in _extremes(history, series, part)}
    return Window([rows[at_ns] for at_ns in sorted(rows)], parts, records, thinned=records > 4 * points)


def _parts(history: History, series: Sequence[int], selection: Selection, count: int) -> list[Part]:
    width_ns = max(1, -(-(selection.end_ns - selection.start_ns) // count))
    sql = (
        "SELECT count(*), count(offset_s), count(time_error_s) FROM point WHERE series = ? AND at_ns >= ? AND at_ns < ?"
    )
    found = []
    for start_ns in range(selection.start_ns, selection.end_ns, width_ns):
        end_ns = min(start_ns + width_ns, selection.end_ns)
        counts = [next(history.ask(sql, (number, start_ns, end_ns))) for number in series]
        records, measured, claimed = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
        if records:
            found.append(Part(start_ns, end_ns, records, measured, claimed))
    return found


def _all(history: History, series: int, selection: Selection) -> Sequence[Row]:
    sql = f"SELECT at_ns, {_NAMES} FROM point WHERE series = ? AND at_ns >= ? AND at_ns < ? AND offset_s IS NOT NULL"  # noqa: S608 - constants
    return list(history.ask(sql, (series, selection.start_ns, selection.end_ns)))


def _extremes(history: History, series: Sequence[int], part: Part) -> Sequence[Row]:
    """The rows in which a value is least or greatest: SQLite gives the other columns of the row that min() or max() chose."""
    asked = [(extreme, "") for extreme in _EXTREMES]
    if part.measured > part.claimed:
        asked += [(extreme, " AND time_error_s IS NULL") for extreme in _UNCLAIMED]
    rows = []
    for extreme, condition in asked:
        best: tuple[float, Row] | None = None
        for number in series:
            sql = (
                f"SELECT {extreme}, at_ns, {_NAMES} FROM point WHERE series = ? AND at_ns >= ? AND at_ns < ?{condition}"  # noqa: S608 - constants
            )
            value, *row = next(history.ask(sql, (number, part.start_ns, part.end_ns)))
            if value is None:
                continue
            sign = -1.0 if extreme.startswith("min") else 1.0
            if best is None or sign * value > best[0]:
                best = (sign * value, tuple(row))
        if best is not None:
            rows.append(best[1])
    return rows


def newest(history: History, selection: Selection, limit: int, tagged: Mapping[str, str] | None = None) -> list[Record]:
    """The newest records of a selection that carry the tags `tagged`, at most `limit`, newest first. Raises `StoreError`."""
    wanted = (tagged or {}).items()
    tags = {series: its for series, its in history.series_of(selection).items() if wanted <= its.items()}
    shapes = history.shapes()
    sql = (
        "SELECT at_ns, shape, fields FROM point JOIN detail ON detail.id = point.detail "
        "WHERE series = ? AND at_ns >= ? AND at_ns < ? ORDER BY at_ns DESC LIMIT ?"
    )
    found = []
    for series, its_tags in tags.items():
        for at_ns, shape, fields in history.ask(sql, (series, selection.start_ns, selection.end_ns, limit)):
            if shape not in shapes:  # another process has begun to write it since
                shapes = history.shapes()
            found.append(Record(selection.measurement, at_ns, its_tags, _named(shapes[shape], fields)))
    found.sort(key=lambda record: record.at_ns, reverse=True)
    return found[:limit]


def newest_of_each(history: History, selection: Selection) -> list[Record]:
    """The newest record of each series of a selection. Raises `StoreError`."""
    shapes = history.shapes()
    sql = (
        "SELECT at_ns, shape, fields FROM point JOIN detail ON detail.id = point.detail "
        "WHERE series = ? AND at_ns >= ? AND at_ns < ? ORDER BY at_ns DESC LIMIT 1"
    )
    found = []
    for series, tags in history.series_of(selection).items():
        for at_ns, shape, fields in history.ask(sql, (series, selection.start_ns, selection.end_ns)):
            if shape not in shapes:  # another process has begun to write it since
                shapes = history.shapes()
            found.append(Record(selection.measurement, at_ns, tags, _named(shapes[shape], fields)))
    return found


def _named(names: Sequence[str], values: bytes) -> Mapping[str, FieldValue]:
    return dict(zip((name[1:] for name in names), orjson.loads(values), strict=True))
