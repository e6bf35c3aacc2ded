"""The page in a real Chromium: when it is first seen, what it weighs, and how a history of a million points is moved about in.

Rule: the browser is the one that the tests use, the server is the daemon's own, and the million points are in a history on
disk. One of them is a peak of a single sample, which has to be in every answer. Frames are counted by requestAnimationFrame while
the picture is zoomed and moved; without a screen a frame is due every 16.7 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
from support import debian
from support.browser import Tab, browser
from support.figures import Figures, options, quantile

from timesync.alerts.limits import PROFILES
from timesync.model import Record
from timesync.pipeline import Pipeline
from timesync.settings import HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.store.local import History
from timesync.web.api import StatusPage
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NS = 1_000_000_000
PEAK_S = 5e-5
SITE = SiteSettings("NIM", "p1")
TAGS = {"site": "NIM", "probe": "p1", "target": "ntp1", "protocol": "ntp", "reference": "utc"}
TARGETS = (TargetSettings("ntp1", "ntp", "192.0.2.2", interval_s=1.0, limit=PROFILES["rts25-100us"]),)
# What a person does: look closer three times, go back and forth, look closer, and back to everything.
KEYS = ("+", "+", "+", "<", "<", ">", "+", "<", "-", "-", "-", "-", "-")
FRAMES = """
(() => {
  window.frames_ = [];
  let last = performance.now(), going = true;
  const tick = (now) => { window.frames_.push(now - last); last = now; if (going) requestAnimationFrame(tick); };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(tick); });
  window.endFrames_ = () => { going = false; return window.frames_; };
})()
"""
WEIGHT = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((each) => !each.name.includes("/stream")).reduce((sum, each) => sum + each.transferSize, 0)
"""


def fill(path: Path, count: int, begin_ns: int) -> None:
    """A history of one target at 1 Hz, with white and random-walk noise, and one peak."""
    rng = np.random.default_rng(7)
    x = np.cumsum(rng.normal(0.0, 1e-9, count)) + rng.normal(0.0, 2e-7, count)
    x[int(0.654321 * count)] = PEAK_S
    values = x.tolist()
    history = History(path, read_only=False)
    fixed = {
        "claim": "valid",
        "realises": "UTC(NIM)",
        "bound_s": 2e-5,
        "time_error_bound_s": 2.1e-5,
        "time_error_u_s": 9e-6,
    }
    for first in range(0, count, 5000):
        history.write(
            [
                Record(
                    "time_error",
                    begin_ns + number * NS,
                    TAGS,
                    {**fixed, "offset_s": value + 1e-3, "delay_s": 4e-5 + abs(value), "time_error_s": value},
                )
                for number, value in enumerate(values[first : first + 5000], start=first)
            ]
        )
    history.close()


@asynccontextmanager
async def serving(path: Path, folder: Path) -> AsyncIterator[str]:
    """The page beside this history."""
    pipeline = Pipeline(ProbeSettings(SITE, TARGETS, SpoolSettings(folder)))
    page = StatusPage(SITE, lambda: pipeline.states, path)
    facts: dict[str, Any] = {"metrics": lambda: asyncio.sleep(0, b""), "alive": list, "ready": list}
    server = WebServer(HttpSettings(port=0), title="t", pages=page.pages(), stopping=page.close, **facts)
    await server.start()
    try:
        yield server.urls[0]
    finally:
        await server.stop()


async def ask(url: str, count: int, begin_ns: int, figures: Figures, turns: int) -> None:
    """The API's answer about everything, as a screen of 1200 columns asks."""
    query = f"series?target=ntp1&start_ns={begin_ns}&end_ns={begin_ns + count * NS}&points=1200"
    took_s, weight, columns = [], 0, {}
    async with aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "gzip"}) as session:
        for _ in range(turns):
            begun = time.perf_counter()
            async with session.get(f"{url}/api/v1/{query}") as answer:
                weight = len(await answer.read())
            took_s.append(time.perf_counter() - begun)
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v1/{query}") as answer:
        columns = (await answer.json())["columns"]
    figures.add("answer about all points, median", statistics.median(took_s), "s", limit=3.0)
    figures.add("answer about all points, octets sent", weight / 1e3, "kB", limit=300.0)
    figures.add("answer about all points, points sent", len(columns["at_ns"]), "")
    figures.add(
        "answer about all points, peak there", float(PEAK_S in columns["time_error_s"]), "", limit=1.0, better="higher"
    )


async def see(tab: Tab, url: str, figures: Figures, turns: int) -> None:
    """When the page is first seen, cold, and what was fetched for it."""
    paint_ms, drawn_ms, weight = [], [], 0.0
    for _ in range(turns):
        await tab.send("Network.clearBrowserCache")
        await tab.go(f"{url}/#/network")
        await tab.until("document.querySelectorAll('#targets tbody tr').length === 1")
        drawn_ms.append(await tab.run("performance.now()"))
        paint_ms.append(await tab.until("performance.getEntriesByName('first-contentful-paint')[0]?.startTime"))
        weight = await tab.run(WEIGHT)
        await tab.go("about:blank")
    figures.add("first contentful paint, median", statistics.median(paint_ms), "ms", limit=1000.0)
    figures.add("first contentful paint, worst", max(paint_ms), "ms", limit=1000.0)
    figures.add("first view complete, median (asked every 100 ms)", statistics.median(drawn_ms), "ms")
    figures.add("octets of a first visit", weight / 1e3, "kB", limit=300.0)


async def move(tab: Tab, url: str, count: int, begin_ns: int, figures: Figures) -> None:
    """Zoom and move within a million points, and count frames."""
    await tab.go(f"{url}/#/target/ntp1?from={begin_ns / NS}&to={begin_ns / NS + count}")
    await tab.until("document.body.innerText.includes('drawn by their extremes')", within_s=60)
    shown_ms: list[float] = []
    answered_ms: list[float] = []
    await tab.run(FRAMES)
    for key in KEYS:
        button = f"document.querySelector('[data-zoom=\"{key}\"]')"
        press = f"(() => {{ const begun = performance.now(); {button}.click(); return begun; }})()"
        begun = await tab.run(press)
        drawn = (
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
        )
        shown_ms.append(await tab.run(drawn) - begun)
        await tab.until("!document.querySelector('#offset-chart').hasAttribute('aria-busy')", within_s=60)
        answered_ms.append(await tab.run("performance.now()") - begun)
    frames_ms = await tab.run("window.endFrames_()")
    figures.add("zoom or move until the picture follows, median", statistics.median(shown_ms), "ms", limit=100.0)
    figures.add("zoom or move until the picture follows, worst", max(shown_ms), "ms")
    figures.add("zoom or move until every extreme is there, median", statistics.median(answered_ms), "ms")
    figures.add("zoom or move until every extreme is there, worst", max(answered_ms), "ms", limit=5000.0)
    figures.add("frame while zooming and moving, median", statistics.median(frames_ms), "ms", limit=20.0)
    figures.add("frame while zooming and moving, p99", quantile(frames_ms, 0.99), "ms", limit=50.0)
    figures.add("frame while zooming and moving, worst", max(frames_ms), "ms")


async def measure(figures: Figures, *, quick: bool) -> None:
    count = 100_000 if quick else 1_000_000
    begin_ns = time.time_ns() - count * NS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "history.sqlite3"
        await asyncio.to_thread(fill, path, count, begin_ns)
        print(f"{count} points, {path.stat().st_size / 1e6:.0f} MB")
        async with serving(path, folder) as url, browser(folder / "profile") as tab:
            await tab.screen(1440, 1000)
            await ask(url, count, begin_ns, figures, 3 if quick else 7)
            await see(tab, url, figures, 3 if quick else 7)
            await move(tab, url, count, begin_ns, figures)
            assert tab.console == [], tab.console


def main() -> None:
    wanted = options(__doc__).parse_args()
    debian.prepare()
    figures = Figures()
    asyncio.run(measure(figures, quick=wanted.quick))
    figures.finish(wanted.output)


if __name__ == "__main__":
    main()
