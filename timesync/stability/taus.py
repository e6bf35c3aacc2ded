"""Lists of averaging times: which averaging factors m a statistic is evaluated at.

Rule: a named list holds every member for which the statistic has at least one term. An explicit list must lie on the
statistic's grid of averaging times (a tau between two grid points is an error, never rounded); taus beyond the record
are left out and named in the reason.

Named lists (NIST SP 1065, 5.1; "decade" steps 1, 2, 4, 10 as there):
octave 1, 2, 4, 8 ...; decade 1, 2, 4, 10, 20, 40 ...; all 1, 2, 3 ...; log:K about K points a decade, evenly in log tau.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from timesync.errors import DataError
from timesync.stability.result import Floats, Integers

__all__ = ["TAU_LISTS", "TauGrid", "Taus", "factors", "seconds"]

Taus: TypeAlias = str | float | Sequence[float] | Floats
ON_GRID = 1e-6  # relative distance to a grid point within which an explicit tau is that point


@dataclass(frozen=True, slots=True)
class TauGrid:
    """The averaging times open to a statistic: tau = m * tau_per_m * tau0, m = step, 2 step, 3 step ... up to longest."""

    longest: int
    step: int = 1
    tau_per_m: float = 1.0


def _octave(longest: int) -> Integers:
    return np.left_shift(1, np.arange(longest.bit_length(), dtype=np.int64))


def _decade(longest: int) -> Integers:
    decades = 10 ** np.arange(len(str(longest)), dtype=np.int64)
    return np.outer(decades, np.array([1, 2, 4], dtype=np.int64)).ravel()


def _all(longest: int) -> Integers:
    return np.arange(1, longest + 1, dtype=np.int64)


TAU_LISTS: Mapping[str, Callable[[int], Integers]] = {"octave": _octave, "decade": _decade, "all": _all}


def _log(longest: int, a_decade: int) -> Integers:
    points = math.floor(math.log10(longest) * a_decade) + 1
    return np.unique(np.rint(10.0 ** (np.arange(points) / a_decade)).astype(np.int64))


def _named(taus: str, grid: TauGrid) -> Integers:
    head, _, tail = taus.partition(":")
    if head == "log" and tail.isdecimal() and int(tail) > 0:
        m = _log(grid.longest, int(tail))
    elif taus in TAU_LISTS:
        m = TAU_LISTS[taus](grid.longest)
    else:
        known = ", ".join([*TAU_LISTS, "log:K (K points a decade)"])
        raise DataError(f"taus: no list named {taus!r}; known are {known}, or give the averaging times in seconds")
    # A grid with a step (Theo1: even m) takes the members that lie on it; a logarithmic list is rounded to it.
    if grid.step > 1:
        on_step = np.unique(grid.step * np.maximum(1, np.rint(m / grid.step)).astype(np.int64))
        m = on_step if head == "log" else m[m % grid.step == 0]
    return m[m <= grid.longest]


def seconds(taus: float | Sequence[float] | Floats) -> Floats:
    """Explicit averaging times, sorted and unique. Raises DataError for what is not positive seconds."""
    try:
        wanted = np.unique(np.asarray(taus, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(f"taus: not a list of averaging times in seconds: {taus!r}") from error
    bad = wanted[~(np.isfinite(wanted) & (wanted > 0))]
    if bad.size:
        raise DataError(f"taus: {bad[0]:g} s is not an averaging time; give positive seconds")
    return wanted


def _explicit(taus: float | Sequence[float] | Floats, tau0_s: float, grid: TauGrid) -> tuple[Integers, str | None]:
    wanted = seconds(taus)
    unit = grid.step * grid.tau_per_m * tau0_s
    steps = np.rint(wanted / unit)
    off = np.abs(wanted / unit - steps) > ON_GRID * np.maximum(steps, 1)
    if off.any():
        first, near = float(wanted[off][0]), max(1.0, float(steps[off][0])) * unit
        raise DataError(f"taus: {first:g} s is not a multiple of {unit:g} s; the nearest averaging time is {near:g} s")
    m = steps.astype(np.int64) * grid.step
    beyond = m > grid.longest
    reason = None
    if beyond.any():
        missing = ", ".join(f"{tau:g}" for tau in wanted[beyond][:8]) + (", ..." if beyond.sum() > 8 else "")
        reason = f"the record is too short for tau = {missing} s"
    return np.unique(m[~beyond]), reason


def factors(taus: Taus, tau0_s: float, grid: TauGrid) -> tuple[Integers, str | None]:
    """Averaging factors m (sorted, unique, none beyond grid.longest), and why wanted ones are missing, if any are.

    taus: a named list, or averaging times in seconds. Raises DataError for an unknown name, or a time off the grid.
    """
    if isinstance(taus, str):
        return (_named(taus, grid) if grid.longest >= 1 else np.empty(0, np.int64)), None
    return _explicit(taus, tau0_s, grid)
