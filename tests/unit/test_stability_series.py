"""Timestamps as they come, onto a regular grid: values untouched, gaps marked, everything left out counted."""

from __future__ import annotations

import numpy as np
import pytest

from timesync.errors import DataError
from timesync.stability import oadev, on_grid

START = 1_700_000_000_123_456_789
S = 1_000_000_000


def test_regular_samples_stay_as_they_are() -> None:
    x = np.random.default_rng(0).standard_normal(50)
    grid = on_grid(START + np.arange(50) * S, x)
    np.testing.assert_array_equal(grid.x, x)
    assert (grid.tau0_s, grid.start_ns, grid.deviation_s) == (1.0, START, 0.0)
    assert (grid.off_grid, grid.crowded, grid.missing, grid.completeness) == (0, 0, 0, 1.0)


def test_missed_samples_become_nan() -> None:
    kept = np.array([0, 1, 2, 5, 6, 7, 8, 9, 12])
    grid = on_grid(START + kept * 16 * S, kept.astype(float))
    assert np.flatnonzero(np.isnan(grid.x)).tolist() == [3, 4, 10, 11]
    np.testing.assert_array_equal(grid.x[kept], kept)
    assert grid.tau0_s == pytest.approx(16.0, rel=1e-12)
    assert grid.completeness == pytest.approx(9 / 13)


def test_interval_is_fitted_where_polls_run_a_little_slow() -> None:
    # 1.01 s apart on average: a grid of whole seconds would lose step after 25 samples.
    rng = np.random.default_rng(1)
    at = START + np.rint((np.arange(5000) * 1.01 + rng.uniform(-0.1, 0.1, 5000)) * S).astype(np.int64)
    grid = on_grid(at, np.arange(5000.0))
    assert grid.tau0_s == pytest.approx(1.01, rel=1e-6)
    np.testing.assert_array_equal(grid.x, np.arange(5000.0))
    assert grid.deviation_s < 0.105


def test_samples_far_from_the_grid_are_left_out_and_counted() -> None:
    at = START + np.array([0, S, 2 * S + 400_000_000, 3 * S, 4 * S])
    grid = on_grid(at, np.arange(5.0), 1.0)
    assert grid.off_grid == 1
    assert np.isnan(grid.x[2])
    wide = on_grid(at, np.arange(5.0), 1.0, tolerance=0.45)
    assert wide.off_grid == 0
    assert wide.x.tolist() == [0, 1, 2, 3, 4]
    assert wide.deviation_s == pytest.approx(0.4)


def test_nearest_of_two_samples_for_one_point_stays() -> None:
    at = START + np.array([0, S - 50_000_000, S + 20_000_000, S + 200_000_000, 2 * S])
    grid = on_grid(at, np.arange(5.0), 1.0)
    assert grid.x.tolist() == [0, 2, 4]
    assert grid.crowded == 2


def test_missing_values_are_counted_and_keep_their_place() -> None:
    grid = on_grid(START + np.arange(4) * S, [1.0, np.nan, 3.0, 4.0])
    assert grid.missing == 1
    assert np.isnan(grid.x[1])


def test_grid_goes_straight_into_a_statistic() -> None:
    x = np.cumsum(np.random.default_rng(2).standard_normal(200))
    kept = np.delete(np.arange(200), [40, 41, 120])
    grid = on_grid(START + kept * S, x[kept])
    holed = x.copy()
    holed[[40, 41, 120]] = np.nan
    by_grid, by_hand = oadev(grid.x, grid.tau0_s, ci=None), oadev(holed, 1.0, ci=None)
    np.testing.assert_allclose(by_grid.dev, by_hand.dev, rtol=1e-12)
    assert by_grid.n.tolist() == by_hand.n.tolist()


@pytest.mark.parametrize(
    ("at", "x", "options", "message"),
    [
        ([0, 1, 1, 2], [0.0] * 4, {}, r"element 2 \(1\) is not later than the one before it \(1\); sort by time"),
        ([0, 2, 1, 3], [0.0] * 4, {}, "element 2"),
        ([0.0, 1.0], [0.0, 0.0], {}, "whole nanoseconds are needed, not float64"),
        ([0, 1, 2], [0.0, 0.0], {}, r"two arrays of one length are needed, not \(3,\) and \(2,\)"),
        ([0, 1], [0.0, np.inf], {}, "x: element 1 is infinite"),
        ([0, 1], ["a", "b"], {}, "x: real numbers are needed"),
        ([0], [0.0], {}, r"1 sample\(s\); a grid needs at least two"),
        ([0, S], [0.0, 0.0], {"tau0_s": 0.0}, "tau0_s: the sampling interval must be positive seconds"),
        ([0, S], [0.0, 0.0], {"tolerance": 0.6}, "tolerance: a share of the sampling interval above 0 and at most 0.5"),
        ([0, 100 * S], [0.0, 0.0], {"tau0_s": 1e-8}, "makes 10000000001 grid points"),
    ],
)
def test_unusable_series_are_refused(at: list, x: list, options: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        on_grid(np.array(at), np.array(x), **options)
