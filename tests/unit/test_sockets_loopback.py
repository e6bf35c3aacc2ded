"""The sockets on the real kernel's loopback: stamps both ways, errors, interfaces, and a loop that does not spin."""

from __future__ import annotations

import asyncio
import errno
import selectors
import socket
from typing import TYPE_CHECKING, Any

import pytest

from probes.sockets import SocketCounters, TimestampedSocket
from timesync.model import Timestamping

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.exchange.ntp import Stamp


class CountingSelector(selectors.DefaultSelector):
    """Counts how often the loop wakes."""

    wakes = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.wakes += 1
        return super().select(timeout)


def on_counting_loop(main: Callable[[CountingSelector], Any]) -> None:
    selector = CountingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    try:
        loop.run_until_complete(asyncio.wait_for(main(selector), 20.0))
    finally:
        loop.close()


LOOPBACKS = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


@pytest.mark.parametrize(("family", "host"), LOOPBACKS)
def test_both_directions_carry_kernel_stamps_on_loopback_and_the_loop_does_not_spin(family: int, host: str) -> None:
    async def main(selector: CountingSelector) -> None:
        loop = asyncio.get_running_loop()
        echo = socket.socket(family, socket.SOCK_DGRAM)
        echo.setblocking(False)
        echo.bind((host, 0))

        def answer() -> None:
            data, address = echo.recvfrom(2048)
            echo.sendto(data, address)

        loop.add_reader(echo.fileno(), answer)
        told: list[tuple[str, int, Stamp]] = []
        arrived = asyncio.Event()

        def datagram(data: bytes, _address: object, stamp: Stamp) -> None:
            told.append(("received", data[0], stamp))
            arrived.set()

        counters = SocketCounters()
        sock = TimestampedSocket(
            loop, socket.AddressFamily(family), datagram, lambda n, s: told.append(("sent", n, s)), lambda *e: None,
            counters=counters,
        )  # fmt: skip
        assert sock.kernel_stamps
        sent_ns: list[int] = []
        for number in range(20):
            arrived.clear()
            got, user = sock.send(bytes([number]), echo.getsockname())
            sent_ns.append(user.at_ns)
            assert got == number
            await arrived.wait()
        for number in range(20):
            ((_, _, t1),) = [each for each in told if each[0] == "sent" and each[1] == number]
            ((_, _, t4),) = [each for each in told if each[0] == "received" and each[1] == number]
            assert (t1.kind, t4.kind) == (Timestamping.KERNEL, Timestamping.KERNEL)
            assert sent_ns[number] <= t1.at_ns < t4.at_ns
        assert (counters.tx_stamps, counters.stray_tx_stamps, counters.untimed_receives) == (20, 0, 0)
        # Every stamp has been taken: an idle loop sleeps. (asyncio's own datagram endpoint wakes without end here.)
        selector.wakes = 0
        await asyncio.sleep(0.1)
        assert selector.wakes <= 3
        # A stamp that nobody drains by hand wakes the loop once, not for ever.
        sock._socket.sendto(b"x", ("127.0.0.1" if family == socket.AF_INET else "::1", echo.getsockname()[1]))
        selector.wakes = 0
        await asyncio.sleep(0.1)
        assert selector.wakes <= 12
        loop.remove_reader(echo.fileno())
        echo.close()
        sock.close()

    on_counting_loop(main)


@pytest.mark.parametrize(("family", "host"), LOOPBACKS)
def test_closed_port_is_told_by_icmp_and_the_loop_does_not_spin(family: int, host: str) -> None:
    async def main(selector: CountingSelector) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as nobody:
            nobody.bind((host, 0))
            address = nobody.getsockname()
        told: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        counters = SocketCounters()
        sock = TimestampedSocket(
            asyncio.get_running_loop(), socket.AddressFamily(family), lambda *d: None, lambda *t: None,
            lambda number, text: told.put_nowait((number, text)), counters=counters,
        )  # fmt: skip
        for _ in range(5):
            sock.send(b"a request with its own nonce", address)
            number, text = await told.get()
            assert number == errno.ECONNREFUSED
            assert "ICMP" in text
        selector.wakes = 0
        await asyncio.sleep(0.1)
        assert selector.wakes <= 3
        assert counters.stray_errors == 0
        sock.close()

    on_counting_loop(main)


async def test_socket_can_be_bound_to_an_interface_and_to_a_source() -> None:
    sock = TimestampedSocket(
        asyncio.get_running_loop(), socket.AF_INET, lambda *d: None, lambda *t: None, lambda *e: None,
        counters=SocketCounters(), source=("127.0.0.1", 0), interface="lo",
    )  # fmt: skip
    bound = sock._socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    assert bound.rstrip(b"\0") == b"lo"
    assert sock.port > 0
    sock.close()


async def test_interface_that_is_not_there_is_an_error_and_leaves_no_socket_open() -> None:
    with pytest.raises(OSError, match=r".") as refused:
        TimestampedSocket(
            asyncio.get_running_loop(), socket.AF_INET, lambda *d: None, lambda *t: None, lambda *e: None,
            counters=SocketCounters(), interface="nosuch0",
        )  # fmt: skip
    assert refused.value.errno == errno.ENODEV
