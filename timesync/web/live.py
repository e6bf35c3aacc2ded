"""Server-sent events: what has changed, told to every page that is open.

Rule: nothing is computed while nobody listens; it is computed once for all who do. A listener that does not keep up is let go (its
browser comes back by itself and gets everything anew), so that nobody's slow line fills the probe's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

__all__ = ["MOST_LISTENERS", "Hub", "TooManyError", "changed", "message"]

EVERY_S = 1.0
MOST_LISTENERS = 32
BEHIND = 30  # messages a listener may be behind
RETRY_MS = 2000
SILENCE_S = 15.0


class TooManyError(Exception):
    """There are as many listeners as there may be."""


def message(kind: str, data: Any) -> bytes:
    """One message of an event stream (WHATWG HTML, section 9.2)."""
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What to tell: the targets that are new or other than before, and the names of those that are gone."""
    return {
        "targets": [value for name, value in now.items() if before.get(name) != value],
        "gone": [name for name in before if name not in now],
    }


class Hub:
    """Tells all listeners. `targets` gives every target as it is now, by its name."""

    def __init__(self, targets: Callable[[], Mapping[str, Any]], clock_ns: Callable[[], int]) -> None:
        """Nothing runs before the first listener."""
        self._targets = targets
        self._clock_ns = clock_ns
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._told: Mapping[str, Any] = {}

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._queues)

    def tell(self, kind: str, data: Any) -> None:
        """Tell everybody now."""
        if not self._queues:
            return
        text = message(kind, data)
        for queue in self._queues:
            if queue.qsize() < BEHIND:
                queue.put_nowait(text)
            elif queue.qsize() == BEHIND:
                queue.put_nowait(None)

    async def serve(self, response: web.StreamResponse) -> None:
        """Write to one listener until it goes, or is too slow, or the hub is closed. Raises `TooManyError` at once."""
        if len(self._queues) >= MOST_LISTENERS:
            raise TooManyError
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        now = self._targets()
        await response.write(b"retry: %d\n\n" % RETRY_MS + message("targets", self._news(changed({}, now))))
        self._queues.add(queue)
        if self._task is None:
            self._told = now
            self._task = asyncio.create_task(self._run(), name="page")
        try:
            await self._pass_on(queue, response)
        finally:
            self._queues.discard(queue)
            if not self._queues and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _pass_on(self, queue: asyncio.Queue[bytes | None], response: web.StreamResponse) -> None:
        while True:
            try:
                text = await asyncio.wait_for(queue.get(), SILENCE_S)
            except TimeoutError:
                text = b": nothing new\n\n"  # a proxy closes what is silent
            if text is None:
                return
            with contextlib.suppress(ConnectionError):
                await response.write(text)
                continue
            return

    def _news(self, news: dict[str, Any]) -> dict[str, Any]:
        return {"now_ns": self._clock_ns(), **news}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            now = self._targets()
            self.tell("targets", self._news(changed(self._told, now)))
            self._told = now

    async def close(self) -> None:
        """Let every listener go."""
        for queue in self._queues:
            queue.put_nowait(None)
