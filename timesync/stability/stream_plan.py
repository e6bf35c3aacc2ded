"""What a stream computes: statistics, averaging factors, and where a strided estimator takes over from the exact one.

Rule: everything that decides the size and the meaning of a stream's state is in its plan; two states may be merged, and a
saved one loaded, only where the plans are equal.

Levels. Level s sees every s-th point, the running sums there, and the extremes of the s points since the one before. Level 1 is
the data. An averaging factor m up to `exact_to` is computed at level 1 from every term of the definition. A longer one is
computed at level s, the largest power of two that divides m with m/s >= DIVISIONS, from every s-th term of the same
definition: unbiased, with somewhat fewer degrees of freedom, in a memory that does not grow with m. Its name says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.stability.taus import TauGrid, Taus, factors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.stability.result import Floats, Integers

__all__ = ["BOUNDED", "STREAMED", "STRIDED", "LevelPlan", "StreamPlan", "Streamed", "make_plan"]

DIVISIONS = 16  # strides in an averaging time, at least
CHUNK = 4096  # samples worked on at once: their differences fit the processor's cache
LARGEST_CHUNK = 8192  # BLAS starts threads for scalar products of more than 10 000
STRIDED = "_strided"  # what is appended to a statistic's name where not every term is summed
BOUNDED = "mtie_bounds"


@dataclass(frozen=True, slots=True)
class Streamed:
    """A statistic that can be streamed: the row of sums it is made of, and how.

    deviation = sqrt(mean / norm) * (m tau0)**power_tau * m**power_m, mean being the row's sum over its terms.
    """

    name: str
    row: str
    norm: float
    power_m: int
    power_tau: int
    order: int
    unit: str


# The rows of sums. First, second and third differences of phase at lag m; the disjoint ones among them, every m-th; second
# differences of the sums over m points; MTIE has no sum but a maximum.
ROWS = ("first", "second", "third", "second_disjoint", "third_disjoint", "modified")

STREAMED: Mapping[str, Streamed] = MappingProxyType(
    {
        each.name: each
        for each in (
            Streamed("adev", "second_disjoint", 2.0, 0, -1, 2, "1"),
            Streamed("oadev", "second", 2.0, 0, -1, 2, "1"),
            Streamed("mdev", "modified", 2.0, -1, -1, 2, "1"),
            Streamed("tdev", "modified", 6.0, -1, 0, 2, "s"),
            Streamed("hdev", "third_disjoint", 6.0, 0, -1, 3, "1"),
            Streamed("ohdev", "third", 6.0, 0, -1, 3, "1"),
            Streamed("tierms", "first", 1.0, 0, 0, 1, "s"),
            Streamed("mtie", "", 1.0, 0, 0, 1, "s"),
        )
    }
)
DISJOINT = ("adev", "hdev")  # one term every m: nothing to stride over


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level: its stride in samples, its lags in strides, and which columns of the sums they are."""

    stride: int
    lags: Integers
    columns: slice
    need: int  # points that terms reach back, in strides
    chunk: int


@dataclass(frozen=True)
class StreamPlan:
    """tau0_s: the grid's interval. statistics: names in STREAMED. m: averaging factors, increasing. See `make_plan`."""

    tau0_s: float
    statistics: tuple[str, ...]
    m: tuple[int, ...]
    exact_to: int
    chunk: int

    @cached_property
    def strides(self) -> Integers:
        """The stride at which each averaging factor is computed."""
        return np.array([1 if k <= self.exact_to else _stride(k) for k in self.m], dtype=np.int64)

    @cached_property
    def factors(self) -> Integers:
        """The averaging factors."""
        return np.array(self.m, dtype=np.int64)

    @cached_property
    def exact(self) -> slice:
        """The columns of the averaging factors that are computed from every term."""
        return slice(0, int(np.count_nonzero(self.strides == 1)))

    @cached_property
    def strided(self) -> slice:
        """The other columns."""
        return slice(int(np.count_nonzero(self.strides == 1)), len(self.m))

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """The rows of sums that are kept: the statistics' own, and those that identify the noise."""
        wanted = {STREAMED[name].row for name in self.statistics} | {"second", "third", "modified"}
        return tuple(row for row in ROWS if row in wanted)

    @property
    def extremes(self) -> bool:
        """Is MTIE among the statistics?"""
        return "mtie" in self.statistics

    @cached_property
    def levels(self) -> tuple[LevelPlan, ...]:
        """The levels, stride 1 first (it is always there: the running sums are made at it)."""
        found = []
        begin = 0
        for stride in sorted({1, *self.strides.tolist()}):
            lags = self.factors[self.strides == stride] // stride
            columns = slice(begin, begin + lags.size)
            begin += lags.size
            need = 3 * int(lags[-1]) if lags.size else 1
            found.append(LevelPlan(stride, lags, columns, need, -(-self.chunk // stride) + 1))
        return tuple(found)

    @property
    def reach(self) -> int:
        """Samples after which nothing remembers a sample."""
        return max(level.need * level.stride for level in self.levels)

    def tau_s(self) -> Floats:
        """The averaging times."""
        return np.asarray(self.factors * self.tau0_s, dtype=np.float64)


def _stride(m: int) -> int:
    stride = 1
    while m % (2 * stride) == 0 and m // (2 * stride) >= DIVISIONS:
        stride *= 2
    return stride


def make_plan(
    tau0_s: float,
    statistics: Sequence[str],
    taus: Taus = "octave",
    *,
    longest_s: float = math.inf,
    exact_to_s: float = math.inf,
    chunk: int = CHUNK,
) -> StreamPlan:
    """The plan of a stream.

    tau0_s       interval of the grid, s
    statistics   names in STREAMED
    taus         as the batch statistics take them; a named list ends at `longest_s`, which must then be given
    exact_to_s   averaging times up to this are computed from every term; longer ones from every s-th, under another name
    chunk        samples worked on at once: more is faster and takes more memory

    Columns of the sums are in the order of the levels, which is that of m too unless a long m has few factors of two.
    Raises DataError for unknown names, an interval that is not positive, and taus that cannot be used.
    """
    if not (math.isfinite(tau0_s) and tau0_s > 0):
        raise DataError(f"tau0_s: the sampling interval must be positive seconds, not {tau0_s!r}")
    unknown = [name for name in statistics if name not in STREAMED]
    if unknown or not statistics:
        given = ", ".join(repr(name) for name in unknown) or "none"
        raise DataError(f"statistics: {given} cannot be streamed; choose from {', '.join(STREAMED)}")
    if isinstance(taus, str) and not math.isfinite(longest_s):
        raise DataError(f'taus: a named list such as "{taus}" has no end in a stream; give longest_s')
    if not 1 <= chunk <= LARGEST_CHUNK:
        raise DataError(f"chunk: 1 to {LARGEST_CHUNK} samples, not {chunk}")
    most = int(longest_s / tau0_s * (1 + 1e-9)) if math.isfinite(longest_s) else 1 << 40
    found, reason = factors(taus, tau0_s, TauGrid(most))
    if not found.size:
        raise DataError(f"taus: none is left up to {longest_s:g} s at an interval of {tau0_s:g} s; {reason or ''}")
    exact_to = int(min(exact_to_s / tau0_s * (1 + 1e-9), float(1 << 40)))
    ordered = sorted(found.tolist(), key=lambda k: (1 if k <= exact_to else _stride(k), k))
    return StreamPlan(float(tau0_s), tuple(dict.fromkeys(statistics)), tuple(ordered), exact_to, chunk)
