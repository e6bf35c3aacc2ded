"""The current values behind /metrics: what the newest records say, and for how long that may be shown.

Rule: a value is shown only as long as it is news. Each target's gauges live for `LIFE_INTERVALS` poll intervals and a
grace after the record they came from, then they go; counters, and the time of the last sample, stay while the target is
configured. Recording is a few dictionary look-ups; all mapping to metrics waits for the scrape. Time (monotonic
seconds) is a parameter. Pure: no clock, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from timesync.model import Timestamping
from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from timesync.model import Event, FieldValue, Record

__all__ = ["GRACE_S", "LIFE_INTERVALS", "Current", "Sample", "SinkReading", "Snapshot", "SpoolReading", "samples"]

LIFE_INTERVALS = 3.0
"""How many poll intervals a measurement is shown: two misses in a row do not blank a panel, a third does."""

GRACE_S = 2.0
"""On top of that: time-outs, bursts and scheduling do not make a series flicker."""

_REGISTER_BITS = 8

_MEASURED: Mapping[str, str] = {
    "offset_s": "timesync_offset_seconds",
    "bound_s": "timesync_offset_bound_seconds",
    "delay_s": "timesync_delay_seconds",
}
"""Record field -> metric, for a measurement."""

_CLAIMED: Mapping[str, str] = {
    "time_error_s": "timesync_time_error_seconds",
    "time_error_bound_s": "timesync_time_error_bound_seconds",
    "time_error_u_s": "timesync_time_error_uncertainty_seconds",
}
"""Record field -> metric, labelled with the reference."""

_ANSWERED: Mapping[str, str] = {
    "root_delay_s": "timesync_root_delay_seconds",
    "root_dispersion_s": "timesync_root_dispersion_seconds",
    "stratum": "timesync_stratum",
    "leap": "timesync_leap",
}
"""Record field -> metric, for what a server says of itself, also in an answer that was refused."""

_FACTS = tuple(_ANSWERED)


class Sample(NamedTuple):
    """One series of one metric, before it is validated and escaped. A tuple: a scrape makes tens of thousands."""

    metric: str
    labels: Mapping[str, str]
    value: FieldValue


@dataclass(frozen=True, slots=True)
class SinkReading:
    """What the spool holds for one sink. `oldest_age_s` is None when nothing waits."""

    sink: str
    records: int
    oldest_age_s: float | None
    dropped: int
    refused: int


@dataclass(frozen=True, slots=True)
class SpoolReading:
    """The spool: its size on disk, its limit, and each sink's queue."""

    bytes: int
    limit_bytes: int
    sinks: Sequence[SinkReading]


@dataclass(slots=True)
class _Target:
    """What is known of one target. The three records are the newest of their sort, each with when it arrived."""

    protocol: str
    interval_s: float
    labels: Mapping[str, str]
    latest: Record | None = None
    latest_at_s: float = 0.0
    measured: Record | None = None
    measured_at_s: float = 0.0
    answered: Record | None = None
    answered_at_s: float = 0.0
    register: int = 0
    polls: int = 0
    replies: int = 0
    # The commonest loss is there from the start, so that its first one is seen as an increase.
    losses: dict[str, int] = field(default_factory=lambda: {Reason.TIMEOUT.value: 0})


class TargetView(NamedTuple):
    """One target as it is shown: records whose life is over are already None. A tuple: it is made on the event loop."""

    labels: Mapping[str, str]
    interval_s: float
    latest: Record | None
    measured: Record | None
    answered: Record | None
    last_sample_ns: int | None
    register: int
    polls: int
    replies: int
    losses: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a scrape shows, safe to read from another thread."""

    labels: Mapping[str, str]
    targets: Sequence[TargetView]
    spool: SpoolReading | None
    loop_lag_s: float | None
    clock_steps: int
    unknown_target: int
    events: Mapping[tuple[str, str], int]


class Current:
    """The current values of one probe. Not thread-safe: record and take snapshots in one thread."""

    def __init__(self, site: str, probe: str) -> None:
        self._labels = {"site": site, "probe": probe}
        self._targets: dict[str, _Target] = {}
        self._spool: SpoolReading | None = None
        self._loop_lag_s: float | None = None
        self._clock_steps = 0
        self._unknown_target = 0
        self._events: dict[tuple[str, str], int] = {}

    def add_target(self, name: str, *, protocol: str, interval_s: float) -> None:
        """Begin to show a target, or change its interval; its counters go on unless the protocol is another."""
        known = self._targets.get(name)
        if known is not None and known.protocol == protocol:
            known.interval_s = interval_s
            return
        labels = {**self._labels, "target": name, "protocol": protocol}
        self._targets[name] = _Target(protocol=protocol, interval_s=interval_s, labels=labels)

    def remove_target(self, name: str) -> None:
        """Stop showing a target, at once and with all its series. A name that is not known is fine."""
        self._targets.pop(name, None)

    def observe(self, record: Record, now_s: float) -> None:
        """Take in one `time_error` record; other measurements are not shown here and are left alone.

        The record must not be changed afterwards. A record of a target that is not configured (it was removed while its
        poll was under way) brings no series back; it is counted.
        """
        if record.measurement != "time_error":
            return
        target = self._targets.get(record.tags.get("target", ""))
        if target is None:
            self._unknown_target += 1
            return
        target.latest, target.latest_at_s = record, now_s
        target.polls += 1
        target.register = (target.register << 1) & 0xFF
        fields = record.fields
        reason = fields.get("reason")
        if reason is None:
            target.register |= 1
            target.replies += 1
            target.measured, target.measured_at_s = record, now_s
            target.answered, target.answered_at_s = record, now_s
            return
        name = str(reason)
        target.losses[name] = target.losses.get(name, 0) + 1
        if any(fact in fields for fact in _FACTS):
            target.answered, target.answered_at_s = record, now_s

    def observe_event(self, event: Event) -> None:
        """Count an event."""
        key = (event.kind, event.severity.value)
        self._events[key] = self._events.get(key, 0) + 1

    def set_spool(self, reading: SpoolReading) -> None:
        """Show this state of the spool from now on."""
        self._spool = reading

    def set_loop_lag(self, seconds: float) -> None:
        """Show how late the event loop woke up."""
        self._loop_lag_s = seconds

    def set_clock_steps(self, count: int) -> None:
        """Show how often the probe's clock was stepped or the machine slept since the daemon started."""
        self._clock_steps = count

    def snapshot(self, now_s: float) -> Snapshot:
        """What is to be shown now; about a microsecond a target, so that it can be taken on the event loop."""
        views = []
        for target in self._targets.values():
            since_s = now_s - LIFE_INTERVALS * target.interval_s - GRACE_S
            newest = target.measured
            views.append(
                TargetView(
                    labels=target.labels,
                    interval_s=target.interval_s,
                    latest=target.latest if target.latest_at_s >= since_s else None,
                    measured=newest if target.measured_at_s >= since_s else None,
                    answered=target.answered if target.answered_at_s >= since_s else None,
                    last_sample_ns=None if newest is None else newest.at_ns,
                    register=target.register,
                    polls=target.polls,
                    replies=target.replies,
                    losses=target.losses.copy(),
                )
            )
        return Snapshot(
            labels=self._labels,
            targets=views,
            spool=self._spool,
            loop_lag_s=self._loop_lag_s,
            clock_steps=self._clock_steps,
            unknown_target=self._unknown_target,
            events=self._events.copy(),
        )


def samples(snapshot: Snapshot) -> Iterator[Sample]:
    """Every series of a snapshot, target by target; an absent value gives no sample."""
    for view in snapshot.targets:
        yield from _target_samples(view)
    yield from _probe_samples(snapshot)


def _target_samples(view: TargetView) -> Iterator[Sample]:
    labels = view.labels
    if view.measured is not None:
        yield from _measurement_samples(view.measured, labels)
    if view.answered is not None:
        yield from _fields(view.answered.fields, _ANSWERED, labels)
    if view.latest is not None:
        yield from _trust_samples(view, view.latest)
    yield Sample("timesync_polls_total", labels, view.polls)
    yield Sample("timesync_replies_total", labels, view.replies)
    for reason, count in view.losses.items():
        yield Sample("timesync_losses_total", {**labels, "reason": reason}, count)
    if view.last_sample_ns is not None:
        yield Sample("timesync_last_sample_timestamp_seconds", labels, view.last_sample_ns / 1e9)
    yield Sample("timesync_poll_interval_seconds", labels, view.interval_s)


def _fields(fields: Mapping[str, FieldValue], table: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[Sample]:
    for name, metric in table.items():
        if name in fields:
            yield Sample(metric, labels, fields[name])


def _measurement_samples(record: Record, labels: Mapping[str, str]) -> Iterator[Sample]:
    fields = record.fields
    yield from _fields(fields, _MEASURED, labels)
    reference = record.tags.get("reference")
    with_reference = labels if reference is None else {**labels, "reference": reference}
    yield from _fields(fields, _CLAIMED, with_reference)
    if reference is not None:
        realises = fields.get("realises")
        known = with_reference if realises is None else {**with_reference, "realises": str(realises)}
        yield Sample("timesync_reference_info", known, 1)
    timestamping = fields.get("timestamping")
    if timestamping is not None:
        for state in Timestamping:
            holds = state.value == timestamping
            yield Sample("timesync_timestamping", {**labels, "timestamping": state.value}, holds)
    if "mode" in fields:
        yield Sample("timesync_mode_info", {**labels, "mode": str(fields["mode"])}, 1)


def _trust_samples(view: TargetView, latest: Record) -> Iterator[Sample]:
    """Whether there is a UTC(k) claim now, why not, and how well the target is reached."""
    labels = view.labels
    newest = latest if view.measured is None else view.measured
    claim = "time_error_s" in newest.fields
    yield Sample("timesync_utc_claim", labels, claim)
    reason = newest.fields.get("no_claim", newest.fields.get("reason"))
    if not claim and reason is not None:
        yield Sample("timesync_utc_claim_absent_info", {**labels, "reason": str(reason)}, 1)
    seen = min(view.polls, _REGISTER_BITS)
    yield Sample("timesync_reachability_ratio", labels, view.register.bit_count() / seen)


def _probe_samples(snapshot: Snapshot) -> Iterator[Sample]:
    labels = snapshot.labels
    yield Sample("timesync_targets", labels, len(snapshot.targets))
    yield Sample("timesync_clock_steps_total", labels, snapshot.clock_steps)
    yield Sample("timesync_exposition_unknown_target_total", labels, snapshot.unknown_target)
    if snapshot.loop_lag_s is not None:
        yield Sample("timesync_event_loop_lag_seconds", labels, snapshot.loop_lag_s)
    for (kind, severity), count in snapshot.events.items():
        yield Sample("timesync_events_total", {**labels, "kind": kind, "severity": severity}, count)
    if snapshot.spool is not None:
        yield from _spool_samples(snapshot.spool, labels)


def _spool_samples(spool: SpoolReading, labels: Mapping[str, str]) -> Iterator[Sample]:
    yield Sample("timesync_spool_bytes", labels, spool.bytes)
    yield Sample("timesync_spool_limit_bytes", labels, spool.limit_bytes)
    for sink in spool.sinks:
        of_sink = {**labels, "sink": sink.sink}
        yield Sample("timesync_spool_records", of_sink, sink.records)
        if sink.oldest_age_s is not None:
            yield Sample("timesync_spool_oldest_age_seconds", of_sink, sink.oldest_age_s)
        yield Sample("timesync_spool_dropped_total", of_sink, sink.dropped)
        yield Sample("timesync_spool_refused_total", of_sink, sink.refused)
