"""The daemon's leap-second table: which one holds, what is told of it, and what servers announce against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from timesync import leapseconds
from timesync.leapseconds import EMBEDDED, embedded_leap_table
from timesync.leapservice import LeapService
from timesync.model import Event, Record, Severity
from timesync.timescale import parse_utc

if TYPE_CHECKING:
    from pathlib import Path

EXPIRY_NS = parse_utc("2027-06-28")  # of the embedded table
# Two rows and their hash, as the format has them; the hash is computed by coreutils: printf ... | sha1sum.
OLD_LIST = """\
#$\t3676924800
#@\t3739132800
3550089600\t35\t# 1 Jul 2012
3644697600\t36\t# 1 Jul 2015
#h\t{}
"""


class Bench:
    """A service, what it told, and the present in the test's hands."""

    def __init__(self, path: Path | None = None, now: str = "2026-11-23") -> None:
        self.now_ns = parse_utc(now)
        self.events: list[Event] = []
        self.shown: list[int] = []
        self.service = LeapService(path, self.events.append, self.shown.append, clock_ns=lambda: self.now_ns)


@pytest.fixture(autouse=True)
def no_system_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leapseconds.load_leap_table, "__defaults__", ((),))


@pytest.fixture
def old_list(tmp_path: Path) -> Path:
    path = tmp_path / "leap-seconds.list"
    path.write_text(OLD_LIST.format("4d84526a eae4594c 2f10fb79 50f556c2 11cc146a"))
    return path


def test_table_source_and_expiry_are_told_and_shown() -> None:
    bench = Bench()
    bench.service.load(None, ())
    (event,) = bench.events
    assert (event.kind, event.severity) == ("leap_table", Severity.INFO)
    assert event.evidence == {"source": EMBEDDED, "expires": "2027-06-28T00:00:00.000000000Z"}
    assert bench.shown == [EXPIRY_NS]


def test_table_that_has_expired_is_a_warning_with_the_remedy() -> None:
    bench = Bench(now="2027-06-28")
    bench.service.load(None, ())
    (event,) = bench.events
    assert event.severity is Severity.WARNING
    assert "get a new leap-seconds.list" in event.text


def test_file_that_was_chosen_holds_even_if_another_expires_later(old_list: Path) -> None:
    bench = Bench(old_list, now="2017-11-23")
    bench.service.load(old_list, ())
    assert bench.events[0].evidence["source"] == str(old_list)
    assert bench.shown == [(3_739_132_800 - 2_208_988_800) * 10**9]


def test_chosen_file_that_is_damaged_is_a_warning_and_the_embedded_table_serves(tmp_path: Path) -> None:
    path = tmp_path / "leap-seconds.list"
    path.write_text(OLD_LIST.format("1 2 3 4 5"))
    for chosen, problem in ((path, "the hash does not match"), (tmp_path / "absent", "there is no such file")):
        bench = Bench(chosen)
        bench.service.load(chosen, ())
        (event,) = bench.events
        assert event.severity is Severity.WARNING
        assert problem in event.text
        assert event.evidence["source"] == EMBEDDED


def test_same_table_is_told_once_and_its_expiry_when_it_comes() -> None:
    bench = Bench()
    for day in range(3):
        bench.service.tick(day * 86_400.0, ())
        bench.service.tick(day * 86_400.0 + 1.0, ())
    assert len(bench.events) == 1
    assert len(bench.shown) == 3
    bench.now_ns = EXPIRY_NS
    bench.service.tick(3 * 86_400.0, ())
    assert [event.severity for event in bench.events] == [Severity.INFO, Severity.WARNING]


def announcement(leap: int, at: str) -> Record:
    tags = {"site": "s", "probe": "p", "target": "ntp1", "protocol": "ntp"}
    return Record("time_error", parse_utc(at), tags, {"leap": leap, "offset_s": 0.0})


def test_announcement_that_the_table_does_not_know_is_an_event_of_its_target() -> None:
    assert embedded_leap_table().next_leap(parse_utc("2026-11-23")) is None
    bench = Bench()
    bench.service.observe([announcement(0, "2026-11-23"), announcement(1, "2026-11-24"), announcement(1, "2026-11-25")])
    (event,) = bench.events
    assert (event.kind, event.severity, event.target) == ("leap_announced_unknown", Severity.WARNING, "ntp1")
    assert "announces a second inserted at the end of 2026-11-30" in event.text
    assert "the table says otherwise" in event.text
    bench.service.observe([announcement(0, "2026-11-26")])
    assert (bench.events[-1].kind, bench.events[-1].severity) == ("leap_indicator_agrees", Severity.INFO)


def test_announcement_beyond_the_table_s_expiry_says_that_the_table_cannot_tell() -> None:
    bench = Bench()
    bench.service.observe([announcement(1, "2027-06-20")])
    assert "the table has expired" in bench.events[0].text
