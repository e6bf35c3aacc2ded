"""The history's forgetting believes a clock only where the records lead up to its present."""

from __future__ import annotations

from timesync.store.retention import verdict

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
NOW_NS = 1_800_000_000 * 10**9


def hourly(first_ns: int, last_ns: int) -> list[int]:
    return list(range(first_ns, last_ns + 1, HOUR_NS))


def judged(now_ns: int, retention_ns: int, instants: list[int]) -> tuple[bool, int]:
    found = verdict(
        now_ns, retention_ns, min(instants, default=None), lambda start, end: any(start <= at < end for at in instants)
    )
    return found.agreed, found.before_ns


def test_empty_history_has_nothing_to_doubt() -> None:
    assert judged(NOW_NS, DAY_NS, []) == (True, NOW_NS - DAY_NS)


def test_records_up_to_the_present_bear_the_clock_out() -> None:
    assert judged(NOW_NS, 30 * DAY_NS, hourly(NOW_NS - 31 * DAY_NS, NOW_NS)) == (True, NOW_NS - 30 * DAY_NS)


def test_retention_made_shorter_by_hand_takes_effect_at_once() -> None:
    assert judged(NOW_NS, 10 * DAY_NS, hourly(NOW_NS - 100 * DAY_NS, NOW_NS))[0]


def test_clock_ahead_of_the_records_is_not_believed() -> None:
    instants = hourly(NOW_NS - 300 * DAY_NS, NOW_NS)
    for days in (101, 102, 107, 400):
        assert not judged(NOW_NS + days * DAY_NS, 400 * DAY_NS, [*instants, NOW_NS + days * DAY_NS])[0]


def test_probe_that_was_off_for_a_year_forgets_after_a_week_of_measuring() -> None:
    old = hourly(NOW_NS - 500 * DAY_NS, NOW_NS - 365 * DAY_NS)
    assert not judged(NOW_NS, 400 * DAY_NS, [*old, *hourly(NOW_NS - DAY_NS, NOW_NS)])[0]
    assert judged(NOW_NS, 400 * DAY_NS, [*old, *hourly(NOW_NS - 7 * DAY_NS, NOW_NS)])[0]


def test_an_outage_of_some_hours_does_not_stop_the_forgetting() -> None:
    instants = hourly(NOW_NS - 30 * DAY_NS - HOUR_NS, NOW_NS - 10 * HOUR_NS) + hourly(NOW_NS - 5 * HOUR_NS, NOW_NS)
    assert judged(NOW_NS, 30 * DAY_NS, instants)[0]
