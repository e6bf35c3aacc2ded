"""A capture over time: the offset of each clock with its spread and its best bound, and below them the messages a second and
losses.

Rule: what is drawn is what the report says: bins with their mean, smallest and largest, nothing smoothed. Each clock has a
panel and a scale of its own, because microseconds of one would vanish beside milliseconds of another. Needs matplotlib (the
extra "plot").
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from timesync.errors import DataError
from timesync.stability_plot import COLOURS, NO_METADATA, STYLE, need_matplotlib, plain_svg
from timesync.text import offset_text, size_text
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from timesync.capture.report import CaptureReport, Master, TwoWay

__all__ = ["need_matplotlib", "plot"]

PANELS = 6
MASTERS = 6
STEP_MESSAGES = 32
GREY, RED = "#5A5A5A", "#D00000"
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def plot(report: CaptureReport, path: Path) -> None:
    """Draw the report into a file, .svg, .png or .pdf.

    Raises DataError where there is nothing to draw, the file cannot be written, or matplotlib is missing.
    """
    need_matplotlib()
    from matplotlib import rc_context  # noqa: PLC0415 - an extra

    suffix = path.suffix.lower().lstrip(".")
    with rc_context(cast("Any", {**STYLE, "font.family": ["DejaVu Sans"]})):  # keys are texts here
        figure = _figure(report)
        data = BytesIO()
        figure.savefig(data, format=suffix, dpi=160, metadata=NO_METADATA.get(suffix))
    content = data.getvalue()
    if suffix == "svg":
        content = plain_svg(content.decode("utf-8"), _title(report), _subtitle(report)).encode("utf-8")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path}: the plot cannot be written ({error.strerror})") from error


def _title(report: CaptureReport) -> str:
    return f"PTP and NTP in {report.source.rpartition('/')[2] or report.source}"


def _subtitle(report: CaptureReport) -> str:
    begun = format_utc(report.first_at_ns or 0)
    return f"from {begun[:23]}Z: {report.ptp_messages} PTP messages, {report.ntp_packets} NTP packets"


def _figure(report: CaptureReport) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    drawn = sorted((each for each in report.exchanges if each.timeline), key=lambda each: -each.exchanges)
    pairs = drawn[:PANELS]
    masters = sorted((each for each in report.masters if each.syncs_timeline), key=lambda each: -each.syncs)[:MASTERS]
    if not pairs and not masters:
        raise DataError("there is nothing to plot: no two-way offset and no Sync was seen")
    rows = len(pairs) + bool(masters)
    figure = Figure(figsize=(8.4, 0.9 + 1.75 * rows + 0.9 * bool(masters)), layout="constrained", facecolor="white")
    heights = [1.0] * len(pairs) + ([1.5] if masters else [])
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    origin_ns = report.first_at_ns or 0
    colours = _colours([pair.clock for pair in pairs] + [_name(master) for master in masters])
    for panel, pair in zip(panels, pairs, strict=False):
        _draw_offset(panel, pair, origin_ns, colours[pair.clock][0])
    if masters:
        _draw_rates(panels[-1], masters, origin_ns, colours)
    for panel in panels:
        _dress(panel)
    panels[-1].set_xlabel("Time since the capture began (s)")
    told = f"; the {PANELS} clocks with most exchanges of {len(drawn)}" if len(drawn) > PANELS else ""
    for text, up, style in (
        (_title(report), 36.0, {"fontsize": 11.0, "fontweight": "bold"}),
        (_subtitle(report) + told, 22.0, {"fontsize": 8.5, "color": GREY}),
    ):
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", **style}
        panels[0].annotate(text, (0.0, 1.0), (0.0, up), **place).set_parse_math(False)
    return figure


def _name(master: Master) -> str:
    """A master as the exchanges with it name their clock."""
    sdo = f" sdoId {master.sdo:#05x}" if master.sdo else ""
    return f"{master.port} domain {master.domain}{sdo}" + "".join(f" VLAN {vlan}" for vlan in master.vlans)


def _colours(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a line for each clock, the same in every panel."""
    distinct = enumerate(dict.fromkeys(names))
    return {
        name: (COLOURS[number % len(COLOURS)], "--" if number >= len(COLOURS) else "-") for number, name in distinct
    }


def _dress(panel: Axes) -> None:
    panel.grid(visible=True, which="major", color="#D9D9D9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.margins(x=0.01)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _scale(pair: TwoWay) -> tuple[float, str]:
    """The unit in which a panel's spread reads well."""
    low, high = min(each.min_s for each in pair.timeline), max(each.max_s for each in pair.timeline)
    reach = max(abs(low), abs(high))
    return next(((unit_s, name) for unit_s, name in UNITS if reach >= unit_s), UNITS[-1])


def _draw_offset(panel: Axes, pair: TwoWay, origin_ns: int, colour: str) -> None:
    unit_s, unit = _scale(pair)
    at = [(each.at_ns + each.width_ns // 2 - origin_ns) * 1e-9 for each in pair.timeline]
    panel.fill_between(
        at,
        [each.min_s / unit_s for each in pair.timeline],
        [each.max_s / unit_s for each in pair.timeline],
        color=colour,
        alpha=0.22,
        linewidth=0,
    )
    mean = [each.mean_s / unit_s for each in pair.timeline]
    panel.plot(at, mean, color=colour, linewidth=1.1, marker="." if len(at) < 80 else "", markersize=3.5)
    words = ""
    if pair.best_offset_s is not None and pair.best_bound_s is not None:
        low, high = (pair.best_offset_s + sign * pair.best_bound_s for sign in (-1, 1))
        panel.axhspan(low / unit_s, high / unit_s, color=GREY, alpha=0.18, linewidth=0)
        words = f"best {offset_text(pair.best_offset_s)} \N{PLUS-MINUS SIGN} {size_text(pair.best_bound_s)} (grey)"
    panel.ticklabel_format(axis="y", style="plain", useOffset=False)
    panel.set_ylabel(f"Offset ({unit})")
    head = f"{pair.clock}, {pair.mechanism}, asked by {pair.requester}; scale {pair.timescale}"
    panel.set_title(head, loc="left", fontsize=8.5).set_parse_math(False)
    if words:
        panel.set_title(words, loc="right", fontsize=8.0, color=GREY)


def _draw_rates(panel: Axes, masters: Sequence[Master], origin_ns: int, colours: Mapping[str, tuple[str, str]]) -> None:
    """Sync messages a second of each master, and where they were lost."""
    lost, highest = False, 0.0
    for master in masters:
        edges, rates = _rates(master, origin_ns)
        highest = max(highest, *rates)
        colour, line = colours[_name(master)]
        panel.stairs(rates, edges, color=colour, linestyle=line, linewidth=1.3, label=_name(master), baseline=None)
        at = [(each.at_ns + each.width_ns // 2 - origin_ns) * 1e-9 for each in master.losses_timeline]
        if at:
            panel.plot(at, [0.0] * len(at), color=RED, marker="|", markersize=9, linestyle="", clip_on=False)
            lost = True
    if lost:
        panel.plot([], [], color=RED, marker="|", markersize=9, linestyle="", label="lost, or without Follow_Up")
    panel.set_ylim(0.0, (1.15 + 0.18 * len(masters)) * highest)  # room for the legend
    panel.set_ylabel("Sync a second (1/s)")
    for text in panel.legend(loc="upper right", fontsize=8.0, framealpha=0.9, edgecolor="none").get_texts():
        text.set_parse_math(False)


def _rates(master: Master, origin_ns: int) -> tuple[list[float], list[float]]:
    """Steps of at least 32 messages each (fewer say little of a rate), the rest with the last: their edges (s) and rates (1/s)."""
    bins = master.syncs_timeline
    edges, rates, held = [(bins[0].at_ns - origin_ns) * 1e-9], [0.0], 0
    end_s = (master.last_at_ns - origin_ns) * 1e-9
    for number, each in enumerate(bins):
        held += each.count
        end = (each.at_ns + each.width_ns - origin_ns) * 1e-9
        left = sum(later.count for later in bins[number + 1 :]) if held >= STEP_MESSAGES else 0
        if held >= STEP_MESSAGES and left >= STEP_MESSAGES:
            rates[-1] = held / (end - edges[-1])
            edges.append(end)
            rates.append(0.0)
            held = 0
    end_s = max(end_s, edges[-1] + bins[-1].width_ns * 1e-9)
    rates[-1] = held / (end_s - edges[-1])
    return [*edges, end_s], rates
