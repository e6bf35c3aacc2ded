"""Measuring: engines, probers, schedule and pipeline of one probe, in one place.

Rule: every poll of every target ends in rows given to `store`, and every surprise (an instrument that raises, a clock that
steps, a poll that came too late) is a row too. Stores nothing and serves nothing itself: the daemon does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from timesync.clockwatch import ClockWatch, read_clocks
from timesync.engines import Engines
from timesync.errors import TimesyncError
from timesync.instrument import CLOSE_S, InstrumentError, Told, Unopened, ask
from timesync.learning import Learner
from timesync.model import Event, Missed, Severity
from timesync.pipeline import Pipeline
from timesync.plugin import load_kind
from timesync.reasons import Reason
from timesync.scheduler import Job, Scheduler, Skip, phase_s
from timesync.slews import SlewWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.clockwatch import ClockChange
    from timesync.model import Outcome, Record, TimeError
    from timesync.plugin import EngineCounts, Prober
    from timesync.reference.published import UtcBook
    from timesync.settings import ProbeSettings, TargetSettings
    from timesync.slews import Slew

__all__ = ["Measuring", "Polled"]

log = logging.getLogger(__name__)

TICK_S = 1.0


@dataclass(slots=True)
class _Measured:
    """A target in service. `asking`: a poll is under way; `closed`: what it still tells has no place any more."""

    settings: TargetSettings
    prober: Prober
    protocol: str
    asking: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Polled:
    """How an engine gets on: polls completed, how long ago the newest was (None: none yet), and how long one may take to follow."""

    polls: int
    age_s: float | None
    period_s: float


class Measuring:
    """Call `start`, then `tick` about once a second, and `stop` at the end; all on one running loop."""

    def __init__(
        self,
        settings: ProbeSettings,
        store: Callable[[Sequence[Record]], object],
        tell: Callable[[Event], object] = lambda event: None,  # noqa: ARG005 - nobody listens
        found: Callable[[TargetSettings], object] = lambda target: None,  # noqa: ARG005 - nobody asks
        keep_drafts: Callable[[Sequence[Record]], object] = lambda rows: None,  # noqa: ARG005 - nothing has to survive
        lost: Callable[[str], object] = lambda name: None,  # noqa: ARG005 - nobody asks
        utc: UtcBook | None = None,
        linked: Callable[[TimeError], object] = lambda error: None,  # noqa: ARG005 - nobody asks
    ) -> None:
        """`found` is told of each clock that a target's polls have found besides, before its first row is stored; `lost` when its
        state had to make room.

        `keep_drafts` gets the rows of measurements that wait for their reference, which `store` will get again, complete.
        """
        self.settings = settings
        self._slews = SlewWatch(settings.oscillator_ppm * 1e-6)
        self._learner = Learner()
        self.pipeline = Pipeline(settings, found, self._slews.excess_s, lost, utc, linked, self._learner.learn)
        self._polls: Counter[str] = Counter()
        self._store = store
        self._keep_drafts = keep_drafts
        self._tell = tell
        self._watch = ClockWatch(read_clocks())
        self._engines = Engines(self.event, self.clock_epoch)
        self._polled_s: dict[str, float] = {}
        self._targets: dict[str, _Measured] = {}
        self._scheduler: Scheduler | None = None
        self._opened = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clocks_read = False

    @property
    def clock_steps(self) -> int:
        """Steps of the probe's wall clock seen so far."""
        return self._watch.steps

    @property
    def suspends(self) -> int:
        """Sleeps of the probe's machine seen so far."""
        return self._watch.suspends

    @property
    def schedule_lag_s(self) -> float:
        """How late the newest poll began."""
        return self._scheduler.late_s if self._scheduler is not None else 0.0

    @property
    def overdue_s(self) -> float:
        """For how long a poll has been due that has not begun."""
        return self._scheduler.overdue_s if self._scheduler is not None else 0.0

    def engine_counts(self) -> Mapping[str, EngineCounts]:
        """What each engine in use has seen, by its kind."""
        return self._engines.counts()

    def polled(self, now_s: float) -> Mapping[str, Polled]:
        """How each engine in use gets on with its polls, by its kind, at `now_s` (the loop's time)."""
        by_kind: dict[str, list[TargetSettings]] = {}
        for measured in self._targets.values():
            by_kind.setdefault(measured.settings.kind, []).append(measured.settings)
        polled = {}
        for kind, targets in by_kind.items():
            newest_s = self._polled_s.get(kind)
            age_s = None if newest_s is None else now_s - newest_s
            polled[kind] = Polled(self._polls[kind], age_s, min(each.interval_s + each.timeout_s for each in targets))
        return polled

    async def start(self) -> None:
        """Open every target and begin to poll.

        Raises ConfigError, UnknownProbeKindError or OSError if a target cannot be opened; nothing is left open then. An instrument
        that fails otherwise is opened again at each of its polls.
        """
        self._loop = asyncio.get_running_loop()
        self._scheduler = Scheduler(self._loop)
        try:
            for target in self.settings.targets:
                self._begin(await self._opened_target(target, self.settings))
        except BaseException:
            await self.stop()
            raise

    async def run(self) -> None:
        """Until `stop`; raises what went wrong in the bookkeeping itself."""
        assert self._scheduler is not None
        await self._scheduler.run()

    async def reconfigure(self, settings: ProbeSettings) -> None:
        """Take new settings. A target whose settings are the same keeps its association, its schedule and its state.

        All or nothing: if a target cannot be opened, those that were closed for it are opened again as they were.
        Raises TimesyncError or OSError then; its text says if one of them is out of service.
        """
        wanted: Mapping[str, TargetSettings] = {target.name: target for target in settings.targets}
        stale = self._engines.take(settings, self.settings)
        going = [each for name, each in self._targets.items() if name in stale or wanted.get(name) != each.settings]
        coming: list[_Measured] = []
        try:
            # An address or a device may pass from one name to another, so those that go make room first.
            for measured in going:
                await self._close(measured.settings.name)
            for target in settings.targets:
                if target.name not in self._targets:
                    coming.append(await self._opened_target(target, settings))  # noqa: PERF401 - kept for `except`
        except (TimesyncError, OSError) as error:
            await self._undo(coming, going)
            lost = [name for name, each in self._targets.items() if isinstance(each.prober, Unopened)]
            if lost:
                text = f"{error}; not measured until they can be opened again: {', '.join(sorted(lost))}"
                raise TimesyncError(text) from error
            raise
        self.settings = settings
        self._slews.phi = settings.oscillator_ppm * 1e-6
        self._store(self.pipeline.configure(settings))
        for measured in coming:
            self._begin(measured)

    async def _undo(self, coming: Sequence[_Measured], gone: Sequence[_Measured]) -> None:
        """Close the new ones without a word (nobody has asked them), and measure again what was closed for them."""
        for measured in coming:
            await self._told_at_close(measured)
        self._engines.give_back(self.settings)
        for measured in gone:
            target = measured.settings
            if target.name not in self._targets:
                try:
                    again = await self._opened_target(target, self.settings)
                except (TimesyncError, OSError):
                    log.exception("%s: it cannot be opened again", target.name)
                    again = self._unopened(target, self.settings)
                self._begin(again)

    def tick(self) -> None:
        """Once a second: look at the clocks, and let go of what has waited too long."""
        self.clock_epoch()
        self._store(self.pipeline.tick(time.time_ns()))
        for event in self.pipeline.take_events():
            self.event(event)

    async def stop(self) -> None:
        """Stop polling; what was in flight becomes rows."""
        if self._scheduler is not None:
            await self._scheduler.close()
        for name in list(self._targets):
            await self._close(name, scheduled=False)
        await self._engines.close()
        self._store(self.pipeline.flush())
        self._learner.close()

    def clock_epoch(self) -> int:
        """The epoch of the probe's clock now; a change of it is told and stored, and so is the begin of a slew.

        The clocks are read once in a turn of the loop: after everything that the turn handles has arrived, and been stamped by the
        kernel (who stamps in user space must ask in the turn after). A poll that begins later in it, after a step that this reading
        has not seen, ends in another epoch and is refused.
        """
        if self._clocks_read:
            return self._watch.epoch
        if self._loop is not None:
            self._clocks_read = True
            self._loop.call_soon(self._read_again)
        reading = read_clocks()
        change = self._watch.observe(reading)
        if change is not None:
            self.event(_clock_event(change, leap=self.pipeline.is_leap_second(change.at_ns, change.step_s)))
            withheld = self.pipeline.clock_stepped(change.epoch, change.at_ns, change.step_s)
            if withheld is not None:
                self.event(withheld)
        slew = self._slews.observe(reading, self._watch.epoch)
        if slew is not None:
            self.event(_slew_event(slew))
        return self._watch.epoch

    def _read_again(self) -> None:
        self._clocks_read = False

    def event(self, event: Event) -> None:
        """Something happened: log it, store it, tell it."""
        level = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ERROR: logging.ERROR}
        log.log(level[event.severity], event.text, extra={"event": event.kind, **event.evidence})
        self._tell(event)
        self._store([self.pipeline.recorder.event(event)])

    async def _opened_target(self, target: TargetSettings, settings: ProbeSettings) -> _Measured:
        kind = load_kind(target.kind)
        try:
            return _Measured(target, await self._engines.open_target(kind, target, settings), kind.protocol)
        except InstrumentError as error:
            text = f"{error}; it is tried again at each poll"
            self.event(Event("instrument_failed", time.time_ns(), Severity.ERROR, text, target.name))
            return self._unopened(target, settings)

    def _unopened(self, target: TargetSettings, settings: ProbeSettings) -> _Measured:
        kind = load_kind(target.kind)
        return _Measured(target, Unopened(lambda: self._engines.open_target(kind, target, settings)), kind.protocol)

    def _begin(self, measured: _Measured) -> None:
        assert self._scheduler is not None
        target = measured.settings
        self._targets[target.name] = measured
        self._scheduler.add(
            Job(
                target.name,
                target.interval_s,
                self._phase_s(target),
                lambda: self._poll(measured),
                lambda skip: self._skipped(measured, skip),
                target.burst,
                target.burst_spacing_s,
            )
        )

    def _phase_s(self, target: TargetSettings) -> float:
        """References at the grid's zero; the others spread, near a poll of their reference."""
        if target.tie is not None:
            return 0.0
        self._opened += 1
        reference = self.pipeline.states[target.name].reference
        for other in self.settings.targets:
            if other.name == reference:
                return phase_s(self._opened, target.interval_s, other.interval_s)
        return phase_s(self._opened, target.interval_s, None)

    async def _close(self, name: str, *, scheduled: bool = True) -> None:
        measured = self._targets.pop(name)
        if scheduled and self._scheduler is not None:
            await self._scheduler.remove(name)
        measured.closed = True
        told = await self._told_at_close(measured)
        outcomes = list(told.outcomes)
        if told.fault:
            outcomes.append(
                self._not_measured(measured, Reason.PROBE_FAILED, f"closing: {told.fault}", sent=measured.asking)
            )
        elif measured.asking and not outcomes:
            outcomes.append(
                self._not_measured(measured, Reason.ASSOCIATION_ENDED, "closed while it was asked", sent=True)
            )
        self._take(measured, outcomes)

    async def _told_at_close(self, measured: _Measured) -> Told:
        try:
            async with asyncio.timeout(CLOSE_S):
                return await ask(measured.settings.name, measured.prober.close)
        except TimeoutError:
            log.error("%s: the instrument did not close within %g s", measured.settings.name, CLOSE_S)  # noqa: TRY400 - no trace to show
            return Told((), f"not closed within {CLOSE_S:g} s")

    async def _poll(self, measured: _Measured) -> None:
        measured.asking = True
        told = await ask(measured.settings.name, measured.prober.poll)
        if measured.closed:
            return  # it did not heed its end: its poll has been accounted for
        measured.asking = False
        kind = measured.settings.kind
        self._polls[kind] += 1
        self._polled_s[kind] = asyncio.get_running_loop().time()
        outcomes = told.outcomes
        if told.fault:
            outcomes = [*outcomes, self._not_measured(measured, Reason.PROBE_FAILED, told.fault, sent=True)]
        self._take(measured, outcomes)

    def _skipped(self, measured: _Measured, skip: Skip) -> None:
        detail = f"the poll was due {skip.last_late_s:.1f} s before, or the last one still ran"
        if skip.count > 1:
            detail = f"{skip.count} turns, due from {skip.first_late_s:.1f} s to {skip.last_late_s:.1f} s before"
        missed = self._not_measured(measured, Reason.PROBE_OVERLOADED, detail, sent=False)
        first_ns = missed.at_ns - round(skip.first_late_s * 1e9)
        self._take(measured, [replace(missed, at_ns=first_ns, polls=skip.count * measured.settings.burst)])

    def _not_measured(self, measured: _Measured, reason: Reason, detail: str, *, sent: bool) -> Missed:
        target = measured.settings
        return Missed(
            target.name, measured.protocol, target.address, time.time_ns(), reason, detail, self._watch.epoch, sent=sent
        )

    def _take(self, measured: _Measured, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            rows = self.pipeline.outcomes(measured.settings.name, outcomes, time.time_ns())
            drafts = self.pipeline.take_drafts()
            if drafts:
                self._keep_drafts(drafts)
            self._store(rows)


def _clock_event(change: ClockChange, *, leap: bool) -> Event:
    severity = Severity.INFO if leap else Severity.WARNING
    if leap:
        kind, text = (
            "leap_second_taken",
            f"the probe's clock took the leap second: it was set by {change.step_s:+.6f} s",
        )
    elif change.slept_s:
        kind, text = "suspended", f"the probe's machine slept for {change.slept_s:.1f} s"
    else:
        kind, text = "clock_stepped", f"the probe's clock was stepped by {change.step_s:+.9f} s"
    evidence = {"step_s": change.step_s, "slept_s": change.slept_s, "clock_epoch": change.epoch}
    return Event(kind, change.at_ns, severity, text, None, evidence)


def _slew_event(slew: Slew) -> Event:
    text = f"the probe's clock is slewed, {slew.rate * 1e6:+.1f} ppm beyond its usual rate: bounds widen while it lasts"
    evidence = {"rate_ppm": slew.rate * 1e6, "clock_epoch": slew.epoch}
    return Event("clock_slewed", slew.at_ns, Severity.WARNING, text, None, evidence)
