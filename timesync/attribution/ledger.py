"""The faults that are known and not over: told once when found, once when over.

Rule: a further change of a fault that is known is no news unless it is much worse; a fault that came back before its end was
told goes on. Pure: time is a parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.attribution.judge import Fault, Finding, Kind
from timesync.attribution.verdicts import Active, found_event, over_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.model import Event

__all__ = ["SCATTERING", "Ledger"]

SCATTERING = (Kind.NOISE, Kind.CONGESTION)


class Ledger:
    """Tell it findings; take its events. `now_s` is the attribution's axis, `now_ns` Unix time: set both at each tick."""

    def __init__(self) -> None:
        self.active: dict[tuple[Fault, Kind | None, tuple[str, ...]], Active] = {}
        self.now_s = 0.0
        self.now_ns = 0
        self._events: list[Event] = []

    def take_events(self) -> list[Event]:
        """What has been found, and what is over, since the last call."""
        events, self._events = self._events, []
        return events

    def current(self) -> list[tuple[str, str, str, float]]:
        """What holds now: whose fault, how it changed, the clock concerned ("" for the probe's own), and the confidence."""
        return [
            (each.finding.fault.value, each.finding.kind.value, name, each.finding.confidence)
            for each in self.active.values()
            for name in each.finding.members or ("",)
        ]

    def scattering(self) -> list[Active]:
        """Noise and congestion."""
        return [each for each in self.active.values() if each.finding.kind in SCATTERING]

    def concerned(self, fault: Fault | None = None, *kinds: Kind) -> set[str]:
        """The clocks that known faults concern: of this fault, or of these kinds."""
        return {
            name
            for each in self.active.values()
            if each.finding.fault is fault or each.finding.kind in kinds
            for name in each.finding.members
        }

    def tell(self, finding: Finding, told: str, period_s: float) -> None:
        """A finding; `told` is what the servers concerned say of themselves now and did not before, `period_s` their slowest."""
        # A congested path may look like a changed one at first, and a drift like a step: that is one fault.
        kind = finding.kind if finding.kind in (Kind.NOISE, Kind.SILENCE) else None
        key = (finding.fault, kind, finding.members)
        active = self.active.get(key)
        # A step of the probe's clock is over as soon as it is made.
        momentary = finding.fault is Fault.PROBE and finding.kind is Kind.STEP
        if active is None:
            self.active[key] = active = Active.begun(finding, self.now_s, self.now_ns, period_s)
            active.gone_back = momentary
        elif Kind.CONGESTION in (finding.kind, active.finding.kind):
            if finding.kind is Kind.CONGESTION:
                active.finding, active.gone_back, active.last_s = finding, False, self.now_s
            return
        else:
            worse = active.again(finding, self.now_s)
            active.gone_back = active.gone_back or momentary
            if not worse:
                return
            active.finding = finding
        self._events.append(found_event(finding, self.now_ns, told))

    def mark(self, active: Active, *, gone_back: bool) -> None:
        """Whether a fault shows at present; that it came again is counted."""
        if active.gone_back != gone_back:
            active.gone_back, active.last_s = gone_back, self.now_s
            active.changes += not gone_back

    def ended(self) -> Iterator[tuple[Active, str]]:
        """Each fault that is over, and why; it is told and forgotten."""
        for key, active in list(self.active.items()):
            why = active.over(self.now_s)
            if why:
                self._end(key, active, why)
                yield active, why

    def remove(self, name: str) -> None:
        """A clock that is no longer measured: faults that are its alone are over."""
        for key, active in list(self.active.items()):
            if active.finding.members == (name,):
                self._end(key, active, "removed")

    def _end(self, key: tuple[Fault, Kind | None, tuple[str, ...]], active: Active, why: str) -> None:
        del self.active[key]
        self._events.append(over_event(active, why, self.now_ns, self.now_s - active.since_s))
