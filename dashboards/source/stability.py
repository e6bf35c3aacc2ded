"""The dashboard *Stability*: deviations against averaging time, with intervals and masks."""

from __future__ import annotations

from dashboards.source.model import BAD, PLAIN, Dashboard, Look, Panel, Query
from dashboards.source.parts import NAMED, OF_SITE, OF_TARGET, ORGANISED, raw, series

__all__ = ["STABILITY"]

NOISES = {
    "2": ("white PM", "白色调相噪声", PLAIN),
    "1": ("flicker PM", "闪烁调相噪声", PLAIN),
    "0": ("white FM", "白色调频噪声", PLAIN),
    "-1": ("flicker FM", "闪烁调频噪声", PLAIN),
    "-2": ("random walk FM", "随机游走调频噪声", PLAIN),
    "-3": ("flicker walk FM", "闪烁游走调频噪声", PLAIN),
    "-4": ("random run FM", "随机奔跑调频噪声", PLAIN),
}
LINE = {"show": "points+lines", "pointSize": {"fixed": 5}, "lineWidth": 2}
THIN = {"custom.show": "lines", "custom.lineWidth": 1, "color": {"mode": "fixed", "fixedColor": PLAIN}}
MASKED = {
    "custom.show": "lines",
    "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
    "color": {"mode": "fixed", "fixedColor": BAD},
}


def _of_pair(metric: str) -> str:
    """A statistic against the reference; of a target that is compared with no other clock, against the probe's clock."""
    return f'timesync_{metric}{{{OF_TARGET}, reference!="probe"}} or on (site, probe, target) timesync_{metric}{{{OF_TARGET}}}'


def _curves(metric: str, unit: str) -> str:
    """The statistic, the ends of its interval and the masks on it, one series a point: averaging time, and which curve it is on."""
    found = []
    for end in ("", "lower", "upper"):
        name = "_".join(part for part in (metric, end, "seconds" if unit == "s" else "") if part)
        said = f'label_replace({_of_pair(name)}, "end", "{end}", "", "")'
        labels = '"site", "target", "reference", "estimator"' + (', "end"' if end else "")
        found.append(f'max by (tau, curve) (label_join({said}, "curve", " ", {labels}))')
    if unit == "s":
        mask = f'timesync_mask_seconds{{{OF_SITE},statistic="{metric}",mask=~"$mask"}}'
        found.append(f'max by (tau, curve) (label_replace({mask}, "curve", "mask $1", "mask", "(.*)"))')
    return " or ".join(found)


def _sigma_tau(title: tuple[str, str], metric: str, unit: str) -> Panel:
    masks = (
        (
            " Above a mask: see at which averaging time, and look for what happens in that time.",
            "超过模板时，请看在哪个平均时间，并查找该时长内的扰动。",
        )
        if unit == "s"
        else ("", "")
    )
    return Panel(
        "xychart",
        title,
        (
            f"With its confidence interval, by averaging time; a bend shows where the noise type changes.{masks[0]}",
            f"各平均时间的值及其置信区间，拐点表示噪声类型改变。{masks[1]}",
        ),
        (Query(_curves(metric, unit), instant=True),),
        unit,
        12,
        10,
        options={"mapping": "auto", "series": []},
        custom={**LINE, "scaleDistribution": {"type": "log", "log": 10}},
        transformations=(
            {
                "id": "convertFieldType",
                "options": {"fields": {}, "conversions": [{"targetField": "tau", "destinationType": "number"}]},
            },
            {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "tau", "desc": False}]}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}}},
            {"id": "partitionByValues", "options": {"fields": ["curve"], "keepFields": False}},
        ),
        looks=(Look(THIN, like="/^(?!tau ).*(lower|upper)$/"), Look(MASKED, like="/^mask /")),
    )


STABILITY = Dashboard(
    "stability",
    ("Stability", "稳定度"),
    (
        _sigma_tau(("Overlapping Allan deviation (OADEV)", "重叠阿伦偏差（OADEV）"), "oadev", "short"),
        _sigma_tau(("Modified Allan deviation (MDEV)", "修正阿伦偏差（MDEV）"), "mdev", "short"),
        _sigma_tau(("Time deviation (TDEV)", "时间偏差（TDEV）"), "tdev", "s"),
        _sigma_tau(("Maximum time interval error (MTIE)", "最大时间间隔误差（MTIE）"), "mtie", "s"),
        series(
            ("OADEV over time", "OADEV 随时间变化"),
            (
                "Each averaging time a line. One that rises: the clock has become noisier; see what changed then.",
                "每个平均时间一条曲线。上升表示时钟噪声变大，请查明当时的变化。",
            ),
            "short",
            Query(_of_pair("oadev"), f"{NAMED} {{{{tau}}}}"),
        ),
        series(
            ("Completeness", "数据完整率"),
            (
                "Share of polls that were measured. Below 90 % statistics have gaps: see losses on Target.",
                "成功测量的轮询比例。低于 90% 时统计有缺口，请查看“目标”仪表板的丢失。",
            ),
            "percentunit",
            Query(
                f"rate(timesync_replies_total{{{OF_TARGET}}}[$__rate_interval]) / rate(timesync_polls_total{{{OF_TARGET}}}[$__rate_interval])",
                NAMED,
            ),
        ),
        Panel(
            "table",
            ("Noise type by averaging time", "各平均时间的噪声类型"),
            (
                (
                    "As told from the newest OADEV. White PM at long averaging times: the path, not the clock; take more samples or a "
                    "better path."
                ),
                "由最新 OADEV 判定的噪声类型。长平均时间仍为白色调相噪声：是路径而非时钟，请增加样本或改善路径。",
            ),
            (
                Query(
                    f'SELECT last("alpha") AS "noise type" {raw("stability")} '
                    'AND "statistic" = \'oadev\' GROUP BY "target", "reference", "tau"',
                    influx=True,
                ),
            ),
            "short",
            24,
            8,
            transformations=(ORGANISED,),
            mappings=NOISES,
        ),
    ),
    ("site", "target", "mask"),
)
