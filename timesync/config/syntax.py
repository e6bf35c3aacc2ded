"""Bytes to a TOML document, with a syntax error told by line, column and the line itself.

Rule: `ConfigError` is the only thing raised, whatever the bytes.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from timesync.config.wording import printable
from timesync.errors import ConfigError, Problem

__all__ = ["read_toml"]

POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\Z")

# The beginning of tomllib's message, and what to do about it.
REMEDIES: tuple[tuple[str, str], ...] = (
    (
        "Invalid value",
        "Text stands in quotes; true and false are lower-case; a number has no unit and a digit before its point",
    ),
    (
        "Expected newline or end of document after a statement",
        "Write one key on a line, text in quotes, comments after #",
    ),
    ("Expected '=' after a key in a key/value pair", "Write key = value, or [table] on a line of its own"),
    ("Cannot overwrite a value", "The key is here twice: remove one"),
    ("Duplicate inline table key", "The key is here twice: remove one"),
    ("Cannot declare", "The table is here twice: put its keys under one heading"),
    ("Expected ']' at the end of a table declaration", "Close the table's bracket: [table]"),
    ("Expected ']]' at the end of an array declaration", "Close the table's double brackets: [[table]]"),
    ("Unclosed array", "Close the array with ]"),
    ("Unterminated string", "Close the text with a quote"),
    ("Illegal character", "Close the text with a quote on the same line, and remove characters that do not print"),
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
        raise _error(source, "", f"it cannot be read as TOML ({printable(str(error))})", "Correct the value") from error


def _syntax_error(text: str, source: str, message: str) -> ConfigError:
    match = POSITION.search(message)
    lines = text.replace("\r\n", "\n").split("\n")
    what = POSITION.sub("", message)
    if match and match.group(1):
        line, column = int(match.group(1)), int(match.group(2))
    else:
        line, column = len(lines), len(lines[-1]) + 1
        what += " at the end of the file"
    shown = printable(lines[line - 1].strip()) if line <= len(lines) else ""
    reads = f" in: {shown}" if shown else ""
    remedy = next(
        (remedy for start, remedy in REMEDIES if what.startswith(start)), "See https://toml.io for the syntax"
    )
    return _error(source, f"line {line}, column {column}", what + reads, remedy)


def _error(source: str, position: str, what: str, remedy: str) -> ConfigError:
    where = f"{source}: {position}" if position else source
    return ConfigError(source, (Problem(where, what, remedy),))
