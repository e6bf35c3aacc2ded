"""A target's name: looked up beside the measuring, followed when it moves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.ntpbench import Bench, exchange, missed

from timesync.model import Exchange
from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.close()


def answers(*addresses: str, port: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, int(port))) for address in addresses]


@contextlib.contextmanager
def resolver(monkeypatch: pytest.MonkeyPatch, resolve: Callable[[], Awaitable[Any]]) -> Any:
    loop = asyncio.get_running_loop()

    async def getaddrinfo(*_a: object, **_k: object) -> Any:
        return await resolve()

    with monkeypatch.context() as patched:
        patched.setattr(loop, "getaddrinfo", getaddrinfo)
        yield


async def test_name_that_does_not_resolve_is_a_miss_that_was_not_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with resolver(monkeypatch, fails):
        prober = await bench.prober("server.example")
        for _ in range(2):
            miss = missed(await prober.poll())
            assert (miss.reason, miss.sent, miss.address) == (Reason.NAME_NOT_RESOLVED, False, "server.example")
            assert "server.example" in miss.detail


async def test_slow_resolver_holds_up_no_poll_of_a_known_address(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _, port = bench.server.address.split(":")
    asked: list[asyncio.Event] = []

    async def first_quick_then_never() -> Any:
        asked.append(asyncio.Event())
        if len(asked) > 1:
            await asked[-1].wait()
        return answers("127.0.0.1", port=port)

    with resolver(monkeypatch, first_quick_then_never):
        prober = await bench.prober("server.example:" + port)
        exchange(await prober.poll())
        monkeypatch.setattr(prober._name, "asked_at_s", -1e9)  # ten minutes have passed
        for _ in range(4):
            await asyncio.wait_for(prober.poll(), 2.0)
        assert len(asked) == 2  # one lookup at a time
        await prober.close()


async def test_resolver_that_fails_leaves_the_known_address(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _, port = bench.server.address.split(":")
    asked: list[int] = []

    async def once() -> Any:
        asked.append(1)
        if len(asked) > 1:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return answers("127.0.0.1", port=port)

    with resolver(monkeypatch, once):
        prober = await bench.prober("server.example:" + port, mode="basic")
        exchange(await prober.poll())
        monkeypatch.setattr(prober._name, "asked_at_s", -1e9)
        for _ in range(3):
            exchange(await prober.poll())
        assert len(asked) == 2  # not again before its time


async def test_name_that_has_moved_begins_a_new_association_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port = bench.server.address.split(":")
    where = ["127.0.0.2"]

    async def moving() -> Any:
        return answers(*where, port=port)

    with resolver(monkeypatch, moving):
        prober = await bench.prober("server.example:" + port, timeout_s=1.0)
        assert missed(await prober.poll()).address == f"127.0.0.2:{port}"
        where[:] = ["127.0.0.1"]
        monkeypatch.setattr(prober._name, "asked_at_s", -1e9)
        await prober.poll()
        measured = exchange(await prober.poll())
        assert measured.address == f"127.0.0.1:{port}"
        (event,) = [event for event in bench.events if event.kind == "address_changed"]
        assert event.evidence == {"from": f"127.0.0.2:{port}", "to": f"127.0.0.1:{port}"}


async def test_server_among_several_addresses_is_left_after_losses_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port = bench.server.address.split(":")

    async def both() -> Any:
        return answers("127.0.0.2", "127.0.0.1", port=port)

    with resolver(monkeypatch, both):
        prober = await bench.prober("server.example:" + port, timeout_s=1.0, interval_s=0.001)
        for _ in range(4):
            assert missed(await prober.poll()).address == f"127.0.0.2:{port}"
        await asyncio.sleep(0.02)  # longer than eight intervals: the name is due again
        outcomes = [outcome for _ in range(3) for outcome in await prober.poll()]
        assert any(isinstance(each, Exchange) and each.address == f"127.0.0.1:{port}" for each in outcomes)
