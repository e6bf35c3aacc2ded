"""Slews of the probe's clock: what they do to a claim, on simulated clocks whose truth is known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timesync.clockwatch import ClockReading
from timesync.model import Exchange, ServerFacts, Timestamping
from timesync.pipeline import Pipeline
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie
from timesync.slews import SlewWatch
from timesync.uncertainty import Slewed, steady

S = 10**9
BEGIN_NS = 1_795_000_000 * S
PHI = 15e-6
TARGETS = (
    TargetSettings("utc", "ntp", "192.0.2.1", tie=Tie("UTC(TEST)", 0.0, 0.0)),
    TargetSettings("server", "ntp", "192.0.2.2"),
)
PROBE = ProbeSettings(SiteSettings("lab", "p1"), TARGETS, SpoolSettings(Path()), reference_max_age_s=64.0)


class SlewedClock:
    """The probe's clock: right at 0, its rate changed at true instants: (s, s/s), in order."""

    def __init__(self, *rates: tuple[float, float]) -> None:
        self.rates = ((0.0, 0.0), *rates)

    def shows_ns(self, at_s: float) -> int:
        gained_s = sum(
            rate * max(0.0, min(at_s, end) - begin) for (begin, rate), (end, _) in pairwise((*self.rates, (1e9, 0.0)))
        )
        return BEGIN_NS + round((at_s + gained_s) * S)

    def reading(self, at_s: float) -> ClockReading:
        shown = self.shows_ns(at_s)
        return ClockReading(shown, shown - BEGIN_NS, shown - BEGIN_NS, round(at_s * S), 300)

    def exchange(self, target: str, at_s: float, half_s: float = 40e-6) -> Exchange:
        """With a server that is right, over a path of `half_s` each way."""
        server_ns = BEGIN_NS + round(at_s * S)
        return Exchange(
            target, "ntp", "192.0.2.9:123", self.shows_ns(at_s - half_s), server_ns, server_ns, self.shows_ns(at_s + half_s),
            Timestamping.KERNEL, Timestamping.KERNEL, "basic", ServerFacts(precision_s=1e-9), 0,
        )  # fmt: skip


def claims(clock: SlewedClock, watch: SlewWatch, slewed: Slewed, *, seconds: int, target_at_s: float) -> list[float]:
    """Error over bound of each claim: the reference every 8 s, the target `target_at_s` after it, a reading every second."""
    pipeline = Pipeline(PROBE, slewed=slewed)
    told: list[float] = []
    moments = sorted(
        [(float(t), 0) for t in range(seconds)]
        + [(float(t) + 0.002, 1) for t in range(0, seconds, 8)]
        + [(t + target_at_s, 2) for t in range(0, seconds, 8)]
    )
    rows = []
    for at_s, what in moments:
        now_ns = clock.shows_ns(at_s + 0.001)
        if what:
            outcome = clock.exchange(TARGETS[what - 1].name, at_s)
            # The prober looks at the clocks when the reply is there.
            watch.observe(clock.reading(at_s + 0.0005), 0)
            rows += pipeline.outcomes(outcome.target, [outcome], now_ns)
        else:
            watch.observe(clock.reading(at_s), 0)
            rows += pipeline.tick(now_ns)
    for row in [*rows, *pipeline.flush()]:
        if row.tags["target"] == "server" and "time_error_s" in row.fields:
            x_s, bound_s = row.fields["time_error_s"], row.fields["time_error_bound_s"]
            assert isinstance(x_s, float)
            assert isinstance(bound_s, float)
            told.append(abs(x_s) / bound_s)
    assert told
    return told


@pytest.mark.parametrize("rate", [1000e-6, -1000e-6, 83_333e-6, 250e-6])
def test_claims_stay_within_their_bound_while_the_probes_clock_is_slewed(rate: float) -> None:
    # Perfect servers; the probe's clock is slewed for 4 s between two measurements of the reference.
    clock = SlewedClock((34.0, rate), (38.0, 0.0))
    watch = SlewWatch(PHI)
    assert max(claims(clock, watch, watch.excess_s, seconds=80, target_at_s=4.0)) <= 1.0
    # What it is for: without the watch the same claims lie.
    assert max(claims(clock, watch, steady, seconds=80, target_at_s=4.0)) > 1.0


@settings(max_examples=60, deadline=None)
@given(st.floats(20.0, 50.0), st.floats(0.01, 30.0), st.floats(-0.09, 0.09), st.floats(0.1, 7.9))
def test_no_claim_leaves_its_bound_whenever_and_however_long_the_clock_is_slewed(
    begin_s: float, duration_s: float, rate: float, target_at_s: float
) -> None:
    clock = SlewedClock((begin_s, rate), (begin_s + duration_s, 0.0))
    watch = SlewWatch(PHI)
    assert max(claims(clock, watch, watch.excess_s, seconds=80, target_at_s=target_at_s)) <= 1.0


def test_a_clock_with_a_constant_frequency_correction_is_steady() -> None:
    # NTP has corrected the oscillator by 40 ppm: realtime is right, and faster than raw.
    watch = SlewWatch(PHI)
    for n in range(100):
        shown = BEGIN_NS + n * S + n * 40_000
        assert watch.observe(ClockReading(shown, shown, shown, n * S, 300), 0) is None
        assert watch.excess_s(0, BEGIN_NS, shown) == 0.0


@given(st.lists(st.tuples(st.integers(0, 50_000), st.floats(-0.5, 0.5)), min_size=2, max_size=50))
def test_noise_of_reading_is_no_slew(readings: list[tuple[int, float]]) -> None:
    watch = SlewWatch(PHI)
    for n, (gap_ns, where) in enumerate(readings):
        shown = BEGIN_NS + n * S + round(gap_ns * where)
        assert watch.observe(ClockReading(shown, shown, shown, n * S, gap_ns), 0) is None
        assert watch.excess_s(0, BEGIN_NS, shown) == 0.0


def test_an_episode_is_told_once_with_its_rate_and_a_later_one_again() -> None:
    clock = SlewedClock((50.0, 500e-6), (60.0, 0.0), (65.0, -300e-6), (70.0, 0.0), (300.0, 2e-3), (310.0, 0.0))
    watch = SlewWatch(PHI)
    told = [slew for n in range(400) if (slew := watch.observe(clock.reading(float(n)), 0)) is not None]
    assert [(slew.at_ns, slew.epoch) for slew in told] == [(clock.shows_ns(50.0), 0), (clock.shows_ns(300.0), 0)]
    assert [slew.rate for slew in told] == pytest.approx([500e-6, 2e-3], rel=1e-6)


def test_excess_is_the_slewed_phase_and_holds_for_its_epoch_and_span_only() -> None:
    clock = SlewedClock((50.0, 1e-3), (54.0, 0.0))
    watch = SlewWatch(PHI)
    for n in range(100):
        watch.observe(clock.reading(float(n)), 0)
    at = clock.shows_ns
    assert watch.excess_s(0, at(10.0), at(90.0)) == pytest.approx(4e-3, rel=0.01)
    assert watch.excess_s(0, at(50.0), at(52.0)) == pytest.approx(2e-3, rel=0.01)
    assert watch.excess_s(0, at(10.0), at(49.0)) == 0.0
    assert watch.excess_s(0, at(55.0), at(90.0)) == 0.0
    assert watch.excess_s(1, at(10.0), at(90.0)) == 0.0
    # Within one stretch it may all have come at once, but no faster than adjtimex can slew, 10 % (adjtimex(2), ADJ_TICK).
    assert 1e-4 <= watch.excess_s(0, at(50.5), at(50.501)) <= 1.1e-4


def test_a_step_is_no_slew() -> None:
    watch = SlewWatch(PHI)
    for n in range(20):
        shown = BEGIN_NS + n * S + (n >= 10) * 3600 * S
        assert watch.observe(ClockReading(shown, n * S, n * S, n * S, 300), int(n >= 10)) is None
    assert watch.excess_s(1, BEGIN_NS + 3600 * S, BEGIN_NS + 3700 * S) == 0.0


def test_a_slew_of_hours_takes_no_more_room_and_is_not_forgotten() -> None:
    clock = SlewedClock((50.0, 1e-3))
    watch = SlewWatch(PHI)
    for n in range(4000):
        watch.observe(clock.reading(float(n)), 0)
    assert watch.excess_s(0, BEGIN_NS, clock.shows_ns(4000.0)) >= 3.9
    assert len(watch._stretches) <= 512


def test_first_readings_taken_under_load_make_no_slew_of_the_good_ones_that_follow() -> None:
    watch = SlewWatch(PHI)
    for n, error_ns in enumerate((15_001, 0, 0, 0)):
        shown = BEGIN_NS + n * S + error_ns
        assert watch.observe(ClockReading(shown, shown, shown, n * S, 2 * error_ns), 0) is None
        assert watch.excess_s(0, BEGIN_NS, shown) == 0.0
