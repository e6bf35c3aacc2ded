"""MTIE is what a search through all windows finds, to the last bit, whatever way it was found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from timesync.stability import mtie, tierms

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


def test_no_interval_is_claimed_and_said_so() -> None:
    result = mtie(np.arange(50.0))
    assert np.isnan(result.lo).all()
    assert result.interval == "none: MTIE is the extreme of the record, not an estimate with a known distribution"
