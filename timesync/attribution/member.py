"""One clock as it is watched: samples to points, points to its series at three scales, polls without an answer counted.

Rule: of up to eight samples in some seconds the one with the least delay stands for all, since queues only add; its difference
from the pivot is taken at its own instant, by a straight line between the pivot's points, so that the probe's clock cancels.
Pure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from math import isnan, nan
from operator import attrgetter
from statistics import median
from typing import TYPE_CHECKING

from timesync.attribution.detector import COARSER, Detector, Point

if TYPE_CHECKING:
    from timesync.attribution.detector import Change
    from timesync.model import ClockOffset, PtpFacts, ServerFacts

__all__ = ["Member"]

BLOCK_S = 8.0
BLOCK_SAMPLES = 8
SCALES = 3
# The numbers of a point, as they are collected: instant, difference (NaN: unknown), raw offset, delay.
POINT_NUMBERS = 4
# Points of a pivot kept to draw lines between, of the others, and points that wait for a pivot.
PIVOT_POINTS = 32
POINTS = 4
WAITING_POINTS = 16
# The samples of a burst come within this time, s.
BURST_S = 8.0
# The least scatter that is believed, s: two clocks' timestamps are no better than this.
FLOOR_S = 5e-9
# What a server says of itself and is worth a word when its time changes.
TOLD = ("stratum", "reference_id", "leap", "clock_class", "grandmaster", "time_source", "utc_offset_s")

# Of what it says, so many changes are kept.
SAID = 16

_at = attrgetter("t_s")


class Member:
    """One clock. `period_s` is from one of its points to the next; `points` are the newest, difference unknown; `waiting` those of
    them whose pivot has not come. Short lists, not deques: an empty deque takes 600 octets, and a probe has a thousand clocks.
    """

    __slots__ = (
        "_best",
        "_block_ends_s",
        "_collected",
        "_facts",
        "_kept",
        "_open_s",
        "_said",
        "bound_s",
        "detectors",
        "interval_s",
        "is_reference",
        "last_s",
        "missed",
        "missed_reason",
        "name",
        "period_s",
        "points",
        "silent_since_s",
        "waiting",
    )

    def __init__(self, name: str, interval_s: float, *, is_reference: bool) -> None:
        self.name = name
        self.is_reference = is_reference
        self.interval_s = interval_s
        samples = max(1, min(BLOCK_SAMPLES, round(BLOCK_S / interval_s)))
        self.period_s = samples * interval_s
        self._open_s = self.period_s - 0.5 * interval_s if samples > 1 else min(0.5 * interval_s, BURST_S)
        self._kept = POINTS
        self.points: list[Point] = []
        self.waiting: list[Point] = []
        self.detectors = tuple(Detector(name, scale, FLOOR_S) for scale in range(SCALES))
        self.missed = 0
        self.missed_reason = ""
        self.silent_since_s: float | None = None
        self.last_s = float("-inf")
        self.bound_s = 0.0
        self._facts: ServerFacts | PtpFacts | None = None
        self._said: list[tuple[float, tuple[object, ...]]] = []
        # Eight points take minutes to come together, of each clock and scale: as numbers they take a sixth of what tuples do.
        self._collected: tuple[array[float], ...] = tuple(array("d") for _ in range(SCALES - 1))
        self._best: tuple[float, float, float] | None = None
        self._block_ends_s = float("-inf")

    def take(self, t_s: float, offset_s: float, offset: ClockOffset) -> Point | None:
        """A sample at `t_s`; the point of the block before it, if this one begins another."""
        self.missed = 0
        done = None
        if t_s >= self._block_ends_s:
            done = self.close()
            self._block_ends_s = t_s + self._open_s
        best = self._best
        if best is None or offset.delay_s < best[2]:
            self._best = (t_s, offset_s, offset.delay_s)
            self.bound_s = offset.bound_s
            self._facts = offset.facts
        self.last_s = max(self.last_s, t_s)
        return done

    def due(self, now_s: float) -> bool:
        """Whether the block is over, and no sample has come to close it."""
        return self._best is not None and now_s >= self._block_ends_s

    def close(self) -> Point | None:
        """The block's point; it waits for the pivot."""
        best, self._best = self._best, None
        if best is None or (self.points and best[0] <= self.points[-1].t_s):
            return None
        point = Point(best[0], None, best[1], best[2])
        self.points.append(point)
        del self.points[: -self._kept]
        self._note_facts(point.t_s)
        return point

    def _note_facts(self, t_s: float) -> None:
        facts = self._facts
        if facts is not None:
            said = tuple(getattr(facts, name, None) for name in TOLD)
            if not self._said or said != self._said[-1][1]:
                self._said.append((t_s, said))
                del self._said[:-SAID]

    def be_pivot(self, *, is_pivot: bool) -> None:
        """Keep as many points as a pivot needs, or no longer."""
        self._kept = PIVOT_POINTS if is_pivot else POINTS
        del self.points[: -self._kept]

    def wait(self, point: Point) -> None:
        """The point waits for the pivot; the oldest makes room."""
        self.waiting.append(point)
        del self.waiting[:-WAITING_POINTS]

    def at(self, t_s: float) -> float | None:
        """Its raw offset at an instant, by a line between the points around it; None outside of them or across a long gap."""
        points = self.points
        after = bisect_left(points, t_s, key=_at)
        if after == len(points):
            return None
        later = points[after]
        if later.t_s == t_s:
            return later.raw_s
        if after == 0:
            return None
        earlier = points[after - 1]
        span_s = later.t_s - earlier.t_s
        if span_s > 4.0 * self.period_s:
            return None
        return earlier.raw_s + (later.raw_s - earlier.raw_s) * (t_s - earlier.t_s) / span_s

    def feed(self, point: Point, *, with_raw: bool) -> list[Change]:
        """A point with its difference, to the series at every scale; the changes that it confirms."""
        fine = self.detectors[0]
        change = fine.feed(point, with_raw=with_raw)
        if change is None and (fine.after or fine.noisy):
            return []  # what is not usual on the fine scale tells nothing on the coarser ones
        changes = [] if change is None else [change]
        for scale, collected in enumerate(self._collected, 1):
            difference_s = nan if point.difference_s is None else point.difference_s
            collected.extend((point.t_s, difference_s, point.raw_s, point.delay_s))
            if len(collected) < COARSER * POINT_NUMBERS:
                break
            point = _middle(collected)
            del collected[:]
            coarse = self.detectors[scale].feed(point, with_raw=with_raw)
            if coarse is not None:
                changes.append(coarse)
        return changes

    def settle(self, change: Change, *, with_raw: bool) -> None:
        """A change of this member has had its verdict."""
        self.detectors[change.scale].settle(with_raw=with_raw)
        for scale in range(change.scale + 1, SCALES):
            del self._collected[scale - 1][:]
            self.detectors[scale].begin_again()

    def begin_again(self) -> None:
        """Another pivot: differences are of another clock now."""
        self.waiting.clear()
        for collected in self._collected:
            del collected[:]
        for detector in self.detectors:
            detector.begin_again()

    def told(self, since_s: float) -> str:
        """What the server says of itself now and said otherwise at `since_s`; empty if nothing."""
        earlier = [said for t_s, said in self._said if t_s <= since_s]
        if not earlier:
            return ""
        pairs = zip(TOLD, earlier[-1], self._said[-1][1], strict=True)
        return ", ".join(f"{name} {before} -> {now}" for name, before, now in pairs if before != now)


def _middle(collected: array[float]) -> Point:
    """One coarser point: medians of what has a difference; without any, no difference."""
    t_s, differences, raw_s, delay_s = (collected[place::POINT_NUMBERS] for place in range(POINT_NUMBERS))
    known = [difference_s for difference_s in differences if not isnan(difference_s)]
    return Point(sum(t_s) / len(t_s), median(known) if known else None, median(raw_s), median(delay_s))
