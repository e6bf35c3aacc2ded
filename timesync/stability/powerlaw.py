"""The sampled power-law noise model: autocovariances, the variances it gives each statistic, and h_alpha.

Rule: phase samples of noise alpha have the spectrum |2 sin(pi f tau0)|^(alpha - 2) times the innovation's, the discrete
power law of Kasdin and Walter ("Discrete simulation of power law noise", FCS 1992; Hosking's fractional difference).
At f tau0 << 1 it is S_y(f) = h_alpha f^alpha (NIST SP 1065, 3.2), with the Nyquist frequency as its upper cut-off.

A clock's phase is not stationary, so covariances are generalised ones (C. A. Greenhall and W. J. Riley, "Uncertainty of
stability variances based on finite differences", 35th PTTI, 2003, section 3): defined up to a polynomial that the
differences of every statistic here remove.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ALPHAS",
    "NOISE_NAMES",
    "difference_covariance",
    "flicker_sum",
    "generalised_autocovariance",
    "innovation_variance",
]

Floats = NDArray[np.float64]

NOISE_NAMES = {
    2: "white PM",
    1: "flicker PM",
    0: "white FM",
    -1: "flicker FM",
    -2: "random walk FM",
    -3: "flicker walk FM",
    -4: "random run FM",
}
ALPHAS = tuple(NOISE_NAMES)
_DIGAMMA_FROM = 32


def flicker_sum(k: Floats) -> Floats:
    """H(k) = sum over j < k of 1/(j + 1/2) = psi(k + 1/2) - psi(1/2), for integers k >= 0 given as floats."""
    small = np.concatenate(([0.0], np.cumsum(1.0 / (np.arange(_DIGAMMA_FROM) + 0.5))))
    big = np.maximum(k, float(_DIGAMMA_FROM))
    inverse = 1.0 / (big * big)
    # DLMF 5.11.2 expanded about k, at k + 1/2
    tail = inverse * (1.0 / 24.0 - inverse * (7.0 / 960.0 - inverse * 31.0 / 8064.0))
    asymptotic = np.log(big) + tail + np.euler_gamma + 2.0 * math.log(2.0)
    return np.where(k < _DIGAMMA_FROM, small[np.minimum(k, _DIGAMMA_FROM).astype(np.intp)], asymptotic)


def generalised_autocovariance(lag: Floats, alpha: int) -> Floats:
    """s(k) of phase samples with the spectrum |2 sin(pi f)|^(alpha - 2), alpha = 2, 1, 0 ... -6; unit innovation.

    Closed forms of the fractional difference: a difference of order high enough for convergence removes the polynomial
    that s leaves open (so it is left out). Between alpha and alpha - 2: 2 s(k) - s(k-1) - s(k+1) is the former's s.
    """
    k = np.abs(lag)
    if alpha == 2:
        return np.where(k == 0.0, 1.0, 0.0)
    steps = (2 - alpha) // 2  # how often white (even alpha) or flicker (odd alpha) phase has been summed
    square = k * k
    if alpha % 2 == 0:
        product = k.copy()
        for i in range(1, steps):
            product *= square - float(i * i)
        scale = 0.5 * (-1.0) ** steps / math.prod(2 * i * (2 * i + 1) for i in range(1, steps))
        return np.asarray(scale * product)
    product = flicker_sum(k)
    for i in range(steps):
        product = product * (square - (i + 0.5) ** 2)
    scale = (-1.0) ** (steps + 1) / (math.pi * math.factorial(2 * steps))
    return np.asarray(scale * product)


def difference_covariance(lag: Floats, alpha: int, order: int, m: int, *, summed: bool) -> Floats:
    """Autocovariance, at these lags in samples, of the difference of step m and this order of unit power-law phase.

    summed: of the difference of the mean of m adjacent phases, as the modified variances have it (their mean is itself
    a first difference of step m of the summed phase: one order more of noise alpha - 2).
    """
    scale = 1.0
    if summed:
        order, alpha, scale = order + 1, alpha - 2, 1.0 / (float(m) * m)
    total = np.zeros(lag.shape)
    for i in range(-order, order + 1):
        # the difference of order 2*order of the autocovariance: binomials of alternating sign
        coefficient = (-1.0) ** i * math.comb(2 * order, order + i)
        total += coefficient * generalised_autocovariance(lag + float(i * m), alpha)
    return total * scale


def innovation_variance(h: float, alpha: int, tau0_s: float) -> float:
    """Variance (s^2) of the white innovation that gives S_y(f) = h f^alpha when sampled every tau0_s seconds."""
    return 0.5 * h * (2.0 * math.pi) ** (-alpha) * tau0_s ** (1 - alpha)
