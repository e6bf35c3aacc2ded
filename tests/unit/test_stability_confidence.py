"""Intervals against Stable32's printed output, chi-squared against printed tables, degrees of freedom against theory."""

from __future__ import annotations

import numpy as np
import pytest

from timesync.errors import DataError
from timesync.stability.averaged_phase import averaged_phase_edf
from timesync.stability.chisquare import chi2_cdf, chi2_quantile
from timesync.stability.confidence import chi2_interval, intervals
from timesync.stability.edf import difference_edf

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
        assert difference_edf(2, 2, m, terms, 1, summed=False) == pytest.approx(expected, rel=1e-9)


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
