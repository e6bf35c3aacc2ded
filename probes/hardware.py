"""Hardware time stamps of a network interface: can they be used here, and what do they say in the system clock's time.

Rule: nothing is switched on that nobody allowed, and nothing is guessed. An interface is used only if it stamps what is sent and
all that is received of a protocol; otherwise `HardwareUnavailableError` says why not and what would help. A stamp is carried over
to the system clock only by readings of both clocks that are fresh and exact enough; otherwise it has no system time at all.

Sources: linux/ethtool.h (ETHTOOL_GET_TS_INFO), linux/net_tstamp.h (SIOCGHWTSTAMP, SIOCSHWTSTAMP), linux/ptp_clock.h
(PTP_SYS_OFFSET_PRECISE, PTP_SYS_OFFSET_EXTENDED).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from timesync.errors import TimesyncError
from timesync.uncertainty import HARDWARE_PRECISION_S, HARDWARE_SPAN_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "NTP_PACKETS",
    "PTP_FRAMES",
    "PTP_PACKETS",
    "CrossStamp",
    "HardwareClock",
    "HardwareUnavailableError",
    "Kernel",
    "Packets",
    "Translation",
    "best_cross_stamp",
]

# linux/sockios.h, linux/ethtool.h, linux/net_tstamp.h
SIOCETHTOOL, SIOCSHWTSTAMP, SIOCGHWTSTAMP = 0x8946, 0x89B0, 0x89B1
ETHTOOL_GET_TS_INFO = 0x41
TX_HARDWARE, RX_HARDWARE, RAW_HARDWARE = 1 << 0, 1 << 2, 1 << 6
NEEDED = TX_HARDWARE | RX_HARDWARE | RAW_HARDWARE
TX_OFF, TX_ON = 0, 1
FILTER_NONE, FILTER_ALL, FILTER_NTP_ALL = 0, 1, 15
FILTER_PTP_L4_EVENT, FILTER_PTP_L2_EVENT, FILTER_PTP_EVENT = 6, 9, 12
TS_INFO = struct.Struct("=IIiI3II3I")
HWTSTAMP_CONFIG = struct.Struct("=iii")
# linux/ptp_clock.h: _IOWR('=', 9, struct ptp_sys_offset_extended), three {s64 s, u32 ns, u32 reserved} a sample
MAX_SAMPLES = 25
CLOCK_TIME = struct.Struct("=qII")
SYS_OFFSET_HEADER = struct.Struct("=I3I")
SYS_OFFSET_OCTETS = SYS_OFFSET_HEADER.size + MAX_SAMPLES * 3 * CLOCK_TIME.size
PTP_SYS_OFFSET_EXTENDED = 3 << 30 | SYS_OFFSET_OCTETS << 16 | ord("=") << 8 | 9
# _IOWR('=', 8, struct ptp_sys_offset_precise): device, CLOCK_REALTIME and CLOCK_MONOTONIC_RAW, and four reserved words
SYS_OFFSET_PRECISE_OCTETS = 3 * CLOCK_TIME.size + 16
PTP_SYS_OFFSET_PRECISE = 3 << 30 | SYS_OFFSET_PRECISE_OCTETS << 16 | ord("=") << 8 | 8
# What a kernel or a driver says that has no such request.
NOT_OFFERED = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL}

SAMPLES = 7
# A cross-stamp is used for this long before a new one is made.
REFRESH_NS = 125_000_000
# A hardware stamp further than this from the last cross-stamp is not translated.
GREATEST_AGE_NS = 1_000_000_000
# The rate between the clocks is taken over at least this span, so that reading errors do not make it.
LEAST_SPAN_NS, GREATEST_SPAN_NS = 1_000_000_000, HARDWARE_SPAN_NS - GREATEST_AGE_NS
# A rate beyond this is a step of one of the clocks. (A frequency correction is 500 ppm at most, a PTP servo's too; a faster
# slew, which adjtimex allows by ADJ_TICK, looks like a step here. What a slew does to stamps carried over meanwhile is in the
# bound: timesync/pipeline.py counts it over HARDWARE_SPAN_NS.)
GREATEST_RATE = 1e-3
# Reading both clocks takes this long at most, or the reading is no use: half of it is the error.
GREATEST_GAP_NS = round(2e9 * HARDWARE_PRECISION_S)

SETTING_UP = "start ptp4l or chronyd with hwtimestamp on it, or set configure_interface = true"


@dataclass(frozen=True, slots=True)
class Packets:
    """What is to be stamped on reception, and the receive filters that let it be, the preferred first."""

    name: str
    filters: tuple[int, ...]


NTP_PACKETS = Packets("NTP", (FILTER_NTP_ALL, FILTER_ALL))
PTP_PACKETS = Packets("PTP over UDP", (FILTER_PTP_EVENT, FILTER_PTP_L4_EVENT, FILTER_ALL))
PTP_FRAMES = Packets("PTP over Ethernet", (FILTER_PTP_EVENT, FILTER_PTP_L2_EVENT, FILTER_ALL))


class HardwareUnavailableError(TimesyncError):
    """Why an interface's hardware time stamps cannot be used, and what would help."""


class Kernel(Protocol):
    """The system calls that are needed; each changes `data` in place and raises OSError."""

    def interface_ioctl(self, interface: str, request: int, data: bytearray) -> None:
        """An ioctl on a network interface whose ifr_data points to `data`."""
        ...

    def open_clock(self, index: int) -> int:
        """A file descriptor of /dev/ptp`index`, for reading."""
        ...

    def clock_ioctl(self, descriptor: int, request: int, data: bytearray) -> None:
        """An ioctl on a clock device."""
        ...

    def close_clock(self, descriptor: int) -> None:
        """Let the clock device go."""
        ...


class LinuxKernel:
    """The real ones."""

    def interface_ioctl(self, interface: str, request: int, data: bytearray) -> None:
        """See `Kernel`."""
        buffer = (ctypes.c_char * len(data)).from_buffer(data)
        ifreq = struct.pack("16sP16x", interface.encode(), ctypes.addressof(buffer))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock.fileno(), request, ifreq)

    def open_clock(self, index: int) -> int:
        """See `Kernel`."""
        return os.open(f"/dev/ptp{index}", os.O_RDONLY | os.O_CLOEXEC)

    def clock_ioctl(self, descriptor: int, request: int, data: bytearray) -> None:
        """See `Kernel`."""
        fcntl.ioctl(descriptor, request, data)

    def close_clock(self, descriptor: int) -> None:
        """See `Kernel`."""
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class CrossStamp:
    """Both clocks at one instant: the hardware clock's ns, the system clock's (Unix ns), and how long reading took, ns."""

    hardware_ns: int
    system_ns: int
    gap_ns: int


def best_cross_stamp(samples: Sequence[tuple[int, int, int]]) -> CrossStamp:
    """The one of several readings (system before, hardware, system after; ns) that took the shortest time."""
    before, hardware, after = min(samples, key=lambda sample: sample[2] - sample[0])
    return CrossStamp(hardware, (before + after) // 2, after - before)


class Translation:
    """From the hardware clock's time to the system clock's: the newest cross-stamp, and the rate since an earlier one. Pure."""

    def __init__(self) -> None:
        self._stamps: list[CrossStamp] = []

    def restart(self) -> None:
        """Forget all: one of the clocks was stepped."""
        self._stamps.clear()

    def add(self, stamp: CrossStamp) -> bool:
        """A new cross-stamp, later than those before. False if reading it took so long that it is no use."""
        if stamp.gap_ns > GREATEST_GAP_NS or stamp.gap_ns < 0:
            return False
        if self._stamps:
            last = self._stamps[-1]
            hardware_ns, system_ns = stamp.hardware_ns - last.hardware_ns, stamp.system_ns - last.system_ns
            if hardware_ns <= 0 or abs(system_ns - hardware_ns) > GREATEST_RATE * hardware_ns + GREATEST_GAP_NS:
                self.restart()
        self._stamps.append(stamp)
        while len(self._stamps) > 2 and stamp.hardware_ns - self._stamps[1].hardware_ns >= LEAST_SPAN_NS:
            del self._stamps[0]
        if stamp.hardware_ns - self._stamps[0].hardware_ns > GREATEST_SPAN_NS:
            self._stamps = [stamp]
        return True

    def to_system_ns(self, hardware_ns: int) -> int | None:
        """Unix ns of a hardware stamp; None if no cross-stamp is near enough."""
        if not self._stamps:
            return None
        first, last = self._stamps[0], self._stamps[-1]
        since_ns = hardware_ns - last.hardware_ns
        if abs(since_ns) > GREATEST_AGE_NS:
            return None
        span_ns = last.hardware_ns - first.hardware_ns
        if span_ns < LEAST_SPAN_NS:
            return last.system_ns + since_ns
        gained_ns = (last.system_ns - first.system_ns) - span_ns
        return last.system_ns + since_ns + since_ns * gained_ns // span_ns


class HardwareClock:
    """The clock of one interface, ready to translate its stamps."""

    def __init__(self, kernel: Kernel, descriptor: int, clock_epoch: Callable[[], int]) -> None:
        self._kernel = kernel
        self._descriptor = descriptor
        self._clock_epoch = clock_epoch
        self._epoch = clock_epoch()
        self._translation = Translation()
        self._read_at_ns: int | None = None
        self.inexact = 0
        self.precise = True  # until the driver says that it is not

    @classmethod
    def open(
        cls,
        interface: str,
        clock_epoch: Callable[[], int],
        *,
        configure: bool = False,
        packets: Packets = NTP_PACKETS,
        kernel: Kernel | None = None,
    ) -> Self:
        """The clock of that interface. `clock_epoch` counts the steps of the system clock.

        `configure` allows to switch stamping on where it is off; `packets` are those that it
        must cover. Raises `HardwareUnavailableError`.
        """
        kernel = kernel or LinuxKernel()
        index, filters = capabilities(kernel, interface)
        require_stamping(kernel, interface, filters, packets, configure=configure)
        try:
            clock = cls(kernel, kernel.open_clock(index), clock_epoch)
        except OSError as error:
            remedy = f"let the probe's user read /dev/ptp{index} (a udev rule)"
            raise HardwareUnavailableError(f"/dev/ptp{index}: {error.strerror}; {remedy}") from error
        try:
            clock.read()
        except OSError as error:
            clock.close()
            raise HardwareUnavailableError(f"/dev/ptp{index} cannot be compared: {error.strerror}") from error
        return clock

    def read(self, now_ns: int | None = None) -> bool:
        """Compare the clocks now (`now_ns`, monotonic). False if that was not exact enough. Raises OSError."""
        epoch = self._clock_epoch()
        if epoch != self._epoch:
            self._epoch = epoch
            self._translation.restart()
        stamp = self._precise_stamp() or self._extended_stamp()
        self._read_at_ns = time.monotonic_ns() if now_ns is None else now_ns
        exact = self._translation.add(stamp)
        self.inexact += not exact
        return exact

    def _precise_stamp(self) -> CrossStamp | None:
        """Both clocks as the hardware itself latched them at one instant; None where it cannot. Raises OSError."""
        if not self.precise:
            return None
        data = bytearray(SYS_OFFSET_PRECISE_OCTETS)
        try:
            self._kernel.clock_ioctl(self._descriptor, PTP_SYS_OFFSET_PRECISE, data)
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
            self.precise = False
            return None
        hardware_ns, system_ns, *_ = _times_ns(data[: 3 * CLOCK_TIME.size])
        return CrossStamp(hardware_ns, system_ns, 0)

    def _extended_stamp(self) -> CrossStamp:
        """The best of several readings of one clock between two of the other. Raises OSError."""
        data = bytearray(SYS_OFFSET_OCTETS)
        SYS_OFFSET_HEADER.pack_into(data, 0, SAMPLES, 0, 0, 0)
        self._kernel.clock_ioctl(self._descriptor, PTP_SYS_OFFSET_EXTENDED, data)
        times = _times_ns(data[SYS_OFFSET_HEADER.size :])
        return best_cross_stamp([(times[3 * i], times[3 * i + 1], times[3 * i + 2]) for i in range(SAMPLES)])

    def to_system_ns(self, hardware_ns: int, now_ns: int | None = None) -> int | None:
        """Unix ns of a hardware stamp taken a moment ago; None while the clocks cannot be compared exactly enough."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        if self._read_at_ns is None or not 0 <= now_ns - self._read_at_ns < REFRESH_NS:
            try:
                self.read(now_ns)
            except OSError:
                # The card was taken away or the driver reloaded: its stamps have no system time, the kernel's are taken.
                self._translation.restart()
                self._read_at_ns = now_ns
                self.inexact += 1
        return self._translation.to_system_ns(hardware_ns)

    def close(self) -> None:
        """Let the device go."""
        self._kernel.close_clock(self._descriptor)


def _times_ns(data: bytearray) -> list[int]:
    """An array of struct ptp_clock_time, ns."""
    return [seconds * 1_000_000_000 + nanoseconds for seconds, nanoseconds, _ in CLOCK_TIME.iter_unpack(data)]


def capabilities(kernel: Kernel, interface: str) -> tuple[int, int]:
    """The clock's number and the receive filters (a bit each) of an interface that can stamp; raises if it cannot."""
    data = bytearray(TS_INFO.size)
    TS_INFO.pack_into(data, 0, ETHTOOL_GET_TS_INFO, *[0] * 10)
    try:
        kernel.interface_ioctl(interface, SIOCETHTOOL, data)
    except OSError as error:
        what = "there is no such interface" if error.errno == errno.ENODEV else error.strerror
        raise HardwareUnavailableError(f"{what}; see ethtool -T {interface}") from error
    _, stamping, index, _, _, _, _, filters, _, _, _ = TS_INFO.unpack(data)
    if stamping & NEEDED != NEEDED or index < 0:
        raise HardwareUnavailableError(f"it cannot stamp; see ethtool -T {interface}")
    return index, filters


def require_stamping(kernel: Kernel, interface: str, filters: int, packets: Packets, *, configure: bool) -> None:
    """See that the interface stamps all those packets, switching that on where it is off and `configure` allows it."""
    data = bytearray(HWTSTAMP_CONFIG.size)
    try:
        kernel.interface_ioctl(interface, SIOCGHWTSTAMP, data)
    except OSError as error:
        raise HardwareUnavailableError(f"it does not tell its settings ({error.strerror}); {SETTING_UP}") from error
    if stamps(data, packets):
        return
    _, tx_type, rx_filter = HWTSTAMP_CONFIG.unpack(data)
    if (tx_type, rx_filter) != (TX_OFF, FILTER_NONE):
        raise HardwareUnavailableError(
            f"another program has set its filter to {rx_filter}, which leaves {packets.name} out; let that one choose all packets"
        )
    if not configure:
        raise HardwareUnavailableError(f"its stamping is off; {SETTING_UP}")
    wanted = next((each for each in packets.filters if filters >> each & 1), None)
    if wanted is None:
        raise HardwareUnavailableError(f"its receive filters know no {packets.name}")
    HWTSTAMP_CONFIG.pack_into(data, 0, 0, TX_ON, wanted)
    try:
        kernel.interface_ioctl(interface, SIOCSHWTSTAMP, data)
    except OSError as error:
        raise HardwareUnavailableError(
            f"its stamping could not be switched on ({error.strerror}); give the probe CAP_NET_ADMIN, or {SETTING_UP}"
        ) from error
    if not stamps(data, packets):
        raise HardwareUnavailableError("its driver chose another filter than the one asked for")


def stamps(config: bytearray, packets: Packets) -> bool:
    """Whether a struct hwtstamp_config says that sent and all received ones of those packets are stamped."""
    _, tx_type, rx_filter = HWTSTAMP_CONFIG.unpack(config)
    return tx_type == TX_ON and rx_filter in packets.filters
