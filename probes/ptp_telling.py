"""What happens to PTP masters, as events of the probe: who comes and goes, what they announce, and what is wrong with it.

Rule: each finding is told when it begins and when it ceases, never again and again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from timesync.exchange.ptp import Appeared, BestChanged, Changed, MasterKey, PtpEvent, PtpRefused, Stepped, Vanished
from timesync.model import Event, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.exchange.ptp_facts import Reading
    from timesync.exchange.ptp_profiles import Profile
    from timesync.timescale import LeapTable
    from timesync.wire.ptp.message import Announce

__all__ = ["Telling"]

# What is a change for the worse, or of the clock itself, and not only of the route to it.
GRAVE = {"grandmaster", "clock_class", "clock_accuracy", "flags", "current_utc_offset_s"}
IDENTITIES = {"grandmaster"}


class Telling:
    """The events of one target. `emit` hears them."""

    def __init__(self, target: str, profile: Profile, emit: Callable[[Event], None]) -> None:
        self._target = target
        self._profile = profile
        self._hear = emit
        self._disagreed: dict[MasterKey, int] = {}
        self._deviated: dict[MasterKey, str] = {}

    def tell(self, event: PtpEvent) -> None:
        """An event of the listener as one of the probe's."""
        if isinstance(event, Appeared):
            self.emit("master_appeared", f"{event.key.port} is heard")
        elif isinstance(event, Vanished):
            self._disagreed.pop(event.key, None)
            self._deviated.pop(event.key, None)
            text = f"{event.key.port} has been silent for {event.silent_s:.1f} s"
            self.emit("master_vanished", text, Severity.WARNING)
        elif isinstance(event, BestChanged):
            old, new = (str(key.port) if key is not None else "none" for key in (event.old, event.new))
            severity = Severity.INFO if event.old is None else Severity.WARNING
            self.emit("best_master_changed", f"the best master is {new}, before {old}", severity)
        elif isinstance(event, Changed):
            severity = Severity.WARNING if event.what in GRAVE else Severity.INFO
            old, new = (f"{value:016x}" if event.what in IDENTITIES else str(value) for value in (event.old, event.new))
            self.emit("master_changed", f"{event.key.port}: {event.what} was {old}, is {new}", severity)
        elif isinstance(event, Stepped):
            self._tell_step(event)
        else:
            assert isinstance(event, PtpRefused)  # counted, not told

    def _tell_step(self, event: Stepped) -> None:
        new = event.new
        text = (
            f"{event.key.port} says that the grandmaster stepped by {new.last_gm_phase_change_s:+.9f} s and "
            f"{new.last_gm_freq_change:+.3e} in frequency (gmTimeBaseIndicator was {event.old.gm_time_base_indicator}, "
            f"is {new.gm_time_base_indicator})"
        )
        self.emit("grandmaster_stepped", text, Severity.WARNING)

    def compare(
        self, key: MasterKey, announce: Announce | None, reading: Reading, leaps: LeapTable, at_ns: int
    ) -> None:
        """What a master announces against the leap-second table and the profile."""
        if announce is None:
            return
        self._compare_with_profile(key, announce)
        if reading.timescale != "ptp" or leaps.is_expired(at_ns):
            return
        wanted, announced = leaps.tai_minus_utc_s(at_ns), announce.current_utc_offset_s
        if announced == wanted:
            if self._disagreed.pop(key, None) is not None:
                self.emit("utc_offset_right", f"{key.port} announces TAI - UTC = {announced} s, as it should be")
        elif self._disagreed.get(key) != announced:
            self._disagreed[key] = announced
            text = f"{key.port} announces TAI - UTC = {announced} s; the leap-second table says {wanted} s"
            self.emit("utc_offset_wrong", text, Severity.ERROR)

    def _compare_with_profile(self, key: MasterKey, announce: Announce) -> None:
        found = "; ".join(self._profile.deviations(key.domain, announce))
        if found == self._deviated.get(key, ""):
            return
        self._deviated[key] = found
        if found:
            text = f"{key.port} is not as {self._profile.title} prescribes: {found}"
            self.emit("profile_deviation", text, Severity.WARNING)
        else:
            del self._deviated[key]
            self.emit("profile_kept", f"{key.port} is as {self._profile.title} prescribes again")

    def emit(self, kind: str, text: str, severity: Severity = Severity.INFO) -> None:
        """An event of the target."""
        self._hear(Event(kind, time.time_ns(), severity, f"{self._target}: {text}", self._target))
