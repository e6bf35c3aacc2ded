"""The chain of a result as a picture (SVG): each clock a box, each step between two of them with its value, u and source.

Rule: drawn from the explanation and from nothing else; a step without a value is drawn broken, with its reason. Needs no font or
file from elsewhere, and is the same bytes for the same result.
"""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING

from timesync.text import offset_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.explain import Explanation, Step

__all__ = ["picture"]

BOX_W, BOX_H, HOP_W, TOP, LINE = 132, 46, 178, 74, 16
MARGIN = 20
HEIGHT = 262
FONT = "font-family='system-ui,Segoe UI,Helvetica,Arial,sans-serif'"
INK, QUIET, BLUE, RED = "#1b1f24", "#57606a", "#1f6feb", "#b42318"


def picture(found: Explanation) -> str:
    """The SVG document."""
    clocks, steps = _clocks(found)
    width = 2 * MARGIN + len(clocks) * BOX_W + len(steps) * HOP_W
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {HEIGHT}' width='{width}' height='{HEIGHT}' role='img'>",
        f"<title>{html.escape(found.measurand)} at {html.escape(found.at)}</title>",
        f"<rect width='{width}' height='{HEIGHT}' fill='#ffffff'/>",
        _text(MARGIN, 30, _headline(found), size=17, weight=600),
        _text(MARGIN, 50, f"{found.at[:19]}Z, measured by {found.site} / {found.probe}", colour=QUIET),
    ]
    x = MARGIN
    for number, clock in enumerate(clocks):
        parts += _box(x, clock)
        x += BOX_W
        if number < len(steps):
            parts += _hop(x, steps[number])
            x += HOP_W
    parts.append("</svg>\n")
    return "\n".join(parts)


def _headline(found: Explanation) -> str:
    if found.value_s is None:
        return f"{found.target}: no claim against {found.realises or 'UTC(k)'}, {found.no_claim}"
    line = f"{found.measurand} = {_value(found.value_s)}"
    if found.expanded_s is not None:
        line += f", U = {size_text(found.expanded_s)} (k = {found.coverage_factor:g})"
    return f"{line}, {found.label}" if found.measurand.startswith("UTC - ") else line


def _clocks(found: Explanation) -> tuple[list[str], list[Step]]:
    """The clocks from left to right, and the steps between them."""
    clocks, steps = [found.target], []
    for step in found.chain:
        left, _, right = step.what.rpartition(" - ")
        clocks.append(left if _to_utc(step) else right)
        steps.append(step)
    return clocks, steps


def _to_utc(step: Step) -> bool:
    return step.what.startswith("UTC - ")


def _box(x: int, name: str) -> Iterator[str]:
    yield (
        f"<rect x='{x}' y='{TOP}' width='{BOX_W}' height='{BOX_H}' rx='7' fill='#f2f7ff' stroke='{BLUE}' stroke-width='1.5'/>"
    )
    shown = name if len(name) <= 16 else f"{name[:15]}\u2026"
    yield _text(x + BOX_W // 2, TOP + 29, shown, size=15, weight=600, anchor="middle")


def _hop(x: int, step: Step) -> Iterator[str]:
    broken = step.value_s is None
    y, middle = TOP + BOX_H // 2, x + HOP_W // 2
    colour, dash = (RED, " stroke-dasharray='5 5'") if broken else (BLUE, "")
    yield f"<line x1='{x + 3}' y1='{y}' x2='{x + HOP_W - 3}' y2='{y}' stroke='{colour}' stroke-width='1.5'{dash}/>"
    value = "no claim" if step.value_s is None else _value(step.value_s)
    yield _text(middle, y - 8, value, weight=600, anchor="middle", colour=RED if broken else INK)
    lines = [step.what]
    if step.bound_s is not None:
        lines.append(f"bound {size_text(step.bound_s)}")
    if step.u_s is not None:
        lines.append(f"u {size_text(step.u_s)}")
    lines += [step.validity, *textwrap.wrap(step.source, 28)[:4]]
    for number, line in enumerate(lines):
        yield _text(middle, y + 17 + number * LINE, line, size=12, colour=QUIET if number else INK, anchor="middle")


def _value(value_s: float) -> str:
    return "0" if value_s == 0.0 else offset_text(value_s)


def _text(
    x: int, y: int, words: str, *, size: int = 13, weight: int = 400, colour: str = INK, anchor: str = "start"
) -> str:
    return (
        f"<text x='{x}' y='{y}' {FONT} font-size='{size}' font-weight='{weight}' fill='{colour}' text-anchor='{anchor}'>"
        f"{html.escape(words)}</text>"
    )
