"""The probe daemon: measuring, storing and showing, held together for years without anyone logging in.

Rule: measuring goes on whatever happens to the rest. A sink that is away, a full disk, a bad configuration at reload
and a scrape that fails are events with a remedy, not reasons to stop; only what makes measuring itself impossible ends
the process, with its cause.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from timesync import systemd
from timesync.alert_service import AlertService, tie_ends
from timesync.allocator import GIVE_BACK_EVERY_S, give_back
from timesync.descriptors import allow_many, shortage
from timesync.errors import TimesyncError
from timesync.export.current import Declared
from timesync.export.masks import masks_of
from timesync.export.prometheus import Exposition
from timesync.leapservice import LeapService
from timesync.link_service import LinkService
from timesync.measuring import TICK_S, Measuring
from timesync.model import Event, Severity
from timesync.notify import Messengers
from timesync.pipeline import reference_of
from timesync.plugin import load_kind
from timesync.reloading import Reloads, in_effect, take_hangups
from timesync.sideline import PAUSE_S, keep_going
from timesync.stability_choice import choose
from timesync.store.delivery import Delivery
from timesync.store.local import HistorySink
from timesync.store.spool import Spool
from timesync.utc_service import UtcService
from timesync.web.alerts import AlertBoard
from timesync.web.api import StatusPage
from timesync.web.health import liveness, readiness
from timesync.web.server import Page, WebServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from timesync.alerts.book import Alert
    from timesync.alerts.facts import Foreseen
    from timesync.holdover_service import HoldoverService
    from timesync.model import Record
    from timesync.plugin import Demonstration
    from timesync.settings import ProbeSettings, TargetSettings, Tie
    from timesync.stability_service import StabilityService
    from timesync.store.sink import Sink
    from timesync.store.status import SpoolStatus
    from timesync.web.health import Check

__all__ = ["HISTORY_FILE", "Daemon"]

log = logging.getLogger(__name__)

HISTORY_FILE = "history.sqlite3"
FLUSH_DEADLINE_S = 5.0


class Daemon:
    """One probe. `reload` reads the configuration again (SIGHUP); without it there is nothing to reload."""

    def __init__(
        self,
        settings: ProbeSettings,
        *,
        reload: Callable[[], ProbeSettings] | None = None,
        pages: Sequence[Page] = (),
        demonstration: Demonstration | None = None,
    ) -> None:
        """Open the spool. Raises StoreError if its directory cannot be used.

        `demonstration` is what simulates the targets, where something does: the page says so.
        """
        self.settings = settings
        self._read = reload
        self._reloads = Reloads(self._reconfigure)
        self._stop = asyncio.Event()
        self._notifier = systemd.Notifier.from_environment(os.environ)
        self._heartbeat_s: float | None = None
        self._new_drafts: list[Record] = []
        self._new_rows: list[Record] = []
        site = settings.site
        self.exposition = Exposition(site.name, site.probe, tallies=lambda: self.measuring.pipeline.states)
        self.exposition.set_position(site.latitude, site.longitude)
        self._utc = UtcService(
            settings, self._append_revised, lambda: self._delivery.status().depth, self._report, clock_ns=time.time_ns
        )
        self._links = LinkService(settings, self._set_tie, self._store, self._report, clock_ns=time.time_ns)
        self.measuring = Measuring(
            settings,
            self._store,
            self.exposition.observe_event,
            found=self._show_target,
            keep_drafts=self._keep_drafts,
            lost=self.exposition.remove_target,
            utc=self._utc.book,
            linked=self._links.observe,
        )
        self._leaps = LeapService(
            settings.leap_seconds_file, self._report, self.exposition.set_leap_expiry, clock_ns=time.time_ns
        )
        self._messengers = Messengers(time.monotonic)
        self._messengers.configure(settings.notify, site)
        sinks = self._make_sinks()
        self._spool = Spool(settings.spool, [sink.name for sink in sinks], clock_ns=time.time_ns)
        self._delivery = self._make_delivery(sinks)
        self._delivering: asyncio.Task[None] | None = None
        self._board = AlertBoard(lambda: self.alerts.active() if self.settings.alerts.enabled else None)
        self.alerts = AlertService(settings, self._report, self._tell, self._messengers.adopt, clock_ns=time.time_ns)
        self._stability: StabilityService | None = None
        self._computing: asyncio.Task[None] | None = None
        self._holdover: HoldoverService | None = None
        self._foreseeing: asyncio.Task[None] | None = None
        self._server: WebServer | None = None
        self._page: StatusPage | None = None
        if settings.http.enabled:
            self._page, self._server = self._make_server(pages, demonstration)

    def _make_server(self, pages: Sequence[Page], demonstration: Demonstration | None) -> tuple[StatusPage, WebServer]:
        """The page and the server that shows it; nothing listens yet."""
        settings = self.settings
        site = settings.site
        history = settings.spool.directory / HISTORY_FILE if settings.history.enabled else None
        page = StatusPage(
            site,
            lambda: self.measuring.pipeline.states,
            history,
            board=self._board,
            holdover=lambda: self._holdover,
            demonstration=demonstration,
        )
        server = WebServer(
            settings.http,
            title=f"{site.name} / {site.probe}",
            metrics=self.exposition.expose,
            alive=self._alive,
            ready=self._ready,
            pages=(*pages, *page.pages()),
            stopping=page.close,
            tell=self._report,
        )
        return page, server

    @property
    def urls(self) -> Sequence[str]:
        """Where the HTTP server listens."""
        return self._server.urls if self._server is not None else ()

    def stop(self) -> None:
        """Ask the daemon to flush and end."""
        self._stop.set()

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Measure until `stop`, SIGTERM or SIGINT; `started` is called once all targets are open.

        Raises ConfigError or OSError if it cannot begin (a key that is missing, a port in use).
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._ask_reload)
        take_hangups()
        try:
            await self._run(started)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
            if self._server is not None:
                await self._server.stop()
            self._keep()
            self._spool.close()

    async def _run(self, started: Callable[[], None]) -> None:
        if self._server is not None:
            await self._server.listen()
        self._show_targets(self.settings)
        self._compute_stability(self.settings)
        self._look_at_descriptors()
        self._utc.load()
        await self.measuring.start()
        # What lives as long as the process need not be looked at by every garbage collection.
        gc.collect()
        gc.freeze()
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._delivering = group.create_task(self._delivery.run(), name="delivery")
            beat = self._beside("beat", self._beat, TICK_S)
            measuring = group.create_task(self.measuring.run(), name="measuring")
            watchdog = group.create_task(self._watchdog(), name="watchdog")
            utc = self._beside("utc", self._utc.run)
            links = self._beside("links", self._links.run)
            reloads = group.create_task(self._reloads.run(), name="reloads")
            self._run_stability()
            self._messengers.start(group)
            self.measuring.event(_event("started", f"measuring {len(self.settings.targets)} targets"))
            self._notifier.send(systemd.ready(self._status_line()))
            started()
            await self._stop.wait()
            self._notifier.send(systemd.stopping("storing what has been measured"))
            await self._reloads.close(reloads)  # first: it opens what the rest of the end closes
            utc.cancel()
            links.cancel()
            watchdog.cancel()
            beat.cancel()
            self._messengers.stop()
            await self.measuring.stop()
            await measuring
            if self._computing is not None:
                self._computing.cancel()
            if self._stability is not None:
                self._stability.close()
            if self._foreseeing is not None:
                self._foreseeing.cancel()
            if self._holdover is not None:
                self._holdover.close()
            self.measuring.event(_event("stopped", "the probe was told to stop"))
            self._keep()
            flushed = await self._delivery.stop(FLUSH_DEADLINE_S)
            if not flushed:
                log.info("records wait in the spool for the next start", extra={"depth": self._delivery.status().depth})

    def _beside(self, name: str, work: Callable[[], Awaitable[None]], pause_s: float = PAUSE_S) -> asyncio.Task[None]:
        """Run a service beside the measuring, which goes on whatever becomes of it."""
        return self._group.create_task(keep_going(name, work, self._report, time.time_ns, pause_s), name=name)

    def _look_at_descriptors(self) -> None:
        text = shortage(len(self.settings.targets), allow_many())
        if text:
            self.measuring.event(_event("too_few_descriptors", text, Severity.ERROR))

    # Storing and showing

    def _keep_drafts(self, records: Sequence[Record]) -> None:
        self._keep_soon()
        self._new_drafts.extend(records)

    def _store(self, records: Sequence[Record]) -> None:
        self._keep_soon()
        self._new_rows.extend(records)

    def _keep_soon(self) -> None:
        """At the end of this turn of the loop, in one go: each writing to the disk costs as much as ten records."""
        if not (self._new_drafts or self._new_rows):
            asyncio.get_running_loop().call_soon(self._keep)

    def _keep(self) -> None:
        """Put on the disk what this turn has brought; only then is anything else done with it."""
        drafts, self._new_drafts = self._new_drafts, []
        records, self._new_rows = self._new_rows, []
        if not (drafts or records):
            return
        self._spool.append(records, drafts)
        self._delivery.wake()
        for record in records:
            self.exposition.observe(record)
        self._leaps.observe(records)
        if self._stability is not None:
            self._stability.observe(records)
        if self._holdover is not None:
            self._holdover.observe(records)
        if self._page is not None:
            self._page.observe(records)

    def _set_tie(self, reference: str, tie: Tie) -> None:
        self.measuring.pipeline.set_tie(reference, tie)

    def _append_revised(self, records: Sequence[Record]) -> None:
        """Rows of the past: for the sinks only, and no news to anything that shows the present."""
        self._spool.append(records)
        self._delivery.wake()

    def _compute_stability(self, settings: ProbeSettings) -> None:
        """Compute stability from now on as these settings want it, with the states that were saved."""
        chosen, why_none = choose(settings)
        self.exposition.set_stability(masks_of(settings.stability), chosen.counts())
        if self._stability is not None:
            self._stability.configure(settings)
        elif why_none:
            self.measuring.event(_event("stability_off", why_none, Severity.WARNING))
        elif settings.stability.enabled:
            from timesync.stability_service import StabilityService  # noqa: PLC0415 - numpy takes 30 MB

            self._stability = StabilityService(settings, self._store, self._report, clock_ns=time.time_ns)
        self._foresee(settings)

    def _run_stability(self) -> None:
        if self._stability is not None and self._computing is None:
            self._computing = self._beside("stability", self._stability.run)
        if self._holdover is not None and self._foreseeing is None:
            self._foreseeing = self._beside("holdover", self._holdover.run)

    def _foresee(self, settings: ProbeSettings) -> None:
        """Watch for holdovers and forecast them from now on as these settings want it."""
        too_many = settings.too_many_to_foresee
        if self._holdover is not None:
            self._holdover.configure(settings)
        elif too_many:
            self.measuring.event(_event("holdover_off", too_many, Severity.WARNING))
        elif settings.holdover.enabled:
            from timesync.holdover_service import HoldoverService  # noqa: PLC0415 - numpy takes 30 MB

            self._holdover = HoldoverService(settings, self._store, self._report, clock_ns=time.time_ns)

    def _foreseen(self, target: str) -> Foreseen | None:
        return None if self._holdover is None else self._holdover.foreseen(target)

    def _make_sinks(self) -> list[Sink]:
        settings = self.settings
        sinks: list[Sink] = []
        if settings.history.enabled:
            path = settings.spool.directory / HISTORY_FILE
            sinks.append(HistorySink(path, settings.history.retention_days, clock_ns=time.time_ns, report=self._report))
        if settings.influx:
            from timesync.store.influx import InfluxSink  # noqa: PLC0415 - heavy, and most sites have no database

            sinks.extend(InfluxSink(each) for each in settings.influx)
        return sinks

    def _make_delivery(self, sinks: Sequence[Sink]) -> Delivery:
        return Delivery(self._spool, sinks, clock_ns=time.time_ns, uniform=random.random, report=self._report)

    def _report(self, event: Event) -> None:
        self.measuring.event(event)

    def _show_targets(self, settings: ProbeSettings) -> None:
        for target in settings.targets:
            self._show_target(target)

    def _show_target(self, target: TargetSettings) -> None:
        self.exposition.add_target(target.name, protocol=load_kind(target.kind).protocol, interval_s=target.interval_s)
        limit = target.limit
        self.exposition.declare(
            target.name,
            Declared(
                reference=reference_of(self.settings, target),
                is_reference=target.tie is not None,
                limit=None if limit is None else (limit.name, limit.error_s),
                tie_until_ns=None if target.tie is None else tie_ends(self.settings).get(target.name),
            ),
        )

    # Once a second

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = give_back_s = loop.time()
        while True:
            due_s = max(due_s + TICK_S, loop.time())
            await asyncio.sleep(due_s - loop.time())
            self._heartbeat_s = loop.time()
            self.exposition.set_loop_lag(self._heartbeat_s - due_s)
            self.measuring.tick()
            self._leaps.tick(self._heartbeat_s, self.measuring.pipeline.states)
            self.measuring.pipeline.set_leaps(self._leaps.table)
            self.exposition.set_clock_changes(steps=self.measuring.clock_steps, suspends=self.measuring.suspends)
            self.exposition.set_faults(self.measuring.pipeline.attribution.ledger.current())
            self.exposition.set_references(*self.measuring.pipeline.references.shown())
            self.exposition.set_ties(self.measuring.pipeline.ties(), time.time_ns())
            self.exposition.set_published(self._utc.book.newest())
            self.exposition.set_engine_counts(self.measuring.engine_counts())
            self.exposition.set_schedule_lag(self.measuring.schedule_lag_s)
            spool = self._delivery.status()
            self.exposition.set_spool(spool, limit_bytes=self.settings.spool.max_bytes)
            self._judge(self._heartbeat_s, spool)
            if self._heartbeat_s >= give_back_s:
                give_back_s = self._heartbeat_s + GIVE_BACK_EVERY_S
                give_back()

    def _judge(self, now_s: float, spool: SpoolStatus) -> None:
        certificate = None if self._server is None else self._server.certificate_validity
        self.alerts.tick(
            now_s,
            self.measuring.pipeline.states,
            spool=spool,
            clock_steps=self.measuring.clock_steps,
            leap_disagreements=self._leaps.disagreements,
            leap_expires_ns=self._leaps.expires_ns,
            foreseen=self._foreseen,
            certificate=certificate,
        )
        self._messengers.tick()
        self.exposition.set_certificate(certificate)
        self.exposition.set_leap_disagreements(self._leaps.disagreements)
        self.exposition.set_alerts(self.alerts.counts())
        self.exposition.set_notifications(self._messengers.counts)

    def _tell(self, alerts: Sequence[Alert]) -> None:
        self._messengers.tell(alerts)
        self._board.told(alerts)

    async def _watchdog(self) -> None:
        period_s = systemd.watchdog_period_s(os.environ, os.getpid())
        if period_s is None:
            return
        while True:
            if all(check.well for check in self._alive()):
                self._notifier.send(systemd.watchdog())
            self._notifier.send(systemd.status(self._status_line()))
            await asyncio.sleep(period_s)

    def _status_line(self) -> str:
        states = self.measuring.pipeline.states.values()
        answering = sum(state.answering for state in states)
        return f"{answering} of {len(states)} targets answer"

    def _alive(self) -> Sequence[Check]:
        if self._heartbeat_s is None:
            return liveness(heartbeat_age_s=None)
        age_s = asyncio.get_running_loop().time() - self._heartbeat_s
        return liveness(heartbeat_age_s=age_s, overdue_s=self.measuring.overdue_s)

    def _ready(self) -> Sequence[Check]:
        polled = self.measuring.polled(asyncio.get_running_loop().time())
        return readiness(polled=polled, spool_problem=self._delivery.status().failing)

    # Reload

    def _ask_reload(self) -> None:
        if self._read is None:
            log.warning("SIGHUP: there is no configuration file to read again")
        else:
            self._reloads.ask()

    async def _reconfigure(self) -> None:
        """Take the configuration as it is now; one that is bad, or cannot be put into service, changes nothing."""
        assert self._read is not None
        before = self.settings.targets
        if self._server is not None:
            self._server.renew()
        self._notifier.send(systemd.reloading(time.monotonic_ns() // 1000))
        try:
            await self._adopt(await asyncio.to_thread(self._read))
        except Exception as error:
            if not isinstance(
                error, TimesyncError | OSError
            ):  # a probe kind's package, say: it must not end the measuring
                log.exception("the configuration could not be read again")
            targets = self.settings.targets
            kept = "the one before" if targets is before else "the new one, but for this"
            text = f"the configuration was not taken: {error}\nIn service is {kept}: {len(targets)} targets"
            self.measuring.event(_event("reload_failed", text, Severity.ERROR))
        else:
            self.measuring.event(_event("reloaded", f"measuring {len(self.settings.targets)} targets"))
        self._notifier.send(systemd.ready(self._status_line()))

    async def _adopt(self, wanted: ProbeSettings) -> None:
        old = self.settings
        new, waiting = in_effect(old, wanted)
        for table in waiting:
            text = f"{table} has changed: this takes effect at the next restart"
            self.measuring.event(_event("restart_needed", text, Severity.WARNING))
        shown = set(self.measuring.pipeline.states)
        await self.measuring.reconfigure(new)
        self._keep()
        self._compute_stability(new)
        self._run_stability()
        self.settings = new
        self._utc.configure(new)
        self._links.configure(new)
        self.alerts.configure(new)
        self._messengers.configure(new.notify, new.site)
        self._look_at_descriptors()
        self._leaps.load(new.leap_seconds_file, self.measuring.pipeline.states)
        for name in shown - set(self.measuring.pipeline.states):
            self.exposition.remove_target(name)
        self._show_targets(new)
        if (old.history, old.influx) != (new.history, new.influx):
            await self._renew_sinks(old)

    async def _renew_sinks(self, old: ProbeSettings) -> None:
        """Other sinks: the spool keeps their positions, so nothing is lost or sent twice to those that stay.

        If the spool cannot write its new positions down, those of `old` are served on.
        """
        await self._delivery.stop(FLUSH_DEADLINE_S)
        sinks = self._make_sinks()
        try:
            await self._spool.in_worker(self._spool.set_sinks, [sink.name for sink in sinks])
        except Exception as error:
            self.settings = replace(self.settings, history=old.history, influx=old.influx)
            sinks = self._make_sinks()
            raise TimesyncError(f"the sinks are those from before: {error}") from error
        finally:
            self._delivery = self._make_delivery(sinks)
            self._delivering = self._group.create_task(self._delivery.run(), name="delivery")


def _event(kind: str, text: str, severity: Severity = Severity.INFO) -> Event:
    return Event(kind, time.time_ns(), severity, text)
