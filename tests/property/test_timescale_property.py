"""Conversions between time scales: what goes in comes out, for every instant."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from timesync.timescale import (
    NS_PER_S,
    format_utc,
    mjd_to_unix_ns,
    ntp_difference_ns,
    ntp_to_unix_ns,
    parse_utc,
    s_to_short,
    short_to_s,
    unix_ns_to_mjd,
    unix_ns_to_ntp,
)

HALF_ERA_NS = 2**31 * NS_PER_S
INSTANTS = st.integers(-(10**21), 10**21)
TIMESTAMPS = st.integers(0, 2**64 - 1)
YEARS_1_TO_9999 = st.integers(-62_135_596_800 * NS_PER_S, 253_402_300_800 * NS_PER_S - 1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@given(INSTANTS, st.integers(-HALF_ERA_NS, HALF_ERA_NS - 1))
def test_instant_survives_the_ntp_timestamp_in_any_era(at_ns: int, from_pivot_ns: int) -> None:
    timestamp = unix_ns_to_ntp(at_ns)
    assert 0 <= timestamp < 2**64
    assert ntp_to_unix_ns(timestamp, at_ns - from_pivot_ns) == at_ns


@given(TIMESTAMPS, INSTANTS)
def test_timestamp_falls_within_68_years_of_the_pivot_and_within_half_a_nanosecond(ts: int, pivot_ns: int) -> None:
    at_ns = ntp_to_unix_ns(ts, pivot_ns)
    assert -HALF_ERA_NS <= at_ns - pivot_ns < HALF_ERA_NS
    # In units of 2^-32 ns, within its era: |at - ts| <= 0.5 ns.
    error = ((at_ns + 2_208_988_800 * NS_PER_S << 32) - ts * NS_PER_S) % (2**64 * NS_PER_S)
    assert min(error, 2**64 * NS_PER_S - error) <= 2**31


@given(INSTANTS, st.integers(-HALF_ERA_NS + 1, HALF_ERA_NS - 1))
def test_difference_of_timestamps_is_the_difference_of_instants(earlier_ns: int, difference_ns: int) -> None:
    # Each timestamp is within 0.12 ns of its instant, so the rounded difference is at most 1 ns away.
    difference = ntp_difference_ns(unix_ns_to_ntp(earlier_ns + difference_ns), unix_ns_to_ntp(earlier_ns))
    assert abs(difference - difference_ns) <= 1


@given(st.integers(0, 2**32 - 1))
def test_short_survives_seconds(value: int) -> None:
    assert s_to_short(short_to_s(value)) == value


@given(INSTANTS)
def test_instant_survives_the_modified_julian_day(at_ns: int) -> None:
    mjd, ns_of_day = unix_ns_to_mjd(at_ns)
    assert 0 <= ns_of_day < 86_400 * NS_PER_S
    assert mjd_to_unix_ns(mjd, ns_of_day) == at_ns


@given(YEARS_1_TO_9999)
def test_text_of_an_instant_is_read_back_and_is_the_calendars(at_ns: int) -> None:
    text = format_utc(at_ns)
    assert parse_utc(text) == at_ns
    seconds, ns = divmod(at_ns, NS_PER_S)
    calendar = EPOCH + dt.timedelta(seconds=seconds)
    assert text == f"{calendar.replace(tzinfo=None).isoformat()}.{ns:09d}Z"
