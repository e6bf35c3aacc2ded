"""How much of each power-law noise a set of deviations holds: the h_alpha fit of the five-noise model.

Rule: no coefficient is negative, and one held at zero says so by having no uncertainty.

Source: NIST SP 1065, 3.2 and 5.2, S_y(f) = sum of h_alpha f^alpha and the variances it gives; here from the sampled
model of `powerlaw`, which is exact at every averaging factor, in place of the approximations for large m.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from timesync.errors import DataError
from timesync.stability.powerlaw import difference_covariance, innovation_variance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NoiseFit", "fit_noise", "model_variance"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHAPES: Mapping[str, tuple[int, bool, float]] = {  # order of the difference, summed, and its normaliser
    "adev": (2, False, 2.0),
    "oadev": (2, False, 2.0),
    "mdev": (2, True, 2.0),
    "hdev": (3, False, 6.0),
    "ohdev": (3, False, 6.0),
}


@dataclass(frozen=True, slots=True)
class NoiseFit:
    """h_alpha of S_y(f) = sum of h_alpha f^alpha, fitted to deviations. All arrays are in the order of `alphas`.

    h: coefficients, never negative; 0 means that the data do not ask for this noise. u: standard uncertainty of each,
    from the intervals' degrees of freedom (NaN for a coefficient held at 0). chi2: weighted sum of squared residuals.
    """

    alphas: tuple[int, ...]
    h: Floats
    u: Floats
    chi2: float
    variance: Floats


def model_variance(statistic: str, alpha: int, m: Ints, tau0_s: float) -> Floats:
    """Variance that S_y(f) = 1 * f^alpha, sampled every tau0_s, gives `statistic` (adev, mdev, hdev ...) at each m.

    The sampled model of `powerlaw`: exact at every m, and SP 1065 table 3 (f_h = 1/(2 tau0)) where m is large.
    """
    order, summed, normaliser = _SHAPES[statistic]
    unit = innovation_variance(1.0, alpha, tau0_s)
    zero = np.zeros(1)
    at_zero = [float(difference_covariance(zero, alpha, order, int(k), summed=summed)[0]) for k in m]
    tau = np.asarray(m, dtype=float) * tau0_s
    return np.asarray(unit * np.array(at_zero) / (normaliser * tau**2))


def fit_noise(
    statistic: str, m: Ints, dev: Floats, edf: Floats, *, tau0_s: float, alphas: Sequence[int] = (2, 1, 0, -1, -2)
) -> NoiseFit:
    """Fit h_alpha >= 0 to deviations `dev` of `statistic` at averaging factors m, weighted by degrees of freedom.

    Each variance has the relative variance 2/edf; the weights follow the model, not the data, after the first of eight
    rounds (weights from the data would favour the points that came out low). The least squares under h >= 0 are
    exact: with five noises every active set is tried. Raises DataError for a statistic without a model, and where
    there are no usable points.
    """
    if statistic not in _SHAPES:
        raise DataError(f"noise fit: no model for {statistic!r}; use one of {', '.join(sorted(_SHAPES))}")
    usable = np.isfinite(dev) & (dev > 0.0) & np.isfinite(edf) & (edf > 0.0)
    if not np.any(usable):
        raise DataError("noise fit: no point has both a positive deviation and degrees of freedom")
    design = np.column_stack([model_variance(statistic, a, m[usable], tau0_s) for a in alphas])
    measured, weight = dev[usable] ** 2, np.sqrt(edf[usable] / 2.0)
    expected = measured
    for _ in range(8):
        scale = weight / expected
        h, active = _non_negative(design * scale[:, None], measured * scale)
        expected = design @ h
    u = np.full(len(alphas), np.nan)
    weighted = design[:, active] * (weight / expected)[:, None]
    norms = np.linalg.norm(weighted, axis=0)
    u[active] = np.sqrt(np.diag(np.linalg.pinv((weighted / norms).T @ (weighted / norms)))) / norms
    residual = (measured - expected) * weight / expected
    return NoiseFit(tuple(alphas), h, u, float(residual @ residual), design @ h)


def _non_negative(a: Floats, b: Floats) -> tuple[Floats, list[int]]:
    """Least squares of a h = b with h >= 0, by trying each set of free columns; returns h and the free columns."""
    best: tuple[float, Floats, list[int]] = (math.inf, np.zeros(a.shape[1]), [])
    norms = np.linalg.norm(a, axis=0)
    for size in range(1, min(a.shape) + 1):
        for chosen in itertools.combinations(range(a.shape[1]), size):
            columns = list(chosen)
            part = np.linalg.lstsq(a[:, columns] / norms[columns], b, rcond=None)[0] / norms[columns]
            if np.any(part < 0.0):
                continue
            cost = float(np.sum((a[:, columns] @ part - b) ** 2))
            if cost < best[0] * (1.0 - 1e-12):
                h = np.zeros(a.shape[1])
                h[columns] = part
                best = (cost, h, columns)
    return best[1], best[2]
