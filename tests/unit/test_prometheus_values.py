"""What /metrics says after which records, and for how long."""

from __future__ import annotations

import numpy as np
import pytest
from support import promtext

from timesync.export.current import Current, SinkReading, SpoolReading, samples
from timesync.export.prometheus import render
from timesync.model import Event, FieldValue, Record, Severity

INTERVAL_S = 16.0
LIFE_S = 3 * INTERVAL_S + 2.0
AT_NS = 1_790_000_000_123_456_789

MEASURED: dict[str, FieldValue] = {
    "offset_s": 1.5e-6,
    "bound_s": 2e-4,
    "delay_s": 3.5e-4,
    "time_error_s": -2.5e-7,
    "time_error_bound_s": 3e-4,
    "time_error_u_s": 4e-5,
    "root_delay_s": 0.001,
    "root_dispersion_s": 0.002,
    "stratum": 1,
    "leap": 0,
    "timestamping": "kernel",
    "mode": "interleaved",
    "realises": "UTC(NIM)",
}
NO_CLAIM = {name: fact for name, fact in MEASURED.items() if not name.startswith("time_error")} | {
    "no_claim": "reference_stale"
}
TAGS = {"site": "NIM", "probe": "p1", "target": "ntp1", "protocol": "ntp", "reference": "utc"}


def record(fields: dict[str, FieldValue], at_ns: int = AT_NS, measurement: str = "time_error", **tags: str) -> Record:
    return Record(measurement, at_ns, {**TAGS, **tags}, fields)


def missed(reason: str = "timeout", **facts: FieldValue) -> Record:
    return record({"reason": reason, **facts})


def page(current: Current, now_s: float) -> dict[str, promtext.Family]:
    return promtext.read(render(samples(current.snapshot(now_s)))[0])


@pytest.fixture
def current() -> Current:
    made = Current("NIM", "p1")
    made.add_target("ntp1", protocol="ntp", interval_s=INTERVAL_S)
    return made


@pytest.mark.parametrize(
    ("metric", "labels", "expected"),
    [
        ("timesync_offset_seconds", {}, 1.5e-6),
        ("timesync_offset_bound_seconds", {}, 2e-4),
        ("timesync_delay_seconds", {}, 3.5e-4),
        ("timesync_time_error_seconds", {"reference": "utc"}, -2.5e-7),
        ("timesync_time_error_bound_seconds", {"reference": "utc"}, 3e-4),
        ("timesync_time_error_uncertainty_seconds", {"reference": "utc"}, 4e-5),
        ("timesync_root_delay_seconds", {}, 0.001),
        ("timesync_root_dispersion_seconds", {}, 0.002),
        ("timesync_stratum", {}, 1),
        ("timesync_leap", {}, 0),
        ("timesync_timestamping", {"timestamping": "kernel"}, 1),
        ("timesync_timestamping", {"timestamping": "hardware"}, 0),
        ("timesync_timestamping", {"timestamping": "user"}, 0),
        ("timesync_mode_info", {"mode": "interleaved"}, 1),
        ("timesync_reference_info", {"reference": "utc", "realises": "UTC(NIM)"}, 1),
        ("timesync_utc_claim", {}, 1),
        ("timesync_utc_claim_absent_info", {}, None),
        ("timesync_reachability_ratio", {}, 1),
        ("timesync_polls_total", {}, 1),
        ("timesync_replies_total", {}, 1),
        ("timesync_losses_total", {"reason": "timeout"}, 0),
        ("timesync_poll_interval_seconds", {}, INTERVAL_S),
    ],
)
def test_a_measurement_is_shown(current, metric, labels, expected):
    current.observe(record(MEASURED), now_s=100.0)
    everyone = {"site": "NIM", "probe": "p1", "target": "ntp1", "protocol": "ntp"}
    assert promtext.value(page(current, 100.0), metric, **everyone, **labels) == expected


def test_the_time_of_a_sample_is_that_of_the_measurement_and_not_of_the_scrape(current):
    current.observe(record(MEASURED), now_s=100.0)
    shown = promtext.value(page(current, 120.0), "timesync_last_sample_timestamp_seconds")
    assert shown == pytest.approx(AT_NS / 1e9, abs=1e-6)


def test_a_target_that_was_not_polled_yet_shows_counters_and_no_measurement(current):
    shown = page(current, 5.0)
    assert promtext.value(shown, "timesync_polls_total", target="ntp1") == 0
    assert {
        name for name in shown if "offset" in name or "claim" in name or "reach" in name or "sample" in name
    } == set()


def test_a_measurement_goes_when_its_life_is_over_and_the_counters_stay(current):
    current.observe(record(MEASURED), now_s=100.0)
    assert promtext.value(page(current, 100.0 + LIFE_S), "timesync_offset_seconds") == 1.5e-6
    late = page(current, 100.0 + LIFE_S + 0.1)
    gone = {
        "timesync_offset_seconds",
        "timesync_time_error_seconds",
        "timesync_stratum",
        "timesync_leap",
        "timesync_timestamping",
        "timesync_utc_claim",
        "timesync_reachability_ratio",
    }
    assert gone.isdisjoint(late)
    assert promtext.value(late, "timesync_replies_total") == 1
    assert promtext.value(late, "timesync_last_sample_timestamp_seconds") == pytest.approx(AT_NS / 1e9)


def test_misses_do_not_prolong_a_measurement(current):
    current.observe(record(MEASURED), now_s=100.0)
    for turn in range(1, 5):
        current.observe(missed(), now_s=100.0 + turn * INTERVAL_S)
    shown = page(current, 100.0 + 4 * INTERVAL_S)
    assert "timesync_offset_seconds" not in shown
    assert promtext.value(shown, "timesync_utc_claim") == 0
    assert promtext.value(shown, "timesync_utc_claim_absent_info", reason="timeout") == 1
    assert promtext.value(shown, "timesync_reachability_ratio") == pytest.approx(1 / 5)


def test_one_miss_leaves_the_newest_measurement_and_its_claim(current):
    current.observe(record(MEASURED), now_s=100.0)
    current.observe(missed(), now_s=116.0)
    shown = page(current, 117.0)
    assert promtext.value(shown, "timesync_time_error_seconds") == -2.5e-7
    assert promtext.value(shown, "timesync_utc_claim") == 1
    assert promtext.value(shown, "timesync_losses_total", reason="timeout") == 1


def test_without_a_fresh_reference_there_is_an_offset_and_no_claim_and_the_reason(current):
    current.observe(record(MEASURED), now_s=100.0)
    current.observe(record(NO_CLAIM), now_s=116.0)
    shown = page(current, 116.0)
    assert promtext.value(shown, "timesync_offset_seconds") == 1.5e-6
    assert "timesync_time_error_seconds" not in shown
    assert "timesync_time_error_uncertainty_seconds" not in shown
    assert promtext.value(shown, "timesync_utc_claim") == 0
    assert promtext.value(shown, "timesync_utc_claim_absent_info") == 1
    assert promtext.value(shown, "timesync_utc_claim_absent_info", reason="reference_stale") == 1


def test_polls_are_the_sum_of_replies_and_of_losses_over_all_reasons(current):
    for one in (record(MEASURED), missed(), missed("kiss_rate"), record(NO_CLAIM), missed("kiss_rate")):
        current.observe(one, now_s=1.0)
    shown = page(current, 1.0)
    losses = sum(shown["timesync_losses_total"].series.values())
    assert promtext.value(shown, "timesync_losses_total", reason="kiss_rate") == 2
    assert promtext.value(shown, "timesync_polls_total") == 5
    assert promtext.value(shown, "timesync_replies_total") + losses == 5


def test_what_an_unsynchronised_server_says_is_shown_though_it_was_not_measured(current):
    current.observe(record(MEASURED), now_s=100.0)
    current.observe(missed("unsynchronised", stratum=16, leap=3), now_s=116.0)
    shown = page(current, 116.0)
    assert promtext.value(shown, "timesync_leap") == 3
    assert promtext.value(shown, "timesync_stratum") == 16
    assert "timesync_root_delay_seconds" not in shown


def test_reachability_looks_back_over_eight_polls(current):
    for _ in range(9):
        current.observe(missed(), now_s=1.0)
    for _ in range(6):
        current.observe(record(MEASURED), now_s=1.0)
    assert promtext.value(page(current, 1.0), "timesync_reachability_ratio") == 6 / 8


def test_a_removed_target_is_gone_and_a_late_record_does_not_bring_it_back(current):
    current.observe(record(MEASURED), now_s=1.0)
    current.remove_target("ntp1")
    current.observe(record(MEASURED), now_s=2.0)
    shown = page(current, 2.0)
    assert not [name for name, family in shown.items() for pairs in family.series if ("target", "ntp1") in pairs]
    assert promtext.value(shown, "timesync_exposition_unknown_target_total") == 1
    assert promtext.value(shown, "timesync_targets") == 0


def test_a_new_interval_keeps_the_counters_and_a_new_protocol_begins_again(current):
    current.observe(record(MEASURED), now_s=1.0)
    current.add_target("ntp1", protocol="ntp", interval_s=4.0)
    shown = page(current, 1.0)
    assert promtext.value(shown, "timesync_polls_total") == 1
    assert promtext.value(shown, "timesync_poll_interval_seconds") == 4.0
    current.add_target("ntp1", protocol="ptp", interval_s=4.0)
    assert promtext.value(page(current, 1.0), "timesync_polls_total", protocol="ptp") == 0


def test_other_measurements_are_left_alone(current):
    current.observe(record(MEASURED, measurement="stability"), now_s=1.0)
    assert promtext.value(page(current, 1.0), "timesync_polls_total") == 0


def test_the_series_of_a_reference_that_changes_are_told_apart(current):
    current.observe(record(MEASURED), now_s=1.0)
    current.observe(record(MEASURED, reference="backup"), now_s=17.0)
    shown = page(current, 17.0)
    assert promtext.value(shown, "timesync_time_error_seconds", reference="backup") == -2.5e-7
    assert promtext.value(shown, "timesync_time_error_seconds", reference="utc") is None


def test_the_state_of_the_probe_is_shown(current):
    sinks = (SinkReading("history", 0, None, 0, 0), SinkReading("influx", 7, 12.5, 1, 2))
    current.set_spool(SpoolReading(bytes=4096, limit_bytes=2_000_000_000, sinks=sinks))
    current.set_loop_lag(0.003)
    current.set_clock_steps(2)
    for _ in range(3):
        current.observe_event(Event("clock_step", AT_NS, Severity.WARNING, "the clock was stepped"))
    shown = page(current, 1.0)
    assert promtext.value(shown, "timesync_spool_bytes") == 4096
    assert promtext.value(shown, "timesync_spool_limit_bytes") == 2_000_000_000
    assert promtext.value(shown, "timesync_spool_records", sink="influx") == 7
    assert promtext.value(shown, "timesync_spool_oldest_age_seconds", sink="influx") == 12.5
    assert promtext.value(shown, "timesync_spool_oldest_age_seconds", sink="history") is None
    assert promtext.value(shown, "timesync_spool_dropped_total", sink="influx") == 1
    assert promtext.value(shown, "timesync_spool_refused_total", sink="influx") == 2
    assert promtext.value(shown, "timesync_event_loop_lag_seconds") == 0.003
    assert promtext.value(shown, "timesync_clock_steps_total") == 2
    assert promtext.value(shown, "timesync_events_total", kind="clock_step", severity="warning") == 3


def test_a_snapshot_does_not_change_afterwards(current):
    current.observe(missed(), now_s=1.0)
    before = current.snapshot(1.0)
    current.observe(missed(), now_s=2.0)
    current.observe_event(Event("x", AT_NS, Severity.INFO, "x"))
    shown = promtext.read(render(samples(before))[0])
    assert promtext.value(shown, "timesync_losses_total", reason="timeout") == 1
    assert "timesync_events_total" not in shown


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(3), True, 7], ids=repr)
def test_numbers_of_any_kind_become_plain_floats(current, number):
    current.observe(record({**MEASURED, "offset_s": number}), now_s=1.0)
    assert promtext.value(page(current, 1.0), "timesync_offset_seconds") == float(number)
