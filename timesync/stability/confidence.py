"""Confidence intervals for every stability statistic, from equivalent degrees of freedom and the identified noise.

Rule: no number without its ground. Each averaging factor has either an interval with the degrees of freedom and the
noise type it rests on, or NaN and a reason in words. The convention is part of the result:

- "exact": sampled phase (what was measured), the estimator's own covariances, noise identified against the model.
- "stable32": Stable32's choices: averaged-phase degrees of freedom, published fits for the totals and Theo1, lag-1
  estimates rounded to the nearest integer.

The interval is for the deviation that the statistic estimates: with dev^2 = s^2 and edf degrees of freedom,
edf s^2 / (bias sigma^2) is taken as chi-squared. `bias` is E(s^2)/sigma^2, 1 for the unbiased ones; totals and Theo1 are
divided by it before their interval is formed. Definitions, sources and measured coverage: CONFIDENCE.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from timesync.errors import DataError
from timesync.stability.averaged_phase import averaged_phase_edf
from timesync.stability.chisquare import chi2_quantile
from timesync.stability.edf import difference_edf
from timesync.stability.noise import identify

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONVENTIONS", "Intervals", "chi2_interval", "intervals"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONVENTIONS = ("exact", "stable32")


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


@dataclass(frozen=True, slots=True)
class _Family:
    """How a statistic is built: a mean square of differences of this order, overlapped or not, modified or not."""

    order: int
    overlapped: bool = True
    modified: bool = False


_DIFFERENCES = {
    "adev": _Family(2, overlapped=False),
    "oadev": _Family(2),
    "mdev": _Family(2, modified=True),
    "tdev": _Family(2, modified=True),
    "hdev": _Family(3, overlapped=False),
    "ohdev": _Family(3),
    "tierms": _Family(1),
}


def intervals(
    statistic: str, x: Floats, m: Ints, dev: Floats, n: Ints, *, tau0_s: float, ci: float, convention: str
) -> Intervals:
    """Confidence intervals for the deviations `dev` of `statistic` at averaging factors `m`.

    x: the phase (s, NaN where missing, regular grid of tau0_s) the deviations were computed from. n: terms that went
    into each. ci: probability covered, two-sided, equal tails, in (0, 1). All arrays have the length of m.
    Raises DataError for an unknown statistic or convention, arrays of unequal length, or ci out of range.
    """
    if statistic not in _DIFFERENCES:
        raise DataError(f"no intervals for {statistic!r}; known are {', '.join(sorted(_DIFFERENCES))}")
    if convention not in CONVENTIONS:
        raise DataError(f"convention {convention!r} is not one of {', '.join(CONVENTIONS)}")
    if not 0.0 < ci < 1.0:
        raise DataError(f"ci is {ci}; a probability between 0 and 1 is needed")
    if not len(m) == len(dev) == len(n):
        raise DataError(f"m, dev and n have {len(m)}, {len(dev)} and {len(n)} entries; they must match")
    if not tau0_s > 0.0:
        raise DataError(f"tau0_s is {tau0_s}; it must be positive")
    family = _DIFFERENCES[statistic]
    identity = identify(x, m, order=max(2, family.order), rule=_RULES[convention])
    edf, bias = np.full(len(m), np.nan), np.ones(len(m))
    reason = list(identity.reason)
    for i, factor in enumerate(m):
        if reason[i]:
            continue
        if not (math.isfinite(dev[i]) and n[i] > 0):
            reason[i] = "no deviation at this averaging factor"
            continue
        edf[i], reason[i] = _EDF[convention](family, int(identity.alpha[i]), int(factor), int(n[i]), x.size)
    lo, hi = chi2_interval(dev / np.sqrt(bias), edf, ci)
    return Intervals(lo, hi, edf, identity.alpha, bias, tuple(reason), identity.method, ci, convention)


def chi2_interval(dev: Floats, edf: Floats, ci: float) -> tuple[Floats, Floats]:
    """Ends of the equal-tailed interval for sigma when edf dev^2/sigma^2 is chi-squared; NaN where edf is.

    SP 1065 equation (50).
    """
    lo, hi = np.full(dev.size, np.nan), np.full(dev.size, np.nan)
    known = np.isfinite(edf)
    if np.any(known):
        tail = 0.5 * (1.0 - ci)
        lo[known] = dev[known] * np.sqrt(edf[known] / chi2_quantile(1.0 - tail, edf[known]))
        hi[known] = dev[known] * np.sqrt(edf[known] / chi2_quantile(tail, edf[known]))
    return lo, hi


def _sampled(family: _Family, alpha: int, m: int, terms: int, points: int) -> tuple[float, str]:
    """Degrees of freedom of sampled phase from the terms that are there."""
    del points
    if alpha + 2 * family.order <= 1:
        return math.nan, _diverges(family.order, alpha)
    stride = 1 if family.overlapped else m
    return difference_edf(alpha, family.order, m, terms, stride, summed=family.modified), ""


def _averaged(family: _Family, alpha: int, m: int, terms: int, points: int) -> tuple[float, str]:
    """Degrees of freedom as Stable32 has them, from the number of points."""
    del terms
    if alpha + 2 * family.order <= 1:
        return math.nan, _diverges(family.order, alpha)
    edf = averaged_phase_edf(alpha, family.order, m, points, overlapped=family.overlapped, modified=family.modified)
    return edf, ""


def _diverges(order: int, alpha: int) -> str:
    return f"a difference of order {order} has no variance under noise of alpha {alpha}: there is nothing to bound"


_RULES = {"exact": "model", "stable32": "published"}
_EDF: dict[str, Callable[[_Family, int, int, int, int], tuple[float, str]]] = {"exact": _sampled, "stable32": _averaged}
