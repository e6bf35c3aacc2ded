"""What `append` acknowledged survives kill -9 at any instant, and reaches an idempotent sink, once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import support.spool_victim as victim

from timesync.settings import SpoolSettings
from timesync.store.delivery import Delivery
from timesync.store.local import History, HistorySink, Selection
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from timesync.model import Event

ROUNDS = 50


def killed_again_and_again(directory: Path) -> list[int]:
    """The last number acknowledged before each death."""
    command = [sys.executable, "-P", victim.__file__, str(directory), "20251123", str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


async def test_fifty_deaths_lose_no_acknowledged_record_and_store_none_twice(tmp_path: Path) -> None:
    last = await asyncio.to_thread(killed_again_and_again, tmp_path)
    assert len(last) == ROUNDS
    assert last[-1] > 1000

    events: list[Event] = []
    history = HistorySink(tmp_path / "history.sqlite3", None, clock_ns=time.time_ns, report=events.append)
    spool = Spool(SpoolSettings(tmp_path / "spool", 60_000_000), ["history"], clock_ns=time.time_ns)
    delivery = Delivery(spool, [history], clock_ns=time.time_ns, uniform=random.random, report=events.append)
    task = asyncio.create_task(delivery.run())
    await asyncio.sleep(0)
    assert await delivery.stop(30)
    await task
    assert (spool.status().dropped, spool.status().refused, events) == (0, 0, [])
    spool.close()
    reader = History(tmp_path / "history.sqlite3", read_only=True)
    numbers = [int(each.fields["number"]) for each in reader.records(Selection())]
    reader.close()
    assert numbers[: last[-1] + 1] == list(range(last[-1] + 1))
