"""Damage and want of room: the spool says what happened, keeps what it can, and goes on."""

from __future__ import annotations

import errno
import sqlite3
from itertools import count
from typing import TYPE_CHECKING

import pytest

from timesync.errors import StoreError
from timesync.model import Record
from timesync.settings import SpoolSettings
from timesync.store.lanes import Lane
from timesync.store.segment import SegmentWriter, create
from timesync.store.shelf import Shelf
from timesync.store.spool import Spool, SpoolOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def record(number: int, size: int = 0) -> Record:
    return Record("time_error", number, {"target": "a"}, {"number": number, "text": "x" * size})


def everything(spool: Spool) -> list[int]:
    got: list[int] = []
    for lane in (Lane.BACKLOG, Lane.LIVE):
        while (batch := spool.read("one", lane, 1000)) is not None:
            got += [int(each.fields["number"]) for each in batch.records]
            spool.settle(batch)
    return got


class Home:
    """Opens spools in one directory with a clock that counts; all are closed at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._clock = count(1000)
        self._opened: list[Spool] = []

    def open(self, max_bytes: int = 10**9, when_full: str = "drop_oldest", buffer_records: int = 50_000) -> Spool:
        settings = SpoolSettings(self.directory, max_bytes, when_full)
        options = SpoolOptions(buffer_records=buffer_records, recent_ids=0)  # what is read comes from the disk
        self._opened.append(Spool(settings, ["one"], lambda: next(self._clock), options))
        return self._opened[-1]

    def close(self) -> None:
        for spool in self._opened:
            spool.close()

    @property
    def newest(self) -> Path:
        """The segment that a stopped spool leaves last."""
        return max(self.directory.glob("segment-*.sqlite3"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "spool")
    yield made
    made.close()


def kinds(spool: Spool) -> list[str]:
    return [event.kind for event in spool.take_events()]


# --- damaged files ------------------------------------------------------------------------------------------------------


def test_header_overwritten_between_two_runs_is_quarantined_and_a_new_file_begun(home: Home) -> None:
    spool = home.open()
    spool.append([record(1)])
    spool.close()
    damaged = home.newest
    with damaged.open("r+b") as file:
        file.write(b"no database at all, not any more")
    spool = home.open()
    assert kinds(spool) == ["spool_quarantined"]
    (aside,) = home.directory.glob("*.corrupt-*")
    assert aside.name.startswith(damaged.name)
    assert spool.append([record(2)])
    assert everything(spool) == [2]


def test_rows_around_a_damaged_page_are_saved(home: Home) -> None:
    spool = home.open()
    spool.append([record(number, 500) for number in range(200)])
    spool.close()
    path = home.newest
    middle = path.stat().st_size // 2 // 4096 * 4096
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(b"\xff" * 4096)
    spool = home.open()
    (event,) = spool.take_events()
    assert event.kind == "spool_quarantined"
    assert event.evidence["saved"] == 200 - int(event.evidence["lost"])
    assert 1 <= int(event.evidence["lost"]) <= 10
    saved = everything(spool)
    assert len(saved) == event.evidence["saved"]
    assert saved == sorted(set(saved))
    assert {0, 199} <= set(saved)


def test_file_damaged_while_in_use_is_repaired_and_the_rest_is_delivered(home: Home) -> None:
    spool = home.open(max_bytes=8_000_000)
    for number in range(0, 400, 20):
        spool.append([record(each, 5000) for each in range(number, number + 20)])
        spool.maintain()
    victim = sorted(home.directory.glob("segment-*.sqlite3"))[1]
    with victim.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)  # the root of the table: nothing in this file can be read
    got = everything(spool)
    (event,) = spool.take_events()
    assert event.kind == "spool_quarantined"
    assert len(got) == 400 - int(event.evidence["lost"])
    assert got == sorted(set(got))
    assert (got[0], got[-1]) == (0, 399)
    assert spool.append([record(400)])
    assert everything(spool) == [400]


def test_flipped_bit_in_a_payload_is_found_by_its_checksum_and_told(home: Home) -> None:
    spool = home.open()
    spool.append([record(1), Record("m", 2, {"target": "a"}, {"text": "NEEDLE"}), record(3)])
    spool.close()
    path = home.newest
    data = path.read_bytes()
    path.write_bytes(data.replace(b"NEEDLE", b"NEEDLF"))
    spool = home.open()
    assert everything(spool) == [1, 3]
    (refused,) = spool.refused()
    assert "checksum" in refused.reason


def test_damaged_ledger_costs_no_record(home: Home) -> None:
    spool = home.open()
    spool.append([record(1)])
    spool.close()
    for path in home.directory.glob("ledger.sqlite3*"):
        path.write_bytes(b"garbage" * 1000)
    spool = home.open()
    assert "spool_quarantined" in kinds(spool)
    assert everything(spool) == [1]


def test_positions_beyond_what_a_power_cut_left_do_not_hide_new_records(home: Home) -> None:
    """The ledger may have reached the disk when the last records of a file did not."""
    spool = home.open()
    spool.append([record(1)])
    spool.close()
    before = home.newest.read_bytes()
    spool = home.open()
    spool.append([record(2), record(3)])
    assert everything(spool) == [1, 2, 3]
    spool.close()
    home.newest.write_bytes(before)
    spool = home.open()
    spool.append([record(4)])
    assert everything(spool) == [4]


# --- a disk that refuses ---------------------------------------------------------------------------------------------------


class Disk:
    """Makes appending fail with a given error while `error` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        real = SegmentWriter.append

        def append(writer: SegmentWriter, payloads: list[bytes]) -> int:
            if self.error is not None:
                raise self.error
            return real(writer, payloads)

        monkeypatch.setattr(SegmentWriter, "append", append)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("database or disk is full"), OSError(errno.EIO, "Input/output error")]
)
def test_records_wait_in_memory_while_the_disk_refuses_and_keep_their_order(
    home: Home, disk: Disk, error: Exception
) -> None:
    spool = home.open()
    spool.append([record(0)])
    disk.error = error
    assert not spool.append([record(1)])
    assert not spool.append([record(2)])
    assert (spool.status().buffered, spool.status().failing) == (2, str(error))
    assert kinds(spool) == ["spool_append_failed"]  # told once, not for every record
    disk.error = None
    assert spool.retry()
    assert kinds(spool) == ["spool_recovered"]
    assert (spool.status().buffered, spool.status().failing) == (0, None)
    assert everything(spool) == [0, 1, 2]


def test_appending_itself_finds_out_that_the_disk_is_well_again(home: Home, disk: Disk) -> None:
    spool = home.open()
    disk.error = sqlite3.OperationalError("database or disk is full")
    spool.append([record(0)])
    disk.error = None
    outcomes = [spool.append([record(number)]) for number in range(1, 40)]
    assert outcomes[-1]
    assert everything(spool) == list(range(40))


def test_long_queue_in_memory_is_written_in_several_goes(home: Home, disk: Disk) -> None:
    spool = home.open()
    disk.error = sqlite3.OperationalError("database or disk is full")
    spool.append([record(number) for number in range(5000)])
    disk.error = None
    assert not spool.retry()
    assert 0 < spool.status().buffered < 5000
    assert spool.status().failing is not None
    spool.close()
    spool = home.open()
    assert sorted(everything(spool)) == list(range(5000))


def test_what_the_disk_refuses_until_the_end_is_counted(home: Home, disk: Disk) -> None:
    spool = home.open()
    disk.error = sqlite3.OperationalError("database or disk is full")
    spool.append([record(1), record(2)])
    spool.close()
    assert home.open().status().dropped_by == {"disk refused until the end": 2}


def test_closed_spool_says_so(home: Home) -> None:
    spool = home.open()
    spool.close()
    with pytest.raises(StoreError, match="closed"):
        spool.append([record(1)])


@pytest.mark.parametrize(("durability", "level"), [("normal", 1), ("full", 2)])
def test_durability_is_sqlites_synchronous_level(tmp_path: Path, durability: str, level: int) -> None:
    create(tmp_path / "s")
    writer = SegmentWriter(tmp_path / "s", durability)
    assert writer._execute("PRAGMA synchronous").fetchone() == (level,)
    writer.seal()


@pytest.mark.parametrize(("when_full", "kept"), [("drop_oldest", [7, 8, 9]), ("drop_newest", [0, 1, 2])])
def test_memory_is_bounded_and_what_it_cannot_hold_is_counted(
    home: Home, disk: Disk, when_full: str, kept: list[int]
) -> None:
    spool = home.open(when_full=when_full, buffer_records=3)
    disk.error = sqlite3.OperationalError("database or disk is full")
    for number in range(10):
        spool.append([record(number)])
    assert spool.status().dropped_by == {"memory full": 7}
    assert kinds(spool) == ["spool_append_failed", "spool_memory_full"]  # the first time, and not for every record
    disk.error = None
    spool.retry()
    assert everything(spool) == kept


def test_damage_met_while_appending_leads_to_the_next_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = home.open()
    spool.append([record(0)])
    real = SegmentWriter.append
    broken = home.newest.parent / "segment-0000000001.sqlite3"

    def append(writer: SegmentWriter, payloads: list[bytes]) -> int:
        if writer.path == broken:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return real(writer, payloads)

    monkeypatch.setattr(SegmentWriter, "append", append)
    assert spool.append([record(1)])
    spool.maintain()
    assert {"spool_damaged", "spool_quarantined"} == set(kinds(spool))
    assert everything(spool) == [0, 1]


# --- a spool that is full ---------------------------------------------------------------------------------------------------


def fill(spool: Spool, total: int) -> None:
    for number in range(0, total, 10):
        spool.append([record(each, 2000) for each in range(number, number + 10)])
        spool.maintain()


def test_full_spool_drops_the_oldest_and_counts_them_across_a_restart(home: Home) -> None:
    spool = home.open(max_bytes=1_000_000)
    fill(spool, 1000)
    status = spool.status()
    assert status.bytes <= 1_000_000
    assert status.dropped > 0
    assert status.depth + status.dropped == 1000
    assert "spool_full" in kinds(spool)
    assert everything(spool) == list(range(status.dropped, 1000))
    spool.close()
    assert home.open().status().dropped_by == {"spool full": status.dropped}


def test_full_spool_drops_the_newest_where_that_is_chosen(home: Home) -> None:
    spool = home.open(max_bytes=1_000_000, when_full="drop_newest")
    fill(spool, 1000)
    status = spool.status()
    assert status.bytes <= 1_100_000
    assert status.dropped > 0
    assert everything(spool) == list(range(1000 - status.dropped))
    assert kinds(spool).count("spool_full") == 1
    assert spool.append([record(1000)])  # there is room again
    assert everything(spool) == [1000]


def test_a_sample_dropped_as_a_draft_and_as_a_row_is_one_sample(home: Home) -> None:
    spool = home.open(max_bytes=1_000_000, when_full="drop_newest")
    fill(spool, 1000)
    before = spool.status().dropped
    assert not spool.append([], [record(2000)])
    assert not spool.append([record(2000)])
    assert spool.status().dropped == before + 1


def test_lasting_trouble_is_told_once_and_again_when_it_comes_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = home.open()

    def refuse(shelf: Shelf) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Shelf, "maintain", refuse)
            for _ in range(3):
                spool.maintain()
                spool.append([record(1)])
        told = kinds(spool)
        assert told == ["spool_maintenance_failed"]
        spool.maintain()
