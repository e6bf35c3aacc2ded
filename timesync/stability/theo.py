"""Theo1 and what is made of it: TheoBR, freed of bias against the Allan variance, and TheoH, Allan then TheoBR.

Rule: all terms, whatever their number. One averaging factor m takes m/2 (N - m) terms. Evaluated for each m alone that is
N^3 for the long lists that TheoBR's bias ratio needs, so these take the even m in turn, N^2 in all: multiplied out, the
sums over products of two x follow from those of the m before. Multiplying out cancels digits; where that could cost more
than 3e-11 of a result, that m is evaluated term by term.

With missing points each inner difference (one k) is averaged over the starts it has, and the averages are weighted as in
the definition; an m with a k that has no term has no value.

Sources: NIST SP 1065 5.2.15 (Theo1) and 5.2.16 (TheoBR, TheoH); D. A. Howe and T. K. Peppler, "Very long-term
frequency stability: estimation using a special-purpose statistic", FCS 2003; J. A. Taylor and D. A. Howe, "Fast TheoBR",
2009. Allan variance in TheoBR and TheoH is the maximally overlapping estimator.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.blocks import Room, dot, present_at, shifted
from timesync.stability.estimate import Statistic, Terms
from timesync.stability.record import Record, levelled
from timesync.stability.taus import TauGrid, Taus, factors, seconds
from timesync.stability.together import difference_sums

if TYPE_CHECKING:
    from timesync.stability.result import Floats, Integers

__all__ = ["theo1", "theo1_sums", "theobr", "theoh"]

STRIDE = 0.75  # tau = 0.75 m tau0
STARTS = 4096  # terms of one k taken together: scalar products too short for BLAS to start threads
TERMS = 32_768  # terms taken together
LOSS = 3e-11  # relative error that multiplying out may cost
ROUNDING = 2.0**-50  # of one operation, with room for the worst met in random-walk data
POINT_COST = 1.7  # measured: what one point of one m costs in turn, in terms evaluated one by one
CALLS_COST = 12_000.0  # measured: what the calls for one m cost, in the same unit
ALLAN_SHARE = 0.2  # TheoH: Allan deviation up to this share of the record


def _term_by_term(x: Floats, m: int) -> float:
    """Sum over starts i and k = 1 .. m/2 of (x[i] - x[i+k] + x[i+m] - x[i+m-k])^2 / k."""
    half, count = m // 2, x.size - m
    inverse = 1.0 / np.arange(1, half + 1)
    total = 0.0
    for start in range(0, count, STARTS):
        width = min(STARTS, count - start)
        local = x[start : start + width + m] - x[start]
        both = local[:width] + local[m:]
        at = shifted(local, width)
        height = min(half, max(1, TERMS // width))
        room = np.empty((height, width))
        for top in range(1, half + 1, height):
            under = min(top + height, half + 1)
            z = room[: under - top]
            np.add(at[top:under], at[m - top : m - under : -1], out=z)
            z -= both
            squares = np.matmul(z[:, None, :], z[:, :, None])  # one scalar product for each k
            total += float(np.dot(squares.ravel(), inverse[top - 1 : under - 1]))
    return total


def _all_at_once(x: Floats, longest: int) -> tuple[Floats, Floats]:
    """As `_term_by_term` for the averaging factors 2h, h = 0 .. longest/2, and an estimate of each one's rounding error.

    With a(i) = x[i] + x[i+m] and b(i,k) = x[i+k] + x[i+m-k] a sum is that of (a - b)^2 / k, multiplied out:
    a a          times the harmonic number of h;
    a b          sum over k of b/k, kept from h to h + 1: its two halves each gain one value of x over h + 1;
    b b, squares windows of the running sum of x^2;
    b b, product x[c-d] x[c+d] about the middle c, d = h - k: its sum over c, for each d, loses c = h and its mirror image
                 from h to h + 1.
    """
    x = x - float(np.mean(x))
    mirrored = np.ascontiguousarray(x[::-1])
    size, halves = x.size, longest // 2
    inverse = np.zeros(halves + 1)
    inverse[1:] = 1.0 / np.arange(1, halves + 1)
    falling = np.ascontiguousarray(inverse[::-1])
    harmonic = np.cumsum(inverse)
    running = np.concatenate((np.zeros(1), np.cumsum(x * x)))
    lopsided = running - running[::-1]
    lopsided_before = np.cumsum(lopsided[: halves + 1] * inverse)
    ahead, behind = np.zeros(size), np.zeros(size)
    work, spare = np.empty(size), np.empty(halves)
    about = np.zeros(halves + 1)
    sums = np.zeros(halves + 1)
    for h in range(1, halves + 1):
        m, n = 2 * h, size - 2 * h
        gain = np.multiply(x[h : h + n], inverse[h], out=work[:n])
        first, second = ahead[:n], behind[m:]
        first += gain
        second += gain
        a = np.add(x[:n], x[m:], out=work[:n])
        squares = dot(inverse[1 : h + 1], lopsided[n + 1 : n + h + 1]) - float(lopsided_before[h])
        # The products about the middle that are lost at this h, at the beginning and at the end.
        known, lost = about[: h - 1], spare[: h - 1]
        known -= np.multiply(mirrored[size - h : size - 1], x[h - 1 : 2 * h - 2], out=lost)
        known -= np.multiply(x[size - h : size - 1], mirrored[h - 1 : 2 * h - 2], out=lost)
        about[h - 1] = dot(x[1 : n + 1], x[m - 1 : size - 1])
        products = dot(about[:h], falling[halves - h : halves])
        sums[h] = harmonic[h] * dot(a, a) - 2.0 * (dot(a, first) + dot(a, second)) + squares + 2.0 * products
    return sums, ROUNDING * math.sqrt(size) * harmonic * dot(x, x)


def theo1_sums(x: Floats, factors: Integers) -> Floats:
    """Sum over starts and k of the squared terms of Theo1 over k, for even averaging factors; x has no gaps."""
    if not factors.size:
        return np.zeros(0)
    longest = int(factors[-1])
    directly = float(np.sum((factors / 2.0) * (x.size - factors)))
    in_turn = (POINT_COST * (x.size - longest / 4.0) + CALLS_COST) * longest / 2.0
    if directly <= in_turn:
        return np.array([_term_by_term(x, m) for m in factors.tolist()])
    every, error = _all_at_once(x, longest)
    sums, doubtful = every[factors // 2], error[factors // 2] > LOSS * every[factors // 2]
    for k in np.flatnonzero(doubtful).tolist():
        sums[k] = _term_by_term(x, int(factors[k]))
    return sums


def _across_gaps(record: Record, x: Floats, m: int) -> tuple[float, int]:
    """Sum over k of the mean squared term over k, and the number of terms; (0, 0) where some k has none."""
    count = x.size - m
    unbroken = present_at(record, count, m, 1) if record.missing_steps is not None else None
    total, terms = 0.0, 0
    both = x[:count] + x[m:]
    for k in range(1, m // 2 + 1):
        z = x[k : k + count] + x[m - k : m - k + count]
        z -= both
        z = z[np.isfinite(z) if unbroken is None else unbroken]
        if not z.size:
            return 0.0, 0
        total += dot(z, z) / z.size / k
        terms += z.size
    return total, terms


def _means(record: Record, factors: Integers) -> tuple[Floats, Integers]:
    """Theo1 variance (fractional frequency squared), and terms, at even averaging factors."""
    x = levelled(record)
    if record.has_gaps:
        pairs = [_across_gaps(record, x, m) for m in factors.tolist()]
        means = np.array([mean for mean, _ in pairs], dtype=np.float64)
        n = np.array([terms for _, terms in pairs], dtype=np.int64)
    else:
        means = theo1_sums(x, factors) / np.maximum(x.size - factors, 1)
        n = (x.size - factors) * (factors // 2)
    return means / STRIDE / (np.maximum(factors, 1) * record.tau0_s) ** 2, n


def _theo1(record: Record, factors: Integers) -> Terms:
    variance, n = _means(record, factors)
    return Terms(np.sqrt(variance), n, STRIDE)


def _allan_variances(record: Record, factors: Integers) -> tuple[Floats, Integers]:
    totals, n = difference_sums(record, levelled(record), factors, 2, Room())
    return totals / np.maximum(n, 1) / 2.0 / (factors * record.tau0_s) ** 2, n


def _theobr_variances(record: Record, factors: Integers) -> tuple[Floats, Integers, str | None]:
    """TheoBR variance: Theo1 times the mean ratio of Allan variance at m = 9 + 3i to Theo1 at m = 12 + 4i, equal in tau.

    i = 0 .. floor(N/6 - 3), but for the last where N divides by 6: there the Allan variance has no term. Theo1 is
    evaluated once for both lists.
    """
    steps = np.arange(min(record.size // 6 - 3, ((record.size - 1) // 2 - 9) // 3) + 1, dtype=np.int64)
    if not steps.size:
        return np.zeros(factors.size), np.zeros(factors.size, np.int64), "TheoBR needs at least 19 phase points"
    together = np.union1d(factors, 12 + 4 * steps)
    theo, n = _means(record, together)
    allan, n_allan = _allan_variances(record, 9 + 3 * steps)
    at = np.searchsorted(together, 12 + 4 * steps)
    here = np.searchsorted(together, factors)
    usable = (n_allan > 0) & (n[at] > 0) & (theo[at] > 0)
    if not usable.any():
        why = "the bias ratio of TheoBR cannot be formed: Theo1 is zero or without terms wherever it is wanted"
        return np.zeros(factors.size), np.zeros(factors.size, np.int64), why
    ratio = float(np.mean(allan[usable] / theo[at][usable]))
    return ratio * theo[here], n[here], None


def _theobr(record: Record, factors: Integers) -> Terms:
    if not factors.size:
        return Terms(np.zeros(0), factors, STRIDE)
    variance, n, why_not = _theobr_variances(record, factors)
    return Terms(np.sqrt(variance), n, STRIDE, why_not)


def _last_allan(points: int) -> int:
    return math.floor(ALLAN_SHARE * max(points - 1, 0))


def _hybrid_factors(taus: Taus, tau0_s: float, points: int) -> tuple[Integers, str | None]:
    """TheoH: averaging factors of the Allan deviation up to tau = 20 % of the record, of TheoBR beyond the last of them."""
    allan_grid, theo_grid = TauGrid(_last_allan(points)), _even(points)
    if isinstance(taus, str):
        allan, _ = factors(taus, tau0_s, allan_grid)
        theo, _ = factors(taus, tau0_s, theo_grid)
        beyond = (theo * STRIDE > (allan[-1] if allan.size else 0)) & (theo > allan_grid.longest)
        return np.concatenate((allan, theo[beyond])), None
    wanted = seconds(taus)
    short = wanted <= (allan_grid.longest + 0.5) * tau0_s
    allan, _ = factors(wanted[short], tau0_s, allan_grid)
    theo, reason = factors(wanted[~short], tau0_s, theo_grid)
    return np.concatenate((allan, theo)), reason


def _hybrid(record: Record, factors: Integers) -> Terms:
    is_allan = factors <= _last_allan(record.size)
    variance, n = np.zeros(factors.size), np.zeros(factors.size, np.int64)
    variance[is_allan], n[is_allan] = _allan_variances(record, factors[is_allan])
    why_not = None
    if not is_allan.all():
        variance[~is_allan], n[~is_allan], why_not = _theobr_variances(record, factors[~is_allan])
    return Terms(np.sqrt(variance), n, np.where(is_allan, 1.0, STRIDE), why_not)


def _even(points: int) -> TauGrid:
    return TauGrid(max(points - 1, 0), 2, STRIDE)


theo1 = Statistic("theo1", "Theo1 deviation", "1", "SP 1065 5.2.15", _even, _theo1)
theobr = Statistic("theobr", "Theo1 deviation freed of bias", "1", "SP 1065 5.2.16", _even, _theobr)
theoh = Statistic(
    "theoh", "hybrid of Allan and TheoBR deviation", "1", "SP 1065 5.2.16", _even, _hybrid, _hybrid_factors
)
