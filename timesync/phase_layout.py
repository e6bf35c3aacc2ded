"""What a file of phase or frequency data says of itself before its first value: header, separator, columns, units.

Rule: what a header states is taken (type, sampling interval, names, units); what nobody states and the numbers cannot tell
(a Modified Julian Day, or a number of seconds?) is asked for, not guessed. Comments begin with # % ! or //.

A Stable32 header is lines of text before the data, among them "Type: Phase" or "Type: Frequency", "Points: N" and "Tau: S".
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from timesync.errors import DataError
from timesync.timescale import parse_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "MISSING",
    "NUMBER",
    "TIME_UNITS",
    "UNITS_S",
    "Choice",
    "Facts",
    "Layout",
    "find_layout",
    "is_comment",
    "split",
]

Kind = Literal["phase", "frequency"]

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?", re.ASCII)
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-"})
COMMENT = ("#", "%", "!", "//")
SEPARATORS = (";", "\t", ",")  # a semicolon first: beside it a comma may be a decimal sign, which is then told

UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "\N{MICRO SIGN}s": 1e-6, "ns": 1e-9, "ps": 1e-12, "fs": 1e-15}
TIME_UNITS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0, "h": 3.6e12, "d": 8.64e13, "mjd": 8.64e13, "utc": 1.0}
"""Units of a time column, in ns; "mjd" counts from 1858-11-17, "utc" is an instant as text (ISO 8601)."""

_UNIT = re.compile(r"^(.*?)(?:_|\s*[\[(]\s*)(s|ms|us|\N{MICRO SIGN}s|ns|ps|fs|h|d)[\])]?$", re.IGNORECASE)
_TIMES = {
    "at": "ns",
    "time": None,
    "t": None,
    "epoch": None,
    "mjd": "mjd",
    "time_utc": "utc",
    "utc": "utc",
    "timestamp": None,
}
_VALUES: dict[str, Kind] = {
    **dict.fromkeys(("time_error", "x", "phase", "tie", "te", "offset", "time_difference"), "phase"),
    **dict.fromkeys(("y", "frequency", "freq", "fractional_frequency", "ffd"), "frequency"),
}
_FACT = re.compile(r"^\W*(type|data type|tau0?|points|data points|# points)\s*[:=]\s*(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user says of the columns: names, or numbers from 1; None leaves it to the file."""

    column: str | None = None
    time_column: str | None = None
    time_unit: str | None = None


@dataclass(slots=True)
class Facts:
    """What a header states."""

    kind: Kind | None = None
    tau0_s: float | None = None
    points: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the data begin (line number, from 1), and which columns (from 0) hold them.

    separator   None for white space
    width       columns of every line
    scale       seconds a unit of a phase column; 1.0 where none is named
    time_unit   None where no unit is known yet: the numbers decide, or the user does
    """

    first_line: int
    separator: str | None
    width: int
    value: int
    time: int | None
    name: str
    kind: Kind | None
    scale: float
    time_unit: str | None
    named: bool
    facts: Facts = field(default_factory=Facts)


def is_comment(line: str) -> bool:
    """Whether a line holds no data: empty, or a comment."""
    stripped = line.strip()
    return not stripped or stripped.startswith(COMMENT)


def split(line: str, separator: str | None) -> list[str]:
    """The cells of a line, without the space around them. Quoted cells may hold the separator, not the line's end."""
    if separator is None:
        return line.split()
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except (csv.Error, StopIteration) as error:
        raise DataError(f"a quoted cell that cannot be read ({error})") from error


def find_layout(lines: Sequence[str], source: str, choice: Choice) -> Layout:
    """The layout of a file from its first lines. Raises DataError where there is no data or no one way to read them."""
    facts = Facts()
    header: list[tuple[str, bool]] = []
    for index, line in enumerate(lines):
        text = line.strip()
        if not text:
            continue
        comment = is_comment(line)
        separator = None if comment else _separator(text)
        if not comment and _is_data(text, separator, header):
            for earlier, _ in header:
                _note_fact(earlier, facts)
            names = _names(header, separator, len(split(text, separator)))
            return _chosen(index + 1, separator, names, split(text, separator), facts, source=source, choice=choice)
        header.append((text, comment))
    if not header:
        raise DataError(f"{source}: empty; one value a line is needed, or a time and a value")
    raise _no_data(lines, source)


def _no_data(lines: Sequence[str], source: str) -> DataError:
    """Why there is no line of data: the last line that might have been one, and its first cell that is no value."""
    found = [(number, line.strip()) for number, line in enumerate(lines, start=1) if not is_comment(line)]
    if not found:
        return DataError(f"{source}: nothing but comments in the first {len(lines)} lines; values are needed")
    number, text = found[-1]
    cells = list(enumerate(split(text, _separator(text)), start=1))
    column, cell = next(((place, cell) for place, cell in cells if not _is_value(cell)), cells[0])
    hint = "; write a decimal point" if _is_value(cell.replace(",", ".")) else ""
    shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
    return DataError(f"{source}:{number}: column {column}: {shown} is not a number{hint}; no line of data was found")


def _separator(text: str) -> str | None:
    return next((mark for mark in SEPARATORS if mark in text), None)


def _is_value(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None


def _is_instant(text: str) -> bool:
    try:
        parse_utc(text)
    except DataError:
        return False
    return True


def _is_data(text: str, separator: str | None, header: Sequence[tuple[str, bool]]) -> bool:
    """Whether a line is the first of the data: it begins with a number or an instant, or it fits the names above it."""
    cells = split(text, separator)
    if all(_is_value(cell) or cell.lower() in MISSING or _is_instant(cell) for cell in cells):
        return True
    if separator is None:
        return (_is_value(cells[0]) or _is_instant(cells[0])) and len(cells) > 1 and _is_value(cells[1])
    above = header[-1] if header else None
    if above is None or above[1] or len(split(above[0], separator)) != len(cells):
        return False
    return any(_is_value(cell) or _is_instant(cell) for cell in cells)


def _note_fact(text: str, facts: Facts) -> None:
    match = _FACT.match(text)
    if match is None:
        return
    key, value = match[1].lower(), match[2].rstrip(",;")
    if key.endswith("type"):
        facts.kind = next((kind for kind in ("phase", "frequency") if kind.startswith(value.lower()[:4])), facts.kind)
    elif _is_value(value):
        number = float(value.replace("D", "E").replace("d", "e"))
        if key.startswith("tau"):
            facts.tau0_s = number if math.isfinite(number) and number > 0 else None
        else:
            facts.points = int(number) if math.isfinite(number) and number >= 0 else None


def _names(header: Sequence[tuple[str, bool]], separator: str | None, width: int) -> list[str] | None:
    """The names of the columns: the line above the data, where it has as many cells; of a comment only known names count."""
    if not header:
        return None
    text, comment = header[-1]
    if comment:
        text = text.lstrip("#%!/ \t")
    names = split(text, separator)
    if len(names) != width:
        return None
    if comment or separator is None:
        known = [_time_unit(name)[0] or _value_kind(name) is not None for name in names]
        return names if all(known) else None
    return names


def _parts(name: str) -> tuple[str, str | None]:
    """A name and the unit it ends with: "x_ns", "phase [us]", "offset (s)"."""
    match = _UNIT.match(name.strip())
    return (match[1].strip().lower(), match[2].lower()) if match else (name.strip().lower(), None)


def _time_unit(name: str) -> tuple[bool, str | None]:
    """Whether a name is one of time, and its unit."""
    whole = name.strip().lower()
    if whole in _TIMES:
        return True, _TIMES[whole]
    base, unit = _parts(name)
    return (True, unit) if base in _TIMES and unit in TIME_UNITS else (False, None)


def _value_kind(name: str) -> Kind | None:
    return _VALUES.get(_parts(name)[0].replace(" ", "_"))


def _chosen(
    first_line: int,
    separator: str | None,
    names: list[str] | None,
    cells: Sequence[str],
    facts: Facts,
    *,
    source: str,
    choice: Choice,
) -> Layout:
    width = len(cells)
    labels = names or [f"column {index + 1}" for index in range(width)]
    value = _value_column(choice, names, cells, source)
    time = _time_column(choice, names, cells, value, source)
    kind = _value_kind(labels[value]) if names else None
    unit = _parts(labels[value])[1] if names else None
    time_unit = choice.time_unit
    if time is not None and time_unit is None:
        known, time_unit = _time_unit(labels[time]) if names else (False, None)
        if not known and names:
            time_unit = _parts(labels[time])[1]
        if time_unit is None and not _is_value(cells[time]):
            time_unit = "utc"
    return Layout(
        first_line=first_line,
        separator=separator,
        width=width,
        value=value,
        time=time,
        name=labels[value],
        kind=kind,
        scale=UNITS_S.get(unit, 1.0) if unit and kind != "frequency" else 1.0,
        time_unit=time_unit,
        named=names is not None,
        facts=facts,
    )


def _place(wanted: str, names: list[str] | None, width: int, source: str) -> int:
    """The column that a user names, by name or by number from 1."""
    if names is not None and wanted in names:
        return names.index(wanted)
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 6 and 1 <= int(wanted) <= width:
        return int(wanted) - 1
    there = f"it has {_listed(names)}" if names is not None else f"it has {width} without names; give a number"
    raise DataError(f"{source}: there is no column {wanted!r}; {there}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _value_column(choice: Choice, names: list[str] | None, cells: Sequence[str], source: str) -> int:
    width = len(cells)
    if choice.column is not None:
        return _place(choice.column, names, width, source)
    if names is None:
        if width <= 2:
            return width - 1
        raise DataError(
            f"{source}: {width} columns; say which holds the values with --column (and times: --time-column)"
        )
    if "time_error_s" in names:  # our own export has offset_s beside it
        return names.index("time_error_s")
    known = [index for index, name in enumerate(names) if _value_kind(name) is not None]
    others = [index for index, name in enumerate(names) if not _time_unit(name)[0] and _is_value(cells[index])]
    for candidates in (known, others):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            break
    raise DataError(f"{source}: say which column holds the values with --column; it has {_listed(names)}")


def _time_column(choice: Choice, names: list[str] | None, cells: Sequence[str], value: int, source: str) -> int | None:
    if choice.time_column is not None:
        if choice.time_column == "none":
            return None
        place = _place(choice.time_column, names, len(cells), source)
        if place == value:
            raise DataError(f"{source}: column {choice.time_column!r} cannot hold both times and values")
        return place
    if names is not None:
        times = [index for index, name in enumerate(names) if _time_unit(name)[0] and index != value]
        exact = [index for index in times if _time_unit(names[index])[1] is not None]
        whole = [index for index in times if _time_unit(names[index])[1] == "ns"]
        return next(iter((*whole, *exact, *times)), None)
    return 0 if len(cells) == 2 and value == 1 else None
