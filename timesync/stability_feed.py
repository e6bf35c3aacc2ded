"""From the rows of one target to the regular grid of its stream, as they come.

Rules. Each grid point is fed once, in the order of time, with the last row that came for it. A row may be followed by a better
one of the same instant for as long as its reference may be late (`wait_ns`): it waits for that, and two grid points more for
rows that come out of order. A sample is put on the grid point it is nearest to, its value untouched, if it lies within a
quarter of the interval of it; of several (a burst) the nearest to the point is taken. A point without a sample is missing;
nothing is filled in.

No term of a statistic spans a step or sleep of the probe's clock (`clock_epoch`): the series is interrupted and its grid begins
anew. So it is where eight samples in a row do not fit the grid. After a restart of the probe the grid is shifted to the first
sample, by half an interval at most: the terms that span the restart are kept, and carry an error of at most half an
interval times the clock's fractional frequency. What the probe's clock did in between is not known.

Pure: time is a parameter. The stream is whatever has `push`, `skip` and `interrupt`.
"""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

__all__ = ["Feed", "Sink"]

TOLERANCE = 0.25  # of the interval, as in timesync.stability.series
WAITING = 2  # grid points, beyond `wait_ns`
ASTRAY = 8  # samples in a row that do not fit before the grid begins anew
AT_ONCE = 64  # samples handed on together
BEYOND_REASON = 10**9  # grid points of a gap after which the series begins anew


class Sink(Protocol):
    """What is fed: `timesync.stability.streaming.Stream`."""

    def push(self, x: Any, /) -> None:
        """The next samples."""
        ...

    def skip(self, count: int) -> None:
        """Missing samples."""
        ...

    def interrupt(self, start_ns: int | None = None) -> None:
        """A new origin; the next sample is at start_ns."""
        ...


@dataclass(slots=True)
class Feed:
    """One target's way to the grid. Instants are Unix ns; `wait_ns`: how long a better row may follow.

    origin_ns: of place 0. next_place: the first that has not been handed on. fed, off_grid, crowded, late: samples handed on, and
    left out because they lay too far from the grid, because another was nearer, because their place was over.
    """

    interval_ns: int
    wait_ns: int = 0
    origin_ns: int | None = None
    next_place: int = 0
    epoch: int | None = None
    fed: int = 0
    off_grid: int = 0
    crowded: int = 0
    late: int = 0
    _astray: int = 0
    _waiting: dict[int, tuple[int, float]] = field(default_factory=dict)
    _ready: array[float] = field(default_factory=lambda: array("d"))

    def take(self, at_ns: int, x_s: float, epoch: int, sink: Sink) -> None:
        """A final row: time error x_s at at_ns, in this epoch of the probe's clock."""
        if self.epoch is not None and epoch < self.epoch:
            self.late += 1
            return
        if self.origin_ns is None or (self.epoch is not None and epoch != self.epoch):
            self._begin(at_ns, sink)
        elif self.epoch is None:
            self._resume(at_ns, sink)
        self.epoch = epoch
        if not self._placed(at_ns, x_s) and self._astray >= ASTRAY:
            self._begin(at_ns, sink)
            self._placed(at_ns, x_s)
        self._release(sink, WAITING + -(-self.wait_ns // self.interval_ns))

    def _placed(self, at_ns: int, x_s: float) -> bool:
        assert self.origin_ns is not None
        place = self._place(at_ns)
        distance = abs(at_ns - self.origin_ns - place * self.interval_ns)
        if place < self.next_place:
            self.late += 1
            return True  # its place is over, and no sign that the grid is wrong
        if distance > TOLERANCE * self.interval_ns:
            self._astray += 1
            self.off_grid += 1
            return False
        self._astray = 0
        known = self._waiting.get(place)
        self.crowded += known is not None and known[0] != distance
        if known is None or distance <= known[0]:
            self._waiting[place] = (distance, x_s)
        return True

    def _place(self, at_ns: int) -> int:
        assert self.origin_ns is not None
        return (at_ns - self.origin_ns + self.interval_ns // 2) // self.interval_ns

    def _begin(self, at_ns: int, sink: Sink) -> None:
        """A new grid; nothing before is part of any term to come."""
        known = self.origin_ns is not None
        self.finish(sink)
        if known:
            sink.interrupt(at_ns)
        self.origin_ns, self.next_place, self._astray = at_ns, 0, 0

    def _resume(self, at_ns: int, sink: Sink) -> None:
        """The first row after a restart: the grid is shifted to it, unless time has gone back, or too far on."""
        assert self.origin_ns is not None
        place = self._place(at_ns)
        if not self.next_place <= place < self.next_place + BEYOND_REASON:
            self._begin(at_ns, sink)
            return
        off = at_ns - self.origin_ns - place * self.interval_ns
        if abs(off) > TOLERANCE * self.interval_ns:
            self.origin_ns += off

    def _release(self, sink: Sink, keep: int) -> None:
        """Hand on what need not wait: all but the newest `keep` places."""
        if not self._waiting:
            return
        until = max(self._waiting) + 1 - keep
        for place in sorted(self._waiting):
            if place >= until:
                break
            self._gap(place - self.next_place, sink)
            self._ready.append(self._waiting.pop(place)[1])
            self.next_place = place + 1
            self.fed += 1
        if len(self._ready) >= AT_ONCE:
            self.drain(sink)

    def _gap(self, count: int, sink: Sink) -> None:
        if count >= BEYOND_REASON:
            self.drain(sink)
            sink.interrupt(None)
        elif count > AT_ONCE:
            self.drain(sink)
            sink.skip(count)
        else:
            self._ready.extend([float("nan")] * count)

    def drain(self, sink: Sink) -> None:
        """Hand on what is ready (it waits only to be handed on together)."""
        if self._ready:
            sink.push(self._ready)
            self._ready = array("d")

    def finish(self, sink: Sink) -> None:
        """Hand on everything, the newest too."""
        self._release(sink, 0)
        self.drain(sink)

    def state(self) -> dict[str, Any]:
        """What a later run needs; take it after `drain`. The waiting rows are not in it."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_") and name != "epoch"}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Feed:
        """Where an earlier run left off. Raises TypeError for what is no state."""
        return cls(**state)
