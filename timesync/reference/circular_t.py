"""Circular T and UTCr bulletins of the BIPM as text -> [UTC - UTC(k)] at 0h UTC of each date, ns, as they are printed.

Rule: a row is taken as it is printed or rejected with its line and the reason; nothing is guessed. `-` is an absent value, never 0.
Only section 1 is read: the rows of section 2 look the same and mean TAI - TA(k).

Sources: Circular T and its explanatory supplement (BIPM); UTCr bulletins. Forms that occur: six or seven dates; until 2002 two
pages with the dates repeated, whole ns; early issues without uncertainties; from issue 437 (2024) uB may be `NC` (not
calibrated) and u then `-`. UTCr has daily dates and no uncertainty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from timesync.errors import DataError

__all__ = ["CIRCULAR_T", "UTCR", "Bulletin", "LabRow", "RejectedRow", "issue_of_mjd", "parse_bulletin"]

CIRCULAR_T = "circular_t"
UTCR = "utcr"
# Circular T 437 gives May 2024, and there is one a month.
KNOWN_ISSUE, KNOWN_MONTH = 437, 2024 * 12 + 4
GREATEST_NS = 1e12  # a realisation that is 1000 s off is a mistake of reading

_TITLE = re.compile(r"\bCIRCULAR\s+T\s+(\d{1,4})\b")
_RAPID_TITLE = re.compile(r"\bUTCr[\s_]*(\d{4})\b")
_SECTION = re.compile(r"\s*([1-9])\s*-\s+\S")
_MJD = re.compile(r"\bMJD\b(.*)")
_DATE = re.compile(r"\d{5}")
_U_NAMES = re.compile(r"\bu[AB]?\b")
_ROW = re.compile(r"\s*([A-Z][A-Z0-9]{1,7})\s+\(([^()]{1,60})\)\s+(\S.*)")
_NUMBER = re.compile(r"[-+]?\d{1,12}(?:\.\d{1,6})?", re.ASCII)
_NOTE = re.compile(r"\(\d{1,2}\)")
_REMEDY = "fetch the file again from the BIPM, or import the issue by hand"


@dataclass(frozen=True, slots=True)
class LabRow:
    """One laboratory: `values_ns` stands beside `mjds` of its bulletin, None where nothing is published.

    Uncertainties are k = 1, ns, one of each for the bulletin; None where there is none. `calibrated` is false where uB is `NC`.
    """

    lab: str
    city: str
    mjds: tuple[int, ...]
    values_ns: tuple[float | None, ...]
    u_a_ns: float | None = None
    u_b_ns: float | None = None
    u_ns: float | None = None
    calibrated: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that could not be taken: its line in the file (from 1), and why."""

    line: int
    lab: str
    why: str


@dataclass(frozen=True, slots=True)
class Bulletin:
    """A whole issue: `kind` is CIRCULAR_T or UTCR, `number` as printed (UTCr: year and week, such as 2624)."""

    kind: str
    number: int
    rows: tuple[LabRow, ...]
    rejected: tuple[RejectedRow, ...]

    @property
    def name(self) -> str:
        """As it is cited: "Circular T 437", "UTCr 2624"."""
        return f"Circular T {self.number}" if self.kind == CIRCULAR_T else f"UTCr {self.number:04d}"

    @property
    def mjds(self) -> tuple[int, ...]:
        """All dates, ascending."""
        return tuple(sorted({mjd for row in self.rows for mjd in row.mjds}))


def issue_of_mjd(mjd: int) -> int:
    """The Circular T that gives a date first: that of the date's month. Source: issue 229 is January 2007, 437 May 2024."""
    # Civil date from the day number (Richards 2013, Explanatory Supplement to the Astronomical Almanac, section 15.11.3).
    f = mjd + 2_400_001 + 1401 + (((4 * (mjd + 2_400_001) + 274_277) // 146_097) * 3) // 4 - 38
    e = 4 * f + 3
    h = 5 * ((e % 1461) // 4) + 2
    month = (h // 153 + 2) % 12 + 1
    year = e // 1461 - 4716 + (12 + 2 - month) // 12
    return KNOWN_ISSUE + year * 12 + month - 1 - KNOWN_MONTH


@dataclass(slots=True)
class _Heading:
    """The dates in force, and how many columns of uncertainty follow them."""

    mjds: tuple[int, ...] = ()
    uncertainties: int = 0


def parse_bulletin(text: str, source: str) -> Bulletin:
    """Read a Circular T or a UTCr bulletin. Raises DataError, naming file and line with the remedy, where it is neither."""
    kind, number = _identity(text, source)
    heading = _Heading()
    rows: list[LabRow] = []
    rejected: list[RejectedRow] = []
    inside = kind == UTCR
    for line_number, line in enumerate(text.splitlines(), 1):
        section = _SECTION.match(line)
        if section is not None and kind == CIRCULAR_T:
            if inside and section[1] != "1":
                break
            inside = section[1] == "1"
        if not inside:
            continue
        if _MJD.search(line):
            _take_dates(heading, line, kind, f"{source} line {line_number}")
        elif not rows and "uncertaint" not in line.lower() and _is_u_line(line):
            heading.uncertainties = len(_U_NAMES.findall(line))
        row = _ROW.fullmatch(line.rstrip())
        if row is not None and heading.mjds:
            taken = _row(row, heading, line_number)
            (rows if isinstance(taken, LabRow) else rejected).append(taken)  # type: ignore[arg-type]  # each to its list
    if not heading.mjds:
        raise DataError(f"{source}: no line of dates (MJD) in section 1; {_REMEDY}")
    if not rows:
        raise DataError(f"{source}: no row of section 1 can be taken, {len(rejected)} are rejected; {_REMEDY}")
    return Bulletin(kind, number, tuple(rows), tuple(rejected))


def _identity(text: str, source: str) -> tuple[str, int]:
    title = _TITLE.search(text)
    if title is not None:
        return CIRCULAR_T, int(title[1])
    title = _RAPID_TITLE.search(text)
    if title is not None:
        return UTCR, int(title[1])
    raise DataError(f"{source}: neither a Circular T nor a UTCr bulletin, its title is missing; {_REMEDY}")


def _is_u_line(line: str) -> bool:
    """Whether a line of the heading has nothing but the names of the uncertainties."""
    words = line.split()
    return bool(words) and all(_U_NAMES.fullmatch(word) for word in words)


def _take_dates(heading: _Heading, line: str, kind: str, where: str) -> None:
    found = _MJD.search(line)
    assert found is not None
    mjds = tuple(int(word) for word in _DATE.findall(found[1]))
    if not mjds:
        return  # "MJD" in a sentence
    if list(mjds) != sorted(set(mjds)):
        _bad(where, "the dates (MJD) do not ascend")
    if kind == CIRCULAR_T and any(mjd % 5 != 4 for mjd in mjds):
        _bad(where, "a date (MJD) of Circular T does not end in 4 or 9")
    names = len(_U_NAMES.findall(found[1]))
    heading.mjds = mjds
    heading.uncertainties = names or heading.uncertainties


def _bad(where: str, what: str) -> NoReturn:
    raise DataError(f"{where}: {what}; {_REMEDY}")


def _row(match: re.Match[str], heading: _Heading, line: int) -> LabRow | RejectedRow:
    lab, city, rest = match[1], match[2], match[3].split()
    note = rest.pop() if rest and _NOTE.fullmatch(rest[-1]) else ""
    wanted = len(heading.mjds) + heading.uncertainties
    if len(rest) != wanted:
        why = (
            f"{len(rest)} columns where {len(heading.mjds)} dates and {heading.uncertainties} uncertainties are wanted"
        )
        return RejectedRow(line, lab, why)
    split = len(heading.mjds)
    bad = [word for word in rest[:split] if not _is_value(word)]
    bad += [word for word in rest[split:] if word != "NC" and not _is_value(word)]
    if bad:
        return RejectedRow(line, lab, f"{bad[0][:20]!r} is no number of ns")
    values = tuple(_number(word) for word in rest[:split])
    u_words = rest[split:]
    u = [None if word == "NC" else _number(word) for word in u_words]
    if any(each is not None and each < 0 for each in u):
        return RejectedRow(line, lab, "an uncertainty is negative")
    if any(value is not None and abs(value) > GREATEST_NS for value in values):
        return RejectedRow(line, lab, "a value is beyond 1000 s")
    u_a, u_b, total = (None, None, u[0]) if len(u) == 1 else (*u, None, None, None)[:3]
    return LabRow(lab, city.strip(), heading.mjds, values, u_a, u_b, total, "NC" not in u_words, note.strip("()"))


def _is_value(word: str) -> bool:
    return word == "-" or _NUMBER.fullmatch(word) is not None


def _number(word: str) -> float | None:
    return None if word == "-" else float(word)
