"""The dashboard *Pipeline*: whether what is measured arrives, and how the probes themselves are."""

from __future__ import annotations

from dashboards.source.model import Dashboard, Query
from dashboards.source.parts import OF_SITE, YES_NO, series, stat, table, timeline

__all__ = ["PIPELINE"]

PIPELINE = Dashboard(
    "pipeline",
    ("Pipeline", "数据管道"),
    (
        stat(
            ("Oldest record waiting", "最旧待发记录"),
            (
                "Age of the oldest record that a sink lacks; no value: none waits. Old: the database is away.",
                "最旧未送达记录距今的时间；无值表示没有等待的记录。过旧说明数据库不可用。",
            ),
            f"max(time() - timesync_spool_oldest_timestamp_seconds{{{OF_SITE}}})",
            "s",
            "spool_growing",
            width=6,
        ),
        stat(
            ("Spool used", "缓冲队列占用"),
            (
                "Share of its limit. Nearly full: bring the database back or raise max_bytes.",
                "占上限的比例。将满时请恢复数据库或提高 max_bytes。",
            ),
            f"max(timesync_spool_bytes{{{OF_SITE}}} / timesync_spool_limit_bytes{{{OF_SITE}}})",
            "percentunit",
            "spool_filling",
            width=6,
        ),
        stat(
            ("Days of leap seconds", "闰秒表剩余天数"),
            (
                "Until the leap-second table ends. Under 30: get a new leap-seconds.list.",
                "闰秒表的剩余天数。少于 30 天请更新 leap-seconds.list。",
            ),
            f"min((timesync_leap_table_expiry_timestamp_seconds{{{OF_SITE}}} - time()) / 86400)",
            "d",
            "leap_list_expiring",
            width=6,
        ),
        stat(
            ("Clock steps", "时钟跳变"),
            (
                "Of the probes' clocks since they began. More than at start: find out what sets the clock.",
                "各探针时钟自启动以来的跳变次数。多于启动时的一次时，请查明是什么在设置时钟。",
            ),
            f"sum(timesync_clock_steps_total{{{OF_SITE}}})",
            width=6,
        ),
        series(
            ("Records waiting", "等待的记录"),
            (
                "By sink. A rising line: that database is away or too slow.",
                "按数据库统计。持续上升说明该数据库不可用或过慢。",
            ),
            "short",
            Query(f"timesync_sink_records{{{OF_SITE}}}", "{{site}} {{sink}}"),
        ),
        timeline(
            ("Databases", "数据库"),
            (
                "1: takes records. 0: away; the probe's log has the last error.",
                "1：可写入。0：不可用，最近的错误见探针日志。",
            ),
            Query(f"timesync_sink_available{{{OF_SITE}}}", "{{site}} {{sink}}"),
            steps=YES_NO,
        ),
        series(
            ("Errors of writing", "写入错误"),
            (
                "Deliveries that failed and are tried again; records refused or dropped are lost.",
                "失败并重试的写入；被拒绝或丢弃的记录将丢失。",
            ),
            "short",
            Query(f"rate(timesync_sink_failures_total{{{OF_SITE}}}[$__rate_interval])", "{{site}} {{sink}} failed"),
            Query(f"rate(timesync_spool_dropped_total{{{OF_SITE}}}[$__rate_interval])", "{{site}} dropped"),
        ),
        series(
            ("Lag", "延迟"),
            (
                "How late polls and the event loop run. Above 0.1 s: the host is too busy for its targets.",
                "轮询与事件循环的延迟。大于 0.1 秒说明主机对其目标数而言过载。",
            ),
            "s",
            Query(f"timesync_event_loop_lag_seconds{{{OF_SITE}}}", "{{site}} {{probe}} loop"),
            Query(f"timesync_schedule_lag_seconds{{{OF_SITE}}}", "{{site}} {{probe}} polls"),
        ),
        series(
            ("People told", "通知"),
            (
                "By messenger: sent, failed tries, dropped. Failures: see the log of the probe.",
                "按通知方式：已发、失败、丢弃。有失败时请查看探针日志。",
            ),
            "short",
            Query(
                f"increase(timesync_notifications_total{{{OF_SITE}}}[$__rate_interval])",
                "{{site}} {{messenger}} {{result}}",
            ),
        ),
        table(
            ("Versions", "版本"),
            ("What runs where. Bring all probes to one version.", "各处运行的版本。请将所有探针升级到同一版本。"),
            f"timesync_build_info{{{OF_SITE}}}",
        ),
    ),
    ("site",),
)
