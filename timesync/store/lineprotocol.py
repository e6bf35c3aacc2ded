"""Record -> one line of InfluxDB line protocol, with nanosecond timestamps.

Rule: a line means exactly the record, or there is no line: what the format cannot say (a name with a line break or an
unclear backslash, a number that is not finite or does not fit 64 bits) raises, with the reason. Tags are sorted by name;
an empty tag is left out, since InfluxDB holds an empty and an absent tag to be the same. Pure.
Source: InfluxData, "Line protocol" reference: elements, data types, special characters.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from timesync.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.model import FieldValue, Record

    Values = tuple[FieldValue, ...]

__all__ = ["LineProtocolError", "encode"]

_NAME = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_MEASUREMENT = str.maketrans({",": r"\,", " ": r"\ "})
_TEXT = str.maketrans({'"': r"\"", "\\": r"\\"})
_UNCLEAR = re.compile(r"\\(?:[,= \"\\]|$)")  # 1.6 reads it one way in a tag and another in a field name, 3 Core a third
_INTEGERS = 2**63
_MARKS = ((float, "%s"), (int, "%si"), (str, '"%s"'), (bool, "%s"))
_MOST_CACHED = 10_000
_LONGEST_CACHED = 100


class LineProtocolError(StoreError):
    """A record that line protocol cannot express; says what of it and why."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to write all records with the same field names and types: which fields go where in a template.

    Field order means nothing in line protocol, so the numbers come first: orjson writes them all in one go.
    """

    template: str
    floats: Callable[[Values], Sequence[float]]
    integers: Callable[[Values], Sequence[int]]
    texts: Callable[[Values], Sequence[str]]
    booleans: Callable[[Values], Sequence[bool]]


_SERIES: dict[tuple[object, ...], str] = {}
_PLANS: dict[tuple[object, ...], _Plan] = {}


def encode(record: Record) -> str:
    """The line of a record, without a line break at its end. Raises `LineProtocolError`."""
    tags, fields = record.tags, record.fields
    key = (record.measurement, *tags, *tags.values())
    series = _SERIES.get(key)
    if series is None:
        series = _remembered(_SERIES, key, _series(record.measurement, tags))
    values = tuple(fields.values())
    shape = (*fields, *map(type, values))
    plan = _PLANS.get(shape)
    if plan is None:
        plan = _remembered(_PLANS, shape, _plan(fields))
    integers = plan.integers(values)
    try:
        numbers = orjson.dumps((*plan.floats(values), *integers), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()
    except TypeError as error:  # orjson goes from -2^63 to 2^64 - 1
        raise LineProtocolError(f"{record.measurement}: {error}") from error
    if "n" in numbers:  # null: what JSON makes of a float that is not finite
        raise LineProtocolError(_not_finite(record))
    if (integers and max(integers) >= _INTEGERS) or abs(record.at_ns) >= _INTEGERS:
        raise LineProtocolError(f"{record.measurement}: an integer of {(record.at_ns, *integers)} exceeds 64-bit range")
    texts = [_TEXTS[value] for value in plan.texts(values)]
    booleans = ["true" if value else "false" for value in plan.booleans(values)]
    split = numbers.split(",") if numbers else ()
    return f"{series} {plan.template % (*split, *texts, *booleans)} {record.at_ns}"


_T = TypeVar("_T")


def _remembered(cache: dict[tuple[object, ...], _T], key: tuple[object, ...], made: _T) -> _T:
    if len(cache) >= _MOST_CACHED:
        cache.clear()
    cache[key] = made
    return made


def _plan(fields: Mapping[str, FieldValue]) -> _Plan:
    if not fields:
        raise LineProtocolError("a record without fields cannot be written")
    if "time" in fields:  # InfluxDB 1.x takes such a field and silently stores nothing of it
        raise LineProtocolError("the name 'time' of a field is reserved for the instant")
    places: dict[type, list[int]] = {float: [], int: [], str: [], bool: []}
    for place, (name, value) in enumerate(fields.items()):
        for base in (bool, int, float, str):  # bool first: it is an int, too
            if isinstance(value, base):
                places[base].append(place)
                break
        else:
            raise LineProtocolError(
                f"field {name!r} is a {type(value).__name__}, not a number, a text or a truth value"
            )
    names = [_name(name, _NAME, "field name").replace("%", "%%") for name in fields]
    template = ",".join(f"{names[place]}={mark}" for base, mark in _MARKS for place in places[base])
    return _Plan(template, *(_picker(places[base]) for base, _ in _MARKS))


def _picker(places: Sequence[int]) -> Callable[[Values], Any]:
    """What takes the values at these places out of a tuple, as a tuple; `itemgetter` alone does so only from two on."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])


def _series(measurement: str, tags: Mapping[str, str]) -> str:
    if measurement.startswith("#"):
        raise LineProtocolError(f"measurement {measurement!r}: a line that begins with # is a comment")
    if measurement[:1] in {"\t", "\0"}:
        raise LineProtocolError(f"measurement {measurement!r}: white space at the beginning of a line is not kept")
    if "time" in tags:
        raise LineProtocolError(f"{measurement}: the name 'time' of a tag is reserved for the instant")
    parts = [_name(measurement, _MEASUREMENT, "measurement")]
    for name, value in sorted(tags.items()):
        if value:
            parts.append(f"{_name(name, _NAME, 'tag name')}={_name(value, _NAME, f'tag {name}')}")
    return ",".join(parts)


def _name(name: str, escapes: dict[int, str], what: str) -> str:
    if not name:
        raise LineProtocolError(f"{what} is empty")
    if _UNCLEAR.search(name):
        raise LineProtocolError(
            f"{what} {name!r} has a backslash at its end or before one of , = \\ space quote: servers differ"
        )
    if "\n" in name:
        raise LineProtocolError(f"{what} {name!r} holds a line break")
    _check_characters(name, what)
    return name.translate(escapes)


def _check_characters(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LineProtocolError(f"{what} {text!r} is not Unicode text: {error.reason}") from error


def _not_finite(record: Record) -> str:
    for name, value in record.fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            return f"{record.measurement}: field {name!r} is {value}: leave an absent value out, with a reason"
    return f"{record.measurement}: a field is not a finite number"


class _Texts(dict[str, str]):
    """Texts as they are written, made once: modes, addresses and reasons come again and again."""

    def __missing__(self, value: str) -> str:
        if not value.isascii():
            _check_characters(value, "a text")
        written = value.translate(_TEXT) if '"' in value or "\\" in value else value
        if len(value) <= _LONGEST_CACHED:
            if len(self) >= _MOST_CACHED:
                self.clear()
            self[value] = written
        return written


_TEXTS = _Texts()
