"""Several references: a majority outvotes a liar, a fallback takes the place of one that fails, rows say by which they are."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.faultsim import MS, US, Server, World, constant, step

from timesync.reasons import Reason
from timesync.reference.agreement import AgreementWatch, Interval, Standing, differences, vote
from timesync.reference.fallback import Preference

AT_NS = 1_795_000_000_000_000_000
S = 10**9


def standings(**intervals: tuple[float, float]) -> dict[str, str]:
    return {name: each.value for name, each in vote({n: Interval(*i) for n, i in intervals.items()}).standing.items()}


def test_intervals_that_meet_agree() -> None:
    assert standings(a=(0.0, 1.0), b=(1.5, 1.0)) == {"a": "agrees", "b": "agrees"}
    assert standings(a=(0.0, 1.0), b=(2.0, 1.0)) == {"a": "agrees", "b": "agrees"}


def test_two_against_one() -> None:
    assert standings(a=(0.0, 1.0), b=(0.5, 1.0), c=(5.0, 1.0)) == {"a": "agrees", "b": "agrees", "c": "outvoted"}


def test_one_against_one_is_undecided() -> None:
    assert standings(a=(0.0, 1.0), b=(5.0, 1.0)) == {"a": "undecided", "b": "undecided"}
    assert standings(a=(0.0, 1.0)) == {"a": "alone"}


def test_one_in_the_middle_of_two_that_disagree_agrees_and_they_are_undecided() -> None:
    assert standings(a=(0.0, 1.0), b=(1.5, 1.0), c=(3.0, 1.0)) == {"a": "undecided", "b": "agrees", "c": "undecided"}


def test_a_wide_bound_outvotes_nobody() -> None:
    assert standings(a=(0.0, 1.0), b=(0.5, 1.0), c=(5.0, 100.0)) == {"a": "agrees", "b": "agrees", "c": "agrees"}


def test_the_example_of_rfc_5905_style_intersection() -> None:
    # Marzullo's: 8..12, 11..13, 10..12 share 11..12; 14..15 is outside.
    result = vote({"a": Interval(10, 2), "b": Interval(12, 1), "c": Interval(11, 1), "d": Interval(14.5, 0.5)})
    assert result.shared == Interval(11.5, 0.5)
    assert result.standing["d"] is Standing.OUTVOTED


@pytest.mark.parametrize("seed", range(20))
def test_honest_intervals_are_never_outvoted(seed: int) -> None:
    chance = random.Random(seed)
    intervals = {}
    for name in "abcdefg":
        bound_s = chance.uniform(0.1, 2.0)
        intervals[name] = Interval(chance.uniform(-bound_s, bound_s), bound_s)  # each holds the truth, 0
    assert Standing.OUTVOTED not in vote(intervals).standing.values()
    assert all(each.agrees for each in differences(intervals))


def test_a_standing_is_told_after_three_votes_and_its_end_too() -> None:
    watch = AgreementWatch()
    good = {"a": Interval(0.0, 1.0), "b": Interval(0.1, 1.0), "c": Interval(0.2, 1.0)}
    bad = {**good, "c": Interval(5.0, 1.0)}
    kinds = [
        [event.kind for event in watch.observe(each, AT_NS)] for each in (good, bad, bad, bad, bad, good, good, good)
    ]
    assert kinds == [[], [], [], ["reference_outvoted"], [], [], [], ["reference_outvoted_over"]]


def test_the_next_that_can_be_used_takes_over_at_once_and_gives_way_after_a_while() -> None:
    preference = Preference(("a", "b", "c"))
    bad: dict[str, Reason] = {"a": Reason.REFERENCE_STALE, "b": Reason.REFERENCE_EXPIRED}

    def look(now_s: float) -> str | None:
        change = preference.look(bad.get, AT_NS + round(now_s * S), 300 * S)
        return None if change is None else f"{change.former}>{change.chosen}:{change.why}"

    assert look(0) == "a>c:reference_stale"
    assert look(1) is None
    bad.clear()
    assert look(10) is None
    bad["a"] = Reason.REFERENCE_STALE
    assert look(200) is None  # b has been usable for so long, and a has not
    assert look(400) is None
    assert look(501) == "c>b:None"
    bad.clear()
    assert look(600) is None
    assert look(901) == "b>a:None"
    assert preference.changes == 3
    assert preference.changed_at == {"a": 3, "b": 2, "c": 1}


def test_where_none_can_be_used_the_last_one_stays() -> None:
    preference = Preference(("a", "b"))
    assert preference.look(lambda _name: Reason.REFERENCE_STALE, AT_NS, S) is None
    assert preference.current == "a"


def site(fallback: tuple[str, ...] = ("utc-b", "utc-c"), **changes: dict[str, object]) -> World:
    references = [
        Server(name, realises="UTC(NIM)", **changes.get(name.replace("-", "_"), {}))  # type: ignore[arg-type]  # by name
        for name in ("utc-a", "utc-b", "utc-c")
    ]
    target = Server("ntp1", error_s=constant(40 * US), options={"fallback": fallback} if fallback else {})
    return World([*references, target], keep_rows=True)


def rows_of(world: World, target: str) -> list[tuple[float, str, object, str]]:
    return [
        (
            (row.at_ns - world.begin_ns) / S,
            row.tags.get("reference", ""),
            row.fields.get("reference_changes"),
            str(row.fields["claim"]),
        )
        for row in world.rows
        if row.measurement == "time_error" and row.tags["target"] == target
    ]


def test_a_silent_reference_is_replaced_without_a_step_in_the_data_and_taken_back() -> None:
    world = site(utc_a={"silent": lambda t_s: 1000.0 < t_s < 2000.0})
    world.run(3000.0)
    changes = [event for event in world.events if event.kind == "reference_changed"]
    assert [(event.evidence["former"], event.evidence["chosen"]) for event in changes] == [
        ("utc-a", "utc-b"),
        ("utc-b", "utc-a"),
    ]
    assert [event.evidence["cause"] for event in changes] == ["reference_stale", "preferred"]
    final = {at: row for at, *row in rows_of(world, "ntp1")}  # the last row of an instant counts
    assert [row[1] for row in final.values()] == sorted(row[1] for row in final.values())
    assert {row[1] for row in final.values()} == {0, 1, 2}
    used = {changes: {row[0] for row in final.values() if row[1] == changes} for changes in (0, 1, 2)}
    assert used == {0: {"utc-a"}, 1: {"utc-b"}, 2: {"utc-a"}}
    errors = [
        float(row.fields["time_error_s"])
        for row in world.rows
        if row.tags.get("target") == "ntp1" and "time_error_s" in row.fields
    ]
    assert max(errors) - min(errors) < 200 * US
    gap = [at for at, row in final.items() if row[2] != "valid"]
    assert all(1000.0 < at < 1100.0 for at in gap)


def test_a_liar_is_outvoted_and_its_targets_go_over_to_an_honest_one() -> None:
    world = site(utc_a={"error_s": step(1000.0, 20 * MS)})
    world.run(2000.0)
    kinds = {event.kind for event in world.events}
    assert {"reference_outvoted", "reference_changed", "fault_reference"} <= kinds
    (outvoted,) = [event for event in world.events if event.kind == "reference_outvoted"]
    assert outvoted.target == "utc-a"
    assert float(outvoted.evidence["difference_s"]) == pytest.approx(20 * MS, abs=1 * MS)
    (change,) = [event for event in world.events if event.kind == "reference_changed"]
    assert change.evidence["cause"] == Reason.REFERENCE_OUTVOTED.value
    late = [row for row in world.rows if row.at_ns > world.begin_ns + 1500 * S and row.measurement == "time_error"]
    target = [float(row.fields["time_error_s"]) for row in late if row.tags["target"] == "ntp1"]
    assert all(abs(error - 40 * US) < 100 * US for error in target)
    assert {row.fields["claim"] for row in late if row.tags["target"] == "utc-a"} == {"reference_outvoted"}


def test_without_a_fallback_a_liar_is_told_of_and_claims_are_as_before() -> None:
    world = site((), utc_a={"error_s": step(1000.0, 20 * MS)})
    world.run(2000.0)
    kinds = [event.kind for event in world.events]
    assert "reference_outvoted" in kinds
    assert "reference_changed" not in kinds
    assert all(
        row.fields["claim"] == "valid"
        for row in world.rows
        if row.tags.get("target") == "utc-a" and "claim" in row.fields
    )
    assert not any("reference_changes" in row.fields for row in world.rows)


def test_two_that_disagree_are_told_of_and_neither_is_outvoted() -> None:
    references = [Server("utc-a", realises="UTC(NIM)"), Server("utc-b", realises="UTC(PTB)", error_s=constant(20 * MS))]
    world = World([*references, Server("ntp1", options={"fallback": ("utc-b",)})])
    world.run(1000.0)
    assert [event.kind for event in world.events] == ["references_disagree"]
    assert world.events[0].evidence["members"] == "utc-a,utc-b"


def test_differences_between_references_are_rows_with_their_bound() -> None:
    world = site(utc_b={"error_s": constant(300 * US)})
    world.run(1000.0)
    rows = [row for row in world.rows if row.measurement == "reference_difference"]
    pairs = {(row.tags["target"], row.tags["reference"]) for row in rows}
    assert pairs == {("utc-a", "utc-b"), ("utc-a", "utc-c"), ("utc-b", "utc-c")}
    for row in rows:
        truth = {"utc-b": 300 * US}.get(row.tags["target"], 0.0) - {"utc-b": 300 * US}.get(row.tags["reference"], 0.0)
        assert abs(float(row.fields["difference_s"]) - truth) <= float(row.fields["difference_bound_s"])
        assert row.fields["agrees"] is True


def test_with_one_reference_there_is_nothing_to_compare() -> None:
    world = World([Server("utc-a", realises="UTC(NIM)"), Server("ntp1")], keep_rows=True)
    world.run(1000.0)
    assert not world.events
    assert {row.measurement for row in world.rows} == {"time_error"}


def test_a_reload_keeps_the_reference_that_is_in_use() -> None:
    world = site(utc_a={"silent": lambda t_s: t_s > 1000.0})
    world.run(1500.0)
    assert world.pipeline.states["ntp1"].reference == "utc-b"
    world.pipeline.configure(replace(world.settings, coverage_factor=3.0))
    assert world.pipeline.states["ntp1"].reference == "utc-b"
    world.run(2500.0)
    assert [event.kind for event in world.events].count("reference_changed") == 1
