"""The Kalman filter of the three-state clock, for many sets of noises at once.

Rule: one pass over the samples gives, for each set, the likelihood of the samples and what is known of the state after the
last; no step depends on a regular interval. Nothing is fitted here.

Source: R. E. Kalman, ASME J. Basic Eng. 82 (1960), with the likelihood from the innovations (A. C. Harvey, "Forecasting,
structural time series models and the Kalman filter", 1989, 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.holdover.clock import congruence, diffusion, steps, transition

if TYPE_CHECKING:
    from timesync.holdover.clock import Floats, Samples

__all__ = ["Filtered", "States", "carried", "run"]

_I = np.array([0, 0, 0, 1, 1, 2])
_J = np.array([0, 1, 2, 1, 2, 2])


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """What is known of the clock at one instant, for K sets of noises: mean (3, K) and covariance (6, K)."""

    at_s: float
    mean: Floats
    p: Floats

    def subset(self, chosen: Floats) -> States:
        """The chosen sets, by index."""
        index = np.asarray(chosen, dtype=np.int64)
        return States(self.at_s, self.mean[:, index], self.p[:, index])


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """States after the last sample; of the samples (K,): sum of ln variance and of innovation^2 / variance."""

    states: States
    log_variances: Floats
    squares: Floats

    @property
    def log_likelihood(self) -> Floats:
        """Of all the samples, up to a constant, (K,)."""
        return -0.5 * (self.log_variances + self.squares)


def run(samples: Samples, start: States, r: Floats, q: Floats) -> Filtered:
    """Filter `samples` from `start`; r shape (K,), s^2; q shape (3, K): q1, q2, q3.

    The samples are later than start.at_s (or at it), in the order of time.
    """
    matrices, means = steps(samples, start.at_s)
    noise = r[None, :] / samples.count[:, None]
    state = np.concatenate([start.p, q])
    mean = start.mean.copy()
    variances, innovations = np.empty_like(noise), np.empty_like(noise)
    for number in range(len(samples)):
        spread = matrices[number] @ state
        expected = means[number] @ mean
        variance = spread[9] + noise[number]
        covariance = spread[6:9]
        innovation = samples.x_s[number] - expected[3]
        gain = covariance / variance
        mean = expected[:3] + gain * innovation
        state[:6] = spread[:6] - gain[_I] * covariance[_J]
        variances[number], innovations[number] = variance, innovation
    last_s = float(samples.last_s[-1]) if len(samples) else start.at_s
    return Filtered(
        States(last_s, mean, state[:6]), np.log(variances).sum(axis=0), (innovations**2 / variances).sum(axis=0)
    )


def carried(states: States, q: Floats, at_s: float) -> States:
    """The states at a later instant without a sample in between: P(t) = F P F' + Q(t)."""
    t = at_s - states.at_s
    return States(at_s, transition(t) @ states.mean, congruence(transition(t)) @ states.p + diffusion(t) @ q)
