"""One target's prober over real loopback sockets, against the server model: measuring, misses, kisses, its own clock."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest
from support.ntpbench import Bench, exchange, missed
from support.ntpserver import UNIX_IN_NTP_S, Header

from timesync.model import Exchange, Missed, Timestamping
from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from timesync.model import Outcome


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.close()


# Measuring


async def test_poll_of_a_server_is_one_exchange_with_kernel_stamps(bench: Bench) -> None:
    prober = await bench.prober(mode="basic")
    measured = exchange(await prober.poll())
    # Where nobody had stamps on before, the kernel switches those of what it receives on a moment after the first socket asks.
    async with asyncio.timeout(5):
        while measured.rx_timestamping is not Timestamping.KERNEL:
            await asyncio.sleep(0.01)
            measured = exchange(await prober.poll())
    assert measured.tx_timestamping is Timestamping.KERNEL
    assert measured.t1_ns < measured.t2_ns < measured.t3_ns < measured.t4_ns
    assert measured.address == bench.server.address
    assert (measured.protocol, measured.mode, measured.target) == ("ntp", "basic", "target")


async def test_interleaved_polls_are_each_accounted_for_once(bench: Bench) -> None:
    prober = await bench.prober()
    outcomes: list[Outcome] = []
    for _ in range(20):
        outcomes += await prober.poll()
    left = await prober.close()
    assert [type(each) for each in outcomes] == [Exchange] * 19
    assert [each.mode for each in outcomes if isinstance(each, Exchange)] == ["basic"] + ["interleaved"] * 18
    assert missed(left).reason is Reason.ASSOCIATION_ENDED
    instants = [each.t1_ns for each in outcomes if isinstance(each, Exchange)]
    assert instants == sorted(set(instants))


async def test_nonces_are_never_used_twice_and_are_never_the_time(bench: Bench) -> None:
    for _ in range(3):
        prober = await bench.prober()
        for _ in range(60):
            await prober.poll()
    sent = list(itertools.chain.from_iterable((r[32:40], r[40:48]) for r in bench.server.requests))
    nonces = [each for each in sent if each != bytes(8)]
    assert len(nonces) > 300
    assert len(set(nonces)) == len(nonces)
    now_s = (int(time.time()) + UNIX_IN_NTP_S) % 2**32
    assert all(abs(struct.unpack(">I", each[:4])[0] - now_s) > 1 for each in nonces)
    # And they are spread over all 64 bits: 357 draws leave about 192 of 256 first octets met.
    assert len({each[0] for each in nonces}) > 150


# What is told when there is nothing to measure


async def test_lost_reply_is_one_miss(bench: Bench) -> None:
    bench.server.handle = lambda request: []
    prober = await bench.prober(timeout_s=0.02)
    miss = missed(await prober.poll())
    assert (miss.reason, miss.sent, miss.detail) == (Reason.TIMEOUT, True, "no reply within 0.02 s")


async def test_closed_port_ends_the_poll_at_once(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    prober = await bench.prober(f"127.0.0.1:{port}", timeout_s=60.0)
    for _ in range(3):
        miss = missed(await prober.poll())
        assert (miss.reason, miss.sent) == (Reason.PORT_UNREACHABLE, True)


async def test_send_that_the_kernel_refuses_is_one_miss_that_was_not_sent(bench: Bench) -> None:
    # Without SO_BROADCAST the kernel refuses a broadcast address.
    prober = await bench.prober("255.255.255.255:123")
    for _ in range(3):
        miss = missed(await prober.poll())
        assert (miss.reason, miss.sent) == (Reason.SEND_FAILED, False)
        assert miss.detail == "Permission denied (sending to 255.255.255.255:123)"


async def test_refused_packet_names_the_miss_and_the_true_reply_is_still_measured(bench: Bench) -> None:
    prober = await bench.prober(timeout_s=0.4)
    bench.server.handle = lambda request: [(0.0, bench.server.reply(request)[:40])]
    assert missed(await prober.poll()).reason is Reason.TOO_SHORT
    bench.server.handle = lambda request: [(0.0, b"\x24" + bytes(47)), (0.0, bench.server.reply(request))]
    exchange(await prober.poll())
    assert bench.engine.refused == {Reason.TOO_SHORT: 1, Reason.WRONG_ORIGIN: 1}


async def test_reason_of_the_open_poll_goes_before_one_of_an_earlier(bench: Bench) -> None:
    prober = await bench.prober(timeout_s=0.4, mode="basic")
    first: list[bytes] = []
    bench.server.handle = lambda request: [
        (0.0, first[0] if first else first.append(bench.server.reply(request)) or first[0])
    ]
    exchange(await prober.poll())
    assert missed(await prober.poll()).reason is Reason.DUPLICATE
    bench.server.handle = lambda request: [(0.0, first[0]), (0.0, bench.server.reply(request)[:40]), (0.0, first[0])]
    assert missed(await prober.poll()).reason is Reason.TOO_SHORT


async def test_packets_between_polls_are_counted_by_their_reason(bench: Bench) -> None:
    prober = await bench.prober(timeout_s=0.3)

    def late_and_twice(request: bytes) -> list[tuple[float, bytes]]:
        reply = bench.server.reply(request)
        return [(0.35, reply), (0.36, reply)]

    bench.server.handle = late_and_twice
    assert missed(await prober.poll()).reason is Reason.TIMEOUT
    await asyncio.sleep(0.2)
    assert bench.engine.refused == {Reason.LATE: 2}
    bench.server.handle = lambda request: [(0.0, bench.server.reply(request))] * 3
    exchange(await prober.poll())
    await asyncio.sleep(0.05)
    assert bench.engine.refused == {Reason.LATE: 2, Reason.DUPLICATE: 2}


async def test_reply_from_another_port_is_a_wrong_source(bench: Bench) -> None:
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("127.0.0.1", 0))
    prober = await bench.prober(timeout_s=0.05)

    def elsewhere(request: bytes) -> list[tuple[float, bytes]]:
        port = prober._socket.port if prober._socket is not None else 0
        other.sendto(bench.server.reply(request), ("127.0.0.1", port))
        return []

    bench.server.handle = elsewhere
    assert missed(await prober.poll()).reason is Reason.WRONG_SOURCE
    other.close()


# Kisses


async def test_denial_stops_the_target_visibly_and_a_later_good_reply_is_told(bench: Bench) -> None:
    prober = await bench.prober(deny_retry_s=0.6)
    bench.server.model.header = Header(stratum=0, reference_id=b"DENY")
    miss = missed(await prober.poll())
    assert (miss.reason, miss.sent) == (Reason.KISS_DENY, True)
    assert miss.facts is not None
    miss = missed(await prober.poll())
    assert (miss.reason, miss.sent) == (Reason.STOPPED_BY_SERVER, False)
    assert len(bench.server.requests) == 1
    bench.server.model.header = Header()
    await asyncio.sleep(0.62)
    exchange(await prober.poll())
    assert [event.kind for event in bench.events] == ["kiss_deny", "access_restored"]


async def test_rate_kiss_holds_the_next_polls_back(bench: Bench) -> None:
    prober = await bench.prober(interval_s=1000.0)
    bench.server.model.header = Header(stratum=0, reference_id=b"RATE")
    assert missed(await prober.poll()).reason is Reason.KISS_RATE
    miss = missed(await prober.poll())
    assert (miss.reason, miss.sent) == (Reason.HELD_BY_RATE, False)


# The probe's clock


async def test_step_during_an_exchange_is_a_miss_and_no_measurement(bench: Bench) -> None:
    prober = await bench.prober(mode="basic")

    def step(request: bytes) -> list[tuple[float, bytes]]:
        bench.epoch += 1
        return [(0.0, bench.server.reply(request))]

    bench.server.handle = step
    miss = missed(await prober.poll())
    assert (miss.reason, miss.sent, miss.clock_epoch) == (Reason.CLOCK_STEPPED, True, 0)


async def test_step_between_two_interleaved_polls_spoils_neither(bench: Bench) -> None:
    prober = await bench.prober()
    await prober.poll()
    assert await prober.poll() == []
    bench.epoch += 1
    assert exchange(await prober.poll()).clock_epoch == 0
    assert exchange(await prober.poll()).clock_epoch == 1


# The end


async def test_target_closed_during_a_poll_tells_what_was_waiting(bench: Bench) -> None:
    prober = await bench.prober(timeout_s=60.0)
    await prober.poll()
    await prober.poll()  # waits for its transmit time
    bench.server.handle = lambda request: []
    task = asyncio.get_running_loop().create_task(prober.poll())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = await prober.close()
    # One that waited for its transmit time and one that waited for its answer: each request has its account.
    assert [each.reason for each in left if isinstance(each, Missed)] == [Reason.ASSOCIATION_ENDED] * 2
    assert len(left) == 2
    assert len({each.at_ns for each in left if isinstance(each, Missed)}) == 2


async def test_an_answer_that_came_as_the_target_was_closed_is_measured(bench: Bench) -> None:
    prober = await bench.prober(timeout_s=60.0)
    await prober.poll()
    await prober.poll()  # waits for its transmit time
    task = asyncio.get_running_loop().create_task(prober.poll())
    while prober._poll is None or not prober._poll.events:
        await asyncio.sleep(0)
    task.cancel()  # before the task has had its turn
    with pytest.raises(asyncio.CancelledError):
        await task
    left = await prober.close()
    assert [type(each) for each in left] == [
        Exchange,
        Missed,
    ]  # the poll before, and the one that waits for its transmit time
