"""What a spool left behind hands on when somebody begins with it."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from timesync.settings import SpoolSettings
from timesync.store.delivery import Delivery
from timesync.store.local import History, HistorySink, Selection
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from timesync.model import Event

__all__ = ["numbers_handed_on"]


async def numbers_handed_on(state: Path) -> list[int]:
    """Deliver the spool in `state` to the history beside it, without a loss or a word; the numbers in that history then."""
    events: list[Event] = []
    history = HistorySink(state / "history.sqlite3", None, clock_ns=time.time_ns, report=events.append)
    spool = Spool(SpoolSettings(state / "spool", 60_000_000), ["history"], clock_ns=time.time_ns)
    delivery = Delivery(spool, [history], clock_ns=time.time_ns, uniform=random.random, report=events.append)
    task = asyncio.create_task(delivery.run())
    await asyncio.sleep(0)
    assert await delivery.stop(30)
    await task
    assert (spool.status().dropped, spool.status().refused, events) == (0, 0, [])
    spool.close()
    reader = History(state / "history.sqlite3", read_only=True)
    numbers = [int(each.fields["number"]) for each in reader.records(Selection())]
    reader.close()
    return numbers
