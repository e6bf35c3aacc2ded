"""Servers that smear a leap second: found by the shape of their error around it, and named.

Rule: only around a leap second that the table has, and only by shape: for each smear that is known the error that it makes is
compared with what was measured, a constant left aside; the one that fits within `FIT_S` and `BETTER` times better than any
other kind is told, once, with the rate that was seen. A server that steps as UTC does makes no error at all. Pure: instants are
parameters.

While it smears, a server is wrong by up to half a second, and is told so: POSIX clocks count the leap second not at all, so at
its end the error of a smear jumps by the second that UTC has counted.

Sources: "Leap Smear", Google Public NTP documentation (linear, 24 h, noon to noon: 11.574 ppm), which lists the others: linear
over 20 h (2012 to 2016), and the window with half a cosine before midnight of 2008 ("Time, technology and leaping seconds",
2011); UTC-SLS, Kuhn 2006 (linear, the last 1000 s).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from timesync.timescale import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from timesync.timescale import LeapTable

__all__ = ["SMEARS", "Smear", "SmearFound", "SmearWatch", "smear_error_s"]

HOUR_S = 3600.0
# From so long before a leap second to so long after it samples are kept.
AROUND_S = 26 * HOUR_S
# Points kept of each target, and the least time between them, s.
POINTS = 400
EVERY_S = 300.0
# A shape fits if the rms of what is left is below this, s, and this share of it at least has been seen. A server that has not
# moved by so much, s, does not smear.
FIT_S = 0.004
SEEN = 0.05
MOVED_S = 0.02
BETTER = 3.0
LEAST_POINTS = 6


def _line(share: float) -> float:
    return share


def _cosine(share: float) -> float:
    return (1.0 - math.cos(math.pi * share)) / 2.0


@dataclass(frozen=True, slots=True)
class Smear:
    """A way to smear: begins `begin_s` from the leap second (negative: before it), takes `span_s`; `shape` 0..1 -> 0..1."""

    name: str
    begin_s: float
    span_s: float
    shape: Callable[[float], float]

    def done(self, since_leap_s: float) -> float:
        """The share of the second that has been smeared."""
        return self.shape(min(1.0, max(0.0, (since_leap_s - self.begin_s) / self.span_s)))


SMEARS = (
    Smear("linear, 24 h, noon to noon", -12 * HOUR_S, 24 * HOUR_S, _line),
    Smear("linear, 20 h, centred", -10 * HOUR_S, 20 * HOUR_S, _line),
    Smear("cosine, 24 h, centred", -12 * HOUR_S, 24 * HOUR_S, _cosine),
    Smear("cosine, 20 h before", -20 * HOUR_S, 20 * HOUR_S, _cosine),
    Smear("linear, 24 h before", -24 * HOUR_S, 24 * HOUR_S, _line),
    Smear("linear, 24 h after", 0.0, 24 * HOUR_S, _line),
    Smear("UTC-SLS, the last 1000 s", -1000.0, 1000.0, _line),
)


def smear_error_s(smear: Smear, step_s: int, since_leap_s: float) -> float:
    """Smeared clock minus UTC as POSIX counts it, s: it falls behind before an inserted second, which POSIX counts twice."""
    return step_s * ((1.0 if since_leap_s >= 0.0 else 0.0) - smear.done(since_leap_s))


@dataclass(frozen=True, slots=True)
class SmearFound:
    """A target smears: which way, its steepest rate as the shape has it (s/s), the rms of what does not fit (s)."""

    target: str
    smear: Smear
    rate: float
    rms_s: float


class SmearWatch:
    """Errors of each target around a leap second. `table` may be replaced at any time."""

    def __init__(self, table: LeapTable) -> None:
        self.table = table
        self._leap_ns: int | None = None
        self._until_ns = 0
        self._points: dict[str, deque[tuple[float, float]]] = {}
        self._told: set[str] = set()

    def observe(self, target: str, error_s: float, now_ns: int) -> SmearFound | None:
        """A target's error against UTC (s) at `now_ns` (Unix ns); what it is found to do, once."""
        leap = self._leap(now_ns)
        if leap is None or target in self._told:
            return None
        leap_ns, step_s = leap
        since_s = (now_ns - leap_ns) / NS_PER_S
        points = self._points.setdefault(target, deque(maxlen=POINTS))
        if points and since_s - points[-1][0] < EVERY_S / 10.0:
            return None
        points.append((since_s, error_s))
        found = self._fit(target, list(points), step_s)
        if found is not None:
            self._told.add(target)
        return found

    def _leap(self, now_ns: int) -> tuple[int, int] | None:
        around_ns = round(AROUND_S * NS_PER_S)
        leap = self.table.next_leap(now_ns - around_ns)
        if leap is None or leap.at_ns - now_ns > around_ns:
            return None
        if leap.at_ns != self._leap_ns:
            self._leap_ns = leap.at_ns
            self._points, self._told = {}, set()
        return leap.at_ns, leap.step_s

    def _fit(self, target: str, points: list[tuple[float, float]], step_s: int) -> SmearFound | None:
        if len(points) < LEAST_POINTS:
            return None
        errors = [error_s for _, error_s in points]
        if max(errors) - min(errors) < MOVED_S:
            return None  # it does not move: nearly always
        scored = []
        for smear in SMEARS:
            model = [smear_error_s(smear, step_s, since_s) for since_s, _ in points]
            left = [error_s - expected for error_s, expected in zip(errors, model, strict=True)]
            middle_s = median(left)
            rms_s = math.sqrt(sum((each - middle_s) ** 2 for each in left) / len(left))
            scored.append((rms_s, smear.done(points[-1][0]) - smear.done(points[0][0]), smear))
        scored.sort(key=lambda each: each[0])
        (rms_s, seen, smear), (next_s, _, _) = scored[:2]
        if rms_s > FIT_S or seen < SEEN or next_s < BETTER * max(rms_s, 1e-5):
            return None
        steepest = math.pi / 2.0 if smear.shape is _cosine else 1.0
        return SmearFound(target, smear, -step_s * steepest / smear.span_s, rms_s)

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other targets."""
        self._points = {name: points for name, points in self._points.items() if name in targets}
        self._told &= set(targets)
