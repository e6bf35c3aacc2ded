"""Time-stamped sockets: against a fake of the kernel's messages (it says that it is one), and against the kernel on loopback."""

from __future__ import annotations

import asyncio
import collections
import errno
import socket
import struct
import time
import types
from typing import TYPE_CHECKING, Any

import pytest

import probes.sockets
from probes.sockets import SocketCounters, TimestampedSocket, icmp_reason, send_reason
from timesync.exchange.ntp import Stamp
from timesync.model import Timestamping
from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = ("192.0.2.1", 123)
# linux/errqueue.h and linux/net_tstamp.h, by number
SO_TIMESTAMPING, OPT_ID, TX_HARDWARE, RAW_HARDWARE, TX_SWHW = 37, 1 << 7, 1 << 0, 1 << 6, 1 << 14
EE_LOCAL, EE_ICMP, EE_TIMESTAMPING = 1, 2, 4
IP_RECVERR = 11
S = 10**9


class FakeKernelSocket:
    """A FAKE of a Linux UDP socket: no packet leaves it. It hands out the messages that a test puts in, and numbers its sends."""

    has_timestamping = True

    def __init__(self, *_arguments: object) -> None:
        self._pair = socket.socketpair()
        self.datagrams: collections.deque[tuple[bytes, list[tuple[int, int, bytes]], Any]] = collections.deque()
        self.errors: collections.deque[tuple[bytes, list[tuple[int, int, bytes]]]] = collections.deque()
        self.sent: list[bytes] = []
        self.flags = 0
        self.key = 0
        self.refusals: collections.deque[int] = collections.deque()
        self.refused_send_takes_a_number = False
        self.options: list[tuple[int, int, object]] = []

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options.append((level, option, value))
        if (level, option) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
            if not self.has_timestamping:
                raise OSError(errno.ENOPROTOOPT, "no such option")
            if value & OPT_ID and not self.flags & OPT_ID:
                self.key = 0  # net/core/sock.c: setting OPT_ID anew begins the numbers at 0
            self.flags = value

    def bind(self, _address: object) -> None:
        pass

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def getsockname(self) -> tuple[str, int]:
        return ("0.0.0.0", 40000)

    def sendto(self, data: bytes, _address: object) -> int:
        if self.refusals:
            number = self.refusals.popleft()
            self.key += self.refused_send_takes_a_number
            raise OSError(number, "refused")
        self.sent.append(data)
        self.key += 1
        return len(data)

    def recvmsg(
        self, size: int, _control: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        if self.fileno() < 0:
            raise OSError(errno.EBADF, "closed")
        if flags & socket.MSG_ERRQUEUE:
            if not self.errors:
                raise BlockingIOError(errno.EAGAIN, "nothing")
            quoted, control = self.errors.popleft()
            return quoted[:size], control, socket.MSG_ERRQUEUE, SERVER
        if not self.datagrams:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        data, control, address = self.datagrams.popleft()
        return data[:size], control, 0, address

    def close(self) -> None:
        self._pair[0].close()
        self._pair[1].close()


def stamps(software_ns: int = 0, hardware_ns: int = 0) -> tuple[int, int, bytes]:
    """SCM_TIMESTAMPING: three timespecs, software, retired, raw hardware."""
    packed = struct.pack("=6q", *divmod(software_ns, S), 0, 0, *divmod(hardware_ns, S))
    return (socket.SOL_SOCKET, SO_TIMESTAMPING, packed)


def extended(
    origin: int, *, number: int = 0, error: int = errno.ENOMSG, kind: int = 0, code: int = 0
) -> tuple[int, int, bytes]:
    """struct sock_extended_err, followed by the offender's address."""
    packed = struct.pack("=IBBBBII", error, origin, kind, code, 0, 0, number) + bytes(16)
    return (socket.IPPROTO_IP, IP_RECVERR, packed)


class Harness:
    """A TimestampedSocket on a fake, and everything it told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, translate: Callable[[int], int | None] | None = None) -> None:
        self.fake = FakeKernelSocket()
        module = types.SimpleNamespace(**{**vars(socket), "socket": lambda *_: self.fake})
        monkeypatch.setattr(probes.sockets, "socket", module)
        self.counters = SocketCounters()
        self.datagrams: list[tuple[bytes, Any, Stamp]] = []
        self.transmits: list[tuple[int, Stamp]] = []
        self.errors: list[tuple[int, str]] = []
        self.socket = TimestampedSocket(
            asyncio.get_running_loop(),
            socket.AF_INET,
            lambda *told: self.datagrams.append(told),
            lambda *told: self.transmits.append(told),
            lambda *told: self.errors.append(told),
            counters=self.counters,
            phc_to_system=translate,
        )

    def send(self, data: bytes = b"request") -> int:
        return self.socket.send(data, SERVER)[0]

    def transmitted(self, number: int, software_ns: int = 0, hardware_ns: int = 0) -> None:
        self.fake.errors.append((b"", [stamps(software_ns, hardware_ns), extended(EE_TIMESTAMPING, number=number)]))

    def received(self, data: bytes, *control: tuple[int, int, bytes]) -> None:
        self.fake.datagrams.append((data, list(control), SERVER))

    def turn(self) -> None:
        """The loop wakes for the socket until there is nothing left."""
        for _ in range(200):
            if not (self.fake.datagrams or self.fake.errors) or self.socket.closed:
                return
            self.socket._readable()
        raise AssertionError("the socket is never empty: the loop would spin")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Harness]]:
    made: list[Harness] = []

    def build(translate: Callable[[int], int | None] | None = None) -> Harness:
        made.append(Harness(monkeypatch, translate))
        return made[-1]

    yield build
    for harness in made:
        harness.socket.close()
        harness.fake.close()


async def test_received_datagram_carries_the_kernels_stamp(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.received(b"reply", stamps(software_ns=1_795_000_000_123_456_789))
    harness.turn()
    assert harness.datagrams == [(b"reply", SERVER, Stamp(1_795_000_000_123_456_789, Timestamping.KERNEL))]
    assert harness.counters.untimed_receives == 0


async def test_datagram_without_a_stamp_is_stamped_in_user_space_and_counted(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.received(b"reply")
    harness.received(b"reply", stamps())
    before = time.time_ns()
    harness.turn()
    for _, _, stamp in harness.datagrams:
        assert stamp.kind is Timestamping.USER
        assert before <= stamp.at_ns <= time.time_ns()
    assert harness.counters.untimed_receives == 2


async def test_transmit_stamp_is_matched_by_the_kernels_number(make: Callable[..., Harness]) -> None:
    harness = make()
    numbers = [harness.send(), harness.send(), harness.send()]
    assert numbers == [0, 1, 2]
    at_ns = time.time_ns()
    harness.transmitted(1, at_ns)
    harness.transmitted(0, at_ns - 5)
    harness.turn()
    assert harness.transmits == [(1, Stamp(at_ns, Timestamping.KERNEL)), (0, Stamp(at_ns - 5, Timestamping.KERNEL))]
    assert (harness.counters.tx_stamps, harness.counters.stray_tx_stamps) == (2, 0)


async def test_transmit_stamp_is_there_before_the_reply_is_told(make: Callable[..., Harness]) -> None:
    harness = make()
    order: list[str] = []
    harness.socket._on_transmit = lambda *_: order.append("transmit")
    harness.socket._on_datagram = lambda *_: order.append("datagram")
    number = harness.send()
    harness.received(b"reply", stamps(software_ns=time.time_ns()))
    harness.transmitted(number, time.time_ns())
    harness.turn()
    assert order == ["transmit", "datagram"]


@pytest.mark.parametrize("number", [1, 7, 0xFFFFFFFF])
async def test_stamp_with_a_number_that_was_not_sent_is_stray(make: Callable[..., Harness], number: int) -> None:
    harness = make()
    harness.send()
    harness.transmitted(number, time.time_ns())
    harness.turn()
    assert harness.transmits == []
    assert harness.counters.stray_tx_stamps == 1


@pytest.mark.parametrize("wrong_by_ns", [-S, 60 * S])
async def test_stamp_from_before_its_send_or_after_now_is_stray(make: Callable[..., Harness], wrong_by_ns: int) -> None:
    harness = make()
    number = harness.send()
    harness.transmitted(number, time.time_ns() + wrong_by_ns)
    harness.turn()
    assert harness.transmits == []
    assert harness.counters.stray_tx_stamps == 1


async def test_second_stamp_of_one_packet_is_stray_without_hardware(make: Callable[..., Harness]) -> None:
    harness = make()
    number = harness.send()
    harness.transmitted(number, time.time_ns())
    harness.transmitted(number, time.time_ns())
    harness.turn()
    assert len(harness.transmits) == 1
    assert harness.counters.stray_tx_stamps == 1


async def test_stamps_that_never_come_are_forgotten(make: Callable[..., Harness]) -> None:
    harness = make()
    for _ in range(1000):
        harness.send()
    assert len(harness.socket._sent_at) <= 64


@pytest.mark.parametrize("takes_a_number", [False, True])
@pytest.mark.parametrize("refusals", [1, 2])
async def test_number_stays_right_after_a_failed_send_whatever_the_kernel_counts(
    make: Callable[..., Harness], takes_a_number: bool, refusals: int
) -> None:
    harness = make()
    harness.send()
    harness.fake.refused_send_takes_a_number = takes_a_number
    harness.fake.refusals.extend([errno.ENETUNREACH] * refusals)
    if refusals == 2:
        with pytest.raises(OSError, match="refused"):
            harness.send()
    else:
        # One refusal may be an earlier packet's ICMP error: the send is tried once more.
        harness.send()
    number = harness.send()
    at_ns = time.time_ns()
    harness.transmitted(harness.fake.key - 1, at_ns)
    harness.turn()
    assert harness.transmits == [(number, Stamp(at_ns, Timestamping.KERNEL))]


async def test_stamp_from_before_a_failed_send_is_not_taken_for_the_new_packet(make: Callable[..., Harness]) -> None:
    harness = make()
    old = harness.send()
    late_ns = time.time_ns()
    harness.fake.refusals.extend([errno.ENETUNREACH] * 2)
    with pytest.raises(OSError, match="refused"):
        harness.send()
    await asyncio.sleep(0.001)
    assert harness.send() == old
    harness.transmitted(old, late_ns)
    harness.turn()
    assert harness.transmits == []
    assert harness.counters.stray_tx_stamps == 1


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES])
async def test_error_left_by_an_earlier_packet_does_not_fail_the_next_send(
    make: Callable[..., Harness], number: int
) -> None:
    harness = make()
    harness.send(b"first request")
    harness.fake.errors.append((b"first request", [extended(EE_ICMP, error=number, kind=3, code=3)]))
    harness.fake.refusals.append(number)
    harness.send(b"second request")
    assert harness.fake.sent == [b"first request", b"second request"]
    # And it is not told as the second one's.
    harness.turn()
    assert harness.errors == []
    assert harness.counters.stray_errors == 1


# Network errors


@pytest.mark.parametrize("quoted", [b"", b"requ", b"request"])
async def test_icmp_error_is_told_with_its_type_and_code(make: Callable[..., Harness], quoted: bytes) -> None:
    harness = make()
    harness.send(b"request")
    harness.fake.errors.append((quoted, [extended(EE_ICMP, error=errno.EHOSTUNREACH, kind=3, code=1)]))
    harness.turn()
    ((number, text),) = harness.errors
    assert number == errno.EHOSTUNREACH
    assert "type 3 code 1" in text


async def test_icmp_error_that_quotes_another_packet_is_only_counted(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.send(b"request one")
    harness.send(b"request two")
    harness.fake.errors.append((b"request one", [extended(EE_ICMP, error=errno.ECONNREFUSED, kind=3, code=3)]))
    harness.turn()
    assert harness.errors == []
    assert harness.counters.stray_errors == 1


async def test_error_of_our_own_kernel_is_told(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.send(b"request")
    harness.fake.errors.append((b"", [extended(EE_LOCAL, error=errno.EMSGSIZE)]))
    harness.turn()
    assert [number for number, _ in harness.errors] == [errno.EMSGSIZE]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, Reason.PORT_UNREACHABLE),
        (errno.EHOSTUNREACH, Reason.HOST_UNREACHABLE),
        (errno.ENETUNREACH, Reason.NETWORK_UNREACHABLE),
        (errno.EPERM, Reason.SEND_FAILED),
        (0, Reason.SEND_FAILED),
        (-2, Reason.SEND_FAILED),
    ],
)
def test_error_number_has_its_reason(number: int, reason: Reason) -> None:
    assert icmp_reason(number) is reason
    assert send_reason(number) is reason


def test_refusal_to_send_is_not_told_as_a_router_s() -> None:
    # ICMPv6 "administratively prohibited" comes as EACCES; so does our own kernel's refusal of a broadcast address.
    assert icmp_reason(errno.EACCES) is Reason.HOST_UNREACHABLE
    assert send_reason(errno.EACCES) is Reason.SEND_FAILED


async def test_callback_may_close_the_socket(make: Callable[..., Harness]) -> None:
    for callback in ("_on_datagram", "_on_transmit", "_on_error"):
        harness = make()
        setattr(harness.socket, callback, lambda *_, sock=harness.socket: sock.close())
        number = harness.send(b"request")
        harness.received(b"one", stamps(software_ns=S))
        harness.received(b"two", stamps(software_ns=S))
        harness.fake.errors.append((b"request", [extended(EE_ICMP, error=errno.ECONNREFUSED)]))
        harness.transmitted(number, time.time_ns())
        harness.turn()
        assert harness.socket.closed
        harness.socket.close()


# User space


async def test_kernel_without_time_stamping_leaves_user_space(monkeypatch: pytest.MonkeyPatch) -> None:
    without = type("FakeOldKernelSocket", (FakeKernelSocket,), {"has_timestamping": False})
    monkeypatch.setitem(globals(), "FakeKernelSocket", without)
    harness = Harness(monkeypatch)
    assert not harness.socket.kernel_stamps
    before = time.time_ns()
    number, stamp = harness.socket.send(b"request", SERVER)
    assert (number, stamp.kind) == (0, Timestamping.USER)
    assert before <= stamp.at_ns <= time.time_ns()
    harness.socket.close()
    harness.fake.close()


# Hardware: a translation that adds a known offset


OFFSET_NS = 37 * S  # a clock on TAI


def from_phc(hardware_ns: int) -> int:
    return hardware_ns - OFFSET_NS


async def test_hardware_stamps_are_asked_for_only_where_they_can_be_translated(make: Callable[..., Harness]) -> None:
    assert not make().fake.flags & (TX_HARDWARE | RAW_HARDWARE | TX_SWHW)
    wanted = TX_HARDWARE | RAW_HARDWARE | TX_SWHW
    assert make(from_phc).fake.flags & wanted == wanted


async def test_hardware_receive_stamp_is_preferred_and_translated(make: Callable[..., Harness]) -> None:
    harness = make(from_phc)
    harness.received(b"reply", stamps(software_ns=1000 * S + 9, hardware_ns=1037 * S + 5))
    harness.turn()
    assert harness.datagrams[0][2] == Stamp(1000 * S + 5, Timestamping.HARDWARE)


async def test_kernel_and_hardware_stamp_of_one_packet_are_both_told(make: Callable[..., Harness]) -> None:
    # SOF_TIMESTAMPING_OPT_TX_SWHW: two messages with one number, software first.
    harness = make(from_phc)
    number = harness.send()
    at_ns = time.time_ns()
    harness.transmitted(number, software_ns=at_ns)
    harness.transmitted(number, hardware_ns=at_ns + 700 + OFFSET_NS)
    harness.turn()
    assert harness.transmits == [
        (number, Stamp(at_ns, Timestamping.KERNEL)),
        (number, Stamp(at_ns + 700, Timestamping.HARDWARE)),
    ]
    harness.transmitted(number, hardware_ns=at_ns + 700 + OFFSET_NS)
    harness.turn()
    assert len(harness.transmits) == 2
    assert harness.counters.stray_tx_stamps == 1


async def test_hardware_stamp_that_cannot_be_translated_leaves_the_kernels(make: Callable[..., Harness]) -> None:
    harness = make(lambda _: None)
    number = harness.send()
    at_ns = time.time_ns()
    harness.transmitted(number, hardware_ns=5)
    harness.transmitted(number, software_ns=at_ns)
    harness.received(b"reply", stamps(software_ns=at_ns, hardware_ns=5))
    harness.turn()
    assert harness.transmits == [(number, Stamp(at_ns, Timestamping.KERNEL))]
    assert harness.datagrams[0][2] == Stamp(at_ns, Timestamping.KERNEL)


async def test_hardware_stamp_translated_to_another_time_is_stray(make: Callable[..., Harness]) -> None:
    harness = make(lambda ns: ns)  # a clock that nobody has set
    number = harness.send()
    harness.transmitted(number, hardware_ns=1234 * S)
    harness.turn()
    assert harness.transmits == []
    assert harness.counters.stray_tx_stamps == 1


async def test_raw_hardware_stamp_is_never_taken_for_the_system_clocks(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.received(b"reply", stamps(hardware_ns=S))
    harness.turn()
    assert harness.datagrams[0][2].kind is Timestamping.USER
