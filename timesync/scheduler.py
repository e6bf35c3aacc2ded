"""When each target is polled: thousands of targets in one process, spread out, each at its own interval.

Rule: polls are due on a fixed grid (no drift by the time a poll takes), are spread by a low-discrepancy sequence so that no two
crowd, and fall within a second after a poll of their reference where the reference is polled more often than the target.
A poll that could not begin in time is told as such; it is never made up for by polling faster. After a stall each job is told once
of all the turns it lost, and the loop gets its turn between two such jobs.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Job", "Scheduler", "Skip", "phase_s"]

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
# A poll that is due this soon after one that begins comes with it, that much early, but by no more than this share of its
# interval: waking the loop, and writing to the disk what a turn of it brought, cost as much as asking. At 1,000 polls a second it
# joins 25.
TOGETHER_S = 0.025
TOGETHER_SHARE = 0.025
# How long a poll that was cancelled may take to end before it is left to itself.
PATIENCE_S = 5.0
# A target is measured within this time after its reference (the probe's oscillator is all that lies between).
NEAR_REFERENCE_S = 1.0


def phase_s(index: int, interval_s: float, reference_interval_s: float | None) -> float:
    """Where in its interval the target number `index` is polled, seconds after the grid's zero.

    Without a reference the phases fill the interval evenly (multiples of the golden ratio). With a reference that is polled every
    `reference_interval_s` (at phase 0), shorter than the interval, the targets are dealt to the reference's polls in turn and fall
    into the second that follows each.
    """
    fraction = (index * GOLDEN) % 1.0
    if reference_interval_s is None or reference_interval_s >= interval_s:
        window = interval_s if reference_interval_s is None else min(interval_s, NEAR_REFERENCE_S)
        return fraction * window
    slots = int(interval_s / reference_interval_s)
    return (index % slots) * reference_interval_s + fraction * min(reference_interval_s, NEAR_REFERENCE_S)


@dataclass(frozen=True, slots=True)
class Skip:
    """Turns of the grid that were not polled: how many, and how long ago the first and the last of them were due."""

    count: int
    first_late_s: float
    last_late_s: float


@dataclass(slots=True)
class Job:
    """One target's polls. `run` polls once; `skipped` is told when a poll was due while the last still ran or the loop was late."""

    name: str
    interval_s: float
    phase_s: float
    run: Callable[[], Awaitable[None]]
    skipped: Callable[[Skip], None]
    burst: int = 1
    burst_spacing_s: float = 0.0
    active: asyncio.Task[None] | None = field(default=None, repr=False)
    removed: bool = False
    early_s: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.early_s = min(TOGETHER_S, TOGETHER_SHARE * self.interval_s)


class Scheduler:
    """Runs jobs on the asyncio loop until it is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._origin_s = loop.time()
        self._due: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._jobs: dict[str, Job] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = loop.create_future()
        self.late_s = 0.0

    @property
    def overdue_s(self) -> float:
        """For how long a poll has been due that has not begun; it grows if nobody wakes the scheduler any more."""
        return max(0.0, self._loop.time() - self._due[0][0]) if self._due else 0.0

    def add(self, job: Job) -> None:
        """Begin to poll: the first poll comes at the job's phase of the grid, at once if that is now.

        Raises ValueError if there is a job of that name.
        """
        if job.name in self._jobs:
            raise ValueError(f"a job named {job.name!r} is already polled; remove it first")
        self._jobs[job.name] = job
        now_s = self._loop.time() - self._origin_s
        turns = max(0, math.ceil((now_s - job.phase_s) / job.interval_s))
        self._push(job, self._origin_s + job.phase_s + turns * job.interval_s)

    async def remove(self, name: str) -> None:
        """Stop to poll; a poll under way is cancelled. One that does not heed that is left to itself after 5 s."""
        job = self._jobs.pop(name)
        job.removed = True
        if job.active is not None:
            job.active.cancel()
            await asyncio.wait([job.active], timeout=PATIENCE_S)

    async def run(self) -> None:
        """Until `close`; raises what a job's own bookkeeping raised (a poll's failure is the job's to handle)."""
        await self._stopped

    async def close(self) -> None:
        """Stop all jobs."""
        if self._timer is not None:
            self._timer.cancel()
        for name in list(self._jobs):
            await self.remove(name)
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _push(self, job: Job, at_s: float) -> None:
        heapq.heappush(self._due, (at_s, next(self._order), job))
        if self._due[0][2] is job:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due[0][0], self._tick) if self._due else None

    def _tick(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        if self._due:
            self.late_s = max(0.0, now_s - self._due[0][0])
        try:
            while self._due and self._due[0][0] <= now_s + self._due[0][2].early_s:
                at_s, _, job = heapq.heappop(self._due)
                if job.removed:
                    continue
                late_s = max(0.0, now_s - at_s)
                behind = int(late_s / job.interval_s)
                heapq.heappush(self._due, (at_s + (behind + 1) * job.interval_s, next(self._order), job))
                lost = behind + 1
                if job.active is None:
                    job.active = self._loop.create_task(self._run(job))
                    lost = behind
                if lost:
                    last_late_s = late_s - behind * job.interval_s
                    job.skipped(Skip(lost, last_late_s + (lost - 1) * job.interval_s, last_late_s))
                if behind:
                    break  # telling takes time: the loop has its turn before the next job
        finally:
            self._arm()  # whatever a job's bookkeeping raises, the others are polled on

    async def _run(self, job: Job) -> None:
        try:
            await job.run()
            for _ in range(job.burst - 1):
                await asyncio.sleep(job.burst_spacing_s)
                await job.run()
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits `run`, whatever it is
            if not self._stopped.done():
                self._stopped.set_exception(error)
        finally:
            job.active = None
