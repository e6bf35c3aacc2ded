"""Sums of a stream by UTC day: any window of whole days is had by addition, and so are two runs of one daemon.

Rule: a term belongs to the day of its last sample, whatever day it reaches back to. Days are those of Unix time, 86 400 s from the
epoch. Sums are kept as pairs of doubles (the second holds what the first rounded off), so that the order of additions does
not show. Adding the sums of two runs is right where no sample is in both; terms that span the two are in neither, unless the
second run began from the saved state of the first.

Bounded: beyond `keep_days` days the oldest are added into one, `earlier`, which stays part of the whole run's result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.stability.result import Floats, Integers
    from timesync.stability.stream_level import Contribution
    from timesync.stability.stream_plan import StreamPlan

__all__ = ["DAY_S", "DaySums", "Sums"]

DAY_S = 86_400


@dataclass(slots=True)
class Sums:
    """Sums of squares over some stretch of time: shape (rows, columns) of the plan; extremes and windows (columns,).

    total + rest is the sum; terms its number of terms. top: the largest range over windows of exactly m steps that were
    looked at, cover: a range that none of all windows exceeds (the same where every window was looked at); -inf without any.
    points: grid points gone by; present: those with a sample.
    """

    total: Floats
    rest: Floats
    terms: Integers
    top: Floats
    cover: Floats
    windows: Integers
    points: int = 0
    present: int = 0

    @classmethod
    def empty(cls, plan: StreamPlan) -> Sums:
        """Nothing yet."""
        shape, columns = (len(plan.rows), len(plan.m)), len(plan.m)
        return cls(
            np.zeros(shape),
            np.zeros(shape),
            np.zeros(shape, np.int64),
            np.full(columns, -np.inf),
            np.full(columns, -np.inf),
            np.zeros(columns, np.int64),
        )

    def add_level(self, columns: slice, contribution: Contribution) -> None:
        """Add what new points of one level gave."""
        self._accumulate(self.total[:, columns], self.rest[:, columns], contribution.sums)
        self.terms[:, columns] += contribution.terms
        self.raise_extremes(columns, contribution.top, contribution.cover)
        self.windows[columns] += contribution.windows

    def raise_extremes(self, columns: slice, top: Floats, cover: Floats) -> None:
        """Take in extremes of further windows."""
        np.maximum(self.top[columns], top, out=self.top[columns])
        np.maximum(self.cover[columns], cover, out=self.cover[columns])

    def add(self, other: Sums) -> None:
        """Add the sums of another stretch."""
        self._accumulate(self.total, self.rest, other.total)
        self.rest += other.rest
        self.terms += other.terms
        self.raise_extremes(slice(None), other.top, other.cover)
        self.windows += other.windows
        self.points += other.points
        self.present += other.present

    @staticmethod
    def _accumulate(total: Floats, rest: Floats, more: Floats) -> None:
        """total + rest += more, both written to; the rounding error of the sum goes to rest (Knuth's two-sum)."""
        new = total + more
        back = new - total
        rest += (total - (new - back)) + (more - back)
        total[:] = new


@dataclass(slots=True)
class DaySums:
    """Sums by day, number of days since the Unix epoch. `keep_days` None keeps every day."""

    plan: StreamPlan
    keep_days: int | None = None
    days: dict[int, Sums] = field(default_factory=dict)
    earlier: Sums | None = None

    def __post_init__(self) -> None:
        if self.keep_days is not None and self.keep_days < 1:
            raise DataError(f"keep_days: at least one, not {self.keep_days}")

    def on(self, day: int) -> Sums:
        """The sums of that day, to be added to."""
        sums = self.days.get(day)
        if sums is None:
            sums = self.days[day] = Sums.empty(self.plan)
            self._forget_old()
            sums = self.days.get(day, self.earlier)
            assert sums is not None
        return sums

    def _forget_old(self) -> None:
        while self.keep_days is not None and len(self.days) > self.keep_days:
            oldest = min(self.days)
            sums = self.days.pop(oldest)
            if self.earlier is None:
                self.earlier = sums
            else:
                self.earlier.add(sums)

    def window(self, first: int, last: int) -> Sums:
        """The sum over the days first .. last, both included; days without data add nothing.

        Raises DataError where a day is asked for that is no longer kept apart.
        """
        if self.earlier is not None and self.days and first < min(self.days):
            raise DataError(
                f"day {first}: the days before {min(self.days)} are kept only as one sum; ask for all, or later"
            )
        return self._sum(day for day in self.days if first <= day <= last)

    def whole(self) -> Sums:
        """The sum over all that was ever added."""
        total = self._sum(self.days)
        if self.earlier is not None:
            total.add(self.earlier)
        return total

    def _sum(self, days: object) -> Sums:
        total = Sums.empty(self.plan)
        for day in sorted(days):  # type: ignore[call-overload]  # any iterable of day numbers
            total.add(self.days[day])
        return total

    def by_day(self) -> Mapping[int, Sums]:
        """The days that are kept apart."""
        return MappingProxyType(self.days)

    def merged(self, other: DaySums) -> DaySums:
        """The sums of both: two runs, or two parts of one. Raises DataError where the plans differ."""
        if self.plan != other.plan:
            raise DataError(
                "the two streams were planned differently (interval, statistics, taus): their sums do not add"
            )
        both = DaySums(self.plan, self.keep_days)
        for part in (self, other):
            if part.earlier is not None:
                both.earlier = both.earlier or Sums.empty(self.plan)
                both.earlier.add(part.earlier)
        for day in sorted({*self.days, *other.days}):
            for part in (self, other):
                if day in part.days:
                    both.on(day).add(part.days[day])
        return both
