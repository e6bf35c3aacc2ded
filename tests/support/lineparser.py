"""A reader of InfluxDB line protocol, written from the published grammar and from nothing of timesync's.

It reads as InfluxDB 1.x does: in names a backslash escapes only a comma, an equals sign or a space and is itself
otherwise; in quoted texts it escapes a quote or a backslash.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Point", "parse"]


@dataclass(frozen=True)
class Point:
    """One line, read."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int | str | bool]
    at_ns: int


class _Reader:
    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0

    def peek(self) -> str:
        return self.line[self.at] if self.at < len(self.line) else ""

    def take(self, expected: str) -> None:
        assert self.peek() == expected, f"{expected!r} expected at {self.at} of {self.line!r}"
        self.at += 1

    def name(self, ends: str) -> str:
        """Up to one of `ends`, unescaped."""
        got = ""
        while self.peek() and self.peek() not in ends:
            if self.peek() == "\\" and self.line[self.at + 1 : self.at + 2] in {",", "=", " "}:
                self.at += 1
            got += self.peek()
            self.at += 1
        return got

    def text(self) -> str:
        self.take('"')
        got = ""
        while self.peek() != '"':
            if self.peek() == "\\" and self.line[self.at + 1] in '"\\':
                self.at += 1
            got += self.peek()
            self.at += 1
        self.take('"')
        return got

    def value(self) -> float | int | str | bool:
        if self.peek() == '"':
            return self.text()
        word = self.name(", ")
        if word in {"true", "false"}:
            return word == "true"
        return int(word[:-1]) if word.endswith("i") else float(word)


def parse(line: str) -> Point:
    """The point of one line; an AssertionError or ValueError if it is not one."""
    reader = _Reader(line)
    measurement = reader.name(", ")
    tags: dict[str, str] = {}
    while reader.peek() == ",":
        reader.take(",")
        name = reader.name("=")
        reader.take("=")
        tags[name] = reader.name(", ")
    reader.take(" ")
    fields: dict[str, float | int | str | bool] = {}
    while True:
        name = reader.name("=")
        reader.take("=")
        fields[name] = reader.value()
        if reader.peek() != ",":
            break
        reader.take(",")
    reader.take(" ")
    return Point(measurement, tags, fields, int(line[reader.at :]))
