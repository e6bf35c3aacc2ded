"""A large frequency offset and drift on small noise: at least ten digits, against 64-bit mantissas.

The offset is a power of two, so that the reference can take it off without rounding.
"""

from __future__ import annotations

import numpy as np
import pytest

from timesync.stability import STATISTICS

POINTS = 2**15
NOISE = 1e-12
OFFSET = 2.0**-15  # phase grows to 1 s over the record, as 1e-7 does over 1e7 s
DRIFT = 1e-15

needs_extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="this machine's long double is no wider than its double"
)


@pytest.fixture(scope="module")
def drifting() -> np.ndarray:
    rng = np.random.default_rng(8)
    t = np.arange(POINTS, dtype=float)
    noise = NOISE * (rng.standard_normal(POINTS) + 0.1 * np.cumsum(rng.standard_normal(POINTS)))
    return OFFSET * t + 0.5 * DRIFT * t**2 + noise


def rms(values: np.ndarray) -> np.longdouble:
    return np.sqrt(np.mean(values**2))


def reference(x: np.ndarray, m: int) -> dict[str, np.longdouble]:
    """The definitions in extended precision, each window summed on its own."""
    level = x.astype(np.longdouble) - np.longdouble(OFFSET) * np.arange(x.size)
    second = level[2 * m :] - 2 * level[m:-m] + level[: -2 * m]
    third = level[3 * m :] - 3 * level[2 * m : -m] + 3 * level[m : -2 * m] - level[: -3 * m]
    sums, moments = np.zeros(x.size - m + 1, np.longdouble), np.zeros(x.size - m + 1, np.longdouble)
    for k in range(m):
        sums += level[k : k + sums.size]
        moments += (np.longdouble(m - 1) / 2 - k) * level[k : k + sums.size]
    modified = rms(sums[2 * m :] - 2 * sums[m:-m] + sums[: -2 * m]) / np.sqrt(np.longdouble(2)) / m**2
    found = {
        "oadev": rms(second) / np.sqrt(np.longdouble(2)) / m,
        "ohdev": rms(third) / np.sqrt(np.longdouble(6)) / m,
        "mdev": modified,
        "tdev": modified * m / np.sqrt(np.longdouble(3)),
    }
    if m > 1:
        found["pdev"] = np.sqrt(np.longdouble(72)) * rms((moments[:-m] - moments[m:])[:-1]) / np.longdouble(m) ** 3
    return found


@needs_extended
@pytest.mark.parametrize("m", [1, 2, 8, 128, 1024])
def test_octaves_keep_ten_digits(m: int, drifting: np.ndarray) -> None:
    for name, expected in reference(drifting, m).items():
        result = STATISTICS[name](drifting, ci=None)
        assert abs(result.dev[result.m == m][0] / expected - 1) < 1e-10, name


@needs_extended
@pytest.mark.parametrize("m", [3, 10, 100, 1000])
def test_other_averaging_times_keep_ten_digits(m: int, drifting: np.ndarray) -> None:
    for name, expected in reference(drifting, m).items():
        assert abs(STATISTICS[name](drifting, taus=float(m), ci=None).dev[0] / expected - 1) < 1e-10, name


@pytest.mark.parametrize("name", ["adev", "hdev", "totdev", "mtotdev", "htotdev", "theo1", "theobr"])
def test_offset_itself_costs_no_digit(name: str) -> None:
    # Noise on a coarse binary grid, so that adding the offset is exact and both records hold the same noise.
    rng = np.random.default_rng(9)
    grid = 2.0**-50
    noise = np.rint(np.cumsum(rng.standard_normal(400)) * 1000) * grid
    offset = np.arange(400) * 2.0**-9
    assert ((noise + offset) - offset == noise).all()
    plain, sloped = (STATISTICS[name](x, taus="all", ci=None) for x in (noise, noise + offset))
    np.testing.assert_allclose(sloped.dev, plain.dev, rtol=1e-10)


def test_frequency_offset_costs_no_digit() -> None:
    rng = np.random.default_rng(10)
    y = np.rint(rng.standard_normal(5000) * 1000) * 2.0**-70  # about 1e-18: three digits of it in a double near 2^-23
    for name in ("oadev", "mdev", "ohdev", "pdev", "totdev"):
        plain, large = (STATISTICS[name](values, kind="frequency", ci=None) for values in (y, y + 2.0**-23))
        np.testing.assert_allclose(large.dev, plain.dev, rtol=1e-10, err_msg=name)


def test_theo1_over_many_factors_is_theo1_at_each() -> None:
    # Random-walk frequency noise: the worst for the way that many averaging factors are evaluated together.
    x = np.cumsum(np.cumsum(np.random.default_rng(11).standard_normal(600)))
    many = STATISTICS["theo1"](x, taus="all", ci=None)
    few = STATISTICS["theo1"](x, taus="octave", ci=None)
    np.testing.assert_allclose(many.dev[np.isin(many.m, few.m)], few.dev, rtol=1e-11)
