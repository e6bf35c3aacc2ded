"""Targets whose true instants of losing and finding their source are known: what NTP and PTP clocks say, and where they are.

The stacks behave as the real ones were seen to: chronyd freezes its reference timestamp and lets its root dispersion grow by
1 ppm and more; ntpd by 15 ppm; a PTP grandmaster changes clockClass, clockAccuracy and its flags together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from timesync.holdover.detect import Observation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ntp_target", "ptp_target"]

S = 1_000_000_000


def _phase(
    polls: int, lost: int, found: int, rng: np.random.Generator, scatter_s: float, rate: float, every_s: float
) -> np.ndarray:
    """White noise about zero; between the two instants it runs away at `rate`, then it is back within ten polls."""
    x = np.zeros(polls)
    away = np.arange(polls) - lost
    coasting = (away > 0) & (np.arange(polls) < found)
    x[coasting] = rate * every_s * away[coasting]
    if found < polls:
        end = rate * every_s * (found - lost)
        back = np.arange(polls - found)
        x[found:] = end * np.maximum(0.0, 1 - back / 10)
    return x + scatter_s * rng.standard_normal(polls)


def ntp_target(
    polls: int,
    lost: int,
    found: int,
    rng: np.random.Generator,
    *,
    every_s: float = 16.0,
    update_s: float = 64.0,
    scatter_s: float = 20e-6,
    rate: float = 5e-6,
    growth: float = 1e-6,
    silent: float = 0.0,
) -> Iterator[Observation]:
    """A stratum 2 server that loses its source at poll `lost` and has it again at poll `found`; `silent`: share of lost polls."""
    x = _phase(polls, lost, found, rng, scatter_s, rate, every_s)
    updated_s = 0.0
    next_s = 0.0
    for number in range(polls):
        at_s = number * every_s
        coasting = lost <= number < found
        while not coasting and next_s <= at_s:
            updated_s, next_s = next_s, next_s + update_s * rng.uniform(0.9, 1.3)
        if coasting:
            next_s = at_s + every_s
        if rng.random() < silent:
            yield Observation(round(at_s * S), answered=False)
            continue
        dispersion_s = 1e-4 + growth * (at_s - updated_s)
        yield Observation(
            round(at_s * S), True, float(x[number]), 0, 2, "192.0.2.1", round(updated_s * S), dispersion_s
        )


def ptp_target(
    polls: int,
    lost: int,
    found: int,
    rng: np.random.Generator,
    *,
    every_s: float = 1.0,
    scatter_s: float = 50e-9,
    rate: float = 1e-9,
) -> Iterator[Observation]:
    """A grandmaster that goes to class 7 and 250 us (code 0x2A is coarser still) and clears its flags while it coasts."""
    x = _phase(polls, lost, found, rng, scatter_s, rate, every_s)
    for number in range(polls):
        coasting = lost <= number < found
        yield Observation(
            round(number * every_s * S),
            True,
            float(x[number]),
            clock_class=7 if coasting else 6,
            accuracy_s=250e-6 if coasting else 100e-9,
            time_traceable=not coasting,
            frequency_traceable=not coasting,
        )
