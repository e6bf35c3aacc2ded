"""MTIE is what a search through all windows finds, to the last bit, whatever way it was found."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from support.powerlaw import power_law_phase

from timesync.stability import mtie, tierms
from timesync.stability.mtie_limits import mtie_ratio

RECORDS = {
    "white": lambda rng: rng.standard_normal(700),
    "walk": lambda rng: np.cumsum(rng.standard_normal(700)),
    "few values": lambda rng: rng.integers(0, 4, 700).astype(float),
    "ramp": lambda rng: 0.1 * np.arange(700.0),
    "noisy ramp": lambda rng: 0.1 * np.arange(700.0) + rng.standard_normal(700),
    "one step": lambda rng: np.where(np.arange(700) < 350, 0.0, 1.0),
    "one outlier at the end": lambda rng: np.where(np.arange(700) < 699, 0.0, 1.0),
    "saw": lambda rng: np.arange(700.0) % 37,
}


def searched(x: np.ndarray, m: int) -> float:
    windows = sliding_window_view(x, m + 1)
    return float((windows.max(axis=1) - windows.min(axis=1)).max())


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("points", [2, 3, 5, 64, 65, 700])
@pytest.mark.parametrize("taus", ["octave", "decade", "all", "log:40"])
def test_equal_to_a_search_through_all_windows(record: str, points: int, taus: str) -> None:
    x = RECORDS[record](np.random.default_rng(5))[:points]
    result = mtie(x, taus=taus)
    assert result.dev.tolist() == [searched(x, m) for m in result.m.tolist()]
    assert result.n.tolist() == (points - result.m).tolist()


def test_long_records_are_taken_in_blocks() -> None:
    x = np.cumsum(np.random.default_rng(6).standard_normal(30_000))
    result = mtie(x, taus=[1.0, 64.0, 100.0, 9000.0])
    assert result.dev.tolist() == [searched(x, m) for m in (1, 64, 100, 9000)]


def test_slope_is_part_of_the_time_interval_error() -> None:
    y = np.full(100, 1e-6)
    np.testing.assert_allclose(mtie(y, kind="frequency").dev, mtie(y, kind="frequency").tau_s * 1e-6, rtol=1e-12)
    np.testing.assert_allclose(tierms(y, kind="frequency", ci=None).dev, [1e-6 * 2**k for k in range(7)], rtol=1e-12)


@pytest.mark.parametrize("alpha", [2, 1, 0])
def test_intervals_cover_the_median_of_other_records_of_the_same_noise(alpha: int) -> None:
    # What is covered comes from records of its own. 250 records: 2.9 points of standard error, and three of them allowed.
    taus = [1.0, 8.0, 64.0]
    rng = np.random.default_rng(60 + alpha)
    other = np.array([mtie(x, taus=taus, ci=None).dev for x in power_law_phase(alpha, 300, rng, rows=1000)])
    median, hits = np.median(other, axis=0), np.zeros(3)
    for x in power_law_phase(alpha, 300, rng, rows=250):
        result = mtie(x, taus=taus)
        hits += (result.lo <= median) & (median <= result.hi)
    np.testing.assert_allclose(hits / 250, 0.683, rtol=0, atol=0.09)


def test_relative_distribution_is_that_of_the_half_normal_for_one_window_of_one_step() -> None:
    # MTIE of two points is |x1 - x0|: quantiles of the half-normal over its median, 0.67449
    for p, quantile in ((0.1587, 0.2003), (0.8413, 1.4098), (0.95, 1.95996)):
        assert mtie_ratio(p, 2, 1, 1.0) == pytest.approx(quantile / 0.67449, rel=0.05)


def test_a_longer_record_than_was_simulated_has_the_spread_of_extremes() -> None:
    # The largest of n independent |differences| of white FM: P(all < x) = (2 Phi(x) - 1)^n, exactly, at any n.
    for n in (100, 1000, 100_000, 10_000_000):
        exact = [NormalDist().inv_cdf(0.5 + 0.5 * p ** (1.0 / n)) for p in (0.1585, 0.5, 0.8415)]
        assert mtie_ratio(0.1585, 0, 1, n) == pytest.approx(exact[0] / exact[1], abs=0.01)
        assert mtie_ratio(0.8415, 0, 1, n) == pytest.approx(exact[2] / exact[1], abs=0.012)


def test_where_the_method_does_not_hold_there_is_a_reason() -> None:
    rng = np.random.default_rng(61)
    noise = rng.standard_normal(2000)
    plain = mtie(noise)
    assert np.all((plain.lo < plain.dev) & (plain.dev < plain.hi))
    assert plain.interval.startswith("0.683 at every tau; of the median MTIE of such records")
    assert "frequency offset" in mtie(noise + 0.5 * np.arange(2000.0), taus=64.0).interval
    assert "flicker FM" in mtie(power_law_phase(-1, 2000, rng)[0], taus=4.0).interval
    torn = np.where(rng.random(2000) < 0.3, np.nan, noise)
    assert "of the record is there" in mtie(torn, taus=4.0).interval
    line = mtie(np.arange(50.0))
    assert np.isnan(line.lo).all()
    assert line.interval.startswith("none at tau = ")
    assert mtie(noise, ci=None).interval == "none: not asked for"
