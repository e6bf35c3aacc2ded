"""The dashboard *Network*: how every site is, and how every clock stands against every other."""

from __future__ import annotations

from typing import Any

from dashboards.source.model import BAD, GOOD, PLAIN, WARN, Dashboard, Look, Panel, Query
from dashboards.source.parts import (
    COMPARED,
    NAMED,
    OF_SITE,
    OF_TARGET,
    RATIO,
    one,
    series,
    stat,
    steps_of,
    table,
    timeline,
)

__all__ = ["NETWORK"]

# 2: an alert at once, 1: one for today, 0: none.
STATE = (
    f'max by (site) (2 * (timesync_alerts_firing{{{OF_SITE},severity="critical"}} > bool 0) '
    f'or (timesync_alerts_firing{{{OF_SITE},severity="warning"}} > bool 0))'
)
STATES = {
    "0": ("well", "正常", GOOD),
    "1": ("warning", "警告", WARN),
    "2": ("critical", "严重", BAD),
}
SMALLEST_LIMIT = f'scalar(min(timesync_limit_seconds{{{OF_TARGET},limit=~"$limit"}}))'


def _clocks(label: str, over: str = "") -> Query:
    """Every clock's time error (over a limit), its site and name in one label, and a label that all share to join by."""
    named = f'label_join(timesync_time_error_seconds{{{COMPARED}}}, "{label}", " ", "site", "target")'
    shared = f'label_replace(max by ({label}) ({named}{over}), "grid", "all", "", "")'
    return Query(shared, instant=True)


def _grid(over: str = "") -> tuple[tuple[Query, ...], tuple[dict[str, Any], ...]]:
    """Every clock minus every other: two tables of all clocks, joined each with each, subtracted, and laid out as a square."""
    corner = "clock\\against"
    operands = {"left": {"matcher": {"id": "byName", "options": "Value #A"}}, "operator": "-"}
    operands["right"] = {"matcher": {"id": "byName", "options": "Value #B"}}
    return (_clocks("clock", over), _clocks("against", over)), (
        {"id": "joinByField", "options": {"byField": "grid", "mode": "inner"}},
        {
            "id": "calculateField",
            "options": {"mode": "binary", "alias": "difference", "binary": operands, "reduce": {"reducer": "sum"}},
        },
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "against", "desc": False}]}},
        {
            "id": "groupingToMatrix",
            "options": {
                "columnField": "against",
                "rowField": "clock",
                "valueField": "difference",
                "emptyValue": "null",
            },
        },
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": corner, "desc": False}]}},
        {"id": "organize", "options": {"renameByName": {corner: "row − column"}}},
    )


def _both_ways(kind: str) -> tuple[tuple[float | None, str], ...]:
    """The thresholds of an alert that is judged by size, for a signed number."""
    (_, good), (clear, warn), (threshold, bad) = steps_of(kind)
    assert clear is not None
    assert threshold is not None
    return ((None, bad), (-threshold, warn), (-clear, good), (clear, warn), (threshold, bad))


IN_LIMITS, IN_SECONDS = _grid(f" / {SMALLEST_LIMIT}"), _grid()
COLOURED = (Look({"custom.cellOptions": {"type": "color-background", "mode": "basic"}}, like="/^(?!row − column$).*/"),)

MAP = Panel(
    "geomap",
    ("Map", "地图"),
    (
        (
            "Where the probes stand, coloured by how much of its limit the worst target uses. No point: give latitude and longitude "
            "in [site] and a limit. Without the internet the map beneath stays empty."
        ),
        "探针的位置，颜色为最差目标的限值占用。没有点：请在 [site] 中给出经纬度并设定限值。无互联网时底图为空。",
    ),
    one(
        f"max by (site, probe) ({RATIO}) * on (site, probe) group_left (latitude, longitude) timesync_site_info{{{OF_SITE}}}"
    ),
    "percentunit",
    12,
    10,
    steps_of("possible_breach"),
    {
        "view": {"id": "fit", "allLayers": True, "padding": 20},
        "controls": {"showZoom": True, "mouseWheelZoom": False, "showAttribution": True},
        "basemap": {"type": "default", "name": "Basemap"},
        "layers": [
            {
                "type": "markers",
                "name": "Sites",
                "tooltip": True,
                "location": {"mode": "coords", "latitude": "latitude", "longitude": "longitude"},
                "config": {
                    "showLegend": True,
                    "style": {
                        "color": {"field": "Value", "fixed": PLAIN},
                        "opacity": 0.8,
                        "size": {"fixed": 10, "min": 4, "max": 16},
                        "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
                        "text": {"field": "site", "fixed": "", "mode": "field"},
                        "textConfig": {"fontSize": 12, "offsetX": 0, "offsetY": 16, "textAlign": "center"},
                    },
                },
            }
        ],
        "tooltip": {"mode": "details"},
    },
    transformations=(
        {
            "id": "convertFieldType",
            "options": {
                "fields": {},
                "conversions": [
                    {"targetField": "latitude", "destinationType": "number"},
                    {"targetField": "longitude", "destinationType": "number"},
                ],
            },
        },
    ),
)

NETWORK = Dashboard(
    "network",
    ("Network", "网络总览"),
    (
        stat(
            ("Targets with a claim", "已溯源目标数"),
            (
                "Targets compared with UTC(k) now. Fewer than configured: open Traceability and see the reasons.",
                "当前与 UTC(k) 比对的目标数。少于配置数时，请查看“溯源”仪表板中的原因。",
            ),
            f"sum(timesync_utc_claim{{{OF_SITE}}})",
        ),
        stat(
            ("Alerts firing", "正在告警"),
            (
                "Alerts that the probes tell of. Open the runbook of each: deploy/RUNBOOKS.md.",
                "各探针正在发出的告警。请查阅对应的运行手册 deploy/RUNBOOKS.md。",
            ),
            f"sum(timesync_alerts_firing{{{OF_SITE}}})",
        ),
        stat(
            ("Worst |time error|", "最大 |时间误差|"),
            (
                "The largest |target - UTC(k)|. Find the target in the grid below.",
                "最大的 |目标 - UTC(k)|。请在下方方阵中查找该目标。",
            ),
            f"max(abs(timesync_time_error_seconds{{{OF_SITE}}}))",
            "s",
        ),
        stat(
            ("Worst bound", "最大误差界"),
            (
                "The largest bound: nothing is wrong by more. A large one is most often a long path: see Target.",
                "最大的误差界，任何误差都不会超过它。过大通常是路径过长，请查看“目标”仪表板。",
            ),
            f"max(timesync_time_error_bound_seconds{{{OF_SITE}}})",
            "s",
        ),
        stat(
            ("Nearest to its limit", "最接近限值"),
            (
                "(|time error| + bound) / limit of the worst target. Above 1 it cannot be shown to be within.",
                "最差目标的（|时间误差| + 误差界）/ 限值。大于 1 时无法证明其在限值内。",
            ),
            f"max({RATIO})",
            "percentunit",
            "possible_breach",
        ),
        stat(
            ("Oldest sample", "最旧样本"),
            (
                "Age of the oldest newest sample in poll intervals. Old: see that the probe polls.",
                "各目标最新样本距今时间的最大值（以轮询间隔计）。过大时请检查探针是否在轮询。",
            ),
            f"max((time() - timesync_last_sample_timestamp_seconds{{{OF_SITE}}}) / timesync_poll_interval_seconds{{{OF_SITE}}})",
            "short",
            "stale",
        ),
        Panel(
            "stat",
            ("Sites by state", "各状态站点数"),
            (
                (
                    "How many sites are well, have a warning or a critical alert, and how many probes give Prometheus no answer. "
                    "Begin with the critical ones, then the silent."
                ),
                "正常、有警告、有严重告警的站点数，以及 Prometheus 未得到响应的探针数。先处理严重的，再处理无响应的。",
            ),
            (
                Query(f"count({STATE} == 0) or vector(0)", "well", instant=True),
                Query(f"count({STATE} == 1) or vector(0)", "warning", instant=True),
                Query(f"count({STATE} == 2) or vector(0)", "critical", instant=True),
                Query('count(up{job="timesync"} == 0) or vector(0)', "silent", instant=True),
            ),
            "short",
            12,
            8,
            options={"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"},
            looks=tuple(
                Look({"color": {"mode": "fixed", "fixedColor": colour}}, of=letter)
                for letter, colour in zip("ABCD", (GOOD, WARN, BAD, PLAIN), strict=True)
            ),
        ),
        timeline(
            ("State of each site", "各站点状态"),
            (
                "The gravest alert of each site. Not well: open Target for that site, and the runbook of what fires.",
                "各站点最严重的告警。不正常时请打开该站点的“目标”仪表板，并查阅相应运行手册。",
            ),
            Query(STATE, "{{site}}"),
            mappings=STATES,
        ),
        Panel(
            "table",
            ("Every clock minus every other, in parts of the limit", "各时钟两两之差（相对限值）"),
            (
                (
                    "Row minus column, of all sites and targets that are chosen above, over the smallest limit that is chosen. A row and "
                    "a column of one colour: that clock is the one to look at. Whole squares: a site's reference. Empty: set a limit."
                ),
                (
                    "上方所选全部站点与目标的“行减列”，除以所选的最小限值。某行某列同色：应检查该时钟；成块变色：应检查该站点的参考。"
                    "为空：请设定限值。"
                ),
            ),
            IN_LIMITS[0],
            "percentunit",
            24,
            10,
            _both_ways("possible_breach"),
            {"cellHeight": "sm", "showHeader": True},
            transformations=IN_LIMITS[1],
            looks=COLOURED,
        ),
        Panel(
            "table",
            ("The same in seconds", "同上，以秒计"),
            (
                (
                    "Row minus column: the difference of the two time errors. Its bound is the sum of both bounds: see Target before "
                    "blaming a clock."
                ),
                "行减列：两个时间误差之差。其误差界为两者误差界之和，判定时钟有误之前请查看“目标”仪表板。",
            ),
            IN_SECONDS[0],
            "s",
            24,
            8,
            options={"cellHeight": "sm", "showHeader": True},
            transformations=IN_SECONDS[1],
        ),
        MAP,
        Panel(
            "bargauge",
            ("Age of the last sample", "最新样本距今时间"),
            (
                "In poll intervals, by target. Long bars: the target does not answer or the probe does not poll; see Target.",
                "以轮询间隔计，按目标显示。过长：目标无应答或探针未轮询，请查看“目标”仪表板。",
            ),
            one(
                f"sort_desc((time() - timesync_last_sample_timestamp_seconds{{{OF_TARGET}}}) / timesync_poll_interval_seconds{{{OF_TARGET}}})",
                NAMED,
            ),
            "short",
            12,
            10,
            steps_of("stale"),
            {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}},
        ),
        series(
            ("Limit used", "限值占用"),
            (
                "(|time error| + bound) / limit. Act before it reaches 1.",
                "（|时间误差| + 误差界）/ 限值。应在达到 1 之前处理。",
            ),
            "percentunit",
            Query(RATIO, NAMED),
            kind="possible_breach",
        ),
        table(
            ("What fires", "告警列表"),
            (
                "Alerts by kind and severity, as the probes judge them. Read the runbook of each.",
                "探针判定的告警，按种类和级别列出。请查阅各自的运行手册。",
            ),
            f"timesync_alerts_firing{{{OF_SITE}}} > 0",
        ),
        table(
            ("Verdicts", "故障归因"),
            (
                "Whose fault a change is held to be, with its confidence: begin there. Empty: no verdict.",
                "变化被归于何处及其置信度，应从这里开始检查。为空表示没有判定。",
            ),
            f"timesync_fault_confidence_ratio{{{OF_SITE}}}",
            "percentunit",
            24,
        ),
    ),
)
