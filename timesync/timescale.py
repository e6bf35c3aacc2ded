"""Instants and time scales, in integers: Unix and NTP seconds, eras, MJD, calendar dates, UTC and TAI.

Rule: an instant is an integer number of nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX), and a
conversion loses nothing that its target can hold. No clock is read: where the present matters it is a parameter.

Sources: RFC 5905 section 6 (formats, eras) and figure 4; POSIX.1-2017 section 4.16; ITU-R TF.460-6 (leap seconds); the
format of leap-seconds.list as IERS and NIST publish it.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_right
from dataclasses import dataclass

from timesync.errors import DataError

__all__ = [
    "GREATEST_RATE",
    "GREATEST_SLEW",
    "NS_PER_DAY",
    "NS_PER_S",
    "NTP_TO_UNIX_S",
    "Leap",
    "LeapRow",
    "LeapTable",
    "format_utc",
    "mjd_to_unix_ns",
    "ntp_difference_ns",
    "ntp_to_unix_ns",
    "parse_utc",
    "precision_to_s",
    "s_to_short",
    "short_to_s",
    "unix_ns_to_mjd",
    "unix_ns_to_ntp",
]

# The largest frequency offset of a working clock against another, s/s (500 ppm, RFC 5905 section 11.3; adjtimex(2), ADJ_FREQUENCY).
GREATEST_RATE = 500e-6
# What a kernel slews a clock by at most, s/s: 10 % by its tick (adjtimex(2), ADJ_TICK), with the frequency on top before and after.
GREATEST_SLEW = 0.1 + 2 * GREATEST_RATE

NS_PER_S = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_S
NTP_TO_UNIX_S = 2_208_988_800  # 1900-01-01 to 1970-01-01: 70 years of which 17 were leap years
UNIX_EPOCH_MJD = 40_587

_NTP_TO_UNIX_NS = NTP_TO_UNIX_S * NS_PER_S
_ERA_NS = 2**32 * NS_PER_S  # the next era begins at 2036-02-07T06:28:16Z
_HALF_ERA_NS = _ERA_NS // 2
_MASK_64 = 2**64 - 1


def ntp_to_unix_ns(timestamp: int, pivot_ns: int) -> int:
    """Unix ns of a 64-bit NTP timestamp, in the era that puts it within 68 years (2^31 s) of `pivot_ns`.

    Rounds to the nearest ns (half a unit of 2^-32 s is 0.12 ns). A timestamp of zero means "unknown" in NTP: the caller looks.
    """
    in_era_ns = ((timestamp * NS_PER_S + 0x8000_0000) >> 32) - _NTP_TO_UNIX_NS
    # The era k with pivot - half <= in_era + k * era < pivot + half: a ceiling division.
    era = -((in_era_ns - pivot_ns + _HALF_ERA_NS) // _ERA_NS)
    return in_era_ns + era * _ERA_NS


def unix_ns_to_ntp(at_ns: int) -> int:
    """The 64-bit NTP timestamp nearest to `at_ns` (Unix ns), its era dropped. `ntp_to_unix_ns` gives back the same ns."""
    return (((at_ns + _NTP_TO_UNIX_NS) << 32) + NS_PER_S // 2) // NS_PER_S & _MASK_64


def ntp_difference_ns(later: int, earlier: int) -> int:
    """`later` - `earlier` in ns, rounded, for timestamps less than 68 years apart whatever their eras.

    Two's-complement difference of the 64-bit timestamps (RFC 5905 section 6).
    """
    difference = (later - earlier) & _MASK_64
    if difference >> 63:
        difference -= 2**64
    return (difference * NS_PER_S + 0x8000_0000) >> 32


def short_to_s(value: int) -> float:
    """Seconds of an NTP short (unsigned 16.16, RFC 5905 figure 3): root delay, root dispersion. Exact."""
    return value / 65536


def s_to_short(seconds: float) -> int:
    """The NTP short (unsigned 16.16) nearest to `seconds`; raises `DataError` outside 0 to 65536 s."""
    if not (math.isfinite(seconds) and -0.5 <= seconds * 65536 < 2**32 - 0.5):
        raise DataError(f"{seconds} s does not fit an NTP short; give 0 to 65535.99999 s")
    return round(seconds * 65536)


def precision_to_s(exponent: int) -> float:
    """Seconds of an NTP precision (log2 seconds, a signed octet, RFC 5905 section 7.3)."""
    return math.ldexp(1.0, exponent)


def unix_ns_to_mjd(at_ns: int) -> tuple[int, int]:
    """Modified Julian Day and ns of that day (UTC, 86400 s a day) of `at_ns` (Unix ns)."""
    days, ns_of_day = divmod(at_ns, NS_PER_DAY)
    return UNIX_EPOCH_MJD + days, ns_of_day


def mjd_to_unix_ns(mjd: int, ns_of_day: int = 0) -> int:
    """Unix ns of a Modified Julian Day (UTC) and ns of that day: the inverse of `unix_ns_to_mjd`."""
    return (mjd - UNIX_EPOCH_MJD) * NS_PER_DAY + ns_of_day


def format_utc(at_ns: int) -> str:
    """ISO 8601 with nanoseconds, `2036-02-07T06:28:16.000000000Z`, of `at_ns` (Unix ns)."""
    days, ns_of_day = divmod(at_ns, NS_PER_DAY)
    year, month, day = _civil_from_days(days)
    second_of_day, ns = divmod(ns_of_day, NS_PER_S)
    minute_of_day, second = divmod(second_of_day, 60)
    hour, minute = divmod(minute_of_day, 60)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{ns:09d}Z"


_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d))?", re.ASCII
)
_MJD = re.compile(r"(?:MJD ?)?(\d{5})(?:\.(\d+))?", re.ASCII)


def parse_utc(text: str) -> int:
    """Unix ns of an instant written as text, exactly.

    `2026-11-23` (0h UTC), `2026-11-23T06:28:16.5Z` with at most nine decimals, `Z` or an offset such as `+08:00`, or a
    Modified Julian Day, `MJD 61367.25` or `61367`. Raises `DataError` where the text is none of these, is not a whole number of
    ns, or names a leap second: 23:59:60 has no Unix time of its own.
    """
    stripped = text.strip()
    if match := _MJD.fullmatch(stripped):
        return _parse_mjd(match, text)
    match = _ISO.fullmatch(stripped)
    if match is None:
        raise DataError(
            f"{text!r} is no instant; write 2026-11-23, 2026-11-23T06:28:16Z (with Z or an offset) or MJD 61367.25"
        )
    year, month, day = (int(match[group]) for group in (1, 2, 3))
    hour, minute, second = (int(match[group] or 0) for group in (4, 5, 6))
    if not (1 <= month <= 12 and 1 <= day <= _days_in_month(year, month)):
        raise DataError(f"{text!r} names a day that does not exist; check month and day")
    if second == 60:
        raise DataError(f"{text!r} names a leap second, which has no Unix time; give the second before or after it")
    if hour > 23 or minute > 59 or second > 59:
        raise DataError(f"{text!r} names a time of day that does not exist; check hour, minute and second")
    seconds = (_days_from_civil(year, month, day) * 24 + hour) * 3600 + minute * 60 + second - _zone_s(match[8], text)
    return seconds * NS_PER_S + int((match[7] or "").ljust(9, "0"))


def _parse_mjd(match: re.Match[str], text: str) -> int:
    decimals = match[2] or ""
    ns_of_day, rest = divmod(int(decimals or 0) * NS_PER_DAY, 10 ** len(decimals))
    if rest:
        raise DataError(f"{text!r} is not a whole number of nanoseconds; give fewer decimals")
    return mjd_to_unix_ns(int(match[1]), ns_of_day)


def _zone_s(zone: str | None, text: str) -> int:
    """Seconds east of UTC of `Z`, `+08:00`, `-0330`."""
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        raise DataError(f"{text!r} has an offset that does not exist; write it as +08:00")
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def _is_leap_year(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in_month(year: int, month: int) -> int:
    if month == 2 and _is_leap_year(year):
        return 29
    return (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


# Days are counted from 0000-03-01, so that the leap day is the last of its year; 400 years are always 146097 days.
_UNIX_EPOCH_DAY = 719_468
_DAYS_IN_400_YEARS = 146_097


def _days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the proleptic Gregorian calendar."""
    if month < 3:
        year -= 1
    month_from_march = (month - 3) % 12
    day_of_year = (153 * month_from_march + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - _UNIX_EPOCH_DAY


def _civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month and day of the proleptic Gregorian calendar, `days` after 1970-01-01."""
    cycle, day_of_cycle = divmod(days + _UNIX_EPOCH_DAY, _DAYS_IN_400_YEARS)
    year_of_cycle = (day_of_cycle - day_of_cycle // 1460 + day_of_cycle // 36524 - day_of_cycle // 146096) // 365
    day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle // 4 - year_of_cycle // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return cycle * 400 + year_of_cycle + (month < 3), month, day


@dataclass(frozen=True, slots=True)
class LeapRow:
    """From `at_ns` (Unix ns) on, TAI is ahead of UTC by `tai_minus_utc_s`."""

    at_ns: int
    tai_minus_utc_s: int


@dataclass(frozen=True, slots=True)
class Leap:
    """A leap second: UTC has `step_s` seconds more (+1) or fewer (-1) just before `at_ns` (Unix ns, 0h of the next day)."""

    at_ns: int
    step_s: int


@dataclass(frozen=True, slots=True)
class LeapTable:
    """TAI - UTC since 1972. What it says about instants after `expires_ns` is not known to be true: ask `is_expired`."""

    updated_ns: int
    expires_ns: int
    rows: tuple[LeapRow, ...]

    @classmethod
    def parse(cls, text: str, source: str = "leap-seconds.list") -> LeapTable:
        """The table that a leap-seconds.list holds. Raises `DataError`, naming line and remedy, unless its hash is right."""
        return _parse_leap_table(text, source)

    def is_expired(self, at_ns: int) -> bool:
        """Whether at `at_ns` (Unix ns) a leap second could have been announced that this table does not know."""
        return at_ns >= self.expires_ns

    def tai_minus_utc_s(self, at_ns: int) -> int:
        """TAI - UTC in whole seconds at `at_ns` (Unix ns); `DataError` before 1972, when it was no whole number."""
        index = bisect_right(self.rows, at_ns, key=lambda row: row.at_ns)
        if index == 0:
            raise DataError(f"TAI - UTC is not known at {format_utc(at_ns)}; the table begins at {self._begin()}")
        return self.rows[index - 1].tai_minus_utc_s

    def next_leap(self, at_ns: int) -> Leap | None:
        """The first announced leap second after `at_ns` (Unix ns), None where none is announced."""
        index = max(
            bisect_right(self.rows, at_ns, key=lambda row: row.at_ns), 1
        )  # the first row is a beginning, no leap
        if index == len(self.rows):
            return None
        before, after = self.rows[index - 1 : index + 1]
        return Leap(after.at_ns, after.tai_minus_utc_s - before.tai_minus_utc_s)

    def utc_to_tai_ns(self, at_ns: int) -> int:
        """TAI, as ns since 1970-01-01T00:00:00 TAI (the epoch of PTP), of `at_ns` (Unix ns)."""
        return at_ns + self.tai_minus_utc_s(at_ns) * NS_PER_S

    def tai_to_utc_ns(self, tai_ns: int) -> int:
        """Unix ns of a TAI instant: the inverse of `utc_to_tai_ns`.

        As in POSIX, an inserted second (23:59:60) has the Unix time of the second after it, which so comes twice; a Unix
        second that a negative leap removes never comes.
        """
        index = bisect_right(self.rows, tai_ns, key=lambda row: row.at_ns + row.tai_minus_utc_s * NS_PER_S)
        if index == 0:
            raise DataError(f"UTC is not known at {tai_ns} ns of TAI; the table begins at {self._begin()}")
        return tai_ns - self.rows[index - 1].tai_minus_utc_s * NS_PER_S

    def _begin(self) -> str:
        return format_utc(self.rows[0].at_ns)


_NEW_COPY = "get a new copy of leap-seconds.list from IERS or your system's tzdata"
_LEAP_MARKS = {
    "#$": (re.compile(r"\d{1,12}", re.ASCII), "the time of the last update", "one number, NTP seconds"),
    "#@": (re.compile(r"\d{1,12}", re.ASCII), "the expiry", "one number, NTP seconds"),
    "#h": (re.compile(r"[0-9a-fA-F]{1,8}( [0-9a-fA-F]{1,8}){4}", re.ASCII), "the hash", "five hexadecimal words"),
}
_LEAP_ROW = re.compile(r"\s*(\d{1,12})\s+(\d{1,4})\s*(?:#.*)?", re.ASCII)


def _parse_leap_table(text: str, source: str) -> LeapTable:
    """Marked lines `#$` (updated), `#@` (expires), `#h` (SHA-1), other comments, and rows of NTP seconds and TAI - UTC."""
    marked: dict[str, str] = {}
    rows: list[LeapRow] = []
    hashed = hashlib.sha1(
        usedforsecurity=False
    )  # over the digits of updated, expires and the rows, in the file's order
    for number, line in enumerate(text.splitlines(), 1):
        where, mark = f"{source} line {number}", line[:2]
        if mark in _LEAP_MARKS:
            marked[mark] = _leap_mark(line, marked, where)
            if mark != "#h":
                hashed.update(marked[mark].encode())
        elif line.strip() and not line.startswith("#"):
            match = _LEAP_ROW.fullmatch(line)
            if match is None:
                raise DataError(f"{where}: not 'NTP-seconds TAI-UTC'; {_NEW_COPY}")
            rows.append(_leap_row(int(match[1]), int(match[2]), rows, where))
            hashed.update((match[1] + match[2]).encode())
    for mark, (_, meaning, _) in _LEAP_MARKS.items():
        if mark not in marked:
            raise DataError(f"{source}: no line {mark} ({meaning}); {_NEW_COPY}")
    if not rows:
        raise DataError(f"{source}: no row; {_NEW_COPY}")
    # Leading zeros of a word may be missing in the file.
    if "".join(word.rjust(8, "0") for word in marked["#h"].lower().split()) != hashed.hexdigest():
        raise DataError(f"{source}: the hash does not match, the file is damaged or was edited; {_NEW_COPY}")
    return LeapTable(_ntp_s_to_unix_ns(int(marked["#$"])), _ntp_s_to_unix_ns(int(marked["#@"])), tuple(rows))


def _leap_mark(line: str, marked: dict[str, str], where: str) -> str:
    mark, value = line[:2], " ".join(line[2:].split())
    pattern, meaning, form = _LEAP_MARKS[mark]
    if not pattern.fullmatch(value):
        raise DataError(f"{where}: {meaning} is not {form}; {_NEW_COPY}")
    if mark in marked:
        raise DataError(f"{where}: {meaning} comes twice; {_NEW_COPY}")
    return value


def _leap_row(ntp_s: int, tai_minus_utc_s: int, before: list[LeapRow], where: str) -> LeapRow:
    row = LeapRow(_ntp_s_to_unix_ns(ntp_s), tai_minus_utc_s)
    if row.at_ns % NS_PER_DAY:
        raise DataError(f"{where}: {ntp_s} is not the beginning of a day; {_NEW_COPY}")
    if before and row.at_ns <= before[-1].at_ns:
        raise DataError(f"{where}: not later than the row before; {_NEW_COPY}")
    if before and abs(tai_minus_utc_s - before[-1].tai_minus_utc_s) != 1:
        raise DataError(f"{where}: TAI - UTC does not change by one second; {_NEW_COPY}")
    return row


def _ntp_s_to_unix_ns(ntp_s: int) -> int:
    """Whole NTP seconds counted through all eras, as in leap-seconds.list."""
    return (ntp_s - NTP_TO_UNIX_S) * NS_PER_S
