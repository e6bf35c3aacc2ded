"""Alerts from the pipeline's states: each named fault is told by its alert and no other; nothing is told of a site that is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.alertsim import FAULTS, Site

from timesync.alert_service import STATE_FILE
from timesync.alerts.book import Phase
from timesync.alerts.facts import Foreseen
from timesync.alerts.kinds import KINDS, Scope
from timesync.model import Quality
from timesync.reasons import Reason
from timesync.state_word import state_word
from timesync.web import facts

if TYPE_CHECKING:
    from pathlib import Path


def test_the_named_faults_are_those_of_all_alerts():
    told_of = {kind for fault in FAULTS.values() for kind, _ in fault.expected}
    of_states = {kind.name for kind in KINDS if kind.scope is not Scope.MONITOR}
    assert of_states - told_of == {"stale", "not_traceable"}  # these are below


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_by_its_alert_and_no_other(name: str, tmp_path: Path) -> None:
    fault, site = FAULTS[name], Site(tmp_path, step_s=2.0)
    site.run(fault.warm_s)
    assert site.told == []
    fault.begin(site)
    site.run(fault.within_s)
    begun = {alert.key for _, alert in site.told}
    assert fault.expected <= begun
    assert begun <= fault.expected | fault.also_allowed
    kinds = [event.kind for event in site.events]
    assert kinds.count("alert_firing") == sum(alert.phase is Phase.FIRING for _, alert in site.told)


def test_a_dead_reference_is_one_alert_and_its_end_is_told(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(300)
    site.servers["utc"].loss = 1.0
    site.run(1800)
    site.servers["utc"].loss = 0.0
    site.run(600)
    assert [(alert.kind.name, alert.target, alert.phase.value) for _, alert in site.told] == [
        ("reference_lost", "utc", "firing"),
        ("reference_lost", "utc", "resolved"),
    ]
    firing, over = site.events
    assert (firing.kind, firing.severity.value, over.kind, over.severity.value) == (
        *("alert_firing", "error"),
        *("alert_resolved", "info"),
    )
    assert firing.evidence["alert"] == "reference_lost"


def test_claims_of_a_lost_reference_go_on_and_only_what_is_certain_is_told_of_them(tmp_path: Path) -> None:
    """After ten minutes the bound is beyond the limit of 2 ms; a server that is 1 s off is wrong whatever the probe's clock did."""
    site = Site(tmp_path)
    site.run(300)
    site.servers["utc"].loss = 1.0
    site.run(900)
    error = site.pipeline.states["ntp1"].error
    assert error is not None
    assert error.quality is Quality.CARRIED
    assert error.bound_s > 2e-3
    assert state_word(site.pipeline.states["ntp1"]) == "carried"
    shown = facts.target("ntp1", site.pipeline.states["ntp1"], None, site.now_ns())
    assert (shown["state"], shown["level"], shown["quality"]) == ("carried", "unsettled", "carried")
    assert shown["time_error_bound_s"] == error.bound_s
    assert shown["trouble"]["meaning"].startswith("its reference is lost")
    assert site.firing() == {("reference_lost", "utc")}
    site.servers["ntp1"].error = lambda _: 1.0
    site.run(120)
    assert site.firing() == {("reference_lost", "utc"), ("certain_breach", "ntp1")}
    (why,) = {alert.why for _, alert in site.told if alert.kind.name == "certain_breach"}
    assert why.endswith("carried on since the reference was lost")
    site.servers["ntp1"].error = lambda _: 0.0
    site.run(3600)  # the hour of carry_s is over
    assert site.pipeline.states["ntp1"].error.no_claim is Reason.REFERENCE_STALE  # type: ignore[union-attr]
    assert site.firing() == {("reference_lost", "utc")}


def test_a_claim_that_is_no_longer_news_has_no_verdict_on_the_page(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(300)
    assert facts.target("ntp1", site.pipeline.states["ntp1"], None, site.now_ns())["verdict"] == "within"
    site.servers["ntp1"].loss = 1.0
    site.run(300)
    assert facts.target("ntp1", site.pipeline.states["ntp1"], None, site.now_ns())["verdict"] is None


def test_a_line_is_not_drawn_through_what_was_carried_on(tmp_path: Path) -> None:
    """The probe's clock runs off by 35 ms while it stands in: that is no drift of a server."""
    site = Site(tmp_path, step_s=2.0)
    site.run(2 * 3600.0)
    lost_s = site.now_s
    site.servers["utc"].loss = site.servers["utc2"].loss = 1.0
    site.probe = lambda at_s: 10e-6 * min(at_s - lost_s, 3500.0)
    site.run(3500.0)
    error = site.pipeline.states["ntp1"].error
    assert error is not None
    assert error.time_error_s == pytest.approx(-35e-3, rel=0.1)
    assert error.bound_s > 35e-3
    site.servers["utc"].loss = site.servers["utc2"].loss = 0.0
    site.run(3600.0)
    assert {kind for kind, _ in {alert.key for _, alert in site.told}} == {"reference_lost"}


def test_a_clock_that_runs_free_is_foreseen_by_its_model_and_others_by_the_line(tmp_path: Path) -> None:
    """0.3 ms an hour: the line reaches 2 ms in less than four hours; a model that knows better is believed, one of a steered clock
    is not asked."""
    for foreseen, told in ((Foreseen(True, 40 * 3600.0), False), (Foreseen(False, None), True), (None, True)):
        site = Site(tmp_path, step_s=4.0)
        begun_s = site.now_s
        site.servers["ntp1"].error = lambda at_s, begun_s=begun_s: 0.3e-3 * (at_s - begun_s) / 3600
        if foreseen is not None:
            site.foreseen["ntp1"] = foreseen
        site.run(5 * 3600.0)
        assert (("forecast_breach", "ntp1") in site.firing()) == told


def test_a_tie_that_has_ended_loses_the_reference_and_targets_are_not_told_one_by_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.tie_until_ns = site.now_ns() + 400 * 10**9
    site.begin()
    site.run(1500)
    assert {key for key in site.firing() if key[0] != "tie_expiring"} == {
        ("reference_lost", "utc"),
        ("reference_lost", "utc2"),
    }
    (lost,) = {alert.why for _, alert in site.told if alert.kind.name == "reference_lost"}
    assert lost == "reference_expired"


def test_polls_that_no_longer_come_are_told_as_stale(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(120)
    site._due.clear()
    site.run(600)
    assert {kind for kind, _ in site.firing()} == {"stale", "reference_lost"}


def test_what_fires_is_known_after_a_restart_and_told_to_be_over_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(100)
    site.servers["ntp1"].error = lambda _: 10e-3
    site.run(200)
    assert site.firing() == {("certain_breach", "ntp1")}
    site.begin()
    site.run(600)
    assert len(site.told) == 1
    assert [alert.key for alert in site.alerts.active()] == [("certain_breach", "ntp1")]
    site.servers["ntp1"].error = lambda _: 0.0
    site.run(600)
    assert [alert.phase.value for _, alert in site.told] == ["firing", "resolved"]


@pytest.mark.parametrize("content", [b"", b"[1]", b'[{"alert": "gone"}]', b"\xff"])
def test_a_state_file_that_cannot_be_read_is_let_go(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / STATE_FILE).write_bytes(content)
    site = Site(tmp_path)
    site.run(60)
    assert site.told == []
    assert "cannot be read" in caplog.text


def test_counts_name_every_alert(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.servers["ntp1"].loss = 1.0
    site.run(400)
    counts = site.alerts.counts()
    assert counts["unreachable", "critical"] == 1
    assert sum(counts.values()) == 1
    assert {kind for kind, _ in counts} == {kind.name for kind in KINDS if kind.scope is not Scope.MONITOR}
