"""The spool keeps what it took, gives it to every sink, and says what it could not keep."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

import pytest

from timesync.errors import StoreError
from timesync.model import Record
from timesync.settings import SpoolSettings
from timesync.store.lanes import Lane
from timesync.store.segment import remove
from timesync.store.sink import Refusal
from timesync.store.spool import Spool, SpoolOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def record(number: int, text: str = "") -> Record:
    return Record("time_error", number, {"target": "a"}, {"number": number, "text": text})


def numbers(spool: Spool, sink: str, lane: Lane = Lane.LIVE, limit: int = 1000) -> list[int]:
    """What the sink is given next from a lane; settled."""
    batch = spool.read(sink, lane, limit)
    if batch is None:
        return []
    spool.settle(batch)
    return [int(each.fields["number"]) for each in batch.records]


def everything(spool: Spool, sink: str, limit: int = 1000) -> list[int]:
    got: list[int] = []
    for lane in (Lane.BACKLOG, Lane.LIVE):
        while spool.read(sink, lane, limit):
            got.extend(numbers(spool, sink, lane, limit))
    return got


@pytest.fixture
def clock() -> Iterator[int]:
    return count(1_700_000_000_000_000_000)


class Home:
    """A directory in which a spool is opened again and again."""

    def __init__(self, directory: Path, clock: Iterator[int]) -> None:
        self.directory = directory
        self.clock = clock
        self.open_spools: list[Spool] = []

    def open(
        self, *sinks: str, max_bytes: int = 2_000_000_000, when_full: str = "drop_oldest", **options: int
    ) -> Spool:
        settings = SpoolSettings(self.directory, max_bytes, when_full)
        spool = Spool(settings, sinks or ("one",), lambda: next(self.clock), SpoolOptions(**options))
        self.open_spools.append(spool)
        return spool

    def close(self) -> None:
        for spool in self.open_spools:
            spool.close()


@pytest.fixture
def home(tmp_path: Path, clock: Iterator[int]) -> Iterator[Home]:
    made = Home(tmp_path / "spool", clock)
    yield made
    made.close()


def test_records_come_out_in_order_and_equal(home: Home) -> None:
    spool = home.open()
    sent = [record(number, 'µs "quoted" null') for number in range(10)]
    assert spool.append(sent[:4])
    assert spool.append(sent[4:])
    batch = spool.read("one", Lane.LIVE, 100)
    assert batch is not None
    assert list(batch.records) == sent


def test_unsettled_batch_is_given_again(home: Home) -> None:
    spool = home.open()
    spool.append([record(1)])
    assert spool.read("one", Lane.LIVE, 10) == spool.read("one", Lane.LIVE, 10)


def test_each_sink_has_its_own_position_across_a_restart(home: Home) -> None:
    spool = home.open("one", "two")
    spool.append([record(number) for number in range(10)])
    assert numbers(spool, "one", limit=4) == [0, 1, 2, 3]
    spool.close()
    spool = home.open("one", "two")
    spool.append([record(10)])
    assert everything(spool, "one") == list(range(4, 11))
    assert everything(spool, "two") == list(range(11))


def test_new_sink_begins_at_the_present(home: Home) -> None:
    spool = home.open("one")
    spool.append([record(1)])
    spool.set_sinks(["one", "late"])
    spool.append([record(2)])
    assert numbers(spool, "late") == [2]
    assert numbers(spool, "one") == [1, 2]


def test_removed_sink_is_forgotten_and_told(home: Home) -> None:
    spool = home.open("one", "gone")
    spool.append([record(1), record(2)])
    spool.close()
    spool = home.open("one")
    (event,) = spool.take_events()
    assert event.kind == "sink_forgotten"
    assert event.evidence == {"sink": "gone", "undelivered": 2}
    assert set(spool.status().sinks) == {"one"}


def test_live_lane_overtakes_a_long_backlog_and_both_arrive_whole(home: Home) -> None:
    spool = home.open(far_behind=0)
    spool.append([record(number) for number in range(100)])
    assert numbers(spool, "one", Lane.LIVE, 10) == list(range(90, 100))  # more than four batches behind
    spool.append([record(100)])
    assert numbers(spool, "one", Lane.LIVE, 10) == [100]
    assert numbers(spool, "one", Lane.BACKLOG, 10) == list(range(10))
    assert spool.status().sinks["one"].backlog == 80
    assert everything(spool, "one")[:80] == list(range(10, 90))


def test_backlog_survives_a_restart(home: Home) -> None:
    spool = home.open(far_behind=0)
    spool.append([record(number) for number in range(100)])
    assert numbers(spool, "one", Lane.LIVE, 10) == list(range(90, 100))
    spool.close()
    spool = home.open(far_behind=0)
    assert spool.status().sinks["one"].backlog == 90
    assert everything(spool, "one")[:90] == list(range(90))


def test_delivered_files_are_removed(home: Home) -> None:
    spool = home.open(max_bytes=4_000_000)
    for number in range(300):
        spool.append([record(number, "x" * 1000)])
        spool.maintain()
    assert len(list(home.directory.glob("segment-*.sqlite3"))) > 3
    assert everything(spool, "one") == list(range(300))
    assert len(list(home.directory.glob("segment-*.sqlite3"))) <= 2  # the newest, and the next one made ready


def begin_the_second_file(spool: Spool) -> int:
    """Append until a file is left; how many records there are then."""
    number = 0
    while len(segments(spool)) < 2:
        spool.append([record(number + each, "x" * 2000) for each in range(10)])
        number += 10
    return number


def segments(spool: Spool) -> list[Path]:
    """The files in use, without the one that is kept ready."""
    return [segment.path for segment in spool._shelf._segments]


def log_bytes(segment: Path) -> int:
    log = segment.with_name(f"{segment.name}-wal")
    return log.stat().st_size if log.exists() else 0


def test_file_that_is_delivered_in_time_is_not_written_a_second_time(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[tuple[int, int]] = []

    def watch(path: Path) -> None:
        """SQLite writes a log into its database when the last one to use it lets go."""
        if path.exists():
            gone.append((os.open(path, os.O_RDONLY), os.open(f"{path}-wal", os.O_RDONLY)))
        remove(path)

    spool = home.open(max_bytes=1_000_000)
    with monkeypatch.context() as patched:
        patched.setattr("timesync.store.segment.remove", watch)
        begin_the_second_file(spool)
        everything(spool, "one")
        spool.maintain()
    assert len(segments(spool)) == 1
    ((database, log),) = gone
    assert os.fstat(log).st_size > 250_000
    assert os.fstat(database).st_size < 20_000
    os.close(log)
    os.close(database)


def test_file_that_waits_for_its_sink_is_sealed_after_a_while(home: Home) -> None:
    spool = home.open(max_bytes=1_000_000)
    total = begin_the_second_file(spool)
    first = segments(spool)[0]
    spool.maintain()
    assert log_bytes(first)
    before = spool.status().bytes
    for _ in range(10):
        spool.maintain()
    assert not log_bytes(first)
    assert spool.status().bytes < before
    assert everything(spool, "one") == list(range(total))


def test_with_more_files_waiting_they_are_sealed_at_once(home: Home) -> None:
    spool = home.open(max_bytes=1_000_000)
    begin_the_second_file(spool)
    first = segments(spool)[0]
    spool.maintain()
    while len(segments(spool)) < 3:
        spool.append([record(number, "x" * 2000) for number in range(10)])
    spool.maintain()
    assert not log_bytes(first)


def test_second_process_is_turned_away(home: Home) -> None:
    home.open()
    with pytest.raises(StoreError, match="another process uses the spool"):
        home.open()


def test_status_counts_depth_bytes_and_age(home: Home) -> None:
    spool = home.open("one", "two")
    spool.append([record(7), record(8)])
    spool.maintain()
    status = spool.status()
    assert (status.depth, status.oldest_at_ns, status.buffered, status.dropped) == (2, 7, 0, 0)
    assert status.bytes > 0
    everything(spool, "one")
    assert spool.status().depth == 2
    everything(spool, "two")
    assert (spool.status().depth, spool.status().oldest_at_ns) == (0, None)


def test_refused_records_are_kept_with_their_reason_and_counted_across_a_restart(home: Home) -> None:
    spool = home.open()
    spool.append([record(1), record(2)])
    batch = spool.read("one", Lane.LIVE, 10)
    assert batch is not None
    spool.settle(batch, [Refusal(batch.records[1], "field type conflict")])
    spool.close()
    spool = home.open()
    (refused,) = spool.refused()
    assert (refused.sink, refused.reason) == ("one", "field type conflict")
    assert spool.status().sinks["one"].refused == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**70, "\ud800"])
def test_value_that_cannot_be_written_down_is_refused_by_name_and_not_turned_into_null(
    home: Home, value: float | str
) -> None:
    spool = home.open()
    bad = Record("time_error", 1, {"target": "a"}, {"offset_s": value})
    assert spool.append([bad, record(2)])
    assert numbers(spool, "one") == [2]
    (refused,) = spool.refused()
    assert refused.sink == "spool"
    assert spool.status().refused == 1


def test_later_record_of_a_row_is_written_last_though_it_overtook_the_earlier_one(home: Home) -> None:
    spool = home.open()
    spool.append([record(number) for number in range(89)])
    spool.append([Record("time_error", 99, {"target": "a"}, {"number": 99, "no_claim": "reference_stale"})])
    spool.append([Record("time_error", 99, {"target": "a"}, {"number": 99, "time_error_s": 1e-6})])
    spool.append([record(number) for number in range(100, 109)])
    rows: dict[int, Record] = {}
    for lane in (Lane.LIVE, Lane.BACKLOG):
        while (batch := spool.read("one", lane, 10)) is not None:
            rows.update({each.at_ns: each for each in batch.records})
            spool.settle(batch)
    assert rows[99].fields == {"number": 99, "time_error_s": 1e-6}
