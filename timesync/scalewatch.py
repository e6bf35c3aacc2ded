"""A server that keeps another time scale than UTC, or lost count of weeks or leap seconds: told by the size of its error.

Rule: no clock drifts by exactly 37 seconds. An error that is, within `NEAR_S` and its own bound, what a known mistake makes,
`IN_A_ROW` times in a row, is that mistake; it is told once, and once when it is over. What each mistake makes is computed from
the leap-second table at the instant, never a constant. Pure: instants are parameters.

Sources: TAI - UTC from the leap-second table; GPS time = TAI - 19 s and its week of 10 bits, 1024 weeks (IS-GPS-200,
20.3.3.3.1.1); NTP eras of 2^32 s (RFC 5905 section 6), which no NTP timestamp can show (it is their unit), but a PTP master or
an instrument can; currentUtcOffset (IEEE 1588-2019 clause 7.2.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from timesync.errors import DataError
from timesync.timescale import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from timesync.timescale import LeapTable

__all__ = ["ScaleChange", "ScaleWatch", "UtcOffsetWatch", "mistakes"]

GPS_MINUS_TAI_S = -19
WEEK_S = 7 * 86_400
GPS_ROLLOVER_S = 1024 * WEEK_S
NTP_ERA_S = 2**32
HALF_HOUR_S = 1800
# An error within this of what a mistake makes, and its own bound, is that mistake, s.
NEAR_S = 0.1
IN_A_ROW = 3
# So long before and after a leap second one second too many or too few is about it.
AROUND_LEAP_NS = 30 * 86_400 * NS_PER_S
# Zones reach from UTC - 12 h to UTC + 14 h.
ZONES = range(-24, 29)


class Mistake(NamedTuple):
    """A known mistake: its name, the error that it makes (server minus UTC, s), and what it is in words."""

    name: str
    error_s: float
    text: str


@dataclass(frozen=True, slots=True)
class ScaleChange:
    """A target's time scale is found to be wrong, or (None) right again. `error_s`: what was measured."""

    target: str
    mistake: Mistake | None
    error_s: float


def mistakes(table: LeapTable, now_ns: int) -> Iterator[Mistake]:
    """Every mistake that is known, with the error that it makes at `now_ns` (Unix ns)."""
    try:
        tai_s = table.tai_minus_utc_s(now_ns)
    except DataError:
        return  # before 1972
    yield Mistake("tai", tai_s, f"it serves TAI as UTC, {tai_s} s ahead")
    gps_s = tai_s + GPS_MINUS_TAI_S
    yield Mistake("gps", gps_s, f"it serves GPS time as UTC, {gps_s} s ahead")
    yield Mistake("utc_offset_twice", -tai_s, f"it takes TAI - UTC off twice, {tai_s} s behind")
    for step_s in (1, -1):
        for at_ns in _leaps_around(table, now_ns, step_s):
            # After an inserted second that it did not take it is a second ahead, and behind where one was taken out.
            late = now_ns >= at_ns
            error_s = step_s if late else -step_s
            what = "did not take the leap second" if late else "took a leap second that has not come yet"
            yield Mistake("leap_residual", error_s, f"it {what}: {error_s:+d} s")
    for weeks, sign in ((1, -1), (2, -1), (1, 1)):
        error_s = sign * weeks * GPS_ROLLOVER_S
        yield Mistake("gps_week", error_s, f"its GPS week number is wrong by {1024 * weeks}: {error_s:+d} s")
    for sign in (1, -1):
        yield Mistake("ntp_era", sign * NTP_ERA_S, f"it is in another NTP era: {sign * NTP_ERA_S:+d} s")
    for half_hours in ZONES:
        if half_hours:
            zone_s = half_hours * HALF_HOUR_S
            yield Mistake("time_zone", zone_s, f"it serves local time as UTC: {zone_s / 3600:+g} h")


def _leaps_around(table: LeapTable, now_ns: int, step_s: int) -> Iterator[int]:
    leap = table.next_leap(now_ns - AROUND_LEAP_NS)
    if leap is not None and leap.step_s == step_s and abs(leap.at_ns - now_ns) <= AROUND_LEAP_NS:
        yield leap.at_ns


class ScaleWatch:
    """The mistake of each target, if it makes one; `table` may be replaced at any time."""

    def __init__(self, table: LeapTable) -> None:
        self.table = table
        self._told: dict[str, Mistake] = {}
        self._pending: dict[str, tuple[str | None, int]] = {}

    def observe(self, target: str, error_s: float, bound_s: float, now_ns: int) -> ScaleChange | None:
        """A target's error against UTC (s), or against the probe's clock where nothing better is known."""
        told = self._told.get(target)
        if told is None and abs(error_s) < 1.0 - NEAR_S - bound_s:
            if self._pending:
                self._pending.pop(target, None)
            return None  # nearly always
        found = self._find(error_s, bound_s, now_ns)
        name = found.name if found is not None else None
        before, count = self._pending.get(target, (name, 0))
        count = count + 1 if before == name else 1
        self._pending[target] = (name, count)
        if count < IN_A_ROW or name == (told.name if told is not None else None):
            return None
        if found is None:
            del self._told[target]
        else:
            self._told[target] = found
        return ScaleChange(target, found, error_s)

    def _find(self, error_s: float, bound_s: float, now_ns: int) -> Mistake | None:
        near_s = min(NEAR_S + bound_s, 0.45)
        for mistake in mistakes(self.table, now_ns):
            # What has lost count of weeks may be some leap seconds off as well.
            allowed_s = 30.0 if mistake.name == "gps_week" else near_s
            if abs(error_s - mistake.error_s) <= allowed_s:
                return mistake
        return None

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other targets."""
        self._told = {name: mistake for name, mistake in self._told.items() if name in targets}
        self._pending = {name: pending for name, pending in self._pending.items() if name in targets}


class UtcOffsetWatch:
    """What PTP masters announce as TAI - UTC against the table. Around a leap second the old and the new value are right.

    A master updates its currentUtcOffset at the leap second, and Announce messages come every other second (IEEE 1588-2019 clause
    7.7.2.2): for a minute after it neither is wrong.
    """

    GRACE_NS = 60 * NS_PER_S

    def __init__(self, table: LeapTable) -> None:
        self.table = table
        self._told: dict[str, int] = {}

    def observe(self, target: str, utc_offset_s: int, now_ns: int) -> tuple[int, int] | None:
        """Judge what a target announces; (announced, right) where that has become wrong or right again."""
        try:
            right = {self.table.tai_minus_utc_s(now_ns), self.table.tai_minus_utc_s(now_ns - self.GRACE_NS)}
        except DataError:
            return None
        expected = self.table.tai_minus_utc_s(now_ns)
        wrong = utc_offset_s not in right
        told = self._told.get(target)
        if wrong and told != utc_offset_s:
            self._told[target] = utc_offset_s
            return utc_offset_s, expected
        if not wrong and told is not None:
            del self._told[target]
            return utc_offset_s, expected
        return None

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other targets."""
        self._told = {name: told for name, told in self._told.items() if name in targets}
