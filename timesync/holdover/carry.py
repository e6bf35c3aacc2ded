"""The probe's own clock, foreseen from what a reference showed of it until that was lost: a few numbers, asked as plain arithmetic.

Rule: learned once, when the reference is lost; asked for each sample then, without numpy in the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from timesync.holdover.clock import PAIRS
from timesync.holdover.fit import fit
from timesync.holdover.thinning import thinned

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Carried", "foresee"]

KEEP, PER_LEVEL = 64, 16  # 512 samples as 126 elements: 15 ms instead of 80


@dataclass(frozen=True, slots=True)
class Carried:
    """Offset at the last sample, frequency and drift; the covariance of the three (xx, xy, xD, yy, yD, DD); q1 and q2."""

    mean: tuple[float, ...]
    p: tuple[float, ...]
    q1: float
    q2: float

    def at(self, age_s: float) -> tuple[float, float]:
        """Offset and its standard uncertainty (s) `age_s` after the last sample: F P F' + Q (Zucca and Tavella, 2005)."""
        t = age_s
        x, y, d = self.mean
        xx, xy, xd, yy, yd, dd = self.p
        variance = xx + 2 * t * xy + t * t * (xd + yy) + t**3 * yd + t**4 / 4 * dd + self.q1 * t + self.q2 * t**3 / 3
        return x + y * t + d * t * t / 2, sqrt(max(variance, 0.0))


def foresee(t_s: Sequence[float], offset_s: Sequence[float]) -> Carried:
    """Learn a clock from its offsets (s) at t_s (increasing, s). Raises DataError where they are too few.

    All sets of noises that are believed become one: their mean covariance and that of their means.
    """
    t, x = np.asarray(t_s, dtype=float), np.asarray(offset_s, dtype=float)
    belief = fit(thinned(t, x, keep=KEEP, per_level=PER_LEVEL))
    means = belief.states.mean
    spread = np.cov(means, bias=True)
    p = belief.states.p.mean(axis=1) + np.array([spread[i, j] for i, j in PAIRS])
    q1, q2, _ = belief.q.mean(axis=1).tolist()
    return Carried(tuple(means.mean(axis=1).tolist()), tuple(p.tolist()), q1, q2)
