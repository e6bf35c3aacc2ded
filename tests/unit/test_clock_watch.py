"""Steps and suspends of the probe's clock, from readings given one by one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timesync.clockwatch import ClockReading, ClockWatch, read_clocks

S = 10**9
WALL_NS = 1_795_000_000 * S


class Machine:
    """Clocks as Linux keeps them: monotonic runs, realtime and boottime are it plus an offset; suspends stop monotonic."""

    def __init__(self) -> None:
        self.monotonic_ns = 5000 * S
        self.wall_ns = WALL_NS
        self.raw_ns = 5000 * S
        self.slept_ns = 0

    def run(self, seconds: float, rate: float = 0.0) -> None:
        """Time passes; slewing changes the rate of monotonic and realtime alike, and not that of raw."""
        self.raw_ns += round(seconds * S)
        self.monotonic_ns += round(seconds * S * (1.0 + rate))

    def step(self, ns: int) -> None:
        self.wall_ns += ns

    def sleep(self, seconds: float) -> None:
        self.slept_ns += round(seconds * S)
        self.wall_ns += round(seconds * S)

    def read(self, gap_ns: int = 500, error_ns: int = 0) -> ClockReading:
        """A reading that took `gap_ns`; `error_ns` (at most half of it) is where between the two readings the wall was read."""
        m = self.monotonic_ns
        return ClockReading(
            self.wall_ns + m + error_ns, m, m + self.slept_ns + error_ns, self.raw_ns + error_ns, gap_ns
        )


def test_clock_that_runs_has_no_events() -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    for _ in range(1000):
        machine.run(1.0)
        assert watch.observe(machine.read()) is None
    assert (watch.epoch, watch.steps, watch.suspends) == (0, 0, 0)


@pytest.mark.parametrize("step_ns", [25_000, -25_000, 1_000_000, -S, 3600 * S, -3600 * S])
def test_step_is_seen_with_its_size_and_sign(step_ns: int) -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    machine.run(1.0)
    machine.step(step_ns)
    change = watch.observe(machine.read())
    assert change is not None
    assert change.step_s == pytest.approx(step_ns / 1e9, abs=1e-12)
    assert (change.slept_s, change.epoch) == (0.0, 1)
    assert (watch.epoch, watch.steps, watch.suspends) == (1, 1, 0)
    machine.run(1.0)
    assert watch.observe(machine.read()) is None


@pytest.mark.parametrize("rate", [500e-6, -500e-6, 0.1])
def test_slewing_is_no_step(rate: float) -> None:
    # adjtimex slews CLOCK_REALTIME and CLOCK_MONOTONIC together.
    machine = Machine()
    watch = ClockWatch(machine.read())
    for _ in range(600):
        machine.run(1.0, rate)
        assert watch.observe(machine.read()) is None


def test_suspend_is_seen_and_is_no_step() -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    machine.sleep(1234.5)
    change = watch.observe(machine.read())
    assert change is not None
    assert (change.step_s, change.slept_s, change.epoch) == (0.0, 1234.5, 1)
    assert (watch.steps, watch.suspends) == (0, 1)


def test_step_during_a_suspend_is_told_apart_from_it() -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    machine.sleep(100.0)
    machine.step(-2 * S)
    change = watch.observe(machine.read())
    assert change is not None
    assert (change.step_s, change.slept_s) == (-2.0, 100.0)
    assert (watch.epoch, watch.steps, watch.suspends) == (1, 1, 1)


def test_small_steps_add_up_until_they_are_seen() -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    seen = []
    for _ in range(40):
        machine.run(1.0)
        machine.step(1_000)
        change = watch.observe(machine.read())
        if change is not None:
            seen.append(change.step_s)
    assert seen
    assert sum(seen) == pytest.approx(40e-6, abs=12e-6)


@given(st.lists(st.tuples(st.integers(0, 50_000), st.floats(-0.5, 0.5)), max_size=50))
def test_noise_of_reading_is_no_step(readings: list[tuple[int, float]]) -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    for gap_ns, where in readings:
        machine.run(1.0)
        assert watch.observe(machine.read(gap_ns, round(gap_ns * where))) is None


def test_reading_taken_under_load_does_not_blunt_the_watch_for_ever() -> None:
    machine = Machine()
    watch = ClockWatch(machine.read(gap_ns=5_000_000, error_ns=1_000_000))
    machine.run(1.0)
    assert watch.observe(machine.read()) is None
    machine.step(50_000)
    change = watch.observe(machine.read())
    assert change is not None
    assert change.step_s == pytest.approx(50e-6)


def test_step_smaller_than_a_bad_reading_is_seen_by_the_next_good_one() -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    machine.step(100_000)
    assert watch.observe(machine.read(gap_ns=300_000)) is None
    change = watch.observe(machine.read())
    assert change is not None
    assert change.step_s == pytest.approx(100e-6)


def test_epochs_count_every_discontinuity() -> None:
    machine = Machine()
    watch = ClockWatch(machine.read())
    rng = random.Random(3)
    events = 0
    for _ in range(500):
        machine.run(1.0, rng.uniform(-5e-4, 5e-4))
        if rng.random() < 0.1:
            machine.step(rng.choice((-1, 1)) * rng.randrange(50_000, S))
            events += 1
        change = watch.observe(machine.read(rng.randrange(2_000)))
        assert (change.epoch if change else watch.epoch) == events


def test_this_machine_reads_its_clocks_together() -> None:
    first, second = read_clocks(), read_clocks()
    assert second.monotonic_ns >= first.monotonic_ns
    assert first.boottime_ns - first.monotonic_ns > -first.gap_ns
    assert second.raw_ns >= first.raw_ns
    assert ClockWatch(first).observe(second) is None
