"""Backtests and episodes: judged by samples that the forecast has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from support.clocks import simulated

from timesync.errors import DataError
from timesync.holdover import ClockNoise
from timesync.holdover.backtest import backtest
from timesync.holdover.episodes import MARKS, Episode, episode, history
from timesync.holdover.forecast import Forecast


def test_a_clock_that_is_what_the_model_says_is_covered() -> None:
    _, seen = simulated(ClockNoise(1.0, 1.0), 600, np.random.default_rng(1), y0=5.0)
    found = backtest(np.arange(600.0), seen, 60.0)
    assert len(found.cuts) == 20
    assert found.simultaneous >= 0.8  # 20 forecasts that overlap
    assert found.pointwise >= 0.85
    assert 0.7 <= found.width_ratio <= 1.5


def test_a_clock_that_changes_its_frequency_is_caught() -> None:
    """A jump of frequency that nothing before has shown: the forecasts made before it miss."""
    _, seen = simulated(ClockNoise(1.0, 0.01), 600, np.random.default_rng(2))
    seen[300:] += 5.0 * np.arange(300)
    found = backtest(np.arange(600.0), seen, 60.0)
    missed = [cut for cut in found.cuts if not cut.held]
    assert any(240 <= cut.at_s < 300 for cut in missed)
    assert sum(not cut.held for cut in found.cuts if cut.at_s < 235) <= 1


def test_a_record_too_short_is_refused() -> None:
    with pytest.raises(DataError, match="needs a record of"):
        backtest(np.arange(30.0), np.zeros(30), 1000.0)


def steady(low: float, high: float) -> Forecast:
    t = np.array([1.0, 100.0])
    ends = (np.full(2, low), np.full(2, high))
    return Forecast(t, np.zeros(2), np.ones(2), *ends, *ends, 0.95)


def test_an_episode_is_told_in_numbers() -> None:
    t = np.arange(0.0, 100.0)
    x = 1e-6 + 2e-9 * t
    found = episode(0, 100 * 10**9, t, x, after_s=0.0, forecast=steady(0.0, 1.15e-6), forecast_at_s=0.0)
    assert found.duration_s == 100.0
    assert found.max_abs_s == pytest.approx(1.198e-6)
    assert found.end_step_s == pytest.approx(-1.198e-6)
    assert found.rate == pytest.approx(2e-9, rel=1e-6)
    assert found.held is False
    assert found.inside == pytest.approx(75 / 99, abs=0.02)
    assert (found.end_s, found.promised_s, found.promised_u_s) == (pytest.approx(1.198e-6), 0.0, 1.0)
    assert found.gaps == 0


def test_an_episode_without_samples_has_no_numbers() -> None:
    found = episode(0, 10**9, np.empty(0), np.empty(0))
    assert (found.samples, found.max_abs_s, found.rate, found.held) == (0, None, None, None)


def test_an_episode_keeps_its_time_error_at_the_marks_that_it_lasted() -> None:
    t = np.arange(0.0, 700.0, 7.0)
    found = episode(0, 700 * 10**9, t, -1e-6 * t)
    assert found.after_s == (
        (10.0, pytest.approx(-10e-6)),
        (60.0, pytest.approx(-60e-6)),
        (600.0, pytest.approx(-6e-4)),
    )
    late = episode(0, 700 * 10**9, t + 30.0, t)  # its first sample came after half a minute
    assert [at for at, _ in late.after_s] == [60.0, 600.0]


def test_many_episodes_together() -> None:
    def one(duration_s: float, most: float, *, held: bool | None) -> Episode:
        after = tuple((at, -1e-9 * duration_s * at) for at in MARKS.values() if at <= duration_s)
        return Episode(0, round(duration_s * 1e9), 10, most, 1e-6, -1e-9, None, held, None, 10, 0, after)

    episodes = [one(100.0, 1e-6, held=True), one(300.0, 5e-6, held=False), one(700.0, 2e-6, held=None)]
    found = history(episodes)
    assert found is not None
    assert (found.episodes, found.judged, found.held) == (3, 2, 1)
    assert (found.median_duration_s, found.longest_s, found.max_abs_s) == (300.0, 700.0, 5e-6)
    assert (found.median_end_step_s, found.median_rate) == (1e-6, 1e-9)
    assert (found.elapsed_s, found.lasted) == ((10.0, 60.0, 600.0), (3, 3, 1))
    assert found.percentiles_s[1] == pytest.approx((18e-6, 18e-6 + 0.8 * 24e-6, 18e-6 + 0.98 * 24e-6))
    assert history([]) is None


def test_what_no_episode_has_is_not_made_up() -> None:
    found = history([episode(0, 10**9, np.empty(0), np.empty(0))])
    assert found is not None
    assert (found.max_abs_s, found.median_end_step_s, found.median_rate, found.elapsed_s) == (None, None, None, ())
