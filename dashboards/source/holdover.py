"""The dashboard *Holdover*: who coasts, how far off he will be, and how good the forecasts were."""

from __future__ import annotations

from dashboards.source.model import BAD, GOOD, PLAIN, WARN, Dashboard, Look, Panel, Query
from dashboards.source.parts import DIMMED, LIMIT, NAMED, OF_TARGET, series, timeline
from dashboards.source.target import BAND

__all__ = ["HOLDOVER"]

FORESEEN = f"timesync_holdover_predicted_1h_seconds{{{OF_TARGET}}}"
FORESEEN_U = f"timesync_holdover_predicted_1h_uncertainty_seconds{{{OF_TARGET}}}"
NUMBERED = ("locked", "holdover", "holdover_out", "acquiring", "freerun", "unknown")
STATES = {
    "0": ("locked", "锁定", GOOD),
    "1": ("holdover", "保持", WARN),
    "2": ("out of specification", "保持（超出规范）", BAD),
    "3": ("acquiring", "捕获", WARN),
    "4": ("free run", "自由运行", BAD),
    "5": ("unknown", "未知", PLAIN),
}
STATE = " + ".join(
    f'{number} * max without (state) (timesync_holdover_state{{{OF_TARGET},state="{state}"}})'
    for number, state in enumerate(NUMBERED)
    if number
)

HOLDOVER = Dashboard(
    "holdover",
    ("Holdover", "保持"),
    (
        timeline(
            ("State", "状态"),
            (
                "Locked, holdover, out of specification ... In holdover: see to the source before the time to limit is gone.",
                "锁定、保持、超出规范等。处于保持状态时，应在到达限值之前恢复源。",
            ),
            Query(STATE, NAMED),
            mappings=STATES,
        ),
        series(
            ("Time to limit", "到达限值的时间"),
            (
                "How long it stays within, with the configured confidence; at most the horizon. Short: act now.",
                "以所设置信概率保持在限值内的时间，最长为预测时限。过短时请立即处理。",
            ),
            "s",
            Query(f"timesync_holdover_time_to_limit_seconds{{{OF_TARGET}}}", f"{NAMED} {{{{limit}}}} s"),
        ),
        Panel(
            "timeseries",
            ("$target: measured, and foreseen for an hour from now", "$target：实测与一小时后的预报"),
            (
                "The time error, and what it will be in an hour with twice its uncertainty. An end beyond the limit: act now.",
                "时间误差及一小时后的预报（带的半宽为两倍标准不确定度）。一端越过限值时请立即处理。",
            ),
            (
                Query(f"timesync_time_error_seconds{{{OF_TARGET}}}", "measured"),
                Query(f"{FORESEEN} + 2 * {FORESEEN_U}", "upper"),
                Query(f"{FORESEEN} - 2 * {FORESEEN_U}", "lower"),
                Query(FORESEEN, "in 1 h"),
                Query(LIMIT, "+limit"),
                Query(f"-{LIMIT}", "-limit"),
            ),
            "s",
            looks=(*BAND, Look(DIMMED, of="E"), Look(DIMMED, of="F")),
            repeat="target",
        ),
        Panel(
            "timeseries",
            ("$target: forecast and truth", "$target：预报与实况"),
            (
                "What was foreseen an hour ago for now, and what is measured now. The truth often outside the band: trust no forecast.",
                "一小时前对现在的预报与现在的实测。实况常在带外：不要相信预报。",
            ),
            (
                Query(f"timesync_time_error_seconds{{{OF_TARGET}}}", "measured"),
                Query(f"{FORESEEN} offset 1h + 2 * {FORESEEN_U} offset 1h", "upper"),
                Query(f"{FORESEEN} offset 1h - 2 * {FORESEEN_U} offset 1h", "lower"),
                Query(f"{FORESEEN} offset 1h", "in 1 h"),
            ),
            "s",
            looks=BAND,
            repeat="target",
        ),
        series(
            ("Score", "预报得分"),
            (
                "Share of the last forecasts whose interval held. Well below the confidence: the model does not fit.",
                "实测落在区间内的预报所占比例。明显低于置信概率说明模型不合适。",
            ),
            "percentunit",
            Query(f"timesync_holdover_score_ratio{{{OF_TARGET}}}", NAMED),
        ),
        series(
            ("Newest holdover that is over", "最近一次已结束的保持"),
            (
                "Its largest time error, and its step at the end. Beyond the limit: the clock cannot bridge such a gap.",
                "其间最大的时间误差及结束时的阶跃。超过限值说明该时钟无法跨越这样的中断。",
            ),
            "s",
            Query(f"timesync_holdover_last_max_error_seconds{{{OF_TARGET}}}", f"{NAMED} largest"),
            Query(f"timesync_holdover_last_end_step_seconds{{{OF_TARGET}}}", f"{NAMED} step"),
        ),
    ),
    ("site", "target", "limit"),
    ("target",),
)
