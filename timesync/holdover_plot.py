"""The holdover plot: what was measured, what is forecast with its band, the limit, and when the limit is left.

Rule: what is drawn is what the report says, on one time axis; below it the probability that the limit has been left. Colours and
fonts are those of the sigma-tau plot. Needs matplotlib (the extra "plot"), imported where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from timesync.errors import DataError
from timesync.holdover_report import sentences, span_text
from timesync.stability_plot import COLOURS, GREY, MASK_COLOUR, STYLE, families, finished, need_matplotlib

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from timesync.holdover_report import Outlook

__all__ = ["plot"]

MOST = 800  # points of the history that are drawn, evenly chosen
PAST = 1.0  # of the horizon: how much of the history is shown at most
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{GREEK SMALL LETTER MU}s"), (1e-9, "ns"))
SPANS = (
    (86_400.0 * 3, 86_400.0, "days"),
    (3600.0 * 3, 3600.0, "hours"),
    (180.0, 60.0, "minutes"),
    (0.0, 1.0, "seconds"),
)


def plot(outlook: Outlook, path: Path) -> None:
    """Draw the outlook into a file, .svg, .png or .pdf. Raises DataError where it cannot be written, or matplotlib is missing."""
    need_matplotlib()
    from matplotlib import rc_context  # noqa: PLC0415 - an extra

    headline = next(sentences(outlook), outlook.series.source)
    with rc_context(cast("Any", {**STYLE, "font.family": families(headline)})):  # keys are texts here
        content = finished(_figure(outlook, headline), path, headline, _subtitle(outlook))
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path}: the plot cannot be written ({error.strerror})") from error


def _subtitle(outlook: Outlook) -> str:
    belief = outlook.prediction.belief
    return f"{belief.samples} samples over {span_text(outlook.series.span_s)}; forecast from the last of them"


def _figure(outlook: Outlook, headline: str) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(8.4, 5.4), layout="constrained", facecolor="white")
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    _draw_error(upper, outlook)
    _draw_passage(lower, outlook)
    head = upper.set_title(headline, fontsize=11.0, fontweight="bold", loc="left", pad=21.0)
    head.set_parse_math(False)
    upper.annotate(
        _subtitle(outlook),
        (0.0, 1.0),
        (0.0, 7.0),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        color=GREY,
    )
    for panel in (upper, lower):
        panel.grid(visible=True, which="major", color="#D0D0D0", linewidth=0.6)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    return figure


def _span(outlook: Outlook) -> tuple[float, str]:
    horizon = float(outlook.prediction.clock.t_s[-1])
    return next((scale, name) for least, scale, name in SPANS if horizon >= least)


def _draw_error(panel: Axes, outlook: Outlook) -> None:
    prediction, series = outlook.prediction, outlook.series
    forecast = prediction.clock
    scale, _ = _span(outlook)
    limits = [found.limit_s for found in prediction.passages]
    now_s = prediction.belief.states.at_s
    past = (series.t_s >= now_s - PAST * forecast.t_s[-1]) & ~np.isnan(series.x_s)
    t, x = series.t_s[past] - now_s, series.x_s[past]
    few = slice(None, None, max(1, t.size // MOST))
    tallest = max(
        [
            min(limits, default=0.0),
            float(np.abs(x).max(initial=0.0)),
            float(np.abs([forecast.low_s, forecast.high_s]).max()) / 4,
        ]
    )
    unit, unit_name = next(((size, name) for size, name in UNITS if tallest >= size), UNITS[-1])
    panel.plot(t[few] / scale, x[few] / unit, ".", color=COLOURS[0], markersize=1.8, label="measured")
    ahead = forecast.t_s / scale
    level = f"{100 * prediction.confidence:.6g} %"
    panel.fill_between(
        ahead, forecast.band_low_s / unit, forecast.band_high_s / unit, color=COLOURS[1], alpha=0.16, linewidth=0,
        label=f"{level} throughout",
    )  # fmt: skip
    panel.fill_between(
        ahead, forecast.low_s / unit, forecast.high_s / unit, color=COLOURS[1], alpha=0.22, linewidth=0,
        label=f"{level} at each instant",
    )  # fmt: skip
    panel.plot(ahead, forecast.mean_s / unit, color=COLOURS[1], linewidth=1.5, label="forecast")
    for number, limit in enumerate(limits):
        for sign in (-1, 1):
            name = "limit" if number == 0 and sign == 1 else None
            panel.axhline(sign * limit / unit, color=MASK_COLOUR, linewidth=1.8, linestyle=(0, (4, 1.5)), label=name)
    panel.axvline(0.0, color="black", linewidth=0.8)
    for within in outlook.within_s:
        if within:
            panel.axvline(within / scale, color=COLOURS[2], linewidth=1.4, linestyle=":")
    if limits:  # the narrowest limit is what is asked about; a wider one is drawn where there is room
        far = np.interp(
            outlook.within_s[int(np.argmin(limits))] or forecast.t_s[-1], forecast.t_s, np.abs(forecast.band_high_s)
        )
        top = 1.45 * max(min(limits), float(np.abs(x).max(initial=0.0)), min(float(far), 3 * min(limits))) / unit
        panel.set_ylim(-top, top)
    panel.set_ylabel(f"Time error ({unit_name})")
    panel.legend(loc="upper left", ncols=3, fontsize=8.5, framealpha=0.9, edgecolor="none")


def _draw_passage(panel: Axes, outlook: Outlook) -> None:
    scale, name = _span(outlook)
    confidence = outlook.prediction.confidence
    for number, found in enumerate(outlook.prediction.passages):
        colour = COLOURS[(2 + number) % len(COLOURS)]
        panel.plot(found.t_s / scale, found.probability, color=colour, linewidth=1.5)
        within = outlook.within_s[number]
        if within is not None:
            panel.plot([within / scale], [1 - confidence], "o", color=colour, markersize=4.5)
            panel.annotate(
                span_text(within), (within / scale, 1 - confidence), (5, 3), textcoords="offset points", fontsize=8.5
            )
            panel.axvline(within / scale, color=colour, linewidth=1.4, linestyle=":")
    panel.axvline(0.0, color="black", linewidth=0.8)
    panel.set_ylim(0.0, 1.02)
    panel.set_ylabel("Limit left by then")
    panel.set_xlabel(f"Time from the last sample ({name})")
