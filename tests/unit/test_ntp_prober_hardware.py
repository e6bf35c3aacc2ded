"""A target's hardware stamps, with a fake socket: it tells in what order a test wants."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.ntpbench import Bench, exchange
from support.ntpserver import Server

import probes.ntp_prober
from probes.hardware import HardwareUnavailableError
from probes.ntp_prober import NtpProber, Shared
from probes.sockets import SocketCounters
from probes.timeouts import TimeOuts
from timesync.exchange.ntp import Stamp
from timesync.model import Severity, Timestamping
from timesync.settings import TargetSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.close()


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

    def open_clock(interface: str, epoch: object, **_how: object) -> Card:
        if not state["stamps"]:
            raise HardwareUnavailableError("not set up yet")
        return Card()

    monkeypatch.setattr("probes.hardware.HardwareClock.open", open_clock)
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
