"""The views of the page: when each is complete, and what of it cannot be read or has no name.

Rule: what is looked at is what a browser computes, colours and the tree of a screen reader, and not what the source says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.browser import Tab

__all__ = ["FAINT", "REPEATED", "VIEWS", "WEIGHT", "nameless"]

TWO_CHARTS = "document.querySelectorAll('.chart canvas').length === 2"
ROWS = "document.querySelectorAll('{}').length"
VIEWS = {
    "network": f"{ROWS.format('#targets tbody tr')} === 6 && {ROWS.format('.grid td[data-verdict=certain]')} > 0",
    "target/drifting": f"{TWO_CHARTS} && document.body.innerText.includes('all drawn')",
    "stability/drifting": f"{TWO_CHARTS} && {ROWS.format('tbody tr')} > 5",
    "holdover/holdover": f"{ROWS.format('#limits tbody tr')} === 2 && {ROWS.format('.timeline li')} > 1",
    "traceability/good": f"{ROWS.format('.chain li')} >= 4 && {ROWS.format('.budget .row')} > 10",
    "alerts": f"{ROWS.format('.alert[data-alert=certain_breach]')} > 0",
    "events": f"{ROWS.format('.events li')} > 0",
}
WEIGHT = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((each) => each.name.includes("/static/") || each.name.endsWith("/")).reduce((sum, each) => sum + each.encodedBodySize, 0)
"""
# The texts whose contrast with the ground behind them is below 4.5 to 1 (WCAG 2.2, success criterion 1.4.3).
FAINT = """
(() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [...found.slice(0, 3).map((value) => value * scale), found[3] ?? 1];
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (place) => {
    const found = parse(getComputedStyle(place).backgroundColor);
    return found[3] === 0 && place.parentElement ? ground(place.parentElement) : found;
  };
  const texts = [...document.querySelectorAll("td, th, h2, p, span, a, button, dt, dd, time")];
  return texts.filter((each) => each.innerText?.trim() && !each.closest(".hidden")).map((each) => {
    const [more, less] = [light(parse(getComputedStyle(each).color)), light(ground(each))].sort((x, y) => y - x);
    return [each.innerText.slice(0, 30), (more + 0.05) / (less + 0.05)];
  }).filter(([, ratio]) => ratio < 4.5);
})()
"""
# Identifiers that stand twice, and headings that skip a level.
REPEATED = """
(() => {
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((each) => Number(each.tagName[1]));
  const twice = ids.filter((each, index) => ids.indexOf(each) !== index);
  return [...twice, ...levels.filter((each, index) => each > (levels[index - 1] ?? 0) + 1)];
})()
"""


async def nameless(tab: Tab) -> list[dict[str, Any]]:
    """The controls and pictures that have no name for a screen reader."""
    tree = (await tab.send("Accessibility.getFullAXTree"))["nodes"]
    wanted = {"button", "link", "combobox", "img", "image", "application", "columnheader"}
    named = [node for node in tree if not node["ignored"] and node["role"]["value"] in wanted]
    assert len(named) > 5
    return [node for node in named if not node.get("name", {}).get("value", "").strip()]
