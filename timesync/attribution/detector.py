"""A change of one series, seen and confirmed: how far it moved at once, how fast it moves now, and whether its delay moved too.

Rule: one unusual value is looked into and proves nothing; `AFTER` values are compared with what the frozen prediction says, and
only where nearly all lie on one side, closer to each other than to the prediction, the series has changed. What is not confirmed
is learnt as scatter. Pure; instants in seconds on an even axis.

A series is watched on three channels: its difference from the pivot (the probe's clock cancels), its raw offset from the probe's
clock (only the pivot's is needed), and its delay. Slow changes, a drift, are seen by the same means on medians of `COARSER`
points.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from timesync.attribution.tracker import MAD_TO_SIGMA, Tracker, slope_of

__all__ = ["AFTER", "CALM", "COARSER", "KNOWN", "NOISY", "NO_SHIFT", "Change", "Detector", "Point", "Shift"]

# Points after an unusual one, itself included, on which a change is judged, and how many must lie beyond `BEYOND` scatters.
AFTER = 5
CONFIRMING = 4
BEYOND = 4.0
# How well the level after a change is known, in scatters: four times that of the middle of `AFTER` points and of the level before.
KNOWN = 2.5
# All points after a change but one lie within this share of it, or so many scatters, of the step or ramp that it is; else it is
# noise.
SCATTERED_SHARE = 0.25
SCATTERED_TIMES = 4.0
# A change that grows by more than this share of its middle over the points after it, and by so many scatters, is a ramp, not a
# step.
RAMP_SHARE = 0.35
RAMP_SCATTERS = 4.0
# A ramp goes on: where the last so many points differ by no more than this share of themselves, or two scatters, it is none.
LATE = 3
LEVEL_SHARE = 0.1
# Points that make one of the next coarser series.
COARSER = 8
# Of the last 16 values so many outliers are noise; so few are none any more.
NOISY = 8
CALM = 2
# Points kept while a change waits for its verdict.
KEPT = 64


class Point(NamedTuple):
    """One point of a series: instant and values, s. `difference_s` is None where there was no pivot."""

    t_s: float
    difference_s: float | None
    raw_s: float
    delay_s: float


class Shift(NamedTuple):
    """How a channel changed at `onset_s`: by `step_s` at once and by `rate` (s/s) from then on; 0 and 0: not at all.

    `tolerance_s` is how well that is known (`KNOWN` usual scatters).
    """

    onset_s: float
    step_s: float
    rate: float
    tolerance_s: float

    @property
    def happened(self) -> bool:
        """Whether there is a change."""
        return self.step_s != 0.0 or self.rate != 0.0

    def by(self, t_s: float) -> float:
        """How far the channel has moved until `t_s`."""
        return self.step_s + self.rate * (t_s - self.onset_s) if self.happened else 0.0


NO_SHIFT = Shift(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Change:
    """A confirmed change of one series. Instants in s: the last usual point, the first unusual one, the last looked at."""

    member: str
    scale: int
    usual_until_s: float
    first_s: float
    last_s: float
    difference: Shift
    raw: Shift
    delay: Shift


class Detector:
    """One series at one scale. `with_raw`: its raw offset is watched too. `after` are the points since an unusual one, None where
    there is none: with what only a few of them need, a thousand clocks would take megabytes more.
    """

    __slots__ = (
        "_raw",
        "after",
        "change",
        "delay",
        "difference",
        "last_s",
        "member",
        "noisy",
        "scale",
        "usual_until_s",
    )

    def __init__(self, member: str, scale: int, floor_s: float) -> None:
        self.member = member
        self.scale = scale
        self.difference = Tracker(floor_s)
        self._raw: Tracker | None = None
        self.delay = Tracker(floor_s, with_rate=False)
        self.after: list[Point] | None = None
        self.change: Change | None = None
        self.noisy = False
        self.last_s = float("-inf")
        self.usual_until_s = float("-inf")

    @property
    def raw(self) -> Tracker:
        """What is usual for the raw offset; made when it is first asked for, as only a pivot's is."""
        if self._raw is None:
            self._raw = Tracker(self.difference.floor_s)
        return self._raw

    @property
    def suspecting(self) -> bool:
        """Whether something unusual is being looked into."""
        return bool(self.after) and self.change is None

    def feed(self, point: Point, *, with_raw: bool) -> Change | None:
        """The next point; a change, if this one confirms it. Until `settle` nothing more is learnt then."""
        if point.t_s <= self.last_s:
            return None
        self.last_s = point.t_s
        after = self.after
        if self.change is not None:
            if after is not None and len(after) < KEPT:
                after.append(point)
            return None
        if after:
            after.append(point)
            return self._judged(after, with_raw=with_raw) if len(after) >= AFTER else None
        if self._unusual(point, with_raw=with_raw):
            self.after = [point]
        else:
            self._learn(point, with_raw=with_raw)
        return None

    def _unusual(self, point: Point, *, with_raw: bool) -> bool:
        t_s, difference_s, raw_s, delay_s = point
        return (
            (difference_s is not None and self.difference.unusual(t_s, difference_s))
            or self.delay.unusual(t_s, delay_s)
            or (with_raw and self.raw.unusual(t_s, raw_s))
        )

    def _learn(self, point: Point, *, with_raw: bool) -> None:
        t_s, difference_s, raw_s, delay_s = point
        self.usual_until_s = t_s
        if self.noisy:
            if difference_s is not None:
                self.difference.note(t_s, difference_s)
            self.delay.note(t_s, delay_s)
            if with_raw:
                self.raw.note(t_s, raw_s)
            return
        if difference_s is not None:
            self.difference.push(t_s, difference_s)
        self.delay.push(t_s, delay_s)
        if with_raw:
            self.raw.push(t_s, raw_s)

    def _judged(self, after: list[Point], *, with_raw: bool) -> Change | None:
        until_s = self.usual_until_s
        differences = [(p.t_s, p.difference_s) for p in after if p.difference_s is not None]
        difference = _shift(self.difference, differences, until_s)
        delay = _shift(self.delay, [(p.t_s, p.delay_s) for p in after], until_s)
        raw = _shift(self.raw, [(p.t_s, p.raw_s) for p in after], until_s) if with_raw else NO_SHIFT
        if not self.noisy and (difference.happened or delay.happened or raw.happened):
            self.change = Change(self.member, self.scale, until_s, after[0].t_s, after[-1].t_s, difference, raw, delay)
            return self.change
        # Not so: but a later one of these points may be the first of a change.
        self._learn(after.pop(0), with_raw=with_raw)
        while after and not self._unusual(after[0], with_raw=with_raw):
            self._learn(after.pop(0), with_raw=with_raw)
        self.after = after or None
        return None

    def settle(self, *, with_raw: bool) -> None:
        """The change has had its verdict: the series goes on from where it is now."""
        change, after = self.change, self.after or []
        self.change, self.after = None, None
        if change is None:
            return
        for tracker, shift in (
            (self.difference, change.difference),
            (self.delay, change.delay),
            (self._raw, change.raw),
        ):
            if tracker is None:
                continue  # it was not watched, so nothing has happened to it
            if shift.happened:
                tracker.shift(shift.by(change.last_s), shift.rate, change.last_s)
            tracker.register = 0
        for point in after[AFTER:]:
            self._learn(point, with_raw=with_raw)

    def begin_again(self) -> None:
        """Forget where the series is, not how it scatters."""
        self.after, self.change, self.noisy = None, None, False
        for tracker in (self.difference, self.delay, self._raw):
            if tracker is not None:
                tracker.begin_again()


def _shift(tracker: Tracker, values: list[tuple[float, float]], usual_until_s: float) -> Shift:
    """What has happened to a channel, judged by the values since; NO_SHIFT where nothing is confirmed."""
    if not tracker.ready or len(values) < CONFIRMING:
        return NO_SHIFT
    residuals = [(t_s, value - tracker.expected(t_s)) for t_s, value in values]
    scatter_s = tracker.sigma_s
    limit_s = BEYOND * scatter_s
    above = sum(residual > limit_s for _, residual in residuals)
    below = sum(residual < -limit_s for _, residual in residuals)
    if max(above, below) < min(CONFIRMING, len(residuals)):
        return NO_SHIFT
    middle_s = median(residual for _, residual in residuals)
    rate = slope_of(residuals)
    span_s = residuals[-1][0] - residuals[0][0]
    least_s = max(RAMP_SHARE * abs(middle_s), RAMP_SCATTERS * scatter_s)
    if not tracker.with_rate or abs(rate) * span_s < least_s or rate * middle_s < 0.0:
        rate = 0.0
    late = [residual for _, residual in residuals[-LATE:]]
    if rate and max(late) - min(late) <= max(2.0 * scatter_s, LEVEL_SHARE * abs(median(late))):
        # Level at the end: a step after some points that were unusual for another reason, or half way.
        rate, residuals = 0.0, residuals[-LATE:]
    onset_s = usual_until_s if rate else residuals[0][0]
    step_s = median(residual - rate * (t_s - onset_s) for t_s, residual in residuals)
    left_s = sorted(abs(residual - step_s - rate * (t_s - onset_s)) for t_s, residual in residuals)
    if left_s[-2] > max(SCATTERED_TIMES * scatter_s, SCATTERED_SHARE * abs(middle_s)):
        return NO_SHIFT
    return Shift(onset_s, step_s, rate, KNOWN * max(scatter_s, left_s[len(left_s) // 2] / MAD_TO_SIGMA))
