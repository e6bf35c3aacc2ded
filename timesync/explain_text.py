"""An explanation as people read it: on a terminal, and as a page that can stand in a certificate.

Rule: nothing is computed here. The page is one file without scripts and without anything from elsewhere; what comes from outside is
escaped.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from timesync.text import aligned, offset_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from timesync.explain import Explanation, Quantity, Step

__all__ = ["BUDGET_HEADS", "CHAIN_HEADS", "page", "text"]

CHAIN_HEADS = ("STEP", "VALUE", "BOUND", "u (k = 1)", "VALIDITY", "SOURCE")
BUDGET_HEADS = ("QUANTITY", "VALUE", "DISTRIBUTION", "HALF-WIDTH", "u", "SENSITIVITY", "CONTRIBUTION", "SOURCE")
NUMBERS = ("VALUE", "BOUND", "u (k = 1)", "HALF-WIDTH", "u", "SENSITIVITY", "CONTRIBUTION")

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1b1f24;background:#fff;margin:2.2rem auto;max-width:76rem;padding:0 1.2rem}
h1{font-size:1.45rem;margin:0 0 .2rem}h2{font-size:1.05rem;margin:1.9rem 0 .5rem}p{margin:.3rem 0}.quiet{color:#57606a}
.result{font-size:1.25rem;margin:.9rem 0 .2rem}.label{display:inline-block;border:1px solid #8c959f;border-radius:.7rem;
padding:0 .6rem;font-size:.85rem;vertical-align:.1rem}
.chain{display:flex;flex-wrap:wrap;align-items:center;gap:.35rem;margin:.8rem 0}
.clock{border:1px solid #1f6feb;border-radius:.4rem;padding:.35rem .7rem;font-weight:600;background:#f2f7ff}
.hop{color:#57606a;font-size:.85rem;text-align:center;white-space:nowrap}.broken{color:#b42318}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.88rem}
th,td{padding:.32rem .55rem;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top}
th{border-bottom:2px solid #57606a;font-weight:600}td.n,th.n{text-align:right;white-space:nowrap}
tr.sum td{border-top:2px solid #57606a;font-weight:600}ul{margin:.3rem 0;padding-left:1.2rem}
@media print{body{margin:0;max-width:none;font-size:11px}}
"""


def _number(value_s: float | None, *, signed: bool = False) -> str:
    if value_s is None:
        return "-"
    if value_s == 0.0:
        return "0"
    return offset_text(value_s) if signed else size_text(value_s)


def _step(step: Step) -> tuple[str, ...]:
    numbers = (_number(step.value_s, signed=True), _number(step.bound_s), _number(step.u_s))
    return (step.what, *numbers, step.validity, step.source)


def _quantity(line: Quantity) -> tuple[str, ...]:
    return (
        line.quantity,
        _number(line.value_s, signed=True),
        line.distribution,
        _number(line.half_width_s),
        _number(line.u_s),
        f"{line.sensitivity:+g}",
        _number(line.contribution_s),
        line.source,
    )


def _results(found: Explanation) -> Iterator[str]:
    """The lines that state the result, the last one first asked for."""
    k = "" if found.coverage_factor is None else f" (k = {found.coverage_factor:g})"
    if found.time_error_s is not None:
        x = f"{found.target} - {found.realises} = {_number(found.time_error_s, signed=True)}"
        bound, u = _number(found.time_error_bound_s), _number(found.time_error_u_s)
        yield f"{x}, bound {bound}, u = {u}, U = {_number(found.time_error_expanded_s)}{k}"
    if found.measurand.startswith("UTC - ") and found.value_s is not None:
        u = "no u published" if found.u_s is None else f"u = {_number(found.u_s)}, U = {_number(found.expanded_s)}{k}"
        yield f"{found.measurand} = {_number(found.value_s, signed=True)}, {u}; {found.label}, {found.issue}"


def text(found: Explanation) -> Iterator[str]:
    """The lines for a terminal."""
    yield f"{found.target} at {found.at}, measured by {found.site} / {found.probe}"
    yield from _results(found)
    yield ""
    yield from aligned(CHAIN_HEADS, [_step(step) for step in found.chain], right=NUMBERS)
    if found.budget:
        yield ""
        total = (
            "combined, " + found.measurand,
            _number(found.value_s, signed=True),
            "",
            "",
            "",
            "",
            _number(found.u_s),
            "",
        )
        yield from aligned(BUDGET_HEADS, [*(_quantity(line) for line in found.budget), total], right=NUMBERS)
    if found.notes:
        yield ""
        yield from (f"note: {note}" for note in found.notes)


def page(found: Explanation) -> str:
    """The page, whole."""
    e = html.escape
    title = f"{found.measurand} at {found.at}"
    results = "".join(f"<p>{e(line)}</p>" for line in list(_results(found))[:-1])
    main = list(_results(found))[-1:] or ["no claim against UTC(k)"]
    notes = "".join(f"<li>{e(note)}</li>" for note in found.notes)
    budget = ""
    if found.budget:
        total = ("combined", _number(found.value_s, signed=True), "", "", "", "", _number(found.u_s), "")
        body = _rows(BUDGET_HEADS, [_quantity(line) for line in found.budget]) + _rows(BUDGET_HEADS, [total], "sum")
        budget = f"<h2>Uncertainty budget of {e(found.measurand)}</h2><table>{_head(BUDGET_HEADS)}{body}</table>"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{e(title)}</title><style>{_STYLE}</style></head><body>
<h1>{e(found.target)}</h1>
<p class="quiet">{e(found.at)} &middot; measured by {e(found.site)} / {e(found.probe)}</p>
<p class="result">{e(main[0])}</p>{results}
<div class="chain">{_picture(found)}</div>
<h2>Traceability chain</h2>
<table>{_head(CHAIN_HEADS)}{_rows(CHAIN_HEADS, [_step(step) for step in found.chain])}</table>
{budget}
{f"<h2>Notes</h2><ul>{notes}</ul>" if notes else ""}
<p class="quiet">Bound: the error cannot exceed it. u: standard uncertainty, coverage factor 1 (JCGM 100:2008). Computed by timesync
from the stored row.</p>
</body></html>
"""


def _picture(found: Explanation) -> str:
    """The clocks of the chain as boxes, each step between two of them."""
    e = html.escape
    clocks = [found.target]
    hops = []
    for step in found.chain:
        hops.append((step, "broken" if step.value_s is None else ""))
        left, _, right = step.what.rpartition(" - ")
        clocks.append(left if step.what.startswith("UTC - ") else right)
    parts = [f'<span class="clock">{e(clocks[0])}</span>']
    for (step, css), clock in zip(hops, clocks[1:], strict=True):
        value = "no claim" if step.value_s is None else _number(step.value_s, signed=True)
        arrow = "&larr;" if step.what.startswith("UTC - ") else "&rarr;"  # from whom is taken away
        u = "" if step.u_s is None else f"<br>u {e(_number(step.u_s))}"
        parts.append(f'<span class="hop {css}">{e(value)} {arrow}{u}</span><span class="clock">{e(clock)}</span>')
    return "".join(parts)


def _head(heads: Sequence[str]) -> str:
    cells = ""
    for head in heads:
        words = head.capitalize() if head.isupper() else head
        cells += f'<th class="{"n" if head in NUMBERS else ""}">{html.escape(words)}</th>'
    return f"<thead><tr>{cells}</tr></thead>"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]], css: str = "") -> str:
    made = []
    for row in rows:
        cells = (
            f'<td class="{"n" if head in NUMBERS else ""}">{html.escape(cell)}</td>'
            for head, cell in zip(heads, row, strict=True)
        )
        made.append(f'<tr class="{css}">{"".join(cells)}</tr>')
    return "".join(made)
