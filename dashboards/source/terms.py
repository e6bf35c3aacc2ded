"""The terms, English and Chinese: one word for one thing, in every title, description, legend and alert.

Rule: wherever an English text uses a term, its Chinese twin uses the word beside it here; a test looks. Sources of the Chinese words:
JJF 1180 and JJF 1001 (time, frequency and general metrology), GB/T 25931 (IEEE 1588), and the Chinese editions of ITU-T G.810, where
*time error* is 时间误差 and *time deviation*, TDEV, is 时间偏差: the two are not mixed up. *Holdover* is 保持; 守时 is what a
laboratory does that keeps a time scale.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LEGENDS", "TERMS", "legend", "missing"]

TERMS: tuple[tuple[str, str], ...] = (
    (r"time errors?\b", "时间误差"),
    (r"time deviation", "时间偏差"),
    (r"maximum time interval error", "最大时间间隔误差"),
    (r"modified allan deviation", "修正阿伦偏差"),
    (r"overlapping allan deviation", "重叠阿伦偏差"),
    (r"\boffset(?! and flags)\b(?<!UTC offset)", "钟差"),
    (r"\bUTC offset\b", "UTC 偏移"),
    (r"\b(hard )?bounds?\b", "误差界"),
    (r"standard uncertainty", "标准不确定度"),
    (r"\bbudget\b", "不确定度预算"),
    (r"\bholdover\b", "保持"),
    (r"\bgrandmasters?\b", "最高级主时钟"),
    (r"clockClass", "时钟等级"),
    (r"clockAccuracy", "时钟准确度"),
    (r"steps removed", "跳数"),
    (r"leap seconds?\b|leap-second", "闰秒"),
    (r"\bstratum\b", "层级"),
    (r"round trip", "往返时延"),
    (r"path delay", "路径时延"),
    (r"root delay", "根时延"),
    (r"root dispersion", "根离散"),
    (r"\basymmetry\b", "不对称"),
    (r"\breferences?\b", "参考"),
    (r"(?<!\$)\btargets?\b", "目标"),
    (r"\bprobes?\b(?!')", "探针"),
    (r"(?<!rate )\blimits?\b", "限值|超限|上限"),
    (r"\bmasks?\b", "模板"),
    (r"\bclaims?\b against UTC", "溯源"),
    (r"\btraceab", "溯源"),
    (r"\bties?\b", "溯源关系"),
    (r"\blinks?\b", "链路"),
    (r"calibrat", "校准"),
    (r"Circular T\b", "T 公报"),
    (r"Bulletin C\b", "C 公报"),
    (r"\bforecasts?\b|\bforeseen\b", "预报"),
    (r"confidence interval", "置信区间"),
    (r"averaging time", "平均时间"),
    (r"noise type", "噪声类型"),
    (r"\bspool\b", "缓冲队列"),
    (r"\bpolls?\b", "轮询"),
)
"""English (a pattern, in any case) and the Chinese word, or one of them, that its twin has."""

LEGENDS: Mapping[str, str] = {
    "+limit": "+限值",
    "-limit": "-限值",
    "bound": "误差界",
    "claimed": "声明",
    "critical": "严重",
    "delay/2": "时延/2",
    "dispersion": "离散",
    "dropped": "丢弃",
    "failed": "失败",
    "high": "上端",
    "in": "预报",
    "largest": "最大",
    "leap": "闰秒标志",
    "loop": "事件循环",
    "lower": "下界",
    "measured": "实测",
    "offset": "偏移",
    "polls": "轮询",
    "round": "往返",
    "silent": "无响应",
    "step": "阶跃",
    "stratum": "层级",
    "traceable": "可溯源",
    "trip": "时延",
    "upper": "上界",
    "valid": "有效",
    "warning": "警告",
    "well": "正常",
    "low": "下端",
}
"""Words of legends."""

_WORD = re.compile(r"\{\{.*?\}\}|\$\w+|[^\s{}$]+")


def legend(text: str, language: str) -> str:
    """A legend in a language: words are put in Chinese, labels in braces stay."""
    return text if language == "en" else _WORD.sub(lambda found: LEGENDS.get(found[0], found[0]), text)


def missing(english: str, chinese: str) -> list[str]:
    """The Chinese words that a text lacks though its English twin uses the term."""
    return [
        word for pattern, word in TERMS if re.search(pattern, english, re.IGNORECASE) and not re.search(word, chinese)
    ]
