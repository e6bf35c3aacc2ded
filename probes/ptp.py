"""The PTP probe kind: its options, and an engine that opens each network segment once for all targets on it.

Rule: what is wrong with a target's options is told before anything is opened. The probe only listens and asks: it never becomes
master and never touches a clock. The measuring is in probes/ptp_prober.py, the protocol in timesync/exchange/ptp.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from probes.hardware import PTP_FRAMES, PTP_PACKETS, HardwareClock, HardwareUnavailableError
from probes.options import Checks, is_domain, is_flag, is_interface, is_port, one_of, problems_of
from probes.ptp_prober import PROTOCOL, PtpProber, Shared
from probes.ptp_segment import TRANSPORTS, Place, PtpSegment
from probes.sockets import SocketCounters
from timesync.config.wording import shown
from timesync.errors import Problem
from timesync.exchange.ptp_facts import DECLARATIONS
from timesync.leapseconds import SYSTEM_FILES, load_leap_table
from timesync.model import Event, Severity
from timesync.plugin import EngineCounts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from timesync.plugin import EngineContext
    from timesync.reasons import Reason
    from timesync.settings import ProbeSettings, TargetSettings
    from timesync.timescale import LeapTable

__all__ = ["KIND", "PtpEngine", "PtpKind"]

OPTIONS = {
    "transport": '"udp4" (default), "udp6", or "l2" (Ethernet; needs CAP_NET_RAW)',
    "domain": "PTP domain, 0 to 255 (default 0)",
    "delay": '"e2e" (default), or "p2p" where the next port answers Pdelay_Req',
    "unicast": "address of a master to negotiate unicast with; without it multicast is heard",
    "timescale": '"announced" (default), or what an arbitrary time scale is: "utc" or "tai"',
    "configure_interface": "true: switch the interface's time stamping on if nobody has (needs CAP_NET_ADMIN; default false)",
    "event_port": "UDP port of event messages (default 319; one above 1024 needs no privilege)",
    "general_port": "UDP port of general messages (default 320)",
}


def is_host(value: object) -> bool:
    """A host name or a numeric address, without a port."""
    return isinstance(value, str) and bool(value) and not any(each.isspace() or each in "[]/" for each in value)


CHECKS: Checks = {
    "transport": (one_of(*TRANSPORTS), 'Write "udp4", "udp6" or "l2"'),
    "domain": (is_domain, "Write a whole number from 0 to 255"),
    "delay": (one_of("e2e", "p2p"), 'Write "e2e" or "p2p"'),
    "unicast": (is_host, "Write the master's host name or address, without a port"),
    "timescale": (one_of(*DECLARATIONS), 'Write "announced", "utc" or "tai"'),
    "configure_interface": (is_flag, "Write true or false"),
    "event_port": (is_port, "Write a port from 1 to 65535"),
    "general_port": (is_port, "Write a port from 1 to 65535"),
}


class PtpKind:
    """`kind = "ptp"`."""

    name = "ptp"
    protocol = PROTOCOL
    options: Mapping[str, str] = OPTIONS

    def check(self, target: TargetSettings, where: str) -> Sequence[Problem]:
        """Everything wrong with the address (an interface) and options."""
        problems: list[Problem] = []
        if not is_interface(target.address):
            what = f"{shown(target.address)} is not the name of a network interface"
            problems.append(Problem(f"{where}: address", what, 'Write the interface to listen on, such as "eth0"'))
        problems += problems_of(target.options, CHECKS, where)
        if "unicast" in target.options:
            for name, value in (("transport", "l2"), ("delay", "p2p")):
                if target.options.get(name) == value:
                    what = f'it cannot go together with {name} = "{value}"'
                    problems.append(Problem(f"{where}: unicast", what, "Take one of them out"))
        return problems

    def open(self, context: EngineContext) -> PtpEngine:
        """The engine of this process."""
        return PtpEngine(context)


KIND = PtpKind()


class PtpEngine:
    """All PTP targets of this process. `refused` counts messages not used."""

    def __init__(self, context: EngineContext) -> None:
        self.counters = SocketCounters()
        self.refused: Counter[Reason] = Counter()
        self._hardware: dict[tuple[str, str], HardwareClock | None] = {}
        leaps = leap_table(context.settings)
        self._shared = Shared(asyncio.get_running_loop(), context, leaps, self.refused, self._open_segment)

    def reconfigure(self, settings: ProbeSettings) -> Collection[str]:
        """Take the leap-second table of the new settings; nothing needs to be opened again."""
        self._shared.leaps = leap_table(settings)
        self._shared.context = replace(self._shared.context, settings=settings)
        return ()

    async def open_target(self, target: TargetSettings) -> PtpProber:
        """Begin to listen for a target's masters."""
        prober = PtpProber(self._shared, target)
        await prober.begin()
        return prober

    def _open_segment(self, place: Place, configure: bool) -> PtpSegment:  # noqa: FBT001 - called by Shared alone
        clock = self._clock_of(place, configure=configure)
        return PtpSegment(self._shared.loop, place, self.counters, clock.to_system_ns if clock is not None else None)

    def _clock_of(self, place: Place, *, configure: bool) -> HardwareClock | None:
        """The interface's hardware clock; where it cannot be used that is told, and the kernel's stamps are taken."""
        packets = PTP_FRAMES if place.transport == "l2" else PTP_PACKETS
        key = (place.interface, packets.name)
        if key not in self._hardware:
            context = self._shared.context
            try:
                self._hardware[key] = HardwareClock.open(
                    place.interface, context.clock_epoch, configure=configure, packets=packets
                )
            except HardwareUnavailableError as error:
                self._hardware[key] = None
                text = f"{place.interface}: no hardware time stamps, the kernel's are used: {error}"
                context.emit(Event("no_hardware_stamps", time.time_ns(), Severity.INFO, text))
        return self._hardware[key]

    def counts(self) -> EngineCounts:
        """Messages not used, and what became of timestamps."""
        return EngineCounts({reason.value: count for reason, count in self.refused.items()}, self.counters.as_mapping())

    async def close(self) -> None:
        """Let the hardware clocks go."""
        for clock in self._hardware.values():
            if clock is not None:
                clock.close()
        self._hardware.clear()


def leap_table(settings: ProbeSettings) -> LeapTable:
    """The leap-second table that the settings name, the system's, or the one that comes with timesync."""
    files = () if settings.leap_seconds_file is None else (settings.leap_seconds_file,)
    return load_leap_table((*files, *SYSTEM_FILES)).table
