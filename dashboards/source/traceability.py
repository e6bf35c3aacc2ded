"""The dashboard *Traceability*: from a target to UTC, link by link, with what each is worth and until when."""

from __future__ import annotations

from dashboards.source.model import BAD, GOOD, SERIES, WARN, Dashboard, Look, Panel, Query
from dashboards.source.parts import (
    COMPARED,
    NAMED,
    OF_SITE,
    OF_TARGET,
    ON,
    ORGANISED,
    RAW,
    one,
    series,
    steps_of,
    table,
    timeline,
)
from timesync.alerts.kinds import KIND_OF

__all__ = ["TRACEABILITY"]

PARTS = ("path", "interpolation", "timestamping", "oscillator", "reference_path", "reference_upstream", "tie")
STATUSES = {
    "0": ("final", "最终（T 公报）", GOOD),
    "1": ("rapid", "快速（UTCr）", SERIES[4]),
    "2": ("predicted", "预测", WARN),
    "3": ("unavailable", "未发布", BAD),
}
STATUS = " + ".join(
    f'{number} * max without (status) (timesync_utc_status{{{COMPARED},status="{status}"}})'
    for number, status in enumerate(("final", "rapid", "predicted", "unavailable"))
    if number
)


def _parts(kind: str) -> Query:
    """Every part of a bound or of u, its mean over a pixel."""
    means = ", ".join(f'mean("{kind}_{part}_s") AS "{part}"' for part in PARTS)
    return Query(f"SELECT {means} {RAW} GROUP BY time($__interval) fill(null)", "$col", influx=True)


CLAIM = f"timesync_utc_claim{{{OF_TARGET}}} + {ON} timesync_utc_claim_carried or timesync_utc_claim{{{OF_TARGET}}}"
CLAIMS = {"0": ("no", "否", BAD), "1": ("yes", "是", GOOD), "2": ("carried", "维持", WARN)}

TRACEABILITY = Dashboard(
    "traceability",
    ("Traceability", "溯源"),
    (
        timeline(
            ("Claim against UTC(k)", "对 UTC(k) 的溯源声明"),
            (
                (
                    "Yes: compared with UTC(k). Carried: the reference is lost, and the probe's clock stands in for it with a bound "
                    "that grows; see to the reference. No: the reason is in the table beside."
                ),
                "是：已与 UTC(k) 比对。维持：参考已丢失，由探针时钟代替，误差界不断增大，请检查参考。否：原因见旁边的表格。",
            ),
            Query(CLAIM, NAMED),
            mappings=CLAIMS,
        ),
        table(
            ("Why there is no claim", "无溯源声明的原因"),
            (
                "Empty is good. deploy/METRICS.md says what to do for each reason.",
                "为空表示正常。每种原因的处理方法见 deploy/METRICS.md。",
            ),
            f"timesync_utc_claim_absent_info{{{OF_TARGET}}}",
        ),
        table(
            ("The chain: target, reference, tie, UTC(k)", "溯源链：目标、参考、溯源关系、UTC(k)"),
            (
                (
                    "A row a target: the reference it is compared with, the link that ties it, and the UTC(k). Value 1: the tie holds. "
                    "0: see link validity below."
                ),
                "每行一个目标：所比对的参考、建立溯源关系的链路和 UTC(k)。值为 1：溯源关系有效；为 0：请查看下方的链路有效期。",
            ),
            f"timesync_reference_info{{{COMPARED}}} * on (site, probe, reference) group_left (link) timesync_tie_claim{{{OF_SITE}}}",
            width=24,
        ),
        series(
            ("Budget: parts of the standard uncertainty", "不确定度预算：标准不确定度分量"),
            (
                "GUM, k = 1, each part as in the rows. Improve the largest; `timesync explain` shows the whole budget of a sample.",
                "GUM，k = 1，各分量与记录一致。应先改善最大的分量；timesync explain 给出单个样本的完整不确定度预算。",
            ),
            "s",
            _parts("u"),
        ),
        series(
            ("Budget: parts of the hard bound", "不确定度预算：误差界分量"),
            (
                "What the error cannot exceed, part by part. Reduce the largest: a shorter path, a shorter interval of the reference.",
                "误差不可能超过的各分量。应先减小最大者：更短的路径，或参考更短的轮询间隔。",
            ),
            "s",
            _parts("bound"),
        ),
        series(
            ("Standard uncertainty", "合成标准不确定度"),
            (
                "GUM, k = 1, of each target's time error. A rise: see which part of the budget rose.",
                "各目标时间误差的标准不确定度（GUM，k = 1）。上升时请查看不确定度预算中上升的分量。",
            ),
            "s",
            Query(f"timesync_time_error_uncertainty_seconds{{{COMPARED}}}", NAMED),
        ),
        series(
            ("Where each reference puts UTC(k)", "各参考给出的 UTC(k)"),
            (
                "Intervals of UTC(k) - probe. They must overlap: one that stands apart is wrong.",
                "UTC(k) 减探针时钟的区间，必须互相重叠；孤立的参考有误。",
            ),
            "s",
            Query("timesync:reference_low_seconds", f"{NAMED} low"),
            Query("timesync:reference_high_seconds", f"{NAMED} high"),
        ),
        timeline(
            ("Health of the references", "参考的健康状态"),
            (
                "agrees, undecided or outvoted, where a site has several references. outvoted: take it out of service and see why.",
                "站点有多个参考时：一致（agrees）、未定（undecided）或被否决（outvoted）。被否决的参考应停用并查明原因。",
            ),
            Query(f"timesync_reference_standing{{{OF_SITE}}} == 1", "{{site}} {{reference}} {{standing}}"),
        ),
        timeline(
            ("Status by Circular T", "T 公报（Circular T）状态"),
            (
                "What UTC minus target rests on: final (Circular T), rapid (UTCr), predicted, unavailable. Unavailable: import an issue.",
                "UTC 减目标的依据：最终（T 公报）、快速（UTCr）、预测、未发布。未发布时请导入相应期次。",
            ),
            Query(STATUS, NAMED),
            mappings=STATUSES,
        ),
        Panel(
            "table",
            ("Newest Circular T and UTCr", "最新的 T 公报（Circular T）与 UTCr"),
            (
                "Days since the newest published date, by laboratory. Circular T over 45, UTCr over 10: fetch or import the next issue.",
                "距最新发布日期的天数，按实验室。T 公报超过 45 天、UTCr 超过 10 天时请获取或导入下一期。",
            ),
            one(f"(time() - timesync_utc_published_until_timestamp_seconds{{{OF_SITE}}}) / 86400"),
            "d",
            12,
            8,
            ((None, GOOD), (45, WARN), (70, BAD)),
            transformations=(ORGANISED,),
            looks=(Look({"custom.cellOptions": {"type": "color-background", "mode": "basic"}}, like="/^Value$/"),),
        ),
        series(
            ("UTC minus target", "UTC 减目标"),
            (
                "By Circular T or UTCr, with its standard uncertainty. Absent: nothing is published for that day yet.",
                "依据 T 公报或 UTCr，含标准不确定度。缺失表示当日尚未发布。",
            ),
            "s",
            Query(f"timesync_utc_minus_target_seconds{{{COMPARED}}}", NAMED),
            Query(f"timesync_utc_minus_target_uncertainty_seconds{{{COMPARED}}}", f"{NAMED} u"),
        ),
        Panel(
            "bargauge",
            ("Link validity", "链路有效期倒计时"),
            (
                (
                    "How long each tie holds as it is now. A link moves its end on with new data; one that runs down gets none: see its "
                    "files or its server."
                ),
                "各溯源关系按当前状态还能持续多久。链路在有新数据时会顺延；持续减少说明没有新数据，请检查其文件或服务器。",
            ),
            one(f"timesync_tie_valid_until_timestamp_seconds{{{OF_SITE}}} - time()", "{{site}} {{reference}} {{link}}"),
            "s",
            12,
            8,
            ((None, BAD), (3600, WARN), (21_600, GOOD)),
            {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}},
        ),
        Panel(
            "stat",
            ("Days until declared ties end", "声明的溯源关系剩余天数"),
            (
                "Until the calibration or declaration of each reference ends. Under 14: have it calibrated.",
                "各参考的校准或声明的溯源关系的剩余天数。少于 14 天请安排校准。",
            ),
            one(KIND_OF["tie_expiring"].signal.promql, NAMED),
            "d",
            12,
            8,
            steps_of("tie_expiring"),
            {"reduceOptions": {"calcs": ["lastNotNull"]}},
        ),
    ),
    ("site", "target", "reference"),
)
