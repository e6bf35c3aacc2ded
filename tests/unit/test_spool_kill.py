"""What `append` acknowledged survives kill -9 at any instant, and reaches an idempotent sink, once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import support.spool_victim as victim
from support.handing_on import numbers_handed_on

if TYPE_CHECKING:
    from pathlib import Path


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

    numbers = await numbers_handed_on(tmp_path)
    assert numbers[: last[-1] + 1] == list(range(last[-1] + 1))
