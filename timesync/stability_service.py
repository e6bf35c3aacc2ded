"""Stability of every target, against its reference and against the probe's clock, computed as the rows come, stored as rows, kept
across restarts.

Rule: fed from the rows that are stored and from nothing else; a result is a row again, under the measurement `stability`. A state
that cannot be used is put aside with an event, never silently. Work is done in slices of a few milliseconds between polls.

This module imports numpy (33 MB with the statistics): the daemon imports it only where `[stability]` is enabled.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from timesync.errors import DataError
from timesync.model import PROBE_CLOCK, Event, Record, Severity
from timesync.records import CLAIM_VALID, TIME_ERROR
from timesync.stability.daysums import DAY_S
from timesync.stability.stream_plan import STREAMED, make_plan
from timesync.stability.streaming import Stream
from timesync.stability_choice import choose
from timesync.stability_feed import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from timesync.model import FieldValue
    from timesync.settings import ProbeSettings, StabilitySettings
    from timesync.stability.result import Stability
    from timesync.stability.stream_plan import StreamPlan

__all__ = ["DIRECTORY", "STABILITY", "StabilityService", "rows"]

STABILITY = "stability"
DIRECTORY = "stability"  # in the spool's directory
CHUNK = 128  # samples worked on at once: small, for there may be many streams
LATEST_S = 2.0  # a row that waits for its reference is looked at once a second
NS = 1_000_000_000
MARK = b"TSSTAB1\n"
_LENGTH = struct.Struct("<I")
_DIGEST = 16


@dataclass(slots=True)
class _Series:
    """One target against one reference, or against the probe's clock (reference `PROBE_CLOCK`)."""

    target: str
    reference: str
    feed: Feed
    stream: Stream
    tags: Mapping[str, str]
    told: int = 0  # samples that the newest rows knew of
    changes: int | None = None  # changes of the reference before this one was taken; None where there is no other


def plan_for(settings: StabilitySettings, interval_s: float) -> StreamPlan:
    """The plan of a target's stream; at least one averaging time, however long the interval."""
    return make_plan(
        interval_s,
        settings.statistics,
        settings.taus,
        longest_s=max(settings.longest_tau_s, interval_s),
        exact_to_s=settings.exact_intervals * interval_s,
        chunk=CHUNK,
    )


def rows(
    result: Stability, tags: Mapping[str, str], at_ns: int, *, window_days: int, every_s: float
) -> Iterator[Record]:
    """One row an averaging time. An absent limit, EDF or noise is an absent field."""
    exact = result.statistic in STREAMED
    base = result.statistic.removesuffix("_strided").removesuffix("_bounds")
    unit = "_s" if STREAMED[base].unit == "s" else ""
    for row in result.rows():
        fields: dict[str, FieldValue] = {"tau_s": row["tau_s"], f"dev{unit}": row["dev"]}
        fields |= {f"{name}{unit}": row[name] for name in ("lo", "hi") if row[name] is not None}
        fields |= {name: row[name] for name in ("n", "edf", "alpha") if row[name] is not None}
        fields |= {"completeness": result.completeness, "window_days": window_days, "every_s": every_s}
        fields |= {"convention": result.convention, "exact": exact}
        if result.ci is not None:
            fields["ci"] = result.ci
        yield Record(STABILITY, at_ns, {**tags, "statistic": result.statistic, "tau": f"{row['tau_s']:.9g}"}, fields)


class StabilityService:
    """Give it every row that is stored (`observe`) and run it (`run`); it stores rows of its own."""

    def __init__(
        self,
        settings: ProbeSettings,
        store: Callable[[Sequence[Record]], object],
        tell: Callable[[Event], object],
        *,
        clock_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._tell = tell
        self._clock_ns = clock_ns
        self._series: dict[str, _Series] = {}  # by target: against its reference
        self._own: dict[str, _Series] = {}  # by target: against the probe's clock
        self._with_own: frozenset[str] = frozenset()
        self._intervals: dict[str, float] = {}
        self.configure(settings)

    def configure(self, settings: ProbeSettings) -> None:
        """Take new settings: what does not change goes on; a target that is gone, or is asked otherwise, is put away."""
        before = self._intervals
        self.settings = settings
        self._directory: Path = settings.spool.directory / DIRECTORY
        wanted = settings.stability
        chosen, why_none = choose(settings)
        any_of = chosen.pairs | chosen.own
        self._intervals = {each.name: each.interval_s for each in settings.targets if each.name in any_of}
        if why_none:
            self._event("stability_off", why_none, Severity.WARNING)
        self._with_own = chosen.own
        for series in self._all():
            name = series.target
            series.feed.wait_ns = self._wait_ns()
            same = before.get(name) == self._intervals.get(name)
            if series.reference == PROBE_CLOCK and name not in self._with_own:
                same = False
            if not same or series.stream.plan != plan_for(wanted, self._intervals[name]):
                self._put_away(series)

    def _all(self) -> list[_Series]:
        return [*self._series.values(), *self._own.values()]

    def _kept(self, reference: str) -> dict[str, _Series]:
        return self._own if reference == PROBE_CLOCK else self._series

    def observe(self, records: Sequence[Record]) -> None:
        """Feed what is final among these rows: offsets from the probe's clock, and valid claims against another clock than the
        target itself.
        """
        for record in records:
            fields, tags = record.fields, record.tags
            if record.measurement != TIME_ERROR:
                continue
            if tags.get("target", "") in self._with_own and "offset_s" in fields:
                self._observe_own(record)
            if fields.get("claim") != CLAIM_VALID:
                continue
            target, reference = tags.get("target", ""), tags.get("reference", "")
            if fields.get("quality") == "carried":
                continue  # that is the probe's clock, not the reference
            if target == reference or target not in self._intervals or "time_error_s" not in fields:
                continue
            series = self._series.get(target)
            if series is not None and int(fields.get("reference_changes", 0)) < (series.changes or 0):
                continue  # by a reference that has been replaced since
            if series is None or series.reference != reference:
                if series is not None:
                    self._put_away(series)
                series = self._series[target] = self._open(record, reference)
            self._feed(series, record, "time_error_s")

    def _observe_own(self, record: Record) -> None:
        """The target against the probe's clock: with any claim or none."""
        target = record.tags["target"]
        series = self._own.get(target)
        if series is None:
            series = self._own[target] = self._open(record, PROBE_CLOCK)
        self._feed(series, record, "offset_s")

    @staticmethod
    def _feed(series: _Series, record: Record, field: str) -> None:
        if series.feed.origin_ns is None:
            series.stream.start_ns = record.at_ns
        series.feed.take(record.at_ns, float(record.fields[field]), int(record.fields["clock_epoch"]), series.stream)

    # --- results ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever: each series' results every `every_s`, one after the other and spread over that time; its state after them."""
        while True:
            some = self._all()
            pause_s = self.settings.stability.every_s / (len(some) + 1)
            for asked in some:
                await asyncio.sleep(pause_s)
                series = self._kept(asked.reference).get(asked.target)
                if series is not None:
                    await self._tell_of(series)
            await asyncio.sleep(pause_s)

    async def _tell_of(self, series: _Series) -> None:
        found: list[Record] = []
        for some in self._results(series, self._clock_ns()):
            found.extend(some)
            await asyncio.sleep(0)  # polls go first
        if found:
            self._store(found)
            self._save(series)

    def results(self, target: str, now_ns: int, *, own: bool = False) -> list[Record]:
        """The rows of a target as of now, against its reference or (`own`) the probe's clock; none where nothing came since they
        were last asked for.
        """
        series = (self._own if own else self._series)[target]
        return [row for some in self._results(series, now_ns) for row in some]

    def _results(self, series: _Series, now_ns: int) -> Iterator[list[Record]]:
        series.feed.drain(series.stream)
        if series.feed.fed == series.told:
            return
        series.told = series.feed.fed
        settings = self.settings.stability
        today = now_ns // (DAY_S * NS)
        days = (today - settings.window_days + 1, today)
        for name in series.stream.names:
            try:
                result = series.stream.result(name, days=days, ci=settings.coverage)
            except DataError as error:
                # the days are no longer kept apart: the clock has gone back further than they reach
                self._event("stability_window", f"{series.target}: {error}", Severity.WARNING, series.target)
                return
            yield list(rows(result, series.tags, now_ns, window_days=settings.window_days, every_s=settings.every_s))

    # --- state -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Hand on what waits, and save every state."""
        for series in self._all():
            self._put_away(series)

    def _put_away(self, series: _Series) -> None:
        series.feed.finish(series.stream)
        self._save(series)
        del self._kept(series.reference)[series.target]

    def _path(self, target: str, reference: str, changes: int | None) -> Path:
        """Where the reference can change each has a state of its own, so that the way back is none to a beginning."""
        only = changes is None and reference != PROBE_CLOCK
        return self._directory / (f"{target}.state" if only else f"{target}@{reference}.state")

    def _save(self, series: _Series) -> None:
        """Write the state; what cannot be written is told, and measuring goes on."""
        series.feed.drain(series.stream)
        head = json.dumps({"reference": series.reference, "feed": series.feed.state()}).encode()
        body = MARK + _LENGTH.pack(len(head)) + head + series.stream.to_bytes()
        path = self._path(series.target, series.reference, series.changes)
        new = path.with_suffix(".new")
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            new.write_bytes(body + blake2b(body, digest_size=_DIGEST).digest())
            new.replace(path)
        except OSError as error:
            text = f"the state of {series.target}'s stability cannot be written: {error.strerror}; it is tried again"
            self._event("stability_not_saved", text, Severity.WARNING, series.target)

    def _open(self, record: Record, reference: str) -> _Series:
        """The series of the row's target against this reference: as it was saved, or a new one."""
        target = record.tags["target"]
        plan = plan_for(self.settings.stability, self._intervals[target])
        known = record.fields.get("reference_changes") if reference != PROBE_CLOCK else None
        changes = None if known is None else int(known)
        path = self._path(target, reference, changes)
        try:
            feed, stream = self._load(path, reference, plan)
        except FileNotFoundError:
            feed, stream = self._begin(plan)
        except (OSError, DataError) as error:
            aside = path.with_suffix(".unusable")
            text = f"stability of {target} begins anew: {error}; what there was is put aside as {aside.name}"
            self._event("stability_begun_anew", text, Severity.WARNING, target)
            try:
                path.replace(aside)
            except OSError as again:
                self._event("stability_not_saved", f"{path.name}: {again.strerror}", Severity.WARNING, target)
            feed, stream = self._begin(plan)
        return _Series(target, reference, feed, stream, {**record.tags, "reference": reference}, feed.fed, changes)

    def _begin(self, plan: StreamPlan) -> tuple[Feed, Stream]:
        interval_ns = round(plan.tau0_s * NS)
        return Feed(interval_ns, self._wait_ns()), Stream(plan, keep_days=self.settings.stability.window_days + 1)

    def _load(self, path: Path, reference: str, plan: StreamPlan) -> tuple[Feed, Stream]:
        data = path.read_bytes()
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        if not body.startswith(MARK) or blake2b(body, digest_size=_DIGEST).digest() != digest:
            raise DataError(f"{path.name} is damaged")
        (length,) = _LENGTH.unpack_from(body, len(MARK))
        begin = len(MARK) + _LENGTH.size
        head = json.loads(body[begin : begin + length])
        stream = Stream.from_bytes(body[begin + length :])
        if head["reference"] != reference:
            raise DataError(f"it was compared with {head['reference']}, and is now with {reference}")
        if stream.plan != plan:
            raise DataError("the interval, the statistics or the averaging times are others")
        stream.kept.keep_days = self.settings.stability.window_days + 1
        feed = Feed.from_state(head["feed"])
        feed.wait_ns = self._wait_ns()
        return feed, stream

    def _wait_ns(self) -> int:
        """How long after a row a better one of the same instant may come: then its reference is given up."""
        return round((self.settings.reference_max_age_s + LATEST_S) * NS)

    def _event(self, kind: str, text: str, severity: Severity, target: str | None = None) -> None:
        self._tell(Event(kind, self._clock_ns(), severity, text, target))
