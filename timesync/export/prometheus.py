"""/metrics: the current values, rendered by aioprometheus. The one place that imports it.

Rule: aioprometheus checks little (label values are not escaped, so that one quote corrupts a whole scrape; label names
and numpy scalars pass unchecked; a series cannot be taken away), so everything goes through this wrapper. It takes names
from the table only, checks labels against it, casts values to float, leaves out and counts what is not a finite number,
and escapes. Each scrape builds fresh registries from a snapshot, in a thread, so that what has expired is not there
and the event loop goes on measuring. Source: Prometheus documentation, "Exposition formats", text format 0.0.4.

    exposition = Exposition("NIM", "probe-1", tallies=lambda: measuring.pipeline.states)
    exposition.add_target("ntp1", protocol="ntp", interval_s=16.0)    # at start and at reload
    exposition.observe(record)                                        # every record that is stored
    exposition.observe_event(event)
    exposition.set_spool(spool.status(), limit_bytes=settings.spool.max_bytes)  # about once a second, as the next three
    exposition.set_clock_changes(steps=measuring.clock_steps, suspends=measuring.suspends)
    exposition.set_schedule_lag(measuring.schedule_lag_s)
    exposition.set_loop_lag(0.0002)
    body = await exposition.expose()                                  # a scrape; pass the method to WebServer(metrics=...)
    exposition.remove_target("ntp1")                                  # at reload: its series are gone
"""

from __future__ import annotations

import asyncio
import math
import platform
import re
import time
from array import array
from itertools import chain
from typing import TYPE_CHECKING, SupportsFloat, TypeVar, cast

from aioprometheus.collectors import Counter, Gauge, Registry
from aioprometheus.formats.text import TEXT_CONTENT_TYPE, TextFormatter

from timesync import __version__
from timesync.export.current import Current
from timesync.export.families import Kind, Metric
from timesync.export.metrics import METRICS, metric
from timesync.export.process import process_metrics, start_time_s
from timesync.export.samples import Sample, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from timesync.export.current import Snapshot, Tally
    from timesync.model import Record

__all__ = ["CONTENT_TYPE", "Exposition", "escape_label_value", "render"]

CONTENT_TYPE: str = TEXT_CONTENT_TYPE

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})

_Series = tuple[str, float]  # the labels as they are written, braces included, and the value
_Family = tuple[list[str], "array[float]"]  # the same of all series of a metric: a page has tens of thousands of them
_T = TypeVar("_T")

BREATH = 64
"""After how many series a rendering thread lets the event loop in: well under a millisecond of work."""

_BREATH_S = 50e-6


def _hold() -> None:
    """Do not give way: nobody else waits for the interpreter."""


def _give_way() -> None:
    # Without it the thread keeps the interpreter for sys.getswitchinterval() = 5 ms at a time, and polls leave late.
    time.sleep(_BREATH_S)


def escape_label_value(value: str) -> str:
    """A label value as the text format wants it: backslash, quote and line feed escaped, always valid UTF-8.

    A surrogate (a file name or a host name in some other encoding) has no UTF-8 form and is written as `\\udcXX`.
    """
    return value.encode("utf-8", "backslashreplace").decode("utf-8").translate(_LABEL_ESCAPES)


class _LineFormatter(TextFormatter):
    """Takes labels that are text already: a target's series share theirs, and a scrape of 1,000 targets has 35,000 lines."""

    def _format_line(self, name: str, labels: object, value: object, const_labels: object) -> str:  # noqa: ARG002 - we set none
        return f"{name}{labels} {value}"


class _ReadyGauge(Gauge):
    """A gauge whose series are handed over whole: no dictionary of JSON-encoded labels is built and read again."""

    series: Iterable[_Series]

    def get_all(self) -> Iterable[_Series]:  # type: ignore[override]  # the formatter only iterates
        return self.series


class _ReadyCounter(Counter):
    """The same for a counter."""

    series: Iterable[_Series]

    def get_all(self) -> Iterable[_Series]:  # type: ignore[override]  # the formatter only iterates
        return self.series


_COLLECTORS: Mapping[Kind, type[_ReadyGauge | _ReadyCounter]] = {
    Kind.GAUGE: _ReadyGauge,
    Kind.COUNTER: _ReadyCounter,
}


def check_table(table: Mapping[str, Metric]) -> None:
    """Raises ValueError for a name that Prometheus would not take; aioprometheus looks at metric names only."""
    for name, entry in table.items():
        if name != entry.name or not _METRIC_NAME.fullmatch(name):
            raise ValueError(f"not a metric name: {name!r}")
        for label in entry.labels:
            if not _LABEL_NAME.fullmatch(label):
                raise ValueError(f"not a label name: {label!r} of {name}")


check_table(METRICS)


def render(values: Iterable[Sample], breathe: Callable[[], None] = _hold) -> tuple[bytearray, Mapping[str, int]]:
    """The text format 0.0.4 of these samples, and how many values of which metric could not be shown.

    `breathe` is called after every `BREATH` series, twice for each: a thread that shares the interpreter gives way there.
    Raises KeyError for a metric outside the table and ValueError for a label that the metric does not have: mistakes in
    the program, found by tests.
    """
    families, refused = _families(_paced(values, breathe))
    page = bytearray()  # grows by what is written: joining blocks would hold the page twice
    for name in sorted(families):
        series = zip(
            *families.pop(name), strict=True
        )  # let go of when it is written: to free all at the end takes milliseconds
        entry = metric(name)
        registry = Registry()  # one for each, because writing a page of megabytes at one go holds the interpreter
        collector = _COLLECTORS[entry.kind](name, entry.help.translate(_HELP_ESCAPES), registry=registry)
        collector.series = _paced(series, breathe)
        page += _LineFormatter().marshall(registry)
    return page, refused


def _paced(items: Iterable[_T], breathe: Callable[[], None]) -> Iterator[_T]:
    for count, item in enumerate(items, start=1):
        yield item
        if not count % BREATH:
            breathe()


def _families(values: Iterable[Sample]) -> tuple[dict[str, _Family], dict[str, int]]:
    """The samples sorted by metric, cast, checked and escaped; and the number of values refused, by metric."""
    families: dict[str, _Family] = {}
    refused: dict[str, int] = {}
    escaped: dict[str, str] = {}
    allowed: dict[str, frozenset[str]] = {}
    raw: Mapping[str, str] | None = None
    text = ""
    for name, labels, its_value in values:
        its_labels = allowed.get(name)
        if its_labels is None:
            its_labels = allowed[name] = frozenset(metric(name).labels)
        if not labels.keys() <= its_labels:
            raise ValueError(f"{name} has no label {', '.join(sorted(labels.keys() - its_labels))}")
        value = _finite(its_value)
        if value is None:
            refused[name] = refused.get(name, 0) + 1
            continue
        if labels is not raw:  # the series of one target come one after the other and share their labels
            raw, text = labels, _label_text(labels, escaped)
        family = families.get(name)
        if family is None:
            family = families[name] = [], array("d")
        family[0].append(text)
        family[1].append(value)
    return families, refused


def _label_text(labels: Mapping[str, str], escaped: dict[str, str]) -> str:
    """The labels as they are written, in the order of their names; `escaped` remembers values."""
    parts = []
    for label in sorted(labels):
        value = labels[label]
        safe = escaped.get(value)
        if safe is None:
            safe = escaped[value] = escape_label_value(value)
        parts.append(f'{label}="{safe}"')
    return "{" + ",".join(parts) + "}" if parts else ""


def _finite(value: object) -> float | None:
    """The value as a plain float (from bool, int, numpy scalar), or None if it is not a finite number."""
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(cast(SupportsFloat, value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class Exposition:
    """The probe's current values and their /metrics page. Call it from the event loop's thread only.

    `tallies` gives what came of each target's polls, by its name; it is asked at each scrape. `clock` gives monotonic
    seconds; values expire by it (see `timesync.export.current`).
    """

    def __init__(
        self,
        site: str,
        probe: str,
        *,
        tallies: Callable[[], Mapping[str, Tally]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._current = Current(site, probe)
        self._tallies = tallies
        self._clock = clock
        self._labels = {"site": site, "probe": probe}
        self._refused: dict[str, int] = {}
        self._duration_s: float | None = None
        self._started_s = start_time_s()
        self._rendering: asyncio.Task[bytearray] | None = None
        self.add_target = self._current.add_target
        self.declare = self._current.declare
        self.set_leap_disagreements = self._current.set_leap_disagreements
        self.set_alerts = self._current.set_alerts
        self.set_notifications = self._current.set_notifications
        self.remove_target = self._current.remove_target
        self.observe_event = self._current.observe_event
        self.set_spool = self._current.set_spool
        self.set_loop_lag = self._current.set_loop_lag
        self.set_engine_counts = self._current.set_engine_counts
        self.set_schedule_lag = self._current.set_schedule_lag
        self.set_clock_changes = self._current.set_clock_changes
        self.set_references = self._current.set_references
        self.set_faults = self._current.set_faults
        self.set_leap_expiry = self._current.set_leap_expiry
        self.set_certificate = self._current.set_certificate
        self.set_position = self._current.set_position
        self.set_ties = self._current.set_ties
        self.set_published = self._current.set_published
        self.set_stability = self._current.set_stability

    def observe(self, record: Record) -> None:
        """Take in one record: some microseconds, nothing is rendered."""
        self._current.observe(record, self._clock())

    async def expose(self) -> bytearray:
        """The body of /metrics. Scrapes that arrive while one is being rendered share it."""
        if self._rendering is None:
            self._rendering = asyncio.create_task(self._render_in_thread(), name="render /metrics")
        rendering = self._rendering
        try:
            return await asyncio.shield(rendering)
        finally:
            if rendering.done() and self._rendering is rendering:
                self._rendering = None

    async def _render_in_thread(self) -> bytearray:
        begun_s = self._clock()
        values = self._everything(self._current.snapshot(begun_s, self._tallies()))
        body, refused = await asyncio.to_thread(render, values, _give_way)
        for name, count in refused.items():
            self._refused[name] = self._refused.get(name, 0) + count
        self._duration_s = self._clock() - begun_s
        return body

    def _everything(self, snapshot: Snapshot) -> Iterable[Sample]:
        """The samples of a snapshot, made one by one as the thread asks for them, and those of the exposition itself."""
        return chain(samples(snapshot), tuple(self._own_samples()))

    def _own_samples(self) -> Iterable[Sample]:
        versions = {"version": __version__, "python": platform.python_version()}
        yield Sample("timesync_build_info", {**self._labels, **versions}, 1)
        if self._duration_s is not None:
            yield Sample("timesync_exposition_duration_seconds", self._labels, self._duration_s)
        for name, count in self._refused.items():
            yield Sample("timesync_exposition_refused_total", {**self._labels, "metric": name}, count)
        for name, value in process_metrics().items():
            yield Sample(name, {}, value)
        if self._started_s is not None:
            yield Sample("process_start_time_seconds", {}, self._started_s)
