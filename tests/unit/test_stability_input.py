"""What goes in: refused with a clear error, or an empty result with its reason; and which averaging times come out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from timesync.errors import DataError
from timesync.stability import STATISTICS, cte, dte, max_abs_te, oadev, theo1, theobr, theoh, totdev

SHORTEST = {  # phase points with which each has its first term
    **dict.fromkeys(("adev", "oadev", "pdev", "mdev", "tdev", "totdev", "mtotdev", "ttotdev", "theo1"), 3),
    **dict.fromkeys(("hdev", "ohdev", "htotdev"), 4),
    **dict.fromkeys(("tierms", "mtie"), 2),
}
NAMES = list(STATISTICS)


def noise(points: int) -> np.ndarray:
    return np.random.default_rng(points).standard_normal(points)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 4)), r"x: one-dimensional data are needed, not of shape \(4, 4\)"),
        (3.0, r"one-dimensional data are needed, not of shape \(\)"),
        (["1", "2"], "x: real numbers are needed"),
        (np.zeros(9, complex), "x: real numbers are needed, not complex128"),
        ([0.0, 1.0, math.inf, 0.0], "x: element 2 is infinite; mark a missing value as NaN"),
        ([0.0, math.nan, -math.inf, math.inf], "x: element 2 is infinite"),
        ([2**60, 2**60 + 1, 2**60], "integers beyond"),
    ],
)
def test_unusable_data_are_refused(name: str, x: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        STATISTICS[name](x)  # type: ignore[arg-type] # the point of the test


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau0_s": 0.0}, "tau0_s: the sampling interval must be positive seconds, not 0.0"),
        ({"tau0_s": math.nan}, "tau0_s: the sampling interval must be positive"),
        ({"tau0_s": math.inf}, "tau0_s: the sampling interval must be positive"),
        ({"kind": "freq"}, "kind: 'freq' is not known; use one of phase, frequency"),
        ({"convention": "riley"}, "convention: 'riley' is not known; use one of exact, stable32"),
        ({"ci": 68.3}, "ci: a confidence level lies between 0 and 1, not 68.3"),
        ({"taus": "octaves"}, "taus: no list named 'octaves'; known are octave, decade, all, log:K"),
        ({"taus": "log:0"}, "taus: no list named 'log:0'"),
        ({"taus": [3.0, -1.0]}, "taus: -1 s is not an averaging time"),
        ({"taus": [math.nan]}, "taus: nan s is not an averaging time"),
        ({"taus": [[object()]]}, "taus: not a list of averaging times"),
        ({"taus": [3.14]}, "taus: 3.14 s is not a multiple of 1(.5)? s; the nearest averaging time is 3 s"),
    ],
)
def test_unusable_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message.replace("(.5)?", r"(\.5)?")):
        STATISTICS[name](noise(64), **options)  # type: ignore[arg-type] # the point of the test


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("convention", ["exact", "stable32"])
def test_too_short_a_record_gives_an_empty_result_with_its_reason(name: str, convention: str) -> None:
    for points in range(SHORTEST.get(name, 3)):
        result = STATISTICS[name](noise(points), convention=convention)
        assert len(result) == 0
        assert (
            result.reason == f"too short: {points} phase point{'s' * (points != 1)} give no term at any averaging time"
        )
        assert result.interval == "none: the result is empty"
        assert all(
            getattr(result, column).size == 0 for column in ("tau_s", "m", "dev", "lo", "hi", "n", "edf", "alpha")
        )


@pytest.mark.parametrize("name", SHORTEST)
def test_shortest_record_gives_one_averaging_time(name: str) -> None:
    result = STATISTICS[name](noise(SHORTEST[name]), ci=None)
    assert result.m.tolist() == [2 if name == "theo1" else 1]
    assert result.dev[0] > 0
    assert result.reason is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["phase", "frequency"])
def test_all_missing_is_said(name: str, kind: str) -> None:
    result = STATISTICS[name](np.full(40, np.nan), kind=kind)  # type: ignore[arg-type] # mypy sees str
    assert len(result) == 0
    assert result.completeness == 0.0
    assert result.reason is not None
    assert "missing" in result.reason or "cannot be formed" in result.reason


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("theobr", "theoh")])
@pytest.mark.parametrize("level", [0.0, 0.1, -1e6])
def test_constant_phase_has_no_instability_and_no_interval(name: str, level: float) -> None:
    result = STATISTICS[name](np.full(64, level))
    assert len(result) > 3
    assert (result.dev == 0.0).all()
    assert np.isnan(result.lo).all()
    assert result.interval.startswith("none")


@pytest.mark.parametrize("statistic", [theobr, theoh])
def test_constant_phase_has_no_bias_ratio(statistic: object) -> None:
    result = statistic(np.zeros(64))  # type: ignore[operator] # a Statistic
    assert result.reason.startswith("the bias ratio of TheoBR cannot be formed")
    assert (result.tau_s <= 0.2 * 63).all()


def test_theobr_needs_nineteen_points() -> None:
    assert theobr(noise(18), ci=None).reason == "TheoBR needs at least 19 phase points"
    assert len(theobr(noise(19), ci=None)) == 4


def test_averaging_times_beyond_the_record_are_named() -> None:
    result = oadev(noise(11), 2.0, [2.0, 10.0, 12.0, 80.0], ci=None)
    assert result.tau_s.tolist() == [2.0, 10.0]
    assert result.reason == "the record is too short for tau = 12, 80 s"


def test_named_lists() -> None:
    x = noise(1000)
    assert oadev(x, ci=None).m.tolist() == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert oadev(x, taus="decade", ci=None).m.tolist() == [1, 2, 4, 10, 20, 40, 100, 200, 400]
    assert oadev(x, taus="all", ci=None).m.tolist() == list(range(1, 500))
    assert oadev(x, taus="log:3", ci=None).m.tolist() == [1, 2, 5, 10, 22, 46, 100, 215, 464]
    assert theo1(x, taus="octave", ci=None).m.tolist() == [2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert theo1(x, taus="decade", ci=None).m.tolist() == [2, 4, 10, 20, 40, 100, 200, 400]
    assert theo1(x, taus="all", ci=None).m.tolist() == list(range(2, 1000, 2))
    assert theo1(x, 2.0, [6.0], ci=None).m.tolist() == [4]
    assert totdev(x, taus="all", ci=None).m[-1] == 499


def test_explicit_times_may_be_one_unsorted_repeated_or_inexact() -> None:
    x = noise(100)
    assert oadev(x, 0.1, 0.3, ci=None).m.tolist() == [3]
    assert oadev(x, 0.1, [0.7, 0.1 + 0.2, 0.3], ci=None).m.tolist() == [3, 7]
    assert oadev(x, 0.1, np.array([0.7]), ci=None).m.tolist() == [7]
    assert oadev(x, 0.1, [], ci=None).reason is not None


@pytest.mark.parametrize("name", NAMES)
def test_lists_integers_masks_and_strides_are_taken(name: str) -> None:
    whole = np.random.default_rng(0).integers(-1000, 1000, 64)
    statistic = STATISTICS[name]
    plain = statistic(whole.astype(float), ci=None)
    for same in (whole, whole.tolist(), np.repeat(whole, 2)[::2], whole.astype(np.float32), np.ma.array(whole)):
        np.testing.assert_array_equal(statistic(same, ci=None).dev, plain.dev)
    masked = np.ma.array(whole, mask=np.arange(64) == 9)
    holed = np.where(np.arange(64) == 9, np.nan, whole)
    np.testing.assert_array_equal(statistic(masked, ci=None).dev, statistic(holed, ci=None).dev)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("taus", ["octave", "all"])
def test_the_callers_array_is_left_as_it_was(name: str, taus: str) -> None:
    x = noise(64)
    x[7] = np.nan
    before = x.copy()
    x.flags.writeable = False
    STATISTICS[name](x, taus=taus, ci=None)
    np.testing.assert_array_equal(x, before)


def test_rows_hold_plain_numbers_and_none() -> None:
    rows = oadev(noise(20), ci=None).rows()
    assert rows[0]["m"] == 1
    assert isinstance(rows[0]["dev"], float)
    assert rows[0]["lo"] is None


def test_result_says_what_it_is() -> None:
    result = oadev(noise(256), 0.5, kind="frequency", convention="stable32")
    assert (result.statistic, result.convention, result.kind) == ("oadev", "stable32", "frequency")
    assert (result.tau0_s, result.ci, result.completeness, result.reason) == (0.5, 0.683, 1.0, None)
    assert result.interval == "0.683 at every tau"
    assert ((result.lo < result.dev) & (result.dev < result.hi)).all()
    assert oadev(noise(256), ci=None).interval == "none: not asked for"


def test_table_lists_every_statistic_under_its_own_name() -> None:
    expected = "adev oadev mdev tdev hdev ohdev pdev totdev mtotdev ttotdev htotdev theo1 theobr theoh tierms mtie"
    assert list(STATISTICS) == expected.split()
    for name, statistic in STATISTICS.items():
        assert statistic.name == name
        assert statistic.unit == ("s" if name in ("tdev", "ttotdev", "tierms", "mtie") else "1")
        assert statistic.title
        assert statistic.source


def test_time_error_figures_of_g8260() -> None:
    x = np.array([3e-9, 5e-9, np.nan, -7e-9])
    assert cte(x) == pytest.approx(1e-9 / 3)
    assert max_abs_te(x) == 7e-9
    np.testing.assert_allclose(dte(x), x - 1e-9 / 3, rtol=1e-12)
    with pytest.raises(DataError, match="at least one point"):
        max_abs_te([np.nan])
