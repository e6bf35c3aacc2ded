"""The history as a file for other tools: CSV, JSON lines, or Parquet (with the extra `parquet`).

Rule: nothing is lost on the way. CSV and Parquet have one column for every tag and field that occurs in the selection and
leave a cell empty where a record has no such field; instants are given in ns, and as UTC text for people. Rows stream: the
size of a selection does not matter.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from timesync.errors import DataError
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from timesync.model import Record

__all__ = ["FORMATS", "export_history", "utc_text"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEADING = ("time_utc", "at_ns", "measurement")
_PARQUET_ROWS = 50_000


def utc_text(at_ns: int) -> str:
    """An instant as RFC 3339 text with nanoseconds, for example 2023-11-14T22:13:20.123456789Z."""
    seconds, ns = divmod(at_ns, 10**9)
    return f"{(_EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}.{ns:09d}Z"


def export_history(history: Path, out: BinaryIO, form: str, selection: Selection) -> int:
    """Write the selected records of a history file to `out` in one of `FORMATS`; returns how many.

    Raises `DataError` for an unknown format or a missing extra, `StoreError` if the history cannot be read.
    """
    write = FORMATS.get(form)
    if write is None:
        raise DataError(f"no export format {form!r}; choose from {', '.join(FORMATS)}")
    source = History(history, read_only=True)
    try:
        return write(source, out, selection)
    finally:
        source.close()


def _json_lines(source: History, out: BinaryIO, selection: Selection) -> int:
    count = 0
    for record in source.records(selection):
        row = {
            "time_utc": utc_text(record.at_ns),
            "at_ns": record.at_ns,
            "measurement": record.measurement,
            "tags": record.tags,
            "fields": record.fields,
        }
        out.write(orjson.dumps(row) + b"\n")
        count += 1
    return count


def _csv(source: History, out: BinaryIO, selection: Selection) -> int:
    tags, fields = _tag_names(source, selection), _field_kinds(source, selection)
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        writer.writerow([*_LEADING, *tags, *fields])
        count = 0
        for row in _rows(source, selection, tags, list(fields)):
            writer.writerow(["true" if each is True else "false" if each is False else each for each in row])
            count += 1
        return count
    finally:
        text.detach()  # `out` is the caller's to close


def _parquet(source: History, out: BinaryIO, selection: Selection) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DataError("Parquet needs pyarrow: pip install 'timesync[parquet]'") from error
    tags, fields = _tag_names(source, selection), _field_kinds(source, selection)
    kinds = {"f": pa.float64(), "i": pa.int64(), "b": pa.bool_(), "s": pa.string()}
    schema = pa.schema(
        [
            ("time_utc", pa.timestamp("ns", tz="UTC")),
            ("at_ns", pa.int64()),
            ("measurement", pa.string()),
            *((name, pa.string()) for name in tags),
            *((name, kinds[kind]) for name, kind in fields.items()),
        ]
    )
    count = 0
    rows = _rows(source, selection, tags, list(fields))
    cast: list[Callable[[Any], Any]] = [_CASTS[kind] for kind in fields.values()]
    first = len(_LEADING) + len(tags)
    with pq.ParquetWriter(out, schema) as writer:
        while chunk := list(islice(rows, _PARQUET_ROWS)):
            columns: list[Sequence[Any]] = [list(column) for column in zip(*chunk, strict=True)]
            columns[0] = columns[1]  # the same instant, typed as one
            for place, convert in enumerate(cast, start=first):
                columns[place] = [None if each is None else convert(each) for each in columns[place]]
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(chunk)
    return count


_CASTS: Mapping[str, Callable[[Any], Any]] = {"f": float, "i": int, "b": bool, "s": str}

FORMATS: Mapping[str, Callable[[History, BinaryIO, Selection], int]] = {
    "csv": _csv,
    "jsonl": _json_lines,
    "parquet": _parquet,
}
"""Each format by its name, with what writes it."""


def _tag_names(source: History, selection: Selection) -> list[str]:
    return sorted({name for tags in source.series_of(selection).values() for name in tags})


def _field_kinds(source: History, selection: Selection) -> dict[str, str]:
    """Every field name of the selection with one kind for its column; a tag's name is never also a field's."""
    kinds: dict[str, str] = {}
    for shape in source.shapes_of(selection):
        for each in shape:
            kind, name = each[0], each[1:]
            kinds[name] = _common(kinds.get(name, kind), kind)
    return kinds


def _common(one: str, other: str) -> str:
    """The kind that holds both: a float holds an integer, a text holds anything."""
    if one == other:
        return one
    return "f" if {one, other} == {"f", "i"} else "s"


def _rows(
    source: History, selection: Selection, tags: Sequence[str], fields: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    for record in source.records(selection):
        yield _row(record, tags, fields)


def _row(record: Record, tags: Sequence[str], fields: Sequence[str]) -> tuple[Any, ...]:
    return (
        utc_text(record.at_ns),
        record.at_ns,
        record.measurement,
        *map(record.tags.get, tags),
        *map(record.fields.get, fields),
    )
