"""Servers' leap indicators against the leap-second table: announcements that are false, early, late, missing, or made by some only.

Rule: a finding is told when it changes, once; a server that says nothing (leap indicator 3) changes nothing. An indicator of 1 or 2
speaks of the end of the current month (RFC 5905 section 7.3). Pure: instants are parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from timesync.timescale import format_utc, parse_utc

if TYPE_CHECKING:
    from collections.abc import Collection

    from timesync.timescale import LeapTable

__all__ = ["Finding", "LeapChange", "LeapWatch", "SidesWatch", "end_of_month_ns"]

UNSYNCHRONISED = 3
# UTC's second more or less, by leap indicator.
STEPS = {1: 1, 2: -1}
HOUR_NS = 3600 * 10**9
# How long before a leap second its announcement is missed. A PTP master may set leap61 and leap59 12 hours before, no sooner.
MISSED_BEFORE_NS = {"ntp": 24 * HOUR_NS, "ptp": 6 * HOUR_NS}
# So long after a leap second a server may still announce it: the indicator goes down the strata poll by poll.
AFTERMATH_NS = 2 * HOUR_NS
# From then on, until a month after, it is late.
LATE_NS = 31 * 24 * HOUR_NS
# Within the last day of a month those that announce are compared with those that do not; who was heard this long ago counts.
SIDES_BEFORE_NS = 24 * HOUR_NS
SIDES_HEARD_NS = 6 * HOUR_NS


class Finding(Enum):
    """What a server's indicator is worth: as the table has it; one that is none, that comes later, that is over; one too few."""

    AGREES = "leap_indicator_agrees"
    UNKNOWN = "leap_announced_unknown"
    EARLY = "leap_announced_early"
    LATE = "leap_announced_late"
    MISSING = "leap_announcement_missing"


@dataclass(frozen=True, slots=True)
class LeapChange:
    """A server's finding is another than before. `at_ns`: the end of the month in question, Unix ns."""

    target: str
    finding: Finding
    leap: int
    at_ns: int


class LeapWatch:
    """The last finding of each target; `table` may be replaced at any time."""

    def __init__(self, table: LeapTable) -> None:
        self.table = table
        self._findings: dict[str, Finding] = {}

    def observe(self, target: str, protocol: str, leap: int, now_ns: int) -> LeapChange | None:
        """Judge an indicator that a target sent at `now_ns` (Unix ns); the change, if there is one."""
        if leap == UNSYNCHRONISED:
            return None
        before = self._findings.get(target, Finding.AGREES)
        if leap == 0 and before is Finding.AGREES and not self._is_near(now_ns):
            return None  # nearly always
        month_end_ns = end_of_month_ns(now_ns)
        finding = self._judge(protocol, leap, now_ns, month_end_ns)
        if finding is before:
            return None
        self._findings[target] = finding
        return LeapChange(target, finding, leap, month_end_ns)

    @property
    def disagreements(self) -> Collection[str]:
        """The targets whose last finding is trouble."""
        return frozenset(name for name, finding in self._findings.items() if finding is not Finding.AGREES)

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other targets."""
        self._findings = {name: finding for name, finding in self._findings.items() if name in targets}

    def _is_near(self, now_ns: int) -> bool:
        coming = self.table.next_leap(now_ns)
        return coming is not None and coming.at_ns - now_ns <= max(MISSED_BEFORE_NS.values())

    def _judge(self, protocol: str, leap: int, now_ns: int, month_end_ns: int) -> Finding:
        coming = self.table.next_leap(now_ns)
        known = coming.step_s if coming is not None and coming.at_ns == month_end_ns else 0
        announced = STEPS.get(leap, 0)
        if announced == known:
            return Finding.AGREES
        if announced:
            if coming is not None and coming.step_s == announced:
                return Finding.EARLY
            past = self.table.next_leap(now_ns - LATE_NS)
            if past is None or past.at_ns > now_ns or past.step_s != announced:
                return Finding.UNKNOWN
            return Finding.AGREES if now_ns - past.at_ns < AFTERMATH_NS else Finding.LATE
        missed_before_ns = MISSED_BEFORE_NS.get(protocol, min(MISSED_BEFORE_NS.values()))
        return Finding.MISSING if month_end_ns - now_ns <= missed_before_ns else Finding.AGREES


class SidesWatch:
    """Who announces a leap second at the end of this month and who does not, where no table can tell who is right."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, int]] = {}
        self._told_of_ns: int | None = None

    def observe(self, target: str, leap: int, now_ns: int) -> None:
        """An indicator that a target sent."""
        if leap != UNSYNCHRONISED:
            self._heard[target] = (leap, now_ns)

    def look(self, now_ns: int) -> tuple[list[str], list[str], int] | None:
        """Those that announce, those that do not, and the end of the month (Unix ns), once where both are somebody."""
        month_end_ns = end_of_month_ns(now_ns)
        if month_end_ns - now_ns > SIDES_BEFORE_NS or self._told_of_ns == month_end_ns:
            return None
        recent = {name: leap for name, (leap, at_ns) in self._heard.items() if 0 <= now_ns - at_ns < SIDES_HEARD_NS}
        announcing = [name for name, leap in recent.items() if leap in STEPS]
        silent = [name for name, leap in recent.items() if leap not in STEPS]
        if not announcing or not silent:
            return None
        self._told_of_ns = month_end_ns
        return announcing, silent, month_end_ns

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other targets."""
        self._heard = {name: heard for name, heard in self._heard.items() if name in targets}


def end_of_month_ns(now_ns: int) -> int:
    """0h UTC of the first day of the next month, Unix ns."""
    year, month = (int(part) for part in format_utc(now_ns).split("-")[:2])
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return parse_utc(f"{year:04}-{month:02}-01")
