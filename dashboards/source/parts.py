"""What several dashboards are made of: selections, thresholds from the alerts, and the plain kinds of panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.source.model import BAD, GOOD, WARN, Panel, Query
from timesync.alerts.kinds import KIND_OF

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BOUND",
    "COMPARED",
    "DIMMED",
    "LIMIT",
    "NAMED",
    "OF_SITE",
    "OF_TARGET",
    "ON",
    "ORGANISED",
    "RATIO",
    "RAW",
    "YES_NO",
    "X",
    "one",
    "raw",
    "series",
    "stat",
    "steps_of",
    "table",
    "timeline",
]

OF_TARGET = 'site=~"$site",target=~"$target"'
OF_SITE = 'site=~"$site"'
COMPARED = f'{OF_TARGET},reference=~"$reference"'
ON = "on (site, probe, target, protocol)"
NAMED = "{{site}} {{target}}"
X = f"timesync_time_error_seconds{{{COMPARED}}}"
BOUND = f"timesync_time_error_bound_seconds{{{COMPARED}}}"
LIMIT = f'timesync_limit_seconds{{{OF_TARGET},limit=~"$limit"}}'
RATIO = f"(abs({X}) + {BOUND}) / {ON} group_left (limit) {LIMIT}"
YES_NO = ((None, BAD), (1, GOOD))
DIMMED = {"custom.lineStyle": {"fill": "dash", "dash": [8, 8]}, "color": {"mode": "fixed", "fixedColor": BAD}}
FIRST_COLUMNS = ("site", "target", "reference", "link", "realises", "alert", "severity", "fault", "change", "clock")
ORGANISED = {
    "id": "organize",
    "options": {
        "excludeByName": {"Time": True, "__name__": True, "instance": True, "job": True},
        "indexByName": {name: index for index, name in enumerate(FIRST_COLUMNS)},
    },
}


def raw(measurement: str) -> str:
    """Where an InfluxQL query looks: the rows of the chosen sites and targets, in the time that is shown."""
    return f'FROM "{measurement}" WHERE $timeFilter AND "target" =~ /^$target$/ AND "site" =~ /^$site$/'


RAW = raw("time_error")


def steps_of(kind: str) -> tuple[tuple[float | None, str], ...]:
    """From the alert of that name: good, the value at which it ends, the value at which it begins."""
    alert = KIND_OF[kind]
    if alert.below:
        middle = () if alert.clear == alert.threshold else ((alert.threshold, WARN),)
        return ((None, BAD), *middle, (alert.clear, GOOD))
    middle = () if alert.clear == alert.threshold else ((alert.clear, WARN),)
    return ((None, GOOD), *middle, (alert.threshold, BAD))


def one(text: str, legend: str = "") -> tuple[Query, ...]:
    """The present of one query."""
    return (Query(text, legend, instant=True),)


def stat(
    title: tuple[str, str],
    about: tuple[str, str],
    query: str,
    unit: str = "short",
    kind: str = "",
    width: int = 4,
) -> Panel:
    """One number; `kind` is the alert whose thresholds colour it."""
    steps = steps_of(kind) if kind else ((None, GOOD),)
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    return Panel("stat", title, about, one(query), unit, width, 4, steps, options)


def series(
    title: tuple[str, str], about: tuple[str, str], unit: str, *queries: Query, width: int = 12, kind: str = ""
) -> Panel:
    """Lines over time; `kind` is the alert whose thresholds are drawn across."""
    custom = {"thresholdsStyle": {"mode": "line"}} if kind else {}
    return Panel("timeseries", title, about, queries, unit, width, 8, steps_of(kind) if kind else (), custom=custom)


def table(
    title: tuple[str, str], about: tuple[str, str], query: Query | str, unit: str = "short", width: int = 12
) -> Panel:
    """The present series as rows, their labels as columns."""
    asked = one(query) if isinstance(query, str) else (query,)
    return Panel("table", title, about, asked, unit, width, 8, transformations=(ORGANISED,))


def timeline(
    title: tuple[str, str],
    about: tuple[str, str],
    *queries: Query,
    steps: tuple[tuple[float | None, str], ...] = (),
    mappings: Mapping[str, tuple[str, str, str]] | None = None,
) -> Panel:
    """States over time."""
    custom = {"fillOpacity": 80, "lineWidth": 0}
    return Panel("state-timeline", title, about, queries, "short", 12, 8, steps, custom=custom, mappings=mappings or {})
