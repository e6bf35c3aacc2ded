"""What holds for every interval, whatever the data."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from timesync.stability.chisquare import chi2_cdf, chi2_quantile
from timesync.stability.confidence import chi2_interval, intervals
from timesync.stability.edf import difference_edf
from timesync.stability.gaussian_form import form_cdf, form_quantile
from timesync.stability.masks import Mask, Piece, judge


@given(p=st.floats(1e-6, 1.0 - 1e-6), degrees=st.floats(0.05, 1e6))
def test_quantile_inverts_the_distribution(p, degrees):
    assert abs(chi2_cdf(chi2_quantile(p, degrees), degrees)[0] - p) < 1e-10


@given(
    alpha=st.sampled_from([2, 1, 0, -1, -2]),
    order=st.sampled_from([2, 3]),
    m=st.integers(1, 300),
    terms=st.integers(1, 3000),
    summed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_degrees_of_freedom_lie_between_one_and_the_number_of_terms(alpha, order, m, terms, summed):
    edf = difference_edf(alpha, order, m, terms, 1, summed=summed)
    assert 1.0 - 1e-9 <= edf <= terms * (1.0 + 1e-9)


@given(edf=st.floats(0.5, 1e5), ci=st.floats(0.05, 0.99))
def test_interval_widens_with_confidence_and_holds_the_median(edf, ci):
    one = np.ones(1)
    lo, hi = chi2_interval(one, np.array([edf]), ci)
    wider_lo, wider_hi = chi2_interval(one, np.array([edf]), 0.5 * (1.0 + ci))
    assert 0.0 < wider_lo[0] < lo[0] < hi[0] < wider_hi[0]


@given(weights=st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=30), p=st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_form_quantile_inverts_its_distribution(weights, p):
    values = np.array(weights)
    assert abs(form_cdf(form_quantile(p, values), values) - p) < 1e-6


@given(scale=st.floats(1e-15, 1e3), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_intervals_scale_with_the_data(scale, seed):
    x = np.random.default_rng(seed).standard_normal(300).cumsum()
    m, n = np.array([1, 8, 64]), np.array([298, 284, 172])
    dev = np.array([1.0, 0.3, 0.1])
    one = intervals("oadev", x, m, dev, n, tau0_s=1.0, ci=0.9, convention="exact")
    two = intervals("oadev", scale * x, m, scale * dev, n, tau0_s=1.0, ci=0.9, convention="exact")
    np.testing.assert_allclose(two.hi, scale * one.hi, rtol=1e-9)
    assert two.alpha.tolist() == one.alpha.tolist()


@given(factor=st.floats(0.01, 100.0))
def test_margin_is_the_ratio_of_limit_to_value(factor):
    mask = Mask("m", "tdev", "s", "e", "c", (Piece(1.0, 100.0, slope_s=1e-9, power=0.5),))
    tau = np.array([1.0, 3.0, 9.0, 27.0, 81.0])
    verdict = judge(mask, tau, factor * mask.limit_s(tau))
    assert abs(verdict.margin * factor - 1.0) < 1e-9
    assert verdict.outcome == ("fail" if factor > 1.0 + 1e-12 else "pass") or abs(factor - 1.0) < 1e-9
