"""Exact equivalent degrees of freedom of the Allan and Hadamard families, for sampled power-law noise.

Rule: the phase is taken as what was measured, samples of a discrete power-law process with the spectrum
|2 sin(pi f tau0)|^(alpha - 2) (Kasdin and Walter; fractional differencing), and the covariance sum of the estimator that
was in fact computed is summed. Nothing is read from a fitted table.

The estimator is V = (1/M) sum z_k^2, with z a difference of order `order` and step m of the phase (or, for the modified
variances, of the summed phase). For Gaussian z, edf = 2 E(V)^2 / var(V) = M / sum_j (1 - |j|/M) (s_z(j)/s_z(0))^2, with
s_z the difference of order 2*order of the generalised autocovariance s(k) of the phase: C. A. Greenhall and W. J. Riley,
"Uncertainty of stability variances based on finite differences", 35th PTTI, 2003, equations (8)-(13), with sampled in place
of averaged phase (their averaged phase is in `averaged_phase`). Where there are more than 2000 lags the sum is taken over
a graded grid by the trapezoid rule (error below 1e-4); with fewer it is exact.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from timesync.stability.powerlaw import difference_covariance

__all__ = ["difference_edf", "difference_weights", "lag_grid"]

Floats = NDArray[np.float64]

_EXACT_LAGS = 2000
_REACH = 8  # lags beyond 8 tau carry less than 1e-4 of the sum for every noise type the estimator converges for
_FINE = 64  # lags summed one by one on each side of a multiple of m, where flicker and white phase noise peak


def lag_grid(m: int, terms: int) -> tuple[Floats, Floats]:
    """Lags j = 0 .. and the weight of each in a sum over all integers |j| < terms of an even function (j = 0 once).

    Every lag with weight 2 when they are few; otherwise a grid that is fine around each multiple of m.
    """
    last = min(terms - 1, _REACH * m)
    if last < _EXACT_LAGS:
        lags = np.arange(last + 1, dtype=float)
        weights = np.full(last + 1, 2.0)
        weights[0] = 1.0
        return lags, weights
    offsets = list(range(_FINE))
    step = 2
    while offsets[-1] < m:
        offsets.extend(range(offsets[-1] + step, offsets[-1] + step * (_FINE // 2) + 1, step))
        step *= 2
    side = np.array(offsets)
    side = side[side <= m // 2 + 1]
    centres = np.arange(_REACH + 1) * m
    lags_int = np.unique((centres[:, None] + np.concatenate((-side[::-1], side))).ravel())
    lags_int = np.unique(np.append(lags_int[(lags_int >= 0) & (lags_int < last)], last))
    gaps = np.diff(lags_int).astype(float)
    weights = np.zeros(lags_int.size)
    # the integers strictly between two grid points, given to both ends in equal parts
    weights[:-1] += gaps - 1.0
    weights[1:] += gaps - 1.0
    weights += 2.0
    weights[0] -= 1.0
    return lags_int.astype(float), weights


@lru_cache(maxsize=4096)
def difference_edf(alpha: int, order: int, m: int, terms: int, stride: int, *, summed: bool) -> float:
    """Equivalent degrees of freedom of the mean square of `terms` differences of step m, `stride` samples apart.

    alpha: exponent of the frequency spectrum, 2 .. -4. order: 2 Allan, 3 Hadamard, 1 first differences.
    summed: the modified variances, differences (one order higher) of the summed phase. Raises ValueError where the
    variance of the difference diverges (alpha + 2*order <= 1).
    """
    if alpha + 2 * order <= 1:
        raise ValueError(f"a difference of order {order} has no variance under noise of alpha {alpha}")
    if terms < 1:
        raise ValueError("no terms")
    if stride == 1:
        lags, weights = lag_grid(m, terms)
    else:
        lags = np.arange(min(terms, _REACH * m // stride + 1), dtype=float) * stride
        weights = np.full(lags.size, 2.0)
        weights[0] = 1.0
    covariance = difference_covariance(lags, alpha, order, m, summed=summed)
    correlation = covariance / covariance[0]
    taper = 1.0 - lags / (stride * terms)
    return float(terms / np.sum(weights * taper * correlation**2))


_CELLS = 256


@lru_cache(maxsize=1024)
def difference_weights(
    alpha: int, order: int, m: int, terms: int, stride: int, *, summed: bool, cells: int = _CELLS
) -> tuple[float, ...]:
    """Eigenvalues (summing to 1) of the same mean square: it is distributed as sum of weight * chi2_1, times its mean.

    Exact up to `cells` terms. More are taken in so many cells, each as the mean of its terms; what the terms of a cell have of
    their own (most of all under flicker and white PM) is spread over as many equal weights as give the exact degrees of
    freedom. Where the cells alone have more spread than that, it is for the caller to scale it (`confidence.tails`).
    """
    width = -(-terms // cells)
    count = terms // width
    places = np.rint((np.arange(count) + 0.5) * terms / count - 0.5) * stride
    lags = np.abs(np.subtract.outer(places, places))
    distinct, where = np.unique(lags, return_inverse=True)
    covariance = difference_covariance(distinct, alpha, order, m, summed=summed)[where].reshape(lags.shape)
    variance = float(covariance[0, 0])
    if width > 1:
        inside = np.arange(min(width, 4096), dtype=float)
        taper = 2.0 * (1.0 - inside / inside.size)
        taper[0] = 1.0
        within = difference_covariance(inside * (width / inside.size) * stride, alpha, order, m, summed=summed)
        np.fill_diagonal(covariance, float(taper @ within) / inside.size)
    values = np.maximum(np.linalg.eigvalsh(covariance), 0.0) / (count * variance)
    own = 1.0 - float(values.sum())
    if own > 1e-9:
        left = 1.0 / difference_edf(alpha, order, m, terms, stride, summed=summed) - float(values @ values)
        equal = min(max(1, round(own * own / left)) if left > 0.0 else terms, _MOST_EQUAL)
        values = np.concatenate((values, np.full(equal, own / equal)))
    return tuple((values / values.sum()).tolist())


_MOST_EQUAL = 1000  # equal weights: so many are next to a constant
