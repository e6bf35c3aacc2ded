"""One TOML value to one setting: types, limits, choices, units.

Rule: a reader takes a key of the table, the value from the file and where files are looked for, and gives the setting's value or
raises `BadValueError` with what is wrong and the remedy. Whatever TOML can say, nothing else is raised.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from timesync.config.files import directory_fault, file_fault, secret_fault
from timesync.config.schema import Key, Type
from timesync.config.wording import closest, joined, number_text, printable, shown, type_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from timesync.config.files import Places

__all__ = ["BadValueError", "read_value"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
UTC_K = re.compile(r"UTC\([A-Z][A-Z0-9]{0,9}\)\Z")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*\Z")

BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS = 1_000_000_000
DAY_NS = 86_400 * NS
YEARS = range(1972, 2200)  # from the first leap second to well within 64-bit nanoseconds


class BadValueError(Exception):
    """A value that cannot be used: what is wrong with it, and the remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def read_value(key: Key, value: object, places: Places) -> object:
    """The setting's value. Relative paths start at `places`. Raises `BadValueError`."""
    return READERS[key.type](key, value, places)


def _wrong_type(key: Key, value: object, article: str = "") -> BadValueError:
    wanted = article or key.type.value
    is_what = shown(value) if isinstance(value, list | dict) else f"{shown(value)} is {type_of(value)}"
    return BadValueError(f"{is_what}; {wanted} is wanted", _for_example(key))


def _for_example(key: Key) -> str:
    return f"Write for example {key.name} = {key.example}"


def _text(key: Key, value: object, _places: Places) -> str:
    if not isinstance(value, str):
        raise _wrong_type(key, value, "text (in quotes)")
    if not value.strip():
        raise BadValueError("the text is empty", _for_example(key))
    if not value.isprintable():
        raise BadValueError(f"{shown(value)} holds characters that do not print", "Remove them")
    return value


def _name(key: Key, value: object, places: Places) -> str:
    text = _text(key, value, places)
    if NAME.match(text):
        return text
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64]
    advice = f'{key.name} = "{plain}"' if plain else f"{key.name} = {key.example}"
    raise BadValueError(
        f"{shown(text)} cannot be a tag and a label everywhere",
        f"Use up to 64 letters, digits, dots, underscores and hyphens, beginning with a letter or digit: {advice}",
    )


def _utc_k(key: Key, value: object, places: Places) -> str:
    return utc_k_name(_text(key, value, places), f"{key.name} = ", key.example)


def utc_k_name(text: str, assignment: str, example: str) -> str:
    """The name of a UTC(k), such as UTC(NIM). Raises `BadValueError`.

    `assignment` is what stands before the name where it is written, `example` a name for it.
    """
    if UTC_K.match(text):
        return text
    inner = re.fullmatch(r"\s*(?:UTC)?\s*\(?\s*([A-Za-z][A-Za-z0-9]{0,9})\s*\)?\s*", text)
    code = inner.group(1).upper() if inner and inner.group(1).upper() not in {"UTC", "K"} else None
    advice = f'{assignment}"UTC({code})"' if code else f"{assignment}{example}"
    raise BadValueError(
        f"{shown(text)} is not the name of a UTC(k)",
        f"Write UTC and the laboratory's code in Circular T, in brackets: {advice}",
    )


def _number(key: Key, value: object, _places: Places) -> float:
    return float(_within(key, _numeric(key, value)))


def _numbers(key: Key, value: object, places: Places) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise _wrong_type(key, value)
    if not value:
        raise BadValueError("the list is empty", _for_example(key))
    numbers = tuple(_number(key, each, places) for each in value)
    twice = next((each for each in numbers if numbers.count(each) > 1), None)
    if twice is not None:
        raise BadValueError(f"{shown(twice)} is in the list twice", "Remove one of them")
    return numbers


def _integer(key: Key, value: object, _places: Places) -> int:
    number = _within(key, _numeric(key, value))
    if isinstance(number, float):
        advice = f"Write {key.name} = {int(number)}" if number.is_integer() else _for_example(key)
        raise BadValueError(f"{shown(value)} is not a whole number", advice)
    return number


def _numeric(key: Key, value: object) -> int | float:
    if isinstance(value, str):
        raise BadValueError(f"{shown(value)} is text; {key.type.value} is wanted", _without_quotes(key, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(key, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValueError(f"{shown(value)} is not a finite number", _for_example(key))
    return value


def _without_quotes(key: Key, text: str) -> str:
    """The remedy for a number in quotes, its unit converted where the unit is a time's."""
    match = QUANTITY.match(text)
    if match is None:
        return _for_example(key)
    number, unit = float(match.group(1)), match.group(2)
    if not math.isfinite(number):
        return _for_example(key)
    if not unit:
        return f"Write {key.name} = {match.group(1)}, without quotes"
    if key.unit == "s" and unit in SECONDS:
        return f"Write {key.name} = {number_text(number * SECONDS[unit])}: the unit is in the key's name"
    return _for_example(key)


def _within(key: Key, number: float) -> int | float:
    """The number, if it is within the key's limits (compared before any conversion: TOML's integers have no end)."""
    low, high = _limits(key)
    unit = f" {key.unit}" if key.unit else ""
    limits = (
        f"Write a number from {number_text(low)} to {number_text(high)}{unit}, for example {key.name} = {key.example}"
    )
    if number < low:
        raise BadValueError(f"{shown(number)}{unit} is below the least allowed, {number_text(low)}{unit}", limits)
    if number > high:
        raise BadValueError(f"{shown(number)}{unit} is above the most allowed, {number_text(high)}{unit}", limits)
    return number


def _limits(key: Key) -> tuple[float, float]:
    assert key.low is not None, key.name
    assert key.high is not None, key.name
    return key.low, key.high


def _switch(key: Key, value: object, _places: Places) -> bool:
    if isinstance(value, bool):
        return value
    meant = {"true": "true", "yes": "true", "on": "true", "1": "true", "false": "false", "no": "false", "off": "false"}
    word = meant.get(str(value).lower() if isinstance(value, str) else "")
    remedy = f"Write {key.name} = {word}, without quotes" if word else f"Write {key.name} = true or {key.name} = false"
    raise BadValueError(f"{shown(value)} is {type_of(value)}; true or false is wanted", remedy)


def _choice(key: Key, value: object, _places: Places) -> str:
    if isinstance(value, str) and value in key.choices:
        return value
    guess = closest(value, key.choices) if isinstance(value, str) else None
    advice = _for_example(key)
    if guess:
        advice = f'Write "{guess}"' if key.type is Type.CHOICES else f'Write {key.name} = "{guess}"'
    choices = joined(f'"{choice}"' for choice in key.choices)
    raise BadValueError(f"{shown(value)} is not {choices}", advice)


def _choices(key: Key, value: object, places: Places) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong_type(key, value)
    if not value:
        raise BadValueError("the list is empty", _for_example(key))
    chosen = [_choice(key, each, places) for each in value]
    twice = next((each for each in chosen if chosen.count(each) > 1), None)
    if twice is not None:
        raise BadValueError(f"{shown(twice)} is in the list twice", "Remove one of them")
    return tuple(chosen)


def _names(key: Key, value: object, places: Places) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong_type(key, value)
    names = [_name(key, each, places) for each in value]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise BadValueError(f"{shown(twice)} is in the list twice", "Remove one of them")
    return tuple(names)


def _size(key: Key, value: object, places: Places) -> int:
    if not isinstance(value, str):
        return _integer(key, value, places)
    match = QUANTITY.match(value)
    factor = BYTES.get(match.group(2).upper() or "B") if match else None
    number = float(match.group(1)) if match else math.inf
    if factor is None or not math.isfinite(number * factor):
        raise BadValueError(f"{shown(value)} is not a size", f'Write for example {key.name} = "2 GB" or "500 MiB"')
    size = round(number * factor)
    _within(key, size)
    return size


def _days(key: Key, value: object, places: Places) -> float | None:
    if isinstance(value, str) and value == "forever":
        return None
    return _number(key, value, places)


def _instant(key: Key, value: object, _places: Places) -> int:
    """Unix ns. A date counts to its end, UTC."""
    if isinstance(value, str):
        value = _parsed_instant(key, value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BadValueError(
                f"{shown(value)} does not say its offset from UTC", f"Write {key.name} = {value.isoformat()}Z for UTC"
            )
        _year_within(key, value)
        elapsed = value - EPOCH
        return (elapsed.days * 86_400 + elapsed.seconds) * NS + elapsed.microseconds * 1000
    if isinstance(value, date):
        _year_within(key, value)
        return (value + timedelta(days=1) - EPOCH.date()).days * DAY_NS
    raise _wrong_type(key, value, "a date or an instant")


def _parsed_instant(key: Key, text: str) -> date:
    try:
        return date.fromisoformat(text) if DATE.match(text) else datetime.fromisoformat(text)
    except ValueError as error:
        raise BadValueError(
            f"{shown(text)} is neither a date nor an instant (ISO 8601)",
            f"Write for example {key.name} = {key.example} or {key.example}T12:00:00Z",
        ) from error


def _year_within(key: Key, value: date) -> None:
    if value.year not in YEARS:
        raise BadValueError(f"the year {value.year} is not from {YEARS[0]} to {YEARS[-1]}", _for_example(key))


def _path(key: Key, value: object, places: Places) -> Path:
    return places.folder / _text(key, value, places)


def _directory(key: Key, value: object, places: Places) -> Path:
    path = _path(key, value, places)
    _refuse(directory_fault(path))
    return path


def _file(key: Key, value: object, places: Places) -> Path:
    path = places.handed(_text(key, value, places))
    _refuse(file_fault(path))
    return path


def _secret(key: Key, value: object, places: Places) -> Path:
    path = places.handed(_text(key, value, places))
    _refuse(secret_fault(path))
    return path


def _keys(key: Key, value: object, places: Places) -> Path:
    path = places.handed(_text(key, value, places))
    _refuse(file_fault(path))  # what else may be wrong is told by the reader of keys
    return path


def _refuse(fault: tuple[str, str] | None) -> None:
    if fault is not None:
        raise BadValueError(*fault)


def _url(key: Key, value: object, places: Places) -> str:
    text = _text(key, value, places)
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise BadValueError(f"{shown(text)} is not a URL ({printable(str(error))})", _for_example(key)) from error
    if parts.username is not None or parts.password is not None:
        # Not shown: it holds a secret.
        raise BadValueError("the URL holds a user name or a password", "Take it out; name a file that holds the secret")
    if parts.scheme not in {"http", "https"} or not host:
        raise BadValueError(f"{shown(text)} is not the URL of an HTTP server", _for_example(key))
    if parts.query or parts.fragment:
        raise BadValueError(f"{shown(text)} has a query", f"Name the server only, as in {key.name} = {key.example}")
    return text.rstrip("/")


READERS: dict[Type, Callable[[Key, object, Places], object]] = {
    Type.NAME: _name,
    Type.TEXT: _text,
    Type.UTC_K: _utc_k,
    Type.NUMBER: _number,
    Type.NUMBERS: _numbers,
    Type.INTEGER: _integer,
    Type.SWITCH: _switch,
    Type.CHOICE: _choice,
    Type.CHOICES: _choices,
    Type.NAMES: _names,
    Type.SIZE: _size,
    Type.DAYS: _days,
    Type.INSTANT: _instant,
    Type.DIRECTORY: _directory,
    Type.FILE: _file,
    Type.PRIVATE: _secret,
    Type.KEYS: _keys,
    Type.URL: _url,
}
