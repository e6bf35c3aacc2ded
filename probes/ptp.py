"""The PTP probe kind: its options, and an engine that opens each network segment once for all targets on it.

Rule: what is wrong with a target's options is told before anything is opened. The probe only listens and asks: it never becomes
master and never touches a clock. The measuring is in probes/ptp_prober.py, the protocol in timesync/exchange/ptp.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from probes.hardware import PTP_FRAMES, PTP_PACKETS, HardwareClock
from probes.hardware_clocks import HardwareClocks
from probes.options import Checks, is_domain, is_flag, is_interface, is_port, one_of, problems_of
from probes.ptp_prober import PROTOCOL, PtpProber, Shared, options_of, place_of
from probes.ptp_segment import TRANSPORTS, Place, PtpSegment
from probes.sockets import SocketCounters
from timesync.config.wording import shown
from timesync.errors import Problem
from timesync.exchange.ptp_facts import DECLARATIONS
from timesync.exchange.ptp_profiles import PROFILES
from timesync.leapseconds import configured_leap_table
from timesync.model import Severity
from timesync.plugin import EngineCounts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from timesync.plugin import EngineContext
    from timesync.reasons import Reason
    from timesync.settings import ProbeSettings, TargetSettings

__all__ = ["KIND", "PtpEngine", "PtpKind"]

OPTIONS = {
    "profile": '"default", "gptp" (IEEE 802.1AS), "g8275.1" or "g8275.2": sets the options below where they are not given',
    "transport": '"udp4" (default), "udp6", or "l2" (Ethernet; needs CAP_NET_RAW)',
    "domain": "PTP domain, 0 to 255 (default 0)",
    "major_sdo_id": "majorSdoId of the domain: 0 (default), or 1 for IEEE 802.1AS",
    "delay": '"e2e" (default), or "p2p" where the next port answers Pdelay_Req',
    "questions": "Delay_Req of a poll, sent back to back, of which the fastest counts: 1 to 8 (default 2)",
    "hybrid": "true: ask each master by unicast, and hear the rest by multicast (default false)",
    "destination": 'for l2: Delay_Req to the "forwardable" (default) or the "nonforwardable" multicast address',
    "answer_peers": "true: answer a neighbour's Pdelay_Req, without which a gPTP port is silent (default false)",
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
    "profile": (one_of(*PROFILES), 'Write "default", "gptp", "g8275.1" or "g8275.2"'),
    "major_sdo_id": (one_of(0, 1), "Write 0, or 1 for IEEE 802.1AS"),
    "questions": (one_of(*range(1, 9)), "Write a whole number from 1 to 8"),
    "hybrid": (is_flag, "Write true or false"),
    "destination": (one_of("forwardable", "nonforwardable"), 'Write "forwardable" or "nonforwardable"'),
    "answer_peers": (is_flag, "Write true or false"),
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
        wrong = problems_of(target.options, CHECKS, where)
        return [*problems, *wrong] if wrong else [*problems, *_misfits(target, where)]

    def open(self, context: EngineContext) -> PtpEngine:
        """The engine of this process."""
        return PtpEngine(context)


def _misfits(target: TargetSettings, where: str) -> Sequence[Problem]:
    """What does not go together, of what the target sets and of what its profile does."""
    options = {"transport": "udp4", "delay": "e2e", **options_of(target)}
    profile = options.get("profile", "default")
    problems = []
    for name, (own, excluded) in EXCLUDED.items():
        if name in options and own in {None, options[name]}:
            for other, value in excluded:
                if options.get(other) == value or (value is None and other in options):
                    shown_value = "" if value is None else f" = {shown(value)}"
                    given = "" if other in target.options else ", which is what the profile or the default says"
                    what = f"it cannot go together with {other}{shown_value}{given}"
                    problems.append(Problem(f"{where}: {name}", what, "Take one of them out"))
    if profile == "g8275.2" and "unicast" not in options:
        what = "its masters send by unicast only, and none is named"
        problems.append(Problem(f"{where}: profile", what, 'Add unicast = "ADDRESS" of the master'))
    if options.get("destination") == "nonforwardable" and options["transport"] != "l2":
        problems.append(
            Problem(f"{where}: destination", "only Ethernet has one", 'Add transport = "l2", or take it out')
        )
    return problems


# For a value of an option (None: any), what it cannot go together with.
EXCLUDED: Mapping[str, tuple[object, Sequence[tuple[str, object]]]] = {
    "unicast": (None, (("transport", "l2"), ("delay", "p2p"), ("hybrid", True))),
    "hybrid": (True, (("delay", "p2p"),)),
    "major_sdo_id": (1, (("transport", "udp4"), ("transport", "udp6"), ("delay", "e2e"))),
}

KIND = PtpKind()


class PtpEngine:
    """All PTP targets of this process. `refused` counts messages not used."""

    def __init__(self, context: EngineContext) -> None:
        self.counters = SocketCounters()
        self.refused: Counter[Reason] = Counter()
        self._hardware = HardwareClocks(context.emit, context.clock_epoch)
        leaps = configured_leap_table(context.settings.leap_seconds_file).table
        self._shared = Shared(asyncio.get_running_loop(), context, leaps, self.refused, self._open_segment)

    def reconfigure(self, settings: ProbeSettings) -> Collection[str]:
        """Take the leap-second table of the new settings, and try again for hardware time stamps where there were none.

        Targets whose interface has hardware time stamps now must be opened again.
        """
        self._shared.leaps = configured_leap_table(settings.leap_seconds_file).table
        self._shared.context = replace(self._shared.context, settings=settings)
        targets = [target for target in settings.targets if target.kind == KIND.name]
        return self._hardware.gained(targets, lambda target: self._clock_of(place_of(target), target.options))

    async def open_target(self, target: TargetSettings) -> PtpProber:
        """Begin to listen for a target's masters."""
        prober = PtpProber(self._shared, target)
        await prober.begin()
        return prober

    def _open_segment(self, place: Place, options: Mapping[str, Any]) -> PtpSegment:
        clock = self._clock_of(place, options)
        return PtpSegment(self._shared.loop, place, self.counters, clock.to_system_ns if clock is not None else None)

    def _clock_of(self, place: Place, options: Mapping[str, Any]) -> HardwareClock | None:
        """The interface's hardware clock; without one the kernel's stamps are taken: a warning only where one was wished for."""
        packets = PTP_FRAMES if place.transport == "l2" else PTP_PACKETS
        configure = options.get("configure_interface", False)
        severity = Severity.WARNING if configure else Severity.INFO
        return self._hardware.of(place.interface, packets, configure=configure, severity=severity)

    def counts(self) -> EngineCounts:
        """Messages not used, and what became of timestamps."""
        return EngineCounts({reason.value: count for reason, count in self.refused.items()}, self.counters.as_mapping())

    async def close(self) -> None:
        """Let the hardware clocks go."""
        self._hardware.close()
