"""What the tests of the page share: the demonstration network's page, and a tab of a real browser.

Rule: one demonstration for all of them; a browser of its own for each, because what a page keeps would be seen by the next.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.browser import browser
from support.installed import program

if TYPE_CHECKING:
    from collections.abc import Iterator

SCREENSHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of every view are kept, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


@pytest.fixture(scope="session")
def demonstration(lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`timesync up` as a newcomer runs it; the address of its page."""
    lab("chromium")
    folder = tmp_path_factory.mktemp("demonstration")
    words = ("up", "--no-tui", "--port", "0", "--directory", folder / "state")
    with (folder / "log").open("wb") as file, subprocess.Popen([program(), *words], stderr=file) as process:
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", (folder / "log").read_text())):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
            yield found[0]
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
async def tab(lab, tmp_path: Path):
    """An empty tab of a browser; afterwards nothing may have been said on its console, and nothing been asked of anybody else."""
    lab("chromium")
    async with browser(tmp_path / "profile") as tab:
        await tab.screen(1280, 800)
        await tab.scheme("dark")
        yield tab
        assert tab.console == []
        hosts = {url.split("/")[2] for url in tab.requests if url.startswith("http")}
        assert all(host.startswith("127.0.0.1:") for host in hosts), hosts
