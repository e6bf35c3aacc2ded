"""The current values behind /metrics: what the newest records say, and for how long that may be shown.

Rules. A value is shown only as long as it is news: each target's gauges live for `LIFE_INTERVALS` poll intervals and a grace
after the record they came from, then they go. A measurement may come twice, the second time with a better claim: it takes
the place of the first, prolongs nothing and counts once. Polls are counted where they are made (the tallies), not here.
Recording is a few dictionary look-ups; mapping to metrics waits for the scrape. Time (monotonic seconds) is a parameter.
Pure: no clock, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from timesync.export.kept import Shapes
from timesync.model import PROBE_CLOCK

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from timesync.export.kept import Kept
    from timesync.model import Event, Record, Validity
    from timesync.plugin import EngineCounts
    from timesync.reasons import Reason
    from timesync.settings import Tie
    from timesync.store.status import SpoolStatus

__all__ = [
    "GRACE_S",
    "LIFE_INTERVALS",
    "Counts",
    "Current",
    "Declared",
    "ProbeView",
    "Snapshot",
    "Tally",
    "TargetView",
    "TieView",
]

LIFE_INTERVALS = 3.0
"""How many poll intervals a measurement is shown: two misses in a row do not blank a panel, a third does."""

GRACE_S = 4.0
"""On top of that: time-outs, and the second or two that a row may wait for its reference, do not make a series flicker."""

STABILITY_LIFE = 2.0
"""How many times the time from one stability result to the next a result is shown."""

STACK = ("ptp_clock", "ptp_port")
"""Measurements of what a PTP stack says of itself: shown as long as a measurement would be."""

ANSWERS = ("leap", "stratum", "root_delay_s", "root_dispersion_s", "port_identity")
"""Fields of what a server says of itself; a refused answer has them too."""


class Tally(Protocol):
    """What came of a target's polls, counted once each; `timesync.pipeline.TargetState` is one."""

    @property
    def polls(self) -> int:
        """Polls that are accounted for."""
        ...

    @property
    def replies(self) -> int:
        """Those that gave a measurement."""
        ...

    @property
    def register(self) -> int:
        """The last eight polls, the newest in the lowest bit; 1: measured."""
        ...

    @property
    def losses(self) -> Mapping[Reason, int]:
        """The others, by reason."""
        ...


class Counts(NamedTuple):
    """A tally at the instant of a scrape."""

    polls: int
    replies: int
    register: int
    losses: Mapping[Reason, int]


@dataclass(frozen=True, slots=True)
class Declared:
    """What the configuration says of a target. `limit`: name and s; `tie_until_ns`: the end of its tie, Unix ns."""

    reference: str | None = None
    is_reference: bool = False
    limit: tuple[str, float] | None = None
    tie_until_ns: int | None = None


class _Newest:
    """The newest record of its sort, and when it arrived first (monotonic seconds)."""

    __slots__ = ("arrived_s", "epoch", "record")

    def __init__(self) -> None:
        self.record: Kept | None = None
        self.arrived_s = 0.0
        self.epoch = 0

    def take(self, record: Kept, epoch: int, now_s: float) -> None:
        """Keep the record if it is newer, or a better one of the same instant; an epoch of the clock orders before instants."""
        known = self.record
        if known is None or epoch > self.epoch or (epoch == self.epoch and record.at_ns > known.at_ns):
            self.record, self.epoch, self.arrived_s = record, epoch, now_s
        elif epoch == self.epoch and record.at_ns == known.at_ns:
            self.record = record

    def since(self, oldest_s: float) -> Kept | None:
        """The record, if it arrived at `oldest_s` or later."""
        return self.record if self.arrived_s >= oldest_s else None


class _Target:
    """What is known of one target."""

    __slots__ = (
        *("answered", "declared", "episodes", "interval_s", "labels", "latest", "measured", "protocol", "stability"),
        "stack",
    )

    def __init__(self, labels: Mapping[str, str], protocol: str, interval_s: float) -> None:
        self.labels = labels
        self.protocol = protocol
        self.interval_s = interval_s
        self.declared: Declared | None = None
        self.latest = _Newest()
        self.measured = _Newest()
        self.answered = _Newest()
        # (statistic, tau, "probe" or "") or ("holdover", limit): the newest row, and until when it is shown (monotonic seconds)
        self.stability: dict[tuple[str, ...], tuple[Record, float]] = {}
        # (measurement, clock, port): the same
        self.stack: dict[tuple[str, ...], tuple[Record, float]] = {}
        self.episodes: Episodes | None = None


class Episodes(NamedTuple):
    """The holdovers of a target that are over, since the daemon started: how many, how many of them had a forecast that was judged,
    how many of those forecasts held, and the row of the newest.
    """

    over: int
    judged: int
    held: int
    newest: Record


class TargetView(NamedTuple):
    """One target as it is shown: records whose life is over are None already. A tuple: it is made on the event loop."""

    labels: Mapping[str, str]
    interval_s: float
    latest: Kept | None
    measured: Kept | None
    answered: Kept | None
    last_sample_ns: int | None
    counts: Counts | None
    stability: Sequence[Record] = ()
    stack: Sequence[Record] = ()
    declared: Declared | None = None
    leap_disagrees: bool | None = None
    episodes: Episodes | None = None


class TieView(NamedTuple):
    """The tie of a reference as it is now; `until_ns` (Unix ns): None where it has no end, or claims nothing."""

    reference: str
    link: str
    realises: str
    claims: bool
    until_ns: int | None
    bound_s: float
    u_s: float


@dataclass(frozen=True, slots=True)
class ProbeView:
    """The probe itself as it is shown. None: not known (yet)."""

    spool: SpoolStatus | None = None
    spool_limit_bytes: int | None = None
    loop_lag_s: float | None = None
    schedule_lag_s: float | None = None
    clock_steps: int = 0
    clock_suspends: int = 0
    unknown_target: int = 0
    leap_expiry_ns: int | None = None
    certificate: Validity | None = None
    engines: Mapping[str, EngineCounts] = field(default_factory=dict)
    faults: Sequence[tuple[str, str, str, float]] = ()
    references: Sequence[tuple[str, str, float, float]] = ()
    standings: Mapping[str, str] = field(default_factory=dict)
    alerts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    position: tuple[float, float] | None = None
    ties: Sequence[TieView] = ()
    published: Sequence[tuple[str, str, str, int]] = ()
    masks: Sequence[tuple[str, str, str, float]] = ()
    stability_series: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a scrape shows, safe to read from another thread."""

    labels: Mapping[str, str]
    targets: Sequence[TargetView]
    probe: ProbeView
    events: Mapping[tuple[str, str], int]


class Current:
    """The current values of one probe. Not thread-safe: record and take snapshots in one thread."""

    def __init__(self, site: str, probe: str) -> None:
        self._labels = {"site": site, "probe": probe}
        self._targets: dict[str, _Target] = {}
        self._shapes = Shapes()
        self._spool: SpoolStatus | None = None
        self._spool_limit_bytes: int | None = None
        self._loop_lag_s: float | None = None
        self._schedule_lag_s: float | None = None
        self._clock_steps = 0
        self._clock_suspends = 0
        self._unknown_target = 0
        self._leap_expiry_ns: int | None = None
        self._certificate: Validity | None = None
        self._engines: Mapping[str, EngineCounts] = {}
        self._faults: Sequence[tuple[str, str, str, float]] = ()
        self._references: Sequence[tuple[str, str, float, float]] = ()
        self._standings: Mapping[str, str] = {}
        self._events: dict[tuple[str, str], int] = {}
        self._leap_disagreements: Collection[str] = ()
        self._alerts: Mapping[tuple[str, str], int] = {}
        self._notifications: Mapping[tuple[str, str], int] = {}
        self._position: tuple[float, float] | None = None
        self._ties: Sequence[TieView] = ()
        self._published: Sequence[tuple[str, str, str, int]] = ()
        self._masks: Sequence[tuple[str, str, str, float]] = ()
        self._stability_series: Mapping[str, int] = {}

    def add_target(self, name: str, *, protocol: str, interval_s: float) -> None:
        """Begin to show a target, or change its interval; what is shown of it goes on unless the protocol is another."""
        known = self._targets.get(name)
        if known is not None and known.protocol == protocol:
            known.interval_s = interval_s
            return
        labels = {**self._labels, "target": name, "protocol": protocol}
        self._targets[name] = _Target(labels, protocol, interval_s)

    def declare(self, name: str, declared: Declared) -> None:
        """Show what the configuration says of a target that is shown."""
        self._targets[name].declared = declared

    def set_leap_disagreements(self, targets: Collection[str]) -> None:
        """Show that these targets announce another leap second than the table."""
        self._leap_disagreements = targets

    def set_alerts(self, firing: Mapping[tuple[str, str], int]) -> None:
        """Show how many alerts fire, by kind and severity."""
        self._alerts = firing

    def set_notifications(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Show what came of telling people, by messenger and result."""
        self._notifications = counts

    def set_position(self, latitude: float | None, longitude: float | None) -> None:
        """Show where the probe stands, degrees, north and east positive."""
        self._position = None if latitude is None or longitude is None else (latitude, longitude)

    def set_ties(self, ties: Mapping[str, Tie], now_ns: int) -> None:
        """Show what ties each reference to UTC(k) now (Unix ns)."""
        self._ties = [
            TieView(
                name,
                tie.link or "declared",
                tie.realises,
                tie.why_not(now_ns) is None,
                tie.valid_until_ns if tie.no_claim is None else None,
                tie.bound_s,
                tie.u_s,
            )
            for name, tie in ties.items()
        ]

    def set_published(self, published: Sequence[tuple[str, str, str, int]]) -> None:
        """Show what is published of UTC - UTC(k): laboratory, publication, its issue, and its newest date (Unix ns)."""
        self._published = published

    def set_stability(self, masks: Sequence[tuple[str, str, str, float]], series: Mapping[str, int]) -> None:
        """Show these points of masks: mask, statistic, averaging time (s, as text), limit (s); and how many targets' stability is
        computed, by what they are compared with.
        """
        self._masks, self._stability_series = masks, series

    def remove_target(self, name: str) -> None:
        """Stop showing a target, at once and with all its series. A name that is not known is fine."""
        self._targets.pop(name, None)

    def observe(self, record: Record, now_s: float) -> None:
        """Take in one record of `time_error`, a result, or a PTP stack's report; other measurements are left alone.

        The record must not be changed afterwards. A record of a target that is not configured (it was removed while its
        poll was under way) brings no series back; it is counted.
        """
        if record.measurement == "time_error":
            self._observe_time_error(record, now_s)
        elif record.measurement in ("stability", "holdover"):
            self._observe_result(record, now_s)
        elif record.measurement == "holdover_episode":
            self._observe_episode(record)
        elif record.measurement in STACK:
            self._observe_stack(record, now_s)

    def _observe_time_error(self, record: Record, now_s: float) -> None:
        target = self._targets.get(record.tags.get("target", ""))
        if target is None:
            self._unknown_target += 1
            return
        fields, kept = record.fields, self._shapes.keep(record)
        epoch = int(fields.get("clock_epoch", 0))
        target.latest.take(kept, epoch, now_s)
        if "reason" not in fields:
            target.measured.take(kept, epoch, now_s)
            target.answered.take(kept, epoch, now_s)
        elif any(name in fields for name in ANSWERS):
            target.answered.take(kept, epoch, now_s)

    def _observe_result(self, record: Record, now_s: float) -> None:
        target = self._targets.get(record.tags["target"])
        if target is None:
            self._unknown_target += 1
            return
        until_s = now_s + STABILITY_LIFE * float(record.fields["every_s"]) + GRACE_S
        tags = record.tags
        key: tuple[str, ...] = (record.measurement, tags.get("limit", ""))
        if "statistic" in tags:
            # Another reference takes the place of the one before; the probe's clock stands beside it.
            against = tags.get("reference", "")
            key = (tags["statistic"], tags["tau"], against if against == PROBE_CLOCK else "")
        if record.measurement == "holdover" and "reason" in record.fields:  # no forecast: what was foreseen is no news
            target.stability = {each: kept for each, kept in target.stability.items() if each[0] != "holdover"}
        target.stability[key] = (record, until_s)

    def _observe_episode(self, record: Record) -> None:
        target = self._targets.get(record.tags["target"])
        if target is None:
            self._unknown_target += 1
            return
        count, judged, held = (0, 0, 0) if target.episodes is None else target.episodes[:3]
        found = record.fields.get("held")
        target.episodes = Episodes(count + 1, judged + (found is not None), held + (found is True), record)

    def _observe_stack(self, record: Record, now_s: float) -> None:
        target = self._targets.get(record.tags["target"])
        if target is None:
            self._unknown_target += 1
            return
        target.latest.take(self._shapes.keep(record), int(record.fields.get("clock_epoch", 0)), now_s)
        if "clock" in record.tags:
            until_s = now_s + LIFE_INTERVALS * target.interval_s + GRACE_S
            # Identities come from the network: those that are no longer shown are let go.
            target.stack = {key: kept for key, kept in target.stack.items() if now_s <= kept[1]}
            key = (record.measurement, record.tags["clock"], record.tags.get("port", ""))
            target.stack[key] = (record, until_s)

    def observe_event(self, event: Event) -> None:
        """Count an event."""
        key = (event.kind, event.severity.value)
        self._events[key] = self._events.get(key, 0) + 1

    def set_spool(self, status: SpoolStatus, *, limit_bytes: int | None = None) -> None:
        """Show this state of the spool, and its configured limit, from now on."""
        self._spool = status
        self._spool_limit_bytes = limit_bytes

    def set_loop_lag(self, seconds: float) -> None:
        """Show how late the event loop woke up."""
        self._loop_lag_s = seconds

    def set_engine_counts(self, counts: Mapping[str, EngineCounts]) -> None:
        """Show what the engines have seen, by kind."""
        self._engines = counts

    def set_faults(self, faults: Sequence[tuple[str, str, str, float]]) -> None:
        """Show these verdicts: whose fault, what changed, the clock concerned, the confidence."""
        self._faults = faults

    def set_references(self, references: Sequence[tuple[str, str, float, float]], standings: Mapping[str, str]) -> None:
        """Show these differences between references (one, other, difference, bound; s), and how each stands with the others."""
        self._references, self._standings = references, standings

    def set_schedule_lag(self, seconds: float) -> None:
        """Show how late the newest poll began."""
        self._schedule_lag_s = seconds

    def set_clock_changes(self, *, steps: int, suspends: int) -> None:
        """Show how often the probe's clock was stepped, and how often the machine slept, since the daemon started."""
        self._clock_steps = steps
        self._clock_suspends = suspends

    def set_leap_expiry(self, expires_ns: int) -> None:
        """Show until when leap seconds are known (Unix ns)."""
        self._leap_expiry_ns = expires_ns

    def set_certificate(self, validity: Validity | None) -> None:
        """Show from when until when the certificate of the page is valid."""
        self._certificate = validity

    def snapshot(self, now_s: float, tallies: Mapping[str, Tally]) -> Snapshot:
        """What is to be shown now; some microseconds a target, so that it can be taken on the event loop."""
        views = []
        for name, target in self._targets.items():
            oldest_s = now_s - LIFE_INTERVALS * target.interval_s - GRACE_S
            newest = target.measured.record
            reports = [record for record, until_s in target.stack.values() if now_s <= until_s]
            tally = tallies.get(name)
            views.append(
                TargetView(
                    target.labels,
                    target.interval_s,
                    target.latest.since(oldest_s),
                    target.measured.since(oldest_s),
                    target.answered.since(oldest_s),
                    max((record.at_ns for record in reports), default=None) if newest is None else newest.at_ns,
                    None if tally is None else Counts(tally.polls, tally.replies, tally.register, dict(tally.losses)),
                    [record for record, until_s in target.stability.values() if now_s <= until_s],
                    reports,
                    target.declared,
                    None if target.answered.record is None else name in self._leap_disagreements,
                    target.episodes,
                )
            )
        probe = ProbeView(
            spool=self._spool,
            spool_limit_bytes=self._spool_limit_bytes,
            loop_lag_s=self._loop_lag_s,
            schedule_lag_s=self._schedule_lag_s,
            clock_steps=self._clock_steps,
            clock_suspends=self._clock_suspends,
            unknown_target=self._unknown_target,
            leap_expiry_ns=self._leap_expiry_ns,
            certificate=self._certificate,
            engines=self._engines,
            faults=self._faults,
            references=self._references,
            standings=self._standings,
            alerts=self._alerts,
            notifications=self._notifications,
            position=self._position,
            ties=self._ties,
            published=self._published,
            masks=self._masks,
            stability_series=self._stability_series,
        )
        return Snapshot(self._labels, views, probe, self._events.copy())
