"""The hardware clocks of one engine, by interface and by what is to be stamped; that there is none is told, once for each cause.

Rule: a clock that could not be had is tried anew whenever a target is opened and at each reload: a driver, a device's permissions
or a running ptp4l may have come since. Until then the kernel's stamps are taken.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from probes.hardware import HardwareClock, HardwareUnavailableError, Packets
from timesync.model import Event, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from timesync.settings import TargetSettings

__all__ = ["HardwareClocks"]

Key: TypeAlias = "tuple[str, str]"


class HardwareClocks:
    """`emit` hears what is lacking, `clock_epoch` counts the steps of the system clock."""

    def __init__(self, emit: Callable[[Event], None], clock_epoch: Callable[[], int]) -> None:
        self._emit = emit
        self._clock_epoch = clock_epoch
        self._clocks: dict[Key, HardwareClock] = {}
        self._lacking: dict[Key, str] = {}  # why, as it was told

    def of(self, interface: str, packets: Packets, *, configure: bool, severity: Severity) -> HardwareClock | None:
        """The clock of an interface for those packets, opened if it is not; None, told by an event, if it cannot be."""
        key = (interface, packets.name)
        if key not in self._clocks:
            try:
                self._clocks[key] = HardwareClock.open(
                    interface, self._clock_epoch, configure=configure, packets=packets
                )
            except HardwareUnavailableError as error:
                if self._lacking.get(key) != str(error):
                    text = f"{interface}: no hardware time stamps, the kernel's are used: {error}; tried again at the next reload"
                    self._emit(Event("no_hardware_stamps", time.time_ns(), severity, text))
                self._lacking[key] = str(error)
                return None
            self._lacking.pop(key, None)
        return self._clocks[key]

    def gained(
        self, targets: Iterable[TargetSettings], clock_of: Callable[[TargetSettings], HardwareClock | None]
    ) -> list[str]:
        """Try again for what was lacking; the names of the targets that have a clock now and had none."""
        lacked, self._lacking = {interface for interface, _ in self._lacking}, {}
        before = set(self._clocks.values())
        return [
            target.name
            for target in targets
            if lacked & {target.options.get("interface"), target.address}
            and (clock := clock_of(target)) is not None
            and clock not in before
        ]

    def close(self) -> None:
        """Let the devices go."""
        for clock in self._clocks.values():
            clock.close()
        self._clocks.clear()
