"""What a sink is given from memory is what it would be given from the disk."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timesync.model import Record
from timesync.settings import SpoolSettings
from timesync.store.lanes import Lane
from timesync.store.payload import encode
from timesync.store.recent import Recent, Taken
from timesync.store.segment import SegmentReader, SegmentWriter
from timesync.store.spool import Spool, SpoolOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from timesync.model import FieldValue


class Word(StrEnum):
    ONE = "one"


def row(number: int, **fields: FieldValue) -> Record:
    return Record("time_error", number, {"target": "t"}, {"number": number, "claim": "valid", **fields})


def draft(number: int) -> Record:
    return Record("time_error", number, {"target": "t"}, {"number": number, "claim": "reference_pending"})


def open_spool(path: Path, recent_ids: int = 6000) -> Spool:
    return Spool(SpoolSettings(path, max_bytes=4_000_000), ["sink"], lambda: 0, SpoolOptions(recent_ids=recent_ids))


def drained(spool: Spool, limit: int) -> list[Record]:
    found: list[Record] = []
    while (batch := spool.read("sink", Lane.LIVE, limit)) is not None:
        found += batch.records
        spool.settle(batch)
    return found


def no_rows(reader: SegmentReader, low: int, high: int, limit: int) -> Sequence[object]:
    pytest.fail(f"the disk was asked for {low} to {high}")


# What is done to a spool: samples get a draft and a row, or a row alone, are read or left, and time goes by.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("drafts"), st.integers(1, 5)),
        st.tuples(st.just("rows"), st.integers(1, 5)),
        st.tuples(st.just("drain"), st.integers(1, 7)),
        st.tuples(st.just("second"), st.just(1)),
    ),
    max_size=30,
)


@settings(max_examples=25)  # each opens two spools, whose files are synced to the disk
@given(steps=STEPS, recent_ids=st.integers(1, 12) | st.just(6000))
def test_memory_and_disk_hand_on_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], recent_ids: int
) -> None:
    home = tmp_path_factory.mktemp("spools")
    spools = [open_spool(home / "memory", recent_ids), open_spool(home / "disk", 0)]
    waiting: list[int] = []
    number = 0
    for what, count in steps:
        if what == "drafts":
            new = list(range(number, number + count))
            number += count
            waiting += new
            for spool in spools:
                spool.append([], [draft(each) for each in new])
        elif what == "rows":
            done, waiting = waiting[:count], waiting[count:]
            alone, number = number, number + 1
            for spool in spools:
                spool.append([row(each) for each in [*done, alone]])
        elif what == "drain":
            memory, disk = (drained(spool, count) for spool in spools)
            assert memory == disk
        else:
            for spool in spools:
                spool.maintain()
    for _ in range(4):
        for spool in spools:
            spool.maintain()
    memory, disk = (drained(spool, 100) for spool in spools)
    assert memory == disk
    for spool in spools:
        spool.close()


def test_sink_that_follows_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path)
    sent = [row(number, offset_s=0.1 * number, leap=0, authenticated=True) for number in range(10)]
    spool.append(sent[:5], [draft(number) for number in range(5, 10)])
    spool.append(sent[5:])
    monkeypatch.setattr(SegmentReader, "rows", no_rows)
    assert drained(spool, 3) == sent
    monkeypatch.undo()
    spool.close()


def test_draft_that_nothing_replaces_is_read_from_the_disk(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([], [draft(1)])
    spool.append([row(2)])
    for _ in range(4):
        spool.maintain()
    assert drained(spool, 100) == [draft(1), row(2)]
    spool.close()


def test_value_that_changes_its_type_on_the_way_comes_as_the_disk_has_it(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([row(1, word=Word.ONE)])
    (found,) = drained(spool, 100)
    assert type(found.fields["word"]) is str
    spool.close()


def test_records_that_waited_in_memory_for_the_disk_come_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    spool.append([row(1)])
    with monkeypatch.context() as broken:
        broken.setattr(SegmentWriter, "append", refuse)
        assert not spool.append([row(2)])
    assert spool.retry()
    spool.append([row(3)])
    assert [record.at_ns for record in drained(spool, 100)] == [1, 2, 3]
    spool.close()


def refuse(writer: SegmentWriter, payloads: Sequence[bytes]) -> int:
    raise sqlite3.OperationalError("database or disk is full")


def test_what_is_kept_is_bounded_and_what_has_gone_is_not_guessed() -> None:
    recent = Recent(limit=3, since=1)
    recent.add(1, [row(number) for number in range(1, 6)], beyond=6)
    assert recent.take(2, 6, 10, lambda number: False) is None
    assert recent.take(3, 6, 10, lambda number: False) == Taken((row(3), row(4), row(5)), 6)
    recent.release(5)
    assert recent.take(4, 6, 10, lambda number: False) is None
    assert recent.take(5, 6, 10, lambda number: False) == Taken((row(5),), 6)
    recent.forget(9)
    assert recent.take(6, 9, 10, lambda number: False) is None
    assert recent.take(9, 10, 10, lambda number: False) is None


def test_gap_at_the_end_of_a_file_is_noticed() -> None:
    recent = Recent(limit=10, since=1)
    recent.add(1, [row(1)], beyond=2)
    recent.add((1 << 32) + 1, [row(3)], beyond=(1 << 32) + 2)  # 2 was written, and never added
    assert recent.take(1, (1 << 32) + 2, 10, lambda number: False) is None
    recent.add((1 << 32) + 2, [row(4)], beyond=(2 << 32) + 1)
    recent.add((2 << 32) + 1, [row(5)], beyond=(2 << 32) + 2)
    assert recent.take((1 << 32) + 1, 3 << 32, 10, lambda number: False) == Taken(
        (row(3), row(4), row(5)), (2 << 32) + 2
    )


def test_batches_are_full_though_drafts_lie_between_that_nothing_replaces(tmp_path: Path) -> None:
    """A batch that is not full is taken to be the last for now."""
    spool = open_spool(tmp_path)
    for number in range(0, 60, 3):
        spool.append([], [draft(number)])
        spool.append([row(number + 1), row(number + 2)])
    for _ in range(4):
        spool.maintain()
    sizes = []
    while (batch := spool.read("sink", Lane.LIVE, 25)) is not None:
        sizes.append(len(batch.records))
        spool.settle(batch)
    assert sizes == [25, 25, 10]
    spool.close()


@pytest.mark.parametrize("record", [row(1)._replace(at_ns=np.int64(1)), row(1)._replace(tags={"target": Word.ONE})])
def test_record_that_is_plain_but_for_its_instant_or_a_tag_is_read_from_the_disk(
    tmp_path: Path, record: Record
) -> None:
    spool = open_spool(tmp_path)
    spool.append([record])
    (found,) = drained(spool, 100)
    assert type(found.at_ns) is int
    assert type(found.tags["target"]) is str
    spool.close()


def test_what_is_on_the_disk_before_it_is_here_is_not_passed_over(tmp_path: Path) -> None:
    """The sink's thread may look between the writing and the remembering of a record."""
    spool = open_spool(tmp_path)
    spool.append([row(1)])
    spool._shelf.append([encode(row(2))])
    assert [record.at_ns for record in drained(spool, 100)] == [1, 2]
    spool.close()


def test_record_that_was_never_added_is_not_passed_over_by_a_later_one(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([row(1)])
    spool._shelf.append([encode(row(2))])
    spool.append([row(3)])
    assert [record.at_ns for record in drained(spool, 100)] == [1, 2, 3]
    spool.close()
