"""An asyncio loop whose time is a number: where it would sleep it jumps, so that a day of polls takes a moment."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["VirtualLoop", "run"]

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Never waits: what it was told to wait is added to the loop's time."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("every task waits for something that nobody will do")
            self.loop.now_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at `now_s` and whose time passes only between callbacks (or when a test adds to it)."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.now_s


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """What `main(loop)` returns on a loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()
