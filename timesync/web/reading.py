"""Reading the history for people while the probe measures.

Rule: measuring comes first. The history is read in one thread of its own by a read-only connection of its own; questions wait
for one another, no more than `WAITING` of them, and one that takes longer than `PATIENCE_S` is given up. Nothing is opened before
it is asked for.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from timesync.errors import StoreError
from timesync.store.local import History

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["BusyError", "Reader"]

PATIENCE_S = 10.0
WAITING = 16

Answer = TypeVar("Answer")


class BusyError(StoreError):
    """Too many questions at once, or one that takes too long."""


class Reader:
    """Asks a history that another thread writes."""

    def __init__(self, path: Path, *, patience_s: float = PATIENCE_S) -> None:
        """Nothing is opened yet."""
        self.path = path
        self._patience_s = patience_s
        self._waiting = 0
        self._worker: ThreadPoolExecutor | None = None

    async def ask(self, question: Callable[[History], Answer], *, empty: Answer) -> Answer:
        """The answer of `question`, which is called in the thread; `empty` where there is no history yet.

        Raises `BusyError` where it would wait or take too long, and `StoreError` where the history cannot be read.
        """
        if self._waiting >= WAITING:
            raise BusyError(f"{WAITING} questions to the history wait already: ask again in some seconds")
        if self._worker is None:
            self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="timesync-page")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._ask, question, empty)
        finally:
            self._waiting -= 1

    def _ask(self, question: Callable[[History], Answer], empty: Answer) -> Answer:
        if not self.path.exists():
            return empty
        deadline_s = time.monotonic() + self._patience_s
        history = History(self.path, read_only=True)
        try:
            history.give_up_when(lambda: time.monotonic() > deadline_s)
            return question(history)
        except StoreError as error:
            if time.monotonic() > deadline_s:
                text = f"the answer took longer than {self._patience_s:g} s: ask for a shorter time"
                raise BusyError(text) from error
            raise
        finally:
            history.close()

    def close(self) -> None:
        """End the thread; a question under way is given up by its own deadline."""
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
            self._worker = None
