"""Whatever is measured, in whatever order: attribution does not fail, says no number that is none, and accuses no honest clock."""

from __future__ import annotations

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from timesync.attribution.judge import PROBE, Stand, judge
from timesync.attribution.watch import Attribution
from timesync.model import ClockOffset, Missed, ServerFacts, Timestamping
from timesync.reasons import Reason
from timesync.reference.agreement import Interval, Standing, vote

T0_NS = 1_795_000_000_000_000_000
S = 10**9
NAMES = ("utc", "a", "b", "unknown")

sizes = st.one_of(st.floats(-1e-3, 1e-3), st.sampled_from([0.0, 1.0, -1.0, 37.0, -619_315_200.0, 1e9, 1e-12]))
acts = st.one_of(
    st.tuples(st.just("sample"), st.sampled_from(NAMES), st.floats(-100.0, 30.0), sizes, st.floats(-1e-3, 10.0)),
    st.tuples(st.just("miss"), st.sampled_from(NAMES), st.sampled_from(list(Reason)), st.integers(1, 50)),
    st.tuples(st.just("pass"), st.floats(0.1, 500.0)),
    st.tuples(st.just("step"), sizes, st.booleans()),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("add"), st.sampled_from(NAMES)),
)


class Fuzzed:
    """An attribution to which anything may happen."""

    def __init__(self) -> None:
        self.now_ns = T0_NS
        self.epoch = 0
        self.attribution = Attribution(15e-6)
        self.attribution.configure([("utc", 16.0, True), ("a", 1.0, False), ("b", 64.0, False)], 15e-6)

    def sample(self, name: str, after_s: float, offset_s: float, delay_s: float) -> None:
        at_ns = self.now_ns + round(after_s * S)
        facts = ServerFacts(stratum=at_ns % 3)
        kind = Timestamping.KERNEL
        self.attribution.take(
            ClockOffset(
                name, "ntp", at_ns, offset_s, delay_s, abs(delay_s) / 2, 0.0, 0.0, 0.0, kind, self.epoch, facts=facts
            )
        )

    def act(self, act: tuple) -> None:  # type: ignore[type-arg]  # one of several shapes
        kind, *rest = act
        if kind == "sample":
            self.sample(*rest)
        elif kind == "miss":
            name, reason, polls = rest
            self.attribution.take(Missed(name, "ntp", name, self.now_ns, reason, "", self.epoch, polls=polls))
        elif kind == "pass":
            self.now_ns += round(rest[0] * S)
        elif kind == "step":
            self.epoch += 1
            self.now_ns += round(rest[0] * S)
            self.attribution.clock_changed(self.epoch, self.now_ns, rest[0], leap=rest[1])
        elif kind == "remove":
            self.attribution.remove(rest[0])
        else:
            self.attribution.add(rest[0], 4.0)
        for event in self.attribution.tick(self.now_ns):
            numbers = [value for value in event.evidence.values() if isinstance(value, float)]
            assert all(math.isfinite(number) for number in numbers)


@settings(deadline=None, max_examples=60)
@given(st.lists(acts, max_size=120))
def test_nothing_that_can_be_measured_makes_it_fail(history: list[tuple]) -> None:  # type: ignore[type-arg]  # shapes above
    fuzzed = Fuzzed()
    for act in history:
        fuzzed.act(act)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.lists(acts, min_size=1, max_size=4))
def test_nor_in_the_midst_of_a_regular_measurement(seed: int, troubles: list[tuple]) -> None:  # type: ignore[type-arg]  # above
    chance, fuzzed = random.Random(seed), Fuzzed()
    for turn in range(160):
        fuzzed.now_ns += 16 * S
        for name in ("utc", "a", "b"):
            fuzzed.sample(name, -chance.uniform(0.0, 8.0), chance.gauss(0.0, 1e-5), 1e-3)
        fuzzed.act(("pass", 0.0))
        if turn % 50 == 30:
            fuzzed.act(chance.choice(troubles))


@settings(deadline=None)
@given(st.lists(st.floats(-1e-5, 1e-5), min_size=3, max_size=12), st.floats(1e-3, 10.0), st.integers(0, 11))
def test_a_single_mover_among_three_or_more_is_always_found(errors: list[float], moved_s: float, index: int) -> None:
    index %= len(errors)
    stands = [
        Stand(f"c{place}", error_s + (moved_s if place == index else 0.0), 2e-5) for place, error_s in enumerate(errors)
    ]
    findings = judge(stands, Stand(PROBE, 0.0, 2e-5))
    assert [finding.members for finding in findings] == [(f"c{index}",)]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(1e-6, 5.0)), min_size=2, max_size=12), st.floats(-100.0, 100.0)
)
def test_references_that_hold_the_truth_are_never_outvoted(pairs: list[tuple[float, float]], truth_s: float) -> None:
    honest = {
        f"r{place}": Interval(truth_s + share * bound_s, bound_s * (1.0 + 1e-9))
        for place, (share, bound_s) in enumerate(pairs)
    }
    assert Standing.OUTVOTED not in vote(honest).standing.values()
