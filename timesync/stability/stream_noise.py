"""Which noise dominates at each averaging time, and how certain a deviation is: from streamed sums alone.

Convention. The ratio of the mean square third to the mean square second difference of phase at lag m is 2 (1 - r), with r the
lag-1 autocorrelation of the twice differenced phase, decimated to lag m, averaged over all m decimations. That is Riley and
Greenhall's estimator with d = 2, which needs no detrending: second differences remove offset and frequency, and a drift adds
a constant that their third differences do not see. r is compared with what the sampled noise model gives at this m for
alpha = 2 .. -2; the nearest is taken. Where that says phase noise and m > 1, R(m), the modified over the plain Allan
variance, tells white from flicker PM (decimation has aliased the one into the other).

Fewer than 128 decimated points leave room for inertia, as in `noise`: what was found at the averaging time before stands
unless r lies two standard errors (n^-1/2) off. Fewer than 10 say nothing, and what was found before is carried. Steeper noise
than random walk FM is taken for it.

Intervals: with alpha so found, the exact degrees of freedom of `edf` for the terms that were in fact summed and their stride,
and chi-squared, or the weighted sum of squares where there are few, as in `confidence`.

Sources: W. J. Riley and C. A. Greenhall, "Power law noise identification using the lag 1 autocorrelation", 18th EFTF, 2004;
NIST SP 1065, 5.5 (R(n)); C. A. Greenhall and W. J. Riley, 35th PTTI, 2003 (degrees of freedom).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.confidence import chi2_interval, tails
from timesync.stability.edf import difference_edf, difference_weights
from timesync.stability.powerlaw import NOISE_NAMES, difference_covariance

if TYPE_CHECKING:
    from timesync.stability.result import Floats, Integers

__all__ = ["CONVENTION", "Limits", "identified", "limits"]

CONVENTION = "noise by the ratio of third to second differences, R(m) for phase noise"
LADDER_POINTS, CARRIED_POINTS, RATIO_POINTS = 128, 10, 30
MODEL = (2, 1, 0, -1, -2)
_FEW = dict.fromkeys(MODEL, 12.0) | {
    1: 60.0
}  # degrees of freedom below which chi-squared is not good enough (CONFIDENCE.md)
_CELLS = 96  # a daemon asks often, and of ever more terms
_FINE = 256  # terms up to which degrees of freedom are worked out for exactly as many


@dataclass(frozen=True, slots=True)
class Limits:
    """Ends of the intervals, degrees of freedom, and why there is none (empty where there is one); one each tau."""

    lo: Floats
    hi: Floats
    edf: Floats
    reason: tuple[str, ...]


@lru_cache(maxsize=4096)
def _expected(alpha: int, m: int) -> tuple[float, float]:
    """r and R(m) that the sampled model gives."""
    zero = np.zeros(1)
    second = float(difference_covariance(zero, alpha, 2, m, summed=False)[0])
    third = float(difference_covariance(zero, alpha, 3, m, summed=False)[0])
    modified = float(difference_covariance(zero, alpha, 2, m, summed=True)[0])
    return 1.0 - third / second / 2.0, modified / second


def identified(m: Integers, second: Floats, third: Floats, modified: Floats, points: Floats) -> Floats:
    """alpha at each averaging factor (increasing), NaN where nothing can be said.

    second, third: mean squares of the differences of phase; modified: of the second differences of the averages over m
    points; points: decimated points behind them (span of the terms / m).
    """
    found = np.full(m.size, np.nan)
    before = math.nan
    for k, factor in enumerate(m.tolist()):
        if points[k] >= CARRIED_POINTS and second[k] > 0.0:
            before = _decided(factor, third[k] / second[k], modified[k] / second[k], float(points[k]), before)
        found[k] = before
    return found


def _decided(m: int, ratio: float, averaged: float, points: float, before: float) -> float:
    r = 1.0 - ratio / 2.0
    if points < LADDER_POINTS and math.isfinite(before):
        stands = abs(r - _expected(int(before), m)[0]) <= 2.0 / math.sqrt(points)
        alpha = int(before) if stands else _nearest(r, m)
    else:
        alpha = _nearest(r, m)
    if alpha >= 1 and m > 1 and averaged > 0.0:
        white, flicker = _expected(2, m)[1], _expected(1, m)[1]
        boundary = math.sqrt(white * flicker)
        if points < RATIO_POINTS:
            boundary = {2.0: flicker, 1.0: white}.get(before, boundary)
        alpha = 2 if averaged < boundary else 1
    return float(alpha)


def _nearest(r: float, m: int) -> int:
    return min(MODEL, key=lambda alpha: abs(_expected(alpha, m)[0] - r))


def limits(
    order: int, m: Integers, stride: Integers, dev: Floats, n: Integers, alpha: Floats, ci: float, *, summed: bool
) -> Limits:
    """Intervals for deviations made of n differences of this order, step m, `stride` samples apart.

    summed: differences of averages over m points. ci: probability covered, equal tails.
    """
    size = m.size
    lo, hi, edf = np.full(size, np.nan), np.full(size, np.nan), np.full(size, np.nan)
    reason = [""] * size
    few: list[int] = []
    for k in range(size):
        if not math.isfinite(alpha[k]):
            reason[k] = "noise not identified: too few terms"
        elif alpha[k] + 2 * order <= 1:
            name = NOISE_NAMES[int(alpha[k])]
            reason[k] = f"no variance to bound: differences of order {order} diverge under {name}"
        else:
            facts = (int(alpha[k]), order, int(m[k]), int(n[k]), int(stride[k]))
            edf[k] = _degrees(*facts, summed=summed)
            if edf[k] < _FEW[facts[0]]:
                few.append(k)
    known = np.isfinite(edf)
    lo[known], hi[known] = chi2_interval(dev[known], edf[known], ci)
    for k in few:
        below, above = _tails(int(alpha[k]), order, int(m[k]), int(n[k]), int(stride[k]), summed, 0.5 * (1.0 - ci))
        lo[k], hi[k] = dev[k] / math.sqrt(above), dev[k] / math.sqrt(below)
    return Limits(lo, hi, edf, tuple(reason))


def _degrees(alpha: int, order: int, m: int, terms: int, stride: int, *, summed: bool) -> float:
    """Exact for few terms; for many of seven binary digits of their number, in proportion: the error is below 1e-3."""
    shift = max(0, terms.bit_length() - _FINE.bit_length() + 1)
    round_terms = max(1, (terms >> shift) << shift)
    return difference_edf(alpha, order, m, round_terms, stride, summed=summed) * terms / round_terms


@lru_cache(maxsize=1024)
def _tails(alpha: int, order: int, m: int, terms: int, stride: int, summed: bool, tail: float) -> tuple[float, float]:  # noqa: FBT001 - a cache's key
    weights = difference_weights(alpha, order, m, terms, stride, summed=summed, cells=_CELLS)
    return tails(weights, tail, difference_edf(alpha, order, m, terms, stride, summed=summed))
