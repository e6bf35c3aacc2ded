"""The embedded history keeps every field, replaces what is written again, answers by target and span, and forgets by age."""

from __future__ import annotations

import csv
import io
import json
import math
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from timesync.errors import DataError, StoreError
from timesync.model import Event, FieldValue, Record
from timesync.store.export import export_history, utc_text
from timesync.store.local import History, HistorySink, Selection
from timesync.store.sink import SinkUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_NS = 86_400 * 10**9
BASE_NS = 1_700_000_000_123_456_789


def time_error(number: int, target: str = "a", reference: str | None = "utc", **fields: FieldValue) -> Record:
    tags = {"site": "nim", "probe": "p", "target": target, "protocol": "ntp"}
    if reference is not None:
        tags["reference"] = reference
    return Record("time_error", BASE_NS + number * 10**9, tags, fields or {"offset_s": number * 1e-9, "stratum": 1})


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "history.sqlite3", read_only=False)
    yield made
    made.close()


def test_every_field_and_tag_comes_back_with_its_type(history: History) -> None:
    fields: dict[str, FieldValue] = {
        "offset_s": -1.5e-7,
        "t1_ns": 2**63 - 1,
        "mode": "basic",
        "ok": True,
        "zero": 0.0,
        "whole": 3.0,
        "reason": "µ\n",
    }
    sent = time_error(1, **fields)
    history.write([sent])
    (back,) = history.records(Selection())
    assert back == sent
    assert {name: type(value) for name, value in back.fields.items()} == {
        name: type(value) for name, value in fields.items()
    }


def test_record_written_again_replaces_the_earlier_one_whole(history: History) -> None:
    history.write([time_error(1, no_claim="reference_stale", offset_s=1.0)])
    history.write([time_error(1, offset_s=1.0, time_error_s=2.0)])
    (back,) = history.records(Selection())
    assert back.fields == {"offset_s": 1.0, "time_error_s": 2.0}
    assert history.columns(Selection(), ["time_error_s"]).values["time_error_s"].tolist() == [2.0]


def test_records_come_in_time_order_across_series(history: History) -> None:
    history.write([time_error(3), time_error(1, reference=None), time_error(2, reference="other")])
    assert [each.at_ns - BASE_NS for each in history.records(Selection(target="a"))] == [10**9, 2 * 10**9, 3 * 10**9]


def test_span_takes_its_start_and_leaves_its_end(history: History) -> None:
    history.write([time_error(number) for number in range(10)])
    chosen = Selection(start_ns=BASE_NS + 3 * 10**9, end_ns=BASE_NS + 5 * 10**9)
    assert [each.at_ns for each in history.records(chosen)] == [BASE_NS + 3 * 10**9, BASE_NS + 4 * 10**9]


def test_targets_measurements_and_the_latest_of_each(history: History) -> None:
    history.write([time_error(1, "b"), time_error(2, "a"), time_error(5, "a", reference=None), time_error(4, "a")])
    history.write([Record("event", BASE_NS, {"site": "nim"}, {"kind": "clock_step"})])
    assert history.targets() == ["a", "b"]
    assert history.measurements() == ["event", "time_error"]
    assert {name: each.at_ns - BASE_NS for name, each in history.latest().items()} == {"a": 5 * 10**9, "b": 10**9}


def test_column_has_only_what_is_there_and_no_nan_for_a_missed_poll(history: History) -> None:
    history.write(
        [time_error(1, offset_s=1.0, delay_s=0.5), time_error(2, reason="timeout"), time_error(3, offset_s=3.0)]
    )
    columns = history.columns(Selection(), ["offset_s"])
    assert columns.at_ns.dtype == np.int64
    assert (columns.at_ns - BASE_NS).tolist() == [10**9, 3 * 10**9]
    assert columns.values["offset_s"].tolist() == [1.0, 3.0]
    assert history.columns(Selection(), ["offset_s", "delay_s"]).values["delay_s"].tolist() == [0.5]


def test_columns_of_several_series_are_in_time_order(history: History) -> None:
    history.write([time_error(number, reference="x" if number % 2 else "y") for number in range(10)])
    columns = history.columns(Selection(target="a"), ["offset_s"])
    assert np.all(np.diff(columns.at_ns) > 0)
    assert columns.values["offset_s"].tolist() == [number * 1e-9 for number in range(10)]


def test_column_that_does_not_exist_is_named(history: History) -> None:
    with pytest.raises(DataError, match="'phase'; choose from time_error_s"):
        history.columns(Selection(), ["phase"])


def test_prune_takes_the_old_and_leaves_the_rest(history: History) -> None:
    history.write([time_error(number, target) for number in range(100) for target in "ab"])
    assert history.prune(BASE_NS + 60 * 10**9) == 120
    assert history.prune(BASE_NS + 60 * 10**9) == 0
    assert sum(1 for _ in history.records(Selection())) == 80
    assert len(history.columns(Selection(target="b"), ["offset_s"]).at_ns) == 40


def test_replaced_and_pruned_records_leave_nothing_behind(history: History) -> None:
    for claim in range(3):
        history.write([time_error(number, offset_s=float(claim)) for number in range(10)])
    history.prune(BASE_NS + 4 * 10**9)
    with sqlite3.connect(history.path) as connection:
        assert connection.execute("SELECT count(*) FROM detail").fetchone() == (6,)
    assert [each.fields for each in history.records(Selection())] == [{"offset_s": 2.0}] * 6
    history.write([time_error(20)])
    assert len(list(history.records(Selection()))) == 7


def test_a_file_of_the_layout_before_is_brought_up_to_date_by_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    made = History(path, read_only=False)
    made.write([time_error(1)])
    made.close()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE point DROP COLUMN time_error_u_s")
        connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(
        StoreError, match="has layout 2, and this version reads layout 3: start the probe with this version"
    ):
        History(path, read_only=True)
    again = History(path, read_only=False)
    again.write([time_error(2, time_error_s=1e-6, time_error_u_s=2e-9)])
    assert next(record.fields for record in again.records(Selection())) == time_error(1).fields
    assert again.columns(Selection(), ("time_error_u_s",)).values["time_error_u_s"].tolist() == [2e-9]
    again.close()


@pytest.mark.parametrize("read_only", [True, False])
def test_file_of_another_layout_is_refused_with_a_remedy_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "history.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE detail (series INTEGER)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match="has layout 0, and this version reads and writes layout 3: move the file away"
    ):
        History(path, read_only=read_only)
    assert path.read_bytes() == before


def test_another_connection_reads_while_this_one_writes(history: History) -> None:
    history.write([time_error(1)])
    reader = History(history.path, read_only=True)
    first = reader.records(Selection())
    history.write([time_error(2, surprise=1.0)])
    assert next(first).at_ns == BASE_NS + 10**9
    assert len(list(reader.records(Selection()))) == 2
    reader.close()


def test_history_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no history at"):
        History(tmp_path / "history.sqlite3", read_only=True)


def test_file_that_is_no_history_is_told_to_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreError, match="cannot be read"):
        History(path, read_only=True)


# --- as a sink -------------------------------------------------------------------------------------------------------


def kept(path: Path) -> list[Record]:
    reader = History(path, read_only=True)
    records = list(reader.records(Selection()))
    reader.close()
    return records


async def test_sink_forgets_what_is_older_than_its_retention(tmp_path: Path) -> None:
    now_ns = BASE_NS + 400 * DAY_NS
    sink = HistorySink(tmp_path / "h", 30.0, clock_ns=lambda: now_ns, report=lambda event: None)
    week = [
        Record("time_error", now_ns - hour * 3600 * 10**9, {"target": "a"}, {"offset_s": 1.0}) for hour in range(7 * 24)
    ]
    assert await sink.write([time_error(0), *week]) == []
    await sink.close()
    assert kept(tmp_path / "h") == week[::-1]


async def test_clock_two_years_ahead_for_one_write_deletes_nothing_and_is_told(tmp_path: Path) -> None:
    clock = {"now_ns": BASE_NS + 10 * DAY_NS, "steady_s": 0.0}
    events: list[Event] = []
    sink = HistorySink(
        tmp_path / "h",
        400.0,
        clock_ns=lambda: int(clock["now_ns"]),
        steady_s=lambda: clock["steady_s"],
        report=events.append,
    )
    measured = [time_error(172 * number) for number in range(5000)]
    await sink.write(measured)
    clock["now_ns"] += 730 * DAY_NS
    clock["steady_s"] += 3601.0
    astray = Record("time_error", int(clock["now_ns"]), {"target": "a"}, {"offset_s": 1.0})
    for _ in range(3):
        await sink.write([astray])
        clock["steady_s"] += 3601.0
    await sink.close()
    assert kept(tmp_path / "h") == [*measured, astray]
    assert [event.kind for event in events] == ["history_clock_doubted"]


async def test_clock_that_steps_back_does_not_stop_the_forgetting(tmp_path: Path) -> None:
    clock = {"now_ns": BASE_NS + 2 * 365 * DAY_NS, "steady_s": 0.0}
    sink = HistorySink(
        tmp_path / "h",
        1.0,
        clock_ns=lambda: int(clock["now_ns"]),
        steady_s=lambda: clock["steady_s"],
        report=lambda event: None,
    )
    await sink.write([])
    clock["now_ns"] = BASE_NS + 2 * DAY_NS
    clock["steady_s"] += 3601.0
    await sink.write([time_error(3600 * hour) for hour in range(49)])
    await sink.close()
    assert kept(tmp_path / "h")[0].at_ns == BASE_NS + DAY_NS


async def test_damaged_history_is_put_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    events: list[Event] = []
    path = tmp_path / "h"
    path.write_bytes(b"this is no database" * 1000)
    sink = HistorySink(path, None, clock_ns=lambda: 17, report=events.append)
    assert await sink.write([time_error(1)]) == []
    await sink.close()
    assert [event.kind for event in events] == ["history_quarantined"]
    assert (tmp_path / "h.corrupt-17").read_bytes().startswith(b"this is no database")
    reader = History(path, read_only=True)
    assert len(list(reader.records(Selection()))) == 1
    reader.close()


async def test_directory_that_is_missing_makes_the_batch_wait(tmp_path: Path) -> None:
    sink = HistorySink(tmp_path / "absent" / "h", None, clock_ns=lambda: 0, report=lambda event: None)
    with pytest.raises(SinkUnavailableError, match="cannot be written"):
        await sink.write([time_error(1)])
    await sink.close()


async def test_record_the_file_cannot_hold_is_refused_alone(tmp_path: Path) -> None:
    sink = HistorySink(tmp_path / "h", None, clock_ns=lambda: 0, report=lambda event: None)
    bad = Record("time_error", 2**63, {"target": "a"}, {"x": 1.0})
    (refusal,) = await sink.write([bad, time_error(1)])
    await sink.close()
    assert refusal.record == bad


# --- export ----------------------------------------------------------------------------------------------------------


def exported(history: History, form: str, selection: Selection) -> bytes:
    out = io.BytesIO()
    count = export_history(history.path, out, form, selection)
    assert count == len(list(history.records(selection)))
    return out.getvalue()


@pytest.fixture
def mixed(history: History) -> History:
    history.write(
        [
            time_error(1, offset_s=1e-9, stratum=1, mode='a "quoted", text\nof two lines', ok=True),
            time_error(2, reason="timeout"),
            time_error(3, offset_s=-0.1, stratum=2),
            time_error(3, "b", offset_s=0.5),
        ]
    )
    return history


def test_instant_is_written_to_the_nanosecond() -> None:
    assert utc_text(BASE_NS) == "2023-11-14T22:13:20.123456789Z"
    assert utc_text(-1) == "1969-12-31T23:59:59.999999999Z"


def test_csv_has_a_column_for_every_field_and_an_empty_cell_where_there_is_none(mixed: History) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(mixed, "csv", Selection(target="a")).decode(), newline="")))
    assert [row["offset_s"] for row in rows] == ["1e-09", "", "-0.1"]
    assert rows[0]["mode"] == 'a "quoted", text\nof two lines'
    assert rows[0]["ok"] == "true"
    assert rows[1]["reason"] == "timeout"
    assert rows[0]["at_ns"] == str(BASE_NS + 10**9)
    assert rows[0]["time_utc"] == "2023-11-14T22:13:21.123456789Z"
    assert rows[0]["target"] == "a"


def test_json_lines_hold_the_record(mixed: History) -> None:
    rows = [json.loads(line) for line in exported(mixed, "jsonl", Selection(target="a")).splitlines()]
    assert rows[1]["fields"] == {"reason": "timeout"}
    assert rows[0]["tags"]["reference"] == "utc"


def test_parquet_is_typed_and_exact(mixed: History, tmp_path: Path) -> None:
    typed = pq.read_table(io.BytesIO(exported(mixed, "parquet", Selection())))
    assert str(typed.schema.field("time_utc").type) == "timestamp[ns, tz=UTC]"
    assert typed["time_utc"].cast("int64").to_pylist() == typed["at_ns"].to_pylist()
    table = typed.drop(["time_utc"]).to_pydict()
    assert table["at_ns"] == [BASE_NS + number * 10**9 for number in (1, 2, 3, 3)]
    assert table["stratum"] == [1, None, 2, None]
    assert table["offset_s"][0] == 1e-9
    assert table["ok"] == [True, None, None, None]
    assert not any(isinstance(each, float) and math.isnan(each) for each in table["offset_s"])


def test_parquet_of_a_field_that_changed_its_type_keeps_every_value(history: History) -> None:
    history.write([time_error(1, a=1, b=1), time_error(2, a=2.5, b="two")])
    table = pq.read_table(io.BytesIO(exported(history, "parquet", Selection()))).drop(["time_utc"]).to_pydict()
    assert table["a"] == [1.0, 2.5]
    assert table["b"] == ["1", "two"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_empty_selection_is_an_empty_file_of_its_kind(mixed: History, form: str) -> None:
    exported(mixed, form, Selection(target="nobody"))


def test_unknown_format_names_the_known_ones(mixed: History) -> None:
    with pytest.raises(DataError, match="csv, jsonl, parquet"):
        export_history(mixed.path, io.BytesIO(), "xlsx", Selection())
