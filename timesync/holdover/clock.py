"""The three-state clock: phase x, frequency y, drift D, driven by white noises; its exact transition, and that of averages.

    dx = y dt + sqrt(q1) dW1      q1  white FM, s^2/s          AVAR = q1 / tau
    dy = D dt + sqrt(q2) dW2      q2  random-walk FM, 1/s      AVAR = q2 tau / 3
    dD = sqrt(q3) dW3             q3  random-run FM, 1/s^3
    z  = x + v                    r   white PM of one sample, s^2

Rule: everything is exact for any interval, so that gaps and uneven sampling need no care. All is linear in the covariance and in
(q1, q2, q3): a step is one matrix, the same for every set of noises, so that many sets are filtered at once.

Source: Zucca and Tavella, "The clock model and its relationship with the Allan and related variances", IEEE UFFC 52 (2005), and
Metrologia 42 (2005). A covariance is held as its six elements (xx, xy, xD, yy, yD, DD).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "PAIRS",
    "ClockNoise",
    "Floats",
    "Samples",
    "congruence",
    "diffusion",
    "from_matrix",
    "steps",
    "to_matrix",
    "transition",
]

Floats = NDArray[np.float64]

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_ROW = np.array([i for i, _ in PAIRS])
_COLUMN = np.array([j for _, j in PAIRS])
# Of the noises in the covariance of phase with (x, y, D): one power of time less each; where there is none the coefficient is 0.
_POWERS = np.maximum(np.array([1.0, 3.0, 5.0])[None, :] - np.arange(3.0)[:, None], 0.0)
_TWICE = np.where(_ROW == _COLUMN, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ClockNoise:
    """The noises of one clock as it is measured: r (s^2), q1 (s), q2 (1/s), q3 (1/s^3), as in the module's head."""

    r: float = 0.0
    q1: float = 0.0
    q2: float = 0.0
    q3: float = 0.0

    def avar(self, tau_s: ArrayLike) -> Floats:
        """Allan variance at tau (s): 3 r / tau^2 + q1 / tau + q2 tau / 3 + q3 tau^3 / 20 (Zucca and Tavella, eq. 25)."""
        tau = np.asarray(tau_s, dtype=float)
        return np.asarray(3 * self.r / tau**2 + self.q1 / tau + self.q2 * tau / 3 + self.q3 * tau**3 / 20)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What the filter sees, in the order of time; each element is one sample, or the mean of several that follow one another.

    first_s, last_s: instants of the first and last sample in the mean; centre_s: mean instant; x_s: mean phase; count: how many.
    Shapes (elements,). The samples of a mean are taken to be evenly spaced.
    """

    first_s: Floats
    last_s: Floats
    centre_s: Floats
    x_s: Floats
    count: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.x_s.size)

    @classmethod
    def single(cls, t_s: Floats, x_s: Floats) -> Samples:
        """Samples as they came."""
        return cls(t_s, t_s, t_s, x_s, np.ones(t_s.size, dtype=np.int64))


def transition(t_s: ArrayLike) -> Floats:
    """F(t), shape (..., 3, 3): the state after t seconds of a clock without noise."""
    t = np.asarray(t_s, dtype=float)
    f = np.zeros((*t.shape, 3, 3))
    f[..., 0, 0] = f[..., 1, 1] = f[..., 2, 2] = 1.0
    f[..., 0, 1] = f[..., 1, 2] = t
    f[..., 0, 2] = t**2 / 2
    return f


def diffusion(t_s: ArrayLike) -> Floats:
    """What q1, q2 and q3 add to the covariance in t seconds: shape (..., 6, 3); Q(t) = diffusion(t) @ (q1, q2, q3)."""
    t = np.asarray(t_s, dtype=float)
    c = np.zeros((*t.shape, 6, 3))
    c[..., 0, :] = np.stack([t, t**3 / 3, t**5 / 20], axis=-1)
    c[..., 1, 1], c[..., 1, 2] = t**2 / 2, t**4 / 8
    c[..., 2, 2] = t**3 / 6
    c[..., 3, 1], c[..., 3, 2] = t, t**3 / 3
    c[..., 4, 2] = t**2 / 2
    c[..., 5, 2] = t
    return c


def to_matrix(p: Floats) -> Floats:
    """Six elements (6, ...) as matrices (..., 3, 3)."""
    matrix = np.empty((*p.shape[1:], 3, 3))
    for number, (i, j) in enumerate(PAIRS):
        matrix[..., i, j] = matrix[..., j, i] = p[number]
    return matrix


def from_matrix(matrix: Floats) -> Floats:
    """Matrices (..., 3, 3) as six elements (6, ...)."""
    return np.stack([matrix[..., i, j] for i, j in PAIRS])


def _bilinear(a: Floats, b: Floats) -> Floats:
    """Coefficients (..., 6) of a' P b in the six elements of P, for vectors (..., 3)."""
    i, j = _ROW, _COLUMN
    return np.asarray(_TWICE * (a[..., i] * b[..., j] + a[..., j] * b[..., i]))


def congruence(f: Floats) -> Floats:
    """Coefficients (..., 6, 6) of the six elements of F P F' in those of P."""
    return np.stack([_bilinear(f[..., i, :], f[..., j, :]) for i, j in PAIRS], axis=-2)


@lru_cache(maxsize=256)
def _mean_of(count: int) -> tuple[float, Floats, Floats]:
    """Of `count` samples one unit apart, the first at the state's instant: the mean of u^2 / 2, then what the noises do meanwhile.

    Variance of the mean, coefficients of (q1, q2, q3); its covariance with the state at the last sample, shape (3, 3). From the
    covariance of phase at a <= b: q1 a + q2 (3 b a^2 - a^3) / 6 + q3 (a^5 / 120 - b a^4 / 24 + b^2 a^3 / 12).
    """
    u = np.arange(count, dtype=float)
    w = u[-1]
    later = np.arange(count - 1, -1, -1, dtype=float)  # how many samples come after each
    after = np.cumsum(u[::-1])[::-1] - u  # and the sum of their instants, and of the squares
    after2 = np.cumsum((u**2)[::-1])[::-1] - u**2
    variance = np.empty(3)
    variance[0] = np.sum(u + 2 * later * u)
    variance[1] = np.sum(u**3 / 3 + 2 * (3 * after * u**2 - later * u**3) / 6)
    variance[2] = np.sum(u**5 / 20 + 2 * (later * u**5 / 120 - after * u**4 / 24 + after2 * u**3 / 12))
    covariance = np.zeros((3, 3))
    covariance[0] = [
        np.mean(u),
        np.mean((3 * w * u**2 - u**3) / 6),
        np.mean(u**5 / 120 - w * u**4 / 24 + w**2 * u**3 / 12),
    ]
    covariance[1, 1:] = [np.mean(u**2 / 2), np.mean((w - u) * u**3 / 6 + u**4 / 8)]
    covariance[2, 2] = np.mean(u**3 / 6)
    return float(np.mean(u**2) / 2), variance / count**2, covariance


def steps(samples: Samples, begin_s: float) -> tuple[Floats, Floats]:
    """The filter's steps from the state at begin_s through every element of `samples`.

    Shapes (elements, 10, 9) and (elements, 4, 3). The first times (the six of P, q1, q2, q3) is the six of P at the element's last
    sample, its covariance (3) with the element's value, and the variance of that, without r / count. The second times the
    state's mean is the mean at the last sample and the expected value.
    """
    before = np.concatenate([[begin_s], samples.last_s[:-1]])
    gap, width = samples.first_s - before, samples.last_s - samples.first_s
    spacing = np.where(samples.count > 1, width / np.maximum(samples.count - 1, 1), 0.0)
    half_squares = np.empty(len(samples))
    own_variance, own_covariance = np.zeros((len(samples), 3)), np.zeros((len(samples), 3, 3))
    powers = spacing[:, None] ** np.array([1.0, 3.0, 5.0])
    for count in np.unique(samples.count):
        here = samples.count == count
        half_square, variance, covariance = _mean_of(int(count))
        half_squares[here] = half_square * spacing[here] ** 2
        own_variance[here] = variance * powers[here]
        own_covariance[here] = covariance * spacing[here][:, None, None] ** _POWERS
    h = np.stack([np.ones(len(samples)), samples.centre_s - samples.first_s, half_squares], axis=-1)
    f_gap, f_width = transition(gap), transition(width)
    to_first = np.concatenate([congruence(f_gap), diffusion(gap)], axis=-1)  # (B, 6, 9)
    rows = [
        congruence(f_width),
        np.stack([_bilinear(f_width[:, k, :], h) for k in range(3)], axis=-2),
        _bilinear(h, h)[:, None, :],
    ]
    matrix = np.concatenate(rows, axis=1) @ to_first
    matrix[:, :6, 6:] += diffusion(width)
    matrix[:, 6:9, 6:] += own_covariance
    matrix[:, 9, 6:] += own_variance
    mean = np.concatenate([f_width, h[:, None, :]], axis=1) @ f_gap
    return matrix, mean
