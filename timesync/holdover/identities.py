"""What the error of the plainest predictions is by definition: the tie between prediction and stability.

Rule: these are identities, exact for any data: they hold or the arithmetic is wrong.

Source: NIST SP 1065 5.2.3 and 5.2.8: OADEV is the rms second difference over sqrt(2) tau, OHDEV the rms third over sqrt(6) tau.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from timesync.holdover.clock import Floats

__all__ = ["three_point_rms", "two_point_rms"]


def two_point_rms(x: Floats, m: int) -> float:
    """Rms error, m samples ahead, of the straight line through the newest sample and that m samples before it.

    x (points,): phase, s. Equals sqrt(2) tau OADEV(tau) with tau = m tau0.
    """
    predicted = x[m:-m] + (x[m:-m] - x[: -2 * m])
    return float(np.sqrt(np.mean((x[2 * m :] - predicted) ** 2)))


def three_point_rms(x: Floats, m: int) -> float:
    """The same for the parabola through three samples m apart: the drift is removed. Equals sqrt(6) tau OHDEV(tau)."""
    newest, before, first = x[2 * m : -m], x[m : -2 * m], x[: -3 * m]
    predicted = 3 * newest - 3 * before + first
    return float(np.sqrt(np.mean((x[3 * m :] - predicted) ** 2)))
