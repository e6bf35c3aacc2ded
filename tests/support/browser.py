"""A real Chromium, driven by its DevTools protocol over a websocket: nothing but aiohttp is needed.

Rule: everything a page says on its console, every error and every request it makes is kept, so that a test can ask that there was
none. The browser has a profile of its own in a temporary folder and ends with the test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from support import debian

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["Tab", "browser"]

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root, in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "about:blank",
)
LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.console: list[str] = []
        self.requests: list[str] = []
        self._size: tuple[int, int, bool, float] = (1280, 800, False, 1.0)
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data)
            else:
                self._hear(data["method"], data["params"])

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(each.get("value", each.get("description"))) for each in params["args"]))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; its result. Raises RuntimeError with the browser's own words."""
        self._number += 1
        number = self._number
        self._answers[number] = asyncio.get_running_loop().create_future()
        answer = self._answers[number]
        await self._socket.send_json({"id": number, "method": method, "params": params})
        found = await asyncio.wait_for(answer, 30)
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']['message']}")
        result: dict[str, Any] = found["result"]
        return result

    async def begin(self) -> None:
        """Listen to everything that the page says."""
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            await self.send(f"{domain}.enable")

    async def go(self, url: str) -> None:
        """Open an address, until it is loaded."""
        self._loaded.clear()
        await self.send("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), 30)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page. Raises AssertionError where it throws."""
        found = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        details = found.get("exceptionDetails")
        assert details is None, details.get("exception", {}).get("description")
        return found["result"].get("value")

    async def until(self, script: str, *, within_s: float = 20.0) -> Any:
        """The first true value of an expression. Raises AssertionError with what the page shows where it does not come."""
        deadline = asyncio.get_running_loop().time() + within_s
        while not (found := await self.run(script)):
            if asyncio.get_running_loop().time() > deadline:
                shown = await self.run("document.body.innerText")
                raise AssertionError(f"{script} did not come true; console {self.console}; the page shows:\n{shown}")
            await asyncio.sleep(0.1)
        return found

    async def screen(self, width: int, height: int, *, mobile: bool = False, scale: float = 1.0) -> None:
        """The size of the screen."""
        self._size = (width, height, mobile, scale)
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        await self.send("Emulation.setDeviceMetricsOverride", **size)

    async def scheme(self, name: str) -> None:
        """What the system prefers: "dark" or "light"."""
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    async def key(self, key: str, code: int = 0, text: str = "") -> None:
        """Press and let go of one key."""
        params = {"key": key, "windowsVirtualKeyCode": code}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **params, **({"text": text} if text else {}))
        await self.send("Input.dispatchKeyEvent", type="keyUp", **params)

    async def drag(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw the mouse from one place to another with its button down."""
        for kind, (x, y), buttons in (
            ("mouseMoved", begin, 0),
            ("mousePressed", begin, 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):
            button = "none" if kind == "mouseMoved" and not buttons else "left"
            await self.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1
            )

    async def picture(self, path: Path) -> None:
        """A screenshot; by its suffix a PNG or a WebP."""
        kind = path.suffix.lstrip(".")
        quality = {"quality": 80} if kind == "webp" else {}
        found = await self.send("Page.captureScreenshot", format=kind, **quality)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))

    async def whole_picture(self, path: Path) -> None:
        """A screenshot of all there is from top to bottom, 3000 pixels at most."""
        width, height, mobile, scale = self._size
        tall = min(3000, await self.run("document.documentElement.scrollHeight"))
        await self.screen(width, max(height, tall), mobile=mobile, scale=scale)
        await self.run("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        await self.picture(path)
        await self.screen(width, height, mobile=mobile, scale=scale)

    async def close(self) -> None:
        """Stop listening."""
        await self._socket.close()
        self._reader.cancel()


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Tab]:
    """A browser with one empty tab."""
    process = await asyncio.create_subprocess_exec(
        debian.binary("chromium"),
        *FLAGS,
        f"--user-data-dir={profile}",
        env={**debian.environment(), "HOME": str(profile), "XDG_CACHE_HOME": str(profile), "TZ": "Asia/Shanghai"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    drain: asyncio.Task[bytes] | None = None
    try:
        address = await asyncio.wait_for(_address(process.stderr), 60)
        drain = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as session:
            host = address.split("/")[2]
            async with session.get(f"http://{host}/json/list") as answer:
                pages = await answer.json()
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                tab = Tab(socket)
                await tab.begin()
                try:
                    yield tab
                finally:
                    await tab.close()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if drain is not None:
            await drain
        shutil.rmtree(profile, ignore_errors=True)


async def _address(stream: asyncio.StreamReader) -> str:
    said = b""
    async for line in stream:
        said += line
        if match := LISTENING.search(line):
            return match[1].decode()
    raise AssertionError(f"chromium ended: {said.decode(errors='replace')}")
