"""How a configuration's own words are shown in messages, and what is suggested for a word that is not known.

Rule: what is shown fits on a line, holds nothing that a terminal would obey, and never raises, whatever the value.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["closest", "joined", "number_text", "plain", "printable", "shown", "shown_key", "type_of"]

LONGEST = 60
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def printable(text: str) -> str:
    """The text on one line, cut to a readable length, with everything unprintable escaped."""
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def shown_key(name: str) -> str:
    """A key's or table's name as TOML would write it."""
    return name if BARE_KEY.match(name) and len(name) <= LONGEST else f'"{printable(name)}"'


def plain(meaning: str) -> str:
    """A meaning without the marks that the manual sets its code in."""
    return meaning.replace("`", "")


def number_text(value: float) -> str:
    """A number as a person writes it: 16, 0.05, 1e-07."""
    return f"{value:g}" if abs(value) < 1e6 or not float(value).is_integer() else str(int(value))


def shown(value: object) -> str:
    """A TOML value as it would be written, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Beyond some thousands of digits Python refuses to write an integer in decimal.
        return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        return f'"{printable(value)}"'
    if isinstance(value, float | date | time):
        return repr(value) if isinstance(value, float) else value.isoformat()
    return "an array" if isinstance(value, list) else "a table"


def type_of(value: object) -> str:
    """What kind of TOML value it is, in words."""
    # bool before int, datetime before date: the narrower comes first.
    names: tuple[tuple[type, str], ...] = (
        (bool, "a switch"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "text"),
        (datetime, "an instant"),
        (date, "a date"),
        (time, "a time of day"),
        (list, "an array"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "a table")


def closest(word: str, known: Iterable[str], wrong_names: Mapping[str, str] | None = None) -> str | None:
    """The known word that was probably meant, or None. `wrong_names` maps what people write to what is known."""
    table = {name: name for name in known}
    for wrong, right in (wrong_names or {}).items():
        table.setdefault(wrong, right)
    folded_word = word.lower().replace("-", "_")
    folded = {name.lower().replace("-", "_"): name for name in reversed(table)}
    if folded_word in folded:
        return table[folded[folded_word]]
    # difflib is quadratic in the length: a word longer than any name is nobody's slip of the pen.
    if len(folded_word) > LONGEST:
        return None
    found = get_close_matches(folded_word, folded, n=1, cutoff=0.6)
    return table[folded[found[0]]] if found else None


def joined(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *head, last = list(words)
    return f"{', '.join(head)} or {last}" if head else last
