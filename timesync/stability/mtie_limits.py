"""Confidence intervals for MTIE, by simulation of the noise that was identified.

MTIE is the largest of very many dependent ranges of one record, and no published interval fits it. But for Gaussian noise of
one type without frequency offset its distribution, taken relative to its median, depends on three things only: the type, the
averaging factor m, and the number K of averaging times in the record. The level of the noise drops out, so the simulated
distribution gives an interval for *the median MTIE of records of this length and noise*: MTIE / U(above) to MTIE / U(below), with
U the quantiles of the relative distribution. It says how far another record of the same clock may be off, as intervals of the
other statistics do; that no MTIE of this record is above the one printed is certain anyway.

Rule: where the method does not hold there is a reason and no interval: flicker FM and steeper noise, whose time error has no
distribution without its frequency being known; a frequency offset that makes up more than a quarter of MTIE; a record that is
less than nine tenths there.

ln U = (exp(g z) - 1) s/g for the normal quantile z, with 1/s and g from 12 000 records of each cell of the table (4000 for
flicker PM at m = 16 and 64; seeded; `tests/support/mtie_table.py` makes it anew). 1/s is linear in ln K and ln m where there are
many windows, as the extremes of Gaussian noise ask for, so it is interpolated and continued so. Measured coverage: CONFIDENCE.md.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from timesync.stability.powerlaw import NOISE_NAMES

if TYPE_CHECKING:
    from timesync.stability.result import Floats, Integers

__all__ = ["METHOD", "OFFSET", "PRESENT", "mtie_limits", "mtie_ratio", "offset_share", "place", "relative_quantile"]

METHOD = "of the median MTIE of such records, by simulation of the noise found, without frequency offset"
STEEPEST = 0  # white FM
PRESENT = 0.9  # share of the record below which nothing is said
OFFSET = 0.25  # share of MTIE that a frequency offset may make up
SIGNIFICANT = 4.0  # standard errors by which an offset is one
BLOCKS = 64  # stretches of the record that show it

FACTORS = (1, 4, 16, 64)
LENGTHS = (1, 2, 4, 8, 16, 64, 256, 1024)
# (1/s, g) by noise, averaging factor, and length in averaging times
TABLE = {
    2: (
        ((1.07, -0.45), (1.62, -0.34), (2.26, -0.22), (3.03, -0.14), (3.98, -0.07), (5.98, 0.05), (8.25, 0.10), (10.63, 0.17)),
        ((2.55, -0.23), (3.59, -0.15), (4.53, -0.07), (5.75, -0.02), (6.94, 0.05), (9.57, 0.13), (12.25, 0.17), (14.66, 0.21)),
        ((4.77, -0.07), (5.99, -0.03), (7.40, 0.03), (8.88, 0.06), (10.40, 0.11), (13.29, 0.17), (16.37, 0.19), (18.91, 0.21)),
        ((7.45, 0.01), (8.92, 0.06), (10.60, 0.09), (12.20, 0.12), (13.90, 0.14), (17.17, 0.20), (20.15, 0.24), (23.13, 0.25)),
    ),
    1: (
        ((1.06, -0.49), (1.65, -0.32), (2.36, -0.21), (3.20, -0.12), (4.15, -0.05), (6.25, 0.06), (8.46, 0.11), (10.63, 0.17)),
        ((2.47, -0.22), (3.37, -0.11), (4.43, -0.06), (5.51, 0.00), (6.63, 0.07), (9.04, 0.12), (11.54, 0.17), (13.87, 0.20)),
        ((4.26, -0.02), (5.30, -0.02), (6.57, 0.01), (7.97, 0.06), (9.15, 0.10), (12.03, 0.16), (14.81, 0.18), (17.19, 0.25)),
        ((6.19, -0.01), (7.21, 0.00), (8.88, 0.03), (10.16, 0.08), (11.76, 0.12), (14.94, 0.19), (17.79, 0.18), (20.64, 0.19)),
    ),
    0: (
        ((1.04, -0.46), (1.67, -0.32), (2.42, -0.20), (3.32, -0.10), (4.29, -0.02), (6.48, 0.07), (8.51, 0.13), (10.88, 0.17)),
        ((2.07, -0.13), (2.81, -0.08), (3.60, -0.04), (4.48, -0.04), (5.54, 0.04), (7.78, 0.09), (10.10, 0.15), (12.33, 0.18)),
        ((2.81, 0.01), (3.44, -0.01), (4.22, -0.00), (5.22, 0.03), (6.29, 0.05), (8.64, 0.11), (11.09, 0.14), (13.52, 0.18)),
        ((3.18, 0.03), (3.75, 0.01), (4.55, 0.02), (5.54, 0.03), (6.60, 0.06), (9.00, 0.11), (11.44, 0.16), (13.88, 0.17)),
    ),
}  # fmt: skip


def place(value: float, marks: tuple[int, ...]) -> tuple[int, float]:
    """Between which two marks a value lies, and how far on a logarithmic scale; beyond 1 past the last."""
    k = min(max(int(np.searchsorted(marks, value, side="right")) - 1, 0), len(marks) - 2)
    return k, max(math.log(value / marks[k]) / math.log(marks[k + 1] / marks[k]), 0.0)


def mtie_ratio(probability: float, alpha: int, m: int, length: float) -> float:
    """What MTIE over its median falls below with this probability, for noise alpha (2, 1, 0), `length` averaging times long."""
    row, down = place(min(m, FACTORS[-1]) if alpha == STEEPEST else m, FACTORS)
    column, across = place(max(length, 1.0), LENGTHS)
    cells = [[np.array(TABLE[alpha][row + i][column + k]) for k in (0, 1)] for i in (0, 1)]
    left, right = ((1.0 - down) * cells[0][k] + down * cells[1][k] for k in (0, 1))
    inverse = float((1.0 - across) * left[0] + across * right[0])
    near = min(across, 1.0)
    g = float((1.0 - near) * left[1] + near * right[1])
    return relative_quantile(probability, inverse, g)


def relative_quantile(probability: float, inverse: float, g: float) -> float:
    """U for this probability: ln U = (exp(g z) - 1) s/g with `inverse` = 1/s."""
    z = NormalDist().inv_cdf(probability)
    return math.exp((math.expm1(g * z) / g if abs(g) > 1e-6 else z) / inverse)


def mtie_limits(
    m: Integers,
    dev: Floats,
    points: float,
    alpha: Floats,
    ci: float,
    *,
    present: float = 1.0,
    offset: Floats | None = None,
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Lower and upper limit for the MTIE `dev` at averaging factors m of a record of `points`, and why there is none.

    alpha: the noise at each m, NaN where it is not known. present: share of the points that is there. offset: share of each
    MTIE that a frequency offset makes up (`offset_share`), where that is known. All arrays have the length of m.
    """
    lo, hi = np.full(m.size, np.nan), np.full(m.size, np.nan)
    reasons = [""] * m.size
    tail = 0.5 * (1.0 - ci)
    for k, factor in enumerate(m.tolist()):
        if math.isnan(alpha[k]):
            reasons[k] = "noise not identified"
        elif alpha[k] < STEEPEST:
            reasons[k] = f"time error has no distribution under {NOISE_NAMES[int(alpha[k])]}"
        elif present < PRESENT:
            reasons[k] = f"only {present:.0%} of the record is there"
        elif offset is not None and offset[k] > OFFSET:
            reasons[k] = "a frequency offset makes up most or much of it; take it off to see the noise"
        elif dev[k] > 0.0:
            facts = (int(alpha[k]), factor, (points - 1.0) / factor)
            lo[k], hi[k] = dev[k] / mtie_ratio(1.0 - tail, *facts), dev[k] / mtie_ratio(tail, *facts)
        else:
            reasons[k] = "it is zero"
    return lo, hi, tuple(reasons)


def offset_share(x: Floats, m: Integers, dev: Floats, alpha: Floats) -> Floats:
    """Share of each MTIE that the mean frequency of phase x makes up; 0 where that frequency may be noise.

    It is tested on the differences over a 64th of the record: their mean has a standard error of s/sqrt n under white FM, and
    of about s/n under phase noise, whose differences take each other back.
    """
    share = np.zeros(m.size)
    step = max(1, (x.size - 1) // BLOCKS)
    differences = np.diff(x[::step])
    differences = differences[~np.isnan(differences)]
    n = differences.size
    if n < 4:
        return share
    mean, scatter = float(np.mean(differences)), float(np.std(differences, ddof=1))
    error = np.where(alpha >= 1.0, scatter / n, scatter / math.sqrt(n))
    made = abs(mean) / step * m / np.where(dev > 0.0, dev, np.inf)
    return np.where(abs(mean) > SIGNIFICANT * error, made, share)
