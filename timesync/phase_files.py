"""Reading phase and frequency data: text of one or two columns, CSV, Stable32 files, gzip, standard input.

Rule: every line of the data is a value, a named gap (nan, an empty cell) or an error that names file, line and column;
nothing is skipped and nothing is guessed. Values come out in seconds (phase) or as they are (frequency), instants in ns.
The only exception raised on account of what a file holds is DataError.
"""

from __future__ import annotations

import gzip
import io
import math
import warnings
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from timesync.errors import DataError
from timesync.phase_layout import MISSING, NUMBER, TIME_UNITS, Choice, Layout, find_layout, is_comment, split
from timesync.timescale import mjd_to_unix_ns, parse_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from timesync.stability.result import Floats, Integers, Kind

__all__ = ["Choice", "PhaseFile", "read_phase"]

BLOCK = 65_536  # lines
HEADER = 2_000  # lines within which the data must begin
LONGEST_LINE = 100_000  # characters
AMBIGUOUS = (40_000.0, 80_000.0)  # numbers that are an MJD of 1968 to 2077, or a number of seconds
_LIMIT_NS = 2.0**62
_MJD_ZERO_NS = mjd_to_unix_ns(0)


@dataclass(frozen=True, slots=True, eq=False)
class PhaseFile:
    """What a file holds.

    source    its name in messages
    values    shape (points,), NaN for a missing one: phase in s, or frequency as it stands
    at_ns     instants, shape (points,), strictly increasing, of the Unix epoch or of the file's own; None: no times
    column    name of the column of the values
    kind      what the file says its values are, None where it does not
    tau0_s    sampling interval that its header states, None where it does not
    notes     what a reader of the results should know
    """

    source: str
    values: Floats
    at_ns: Integers | None
    column: str
    kind: Kind | None
    tau0_s: float | None
    notes: tuple[str, ...]


def read_phase(
    stream: BinaryIO,
    source: str,
    choice: Choice | None = None,
    *,
    scale: float = 1.0,
    missing: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> PhaseFile:
    """Read a stream of bytes, compressed with gzip or not.

    choice     columns and unit of time, where the file does not say
    scale      factor on the values (1e-9: they are in ns), on top of a unit in the column's name
    missing    a number that stands for a missing value (Stable32 writes 0 for a gap in frequency)
    progress   hears of the lines read so far, on a long file

    Raises DataError for everything that is wrong with the content, OSError where the stream itself fails.
    """
    reader = _Reader(source, choice or Choice())
    try:
        for count, lines in enumerate(_blocks(stream)):
            reader.take(lines)
            if progress is not None and count:
                progress(f"{source}: {reader.line:,} lines")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{source}: after line {reader.line}: damaged gzip ({error}); get the file again") from error
    except UnicodeError as error:
        raise DataError(
            f"{source}: after line {reader.line}: not text ({error}); export the data as plain text"
        ) from error
    return reader.result(scale=scale, missing=missing)


def _blocks(stream: BinaryIO) -> Iterator[list[str]]:
    """Lines in blocks; the first block also where there is none, so that an empty file is told as such."""
    buffered = io.BufferedReader(_Raw(stream))
    start = buffered.peek(2)[:2]
    plain: BinaryIO = gzip.GzipFile(fileobj=buffered) if start == b"\x1f\x8b" else buffered  # type: ignore[assignment] # both are binary streams, by another name
    encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # A header may be in any 8-bit code; the data are ASCII in all of them, so that what is not is told where it stands.
    errors = "strict" if encoding == "utf-16" else "replace"
    text = io.TextIOWrapper(plain, encoding=encoding, errors=errors)
    try:
        lines = iter(lambda: text.readline(LONGEST_LINE), "")
        yield list(islice(lines, BLOCK))
        while block := list(islice(lines, BLOCK)):
            yield block
    finally:
        text.detach()  # the stream is the caller's to close


class _Raw(io.RawIOBase):
    """A stream of bytes that is left open when what reads from it is done."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # the buffers that io passes are these
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Reader:
    """Takes blocks of lines, keeps columns of numbers."""

    def __init__(self, source: str, choice: Choice) -> None:
        self.line = 0  # lines taken
        self._source = source
        self._choice = choice
        self._layout: Layout | None = None
        self._values: list[Floats] = []
        self._times: list[Floats | Integers] = []
        self._lines: list[Integers] = []

    def take(self, lines: Sequence[str]) -> None:
        """The next lines of the file."""
        for offset, line in enumerate(lines):
            if len(line) >= LONGEST_LINE:
                raise DataError(
                    f"{self._source}:{self.line + offset + 1}: longer than {LONGEST_LINE} characters; no table"
                )
        first = self.line + 1
        if self._layout is None:
            try:
                self._layout = find_layout(lines[:HEADER], self._source, self._choice)
            except DataError as error:
                # What the layout says has the file's name already, unless it is a cell's own complaint.
                raise error if str(error).startswith(self._source) else DataError(f"{self._source}: {error}") from None
            lines = lines[self._layout.first_line - 1 :]
            first = self._layout.first_line
        self.line = first + len(lines) - 1
        if not self._quickly(lines, first, self._layout):
            self._line_by_line(lines, first, self._layout)

    def _quickly(self, lines: Sequence[str], first: int, layout: Layout) -> bool:
        """Numbers only, one a cell, no comment: numpy's own parser. False: nothing was kept, look at each line."""
        if layout.time_unit == "utc" or not lines or not lines[0].strip():
            return False
        mark = layout.separator
        if mark is not None and sum(line.count(mark) for line in lines) != (layout.width - 1) * len(lines):
            return False
        columns = [layout.value] if layout.time is None else [layout.time, layout.value]
        types = [("value", "f8")]
        if layout.time is not None:
            types.insert(0, ("time", "i8" if layout.time_unit == "ns" else "f8"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                table = np.loadtxt(
                    lines,
                    dtype=types,
                    comments=None,
                    delimiter=mark,
                    usecols=columns if layout.named or layout.width > 2 else None,
                    quotechar='"' if mark is not None else None,
                    ndmin=1,
                )
        except (ValueError, OverflowError, Warning):
            return False
        if table.shape != (len(lines),) or np.isinf(table["value"]).any():
            return False
        if layout.time is not None and not np.isfinite(table["time"]).all():
            return False
        self._values.append(np.ascontiguousarray(table["value"]))
        self._lines.append(np.arange(first, first + len(lines)))
        if layout.time is not None:
            self._times.append(np.ascontiguousarray(table["time"]))
        return True

    def _line_by_line(self, lines: Sequence[str], first: int, layout: Layout) -> None:
        values: list[float] = []
        times: list[float | int] = []
        numbers: list[int] = []
        for number, line in enumerate(lines, start=first):
            if is_comment(line):
                continue
            try:
                cells = split(line, layout.separator)
            except DataError as error:
                raise DataError(f"{self._source}:{number}: {error}") from None
            if len(cells) != layout.width:
                raise DataError(
                    f"{self._source}:{number}: {_columns(len(cells))} where the first line of data (line "
                    f"{layout.first_line}) has {layout.width}"
                )
            values.append(self._value(cells[layout.value], number, layout.value))
            if layout.time is not None:
                times.append(self._time(cells[layout.time], number, layout.time, layout.time_unit))
            numbers.append(number)
        self._values.append(np.array(values, dtype=np.float64))
        self._lines.append(np.array(numbers, dtype=np.int64))
        if layout.time is not None:
            whole = layout.time_unit in ("ns", "utc")
            self._times.append(np.array(times, dtype=np.int64) if whole else np.array(times, dtype=np.float64))

    def _value(self, cell: str, line: int, column: int) -> float:
        if cell.lower() in MISSING:
            return math.nan
        value = _number(cell)
        if value is None:
            raise self._wrong(line, column, f"{_shown(cell)} is not a number{_hint(cell)}")
        if math.isinf(value):
            raise self._wrong(
                line, column, f"{_shown(cell)} is beyond the range of numbers; write nan for a missing value"
            )
        return value

    def _time(self, cell: str, line: int, column: int, unit: str | None) -> float | int:
        if unit == "utc":
            try:
                at_ns = parse_utc(cell)
            except DataError as error:
                raise self._wrong(line, column, str(error)) from None
        elif unit == "ns" and cell.lstrip("+-").isdecimal() and cell.isascii() and len(cell) < 21:
            at_ns = int(cell)
        else:
            value = _number(cell)
            if value is None or math.isinf(value):
                raise self._wrong(line, column, f"{_shown(cell)} is not a time in numbers; see --time-unit")
            if unit != "ns":
                return value
            at_ns = round(value)
        if abs(at_ns) > _LIMIT_NS:
            raise self._wrong(line, column, f"{_shown(cell)} is farther than 146 years from the epoch; see --time-unit")
        return at_ns

    def _wrong(self, line: int, column: int, what: str) -> DataError:
        return DataError(f"{self._source}:{line}: column {column + 1}: {what}")

    def result(self, *, scale: float, missing: float | None) -> PhaseFile:
        """All that was taken."""
        layout = self._layout
        assert layout is not None  # the first block, an empty one too, has set it or raised
        values = np.concatenate(self._values)
        notes: list[str] = []
        if missing is not None:
            gaps = values == missing
            values[gaps] = np.nan
            notes.append(f"{np.count_nonzero(gaps)} values of {missing:g} taken as missing")
        factor = scale * layout.scale
        if factor != 1.0:
            values *= factor
            if np.isinf(values).any():
                raise DataError(f"{self._source}: values times {factor:g} are beyond the range of numbers; see --scale")
        if layout.facts.points is not None and layout.facts.points != values.size:
            notes.append(f"the header says {layout.facts.points} points, the file has {values.size}")
        if layout.first_line > 1 + layout.named:
            notes.append(f"the data begin at line {layout.first_line}")
        return PhaseFile(
            source=self._source,
            values=values,
            at_ns=self._instants(layout) if layout.time is not None else None,
            column=layout.name,
            kind=layout.facts.kind or layout.kind,
            tau0_s=layout.facts.tau0_s,
            notes=tuple(notes),
        )

    def _instants(self, layout: Layout) -> Integers:
        times, lines = np.concatenate(self._times), np.concatenate(self._lines)
        unit = layout.time_unit or "s"
        if layout.time_unit is None and times.size and AMBIGUOUS[0] <= times.min() and times.max() < AMBIGUOUS[1]:
            raise DataError(
                f"{self._source}: times from {times[0]:g} to {times[-1]:g} may be MJD or seconds; give --time-unit mjd or s"
            )
        if times.dtype == np.int64:
            at_ns: Integers = times.astype(np.int64)
        else:
            with np.errstate(over="ignore"):  # what overflows is told below
                ns = times * TIME_UNITS[unit] + (_MJD_ZERO_NS if unit == "mjd" else 0)
            beyond = np.flatnonzero(~(np.abs(ns) <= _LIMIT_NS))
            if beyond.size:
                where = int(beyond[0])
                raise self._wrong(
                    int(lines[where]),
                    layout.time or 0,
                    f"{times[where]:g} {unit} is farther than 146 years from the epoch; see --time-unit",
                )
            at_ns = np.rint(ns).astype(np.int64)
        back = np.flatnonzero(at_ns[1:] <= at_ns[:-1])
        if back.size:
            where = int(back[0]) + 1
            raise self._wrong(
                int(lines[where]),
                layout.time or 0,
                f"this time is not later than that of line {lines[where - 1]}; sort by time, each instant once",
            )
        return at_ns


def _number(cell: str) -> float | None:
    """A decimal number, Fortran's exponent D included."""
    if NUMBER.fullmatch(cell) is None:
        return None
    return float(cell.replace("d", "e").replace("D", "e"))


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def _columns(count: int) -> str:
    return f"{count} column{'s' if count != 1 else ''}"


def _hint(cell: str) -> str:
    """What may have been meant."""
    if NUMBER.fullmatch(cell.replace(",", ".")):
        return "; write a decimal point"
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        return "; write nan for a missing value"
    return ""
