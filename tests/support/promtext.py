"""A strict reader of Prometheus' text format 0.0.4, written from its description, to judge what we write.

Source: Prometheus documentation, "Exposition formats", "Text format details" and "Comments, help text, and type
information". Anything that the description does not allow raises `ValueError` with the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Family", "read", "value"]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|(?=\}))')
_UNESCAPE = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


@dataclass
class Family:
    """One metric: its type, help, and series by their sorted label pairs."""

    kind: str | None = None
    help: str | None = None
    series: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def read(body: bytes) -> dict[str, Family]:
    """Every family of the page."""
    text = body.decode("utf-8")
    if not text.endswith("\n"):
        raise ValueError("the last line must end with a line feed")
    families: dict[str, Family] = {}
    for line in text[:-1].split("\n"):
        try:
            _read_line(line, families)
        except ValueError as error:
            raise ValueError(f"{line!r}: {error}") from None
    return families


def _read_line(line: str, families: dict[str, Family]) -> None:
    if line.startswith("# HELP "):
        _, _, name, text = line.split(" ", 3)
        families.setdefault(name, Family()).help = re.sub(r"\\[\\n]", lambda found: _UNESCAPE[found[0]], text)
    elif line.startswith("# TYPE "):
        _, _, name, kind = line.split(" ")
        family = families.setdefault(name, Family())
        if family.series or family.kind:
            raise ValueError("the type must come once, before the first sample")
        if kind not in {"counter", "gauge", "histogram", "summary", "untyped"}:
            raise ValueError("no such type")
        family.kind = kind
    elif line and not line.startswith("#"):
        name, labels, number = _read_sample(line)
        series = families.setdefault(name, Family()).series
        if labels in series:
            raise ValueError("the same series twice")
        series[labels] = number


def _read_sample(line: str) -> tuple[str, tuple[tuple[str, str], ...], float]:
    name = _NAME.match(line)
    if not name:
        raise ValueError("no metric name")
    rest = line[name.end() :]
    labels = {}
    if rest.startswith("{"):
        rest = rest[1:]
        while not rest.startswith("}"):
            pair = _LABEL.match(rest)
            if not pair:
                raise ValueError(f"not a label: {rest!r}")
            if pair[1] in labels:
                raise ValueError("the same label twice")
            labels[pair[1]] = re.sub(r'\\[\\"n]', lambda found: _UNESCAPE[found[0]], pair[2])
            rest = rest[pair.end() :]
        rest = rest[1:]
    number = re.fullmatch(r" (\S+)", rest)
    if not number:
        raise ValueError(f"not a value: {rest!r}")
    return name[0], tuple(sorted(labels.items())), float(number[1])


def value(families: dict[str, Family], name: str, **labels: str) -> float | None:
    """The one series of `name` whose labels include these; None if there is none. Raises ValueError for more than one."""
    wanted = set(labels.items())
    found = [number for pairs, number in families.get(name, Family()).series.items() if wanted <= set(pairs)]
    if len(found) > 1:
        raise ValueError(f"{len(found)} series of {name} match {labels}")
    return found[0] if found else None
