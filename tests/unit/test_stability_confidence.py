"""Intervals against Stable32's printed output, chi-squared against printed tables, degrees of freedom against theory."""

from __future__ import annotations

import numpy as np
import pytest
from support.powerlaw import power_law_phase

from timesync.errors import DataError
from timesync.stability.averaged_phase import averaged_phase_edf
from timesync.stability.chisquare import chi2_cdf, chi2_quantile
from timesync.stability.confidence import chi2_interval, intervals
from timesync.stability.edf import difference_edf, difference_weights
from timesync.stability.gaussian_form import form_cdf, form_quantile
from timesync.stability.noisefit import model_variance
from timesync.stability.powerlaw import innovation_variance
from timesync.stability.quadratic import QUADRATIC, _traces, quadratic_bias, quadratic_edf, theo1_bias

# Stable32 1.60 on its own PHASE.DAT (1001 phase points, white FM) and on a 19982-point OCXO record (19983 phase points):
# family (order, overlapped, modified), points, alpha, m, min sigma, sigma, max sigma. Printed confidence factor 0.683.
# Output files kept in the tests of allantools (phasedat/, ocxo/).
STABLE32 = [
    ((2, False, False), 1001, 0, 1, 2.8515e-01, 2.9223e-01, 2.9987e-01),
    ((2, False, False), 1001, 0, 16, 5.6510e-02, 6.2381e-02, 7.0567e-02),
    ((2, False, False), 1001, 0, 128, 2.6481e-02, 3.3855e-02, 5.5744e-02),
    ((2, True, False), 1001, 0, 4, 1.3931e-01, 1.4479e-01, 1.5098e-01),
    ((2, True, False), 1001, 0, 32, 4.3654e-02, 4.8082e-02, 5.4202e-02),
    ((2, True, False), 1001, 0, 128, 2.3045e-02, 2.7674e-02, 3.7027e-02),
    ((2, True, True), 1001, 0, 16, 3.8022e-02, 4.1376e-02, 4.5809e-02),
    ((2, True, True), 1001, 0, 128, 1.4874e-02, 1.8669e-02, 2.8584e-02),
    ((3, False, False), 1001, 0, 32, 4.6987e-02, 5.4697e-02, 6.8092e-02),
    ((3, False, False), 1001, 0, 128, 2.8841e-02, 3.8060e-02, 7.3807e-02),
    ((3, True, False), 1001, 0, 32, 4.0664e-02, 4.5095e-02, 5.1382e-02),
    ((3, True, False), 1001, 0, 128, 2.3761e-02, 2.9147e-02, 4.1367e-02),
    ((2, True, False), 19983, -1, 256, 4.7422e-12, 5.0826e-12, 5.5085e-12),
    ((2, True, False), 19983, -2, 512, 4.6879e-12, 5.2159e-12, 5.9752e-12),
    ((2, True, False), 19983, 0, 4096, 7.2435e-12, 9.1057e-12, 1.4019e-11),
    ((2, True, True), 19983, -2, 512, 3.8984e-12, 4.3832e-12, 5.1095e-12),
    ((2, True, True), 19983, 0, 4096, 7.3831e-12, 9.8071e-12, 1.9848e-11),
    ((3, True, False), 19983, -2, 512, 3.8499e-12, 4.2789e-12, 4.8931e-12),
    ((3, True, False), 19983, -1, 1024, 4.2162e-12, 4.8704e-12, 5.9683e-12),
    ((3, False, False), 19983, -2, 2048, 7.3681e-12, 9.1993e-12, 1.3822e-11),
]


@pytest.mark.parametrize(("family", "points", "alpha", "m", "lowest", "sigma", "highest"), STABLE32)
def test_averaged_phase_intervals_agree_with_stable32_as_printed(family, points, alpha, m, lowest, sigma, highest):
    order, overlapped, modified = family
    edf = averaged_phase_edf(alpha, order, m, points, overlapped=overlapped, modified=modified)
    lo, hi = chi2_interval(np.array([sigma]), np.array([edf]), 0.683)
    # five printed digits, and a sigma known to five digits only; Stable32's own quantile is good to about 1e-3 of the
    # interval's width
    assert lo[0] == pytest.approx(lowest, rel=3e-4)
    assert hi[0] == pytest.approx(highest, rel=6e-4)


# Abramowitz and Stegun, Handbook of Mathematical Functions, table 26.8: Q, degrees of freedom, chi-squared.
CHI2_TABLE = [
    (0.995, 1, 3.92704e-5), (0.95, 1, 3.93214e-3), (0.5, 1, 0.454937), (0.05, 1, 3.84146), (0.001, 1, 10.8276),
    (0.975, 2, 0.0506356), (0.025, 2, 7.37776), (0.995, 10, 2.15585), (0.1, 10, 15.9871), (0.005, 10, 25.1882),
    (0.95, 30, 18.4926), (0.05, 30, 43.7729), (0.975, 100, 74.2219), (0.025, 100, 129.561),
]  # fmt: skip


@pytest.mark.parametrize(("upper", "degrees", "value"), CHI2_TABLE)
def test_chi_squared_quantile_is_the_printed_one(upper, degrees, value):
    assert chi2_quantile(1.0 - upper, degrees)[0] == pytest.approx(value, rel=3e-5)


def test_chi_squared_agrees_with_scipy_to_ten_digits():
    stats = pytest.importorskip("scipy.stats")
    degrees = np.array([0.1, 0.37, 1.0, 1.7, 2.0, 5.5, 30.0, 150.0, 199.9, 200.1, 1e3, 1e5])
    for p in (1e-6, 0.00135, 0.025, 0.15865, 0.5, 0.84135, 0.975, 0.99865, 1 - 1e-6):
        np.testing.assert_allclose(chi2_quantile(p, degrees), stats.chi2.ppf(p, degrees), rtol=1e-10)
    # where scipy's own lower tail fails (seen with 1.17 at 1e7): Wilson and Hilferty's cube, good to 1e-8 there
    cube = 1e7 * (1.0 - 2.0 / 9e7 - 4.753424308822899 * np.sqrt(2.0 / 9e7)) ** 3
    assert chi2_quantile(1e-6, 1e7)[0] == pytest.approx(cube, rel=1e-8)
    x = np.linspace(0.05, 3.0, 40)[:, None] * degrees
    np.testing.assert_allclose(chi2_cdf(x, degrees), stats.chi2.cdf(x, degrees), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("p", "degrees"), [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.5, float("nan")), (0.5, -3.0)])
def test_chi_squared_quantile_refuses_what_has_no_answer(p, degrees):
    with pytest.raises(DataError):
        chi2_quantile(p, degrees)


def test_white_fm_at_m_1_has_the_textbook_degrees_of_freedom():
    # differences of n+1 independent frequencies: correlation -1/2 at one lag, so n / (1 + 2 (1 - 1/n) / 4)
    for n in (1, 2, 10, 998):
        assert difference_edf(0, 2, 1, n, 1, summed=False) == pytest.approx(
            n / (1.0 + 0.5 * (1.0 - 1.0 / n)), rel=1e-12
        )


def test_random_walk_fm_at_m_1_has_independent_differences():
    assert difference_edf(-2, 2, 1, 998, 1, summed=False) == pytest.approx(998.0, rel=1e-9)


def test_white_pm_has_the_closed_form_of_greenhall_and_riley_case_4():
    # edf = M / (a0 - a1/r), a0 = C(8,4)/C(4,2)^2 for the Allan variance, a1 = d/2, r = M/m > d
    for m, terms in ((1, 500), (10, 980), (64, 40000)):
        expected = terms / (35.0 / 18.0 - 1.0 / (terms / m))
        assert difference_edf(2, 2, m, terms, 1, summed=False) == pytest.approx(expected, rel=1e-7)


def test_one_term_has_one_degree_of_freedom():
    for alpha in (2, 1, 0, -1, -2):
        assert difference_edf(alpha, 2, 300, 1, 1, summed=False) == pytest.approx(1.0)
        assert difference_edf(alpha, 2, 300, 1, 1, summed=True) == pytest.approx(1.0)


def test_every_averaging_factor_has_an_interval_or_a_reason():
    x = np.random.default_rng(1).standard_normal(200).cumsum()
    m = np.array([1, 4, 64])
    found = intervals("oadev", x, m, np.ones(3), 200 - 2 * m, tau0_s=1.0, ci=0.683, convention="exact")
    assert np.all((found.lo < 1.0) & (found.hi > 1.0))
    assert found.reason == ("", "", "")
    found = intervals("oadev", x[:5], m[:1], np.ones(1), np.array([3]), tau0_s=1.0, ci=0.683, convention="exact")
    assert np.isnan(found.lo[0])
    assert "not identified" in found.reason[0]


def test_unknown_names_and_levels_are_refused():
    x, one = np.zeros(100), np.array([1])
    with pytest.raises(DataError, match="no intervals for 'xdev'"):
        intervals("xdev", x, one, np.ones(1), one, tau0_s=1.0, ci=0.683, convention="exact")
    with pytest.raises(DataError, match="convention"):
        intervals("oadev", x, one, np.ones(1), one, tau0_s=1.0, ci=0.683, convention="best")
    with pytest.raises(DataError, match="ci is 1"):
        intervals("oadev", x, one, np.ones(1), one, tau0_s=1.0, ci=1.0, convention="exact")


# --- totals and Theo1 -------------------------------------------------------------------------------------------------

# SP 1065, tables of EDF and bias: TOTVAR edf = b T/tau - c and E/AVAR = 1 - a tau/T (a, b, c), and E(HTOT)/HVAR.
TOTVAR = {0: (0.0, 1.50, 0.0), -1: (0.481, 1.17, 0.22), -2: (0.750, 0.93, 0.36)}
HTOT_BIAS = {0: 0.995, -1: 0.851, -2: 0.771, -3: 0.717, -4: 0.679}
# Howe and Tasset (2004): AVAR/E(Theo1) = a + b/m^c
THEO1 = {0: (1.0, 0.0, 0.0), -1: (1.87, -1.05, 0.79), -2: (2.70, -1.53, 0.85)}


@pytest.mark.parametrize("alpha", [0, -1, -2])
def test_total_variance_has_the_published_degrees_of_freedom_and_bias(alpha):
    a, b, c = TOTVAR[alpha]
    for m, length in ((100, 10), (64, 30)):
        # the published fit is within 1.2 % of its authors' exact values
        assert quadratic_edf("totdev", alpha, m, length * m) == pytest.approx(b * length - c, rel=0.02)
        assert quadratic_bias("totdev", alpha, m, length * m) == pytest.approx(1.0 - a / length, abs=0.004)


@pytest.mark.parametrize("alpha", sorted(HTOT_BIAS))
def test_hadamard_total_has_the_published_bias(alpha):
    assert quadratic_bias("htotdev", alpha, 100, 1000) == pytest.approx(HTOT_BIAS[alpha], abs=0.0025)


@pytest.mark.parametrize("alpha", sorted(THEO1))
def test_theo1_has_the_published_bias(alpha):
    a, b, c = THEO1[alpha]
    for m in (20, 100, 1000):
        assert 1.0 / theo1_bias(alpha, m) == pytest.approx(a + b / m**c, rel=0.025)


@pytest.mark.parametrize("alpha", [2, 1, 0, -1, -2])
@pytest.mark.parametrize("points", [3, 12, 512])
def test_totdev_at_m_1_has_the_degrees_of_freedom_of_oadev_whose_terms_it_has(alpha, points):
    expected = difference_edf(alpha, 2, 1, points - 2, 1, summed=False)
    assert quadratic_edf("totdev", alpha, 1, points) == pytest.approx(expected, rel=1e-9)
    assert quadratic_bias("totdev", alpha, 1, points) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("alpha", [2, 1, 0, -1, -2])
@pytest.mark.parametrize(("order", "stride", "summed"), [(2, 1, False), (2, 1, True), (3, 1, False), (3, 2, False)])
def test_weights_of_more_terms_than_cells_lose_no_spread(alpha, order, stride, summed):
    # more spread than the exact one is taken back where the interval is made
    for m in (2, 8, 32):
        weights = np.array(difference_weights(alpha, order, m, 900, stride, summed=summed))
        edf = difference_edf(alpha, order, m, 900, stride, summed=summed)
        assert np.sum(weights) == pytest.approx(1.0)
        assert 1.0 / np.sum(weights**2) <= 1.01 * edf, m


def test_forms_are_the_statistics_of_allantools():
    allantools = pytest.importorskip("allantools")
    x = np.random.default_rng(2).standard_normal(60).cumsum()
    for name in ("totdev", "mtotdev", "htotdev"):
        for m in (1, 2, 3, 8, 16):
            value = np.sqrt(x @ QUADRATIC[name].matrix(m, 60) @ x)
            assert value == pytest.approx(getattr(allantools, name)(x, taus=[m])[1][0], rel=1e-12)
    value = np.sqrt(x @ QUADRATIC["theo1"].matrix(10, 60) @ x)
    assert value == pytest.approx(allantools.theo1(x, taus=[10])[1][0], rel=1e-12)


def test_laws_beyond_the_largest_form_agree_with_the_form_itself():
    for name in ("totdev", "htotdev", "mtotdev", "theo1", "pdev"):
        for alpha in (2, 1, 0, -1, -2):
            m, points = 64, 310
            direct = _traces(name, alpha, m, points)[1]
            assert quadratic_edf(name, alpha, m, points) == pytest.approx(direct, rel=0.025), (name, alpha)


# --- few degrees of freedom -------------------------------------------------------------------------------------------


def test_equal_weights_are_chi_squared():
    for degrees in (1, 2, 3, 10, 100, 190):
        for p in (0.00135, 0.1585, 0.5, 0.8415, 0.99865):
            # more than 140 equal squares are condensed
            close = 1e-2 if degrees > 140 else 1e-6
            assert form_quantile(p, np.ones(degrees)) == pytest.approx(chi2_quantile(p, degrees)[0], rel=close)


def test_unequal_weights_have_the_closed_form_of_two_pairs():
    # a + b of two exponentials of means 2a and 2b: 1 - (a exp(-x/2a) - b exp(-x/2b)) / (a - b)
    a, b = 0.7, 0.1
    for x in (0.3, 1.0, 4.0):
        expected = 1.0 - (a * np.exp(-x / (2 * a)) - b * np.exp(-x / (2 * b))) / (a - b)
        assert form_cdf(x, np.array([a, a, b, b])) == pytest.approx(expected, rel=1e-7)


def test_weights_have_the_degrees_of_freedom_of_the_sum():
    for alpha in (2, 1, 0, -1, -2):
        weights = np.array(difference_weights(alpha, 2, 20, 100, 1, summed=False))
        assert 1.0 / np.sum(weights**2) == pytest.approx(difference_edf(alpha, 2, 20, 100, 1, summed=False), rel=1e-6)


# --- all statistics ---------------------------------------------------------------------------------------------------

EVERY = ["adev", "oadev", "mdev", "tdev", "hdev", "ohdev", "totdev", "mtotdev", "ttotdev", "htotdev", "theo1", "theobr",
    "pdev", "tierms"]  # fmt: skip


@pytest.mark.parametrize("statistic", EVERY)
@pytest.mark.parametrize("convention", ["exact", "stable32"])
def test_each_statistic_has_intervals_or_reasons_in_both_conventions(statistic, convention):
    x = np.random.default_rng(3).standard_normal(1000).cumsum()
    m = np.array([10, 40, 160])
    dev = np.array([0.3, 0.1, 0.05])
    found = intervals(statistic, x, m, dev, 1000 - 3 * m, tau0_s=1.0, ci=0.683, convention=convention)
    assert found.convention == convention
    for lo, hi, edf, reason in zip(found.lo, found.hi, found.edf, found.reason, strict=True):
        assert (reason == "" and 0.0 < lo < hi and edf > 0.0) or (reason and np.isnan([lo, hi, edf]).all())
    assert "" in found.reason


def test_tie_of_flicker_fm_has_no_variance_and_says_so():
    x = power_law_phase(-1, 2000, np.random.default_rng(4))[0]
    found = intervals(
        "tierms", x, np.array([4]), np.ones(1), np.array([1996]), tau0_s=1.0, ci=0.683, convention="exact"
    )
    assert np.isnan(found.lo[0])
    assert "flicker FM" in found.reason[0]


def test_theoh_needs_the_averaging_times_to_tell_its_parts():
    x = np.random.default_rng(5).standard_normal(500).cumsum()
    m, tau = np.array([8, 16, 100]), np.array([8.0, 16.0, 75.0])
    with pytest.raises(DataError, match="tau_s"):
        intervals("theoh", x, m, np.ones(3), m, tau0_s=1.0, ci=0.683, convention="exact")
    both = intervals("theoh", x, m, np.ones(3), 500 - 2 * m, tau0_s=1.0, ci=0.683, convention="exact", tau_s=tau)
    allan = intervals("oadev", x, m[:2], np.ones(2), 500 - 2 * m[:2], tau0_s=1.0, ci=0.683, convention="exact")
    np.testing.assert_allclose(both.edf[:2], allan.edf)
    assert both.edf[2] > 0.0


def test_gaps_widen_the_interval():
    rng = np.random.default_rng(6)
    x = rng.standard_normal(1000).cumsum()
    holed = np.where(rng.random(1000) < 0.3, np.nan, x)
    one = np.array([4])
    whole = intervals("oadev", x, one, np.ones(1), np.array([992]), tau0_s=1.0, ci=0.683, convention="exact")
    gapped = intervals("oadev", holed, one, np.ones(1), np.array([340]), tau0_s=1.0, ci=0.683, convention="exact")
    assert gapped.hi[0] - gapped.lo[0] > whole.hi[0] - whole.lo[0]


# --- coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [2, 1, 0, -1, -2])
def test_oadev_intervals_cover_the_true_deviation_as_often_as_they_say(alpha):
    # 200 records: 3.3 points standard error at 68.3 %; a seeded draw, so three of them are a firm bound. The full table,
    # within 2 points, is tests/benchmark/bench_coverage.py.
    records, points, m = 200, 256, np.array([1, 8, 32])
    true = np.sqrt(model_variance("oadev", alpha, m, 1.0) / innovation_variance(1.0, alpha, 1.0))
    hits = np.zeros(m.size)
    for x in power_law_phase(alpha, points, np.random.default_rng(20 + alpha), rows=records):
        dev = np.array([np.sqrt(np.mean((x[2 * k :] - 2 * x[k:-k] + x[: -2 * k]) ** 2) / 2) / k for k in m])
        found = intervals("oadev", x, m, dev, points - 2 * m, tau0_s=1.0, ci=0.683, convention="exact")
        hits += (found.lo <= true) & (true <= found.hi)
    np.testing.assert_allclose(hits / records, 0.683, rtol=0, atol=0.10)


def test_a_long_list_of_taus_takes_shapes_from_neighbours_and_says_so() -> None:
    x = np.cumsum(np.random.default_rng(3).normal(size=300)) * 1e-9
    m = np.arange(1, 149)
    dev = np.full(m.size, 1e-9)
    terms = 300 - 2 * m
    each = [
        intervals("oadev", x, m[i : i + 1], dev[i : i + 1], terms[i : i + 1], tau0_s=1.0, ci=0.683, convention="exact")
        for i in range(0, m.size, 7)
    ]
    together = intervals("oadev", x, m, dev, terms, tau0_s=1.0, ci=0.683, convention="exact")
    assert any("shape of the distribution as at m = " in method for method in together.method)
    assert not any("shape" in one.method[0] for one in each)
    for number, one in zip(range(0, m.size, 7), each, strict=True):
        assert together.lo[number] == pytest.approx(one.lo[0], rel=0.01)
        assert together.hi[number] == pytest.approx(one.hi[0], rel=0.03)
        assert together.edf[number] == pytest.approx(one.edf[0], rel=1e-12)
