"""The hat against clocks whose variances are known, against its closed form, and where it must say no."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from timesync.errors import DataError
from timesync.stability.hat import cornered_hat

SIGMA = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 0.2}


def pairs_of(rng, names, points=500, instrument=0.0):
    """White FM clocks of step SIGMA (true variance SIGMA^2/m at unit tau0), and what is measured between them."""
    clock = {name: SIGMA[name] * rng.standard_normal(points).cumsum() for name in names}
    return {
        (p, q): clock[p] - clock[q] + instrument * rng.standard_normal(points)
        for p, q in itertools.combinations(names, 2)
    }


def pair_variance(x, m):
    return np.mean((x[2 * m :] - 2 * x[m:-m] + x[: -2 * m]) ** 2) / (2 * m * m)


def test_three_clocks_have_the_closed_form_of_gray_and_allan():
    pairs = pairs_of(np.random.default_rng(1), "abc")
    hat = cornered_hat(pairs, [1, 8], tau0_s=1.0)
    for i, m in enumerate((1, 8)):
        ab, ac, bc = (pair_variance(pairs[p], m) for p in (("a", "b"), ("a", "c"), ("b", "c")))
        expected = [(ab + ac - bc) / 2, (ab + bc - ac) / 2, (ac + bc - ab) / 2]
        np.testing.assert_allclose([clock.variance[i] for clock in hat.clocks], expected, rtol=1e-10)


def test_methods_agree_for_three_clocks_whose_loop_closes():
    pairs = pairs_of(np.random.default_rng(2), "abc")
    one, two = (cornered_hat(pairs, [1, 4, 16], tau0_s=1.0, method=method) for method in ("gray-allan", "gcov"))
    for clock, other in zip(one.clocks, two.clocks, strict=True):
        np.testing.assert_allclose(clock.variance, other.variance, rtol=1e-9)


@pytest.mark.parametrize("method", ["gray-allan", "gcov"])
@pytest.mark.parametrize("names", ["abc", "abcd"])
def test_variances_are_unbiased_and_spread_as_their_uncertainty_says(method, names):
    rng, m, runs = np.random.default_rng(3), np.array([1, 8]), 200
    found = [cornered_hat(pairs_of(rng, names), m, tau0_s=1.0, method=method) for _ in range(runs)]
    variance = np.array([[clock.variance for clock in hat.clocks] for hat in found])
    u = np.array([[clock.u_variance for clock in hat.clocks] for hat in found])
    true = np.array([[SIGMA[name] ** 2 / k for k in m] for name in names])
    spread = variance.std(axis=0, ddof=1)
    # four standard errors of a mean, and of a standard deviation, over 200 runs
    assert np.all(np.abs(variance.mean(axis=0) - true) < 4.0 * spread / np.sqrt(runs))
    np.testing.assert_allclose(spread / u.mean(axis=0), 1.0, atol=4.0 / np.sqrt(2 * runs))


def test_covariances_see_through_the_noise_of_the_instruments():
    rng, true = np.random.default_rng(4), 1.0
    runs = [pairs_of(rng, "abc", 2000, instrument=1.0) for _ in range(40)]
    means = {
        method: np.mean([cornered_hat(pairs, [1], tau0_s=1.0, method=method).clocks[0].variance[0] for pairs in runs])
        for method in ("gray-allan", "gcov")
    }
    assert means["gcov"] == pytest.approx(true, rel=0.08)
    # white phase noise of variance 1 on three instruments puts (3 + 3 - 3)/2 on each clock
    assert means["gray-allan"] == pytest.approx(true + 1.5, rel=0.08)


def test_a_negative_variance_is_reported_with_its_reason():
    rng = np.random.default_rng(5)
    for _ in range(50):
        hat = cornered_hat(pairs_of(rng, "bcd", 60), [8], tau0_s=1.0)
        quiet = next(clock for clock in hat.clocks if clock.name == "d")
        if quiet.variance[0] < 0.0:
            break
    assert quiet.variance[0] < 0.0
    assert np.isnan(quiet.dev[0])
    assert "negative variance" in quiet.reason[0]
    assert quiet.u_variance[0] > 0.0


def test_only_epochs_that_all_pairs_have_are_used():
    pairs = pairs_of(np.random.default_rng(6), "abc")
    pairs["a", "b"][100:120] = np.nan
    hat = cornered_hat(pairs, [1, 600], tau0_s=1.0)
    assert hat.n[0] == 500 - 2 - 22
    assert hat.n[1] == 0
    assert hat.clocks[0].reason[1] == "no epoch at which every pair has a term"


def test_a_pair_may_be_given_in_either_direction_and_the_unit_follows_tau0():
    pairs = pairs_of(np.random.default_rng(7), "abc")
    turned = {("b", "a"): -pairs["a", "b"], ("a", "c"): pairs["a", "c"], ("c", "b"): -pairs["b", "c"]}
    one, two = cornered_hat(pairs, [4], tau0_s=1.0), cornered_hat(turned, [4], tau0_s=10.0)
    by_name = {clock.name: clock.variance[0] for clock in two.clocks}
    for clock in one.clocks:
        assert by_name[clock.name] == pytest.approx(clock.variance[0] / 100.0)


@pytest.mark.parametrize("statistic", ["mdev", "ohdev"])
def test_other_statistics_are_unbiased(statistic):
    rng, m = np.random.default_rng(8), 4
    factor = {"mdev": (m * m + 0.5) / (2 * m * m), "ohdev": 1.0}[
        statistic
    ]  # MVAR/AVAR of white FM, SP 1065; HVAR = AVAR
    found = [cornered_hat(pairs_of(rng, "abc"), [m], tau0_s=1.0, statistic=statistic) for _ in range(150)]
    for k, name in enumerate("abc"):
        values = np.array([hat.clocks[k].variance[0] for hat in found])
        true = factor * SIGMA[name] ** 2 / m
        assert abs(values.mean() - true) < 4.0 * values.std() / np.sqrt(values.size)


def test_what_cannot_be_separated_is_refused():
    pairs = pairs_of(np.random.default_rng(9), "abc", 50)
    with pytest.raises(DataError, match="three or more"):
        cornered_hat({("a", "b"): pairs["a", "b"]}, [1], tau0_s=1.0)
    with pytest.raises(DataError, match="missing"):
        cornered_hat({key: pairs[key] for key in [("a", "b"), ("b", "c")]}, [1], tau0_s=1.0)
    with pytest.raises(DataError, match="there twice"):
        cornered_hat({**pairs, ("b", "a"): pairs["a", "b"]}, [1], tau0_s=1.0)
    with pytest.raises(DataError, match="unequal lengths"):
        cornered_hat({**pairs, ("b", "c"): np.zeros(9)}, [1], tau0_s=1.0)
    with pytest.raises(DataError, match="not one of"):
        cornered_hat(pairs, [1], tau0_s=1.0, statistic="mtie")
