"""Time-outs of many polls on one timer of the event loop.

Rule: a time-out that is no longer needed costs nothing more than its place in the queue: nearly every poll is answered, and a timer
of its own, set and cancelled, costs the loop more than the reply does.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["TimeOuts"]


class TimeOuts:
    """Ends futures that are not done in time. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, seconds: float, done: asyncio.Future[None]) -> None:
        """Give `done` its result after so many seconds, unless it has one by then."""
        at_s = self._loop.time() + seconds
        heapq.heappush(self._waiting, (at_s, next(self._order), done))
        if self._timer is None or at_s < self._timer.when():
            self._arm()

    def close(self) -> None:
        """Forget all of them."""
        self._waiting.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._waiting[0][0], self._due) if self._waiting else None

    def _due(self) -> None:
        now_s = self._loop.time()
        waiting = self._waiting
        while waiting and (waiting[0][0] <= now_s or waiting[0][2].done()):
            done = heapq.heappop(waiting)[2]
            if not done.done():
                done.set_result(None)
        self._timer = None
        self._arm()
