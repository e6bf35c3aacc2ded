"""What a dashboard is made of, and its JSON for Grafana 11 (dashboard schema 39).

Rule: a panel says in both languages what it shows and what to do; colours are those of Okabe and Ito (2008), which people with any
kind of colour vision tell apart; identities are stable, so that links and bookmarks live on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dashboards.source.terms import legend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "BAD",
    "EVENTS",
    "GOOD",
    "LANGUAGES",
    "PLAIN",
    "SERIES",
    "VARIABLES",
    "WARN",
    "Dashboard",
    "Look",
    "Panel",
    "Query",
    "json_of",
    "uid_of",
]

LANGUAGES = ("en", "zh")
GOOD, WARN, BAD, PLAIN = "#0072B2", "#E69F00", "#D55E00", "#999999"
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
WIDTH = 24
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
INFLUXDB = {"type": "influxdb", "uid": "${influxdb}"}
AS_ROWS = {"table", "xychart", "geomap"}
"""Panels that take a query's series as rows of one table."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query: PromQL, or InfluxQL where `influx`. `instant` asks for the present only."""

    text: str
    legend: str = ""
    instant: bool = False
    influx: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """How one series looks: that of the query `of` (a letter), or those whose name matches `like` (a pattern between slashes)."""

    properties: Mapping[str, Any]
    of: str = ""
    like: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `title` and `about` are (English, Chinese); `steps` are (value, colour) from the lowest up.

    `mappings`: value -> (English, Chinese, colour). `repeat` names a variable: a panel for each of its values.
    """

    kind: str
    title: tuple[str, str]
    about: tuple[str, str]
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 12
    height: int = 8
    steps: tuple[tuple[float | None, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    transformations: tuple[Mapping[str, Any], ...] = ()
    looks: tuple[Look, ...] = ()
    mappings: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    repeat: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `name` is the stable part of its identity, `variables` those of `VARIABLES` that it has.

    It opens with all values of each, but for those in `first`: with the first value, for a panel is drawn for each.
    """

    name: str
    title: tuple[str, str]
    panels: tuple[Panel, ...]
    variables: tuple[str, ...] = ("site", "target", "reference", "limit")
    first: tuple[str, ...] = ()


VARIABLES: Mapping[str, tuple[tuple[str, str], str]] = {
    "site": (("Site", "站点"), "label_values(timesync_target_info, site)"),
    "target": (("Target", "目标"), 'label_values(timesync_target_info{site=~"$site"}, target)'),
    "reference": (("Reference", "参考"), 'label_values(timesync_target_info{site=~"$site"}, reference)'),
    "limit": (("Limit", "限值"), 'label_values(timesync_limit_seconds{site=~"$site"}, limit)'),
    "mask": (("Mask", "模板"), 'label_values(timesync_mask_seconds{site=~"$site"}, mask)'),
}


def uid_of(name: str, language: str) -> str:
    """The stable identity of a dashboard."""
    return f"timesync-{name}" if language == "en" else f"timesync-{name}-{language}"


def json_of(dashboard: Dashboard, others: Sequence[Dashboard], language: str) -> Mapping[str, Any]:
    """The dashboard as Grafana reads it."""
    pick = LANGUAGES.index(language)
    return {
        "uid": uid_of(dashboard.name, language),
        "title": f"timesync: {dashboard.title[pick]}",
        "tags": ["timesync", language],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [_link(other, language) for other in others if other is not dashboard],
        "annotations": {"list": [_events(pick)]},
        "templating": {
            "list": [*_sources(), *(_variable(name, pick, dashboard.first) for name in dashboard.variables)]
        },
        "panels": list(_placed(dashboard.panels, pick)),
    }


def _link(other: Dashboard, language: str) -> Mapping[str, Any]:
    return {
        "title": other.title[LANGUAGES.index(language)],
        "type": "link",
        "icon": "dashboard",
        "url": f"/d/{uid_of(other.name, language)}",
        "tags": [],
        "tooltip": "",
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _events(pick: int) -> Mapping[str, Any]:
    return {
        "name": ("Events", "事件")[pick],
        "datasource": INFLUXDB,
        "enable": True,
        "iconColor": SERIES[3],
        "query": EVENTS,
        "textColumn": "text",
        "tagsColumn": "kind",
        "titleColumn": "kind",
    }


EVENTS = """SELECT "text", "kind" FROM "event" WHERE $timeFilter AND "site" =~ /^$site$/"""


def _sources() -> Sequence[Mapping[str, Any]]:
    return [
        {"name": name, "type": "datasource", "query": name, "label": label, "hide": 0, "multi": False, "current": {}}
        for name, label in (("prometheus", "Prometheus"), ("influxdb", "InfluxDB"))
    ]


def _variable(name: str, pick: int, first: Sequence[str]) -> Mapping[str, Any]:
    label, query = VARIABLES[name]
    return {
        "name": name,
        "type": "query",
        "label": label[pick],
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {} if name in first else {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _placed(panels: Sequence[Panel], pick: int) -> Sequence[Mapping[str, Any]]:
    """Panels from left to right and down, none across the edge."""
    placed, x, y, row = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > WIDTH:
            x, y, row = 0, y + row, 0
        placed.append(_panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height}, pick))
        x, row = x + panel.width, max(row, panel.height)
    return placed


def _panel(panel: Panel, number: int, place: Mapping[str, int], pick: int) -> Mapping[str, Any]:
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title[pick],
        "description": panel.about[pick],
        "datasource": INFLUXDB if panel.queries[0].influx else PROMETHEUS,
        "gridPos": dict(place),
        "targets": [_target(query, _letter(index), panel, pick) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel, pick), "overrides": _overrides(panel, pick)},
        "options": dict(panel.options),
        "transformations": [dict(each) for each in panel.transformations],
    }
    if panel.repeat:
        made |= {"repeat": panel.repeat, "repeatDirection": "h", "maxPerRow": 2}
    return made


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _defaults(panel: Panel, pick: int) -> dict[str, Any]:
    steps = panel.steps or ((None, GOOD),)
    colour: dict[str, Any] = {"mode": "thresholds"}
    if not panel.steps:
        # One colour where a name or a word tells series apart; Grafana's palette where only colour could.
        colour = {"mode": "palette-classic"} if panel.kind == "xychart" else {"mode": "fixed", "fixedColor": GOOD}
    return {
        "unit": panel.unit,
        "color": colour,
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": shade} for value, shade in steps]},
        "mappings": [
            {
                "type": "value",
                "options": {
                    value: {"text": said[pick], "color": said[2], "index": index}
                    for index, (value, said) in enumerate(panel.mappings.items())
                },
            }
        ]
        if panel.mappings
        else [],
        "custom": dict(panel.custom),
    }


def _overrides(panel: Panel, pick: int) -> list[dict[str, Any]]:
    """A colour for each query of a time series, lighter and darker for its series; then what the panel says itself."""
    made = [
        {
            "matcher": {"id": "byFrameRefID", "options": _letter(index)},
            "properties": [{"id": "color", "value": {"mode": "shades", "fixedColor": SERIES[index % len(SERIES)]}}],
        }
        for index in range(len(panel.queries))
        if panel.kind == "timeseries"
    ]
    for look in panel.looks:
        matcher = {"id": "byFrameRefID", "options": look.of}
        if look.like:
            matcher = {"id": "byRegexp", "options": look.like}
        properties = [
            {"id": name, "value": legend(value, LANGUAGES[pick]) if name == "custom.fillBelowTo" else value}
            for name, value in look.properties.items()
        ]
        made.append({"matcher": matcher, "properties": properties})
    return made


def _target(query: Query, letter: str, panel: Panel, pick: int) -> Mapping[str, Any]:
    form = "table" if panel.kind in AS_ROWS else "time_series"
    said = legend(query.legend, LANGUAGES[pick])
    if query.influx:
        shape = {"query": query.text, "rawQuery": True, "resultFormat": form, "alias": said}
        return {"refId": letter, "datasource": INFLUXDB, **shape}
    return {
        "refId": letter,
        "datasource": PROMETHEUS,
        "expr": query.text,
        "legendFormat": said,
        "instant": query.instant,
        "range": not query.instant,
        "format": form,
        "editorMode": "code",
    }
