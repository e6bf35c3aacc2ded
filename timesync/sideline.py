"""Services beside the measuring: what one of them raises must not end the others.

Rule: measuring goes on whatever happens to the rest. A side service that fails is told with its error, the log has the trace, and
it is begun again after a pause; the same error is told once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from timesync.instrument import fault_text
from timesync.model import Event, Severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["keep_going"]

log = logging.getLogger(__name__)

PAUSE_S = 10.0


async def keep_going(
    name: str,
    work: Callable[[], Awaitable[None]],
    report: Callable[[Event], object],
    clock_ns: Callable[[], int],
    pause_s: float = PAUSE_S,
) -> None:
    """Run a service until it returns or is cancelled; begin it again, `pause_s` later, where it fails."""
    told = ""
    while True:
        try:
            await work()
        except Exception as error:
            log.exception("the service %r failed; it is begun again in %g s", name, pause_s)
            text = fault_text(error)
            if text != told:
                told = text
                whole = f"the service {name!r} failed and is begun again: {text}"
                report(Event("service_failed", clock_ns(), Severity.ERROR, whole, None, {"service": name}))
        else:
            return
        await asyncio.sleep(pause_s)
