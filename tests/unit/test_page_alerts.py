"""The alerts on the page: what fires, what waits, what has ended; limits judge; runbooks are served."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.openapi import mismatches

from timesync.alert_service import AlertService
from timesync.alerts.book import Alert, Phase
from timesync.alerts.kinds import KIND_OF, KINDS
from timesync.alerts.limits import Verdict, verdict
from timesync.alerts.runbooks import STEPS
from timesync.model import Event, Severity
from timesync.pipeline import Pipeline
from timesync.records import Recorder
from timesync.settings import HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.store.local import History
from timesync.web import live, runbooks
from timesync.web.alerts import AlertBoard, row
from timesync.web.api import StatusPage
from timesync.web.openapi import ALERT, PREFIX
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from pathlib import Path

NS = 1_000_000_000
NOW_NS = 1_800_000_000 * NS
SITE = SiteSettings("NIM", "p1")
TARGETS = (TargetSettings("ntp1", "ntp", "192.0.2.2"), TargetSettings("ntp2", "ntp", "192.0.2.3"))


def alert(kind: str, target: str | None, phase: Phase, since_s: int = 60, ended_s: int | None = None) -> Alert:
    fired_ns = None if phase is Phase.PENDING else NOW_NS - (since_s - 10) * NS
    ended_ns = None if ended_s is None else NOW_NS - ended_s * NS
    return Alert(KIND_OF[kind], target, None, phase, NOW_NS - since_s * NS, 2.5, "2.5 times", fired_ns, ended_ns)


@pytest.fixture
async def page(tmp_path: Path):
    """A server with the page on loopback, and the alerts that it is given; gives (session, page, board, active)."""
    active: list[Alert] = []
    board = AlertBoard(lambda: active)
    pipeline = Pipeline(ProbeSettings(SITE, TARGETS, SpoolSettings(tmp_path)))
    path = tmp_path / "history.sqlite3"
    status = StatusPage(SITE, lambda: pipeline.states, path, board=board, clock_ns=lambda: NOW_NS)
    server = WebServer(
        HttpSettings(port=0), title="t", metrics=lambda: asyncio.sleep(0, b""), alive=list, ready=list,
        pages=status.pages(), stopping=status.close,
    )  # fmt: skip
    await server.start()
    async with aiohttp.ClientSession(server.urls[0]) as session:
        yield session, status, board, active
    await server.stop()


async def get(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(f"{PREFIX}/{path}") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_an_alert_tells_since_when_its_evidence_what_it_means_and_what_to_do(page) -> None:
    session, _, _, active = page
    active.append(alert("certain_breach", "ntp1", Phase.FIRING))
    (found,) = (await get(session, "alerts"))["alerts"]
    kind = KIND_OF["certain_breach"]
    assert (found["alert"], found["level"], found["phase"]) == ("certain_breach", "critical", "firing")
    assert (found["since_ns"], found["value"], found["threshold"]) == (NOW_NS - 60 * NS, 2.5, kind.threshold)
    assert (found["means"], found["action"], found["why"]) == (kind.means, kind.action, "2.5 times")
    async with session.get(found["runbook"]) as answer:  # the link leads somewhere, and to its section
        assert f'id="{found["runbook"].partition("#")[2]}"' in await answer.text()


async def test_what_fires_comes_first_then_what_waits_then_what_ended_the_newest_first(page) -> None:
    session, _, board, active = page
    board.told([alert("loss", "ntp2", Phase.FIRING), alert("loss", "ntp1", Phase.RESOLVED, 900, 300)])
    board.told([alert("stale", "ntp1", Phase.RESOLVED, 900, 100)])
    active += [alert("clock_stepped", None, Phase.FIRING), alert("holdover", "ntp2", Phase.PENDING)]
    found = await get(session, "alerts")
    assert [(each["alert"], each["phase"]) for each in found["alerts"]] == [
        ("clock_stepped", "firing"),
        ("holdover", "pending"),
        ("stale", "resolved"),
        ("loss", "resolved"),
    ]
    assert found["alerts"][0]["target"] is None
    assert found["enabled"]
    only = await get(session, "alerts?target=ntp1")
    assert [each["alert"] for each in only["alerts"]] == ["stale", "loss"]


async def test_what_ended_before_the_probe_was_started_is_read_from_its_own_events(page, tmp_path) -> None:
    """The events are those that the service itself reports, so that the two ends of this agree."""
    session, _, board, _ = page
    events: list[Event] = []
    settings = ProbeSettings(SITE, TARGETS, SpoolSettings(tmp_path))
    service = AlertService(settings, events.append, lambda told: None, clock_ns=lambda: NOW_NS)
    ended = alert("unreachable", "ntp1", Phase.RESOLVED, 900, 300)
    service._hand_on([alert("unreachable", "ntp1", Phase.FIRING, 900), ended])
    yesterday = Event(
        "alert_resolved", NOW_NS - 90_000 * NS, Severity.INFO, "over", "ntp2", {"alert": "loss", "value": 1}
    )
    unknown = Event("alert_resolved", NOW_NS - NS, Severity.INFO, "over", None, {"alert": "of_a_later_version"})
    history = History(tmp_path / "history.sqlite3", read_only=False)
    recorder = Recorder("NIM", "p1", 2.0, None)
    history.write([recorder.event(event) for event in (*events, yesterday, unknown)])
    history.close()
    (found,) = (await get(session, "alerts"))["alerts"]
    wanted = row(ended)
    wanted["fired_ns"] = None  # the event of its end does not have it
    assert found == wanted
    board.told([ended])
    assert len((await get(session, "alerts"))["alerts"]) == 1  # told by both, and one


async def test_alerts_as_a_table(page) -> None:
    session, _, board, active = page
    active.append(alert("certain_breach", "ntp1", Phase.FIRING))
    board.told([alert("stale", "ntp1", Phase.RESOLVED, 900, 100)])
    async with session.get(f"{PREFIX}/alerts?format=csv") as answer:
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert [(each["phase"], each["alert"], each["ended_ns"]) for each in rows] == [
        ("firing", "certain_breach", ""),
        ("resolved", "stale", str(NOW_NS - 100 * NS)),
    ]


async def test_that_none_are_judged_is_said(page) -> None:
    session, status, _, _ = page
    status._board = AlertBoard(lambda: None)
    assert (await get(session, "alerts"))["enabled"] is False


async def test_an_alert_is_told_while_the_page_is_open_and_so_is_its_end(page, monkeypatch) -> None:
    monkeypatch.setattr(live, "EVERY_S", 0.05)
    session, _, board, active = page
    seen = []
    async with session.get(f"{PREFIX}/stream") as answer:
        told = ""
        async for line in answer.content:
            told = line[7:].decode().strip() if line.startswith(b"event: ") else told
            if not line.startswith(b"data: ") or told != "alerts":
                continue
            seen.append(json.loads(line[6:]))
            if len(seen) == 1:
                active.append(alert("stale", "ntp1", Phase.FIRING))
            elif len(seen) == 2:
                active.clear()
                board.told([alert("stale", "ntp1", Phase.RESOLVED, 60, 0)])
            else:
                break
    first, begun, over = seen
    assert first["alerts"] == []
    assert mismatches(ALERT, begun["alerts"][0]) == []
    assert over["gone"] == [begun["alerts"][0]["key"]]
    assert [each["phase"] for each in over["alerts"]] == ["resolved"]


# Runbooks.


def test_every_alert_has_its_runbook_and_every_link_of_it_leads_somewhere() -> None:
    page_ = runbooks.page()
    names = set(re.findall(r' id="([a-z_]+)"', page_))
    assert names == {kind.name for kind in KINDS}
    assert set(re.findall(r'href="#([a-z_]+)"', page_)) <= names
    assert page_.count("<li>") == len(KINDS) + sum(map(len, STEPS.values()))
    assert "`" not in page_
    assert "](" not in page_  # no mark of Markdown is left


# What a limit says.


@pytest.mark.parametrize(
    ("error_s", "bound_s", "expected"),
    [
        (9e-7, 1e-7, Verdict.WITHIN),
        (-9e-7, 2e-7, Verdict.POSSIBLE),
        (0.0, 2e-6, Verdict.POSSIBLE),
        (-1.3e-6, 2e-7, Verdict.CERTAIN),
        (1.3e-6, 4e-7, Verdict.POSSIBLE),
    ],
)
def test_a_limit_is_judged_with_the_bound(error_s: float, bound_s: float, expected: Verdict) -> None:
    assert verdict(error_s, bound_s, 1e-6) is expected
    assert verdict(-error_s, bound_s, 1e-6) is expected
