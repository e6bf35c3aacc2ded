"""A TOML document to sections: each table read key by key against the table of keys.

Rule: reading goes on after a mistake, so that all of them are found at once. A value that could not be used leaves its
default in its place and its name in `unsound`, so that no later check reports the consequence of a mistake as another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timesync.config.keys import TABLES
from timesync.config.schema import Key, Table, Type
from timesync.config.values import BadValueError, read_value
from timesync.config.wording import closest, plain, shown, shown_key
from timesync.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from timesync.config.files import Places

__all__ = ["Draft", "Section", "read_document"]


@dataclass(slots=True)
class Section:
    """One table of the file. `values` has every key of the table; `rest` what an extensible table says beyond them."""

    table: Table
    where: str
    values: dict[str, Any]
    given: set[str] = field(default_factory=set)
    unsound: set[str] = field(default_factory=set)
    rest: dict[str, Any] = field(default_factory=dict)

    def sound(self, *names: str) -> bool:
        """Whether none of these keys was found wrong or missing."""
        return self.unsound.isdisjoint(names)

    def has(self, name: str) -> bool:
        """Whether the file gives a usable value for this key."""
        return name in self.given and name not in self.unsound


@dataclass(slots=True)
class Draft:
    """A document as far as it could be read, and everything found wrong with it so far."""

    source: str
    places: Places
    single: dict[str, Section] = field(default_factory=dict)
    many: dict[str, list[Section]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def report(self, where: str, what: str, remedy: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(where, what, remedy))

    def in_order(self) -> tuple[Problem, ...]:
        """The problems in the order of the file: what belongs to one table stands together."""
        order = {section.where: number for number, section in enumerate(self._sections())}
        return tuple(
            sorted(self.problems, key=lambda p: order.get(p.where, order.get(p.where.rpartition(": ")[0], -1)))
        )

    def _sections(self) -> Iterator[Section]:
        for table in TABLES:
            yield from self.many.get(table.name, ())
            if table.name in self.single:
                yield self.single[table.name]


def read_document(document: Mapping[str, Any], source: str, places: Places) -> Draft:
    """Every table of the document; unknown tables and keys, missing ones and unusable values are in `problems`."""
    draft = Draft(source, places)
    known = {table.name: table for table in TABLES}
    for name, value in document.items():
        if name not in known:
            _report_unknown_table(draft, name, value)
    for table in TABLES:
        found = _bodies(draft, table, document[table.name]) if table.name in document else []
        if table.many:
            draft.many[table.name] = [
                _read_section(draft, table, body, _where(source, table, number, body))
                for number, body in enumerate(found, start=1)
            ]
        else:
            draft.single[table.name] = _read_section(
                draft, table, found[0] if found else None, f"{source}: {table.heading}"
            )
        if table.required and table.name not in document:
            _report_missing_table(draft, table)
    return draft


def _where(source: str, table: Table, number: int, body: Mapping[str, Any]) -> str:
    """Such as `site.toml: [[target]] 3 "ntp2"`."""
    name = body.get("name")
    return f"{source}: {table.heading} {number}" + (f" {shown(name)}" if isinstance(name, str) else "")


def _bodies(draft: Draft, table: Table, value: object) -> list[dict[str, Any]]:
    """The table's bodies, whichever way they were written."""
    where = f"{draft.source}: {table.heading}"
    bodies = value if isinstance(value, list) else [value]
    tables = [body for body in bodies if isinstance(body, dict)]
    if len(tables) < len(bodies) or not tables:
        draft.report(
            where,
            f"{shown(value)} where a table is wanted",
            f"Write {table.heading} on a line of its own, and its keys below",
        )
    elif table.many and not isinstance(value, list):
        draft.report(
            where, "there may be several, so its brackets are double", f"Write {table.heading}, not [{table.name}]"
        )
    elif not table.many and isinstance(value, list):
        draft.report(where, "there can be only one, so its brackets are single", f"Write {table.heading}, once")
    return tables


def _read_section(draft: Draft, table: Table, body: Mapping[str, Any] | None, where: str) -> Section:
    """The section; `body` None is a table that is not there, whose absence is not the business of its keys."""
    section = Section(table, where, {key.name: key.default for key in table.keys})
    known = {key.name: key for key in table.keys}
    for name, value in (body or {}).items():
        if name in known:
            section.given.add(name)
            _read_key(draft, section, known[name], value)
        elif table.extensible:
            section.rest[name] = value
        else:
            report_unknown_key(draft, section, name, {})
    for key in table.keys:
        if key.required and key.name not in section.given:
            section.unsound.add(key.name)
            if body is not None:
                draft.report(where, f"{key.name} is missing", f"Add {key.name} = {key.example} ({plain(key.meaning)})")
    return section


def _read_key(draft: Draft, section: Section, key: Key, value: object) -> None:
    try:
        section.values[key.name] = read_value(key, value, draft.places)
    except BadValueError as bad:
        section.unsound.add(key.name)
        draft.report(f"{section.where}: {key.name}", bad.what, bad.remedy)


def report_unknown_key(draft: Draft, section: Section, name: str, options: Mapping[str, str]) -> None:
    """Report a key that the table does not have, with what was probably meant. `options` are the probe kind's own."""
    table = section.table
    wrong_names = {wrong: key.name for key in table.keys for wrong in key.wrong_names}
    guess = closest(name, [*(key.name for key in table.keys), *options], wrong_names)
    key = next((key for key in table.keys if key.name == guess), None)
    if guess is None:
        remedy = _elsewhere(name) or f"Remove it; {table.heading} knows {', '.join([*_names(table), *options])}"
    elif key is not None and key.type is Type.PRIVATE and name in key.wrong_names:
        remedy = f"Secrets do not belong in this file: put it into one of its own, and write {key.name} = {key.example}"
    elif guess in section.given:
        remedy = f"Remove it; {guess} is here already"
    else:
        remedy = f"Did you mean {guess}?"
    draft.report(f"{section.where}: {shown_key(name)}", "there is no such key", remedy)


def _names(table: Table) -> list[str]:
    return [key.name for key in table.keys]


def _elsewhere(name: str) -> str | None:
    """The remedy for a key that exists, but in another table: the usual slip of TOML, where a table has no end."""
    homes = [table.heading for table in TABLES if name in _names(table)]
    return f"It is a key of {' and of '.join(homes)}: move it below that heading" if homes else None


def _report_unknown_table(draft: Draft, name: str, value: object) -> None:
    where = f"{draft.source}: {shown_key(name)}"
    is_table = isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))
    home = None if is_table else _elsewhere(name)
    wrong_names = {wrong: table.name for table in TABLES for wrong in table.wrong_names}
    guess = closest(name, [table.name for table in TABLES], wrong_names)
    if home is not None:
        remedy = home
    elif guess is not None:
        remedy = f"Did you mean {next(table.heading for table in TABLES if table.name == guess)}?"
    else:
        remedy = f"Remove it; the tables are {', '.join(table.heading for table in TABLES)}"
    draft.report(where, "there is no such table" if is_table else "there is no such key outside the tables", remedy)


def _report_missing_table(draft: Draft, table: Table) -> None:
    needed = ", ".join(f"{key.name} = {key.example}" for key in table.keys if key.required)
    draft.report(f"{draft.source}: {table.heading}", "it is missing", f"Add {table.heading} with {needed}")
