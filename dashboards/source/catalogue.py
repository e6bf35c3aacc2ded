"""The seven dashboards: what is on each, what it is asked by, and what it says to do. Thresholds are those of the alerts."""

from __future__ import annotations

from dashboards.source.model import BAD, GOOD, WARN, Dashboard, Panel, Query
from timesync.alerts.kinds import KIND_OF

__all__ = ["DASHBOARDS"]

OF_TARGET = 'site=~"$site",target=~"$target"'
OF_SITE = 'site=~"$site"'
COMPARED = f'{OF_TARGET},reference=~"$reference"'
ON = "on (site, probe, target, protocol)"
NAMED = "{{site}} {{target}}"
STATE = {"fillOpacity": 80, "lineWidth": 0}
POINTS = {"drawStyle": "points", "pointSize": 4}
SCATTER = {"show": "points", "pointSize": {"fixed": 5}}


def _steps(kind: str) -> tuple[tuple[float | None, str], ...]:
    """From the alert of that name: good, the value at which it ends, the value at which it begins."""
    alert = KIND_OF[kind]
    if alert.below:
        middle = () if alert.clear == alert.threshold else ((alert.threshold, WARN),)
        return ((None, BAD), *middle, (alert.clear, GOOD))
    middle = () if alert.clear == alert.threshold else ((alert.clear, WARN),)
    return ((None, GOOD), *middle, (alert.threshold, BAD))


def _one(text: str) -> tuple[Query, ...]:
    return (Query(text, instant=True),)


def _stat(title: tuple[str, str], about: tuple[str, str], query: str, unit: str = "short", kind: str = "") -> Panel:
    steps = _steps(kind) if kind else ((None, GOOD),)
    return Panel("stat", title, about, _one(query), unit, 4, 4, steps, {"reduceOptions": {"calcs": ["lastNotNull"]}})


def _series(
    title: tuple[str, str], about: tuple[str, str], unit: str, *queries: Query, width: int = 12, kind: str = ""
) -> Panel:
    return Panel("timeseries", title, about, queries, unit, width, 8, _steps(kind) if kind else ())


ORGANISED = {"id": "organize", "options": {"excludeByName": {"Time": True, "instance": True, "job": True}}}


def _table(title: tuple[str, str], about: tuple[str, str], query: str, unit: str = "short", width: int = 12) -> Panel:
    return Panel("table", title, about, _one(query), unit, width, 8, transformations=(ORGANISED,))


def _timeline(title: tuple[str, str], about: tuple[str, str], *queries: Query) -> Panel:
    return Panel("state-timeline", title, about, queries, "short", 12, 8, custom=STATE)


X = f"timesync_time_error_seconds{{{COMPARED}}}"
BOUND = f"timesync_time_error_bound_seconds{{{COMPARED}}}"
LIMIT = f'timesync_limit_seconds{{{OF_TARGET},limit=~"$limit"}}'
RATIO = f"(abs({X}) + {BOUND}) / {ON} group_left (limit) {LIMIT}"

NETWORK = Dashboard(
    "network",
    ("Network", "网络总览"),
    (
        _stat(
            ("Targets with a claim", "可溯源目标数"),
            (
                "Targets compared with UTC(k) now. Fewer than configured: open Traceability and see the reasons.",
                "当前与 UTC(k) 比对的目标数。少于配置数时，请查看溯源面板中的原因。",
            ),
            f"sum(timesync_utc_claim{{{OF_SITE}}})",
        ),
        _stat(
            ("Alerts firing", "正在告警"),
            (
                "Alerts that the probes tell of. Open the runbook of each: deploy/RUNBOOKS.md.",
                "探针正在发出的告警，请查阅对应运行手册。",
            ),
            f"sum(timesync_alerts_firing{{{OF_SITE}}})",
        ),
        _stat(
            ("Worst |time error|", "最大时间偏差"),
            (
                "The largest |target - UTC(k)|. Find the target in the grid below.",
                "最大的 |目标 - UTC(k)|，请在下方表格中查找目标。",
            ),
            f"max(abs(timesync_time_error_seconds{{{OF_SITE}}}))",
            "s",
        ),
        _stat(
            ("Worst bound", "最大误差界"),
            (
                "The largest bound: nothing is wrong by more. A large one is most often a long path: see Target.",
                "最大的误差界。过大通常是路径过长，请查看目标面板。",
            ),
            f"max(timesync_time_error_bound_seconds{{{OF_SITE}}})",
            "s",
        ),
        _stat(
            ("Nearest to its limit", "最接近限值"),
            (
                "(|time error| + bound) / limit of the worst target. Above 1 it cannot be shown to be within.",
                "最差目标的（|时间偏差| + 误差界）/ 限值。大于 1 时无法证明在限值内。",
            ),
            f"max({RATIO})",
            "percentunit",
            "possible_breach",
        ),
        _stat(
            ("Oldest sample", "最旧样本"),
            (
                "Age of the oldest newest sample in poll intervals. Old: see that the probe polls.",
                "最旧的最新样本（以轮询间隔计）。过旧请检查探针是否轮询。",
            ),
            f"max((time() - timesync_last_sample_timestamp_seconds{{{OF_SITE}}}) / timesync_poll_interval_seconds{{{OF_SITE}}})",
            "short",
            "stale",
        ),
        Panel(
            "table",
            ("Every target minus $against", "各目标减 $against"),
            (
                (
                    "A row a target, a table for each clock it is compared with: differences of their time errors. "
                    "One that stands out in every table is the clock to look at."
                ),
                "每行一个目标，每个对照时钟一张表。在所有表中都突出的时钟需要检查。",
            ),
            _one(
                f'timesync_time_error_seconds{{{OF_SITE}}} - scalar(max(timesync_time_error_seconds{{{OF_SITE},target="$against"}}))'
            ),
            "s",
            12,
            8,
            transformations=(ORGANISED,),
            repeat="against",
        ),
        _series(
            ("Limit used", "限值占用"),
            (
                "(|time error| + bound) / limit. Act before it reaches 1.",
                "（|时间偏差| + 误差界）/ 限值。应在达到 1 之前处理。",
            ),
            "percentunit",
            Query(RATIO, NAMED),
            kind="possible_breach",
        ),
        _table(
            ("What fires", "告警列表"),
            (
                "Alerts by kind and severity, as the probes judge them. Read the runbook of each.",
                "按种类和级别列出的告警，请查阅运行手册。",
            ),
            f"timesync_alerts_firing{{{OF_SITE}}} > 0",
        ),
        _table(
            ("Verdicts", "故障归因"),
            (
                "Whose fault a change is held to be, with its confidence: begin there. Empty: no verdict.",
                "对变化的归因及置信度，从这里开始检查。空表示没有判定。",
            ),
            f"timesync_fault_confidence_ratio{{{OF_SITE}}}",
            "percentunit",
        ),
    ),
    ("site", "target", "reference", "limit", "against"),
)

RAW = """FROM "time_error" WHERE $timeFilter AND "target" =~ /^$target$/ AND "site" =~ /^$site$/"""

TARGET = Dashboard(
    "target",
    ("Target", "目标"),
    (
        _series(
            ("Time error with its bound and limit", "时间偏差、误差界与限值"),
            (
                "Target minus UTC(k); the truth lies between the ends. An end beyond the limit: possible breach; both: certain.",
                "目标减 UTC(k)；真值位于两端之间。一端超限为可能超限，两端超限为确定超限。",
            ),
            "s",
            Query(X, NAMED),
            Query(f"{X} + {BOUND}", f"{NAMED} upper"),
            Query(f"{X} - {BOUND}", f"{NAMED} lower"),
            Query(LIMIT, f"{NAMED} +limit"),
            Query(f"-{LIMIT}", f"{NAMED} -limit"),
            width=24,
        ),
        _series(
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
            ("Offset against round trip", "偏差与时延关系"),
            (
                "Points along a slope of one half: queues in one direction only (asymmetry), not the clock.",
                "点沿斜率二分之一分布：单方向排队（不对称），而不是时钟问题。",
            ),
            (Query(f'SELECT "delay_s", "offset_s" {RAW}', influx=True),),
            "s",
            custom=SCATTER,
        ),
        _series(
            ("Every measurement", "全部测量值"),
            (
                "Each sample as stored, late ones included; gaps have reasons in the panel of losses.",
                "存储的每个样本，含补传样本；缺口的原因见丢失面板。",
            ),
            "s",
            Query(
                f'SELECT mean("time_error_s") {RAW} GROUP BY time($__interval), "target" fill(null)',
                "$tag_target",
                influx=True,
            ),
        ),
        _series(
            ("Parts of the bound", "误差界组成"),
            ("What the bound is made of: reduce the largest part first.", "误差界的组成，应首先减小最大的部分。"),
            "s",
            Query(
                'SELECT mean("bound_path_s") AS "path", mean("bound_interpolation_s") AS "interpolation", '
                f'mean("bound_tie_s") AS "tie", mean("bound_oscillator_s") AS "oscillator" {RAW} GROUP BY time($__interval) fill(null)',
                "$col",
                influx=True,
            ),
        ),
        _series(
            ("Losses by reason", "按原因的丢失"),
            (
                "Polls without a measurement, each second. timeout: path or server; kisses: its rate limit.",
                "每秒未获得测量的轮询。timeout 指路径或服务器；kiss 指限速。",
            ),
            "short",
            Query(
                f"sum by (site, target, reason) (rate(timesync_losses_total{{{OF_TARGET}}}[$__rate_interval]))",
                f"{NAMED} {{{{reason}}}}",
            ),
        ),
        _series(
            ("Reachability", "可达性"),
            ("Measured share of the last eight polls. 0: unreachable.", "最近八次轮询的成功比例，0 表示不可达。"),
            "percentunit",
            Query(f"timesync_reachability_ratio{{{OF_TARGET}}}", NAMED),
            kind="loss",
        ),
        _timeline(
            ("Stratum and leap indicator", "层级与闰秒标志"),
            (
                "Leap 3 or stratum 16: the server itself is not synchronised. Leap 1 or 2: check Bulletin C.",
                "闰秒标志 3 或层级 16：服务器未同步。1 或 2：请核对公报 C。",
            ),
            Query(f"timesync_stratum{{{OF_TARGET}}}", f"{NAMED} stratum"),
            Query(f"timesync_leap{{{OF_TARGET}}}", f"{NAMED} leap"),
        ),
        _series(
            ("What the server claims", "服务器声明值"),
            (
                "Root delay / 2 and root dispersion: the server's own account, not measured by us.",
                "根时延的一半与根离散度：服务器自身声明，并非测量。",
            ),
            "s",
            Query(f"timesync_root_delay_seconds{{{OF_TARGET}}} / 2", f"{NAMED} delay/2"),
            Query(f"timesync_root_dispersion_seconds{{{OF_TARGET}}}", f"{NAMED} dispersion"),
        ),
        _timeline(
            ("Timestamps taken by", "时间戳方式"),
            (
                "hardware, kernel or user: if it is user, the offset is some 10 us worse; see the probe's rights.",
                "硬件、内核或用户态：用户态偏差约差 10 微秒，请检查探针权限。",
            ),
            Query(f"timesync_timestamping{{{OF_TARGET}}} == 1", f"{NAMED} {{{{timestamping}}}}"),
        ),
    ),
)

PTP = Dashboard(
    "ptp",
    ("PTP", "PTP"),
    (
        _series(
            ("Our measurement and the stack's claim", "测量值与协议栈声明值"),
            (
                "What we measure beside what the stack says of itself. They part: the stack is misled by its path.",
                "我们的测量与协议栈自述。两者分离说明协议栈受路径误导。",
            ),
            "s",
            Query(f'timesync_offset_seconds{{{OF_TARGET},protocol="ptp"}}', f"{NAMED} measured"),
            Query(f"timesync_ptp_stack_master_offset_seconds{{{OF_TARGET}}}", f"{NAMED} {{{{clock}}}} claimed"),
            width=24,
        ),
        _series(
            ("Path delay", "路径时延"),
            (
                "Round trip that we measure, and mean path delay that the stack holds. A step: a changed path.",
                "测得的往返时延和协议栈的平均路径时延。阶跃表示路径改变。",
            ),
            "s",
            Query(f'timesync_delay_seconds{{{OF_TARGET},protocol="ptp"}}', f"{NAMED} round trip"),
            Query(f"timesync_ptp_stack_mean_path_delay_seconds{{{OF_TARGET}}}", f"{NAMED} {{{{clock}}}}"),
        ),
        _timeline(
            ("clockClass", "时钟等级"),
            (
                "6: locked. 7 and the like: holdover, see the antenna. 248: default, never had a source.",
                "6：锁定。7 等：守时，检查天线。248：默认，从未有源。",
            ),
            Query(f"timesync_ptp_clock_class{{{OF_TARGET}}}", NAMED),
        ),
        _series(
            ("clockAccuracy", "时钟准确度"),
            (
                "What the grandmaster claims as a limit. Compare with the time error on Target.",
                "主时钟声明的准确度，请与目标面板的时间偏差比较。",
            ),
            "s",
            Query(f"timesync_ptp_clock_accuracy_seconds{{{OF_TARGET}}}", NAMED),
        ),
        _table(
            ("Grandmaster", "主时钟"),
            (
                "Who is followed now. Not the one you expect: see priorities, and look for a rogue grandmaster.",
                "当前跟随的主时钟。若非预期，请检查优先级及非法主时钟。",
            ),
            f"timesync_ptp_master_info{{{OF_TARGET}}}",
        ),
        _series(
            ("Other grandmasters in 10 min", "10 分钟内其他主时钟"),
            ("More than 0: the grandmaster changed. Was it planned?", "大于 0：主时钟发生切换，是否为计划内？"),
            "short",
            Query(KIND_OF["grandmaster_change"].signal.promql, NAMED),
            kind="grandmaster_change",
        ),
        _timeline(
            ("Steps removed", "跳数"),
            (
                "Boundary clocks between. A change: the network chose another way.",
                "中间的边界时钟数。变化表示网络改道。",
            ),
            Query(f"timesync_ptp_steps_removed{{{OF_TARGET}}}", NAMED),
        ),
        _timeline(
            ("Port states", "端口状态"),
            (
                "As the stack has them. FAULTY: see the cable; LISTENING for long: no master is heard.",
                "协议栈端口状态。FAULTY：检查线缆；长期 LISTENING：未收到主时钟。",
            ),
            Query(f"timesync_ptp_stack_port_state{{{OF_TARGET}}} == 1", "{{clock}} {{port}} {{state}}"),
        ),
        _timeline(
            ("UTC offset and flags", "UTC 偏移与标志"),
            (
                "TAI - UTC as announced (37), whether valid, whether traceable. Not valid: UTC cannot be had from it.",
                "宣告的 TAI - UTC（37）、有效与可溯源标志。无效时无法得到 UTC。",
            ),
            Query(f"timesync_ptp_utc_offset_seconds{{{OF_TARGET}}}", f"{NAMED} offset"),
            Query(f"timesync_ptp_utc_offset_valid{{{OF_TARGET}}}", f"{NAMED} valid"),
            Query(f"timesync_ptp_time_traceable{{{OF_TARGET}}}", f"{NAMED} traceable"),
        ),
        _series(
            ("Messages", "报文速率"),
            (
                "Each second, by type and direction. A rate that falls to 0: what stopped sending?",
                "按类型与方向的每秒报文数。降为 0 时查找停止发送的设备。",
            ),
            "pps",
            Query(
                f"sum by (clock, direction, message) (rate(timesync_ptp_stack_messages_total{{{OF_TARGET}}}[$__rate_interval]))",
                "{{clock}} {{direction}} {{message}}",
            ),
        ),
    ),
    ("site", "target"),
)


def _of_pair(metric: str) -> str:
    """A statistic against the reference; of a target that is compared with no other clock, against the probe's clock."""
    return f'timesync_{metric}{{{OF_TARGET}, reference!="probe"}} or on (site, probe, target) timesync_{metric}{{{OF_TARGET}}}'


def _sigma_tau(name: str, metric: str, title: str, unit: str) -> Panel:
    parts = [f"{metric}{end}{'_seconds' if unit == 's' else ''}" for end in ("", "_lower", "_upper")]
    return Panel(
        "xychart",
        (f"{title} against averaging time", f"{title} 与平均时间"),
        (
            f"{name} with its interval, by tau. Compare with the mask of your profile; a bend shows where the noise type changes.",
            f"{name} 及其置信区间。请与所用规范的模板比较；拐点表示噪声类型改变。",
        ),
        tuple(Query(_of_pair(part), f"{NAMED} {{{{tau}}}}", instant=True) for part in parts),
        unit,
        custom={**SCATTER, "scaleDistribution": {"type": "log", "log": 10}},
        transformations=(
            {
                "id": "convertFieldType",
                "options": {"conversions": [{"targetField": "tau", "destinationType": "number"}]},
            },
        ),
    )


STABILITY = Dashboard(
    "stability",
    ("Stability", "稳定度"),
    (
        _sigma_tau("Overlapping Allan deviation", "oadev", "OADEV", "short"),
        _sigma_tau("Modified Allan deviation", "mdev", "MDEV", "short"),
        _sigma_tau("Time deviation", "tdev", "TDEV", "s"),
        _sigma_tau("Maximum time interval error", "mtie", "MTIE", "s"),
        _series(
            ("OADEV over time", "OADEV 随时间变化"),
            (
                "Each averaging time a line. One that rises: the clock has become noisier.",
                "每个平均时间一条曲线。上升表示时钟噪声变大。",
            ),
            "short",
            Query(_of_pair("oadev"), f"{NAMED} {{{{tau}}}}"),
        ),
        _series(
            ("Completeness", "完整度"),
            (
                "Share of polls that were measured. Below 90 % statistics have gaps: see losses on Target.",
                "成功测量的轮询比例。低于 90% 时统计有缺口，请查看目标面板的丢失。",
            ),
            "percentunit",
            Query(
                f"rate(timesync_replies_total{{{OF_TARGET}}}[$__rate_interval]) / rate(timesync_polls_total{{{OF_TARGET}}}[$__rate_interval])",
                NAMED,
            ),
        ),
    ),
    ("site", "target"),
)

FORESEEN = f"timesync_holdover_predicted_1h_seconds{{{OF_TARGET}}}"
FORESEEN_U = f"timesync_holdover_predicted_1h_uncertainty_seconds{{{OF_TARGET}}}"

HOLDOVER = Dashboard(
    "holdover",
    ("Holdover", "守时"),
    (
        _timeline(
            ("State", "状态"),
            (
                "locked, holdover, out of specification ... In holdover: see to the source before the time to limit is gone.",
                "锁定、守时、超出规范等。守时期间应在剩余时间耗尽前恢复源。",
            ),
            Query(f"timesync_holdover_state{{{OF_TARGET}}} == 1", f"{NAMED} {{{{state}}}}"),
        ),
        _series(
            ("Time to limit", "到达限值的时间"),
            (
                "How long it stays within, with the configured confidence; at most the horizon. Short: act now.",
                "以设定置信度保持在限值内的时间。过短时请立即处理。",
            ),
            "s",
            Query(f"timesync_holdover_time_to_limit_seconds{{{OF_TARGET}}}", f"{NAMED} {{{{limit}}}} s"),
        ),
        _series(
            ("Measured now, and foreseen for an hour from now", "当前测量与一小时后预报"),
            (
                "The time error, and what it will be in an hour with twice its uncertainty. An end beyond the limit: act now.",
                "时间偏差及一小时后的预报（含两倍不确定度）。一端超限时请立即处理。",
            ),
            "s",
            Query(f"timesync_time_error_seconds{{{OF_TARGET}}}", f"{NAMED} measured"),
            Query(f"timesync_holdover_predicted_1h_seconds{{{OF_TARGET}}}", f"{NAMED} in 1 h"),
            Query(f"{FORESEEN} + 2 * {FORESEEN_U}", f"{NAMED} in 1 h, upper"),
            Query(f"{FORESEEN} - 2 * {FORESEEN_U}", f"{NAMED} in 1 h, lower"),
        ),
        _series(
            ("Score", "预报得分"),
            (
                "Share of the last forecasts whose interval held. Well below the confidence: the model does not fit.",
                "区间命中的预报比例。明显低于置信度说明模型不合适。",
            ),
            "percentunit",
            Query(f"timesync_holdover_score_ratio{{{OF_TARGET}}}", NAMED),
        ),
    ),
    ("site", "target"),
)

TRACEABILITY = Dashboard(
    "traceability",
    ("Traceability", "溯源"),
    (
        _timeline(
            ("Claim against UTC(k)", "UTC(k) 溯源声明"),
            (
                "1: compared with UTC(k). 0: the reason is in the table beside.",
                "1：与 UTC(k) 比对。0：原因见旁边的表格。",
            ),
            Query(f"timesync_utc_claim{{{OF_TARGET}}}", NAMED),
        ),
        _table(
            ("Why there is no claim", "无声明的原因"),
            (
                "Empty is good. deploy/METRICS.md says what to do for each reason.",
                "空表示正常。每种原因的处理见 deploy/METRICS.md。",
            ),
            f"timesync_utc_claim_absent_info{{{OF_TARGET}}}",
        ),
        _series(
            ("Where each reference puts UTC(k)", "各参考给出的 UTC(k)"),
            (
                "Intervals of UTC(k) - probe. They must overlap: one that stands apart is wrong.",
                "UTC(k) 减探针的区间，必须重叠；孤立者有误。",
            ),
            "s",
            Query("timesync:reference_low_seconds", f"{NAMED} low"),
            Query("timesync:reference_high_seconds", f"{NAMED} high"),
        ),
        Panel(
            "stat",
            ("Days until ties end", "校准剩余天数"),
            (
                "Until the calibration or declaration of each reference ends. Under 14: have it calibrated.",
                "各参考的校准或声明的剩余天数。少于 14 天请安排校准。",
            ),
            (Query(KIND_OF["tie_expiring"].signal.promql, NAMED, instant=True),),
            "d",
            12,
            8,
            _steps("tie_expiring"),
        ),
        _series(
            ("UTC minus target", "UTC 减目标"),
            (
                "By Circular T or UTCr, with its standard uncertainty. Absent: nothing is published for that day yet.",
                "依据 Circular T 或 UTCr，含标准不确定度。缺失表示尚未发布。",
            ),
            "s",
            Query(f"timesync_utc_minus_target_seconds{{{OF_TARGET}}}", f"{NAMED} {{{{label}}}}"),
            Query(f"timesync_utc_minus_target_uncertainty_seconds{{{OF_TARGET}}}", f"{NAMED} u"),
        ),
        _series(
            ("Standard uncertainty", "标准不确定度"),
            (
                "GUM, k = 1. Its parts are in every row; `timesync explain` shows the budget.",
                "GUM，k = 1。各分量在每行记录中，用 timesync explain 查看预算。",
            ),
            "s",
            Query(f"timesync_time_error_uncertainty_seconds{{{COMPARED}}}", NAMED),
        ),
    ),
    ("site", "target", "reference"),
)

PIPELINE = Dashboard(
    "pipeline",
    ("Pipeline", "数据链路"),
    (
        _stat(
            ("Oldest record waiting", "最旧待发记录"),
            (
                "Age of the oldest record that a sink lacks; no value: none waits. Old: the database is away.",
                "最旧未送达记录的时间；无值表示没有等待。过旧说明数据库不可用。",
            ),
            f"max(time() - timesync_spool_oldest_timestamp_seconds{{{OF_SITE}}})",
            "s",
            "spool_growing",
        ),
        _stat(
            ("Spool used", "缓存占用"),
            (
                "Share of its limit. Nearly full: bring the database back or raise max_bytes.",
                "占上限的比例。将满时请恢复数据库或提高 max_bytes。",
            ),
            f"max(timesync_spool_bytes{{{OF_SITE}}} / timesync_spool_limit_bytes{{{OF_SITE}}})",
            "percentunit",
            "spool_filling",
        ),
        _stat(
            ("Days of leap seconds", "闰秒表剩余天数"),
            (
                "Until the leap-second table ends. Under 30: get a new leap-seconds.list.",
                "闰秒表的剩余天数。少于 30 天请更新 leap-seconds.list。",
            ),
            f"min((timesync_leap_table_expiry_timestamp_seconds{{{OF_SITE}}} - time()) / 86400)",
            "d",
            "leap_list_expiring",
        ),
        _stat(
            ("Clock steps", "时钟跳变"),
            (
                "Of the probes' clocks since they began. More than at start: find out what sets the clock.",
                "探针时钟启动以来的跳变。多于启动时的一次请查明原因。",
            ),
            f"sum(timesync_clock_steps_total{{{OF_SITE}}})",
        ),
        _series(
            ("Records waiting", "等待的记录"),
            ("By sink. A rising line: that database is away or too slow.", "按数据库。持续上升说明其不可用或过慢。"),
            "short",
            Query(f"timesync_sink_records{{{OF_SITE}}}", "{{site}} {{sink}}"),
        ),
        _timeline(
            ("Databases", "数据库"),
            ("1: takes records. 0: away; the probe's log has the last error.", "1：可写。0：不可用，请查看探针日志。"),
            Query(f"timesync_sink_available{{{OF_SITE}}}", "{{site}} {{sink}}"),
        ),
        _series(
            ("Errors of writing", "写入错误"),
            (
                "Deliveries that failed and are tried again; records refused or dropped are lost.",
                "失败并重试的写入；被拒绝或丢弃的记录将丢失。",
            ),
            "short",
            Query(f"rate(timesync_sink_failures_total{{{OF_SITE}}}[$__rate_interval])", "{{site}} {{sink}} failed"),
            Query(f"rate(timesync_spool_dropped_total{{{OF_SITE}}}[$__rate_interval])", "{{site}} dropped"),
        ),
        _series(
            ("Lag", "延迟"),
            (
                "How late polls and the event loop run. Above 0.1 s: the host is too busy for its targets.",
                "轮询与事件循环的延迟。大于 0.1 秒说明主机过载。",
            ),
            "s",
            Query(f"timesync_event_loop_lag_seconds{{{OF_SITE}}}", "{{site}} {{probe}} loop"),
            Query(f"timesync_schedule_lag_seconds{{{OF_SITE}}}", "{{site}} {{probe}} polls"),
        ),
        _series(
            ("People told", "通知"),
            (
                "By messenger: sent, failed tries, dropped. Failures: see the log of the probe.",
                "按通知方式：已发、失败、丢弃。失败请查看探针日志。",
            ),
            "short",
            Query(
                f"increase(timesync_notifications_total{{{OF_SITE}}}[$__rate_interval])",
                "{{site}} {{messenger}} {{result}}",
            ),
        ),
        _table(
            ("Versions", "版本"),
            ("What runs where. Bring all probes to one version.", "各处运行的版本，请保持一致。"),
            f"timesync_build_info{{{OF_SITE}}}",
        ),
    ),
    ("site",),
)

DASHBOARDS = (NETWORK, TARGET, PTP, STABILITY, HOLDOVER, TRACEABILITY, PIPELINE)
