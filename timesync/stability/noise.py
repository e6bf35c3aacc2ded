"""Which power-law noise dominates at each averaging factor.

Rule: the published estimators, each within its range, and a result that says which one spoke. Lag-1 autocorrelation of
the decimated, detrended phase where 30 or more points remain; below that the B1 ratio (standard over Allan variance);
for either, R(n) (modified over plain Allan variance) tells white from flicker PM at m > 1, where decimation has aliased
the one into the other; below ten points what a shorter averaging factor said, marked as carried.

The published rule rounds the lag-1 estimate to the nearest integer. It is derived for fractionally integrated noise,
which averaged noise (m > 1) is not: averages of flicker FM give -1.45 and are called random walk half the time. So, under
the rule "model", the decision is made at the midpoint between the values that the noise model gives at this m and this
many points, detrending included. And where fewer than 128 points remain, the noise found at half the averaging factor
stands unless the statistic (lag-1 autocorrelation, or the logarithm of B1) lies 3 standard errors to the side of redder
noise of what it explains, or 3.5 to the side of whiter: ten points cannot tell white from flicker, an interval computed for
the wrong one of them is wrong by more than its width, and of a sum of power laws the redder one takes over as the averaging
time grows, never the whiter. The averaging factors asked for together do not matter: the
ladder of halves is the record's own. The rule "published" rounds and takes the nearest, as Stable32 does.

Sources: W. J. Riley and C. A. Greenhall, "Power law noise identification using the lag 1 autocorrelation", 18th EFTF,
2004; NIST SP 1065, 5.5 (lag 1, B1, R(n)); J. A. Barnes, NBS Technical Note 375, 1969 (B1 against N and mu). R(n) is
compared with what the sampled noise model gives (`powerlaw`), not with the approximation for large n.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from timesync.stability.powerlaw import difference_covariance, generalised_autocovariance

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lag1", "NoiseIdentity", "b1_expected", "identify", "lag1"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LAG1_POINTS = 30  # Riley and Greenhall: fewer points make the lag-1 autocorrelation too uncertain
B1_POINTS = 10  # fewer say nothing
LADDER_POINTS = 128  # fewer leave room for inertia
REDDER, WHITER = 3.0, 3.5  # standard errors by which few points must contradict the noise found before
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
    factors = np.asarray(m, dtype=np.int64)
    first = max(1, x.size // LADDER_POINTS)
    rungs = [first << k for k in range(max(1, x.size // first).bit_length())]
    judge = _Judge(x, order, keep=rule == "model")
    decide = _DECISIONS[rule]
    verdicts: dict[int, _Verdict] = {}
    latest = math.nan
    ladder: list[tuple[int, float]] = []
    for rung in rungs:
        if not factors.size or rung >= int(factors.max()):
            break
        latest = judge.verdict(rung, latest if rung > first else math.nan, decide).alpha
        ladder.append((rung, latest))
    for factor in sorted({int(k) for k in factors}):
        before = [alpha for rung, alpha in ladder if rung < factor]
        verdicts[factor] = judge.verdict(factor, before[-1] if before else math.nan, decide)
    found = [verdicts[int(k)] for k in factors]
    return NoiseIdentity(
        factors,
        np.array([v.alpha for v in found]),
        np.array([v.estimate for v in found]),
        tuple(v.method for v in found),
        tuple(v.reason for v in found),
    )


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The noise at one averaging factor, with its ground."""

    alpha: float
    estimate: float
    method: str
    reason: str = ""


class _Judge:
    """Decides one averaging factor after another on one record; `keep` is the inertia of the rule "model"."""

    def __init__(self, x: Floats, order: int, *, keep: bool) -> None:
        self._x, self._order, self._keep = x, order, keep
        self._ratio = _PhaseRatio(x)

    def verdict(self, m: int, before: float, decide: Callable[[Lag1, int, int], float]) -> _Verdict:
        """The noise at m, given what was found at a shorter averaging factor (NaN: nothing)."""
        points = self._x[::m]
        present = int(np.count_nonzero(~np.isnan(points)))
        keep = before if self._keep else math.nan
        found, estimate, method = math.nan, math.nan, "none"
        if present >= LAG1_POINTS:
            statistic = lag1(points, most_differences=self._order)
            estimate, method = statistic.alpha, "lag1"
            found = before if _still(statistic, m, keep) else decide(statistic, m, self._order)
        elif present >= B1_POINTS:
            found, method = _by_b1(points, m, self._order, keep), "b1"
        if found >= 1.0 and m > 1:
            found, method = self._ratio.white_or_flicker(m, keep if present < LAG1_POINTS else math.nan), method + "+rn"
        if math.isfinite(found):
            return _Verdict(float(np.clip(found, FLOOR[self._order], 2)), estimate, method)
        if math.isfinite(before):
            return _Verdict(before, estimate, "carried")
        return _Verdict(
            math.nan, estimate, "none", f"noise not identified: {present} usable points at this averaging factor"
        )


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


def _still(statistic: Lag1, m: int, before: float) -> bool:
    """Whether the noise found before explains the lag-1 autocorrelation, whose standard error is about n^-1/2."""
    if not (math.isfinite(before) and math.isfinite(statistic.delta)):
        return False
    n = statistic.points
    expected = _expected_delta(int(before), statistic.differences, min(m, _LARGE_M), min(n, _LARGE_N))
    r1, r1_expected = (delta / (1.0 - delta) for delta in (statistic.delta, expected))
    return -WHITER <= (r1 - r1_expected) * math.sqrt(n) <= REDDER


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


def _dot(a: Floats, b: Floats) -> float:
    """Scalar product in one thread: a threaded one loses more than it gains on a busy host."""
    return float(np.einsum("i,i->", a, b))


def _detrended(points: Floats) -> Floats:
    """Points less their least-squares parabola; a line or mean where there are too few for it."""
    n = points.size
    here = ~np.isnan(points)
    count = int(np.count_nonzero(here))
    if count < 2:
        return points - np.nanmean(points) if count else points
    t = np.linspace(-1.0, 1.0, n)
    square = t * t
    known, when = (points, t) if count == n else (np.where(here, points, 0.0), np.where(here, t, 0.0))
    if count == n:
        # sums of even powers of the abscissa in closed form; those of odd powers are zero
        second, fourth = n * (n + 1) / (3.0 * (n - 1)), n * (n + 1) * (3.0 * n * n - 7.0) / (15.0 * (n - 1) ** 3)
        power = [float(n), 0.0, second, 0.0, fourth]
    else:
        present = np.where(here, square, 0.0)
        power = [float(count), float(when.sum()), float(present.sum()), _dot(present, when), _dot(present, present)]
    terms = min(3, count - 1)
    gram = np.array([[power[i + j] for j in range(terms)] for i in range(terms)])
    moments = np.array([float(known.sum()), _dot(known, t), _dot(known, square)])[:terms]
    c = np.zeros(3)
    c[:terms] = np.linalg.solve(gram, moments)
    return np.asarray(points - (c[0] + t * (c[1] + c[2] * t)))


def _lag1(z: Floats) -> float:
    """Lag-1 autocorrelation as published, sum of products over sum of squares; missing points leave their pairs out."""
    here = ~np.isnan(z)
    n = int(np.count_nonzero(here))
    if n < 3:
        return math.nan
    if n == z.size:
        centred = z - z.mean()
        return _ratio(_dot(centred[:-1], centred[1:]), _dot(centred, centred))
    centred = np.where(here, z - np.mean(z[here]), 0.0)
    pairs = int(np.count_nonzero(here[:-1] & here[1:]))
    if pairs == 0:
        return math.nan
    # the mean over the pairs there are, brought to the scale of the published sum over n - 1 pairs
    return _ratio(_dot(centred[:-1], centred[1:]) * (n - 1) / pairs, _dot(centred, centred))


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0.0 else math.nan


# --- ratios for short series -------------------------------------------------------------------------------------------


def b1_expected(n: int, mu: int) -> float:
    """B1(N, r = 1, mu): expected standard variance of N averages over Allan variance, for noise tau^mu.

    Barnes, NBS TN 375 (1969), for r = 1, and its limit at mu = 0.
    """
    if mu == 0:
        return n * math.log(n) / (2.0 * (n - 1) * math.log(2.0))
    return n * (1.0 - float(n) ** mu) / (2.0 * (n - 1) * (1.0 - 2.0**mu))


def _by_b1(points: Floats, m: int, order: int, before: float) -> float:
    """alpha from the B1 ratio of the averages; for the Hadamard family, of their differences where those diverge."""
    y = np.diff(points)
    ratio = _b1(y)
    if ratio is None:
        return math.nan
    if before >= -2.0:
        log_ratio, deviation = _expected_b1(int(before), min(m, _LARGE_M), int(np.count_nonzero(~np.isnan(points))))
        if -WHITER * deviation <= math.log(ratio) - log_ratio <= REDDER * deviation:
            return before
    found = _b1_mu(y, ratio)
    if found == 1 and order == 3:
        # alpha <= -2: one more difference of the frequency brings flicker walk and random run into the table's range
        deeper = _b1(np.diff(y))
        return -2.0 if deeper is None else -2.0 - max(_b1_mu(np.diff(y), deeper) + 1, 0)
    return {-2: 2.0, -1: 0.0, 0: -1.0, 1: -2.0}[found]


def _b1(y: Floats) -> float | None:
    """Standard over Allan variance of these averages of frequency; None where it cannot be formed."""
    here = y[~np.isnan(y)]
    pairs = np.diff(y)
    pairs = pairs[~np.isnan(pairs)]
    if here.size < 3 or pairs.size < 2:
        return None
    allan, standard = 0.5 * float(np.mean(pairs**2)), float(np.var(here, ddof=1))
    return standard / allan if allan > 0.0 and standard > 0.0 else None


def _b1_mu(y: Floats, ratio: float) -> int:
    """The mu (-2, -1, 0, 1) whose expected B1 lies nearest, boundaries at geometric means (SP 1065, 5.5.5)."""
    known = (-2, -1, 0, 1)
    expected = [b1_expected(int(np.count_nonzero(~np.isnan(y))), mu) for mu in known]
    for mu, (low, high) in zip(known, itertools.pairwise(expected), strict=False):
        if ratio < math.sqrt(low * high):
            return mu
    return 1


@lru_cache(maxsize=1024)
def _expected_b1(alpha: int, m: int, n: int) -> tuple[float, float]:
    """ln B1 of the averages between n points of phase, every m-th of noise alpha: about its mean, and standard deviation.

    First order, from the means, variances and covariance of the two variances as quadratic forms in Gaussian phase.
    """
    s = generalised_autocovariance(np.arange(n, dtype=float) * m, alpha)
    lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    covariance = (s / max(1.0, float(np.max(np.abs(s)))))[lags]
    basis = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, n), 2))[0]  # lines, to which both are blind
    covariance = covariance - basis @ (basis.T @ covariance)
    covariance = covariance - (covariance @ basis) @ basis.T
    first = np.diff(np.eye(n), axis=0)
    centred, second = first - first.mean(axis=0), np.diff(first, axis=0)
    standard = centred.T @ centred @ covariance / (n - 2)
    allan = second.T @ second @ covariance / (2.0 * (n - 2))
    means = float(np.trace(standard)), float(np.trace(allan))
    var_standard = 2.0 * float(np.sum(standard * standard.T)) / means[0] ** 2
    var_allan = 2.0 * float(np.sum(allan * allan.T)) / means[1] ** 2
    shared = 2.0 * float(np.sum(standard * allan.T)) / (means[0] * means[1])
    mean = math.log(means[0] / means[1]) - 0.5 * (var_standard - var_allan)
    return mean, math.sqrt(max(var_standard + var_allan - 2.0 * shared, 0.0))


class _PhaseRatio:
    """R(n), the modified over the plain Allan variance, from a subset of the terms when there are very many."""

    def __init__(self, x: Floats) -> None:
        self._x = x
        self._sums: tuple[Floats, Ints] | None = None

    def white_or_flicker(self, m: int, before: float) -> float:
        """2 or 1: the noise whose R at this m lies nearest on a logarithmic scale; NaN without terms.

        What was found before stands until R passes what the other noise would give.
        """
        modified, plain = self._modified(m), self._plain(m)
        if not (modified > 0.0 and plain > 0.0):
            return math.nan
        white, flicker = _expected_ratio(2, m), _expected_ratio(1, m)
        boundary = {2.0: flicker, 1.0: white}.get(before, math.sqrt(white * flicker))
        return 2.0 if modified / plain < boundary else 1.0

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
        if counts[-1] == self._x.size:
            third = (t3 - 3.0 * t2 + 3.0 * t1 - t0) / m  # the second difference of three adjacent means of m
        else:
            # means of what is there, of windows at least three quarters full
            c = [counts[edge] for edge in edges]
            there = [after - before for before, after in itertools.pairwise(c)]
            usable = np.logical_and.reduce([4 * count >= 3 * m for count in there])
            first, middle, last = (
                (after[usable] - before[usable]) / count[usable]
                for (before, after), count in zip(((t0, t1), (t1, t2), (t2, t3)), there, strict=True)
            )
            third = last - 2.0 * middle + first
        return _dot(third, third) / third.size if third.size else math.nan


@lru_cache(maxsize=1024)
def _expected_ratio(alpha: int, m: int) -> float:
    """R(m), the modified over the plain Allan variance, in the sampled model: 1/m for white PM."""
    zero = np.zeros(1)
    modified = difference_covariance(zero, alpha, 2, m, summed=True)[0]
    return float(modified / difference_covariance(zero, alpha, 2, m, summed=False)[0])
