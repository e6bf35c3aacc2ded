"""A host name's addresses, looked up beside the measuring.

Rule: a resolver that is slow or away never holds up a poll of a server whose address is known. A numeric address is looked up
once and without asking anybody.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from probes.sockets import Address

__all__ = ["HostName", "NotResolved"]


class NotResolved(str):
    """Why there is no address, in words."""

    __slots__ = ()


class HostName:
    """One host and port. `ask` begins a lookup, `wait` waits for it, `take` gives what has come of it, once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str, port: int, family: int = socket.AF_UNSPEC) -> None:
        self._loop = loop
        self._host = host
        self._port = port
        self._family = family
        self._lookup: asyncio.Task[Sequence[Address] | NotResolved] | None = None
        self.asked_at_s = float("-inf")
        self.numeric = self._numeric() is not None

    def _numeric(self) -> Sequence[Address] | None:
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        try:
            found = socket.getaddrinfo(self._host, self._port, self._family, socket.SOCK_DGRAM, flags=flags)
        except (OSError, UnicodeError):
            return None
        return [info[4] for info in found]

    def ask(self, now_s: float) -> None:
        """Begin a lookup at `now_s` (the loop's time), unless one is under way."""
        if self._lookup is None:
            self.asked_at_s = now_s
            self._lookup = self._loop.create_task(self._resolve())

    async def _resolve(self) -> Sequence[Address] | NotResolved:
        numeric = self._numeric()
        if numeric is not None:
            return numeric
        try:
            found = await self._loop.getaddrinfo(self._host, self._port, family=self._family, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            return NotResolved(f"{self._host}: {error}")
        return [info[4] for info in found] or NotResolved(f"{self._host}: no address")

    async def wait(self, timeout_s: float) -> None:
        """Until the lookup is done, but no longer than that."""
        if self._lookup is not None:
            await asyncio.wait({self._lookup}, timeout=timeout_s)

    def take(self) -> Sequence[Address] | NotResolved | None:
        """The addresses, or why there are none; None while nothing new is known."""
        lookup = self._lookup
        if lookup is None or not lookup.done():
            return None
        self._lookup = None
        return lookup.result()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
