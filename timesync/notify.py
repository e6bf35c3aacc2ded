"""Who is told of alerts, without Prometheus: a webhook, a command (for e-mail, say), syslog.

Rule: telling never holds up measuring, is tried again until it is done, and what is given up is counted and told. The JSON is
Alertmanager's webhook format, version 4, so that receivers made for it serve here. Secrets travel in a header, never in an
address, a log or an error; no shell is ever used. Source: Prometheus documentation, "Alerting: configuration", <webhook_config>;
RFC 3164 section 4.1 for syslog.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shlex
import socket
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from timesync.alerts.book import Alert, Phase
from timesync.alerts.kinds import Level
from timesync.errors import StoreError, TimesyncError
from timesync.store.secret import Secret
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.settings import NotifySettings, SiteSettings

__all__ = ["DeliveryError", "Messengers", "payload", "readable"]

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
WAITING_AT_MOST = 1000
"""Alerts that may wait for one messenger; beyond it the oldest are given up, and counted."""
IN_ONE = 100
SYSLOG = "/dev/log"
FACILITY_DAEMON = 3 << 3
PRIORITIES = {Level.CRITICAL: 2, Level.WARNING: 4, Level.INFO: 6}
LEVELS = list(Level)  # the gravest first
NEVER = "0001-01-01T00:00:00Z"


class DeliveryError(TimesyncError):
    """A messenger could not tell; the text says why, without any secret."""


def payload(alerts: Sequence[Alert], site: SiteSettings, receiver: str) -> Mapping[str, Any]:
    """Alertmanager's webhook body, version 4. It is firing if any of its alerts is."""
    common = {"site": site.name, "probe": site.probe}
    firing = any(alert.phase is Phase.FIRING for alert in alerts)
    return {
        "version": "4",
        "groupKey": f"timesync:{site.name}/{site.probe}",
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": receiver,
        "groupLabels": common,
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [_alert(alert, common) for alert in alerts],
    }


def _alert(alert: Alert, common: Mapping[str, str]) -> Mapping[str, Any]:
    labels = {**common, "alertname": alert.kind.rule, "severity": alert.kind.level.value}
    own = {"target": alert.target, "reference": alert.reference}
    labels.update({name: value for name, value in own.items() if value is not None})
    identity = "\0".join(f"{name}\0{labels[name]}" for name in sorted(labels))
    return {
        "status": alert.phase.value,
        "labels": labels,
        "annotations": {
            "summary": f"{common['site']}: {alert.target or common['probe']}: {alert.kind.title}",
            "description": alert.text,
            "action": alert.kind.action,
            "runbook": f"RUNBOOKS.md#{alert.kind.name}",
        },
        "startsAt": _rfc3339(alert.fired_ns),
        "endsAt": _rfc3339(alert.ended_ns),
        "generatorURL": "",
        "fingerprint": hashlib.blake2b(identity.encode(), digest_size=8).hexdigest(),
    }


def _rfc3339(at_ns: int | None) -> str:
    return NEVER if at_ns is None else format_utc(at_ns).replace(" ", "T").removesuffix("Z") + "Z"


def readable(alerts: Sequence[Alert], site: SiteSettings) -> tuple[str, str]:
    """A subject and a text for a person."""
    firing = sum(alert.phase is Phase.FIRING for alert in alerts)
    first = alerts[0]
    what = f"{first.target or site.probe}: {first.kind.title}" if len(alerts) == 1 else f"{len(alerts)} alerts"
    subject = f"[{'FIRING' if firing else 'RESOLVED'}] {site.name}: {what}"
    lines = []
    for alert in alerts:
        since = format_utc(alert.since_ns)
        if alert.phase is Phase.FIRING:
            lines += [
                f"{alert.kind.level.value.upper()}: {alert.text}",
                f"  since {since}",
                f"  do: {alert.kind.action}",
            ]
        else:
            whom = f"{alert.target}: " if alert.target is not None else ""
            lines += [
                f"over: {whom}{alert.kind.title}",
                f"  from {since} to {format_utc(alert.ended_ns or alert.since_ns)}",
            ]
    return subject, "\n".join(lines) + "\n"


@dataclass(slots=True)
class _Told:
    alert: Alert
    at_s: float


class _Messenger:
    """One way to one person: a queue, and what it was told to be firing."""

    def __init__(self, settings: NotifySettings, site: SiteSettings, count: Callable[[str, int], None]) -> None:
        self.settings = settings
        self._site = site
        self._count = count
        self._secret = Secret(settings.token_file) if settings.token_file is not None else None
        self._waiting: deque[Alert] = deque()
        self._firing: dict[tuple[str, str | None], _Told] = {}
        self._least = LEVELS.index(Level(settings.least))
        self.news = asyncio.Event()

    def take(self, alerts: Sequence[Alert], now_s: float) -> None:
        """Queue what concerns this messenger; what nobody heard to begin is not told to end."""
        for alert in alerts:
            if LEVELS.index(alert.kind.level) > self._least:
                continue
            if alert.phase is Phase.FIRING:
                self._firing[alert.key] = _Told(alert, now_s)
            elif self._firing.pop(alert.key, None) is None:
                continue
            self._waiting.append(alert)
        while len(self._waiting) > WAITING_AT_MOST:
            self._waiting.popleft()
            self._count("dropped", 1)
        if self._waiting:
            self.news.set()

    def adopt(self, alerts: Sequence[Alert], now_s: float) -> None:
        """What fired before a restart has been told."""
        for alert in alerts:
            if LEVELS.index(alert.kind.level) <= self._least:
                self._firing[alert.key] = _Told(alert, now_s)

    def remind(self, now_s: float) -> None:
        """Queue again what has been firing for `repeat_s` since it was told."""
        if self.settings.repeat_s:
            due = [told.alert for told in self._firing.values() if now_s - told.at_s >= self.settings.repeat_s]
            if due:
                self.take(due, now_s)

    async def run(self) -> None:
        """For ever: tell what waits, in its order, and again after a pause where that fails."""
        pause_s = FIRST_PAUSE_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.settings.timeout_s)) as session:
            while True:
                await self.news.wait()
                batch = [self._waiting[index] for index in range(min(len(self._waiting), IN_ONE))]
                try:
                    await self._send(batch, session)
                except DeliveryError as error:
                    self._count("failed", 1)
                    log.warning("%s: alerts could not be told, it is tried again: %s", self.settings.name, error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                    continue
                pause_s = FIRST_PAUSE_S
                self._count("sent", len(batch))
                for alert in batch:  # some may have been given up meanwhile
                    if self._waiting and self._waiting[0] is alert:
                        self._waiting.popleft()
                if not self._waiting:
                    self.news.clear()

    async def _send(self, alerts: Sequence[Alert], session: aiohttp.ClientSession) -> None:
        if self.settings.kind == "webhook":
            await self._post(alerts, session)
        elif self.settings.kind == "command":
            await self._run_command(alerts)
        else:
            await asyncio.to_thread(self._log, alerts)

    async def _post(self, alerts: Sequence[Alert], session: aiohttp.ClientSession) -> None:
        headers = {"Content-Type": "application/json"}
        assert self.settings.url is not None
        try:
            if self._secret is not None:
                headers["Authorization"] = f"Bearer {self._secret.read()}"
            body = orjson.dumps(payload(alerts, self._site, self.settings.name))
            async with session.post(self.settings.url, data=body, headers=headers) as answer:
                if answer.status >= 300:
                    raise DeliveryError(f"the webhook answered {answer.status}")
        except StoreError as error:
            raise DeliveryError(str(error)) from error
        except TimeoutError as error:
            raise DeliveryError(f"no answer in {self.settings.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryError(f"the webhook cannot be reached: {type(error).__name__}") from error

    async def _run_command(self, alerts: Sequence[Alert]) -> None:
        assert self.settings.command is not None
        subject, text = readable(alerts, self._site)
        body = orjson.dumps(payload(alerts, self._site, self.settings.name)).decode()
        environ = {**os.environ, "TIMESYNC_SUBJECT": subject, "TIMESYNC_ALERTS": body}
        try:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(self.settings.command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environ,
            )
        except OSError as error:
            raise DeliveryError(f"the command cannot be started: {error.strerror}") from error
        try:
            _, complaint = await asyncio.wait_for(process.communicate(text.encode()), self.settings.timeout_s)
        except TimeoutError as error:
            raise DeliveryError(f"the command took more than {self.settings.timeout_s:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            said = complaint.decode("utf-8", "replace").strip()[-200:]
            raise DeliveryError(f"the command ended with {process.returncode}: {said}")

    def _log(self, alerts: Sequence[Alert]) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(self.settings.timeout_s)
                channel.connect(SYSLOG)
                for alert in alerts:
                    priority = FACILITY_DAEMON | PRIORITIES[alert.kind.level]
                    _, text = readable([alert], self._site)
                    line = "; ".join(part.strip() for part in text.splitlines())
                    channel.send(f"<{priority}>timesync: {self._site.name}: {line}".encode())
        except OSError as error:
            raise DeliveryError(f"{SYSLOG} takes nothing: {error.strerror or error}") from error


class Messengers:
    """All that are configured. `tell` from the event loop's thread; `run` sends."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._messengers: dict[str, _Messenger] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """What came of telling, by messenger and result: sent, failed (tries), dropped."""
        return self._counts.copy()

    def configure(self, wanted: Sequence[NotifySettings], site: SiteSettings) -> None:
        """Take new settings; what has not changed keeps its queue."""
        before, self._messengers = self._messengers, {}
        for settings in wanted:
            known = before.get(settings.name)
            if known is not None and known.settings == settings:
                self._messengers[settings.name] = known
                continue
            for result in ("sent", "failed", "dropped"):
                self._counts.setdefault((settings.name, result), 0)
            self._messengers[settings.name] = _Messenger(settings, site, self._counter(settings.name))
        for name in [name for name, known in before.items() if self._messengers.get(name) is not known]:
            task = self._tasks.pop(name, None)
            if task is not None:
                task.cancel()
        self._start()

    def _counter(self, name: str) -> Callable[[str, int], None]:
        def count(result: str, number: int) -> None:
            self._counts[name, result] += number

        return count

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to send."""
        self._group = group
        self._start()

    def _start(self) -> None:
        if self._group is not None:
            for name, messenger in self._messengers.items():
                if name not in self._tasks:
                    self._tasks[name] = self._group.create_task(messenger.run(), name=f"notify {name}")

    def tell(self, alerts: Sequence[Alert]) -> None:
        """These began or are over."""
        for messenger in self._messengers.values():
            messenger.take(alerts, self._clock_s())

    def adopt(self, alerts: Sequence[Alert]) -> None:
        """These were told before a restart."""
        for messenger in self._messengers.values():
            messenger.adopt(alerts, self._clock_s())

    def tick(self) -> None:
        """Once a second: remind of what still fires."""
        for messenger in self._messengers.values():
            messenger.remind(self._clock_s())

    def stop(self) -> None:
        """Send no more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
