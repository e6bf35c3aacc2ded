"""What a clock will do: a band that holds at every instant at once, and the time to a limit as a first passage.

Rule: everything is counted over paths that the clock may take, drawn from all sets of noises and states that are believed: how
badly the noises are known is in the band. Between the instants of the grid a path crosses a straight line with the probability
of the Brownian bridge, exp(-2 a b / (q1 dt)) for distances a and b at both ends, so that nothing is missed between them.

Two questions are kept apart: where the clock will be (`clock`), and what will be measured of it (`measured`), which has the
white PM of each sample on top.

Source: Siegmund, "Sequential analysis" (1985), 3.3 (the bridge and a straight line); Karatzas and Shreve, "Brownian motion and
stochastic calculus", 2.8 (first passage).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.holdover.clock import Floats, diffusion, transition
from timesync.holdover.kalman import carried

if TYPE_CHECKING:
    from timesync.holdover.fit import Belief

__all__ = ["Forecast", "Passage", "Paths", "clock", "draw", "grid", "measured", "passage"]

PATHS = 4096  # the band of 95 % is then one of 94.7 % to 95.3 %, by luck of the draw
POINTS = 64
NEVER = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Paths of phase: t_s (G + 1,) from the last sample, the first 0; x_s (G + 1, paths).

    r and q1 (paths,): the noises of each path's set. An equal number of paths comes from each set.
    """

    t_s: Floats
    x_s: Floats
    r: Floats
    q1: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Time error ahead: arrays (G,) at t_s seconds after the last sample.

    mean_s, u_s: mean and standard uncertainty. low_s, high_s: at each instant for itself. band_low_s, band_high_s: at all of
    them together, from the first of t_s to the last (`clock`: and at all in between). Both at the level `confidence`.
    """

    t_s: Floats
    mean_s: Floats
    u_s: Floats
    low_s: Floats
    high_s: Floats
    band_low_s: Floats
    band_high_s: Floats
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """The first passage through +-limit_s: probability (G + 1,) that it has happened by t_s (G + 1,) after the last sample."""

    limit_s: float
    t_s: Floats
    probability: Floats

    @property
    def horizon_s(self) -> float:
        """How far was looked."""
        return float(self.t_s[-1])

    def quantile_s(self, share: float) -> float | None:
        """When the probability of having left the limit reaches `share`; None if it does not within the horizon."""
        if self.probability[-1] < share:
            return None
        after = int(np.argmax(self.probability >= share))
        if after == 0:
            return float(self.t_s[0])
        p0, p1 = self.probability[after - 1], self.probability[after]
        return float(self.t_s[after - 1] + (self.t_s[after] - self.t_s[after - 1]) * (share - p0) / (p1 - p0))


def grid(first_s: float, horizon_s: float, points: int = POINTS) -> Floats:
    """Instants from the first to the horizon, denser at the begin, in equal ratios."""
    if horizon_s <= first_s:
        return np.array([horizon_s])
    return np.geomspace(first_s, horizon_s, points)


def _roots(p: Floats) -> Floats:
    """Lower triangles with L L' = P, (6, ...) as (xx, yx, Dx, yy, Dy, DD), for covariances that may be singular."""
    root = np.zeros_like(p)

    def over(value: Floats, pivot: Floats, scale: Floats) -> Floats:
        sound = pivot > 1e-9 * np.sqrt(np.maximum(scale, 0.0)) + NEVER
        return np.where(sound, value / np.where(sound, pivot, 1.0), 0.0)

    root[0] = np.sqrt(np.maximum(p[0], 0.0))
    root[1], root[2] = over(p[1], root[0], p[0]), over(p[2], root[0], p[0])
    root[3] = np.sqrt(np.maximum(p[3] - root[1] ** 2, 0.0))
    root[4] = over(p[4] - root[1] * root[2], root[3], p[3])
    root[5] = np.sqrt(np.maximum(p[5] - root[2] ** 2 - root[4] ** 2, 0.0))
    return root


def draw(belief: Belief, t_s: Floats, *, paths: int = PATHS, seed: int = 7) -> Paths:
    """Paths at 0 and at t_s (increasing, s) after the last sample."""
    rng = np.random.default_rng(seed)
    each = -(-paths // belief.sets)

    def spread(of_sets: Floats) -> Floats:
        return np.repeat(of_sets, each, axis=-1)

    mean, root = spread(belief.states.mean), spread(_roots(belief.states.p))
    n = rng.standard_normal((3, mean.shape[1]))
    x = mean[0] + root[0] * n[0]
    y = mean[1] + root[1] * n[0] + root[3] * n[1]
    d = mean[2] + root[2] * n[0] + root[4] * n[1] + root[5] * n[2]
    steady = not np.any(belief.q[2])
    found = np.empty((t_s.size + 1, x.size))
    found[0] = x
    at = np.concatenate([[0.0], t_s])
    for number, step in enumerate(np.diff(at)):
        root = spread(_roots(diffusion(step) @ belief.q))
        n = rng.standard_normal((2 if steady else 3, x.size))
        x = x + step * y + (step**2 / 2) * d + root[0] * n[0]
        y = y + step * d + root[1] * n[0] + root[3] * n[1]
        if not steady:
            d = d + root[2] * n[0] + root[4] * n[1] + root[5] * n[2]
        found[number + 1] = x
    return Paths(at, found, spread(belief.r), spread(belief.q[0]))


def passage(paths: Paths, limit_s: float) -> Passage:
    """First passage of the clock through +-limit_s (s), from the last sample on."""
    above, below = np.maximum(limit_s - paths.x_s, 0.0), np.maximum(paths.x_s + limit_s, 0.0)
    inside = (above > 0) & (below > 0)
    spread = np.maximum(paths.q1[None, :] * np.diff(paths.t_s)[:, None], NEVER) / 2
    share = np.zeros_like(paths.x_s)
    share[0] = inside[0]
    up, down = (np.exp(-np.minimum(each[:-1] * each[1:], 500.0 * spread) / spread) for each in (above, below))
    share[1:] = np.where(inside[:-1] & inside[1:], np.maximum((1 - up) * (1 - down), 0.0), 0.0)
    probability = 1.0 - np.cumprod(share, axis=0).mean(axis=1)
    return Passage(limit_s, paths.t_s, np.maximum.accumulate(np.asarray(probability)))


def clock(belief: Belief, paths: Paths, confidence: float, *, seed: int = 8) -> Forecast:
    """Where the clock will be at the paths' instants."""
    mean, u = _moments(belief, paths.t_s[1:])
    away = (paths.x_s[1:] - mean[:, None]) / u[:, None]
    reach = np.abs(away).max(axis=0)
    if paths.t_s.size > 2:
        # The factor at which the line through factor * u at both ends is just touched by a bridge of random height.
        rng = np.random.default_rng(seed)
        height = paths.q1 * np.diff(paths.t_s[1:])[:, None] * rng.standard_exponential((2, *away[1:].shape)) / 2
        height /= (u[1:] * u[:-1])[:, None]
        half, gap = (away[1:] + away[:-1]) / 2, ((away[1:] - away[:-1]) / 2) ** 2
        up, down = half + np.sqrt(gap + height[0]), np.sqrt(gap + height[1]) - half
        reach = np.maximum(reach, np.maximum(up, down).max(axis=0))
    return _banded(paths.t_s[1:], mean, u, away, reach, confidence)


def measured(belief: Belief, paths: Paths, confidence: float, *, seed: int = 9) -> Forecast:
    """What samples at the paths' instants will show; the band holds at these instants together."""
    mean, u = _moments(belief, paths.t_s[1:])
    u = np.hypot(u, np.sqrt(belief.r.mean()))
    noise = np.random.default_rng(seed).standard_normal(paths.x_s[1:].shape) * np.sqrt(paths.r)
    away = (paths.x_s[1:] + noise - mean[:, None]) / u[:, None]
    return _banded(paths.t_s[1:], mean, u, away, np.abs(away).max(axis=0), confidence)


def _banded(t_s: Floats, mean: Floats, u: Floats, away: Floats, reach: Floats, confidence: float) -> Forecast:
    width = u * np.quantile(np.abs(away), confidence, axis=1)
    band = u * np.quantile(reach, confidence)
    return Forecast(t_s, mean, u, mean - width, mean + width, mean - band, mean + band, confidence)


def _moments(belief: Belief, t_s: Floats) -> tuple[Floats, Floats]:
    """Mean and standard uncertainty over all sets at t_s, (G,)."""
    means = transition(t_s)[:, 0, :] @ belief.states.mean
    variances = np.stack([carried(belief.states, belief.q, belief.states.at_s + float(t)).p[0] for t in t_s])
    return means.mean(axis=1), np.sqrt(np.maximum(variances.mean(axis=1) + means.var(axis=1), 0.0)) + NEVER
