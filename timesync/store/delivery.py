"""The asyncio shell that drains the spool into the sinks, each at its own pace.

Rule: a batch is settled in the spool only after the sink has it. A sink that is away is asked again with growing, jittered
pauses (its own Retry-After honoured) and holds up nobody else. While there is a backlog, live records and old ones take
turns. Randomness, clock and waiting are injected.
Source for the jitter: "Exponential Backoff And Jitter" (AWS Architecture Blog), the "equal jitter" form.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from timesync.errors import StoreError
from timesync.model import Event, Severity
from timesync.store.lanes import Lane
from timesync.store.sink import SinkUnavailableError
from timesync.store.status import SinkStatus, SpoolStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from timesync.store.sink import Refusal, Sink
    from timesync.store.spool import Batch, Spool

__all__ = ["Delivery", "DeliveryOptions", "backoff_s", "wait_for"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How long fresh records gather before they go out, the pauses after failures, the housekeeping beat."""

    linger_s: float = 0.5
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    longest_wish_s: float = 3600.0
    housekeeping_s: float = 1.0


def backoff_s(failures: int, wish_s: float | None, uniform: float, options: DeliveryOptions) -> float:
    """How long to wait after so many failures in a row, in seconds; `uniform` is drawn from [0, 1).

    Doubles up to the longest pause, the upper half of it random; a sink's own wish is honoured up to an hour.
    """
    whole = min(options.longest_pause_s, options.first_pause_s * 2.0 ** min(failures - 1, 30))
    jittered = whole / 2 + whole / 2 * uniform
    if wish_s is None:
        return jittered
    return max(jittered, min(wish_s, options.longest_wish_s) * (1 + 0.1 * uniform))


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


class Delivery:
    """Runs one task for each sink and one that keeps the spool in order.

    `clock_ns` stamps, `uniform` gives numbers in [0, 1), `report` hears of outages, recoveries and the spool's own events on
    the event loop, `wait` waits for an event or a time (tests put a simulated one here).
    """

    def __init__(
        self,
        spool: Spool,
        sinks: Sequence[Sink],
        *,
        clock_ns: Callable[[], int],
        uniform: Callable[[], float],
        report: Callable[[Event], None],
        options: DeliveryOptions = DeliveryOptions(),
        wait: Callable[[asyncio.Event, float], Awaitable[None]] = wait_for,
    ) -> None:
        """Nothing happens before `run`. The spool must have been opened (or told by `set_sinks`) for these sinks."""
        self._spool = spool
        self._clock_ns = clock_ns
        self._uniform = uniform
        self._report = report
        self._options = options
        self._wait = wait
        self._sinks = {sink.name: sink for sink in sinks}
        self._health = {sink.name: SinkStatus() for sink in sinks}
        self._in_a_row = dict.fromkeys(self._health, 0)
        self._fresh = {sink.name: asyncio.Event() for sink in sinks}
        self._stopping = asyncio.Event()
        self._never = asyncio.Event()
        self._ended = asyncio.Event()
        self._deadline_s = 0.0
        self._running = False

    def wake(self) -> None:
        """New records are in the spool: call it after `Spool.append`."""
        for fresh in self._fresh.values():
            fresh.set()

    async def run(self) -> None:
        """Deliver until `stop`; then return. The sinks are closed in any case, the spool is left open."""
        self._running = not self._stopping.is_set()
        try:
            if not self._running:  # told to stop before it began: whoever did so may have closed the spool
                return
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self._keep_order())
                serving = [group.create_task(self._serve(sink)) for sink in self._sinks.values()]
                await self._stopping.wait()
                if serving:
                    await asyncio.wait(serving, timeout=self._deadline_s)
                for task in (*serving, keeper):
                    task.cancel()
        finally:
            for sink in self._sinks.values():
                await _close(sink)
            self._tell_events()
            self._ended.set()

    async def stop(self, deadline_s: float) -> bool:
        """Flush: give each sink what it has not got, for at most so long; true if all of it went out.

        A sink that was away is tried once more: it may be back, and its pause is longer than there is time for.
        What did not go out stays in the spool for the next start. Returns when `run` has ended; a `run` that has not begun
        by now delivers nothing any more.
        """
        self._deadline_s = deadline_s
        self._stopping.set()
        self.wake()
        if self._running:
            await self._ended.wait()
        return self._spool.status().depth == 0

    def status(self) -> SpoolStatus:
        """The spool's figures with each sink's health in them."""
        status = self._spool.status()
        sinks = {
            name: replace(
                self._health.get(name, SinkStatus()), depth=each.depth, backlog=each.backlog, refused=each.refused
            )
            for name, each in status.sinks.items()
        }
        return replace(status, sinks=sinks)

    async def _serve(self, sink: Sink) -> None:
        """Hand batches to one sink, live and backlog in turns, until told to stop and nothing is left."""
        turns: tuple[Lane, ...] = (Lane.LIVE, Lane.BACKLOG)
        while True:
            self._fresh[sink.name].clear()
            ending = self._stopping.is_set()  # before the look: what is stored during it is for another one
            if ending and Lane.LIVE not in turns:
                turns = (Lane.LIVE, Lane.BACKLOG)
            batch = await self._next(sink, turns)
            if batch is None:
                if ending:
                    return
                if not self._stopping.is_set():
                    await self._wait(self._fresh[sink.name], self._options.housekeeping_s)
                    await self._wait(self._stopping, self._options.linger_s)
                turns = (Lane.LIVE, Lane.BACKLOG)
                continue
            is_last_try = self._stopping.is_set()
            if not await self._hand_over(sink, batch):
                if is_last_try:
                    return
                continue  # also where the pause was cut short by `stop`: that is the last try's turn
            if batch.lane is Lane.BACKLOG:
                turns = (Lane.LIVE, Lane.BACKLOG)
            elif len(batch.records) < sink.at_once and not self._stopping.is_set():
                turns = (Lane.BACKLOG,)  # the live lane is up to date: let records gather before it is read again
            else:
                turns = (Lane.BACKLOG, Lane.LIVE)

    async def _next(self, sink: Sink, turns: Sequence[Lane]) -> Batch | None:
        for lane in turns:
            try:
                batch = await self._spool.in_worker(self._spool.read, sink.name, lane, sink.at_once)
            except StoreError as error:
                await self._failed(sink.name, error, None)
                return None
            if batch is not None:
                return batch
        return None

    async def _hand_over(self, sink: Sink, batch: Batch) -> bool:
        """Give one batch to the sink and settle it; false (after a pause) if the sink cannot take it now."""
        refusals: Sequence[Refusal] = ()
        if batch.records:
            try:
                refusals = await sink.write(batch.records)
            except SinkUnavailableError as error:
                await self._failed(sink.name, error, error.retry_after_s)
                return False
            except (OSError, StoreError) as error:
                await self._failed(sink.name, error, None)
                return False
            except Exception as error:
                # A sink is a client library and a database we do not know: whatever it raises, the records are safe in the spool
                # and the other sinks and the measuring must go on. It is a fault of ours or theirs, so the log has all of it.
                log.exception("sink %r failed unexpectedly", sink.name)
                await self._failed(sink.name, error, None)
                return False
        await self._spool.in_worker(self._spool.settle, batch, refusals)
        self._succeeded(sink.name, batch, refusals)
        return True

    def _succeeded(self, name: str, batch: Batch, refusals: Sequence[Refusal]) -> None:
        now_ns = self._clock_ns()
        before = self._health[name]
        if before.unavailable_since_ns is not None:
            away_s = (now_ns - before.unavailable_since_ns) * 1e-9
            self._tell("sink_recovered", Severity.INFO, f"sink {name!r} takes records again after {away_s:.0f} s", name)
        if refusals:
            text = f"sink {name!r} refused {len(refusals)} records, kept aside; the first: {refusals[0].reason}"
            self._tell("sink_refused", Severity.ERROR, text, name)
        self._health[name] = replace(
            before,
            delivered=before.delivered + len(batch.records) - len(refusals),
            unavailable_since_ns=None,
            last_delivered_at_ns=now_ns,
            last_error=None,
        )

    async def _failed(self, name: str, error: Exception, wish_s: float | None) -> None:
        before = self._health[name]
        text = str(error) or type(error).__name__
        in_a_row = self._in_a_row[name] = self._in_a_row[name] + 1 if before.unavailable_since_ns is not None else 1
        if text != before.last_error:
            self._tell("sink_unavailable", Severity.WARNING, f"sink {name!r} does not take records: {text}", name)
        since_ns = before.unavailable_since_ns if before.unavailable_since_ns is not None else self._clock_ns()
        self._health[name] = replace(
            before, failures=before.failures + 1, unavailable_since_ns=since_ns, last_error=text
        )
        await self._wait(self._stopping, backoff_s(in_a_row, wish_s, self._uniform(), self._options))

    async def _keep_order(self) -> None:
        """Once a second: try the disk again, sync and tidy the spool, tell what happened there."""
        while True:
            self._spool.retry()
            await self._spool.in_worker(self._spool.maintain)
            self._tell_events()
            await self._wait(self._never, self._options.housekeeping_s)

    def _tell_events(self) -> None:
        for event in self._spool.take_events():
            self._report(event)

    def _tell(self, kind: str, severity: Severity, text: str, sink: str) -> None:
        self._report(Event(kind, self._clock_ns(), severity, text, evidence={"sink": sink}))


async def _close(sink: Sink) -> None:
    """Close a sink; what it raises must not keep the others open, nor end the daemon."""
    try:
        await sink.close()
    except Exception:
        log.exception("sink %r could not be closed properly", sink.name)
