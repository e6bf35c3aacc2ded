"""Smears of a leap second: recognised by shape and rate, inserted or deleted; a clock that steps as UTC does is none."""

from __future__ import annotations

import math
import random

import pytest

from timesync.smears import SMEARS, SmearFound, SmearWatch
from timesync.timescale import NS_PER_S, LeapRow, LeapTable, parse_utc

HOUR_S = 3600.0
INSERTED, DELETED = parse_utc("2017-01-01"), parse_utc("2026-07-01")
TABLE = LeapTable(
    parse_utc("2016-07-06"),
    parse_utc("2028-06-28"),
    (LeapRow(parse_utc("2015-07-01"), 36), LeapRow(INSERTED, 37), LeapRow(DELETED, 36)),
)


def google_error_s(since_s: float, step_s: int) -> float:
    """Google Public NTP's: from noon to noon linearly; before midnight the clock falls behind UTC, then UTC counts the second."""
    share = min(1.0, max(0.0, (since_s + 12 * HOUR_S) / (24 * HOUR_S)))
    return step_s * ((1.0 if since_s >= 0 else 0.0) - share)


def watched(
    error, leap_ns: int, *, until_s: float = 20 * HOUR_S, noise_s: float = 2e-4
) -> list[tuple[float, SmearFound]]:
    chance = random.Random(1)
    watch, found = SmearWatch(TABLE), []
    since_s = -25 * HOUR_S
    while since_s < until_s:
        result = watch.observe(
            "s", error(since_s) + 0.003 + chance.gauss(0.0, noise_s), leap_ns + round(since_s * NS_PER_S)
        )
        if result is not None:
            found.append((since_s, result))
        since_s += 64.0
    return found


@pytest.mark.parametrize(("leap_ns", "step_s"), [(INSERTED, 1), (DELETED, -1)])
def test_googles_smear_is_named_with_its_rate(leap_ns: int, step_s: int) -> None:
    ((at_s, found),) = watched(lambda since_s: google_error_s(since_s, step_s), leap_ns)
    assert found.smear.name == "linear, 24 h, noon to noon"
    # 1 s in 24 h is 11.574 ppm (Google Public NTP, "Leap Smear"): slower for an inserted second
    assert found.rate * 1e6 == pytest.approx(-step_s * 11.574, abs=0.001)
    assert at_s < -9 * HOUR_S


@pytest.mark.parametrize("smear", SMEARS, ids=lambda smear: smear.name)
def test_each_smear_is_told_from_the_others(smear) -> None:
    def error(since_s: float) -> float:
        share = min(1.0, max(0.0, (since_s - smear.begin_s) / smear.span_s))
        done = (1 - math.cos(math.pi * share)) / 2 if "cosine" in smear.name else share
        return (1.0 if since_s >= 0 else 0.0) - done

    ((_, found),) = watched(error, INSERTED, until_s=25 * HOUR_S)
    assert found.smear is smear


def test_a_clock_that_steps_as_utc_does_is_no_smear() -> None:
    assert watched(lambda _since_s: 0.0, INSERTED, noise_s=2e-3) == []


def test_a_clock_that_missed_the_leap_second_is_no_smear() -> None:
    assert watched(lambda since_s: 1.0 if since_s >= 0 else 0.0, INSERTED) == []


def test_a_drift_of_another_rate_is_no_smear() -> None:
    assert watched(lambda since_s: -5e-6 * (since_s + 25 * HOUR_S), INSERTED) == []


def test_far_from_any_leap_second_nothing_is_looked_at() -> None:
    assert watched(lambda since_s: google_error_s(since_s, 1), parse_utc("2020-01-01")) == []
