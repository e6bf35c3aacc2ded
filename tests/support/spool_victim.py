"""A process that keeps and delivers records until it is killed with kill -9; and the one that kills it, again and again.

Run: python spool_victim.py DIRECTORY SEED ROUNDS. Prints the highest number acknowledged after each death. Children are
forked, so that fifty deaths cost seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from timesync.model import Event, Record
from timesync.settings import SpoolSettings
from timesync.store.delivery import Delivery, DeliveryOptions
from timesync.store.local import HistorySink
from timesync.store.spool import Spool

OPTIONS = DeliveryOptions(linger_s=0.001, housekeeping_s=0.02)


def record(number: int) -> Record:
    return Record("time_error", number, {"target": "a"}, {"number": number, "filler": "x" * 600})


def ignore(event: Event) -> None:
    """Events are another test's business."""


async def live(directory: Path, first: int, seed: int, acknowledge: int) -> None:
    """Append numbers from `first` on, for ever; write each to the pipe once `append` has returned for it."""
    draw = random.Random(seed)
    history = HistorySink(directory / "history.sqlite3", None, clock_ns=time.time_ns, report=ignore)
    spool = Spool(SpoolSettings(directory / "spool", 60_000_000), ["history"], clock_ns=time.time_ns)
    delivery = Delivery(spool, [history], clock_ns=time.time_ns, uniform=draw.random, report=ignore, options=OPTIONS)
    task = asyncio.create_task(delivery.run())
    while not task.done():
        batch = draw.randint(1, 20)
        assert spool.append([record(number) for number in range(first, first + batch)])
        first += batch
        os.write(acknowledge, f"{first - 1}\n".encode())
        delivery.wake()
        await asyncio.sleep(draw.choice([0.0, 0.001]))
    await task


def one_life(directory: Path, first: int, draw: random.Random) -> int:
    """Start a child, kill it at a random instant, return the last number it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        asyncio.run(live(directory, first, draw.randrange(2**32), writing))
        os._exit(1)
    os.close(writing)
    if draw.random() < 0.8:  # most die at work, some while they are still opening the files
        select.select([reading], [], [], 10)
    time.sleep(draw.uniform(0.0, 0.06))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"the child ended by itself: {status}"
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().split(b"\n")[:-1]
    return int(lines[-1]) if lines else first - 1


def main() -> None:
    directory, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(seed)
    acknowledged = -1
    for _ in range(rounds):
        acknowledged = one_life(directory, acknowledged + 1, draw)
        print(acknowledged, flush=True)


if __name__ == "__main__":
    main()
