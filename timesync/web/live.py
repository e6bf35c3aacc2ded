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


def changed(topic: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What to tell of a topic: the values that are new or other than before, and the names of those that are gone."""
    return {
        topic: [value for name, value in now.items() if before.get(name) != value],
        "gone": [name for name in before if name not in now],
    }


class Hub:
    """Tells all listeners. Of each topic a callable gives everything as it is now, by its name; the first topic is told every
    second, changed or not, so that a page sees that the probe lives.
    """

    def __init__(self, topics: Mapping[str, Callable[[], Mapping[str, Any]]], clock_ns: Callable[[], int]) -> None:
        """Nothing runs before the first listener."""
        self._topics = topics
        self._clock_ns = clock_ns
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._told: Mapping[str, Mapping[str, Any]] = {}

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
        now = self._now()
        everything = b"".join(message(topic, self._news(topic, {}, values)) for topic, values in now.items())
        self._queues.add(queue)  # before it is written to: what changes meanwhile comes next
        if self._task is None:
            self._told = now
            self._task = asyncio.create_task(self._run(), name="page")
        try:
            await response.write(b"retry: %d\n\n" % RETRY_MS + everything)
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

    def _now(self) -> dict[str, Mapping[str, Any]]:
        return {topic: values() for topic, values in self._topics.items()}

    def _news(self, topic: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
        return {"now_ns": self._clock_ns(), **changed(topic, before, now)}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            before, self._told = self._told, self._now()
            for number, (topic, values) in enumerate(self._told.items()):
                if number == 0 or values != before[topic]:
                    self.tell(topic, self._news(topic, before[topic], values))

    async def close(self) -> None:
        """Let every listener go."""
        for queue in self._queues:
            queue.put_nowait(None)
