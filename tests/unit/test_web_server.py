"""The HTTP server: what each address answers, and what every answer carries."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from aiohttp import web

from timesync.export.prometheus import CONTENT_TYPE
from timesync.measuring import Polled
from timesync.settings import HttpSettings
from timesync.web.health import Check, liveness, readiness, report
from timesync.web.server import Page, WebServer

WELL = (Check("spool", well=True, detail="accepts writes"),)
ILL = (*WELL, Check("engine ntp", well=False, detail="no poll completed yet"))


async def small_page() -> bytes:
    return b"timesync_up 1\n"


@pytest.fixture
async def serve():
    """Start a server on a free port of the loopback interface; gives a session bound to it."""
    running = []

    async def start(**changes) -> aiohttp.ClientSession:
        facts = {"title": "NIM / p1", "metrics": small_page, "alive": lambda: WELL, "ready": lambda: WELL, **changes}
        server = WebServer(HttpSettings(port=0), **facts)
        await server.start()
        session = aiohttp.ClientSession(server.urls[0])
        running.append((server, session))
        return session

    yield start
    for server, session in running:
        await session.close()
        await server.stop()


async def test_metrics_are_served_in_the_text_format(serve):
    session = await serve()
    async with session.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert await answer.read() == b"timesync_up 1\n"
        assert "Content-Encoding" not in answer.headers


@pytest.mark.filterwarnings("error")
async def test_a_large_page_is_compressed_for_a_scraper_that_can(serve):
    body = b"".join(b"timesync_up%d 1\n" % number for number in range(100_000))

    async def large() -> bytes:
        return body

    session = await serve(metrics=large)
    async with session.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert await answer.read() == body
    async with session.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == body


@pytest.mark.parametrize(("path", "fact"), [("/healthz", "alive"), ("/readyz", "ready")])
async def test_health_says_what_it_saw(serve, path, fact):
    session = await serve(**{fact: lambda: ILL})
    async with session.get(path) as answer:
        assert answer.status == 503
        assert answer.content_type == "application/json"
        assert await answer.json() == {
            "status": "failing",
            "checks": [
                {"name": "spool", "ok": True, "detail": "accepts writes"},
                {"name": "engine ntp", "ok": False, "detail": "no poll completed yet"},
            ],
        }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_200_when_all_is_well(serve, path):
    session = await serve()
    async with session.get(path) as answer:
        assert answer.status == 200
        assert (await answer.json())["status"] == "ok"


async def test_the_facts_are_asked_for_at_each_request(serve):
    answers = iter([ILL, WELL])
    session = await serve(ready=lambda: next(answers))
    seen = []
    for _ in range(2):
        async with session.get("/readyz") as answer:
            seen.append(answer.status)
    assert seen == [503, 200]


async def test_the_index_names_the_pages_and_escapes_the_title(serve):
    session = await serve(title='<script>"x"</script>')
    async with session.get("/") as answer:
        assert answer.content_type == "text/html"
        text = await answer.text()
    assert "<script>" not in text
    for path in ("/metrics", "/healthz", "/readyz"):
        assert f'href="{path}"' in text


async def test_more_pages_can_be_added_and_one_can_take_the_place_of_the_index(serve):
    async def status(_request: web.Request) -> web.Response:
        return web.Response(text="status")

    session = await serve(pages=(Page("/", "", status), Page("/status", "Status", status)))
    for path in ("/", "/status"):
        async with session.get(path) as answer:
            assert await answer.text() == "status"


@pytest.mark.parametrize(("path", "status"), [("/metrics", 200), ("/", 200), ("/healthz", 200), ("/none", 404)])
async def test_every_answer_carries_the_security_headers(serve, path, status):
    session = await serve()
    async with session.get(path) as answer:
        assert answer.status == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Server"] == "timesync"  # and no versions of what is behind it


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(serve, method):
    session = await serve()
    async with session.request(method, "/metrics", data=b"x") as answer:
        assert answer.status == 405


async def test_a_fault_in_a_fact_gives_500_and_tells_the_outside_nothing(serve, caplog):
    async def broken() -> bytes:
        raise RuntimeError("an inner detail")

    session = await serve(metrics=broken)
    async with session.get("/metrics") as answer:
        assert answer.status == 500
        assert "inner detail" not in await answer.text()
    assert "inner detail" in caplog.text  # the log has it
    async with session.get("/healthz") as answer:
        assert answer.status == 200


async def test_it_listens_on_loopback_by_default():
    assert HttpSettings().host == "127.0.0.1"


async def test_an_address_in_use_is_an_error_at_start():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = HttpSettings(port=taken.getsockname()[1])
        server = WebServer(settings, title="t", metrics=small_page, alive=lambda: WELL, ready=lambda: WELL)
        with pytest.raises(OSError, match="in use"):
            await server.start()
        assert server.urls == []


# The checks themselves.


def test_a_loop_that_stands_still_is_not_alive():
    assert report(liveness(heartbeat_age_s=0.2))["status"] == "ok"
    assert report(liveness(heartbeat_age_s=11.0))["status"] == "failing"


def test_a_schedule_whose_polls_do_not_begin_any_more_is_not_alive():
    assert report(liveness(heartbeat_age_s=0.2, overdue_s=0.1))["status"] == "ok"
    checks = liveness(heartbeat_age_s=0.2, overdue_s=11.0)
    assert [check.name for check in checks if not check.well] == ["schedule"]


@pytest.mark.parametrize(
    ("polls", "problem", "failing"),
    [
        ({"ntp": Polled(3, 0.5, 17.0), "ptp": Polled(1, 50.0, 17.0)}, None, []),
        ({"ntp": Polled(3, 0.5, 17.0), "ptp": Polled(0, None, 17.0)}, None, ["engine ptp"]),
        ({"ntp": Polled(900, 57.0, 17.0), "ptp": Polled(1, 60.0, 65.0)}, None, ["engine ntp"]),
        ({"ntp": Polled(1, 4.0, 0.05)}, "disk full", ["spool"]),
        ({}, None, ["engines"]),
    ],
)
def test_ready_means_that_each_engine_still_polls_and_the_spool_takes_writes(polls, problem, failing):
    checks = readiness(polled=polls, spool_problem=problem)
    assert [check.name for check in checks if not check.well] == failing
    assert all(check.detail for check in checks)
