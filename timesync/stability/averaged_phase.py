"""Degrees of freedom by the published algorithm for averaged phase, as Stable32 computes them.

Rule: this is the published algorithm with its published shortcuts (100 terms at most, fitted tables beyond), kept for
agreement with Stable32. `edf` is the exact one for what is measured, sampled phase. Against this one it gives, for the
Allan and Hadamard families, 0.80 to 1.31 times the degrees of freedom at m = 1, 1.02 to 1.14 times at m = 4, and the
same within 1 % from m = 64, except under flicker PM (1.07 to 1.18 times at every large m).

Source: C. A. Greenhall and W. J. Riley, "Uncertainty of stability variances based on finite differences", 35th PTTI,
2003: s_w (7), s_x (8), s_z (9), the basic sum (10), cases 1 to 4 with tables 1 to 3.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["averaged_phase_edf"]

Floats = NDArray[np.float64]

_J_MAX = 100

# a0, a1 by (alpha, d): modified variances (table 1) and unmodified ones (table 2)
_TABLE_1 = {
    (2, 1): (2 / 3, 1 / 3), (2, 2): (7 / 9, 1 / 2), (2, 3): (22 / 25, 2 / 3),
    (1, 1): (0.840, 0.345), (1, 2): (0.997, 0.616), (1, 3): (1.141, 0.843),
    (0, 1): (1.079, 0.368), (0, 2): (1.033, 0.607), (0, 3): (1.184, 0.848),
    (-1, 2): (1.048, 0.534), (-1, 3): (1.180, 0.816),
    (-2, 2): (1.302, 0.535), (-2, 3): (1.175, 0.777),
    (-3, 3): (1.194, 0.703),
    (-4, 3): (1.489, 0.702),
}  # fmt: skip
_TABLE_2 = {
    (1, 1): (78.6, 25.2), (1, 2): (790.0, 410.0), (1, 3): (9950.0, 6520.0),
    (0, 1): (2 / 3, 1 / 6), (0, 2): (2 / 3, 1 / 3), (0, 3): (7 / 9, 1 / 2),
    (-1, 2): (0.852, 0.375), (-1, 3): (0.997, 0.617),
    (-2, 2): (1.079, 0.368), (-2, 3): (1.033, 0.607),
    (-3, 3): (1.053, 0.553),
    (-4, 3): (1.302, 0.535),
}  # fmt: skip
_TABLE_3 = {1: (6.0, 4.0), 2: (15.23, 12.0), 3: (47.8, 40.0)}  # b0, b1 by d, for flicker PM


def _s_w(t: Floats, alpha: int) -> Floats:
    """Generalised autocovariance of the integrated power-law process, equation (7)."""
    size = np.abs(t)
    power = 3 - alpha
    if alpha % 2 == 0:
        return size**power * (-1.0) ** (alpha // 2)
    safe = np.where(size > 0.0, size, 1.0)
    return size**power * np.log(safe) * (-1.0) ** ((1 - alpha) // 2)


def _s_x(t: Floats, filter_factor: float, alpha: int) -> Floats:
    """Of phase averaged over tau/filter_factor, equation (8); an infinite factor is no averaging."""
    if math.isinf(filter_factor):
        return _s_w(t, alpha + 2)
    step = 1.0 / filter_factor
    return filter_factor**2 * (2.0 * _s_w(t, alpha) - _s_w(t - step, alpha) - _s_w(t + step, alpha))


def _s_z(t: Floats, filter_factor: float, alpha: int, d: int) -> Floats:
    """Of its d-th difference, equation (9)."""
    total = np.zeros(np.shape(t))
    for i in range(-d, d + 1):
        total += (-1.0) ** i * math.comb(2 * d, d + i) * _s_x(t + i, filter_factor, alpha)
    return total


def _basic_sum(lags: int, m_terms: float, stride: float, filter_factor: float, alpha: int, d: int) -> float:
    """Equation (10), divided by s_z(0)^2 and m_terms: 1/edf."""
    j = np.arange(lags + 1, dtype=float)
    z = _s_z(j / stride, filter_factor, alpha, d)
    weight = 2.0 * (1.0 - j / m_terms)
    weight[0] = 1.0
    weight[-1] /= 2.0  # the published sum takes its last lag once
    return float(np.sum(weight * z**2) / (z[0] ** 2 * m_terms))


@lru_cache(maxsize=4096)
def averaged_phase_edf(alpha: int, d: int, m: int, points: int, *, overlapped: bool, modified: bool) -> float:
    """Degrees of freedom of a variance of d-th differences of `points` phase values at averaging factor m.

    d: 1, 2 (Allan) or 3 (Hadamard). Raises ValueError where the variance diverges or there is not one term.
    """
    if alpha + 2 * d <= 1:
        raise ValueError(f"a difference of order {d} has no variance under noise of alpha {alpha}")
    filter_factor = 1 if modified else m
    stride = m if overlapped else 1
    length = m // filter_factor + m * d
    terms = 1 + (stride * (points - length)) // m
    if terms < 1:
        raise ValueError("no terms")
    lags = min(terms, (d + 1) * stride)
    ratio = terms / stride
    if alpha == 2 and not modified:
        return _white_phase(d, terms, stride, ratio)
    if lags <= _J_MAX:
        whole = modified or alpha == 1 or m * (d + 1) <= _J_MAX
        return 1.0 / _basic_sum(lags, terms, stride, filter_factor if whole else math.inf, alpha, d)
    flicker = alpha == 1 and not modified
    b0, b1 = _TABLE_3[d]
    level = (b0 + b1 * math.log(m)) ** 2
    if ratio > d + 1:
        a0, a1 = (_TABLE_1 if modified else _TABLE_2)[alpha, d]
        return ratio / (a0 - a1 / ratio) * (level if flicker else 1.0)
    scaled = _J_MAX / ratio
    if flicker:
        at_zero = float(_s_z(np.zeros(1), scaled, alpha, d)[0])
        return level / (_basic_sum(_J_MAX, _J_MAX, scaled, scaled, alpha, d) * at_zero**2)
    return 1.0 / _basic_sum(_J_MAX, _J_MAX, scaled, 1.0 if modified else math.inf, alpha, d)


def _white_phase(d: int, terms: int, stride: int, ratio: float) -> float:
    """Case 4: only lags that are multiples of tau carry correlation; the finite sum gives both its sub-cases."""
    total = 1.0
    for k in range(1, min(d, math.ceil(ratio) - 1) + 1):
        share = math.comb(2 * d, d - k) / math.comb(2 * d, d)
        total += 2.0 * (1.0 - k * stride / terms) * share**2
    return terms / total
