"""Bytes to a TOML document, with a syntax error told by line, column and what was expected there.

Rule: `ConfigError` is the only thing raised, whatever the bytes, and no text of the file is part of it: somebody may have named
a file of secrets.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from timesync.errors import ConfigError, Problem

__all__ = ["read_toml"]

POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\Z")

# The beginning of tomllib's message, what it means, and what to do about it. The messages themselves quote what they found.
FAULTS: tuple[tuple[str, str, str], ...] = (
    (
        "Invalid value",
        "a value is expected",
        "Text stands in quotes; true and false are lower-case; a number has no unit and a digit before its point",
    ),
    (
        "Expected newline or end of document after a statement",
        "the end of the line is expected after a value",
        "Write one key on a line, text in quotes, comments after #",
    ),
    (
        "Expected '=' after a key in a key/value pair",
        "= is expected after a key",
        "Write key = value, or [table] on a line of its own",
    ),
    (
        "Invalid statement",
        "a key or a [table] is expected",
        "Write key = value, or [table] on a line of its own",
    ),
    (
        "Invalid initial character for a key part",
        "a key is expected",
        "A key is of letters, digits, _ and -, or stands in quotes",
    ),
    ("Cannot overwrite a value", "the key was given before", "The key is here twice: remove one"),
    ("Duplicate inline table key", "the key was given before", "The key is here twice: remove one"),
    ("Cannot declare", "the table was begun before", "The table is here twice: put its keys under one heading"),
    ("Expected ']' at the end of a table declaration", "] is expected", "Close the table's bracket: [table]"),
    ("Expected ']]' at the end of an array declaration", "]] is expected", "Close the table's brackets: [[table]]"),
    ("Unclosed array", "] is expected", "Close the array with ]"),
    ("Unclosed inline table", "} is expected", "Close the inline table with }"),
    ("Unterminated string", "a quote is expected", "Close the text with a quote"),
    ("Expected ", "a quote is expected", "Close the text with the quotes that it began with"),
    (
        "Illegal character",
        "a character that is not allowed here",
        "Close the text with a quote on the same line, and remove characters that do not print",
    ),
    ("Found invalid character", "a character that is not allowed here", "Remove characters that do not print"),
    ("Unescaped", "a backslash that begins nothing", "Write it twice, or the text in single quotes"),
    ("Invalid date", "a date that does not exist", "Write it as 2027-06-30"),
)


def read_toml(data: bytes, source: str) -> dict[str, Any]:
    """The document in `data` (UTF-8). Raises `ConfigError`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(source, f"line {line}", "it is not UTF-8", "Save the file as UTF-8") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(text, source, str(error)) from error
    except RecursionError as error:
        raise _error(
            source, "", "arrays or tables are nested too deeply", "Nothing here needs more than one level"
        ) from error
    except ValueError as error:
        # A decimal integer of thousands of digits is refused by Python itself.
        raise _error(source, "", "it cannot be read as TOML: a number has too many digits", "Correct it") from error


def _syntax_error(text: str, source: str, message: str) -> ConfigError:
    match = POSITION.search(message)
    if match and match.group(1):
        position = f"line {match.group(1)}, column {match.group(2)}"
    else:
        lines = text.replace("\r\n", "\n").split("\n")
        position = f"line {len(lines)}, column {len(lines[-1]) + 1} (the end of the file)"
    for start, what, remedy in FAULTS:
        if message.startswith(start):
            return _error(source, position, what, remedy)
    return _error(source, position, "it is not TOML", "See https://toml.io for the syntax")


def _error(source: str, position: str, what: str, remedy: str) -> ConfigError:
    where = f"{source}: {position}" if position else source
    return ConfigError(source, (Problem(where, what, remedy),))
