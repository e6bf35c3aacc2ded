"""Alerts in a real Chromium: one appears while the page is open, is marked on the network, and ends, without asking."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from timesync.alert_service import AlertService
from timesync.alerts.kinds import KIND_OF
from timesync.model import Missed
from timesync.pipeline import Pipeline
from timesync.reasons import Reason
from timesync.settings import AlertSettings, HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.store.status import SpoolStatus
from timesync.web.alerts import AlertBoard
from timesync.web.api import StatusPage
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from support.browser import Tab

    from timesync.alerts.book import Alert

SITE = SiteSettings("NIM", "p1")
TARGETS = (TargetSettings("one", "ntp", "192.0.2.1"), TargetSettings("two", "ntp", "192.0.2.2"))
UNREACHABLE = KIND_OF["unreachable"]
CARD = "document.querySelector('.alert[data-alert=unreachable]')"


class Watched:
    """A pipeline whose alerts are judged by the daemon's own service, with time in our hands."""

    def __init__(self, folder: Path) -> None:
        settings = ProbeSettings(SITE, TARGETS, SpoolSettings(folder), alerts=AlertSettings(patience=0.01))
        self.pipeline = Pipeline(settings)
        self.service = AlertService(settings, lambda event: None, self.tell, clock_ns=time.time_ns)
        self.board = AlertBoard(self.service.active)
        self.now_s = 1000.0

    def tell(self, alerts: Sequence[Alert]) -> None:
        self.board.told(alerts)

    def poll(self, *, lost: bool) -> None:
        """Eight polls of `two` a second apart, all lost or none, each judged."""
        state = self.pipeline.states["two"]
        for _ in range(8):
            if lost:
                missed = Missed("two", "ntp", "192.0.2.2", time.time_ns(), Reason.TIMEOUT, "no reply within 1 s", 0)
                self.pipeline.outcomes("two", [missed], time.time_ns())
            else:
                state.polls, state.register = state.polls + 1, 0xFF
            self.now_s += 1.0
            status = SpoolStatus(0, None, 0, 0, 0, 0, None)
            self.service.tick(
                self.now_s,
                self.pipeline.states,
                spool=status,
                clock_steps=0,
                leap_disagreements=(),
                leap_expires_ns=2**62,
            )


@asynccontextmanager
async def serving(watched: Watched, folder: Path) -> AsyncIterator[str]:
    page = StatusPage(SITE, lambda: watched.pipeline.states, folder / "none.sqlite3", board=watched.board)
    facts: dict[str, Any] = {"metrics": lambda: asyncio.sleep(0, b""), "alive": list, "ready": list}
    server = WebServer(HttpSettings(port=0), title="t", pages=page.pages(), stopping=page.close, **facts)
    await server.start()
    try:
        yield server.urls[0]
    finally:
        await server.stop()


async def test_an_alert_appears_and_is_over_while_one_looks(tab: Tab, tmp_path: Path, screenshots: Path) -> None:
    watched = Watched(tmp_path)
    async with serving(watched, tmp_path) as url:
        await tab.go(f"{url}/#/alerts")
        await tab.until("document.querySelector('.empty')?.innerText.includes('Nothing fires')")
        await tab.until("document.getElementById('live').dataset.state === 'live'")
        await tab.whole_picture(screenshots / "alerts-none-dark.png")
        assert await tab.run("document.querySelector('.count').hidden")
        watched.poll(lost=True)
        text = await tab.until(f"{CARD}?.innerText")
        assert UNREACHABLE.means in text
        assert UNREACHABLE.action in text
        assert "since " in text
        assert "0 (fires below 0.01)" in text
        assert (
            await tab.run(f"{CARD}.querySelector('a[href^=\"/runbooks\"]').getAttribute('href')")
            == "/runbooks#unreachable"
        )
        assert await tab.run(f"{CARD}.dataset.level") == "critical"
        assert await tab.run("document.querySelector('.count').innerText") == "1"
        await tab.until("document.getElementById('announce').innerText === 'Alert: Target unreachable, two'")
        # It is marked on the network: beside its name, and on the comparison grid.
        await tab.run("location.hash = '#/network'")
        for place in ("#targets", ".grid"):
            flags = (
                f"[...document.querySelectorAll('{place} tbody tr')].map((row) => row.querySelector('.flag').hidden)"
            )
            assert await tab.until(flags) == [True, False]
        label = await tab.run("document.querySelectorAll('.grid .flag')[1].getAttribute('aria-label')")
        assert label == "1 alert fires: Target unreachable"
        await tab.run("document.querySelectorAll('.grid .flag')[1].click()")
        await tab.until(f"location.hash === '#/alerts?target=two' && {CARD} !== null")
        # Its end is told as well, and moves it among those that are over.
        watched.poll(lost=False)
        await tab.until(f"{CARD} === null && document.querySelector('.empty') !== null")
        ended = await tab.until("document.querySelector('#ended tbody tr')?.innerText")
        assert ended.startswith("Target unreachable")
        assert "two" in ended
        assert await tab.run("document.querySelector('.count').hidden")
        assert await tab.run("document.getElementById('announce').innerText") == "Over: Target unreachable, two"
        await tab.whole_picture(screenshots / "alerts-over-dark.png")


async def test_the_runbook_of_an_alert_opens_at_its_section(tab: Tab, tmp_path: Path, screenshots: Path) -> None:
    async with serving(Watched(tmp_path), tmp_path) as url:
        await tab.go(f"{url}/runbooks#unreachable")
        assert await tab.run("document.querySelector(':target').id") == "unreachable"
        top = await tab.run("document.querySelector(':target').getBoundingClientRect().top")
        assert -5 <= top <= 400
        await tab.picture(screenshots / "runbooks-dark.png")
