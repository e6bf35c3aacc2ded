"""The error budget: formulas of RFC 5905 section 8 and JCGM 100:2008, in exact arithmetic, and TDEV as NIST SP 1065 defines it."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timesync.model import Exchange, ServerFacts, Timestamping
from timesync.uncertainty import (
    TypeA,
    bound_of,
    clock_offset,
    expanded_uncertainty_s,
    standard_uncertainty_s,
    worse_timestamping,
)

NOW_NS = 1_795_000_000_123_456_789
S = 10**9


def exchange(
    t1: int,
    t2: int,
    t3: int,
    t4: int,
    facts: ServerFacts | None = None,
    tx: Timestamping = Timestamping.KERNEL,
    rx: Timestamping = Timestamping.KERNEL,
) -> Exchange:
    return Exchange(
        "target", "ntp", "192.0.2.1:123", t1, t2, t3, t4, tx, rx, "basic", facts or ServerFacts(precision_s=2.0**-20), 3
    )


def test_offset_and_delay_of_a_worked_example() -> None:
    # RFC 5905 section 8. Server 1 s ahead, 30 ms out, 10 ms back, 5 ms in the server: offset 1 s + (30 - 10)/2 ms, delay 40 ms.
    t1 = NOW_NS
    t2 = t1 + 30_000_000 + S
    t3 = t2 + 5_000_000
    t4 = t1 + 45_000_000
    measured = clock_offset(exchange(t1, t2, t3, t4))
    assert measured.offset_s == 1.01
    assert measured.delay_s == 0.04
    assert measured.bound_path_s == 0.02
    assert measured.at_ns == t1 + 22_500_000
    assert (measured.target, measured.clock_epoch) == ("target", 3)


@given(
    st.integers(-4 * 10**15, 4 * 10**15),  # 46 days; beyond, a float of seconds holds no nanoseconds
    st.integers(0, 10 * S),
    st.integers(0, 10 * S),
    st.integers(0, S),
)
def test_offset_and_delay_lose_no_nanosecond_at_todays_epoch(offset_ns: int, out: int, back: int, held: int) -> None:
    t1 = NOW_NS
    t2 = t1 + out + offset_ns
    measured = clock_offset(exchange(t1, t2, t2 + held, t1 + out + held + back))
    exact = Fraction(2 * offset_ns + out - back, 2 * S)
    assert measured.offset_s == float(exact)  # correctly rounded, whatever the epoch
    assert measured.delay_s == float(Fraction(out + back, S))


def test_single_nanosecond_of_a_timestamp_is_half_a_nanosecond_of_offset() -> None:
    base = clock_offset(exchange(NOW_NS, NOW_NS + 1000, NOW_NS + 2000, NOW_NS + 3000))
    later = clock_offset(exchange(NOW_NS, NOW_NS + 1001, NOW_NS + 2000, NOW_NS + 3000))
    assert base.offset_s == 0.0
    assert later.offset_s == 0.5e-9
    assert later.delay_s == 2001e-9


def test_bound_has_path_precision_of_both_clocks_and_phi() -> None:
    # Half the delay + 2^precision of the server + what reading the probe's clock costs + PHI (T4 - T1), PHI = 15e-6.
    facts = ServerFacts(precision_s=2.0**-10, root_delay_s=3.0, root_dispersion_s=4.0)
    measured = clock_offset(exchange(NOW_NS, NOW_NS + S, NOW_NS + S, NOW_NS + 2 * S, facts))
    assert measured.bound_path_s == 1.0
    assert measured.bound_timestamping_s == pytest.approx(2.0**-10, rel=1e-5)
    assert measured.bound_timestamping_s > 2.0**-10
    assert measured.bound_oscillator_s == pytest.approx(30e-6)
    assert measured.bound_s == pytest.approx(1.0 + 2.0**-10 + 30e-6, rel=1e-5)
    # What the server claims of itself is kept beside it: root delay / 2 + root dispersion.
    assert measured.upstream_s == 5.5


def test_rate_of_the_probes_oscillator_is_the_callers() -> None:
    measured = clock_offset(exchange(NOW_NS, NOW_NS, NOW_NS, NOW_NS + S), phi=100e-6)
    assert measured.bound_oscillator_s == pytest.approx(100e-6)


def test_delay_below_zero_counts_as_what_the_stamps_are_wrong_by() -> None:
    measured = clock_offset(exchange(NOW_NS, NOW_NS, NOW_NS + 1500, NOW_NS + 1000))
    assert measured.delay_s == -500e-9
    assert measured.bound_path_s == 250e-9


@given(
    st.integers(-(10**15), 10**15),
    st.integers(0, 10**10),
    st.integers(0, 10**10),
    st.integers(0, 10**8),
    st.floats(-15e-6, 15e-6),
)
def test_error_never_exceeds_the_bound_whatever_the_asymmetry(
    offset_ns: int, out: int, back: int, held: int, rate: float
) -> None:
    # The probe's clock runs fast by `rate`; the truth is the target's offset in the middle of the exchange.
    duration = out + held + back
    t1, t4 = NOW_NS, NOW_NS + duration + round(duration * rate)
    t2 = NOW_NS + out + offset_ns
    measured = clock_offset(exchange(t1, t2, t2 + held, t4, ServerFacts(precision_s=2e-9)))
    truth_s = (offset_ns - duration * rate / 2.0) / S
    assert abs(measured.offset_s - truth_s) <= measured.bound_s + 1e-9


@pytest.mark.parametrize(
    ("one", "other", "worse"),
    [
        (Timestamping.HARDWARE, Timestamping.KERNEL, Timestamping.KERNEL),
        (Timestamping.KERNEL, Timestamping.HARDWARE, Timestamping.KERNEL),
        (Timestamping.USER, Timestamping.HARDWARE, Timestamping.USER),
        (Timestamping.HARDWARE, Timestamping.HARDWARE, Timestamping.HARDWARE),
    ],
)
def test_sample_is_as_good_as_its_worse_stamp(one: Timestamping, other: Timestamping, worse: Timestamping) -> None:
    assert worse_timestamping(one, other) is worse
    measured = clock_offset(exchange(NOW_NS, NOW_NS, NOW_NS, NOW_NS, tx=one, rx=other))
    assert measured.timestamping is worse


@pytest.mark.parametrize("exponent", [-128, -25, 0, 7, 127])
def test_any_precision_that_a_packet_can_claim_gives_a_finite_bound(exponent: int) -> None:
    facts = ServerFacts(precision_s=math.ldexp(1.0, exponent))
    assert math.isfinite(clock_offset(exchange(NOW_NS, NOW_NS, NOW_NS, NOW_NS, facts)).bound_s)


# u and U


def test_bound_is_a_plain_sum_and_u_a_root_sum_of_squares() -> None:
    parts = {"a": 3e-6, "b": 4e-6, "c": 12e-6}
    assert bound_of(parts) == 19e-6
    assert standard_uncertainty_s(parts, 1.0) == pytest.approx(13e-6)


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(1.0, 10.0))
def test_expanded_uncertainty_is_never_above_the_bound(u_s: float, bound_s: float, factor: float) -> None:
    expanded = expanded_uncertainty_s(u_s, bound_s, factor)
    assert expanded <= bound_s
    assert expanded in (factor * u_s, bound_s)


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1.0), max_size=8), st.floats(0, 2.0))
def test_u_is_never_above_the_bound_and_rectangular_parts_keep_below_by_themselves(
    parts: dict[str, float], bound_s: float
) -> None:
    rectangular = {name: value / math.sqrt(3.0) for name, value in parts.items()}
    assert standard_uncertainty_s(rectangular, bound_s) <= bound_s
    assert standard_uncertainty_s(rectangular, math.inf) <= bound_of(parts)


# Type A


def tdev_at_tau0(x_s: list[float]) -> float:
    """SP 1065 equations 14 and 17 at m = 1, written out: TDEV = tau MDEV / sqrt 3 over phase points one interval apart."""
    n = len(x_s)
    total = sum((x_s[i + 2] - 2 * x_s[i + 1] + x_s[i]) ** 2 for i in range(n - 2))
    mdev = math.sqrt(total / (2.0 * (n - 2)))
    return mdev / math.sqrt(3.0)


def pushed(x_s: list[float], interval_ns: int = 16 * S) -> TypeA:
    scatter = TypeA()
    for number, x in enumerate(x_s):
        scatter.push(0, NOW_NS + number * interval_ns, x)
    return scatter


@pytest.mark.parametrize("points", [3, 4, 10, 34])
def test_type_a_is_tdev_at_the_sampling_interval(points: int) -> None:
    rng = random.Random(points)
    x_s = [rng.gauss(1e-3, 2e-6) for _ in range(points)]
    assert pushed(x_s).u_s == pytest.approx(tdev_at_tau0(x_s), rel=1e-9)


def test_type_a_gives_the_published_tdev_of_sp_1065(monkeypatch: pytest.MonkeyPatch) -> None:
    # NIST SP 1065 section 12.4: 1000 frequencies by a congruential generator; TDEV at m = 1 is 0.1687202.
    monkeypatch.setattr(TypeA, "SPAN", 1000)
    n, x = 1234567890, [0.0]
    for _ in range(1000):
        x.append(x[-1] + n / 2147483647)
        n = 16807 * n % 2147483647
    assert pushed(x, S).u_s == pytest.approx(0.1687202, rel=3e-7)


def test_no_type_a_before_three_samples() -> None:
    assert pushed([1e-6, 2e-6]).u_s is None
    assert pushed([1e-6, 2e-6, 4e-6]).u_s is not None


@given(st.floats(-1, 1), st.floats(-1e-4, 1e-4), st.lists(st.integers(1, 5), min_size=3, max_size=60))
def test_constant_offset_and_rate_are_no_scatter_even_where_polls_were_lost(
    offset_s: float, rate: float, intervals: list[int]
) -> None:
    scatter, at_s = TypeA(), 0
    for interval in intervals:
        at_s += 16 * interval
        scatter.push(0, NOW_NS + at_s * S, offset_s + rate * at_s)
    assert scatter.u_s == pytest.approx(0.0, abs=1e-12)


def test_white_noise_reads_the_same_with_and_without_lost_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    # White phase noise of standard deviation s has TDEV(tau0) = s (SP 1065 table 3 at m = 1).
    monkeypatch.setattr(TypeA, "SPAN", 10**6)
    rng = random.Random(5)
    regular, ragged, at_s = TypeA(), TypeA(), 0
    for number in range(20_000):
        regular.push(0, number * 16 * S, rng.gauss(0.0, 3e-6))
        at_s += 16 * rng.choice((1, 1, 1, 2, 5))
        ragged.push(0, at_s * S, rng.gauss(0.0, 3e-6))
    assert regular.u_s == pytest.approx(3e-6, rel=0.03)
    assert ragged.u_s == pytest.approx(3e-6, rel=0.03)


def test_old_scatter_is_forgotten() -> None:
    rng = random.Random(6)
    scatter = pushed([rng.gauss(0, 1e-3) for _ in range(100)] + [rng.gauss(0, 1e-6) for _ in range(700)])
    assert scatter.u_s is not None
    assert scatter.u_s < 2e-6


def test_no_difference_spans_a_restart_and_the_spread_is_kept() -> None:
    scatter = pushed([0.0, 1e-6, 0.0, 1e-6])
    before = scatter.u_s
    scatter.restart()
    scatter.push(0, NOW_NS + 100 * S, 5.0)
    scatter.push(0, NOW_NS + 116 * S, 5.0)
    assert scatter.u_s == before


def test_sample_that_is_not_later_is_left_out() -> None:
    scatter = pushed([0.0, 0.0, 0.0])
    scatter.push(0, NOW_NS, 1.0)
    scatter.push(0, NOW_NS + 32 * S, 1.0)
    assert scatter.u_s == 0.0


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_no_difference_spans_a_step_of_the_probes_clock(step_s: int) -> None:
    scatter = TypeA()
    for number in range(10):
        scatter.push(0, NOW_NS + number * S, 1e-6 * (number % 2))
    before = scatter.u_s
    # The clock the offset is seen by has jumped, and so has the offset.
    for number in range(10, 12):
        scatter.push(1, NOW_NS + (number + step_s) * S, 5.0)
    assert scatter.u_s == before


def test_samples_after_a_step_back_count_at_once_and_late_ones_from_before_it_do_not() -> None:
    scatter = pushed([0.0, 0.0, 0.0])
    for number, x_s in enumerate((0.0, 1e-6, 0.0)):
        scatter.push(1, NOW_NS - 3600 * S + number * S, x_s)
    seen = scatter.u_s
    assert seen is not None
    assert seen > 0.0
    scatter.push(0, NOW_NS + 64 * S, 1.0)
    assert scatter.u_s == seen
