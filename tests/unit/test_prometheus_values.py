"""What /metrics says after which records, and for how long."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from support import promtext
from support.exposition import Counted

from timesync.config.keys_results import MASKED
from timesync.export.current import Current
from timesync.export.families import Life
from timesync.export.masks import masks_of
from timesync.export.metrics import METRICS
from timesync.export.prometheus import render
from timesync.export.samples import ANSWERED, CLAIMED, MEASURED, samples
from timesync.model import Event, FieldValue, Record, Severity
from timesync.reasons import Reason
from timesync.records import FIELDS
from timesync.settings import StabilitySettings, Tie
from timesync.stability.mask_table import PROFILES
from timesync.stability.masks import STATISTICS
from timesync.store.status import SinkStatus, SpoolStatus

INTERVAL_S = 16.0
LIFE_S = 3 * INTERVAL_S + 4.0
AT_NS = 1_790_000_000_123_456_789
SECOND_NS = 10**9

ROW: dict[str, FieldValue] = {
    "offset_s": 1.5e-6,
    "bound_s": 2e-4,
    "delay_s": 3.5e-4,
    "time_error_s": -2.5e-7,
    "time_error_bound_s": 3e-4,
    "time_error_u_s": 4e-5,
    "claim": "valid",
    "root_delay_s": 0.001,
    "root_dispersion_s": 0.002,
    "stratum": 1,
    "leap": 0,
    "timestamping": "kernel",
    "mode": "interleaved",
    "authenticated": True,
    "realises": "UTC(NIM)",
    "clock_epoch": 0,
}
NO_CLAIM = {name: fact for name, fact in ROW.items() if not name.startswith("time_error")} | {
    "claim": "reference_stale"
}
TAGS = {"site": "NIM", "probe": "p1", "target": "ntp1", "protocol": "ntp", "reference": "utc"}


def record(fields: dict[str, FieldValue], at_ns: int = AT_NS, measurement: str = "time_error", **tags: str) -> Record:
    return Record(measurement, at_ns, {**TAGS, **tags}, fields)


def missed(reason: str = "timeout", at_ns: int = AT_NS, **facts: FieldValue) -> Record:
    return record({"reason": reason, "claim": reason, "clock_epoch": 0, **facts}, at_ns)


def page(current: Current, now_s: float, tally: Counted | None = None) -> dict[str, promtext.Family]:
    snapshot = current.snapshot(now_s, {"ntp1": Counted() if tally is None else tally})
    body, refused = render(samples(snapshot))
    assert not refused
    return promtext.read(body)


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
        ("timesync_authenticated", {}, 1),
        ("timesync_poll_interval_seconds", {}, INTERVAL_S),
    ],
)
def test_a_measurement_is_shown(current, metric, labels, expected):
    current.observe(record(ROW), now_s=100.0)
    everyone = {"site": "NIM", "probe": "p1", "target": "ntp1", "protocol": "ntp"}
    assert promtext.value(page(current, 100.0), metric, **everyone, **labels) == expected


def test_the_fields_that_are_shown_are_fields_of_a_row():
    assert set(MEASURED) | set(CLAIMED) | set(ANSWERED) <= set(FIELDS)
    assert {"reason", "claim", "realises", "timestamping", "mode", "clock_epoch"} <= set(FIELDS)


def test_the_time_of_a_sample_is_that_of_the_measurement_and_not_of_the_scrape(current):
    current.observe(record(ROW), now_s=100.0)
    shown = promtext.value(page(current, 120.0), "timesync_last_sample_timestamp_seconds")
    assert shown == pytest.approx(AT_NS / 1e9, abs=1e-6)


def test_a_target_that_was_not_polled_yet_shows_counters_and_no_measurement(current):
    shown = page(current, 5.0)
    assert promtext.value(shown, "timesync_polls_total", target="ntp1") == 0
    assert {
        name for name in shown if "offset" in name or "claim" in name or "reach" in name or "sample" in name
    } == set()


def test_a_measurement_goes_when_its_life_is_over_and_the_counters_stay(current):
    tally = Counted(polls=1, replies=1, register=1)
    current.observe(record(ROW), now_s=100.0)
    assert promtext.value(page(current, 100.0 + LIFE_S, tally), "timesync_offset_seconds") == 1.5e-6
    late = page(current, 100.0 + LIFE_S + 0.1, tally)
    of_target = {name for name, family in late.items() for pairs in family.series if ("target", "ntp1") in pairs}
    assert {METRICS[name].life for name in of_target} == {Life.KEPT}
    assert promtext.value(late, "timesync_replies_total") == 1
    assert promtext.value(late, "timesync_last_sample_timestamp_seconds") == pytest.approx(AT_NS / 1e9)


def test_misses_do_not_prolong_a_measurement(current):
    current.observe(record(ROW), now_s=100.0)
    for turn in range(1, 5):
        current.observe(missed(at_ns=AT_NS + turn * 16 * SECOND_NS), now_s=100.0 + turn * INTERVAL_S)
    shown = page(current, 100.0 + 4 * INTERVAL_S, Counted(polls=5, replies=1, register=0b10000))
    assert "timesync_offset_seconds" not in shown
    assert promtext.value(shown, "timesync_utc_claim") == 0
    assert promtext.value(shown, "timesync_utc_claim_absent_info", reason="timeout") == 1
    assert promtext.value(shown, "timesync_reachability_ratio") == pytest.approx(1 / 5)


def test_one_miss_leaves_the_newest_measurement_and_its_claim(current):
    current.observe(record(ROW), now_s=100.0)
    current.observe(missed(at_ns=AT_NS + 16 * SECOND_NS), now_s=116.0)
    shown = page(current, 117.0)
    assert promtext.value(shown, "timesync_time_error_seconds") == -2.5e-7
    assert promtext.value(shown, "timesync_utc_claim") == 1


def test_a_claim_by_a_reference_that_is_lost_says_so(current):
    current.observe(record({**ROW, "quality": "carried"}), now_s=100.0)
    shown = page(current, 101.0)
    assert promtext.value(shown, "timesync_utc_claim") == 1
    assert promtext.value(shown, "timesync_utc_claim_carried") == 1
    current.observe(record({**ROW, "quality": "interpolated"}, AT_NS + 16 * SECOND_NS), now_s=116.0)
    assert promtext.value(page(current, 116.0), "timesync_utc_claim_carried") == 0
    current.observe(record(NO_CLAIM, AT_NS + 32 * SECOND_NS), now_s=132.0)
    assert "timesync_utc_claim_carried" not in page(current, 132.0)


def test_without_a_fresh_reference_there_is_an_offset_and_no_claim_and_the_reason(current):
    current.observe(record(ROW), now_s=100.0)
    current.observe(record(NO_CLAIM, AT_NS + 16 * SECOND_NS), now_s=116.0)
    shown = page(current, 116.0)
    assert promtext.value(shown, "timesync_offset_seconds") == 1.5e-6
    assert "timesync_time_error_seconds" not in shown
    assert "timesync_time_error_uncertainty_seconds" not in shown
    assert promtext.value(shown, "timesync_utc_claim") == 0
    assert promtext.value(shown, "timesync_utc_claim_absent_info") == 1
    assert promtext.value(shown, "timesync_utc_claim_absent_info", reason="reference_stale") == 1


def test_a_better_row_of_the_same_measurement_takes_its_place_and_prolongs_nothing(current):
    current.observe(record(NO_CLAIM), now_s=100.0)
    current.observe(record(ROW), now_s=130.0)
    assert promtext.value(page(current, 131.0), "timesync_time_error_seconds") == -2.5e-7
    assert "timesync_offset_seconds" not in page(current, 100.0 + LIFE_S + 0.1)


def test_a_better_row_of_an_older_measurement_does_not_take_the_place_of_a_newer(current):
    current.observe(record({**ROW, "offset_s": 2e-6}, AT_NS + 16 * SECOND_NS), now_s=116.0)
    current.observe(record(ROW), now_s=117.0)
    shown = page(current, 117.0)
    assert promtext.value(shown, "timesync_offset_seconds") == 2e-6
    assert promtext.value(shown, "timesync_last_sample_timestamp_seconds") == pytest.approx(AT_NS / 1e9 + 16)


def test_after_the_probes_clock_was_set_back_the_new_measurements_are_shown(current):
    current.observe(record(ROW), now_s=100.0)
    current.observe(record({**ROW, "offset_s": 2e-6, "clock_epoch": 1}, AT_NS - 3600 * SECOND_NS), now_s=116.0)
    assert promtext.value(page(current, 116.0), "timesync_offset_seconds") == 2e-6


def test_counters_are_those_of_the_tally_and_a_loss_that_never_was_is_zero(current):
    tally = Counted(polls=5, replies=3, losses=Counter({Reason.KISS_RATE: 2}))
    shown = page(current, 1.0, tally)
    assert promtext.value(shown, "timesync_losses_total", reason="kiss_rate") == 2
    assert promtext.value(shown, "timesync_losses_total", reason="timeout") == 0
    assert promtext.value(shown, "timesync_polls_total") == 5
    assert promtext.value(shown, "timesync_replies_total") == 3


def test_what_an_unsynchronised_server_says_is_shown_though_it_was_not_measured(current):
    current.observe(record(ROW), now_s=100.0)
    current.observe(missed("unsynchronised", AT_NS + 16 * SECOND_NS, stratum=16, leap=3), now_s=116.0)
    shown = page(current, 116.0)
    assert promtext.value(shown, "timesync_leap") == 3
    assert promtext.value(shown, "timesync_stratum") == 16
    assert "timesync_root_delay_seconds" not in shown


def test_reachability_is_over_eight_polls(current):
    current.observe(record(ROW), now_s=1.0)
    tally = Counted(polls=15, register=0b00111111)
    assert promtext.value(page(current, 1.0, tally), "timesync_reachability_ratio") == 6 / 8


def test_a_removed_target_is_gone_and_a_late_record_does_not_bring_it_back(current):
    current.observe(record(ROW), now_s=1.0)
    current.remove_target("ntp1")
    current.observe(record(ROW), now_s=2.0)
    shown = page(current, 2.0)
    assert not [name for name, family in shown.items() for pairs in family.series if ("target", "ntp1") in pairs]
    assert promtext.value(shown, "timesync_exposition_unknown_target_total") == 1
    assert promtext.value(shown, "timesync_targets") == 0


def test_a_new_interval_keeps_what_is_shown_and_a_new_protocol_begins_again(current):
    current.observe(record(ROW), now_s=1.0)
    current.add_target("ntp1", protocol="ntp", interval_s=4.0)
    shown = page(current, 1.0)
    assert promtext.value(shown, "timesync_offset_seconds") == 1.5e-6
    assert promtext.value(shown, "timesync_poll_interval_seconds") == 4.0
    current.add_target("ntp1", protocol="ptp", interval_s=4.0)
    assert "timesync_offset_seconds" not in page(current, 1.0)


def test_other_measurements_are_left_alone(current):
    current.observe(record(ROW, measurement="event"), now_s=1.0)
    assert "timesync_offset_seconds" not in page(current, 1.0)


def test_the_series_of_a_reference_that_changes_are_told_apart(current):
    current.observe(record(ROW), now_s=1.0)
    current.observe(record(ROW, AT_NS + 16 * SECOND_NS, reference="backup"), now_s=17.0)
    shown = page(current, 17.0)
    assert promtext.value(shown, "timesync_time_error_seconds", reference="backup") == -2.5e-7
    assert promtext.value(shown, "timesync_time_error_seconds", reference="utc") is None


def test_the_state_of_the_probe_is_shown(current):
    current.set_loop_lag(0.003)
    current.set_schedule_lag(0.004)
    current.set_clock_changes(steps=2, suspends=1)
    current.set_references([("utc-a", "utc-b", 3e-7, 1e-6)], {"utc-a": "agrees", "utc-b": "outvoted"})
    current.set_faults([("server", "step", "ntp1", 0.85), ("probe_clock", "drift", "", 0.9)])
    for _ in range(3):
        current.observe_event(Event("clock_step", AT_NS, Severity.WARNING, "the clock was stepped"))
    shown = page(current, 1.0)
    assert promtext.value(shown, "timesync_targets", site="NIM", probe="p1") == 1
    assert promtext.value(shown, "timesync_event_loop_lag_seconds") == 0.003
    assert promtext.value(shown, "timesync_schedule_lag_seconds") == 0.004
    assert promtext.value(shown, "timesync_clock_steps_total") == 2
    assert promtext.value(shown, "timesync_clock_suspends_total") == 1
    assert promtext.value(shown, "timesync_reference_difference_seconds", reference="utc-a", other="utc-b") == 3e-7
    assert (
        promtext.value(shown, "timesync_reference_difference_bound_seconds", reference="utc-a", other="utc-b") == 1e-6
    )
    assert promtext.value(shown, "timesync_reference_standing", reference="utc-b", standing="outvoted") == 1
    assert promtext.value(shown, "timesync_reference_standing", reference="utc-b", standing="agrees") == 0
    assert promtext.value(shown, "timesync_fault_confidence_ratio", fault="server", change="step", clock="ntp1") == 0.85
    assert promtext.value(shown, "timesync_fault_confidence_ratio", fault="probe_clock", clock="probe") == 0.9
    assert promtext.value(shown, "timesync_events_total", kind="clock_step", severity="warning") == 3


def test_the_spool_and_its_sinks_are_shown_and_what_is_not_known_is_absent(current):
    sinks = {
        "history": SinkStatus(delivered=100, last_delivered_at_ns=AT_NS),
        "influx": SinkStatus(depth=7, backlog=6, refused=2, failures=9, unavailable_since_ns=AT_NS, last_error="down"),
    }
    causes = {"full": 1}
    status = SpoolStatus(7, None, 4096, 1, 2, 3, failing="no space left", dropped_by=causes, sinks=sinks)
    current.set_spool(status, limit_bytes=2_000_000_000)
    shown = page(current, 1.0)
    expected = {
        "timesync_spool_bytes": 4096,
        "timesync_spool_limit_bytes": 2_000_000_000,
        "timesync_spool_records": 7,
        "timesync_spool_oldest_timestamp_seconds": None,
        "timesync_spool_buffered_records": 3,
        "timesync_spool_writable": 0,
        "timesync_spool_dropped_total": 1,
        "timesync_spool_dropped_by_cause_total": 1,
        "timesync_spool_refused_total": 2,
    }
    assert {name: promtext.value(shown, name) for name in expected} == expected
    of_sinks = {
        "timesync_sink_records": (0, 7),
        "timesync_sink_backlog_records": (0, 6),
        "timesync_sink_available": (1, 0),
        "timesync_sink_last_delivery_timestamp_seconds": (pytest.approx(AT_NS / 1e9), None),
        "timesync_sink_delivered_total": (100, 0),
        "timesync_sink_refused_total": (0, 2),
        "timesync_sink_failures_total": (0, 9),
    }
    for name, (history, influx) in of_sinks.items():
        assert promtext.value(shown, name, sink="history") == history
        assert promtext.value(shown, name, sink="influx") == influx


def test_a_snapshot_does_not_change_afterwards(current):
    tally = Counted(losses=Counter({Reason.TIMEOUT: 1}))
    before = current.snapshot(1.0, {"ntp1": tally})
    tally.losses[Reason.TIMEOUT] += 1
    current.observe(record(ROW), now_s=2.0)
    current.observe_event(Event("x", AT_NS, Severity.INFO, "x"))
    shown = promtext.read(render(samples(before))[0])
    assert promtext.value(shown, "timesync_losses_total", reason="timeout") == 1
    assert "timesync_events_total" not in shown
    assert "timesync_offset_seconds" not in shown


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(3), True, 7], ids=repr)
def test_numbers_of_any_kind_become_plain_floats(current, number):
    current.observe(record({**ROW, "offset_s": number}), now_s=1.0)
    assert promtext.value(page(current, 1.0), "timesync_offset_seconds") == float(number)


# --- what ties the probe to UTC(k) and to UTC -----------------------------------------------------------------------------


def by(family: promtext.Family, label: str) -> dict[str, float]:
    return {dict(key)[label]: value for key, value in family.series.items()}


def test_a_tie_is_shown_as_it_is_now_with_its_end():
    current = Current("NIM", "p1")
    ties = {
        "utc": Tie("UTC(NIM)", bound_s=1e-7, u_s=2e-8, valid_until_ns=AT_NS + SECOND_NS),
        "gnss": Tie("UTC(NIM)", link="sky", no_claim=Reason.LINK_STALE),
    }
    current.set_ties(ties, AT_NS)
    shown = page(current, 0.0)
    claims = by(shown["timesync_tie_claim"], "reference")
    assert claims == {"utc": 1, "gnss": 0}
    ends = by(shown["timesync_tie_valid_until_timestamp_seconds"], "link")
    assert ends == {"declared": pytest.approx((AT_NS + SECOND_NS) / 1e9, abs=1e-6)}
    assert list(shown["timesync_tie_uncertainty_seconds"].series.values()) == [2e-8]
    current.set_ties(ties, AT_NS + 2 * SECOND_NS)
    assert by(page(current, 0.0)["timesync_tie_claim"], "link") == {"declared": 0, "sky": 0}


def test_what_utc_minus_target_rests_on_is_a_state():
    current = Current("NIM", "p1")
    current.add_target("ntp1", protocol="ntp", interval_s=INTERVAL_S)
    current.observe(record({**ROW, "utc_label": "predicted"}), 0.0)
    states = by(page(current, 0.0)["timesync_utc_status"], "status")
    assert states == {"final": 0, "rapid": 0, "predicted": 1, "unavailable": 0}


def test_a_position_is_shown_whole_or_not_at_all():
    current = Current("NIM", "p1")
    current.set_position(40.24, None)
    assert "timesync_site_info" not in page(current, 0.0)
    current.set_position(-33.9, 18.42)
    shown = page(current, 0.0)["timesync_site_info"]
    assert by(shown, "latitude") == {"-33.9": 1}
    assert by(shown, "longitude") == {"18.42": 1}


def test_the_masks_that_are_named_are_shown_and_numpy_waits_for_them():
    assert masks_of(StabilitySettings()) == ()
    assert masks_of(StabilitySettings(enabled=False, masks=("prtc-a",))) == ()
    points = masks_of(StabilitySettings(masks=("prtc-b",)))
    assert {(profile, statistic) for profile, statistic, _, _ in points} == {("prtc-b", "mtie"), ("prtc-b", "tdev")}
    # G.8272 (2018) 6.2: TDEV of a PRTC-B is 1 ns up to 100 s.
    assert {limit_s for _, statistic, tau, limit_s in points if statistic == "tdev" and float(tau) <= 100} == {1e-9}
    current = Current("NIM", "p1")
    current.set_stability(points, {"reference": 3, "probe": 0})
    shown = page(current, 0.0)
    assert len(shown["timesync_mask_seconds"].series) == len(points)
    assert sorted(shown["timesync_stability_targets"].series.values()) == [0, 3]


def test_the_profiles_that_can_be_named_are_those_that_have_masks():
    assert [profile.name for profile in PROFILES.values() if any(m.statistic in STATISTICS for m in profile.masks)] == [
        *MASKED
    ]
