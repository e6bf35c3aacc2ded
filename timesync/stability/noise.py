"""Which power-law noise dominates at each averaging factor.

Rule: the published estimators, each within its range, and a result that says which one spoke. Lag-1 autocorrelation of
the decimated, detrended phase where 30 or more points remain; below that the B1 ratio (standard over Allan variance);
for either, R(n) (modified over plain Allan variance) tells white from flicker PM at m > 1, where decimation has aliased
the one into the other; below ten points what the next shorter averaging factor said, marked as carried.

The published rule rounds the lag-1 estimate to the nearest integer. It is derived for fractionally integrated noise,
which averaged noise (m > 1) is not: averages of flicker FM give -1.45 and are called random walk half the time. So the
decision is made, under the rule "model", at the midpoint between the values that the noise model gives at this m and
this many points, detrending included; the rule "published" rounds, as Stable32 does.

Sources: W. J. Riley and C. A. Greenhall, "Power law noise identification using the lag 1 autocorrelation", 18th EFTF,
2004; NIST SP 1065, 5.5 (lag 1, B1, R(n)); D. A. Howe et al., "Enhancements to GPS operations and clock evaluations using
a total Hadamard deviation", IEEE UFFC 52 (2005), table 3 (B1 against N and mu). R(n) is compared with what the
sampled noise model gives (`powerlaw`), not with the approximation for large n.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from timesync.stability.powerlaw import difference_covariance, generalised_autocovariance

__all__ = ["Lag1", "NoiseIdentity", "b1_expected", "identify", "lag1"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LAG1_POINTS = 30  # Riley and Greenhall: fewer points make the lag-1 autocorrelation too uncertain
B1_POINTS = 10
_LARGE_N = 200  # more points: detrending no longer moves the expected value
_LARGE_M = 64  # averages over more samples behave as averages of a continuous process
_RATIO_TERMS = 1 << 15
FLOOR = {2: -2, 3: -4}  # the steepest noise for which the Allan and the Hadamard variance converge


@dataclass(frozen=True, slots=True)
class NoiseIdentity:
    """Dominant noise at each averaging factor.

    alpha: the integer exponent of S_y(f), as float, NaN where none was found. estimate: the lag-1 estimate before the
    decision, NaN where a ratio decided. method: "lag1", "lag1+rn", "b1", "b1+rn", "carried" or "none". reason: empty
    where alpha is a number, otherwise why it is not.
    """

    m: Ints
    alpha: Floats
    estimate: Floats
    method: tuple[str, ...]
    reason: tuple[str, ...]


def identify(x: Floats, m: Ints, *, order: int = 2, rule: str = "model") -> NoiseIdentity:
    """Identify the noise in phase x (s, NaN where missing) at averaging factors m.

    order: 2 for the Allan family (alpha from +2 to -2), 3 for the Hadamard family (to -4). rule: "model" or
    "published", see above.
    """
    decide = _DECISIONS[rule]
    factors = np.asarray(m, dtype=np.int64)
    alpha = np.full(factors.size, np.nan)
    estimate = np.full(factors.size, np.nan)
    method, reason = ["none"] * factors.size, [""] * factors.size
    latest = math.nan
    ratio = _PhaseRatio(x)
    for i in np.argsort(factors, kind="stable"):
        factor = int(factors[i])
        points = x[::factor]
        present = int(np.count_nonzero(~np.isnan(points)))
        found = math.nan
        if present >= LAG1_POINTS:
            statistic = lag1(points, most_differences=order)
            estimate[i] = statistic.alpha
            found, method[i] = decide(statistic, factor, order), "lag1"
        elif present >= B1_POINTS:
            found, method[i] = _by_b1(points, order), "b1"
        if found >= 1.0 and factor > 1:
            found, method[i] = ratio.white_or_flicker(factor), method[i] + "+rn"
        if math.isfinite(found):
            latest = float(np.clip(found, FLOOR[order], 2))
            alpha[i] = latest
        elif math.isfinite(latest):
            alpha[i], method[i] = latest, "carried"
        else:
            method[i] = "none"
            reason[i] = f"noise not identified: {present} usable points at this averaging factor"
    return NoiseIdentity(factors, alpha, estimate, tuple(method), tuple(reason))


@dataclass(frozen=True, slots=True)
class Lag1:
    """Lag-1 estimate: delta = r1/(1 + r1) of the phase differenced `differences` times, from `points` points."""

    delta: float
    differences: int
    points: int

    @property
    def alpha(self) -> float:
        """Exponent of S_y(f), not rounded (Riley and Greenhall: p = -2 (delta + d) for the phase, alpha = p + 2)."""
        return 2.0 - 2.0 * (self.delta + self.differences)


def lag1(points: Floats, *, most_differences: int = 2) -> Lag1:
    """Lag-1 autocorrelation of phase already decimated to one averaging factor.

    Riley and Greenhall (2004): remove a parabola (frequency offset and drift), then difference until delta falls below
    1/4. delta is NaN where the points are constant. Pairs across a missing point are left out.
    """
    z = _detrended(points)
    n = int(np.count_nonzero(~np.isnan(points)))
    for d in range(most_differences + 1):
        r1 = _lag1(z)
        if not math.isfinite(r1) or r1 <= -1.0:
            return Lag1(math.nan, d, n)
        delta = r1 / (1.0 + r1)
        if delta < 0.25 or d == most_differences:
            return Lag1(delta, d, n)
        z = np.diff(z)
    raise AssertionError("the loop always returns")


def _rounded(statistic: Lag1, m: int, order: int) -> float:
    """The published decision, the same at every m and for every family."""
    del m, order
    return float(np.rint(statistic.alpha)) if math.isfinite(statistic.delta) else math.nan


def _nearest(statistic: Lag1, m: int, order: int) -> float:
    """The alpha whose expected delta lies nearest."""
    if not math.isfinite(statistic.delta):
        return math.nan
    expected = {
        alpha: _expected_delta(alpha, statistic.differences, min(m, _LARGE_M), min(statistic.points, _LARGE_N))
        for alpha in range(2, FLOOR[order] - 1, -1)
    }
    return float(min(expected, key=lambda alpha: abs(expected[alpha] - statistic.delta)))


_DECISIONS = {"model": _nearest, "published": _rounded}


@lru_cache(maxsize=4096)
def _expected_delta(alpha: int, differences: int, m: int, n: int) -> float:
    """delta that lag-1 autocorrelation gives for noise alpha sampled every m of n points, from expected sums."""
    s = generalised_autocovariance(np.arange(n, dtype=float) * m, alpha)
    # scaled, so that the polynomial left open in s does not swamp what the projection leaves
    covariance = (s / max(1.0, float(np.max(np.abs(s)))))[np.abs(np.subtract.outer(np.arange(n), np.arange(n)))]
    basis = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, n), 3))[0]
    covariance = covariance - basis @ (basis.T @ covariance)
    covariance = covariance - (covariance @ basis) @ basis.T
    for _ in range(differences):
        covariance = np.diff(np.diff(covariance, axis=0), axis=1)
    covariance = covariance - covariance.mean(axis=0)
    covariance = covariance - covariance.mean(axis=1)[:, None]
    r1 = float(np.trace(covariance, offset=1) / np.trace(covariance))
    return r1 / (1.0 + r1)


def _detrended(points: Floats) -> Floats:
    """Points less their least-squares parabola; a line or mean where there are too few for it."""
    t = np.linspace(-1.0, 1.0, points.size) if points.size > 1 else np.zeros(points.size)
    here = ~np.isnan(points)
    all_here = bool(here.all())
    known, when = (points, t) if all_here else (points[here], t[here])
    basis = [np.ones(when.size), when, when * when][: max(1, min(3, known.size - 1))]
    gram = np.array([[a @ b for b in basis] for a in basis])
    coefficients = np.linalg.solve(gram, np.array([a @ known for a in basis])) if known.size else np.zeros(1)
    powers = (1.0, t, t * t)
    trend = sum(c * p for c, p in zip(coefficients, powers, strict=False))
    return np.asarray(points - trend)


def _lag1(z: Floats) -> float:
    """Lag-1 autocorrelation as published, sum of products over sum of squares; missing points leave their pairs out."""
    here = ~np.isnan(z)
    n = int(np.count_nonzero(here))
    if n < 3:
        return math.nan
    if n == z.size:
        centred = z - z.mean()
        return _ratio(float(centred[:-1] @ centred[1:]), float(centred @ centred))
    centred = np.where(here, z - np.mean(z[here]), 0.0)
    pairs = int(np.count_nonzero(here[:-1] & here[1:]))
    if pairs == 0:
        return math.nan
    # the mean over the pairs there are, brought to the scale of the published sum over n - 1 pairs
    return _ratio(float(centred[:-1] @ centred[1:]) * (n - 1) / pairs, float(centred @ centred))


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0.0 else math.nan


# --- ratios for short series -------------------------------------------------------------------------------------------


def b1_expected(n: int, mu: int) -> float:
    """B1(N, r = 1, mu): expected standard variance of N averages over Allan variance, for noise tau^mu.

    Barnes, NBS TN 375 (1969); SP 1065 equation (74) and its limits.
    """
    if mu == 0:
        return n * math.log(n) / (2.0 * (n - 1) * math.log(2.0))
    return n * (1.0 - float(n) ** mu) / (2.0 * (n - 1) * (1.0 - 2.0**mu))


def _by_b1(points: Floats, order: int) -> float:
    """alpha from the B1 ratio of the averages; for the Hadamard family, of their differences where those diverge."""
    y = np.diff(points)
    found = _b1_mu(y)
    if found == 1 and order == 3:
        # alpha <= -2: one more difference of the frequency brings flicker walk and random run into the table's range
        deeper = _b1_mu(np.diff(y))
        return -2.0 if deeper is None else -2.0 - max(deeper + 1, 0)
    return math.nan if found is None else {-2: 2.0, -1: 0.0, 0: -1.0, 1: -2.0}[found]


def _b1_mu(y: Floats) -> int | None:
    """The mu (-2, -1, 0, 1) whose expected B1 lies nearest, boundaries at geometric means (SP 1065, 5.5.5)."""
    here = y[~np.isnan(y)]
    pairs = np.diff(y)
    pairs = pairs[~np.isnan(pairs)]
    if here.size < 3 or pairs.size < 2:
        return None
    allan = 0.5 * float(np.mean(pairs**2))
    if allan <= 0.0:
        return None
    ratio = float(np.var(here, ddof=1)) / allan
    expected = [b1_expected(here.size, mu) for mu in (-2, -1, 0, 1)]
    for mu, (low, high) in zip((-2, -1, 0), itertools.pairwise(expected), strict=True):
        if ratio < math.sqrt(low * high):
            return mu
    return 1


class _PhaseRatio:
    """R(n), the modified over the plain Allan variance, from a subset of the terms when there are very many."""

    def __init__(self, x: Floats) -> None:
        self._x = x
        self._sums: tuple[Floats, Ints] | None = None

    def white_or_flicker(self, m: int) -> float:
        """2 or 1: the noise whose R at this m lies nearest on a logarithmic scale; NaN without terms."""
        modified, plain = self._modified(m), self._plain(m)
        if not (modified > 0.0 and plain > 0.0):
            return math.nan
        return 2.0 if modified / plain < _ratio_boundary(m) else 1.0

    def _plain(self, m: int) -> float:
        x = self._x
        stride = max(1, (x.size - 2 * m) // _RATIO_TERMS)
        second = x[2 * m :: stride] - 2.0 * x[m:-m:stride] + x[: -2 * m : stride]
        square = second[~np.isnan(second)] ** 2
        return float(square.mean()) if square.size else math.nan

    def _modified(self, m: int) -> float:
        if self._sums is None:
            here = ~np.isnan(self._x)
            centred = np.where(here, self._x - np.mean(self._x[here]), 0.0)
            self._sums = np.concatenate(([0.0], np.cumsum(centred))), np.concatenate(([0], np.cumsum(here)))
        totals, counts = self._sums
        stride = max(1, min(m // 8, (totals.size - 3 * m) // _RATIO_TERMS))
        edges = [slice(j * m, totals.size - (3 - j) * m, stride) for j in range(4)]
        t0, t1, t2, t3 = (totals[edge] for edge in edges)
        third = t3 - 3.0 * t2 + 3.0 * t1 - t0  # the second difference of three adjacent sums of m
        if counts[-1] != self._x.size:
            third = third[counts[edges[3]] - counts[edges[0]] == 3 * m]
        return float(third @ third) / third.size / (float(m) * m) if third.size else math.nan


@lru_cache(maxsize=1024)
def _ratio_boundary(m: int) -> float:
    """Geometric mean of the R(m) that white PM (1/m) and flicker PM give in the sampled model."""
    zero = np.zeros(1)
    product = 1.0
    for alpha in (2, 1):
        modified = difference_covariance(zero, alpha, 2, m, summed=True)[0]
        product *= float(modified / difference_covariance(zero, alpha, 2, m, summed=False)[0])
    return math.sqrt(product)
