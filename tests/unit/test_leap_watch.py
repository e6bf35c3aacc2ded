"""A server's leap indicator against the table: unknown announcements and missing ones are found, once for each change."""

from __future__ import annotations

import pytest

from timesync.leapwatch import Finding, LeapWatch, SidesWatch, end_of_month_ns
from timesync.timescale import LeapRow, LeapTable, parse_utc

# The leap second at the end of 2016 (IERS Bulletin C 52), and one at which a second is left out, which has never been.
TABLE = LeapTable(
    parse_utc("2016-07-06"),
    parse_utc("2027-06-28"),
    (
        LeapRow(parse_utc("2015-07-01"), 36),
        LeapRow(parse_utc("2017-01-01"), 37),
        LeapRow(parse_utc("2026-07-01"), 36),
    ),
)


def findings(*observed: tuple[str, int], protocol: str = "ntp") -> list[Finding | None]:
    watch = LeapWatch(TABLE)
    changes = [watch.observe("server", protocol, leap, parse_utc(at)) for at, leap in observed]
    return [change.finding if change is not None else None for change in changes]


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2016-12-31T23:59:59Z", "2017-01-01"),
        ("2017-01-01", "2017-02-01"),
        ("2024-02-29T12:00:00Z", "2024-03-01"),
    ],
)
def test_end_of_the_month_is_the_first_instant_of_the_next(at: str, end: str) -> None:
    assert end_of_month_ns(parse_utc(at)) == parse_utc(end)


def test_announcement_that_the_table_has_is_nothing_to_tell() -> None:
    assert findings(("2016-12-01", 1), ("2016-12-31T23:59:00Z", 1), ("2017-01-01T00:00:01Z", 0)) == [None, None, None]
    assert findings(("2026-06-30T12:00:00Z", 2)) == [None]


def test_announcement_that_the_table_does_not_have_is_told_once_and_its_end_too() -> None:
    assert findings(("2016-11-05", 1), ("2016-11-06", 1), ("2016-11-07", 0), ("2016-11-08", 0)) == [
        Finding.EARLY,
        None,
        Finding.AGREES,
        None,
    ]


def test_announcement_where_no_leap_second_follows_is_false() -> None:
    watch = LeapWatch(TABLE)
    change = watch.observe("server", "ntp", 1, parse_utc("2026-11-05"))
    assert change is not None
    assert change.finding is Finding.UNKNOWN


def test_those_that_announce_are_told_from_those_that_do_not_on_the_last_day() -> None:
    sides = SidesWatch()
    day_before, last_day = parse_utc("2027-06-29T23:00:00Z"), parse_utc("2027-06-30T01:00:00Z")
    for name, leap in (("a", 1), ("b", 0), ("c", 3)):
        sides.observe(name, leap, day_before)
    assert sides.look(day_before) is None
    assert sides.look(last_day) == (["a"], ["b"], parse_utc("2027-07-01"))
    assert sides.look(last_day + 1) is None


def test_all_that_announce_alike_are_no_sides() -> None:
    sides = SidesWatch()
    last_day = parse_utc("2027-06-30T01:00:00Z")
    sides.observe("a", 1, last_day)
    sides.observe("b", 1, last_day)
    assert sides.look(last_day) is None


def test_announcement_of_the_wrong_sign_is_unknown() -> None:
    assert findings(("2016-12-31", 2)) == [Finding.UNKNOWN]
    assert findings(("2026-06-30", 1)) == [Finding.UNKNOWN]


def test_announcement_that_is_missing_on_the_last_day_is_told() -> None:
    assert findings(("2016-12-30T23:59:59Z", 0), ("2016-12-31", 0), ("2016-12-31T12:00:00Z", 0)) == [
        None,
        Finding.MISSING,
        None,
    ]
    assert findings(("2016-12-31", 0), ("2016-12-31T12:00:00Z", 1)) == [Finding.MISSING, Finding.AGREES]


def test_ptp_master_may_announce_twelve_hours_before() -> None:
    assert findings(("2016-12-31T13:00:00Z", 0), ("2016-12-31T19:00:00Z", 0), protocol="ptp") == [None, Finding.MISSING]


def test_announcement_that_lingers_after_the_leap_second_is_no_finding() -> None:
    assert findings(("2017-01-01T00:30:00Z", 1), ("2017-01-01T03:00:00Z", 1)) == [None, Finding.LATE]


def test_server_that_is_not_synchronised_says_nothing() -> None:
    assert findings(("2016-12-31", 3), ("2016-11-05", 1), ("2016-11-06", 3), ("2016-11-07", 1)) == [
        None,
        Finding.EARLY,
        None,
        None,
    ]


def test_target_that_is_gone_is_forgotten() -> None:
    watch = LeapWatch(TABLE)
    assert watch.observe("a", "ntp", 1, parse_utc("2016-11-05")) is not None
    watch.keep({"b"})
    assert watch.observe("a", "ntp", 1, parse_utc("2016-11-05")) is not None
