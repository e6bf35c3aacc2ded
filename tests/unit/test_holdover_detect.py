"""Two signs that stay tell a holdover, a phase that has come back its end; simulated clocks whose true instants are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.targets import ntp_target, ptp_target

from timesync.holdover.detect import Detector, Observation, Rules, State, Transition

S = 1_000_000_000


def watched(observations: list[Observation], rules: Rules | None = None) -> list[Transition]:
    detector = Detector(rules or Rules())
    return [found for each in observations if (found := detector.observe(each)) is not None]


def story(transitions: list[Transition]) -> list[str]:
    return [each.after.value for each in transitions]


def test_an_ntp_server_that_loses_its_source_and_finds_it() -> None:
    polls = list(ntp_target(900, 400, 600, np.random.default_rng(1)))
    found = watched(polls)
    assert story(found) == ["acquiring", "locked", "holdover", "acquiring", "locked"]
    began = found[2]
    assert set(began.signs) >= {"frozen", "dispersion"}
    assert 400 * 16 * S <= began.since_ns <= began.at_ns <= (400 + 30) * 16 * S
    assert began.evidence["reference_id"] == "192.0.2.1"
    assert found[3].at_ns >= 600 * 16 * S


def test_a_ptp_master_that_says_so_is_believed_after_three_polls() -> None:
    found = watched(list(ptp_target(300, 100, 200, np.random.default_rng(2))))
    assert story(found) == ["acquiring", "locked", "holdover", "acquiring", "locked"]
    assert found[2].since_ns == 100 * S
    assert found[2].at_ns == 102 * S
    assert set(found[2].signs) >= {"clock_class", "traceable", "accuracy"}


def test_one_sign_alone_is_no_holdover() -> None:
    polls = [
        replace(each, clock_class=7) if number > 150 else each
        for number, each in enumerate(ptp_target(300, 999, 999, np.random.default_rng(3)))
    ]
    assert story(watched(polls)) == ["acquiring", "locked"]


def test_a_wandering_phase_alone_is_no_holdover() -> None:
    """The path may have changed: the target itself says that all is well."""
    polls = list(ntp_target(600, 999, 999, np.random.default_rng(4)))
    moved = [replace(each, x_s=(each.x_s or 0.0) + 5e-3) if number > 300 else each for number, each in enumerate(polls)]
    assert story(watched(moved)) == ["acquiring", "locked"]


def test_a_class_and_a_wandering_phase_together_are() -> None:
    polls = list(ptp_target(300, 999, 999, np.random.default_rng(5)))
    moved = [
        replace(each, clock_class=7, x_s=(each.x_s or 0.0) + (number - 150) * 1e-7) if number > 150 else each
        for number, each in enumerate(polls)
    ]
    found = watched(moved)
    assert story(found) == ["acquiring", "locked", "holdover"]
    assert set(found[2].signs) == {"clock_class", "phase"}


def test_beyond_its_specification() -> None:
    rng = np.random.default_rng(6)
    found = watched(list(ptp_target(1000, 100, 990, rng, rate=1e-8)), Rules(limit_s=5e-6))
    assert story(found)[2:4] == ["holdover", "holdover_out"]
    assert found[3].at_ns == pytest.approx(600 * S, abs=20 * S)
    degraded = [
        replace(each, clock_class=187) if each.clock_class == 7 else each for each in ptp_target(300, 100, 299, rng)
    ]
    assert story(watched(degraded))[2] == "holdover_out"


def test_the_end_waits_for_the_phase() -> None:
    """What the target says is well again at once; its phase takes ten polls."""
    found = watched(list(ptp_target(400, 100, 300, np.random.default_rng(7), rate=1e-7)))
    assert story(found)[2:] == ["holdover", "acquiring", "locked"]
    assert found[3].at_ns == 304 * S
    assert found[4].at_ns >= 310 * S


def test_a_flicker_of_signs_does_not_flicker_the_state() -> None:
    polls = list(ptp_target(400, 999, 999, np.random.default_rng(8)))
    bad = [
        replace(each, clock_class=7, time_traceable=False) if number > 150 and number % 3 == 0 else each
        for number, each in enumerate(polls)
    ]
    assert story(watched(bad)) == ["acquiring", "locked"]


def test_never_synchronised_is_freerun_not_holdover() -> None:
    polls = [Observation(number * S, True, 0.0, leap=3, stratum=16, clock_class=248) for number in range(20)]
    assert story(watched(polls)) == ["freerun"]


def test_silence_is_unknown_and_not_holdover() -> None:
    polls = list(ntp_target(200, 999, 999, np.random.default_rng(9)))
    gone = [*polls, *(Observation((200 + number) * 16 * S, answered=False) for number in range(20))]
    found = watched(gone)
    assert story(found)[-1] == "unknown"
    assert found[-1].signs == ("no_answer",)


def test_ntpd_that_gives_up_its_source_is_in_holdover() -> None:
    """After a lock, LI = 3 with stratum 16 is a lost source, not a clock that never had one."""
    polls = list(ptp_target(200, 999, 999, np.random.default_rng(10)))
    ntp = [Observation(each.at_ns, True, each.x_s, 0, 2, "192.0.2.1", each.at_ns, 1e-4) for each in polls]
    lost = [
        replace(each, leap=3, stratum=16, reference_time_ns=ntp[149].at_ns) if number >= 150 else each
        for number, each in enumerate(ntp)
    ]
    found = watched(lost)
    assert story(found)[-1] == "holdover"
    assert set(found[-1].signs) >= {"unsynchronised"}


@pytest.mark.parametrize("seed", range(10))
def test_no_false_alarm_in_a_week_of_a_sound_server(seed: int) -> None:
    rng = np.random.default_rng([seed, 11])
    found = watched(
        list(ntp_target(6 * 225 * 7, 10**9, 10**9, rng, update_s=float(rng.choice([64.0, 256.0, 1024.0])), silent=0.02))
    )
    assert [each for each in story(found) if each.startswith("holdover")] == []


@pytest.mark.parametrize("seed", range(20))
def test_each_loss_is_found_and_only_after_it(seed: int) -> None:
    rng = np.random.default_rng([seed, 12])
    update_s = float(rng.choice([16.0, 64.0, 256.0]))
    lost = int(rng.integers(300, 500))
    found = watched(list(ntp_target(1400, lost, 1390, rng, update_s=update_s, silent=0.05)))
    began = [each for each in found if each.after.coasting]
    assert began
    assert lost * 16 * S <= began[0].at_ns <= (lost * 16 + 6 * update_s + 20 * 16) * S
    assert State.HOLDOVER.coasting


def test_updates_that_become_rarer_by_doubling_are_no_holdover() -> None:
    """ntpd goes from an update every 16 s to one every 1024 s as it settles; its root dispersion climbs by 15 ppm in between."""
    polls, updated_s, next_s, count, interval_s = [], 0.0, 16.0, 0, 16.0
    for number in range(6000):
        at_s = number * 16.0
        while next_s <= at_s:
            updated_s, count = next_s, count + 1
            if count % 8 == 0:
                interval_s = min(2 * interval_s, 1024.0)
            next_s += interval_s
        dispersion_s = 1e-3 + 15e-6 * (at_s - updated_s)
        polls.append(Observation(round(at_s * S), True, 0.0, 0, 2, "192.0.2.1", round(updated_s * S), dispersion_s))
    assert interval_s == 1024.0
    assert story(watched(polls)) == ["acquiring", "locked"]


def test_a_large_root_dispersion_of_the_beginning_is_forgotten_within_some_updates() -> None:
    """ntpd begins with 0.9 s; a loss twenty updates later is seen by its climbing from 1 ms, far below that."""
    polls = []
    for number in range(400):
        updated = min(number - number % 4, 200)
        first_s = 0.9 if updated < 120 else 1e-3
        dispersion_s = first_s + 15e-6 * 16.0 * (number - updated)
        polls.append(Observation(number * 16 * S, True, 0.0, 0, 2, "192.0.2.1", updated * 16 * S, dispersion_s))
    found = watched(polls)
    assert story(found) == ["acquiring", "locked", "holdover"]
    assert set(found[2].signs) == {"frozen", "dispersion"}
