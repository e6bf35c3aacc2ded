"""Degrees of freedom and bias of the total, Theo1 and parabolic statistics, from their definition as quadratic forms.

Rule: no fit. Each of these statistics is s^2 = x' A x for a matrix A that follows from its definition; for Gaussian
phase with covariance C, E(s^2) = tr(A C) and edf = 2 E^2/var = tr(A C)^2 / tr(A C A C). A is built and the traces are
taken, with C the generalised autocovariance of sampled power-law phase (`powerlaw`; A removes lines, so what C leaves
open drops out).

Up to m = 16 (32 under white and flicker PM) and 16 tau of record this is the statistic itself. A larger m follows
from m = 8, 16 (and 32), the record the same number of tau long, by the law that the values approach their limit with
(`_LAWS`; within 2 % of direct evaluation at m = 256). A longer record follows from 12 and 16 tau by the straight line that
edf against T/tau is there (published as b T/tau - c). A record between two whole numbers of positions is interpolated.

Definitions: NIST SP 1065, equations (25) TOTVAR, (27) modified total, (29) Hadamard total, (30) Theo1; PVAR: F. Vernotte,
M. Lenczner, P.-Y. Bourgeois, E. Rubiola, IEEE UFFC 63 (2016) 611.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from timesync.stability.edf import difference_edf
from timesync.stability.powerlaw import difference_covariance, generalised_autocovariance

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QUADRATIC", "quadratic_bias", "quadratic_edf", "quadratic_weights", "theo1_bias"]

Floats = NDArray[np.float64]

_LONG = (12, 16)  # lengths in tau from which longer records are extrapolated


def _second_differences(phase_map: Floats, m: int) -> Floats:
    """Rows of second differences of m-point means of the rows of `phase_map`, at all but the last position."""
    sums = np.concatenate((np.zeros((1, phase_map.shape[1])), np.cumsum(phase_map, axis=0)))
    means = (sums[m:] - sums[:-m]) / m
    return np.asarray((means[: -2 * m] - 2.0 * means[m:-m] + means[2 * m :])[: 6 * m])


def _detrend(length: int, pivot: float) -> Floats:
    """The map that removes the line through the means of the first and the last half of `length` points."""
    half = length // 2
    slope = np.zeros(length)
    slope[:half] = -1.0 / half
    slope[length - half :] = 1.0 / half
    slope /= length - half
    return np.asarray(np.eye(length) - np.outer(np.arange(length) - pivot, slope))


def _modified_total(m: int) -> Floats:
    """x' B x of one window of 3m phase points: detrended, reflected to 9m, 6m squared modified second differences."""
    inner = _detrend(3 * m, 0.0)
    rows = _second_differences(np.concatenate((inner[::-1], inner, inner[::-1])), m)
    return np.asarray(rows.T @ rows) / (6 * m * 2.0 * m * m)


def _hadamard_total(m: int) -> Floats:
    """The same of 3m frequencies (3m + 1 phase points), with the Hadamard normaliser; plain Hadamard at m = 1."""
    to_frequency = np.diff(np.eye(3 * m + 1), axis=0)
    if m == 1:
        row = np.array([[1.0, -2.0, 1.0]]) @ to_frequency
        return np.asarray(row.T @ row) / 6.0
    inner = _detrend(3 * m, float(3 * m // 2)) @ to_frequency
    rows = _second_differences(np.concatenate((inner[::-1], inner, inner[::-1])), m)
    return np.asarray(rows.T @ rows) / (6 * m * 6.0)


def _theo1(m: int) -> Floats:
    """One window of m + 1 points of Theo1, m even."""
    half = m // 2
    total = np.zeros((m + 1, m + 1))
    for delta in range(half):
        row = np.zeros(m + 1)
        row[0] += 1.0
        row[half - delta] -= 1.0
        row[m] += 1.0
        row[half + delta] -= 1.0
        total += np.outer(row, row) / (half - delta)
    return total / (0.75 * m * m)


def _parabolic(m: int) -> Floats:
    """One window of 2m points of PVAR: the difference of two least-squares slopes."""
    if m == 1:
        row = np.array([1.0, -2.0, 1.0])
        return np.outer(row, row) / 2.0
    ramp = np.arange(m) - 0.5 * (m - 1)
    row = np.concatenate((-ramp, ramp))
    return np.outer(row, row) * 72.0 / float(m) ** 6


def _windowed(window: Callable[[int], Floats]) -> Callable[[int, int], Floats]:
    """A statistic that is the mean over all positions of one window's form."""

    def form(m: int, points: int) -> Floats:
        block = window(m)
        length = block.shape[0]
        positions = points - length + 1
        total = np.zeros((points, points))
        for i in range(positions):
            total[i : i + length, i : i + length] += block
        return np.asarray(total / max(1, positions))

    return form


def _total(m: int, points: int) -> Floats:
    """TOTVAR: second differences of the phase extended at both ends by odd reflection."""
    eye = np.eye(points)
    before = 2.0 * eye[0] - eye[1:-1][::-1]
    after = 2.0 * eye[-1] - eye[1:-1][::-1]
    extended = np.concatenate((before, eye, after))
    start = before.shape[0]
    centre = np.arange(start + 1, start + points - 1)
    rows = extended[centre - m] - 2.0 * extended[centre] + extended[centre + m]
    return np.asarray(rows.T @ rows) / (2.0 * m * m * (points - 2))


@dataclass(frozen=True, slots=True)
class _Form:
    """The matrix at (m, points), the shortest record for m, and order and kind of the variance it estimates."""

    matrix: Callable[[int, int], Floats]
    shortest: Callable[[int], int]
    order: int
    modified: bool


QUADRATIC = {
    "totdev": _Form(_total, lambda m: m + 1, 2, modified=False),
    "mtotdev": _Form(_windowed(_modified_total), lambda m: 3 * m, 2, modified=True),
    "htotdev": _Form(_windowed(_hadamard_total), lambda m: 3 * m + 1, 3, modified=False),
    "theo1": _Form(_windowed(_theo1), lambda m: m + 1, 2, modified=False),
    "theobr": _Form(_windowed(_theo1), lambda m: m + 1, 2, modified=False),
    "pdev": _Form(_windowed(_parabolic), lambda m: max(3, 2 * m), 2, modified=True),
}


@lru_cache(maxsize=64)
def _product(statistic: str, alpha: int, m: int, points: int) -> Floats:
    """A C, of unit innovation and unit tau0."""
    matrix = QUADRATIC[statistic].matrix(m, points)
    lags = np.abs(np.subtract.outer(np.arange(points), np.arange(points)))
    covariance = generalised_autocovariance(np.arange(points, dtype=float), alpha)[lags]
    # lines drop out of the statistic; taking them out of the covariance first keeps its digits
    basis = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, points), 2))[0]
    covariance = covariance - basis @ (basis.T @ covariance)
    covariance = covariance - (covariance @ basis) @ basis.T
    return np.asarray(matrix @ covariance)


@lru_cache(maxsize=2048)
def _traces(statistic: str, alpha: int, m: int, points: int) -> tuple[float, float]:
    """E(s^2) and the degrees of freedom of the statistic itself."""
    product = _product(statistic, alpha, m, points)
    mean = float(np.trace(product))
    return mean, mean * mean / float(np.sum(product * product.T))


@lru_cache(maxsize=512)
def quadratic_weights(statistic: str, alpha: int, m: int, points: int) -> tuple[float, ...]:
    """Eigenvalues (summing to 1) of the statistic, for few degrees of freedom.

    m above 16 is taken at m = 16; under noise whose share in them depends on m, at the m that 400 points allow.
    """
    shortest = QUADRATIC[statistic].shortest
    fine = (statistic, alpha) in _LAWS
    small = min(m, max(16, 2 * int(200.0 * m / points)) if fine else 16)
    positions = max(1, round((points - shortest(m) + 1) * small / m))
    values = np.linalg.eigvals(_product(statistic, alpha, small, shortest(small) - 1 + positions)).real
    values = np.maximum(values, 0.0)
    return tuple((values / values.sum()).tolist())


def _at_small_m(statistic: str, alpha: int, m: int, positions: float) -> float:
    """edf at a small m, of a record that has `positions` (real, at least 1) positions of the shortest record."""
    first = QUADRATIC[statistic].shortest(m) - 1
    limit = _LONG[1] * m - first
    if positions <= limit:
        low = math.floor(positions)
        at_low = _traces(statistic, alpha, m, first + low)[1]
        if positions == low:
            return at_low
        return at_low + (positions - low) * (_traces(statistic, alpha, m, first + low + 1)[1] - at_low)
    if (statistic, alpha) == ("totdev", 2):
        # the reflected ends share the noise of one point each: 1/edf = 32/(6r + 8)^2 from them, the rest goes as 1/r
        length = (positions + first) / m
        ends = 32.0 / (6.0 * _LONG[1] + 8.0) ** 2
        rest = 1.0 / _traces(statistic, alpha, m, _LONG[1] * m)[1] - ends
        return 1.0 / (32.0 / (6.0 * length + 8.0) ** 2 + rest * _LONG[1] / length)
    near, far = (_traces(statistic, alpha, m, k * m)[1] for k in _LONG)
    return far + (far - near) * ((positions + first) / m - _LONG[1]) / (_LONG[1] - _LONG[0])


def _halving(values: list[float], m: int) -> float:
    """From m = 8 and 16: what is left of the limit halves with each doubling of m."""
    at_8, at_16 = values
    return at_16 + (at_16 - at_8) * (1.0 - 16.0 / m)


def _linear(values: list[float], m: int) -> float:
    """From m = 16 and 32: proportional to m but for a constant."""
    return values[-1] + (values[-1] - values[-2]) * (m - 32.0) / 16.0


def _inverse(values: list[float], m: int) -> float:
    """From m = 16 and 32: 1/edf is a constant and a term in 1/m."""
    slope = (1.0 / values[-2] - 1.0 / values[-1]) * 32.0
    return 1.0 / (1.0 / values[-1] + slope * (1.0 / m - 1.0 / 32.0))


def _flicker(values: list[float], m: int) -> float:
    """From m = 8, 16 and 32: the root is a parabola in ln m, or approaches its limit geometrically."""
    root = [math.sqrt(value) for value in values]
    doublings = math.log2(m / 32.0)
    first, second = root[1] - root[0], root[2] - root[1]
    if second >= first or first <= 0.0:
        return (root[2] + doublings * second + 0.5 * doublings * (doublings + 1.0) * (second - first)) ** 2
    ratio = second / first
    return float((root[2] + second * ratio * (1.0 - ratio**doublings) / (1.0 - ratio)) ** 2)


_LAWS: dict[tuple[str, int], Callable[[list[float], int], float]] = {
    ("totdev", 2): _inverse,
    ("totdev", 1): _flicker,
    ("htotdev", 2): _linear,
    ("htotdev", 1): _flicker,
    ("theo1", 2): _linear,
    ("theo1", 1): _flicker,
    ("theobr", 2): _linear,
    ("theobr", 1): _flicker,
}


@lru_cache(maxsize=4096)
def quadratic_edf(statistic: str, alpha: int, m: int, points: int) -> float:
    """Equivalent degrees of freedom of `statistic` (a key of QUADRATIC) at averaging factor m of `points` phase values.

    Raises ValueError for a record too short for one term.
    """
    shortest = QUADRATIC[statistic].shortest
    positions = points - shortest(m) + 1
    if positions < 1:
        raise ValueError("no terms")
    if statistic == "totdev" and m == 1 and points > 2:
        return difference_edf(alpha, 2, 1, points - 2, 1, summed=False)  # no term reaches over an end: it is OADEV
    law = _LAWS.get((statistic, alpha), _halving)
    steps = (8, 16) if law is _halving else (8, 16, 32)
    if m <= steps[-1]:
        return _at_small_m(statistic, alpha, m, float(positions))
    return law([_at_small_m(statistic, alpha, k, max(1.0, positions * k / m)) for k in steps], m)


def _parent(form: _Form, alpha: int, m: int) -> float:
    value = difference_covariance(np.zeros(1), alpha, form.order, m, summed=form.modified)[0]
    return float(value) / ({2: 2.0, 3: 6.0}[form.order] * m * m)


@lru_cache(maxsize=4096)
def quadratic_bias(statistic: str, alpha: int, m: int, points: int) -> float:
    """E(s^2) over the Allan, modified Allan or Hadamard variance that the statistic stands for.

    For "pdev", which stands for nothing but itself, and "theobr", whose bias is removed with the data's own ratio, 1. For
    Theo1 see `theo1_bias`.
    """
    if statistic in {"pdev", "theobr"}:
        return 1.0
    if statistic == "theo1":
        return theo1_bias(alpha, m)
    form = QUADRATIC[statistic]
    first = form.shortest(m) - 1
    length = min(points / m, float(_LONG[1]))

    def at(k: int) -> float:
        lowest = form.shortest(k)
        mean = _traces(statistic, alpha, k, max(lowest, lowest - 1 + round((length * m - first) * k / m)))[0]
        return mean / _parent(form, alpha, k)

    if m <= 16:
        bias = at(m)
    elif alpha == 1 and not form.modified:
        bias = _flicker([at(8), at(16), at(32)], m) if m > 32 else at(m)
    else:
        bias = _halving([at(8), at(16)], m)
    if statistic == "totdev" and points / m > length:
        # the ends are the only cause, so the bias fades as 1/T
        bias = 1.0 + (bias - 1.0) * length * m / points
    return bias


@lru_cache(maxsize=4096)
def theo1_bias(alpha: int, m: int) -> float:
    """E(Theo1(m)) over the Allan variance at tau = 0.75 m tau0, exact at any m (m is even)."""
    half = m // 2
    delta = np.arange(half, dtype=float)
    places = np.stack([np.zeros(half), half - delta, np.full(half, float(m)), half + delta])
    signs = (1.0, -1.0, 1.0, -1.0)
    variance = np.zeros(half)
    for p, a in zip(places, signs, strict=True):
        for q, b in zip(places, signs, strict=True):
            variance += a * b * generalised_autocovariance(p - q, alpha)
    mean = float(np.sum(variance / (half - delta))) / (0.75 * m * m)
    tau = 0.75 * m
    low, high = math.floor(tau), math.ceil(tau)
    at = [float(difference_covariance(np.zeros(1), alpha, 2, k, summed=False)[0]) / (2.0 * k * k) for k in (low, high)]
    share = 0.0 if high == low else math.log(tau / low) / math.log(high / low)
    return mean / math.exp((1.0 - share) * math.log(at[0]) + share * math.log(at[1]))
