"""The NTP probe kind: its options, its keys, and an engine that all targets of a process share.

Rule: what is wrong with a target's options is told before anything is opened. The measuring is in probes/ntp_prober.py, the
protocol in timesync/exchange/ntp.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from probes.address import AddressError, split_host_port
from probes.hardware import NTP_PACKETS, HardwareClock
from probes.hardware_clocks import HardwareClocks
from probes.ntp_prober import FAMILIES, NTP_PORT, PROTOCOL, NtpProber, Shared
from probes.options import Checks, is_count, is_flag, is_interface, is_ip_address, is_positive, one_of, problems_of
from probes.sockets import SocketCounters
from probes.timeouts import TimeOuts
from timesync.descriptors import allow_many
from timesync.errors import ConfigError, Problem
from timesync.keys import Key, read_keys
from timesync.model import Severity
from timesync.plugin import EngineCounts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from timesync.plugin import EngineContext
    from timesync.reasons import Reason
    from timesync.settings import ProbeSettings, TargetSettings

__all__ = ["KIND", "NtpEngine", "NtpKind"]

MODES = ("auto", "basic")
OPTIONS = {
    "mode": '"auto" (interleaved where the server can, the default) or "basic"',
    "version": "NTP version of the request: 4 (default) or 3",
    "key": "number of the symmetric key in the keys file",
    "family": '"any" (default), "ipv4" or "ipv6"',
    "source": "local address to send from",
    "interface": "network interface to send through; its hardware time stamps are used where it has them",
    "configure_interface": "true: switch the interface's time stamping on if nobody has (needs CAP_NET_ADMIN; default false)",
    "deny_retry_s": "first pause after DENY or RSTR, seconds (default 3600; doubles up to a day)",
}


CHECKS: Checks = {
    "mode": (one_of(*MODES), 'Write "auto" or "basic"'),
    "version": (one_of(3, 4), "Write 3 or 4"),
    "key": (is_count, "Write the key's number, a whole number from 1 to 4294967295"),
    "family": (one_of(*FAMILIES), 'Write "any", "ipv4" or "ipv6"'),
    "source": (is_ip_address, "Write a local IP address in quotes"),
    "interface": (is_interface, "Write the name of a network interface"),
    "configure_interface": (is_flag, "Write true or false"),
    "deny_retry_s": (is_positive, "Write a positive number of seconds"),
}


class NtpKind:
    """`kind = "ntp"`."""

    name = "ntp"
    protocol = PROTOCOL
    options: Mapping[str, str] = OPTIONS

    def check(self, target: TargetSettings, where: str) -> Sequence[Problem]:
        """Everything wrong with the address and options."""
        problems: list[Problem] = []
        try:
            split_host_port(target.address, NTP_PORT)
        except AddressError as error:
            problems.append(Problem(f"{where}: address", str(error), 'Write "host", "host:port" or "[v6]:port"'))
        return [*problems, *problems_of(target.options, CHECKS, where)]

    def open(self, context: EngineContext) -> NtpEngine:
        """The engine of this process."""
        return NtpEngine(context)


KIND = NtpKind()


class NtpEngine:
    """All NTP targets of this process: shared counters, keys and hardware clocks. `refused` counts packets not believed."""

    def __init__(self, context: EngineContext) -> None:
        self.counters = SocketCounters()
        self.refused: Counter[Reason] = Counter()
        loop = asyncio.get_running_loop()
        self._shared = Shared(loop, context, self.counters, self.refused, TimeOuts(loop))
        self._keys = keys_of(context.settings)
        self._with_key: dict[str, int] = {}
        self._hardware = HardwareClocks(context.emit, context.clock_epoch)
        allow_many()

    def reconfigure(self, settings: ProbeSettings) -> Collection[str]:
        """Read the keys again, and try again for hardware time stamps where there were none. Raises ConfigError.

        Targets whose key is another now, or whose interface has hardware time stamps now, must be opened again.
        """
        keys, old = keys_of(settings), self._keys
        self._shared.context = replace(self._shared.context, settings=settings)
        self._keys = keys
        changed = [name for name, number in self._with_key.items() if keys.get(number) != old.get(number)]
        return [*changed, *self._hardware.gained(targets_of(settings), self._clock_of)]

    async def open_target(self, target: TargetSettings) -> NtpProber:
        """Begin to measure a target."""
        number = target.options.get("key")
        key = None
        if number is not None:
            key = self._keys.get(number)
            if key is None:
                source = self._shared.context.settings.source
                raise ConfigError(
                    source,
                    (
                        Problem(
                            f'target "{target.name}": key',
                            f"the keys file has no key {number}",
                            "Add it to the file named by [keys] file, or name another.",
                        ),
                    ),
                )
            self._with_key[target.name] = number
        else:
            self._with_key.pop(target.name, None)
        clock = self._clock_of(target)
        return NtpProber(self._shared, target, key, clock.to_system_ns if clock is not None else None)

    def _clock_of(self, target: TargetSettings) -> HardwareClock | None:
        """The hardware clock of the interface that the target names; without one the kernel's stamps are taken."""
        interface = target.options.get("interface")
        if interface is None:
            return None
        configure = target.options.get("configure_interface", False)
        return self._hardware.of(interface, NTP_PACKETS, configure=configure, severity=Severity.WARNING)

    def counts(self) -> EngineCounts:
        """Packets not believed, and what became of timestamps."""
        return EngineCounts({reason.value: count for reason, count in self.refused.items()}, self.counters.as_mapping())

    async def close(self) -> None:
        """Let the hardware clocks and the timer go."""
        self._shared.time_outs.close()
        self._hardware.close()


def targets_of(settings: ProbeSettings) -> Sequence[TargetSettings]:
    """Those of this kind."""
    return [target for target in settings.targets if target.kind == KIND.name]


def keys_of(settings: ProbeSettings) -> Mapping[int, Key]:
    """The keys of the configured file. Raises ConfigError if it cannot be used."""
    return read_keys(settings.keys_file) if settings.keys_file is not None else {}
