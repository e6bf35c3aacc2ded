"""Seeded power-law noise for tests: phase with the spectrum |2 sin(pi f)|^(alpha - 2), by exact fractional differencing.

Kasdin and Walter (1992): white noise through the moving-average filter of (1 - B)^(-d), d = (2 - alpha)/2. Integer
parts of d are plain sums. A run-in ten times the record (at least 4096 points), then cut off, makes the half-order
(flicker) part stationary to what the tests can see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["power_law_phase"]


def power_law_phase(alpha: int, n: int, rng: np.random.Generator, *, rows: int = 1) -> NDArray[np.float64]:
    """Phase of `rows` independent records of n points each, shape (rows, n), unit innovation."""
    if alpha % 2:
        run_in = max(4096, 10 * n)
        total = n + run_in
        k = np.arange(1, total)
        filter_ = np.cumprod(np.concatenate(([1.0], (k - 0.5) / k)))  # (1 - B)^(-1/2)
        size = 1 << int(np.ceil(np.log2(2 * total)))
        white = rng.standard_normal((rows, total))
        shaped = np.fft.irfft(np.fft.rfft(white, size) * np.fft.rfft(filter_, size), size)[:, run_in:total]
        sums = (1 - alpha) // 2
    else:
        shaped = rng.standard_normal((rows, n))
        sums = (2 - alpha) // 2
    for _ in range(sums):
        shaped = np.cumsum(shaped, axis=1)
    return np.asarray(shaped)
