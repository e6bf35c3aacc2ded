"""The InfluxDB sink against scripted servers: what real ones do only when they are in trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from support.databases import free_tcp_port

from timesync.model import Record
from timesync.settings import InfluxSettings
from timesync.store.influx import InfluxSink
from timesync.store.sink import SinkUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Server:
    """Answers every write by a rule; keeps what it was sent."""

    def __init__(self) -> None:
        self.rule: Callable[[list[str]], web.Response] = lambda lines: web.Response(status=204)
        self.requests: list[web.Request] = []
        self.bodies: list[list[str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        lines = (await request.read()).decode().split("\n")  # aiohttp has undone the compression
        self.requests.append(request)
        self.bodies.append(lines)
        return self.rule(lines)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application(client_max_size=10**8)
    app.router.add_post("/api/v2/write", made.handle)
    app.router.add_post("/write", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_tcp_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    made.url = f"http://127.0.0.1:{port}"
    yield made
    await runner.cleanup()


def records(count: int) -> list[Record]:
    return [Record("m", number, {"target": "a"}, {"number": number}) for number in range(count)]


@pytest.fixture
async def open_sink() -> AsyncIterator[Callable[..., InfluxSink]]:
    made: list[InfluxSink] = []

    def make(url: str, api: str = "v2", **more: Any) -> InfluxSink:
        place = {"bucket": "b"} if api == "v2" else {"database": "d"}
        made.append(InfluxSink(InfluxSettings("lab", url, api=api, **{**place, **more})))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_request_is_compressed_and_names_its_place_and_precision(
    server: Server, open_sink: Callable[..., InfluxSink], api: str
) -> None:
    assert await open_sink(server.url, api).write(records(100)) == []
    (request,) = server.requests
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.query["precision"] == "ns"
    assert request.query["bucket" if api == "v2" else "db"] == ("b" if api == "v2" else "d")
    assert server.bodies == [[f"m,target=a number={number}i {number}" for number in range(100)]]


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_secret_goes_in_a_header_and_not_in_the_address(
    server: Server, open_sink: Callable[..., InfluxSink], tmp_path: Path, api: str
) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("s3cret\n")
    own = {"token_file": secret} if api == "v2" else {"password_file": secret, "username": "probe"}
    await open_sink(server.url, api, **own).write(records(1))
    (request,) = server.requests
    expected = "Token s3cret" if api == "v2" else "Basic cHJvYmU6czNjcmV0"
    assert request.headers["Authorization"] == expected
    assert "s3cret" not in str(request.url)


async def test_secret_that_a_server_repeats_is_not_passed_on(
    server: Server, open_sink: Callable[..., InfluxSink], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("s3cret")
    server.rule = lambda lines: web.Response(status=401, text='{"message":"no such token: s3cret"}')
    with pytest.raises(SinkUnavailableError, match="no such token") as caught:
        await open_sink(server.url, token_file=secret).write(records(1))
    assert "s3cret" not in str(caught.value)


async def test_secret_open_to_others_is_refused_and_nothing_is_sent(
    server: Server, open_sink: Callable[..., InfluxSink], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    with pytest.raises(SinkUnavailableError, match="open to others: chmod 0600"):
        await open_sink(server.url, token_file=secret).write(records(1))
    assert server.requests == []


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_wish_of_a_busy_server_is_handed_on(
    server: Server, open_sink: Callable[..., InfluxSink], api: str
) -> None:
    server.rule = lambda lines: web.Response(status=503, headers={"Retry-After": "17"})
    with pytest.raises(SinkUnavailableError) as caught:
        await open_sink(server.url, api).write(records(3))
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("bad", [{0}, {99}, {13, 14, 77}, set(range(100))])
async def test_bad_lines_are_found_and_refused_alone(
    server: Server, open_sink: Callable[..., InfluxSink], bad: set[int]
) -> None:
    stored: set[int] = set()

    def all_or_nothing(lines: list[str]) -> web.Response:
        numbers = {int(line.rpartition(" ")[2]) for line in lines}
        if numbers & bad:
            return web.Response(status=400, text='{"error":"unable to parse"}')
        stored.update(numbers)
        return web.Response(status=204)

    server.rule = all_or_nothing
    sent = records(100)
    refusals = await open_sink(server.url).write(sent)
    assert [each.record for each in refusals] == [sent[number] for number in sorted(bad)]
    assert stored == set(range(100)) - bad
    assert len(server.requests) <= 1 + 14 * len(bad)  # a search by halves


async def test_request_refused_as_a_whole_makes_the_batch_wait_and_blames_no_record(
    server: Server, open_sink: Callable[..., InfluxSink]
) -> None:
    server.rule = lambda lines: web.Response(status=400, text='{"error":"bucket is required"}')
    with pytest.raises(SinkUnavailableError, match="bucket is required"):
        await open_sink(server.url).write(records(4))


async def test_unknown_fault_of_one_line_is_believed_when_the_others_go_in(
    server: Server, open_sink: Callable[..., InfluxSink]
) -> None:
    server.rule = lambda lines: web.Response(status=400 if any("=2i" in line for line in lines) else 204, text="")
    (refusal,) = await open_sink(server.url).write(records(4))
    assert refusal.record.at_ns == 2


async def test_size_that_was_too_large_is_remembered(server: Server, open_sink: Callable[..., InfluxSink]) -> None:
    server.rule = lambda lines: web.Response(status=413 if len(lines) > 30 else 204)
    sink = open_sink(server.url)
    assert await sink.write(records(100)) == []
    assert [len(body) for body in server.bodies[:3]] == [100, 50, 25]
    server.bodies.clear()
    assert await sink.write(records(100)) == []
    assert all(len(body) <= 30 for body in server.bodies)


async def test_redirect_is_told_and_the_token_is_not_sent_elsewhere(
    server: Server, open_sink: Callable[..., InfluxSink]
) -> None:
    server.rule = lambda lines: web.Response(status=307, headers={"Location": "http://elsewhere.example/"})
    with pytest.raises(SinkUnavailableError, match=r"elsewhere\.example.*configure that url"):
        await open_sink(server.url).write(records(1))
    assert len(server.requests) == 1


async def test_server_that_is_not_there_makes_the_batch_wait(open_sink: Callable[..., InfluxSink]) -> None:
    url = f"http://127.0.0.1:{free_tcp_port()}"
    with pytest.raises(SinkUnavailableError, match=r"127\.0\.0\.1"):
        await open_sink(url).write(records(1))


async def test_name_and_password_in_the_address_are_not_shown(open_sink: Callable[..., InfluxSink]) -> None:
    with pytest.raises(SinkUnavailableError) as caught:
        await open_sink(f"http://me:s3cret@127.0.0.1:{free_tcp_port()}", "v1").write(records(1))
    assert "s3cret" not in str(caught.value)


async def test_record_that_line_protocol_cannot_say_is_refused_and_the_rest_is_sent(
    server: Server, open_sink: Callable[..., InfluxSink]
) -> None:
    bad = Record("m", 1, {"target": "a\\"}, {"x": 1})
    (refusal,) = await open_sink(server.url).write([bad, *records(2)])
    assert refusal.record == bad
    assert [len(body) for body in server.bodies] == [2]


async def test_compression_can_be_turned_off(server: Server, open_sink: Callable[..., InfluxSink]) -> None:
    await open_sink(server.url, gzip=False).write(records(100))
    assert "Content-Encoding" not in server.requests[0].headers


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_secret_with_a_control_character_makes_the_batch_wait(
    server: Server, open_sink: Callable[..., InfluxSink], tmp_path: Path, api: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"to\0ken")
    secret.chmod(0o600)
    sink = open_sink(server.url, api, token_file=secret, password_file=secret, username="u")
    with pytest.raises(SinkUnavailableError, match="cannot be sent"):
        await sink.write(records(1))
    secret.write_bytes(b"token")
    assert await sink.write(records(1)) == []
