"""Target minus reference, with simulated clocks whose truth is known."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timesync.model import ClockOffset, Exchange, Quality, ServerFacts, TimeError, Timestamping
from timesync.reasons import Reason
from timesync.reference.differencing import Differencer, LocalReference
from timesync.settings import Tie
from timesync.uncertainty import clock_offset

S = 10**9
BEGIN_NS = 1_795_000_000 * S
TIE = Tie("UTC(TEST)", bound_s=50e-9, u_s=20e-9)
PHI = 100e-6


@dataclass
class ProbeClock:
    """The probe's clock: wrong, drifting, and stepped at true instants (seconds, ns)."""

    offset_ns: int = 0
    rate: float = 0.0
    steps: list[tuple[float, int]] = field(default_factory=list)

    def epoch(self, at_s: float) -> int:
        return sum(at <= at_s for at, _ in self.steps)

    def shows_ns(self, at_s: float) -> int:
        stepped = sum(ns for at, ns in self.steps if at <= at_s)
        return BEGIN_NS + self.offset_ns + stepped + round(at_s * S) + round(at_s * self.rate * S)


@dataclass
class Clock:
    """A server: its time error (s), and its path."""

    name: str
    x_s: float = 0.0
    out_s: float = 0.0002
    back_s: float = 0.0002
    upstream_s: float = 0.0

    def measured(self, probe: ProbeClock, at_s: float) -> ClockOffset:
        """An exchange in the true time around `at_s`, begun and ended in one epoch."""
        t1_s = at_s - self.out_s
        t4_s = at_s + self.back_s
        shows = BEGIN_NS + round((at_s + self.x_s) * S)
        assert probe.epoch(t1_s) == probe.epoch(t4_s)
        facts = ServerFacts(precision_s=1e-9, root_dispersion_s=self.upstream_s)
        return clock_offset(
            Exchange(
                self.name, "ntp", "192.0.2.1:123", probe.shows_ns(t1_s), shows, shows, probe.shows_ns(t4_s),
                Timestamping.KERNEL, Timestamping.KERNEL, "basic", facts, probe.epoch(at_s),
            ),
            PHI,
        )  # fmt: skip


def differencer(max_age_s: float = 64.0, tie: Tie = TIE) -> Differencer:
    return Differencer("reference", tie, max_age_s=max_age_s, phi=PHI)


REFERENCE = Clock("reference")
# A target 3 s after one measurement of the reference and 5 s before the next: 2 phi d1 d2 / (d1 + d2).
# One measurement of the reference alone says nothing of rates: the greatest frequency correction, RFC 5905 section 11.3.
KERNEL_RATE = 500e-6
ON_THE_LINE_S = 2 * PHI * 3 * 5 / 8


def of(errors: list[TimeError] | tuple[TimeError, ...], target: str) -> list[TimeError]:
    return [error for error in errors if error.offset.target == target]


def campaign(
    probe: ProbeClock, target: Clock, seconds: int, differences: Differencer, *, reference: Clock = REFERENCE
) -> list[TimeError]:
    """Reference every 8 s, the target 3 s after each second one; what comes out at the end for the target."""
    told: list[TimeError] = []
    for at_s in range(0, seconds, 8):
        told += differences.reference(reference.measured(probe, at_s))
        if at_s % 16 == 0:
            offset = target.measured(probe, at_s + 3.0)
            told += differences.target(offset, probe.shows_ns(at_s + 3.1))
    told += differences.flush()
    return of(told, target.name)


# The probe's clock cancels


@given(
    st.integers(-3600 * S, 3600 * S),
    st.floats(-PHI, PHI),
    st.floats(-1.0, 1.0),
    st.lists(st.tuples(st.integers(0, 200), st.integers(-5 * S, 5 * S)), max_size=6),
)
def test_probes_clock_cancels_to_the_nanosecond_while_it_drifts_and_is_stepped(
    offset_ns: int, rate: float, x_s: float, steps: list[tuple[int, int]]
) -> None:
    # Steps fall between exchanges: one 1.5 s after a reference's, one in the gap after the target's.
    probe = ProbeClock(offset_ns, rate, [(at_s + 1.5, ns) for at_s, ns in steps])
    errors = campaign(probe, Clock("target", x_s), 400, differencer())
    assert len(errors) == 25
    for error in errors:
        if error.time_error_s is None:
            assert error.no_claim is Reason.REFERENCE_STALE
            continue
        assert error.bound_s is not None
        assert abs(error.time_error_s - x_s) <= error.bound_s
        if error.bound_parts["interpolation"] == pytest.approx(ON_THE_LINE_S, rel=1e-3):
            assert error.time_error_s == pytest.approx(x_s, abs=2.5e-9)


def test_measurements_of_the_reference_are_kept_as_long_as_a_late_target_may_need_them_and_no_longer() -> None:
    probe, reference, target = ProbeClock(), Clock("reference"), Clock("target", x_s=3e-6)
    made = differencer(max_age_s=64.0)
    made.late_ns = 1000 * S
    late = target.measured(probe, 1000.5)
    for second in range(2000):
        made.reference(reference.measured(probe, float(second)))
    (error,) = made.target(late, BEGIN_NS + 2000 * S)
    assert error.quality is Quality.INTERPOLATED
    assert error.time_error_s == pytest.approx(3e-6, abs=2e-9)
    assert sum(len(each) for each in made._references.values()) == 2 * 64 + 1000 + 1


def test_every_target_between_references_has_its_claim_without_a_step() -> None:
    errors = campaign(ProbeClock(-12 * S, 50e-6), Clock("target", 0.025), 400, differencer())
    assert [error.no_claim for error in errors] == [None] * 25
    assert all(error.time_error_s == pytest.approx(0.025, abs=2.5e-9) for error in errors)
    assert all((error.reference, error.realises) == ("reference", "UTC(TEST)") for error in errors)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.0, 0.01), st.floats(0.0, 0.01), st.floats(0.0, 0.01), st.floats(0.0, 0.01))
def test_claim_never_leaves_its_bound_whatever_the_paths_and_the_wander(
    seed: int, out_s: float, back_s: float, reference_out_s: float, reference_back_s: float
) -> None:
    # A probe's clock that wanders within PHI of its mean, a reference off by what it admits, asymmetric paths.
    rng = random.Random(seed)
    phases = [rng.uniform(0, 2 * math.pi) for _ in range(3)]

    class Wandering(ProbeClock):
        def shows_ns(self, at_s: float) -> int:
            wander = sum(
                PHI / 3 * p / 6.3 * math.sin(6.3 * at_s / p + f) for p, f in zip((7, 40, 300), phases, strict=True)
            )
            return super().shows_ns(at_s) + round(wander * S)

    true_x_s, reference_x_s = rng.uniform(-1, 1), rng.uniform(-1e-5, 1e-5)
    reference = Clock("reference", reference_x_s, reference_out_s, reference_back_s, upstream_s=1e-5)
    target = Clock("target", true_x_s, out_s, back_s)
    errors = campaign(Wandering(), target, 240, differencer(), reference=reference)
    for error in errors:
        assert error.time_error_s is not None
        assert error.bound_s is not None
        assert abs(error.time_error_s - true_x_s) <= error.bound_s + 2e-9
        assert error.bound_s == pytest.approx(sum(error.bound_parts.values()))
        assert error.u_s == pytest.approx(math.sqrt(sum(part**2 for part in error.u_parts.values())))


def test_path_asymmetry_does_not_cancel_and_is_in_the_bound() -> None:
    # 5 ms out and 1 ms back: the offset errs by 2 ms, and half the round trip is 3 ms.
    errors = campaign(ProbeClock(), Clock("target", 0.0, 0.005, 0.001), 160, differencer())
    assert all(error.time_error_s == pytest.approx(0.002, abs=3e-9) for error in errors)
    assert all(error.bound_parts["path"] == pytest.approx(0.003, abs=1e-8) for error in errors)


# What the bound holds


def test_bound_and_u_keep_each_component() -> None:
    reference = Clock("reference", out_s=0.001, back_s=0.001, upstream_s=7e-6)
    (error, *_) = campaign(ProbeClock(), Clock("target"), 16, differencer(), reference=reference)
    assert error.bound_parts["interpolation"] == pytest.approx(ON_THE_LINE_S, rel=1e-6)
    assert error.bound_parts["reference_path"] == pytest.approx(0.001)
    assert error.bound_parts["reference_upstream"] == pytest.approx(7e-6)
    assert error.bound_parts["tie"] == TIE.bound_s
    assert error.u_parts["tie"] == TIE.u_s
    assert error.u_parts["reference_path"] == pytest.approx(0.001 / math.sqrt(3))
    assert set(error.u_parts) - {"type_a"} == set(error.bound_parts)


def test_claim_from_one_measurement_of_the_reference_grows_with_the_kernels_greatest_rate() -> None:
    probe, differences = ProbeClock(), differencer()
    differences.reference(REFERENCE.measured(probe, 0.0))
    differences.target(Clock("target").measured(probe, 10.0), probe.shows_ns(10.0))
    (error,) = differences.flush()
    assert error.bound_parts["interpolation"] == pytest.approx(KERNEL_RATE * 10.0, rel=1e-4)


def test_claim_from_one_side_grows_with_the_rate_that_the_references_allow() -> None:
    # Two measurements of the reference, 100 s apart: the mean rate is 20 ppm, known within both bounds over that time.
    probe, differences = ProbeClock(rate=20e-6), differencer()
    one, other = (REFERENCE.measured(probe, t_s) for t_s in (0.0, 100.0))
    for offset in (one, other):
        differences.reference(offset)
    differences.target(Clock("target").measured(probe, 110.0), probe.shows_ns(110.0))
    (error,) = differences.flush()
    rate = 20e-6 + (one.bound_s + other.bound_s) / 100.0 + 2 * PHI
    assert error.bound_parts["interpolation"] == pytest.approx(rate * 10.0, rel=1e-3)
    assert error.time_error_s is not None
    assert abs(error.time_error_s) <= error.bound_s


def test_scatter_of_the_samples_enters_u_and_not_the_bound() -> None:
    probe, differences, rng = ProbeClock(), differencer(), random.Random(1)
    told: list[TimeError] = []
    for at_s in range(0, 800, 8):
        told += differences.reference(REFERENCE.measured(probe, at_s))
        told += differences.target(Clock("target", rng.gauss(0, 40e-6)).measured(probe, at_s + 3.0), 0)
    last = of(told, "target")[-1]
    assert last.u_parts["type_a"] == pytest.approx(40e-6, rel=0.5)
    assert "type_a" not in last.bound_parts


def test_constant_rate_between_target_and_reference_is_no_scatter_even_with_losses() -> None:
    probe, differences, rng = ProbeClock(), differencer(), random.Random(2)
    told: list[TimeError] = []
    for at_s in range(0, 1600, 8):
        told += differences.reference(REFERENCE.measured(probe, at_s))
        if rng.random() < 0.5:
            told += differences.target(Clock("target", 50e-6 * (at_s + 3)).measured(probe, at_s + 3.0), 0)
    assert of(told, "target")[-1].u_parts["type_a"] < 5e-9


# The reference itself


def test_reference_is_utc_k_by_declaration_with_its_own_claim_and_tie_as_bound() -> None:
    differences = differencer()
    (error,) = differences.reference(Clock("reference", 0.3, upstream_s=9e-6).measured(ProbeClock(), 0.0))
    assert (error.time_error_s, error.no_claim) == (0.0, None)
    assert error.bound_parts == {"upstream": pytest.approx(9e-6), "tie": TIE.bound_s}
    assert error.u_parts == {"upstream": pytest.approx(9e-6 / math.sqrt(3)), "tie": TIE.u_s}


def test_expired_tie_ends_every_claim_from_that_instant() -> None:
    tie = Tie("UTC(TEST)", valid_until_ns=BEGIN_NS + 100 * S)
    probe, differences = ProbeClock(), differencer(tie=tie)
    told: list[TimeError] = []
    for at_s in range(0, 200, 8):
        told += differences.reference(REFERENCE.measured(probe, at_s))
        told += differences.target(Clock("target").measured(probe, at_s + 3.0), 0)
    for error in told:
        expected = Reason.REFERENCE_EXPIRED if error.offset.at_ns > BEGIN_NS + 100 * S else None
        assert error.no_claim is expected
        assert (error.time_error_s is None) == (expected is not None)
        assert (error.bound_s is None) == (error.u_s is None) == (expected is not None)
        assert error.realises == "UTC(TEST)"


# No fresh reference


def test_without_a_fresh_reference_there_is_no_claim_and_the_record_says_so() -> None:
    probe, differences = ProbeClock(), differencer(max_age_s=20.0)
    differences.reference(REFERENCE.measured(probe, 0.0))
    offset = Clock("target", 1.5).measured(probe, 20.5)
    differences.target(offset, probe.shows_ns(20.5))
    (error,) = differences.flush()
    assert (error.no_claim, error.time_error_s, error.bound_s, error.u_s) == (Reason.REFERENCE_STALE, None, None, None)
    assert error.offset is offset
    assert (error.bound_parts, error.u_parts) == ({}, {})


def test_reference_never_measured_is_stale() -> None:
    differences = differencer()
    differences.target(Clock("target").measured(ProbeClock(), 5.0), BEGIN_NS)
    assert [error.no_claim for error in differences.overdue(BEGIN_NS + 64 * S)] == [Reason.REFERENCE_STALE]


def test_too_old_on_one_side_leaves_the_other() -> None:
    probe, differences = ProbeClock(), differencer(max_age_s=20.0)
    one, other = (REFERENCE.measured(probe, t_s) for t_s in (0.0, 40.0))
    differences.reference(one)
    differences.target(Clock("target", 0.5).measured(probe, 30.0), 0)
    (_, error) = differences.reference(other)
    assert error.time_error_s == pytest.approx(0.5, abs=2e-9)
    rate = (one.bound_s + other.bound_s) / 40.0 + 2 * PHI
    assert error.bound_parts["interpolation"] == pytest.approx(rate * 10.0, rel=1e-3)


# Epochs of the probe's clock


@pytest.mark.parametrize("step_ns", [-100 * S, -S, -1_000_000, 1_000_000, S, 100 * S])
def test_step_between_target_and_reference_is_never_bridged(step_ns: int) -> None:
    probe, differences = ProbeClock(steps=[(5.0, step_ns)]), differencer()
    told = [*differences.reference(REFERENCE.measured(probe, 0.0))]
    told += differences.target(Clock("target", 0.1).measured(probe, 3.0), probe.shows_ns(3.0))
    # After the step: this target has no reference of its epoch yet, so it waits for one.
    assert differences.target(Clock("target", 0.1).measured(probe, 6.0), probe.shows_ns(6.0)) == []
    told += differences.reference(REFERENCE.measured(probe, 8.0))
    told += differences.flush()
    first, second = of(told, "target")
    assert first.time_error_s == pytest.approx(0.1, abs=2e-9)
    assert first.bound_parts["interpolation"] == pytest.approx(KERNEL_RATE * 3.0, rel=1e-3)
    assert second.time_error_s == pytest.approx(0.1, abs=2e-9)
    assert second.bound_parts["interpolation"] == pytest.approx(KERNEL_RATE * 2.0, rel=1e-3)


def test_target_of_an_epoch_without_a_reference_has_no_claim() -> None:
    probe, differences = ProbeClock(steps=[(5.0, S), (7.0, -S)]), differencer()
    differences.reference(REFERENCE.measured(probe, 0.0))
    differences.target(Clock("target").measured(probe, 6.0), 0)
    told = differences.reference(REFERENCE.measured(probe, 8.0))
    (error,) = of(list(told), "target")
    assert error.no_claim is Reason.REFERENCE_STALE


def test_target_after_a_step_back_waits_for_the_line_and_is_not_closed_by_the_old_epoch() -> None:
    # The old epoch's references lie ahead in the probe's time; they say nothing of the new one.
    probe, differences = ProbeClock(steps=[(9.0, -1000 * S)]), differencer()
    differences.reference(REFERENCE.measured(probe, 0.0))
    differences.reference(REFERENCE.measured(probe, 8.0))
    differences.reference(REFERENCE.measured(probe, 16.0))
    assert differences.target(Clock("target", 0.2).measured(probe, 19.0), probe.shows_ns(19.0)) == []
    (_, error) = differences.reference(REFERENCE.measured(probe, 24.0))
    assert error.time_error_s == pytest.approx(0.2, abs=2e-9)
    assert error.bound_parts["interpolation"] == pytest.approx(ON_THE_LINE_S, rel=1e-3)


def test_clock_set_back_keeps_no_record_waiting() -> None:
    differences = differencer()
    differences.target(Clock("target").measured(ProbeClock(), 3.0), BEGIN_NS + 3 * S)
    assert len(differences.provisional(BEGIN_NS - 3600 * S, 1.0)) == 1
    assert len(differences.overdue(BEGIN_NS - 3600 * S)) == 1
    assert differences.waiting == 0


# Order of arrival


def test_late_exchange_of_an_interleaved_target_is_compared_at_its_own_instant() -> None:
    probe, differences = ProbeClock(rate=80e-6), differencer()
    offset = Clock("target", 0.05).measured(probe, 3.0)
    for at_s in (0.0, 8.0, 16.0):
        differences.reference(REFERENCE.measured(probe, at_s))
    (error,) = differences.target(offset, probe.shows_ns(19.0))
    assert error.time_error_s == pytest.approx(0.05, abs=2.5e-9)
    assert error.bound_parts["interpolation"] == pytest.approx(ON_THE_LINE_S, rel=1e-3)


def test_late_exchanges_of_an_interleaved_reference_complete_what_waits() -> None:
    probe, differences = ProbeClock(rate=-80e-6), differencer()
    told: list[TimeError] = []
    late: ClockOffset | None = None
    for at_s in range(0, 160, 8):
        if late is not None:
            told += differences.reference(late)
        late = REFERENCE.measured(probe, at_s)
        told += differences.target(Clock("target", 0.05).measured(probe, at_s + 3.0), probe.shows_ns(at_s + 3.0))
    targets = of(told, "target")
    # The first reference is told by the second poll: everything between two of them is on a line.
    assert len(targets) == 18
    assert all(error.time_error_s == pytest.approx(0.05, abs=2.5e-9) for error in targets)
    assert differences.waiting == 2


def test_late_exchange_from_before_a_step_finds_the_references_of_its_epoch() -> None:
    probe, differences = ProbeClock(steps=[(14.0, 500 * S)]), differencer()
    offset = Clock("target", 0.3).measured(probe, 11.0)
    one, other, after = (REFERENCE.measured(probe, at_s) for at_s in (0.0, 8.0, 16.0))
    for reference in (one, other, after):
        differences.reference(reference)
    (error,) = differences.target(offset, probe.shows_ns(27.0))
    assert error.time_error_s == pytest.approx(0.3, abs=2e-9)
    rate = (one.bound_s + other.bound_s) / 8.0 + 2 * PHI
    assert error.bound_parts["interpolation"] == pytest.approx(rate * 3.0, rel=1e-3)


# Provisional, then final


def test_waiting_target_is_told_provisionally_once_and_then_finally_with_a_better_bound() -> None:
    probe, differences = ProbeClock(rate=10e-6), differencer()
    differences.reference(REFERENCE.measured(probe, 0.0))
    offset = Clock("target", 0.01).measured(probe, 6.0)
    assert differences.target(offset, 1000 * S) == []
    assert differences.provisional(1000 * S + S - 1, 1.0) == []
    (early,) = differences.provisional(1001 * S, 1.0)
    assert differences.provisional(1002 * S, 1.0) == []
    (_, final) = differences.reference(REFERENCE.measured(probe, 8.0))
    assert early.offset is final.offset
    assert early.bound_s is not None
    assert final.bound_s is not None
    assert final.bound_s < early.bound_s
    assert final.time_error_s == pytest.approx(0.01, abs=2e-9)
    assert differences.waiting == 0


def test_provisional_claim_does_not_enter_the_scatter() -> None:
    probe, differences = ProbeClock(rate=100e-6), differencer()
    differences.reference(REFERENCE.measured(probe, 0.0))
    for at_s in range(3, 9):
        differences.target(Clock("target", 0.01).measured(probe, at_s), at_s * S)
        differences.provisional((at_s + 1) * S, 1.0)
    told = of(list(differences.reference(REFERENCE.measured(probe, 9.0))), "target")
    assert told[-1].u_parts["type_a"] < 3e-9


def test_overdue_target_is_final_with_what_there_is() -> None:
    probe, differences = ProbeClock(), differencer()
    differences.reference(REFERENCE.measured(probe, 0.0))
    differences.target(Clock("target", 0.01).measured(probe, 3.0), 0)
    assert differences.overdue(64 * S - 1) == []
    (error,) = differences.overdue(64 * S)
    assert error.no_claim is None
    assert differences.waiting == 0


def test_forgotten_target_waits_no_longer() -> None:
    probe, differences = ProbeClock(), differencer()
    differences.target(Clock("one").measured(probe, 3.0), 0)
    differences.target(Clock("two").measured(probe, 3.0), 0)
    differences.forget("one")
    assert [error.offset.target for error in differences.flush()] == ["two"]


def test_every_target_offset_comes_out_finally_exactly_once() -> None:
    probe = ProbeClock(steps=[(41.5, 3 * S), (97.5, -10 * S)])
    errors = campaign(probe, Clock("target", 0.02), 400, differencer())
    instants = [error.offset.at_ns for error in errors]
    assert len(instants) == len(set(instants)) == 25


# The host clock as the reference


def test_local_clock_is_the_reference_by_declaration() -> None:
    offset = Clock("target", 0.004).measured(ProbeClock(), 3.0)
    error = LocalReference(TIE).target(offset)
    assert (error.reference, error.realises) == ("local", "UTC(TEST)")
    assert error.time_error_s == offset.offset_s
    assert error.bound_s == pytest.approx(offset.bound_s + TIE.bound_s)
    assert set(error.bound_parts) == {"path", "timestamping", "oscillator", "tie"}
    expired = LocalReference(Tie("UTC(TEST)", valid_until_ns=BEGIN_NS)).target(offset)
    assert (expired.no_claim, expired.time_error_s) == (Reason.REFERENCE_EXPIRED, None)


def test_scatter_enters_u_against_the_local_clock_as_well() -> None:
    local = LocalReference(Tie("UTC(TEST)", bound_s=1.0))
    errors = [local.target(Clock("target", 1e-3 * (n % 2)).measured(ProbeClock(), float(n))) for n in range(8)]
    # Steps of 1 ms up and down: every second difference is 2 ms, TDEV is that over sqrt(6).
    assert errors[-1].u_parts["type_a"] == pytest.approx(2e-3 / math.sqrt(6), rel=1e-6)
    local.forget("target")
    assert "type_a" not in local.target(Clock("target").measured(ProbeClock(), 9.0)).u_parts


@pytest.mark.parametrize("step_ns", [-3600 * S, 3600 * S])
def test_scatter_against_the_local_clock_is_not_fed_across_its_steps(step_ns: int) -> None:
    probe = ProbeClock(steps=[(20.5, step_ns)])
    local = LocalReference(Tie("UTC(TEST)", bound_s=1.0), settle_s=0.0)
    x = [1e-6 * (n % 2) for n in range(40)]
    errors = [local.target(Clock("target", x_s).measured(probe, float(n))) for n, x_s in enumerate(x)]
    # +-1 us in turns: TDEV is 2 us over sqrt 6 (SP 1065 section 5.2.6), before the step and soon after it.
    for error in (errors[19], errors[39]):
        assert error.u_parts["type_a"] == pytest.approx(2e-6 / math.sqrt(6), rel=0.02)


@pytest.mark.parametrize("step_ns", [-3600 * S, -S, S, 3600 * S])
def test_local_clock_that_was_stepped_carries_no_claim_until_it_has_settled(step_ns: int) -> None:
    probe, local = ProbeClock(steps=[(10.5, step_ns)]), LocalReference(TIE, settle_s=100.0)
    errors = [local.target(Clock("target").measured(probe, float(n))) for n in range(120)]
    claimed = [error.no_claim for error in errors]
    # The step is seen by the first measurement after it, at 11 s.
    assert claimed == [None] * 11 + [Reason.LOCAL_CLOCK_STEPPED] * 100 + [None] * 9
    assert all((error.time_error_s is None) == (error.no_claim is not None) for error in errors)
    # An exchange from before the step that comes late was made by the clock as it was declared.
    assert local.target(Clock("target").measured(probe, 9.5)).no_claim is None


def test_local_clock_declared_anew_is_no_more_settled_than_it_was() -> None:
    probe, local, renewed = ProbeClock(steps=[(10.5, S)]), LocalReference(TIE), LocalReference(Tie("UTC(TEST)", 1.0))
    local.target(Clock("target").measured(probe, 11.0))
    renewed.resume(local)
    assert renewed.target(Clock("target").measured(probe, 12.0)).no_claim is Reason.LOCAL_CLOCK_STEPPED


# Quality


def test_quality_tells_how_the_reference_was_had() -> None:
    probe, differences = ProbeClock(), differencer(max_age_s=20.0)
    told = [*differences.reference(REFERENCE.measured(probe, 0.0))]
    for at_s in (3.0, 9.0, 60.0):
        told += differences.target(Clock("target").measured(probe, at_s), probe.shows_ns(at_s))
    told += differences.provisional(probe.shows_ns(30.0), 1.0)
    told += differences.reference(REFERENCE.measured(probe, 8.0))
    told += differences.flush()
    told.append(LocalReference(TIE).target(Clock("other").measured(probe, 3.0)))
    # What was told provisionally from one side (twice, and once of the future) is told again.
    assert [error.quality for error in told if error.offset.target == "reference"] == [Quality.ITSELF] * 2
    final = {round((error.offset.at_ns - BEGIN_NS) / S): error.quality for error in of(told, "target")}
    assert final == {3: Quality.INTERPOLATED, 9: Quality.HELD, 60: Quality.NONE}
    assert told[-1].quality is Quality.LOCAL
    assert all((error.quality is Quality.NONE) == (error.no_claim is not None) for error in told)


def test_u_is_cut_at_the_bound_and_keeps_its_parts() -> None:
    probe, local, rng = ProbeClock(), LocalReference(TIE), random.Random(4)
    errors = [local.target(Clock("target", rng.gauss(0, 1e-3)).measured(probe, float(n))) for n in range(32)]
    last = errors[-1]
    assert last.bound_s is not None
    assert last.u_s == last.bound_s
    assert math.hypot(*last.u_parts.values()) > last.bound_s
