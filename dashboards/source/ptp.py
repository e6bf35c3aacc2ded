"""The dashboard *PTP*: what the masters announce, what the stacks say of themselves, and what is measured."""

from __future__ import annotations

from dashboards.source.model import BAD, GOOD, WARN, Dashboard, Query
from dashboards.source.parts import NAMED, OF_TARGET, series, table, timeline
from timesync.alerts.kinds import KIND_OF

__all__ = ["PTP"]

PTP = Dashboard(
    "ptp",
    ("PTP", "PTP"),
    (
        series(
            ("Our measurement and the stack's claim", "实测值与协议栈声明值"),
            (
                "What we measure beside what the stack says of itself. They part: the stack is misled by its path.",
                "实测值与协议栈的自述。两者分离：协议栈受其路径误导，请检查路径不对称。",
            ),
            "s",
            Query(f'timesync_offset_seconds{{{OF_TARGET},protocol="ptp"}}', f"{NAMED} measured"),
            Query(f"timesync_ptp_stack_master_offset_seconds{{{OF_TARGET}}}", f"{NAMED} {{{{clock}}}} claimed"),
            width=24,
        ),
        series(
            ("Path delay", "路径时延"),
            (
                "Round trip that we measure, and mean path delay that the stack holds. A step: a changed path.",
                "实测的往返时延和协议栈的平均路径时延。阶跃表示路径改变。",
            ),
            "s",
            Query(f'timesync_delay_seconds{{{OF_TARGET},protocol="ptp"}}', f"{NAMED} round trip"),
            Query(f"timesync_ptp_stack_mean_path_delay_seconds{{{OF_TARGET}}}", f"{NAMED} {{{{clock}}}}"),
        ),
        timeline(
            ("clockClass", "时钟等级"),
            (
                "6: locked. 7 and the like: holdover, see the antenna. 248: default, never had a source.",
                "6：锁定。7 等：保持，请检查天线。248：默认值，从未有过源。",
            ),
            Query(f"timesync_ptp_clock_class{{{OF_TARGET}}}", NAMED),
            steps=((None, GOOD), (7, WARN), (52, BAD)),
        ),
        series(
            ("clockAccuracy", "时钟准确度"),
            (
                "What the grandmaster claims as a limit. Compare with the time error on Target.",
                "最高级主时钟声明的限值。请与“目标”仪表板的时间误差比较。",
            ),
            "s",
            Query(f"timesync_ptp_clock_accuracy_seconds{{{OF_TARGET}}}", NAMED),
        ),
        table(
            ("Grandmaster", "最高级主时钟"),
            (
                "Who is followed now. Not the one you expect: see priorities, and look for a rogue grandmaster.",
                "当前跟随的时钟。若非预期，请检查优先级，并查找非法的最高级主时钟。",
            ),
            f"timesync_ptp_master_info{{{OF_TARGET}}}",
        ),
        series(
            ("Other grandmasters in 10 min", "10 分钟内的其他最高级主时钟"),
            (
                "More than 0: the grandmaster changed. Was it planned?",
                "大于 0：最高级主时钟发生切换。是否在计划之内？",
            ),
            "short",
            Query(KIND_OF["grandmaster_change"].signal.promql, NAMED),
            kind="grandmaster_change",
        ),
        timeline(
            ("Steps removed", "跳数"),
            (
                "Boundary clocks between. A change: the network chose another way; was it meant?",
                "中间的边界时钟数。变化表示网络改道，是否有意为之？",
            ),
            Query(f"timesync_ptp_steps_removed{{{OF_TARGET}}}", NAMED),
        ),
        timeline(
            ("Port states", "端口状态"),
            (
                "As the stack has them. FAULTY: see the cable; LISTENING for long: no master is heard.",
                "协议栈的端口状态。FAULTY：检查线缆；长期 LISTENING：未收到主时钟报文。",
            ),
            Query(f"timesync_ptp_stack_port_state{{{OF_TARGET}}} == 1", "{{clock}} {{port}} {{state}}"),
        ),
        timeline(
            ("UTC offset and flags", "UTC 偏移与标志"),
            (
                "TAI - UTC as announced (37), whether valid, whether traceable. Not valid: UTC cannot be had from it.",
                "所通告的 TAI - UTC（37）、有效标志与可溯源标志。无效时无法由它得到 UTC。",
            ),
            Query(f"timesync_ptp_utc_offset_seconds{{{OF_TARGET}}}", f"{NAMED} offset"),
            Query(f"timesync_ptp_utc_offset_valid{{{OF_TARGET}}}", f"{NAMED} valid"),
            Query(f"timesync_ptp_time_traceable{{{OF_TARGET}}}", f"{NAMED} traceable"),
        ),
        series(
            ("Messages", "报文速率"),
            (
                "Each second, by type and direction. A rate that falls to 0: what stopped sending?",
                "每秒报文数，按类型与方向。降为 0 时请查找停止发送的设备。",
            ),
            "pps",
            Query(
                f"sum by (clock, direction, message) (rate(timesync_ptp_stack_messages_total{{{OF_TARGET}}}[$__rate_interval]))",
                "{{clock}} {{direction}} {{message}}",
            ),
            width=24,
        ),
    ),
    ("site", "target"),
)
