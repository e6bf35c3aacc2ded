"""Clocks of known noises for tests and benchmarks, simulated exactly at their samples from the stochastic differential equation.

`PYTHONPATH=tests python -m support.clocks` prints the record that the README forecasts: a day of a rubidium clock that runs free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from timesync.holdover import ClockNoise

__all__ = ["SCENARIOS", "Scenario", "rubidium", "simulated"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of clock, in units of its sampling interval: r, q1, q2, and whether it drifts (30 times what its noise hides)."""

    r: float = 0.0
    q1: float = 0.0
    q2: float = 0.0
    drifts: bool = False

    def noise(self) -> ClockNoise:
        """Its noises."""
        from timesync.holdover import ClockNoise

        return ClockNoise(self.r, self.q1, self.q2)

    def drift(self, points: int) -> float:
        """Thirty standard uncertainties of a drift estimated from `points` samples with this white and random-walk FM."""
        return 30.0 * float(np.sqrt(12 * (self.q1 + self.q2 * points**2 / 3) / points**3)) if self.drifts else 0.0


SCENARIOS = {
    "white FM": Scenario(q1=1.0),
    "random-walk FM": Scenario(q2=1.0),
    "drift": Scenario(q1=1.0, drifts=True),
    "white PM": Scenario(r=1.0),
    "white PM + white FM": Scenario(r=100.0, q1=1.0),
    "white PM + white FM + random-walk FM": Scenario(r=1.0, q1=1.0, q2=1e-2),
}


def simulated(
    noise: ClockNoise,
    points: int,
    rng: np.random.Generator,
    *,
    tau0_s: float = 1.0,
    y0: float = 0.0,
    drift: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The clock's phase and what is measured of it, (points,) each, s; it begins at phase 0 with frequency y0."""
    t = tau0_s
    own = rng.standard_normal((3, points))
    dx = np.sqrt(noise.q1 * t) * own[0]
    # random walk of frequency: increments of y, and of x within the interval, correlated (Zucca and Tavella, 2005)
    dy = np.sqrt(noise.q2 * t) * own[1]
    dx = dx + dy * t / 2 + np.sqrt(noise.q2 * t**3 / 12) * own[2]
    y = y0 + np.concatenate([[0.0], np.cumsum(dy + drift * t)[:-1]])
    x = np.cumsum(y * t + drift * t**2 / 2 + dx)
    return x, x + np.sqrt(noise.r) * rng.standard_normal(points)


def rubidium() -> str:
    """A file of phase, s since the begin and s: white PM 2 ns, white FM 1.5e-11/sqrt(tau/s), 1e-12 off at first."""
    from timesync.holdover import ClockNoise

    noise = ClockNoise((2e-9) ** 2, (1.5e-11) ** 2, (4e-17) ** 2)
    _, seen = simulated(noise, 4320, np.random.default_rng(2), tau0_s=20.0, y0=6e-13)
    return "".join(f"{20 * number} {x:.6e}\n" for number, x in enumerate(seen))


if __name__ == "__main__":
    print(rubidium(), end="")
