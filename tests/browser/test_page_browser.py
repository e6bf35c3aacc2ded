"""The page in a real Chromium: every view, live, dark and light, on a phone, by keyboard, and silent on its console."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import pytest
from support.pageviews import FAINT, REPEATED, VIEWS, WEIGHT, nameless

from timesync.model import Event, Missed, Severity
from timesync.pipeline import Pipeline
from timesync.reasons import REASONS, Reason
from timesync.settings import HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.web.api import StatusPage
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from pathlib import Path

    from support.browser import Tab


async def test_every_view_shows_what_is_measured(demonstration: str, tab: Tab, screenshots: Path) -> None:
    await tab.screen(1280, 1000)
    await tab.go(demonstration)
    for view, shown in VIEWS.items():
        await tab.run(f"location.hash = '#/{view}'")
        await tab.until(shown, within_s=40.0)  # the first stability comes after ten seconds
        assert await tab.run("document.querySelectorAll('h1').length") == 1
        assert await tab.run("document.querySelector('#tabs [aria-current=page]').dataset.view") == view.split("/")[0]
        await tab.whole_picture(screenshots / f"{view.split('/')[0]}-dark.png")
    await tab.until("document.getElementById('live').dataset.state === 'live'")
    assert 20_000 < await tab.run(WEIGHT) < 300_000  # all that was fetched, every view of it
    assert await tab.run("!document.getElementById('simulated').hidden")
    # What a screen reader is told: every control and picture has a name.
    for view in VIEWS:
        await tab.run(f"location.hash = '#/{view}'")
        await asyncio.sleep(0.5)
        assert await nameless(tab) == [], view
        assert await tab.run(REPEATED) == [], view


async def test_a_phone_needs_no_scrolling_to_the_side(demonstration: str, tab: Tab, screenshots: Path) -> None:
    await tab.scheme("light")
    await tab.screen(360, 740, mobile=True, scale=2)
    await tab.go(demonstration)
    for view, shown in VIEWS.items():
        await tab.run(f"location.hash = '#/{view}'")
        await tab.until(shown, within_s=40.0)
        assert await tab.run("document.documentElement.scrollWidth") <= 360, view
        await tab.whole_picture(screenshots / f"{view.split('/')[0]}-phone-light.png")


async def test_dark_and_light_as_the_system_has_it_and_as_one_chooses(
    demonstration: str, tab: Tab, screenshots: Path
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("dark", "light"):
        await tab.scheme(scheme)
        await tab.go(demonstration)
        for view, shown in VIEWS.items():
            await tab.run(f"location.hash = '#/{view}'")
            await tab.until(shown, within_s=60.0)
            assert await tab.run(FAINT) == [], (scheme, view)
            if scheme == "light":
                await tab.whole_picture(screenshots / f"{view.split('/')[0]}-light.png")
        seen[scheme] = await tab.run(ground)
        assert await tab.run("document.documentElement.dataset.theme") == scheme
    assert seen["dark"] != seen["light"]
    await tab.run("document.getElementById('theme').click()")
    assert await tab.run(ground) == seen["dark"]
    await tab.go(f"{demonstration}/?again")
    await tab.until(VIEWS["network"])
    assert await tab.run(ground) == seen["dark"]  # the choice is kept, whatever the system says


async def test_what_every_view_shows_can_be_had_as_a_table(demonstration: str, tab: Tab) -> None:
    await tab.go(demonstration)
    for view, shown in VIEWS.items():
        await tab.run(f"location.hash = '#/{view}'")
        await tab.until(shown, within_s=60.0)
        links = await tab.run("[...document.querySelectorAll('a[download]')].map((each) => each.href)")
        assert links, view
        for link in links:
            kind, head = await tab.run(
                f"fetch({link!r}).then(async (answer) => "
                "[answer.headers.get('Content-Type'), (await answer.text()).split('\\r')[0]])"
            )
            assert kind.startswith("text/csv"), link
            assert len(head.split(",")) > 3, link


async def test_everything_can_be_done_without_a_mouse(demonstration: str, tab: Tab) -> None:
    focused = "document.activeElement"
    await tab.go(demonstration)
    await tab.until(VIEWS["network"])
    await tab.key("Tab", 9)
    assert await tab.run(f"{focused}.className") == "skip"
    await tab.key("Enter", 13, "\r")
    assert await tab.run(f"{focused}.id") == "view"
    # In the order of the page, and the grid is one stop of it, however many cells it has.
    stops = []
    for _ in range(40):
        await tab.key("Tab", 9)
        place = f"{focused}.closest('.grid td') ? 'cell' : {focused}.closest('table')?.id ?? {focused}.tagName"
        stops.append(await tab.run(place))
        if stops[-1] == "cell":
            break
    assert stops[-1] == "cell", stops
    await tab.key("ArrowRight", 39)
    await tab.key("ArrowDown", 40)
    await tab.key("Enter", 13, "\r")
    said = "[...document.querySelectorAll('[aria-live]')].map((each) => each.innerText)"
    words = await tab.until(f"{said}.find((text) => text.includes('good against UTC(DEMO)'))")
    assert "cannot be wrong by more than" in words
    assert await tab.run(f"{focused}.getAttribute('aria-label').startsWith('good against UTC(DEMO)')")
    # A chart is read value by value, aloud.
    await tab.run("location.hash = '#/target/good'")
    await tab.until(VIEWS["target/drifting"])
    await tab.run("document.getElementById('offset-chart').focus()")
    await tab.key("ArrowLeft", 37)
    await tab.until("/UTC 20\\d\\d-.*offset [+\\u2212]/.test(document.getElementById('announce').innerText)")


async def test_zoom_by_mouse_and_keyboard_and_back(demonstration: str, tab: Tab) -> None:
    await tab.go(f"{demonstration}/#/target/drifting?range=300")
    await tab.until("document.body.innerText.includes('all drawn')")
    place = await tab.run(
        "(() => { const box = document.querySelector('#offset-chart .u-over').getBoundingClientRect();"
        " return [box.left, box.top, box.width, box.height]; })()"
    )
    left, top, width, height = place
    await tab.drag((left + 0.3 * width, top + height / 2), (left + 0.7 * width, top + height / 2))
    address = await tab.until("location.hash.includes('from=') && location.hash")
    begin, end = map(float, re.findall(r"(?:from|to)=([\d.]+)", address))
    assert 0 < end - begin < 300
    await tab.run("document.getElementById('offset-chart').focus()")
    await tab.key("+", 187, "+")
    narrower = await tab.until(f"location.hash !== {address!r} && location.hash")
    begin_2, end_2 = map(float, re.findall(r"(?:from|to)=([\d.]+)", narrower))
    assert end_2 - begin_2 == pytest.approx((end - begin) / 2, abs=0.002)
    # The buttons do the same, and move the picture.
    await tab.run("document.querySelector('[data-zoom=\"<\"]').click()")
    earlier = await tab.until(f"location.hash !== {narrower!r} && location.hash")
    begin_3, end_3 = map(float, re.findall(r"(?:from|to)=([\d.]+)", earlier))
    assert begin_3 == pytest.approx(begin_2 - (end_2 - begin_2) / 2, abs=0.002)
    assert end_3 - begin_3 == pytest.approx(end_2 - begin_2, abs=0.002)
    await tab.run("document.getElementById('offset-chart').focus()")
    await tab.key("0", 48, "0")
    await tab.until("location.hash.endsWith('range=300')")
    await tab.until("document.body.innerText.includes('all drawn')")
    # The arrow keys read single values, as hovering does.
    await tab.run("document.getElementById('offset-chart').focus()")
    await tab.key("ArrowLeft", 37)
    await tab.until("/[µm]s/.test(document.querySelector('#offset-chart .u-legend').innerText)")
    # In its address is what is shown: it can be sent to somebody else.
    csv = await tab.run("[...document.querySelectorAll('a[download]')][0].href")
    assert "format=csv" in csv


async def test_what_happens_appears_without_being_asked_for(tab: Tab, tmp_path: Path) -> None:
    """Trouble, its remedy, and an event: told by the probe while the page is open."""
    targets = (TargetSettings("one", "ntp", "192.0.2.1"), TargetSettings("two", "ntp", "192.0.2.2"))
    pipeline = Pipeline(ProbeSettings(SiteSettings("NIM", "p1"), targets, SpoolSettings(tmp_path)))
    page = StatusPage(SiteSettings("NIM", "p1"), lambda: pipeline.states, tmp_path / "none.sqlite3")

    async def nothing() -> bytes:
        return b""

    server = WebServer(
        HttpSettings(port=0),
        title="NIM / p1",
        metrics=nothing,
        alive=list,
        ready=list,
        pages=page.pages(),
        stopping=page.close,
    )
    await server.start()
    try:
        await tab.go(f"{server.urls[0]}/#/network")
        await tab.until("document.querySelectorAll('#targets tbody tr').length === 2")
        assert "timeout" not in await tab.run("document.body.innerText")
        missed = Missed("two", "ntp", "192.0.2.2", time.time_ns(), Reason.TIMEOUT, "no reply within 1 s", 0)
        pipeline.outcomes("two", [missed], time.time_ns())
        await tab.until("document.querySelector('.state[data-level=trouble]')?.innerText === 'timeout'")
        await tab.run("location.hash = '#/target/two'")
        remedy = REASONS[Reason.TIMEOUT].remedy
        await tab.until(f"document.querySelector('.trouble').innerText.includes({remedy!r})")
        await tab.run("location.hash = '#/events'")
        await tab.until("document.body.innerText.includes('Nothing has happened yet')")
        text = "<b>denied</b> by the server"
        event = Event("kiss_deny", time.time_ns(), Severity.WARNING, text, "two")
        page.observe([pipeline.recorder.event(event)])
        await tab.until(f"document.querySelector('.events li')?.innerText.includes({text!r})")  # as text, not as markup
        assert await tab.run("document.querySelector('.events b')") is None
    finally:
        await server.stop()
    await tab.until("document.getElementById('live').dataset.state === 'lost'")
    tab.console = [line for line in tab.console if "ERR_CONNECTION_REFUSED" not in line]  # as it must say now
