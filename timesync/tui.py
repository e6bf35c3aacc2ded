"""The live table of `timesync up`: every target's offset, bound, state and age, as now known.

Rule: shows what the pipeline knows and nothing else; a simulated network is named as such on every screen. Drawing is rich's.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from timesync.logs import TextFormatter
from timesync.state_word import state_word
from timesync.text import age_text, aligned, offset_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from timesync.daemon import Daemon
    from timesync.pipeline import Pipeline, TargetState
    from timesync.plugin import Demonstration
    from timesync.settings import ProbeSettings

__all__ = ["Screen", "log_table"]

REFRESH_S = 0.5
LOG_EVERY_S = 10.0
LINES = 6
PICTURE_COLUMNS = 160
HEADS = ("TARGET", "STATE", "OFFSET", "BOUND", "u", "DELAY", "STAMPS", "REACH", "AGE")
RIGHT = ("OFFSET", "BOUND", "u", "DELAY", "AGE", "TRUE", "REACH")
STYLES = {"ok": "green", "reference": "cyan"}


class _Ring(logging.Handler):
    """Keeps the last log lines for the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LINES)
        self.setFormatter(TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one more line."""
        self.lines.append(self.format(record))


class Screen:
    """The table, and where it is drawn."""

    def __init__(self, pipeline: Pipeline, settings: ProbeSettings, demonstration: Demonstration | None) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._demonstration = demonstration
        self._ring = _Ring()
        self._live: Live | None = None

    @property
    def heads(self) -> Sequence[str]:
        """The names of the columns."""
        return (*HEADS, "TRUE", "SIMULATED AS") if self._demonstration is not None else HEADS

    def rows(self) -> list[tuple[str, ...]]:
        """One row a target, as text."""
        return [self._row(name, state) for name, state in self._pipeline.states.items()]

    def _row(self, name: str, state: TargetState) -> tuple[str, ...]:
        error, last = state.error, state.last
        claimed = error is not None and error.time_error_s is not None
        shown = error.offset if error is not None else last
        cells = [name, state_word(state)]
        if error is not None and error.time_error_s is not None and error.bound_s is not None and error.u_s is not None:
            cells += [offset_text(error.time_error_s), size_text(error.bound_s), size_text(error.u_s)]
        elif last is not None:
            cells += [offset_text(last.offset_s) + " *", size_text(last.bound_s), "-"]
        else:
            cells += ["-", "-", "-"]
        if shown is None:
            cells += ["-", "-", f"{state.register:08b}", "-"]
        else:
            age_s = max(0.0, (time.time_ns() - shown.at_ns) / 1e9)
            cells += [size_text(shown.delay_s), shown.timestamping.value, f"{state.register:08b}", age_text(age_s)]
        if self._demonstration is not None:
            truth = self._demonstration.true_x_s(name, shown.at_ns) if shown is not None and claimed else None
            cells += [offset_text(truth) if truth is not None else "-", self._demonstration.legend.get(name, "")]
        return tuple(cells)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw on the terminal until the end of the block; log lines go under the table meanwhile."""
        root = logging.getLogger()
        others = root.handlers[:]
        root.handlers[:] = [self._ring]
        try:
            with Live(Text("starting"), auto_refresh=False, screen=False) as live:
                self._live = live
                yield
        finally:
            root.handlers[:] = others

    def save(self, path: Path, urls: Sequence[str]) -> None:
        """Write the screen as it is now to an SVG picture that needs no other file."""
        console = Console(record=True, width=PICTURE_COLUMNS, file=StringIO(), force_terminal=True)
        console.print(self.picture(urls))
        # rich's template loads a font from the network: a picture of ours asks for nothing.
        template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        path.write_text(console.export_svg(title="timesync up", code_format=template), encoding="utf-8")

    async def refresh(self, daemon: Daemon) -> None:
        """Draw again and again until cancelled."""
        while True:
            if self._live is not None:
                self._live.update(self.picture(daemon.urls), refresh=True)
            await asyncio.sleep(REFRESH_S)

    def picture(self, urls: Sequence[str]) -> Group:
        """The whole screen."""
        site = self._settings.site
        realised = next(
            (target.tie.realises for target in self._pipeline.settings.targets if target.tie is not None), None
        )
        against = realised or "the reference"
        table = Table(box=None, padding=(0, 1), header_style="bold")
        for head in self.heads:
            column = f"OFFSET FROM {against}" if head == "OFFSET" else head
            table.add_column(column, justify="right" if head in RIGHT else "left", no_wrap=head != "SIMULATED AS")
        for row in self.rows():
            table.add_row(row[0], Text(row[1], STYLES.get(row[1], "bold yellow")), *row[2:])
        title = Text(f"timesync  {site.name} / {site.probe}", "bold")
        if self._demonstration is not None:
            title.append("  ")
            title.append(" SIMULATED NETWORK: real packets, made-up clocks", "bold reverse")
        pages = [
            Text.assemble("Open ", (url, "bold underline"), " in a browser: the page of this probe") for url in urls[:1]
        ]
        notes = [f"metrics {url}/metrics" for url in urls]
        notes.append(f"history {self._settings.spool.directory}")
        if any("*" in row[2] for row in self.rows()):
            notes.append(f"* against this machine's clock: no claim against {against}")
        lines = [Text(line, "dim", overflow="ellipsis", no_wrap=True) for line in self._ring.lines]
        return Group(title, Text(), table, Text(), Text("   ".join(notes), "dim"), *lines, *pages)


async def log_table(screen: Screen, log: logging.Logger) -> None:
    """Without a terminal: the same table as log lines, every ten seconds, the first after two."""
    await asyncio.sleep(2.0)
    while True:
        for line in aligned(screen.heads, screen.rows(), right=RIGHT):
            log.info(line)
        await asyncio.sleep(LOG_EVERY_S)
