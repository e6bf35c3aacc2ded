"""The chi-squared distribution function and its quantile, for arrays, without scipy.

Rule: every branch is good to 1e-10 relative or better over 0.1..1e9 degrees of freedom; outside a branch's range
another one takes over, never a rough formula.

Source: NIST Digital Library of Mathematical Functions, 8.11.4 (power series), 8.9.2 (continued fraction, by Lentz's
method), 5.11.1 (Stirling's series). Above 30 degrees of freedom the density is integrated by Gauss-Legendre quadrature.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timesync.errors import DataError

__all__ = ["chi2_cdf", "chi2_quantile"]

Floats = NDArray[np.float64]

_TINY = 1e-300
_SERIES_LIMIT = 2000
_QUADRATURE_FROM = 15.0  # shape (half the degrees of freedom) from which the density is integrated instead
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_TAIL_SIGMAS = 12.0  # 12 standard deviations and 36 more units leave 1e-15 outside
_LGAMMA = np.frompyfunc(math.lgamma, 1, 1)


def chi2_cdf(x: ArrayLike, degrees: ArrayLike) -> Floats:
    """Probability that a chi-squared variable with `degrees` > 0 (real) is below `x` >= 0; arrays broadcast."""
    half_x, shape = np.broadcast_arrays(np.asarray(x, float) / 2.0, np.asarray(degrees, float) / 2.0)
    return _lower_gamma(half_x, shape)


def chi2_quantile(p: ArrayLike, degrees: ArrayLike) -> Floats:
    """The x below which a chi-squared variable with `degrees` > 0 (real) falls with probability `p` in (0, 1).

    Wilson and Hilferty's cube gives the start; Newton steps on the distribution, held inside a bracket, the rest.
    Raises DataError for a probability or degrees of freedom out of range.
    """
    prob, dof = np.broadcast_arrays(np.asarray(p, float), np.asarray(degrees, float))
    if not np.all((prob > 0.0) & (prob < 1.0)):
        raise DataError("chi-squared quantile: the probability must lie strictly between 0 and 1")
    if not np.all(np.isfinite(dof) & (dof > 0.0)):
        raise DataError("chi-squared quantile: degrees of freedom must be finite and positive")
    shape = dof / 2.0
    x = _start(prob, shape)
    low, high = np.zeros_like(x), np.full_like(x, np.inf)
    for _ in range(100):
        error = _lower_gamma(x, shape) - prob
        low, high = np.where(error < 0.0, x, low), np.where(error > 0.0, x, high)
        step = error / np.maximum(np.exp(_log_density(x, shape)), _TINY)
        done = np.abs(step) <= 1e-13 * x
        new = np.where(done, x, x - step)
        middle = np.where(np.isfinite(high), 0.5 * (low + high), 2.0 * x)
        x = np.where(done | ((new > low) & (new < high)), new, middle)
        if np.all(done):
            break
    return np.asarray(2.0 * x)


def _start(prob: Floats, shape: Floats) -> Floats:
    """A starting point for the quantile of the gamma distribution of this shape and unit scale."""
    inverse = NormalDist().inv_cdf
    levels, where = np.unique(prob, return_inverse=True)
    z = np.array([inverse(float(level)) for level in levels])[where].reshape(prob.shape)
    ninth = 1.0 / (9.0 * shape)
    cube = shape * (1.0 - ninth + z * np.sqrt(ninth)) ** 3
    small = np.exp((np.log(prob) + _log_gamma(shape + 1.0)) / shape)  # leading term of the power series
    return np.maximum(np.where((cube <= 0.05 * shape) | (shape < 0.5), np.minimum(small, shape + 50.0), cube), _TINY)


def _log_gamma(shape: Floats) -> Floats:
    return np.asarray(_LGAMMA(shape), dtype=np.float64)


def _log_density(x: Floats, shape: Floats) -> Floats:
    """Logarithm of the gamma density, without the cancellation of a ln a against ln gamma(a) at a large shape."""
    x = np.maximum(x, _TINY)
    big = shape >= 20.0
    safe = np.where(big, shape, 20.0)
    ratio = (x - safe) / safe
    inverse = 1.0 / safe
    stirling = inverse / 12.0 - inverse**3 / 360.0 + inverse**5 / 1260.0 - inverse**7 / 1680.0
    exponent = safe * (np.log1p(np.maximum(ratio, -1.0 + 1e-16)) - ratio)
    large = exponent - np.log(x) + 0.5 * np.log(safe / (2.0 * math.pi)) - stirling
    modest = np.where(big, 1.0, shape)
    return np.where(big, large, (modest - 1.0) * np.log(x) - x - _log_gamma(modest))


def _lower_gamma(x: Floats, shape: Floats) -> Floats:
    """Regularised lower incomplete gamma function P(shape, x)."""
    x, shape = np.atleast_1d(x), np.atleast_1d(shape)
    out = np.zeros(x.shape)
    quadrature = (shape >= _QUADRATURE_FROM) & (x > 0.0)
    series = ~quadrature & (x > 0.0) & (x < shape + 1.0)
    fraction = ~quadrature & (x >= shape + 1.0)
    for chosen, branch in ((quadrature, _by_quadrature), (series, _by_series), (fraction, _by_fraction)):
        if np.any(chosen):
            out[chosen] = branch(x[chosen], shape[chosen])
    return out


def _by_series(x: Floats, shape: Floats) -> Floats:
    term = 1.0 / shape
    total = term.copy()
    for k in range(1, _SERIES_LIMIT):
        term = term * (x / (shape + k))
        total = total + term
        if np.all(term <= 1e-17 * total):
            break
    return np.asarray(total * x * np.exp(_log_density(x, shape)))


def _by_fraction(x: Floats, shape: Floats) -> Floats:
    b = x + 1.0 - shape
    c = np.full_like(x, 1.0 / _TINY)
    d = 1.0 / b
    total = d.copy()
    for k in range(1, _SERIES_LIMIT):
        a = -k * (k - shape)
        b = b + 2.0
        d = a * d + b
        d = 1.0 / np.where(np.abs(d) < _TINY, _TINY, d)
        c = b + a / c
        c = np.where(np.abs(c) < _TINY, _TINY, c)
        total = total * c * d
        if np.all(np.abs(c * d - 1.0) <= 1e-15):
            break
    return np.asarray(1.0 - total * x * np.exp(_log_density(x, shape)))


def _by_quadrature(x: Floats, shape: Floats) -> Floats:
    """Integrate the density over the shorter tail, from x to where nothing is left."""
    sigma = np.sqrt(shape)
    below = x < shape
    far = np.where(below, np.maximum(0.0, x - _TAIL_SIGMAS * sigma), x + _TAIL_SIGMAS * (sigma + 3.0))
    centre, half = 0.5 * (x + far), 0.5 * (far - x)
    points = centre[:, None] + half[:, None] * _NODES
    mass = np.abs(half) * (np.exp(_log_density(points, shape[:, None])) @ _WEIGHTS)
    return np.where(below, mass, 1.0 - mass)
