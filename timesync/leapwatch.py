"""Servers' leap indicators against the leap-second table: an announcement that nobody else knows of, and one that is missing.

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

__all__ = ["Finding", "LeapChange", "LeapWatch", "end_of_month_ns"]

UNSYNCHRONISED = 3
# UTC's second more or less, by leap indicator.
STEPS = {1: 1, 2: -1}
HOUR_NS = 3600 * 10**9
# How long before a leap second its announcement is missed. A PTP master may set leap61 and leap59 12 hours before, no sooner.
MISSED_BEFORE_NS = {"ntp": 24 * HOUR_NS, "ptp": 6 * HOUR_NS}
# So long after a leap second a server may still announce it: the indicator goes down the strata poll by poll.
AFTERMATH_NS = 2 * HOUR_NS


class Finding(Enum):
    """What a server's indicator is worth: as the table has it, a leap second too many, one too few."""

    AGREES = "leap_indicator_agrees"
    UNKNOWN = "leap_announced_unknown"
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
            past = self.table.next_leap(now_ns - AFTERMATH_NS)
            is_over = past is not None and past.at_ns <= now_ns and past.step_s == announced
            return Finding.AGREES if is_over else Finding.UNKNOWN
        missed_before_ns = MISSED_BEFORE_NS.get(protocol, min(MISSED_BEFORE_NS.values()))
        return Finding.MISSING if month_end_ns - now_ns <= missed_before_ns else Finding.AGREES


def end_of_month_ns(now_ns: int) -> int:
    """0h UTC of the first day of the next month, Unix ns."""
    year, month = (int(part) for part in format_utc(now_ns).split("-")[:2])
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return parse_utc(f"{year:04}-{month:02}-01")
