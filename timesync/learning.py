"""The probe's clock is learned beside the event loop when a reference is lost: polls do not wait for it, nor for numpy's import.

Rule: one thread, which begins with the first loss; several references that are lost together are learned from one after the other.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from timesync.reference.carrying import learned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from timesync.holdover.carry import Carried

__all__ = ["Learner"]

log = logging.getLogger(__name__)


class Learner:
    """A thread that learns clocks. `learn` is a `timesync.reference.carrying.Learn`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "learning")
        self._closed = False

    def learn(self, t_s: Sequence[float], offset_s: Sequence[float]) -> Callable[[], Carried | None]:
        """Begin to learn; what is given back gives the model when it is there. After `close` there is none."""
        if self._closed:
            return lambda: None
        future = self._pool.submit(learned, t_s, offset_s)
        future.add_done_callback(_log_failure)
        return lambda: _model(future)

    def close(self) -> None:
        """Nobody waits for what is still being learned."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)


def _model(future: Future[Carried | None]) -> Carried | None:
    if not future.done() or future.cancelled() or future.exception() is not None:
        return None
    return future.result()


def _log_failure(future: Future[Carried | None]) -> None:
    """A failure is one of this program; the bound of what is carried on does not need the model."""
    if not future.cancelled() and (error := future.exception()) is not None:
        log.error("the probe's clock could not be learned", exc_info=error)
