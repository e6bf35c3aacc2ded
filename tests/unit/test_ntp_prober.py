"""One target's prober over real loopback sockets, against the server model; and with a fake socket where hardware is needed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.ntpserver import UNIX_IN_NTP_S, Header, Server

import probes.ntp_prober
from probes.hardware import HardwareUnavailableError
from probes.ntp import KIND, NtpEngine
from probes.ntp_prober import NtpProber, Shared
from probes.sockets import SocketCounters
from probes.timeouts import TimeOuts
from timesync.exchange.ntp import Stamp
from timesync.model import Event, Exchange, Missed, Severity, Timestamping
from timesync.plugin import EngineContext
from timesync.reasons import Reason
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from timesync.model import Outcome


class Responder:
    """A UDP server on loopback whose answers a test gives: for each request, replies with their delays in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.model = Server()
        self.requests: list[bytes] = []
        self.handle: Callable[[bytes], list[tuple[float, bytes]]] = lambda request: [(0.0, self.reply(request))]
        self._loop = loop
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        loop.add_reader(self._socket.fileno(), self._readable)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def reply(self, request: bytes) -> bytes:
        self.model.processing_ns = 1
        return self.model.answer(request, time.time_ns())[0]

    def _readable(self) -> None:
        request, address = self._socket.recvfrom(2048)
        self.requests.append(request)
        for delay_s, reply in self.handle(request):
            if delay_s:
                self._loop.call_later(delay_s, self._send, reply, address)
            else:
                self._send(reply, address)

    def _send(self, reply: bytes, address: Any) -> None:
        if self._socket.fileno() >= 0:
            self._socket.sendto(reply, address)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class Bench:
    """An engine, a server, and the epoch of the probe's clock in the test's hands."""

    def __init__(self) -> None:
        self.epoch = 0
        self.events: list[Event] = []
        self.server = Responder(asyncio.get_running_loop())
        settings = ProbeSettings(SiteSettings("lab", "probe"), (), SpoolSettings(Path()), resolve_again_s=600.0)
        self.context = EngineContext(settings, self.events.append, lambda: self.epoch)
        self.engine: NtpEngine = KIND.open(self.context)
        self.probers: list[NtpProber] = []

    async def prober(
        self, address: str | None = None, *, timeout_s: float = 0.5, interval_s: float = 0.01, **options: Any
    ) -> NtpProber:
        target = TargetSettings(
            "target", "ntp", address or self.server.address, interval_s=interval_s, timeout_s=timeout_s, options=options
        )
        self.probers.append(await self.engine.open_target(target))
        return self.probers[-1]

    async def close(self) -> None:
        for prober in self.probers:
            await prober.close()
        await self.engine.close()
        self.server.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.close()


def only(outcomes: Any) -> Outcome:
    assert len(outcomes) == 1, outcomes
    outcome: Outcome = outcomes[0]
    return outcome


def missed(outcomes: Any) -> Missed:
    outcome = only(outcomes)
    assert isinstance(outcome, Missed), outcome
    return outcome


def exchange(outcomes: Any) -> Exchange:
    outcome = only(outcomes)
    assert isinstance(outcome, Exchange), outcome
    return outcome


# Measuring


async def test_poll_of_a_server_is_one_exchange_with_kernel_stamps(bench: Bench) -> None:
    measured = exchange(await (await bench.prober()).poll())
    assert (measured.tx_timestamping, measured.rx_timestamping) == (Timestamping.KERNEL, Timestamping.KERNEL)
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


# Names


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
    assert missed(await prober.close()).reason is Reason.ASSOCIATION_ENDED


# Hardware stamps, with a fake socket: it tells in what order a test wants


class FakeHardwareSocket:
    """A FAKE of a socket on a card with a clock: nothing is sent; a test says when stamps and replies come."""

    made: FakeHardwareSocket

    def __init__(
        self, _loop: object, _family: object, datagram: Any, transmit: Any, error: Any, **_options: object
    ) -> None:
        self.datagram, self.transmit, self.error = datagram, transmit, error
        self.sent = asyncio.Event()
        self.requests: list[bytes] = []
        FakeHardwareSocket.made = self

    def send(self, data: bytes, _address: object) -> tuple[int, Stamp]:
        self.requests.append(data)
        self.sent.set()
        self.sent_ns = time.time_ns()
        return len(self.requests) - 1, Stamp(self.sent_ns, Timestamping.USER)

    def drain_transmit_stamps(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
async def hardware(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> NtpProber:
    monkeypatch.setattr(probes.ntp_prober, "TimestampedSocket", FakeHardwareSocket)
    loop = asyncio.get_running_loop()
    shared = Shared(loop, bench.context, SocketCounters(), bench.engine.refused, TimeOuts(loop))
    target = TargetSettings("target", "ntp", "192.0.2.1:123", interval_s=0.01, timeout_s=1.0)
    return NtpProber(shared, target, None, lambda ns: ns)


async def begun(prober: NtpProber) -> tuple[asyncio.Task[Any], FakeHardwareSocket, bytes]:
    """A poll that has been sent; the kernel's transmit stamp has come."""
    task = asyncio.get_running_loop().create_task(prober.poll())
    await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0.001)
        if task.done() or (
            prober._poll is not None and prober._poll.tx_number is not None and not prober._poll.done.done()
        ):
            break
    fake = FakeHardwareSocket.made
    fake.transmit(len(fake.requests) - 1, Stamp(fake.sent_ns + 10, Timestamping.KERNEL))
    return task, fake, fake.requests[-1]


async def test_reply_waits_for_the_hardware_stamp_of_its_request(
    monkeypatch: pytest.MonkeyPatch, hardware: NtpProber
) -> None:
    monkeypatch.setattr(probes.ntp_prober, "HARDWARE_STAMP_WAIT_S", 60.0)
    model = Server()
    task, fake, request = await begun(hardware)
    reply, _ = model.answer(request, fake.sent_ns + 100)
    fake.datagram(reply, ("192.0.2.1", 123), Stamp(fake.sent_ns + 50_000, Timestamping.HARDWARE))
    await asyncio.sleep(0)
    assert not task.done()
    fake.transmit(0, Stamp(fake.sent_ns + 15, Timestamping.HARDWARE))
    measured = exchange(await task)
    assert (measured.tx_timestamping, measured.rx_timestamping) == (Timestamping.HARDWARE, Timestamping.HARDWARE)
    assert measured.t1_ns == fake.sent_ns + 15


async def test_hardware_stamp_that_does_not_come_leaves_the_kernels(hardware: NtpProber) -> None:
    model = Server()
    task, fake, request = await begun(hardware)
    reply, _ = model.answer(request, fake.sent_ns + 100)
    fake.datagram(reply, ("192.0.2.1", 123), Stamp(fake.sent_ns + 50_000, Timestamping.HARDWARE))
    measured = exchange(await asyncio.wait_for(task, 1.0))
    assert (measured.tx_timestamping, measured.rx_timestamping) == (Timestamping.KERNEL, Timestamping.HARDWARE)


async def test_hardware_stamp_before_the_reply_makes_nobody_wait(hardware: NtpProber) -> None:
    model = Server()
    task, fake, request = await begun(hardware)
    fake.transmit(0, Stamp(fake.sent_ns + 15, Timestamping.HARDWARE))
    reply, _ = model.answer(request, fake.sent_ns + 100)
    fake.datagram(reply, ("192.0.2.1", 123), Stamp(fake.sent_ns + 50_000, Timestamping.HARDWARE))
    assert hardware._poll is not None
    assert hardware._poll.done.done()
    assert exchange(await task).tx_timestamping is Timestamping.HARDWARE


async def test_late_hardware_stamp_still_serves_an_interleaved_exchange(hardware: NtpProber) -> None:
    model = Server()
    for number in range(3):
        task, fake, request = await begun(hardware)
        reply, _ = model.answer(request, fake.sent_ns + 100)
        fake.datagram(reply, ("192.0.2.1", 123), Stamp(fake.sent_ns + 50_000, Timestamping.HARDWARE))
        outcomes = await task
        if number == 1:
            # The reply was taken without it; it comes before the next reply does.
            fake.transmit(1, Stamp(fake.sent_ns + 15, Timestamping.HARDWARE))
    assert exchange(outcomes).mode == "interleaved"
    assert exchange(outcomes).tx_timestamping is Timestamping.HARDWARE


async def test_reply_held_for_its_stamp_is_not_lost_to_the_time_out(
    monkeypatch: pytest.MonkeyPatch, hardware: NtpProber
) -> None:
    monkeypatch.setattr(probes.ntp_prober, "HARDWARE_STAMP_WAIT_S", 60.0)
    model = Server()
    task, fake, request = await begun(hardware)
    reply, _ = model.answer(request, fake.sent_ns + 100)
    fake.datagram(reply, ("192.0.2.1", 123), Stamp(fake.sent_ns + 50_000, Timestamping.HARDWARE))
    measured = exchange(await asyncio.wait_for(task, 5.0))
    assert measured.tx_timestamping is Timestamping.KERNEL


async def test_interface_without_hardware_is_told_once_and_measured_with_kernel_stamps(bench: Bench) -> None:
    for _ in range(2):
        prober = await bench.prober(interface="lo")
        assert exchange(await prober.poll()).tx_timestamping is Timestamping.KERNEL
    (event,) = bench.events
    assert (event.kind, event.severity) == ("no_hardware_stamps", Severity.WARNING)
    assert "lo" in event.text


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A made-up card: whether it stamps is the test's to say."""
    state = {"stamps": False}

    class Card:
        def to_system_ns(self, hardware_ns: int) -> int | None:
            return None

        def close(self) -> None:
            """Nothing to let go."""

    def open_clock(interface: str, epoch: object, *, configure: bool) -> Card:
        if not state["stamps"]:
            raise HardwareUnavailableError("not set up yet")
        return Card()

    monkeypatch.setattr("probes.ntp.HardwareClock.open", open_clock)
    return state


async def test_hardware_stamps_are_tried_again_when_a_target_is_opened_again(
    bench: Bench, card: dict[str, bool]
) -> None:
    assert (await bench.prober(interface="lo"))._phc_to_system is None
    card["stamps"] = True
    assert (await bench.prober(interface="lo"))._phc_to_system is not None
    assert [event.kind for event in bench.events] == ["no_hardware_stamps"]


async def test_hardware_stamps_are_tried_again_at_reload_and_their_targets_opened_again(
    bench: Bench, card: dict[str, bool]
) -> None:
    target = TargetSettings("target", "ntp", bench.server.address, options={"interface": "lo"})
    settings = replace(bench.context.settings, targets=(target,))
    await bench.prober(interface="lo")
    assert bench.engine.reconfigure(settings) == []
    card["stamps"] = True
    assert bench.engine.reconfigure(settings) == ["target"]
    assert bench.engine.reconfigure(settings) == []
    assert [event.kind for event in bench.events] == [
        "no_hardware_stamps"
    ] * 2  # at the beginning, and at a reload in vain
