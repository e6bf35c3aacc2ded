"""Three-cornered and N-cornered hat: the instability of each clock from measurements between pairs of clocks.

Rule: a variance that comes out negative is an outcome, not an error: it is reported as it is, the deviation is NaN with
the reason beside it, and its uncertainty still says how large it may be. Nothing is clipped or replaced in silence.

Two estimators. "gray-allan": J. E. Gray and D. W. Allan, "A method for estimating the frequency stability of an
individual oscillator", 28th FCS (1974): least squares for the N variances from the N(N-1)/2 variances of the pairs; with
three clocks the closed form (s_ab + s_ac - s_bc)/2. "gcov": the Groslambert covariance, J. Groslambert et al., 35th FCS
(1981); F. Vernotte, C. E. Calosso, E. Rubiola, FCS 2016: the clock's variance is the covariance between the differences
of two pairs that share it, averaged over such couples; noise of the measuring instruments, independent between pairs,
drops out, which it does not in the first.

Uncertainty: the clocks' differences are taken as Gaussian and independent between clocks, so that the covariance of two
mean squares of differences is 2 C^2 / edf with C their covariance; edf is the statistic's, at the mean of the noise types
of the pairs. One standard deviation (k = 1) of the variance, carried to the deviation at first order.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from timesync.errors import DataError
from timesync.stability.edf import difference_edf
from timesync.stability.noise import identify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ClockStability", "Hat", "Method", "cornered_hat"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Method: TypeAlias = Literal["gray-allan", "gcov"]

# order of the difference, whether the phase is first averaged over m, and the variance's normaliser
_STATISTICS = {
    "oadev": (2, False, 2.0),
    "mdev": (2, True, 2.0),
    "ohdev": (3, False, 6.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class ClockStability:
    """One clock at each averaging time. variance may be negative; dev is NaN there and where nothing is known.

    u_variance: standard uncertainty of the variance. u: of the deviation. reason: empty where dev is a number.
    """

    name: str
    variance: Floats
    u_variance: Floats
    dev: Floats
    u: Floats
    reason: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Hat:
    """The result: `clocks` in the order of their names' first appearance; n: epochs common to all pairs used."""

    statistic: str
    method: Method
    tau0_s: float
    tau_s: Floats
    m: Ints
    n: Ints
    edf: Floats
    clocks: tuple[ClockStability, ...]


def cornered_hat(
    pairs: Mapping[tuple[str, str], Floats],
    m: Sequence[int] | Ints,
    *,
    tau0_s: float,
    statistic: str = "oadev",
    method: Method = "gray-allan",
) -> Hat:
    """Separate the clocks of simultaneous pair measurements.

    pairs: (a, b) to the phase of a minus b (s, NaN where missing), all on one grid of tau0_s. Every pair of the three or
    more clocks must be there once, in either direction. m: averaging factors. statistic: oadev, mdev or ohdev.
    Only epochs that all pairs have are used, so that the pairs' variances belong to the same instants.
    Raises DataError for missing or double pairs, unequal lengths, fewer than three clocks, unknown names.
    """
    names, phases = _arrange(pairs)
    if statistic not in _STATISTICS:
        raise DataError(f"hat: statistic {statistic!r} is not one of {', '.join(_STATISTICS)}")
    if method not in _METHODS:
        raise DataError(f"hat: method {method!r} is not one of {', '.join(_METHODS)}")
    if not tau0_s > 0.0:
        raise DataError(f"hat: tau0_s is {tau0_s}; it must be positive")
    order, averaged, normaliser = _STATISTICS[statistic]
    factors = np.asarray(m, dtype=np.int64)
    couples = list(itertools.combinations(range(len(names)), 2))
    weights = _METHODS[method](len(names), couples)
    variance = np.full((len(names), factors.size), np.nan)
    u_variance, terms, edf = variance.copy(), np.zeros(factors.size, dtype=np.int64), np.full(factors.size, np.nan)
    noise = [identify(phases[k], factors, order=order) for k in range(len(couples))]
    for i, factor in enumerate(factors):
        z = _differences(phases, int(factor), order, averaged=averaged) / (factor * tau0_s * math.sqrt(normaliser))
        terms[i] = z.shape[1]
        if terms[i] == 0:
            continue
        cross = z @ z.T / terms[i]  # mean products of the pairs' differences
        variance[:, i] = np.einsum("cpq,pq->c", weights, cross)
        alphas = [identity.alpha[i] for identity in noise if np.isfinite(identity.alpha[i])]
        if alphas:
            alpha = max(round(float(np.mean(alphas))), 2 - 2 * order)
            edf[i] = difference_edf(alpha, order, int(factor), int(terms[i]), 1, summed=averaged)
            u_variance[:, i] = [_uncertainty(weight, cross, edf[i]) for weight in weights]
    clocks = tuple(_clock(name, variance[k], u_variance[k]) for k, name in enumerate(names))
    return Hat(statistic, method, tau0_s, factors.astype(float) * tau0_s, factors, terms, edf, clocks)


def _arrange(pairs: Mapping[tuple[str, str], Floats]) -> tuple[list[str], Floats]:
    """Names, and phases of first minus second for each combination of them, in order."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    if len(names) < 3:
        raise DataError(f"hat: {len(names)} clocks; three or more are needed")
    lengths = {len(x) for x in pairs.values()}
    if len(lengths) != 1:
        raise DataError(f"hat: the pairs have unequal lengths {sorted(lengths)}; put them on one grid first")
    rows = []
    for a, b in itertools.combinations(names, 2):
        forward, backward = pairs.get((a, b)), pairs.get((b, a))
        if (forward is None) == (backward is None):
            raise DataError(f"hat: the pair of {a} and {b} is {'missing' if forward is None else 'there twice'}")
        rows.append(np.asarray(forward, float) if forward is not None else -np.asarray(backward, float))
    if len(rows) != len(pairs):
        raise DataError("hat: a clock is paired with itself")
    return names, np.array(rows)


def _differences(phases: Floats, m: int, order: int, *, averaged: bool) -> Floats:
    """Differences of each pair's phase at the epochs where every pair has them; shape (pairs, epochs)."""
    z = phases
    if averaged:
        if z.shape[1] < m:
            return np.empty((z.shape[0], 0))
        # shifted by each row's first value, so that the running sum keeps the digits of the differences
        first = np.array([row[~np.isnan(row)][0] if np.any(~np.isnan(row)) else 0.0 for row in z])
        here = ~np.isnan(z)
        sums = np.cumsum(np.where(here, z - first[:, None], 0.0), axis=1)
        counts = np.cumsum(here, axis=1)
        sums = np.concatenate((np.zeros((z.shape[0], 1)), sums), axis=1)
        counts = np.concatenate((np.zeros((z.shape[0], 1), dtype=counts.dtype), counts), axis=1)
        full = counts[:, m:] - counts[:, :-m] == m
        z = np.where(full, (sums[:, m:] - sums[:, :-m]) / m, np.nan)
    for _ in range(order):
        if z.shape[1] <= m:
            return np.empty((z.shape[0], 0))
        z = z[:, m:] - z[:, :-m]
    return np.asarray(z[:, ~np.isnan(z).any(axis=0)])


def _gray_allan(count: int, couples: list[tuple[int, int]]) -> Floats:
    """Weights of the pairs' own variances: the least-squares inverse of s_ab = s_a + s_b."""
    design = np.zeros((len(couples), count))
    for row, (a, b) in enumerate(couples):
        design[row, [a, b]] = 1.0
    inverse = np.linalg.pinv(design)
    weights = np.zeros((count, len(couples), len(couples)))
    for clock in range(count):
        np.fill_diagonal(weights[clock], inverse[clock])
    return weights


def _groslambert(count: int, couples: list[tuple[int, int]]) -> Floats:
    """Weights of the products of two pairs that share a clock, signed so that the clock enters both alike."""
    weights = np.zeros((count, len(couples), len(couples)))
    for clock in range(count):
        mine = [(k, 1.0 if a == clock else -1.0) for k, (a, b) in enumerate(couples) if clock in (a, b)]
        for (p, p_sign), (q, q_sign) in itertools.combinations(mine, 2):
            weights[clock, p, q] = weights[clock, q, p] = 0.5 * p_sign * q_sign
        weights[clock] /= math.comb(len(mine), 2)
    return weights


_METHODS = {"gray-allan": _gray_allan, "gcov": _groslambert}


def _uncertainty(weight: Floats, cross: Floats, edf: float) -> float:
    """Standard deviation of z' W z averaged over edf independent epochs: var = 2 tr(W C W C) / edf for Gaussian z."""
    product = weight @ cross
    return math.sqrt(max(0.0, 2.0 * float(np.sum(product * product.T)) / edf))


def _clock(name: str, variance: Floats, u_variance: Floats) -> ClockStability:
    dev, u = np.full(variance.size, np.nan), np.full(variance.size, np.nan)
    reason = [""] * variance.size
    for i, value in enumerate(variance):
        if math.isnan(value):
            reason[i] = "no epoch at which every pair has a term"
        elif value <= 0.0:
            bound = "" if math.isnan(u_variance[i]) else f" with standard uncertainty {u_variance[i]:.3g}"
            reason[i] = f"negative variance {value:.3g}{bound}: below what the other clocks let be seen"
        else:
            dev[i] = math.sqrt(value)
            u[i] = 0.5 * u_variance[i] / dev[i]
    return ClockStability(name, variance, u_variance, dev, u, tuple(reason))
