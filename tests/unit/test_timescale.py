"""Instants and time scales against published correspondences."""

from __future__ import annotations

import pytest

from timesync.errors import DataError
from timesync.timescale import (
    NS_PER_DAY,
    NS_PER_S,
    format_utc,
    mjd_to_unix_ns,
    ntp_difference_ns,
    ntp_to_unix_ns,
    parse_utc,
    precision_to_s,
    s_to_short,
    short_to_s,
    unix_ns_to_mjd,
    unix_ns_to_ntp,
)

# RFC 5905 figure 4: date, MJD, NTP era, seconds in the era (its earlier rows disagree with themselves).
RFC_5905_FIGURE_4 = [
    ("1582-10-15", -100_840, -3, 2_874_597_888),
    ("1899-12-31", 15_019, -1, 4_294_880_896),
    ("1900-01-01", 15_020, 0, 0),
    ("1970-01-01", 40_587, 0, 2_208_988_800),
    ("1972-01-01", 41_317, 0, 2_272_060_800),
    ("1999-12-31", 51_543, 0, 3_155_587_200),
    ("2036-02-08", 64_731, 1, 63_104),
]
ERA_1 = "2036-02-07T06:28:16Z"


@pytest.mark.parametrize(("date", "mjd", "era", "seconds"), RFC_5905_FIGURE_4)
def test_dates_of_rfc_5905_figure_4_agree_in_every_scale(date: str, mjd: int, era: int, seconds: int) -> None:
    at_ns = parse_utc(date)
    assert unix_ns_to_mjd(at_ns) == (mjd, 0)
    assert mjd_to_unix_ns(mjd) == at_ns
    assert unix_ns_to_ntp(at_ns) == seconds << 32
    assert ntp_to_unix_ns(seconds << 32, at_ns) == at_ns
    assert at_ns == (era * 2**32 + seconds - 2_208_988_800) * NS_PER_S
    assert format_utc(at_ns) == f"{date}T00:00:00.000000000Z"


def test_era_one_begins_on_7_february_2036() -> None:
    start_ns = parse_utc(ERA_1)
    assert unix_ns_to_ntp(start_ns) == 0
    assert unix_ns_to_ntp(start_ns - 1) == 2**64 - 4  # 2^32 / 10^9 = 4.29 units a nanosecond
    assert ntp_to_unix_ns(0, start_ns - NS_PER_DAY) == start_ns
    assert ntp_to_unix_ns(2**64 - 4, start_ns + NS_PER_DAY) == start_ns - 1


@pytest.mark.parametrize(
    ("pivot", "seconds", "expected"),
    [
        ("1968-01-21", 0, ERA_1),  # just over 68 years before the rollover: still nearer than 1900-01-01
        ("1968-01-19", 0, "1900-01-01"),
        ("2026-11-23", 0, ERA_1),
        ("2026-11-23", 3_973_000_000, "2025-11-24T19:06:40Z"),
        ("2036-02-07", 2**32 - 1, "2036-02-07T06:28:15Z"),
        ("2036-02-08", 2**32 - 1, "2036-02-07T06:28:15Z"),
        ("2036-02-08", 63_104, "2036-02-08"),
        ("2100-01-01", 0, ERA_1),
        ("2100-01-01", 2**31, "2104-02-26T09:42:24Z"),
        ("2172-03-16", 0, "2172-03-15T12:56:32Z"),  # era 2
    ],
)
def test_timestamp_falls_in_the_era_nearest_to_the_pivot(pivot: str, seconds: int, expected: str) -> None:
    assert format_utc(ntp_to_unix_ns(seconds << 32, parse_utc(pivot))) == format_utc(parse_utc(expected))


def test_exactly_half_an_era_away_is_the_earlier_instant_as_in_twos_complement() -> None:
    pivot_ns = parse_utc(ERA_1)
    assert ntp_to_unix_ns(2**63, pivot_ns) == pivot_ns - 2**31 * NS_PER_S
    assert ntp_difference_ns(2**63, 0) == -(2**31) * NS_PER_S


@pytest.mark.parametrize(
    ("fraction", "ns"),
    [
        (0, 0),
        (2**31, 500_000_000),
        (1, 0),
        (2, 0),
        (3, 1),
        (4, 1),
        (2**32 - 1, 1_000_000_000),
        (2**32 - 3, 999_999_999),
    ],
)
def test_fraction_rounds_to_the_nearest_nanosecond(fraction: int, ns: int) -> None:
    assert ntp_to_unix_ns(2_208_988_800 << 32 | fraction, 0) == ns


@pytest.mark.parametrize(
    ("later", "earlier", "ns"),
    [
        (0, 0, 0),
        (1 << 32, 0, NS_PER_S),
        (0, 1 << 32, -NS_PER_S),
        (0, 2**64 - (1 << 32), NS_PER_S),  # across the rollover
        (2**64 - (1 << 31), 1 << 31, -NS_PER_S),
    ],
)
def test_difference_of_timestamps_ignores_eras(later: int, earlier: int, ns: int) -> None:
    assert ntp_difference_ns(later, earlier) == ns


def test_shorts_and_precision_are_exact() -> None:
    assert short_to_s(0x0001_0000) == 1.0
    assert short_to_s(1) == 2.0**-16
    assert s_to_short(1.0) == 65536
    assert s_to_short(short_to_s(0xFFFF_FFFF)) == 0xFFFF_FFFF
    assert precision_to_s(-20) == 2.0**-20
    assert precision_to_s(-128) == 2.0**-128
    assert precision_to_s(0) == 1.0


@pytest.mark.parametrize("seconds", [-1.0, 65536.0, float("nan"), float("inf")])
def test_seconds_outside_a_short_are_refused(seconds: float) -> None:
    with pytest.raises(DataError, match="give 0 to 65535"):
        s_to_short(seconds)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-11-23T06:28:16.5Z", "2026-11-23T06:28:16.500000000Z"),
        ("2026-11-23 06:28Z", "2026-11-23T06:28:00.000000000Z"),
        ("2026-11-23T06:28:16,123456789Z", "2026-11-23T06:28:16.123456789Z"),
        ("2026-11-23T06:28:16+08:00", "2026-11-22T22:28:16.000000000Z"),
        ("2026-11-23T06:28:16-0330", "2026-11-23T09:58:16.000000000Z"),
        ("2026-11-23", "2026-11-23T00:00:00.000000000Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000000000Z"),
        ("2000-02-29", "2000-02-29T00:00:00.000000000Z"),
        ("1677-09-21T00:12:44Z", "1677-09-21T00:12:44.000000000Z"),
        ("0001-01-01", "0001-01-01T00:00:00.000000000Z"),
        (" 9999-12-31T23:59:59.999999999Z\n", "9999-12-31T23:59:59.999999999Z"),
        ("MJD 51544", "2000-01-01T00:00:00.000000000Z"),
        ("51544.5", "2000-01-01T12:00:00.000000000Z"),
        ("MJD57753.99998842592", "2016-12-31T23:59:58.999999488Z"),  # eleven decimals are 864 ns
    ],
)
def test_instant_is_read_exactly(text: str, same_as: str) -> None:
    assert format_utc(parse_utc(text)) == same_as


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "write 2026-11-23"),
        ("yesterday", "write 2026-11-23"),
        ("2026-11-23T06:28:16", "with Z or an offset"),
        ("2026-11-23T06:28:16.1234567891Z", "write 2026-11-23"),
        ("2026-02-29", "check month and day"),
        ("1900-02-29", "check month and day"),
        ("2026-13-01", "check month and day"),
        ("2026-00-01", "check month and day"),
        ("2026-11-00", "check month and day"),
        ("2026-11-23T24:00:00Z", "check hour"),
        ("2026-11-23T23:60:00Z", "check hour"),
        ("2026-11-23T23:59:61Z", "check hour"),
        ("2016-12-31T23:59:60Z", "leap second"),
        ("2026-11-23T06:28:16+25:00", r"\+08:00"),
        ("MJD 51544.1234567891234", "fewer decimals"),
        ("٢٠٢٦-11-23", "write 2026-11-23"),
    ],
)
def test_text_that_is_no_instant_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(DataError, match=remedy):
        parse_utc(text)
