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
    np.testing.assert_allclose(many.dev[np.isin(many.m, few.m)], few.dev, rtol=3e-11)


@pytest.mark.parametrize("points", [16_384, 29_952, 29_953, 32_452, 38_143, 38_145, 59_904, 65_536, 92_300, 262_145])
def test_averaging_times_taken_together_are_those_taken_one_by_one(points: int) -> None:
    # lengths about the edges of the pieces (3 * 9984 points, and what they take along) and of the tables for long lags
    x = np.cumsum(np.random.default_rng(14).standard_normal(points))
    running = np.concatenate((np.zeros(1), np.cumsum(x)))
    for taus in ("octave", "decade"):
        for name, weights, norm in (("oadev", (1, -2, 1), 2), ("ohdev", (-1, 3, -3, 1), 6), ("tierms", (-1, 1), 1)):
            result = STATISTICS[name](x, taus=taus, ci=None)
            for m, dev, n in zip(result.m.tolist(), result.dev, result.n, strict=True):
                assert n == points - (len(weights) - 1) * m
                terms = sum(w * x[k * m : k * m + n] for k, w in enumerate(weights))
                expected = np.sqrt(np.mean(terms**2) / norm) / (1 if name == "tierms" else m)
                assert dev == pytest.approx(expected, rel=1e-11), (name, m)
        result = STATISTICS["mdev"](x, taus=taus, ci=None)
        for m, dev, n in zip(result.m.tolist(), result.dev, result.n, strict=True):
            assert n == points - 3 * m + 1
            terms = sum(w * running[k * m : k * m + n] for k, w in enumerate((-1, 3, -3, 1)))
            assert dev == pytest.approx(np.sqrt(np.mean(terms**2) / 2) / m**2, rel=1e-8), ("mdev", m)


@pytest.mark.parametrize("points", [59_906, 100_001, 130_003])
@pytest.mark.parametrize("lost", [(), (77, 59_904, 59_905)])
def test_long_records_are_taken_in_pieces(points: int, lost: tuple[int, ...]) -> None:
    x = np.cumsum(np.random.default_rng(12).standard_normal(points))
    x[list(lost)] = np.nan
    for m in (1, 3, 64, 9984, 16384, 30_000):
        for name, weights, norm in (("oadev", (1, -2, 1), 2), ("ohdev", (-1, 3, -3, 1), 6), ("tierms", (-1, 1), 1)):
            count = points - (len(weights) - 1) * m
            if count <= 0:
                continue
            terms = sum(w * x[k * m : k * m + count] for k, w in enumerate(weights))
            result = STATISTICS[name](x, taus=float(m), ci=None)
            expected = np.sqrt(np.nanmean(terms**2) / norm) / (1 if name == "tierms" else m)
            assert result.dev[0] == pytest.approx(expected, rel=1e-11), (name, m)
            assert result.n[0] == np.count_nonzero(~np.isnan(terms))
    # Octaves together, octaves one by one, and a list that is neither: three ways to the same sums.
    octaves = STATISTICS["mdev"](x, taus="octave", ci=None)
    for taus in ([2.0, 4.0, 256.0, 1024.0], [1.0, 2.0, 3.0, 8.0, 20.0, 256.0, 512.0, 4096.0]):
        other = STATISTICS["mdev"](x, taus=taus, ci=None)
        shared = np.isin(other.m, octaves.m)
        at = np.searchsorted(octaves.m, other.m[shared])
        np.testing.assert_allclose(other.dev[shared], octaves.dev[at], rtol=1e-11)
        assert other.n[shared].tolist() == octaves.n[at].tolist()
    # PDEV alike: its octaves against the moments made anew.
    parabolic = STATISTICS["pdev"](x, taus="octave", ci=None)
    anew = STATISTICS["pdev"](x, taus=[3.0, 64.0, 4096.0], ci=None)
    at = np.searchsorted(parabolic.m, anew.m[1:])
    np.testing.assert_allclose(anew.dev[1:], parabolic.dev[at], rtol=1e-10)


def test_totdev_of_a_long_record_is_that_of_the_record_extended() -> None:
    x = np.cumsum(np.random.default_rng(13).standard_normal(130_001))
    extended = np.concatenate((2 * x[0] - x[-2:0:-1], x, 2 * x[-1] - x[-2:0:-1]))
    centres = np.arange(1, x.size - 1) + x.size - 2
    for m in (1, 5, 59_904, 65_000):
        terms = extended[centres - m] - 2 * extended[centres] + extended[centres + m]
        result = STATISTICS["totdev"](x, taus=float(m), ci=None)
        assert result.dev[0] == pytest.approx(np.sqrt(np.mean(terms**2) / 2) / m, rel=1e-11)
