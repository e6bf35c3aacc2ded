"""Every statistic against its definition written out, with and without gaps: same value, same number of terms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.stability_definitions import DEFINITIONS, theobr_ratio

from timesync.stability import STATISTICS, Stability, theo1, theobr, theoh

TAU0 = 0.5
POINTS = 47
PER_M = {"theo1": 0.75}
MISSING = [5, 17, 18, 40]


def walk(points: int = POINTS) -> np.ndarray:
    return np.cumsum(np.random.default_rng(3).standard_normal(points))


def compared(result: Stability, x: np.ndarray, breaks: tuple[int, ...] = ()) -> int:
    """Check every m of the result; how many."""
    define = DEFINITIONS[result.statistic]
    for row in result.rows():
        expected = define(x, row["m"], TAU0, breaks)
        assert expected is not None, row["m"]
        assert row["n"] == expected[1], row["m"]
        assert math.isclose(row["dev"], expected[0], rel_tol=1e-11), row["m"]
        assert math.isclose(row["tau_s"], row["m"] * TAU0 * PER_M.get(result.statistic, 1.0))
    return len(result)


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("taus", ["octave", "decade", "all", "log:7"])
def test_without_gaps(name: str, taus: str) -> None:
    result = STATISTICS[name](walk(), TAU0, taus, ci=None)
    assert compared(result, walk()) > 3
    assert result.completeness == 1.0
    assert result.reason is None


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("taus", ["octave", "all"])
def test_with_missing_phase_points(name: str, taus: str) -> None:
    x = walk()
    x[MISSING] = np.nan
    result = STATISTICS[name](x, TAU0, taus, ci=None)
    assert compared(result, x) > 2
    assert result.completeness == pytest.approx(1 - len(MISSING) / POINTS)
    kept = set(result.m.tolist())
    for m in STATISTICS[name](walk(), TAU0, taus, ci=None).m.tolist():
        assert m in kept or DEFINITIONS[name](x, m, TAU0) is None


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("taus", ["octave", "all"])
def test_with_missing_frequency_values(name: str, taus: str) -> None:
    y = np.diff(walk()) / TAU0
    phase = np.concatenate(([0.0], np.cumsum(y) * TAU0))
    y[MISSING] = np.nan
    result = STATISTICS[name](y, TAU0, taus, "frequency", ci=None)
    # What the frequency was in the gap must not matter: no term of the definition crosses it.
    assert compared(result, phase, tuple(MISSING)) > 2


# PDEV's definition leaves out the last window of a record, and so is not the same on a longer one.
@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name != "pdev"])
def test_all_points_present_but_told_to_look_for_gaps_changes_nothing(name: str) -> None:
    x = np.concatenate(([np.nan], walk(), [np.nan, np.nan]))
    padded, plain = STATISTICS[name](x, TAU0, ci=None), STATISTICS[name](walk(), TAU0, ci=None)
    shared = np.isin(padded.m, plain.m)
    if name == "mtie":  # a window that hangs over the end counts with the points it has
        np.testing.assert_array_equal(padded.dev[shared], plain.dev)
        return
    if name in ("adev", "hdev"):  # every m-th point: which ones depends on where the record begins
        shared &= padded.m == 1
    np.testing.assert_allclose(padded.dev[shared], plain.dev[: shared.sum()], rtol=1e-12)
    assert padded.n[shared].tolist() == plain.n[: shared.sum()].tolist()


def test_terms_lost_to_a_gap_are_named() -> None:
    x = walk()
    x[20:28] = np.nan
    result = STATISTICS["mdev"](x, TAU0, [1 * TAU0, 4 * TAU0, 15 * TAU0], ci=None)
    assert result.m.tolist() == [1, 4]
    assert result.reason == "no term is free of gaps at tau = 7.5 s"


def test_theobr_is_theo1_times_the_mean_ratio_to_the_allan_variance() -> None:
    x = walk(61)
    factor = math.sqrt(theobr_ratio(x, TAU0))
    raw, free = theo1(x, TAU0, "all", ci=None), theobr(x, TAU0, "all", ci=None)
    np.testing.assert_allclose(free.dev, raw.dev * factor, rtol=1e-11)
    assert free.n.tolist() == raw.n.tolist()


@pytest.mark.parametrize("taus", ["octave", "decade", "all", "log:10"])
def test_theoh_is_oadev_to_a_fifth_of_the_record_and_theobr_beyond(taus: str) -> None:
    x = walk(101)
    allan, free = STATISTICS["oadev"](x, TAU0, "all", ci=None), theobr(x, TAU0, "all", ci=None)
    result = theoh(x, TAU0, taus, ci=None)
    short = result.tau_s <= 0.2 * 100 * TAU0
    theo = (result.tau_s / (0.75 * TAU0) == result.m) & ~(result.tau_s == result.m * TAU0)
    assert (short | theo).all()
    assert (np.diff(result.tau_s) > 0).all()
    for row in result.rows():
        source = allan if row["tau_s"] == row["m"] * TAU0 else free
        assert math.isclose(row["dev"], source.dev[source.m == row["m"]][0], rel_tol=1e-12)
    assert (~theo).sum() > 4
    assert theo.sum() > 1


def test_theoh_takes_explicit_averaging_times_on_either_side() -> None:
    x = walk(101)
    result = theoh(x, 1.0, [4.0, 20.0, 21.0, 60.0], ci=None)
    assert result.m.tolist() == [4, 20, 28, 80]
    assert result.tau_s.tolist() == [4.0, 20.0, 21.0, 60.0]
