"""Delivery under simulated time: outages, wishes, refusals, live before history, an orderly end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from timesync.model import Event, Record
from timesync.settings import SpoolSettings
from timesync.store.delivery import Delivery, DeliveryOptions, backoff_s
from timesync.store.lanes import Lane
from timesync.store.sink import Refusal, SinkUnavailableError
from timesync.store.spool import Spool, SpoolOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

OPTIONS = DeliveryOptions(housekeeping_s=5.0)
NS = 10**9


class Times:
    """Simulated seconds: a wait takes none of ours, and moves the clock to where the earliest waiter wanted it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.parties = 0
        self._waiters: list[tuple[float, asyncio.Event, asyncio.Event]] = []

    def now_ns(self) -> int:
        return round(self.now_s * NS)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event is set, or until the simulation has come so far."""
        due = asyncio.Event()
        entry = (self.now_s + seconds, event, due)
        self._waiters.append(entry)
        woken = [asyncio.ensure_future(each.wait()) for each in (event, due)]
        try:
            await asyncio.wait(woken, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiters.remove(entry)
            for each in woken:
                each.cancel()

    async def pass_until(self, end_s: float) -> None:
        """Let the simulation run up to `end_s`."""
        while self.now_s < end_s:
            await self.settle()
            upcoming = min((at_s for at_s, _, due in self._waiters if not due.is_set()), default=end_s)
            self.now_s = min(max(upcoming, self.now_s), end_s)
            for at_s, _, due in self._waiters:
                if at_s <= self.now_s:
                    due.set()
            if self.now_s == end_s:
                await self.settle()

    async def settle(self) -> None:
        """Let every task come to rest: all of them wait for something that has not come (the spool's thread takes real time)."""
        for _ in range(50_000):
            await asyncio.sleep(0.0002)
            if sum(not event.is_set() and not due.is_set() for _, event, due in self._waiters) >= self.parties:
                return
        raise AssertionError("the delivery does not come to rest")


class FakeSink:
    """Takes batches while `error` is None; refuses the numbers in `refuse`."""

    at_once = 100

    def __init__(self, name: str, times: Times) -> None:
        self.name = name
        self.times = times
        self.error: Exception | None = None
        self.refuse: set[int] = set()
        self.batches: list[tuple[float, list[int]]] = []
        self.attempts_s: list[float] = []
        self.closed = False

    async def write(self, records: Sequence[Record]) -> Sequence[Refusal]:
        self.attempts_s.append(self.times.now_s)
        if self.error is not None:
            raise self.error
        self.batches.append((self.times.now_s, [int(each.fields["number"]) for each in records]))
        return [Refusal(each, "bad") for each in records if each.fields["number"] in self.refuse]

    async def close(self) -> None:
        self.closed = True

    @property
    def numbers(self) -> list[int]:
        return [number for _, batch in self.batches for number in batch]


def records(first: int, beyond: int) -> list[Record]:
    return [Record("time_error", number, {"target": "a"}, {"number": number}) for number in range(first, beyond)]


class Stage:
    """A spool, sinks and a delivery that runs under simulated time."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.directory = directory
        self.times = Times()
        self.sinks = [FakeSink(name, self.times) for name in names]
        self.times.parties = len(names) + 1
        self.events: list[Event] = []
        self.start()

    def start(self) -> None:
        names = [sink.name for sink in self.sinks]
        self.spool = Spool(SpoolSettings(self.directory), names, self.times.now_ns, SpoolOptions(far_behind=0))
        self.delivery = Delivery(
            self.spool,
            self.sinks,
            clock_ns=self.times.now_ns,
            uniform=lambda: 0.5,
            report=self.events.append,
            options=OPTIONS,
            wait=self.times.wait,
        )
        self.task = asyncio.create_task(self.delivery.run())

    def append(self, first: int, beyond: int) -> None:
        assert self.spool.append(records(first, beyond))
        self.delivery.wake()

    async def end(self, deadline_s: float = 5.0) -> bool:
        flushed = await self.delivery.stop(deadline_s)
        await self.task
        self.spool.close()
        return flushed

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path, "one", "two")
    await made.times.settle()
    yield made
    if not made.task.done():
        await made.end()


async def test_fresh_records_gather_and_go_out_soon_to_every_sink(stage: Stage) -> None:
    stage.append(0, 3)
    stage.append(3, 6)
    await stage.times.pass_until(2)
    for sink in stage.sinks:
        assert sink.numbers == list(range(6))
        assert len(sink.batches) == 1
        assert sink.batches[0][0] <= 2 * OPTIONS.linger_s
    assert stage.delivery.status().sinks["one"].delivered == 6


async def test_sink_that_is_away_holds_up_nobody_else(stage: Stage) -> None:
    one, two = stage.sinks
    one.error = SinkUnavailableError("connection refused")
    stage.append(0, 10)
    await stage.times.pass_until(3)
    assert one.numbers == []
    assert two.numbers == list(range(10))
    status = stage.delivery.status()
    assert (status.depth, status.sinks["one"].depth, status.sinks["two"].depth) == (10, 10, 0)
    assert status.sinks["one"].last_error == "connection refused"
    assert stage.kinds == ["sink_unavailable"]


async def test_pauses_grow_and_a_wish_is_honoured(stage: Stage) -> None:
    one = stage.sinks[0]
    one.error = SinkUnavailableError("busy")
    stage.append(0, 1)
    await stage.times.pass_until(120)
    pauses = [later - earlier for earlier, later in zip(one.attempts_s, one.attempts_s[1:], strict=False)]
    assert pauses == pytest.approx([0.75, 1.5, 3.0, 6.0, 12.0, 24.0, 45.0][: len(pauses)])
    assert len(pauses) >= 6
    one.error = SinkUnavailableError("busy", retry_after_s=600.0)
    await stage.times.pass_until(400)
    asked = len(one.attempts_s)
    await stage.times.pass_until(700)
    assert len(one.attempts_s) == asked
    one.error = None
    await stage.times.pass_until(900)
    assert one.numbers == [0]
    assert stage.kinds[-1] == "sink_recovered"


async def test_after_three_days_away_now_comes_first_and_history_follows_whole(stage: Stage) -> None:
    """Three days at one record a minute, a hundred in a batch: 4320 records wait."""
    one = stage.sinks[0]
    one.error = SinkUnavailableError("no route to host")
    minutes = 3 * 24 * 60
    stage.append(0, minutes)
    stage.times.now_s = minutes * 60.0
    await stage.times.settle()
    one.error = None
    stage.append(minutes, minutes + 1)
    back_s = stage.times.now_s
    await stage.times.pass_until(back_s + 200)
    where = next(index for index, (_, batch) in enumerate(one.batches) if minutes in batch)
    assert where <= 2  # the present did not wait for three days of history
    assert minutes - 1 in one.batches[where][1]  # the newest batch, then the oldest, in order
    assert [number for number in one.numbers if number <= minutes - 100] == list(range(minutes - 99))
    assert set(one.numbers) == set(range(minutes + 1))
    assert stage.delivery.status().depth == 0


async def test_live_records_keep_flowing_while_the_backlog_drains(stage: Stage) -> None:
    one = stage.sinks[0]
    one.error = SinkUnavailableError("away")
    stage.append(0, 3000)
    await stage.times.pass_until(5)
    one.error = None
    for number in range(3000, 3060):
        stage.append(number, number + 1)
        await stage.times.pass_until(stage.times.now_s + 1)
    await stage.times.pass_until(120)
    backlog_done = max(index for index, (_, batch) in enumerate(one.batches) if 2000 in batch)
    assert any(number >= 3000 for _, batch in one.batches[:backlog_done] for number in batch)
    assert set(one.numbers) == set(range(3060))


async def test_refused_records_are_kept_aside_and_block_nothing(stage: Stage) -> None:
    one = stage.sinks[0]
    one.refuse = {3}
    stage.append(0, 10)
    await stage.times.pass_until(2)
    status = stage.delivery.status()
    assert (status.sinks["one"].refused, status.sinks["one"].delivered, status.depth) == (1, 9, 0)
    assert [each.reason for each in stage.spool.refused()] == ["bad"]
    assert "sink_refused" in stage.kinds


async def test_restart_goes_on_where_the_last_run_ended(stage: Stage) -> None:
    one = stage.sinks[0]
    stage.append(0, 5)
    await stage.times.pass_until(2)
    one.error = SinkUnavailableError("away")
    stage.append(5, 9)
    await stage.times.pass_until(4)
    assert not await stage.end()
    assert one.closed
    one.error = None
    stage.start()
    await stage.times.pass_until(8)
    assert one.numbers == list(range(9))


async def test_end_flushes_what_the_sinks_take_at_once(stage: Stage) -> None:
    stage.append(0, 950)
    assert await stage.end()
    assert set(stage.sinks[0].numbers) == set(range(950))


async def test_end_flushes_what_is_stored_while_a_sink_looks_at_its_backlog(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_worker, ends = stage.spool.in_worker, []

    async def slow(work: Any, *args: Any) -> Any:
        found = await in_worker(work, *args)
        if Lane.BACKLOG in args and not ends:
            stage.append(10, 12)  # the end comes, with its last records, when the look at the live ones is over
            ends.append(asyncio.create_task(stage.end()))
            await asyncio.sleep(0)
        return found

    monkeypatch.setattr(stage.spool, "in_worker", slow)
    stage.append(0, 10)
    passing = asyncio.create_task(stage.times.pass_until(1.0))
    async with asyncio.timeout(10):
        while not ends:
            await asyncio.sleep(0.001)
        assert await ends[0]
    passing.cancel()
    assert all(sink.numbers == list(range(12)) for sink in stage.sinks)


async def test_end_does_not_wait_for_a_sink_beyond_its_deadline(stage: Stage) -> None:
    async def never(records: Sequence[Record]) -> Sequence[Refusal]:
        await asyncio.Event().wait()
        return []

    stage.sinks[0].write = never  # type: ignore[method-assign]  # a sink that hangs
    stage.times.parties = 2
    stage.append(0, 5)
    await stage.times.pass_until(2)
    assert not await stage.end(deadline_s=0.05)
    assert stage.sinks[1].numbers == list(range(5))


async def test_fault_of_the_operating_system_in_a_sink_is_an_outage_not_a_crash(stage: Stage) -> None:
    stage.sinks[0].error = OSError(113, "No route to host")
    stage.append(0, 5)
    await stage.times.pass_until(2)
    assert not stage.task.done()
    assert stage.delivery.status().sinks["one"].depth == 5


async def test_surprise_in_a_sink_is_an_outage_with_a_trace_not_a_crash(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = stage.sinks
    one.error = ValueError("a reply that the client cannot read")
    stage.append(0, 5)
    await stage.times.pass_until(2)
    assert not stage.task.done()
    assert two.numbers == list(range(5))
    assert stage.delivery.status().sinks["one"].last_error == "a reply that the client cannot read"
    assert "Traceback" in caplog.text
    one.error = None
    await stage.times.pass_until(10)
    assert one.numbers == list(range(5))
    assert stage.kinds == ["sink_unavailable", "sink_recovered"]


async def test_sink_that_cannot_be_closed_leaves_none_open(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise RuntimeError("already gone")

    stage.sinks[0].close = fails  # type: ignore[method-assign]  # a sink that fails
    assert await stage.end()
    assert stage.sinks[1].closed
    assert "already gone" in caplog.text


async def test_end_tries_a_sink_in_its_pause_once_more(stage: Stage) -> None:
    one = stage.sinks[0]
    one.error = SinkUnavailableError("restarting")
    stage.append(0, 250)
    await stage.times.pass_until(3.1)
    one.error = None
    assert await stage.end()
    assert sorted(one.numbers) == list(range(250))


async def test_end_tries_a_sink_that_is_still_away_only_once(stage: Stage) -> None:
    one = stage.sinks[0]
    one.error = SinkUnavailableError("restarting")
    stage.append(0, 5)
    await stage.times.pass_until(3.1)
    tries = len(one.attempts_s)
    assert not await stage.end()
    assert len(one.attempts_s) == tries + 1


@pytest.mark.parametrize(
    ("failures", "wish_s", "uniform", "expected"),
    [
        (1, None, 0.0, 0.5),
        (1, None, 1.0, 1.0),
        (3, None, 0.0, 2.0),
        (100, None, 1.0, 60.0),
        (1, 30.0, 0.0, 30.0),
        (1, 1e9, 0.0, 3600.0),
    ],
)
def test_pause_doubles_up_to_a_limit_with_its_upper_half_random(
    failures: int, wish_s: float | None, uniform: float, expected: float
) -> None:
    assert backoff_s(failures, wish_s, uniform, DeliveryOptions()) == pytest.approx(expected)
