"""The queries of the dashboards as they are committed, with Grafana's macros and variables put in as Grafana would."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from dashboards.source.__main__ import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ALL", "Asked", "asked", "dashboards", "put_in"]

ALL = {
    "$site": ".*",
    "$target": ".*",
    "$reference": ".*",
    "$limit": ".*",
    "$mask": ".*",
    "$__rate_interval": "10s",
    "$__interval": "1s",
    "$timeFilter": "time > now() - 1h",
}
"""Every variable at "All"."""


class Asked(NamedTuple):
    """One query as a dashboard has it; `needs` are the columns that its panel's transformations speak of."""

    where: str
    letter: str
    text: str
    influx: bool
    unit: str = ""
    needs: frozenset[str] = frozenset()


def dashboards() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each dashboard by its name, in English."""
    for path in sorted((FOLDER / "en").glob("*.json")):
        yield path.stem, json.loads(path.read_text(encoding="utf-8"))


def columns(panel: dict[str, Any]) -> frozenset[str]:
    """Labels that must be there for a panel's transformations, up to the one that makes other columns."""
    found: set[str] = set()
    for each in panel["transformations"]:
        options = each["options"]
        if each["id"] == "joinByField":
            found.add(options["byField"])
            break
        if each["id"] == "partitionByValues":
            found |= set(options["fields"])
        if each["id"] == "convertFieldType":
            found |= {conversion["targetField"] for conversion in options["conversions"]}
    return frozenset(found)


def asked(*, influx: bool) -> list[Asked]:
    """Every query of every panel."""
    return [
        Asked(
            panel["title"],
            target["refId"],
            target["query" if influx else "expr"],
            influx,
            panel["fieldConfig"]["defaults"]["unit"],
            columns(panel),
        )
        for _, made in dashboards()
        for panel in made["panels"]
        for target in panel["targets"]
        if ("query" in target) == influx
    ]


def put_in(text: str, values: Mapping[str, str] = ALL) -> str:
    """A query as the store gets it."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, values[name])
    left = re.sub(r'\^\$|\$/|"curve", "mask \$1"', "", text)
    assert "$" not in left, text
    return text
