"""cTE, max|dTE| and max|TE|: their intervals hold for other records of the same clock, or say why there are none."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from support.powerlaw import power_law_phase

from timesync.errors import DataError
from timesync.stability import cte, dte, levels, max_abs_te
from timesync.stability.level_limits import level_ratio, student_quantile


def test_values_are_those_of_the_functions() -> None:
    x = np.random.default_rng(1).standard_normal(300) * 1e-9 + 5e-9
    x[40:50] = np.nan
    found = levels(x)
    assert found.cte.value_s == cte(x)
    assert found.max_abs_te.value_s == max_abs_te(x)
    assert found.max_abs_dte.value_s == pytest.approx(np.nanmax(np.abs(dte(x))), rel=1e-12)
    for level in (found.cte, found.max_abs_te, found.max_abs_dte):
        assert level.lo_s < level.value_s < level.hi_s
        assert level.interval.startswith("of the ")


@pytest.mark.parametrize(("alpha", "offset"), [(2, 0.1), (1, 2.0), (0, 0.4)])
def test_intervals_cover_what_they_are_of(alpha: int, offset: float) -> None:
    # 400 records of 300 points: 2.3 points of standard error, and three of them allowed. `offset` in units of the median max|dTE|.
    rng = np.random.default_rng(90 + alpha)
    both = power_law_phase(alpha, 600, rng, rows=400)
    first, following = both[:, :300], both[:, 300:].mean(axis=1)
    other = power_law_phase(alpha, 300, rng, rows=2000)
    other -= other.mean(axis=1, keepdims=True)
    spread = float(np.median(np.abs(other).max(axis=1)))
    largest = float(np.median(np.abs(other + offset * spread).max(axis=1)))
    hits = np.zeros(3)
    for x, after in zip(first, following, strict=True):
        own, placed = levels(x), levels(x - x.mean() + offset * spread).max_abs_te
        hits[0] += own.cte.lo_s <= after <= own.cte.hi_s
        hits[1] += own.max_abs_dte.lo_s <= spread <= own.max_abs_dte.hi_s
        hits[2] += placed.lo_s <= largest <= placed.hi_s
    assert np.all(np.abs(hits / 400 - 0.683) < 0.07)


def test_white_phase_noise_has_the_law_of_independent_maxima_beyond_what_was_simulated() -> None:
    def quantile(p: float, points: int) -> float:
        return NormalDist().inv_cdf(0.5 + 0.5 * p ** (1.0 / points))

    for points in (64, 1000, 10**6):
        for p in (0.1587, 0.8413, 0.975):
            exact = quantile(p, points) / quantile(0.5, points)
            assert level_ratio(p, 2, points, 0.0) == pytest.approx(exact, rel=0.01)


def test_students_quantiles_are_the_published_ones() -> None:
    # Abramowitz and Stegun, table 26.10
    published = {(0.975, 12): 2.179, (0.95, 20): 1.725, (0.995, 30): 2.750, (0.75, 12): 0.695}
    for (p, degrees), value in published.items():
        assert student_quantile(p, degrees) == pytest.approx(value, abs=6e-4)


def test_constant_moves_the_interval_and_not_its_width() -> None:
    x = np.random.default_rng(2).standard_normal(500) * 1e-9
    here, there = levels(x), levels(x + 2.0**-20)
    assert there.cte.hi_s - there.cte.lo_s == pytest.approx(here.cte.hi_s - here.cte.lo_s, rel=1e-5)
    assert there.max_abs_dte.hi_s == pytest.approx(here.max_abs_dte.hi_s, rel=1e-5)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.random.default_rng(3).standard_normal(10), "none: fewer than 16 points"),
        (np.where(np.arange(200) % 5 == 0, np.nan, np.random.default_rng(3).standard_normal(200)), "none: only 80% of"),
        (np.cumsum(np.cumsum(np.random.default_rng(3).standard_normal(400))), "none: time error has no distribution under"),
        (np.random.default_rng(3).standard_normal(400) + np.arange(400), "none: a frequency offset makes up much"),
        (np.full(100, 3e-9), "none: there is no noise"),
    ],
    ids=["short", "gaps", "random walk FM", "offset", "constant"],
)  # fmt: skip
def test_no_interval_has_its_reason(x: np.ndarray, why: str) -> None:
    found = levels(x)
    for level in (found.cte, found.max_abs_te, found.max_abs_dte):
        assert level.interval.startswith(why)
        assert math.isnan(level.lo_s)
        assert math.isnan(level.hi_s)
        assert math.isfinite(level.value_s)


def test_intervals_that_nobody_asks_for_are_not_made() -> None:
    assert levels(np.random.default_rng(4).standard_normal(50), ci=None).cte.interval == "none: not asked for"
    with pytest.raises(DataError, match="ci: a confidence level"):
        levels(np.zeros(50), ci=1.5)
    with pytest.raises(DataError, match="no time error is present"):
        levels(np.full(5, np.nan))
