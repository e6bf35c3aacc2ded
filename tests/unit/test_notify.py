"""Telling people: a real HTTP server, a real command, a real datagram socket; tried again until it is done."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from timesync import notify
from timesync.alerts.book import Alert, Phase
from timesync.alerts.kinds import KIND_OF
from timesync.notify import Messengers
from timesync.settings import NotifySettings, SiteSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

SITE = SiteSettings("NIM", "probe-1")
SECOND = 10**9
BREACH = Alert(KIND_OF["certain_breach"], "ntp1", "utc", Phase.FIRING, 5 * SECOND, 1.5, "x = 3", 35 * SECOND)
OVER = Alert(KIND_OF["certain_breach"], "ntp1", "utc", Phase.RESOLVED, 5 * SECOND, 1.5, "", 35 * SECOND, 400 * SECOND)
CHANGE = Alert(KIND_OF["grandmaster_change"], "ptp1", None, Phase.FIRING, SECOND, 1.0, "", SECOND)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def telling(settings: NotifySettings, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Messengers]:
    messengers = Messengers(clock)
    messengers.configure([settings], SITE)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        messengers.start(group)
        yield messengers
        messengers.stop()


@asynccontextmanager
async def receiver(*answers: int) -> AsyncIterator[tuple[str, list[tuple[Any, str]]]]:
    """A webhook that gives these answers and then 200; what it was sent, with the Authorization."""
    left, got = list(answers), []

    async def hook(request: web.Request) -> web.Response:
        got.append((await request.json(), request.headers.get("Authorization", "")))
        return web.Response(status=left.pop(0) if left else 200)

    application = web.Application()
    application.router.add_post("/hook", hook)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", got
    await runner.cleanup()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_webhook_gets_what_alertmanager_would_send(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("s3cret\n")
    async with receiver() as (url, got), telling(NotifySettings("a", "webhook", url, token)) as messengers:
        messengers.tell([BREACH])
        await until(lambda: messengers.counts["a", "sent"] == 1)
        messengers.tell([OVER])
        await until(lambda: messengers.counts["a", "sent"] == 2)
    (first, authorization), (second, _) = got
    assert authorization == "Bearer s3cret"
    # https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    assert first.keys() == {
        *("version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels"),
        *("commonAnnotations", "externalURL", "alerts"),
    }
    assert (first["version"], first["status"], second["status"]) == ("4", "firing", "resolved")
    (alert,), (over,) = first["alerts"], second["alerts"]
    assert alert["labels"] == {
        "alertname": "TimesyncCertainBreach",
        "severity": "critical",
        "site": "NIM",
        "probe": "probe-1",
        "target": "ntp1",
        "reference": "utc",
    }
    assert alert["startsAt"] == "1970-01-01T00:00:35.000000000Z"
    assert (alert["endsAt"], over["endsAt"]) == ("0001-01-01T00:00:00Z", "1970-01-01T00:06:40.000000000Z")
    assert alert["fingerprint"] == over["fingerprint"]
    assert alert["annotations"]["action"] == KIND_OF["certain_breach"].action


async def test_a_webhook_that_fails_is_tried_again_and_the_secret_is_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "FIRST_PAUSE_S", 0.01)
    async with (
        receiver(500, 503) as (url, got),
        telling(NotifySettings("a", "webhook", f"{url}?key=hidden")) as messengers,
    ):
        messengers.tell([BREACH])
        await until(lambda: messengers.counts["a", "sent"] == 1)
        assert messengers.counts["a", "failed"] == 2
    assert len(got) == 3
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("timesync")]
    assert any("answered 503" in text for text in ours)
    assert not any("hidden" in text for text in ours)


async def test_a_webhook_that_is_away_loses_nothing_until_the_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(notify, "WAITING_AT_MOST", 3)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with telling(NotifySettings("a", "webhook", f"http://127.0.0.1:{port}/")) as messengers:
        for _ in range(5):
            messengers.tell([BREACH])
        await until(lambda: messengers.counts["a", "failed"] >= 2)
        assert (messengers.counts["a", "dropped"], messengers.counts["a", "sent"]) == (2, 0)


async def test_a_command_gets_subject_text_and_json(tmp_path: Path) -> None:
    script = tmp_path / "mail"
    script.write_text(
        f'#!/bin/sh\n{{ echo "$1|$TIMESYNC_SUBJECT"; cat; }} >{tmp_path}/out\necho "$TIMESYNC_ALERTS" >{tmp_path}/json\n'
    )
    script.chmod(0o700)
    async with telling(NotifySettings("m", "command", command=f"{script} 'two words'")) as messengers:
        messengers.tell([BREACH])
        await until(lambda: messengers.counts["m", "sent"] == 1)
    first, *rest = (tmp_path / "out").read_text().splitlines()
    assert first == "two words|[FIRING] NIM: ntp1: Beyond the limit"
    assert rest[0] == f"CRITICAL: {BREACH.text}"
    assert rest[2] == f"  do: {KIND_OF['certain_breach'].action}"
    assert json.loads((tmp_path / "json").read_text())["alerts"][0]["status"] == "firing"


async def test_a_command_that_fails_or_hangs_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "FIRST_PAUSE_S", 0.01)
    script = tmp_path / "mail"
    script.write_text(
        f"#!/bin/sh\ncd {tmp_path}\nif [ ! -e one ]; then touch one; echo refused >&2; exit 3; fi\n"
        "if [ ! -e two ]; then touch two; exec sleep 60; fi\n"
    )
    script.chmod(0o700)
    async with telling(NotifySettings("m", "command", command=str(script), timeout_s=0.5)) as messengers:
        messengers.tell([BREACH])
        await until(lambda: messengers.counts["m", "sent"] == 1)
        assert messengers.counts["m", "failed"] >= 2
    assert "ended with 3: refused" in caplog.text
    assert "took more than 0.5 s" in caplog.text


async def test_syslog_gets_one_line_with_its_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    monkeypatch.setattr(notify, "SYSLOG", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(os.fspath(path))
        async with telling(NotifySettings("s", "syslog", least="info")) as messengers:
            messengers.tell([BREACH, CHANGE])
            await until(lambda: messengers.counts["s", "sent"] == 2)
        lines = [log.recv(65536).decode() for _ in range(2)]
    # RFC 3164 section 4.1.1: facility 3 (daemon) times 8, severity 2 (critical) and 6 (informational)
    assert lines[0].startswith("<26>timesync: NIM: CRITICAL: ntp1: ")
    assert lines[1].startswith("<30>timesync: NIM: INFO: ptp1: ")


async def test_levels_below_the_least_are_not_told_and_what_fires_on_is_told_again() -> None:
    clock = Clock()
    async with (
        receiver() as (url, got),
        telling(NotifySettings("a", "webhook", url, repeat_s=3600), clock) as messengers,
    ):
        messengers.tell([CHANGE])
        messengers.tell([BREACH])
        await until(lambda: messengers.counts["a", "sent"] == 1)
        clock.now_s = 3599.0
        messengers.tick()
        clock.now_s = 3600.0
        messengers.tick()
        await until(lambda: messengers.counts["a", "sent"] == 2)
        messengers.tell([OVER])
        messengers.tell([OVER])
        await until(lambda: messengers.counts["a", "sent"] == 3)
        clock.now_s = 9999.0
        messengers.tick()
        await asyncio.sleep(0.05)
    assert [body["status"] for body, _ in got] == ["firing", "firing", "resolved"]
