"""Named faults with known truth, simulated and measured through the real pipeline: each gets its one verdict, and no other."""

from __future__ import annotations

import pytest
from support.faultscenarios import CONTROLS, FAULT_S, SCENARIOS, verdicts

SEEDS = (1, 10)
HOURS_6 = 6 * 3600.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_fault_is_laid_at_the_right_door_once_and_is_told_to_be_over(name: str, seed: int) -> None:
    scenario = SCENARIOS[name]
    world = scenario.world(seed)
    world.run(FAULT_S - 60.0)
    assert world.faults == []
    world.run(scenario.until_s)
    told = sorted(verdicts(world.events))
    expected = sorted(scenario.expected, key=lambda each: (each[0], each[1] or "", each[2]))
    assert [(fault, members) for fault, _, members in told] == [(fault, members) for fault, _, members in expected]
    assert [kind for _, kind, _ in told] == [
        wanted or kind for (_, wanted, _), (_, kind, _) in zip(expected, told, strict=True)
    ]
    ended = {each.kind for each in world.ends}
    assert {f"fault_{name}_over" for name in scenario.over} <= ended
    for event in world.faults:
        assert 0.0 < float(event.evidence["confidence"]) < 1.0
        assert "undecided" not in event.kind or float(event.evidence["confidence"]) <= 0.5


@pytest.mark.parametrize("name", CONTROLS)
def test_nothing_is_said_where_nothing_is_wrong(name: str) -> None:
    world = CONTROLS[name](1)
    world.run(HOURS_6)
    assert [event.text for event in world.faults] == []


def test_the_evidence_holds_the_numbers_that_led_to_the_verdict() -> None:
    world = SCENARIOS["the way to a target becomes 1 ms longer"].world(1)
    world.run(3000.0)
    (event,) = world.faults
    assert event.target == "s1"
    assert float(event.evidence["delay_change_s"]) == pytest.approx(1e-3, abs=50e-6)
    # offset = (forth - back) / 2 (RFC 5905 section 8)
    assert float(event.evidence["moved_s"]) == pytest.approx(0.5e-3, abs=50e-6)
    assert set(str(event.evidence["witnesses"]).split(",")) >= {"utc", "s2", "s3"}
    assert "only the way to it" in event.text


def test_what_a_server_says_of_itself_after_a_change_is_evidence() -> None:
    world = SCENARIOS["a server restarts at another stratum, 4 ms off"].world(1)
    world.run(3000.0)
    (event,) = world.faults
    assert event.evidence["told"] == "stratum 1 -> 3, reference_id GPS -> 10.0.0.7"


def test_with_two_references_the_verdict_names_both_and_claims_nothing() -> None:
    world = SCENARIOS["two references only, one drifts within what the probe's oscillator can do"].world(1)
    world.run(5000.0)
    (event,) = world.faults
    assert event.kind == "fault_undecided"
    assert str(event.evidence["members"]) == "utc,utc1"


def test_a_fault_of_a_target_that_is_removed_is_over() -> None:
    from dataclasses import replace

    world = SCENARIOS["a target falls silent"].world(1)
    world.run(3000.0)
    assert len(world.faults) == 1
    rest = tuple(target for target in world.settings.targets if target.name != "s1")
    world.pipeline.configure(replace(world.settings, targets=rest))
    world.pipeline.tick(world.probe_ns(3001.0))
    (event,) = world.pipeline.take_events()
    assert (event.kind, event.evidence["ended"]) == ("fault_undecided_over", "removed")


def test_a_fault_of_very_many_clocks_is_one_event_of_a_size_that_databases_take() -> None:
    from support.faultsim import Server, World

    names = [f"server-{number:040d}" for number in range(400)]
    world = World([Server(name, 64.0, silent=lambda t_s: t_s > 300.0) for name in names])
    world.run(1200.0)
    (event,) = world.faults
    assert (event.kind, event.evidence["concerned"]) == ("fault_path", 400)
    assert sum(len(str(value)) for value in event.evidence.values()) < 16_000
    assert len(event.text) < 1000


def test_a_reference_that_steps_under_very_many_targets_is_one_event() -> None:
    import random

    from support.faultsim import T0_NS

    from timesync.attribution.watch import Attribution
    from timesync.model import ClockOffset, Timestamping

    count, chance, events = 300, random.Random(1), []
    attribution = Attribution(15e-6)
    attribution.configure([(f"t{index}", 1.0, index == 0) for index in range(count)], 15e-6)
    for turn in range(400):
        for index in range(count):
            error_s = 1e-3 if turn > 200 and index == 0 else 0.0
            attribution.take(
                ClockOffset(
                    f"t{index}", "ntp", T0_NS + round((turn + index / count) * 1e9), error_s + chance.gauss(0.0, 1e-5),
                    1e-3 + chance.expovariate(1e5), 5e-4, 1e-7, 1e-8, 0.0, Timestamping.KERNEL, 0,
                )
            )  # fmt: skip
        events += attribution.tick(T0_NS + (turn + 1) * 10**9)
    assert [(event.kind, event.target) for event in events] == [("fault_reference", "t0")]
