"""When targets are polled, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.virtualtime import run

from timesync.scheduler import TOGETHER_S, Job, Scheduler, Skip, phase_s

if TYPE_CHECKING:
    from support.virtualtime import VirtualLoop


class Log:
    """Begins of polls and what was told of skipped ones, in seconds since the scheduler was made."""

    def __init__(self, loop: VirtualLoop, takes_s: float = 0.0) -> None:
        self.loop = loop
        self.origin_s = loop.time()
        self.takes_s = takes_s
        self.begun: list[tuple[float, str]] = []
        self.skipped: list[tuple[float, Skip]] = []

    def job(self, name: str, interval_s: float, phase: float = 0.0, *, burst: int = 1, spacing_s: float = 0.25) -> Job:
        async def poll() -> None:
            self.begun.append((self.now_s, name))
            if self.takes_s:
                await asyncio.sleep(self.takes_s)

        return Job(
            name, interval_s, phase, poll, lambda skip: self.skipped.append((self.now_s, skip)), burst, spacing_s
        )

    @property
    def now_s(self) -> float:
        return round(self.loop.time() - self.origin_s, 6)

    def times(self, name: str) -> list[float]:
        return [at for at, who in self.begun if who == name]


def test_polls_lie_on_the_grid_however_long_a_poll_takes() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop, takes_s=0.7), Scheduler(loop)
        scheduler.add(log.job("a", 2.0, 0.5))
        await asyncio.sleep(100.0)
        await scheduler.close()
        assert log.times("a") == [0.5 + 2.0 * turn for turn in range(50)]
        assert log.skipped == []

    run(main)


def test_job_added_later_joins_the_same_grid() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        await asyncio.sleep(7.3)
        scheduler.add(log.job("a", 4.0, 1.0))
        await asyncio.sleep(10.0)
        await scheduler.close()
        assert log.times("a") == [9.0, 13.0, 17.0]

    run(main)


def test_job_due_now_begins_now() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        scheduler.add(log.job("a", 4.0, 0.0))
        await asyncio.sleep(0.001)
        await scheduler.close()
        assert log.times("a") == [0.0]

    run(main)


def test_poll_that_outlasts_its_interval_skips_the_next_and_says_so() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop, takes_s=1.5), Scheduler(loop)
        scheduler.add(log.job("a", 1.0))
        await asyncio.sleep(6.1)
        await scheduler.close()
        assert log.times("a") == [0.0, 2.0, 4.0, 6.0]
        assert [at for at, _ in log.skipped] == [1.0, 3.0, 5.0]
        assert {skip.count for _, skip in log.skipped} == {1}

    run(main)


def test_loop_that_was_held_up_tells_the_missed_turns_at_once_and_does_not_catch_up() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        scheduler.add(log.job("a", 1.0))
        await asyncio.sleep(0.5)
        loop.now_s += 4.0  # the process was stopped
        await asyncio.sleep(0.0)
        await asyncio.sleep(2.0)
        await scheduler.close()
        # Turn 1 is late by 3.5 s; 2, 3 and 4 were due 2.5, 1.5 and 0.5 s before; the grid goes on at 5.
        assert log.times("a") == [0.0, 4.5, 5.0, 6.0]
        ((_, skip),) = log.skipped
        assert (skip.count, skip.first_late_s, skip.last_late_s) == (3, pytest.approx(2.5), pytest.approx(0.5))
        assert scheduler.late_s < 0.001

    run(main)


def test_after_a_stall_the_loop_has_its_turn_between_two_targets() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        for index in range(1000):
            scheduler.add(log.job(str(index), 0.05, 0.001))
        await asyncio.sleep(0.0)
        loop.now_s += 3600.0  # the process was stopped for an hour
        told = [len(log.skipped)]
        while told[-1] < 1000:
            await asyncio.sleep(0.0)
            told.append(len(log.skipped))
        await asyncio.sleep(0.0)
        assert max(after - before for before, after in itertools.pairwise(told)) <= 2
        assert sum(skip.count for _, skip in log.skipped) == 1000 * 71_999
        assert len(log.begun) >= 1000
        await scheduler.close()

    run(main)


def test_turns_lost_while_the_last_poll_still_runs_are_counted_with_the_one_that_is_due() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop, takes_s=60.0), Scheduler(loop)
        scheduler.add(log.job("a", 1.0))
        await asyncio.sleep(0.5)
        loop.now_s += 4.0
        await asyncio.sleep(0.1)
        await scheduler.close()
        ((_, skip),) = log.skipped
        assert (skip.count, skip.first_late_s, skip.last_late_s) == (4, pytest.approx(3.5), pytest.approx(0.5))

    run(main)


def test_every_turn_of_the_grid_is_a_poll_or_a_skip() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop, takes_s=0.3), Scheduler(loop)
        scheduler.add(log.job("a", 1.0))
        for stall_s in (0.0, 2.2, 0.0, 7.9, 0.4, 1.0):
            await asyncio.sleep(1.7)
            loop.now_s += stall_s
        await asyncio.sleep(1.0)
        turns = math.floor(log.now_s) + 1
        await scheduler.close()
        assert len(log.begun) + sum(skip.count for _, skip in log.skipped) == turns

    run(main)


def test_poll_of_a_short_interval_is_not_drawn_forward_by_more_than_a_hundredth_of_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        for name, phase in (("a", 0.05), ("b", 0.0524), ("c", 0.0526)):
            scheduler.add(log.job(name, 0.1, phase))
        await asyncio.sleep(0.1)
        await scheduler.close()
        assert log.times("a") == log.times("b") == [0.05]
        assert log.times("c") == [0.0526]

    run(main)


def test_polls_due_together_begin_together_and_each_keeps_its_grid() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        for name, phase in (("a", 0.5), ("b", 0.524), ("c", 0.526)):
            scheduler.add(log.job(name, 1.0, phase))
        await asyncio.sleep(3.0)
        await scheduler.close()
        assert log.times("a") == log.times("b") == [0.5, 1.5, 2.5]
        assert log.times("c") == [0.526, 1.526, 2.526]
        assert log.skipped == []

    run(main)


def test_lateness_is_told() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        scheduler.add(log.job("a", 10.0))
        await asyncio.sleep(5.0)
        loop.now_s += 5.25
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        late_s = scheduler.late_s
        await scheduler.close()
        assert late_s == pytest.approx(0.25)

    run(main)


def test_burst_polls_several_times_in_one_turn() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop, takes_s=0.1), Scheduler(loop)
        scheduler.add(log.job("a", 16.0, burst=4, spacing_s=0.25))
        await asyncio.sleep(20.0)
        await scheduler.close()
        assert log.times("a") == [0.0, 0.35, 0.7, 1.05, 16.0, 16.35, 16.7, 17.05]

    run(main)


def test_removed_job_is_not_polled_again_and_its_poll_is_cancelled() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop, takes_s=0.5), Scheduler(loop)
        scheduler.add(log.job("a", 1.0))
        scheduler.add(log.job("b", 1.0, 0.2))
        await asyncio.sleep(2.3)
        await scheduler.remove("b")
        assert log.now_s == 2.3
        await asyncio.sleep(3.0)
        await scheduler.close()
        assert log.times("b") == [0.2, 1.2, 2.2]
        assert log.times("a") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    run(main)


def test_job_may_come_back_under_its_name_after_removal_only() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        scheduler.add(log.job("a", 1.0))
        with pytest.raises(ValueError, match="already"):
            scheduler.add(log.job("a", 2.0))
        await asyncio.sleep(0.5)
        await scheduler.remove("a")
        scheduler.add(log.job("a", 2.0))
        await asyncio.sleep(4.0)
        await scheduler.close()
        assert log.times("a") == [0.0, 2.0, 4.0]

    run(main)


def test_failure_of_a_job_ends_the_run_with_its_error() -> None:
    async def main(loop: VirtualLoop) -> None:
        scheduler = Scheduler(loop)

        async def fails() -> None:
            raise KeyError("bookkeeping")

        scheduler.add(Job("a", 1.0, 0.5, fails, lambda skip: None))
        with pytest.raises(KeyError):
            await scheduler.run()
        await scheduler.close()

    run(main)


def test_failure_while_telling_a_skip_does_not_stop_the_others() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        told: list[object] = []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

        def fails(skip: Skip) -> None:
            raise KeyError("bookkeeping")

        bad = log.job("bad", 1.0)
        bad.skipped = fails
        scheduler.add(bad)
        scheduler.add(log.job("good", 1.0, 0.4))
        await asyncio.sleep(0.9)
        loop.now_s += 3.0
        await asyncio.sleep(3.0)
        await scheduler.close()
        assert told
        assert log.times("good")[-2:] == [5.4, 6.4]
        assert log.times("bad")[-2:] == [5.0, 6.0]

    run(main)


def test_poll_that_does_not_heed_its_end_is_left_to_itself() -> None:
    async def main(loop: VirtualLoop) -> None:
        scheduler = Scheduler(loop)

        async def deaf() -> None:
            while loop.time() < 1100.0:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(200.0)

        scheduler.add(Job("a", 1000.0, 0.0, deaf, lambda skip: None))
        await asyncio.sleep(1.0)
        await scheduler.close()
        assert loop.time() == pytest.approx(1006.0)
        await asyncio.sleep(300.0)

    run(main)


def test_close_ends_the_run() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop, takes_s=5.0), Scheduler(loop)
        scheduler.add(log.job("a", 1.0))
        loop.call_later(0.5, lambda: closing.append(loop.create_task(scheduler.close())))
        closing: list[asyncio.Task[None]] = []
        await scheduler.run()
        await closing[0]
        assert log.now_s == 0.5

    run(main)


def test_thousands_of_targets_are_spread_and_each_keeps_its_interval() -> None:
    async def main(loop: VirtualLoop) -> None:
        log, scheduler = Log(loop), Scheduler(loop)
        count = 5000
        for index in range(count):
            scheduler.add(log.job(str(index), 16.0, phase_s(index, 16.0, None)))
        await asyncio.sleep(48.0 - TOGETHER_S - 1e-6)  # the fourth round may begin so much early
        await scheduler.close()
        due_later = int(TOGETHER_S * count / 16.0) + 1
        assert 3 * count - due_later <= len(log.begun) <= 3 * count
        by_name: dict[str, list[float]] = {}
        for at, name in log.begun:
            by_name.setdefault(name, []).append(at)
        # A poll may come with one that is due just before it; its own grid stays.
        early = TOGETHER_S + 2e-6
        assert all(b - a == pytest.approx(16.0, abs=early) for t in by_name.values() for a, b in itertools.pairwise(t))
        assert all(t[-1] - t[0] == pytest.approx(16.0 * (len(t) - 1), abs=early) for t in by_name.values())
        # 312.5 polls a second are due; a tenth of a second sees about 31, and never twice as many or half.
        slots = [0] * 479
        for at, _ in log.begun:
            if at < 47.9:
                slots[int(at * 10)] += 1
        assert min(slots) >= 23
        assert max(slots) <= 40
        assert log.skipped == []

    run(main)


# Phases


@given(st.integers(2, 2000), st.floats(0.1, 3600.0))
def test_phases_without_a_reference_fill_the_interval_without_crowding(count: int, interval_s: float) -> None:
    phases = sorted(phase_s(index, interval_s, None) for index in range(count))
    assert phases[0] >= 0.0
    assert phases[-1] < interval_s
    # Multiples of the golden ratio: no gap is smaller than 1 / (sqrt 5 n) of the circle (Hurwitz), with a little room.
    least = min(b - a for a, b in itertools.pairwise(phases))
    assert least > 0.3 * interval_s / count


@given(st.integers(0, 5000), st.integers(1, 60), st.sampled_from([0.5, 1.0, 2.0, 4.0, 16.0]))
def test_target_is_polled_within_a_second_after_its_reference(index: int, ratio: int, reference_s: float) -> None:
    interval_s = ratio * reference_s
    phase = phase_s(index, interval_s, reference_s)
    assert 0.0 <= phase < interval_s
    assert phase % reference_s < min(1.0, reference_s)


def test_targets_are_dealt_evenly_to_the_polls_of_a_faster_reference() -> None:
    turns = [int(phase_s(index, 64.0, 8.0) // 8.0) for index in range(800)]
    assert [turns.count(turn) for turn in range(8)] == [100] * 8


@given(st.integers(0, 5000), st.floats(0.5, 100.0), st.floats(1.0, 4.0))
def test_target_as_fast_as_its_reference_or_faster_follows_it_within_a_second(
    index: int, interval_s: float, times: float
) -> None:
    phase = phase_s(index, interval_s, interval_s * times)
    assert 0.0 <= phase < min(1.0, interval_s)
