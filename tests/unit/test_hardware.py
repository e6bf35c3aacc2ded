"""The hardware path, against a FAKE of the kernel's ioctls: no network card with a clock is needed, and none is claimed."""

from __future__ import annotations

import errno
import os
import random
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.hardware import (
    CrossStamp,
    HardwareClock,
    HardwareUnavailableError,
    LinuxKernel,
    Translation,
    best_cross_stamp,
)

S = 10**9
TAI_NS = 37 * S
BEGIN_NS = 1_795_000_000 * S
# linux/sockios.h, linux/ethtool.h, linux/net_tstamp.h, linux/ptp_clock.h, by number
SIOCETHTOOL, SIOCSHWTSTAMP, SIOCGHWTSTAMP, GET_TS_INFO = 0x8946, 0x89B0, 0x89B1, 0x41
CAN_ALL = 0b1011111  # TX and RX, hardware and software, and RAW_HARDWARE
NONE, ALL, PTP_V2_L4_EVENT, NTP_ALL = 0, 1, 6, 15


@dataclass
class FakeKernel:
    """A FAKE: an interface whose card has a clock, as the kernel's ioctls would describe it."""

    stamping: int = CAN_ALL
    index: int = 3
    filters: int = 1 << NONE | 1 << ALL
    config: tuple[int, int, int] = (0, 1, ALL)
    refuse: dict[int, int] = field(default_factory=dict)
    chosen: tuple[int, int, int] | None = None
    upgrades_to: int | None = None
    requests: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    precise: bool = False
    precise_errno: int = errno.EOPNOTSUPP
    system_ns: int = BEGIN_NS
    phc_rate: float = 0.0
    gap_ns: int = 1_000
    noise: random.Random = field(default_factory=lambda: random.Random(1))

    def interface_ioctl(self, interface: str, request: int, data: bytearray) -> None:
        assert interface == "eth0"
        self.requests.append(request)
        if request in self.refuse:
            raise OSError(self.refuse[request], os.strerror(self.refuse[request]))
        if request == SIOCETHTOOL:
            assert len(data) == 44  # struct ethtool_ts_info
            assert int.from_bytes(data[:4], "little") == GET_TS_INFO
            data[4:12] = struct.pack("=Ii", self.stamping, self.index)
            data[28:32] = struct.pack("=I", self.filters)
        elif request == SIOCGHWTSTAMP:
            data[:] = struct.pack("=iii", *self.config)
        else:
            assert request == SIOCSHWTSTAMP
            flags, tx_type, rx_filter = struct.unpack("=iii", data)
            self.chosen = (flags, tx_type, rx_filter)
            self.config = (flags, tx_type, self.upgrades_to if self.upgrades_to is not None else rx_filter)
            data[:] = struct.pack("=iii", *self.config)

    def open_clock(self, index: int) -> int:
        assert index == self.index
        if index in self.refuse:
            raise OSError(self.refuse[index], os.strerror(self.refuse[index]))
        return 77

    def clock_ioctl(self, descriptor: int, request: int, data: bytearray) -> None:
        assert descriptor == 77
        if request == 0xC0403D08:  # _IOWR('=', 8, 64 octets): device, realtime, monotonic raw, four reserved words
            assert len(data) == 64
            if not self.precise:
                raise OSError(self.precise_errno, os.strerror(self.precise_errno))
            times = (self.phc_ns(self.system_ns), self.system_ns, 12_345)
            data[:48] = b"".join(struct.pack("=qI4x", *divmod(at_ns, S)) for at_ns in times)
            return
        # _IOWR('=', 9, 1216 octets): 16 of header, 25 samples of three times of 16 octets.
        assert request == 0xC4C03D09
        assert len(data) == 1216
        if request in self.refuse:
            raise OSError(self.refuse[request], os.strerror(self.refuse[request]))
        (samples,) = struct.unpack_from("=I", data)
        assert 1 <= samples <= 25
        for sample in range(samples):
            gap_ns = self.gap_ns + self.noise.randrange(5_000)
            if sample == 1:
                gap_ns = self.gap_ns
            before, after = self.system_ns, self.system_ns + gap_ns
            for place, at_ns in enumerate((before, self.phc_ns(before + gap_ns // 2), after)):
                struct.pack_into("=qI4x", data, 16 + (3 * sample + place) * 16, *divmod(at_ns, S))
            self.system_ns = after + 500

    def phc_ns(self, system_ns: int) -> int:
        return system_ns + TAI_NS + round((system_ns - BEGIN_NS) * self.phc_rate)

    def close_clock(self, descriptor: int) -> None:
        self.closed.append(descriptor)


class Epoch:
    value = 0

    def __call__(self) -> int:
        return self.value


def opened(kernel: FakeKernel, epoch: Epoch | None = None, *, configure: bool = False) -> HardwareClock:
    return HardwareClock.open("eth0", epoch or Epoch(), configure=configure, kernel=kernel)


def why_not(kernel: FakeKernel, *, configure: bool = False) -> str:
    with pytest.raises(HardwareUnavailableError) as refused:
        opened(kernel, configure=configure)
    return str(refused.value)


# Can it be used?


@pytest.mark.parametrize("rx_filter", [ALL, NTP_ALL])
def test_interface_that_stamps_all_packets_is_used_as_it_is(rx_filter: int) -> None:
    kernel = FakeKernel(config=(0, 1, rx_filter))
    opened(kernel, configure=True)
    assert SIOCSHWTSTAMP not in kernel.requests


@pytest.mark.parametrize("missing", [1 << 0, 1 << 2, 1 << 6])
def test_interface_that_cannot_stamp_is_not_used(missing: int) -> None:
    assert "ethtool -T eth0" in why_not(FakeKernel(stamping=CAN_ALL & ~missing))


def test_interface_without_a_clock_is_not_used() -> None:
    assert "cannot stamp" in why_not(FakeKernel(index=-1))


def test_interface_that_is_not_there_is_told() -> None:
    assert "no such interface" in why_not(FakeKernel(refuse={SIOCETHTOOL: errno.ENODEV}))


def test_stamping_that_is_off_is_left_off_unless_that_is_allowed() -> None:
    kernel = FakeKernel(config=(0, 0, NONE))
    assert "configure_interface" in why_not(kernel)
    assert SIOCSHWTSTAMP not in kernel.requests


@pytest.mark.parametrize(
    ("filters", "wanted"), [(1 << ALL, ALL), (1 << NTP_ALL, NTP_ALL), (1 << NTP_ALL | 1 << ALL, NTP_ALL)]
)
def test_stamping_is_switched_on_with_the_narrowest_filter_that_has_ntp(filters: int, wanted: int) -> None:
    kernel = FakeKernel(config=(0, 0, NONE), filters=filters)
    opened(kernel, configure=True)
    assert kernel.chosen == (0, 1, wanted)


def test_driver_may_widen_the_filter() -> None:
    opened(FakeKernel(config=(0, 0, NONE), filters=1 << NTP_ALL, upgrades_to=ALL), configure=True)


def test_driver_that_narrows_the_filter_is_not_used() -> None:
    kernel = FakeKernel(config=(0, 0, NONE), filters=1 << ALL, upgrades_to=PTP_V2_L4_EVENT)
    assert "another filter" in why_not(kernel, configure=True)


@pytest.mark.parametrize("configure", [False, True])
def test_settings_of_another_program_are_never_changed(configure: bool) -> None:
    # ptp4l stamps PTP only.
    kernel = FakeKernel(config=(0, 1, PTP_V2_L4_EVENT), filters=1 << ALL)
    assert "another program" in why_not(kernel, configure=configure)
    assert SIOCSHWTSTAMP not in kernel.requests


def test_card_without_an_ntp_filter_is_not_used() -> None:
    kernel = FakeKernel(config=(0, 0, NONE), filters=1 << PTP_V2_L4_EVENT)
    assert "no NTP" in why_not(kernel, configure=True)


@pytest.mark.parametrize(
    ("refuse", "configure", "remedy"),
    [
        ({SIOCSHWTSTAMP: errno.EPERM}, True, "CAP_NET_ADMIN"),
        ({SIOCGHWTSTAMP: errno.EOPNOTSUPP}, False, "configure_interface"),
        ({3: errno.EACCES}, False, "udev"),
        ({0xC4C03D09: errno.EOPNOTSUPP}, False, "compared"),
    ],
)
def test_refusal_of_the_kernel_is_told_with_a_remedy(refuse: dict[int, int], configure: bool, remedy: str) -> None:
    config = (0, 0, NONE) if configure else (0, 1, ALL)
    assert remedy in why_not(FakeKernel(config=config, refuse=refuse), configure=configure)


def test_clock_is_let_go_when_it_cannot_be_compared() -> None:
    kernel = FakeKernel(refuse={0xC4C03D09: errno.EOPNOTSUPP})
    why_not(kernel)
    assert kernel.closed == [77]


def test_loopback_of_this_machine_has_no_hardware_stamps() -> None:
    # The real ioctls: they must be well formed, and lo has no card.
    with pytest.raises(HardwareUnavailableError, match="cannot stamp"):
        HardwareClock.open("lo", Epoch(), kernel=LinuxKernel())
    with pytest.raises(HardwareUnavailableError, match="no such interface"):
        HardwareClock.open("nosuch0", Epoch(), kernel=LinuxKernel())


# From its time to ours


def test_best_of_several_readings_is_the_shortest() -> None:
    samples = [(0, 1_000_050, 100), (200, 1_000_205, 210), (300, 1_000_900, 1_500)]
    assert best_cross_stamp(samples) == CrossStamp(1_000_205, 205, 10)


@pytest.mark.parametrize("rate", [0.0, 50e-6, -200e-6])
def test_stamp_is_translated_by_offset_and_rate(rate: float) -> None:
    kernel = FakeKernel(phc_rate=rate)
    clock = opened(kernel)
    now_ns = 0
    for turn in range(100):
        kernel.system_ns += 200_000_000
        now_ns += 200_000_000
        stamp_ns = kernel.system_ns - 300_000  # taken 0.3 ms ago
        system_ns = clock.to_system_ns(kernel.phc_ns(stamp_ns), now_ns)
        assert system_ns is not None
        # The first second has no rate yet: 200 ppm over the moments since the stamp are some tenths of a microsecond.
        assert abs(system_ns - stamp_ns) <= (500 if turn < 6 else 3)
        kernel.system_ns += 40_000_000
        # And between two readings of the clocks the rate carries it.
        later_ns = kernel.system_ns
        system_ns = clock.to_system_ns(kernel.phc_ns(later_ns), now_ns + 40_000_000)
        assert system_ns is not None
        assert abs(system_ns - later_ns) <= (10_000 if turn < 6 else 3)
        kernel.system_ns -= 40_000_000


def test_clocks_are_not_compared_for_every_stamp() -> None:
    kernel = FakeKernel()
    clock = opened(kernel)
    reads = []
    original = kernel.clock_ioctl

    def counted(descriptor: int, request: int, data: bytearray) -> None:
        reads.append(request)
        original(descriptor, request, data)

    kernel.clock_ioctl = counted  # type: ignore[method-assign]  # counts
    for turn in range(1000):
        clock.to_system_ns(kernel.phc_ns(kernel.system_ns), turn * 1_000_000)
    assert 1 <= len(reads) <= 9


@pytest.mark.parametrize("rate", [0.0, 50e-6])
def test_a_driver_that_latches_both_clocks_at_once_is_asked_for_that(rate: float) -> None:
    """The slow readings, whose every gap is too long to be of use, are not needed then."""
    kernel = FakeKernel(precise=True, phc_rate=rate, gap_ns=50_000)
    clock = opened(kernel)
    for turn in range(20):
        kernel.system_ns += 200_000_000
        stamp_ns = kernel.system_ns
        assert clock.to_system_ns(kernel.phc_ns(stamp_ns), turn * 200_000_000) == pytest.approx(stamp_ns, abs=2)
    assert clock.precise
    assert clock.inexact == 0


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL])
def test_a_driver_that_cannot_is_asked_once_and_then_the_other_way(number: int) -> None:
    kernel = FakeKernel(precise_errno=number)
    clock = opened(kernel)
    assert not clock.precise
    kernel.precise = True  # it is not asked again
    kernel.system_ns += S
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), S) is not None
    assert not clock.precise


def test_a_card_that_is_away_is_not_taken_for_one_that_cannot() -> None:
    kernel = FakeKernel(precise=True)
    clock = opened(kernel)
    kernel.precise, kernel.precise_errno = False, errno.ENODEV
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), 5 * S) is None
    kernel.precise = True
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), 6 * S) is not None
    assert clock.precise


def test_stamp_far_from_the_last_reading_has_no_system_time() -> None:
    kernel = FakeKernel()
    clock = opened(kernel)
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns) - 2 * S, 0) is None
    assert clock.to_system_ns(0, 0) is None


def test_reading_that_took_too_long_is_not_used() -> None:
    kernel = FakeKernel(gap_ns=50_000)
    clock = opened(kernel)
    assert clock.inexact == 1
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), 0) is None


def test_old_readings_do_not_outlive_their_age_when_new_ones_are_bad() -> None:
    kernel = FakeKernel()
    clock = opened(kernel)
    kernel.gap_ns = 50_000
    kernel.system_ns += 500_000_000
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), 500_000_000) is not None
    kernel.system_ns += S
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), 1_500_000_000) is None


def test_card_that_is_taken_away_leaves_the_kernels_stamps() -> None:
    kernel = FakeKernel()
    clock = opened(kernel)
    kernel.refuse[0xC4C03D09] = errno.ENODEV
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), 5 * S) is None
    kernel.refuse.clear()
    assert clock.to_system_ns(kernel.phc_ns(kernel.system_ns), 6 * S) is not None


@pytest.mark.parametrize("step_ns", [-3600 * S, -S, -100_000, 100_000, S, 3600 * S])
def test_no_rate_is_drawn_across_a_step_of_the_system_clock(step_ns: int) -> None:
    kernel, epoch = FakeKernel(), Epoch()
    clock = opened(kernel, epoch)
    for turn in range(20):
        kernel.system_ns += 200_000_000
        clock.to_system_ns(kernel.phc_ns(kernel.system_ns), turn * 200_000_000)
    # The system clock is stepped: the card's is where it was.
    true_ns = kernel.system_ns
    kernel.phc_ns = lambda system_ns: system_ns - step_ns + TAI_NS  # type: ignore[method-assign]  # the truth after the step
    kernel.system_ns = true_ns + step_ns + 200_000_000
    epoch.value += 1
    for turn in range(20, 40):
        stamp_ns = kernel.system_ns
        system_ns = clock.to_system_ns(kernel.phc_ns(stamp_ns), turn * 200_000_000)
        assert system_ns is not None
        assert abs(system_ns - stamp_ns) <= 3
        later_ns = stamp_ns + 40_000_000
        system_ns = clock.to_system_ns(kernel.phc_ns(later_ns), turn * 200_000_000 + 40_000_000)
        assert system_ns is not None
        assert abs(system_ns - later_ns) <= 3
        kernel.system_ns += 200_000_000


def test_step_of_the_hardware_clock_begins_anew() -> None:
    translation = Translation()
    for turn in range(10):
        assert translation.add(CrossStamp(turn * S, 100 * S + turn * S, 500))
    assert translation.add(CrossStamp(5 * S, 110 * S, 500))
    assert translation.to_system_ns(5 * S + 7) == 110 * S + 7
    assert translation.to_system_ns(9 * S) is None


@given(
    st.floats(-400e-6, 400e-6),
    st.integers(0, 2**62),
    st.lists(st.integers(50_000_000, 900_000_000), min_size=12, max_size=40),
    st.integers(0, 2**32),
)
def test_translation_errs_by_no_more_than_reading_the_clocks_does(
    rate: float, phc_begin_ns: int, pauses_ns: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    translation, since_ns = Translation(), 0
    gap_ns = 2_000

    def phc(system_since_ns: int) -> int:
        return phc_begin_ns + system_since_ns + round(system_since_ns * rate)

    for turn, pause_ns in enumerate(pauses_ns):
        since_ns += pause_ns
        # The reading errs by at most half of what it took.
        error_ns = rng.randint(-gap_ns // 2, gap_ns // 2)
        assert translation.add(CrossStamp(phc(since_ns), BEGIN_NS + since_ns + error_ns, gap_ns))
        if turn < 3:
            continue
        at_ns = since_ns + rng.randint(-5_000_000, 5_000_000)
        system_ns = translation.to_system_ns(phc(at_ns))
        assert system_ns is not None
        # Half the gap, and 5 ms of a rate that is wrong by 400 ppm at the worst.
        assert abs(system_ns - BEGIN_NS - at_ns) <= gap_ns // 2 + 2_010


def test_nothing_is_translated_before_the_first_reading() -> None:
    assert Translation().to_system_ns(5) is None


def test_reading_that_runs_backwards_is_no_use() -> None:
    assert not Translation().add(CrossStamp(0, 0, -1))
