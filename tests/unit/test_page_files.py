"""The files of the page: small, the page's own, and nothing that the content security policy would stop."""

from __future__ import annotations

import gzip
import re

import aiohttp
import pytest

from timesync.settings import HttpSettings, SiteSettings
from timesync.web.api import StatusPage
from timesync.web.assets import FOLDER, Assets
from timesync.web.server import WebServer

FILES = [path for path in sorted(FOLDER.rglob("*")) if path.is_file()]
OWN = [path for path in FILES if path.parent == FOLDER]
LIMIT = 300_000


@pytest.fixture
async def session():
    page = StatusPage(SiteSettings("s", "p"), dict, None)

    async def nothing() -> bytes:
        return b""

    server = WebServer(
        HttpSettings(port=0),
        title="t",
        metrics=nothing,
        alive=list,
        ready=list,
        pages=page.pages(),
        stopping=page.close,
    )
    await server.start()
    async with aiohttp.ClientSession(server.urls[0], auto_decompress=False) as client:
        yield client
    await server.stop()


def test_the_whole_page_weighs_less_than_300_kilobytes():
    assert sum(path.stat().st_size for path in FILES) < LIMIT


def test_nothing_comes_from_elsewhere():
    for path in OWN:
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text()))
        assert found <= {"http://www.w3.org"}, path  # the name of the SVG format, which nobody fetches


def test_no_script_or_style_stands_in_the_markup():
    text = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
    for path in OWN:
        assert (
            re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
            )
            == []
        ), path


def test_what_is_vendored_has_its_licence_and_its_version():
    names = {path.name for path in FILES if path.parent.name == "vendor"}
    assert {"uplot-1.6.32.iife.min.js", "uplot-1.6.32.min.css", "uplot-LICENSE.txt"} == names
    assert "v1.6.32" in (FOLDER / "vendor" / "uplot-1.6.32.iife.min.js").read_text()
    assert "The MIT License" in (FOLDER / "vendor" / "uplot-LICENSE.txt").read_text()


def test_every_file_that_is_named_is_there():
    for path in OWN:
        for name in re.findall(r'(?:src|href)="/static/([^"]+)"', path.read_text()):
            assert (FOLDER / name).is_file(), name
        for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert (FOLDER / name).is_file(), name


async def test_files_are_served_with_their_type_compressed_and_known_again(session):
    async with session.get("/", headers={"Accept-Encoding": "identity"}) as answer:
        assert answer.content_type == "text/html"
        assert await answer.read() == (FOLDER / "index.html").read_bytes()
        tag = answer.headers["ETag"]
        assert answer.headers["Cache-Control"] == "no-cache"
    async with session.get("/", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    async with session.get("/static/vendor/uplot-1.6.32.iife.min.js", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.content_type == "text/javascript"
        assert answer.headers["Content-Encoding"] == "gzip"
        packed = await answer.read()
    assert gzip.decompress(packed) == (FOLDER / "vendor" / "uplot-1.6.32.iife.min.js").read_bytes()


@pytest.mark.parametrize(
    "path", ["../server.py", "%2e%2e/server.py", "..%2fserver.py", "/etc/passwd", "vendor/", "none.js"]
)
async def test_nothing_else_is_served(session, path):
    async with session.get(f"/static/{path}") as answer:
        assert answer.status == 404


async def test_the_policy_allows_no_inline_script_and_nothing_from_elsewhere(session):
    async with session.get("/") as answer:
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not any("unsafe" in value for value in policy.values())


def test_nothing_is_held_in_memory_before_somebody_looks():
    assets = Assets()
    assert assets._files is None
    assert "index.html" in assets.names()
