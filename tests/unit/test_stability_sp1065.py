"""Published answers: the 1000-point test suite of NIST SP 1065 (section 12.4) and SigmaTheta's values for PDEV."""

from __future__ import annotations

import numpy as np
import pytest

from timesync.stability import STATISTICS

COUNT = 1000

# Deviation at m = 1, 10, 100 as printed in SP 1065, tables 30 and 31.
PRINTED = {
    "adev": ("0.2922319", "0.09965736", "0.03897804"),
    "oadev": ("0.2922319", "0.09159953", "0.03241343"),
    "mdev": ("0.2922319", "0.06172376", "0.02170921"),
    "tdev": ("0.1687202", "0.3563623", "1.253382"),
    "hdev": ("0.2943883", "0.1052754", "0.03910860"),
    "ohdev": ("0.2943883", "0.09581083", "0.03237638"),
    "totdev": ("0.2922319", "0.09134743", "0.03406530"),
    "mtotdev": ("0.2418528", "0.06499161", "0.02287774"),
    "ttotdev": ("0.1396338", "0.3752293", "1.320847"),
    "htotdev": ("0.2943883", "0.09614787", "0.03058103"),
}
# The printed values are corrected for the bias of white FM: MTOT and TTOT by 0.73, HTOT by 0.995 where m > 1.
BIAS = {"mtotdev": (0.73, 0.73, 0.73), "ttotdev": (0.73, 0.73, 0.73), "htotdev": (1.0, 0.995, 0.995)}

SIGMA_THETA_PDEV = (
    0.29223187810675200,
    0.21445233564252639,
    0.15618112158618463,
    0.11709745745448434,
    0.069029585189839343,
    0.049749707730398392,
)


@pytest.fixture(scope="module")
def suite() -> np.ndarray:
    """The portable generator's 1000 points of fractional frequency."""
    numbers = [1234567890]
    while len(numbers) < COUNT:
        numbers.append(16807 * numbers[-1] % 2147483647)
    return np.array(numbers) / 2147483647


def last_place(printed: str) -> float:
    """Half a unit of the last printed digit, or 5e-7 if that is more."""
    return max(0.5 * 10.0 ** -len(printed.partition(".")[2]), 5e-7)


@pytest.mark.parametrize("name", PRINTED)
def test_deviation_is_the_one_printed_in_sp1065(name: str, suite: np.ndarray) -> None:
    result = STATISTICS[name](suite, 1.0, [1, 10, 100], "frequency", ci=None)
    corrected = result.dev / np.sqrt(BIAS.get(name, (1.0, 1.0, 1.0)))
    assert result.m.tolist() == [1, 10, 100]
    for value, printed in zip(corrected, PRINTED[name], strict=True):
        assert abs(value - float(printed)) <= last_place(printed)


@pytest.mark.parametrize("name", BIAS)
def test_stable32_convention_gives_the_corrected_total_as_printed(name: str, suite: np.ndarray) -> None:
    # At m = 100 ten points are left to identify the noise by, and they look like flicker PM; SP 1065 takes white FM.
    result = STATISTICS[name](suite, 1.0, [1, 10], "frequency", ci=None, convention="stable32")
    assert result.alpha.tolist() == [0.0, 0.0]
    for value, printed in zip(result.dev, PRINTED[name][:2], strict=True):
        assert abs(value - float(printed)) <= last_place(printed)


def test_raw_theo1_is_the_one_printed_in_sp1065(suite: np.ndarray) -> None:
    result = STATISTICS["theo1"](suite, 1.0, [7.5, 75.0], "frequency", ci=None)
    assert result.m.tolist() == [10, 100]
    assert np.round(result.dev[0], 5) == 0.10757
    assert np.round(result.dev[1], 6) == 0.031789


def test_pdev_is_sigma_thetas(suite: np.ndarray) -> None:
    result = STATISTICS["pdev"](suite, 1.0, [1, 2, 4, 8, 16, 32], "frequency", ci=None)
    np.testing.assert_allclose(result.dev, SIGMA_THETA_PDEV, rtol=1e-11, atol=0)


def test_pdev_at_other_than_octaves_is_the_same_number(suite: np.ndarray) -> None:
    result = STATISTICS["pdev"](suite, 1.0, [2, 3, 4, 8, 16, 31, 32], "frequency", ci=None)
    np.testing.assert_allclose(result.dev[[0, 2, 3, 4, 6]], SIGMA_THETA_PDEV[1:], rtol=1e-11, atol=0)


def test_frequency_and_its_phase_give_the_same(suite: np.ndarray) -> None:
    tau0_s = 0.1
    phase = np.concatenate(([0.0], np.cumsum(suite))) * tau0_s
    for name, statistic in STATISTICS.items():
        by_frequency = statistic(suite, tau0_s, "octave", "frequency", ci=None)
        by_phase = statistic(phase, tau0_s, "octave", "phase", ci=None)
        np.testing.assert_allclose(by_frequency.dev, by_phase.dev, rtol=1e-10, atol=0, err_msg=name)
        assert by_frequency.n.tolist() == by_phase.n.tolist()
