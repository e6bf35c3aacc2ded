"""Reloads, one at a time: what is asked for during one is done after it, once.

Rule: a request is never lost and never runs beside another. Requests that come before the daemon is ready wait; those that come
when it ends are refused.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from timesync.settings import ProbeSettings

__all__ = ["Reloads", "hold_hangups", "in_effect", "take_hangups"]

log = logging.getLogger(__name__)

# How long a reload under way may go on when the daemon is told to stop. It is bounded by what instruments take to open.
END_S = 5.0
# What only a restart can change, with the attribute of the settings that holds it.
FIXED = {"[site]": "site", "[spool]": "spool", "[http]": "http", "[log]": "log"}


def hold_hangups() -> None:
    """Let SIGHUP wait from now on: its default would end the process. To be called before anything slow is begun."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def take_hangups() -> None:
    """Let SIGHUP come, one that has waited at once: the handler is there."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def in_effect(old: ProbeSettings, new: ProbeSettings) -> tuple[ProbeSettings, Sequence[str]]:
    """The new settings but for what only a restart can change, and the tables of which that is true."""
    waiting = {table: name for table, name in FIXED.items() if getattr(old, name) != getattr(new, name)}
    return replace(new, **{name: getattr(old, name) for name in waiting.values()}), list(waiting)


class Reloads:
    """`run` calls `reload` once after each `ask`, or once for several that came while it was busy, until `close`."""

    def __init__(self, reload: Callable[[], Awaitable[None]]) -> None:
        self._reload = reload
        self._asked = asyncio.Event()
        self._closing = False
        self._busy = asyncio.Lock()

    def ask(self) -> None:
        """Ask for a reload."""
        if self._closing:
            log.warning("SIGHUP: not heeded, the daemon ends")
            return
        self._asked.set()

    async def run(self) -> None:
        """Serve requests, those too that came before; raises what `reload` raises."""
        while not self._closing:
            await self._asked.wait()
            async with self._busy:
                self._asked.clear()
                if not self._closing:
                    await self._reload()

    async def close(self, running: asyncio.Task[None]) -> None:
        """Refuse requests, let a reload under way end (5 s at most), and end `running`, the task of `run`."""
        self._closing = True
        try:
            async with asyncio.timeout(END_S), self._busy:
                pass
        except TimeoutError:
            log.error("the reload did not end within %g s: it is given up", END_S)  # noqa: TRY400 - no trace to show
        running.cancel()
        await asyncio.wait([running])
