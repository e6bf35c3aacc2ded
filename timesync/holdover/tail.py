"""A record that grows for years in bounded memory: `thinned` sample by sample.

Rule: no sample is dropped before the record is longer than LEVELS allow; then the oldest means are. No mean reaches across a gap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from timesync.holdover.clock import Samples

__all__ = ["Tail"]

KEEP, PER_LEVEL, LEVELS = 128, 32, 18
GAP = 1.75


class _Element(NamedTuple):
    first_s: float
    last_s: float
    centre_s: float
    x_s: float
    size: int


@dataclass(slots=True)
class Tail:
    """Samples in the order of time; s of any origin. interval_s: the usual one, to tell a gap."""

    interval_s: float
    _levels: list[deque[_Element]] = field(default_factory=lambda: [deque()])
    last_s: float = float("-inf")
    samples: int = 0

    def push(self, t_s: float, x_s: float) -> bool:
        """The next sample; False if it is not later than the last, and left out."""
        if t_s <= self.last_s:
            return False
        self.last_s = t_s
        self.samples += 1
        self._levels[0].append(_Element(t_s, t_s, t_s, x_s, 1))
        level = 0
        while len(self._levels[level]) > (PER_LEVEL if level else KEEP) + 1:
            here = self._levels[level]
            first, second = here.popleft(), here.popleft()
            if level + 1 == len(self._levels):
                self._levels.append(deque())
            above = self._levels[level + 1]
            spacing = max(self.interval_s, (first.last_s - first.first_s) / max(first.size - 1, 1))
            if first.size == second.size and second.first_s - first.last_s <= GAP * spacing:
                above.append(_joined(first, second))
            else:  # a gap, or a mean that found no partner: both go up as they are
                above.extend((first, second))
            level += 1
            if level == LEVELS:
                while len(above) > PER_LEVEL:
                    above.popleft()
                break
        return True

    def __len__(self) -> int:
        return sum(len(level) for level in self._levels)

    def since(self, t_s: float) -> Samples:
        """The elements whose first sample is later than t_s, in the order of time."""
        rows = [each for level in reversed(self._levels) for each in level if each.first_s > t_s]
        table = np.array(rows, dtype=float).reshape(-1, 5).T
        return Samples(table[0], table[1], table[2], table[3], table[4].astype(np.int64))


def _joined(a: _Element, b: _Element) -> _Element:
    size = a.size + b.size
    share = b.size / size
    return _Element(
        a.first_s, b.last_s, a.centre_s + (b.centre_s - a.centre_s) * share, a.x_s + (b.x_s - a.x_s) * share, size
    )
