"""The runbooks as a page of the probe's own: an alert's link leads to the steps that somebody just woken takes.

Rule: made of the same description as deploy/RUNBOOKS.md; a file without scripts of its own, everything in it is escaped.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from aiohttp import web

from timesync.alerts.kinds import KINDS
from timesync.alerts.runbooks import STEPS

if TYPE_CHECKING:
    from timesync.alerts.kinds import AlertKind

__all__ = ["page", "show"]

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Runbooks \u00b7 timesync</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="dark light">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/static/style.css">
<script src="/static/theme.js"></script></head><body><main class="runbooks"><h1>Runbooks</h1>
<p class="note">What each alert means and what to do. <a href="/#/alerts">The alerts that fire now</a>.</p>
"""


def page() -> str:
    """The whole page."""
    links = "".join(f'<li><a href="#{kind.name}">{html.escape(kind.title)}</a></li>' for kind in KINDS)
    return (
        f"{HEAD}<nav aria-label='Alerts'><ul>{links}</ul></nav>{''.join(map(_section, KINDS))}</main></body></html>\n"
    )


def _section(kind: AlertKind) -> str:
    sign = "below" if kind.below else "above"
    clear = f", until {kind.clear:g}" if kind.clear != kind.threshold else ""
    steps = "".join(f"<li>{_marked(step)}</li>" for step in STEPS[kind.name])
    return (
        f'<section class="panel" id="{kind.name}"><h2>{html.escape(kind.title)} '
        f'<span class="level" data-level="{kind.level.value}">{kind.level.value}</span></h2>'
        f"<p>{_marked(kind.means)}.</p><p><b>Do:</b> {_marked(kind.action)}.</p><ol>{steps}</ol>"
        f'<p class="note">Told when {html.escape(kind.signal.meaning)} is {sign} {kind.threshold:g}{clear}; '
        f"grace {kind.grace_s:g} s, hold {kind.hold_s:g} s.</p></section>\n"
    )


def _marked(text: str) -> str:
    """The two marks of Markdown that the steps use: `code` and [a link](#within the page)."""
    safe = html.escape(text, quote=False)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return re.sub(r"\[([^\]]+)\]\((#[a-z_]+)\)", r'<a href="\2">\1</a>', safe)


async def show(_request: web.Request) -> web.Response:
    """The handler of /runbooks."""
    return web.Response(text=page(), content_type="text/html")
