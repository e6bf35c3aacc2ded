"""Holdover of every target, watched beside the measuring: states, forecasts and the accounts of episodes, stored as rows.

Rule: fed from the rows that are stored and from nothing else, and never in their way: taking rows in is one append each, the work
is done in slices between polls. A change of state is an event with its evidence. After a restart all is learned anew.

This module imports numpy: the daemon imports it only where `[holdover]` is enabled.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from timesync.alerts.facts import Foreseen
from timesync.holdover.detect import Rules, State, Transition
from timesync.holdover.episodes import MARKS, Episode
from timesync.holdover_watch import Watch
from timesync.model import Event, Record, Severity
from timesync.records import TIME_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.alerts.limits import Limit
    from timesync.model import FieldValue
    from timesync.settings import ProbeSettings

__all__ = ["EPISODE", "HOLDOVER", "HoldoverService", "episode_of", "fields_of"]

log = logging.getLogger(__name__)

HOLDOVER = "holdover"
EPISODE = "holdover_episode"
NS = 1_000_000_000
LOOK_S = 1.0  # how often the rows that came are looked at
SLICE = 50  # rows between two turns of the loop
LATEST_S = 2.0  # a row that waits for its reference is looked at once a second
SEVERITY = {State.HOLDOVER: Severity.WARNING, State.HOLDOVER_OUT: Severity.ERROR, State.FREERUN: Severity.WARNING}
TEXTS = {
    State.UNKNOWN: "nothing is known of it any more: no answers",
    State.FREERUN: "it has no source: it runs free",
    State.ACQUIRING: "it has a source; its phase is still on the way",
    State.LOCKED: "it is locked to its source",
    State.HOLDOVER: "it has lost its source and coasts",
    State.HOLDOVER_OUT: "it coasts out of its specification",
}


def fields_of(found: Episode) -> dict[str, FieldValue]:
    """The fields of the row of an episode."""
    fields = {name: each for name, each in dataclasses.asdict(found).items() if each is not None and name != "after_s"}
    names = {at: name for name, at in MARKS.items()}
    fields |= {f"after_{names[at]}_s": x for at, x in found.after_s}
    return {**fields, "duration_s": found.duration_s}


def episode_of(fields: Mapping[str, FieldValue]) -> Episode:
    """An episode from the fields of its row. Raises KeyError for a row of another kind."""
    told: dict[str, Any] = {each.name: fields.get(each.name) for each in dataclasses.fields(Episode)}
    after = ((at, fields.get(f"after_{name}_s")) for name, at in MARKS.items())
    told["after_s"] = tuple((at, float(x)) for at, x in after if x is not None)
    return Episode(**told | {name: fields[name] for name in ("entry_ns", "exit_ns", "samples", "judged", "gaps")})


class HoldoverService:
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
        self._new: list[Record] = []
        self._pending: dict[str, Record] = {}
        self.watches: dict[str, Watch] = {}
        self._intervals: dict[str, float] = {}
        self._own: dict[str, Limit] = {}
        self.configure(settings)

    def configure(self, settings: ProbeSettings) -> None:
        """Take new settings; targets that are gone, or asked otherwise, are forgotten, and all where the limits are others."""
        before = getattr(self, "settings", settings)
        self.settings = settings
        wanted = settings.holdover
        too_many = settings.too_many_to_foresee
        if too_many:
            self._tell(Event("holdover_off", self._clock_ns(), Severity.WARNING, too_many))
        watched = settings.targets if wanted.enabled and not too_many else ()
        intervals = {target.name: target.interval_s for target in watched}
        own = {target.name: target.limit for target in settings.targets if target.limit is not None}
        for name in list(self.watches):
            changed = intervals.get(name) != self._intervals.get(name) or own.get(name) != self._own.get(name)
            if changed or before.holdover.limits_s != wanted.limits_s:
                del self.watches[name]
        self._intervals, self._own = intervals, own
        self._pending = {name: record for name, record in self._pending.items() if name in intervals}

    def observe(self, records: Sequence[Record]) -> None:
        """Rows that were stored: they are looked at later."""
        if self._intervals:
            self._new += records

    async def run(self) -> None:
        """For ever: look at new rows every second; each target's forecast every `every_s`, spread over that time."""
        loop = asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            await self._look()
            for name in self._due():
                self._guarded(name, self.tell_of, name)
                await asyncio.sleep(0)  # polls go first
            await asyncio.sleep(max(LOOK_S - (loop.time() - begun_s), 0.01))

    def _due(self) -> list[str]:
        """Whose forecast is old: so many of the oldest a turn that all have their turn in `every_s`."""
        every_ns = self.settings.holdover.every_s * NS
        now_ns = self._clock_ns()
        due = [name for name, watch in self.watches.items() if not 0 <= now_ns - watch.told_ns < every_ns]
        share = 1 + int(2 * len(self.watches) * LOOK_S / self.settings.holdover.every_s)
        return due[:share]

    async def _look(self) -> None:
        records, self._new = self._new, []
        for begin in range(0, len(records), SLICE):
            self.take(records[begin : begin + SLICE])
            await asyncio.sleep(0)
        self.release(self._clock_ns())

    def take(self, records: Sequence[Record]) -> None:
        """Look at rows: each is final when a later one of its target has come, or when no better one can come any more."""
        for record in records:
            if record.measurement != TIME_ERROR:
                continue
            target = record.tags["target"]
            if target not in self._intervals:
                continue
            pending = self._pending.get(target)
            if pending is not None and record.at_ns > pending.at_ns:
                self._guarded(target, self._final, target, pending)
            if pending is None or record.at_ns >= pending.at_ns:
                self._pending[target] = record

    def release(self, now_ns: int) -> None:
        """Let go of rows that have waited long enough for a better one."""
        wait_ns = round((self.settings.reference_max_age_s + LATEST_S) * NS)
        for target, record in list(self._pending.items()):
            if not 0 <= now_ns - record.at_ns < wait_ns or record.fields.get("quality") in (
                "interpolated",
                "itself",
                "local",
            ):
                self._guarded(target, self._final, target, self._pending.pop(target))

    def _guarded(self, target: str, work: Callable[..., object], *arguments: object) -> None:
        """Whatever goes wrong with one target is told, that target begins anew, and the others and the measuring go on."""
        try:
            work(*arguments)
        except Exception as error:
            log.exception("%s: the watch for holdovers failed", target)
            self.watches.pop(target, None)
            text = f"{target}: the watch for holdovers failed ({type(error).__name__}: {error}) and begins anew; please report it"
            self._tell(Event("holdover_failed", self._clock_ns(), Severity.ERROR, text, target))

    def _final(self, target: str, record: Record) -> None:
        watch = self.watches.get(target)
        if watch is None:
            own = self._own.get(target)
            rules = Rules(limit_s=min(self.settings.holdover.limits_s) if own is None else own.error_s)
            watch = self.watches[target] = Watch(self._intervals[target], record.tags, rules, own)
            watch.told_ns = self._clock_ns()
        if "reference" in record.tags and watch.tags is not record.tags:
            watch.tags = record.tags
        for found in watch.take(record):
            if isinstance(found, Transition):
                self._changed(target, found)
            else:
                self._over(watch, found)

    def _changed(self, target: str, transition: Transition) -> None:
        after = transition.after
        signs = ", ".join(transition.signs)
        text = f"{target}: {TEXTS[after]}" + (f" ({signs})" if signs else "")
        evidence: dict[str, FieldValue] = {
            **transition.evidence,
            "before": transition.before.value,
            "after": after.value,
        }
        evidence |= {"since_ns": transition.since_ns, "signs": " ".join(transition.signs)}
        self._tell(
            Event("holdover_state", transition.at_ns, SEVERITY.get(after, Severity.INFO), text, target, evidence)
        )
        self.watches[target].told_ns = 0  # its row is due

    def _over(self, watch: Watch, found: Episode) -> None:
        self._store([Record(EPISODE, found.entry_ns, watch.tags, fields_of(found))])

    def tell_of(self, target: str) -> None:
        """Make and store the forecast of a target."""
        watch = self.watches.get(target)
        if watch is None:
            return  # forgotten by a reload since its turn was planned
        now_ns = watch.told_ns = self._clock_ns()
        rows = []
        for limit, fields in watch.foresee(self.settings.holdover, now_ns).items():
            tags: Mapping[str, str] = {**watch.tags, "limit": limit} if limit else watch.tags
            rows.append(Record(HOLDOVER, now_ns, tags, fields))
        self._store(rows)

    def foreseen(self, target: str) -> Foreseen | None:
        """What alerts are to know of a target now; None where it is not watched."""
        watch = self.watches.get(target)
        if watch is None:
            return None
        return Foreseen(watch.detector.state.coasting, watch.to_limit_s(self._clock_ns()))

    def close(self) -> None:
        """At the end: what waits is looked at; a holdover that goes on is told as far as it went by the rows that were stored."""
        self.take(self._new)
        self._new = []
        for target, record in list(self._pending.items()):
            self._guarded(target, self._final, target, record)
        self._pending.clear()
