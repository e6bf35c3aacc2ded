"""Rows that will be written again: on the disk at once, handed on once, and never lost when nothing replaces them."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

from timesync.model import Record
from timesync.settings import SpoolSettings
from timesync.store.drafts import PAGE_IDS, PAGES, PATIENCE, Drafts, key_of
from timesync.store.lanes import Lane
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

T0 = 1_795_000_000_000_000_000


def row(number: int, claim: str = "reference_pending") -> Record:
    tags = {"site": "s", "probe": "p", "target": "t", "protocol": "ntp"}
    return Record("time_error", T0 + number, tags, {"offset_s": 1e-6 * number, "claim": claim})


def handed_on(spool: Spool) -> list[tuple[int, str]]:
    """What the sink would get now, in order; settled."""
    found: list[tuple[int, str]] = []
    while (batch := spool.read("sink", Lane.LIVE, 100)) is not None:
        found += [(record.at_ns - T0, str(record.fields["claim"])) for record in batch.records]
        spool.settle(batch)
    return found


def open_spool(path: Path) -> Spool:
    return Spool(SpoolSettings(path), ["sink"], clock_ns=lambda: T0)


def test_a_draft_that_is_replaced_is_not_handed_on(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([], [row(1), row(2)])
    assert handed_on(spool) == []
    spool.append([row(1, "valid"), row(2, "valid")])
    assert handed_on(spool) == [(1, "valid"), (2, "valid")]
    spool.close()


def test_a_draft_holds_back_what_came_after_it_and_nothing_before(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([row(0, "valid")])
    spool.append([], [row(1)])
    spool.append([row(5, "valid")])
    assert handed_on(spool) == [(0, "valid")]
    spool.append([row(1, "valid")])
    assert handed_on(spool) == [(5, "valid"), (1, "valid")]
    spool.close()


def test_a_draft_that_nothing_replaces_is_handed_on_after_some_seconds_and_its_late_successor_too(
    tmp_path: Path,
) -> None:
    spool = open_spool(tmp_path)
    spool.append([], [row(1)])
    for _ in range(PATIENCE):
        assert handed_on(spool) == []
        spool.maintain()
    assert handed_on(spool) == [(1, "reference_pending")]
    spool.append([row(1, "valid")])
    assert handed_on(spool) == [(1, "valid")]
    spool.close()


def test_a_draft_that_cannot_be_kept_does_not_shift_the_ids_of_the_others(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    broken = Record("time_error", T0, row(0).tags, {"offset_s": float("nan")})
    spool.append([row(7, "valid")], [broken, row(1), row(2)])
    spool.append([row(1, "valid")])
    spool.maintain()
    for _ in range(PATIENCE):
        spool.maintain()
    assert handed_on(spool) == [(2, "reference_pending"), (7, "valid"), (1, "valid")]
    assert spool.status().refused == 1
    spool.close()


def test_drafts_that_waited_in_memory_while_the_disk_refused_are_handed_on_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    shelf_append = spool._shelf.append
    refusing = True

    def append(payloads: list[bytes]) -> bool:
        if refusing:
            raise sqlite3.OperationalError("disk I/O error")
        return shelf_append(payloads)

    monkeypatch.setattr(spool._shelf, "append", append)
    assert not spool.append([row(5, "valid")], [row(1)])
    refusing = False
    held = [row(number, "valid") for number in range(10, 26)]
    answers = [spool.append([], [each]) for each in held]
    assert answers[-1]  # the last of them tried the disk again
    spool.append([row(1, "valid")])
    assert handed_on(spool) == [
        (1, "reference_pending"),
        (5, "valid"),
        *((number, "valid") for number in range(10, 26)),
        (1, "valid"),
    ]
    spool.close()


def test_under_a_steady_load_each_sample_is_handed_on_once(tmp_path: Path) -> None:
    """A thousand samples a second whose rows come half a second after their drafts; the sink is asked twice a second."""
    spool = open_spool(tmp_path)
    handed: list[int] = []
    for half_second in range(20):
        drafts = [row(500 * half_second + index) for index in range(500)]
        rows = [row(500 * (half_second - 1) + index, "valid") for index in range(500)] if half_second else []
        for begin in range(0, 500, 10):
            spool.append(rows[begin : begin + 10], drafts[begin : begin + 10])
        for _ in range(2):
            batch = spool.read("sink", Lane.LIVE, 300)
            if batch is not None:
                handed += [record.at_ns - T0 for record in batch.records]
                spool.settle(batch)
        if half_second % 2:
            spool.maintain()
    handed += [number for number, _ in handed_on(spool)]
    while (batch := spool.read("sink", Lane.BACKLOG, 300)) is not None:
        handed += [record.at_ns - T0 for record in batch.records]
        spool.settle(batch)
    assert len(handed) == len(set(handed))
    spool.close()


def test_a_draft_survives_the_process(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([], [row(1)])
    spool.close()
    again = open_spool(tmp_path)
    assert handed_on(again) == [(1, "reference_pending")]
    again.close()


def test_drafts_of_a_segment_that_is_full_are_told_apart_by_their_own_ids(tmp_path: Path) -> None:
    spool = Spool(SpoolSettings(tmp_path, max_bytes=16_000_000), ["sink"], clock_ns=lambda: T0)
    count = 3000
    for number in range(count):
        spool.append([], [row(number)])
        spool.append([row(number, "valid")])
        if number % 100 == 0:
            asyncio.run(spool.in_worker(spool.maintain))
    rows = handed_on(spool)
    while (batch := spool.read("sink", Lane.BACKLOG, 100)) is not None:
        rows += [(record.at_ns - T0, str(record.fields["claim"])) for record in batch.records]
        spool.settle(batch)
    assert set(rows) == {(number, "valid") for number in range(count)}
    spool.close()


def test_what_is_remembered_of_drafts_is_bounded() -> None:
    drafts = Drafts()
    last = (PAGES + 1) * PAGE_IDS
    for number in range(0, last, 3):
        drafts.add([key_of(row(number))], number)
        drafts.replace([row(number)])
    assert len(drafts._replaced) == PAGES
    assert not drafts
    newest = range(PAGE_IDS, last)
    assert [number for number in newest if drafts.is_replaced(number)] == [n for n in newest if n % 3 == 0]
    assert not drafts.is_replaced(0)
