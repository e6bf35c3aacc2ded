"""The dashboard *Target*: one clock at close range."""

from __future__ import annotations

from dashboards.source.model import Dashboard, Look, Panel, Query
from dashboards.source.parts import BOUND, COMPARED, DIMMED, LIMIT, NAMED, OF_TARGET, RAW, X, series, timeline

__all__ = ["BAND", "SCATTER", "TARGET"]

SCATTER = {"show": "points", "pointSize": {"fixed": 5}}
BAND = (
    Look({"custom.fillBelowTo": "lower", "custom.fillOpacity": 20, "custom.lineWidth": 0}, of="B"),
    Look({"custom.lineWidth": 0}, of="C"),
)
"""The space between the series "upper" (B) and "lower" (C) is filled."""


TARGET = Dashboard(
    "target",
    ("Target", "目标"),
    (
        Panel(
            "timeseries",
            ("Time error of $target with its bound and limit", "$target 的时间误差、误差界与限值"),
            (
                "Target minus UTC(k); the truth lies within the band. An end beyond the limit: possible breach; both: certain.",
                "目标减 UTC(k)，真值位于带内。一端越过限值为可能超限，两端均越过为确定超限。",
            ),
            (
                Query(X, "{{site}}"),
                Query(f"{X} + {BOUND}", "upper"),
                Query(f"{X} - {BOUND}", "lower"),
                Query(LIMIT, "+limit"),
                Query(f"-{LIMIT}", "-limit"),
            ),
            "s",
            24,
            9,
            looks=(*BAND, Look(DIMMED, of="D"), Look(DIMMED, of="E")),
            repeat="target",
        ),
        series(
            ("Round trip", "往返时延"),
            (
                "A step is a new route, a rise is congestion: both widen the bound.",
                "阶跃表示路由改变，上升表示拥塞，两者都会增大误差界。",
            ),
            "s",
            Query(f"timesync_delay_seconds{{{OF_TARGET}}}", NAMED),
        ),
        Panel(
            "xychart",
            ("Offset against round trip", "钟差与往返时延的关系"),
            (
                "Points along a slope of one half: queues in one direction only (asymmetry), not the clock.",
                "点沿斜率二分之一分布：单方向排队（不对称），而不是时钟的问题。",
            ),
            (Query(f'SELECT "delay_s", "offset_s" {RAW} GROUP BY "target"', influx=True),),
            "s",
            options={"mapping": "auto", "series": []},
            custom=SCATTER,
            transformations=(
                {"id": "organize", "options": {"excludeByName": {"Time": True}}},
                {"id": "partitionByValues", "options": {"fields": ["target"], "keepFields": False}},
            ),
        ),
        series(
            ("Every measurement", "全部测量值"),
            (
                "Each sample as stored, late ones included; gaps have reasons in the panel of losses.",
                "存储的每个样本，含补传样本；缺口的原因见“按原因的丢失”。",
            ),
            "s",
            Query(
                f'SELECT mean("time_error_s") {RAW} GROUP BY time($__interval), "target" fill(null)',
                "$tag_target",
                influx=True,
            ),
        ),
        series(
            ("Parts of the bound", "误差界的组成"),
            ("What the bound is made of: reduce the largest part first.", "误差界的各个分量，应首先减小最大者。"),
            "s",
            Query(
                'SELECT mean("bound_path_s") AS "path", mean("bound_interpolation_s") AS "interpolation", '
                f'mean("bound_tie_s") AS "tie", mean("bound_oscillator_s") AS "oscillator" {RAW} GROUP BY time($__interval) fill(null)',
                "$col",
                influx=True,
            ),
        ),
        series(
            ("Losses by reason", "按原因的丢失"),
            (
                "Polls without a measurement, each second. timeout: path or server; kisses: its rate limit.",
                "每秒未获得测量的轮询。timeout 指路径或服务器，kiss 指服务器限速。",
            ),
            "short",
            Query(
                f"sum by (site, target, reason) (rate(timesync_losses_total{{{OF_TARGET}}}[$__rate_interval]))",
                f"{NAMED} {{{{reason}}}}",
            ),
        ),
        series(
            ("Reachability", "可达性"),
            (
                "Measured share of the last eight polls. 0: unreachable; see the losses beside.",
                "最近八次轮询中成功的比例。为 0 表示不可达，请看旁边的丢失原因。",
            ),
            "percentunit",
            Query(f"timesync_reachability_ratio{{{OF_TARGET}}}", NAMED),
            kind="loss",
        ),
        timeline(
            ("Stratum and leap indicator", "层级与闰秒标志"),
            (
                "Leap 3 or stratum 16: the server itself is not synchronised. Leap 1 or 2: check Bulletin C.",
                "闰秒标志 3 或层级 16：服务器自身未同步。标志 1 或 2：请核对 IERS C 公报。",
            ),
            Query(f"timesync_stratum{{{OF_TARGET}}}", f"{NAMED} stratum"),
            Query(f"timesync_leap{{{OF_TARGET}}}", f"{NAMED} leap"),
        ),
        series(
            ("What the server claims", "服务器声明值"),
            (
                "Root delay / 2 and root dispersion: the server's own account, not measured by us. Large: see its upstream.",
                "根时延的一半与根离散：服务器的自身声明，并非本系统测量。过大时请检查其上游。",
            ),
            "s",
            Query(f"timesync_root_delay_seconds{{{OF_TARGET}}} / 2", f"{NAMED} delay/2"),
            Query(f"timesync_root_dispersion_seconds{{{OF_TARGET}}}", f"{NAMED} dispersion"),
        ),
        series(
            ("Standard uncertainty and bound", "标准不确定度与误差界"),
            (
                "What the time error is known to. A rise: see which part rose, above and on Traceability.",
                "时间误差已知到何种程度。上升时请查看上方及“溯源”仪表板中上升的分量。",
            ),
            "s",
            Query(f"timesync_time_error_uncertainty_seconds{{{COMPARED}}}", f"{NAMED} u"),
            Query(BOUND, f"{NAMED} bound"),
        ),
        timeline(
            ("Timestamps taken by", "时间戳来源"),
            (
                "hardware, kernel or user: if it is user, the offset is some 10 us worse; see the probe's rights.",
                "硬件、内核或用户态。用户态时钟差约劣化 10 微秒，请检查探针权限。",
            ),
            Query(f"timesync_timestamping{{{OF_TARGET}}} == 1", f"{NAMED} {{{{timestamping}}}}"),
        ),
    ),
    first=("target",),
)
