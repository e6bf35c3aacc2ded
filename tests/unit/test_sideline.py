"""A service beside the measuring that fails is told, begun again, and ends nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from timesync.sideline import keep_going

if TYPE_CHECKING:
    from timesync.model import Event


async def test_service_that_fails_is_told_once_with_its_error_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise KeyError("gone")

    await keep_going("links", work, told.append, lambda: 5, pause_s=0.0)
    assert begun == 4
    (event,) = told
    assert (event.kind, event.at_ns, event.evidence) == ("service_failed", 5, {"service": "links"})
    assert "KeyError: 'gone'" in event.text
    assert sum("failed" in entry.message for entry in caplog.records) == 3


async def test_another_error_is_told_too() -> None:
    told: list[Event] = []
    errors = iter([ValueError("one"), ValueError("two")])

    async def work() -> None:
        for error in errors:
            raise error

    await keep_going("utc", work, told.append, lambda: 0, pause_s=0.0)
    assert [event.text.rpartition(": ")[2] for event in told] == ["one", "two"]


async def test_cancelling_ends_the_service() -> None:
    async def work() -> None:
        await asyncio.sleep(3600)

    task = asyncio.create_task(keep_going("beat", work, lambda event: None, lambda: 0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
