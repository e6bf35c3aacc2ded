"""Noise identification on exact power-law noise, against Stable32 on its own data, and the five-noise fit."""

from __future__ import annotations

import numpy as np
import pytest
from support.powerlaw import power_law_phase

from timesync.errors import DataError
from timesync.stability.edf import difference_edf
from timesync.stability.noise import b1_expected, identify, lag1
from timesync.stability.noisefit import fit_noise, model_variance
from timesync.stability.powerlaw import difference_covariance, generalised_autocovariance, innovation_variance

OCTAVES = 2 ** np.arange(8)


@pytest.mark.parametrize("alpha", [2, 1, 0, -1, -2])
def test_the_right_noise_is_found_in_nearly_every_record(alpha):
    records = power_law_phase(alpha, 1024, np.random.default_rng(40 + alpha), rows=60)
    found = np.array([identify(x, OCTAVES).alpha for x in records])
    right = np.mean(found == alpha, axis=0)
    assert np.all(right[:4] > 0.95)  # 128 points and more
    assert np.all(right[4:6] > 0.8)  # 32 and 64 points
    assert np.all(right[6:] > 0.7)  # fewer
    assert np.mean(np.abs(found[:, :6] - alpha) <= 1) > 0.99


@pytest.mark.parametrize("alpha", [-3, -4])
def test_the_hadamard_family_sees_steeper_noise(alpha):
    records = power_law_phase(alpha, 600, np.random.default_rng(50 + alpha), rows=30)
    found = np.array([identify(x, OCTAVES[:4], order=3).alpha for x in records])
    assert np.mean(found == alpha) > 0.9
    assert identify(records[0], OCTAVES[:1], order=2).alpha[0] == -2.0  # the steepest the Allan variance can stand


@pytest.mark.parametrize(("alpha", "differences", "delta"), [(2, 0, 0.0), (0, 1, 0.0), (-2, 2, 0.0), (-1, 2, -0.5)])
def test_lag_1_has_the_published_value_for_fractionally_integrated_noise(alpha, differences, delta):
    # Riley and Greenhall (2004): r1 = delta/(1 - delta) for noise of memory delta, so p = -2 (delta + d), alpha = p + 2
    statistic = lag1(power_law_phase(alpha, 1 << 15, np.random.default_rng(3))[0])
    assert statistic.differences == differences
    assert statistic.delta == pytest.approx(delta, abs=0.03)
    assert statistic.alpha == pytest.approx(alpha, abs=0.06)


def nbs14_frequency():
    """The 1000-point test suite of SP 1065, 12.4."""
    n = [1234567890]
    for _ in range(999):
        n.append(16807 * n[-1] % 2147483647)
    return np.array(n) / 2147483647


def test_published_rule_finds_what_stable32_prints_for_the_white_fm_of_sp1065():
    # Stable32 1.60, octave run on this white FM as PHASE.DAT: alpha 0 at every octave to m = 128
    phase = np.concatenate(([0.0], np.cumsum(nbs14_frequency() - 0.5)))
    for rule in ("published", "model"):
        assert identify(phase, OCTAVES[:6], rule=rule).alpha.tolist() == [0.0] * 6


def test_drift_and_offset_do_not_change_what_is_found():
    x = power_law_phase(0, 4096, np.random.default_rng(6))[0]
    t = np.arange(4096.0)
    np.testing.assert_array_equal(identify(x, OCTAVES).alpha, identify(x + 5e3 + 7.0 * t + 1e-3 * t * t, OCTAVES).alpha)


def test_gaps_leave_the_noise_as_it_is():
    rng = np.random.default_rng(7)
    for alpha in (2, 0, -2):
        x = power_law_phase(alpha, 4096, rng)[0]
        x[rng.random(4096) < 0.1] = np.nan
        x[1000:1400] = np.nan
        assert identify(x, OCTAVES[:5]).alpha.tolist() == [float(alpha)] * 5


def test_what_is_asked_for_together_does_not_matter():
    x = power_law_phase(0, 700, np.random.default_rng(8))[0]
    together = identify(x, np.arange(1, 200)).alpha
    alone = [identify(x, np.array([m])).alpha[0] for m in (3, 17, 60, 199)]
    assert alone == [together[m - 1] for m in (3, 17, 60, 199)]


def test_too_few_points_are_named_not_guessed():
    found = identify(np.arange(8.0) ** 2, np.array([1]))
    assert np.isnan(found.alpha[0])
    assert found.reason[0] == "noise not identified: 8 usable points at this averaging factor"


def test_constant_phase_has_no_noise():
    found = identify(np.zeros(100), np.array([1, 4]))
    assert np.isnan(found.alpha).all()
    assert all(found.reason)


def test_method_says_how():
    x = power_law_phase(2, 1024, np.random.default_rng(9))[0]
    assert identify(x, np.array([1, 8, 64, 256])).method == ("lag1", "lag1+rn", "b1+rn", "carried")


def test_b1_has_the_values_of_its_definition():
    # white FM: standard and Allan variance are one; white PM: (N + 1)/(1.5 N); random walk: N/2 (Barnes, TN 375)
    for n in (5, 16, 100):
        assert b1_expected(n, -1) == pytest.approx(1.0)
        assert b1_expected(n, -2) == pytest.approx((n + 1) / (1.5 * n))
        assert b1_expected(n, 1) == pytest.approx(n / 2)


# --- the noise model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0, -1, -2, -3, -4, -5, -6])
def test_autocovariances_of_neighbouring_noises_are_second_differences(alpha):
    k = np.arange(60.0)
    s = generalised_autocovariance(k, alpha)
    second = 2.0 * s[1:-1] - s[:-2] - s[2:]
    rest = second - generalised_autocovariance(k, alpha + 2)[1:-1]
    order = max(0, -alpha)  # equal up to the polynomial left open
    fitted = np.polynomial.Polynomial.fit(k[1:-1], rest, order)(k[1:-1])
    np.testing.assert_allclose(rest, fitted, atol=1e-9 * np.max(np.abs(s)))


def test_model_has_the_textbook_variances():
    # SP 1065, table of h_alpha to Allan variance (f_h = 1/(2 tau0)), and of MVAR/AVAR, at large m
    m, tau0 = np.array([64, 512]), 0.5
    tau = m * tau0
    np.testing.assert_allclose(
        model_variance("oadev", 2, m, tau0), 3 / (2 * tau0) / (4 * np.pi**2 * tau**2), rtol=1e-12
    )
    np.testing.assert_allclose(model_variance("oadev", 0, m, tau0), 1 / (2 * tau), rtol=1e-12)
    np.testing.assert_allclose(model_variance("oadev", -1, m, tau0), 2 * np.log(2), rtol=1e-3)
    np.testing.assert_allclose(model_variance("oadev", -2, m, tau0), 2 * np.pi**2 / 3 * tau, rtol=1e-3)
    np.testing.assert_allclose(model_variance("mdev", 0, m, tau0), 1 / (4 * tau), rtol=1e-3)
    flicker = (24 * np.log(2) - 9 * np.log(3)) / (8 * np.pi**2 * tau**2)
    np.testing.assert_allclose(model_variance("mdev", 1, m, tau0), flicker, rtol=1e-3)
    np.testing.assert_allclose(model_variance("mdev", -2, m, tau0), 11 / 20 * np.pi**2 * tau, rtol=1e-3)
    np.testing.assert_allclose(model_variance("ohdev", -1, m, tau0), 0.5 * np.log(256 / 27), rtol=1e-3)


@pytest.mark.parametrize("alpha", [2, 1, 0, -1, -2])
def test_generated_noise_has_the_models_variance(alpha):
    records, m = power_law_phase(alpha, 512, np.random.default_rng(60 + alpha), rows=300), 8
    z = records[:, 2 * m :] - 2 * records[:, m:-m] + records[:, : -2 * m]
    share = np.mean(z**2) / difference_covariance(np.zeros(1), alpha, 2, m, summed=False)[0]
    edf = 300 * difference_edf(alpha, 2, m, z.shape[1], 1, summed=False)
    assert share == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / edf) + 0.005)


# --- the fit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["oadev", "mdev", "ohdev"])
def test_a_sum_of_noises_is_taken_apart_exactly(statistic):
    m, tau0 = 2 ** np.arange(14), 1.0
    h = {2: 1e-22, 1: 0.0, 0: 3e-22, -1: 2e-26, -2: 5e-31}
    variance = sum(value * model_variance(statistic, alpha, m, tau0) for alpha, value in h.items())
    fit = fit_noise(statistic, m, np.sqrt(variance), np.full(m.size, 50.0), tau0_s=tau0)
    np.testing.assert_allclose(fit.h, list(h.values()), rtol=1e-6, atol=1e-30)
    assert np.isnan(fit.u[1])
    assert fit.chi2 < 1e-9


def test_fit_is_never_negative_and_its_uncertainty_is_the_spread():
    m, tau0 = 2 ** np.arange(9), 1.0
    h0 = 2.0
    scale = np.sqrt(innovation_variance(h0, 0, tau0))
    found = []
    for x in scale * power_law_phase(0, 4096, np.random.default_rng(70), rows=60):
        dev = np.array([np.sqrt(np.mean((x[2 * k :] - 2 * x[k:-k] + x[: -2 * k]) ** 2) / 2) / k for k in m])
        edf = np.array([difference_edf(0, 2, int(k), x.size - 2 * int(k), 1, summed=False) for k in m])
        found.append(fit_noise("oadev", m, dev, edf, tau0_s=tau0, alphas=(0, -2)))
    h = np.array([fit.h for fit in found])
    assert np.all(h >= 0.0)
    assert h[:, 0].mean() == pytest.approx(h0, rel=0.03)


def test_fit_refuses_what_it_has_no_model_for():
    one = np.array([1])
    with pytest.raises(DataError, match="no model"):
        fit_noise("theo1", one, np.ones(1), np.ones(1), tau0_s=1.0)
    with pytest.raises(DataError, match="no point"):
        fit_noise("oadev", one, np.array([np.nan]), np.ones(1), tau0_s=1.0)
