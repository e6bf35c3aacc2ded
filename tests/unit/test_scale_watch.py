"""Servers on another time scale: known by the size of their error, which is computed here from the sources by hand."""

from __future__ import annotations

import pytest

from timesync.scalewatch import IN_A_ROW, ScaleChange, ScaleWatch, UtcOffsetWatch
from timesync.timescale import LeapRow, LeapTable, parse_utc

# IERS Bulletin C: TAI - UTC was 36 s from July 2015 and 37 s from 2017; a negative leap second in 2026 is invented.
TABLE = LeapTable(
    parse_utc("2016-07-06"),
    parse_utc("2028-06-28"),
    (
        LeapRow(parse_utc("2015-07-01"), 36),
        LeapRow(parse_utc("2017-01-01"), 37),
        LeapRow(parse_utc("2026-07-01"), 36),
    ),
)
BETWEEN = parse_utc("2020-06-01")


def seen(error_s: float, at_ns: int = BETWEEN, bound_s: float = 1e-3, times: int = IN_A_ROW) -> ScaleChange | None:
    watch = ScaleWatch(TABLE)
    changes = [watch.observe("s", error_s, bound_s, at_ns + turn) for turn in range(times)]
    assert all(change is None for change in changes[: IN_A_ROW - 1])
    return changes[-1]


@pytest.mark.parametrize(
    ("error_s", "at", "name"),
    [
        (37.0, "2020-06-01", "tai"),
        (36.0, "2016-06-01", "tai"),
        (18.0, "2020-06-01", "gps"),  # GPS time is 18 s ahead of UTC since 2017 (IERS Bulletin C 52)
        (17.0, "2016-06-01", "gps"),
        (-37.0, "2020-06-01", "utc_offset_twice"),
        (-619_315_200.0, "2020-06-01", "gps_week"),  # 1024 weeks of 604800 s
        (-619_315_200.0 + 18.0, "2020-06-01", "gps_week"),
        (-1_238_630_400.0, "2020-06-01", "gps_week"),
        (4_294_967_296.0, "2020-06-01", "ntp_era"),
        (1.0, "2017-01-02", "leap_residual"),
        (-1.0, "2016-12-25", "leap_residual"),
        (-1.0, "2026-07-02", "leap_residual"),
        (28_800.0, "2020-06-01", "time_zone"),
        (-12_600.0, "2020-06-01", "time_zone"),
    ],
)
def test_a_known_mistake_is_told_by_its_size(error_s: float, at: str, name: str) -> None:
    change = seen(error_s, parse_utc(at))
    assert change is not None
    assert change.mistake is not None
    assert change.mistake.name == name


@pytest.mark.parametrize("error_s", [0.0, 0.3, -0.5, 5.0, 36.5, 37.5, 1.0, 1e6])
def test_an_error_of_no_known_size_is_none_of_them(error_s: float) -> None:
    assert seen(error_s) is None


def test_it_is_told_once_and_its_end_once() -> None:
    watch = ScaleWatch(TABLE)
    errors = [37.0] * 6 + [0.0] * 6
    changes = [watch.observe("s", error_s, 1e-3, BETWEEN + turn) for turn, error_s in enumerate(errors)]
    told = [change for change in changes if change is not None]
    assert [change.mistake is None for change in told] == [False, True]
    assert changes[IN_A_ROW - 1] is not None


def test_a_single_reply_is_no_time_scale() -> None:
    watch = ScaleWatch(TABLE)
    errors = [37.0, 37.0, 0.0, 37.0, 37.0, 0.0]
    assert [watch.observe("s", error_s, 1e-3, BETWEEN + turn) for turn, error_s in enumerate(errors)] == [None] * 6


def test_the_announced_offset_is_compared_with_the_table() -> None:
    watch = UtcOffsetWatch(TABLE)
    assert watch.observe("gm", 37, BETWEEN) is None
    assert watch.observe("gm", 36, BETWEEN + 1) == (36, 37)
    assert watch.observe("gm", 36, BETWEEN + 2) is None
    assert watch.observe("gm", 37, BETWEEN + 3) == (37, 37)


@pytest.mark.parametrize(("leap", "before", "after"), [("2017-01-01", 36, 37), ("2026-07-01", 37, 36)])
def test_around_a_leap_second_the_old_offset_is_right_for_a_minute_more(leap: str, before: int, after: int) -> None:
    at_ns = parse_utc(leap)
    watch = UtcOffsetWatch(TABLE)
    assert watch.observe("gm", before, at_ns - 10**9) is None
    assert watch.observe("gm", before, at_ns + 10**9) is None
    assert watch.observe("other", after, at_ns + 10**9) is None
    assert watch.observe("gm", before, at_ns + 61 * 10**9) == (before, after)


def test_a_target_that_is_gone_is_forgotten() -> None:
    watch = ScaleWatch(TABLE)
    for turn in range(IN_A_ROW):
        watch.observe("s", 37.0, 1e-3, BETWEEN + turn)
    watch.keep({"other"})
    assert [watch.observe("s", 37.0, 1e-3, BETWEEN + turn) is None for turn in range(IN_A_ROW)] == [True, True, False]
