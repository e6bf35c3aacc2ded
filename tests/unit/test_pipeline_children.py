"""Clocks that a target's polls find besides: children in the pipeline; and offsets that claim nothing of UTC."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from timesync.model import Exchange, Missed, PtpFacts, Timestamping
from timesync.pipeline import CHILDREN_LIMIT, Pipeline
from timesync.reasons import Reason
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie
from timesync.uncertainty import PHI, clock_offset

T0 = 1_795_000_000_000_000_000
MASTER = TargetSettings("gm", "ptp", "eth0", tie=Tie("UTC(NIM)", 50e-9, 10e-9))
SERVER = TargetSettings("server", "ntp", "192.0.2.2")
FACTS = PtpFacts("001122.fffe.334455-1", 0, "ptp", clock_class=6, clock_accuracy=0x21, clock_accuracy_s=100e-9)


def settings(*targets: TargetSettings) -> ProbeSettings:
    return ProbeSettings(SiteSettings("nim", "p1"), targets, SpoolSettings(Path()), reference_max_age_s=10.0)


def exchange(target: str, at_ns: int, ahead_ns: int, no_claim: Reason | None = None) -> Exchange:
    return Exchange(
        target,
        "ptp",
        "eth0",
        at_ns,
        at_ns + 5_000 + ahead_ns,
        at_ns + 5_000 + ahead_ns,
        at_ns + 10_000,
        Timestamping.KERNEL,
        Timestamping.KERNEL,
        "e2e",
        FACTS,
        0,
        no_claim=no_claim,
    )


def test_a_child_is_told_of_once_and_measured_against_its_parent_that_is_a_reference() -> None:
    found: list[TargetSettings] = []
    pipeline = Pipeline(settings(MASTER), found.append)
    polls = [[exchange("gm", T0 + n * 10**9, 0), exchange("gm/b", T0 + n * 10**9, 1_500)] for n in range(2)]
    rows = [row for poll in polls for row in pipeline.outcomes("gm", poll, T0)]
    assert [(child.name, child.tie, child.reference, child.interval_s) for child in found] == [
        ("gm/b", None, "gm", MASTER.interval_s)
    ]
    children = [row for row in rows if row.tags["target"] == "gm/b"]
    assert {row.tags["reference"] for row in children} == {"gm"}
    assert abs(float(children[0].fields["time_error_s"]) - 1.5e-6) < 1e-9
    assert pipeline.states["gm/b"].polls == 2


def test_a_masters_clock_accuracy_is_what_it_is_uncertain_by_as_a_reference() -> None:
    (row,) = Pipeline(settings(MASTER)).outcomes("gm", [exchange("gm", T0, 0)], T0)
    assert row.fields["bound_upstream_s"] == 100e-9
    assert row.fields["clock_class"] == 6
    assert row.fields["port_identity"] == "001122.fffe.334455-1"
    assert "stratum" not in row.fields


def test_children_stay_at_reload_while_their_parent_is_unchanged() -> None:
    pipeline = Pipeline(settings(MASTER, SERVER))
    pipeline.outcomes("gm", [exchange("gm/b", T0, 0)], T0)
    pipeline.configure(settings(MASTER))
    assert pipeline.states["gm/b"].polls == 1
    pipeline.configure(settings(replace(MASTER, interval_s=4.0)))
    assert set(pipeline.states) == {"gm"}


def test_an_arbitrary_time_scale_gives_an_offset_and_no_claim_and_is_no_reference() -> None:
    pipeline = Pipeline(settings(MASTER, SERVER))
    (row,) = pipeline.outcomes("gm", [exchange("gm", T0, 250, Reason.ARBITRARY_TIMESCALE)], T0)
    assert row.fields["claim"] == "arbitrary_timescale"
    assert abs(float(row.fields["offset_s"]) - 250e-9) < 1e-9
    assert "time_error_s" not in row.fields
    pipeline.outcomes("server", [exchange("server", T0 + 10**8, 0)], T0 + 10**8)
    (stale,) = pipeline.tick(T0 + 2 * 10**9)
    assert stale.fields["claim"] == Reason.REFERENCE_STALE.value


def test_a_miss_of_a_child_is_the_childs() -> None:
    pipeline = Pipeline(settings(MASTER))
    missed = Missed("gm/b", "ptp", "eth0", T0, Reason.NO_SYNC, "", 0, facts=FACTS)
    (row,) = pipeline.outcomes("gm", [missed], T0)
    assert (row.tags["target"], row.fields["clock_class"]) == ("gm/b", 6)
    assert pipeline.states["gm"].polls == 0


def test_a_sync_long_before_the_question_counts_for_the_oscillator_like_one_after_it() -> None:
    """t4 (the Sync came) may lie before t1 (the question left): the oscillator had as long to go wrong."""
    after = exchange("gm", T0, 0)
    early = after._replace(t3_ns=after.t3_ns - 2 * 10**9, t4_ns=after.t4_ns - 2 * 10**9)
    late = after._replace(t3_ns=after.t3_ns + 2 * 10**9, t4_ns=after.t4_ns + 2 * 10**9)
    offsets = [clock_offset(each) for each in (early, late)]
    for offset in offsets:
        assert abs(offset.bound_oscillator_s - 2 * PHI) < 1e-9
        assert abs(offset.delay_s - 10e-6) < 1e-12
        assert abs(offset.offset_s) < 1e-12


def test_children_named_by_the_network_are_bounded_and_the_one_silent_longest_makes_room() -> None:
    lost: list[str] = []
    pipeline = Pipeline(settings(MASTER), lost=lost.append)
    for number in range(CHILDREN_LIMIT):
        pipeline.outcomes("gm", [exchange(f"gm/{number}", T0 + number, 0)], T0)
    pipeline.outcomes("gm", [exchange("gm/0", T0 + 10**9, 0)], T0)
    assert lost == []
    pipeline.outcomes("gm", [exchange("gm/one more", T0 + 2 * 10**9, 0)], T0)
    assert lost == ["gm/1"]
    assert len(pipeline.states) == CHILDREN_LIMIT + 1
    assert "gm/0" in pipeline.states
    (differencer,) = pipeline._differencers.values()
    assert differencer.waiting == CHILDREN_LIMIT + 1  # every offset but the one of the child that made room
