"""The documented schema is the one that is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import timesync.store
from timesync.link_service import LINK_FIELDS
from timesync.ptp_stack import CLOCK_FIELDS, PORT_FIELDS
from timesync.records import FIELDS
from timesync.store.local import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.records import Field

README = Path(timesync.store.__file__).with_name("README.md")


@pytest.mark.parametrize("table", [FIELDS, CLOCK_FIELDS, PORT_FIELDS])
def test_every_field_stands_in_the_documented_table(table: Mapping[str, Field]) -> None:
    documented = {line for line in README.read_text().splitlines() if line.startswith("| `")}
    wanted = [f"| `{name}` | {each.type} | {each.unit} | {each.meaning} |" for name, each in table.items()]
    missing = [row for row in wanted if row not in documented]
    assert not missing, f"put into {README}:\n" + "\n".join(missing)


def test_fast_columns_are_fields_in_seconds() -> None:
    assert {FIELDS[name].unit for name in COLUMNS} == {"s"}


def test_every_field_of_a_link_stands_in_the_documented_table() -> None:
    documented = set(README.read_text().splitlines())
    wanted = [f"| `{name}` | {kind} | {unit} | {meaning} |" for name, (kind, unit, meaning) in LINK_FIELDS.items()]
    assert [row for row in wanted if row not in documented] == []
