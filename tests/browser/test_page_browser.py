"""The page in a real Chromium: every view, live, dark and light, on a phone, by keyboard, and silent on its console."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from timesync.model import Event, Missed, Severity
from timesync.pipeline import Pipeline
from timesync.reasons import REASONS, Reason
from timesync.settings import HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.web.api import StatusPage
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from pathlib import Path

    from support.browser import Tab

TWO_CHARTS = "document.querySelectorAll('.chart canvas').length === 2"
ROWS = "document.querySelectorAll('{}').length"
VIEWS = {
    "network": f"{ROWS.format('#targets tbody tr')} === 6 && {ROWS.format('.grid td[data-verdict=certain]')} > 0",
    "target/drifting": f"{TWO_CHARTS} && document.body.innerText.includes('all drawn')",
    "stability/drifting": f"{TWO_CHARTS} && {ROWS.format('tbody tr')} > 5",
    "holdover/holdover": f"{ROWS.format('#limits tbody tr')} === 2 && {ROWS.format('.timeline li')} > 1",
    "traceability/good": f"{ROWS.format('.chain li')} >= 4 && {ROWS.format('.budget .row')} > 10",
    "alerts": f"{ROWS.format('.alert[data-alert=certain_breach]')} > 0",
    "events": f"{ROWS.format('.events li')} > 0",
}
WEIGHT = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((each) => each.name.includes("/static/") || each.name.endsWith("/")).reduce((sum, each) => sum + each.encodedBodySize, 0)
"""
# The texts whose contrast with the ground behind them is below 4.5 to 1 (WCAG 2.2, success criterion 1.4.3).
FAINT = """
(() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [...found.slice(0, 3).map((value) => value * scale), found[3] ?? 1];
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (place) => {
    const found = parse(getComputedStyle(place).backgroundColor);
    return found[3] === 0 && place.parentElement ? ground(place.parentElement) : found;
  };
  const texts = [...document.querySelectorAll("td, th, h2, p, span, a, button, dt, dd, time")];
  return texts.filter((each) => each.innerText?.trim() && !each.closest(".hidden")).map((each) => {
    const [more, less] = [light(parse(getComputedStyle(each).color)), light(ground(each))].sort((x, y) => y - x);
    return [each.innerText.slice(0, 30), (more + 0.05) / (less + 0.05)];
  }).filter(([, ratio]) => ratio < 4.5);
})()
"""


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


async def nameless(tab: Tab) -> list[dict[str, Any]]:
    tree = (await tab.send("Accessibility.getFullAXTree"))["nodes"]
    wanted = {"button", "link", "combobox", "img", "image", "columnheader"}
    named = [node for node in tree if not node["ignored"] and node["role"]["value"] in wanted]
    assert len(named) > 5
    return [node for node in named if not node.get("name", {}).get("value", "").strip()]


async def test_a_phone_needs_no_scrolling_to_the_side(demonstration: str, tab: Tab, screenshots: Path) -> None:
    await tab.scheme("light")
    await tab.screen(360, 740, mobile=True, scale=2)
    await tab.go(demonstration)
    for view, shown in VIEWS.items():
        await tab.run(f"location.hash = '#/{view}'")
        await tab.until(shown, within_s=40.0)
        assert await tab.run("document.documentElement.scrollWidth") <= 360, view
        await tab.whole_picture(screenshots / f"{view.split('/')[0]}-phone-light.png")


async def test_dark_and_light_as_the_system_has_it_and_as_one_chooses(demonstration: str, tab: Tab) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("dark", "light"):
        await tab.scheme(scheme)
        await tab.go(demonstration)
        await tab.until(VIEWS["network"])
        seen[scheme] = await tab.run(ground)
        assert await tab.run("document.documentElement.dataset.theme") == scheme
        assert await tab.run(FAINT) == [], scheme
    assert seen["dark"] != seen["light"]
    await tab.run("document.getElementById('theme').click()")
    assert await tab.run(ground) == seen["dark"]
    await tab.go(f"{demonstration}/?again")
    await tab.until(VIEWS["network"])
    assert await tab.run(ground) == seen["dark"]  # the choice is kept, whatever the system says


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
