"""A lost reference carried on by the probe's clock: never beyond its bound, nearer than the last one held, and it ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.clocks import simulated

from timesync import learning
from timesync.holdover import ClockNoise, carry
from timesync.holdover.carry import foresee
from timesync.holdover.fit import fit
from timesync.learning import Learner
from timesync.model import ClockOffset, Quality, TimeError, Timestamping
from timesync.reasons import Reason
from timesync.reference.carrying import learned
from timesync.reference.differencing import Differencer
from timesync.settings import Tie

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from timesync.holdover.carry import Carried
    from timesync.holdover.clock import Samples
    from timesync.holdover.fit import Belief

S = 1_000_000_000
BEGIN = 1_800_000_000 * S
PHI = 15e-6
PATH = 20e-6


def offset(target: str, at_s: float, value_s: float, epoch: int = 0) -> ClockOffset:
    at_ns = BEGIN + round(at_s * S)
    return ClockOffset(target, "ntp", at_ns, value_s, 2 * PATH, PATH, 0.0, 0.0, 0.0, Timestamping.KERNEL, epoch)


def lost(probe: np.ndarray, *, carry_s: float = 3600.0, every_s: float = 16.0, measured: int = 200) -> Differencer:
    """A reference measured `measured` times while the probe's clock goes as it does (its phase at every interval)."""
    made = Differencer("utc", Tie("UTC(X)"), max_age_s=64.0, phi=PHI, carry_s=carry_s)
    for number in range(measured):
        made.reference(offset("utc", number * every_s, -float(probe[number])))
    return made


def claims(made: Differencer, probe: np.ndarray, places: range, true_s: float = 1e-3) -> list[tuple[int, TimeError]]:
    """Each of these targets' last claim: it is `true_s` ahead of UTC(X)."""
    found = []
    for number in places:
        each = offset("a", number * 16.0, true_s - float(probe[number]))
        made.target(each, each.at_ns)
        (claim,) = made.overdue(each.at_ns + 65 * S)
        found.append((number, claim))
    return found


def test_claims_go_on_within_a_bound_and_u_that_grow() -> None:
    """Twenty clocks 30 ppm off at most that wander within phi: every claim is right within its bound, and nearly all within 2 u."""
    within = []
    for seed in range(20):
        rng = np.random.default_rng([seed, 3])
        probe, _ = simulated(ClockNoise(0.0, 1e-16, 1e-18), 400, rng, tau0_s=16.0, y0=30e-6 * rng.uniform(-1, 1))
        found = [claim for _, claim in claims(lost(probe), probe, range(205, 400, 10))]
        assert {claim.quality for claim in found} == {Quality.CARRIED}
        assert all(abs(claim.time_error_s - 1e-3) <= claim.bound_s for claim in found)
        assert all(claim.u_s <= claim.bound_s for claim in found)
        bounds = [claim.bound_s for claim in found]
        assert bounds == sorted(bounds)
        assert found[-1].u_parts["interpolation"] > found[0].u_parts["interpolation"]
        within += [abs(claim.time_error_s - 1e-3) <= 2 * claim.u_s for claim in found]
    assert np.mean(within) >= 0.85  # 95 % of 20 clocks: the claims of one go together


def test_the_bound_holds_for_the_worst_clock_that_is_allowed() -> None:
    """The rate is phi above its constant until the loss, and phi below it afterwards: twice phi is just what is needed."""
    rates = np.where(np.arange(400) < 199, 10e-6 + PHI, 10e-6 - PHI)
    probe = np.concatenate([[0.0], np.cumsum(rates * 16.0)])[:400]
    made = lost(probe)
    for number, claim in claims(made, probe, range(205, 400, 20)):
        error = abs(claim.time_error_s - 1e-3)
        assert error <= claim.bound_s
        assert error >= 0.9 * 2 * PHI * (number - 199) * 16.0  # so that the test is one of the bound


def test_it_ends_after_the_configured_time() -> None:
    probe = np.zeros(400)
    made = lost(probe, carry_s=600.0)
    found = claims(made, probe, range(210, 280, 10))
    for number, claim in found:
        within = (number - 199) * 16.0 <= 600.0
        assert (claim.time_error_s is not None) == within
        assert claim.no_claim is (None if within else Reason.REFERENCE_STALE)


def test_nothing_is_carried_where_it_is_not_wanted_or_after_a_step() -> None:
    probe = np.zeros(400)
    (_, claim), *_ = claims(lost(probe, carry_s=0.0), probe, range(210, 211))
    assert claim.no_claim is Reason.REFERENCE_STALE
    made = lost(probe)
    stepped = offset("a", 210 * 16.0, 0.0, epoch=1)
    made.target(stepped, stepped.at_ns)
    (claim,) = made.overdue(stepped.at_ns + 65 * S)
    assert claim.no_claim is Reason.REFERENCE_STALE


def test_a_reference_that_comes_back_is_used_again() -> None:
    probe = np.zeros(400)
    made = lost(probe)
    claims(made, probe, range(210, 212))
    told = [*made.reference(offset("utc", 220 * 16.0, 0.0))]
    told += made.target(offset("a", 220.5 * 16.0, 1e-3), BEGIN)
    told += made.reference(offset("utc", 221 * 16.0, 0.0))
    (claim,) = [each for each in told if each.offset.target == "a"]
    assert claim.quality is Quality.INTERPOLATED


def test_two_measurements_are_enough_for_a_bound_but_not_for_a_model() -> None:
    probe = np.zeros(400)
    made = lost(probe, measured=2)
    (_, claim), *_ = claims(made, probe, range(10, 11))
    assert claim.quality is Quality.CARRIED
    age_s = (10 - 1) * 16.0
    assert claim.bound_parts["interpolation"] == pytest.approx((2 * PATH / 16.0 + 2 * PHI) * age_s, rel=1e-9)
    assert claim.u_parts["interpolation"] == pytest.approx(claim.bound_parts["interpolation"] / 3**0.5)


def test_the_rate_is_known_no_better_than_the_tie_was_when_each_measurement_was_made() -> None:
    """A link has no tie before it has data, and its bound and value are those of the data."""
    made = Differencer("utc", Tie("UTC(X)", no_claim=Reason.LINK_MISSING), max_age_s=64.0, phi=PHI, carry_s=3600.0)
    ties = (made.tie, made.tie, Tie("UTC(X)", bound_s=2e-3), Tie("UTC(X)", bound_s=3e-3, value_s=1e-3))
    for number, tie in enumerate(ties):
        made.tie = tie
        made.reference(offset("utc", number * 16.0, 0.0))
    (_, claim), *_ = claims(made, np.zeros(400), range(13, 14))
    assert claim.quality is Quality.CARRIED
    rate = (2 * PATH + 2e-3 + 3e-3 + 1e-3) / 16.0 + 2 * PHI
    assert claim.bound_parts["interpolation"] == pytest.approx(rate * 160.0, rel=1e-9)


def test_nothing_is_carried_from_measurements_that_nothing_tied() -> None:
    made = Differencer("utc", Tie("UTC(X)", no_claim=Reason.LINK_MISSING), max_age_s=64.0, phi=PHI, carry_s=3600.0)
    for number in range(3):
        made.reference(offset("utc", number * 16.0, 0.0))
    made.tie = Tie("UTC(X)", bound_s=1e-3)
    (_, claim), *_ = claims(made, np.zeros(400), range(13, 14))
    assert claim.no_claim is Reason.REFERENCE_STALE


def test_another_carry_s_is_another_rule_for_a_reload() -> None:
    hour, none = (Differencer("utc", Tie("UTC(X)"), max_age_s=64.0, carry_s=carry_s) for carry_s in (3600.0, 0.0))
    assert not hour.same_rules(none)
    assert hour.same_rules(Differencer("utc", Tie("UTC(X)"), max_age_s=64.0, carry_s=3600.0))


def test_until_the_model_is_there_the_line_is_claimed_and_then_the_model_within_its_bound() -> None:
    asked: list[tuple[int, int]] = []
    models: list[Carried] = []

    def learn(t_s: Sequence[float], offset_s: Sequence[float]) -> Callable[[], Carried | None]:
        asked.append((len(t_s), len(offset_s)))
        return lambda: models[-1] if models else None

    probe, _ = simulated(ClockNoise(0.0, 1e-16, 1e-18), 400, np.random.default_rng(5), tau0_s=16.0, y0=1e-6)
    made = Differencer("utc", Tie("UTC(X)"), max_age_s=64.0, phi=PHI, carry_s=3600.0, learn=learn)
    for number in range(200):
        made.reference(offset("utc", number * 16.0, -float(probe[number])))
    (_, before), *_ = claims(made, probe, range(210, 211))
    assert before.u_parts["interpolation"] == pytest.approx(before.bound_parts["interpolation"] / 3**0.5)
    models.append(foresee([16.0 * number for number in range(200)], (-probe[:200]).tolist()))
    (_, after), *_ = claims(made, probe, range(210, 211))
    assert asked == [(200, 200)]  # once for the loss
    assert after.u_parts["interpolation"] < 0.1 * before.u_parts["interpolation"]
    # The model may be as far from the line as the line may be wrong, and what they differ by is in its bound.
    moved_s = abs(after.time_error_s - before.time_error_s)
    assert moved_s <= before.bound_parts["interpolation"]
    assert after.bound_s == pytest.approx(before.bound_s + moved_s, rel=1e-9)


def test_a_clock_is_learned_from_few_elements_and_no_worse_than_from_every_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe, _ = simulated(ClockNoise(1e-14, 1e-16, 1e-20), 512, np.random.default_rng(6), tau0_s=16.0, y0=1e-6)
    t = [16.0 * number for number in range(512)]
    sizes: list[int] = []

    def counted(samples: Samples) -> Belief:
        sizes.append(len(samples))
        return fit(samples)

    monkeypatch.setattr(carry, "fit", counted)
    few = foresee(t, probe.tolist())
    monkeypatch.setattr(carry, "KEEP", 512)
    every = foresee(t, probe.tolist())
    assert sizes[0] <= 128 < sizes[1]
    for age_s in (60.0, 600.0, 3600.0):
        (few_s, few_u_s), (every_s, every_u_s) = few.at(age_s), every.at(age_s)
        assert abs(few_s - every_s) < every_u_s
        assert few_u_s == pytest.approx(every_u_s, rel=0.5)


def test_a_clock_is_learned_beside_the_loop_and_a_failure_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    learner = Learner()
    released = threading.Event()

    def slow(t_s: Sequence[float], offset_s: Sequence[float]) -> Carried | None:
        released.wait(20.0)
        return learned(t_s, offset_s)

    def broken(t_s: Sequence[float], offset_s: Sequence[float]) -> Carried | None:
        raise ZeroDivisionError

    t, x = [float(number) for number in range(50)], [1e-9 * number**2 for number in range(50)]
    monkeypatch.setattr(learning, "learned", slow)
    model = learner.learn(t, x)
    assert model() is None  # and nobody has waited
    monkeypatch.setattr(learning, "learned", broken)
    failed = learner.learn(t, x)
    released.set()
    deadline = time.monotonic() + 20.0
    while "could not be learned" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.005)
    assert model() == learned(t, x)
    assert failed() is None
    assert "ZeroDivisionError" in caplog.text
    learner.close()
    assert learner.learn(t, x)() is None
