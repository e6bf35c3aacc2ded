"""Confidence intervals for every stability statistic, from equivalent degrees of freedom and the identified noise.

Rule: no number without its ground. Each averaging factor has either an interval with the degrees of freedom and the
noise type it rests on, or NaN and a reason in words. The convention is part of the result:

- "exact": sampled phase (what was measured), the estimator's own covariances, noise identified against the model.
- "stable32": Stable32's choices: averaged-phase degrees of freedom, published fits for the totals and Theo1, lag-1
  estimates rounded to the nearest integer.

The interval is for the deviation that the statistic estimates: with dev^2 = s^2 and edf degrees of freedom,
edf s^2 / (bias sigma^2) is taken as chi-squared; under "exact" with few degrees of freedom and no gaps, as what
it is, the weighted sum of squares of `gaussian_form`. `bias` is E(s^2)/sigma^2, 1 for the unbiased ones; totals and Theo1 are
divided by it before their interval is formed. Definitions, sources and measured coverage: CONFIDENCE.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from timesync.errors import DataError
from timesync.stability.averaged_phase import averaged_phase_edf
from timesync.stability.chisquare import chi2_quantile
from timesync.stability.edf import difference_edf, difference_weights
from timesync.stability.gaussian_form import form_quantile
from timesync.stability.noise import identify
from timesync.stability.powerlaw import ALPHAS, NOISE_NAMES
from timesync.stability.published import published
from timesync.stability.quadratic import quadratic_bias, quadratic_edf, quadratic_weights

__all__ = ["CONVENTIONS", "RULES", "Intervals", "chi2_interval", "intervals", "tails"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONVENTIONS = ("exact", "stable32")
# Degrees of freedom below which chi-squared is not good enough, by alpha; more under flicker PM, and for the forms under
# white PM too, where they are made up of a few large and very many small squares.
_FEW_DIFFERENCES = dict.fromkeys(ALPHAS, 12.0) | {1: 200.0}
_FEW_FORM = _FEW_DIFFERENCES | {2: 200.0}


@dataclass(frozen=True, slots=True)
class Intervals:
    """Confidence intervals of one statistic, one entry for each averaging factor.

    lo, hi: the interval's ends, in the deviation's unit. edf: equivalent degrees of freedom (NaN where the interval
    has another ground). alpha: noise exponent identified, as float. bias: expected value of the squared statistic over
    the variance it estimates. reason: empty where there is an interval, otherwise why there is none; lo, hi and edf
    are NaN exactly there. method: how the noise was identified. ci: probability covered. convention: see the module.
    """

    lo: Floats
    hi: Floats
    edf: Floats
    alpha: Floats
    bias: Floats
    reason: tuple[str, ...]
    method: tuple[str, ...]
    ci: float
    convention: str


_Ground: TypeAlias = Callable[[int, int, int, int], tuple[float, float]]
"""(alpha, m, terms, points) to (edf, bias)."""


@dataclass(frozen=True, slots=True)
class _Family:
    """How one statistic gets its degrees of freedom and bias under each convention, and the noise it can stand.

    order: of the differences that decide which noise it converges for. scaled: edf is of a record without gaps.
    weights: (alpha, m, terms, points) to the eigenvalues behind the exact edf, used where
    there are fewer than `few` degrees of freedom, by alpha.
    """

    order: int
    exact: _Ground
    stable32: _Ground
    scaled: bool
    weights: Callable[[int, int, int, int], tuple[float, ...]]
    few: dict[int, float]


def _differences(order: int, *, overlapped: bool = True, modified: bool = False) -> _Family:
    """A mean square of differences."""

    def exact(alpha: int, m: int, terms: int, points: int) -> tuple[float, float]:
        del points
        return difference_edf(alpha, order, m, terms, 1 if overlapped else m, summed=modified), 1.0

    def stable32(alpha: int, m: int, terms: int, points: int) -> tuple[float, float]:
        del terms
        return averaged_phase_edf(alpha, order, m, points, overlapped=overlapped, modified=modified), 1.0

    def weights(alpha: int, m: int, terms: int, points: int) -> tuple[float, ...]:
        del points
        return difference_weights(alpha, order, m, terms, 1 if overlapped else m, summed=modified)

    return _Family(order, exact, stable32, scaled=False, weights=weights, few=_FEW_DIFFERENCES)


def _form(name: str, order: int = 2) -> _Family:
    """A quadratic form; Stable32's convention has published fits for it where there are any."""

    def exact(alpha: int, m: int, terms: int, points: int) -> tuple[float, float]:
        del terms
        return quadratic_edf(name, alpha, m, points), quadratic_bias(name, alpha, m, points)

    def stable32(alpha: int, m: int, terms: int, points: int) -> tuple[float, float]:
        del terms
        return published(name, alpha, m, points)

    def weights(alpha: int, m: int, terms: int, points: int) -> tuple[float, ...]:
        del terms
        return quadratic_weights(name, alpha, m, points)

    return _Family(order, exact, exact if name == "pdev" else stable32, scaled=True, weights=weights, few=_FEW_FORM)


_FAMILIES = {
    "adev": _differences(2, overlapped=False),
    "oadev": _differences(2),
    "mdev": _differences(2, modified=True),
    "tdev": _differences(2, modified=True),
    "hdev": _differences(3, overlapped=False),
    "ohdev": _differences(3),
    "tierms": _differences(1),
    "totdev": _form("totdev"),
    "mtotdev": _form("mtotdev"),
    "ttotdev": _form("mtotdev"),
    "htotdev": _form("htotdev", 3),
    "theo1": _form("theo1"),
    "theobr": _form("theobr"),
    "pdev": _form("pdev"),
}


def intervals(
    statistic: str,
    x: Floats,
    m: Ints,
    dev: Floats,
    n: Ints,
    *,
    tau0_s: float,
    ci: float,
    convention: str,
    tau_s: Floats | None = None,
) -> Intervals:
    """Confidence intervals for the deviations `dev` of `statistic` at averaging factors `m`.

    x: the phase (s, NaN where missing, regular grid of tau0_s) the deviations were computed from. n: terms that went
    into each. ci: probability covered, two-sided, equal tails, in (0, 1). tau_s: averaging times; only "theoh" asks for
    them, to tell its Allan part (tau = m tau0) from its Theo part (tau = 0.75 m tau0). `dev` is taken as the plain
    statistic, not corrected for bias. All arrays have the length of m.
    Raises DataError for an unknown statistic or convention, arrays of unequal length, or ci out of range.
    """
    _check(statistic, convention, ci, tau0_s, {"m": m, "dev": dev, "n": n, "tau_s": m if tau_s is None else tau_s})
    parts = [statistic] * len(m)
    if statistic == "theoh":
        if tau_s is None:
            raise DataError("theoh: tau_s is needed to tell its Allan part from its Theo part")
        parts = ["oadev" if t > 0.9 * k * tau0_s else "theobr" for t, k in zip(tau_s, m, strict=True)]
    order = max(2, _FAMILIES[parts[0]].order) if parts else 2
    # Theo1 sees tau = 0.75 m; so does its noise
    seen = np.array(
        [round(0.75 * k) if "theo" in part else k for part, k in zip(parts, m, strict=True)], dtype=np.int64
    )
    identity = identify(x, seen, order=order, rule=RULES[convention])
    present = float(np.count_nonzero(~np.isnan(x)))
    edf, bias = np.full(len(m), np.nan), np.ones(len(m))
    reason, method = list(identity.reason), list(identity.method)
    for i, part in enumerate(parts):
        if not (math.isfinite(dev[i]) and n[i] > 0):
            reason[i] = "no deviation at this averaging factor"
        if not reason[i]:
            facts = (int(identity.alpha[i]), int(m[i]), int(n[i]))
            edf[i], bias[i], reason[i] = _degrees(part, convention, *facts, x.size, present)
    plain = dev / np.sqrt(bias)
    lo, hi = chi2_interval(plain, edf, ci)
    if convention == "exact" and present == x.size:
        near = _near(m, n)
        for i, part in enumerate(parts):
            if not edf[i] < _FAMILIES[part].few.get(int(np.nan_to_num(identity.alpha[i])), 0.0):
                continue
            j = near[i]
            if j != i:
                method[i] += f", shape of the distribution as at m = {m[j]}"
            weights = _FAMILIES[part].weights(int(identity.alpha[i]), int(m[j]), int(n[j]), x.size)
            below, above = tails(weights, 0.5 * (1.0 - ci), float(edf[i]))
            lo[i], hi[i] = plain[i] / math.sqrt(above), plain[i] / math.sqrt(below)
    return Intervals(lo, hi, edf, identity.alpha, bias, tuple(reason), tuple(method), ci, convention)


def _near(m: Ints, terms: Ints) -> Ints:
    """For each averaging factor, the index of one whose eigenvalues stand for its own; its edf stays its own.

    Up to 64 factors that is itself. In a longer list the eigenvalues are worked out at 16 places an octave of m and of the
    number of terms (where terms are few, at each number of them), and `tails` brings their spread to each edf; the ends of
    intervals move by 2 % at most, and the method says so.
    """
    if len(m) <= 64:
        return np.arange(len(m))
    places = np.rint(16.0 * np.log2(np.stack((m, np.maximum(terms, 1)))))
    _, first, which = np.unique(places, axis=1, return_index=True, return_inverse=True)
    return np.asarray(first[which.reshape(-1)], dtype=np.int64)


def _check(statistic: str, convention: str, ci: float, tau0_s: float, arrays: dict[str, Floats | Ints]) -> None:
    if statistic not in _FAMILIES and statistic != "theoh":
        raise DataError(f"no intervals for {statistic!r}; known are {', '.join(sorted([*_FAMILIES, 'theoh']))}")
    if convention not in CONVENTIONS:
        raise DataError(f"convention {convention!r} is not one of {', '.join(CONVENTIONS)}")
    if not 0.0 < ci < 1.0:
        raise DataError(f"ci is {ci}; a probability between 0 and 1 is needed")
    if len({len(values) for values in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} {len(values)}" for name, values in arrays.items())
        raise DataError(f"the arrays differ in length: {sizes}")
    if not tau0_s > 0.0:
        raise DataError(f"tau0_s is {tau0_s}; it must be positive")


def _degrees(
    part: str, convention: str, alpha: int, m: int, terms: int, points: int, present: float
) -> tuple[float, float, str]:
    """Degrees of freedom, bias, and the reason where there are none.

    Quadratic forms are worked out for the whole record and scaled by the share of its points that is there.
    """
    family = _FAMILIES[part]
    if alpha + 2 * family.order <= 1:
        why = f"no variance to bound: differences of order {family.order} diverge under {NOISE_NAMES[alpha]}"
        return math.nan, 1.0, why
    try:
        edf, bias = (family.exact if convention == "exact" else family.stable32)(alpha, m, terms, points)
    except KeyError:
        return math.nan, 1.0, f"no published degrees of freedom under {NOISE_NAMES[alpha]}"
    except ValueError as error:
        return math.nan, 1.0, str(error)
    if family.scaled:
        edf *= present / points
    if not edf > 0.0:
        return math.nan, 1.0, f"the published fit for {NOISE_NAMES[alpha]} does not reach this averaging factor"
    return edf, bias, ""


def tails(weights: tuple[float, ...], tail: float, edf: float) -> tuple[float, float]:
    """The quantiles of the relative variance that leave `tail` below and above.

    The weights may come from another m than edf does; a constant brings their spread to that of edf.
    """
    below, above, square = _form_tails(weights, tail)
    share = min(1.0, 1.0 / math.sqrt(edf * square))
    return 1.0 - share + share * below, 1.0 - share + share * above


@lru_cache(maxsize=4096)
def _form_tails(weights: tuple[float, ...], tail: float) -> tuple[float, float, float]:
    """The same of the weights as they are, and the sum of their squares."""
    values = np.array(weights)
    below, above = (form_quantile(p, values) for p in (tail, 1.0 - tail))
    return below, above, float(values @ values)


def chi2_interval(dev: Floats, edf: Floats, ci: float) -> tuple[Floats, Floats]:
    """Ends of the equal-tailed interval for sigma when edf dev^2/sigma^2 is chi-squared; NaN where edf is.

    SP 1065 equation (50).
    """
    below, above = _chi2_ratios(tuple(edf.tolist()), 0.5 * (1.0 - ci))
    return dev * above, dev * below


@lru_cache(maxsize=256)
def _chi2_ratios(edf: tuple[float, ...], tail: float) -> tuple[Floats, Floats]:
    """sqrt(edf/quantile) for the quantiles that leave `tail` below and above; kept, for records of one length repeat."""
    degrees = np.array(edf)
    ratios = np.full((2, degrees.size), np.nan)
    known = np.isfinite(degrees)
    if np.any(known):
        for row, p in zip(ratios, (tail, 1.0 - tail), strict=True):
            row[known] = np.sqrt(degrees[known] / chi2_quantile(p, degrees[known]))
    return ratios[0], ratios[1]


RULES = {"exact": "model", "stable32": "published"}
