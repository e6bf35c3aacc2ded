"""The sigma-tau plot: deviations against averaging time on logarithmic axes, with their intervals and the masks' limits.

Rule: what is drawn is what the table says; fractional frequency and time have an axis each. Curves differ by colour, marker and
line, so that they are told apart in print without colour too (colours: Okabe and Ito, "Color Universal Design", 2008). A file
holds no address and asks for no font: glyphs are outlines. Needs matplotlib (the extra "plot"), imported where it is used.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from xml.sax.saxutils import escape

import numpy as np

from timesync.errors import DataError
from timesync.stability import STATISTICS
from timesync.stability_report import label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from timesync.stability import Stability
    from timesync.stability.masks import Mask
    from timesync.stability_report import Analysis

__all__ = ["COLOURS", "NO_METADATA", "STYLE", "need_matplotlib", "plain_svg", "plot"]

# Blue, vermilion, green, purple, orange, sky blue, black: dark enough on white first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
MASK_COLOUR = "#7F7F7F"  # and thicker than any curve
MASK_LINES = ("-", (0, (4, 1)), (0, (1.2, 0.8)), (0, (4, 1, 1, 1)))
GREY = "#5A5A5A"
FONT = "DejaVu Sans"  # comes with matplotlib: the same picture on every machine
WIDE_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "SimHei")
INSIDE = 4  # entries of a legend
DENSE = 60  # points from which on a band is drawn instead of bars
AXES = {"1": "Fractional frequency deviation", "s": "Time deviation (s)"}
STYLE = {
    "font.size": 9.0,
    "axes.linewidth": 0.7,
    "svg.fonttype": "path",
    "svg.hashsalt": "timesync",  # the same data give the same file
}


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    result: Stability
    name: str
    colour: str
    marker: str
    line: Any  # what matplotlib takes as a line style


def need_matplotlib() -> None:
    """Raises DataError with the remedy where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415 - an extra; here only asked for
    except ImportError as error:
        raise DataError("a plot needs matplotlib: pip install 'timesync[plot]'") from error


def plot(analyses: Sequence[Analysis], path: Path, *, title: str | None = None) -> None:
    """Draw the results into a file, .svg, .png or .pdf.

    Raises DataError where there is nothing to draw, the file cannot be written, or matplotlib is missing.
    """
    need_matplotlib()
    from matplotlib import rc_context  # noqa: PLC0415 - an extra

    with rc_context(cast("Any", {**STYLE, "font.family": families(_headline(analyses, title))})):  # keys are texts here
        content = finished(_figure(analyses, title), path, _headline(analyses, title), _subtitle(analyses))
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path}: the plot cannot be written ({error.strerror})") from error


def finished(figure: Figure, path: Path, headline: str, subtitle: str) -> bytes:
    """The figure as a file of the kind that the path names; a picture of what is the same is the same to the byte."""
    data = BytesIO()
    suffix = path.suffix.lower().lstrip(".")
    figure.savefig(data, format=suffix, dpi=220, metadata=NO_METADATA.get(suffix))
    content = data.getvalue()
    if suffix == "svg":
        content = plain_svg(content.decode("utf-8"), headline, subtitle).encode("utf-8")
    return content


def families(text: str) -> list[str]:
    """The font, and for a title in Chinese, Japanese or Korean one that has its characters, if this machine has any."""
    if text.isascii():
        return [FONT]
    from matplotlib.font_manager import fontManager  # noqa: PLC0415 - an extra

    there = set(fontManager.get_font_names())
    return [FONT, *(name for name in WIDE_FONTS if name in there)]


NO_METADATA: dict[str, dict[str, None]] = {
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    "png": {"Software": None},
    "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
}


def plain_svg(text: str, title: str, description: str) -> str:
    """Without document type and metadata, which hold addresses; with a title for those who hear it."""
    text = re.sub(r"<!DOCTYPE.*?>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    spoken = f'\n <title id="title">{escape(title)}</title>\n <desc id="desc">{escape(description)}</desc>'
    return re.sub(
        r"(<svg\b[^>]*?)>",
        lambda match: f'{match[1]} role="img" aria-labelledby="title desc">{spoken}',
        text,
        count=1,
    )


def _short(source: str) -> str:
    return source.rpartition("/")[2] or source


def _headline(analyses: Sequence[Analysis], title: str | None) -> str:
    if title is not None:
        return title
    names = [_short(each.data.source) for each in analyses]
    return "Stability of " + (", ".join(names) if len(names) <= 3 else f"{len(names)} series")


def _subtitle(analyses: Sequence[Analysis]) -> str:
    """What the intervals are, and of how many points at which interval."""
    results = [result for each in analyses for result in each.results.values()]
    parts = []
    first = analyses[0].data
    if all((each.data.x.size, each.data.tau0_s) == (first.x.size, first.tau0_s) for each in analyses):
        parts.append(f"{first.x.size} points of {first.kind}, one every {first.tau0_s:.6g} s")
    levels = {result.ci for result in results if np.isfinite(result.hi).any()}
    if len(levels) == 1 and (level := levels.pop()) is not None:
        parts.append(f"{'bands' if _is_dense(results) else 'bars'}: {100.0 * level:.6g} % confidence")
    if any(result.convention == "stable32" for result in results):
        parts.append("Stable32's conventions")
    return "; ".join(parts)


def _is_dense(results: Sequence[Stability]) -> bool:
    return max((len(result) for result in results), default=0) > DENSE


def _curves(analyses: Sequence[Analysis]) -> Iterator[_Curve]:
    """One source: a colour a statistic. Several: a colour a source, a line and marker a statistic."""
    several = len(analyses) > 1
    for a, analysis in enumerate(analyses):
        for s, (statistic, result) in enumerate(analysis.results.items()):
            if not np.any(result.dev > 0):
                continue
            name = f"{label(statistic)}, {_short(analysis.data.source)}" if several else label(statistic)
            place = a if several else s
            yield _Curve(
                result,
                name,
                COLOURS[place % len(COLOURS)],
                MARKERS[place % len(MARKERS)],
                LINES[s % len(LINES)],
            )


def _figure(analyses: Sequence[Analysis], title: str | None) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    curves = list(_curves(analyses))
    if not curves:
        raise DataError("there is nothing to plot: no statistic has a value above 0")
    units = [unit for unit in AXES if any(STATISTICS[curve.result.statistic].unit == unit for curve in curves)]
    masks = list(
        {mask.name: mask for each in analyses for mask, _ in each.verdicts if mask.statistic in STATISTICS}.values()
    )
    figure = Figure(
        figsize=(5.6 if len(units) == 1 else 9.6, 4.3 + 0.2 * _rows_below(curves, masks)),
        layout="constrained",
        facecolor="white",
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr, call-arg] # the engine just chosen
    panels = np.atleast_1d(figure.subplots(1, len(units)))
    for number, (panel, unit) in enumerate(zip(panels, units, strict=True)):
        here = [curve for curve in curves if STATISTICS[curve.result.statistic].unit == unit]
        _draw_panel(panel, here, masks if unit == "s" else [], unit)
        if number == 0:
            _head(panel, _headline(analyses, title), _subtitle(analyses))
    return figure


def _head(panel: Axes, headline: str, subtitle: str) -> None:
    head = panel.set_title(headline, fontsize=11.0, fontweight="bold", loc="left", pad=21.0)
    head.set_parse_math(False)  # a $ in a file's name is a $
    panel.annotate(
        subtitle, (0.0, 1.0), (0.0, 7.0), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color=GREY
    )


def _rows_below(curves: Sequence[_Curve], masks: Sequence[Mask]) -> int:
    """Rows that a legend takes below the panels; it makes the figure higher, not the panels lower."""
    entries = [len(masks), 0]
    for curve in curves:
        entries[STATISTICS[curve.result.statistic].unit == "1"] += 1
    most = max(entries)
    return 1 + (most + 1) // 2 if most > INSIDE else 0


def _draw_panel(panel: Axes, curves: Sequence[_Curve], masks: Sequence[Mask], unit: str) -> None:
    for curve in curves:
        _draw(panel, curve)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("Averaging time \N{GREEK SMALL LETTER TAU} (s)")
    panel.set_ylabel(_axis_label(curves, unit))
    shown = {curve.result.statistic for curve in curves}
    extent = panel.get_xlim()
    for number, mask in enumerate(mask for mask in masks if mask.statistic in shown):
        _draw_mask(panel, mask, extent, MASK_LINES[number % len(MASK_LINES)])
    panel.set_xlim(extent)
    _tick(panel)
    panel.grid(visible=True, which="major", color="#D0D0D0", linewidth=0.6)
    panel.grid(visible=True, which="minor", color="#ECECEC", linewidth=0.4)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.tick_params(which="both", direction="out", width=0.7)
    _explain(panel)


def _explain(panel: Axes) -> None:
    """A legend: in the panel where there is room for it, below it where there are many curves."""
    entries = len(panel.get_legend_handles_labels()[0])
    if entries < 2:  # the axis names it
        return
    place: dict[str, Any] = {"loc": "best"}
    if entries > INSIDE:
        place = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.14), "ncols": 2, "borderaxespad": 0.0}
    legend = panel.legend(framealpha=0.9, edgecolor="none", fontsize=8.5, handlelength=2.8, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _axis_label(curves: Sequence[_Curve], unit: str) -> str:
    """One statistic names its axis; several have a legend for that."""
    statistics = {curve.result.statistic for curve in curves}
    if len(statistics) > 1:
        return AXES[unit] if unit == "1" else "Time (s)"
    title = STATISTICS[statistics.pop()].title
    return title[0].upper() + title[1:] + (" (s)" if unit == "s" else "")


def _draw(panel: Axes, curve: _Curve) -> None:
    result = curve.result
    shown = result.dev > 0
    tau, dev, low, high = (each[shown] for each in (result.tau_s, result.dev, result.lo, result.hi))
    bars = np.isfinite(low) & np.isfinite(high) & (low > 0)
    dense = len(result) > DENSE
    panel.plot(
        tau,
        dev,
        label=curve.name,
        color=curve.colour,
        linestyle=curve.line,
        linewidth=1.3,
        marker="" if dense else curve.marker,
        markersize=4.2,
        markerfacecolor="white",
        markeredgewidth=1.1,
        zorder=3,
    )
    if dense:
        panel.fill_between(tau, low, high, where=bars.tolist(), color=curve.colour, alpha=0.18, linewidth=0, zorder=2)
    elif bars.any():
        panel.errorbar(
            tau[bars],
            dev[bars],
            # An interval of a biased estimate may lie beside it: a bar cannot have a negative length.
            yerr=(np.maximum(dev - low, 0.0)[bars], np.maximum(high - dev, 0.0)[bars]),
            fmt="none",
            ecolor=curve.colour,
            elinewidth=1.0,
            capsize=2.6,
            capthick=1.0,
            zorder=2,
        )


def _draw_mask(panel: Axes, mask: Mask, extent: tuple[float, float], line: Any) -> None:
    """The limit over the part of its range that the plot shows."""
    left, right = extent
    first, last = mask.range_s
    first, last = max(first, left), min(last, right)
    if not first < last:
        return
    edges = [edge for piece in mask.pieces for edge in (piece.from_s, piece.to_s) if first < edge < last]
    tau = np.unique(np.concatenate([np.geomspace(first, last, 200), edges]))
    panel.plot(
        tau, mask.limit_s(tau), color=MASK_COLOUR, linestyle=line, linewidth=2.4, label=f"limit {mask.name}", zorder=1.5
    )


def _tick(panel: Axes) -> None:
    """A label a decade; on an axis of less than two decades also at 2 and 5."""
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter  # noqa: PLC0415 - an extra

    for axis, (low, high) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
        decades = math.log10(high / low)
        axis.set_major_locator(LogLocator(10.0, subs=(1.0,) if decades > 1.7 else (1.0, 2.0, 5.0), numticks=30))
        axis.set_minor_locator(LogLocator(10.0, subs=tuple(range(2, 10)), numticks=300))
        axis.set_major_formatter(LogFormatterSciNotation(10.0, minor_thresholds=(math.inf, math.inf)))
        axis.set_minor_formatter(NullFormatter())
