"""What the table of keys is made of: the types that a value can have, a key, a table.

Rule: nothing here knows any particular key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Key", "Table", "Type"]


class Type(StrEnum):
    """What a value must be, in the words used in messages and in the manual."""

    NAME = "a name"
    TEXT = "text"
    UTC_K = "a UTC(k)"
    NUMBER = "a number"
    NUMBERS = "a list of numbers"
    INTEGER = "a whole number"
    SWITCH = "true or false"
    CHOICE = "a choice"
    CHOICES = "a list of choices"
    NAMES = "a list of names"
    SIZE = "a size in bytes"
    DAYS = 'a number or "forever"'
    INSTANT = "a date, or an instant with its offset"
    DIRECTORY = "a directory"
    FILE = "a file"
    PRIVATE = "a file that others may not read"
    KEYS = "a file of keys that others may not read"
    URL = "a URL"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `default` None means absent; `default_text` words a default that is not a plain value.

    `wrong_names` are what people write instead: they are suggested from, never accepted.
    """

    name: str
    type: Type
    meaning: str
    example: str
    unit: str = ""
    default: Any = None
    default_text: str = ""
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    wrong_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One TOML table. `many` is written with double brackets; an `extensible` one also takes its probe kind's options."""

    name: str
    meaning: str
    keys: tuple[Key, ...]
    many: bool = False
    required: bool = False
    extensible: bool = False
    wrong_names: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The table's name as it is written in the file."""
        return f"[[{self.name}]]" if self.many else f"[{self.name}]"
