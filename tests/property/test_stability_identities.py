"""Laws that hold for any data: between statistics, under scaling and shifting, and for the error of a prediction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timesync.stability import STATISTICS, adev, hdev, htotdev, mdev, mtie, oadev, ohdev, on_grid, pdev, tdev, tierms

SEES_SLOPE = ("tierms", "mtie")
SEES_DRIFT_NOT = ("hdev", "ohdev", "htotdev")


@st.composite
def phases(draw: st.DrawFn, shortest: int = 24, longest: int = 120) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(draw(st.integers(shortest, longest)))
    for _ in range(draw(st.integers(0, 2))):
        x = np.cumsum(x)
    return x


@st.composite
def gappy(draw: st.DrawFn) -> np.ndarray:
    x = draw(phases())
    x[draw(st.lists(st.integers(0, x.size - 1), max_size=6))] = np.nan
    return x


taus = st.sampled_from(["octave", "decade", "all"])


@given(gappy())
def test_mdev_and_pdev_are_oadev_at_one_interval(x: np.ndarray) -> None:
    first = oadev(x, taus=1.0, ci=None)
    for same in (mdev, pdev):
        result = same(x, taus=1.0, ci=None)
        np.testing.assert_allclose(result.dev, first.dev, rtol=1e-12)
        assert result.n.tolist() == first.n.tolist()


@given(gappy())
def test_htotdev_is_ohdev_at_one_interval(x: np.ndarray) -> None:
    np.testing.assert_allclose(htotdev(x, taus=1.0, ci=None).dev, ohdev(x, taus=1.0, ci=None).dev, rtol=1e-12)


@given(gappy())
def test_overlapping_and_plain_are_the_same_at_one_interval(x: np.ndarray) -> None:
    np.testing.assert_allclose(adev(x, taus=1.0, ci=None).dev, oadev(x, taus=1.0, ci=None).dev, rtol=1e-12)
    np.testing.assert_allclose(hdev(x, taus=1.0, ci=None).dev, ohdev(x, taus=1.0, ci=None).dev, rtol=1e-12)


@given(gappy(), taus, st.sampled_from([1.0, 0.25, 16.0]))
def test_tdev_is_tau_mdev_over_root_three(x: np.ndarray, which: str, tau0_s: float) -> None:
    time, modified = tdev(x, tau0_s, which, ci=None), mdev(x, tau0_s, which, ci=None)
    np.testing.assert_allclose(time.dev, modified.tau_s * modified.dev / math.sqrt(3), rtol=1e-14)


@given(phases(), taus)
def test_mtie_never_falls_and_bounds_tie_rms(x: np.ndarray, which: str) -> None:
    widest, rms = mtie(x, taus=which), tierms(x, taus=which, ci=None)
    assert (np.diff(widest.dev) >= 0).all()
    assert (rms.dev <= widest.dev * (1 + 1e-12)).all()
    assert mtie(x, taus=float(x.size - 1)).dev[0] == x.max() - x.min()


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=25, deadline=None)
@given(x=gappy(), which=taus, factor=st.sampled_from([-1.0, 2.0**-30, 1e3, 7.0]), tau0_s=st.sampled_from([1.0, 0.5]))
def test_scaling_the_data_scales_the_deviation(
    name: str, x: np.ndarray, which: str, factor: float, tau0_s: float
) -> None:
    plain, scaled = (STATISTICS[name](values, tau0_s, which, ci=None) for values in (x, factor * x))
    np.testing.assert_allclose(scaled.dev, abs(factor) * plain.dev, rtol=1e-9)
    assert scaled.n.tolist() == plain.n.tolist()


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=25, deadline=None)
@given(x=gappy(), which=taus)
def test_sampling_interval_only_sets_the_scale_of_time(name: str, x: np.ndarray, which: str) -> None:
    one, other = STATISTICS[name](x, 1.0, which, ci=None), STATISTICS[name](x, 4.0, which, ci=None)
    np.testing.assert_array_equal(other.tau_s, 4.0 * one.tau_s)
    per_second = 4.0 if STATISTICS[name].unit == "1" else 1.0
    np.testing.assert_allclose(other.dev * per_second, one.dev, rtol=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=25, deadline=None)
@given(x=gappy(), offset=st.sampled_from([1.0, -300.0]), rate=st.sampled_from([0.5, -20.0]))
def test_constant_phase_and_frequency_are_invisible_but_to_time_interval_errors(
    name: str, x: np.ndarray, offset: float, rate: float
) -> None:
    statistic = STATISTICS[name]
    plain = statistic(x, ci=None)
    np.testing.assert_allclose(statistic(x + offset, ci=None).dev, plain.dev, rtol=1e-8)
    if name not in SEES_SLOPE:
        np.testing.assert_allclose(statistic(x + rate * np.arange(x.size), ci=None).dev, plain.dev, rtol=1e-8)


@pytest.mark.parametrize("name", SEES_DRIFT_NOT)
@settings(max_examples=25, deadline=None)
@given(x=gappy(), drift=st.sampled_from([0.03, -1.0]), which=taus)
def test_drift_is_invisible_to_the_hadamard_family(name: str, x: np.ndarray, drift: float, which: str) -> None:
    with_drift = x + 0.5 * drift * np.arange(x.size) ** 2
    plain, drifting = (STATISTICS[name](values, taus=which, ci=None) for values in (x, with_drift))
    np.testing.assert_allclose(drifting.dev, plain.dev, rtol=1e-8)


@given(st.floats(0.01, 10.0), st.integers(30, 200))
def test_drift_alone_gives_adev_of_drift_tau_over_root_two(drift: float, points: int) -> None:
    x = 0.5 * drift * np.arange(points) ** 2.0
    result = oadev(x, taus="all", ci=None)
    np.testing.assert_allclose(result.dev, drift * result.tau_s / math.sqrt(2), rtol=1e-9)


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=25, deadline=None)
@given(x=phases())
def test_time_reversed_is_the_same_but_for_what_is_not_symmetric(name: str, x: np.ndarray) -> None:
    m = [1.0] if name in ("adev", "hdev", "pdev") else None  # every m-th point, or all windows but the last
    options = {"taus": m} if m else {}
    there, back = STATISTICS[name](x, ci=None, **options), STATISTICS[name](x[::-1], ci=None, **options)
    if name in ("theo1", "theobr", "theoh"):
        # Theo1 sums one start fewer than there are windows, and so favours one end a little.
        assert there.n.tolist() == back.n.tolist()
        return
    np.testing.assert_allclose(back.dev, there.dev, rtol=1e-9)


@given(phases(40, 200), st.integers(1, 12))
def test_error_of_a_two_point_prediction_is_root_two_tau_oadev(x: np.ndarray, m: int) -> None:
    predicted = x[m:-m] + (x[m:-m] - x[: -2 * m])
    rms = math.sqrt(np.mean((x[2 * m :] - predicted) ** 2))
    assert math.isclose(rms, math.sqrt(2) * m * oadev(x, taus=float(m), ci=None).dev[0], rel_tol=1e-9)


@given(gappy(), taus)
def test_deviation_of_two_records_apart_is_between_theirs(x: np.ndarray, which: str) -> None:
    # Two records with a gap longer than any window between them: squares add, terms add.
    apart = np.concatenate((x, np.full(3 * x.size, np.nan), x))
    once, twice = oadev(x, taus=which, ci=None), oadev(apart, taus=which, ci=None)
    shared = np.isin(twice.m, once.m)
    near = twice.m[shared] * 2 < 3 * x.size
    assert (twice.n[shared][near] == 2 * once.n[: near.size][near]).all()
    np.testing.assert_allclose(twice.dev[shared][near], once.dev[: near.size][near], rtol=1e-12)


@given(phases(), st.integers(1, 10**12), st.lists(st.integers(0, 119), max_size=20))
def test_grid_puts_each_sample_back_where_it_was(x: np.ndarray, tau0_ns: int, lost: list[int]) -> None:
    kept = np.setdiff1d(np.arange(x.size), [k for k in lost if 0 < k < x.size - 1])
    grid = on_grid(1_700_000_000_000_000_000 + kept * tau0_ns, x[kept], tau0_ns / 1e9)
    expected = np.full(x.size, np.nan)
    expected[kept] = x[kept]
    np.testing.assert_array_equal(grid.x, expected)
