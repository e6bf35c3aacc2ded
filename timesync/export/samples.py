"""From a snapshot to samples: which field of which record is which metric, with which labels.

Rule: an absent value gives no sample, and every name is in the table of metrics. Pure; the names of fields are those of
`timesync.records.FIELDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from timesync.export.current import STACK
from timesync.model import Quality, Timestamping
from timesync.ptp_stack import CLOCK_STATES, PORT_STATES
from timesync.reasons import Reason
from timesync.reference.agreement import Standing
from timesync.reference.published import Label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from timesync.export.current import Counts, ProbeView, Snapshot, TargetView
    from timesync.export.kept import Kept
    from timesync.model import FieldValue, Record
    from timesync.store.status import SinkStatus, SpoolStatus

__all__ = ["Sample", "samples"]

MEASURED: Mapping[str, str] = {
    "offset_s": "timesync_offset_seconds",
    "bound_s": "timesync_offset_bound_seconds",
    "delay_s": "timesync_delay_seconds",
    "authenticated": "timesync_authenticated",
}
"""Record field -> metric, for a measurement."""

CLAIMED: Mapping[str, str] = {
    "time_error_s": "timesync_time_error_seconds",
    "time_error_bound_s": "timesync_time_error_bound_seconds",
    "time_error_u_s": "timesync_time_error_uncertainty_seconds",
    "utc_minus_x_s": "timesync_utc_minus_target_seconds",
    "utc_minus_x_u_s": "timesync_utc_minus_target_uncertainty_seconds",
}
"""Record field -> metric, labelled with the reference."""

ANSWERED: Mapping[str, str] = {
    "root_delay_s": "timesync_root_delay_seconds",
    "root_dispersion_s": "timesync_root_dispersion_seconds",
    "stratum": "timesync_stratum",
    "leap": "timesync_leap",
    "clock_class": "timesync_ptp_clock_class",
    "clock_accuracy": "timesync_ptp_clock_accuracy",
    "clock_accuracy_s": "timesync_ptp_clock_accuracy_seconds",
    "offset_scaled_log_variance": "timesync_ptp_offset_scaled_log_variance",
    "priority1": "timesync_ptp_priority1",
    "priority2": "timesync_ptp_priority2",
    "steps_removed": "timesync_ptp_steps_removed",
    "utc_offset_s": "timesync_ptp_utc_offset_seconds",
    "utc_offset_valid": "timesync_ptp_utc_offset_valid",
    "time_traceable": "timesync_ptp_time_traceable",
    "frequency_traceable": "timesync_ptp_frequency_traceable",
}
"""Record field -> metric, for what a server says of itself, also in an answer that was refused."""

HOLDOVER_STATES = ("unknown", "freerun", "acquiring", "locked", "holdover", "holdover_out")
"""The states of `timesync.holdover.detect.State`, which needs numpy beside it."""

PTP_MASTER = ("port_identity", "grandmaster", "domain", "timescale")
"""Record fields that become labels of timesync_ptp_master_info."""

STACK_CLOCK: Mapping[str, str] = {
    "master_offset_s": "timesync_ptp_stack_master_offset_seconds",
    "mean_path_delay_s": "timesync_ptp_stack_mean_path_delay_seconds",
    "steps_removed": "timesync_ptp_stack_steps_removed",
    "clock_class": "timesync_ptp_stack_clock_class",
    "grandmaster_class": "timesync_ptp_stack_grandmaster_class",
    "grandmaster_accuracy_s": "timesync_ptp_stack_grandmaster_accuracy_seconds",
    "grandmaster_present": "timesync_ptp_stack_grandmaster_present",
    "utc_offset_s": "timesync_ptp_stack_utc_offset_seconds",
    "utc_offset_valid": "timesync_ptp_stack_utc_offset_valid",
    "ptp_timescale": "timesync_ptp_stack_ptp_timescale",
    "time_traceable": "timesync_ptp_stack_time_traceable",
    "frequency_traceable": "timesync_ptp_stack_frequency_traceable",
}
"""Record field -> metric, of what a PTP stack says of its clock."""

STACK_PORT: Mapping[str, str] = {
    "peer_mean_path_delay_s": "timesync_ptp_stack_peer_mean_path_delay_seconds",
    "as_capable": "timesync_ptp_stack_as_capable",
}
"""The same of its ports."""

STACK_INFO = ("parent_port", "grandmaster", "domain")
"""Record fields that become labels of timesync_ptp_stack_info."""

STANDINGS = tuple(each.value for each in Standing if each is not Standing.ALONE)

_REGISTER_BITS = 8


class Sample(NamedTuple):
    """One series of one metric, before it is validated and escaped. A tuple: a scrape makes tens of thousands."""

    metric: str
    labels: Mapping[str, str]
    value: FieldValue


def samples(snapshot: Snapshot) -> Iterator[Sample]:
    """Every series of a snapshot, target by target."""
    for view in snapshot.targets:
        yield from _target_samples(view)
    labels = snapshot.labels
    yield Sample("timesync_targets", labels, len(snapshot.targets))
    for (kind, severity), count in snapshot.events.items():
        yield Sample("timesync_events_total", {**labels, "kind": kind, "severity": severity}, count)
    yield from _probe_samples(snapshot.probe, labels)


def _target_samples(view: TargetView) -> Iterator[Sample]:
    labels = view.labels
    fields: Mapping[str, FieldValue] = {}
    if view.measured is not None:
        fields = view.measured.fields
        yield from _measurement_samples(view.measured, fields, labels)
    if view.answered is not None:
        if (
            view.answered is not view.measured
        ):  # mostly they are one, and its fields are made anew each time they are asked for
            fields = view.answered.fields
        yield from _fields(fields, ANSWERED, labels)
        if "port_identity" in fields:
            known = {name: str(fields[name]) for name in PTP_MASTER if name in fields}
            yield Sample("timesync_ptp_master_info", {**labels, **known}, 1)
    if view.latest is not None:
        yield from _trust_samples(view, view.latest)
    if view.counts is not None:
        yield from _count_samples(view.counts, labels)
    if view.last_sample_ns is not None:
        yield Sample("timesync_last_sample_timestamp_seconds", labels, view.last_sample_ns / 1e9)
    yield Sample("timesync_poll_interval_seconds", labels, view.interval_s)
    yield from _declared_samples(view)
    for record in view.stability:
        made = _holdover_samples if record.measurement == "holdover" else _stability_samples
        yield from made(record, labels)
    for record in view.stack:
        yield from _stack_samples(record, labels)
    if view.episodes is not None:
        count, judged, held, newest = view.episodes
        yield Sample("timesync_holdover_episodes_total", labels, count)
        yield Sample("timesync_holdover_episodes_judged_total", labels, judged)
        yield Sample("timesync_holdover_episodes_held_total", labels, held)
        yield from _fields(newest.fields, EPISODE, labels)


def _declared_samples(view: TargetView) -> Iterator[Sample]:
    """What is configured of a target, for alerts and dashboards."""
    labels, declared = view.labels, view.declared
    if declared is not None:
        own = {**labels, "role": "reference" if declared.is_reference else "target"}
        if declared.reference is not None:
            own["reference"] = declared.reference
        yield Sample("timesync_target_info", own, 1)
        if declared.limit is not None:
            name, error_s = declared.limit
            yield Sample("timesync_limit_seconds", {**labels, "limit": name}, error_s)
        if declared.tie_until_ns is not None:
            yield Sample("timesync_tie_expiry_timestamp_seconds", labels, declared.tie_until_ns / 1e9)
    if view.leap_disagrees is not None:
        yield Sample("timesync_leap_disagreement", labels, view.leap_disagrees)


def _stack_samples(record: Record, labels: Mapping[str, str]) -> Iterator[Sample]:
    """What a PTP stack says of its clock, or of one of its ports."""
    fields = record.fields
    own = {**labels, "clock": record.tags["clock"]}
    if "port" not in record.tags:
        yield from _fields(fields, STACK_CLOCK, own)
        known = {name: str(fields[name]) for name in STACK_INFO if name in fields}
        yield Sample("timesync_ptp_stack_info", {**own, **known}, 1)
        yield from _states("timesync_ptp_stack_clock_state", own, CLOCK_STATES, fields.get("clock_state"))
        return
    own["port"] = record.tags["port"]
    yield from _fields(fields, STACK_PORT, own)
    yield from _states("timesync_ptp_stack_port_state", own, PORT_STATES.values(), fields.get("port_state"))
    for name, count in fields.items():
        direction, separator, message = name.partition("_")
        if separator and direction in {"rx", "tx"}:
            counted = {**own, "direction": direction, "message": message}
            yield Sample("timesync_ptp_stack_messages_total", counted, count)


def _states(
    metric: str, labels: Mapping[str, str], states: Iterable[str], holds: FieldValue | None, label: str = "state"
) -> Iterator[Sample]:
    """A state-set: each state a series, 1 for the one that holds."""
    if holds is not None:
        for state in states:
            yield Sample(metric, {**labels, label: str(state)}, state == holds)


HOLDOVER: Mapping[str, str] = {
    "predicted_1h_s": "timesync_holdover_predicted_1h_seconds",
    "predicted_1h_u_s": "timesync_holdover_predicted_1h_uncertainty_seconds",
    "predicted_24h_s": "timesync_holdover_predicted_24h_seconds",
    "predicted_24h_u_s": "timesync_holdover_predicted_24h_uncertainty_seconds",
    "score": "timesync_holdover_score_ratio",
}
"""Record field -> metric, for a forecast."""


EPISODE: Mapping[str, str] = {
    "duration_s": "timesync_holdover_last_duration_seconds",
    "max_abs_s": "timesync_holdover_last_max_error_seconds",
    "end_step_s": "timesync_holdover_last_end_step_seconds",
    "rate": "timesync_holdover_last_rate_ratio",
}
"""Record field -> metric, for the newest holdover that is over."""


def _holdover_samples(record: Record, labels: Mapping[str, str]) -> Iterator[Sample]:
    """State and forecast of a target, or the time to one of its limits."""
    fields = record.fields
    if "limit" in record.tags:
        own = {**labels, "limit": record.tags["limit"]}
        if "within_s" in fields:
            yield Sample("timesync_holdover_time_to_limit_seconds", own, fields["within_s"])
            if "own" in fields:
                declared = {**labels, "limit": str(fields["own"])}
                yield Sample("timesync_holdover_time_to_own_limit_seconds", declared, fields["within_s"])
        return
    for name in HOLDOVER_STATES:
        yield Sample("timesync_holdover_state", {**labels, "state": name}, name == fields["state"])
    yield from _fields(fields, HOLDOVER, labels)


def _stability_samples(record: Record, labels: Mapping[str, str]) -> Iterator[Sample]:
    """A statistic at one averaging time: `oadev_strided` is the metric of `oadev`, its estimator a label."""
    name, _, estimator = record.tags["statistic"].partition("_")
    own = {"tau": record.tags["tau"], "estimator": estimator or "exact"}
    if "reference" in record.tags:
        own["reference"] = record.tags["reference"]
    unit, ending = ("_s", "_seconds") if "dev_s" in record.fields else ("", "")
    for field, part in (("dev", ""), ("lo", "_lower"), ("hi", "_upper")):
        if field + unit in record.fields:
            yield Sample(f"timesync_{name}{part}{ending}", {**labels, **own}, record.fields[field + unit])


def _fields(fields: Mapping[str, FieldValue], table: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[Sample]:
    for name, metric in table.items():
        if name in fields:
            yield Sample(metric, labels, fields[name])


def _measurement_samples(record: Kept, fields: Mapping[str, FieldValue], labels: Mapping[str, str]) -> Iterator[Sample]:
    yield from _fields(fields, MEASURED, labels)
    reference = record.tags.get("reference")
    with_reference = labels if reference is None else {**labels, "reference": reference}
    yield from _fields(fields, CLAIMED, with_reference)
    if reference is not None:
        realises = fields.get("realises")
        known = with_reference if realises is None else {**with_reference, "realises": str(realises)}
        yield Sample("timesync_reference_info", known, 1)
        yield from _states("timesync_utc_status", with_reference, Label, fields.get("utc_label"), "status")
    timestamping = fields.get("timestamping")
    if timestamping is not None:
        for state in Timestamping:
            holds = state.value == timestamping
            yield Sample("timesync_timestamping", {**labels, "timestamping": state.value}, holds)
    if "mode" in fields:
        yield Sample("timesync_mode_info", {**labels, "mode": str(fields["mode"])}, 1)


def _trust_samples(view: TargetView, latest: Kept) -> Iterator[Sample]:
    """Whether there is a UTC(k) claim now, why not, and how well the target is reached."""
    labels = view.labels
    newest = latest if view.measured is None else view.measured
    if newest.measurement not in STACK:  # a stack's report claims nothing by itself
        fields = newest.fields
        claimed = "time_error_s" in fields
        yield Sample("timesync_utc_claim", labels, claimed)
        if claimed:
            yield Sample("timesync_utc_claim_carried", labels, fields.get("quality") == Quality.CARRIED)
        reason = fields.get("claim")
        if not claimed and reason is not None:
            yield Sample("timesync_utc_claim_absent_info", {**labels, "reason": str(reason)}, 1)
    if view.counts is not None and view.counts.polls:
        seen = min(view.counts.polls, _REGISTER_BITS)
        yield Sample("timesync_reachability_ratio", labels, view.counts.register.bit_count() / seen)


def _count_samples(counts: Counts, labels: Mapping[str, str]) -> Iterator[Sample]:
    yield Sample("timesync_polls_total", labels, counts.polls)
    yield Sample("timesync_replies_total", labels, counts.replies)
    # The commonest loss is there from the start, so that its first one is seen as an increase.
    for reason, count in {Reason.TIMEOUT: 0, **counts.losses}.items():
        yield Sample("timesync_losses_total", {**labels, "reason": reason.value}, count)


def _known(values: Mapping[str, FieldValue | None], labels: Mapping[str, str]) -> Iterator[Sample]:
    for metric, value in values.items():
        if value is not None:
            yield Sample(metric, labels, value)


def _seconds(at_ns: int | None) -> float | None:
    return None if at_ns is None else at_ns / 1e9


def _probe_samples(probe: ProbeView, labels: Mapping[str, str]) -> Iterator[Sample]:
    values: Mapping[str, FieldValue | None] = {
        "timesync_clock_steps_total": probe.clock_steps,
        "timesync_clock_suspends_total": probe.clock_suspends,
        "timesync_event_loop_lag_seconds": probe.loop_lag_s,
        "timesync_schedule_lag_seconds": probe.schedule_lag_s,
        "timesync_exposition_unknown_target_total": probe.unknown_target,
        "timesync_spool_limit_bytes": probe.spool_limit_bytes,
        "timesync_leap_table_expiry_timestamp_seconds": _seconds(probe.leap_expiry_ns),
        "timesync_certificate_expiry_timestamp_seconds": _seconds(probe.certificate and probe.certificate.until_ns),
        "timesync_certificate_start_timestamp_seconds": _seconds(probe.certificate and probe.certificate.from_ns),
    }
    yield from _known(values, labels)
    for (alert, severity), count in probe.alerts.items():
        yield Sample("timesync_alerts_firing", {**labels, "alert": alert, "severity": severity}, count)
    for (messenger, result), count in probe.notifications.items():
        yield Sample("timesync_notifications_total", {**labels, "messenger": messenger, "result": result}, count)
    for kind, counts in probe.engines.items():
        for reason, count in counts.refused.items():
            yield Sample("timesync_packets_refused_total", {**labels, "engine": kind, "reason": reason}, count)
        for what, count in counts.sockets.items():
            yield Sample("timesync_stamps_total", {**labels, "engine": kind, "what": what}, count)
    for fault, change, clock, confidence in probe.faults:
        own = {"fault": fault, "change": change, "clock": clock or "probe"}
        yield Sample("timesync_fault_confidence_ratio", {**labels, **own}, confidence)
    for reference, other, difference_s, bound_s in probe.references:
        pair = {**labels, "reference": reference, "other": other}
        yield Sample("timesync_reference_difference_seconds", pair, difference_s)
        yield Sample("timesync_reference_difference_bound_seconds", pair, bound_s)
    for reference, standing in probe.standings.items():
        for state in STANDINGS:
            own = {**labels, "reference": reference, "standing": state}
            yield Sample("timesync_reference_standing", own, state == standing)
    yield from _traceability_samples(probe, labels)
    if probe.spool is not None:
        yield from _spool_samples(probe.spool, labels)


def _traceability_samples(probe: ProbeView, labels: Mapping[str, str]) -> Iterator[Sample]:
    """Where the probe stands, what ties it to UTC(k) and to UTC, and the masks that its clocks are held to."""
    if probe.position is not None:
        latitude, longitude = (f"{each:.6g}" for each in probe.position)
        yield Sample("timesync_site_info", {**labels, "latitude": latitude, "longitude": longitude}, 1)
    for tie in probe.ties:
        own = {**labels, "reference": tie.reference, "link": tie.link}
        yield Sample("timesync_tie_claim", {**own, "realises": tie.realises}, tie.claims)
        if tie.until_ns is not None:
            yield Sample("timesync_tie_valid_until_timestamp_seconds", own, tie.until_ns / 1e9)
        if tie.claims:
            yield Sample("timesync_tie_uncertainty_seconds", own, tie.u_s)
            yield Sample("timesync_tie_bound_seconds", own, tie.bound_s)
    for lab, publication, issue, until_ns in probe.published:
        own = {"laboratory": lab, "publication": publication, "issue": issue}
        yield Sample("timesync_utc_published_until_timestamp_seconds", {**labels, **own}, until_ns / 1e9)
    for mask, statistic, tau, limit_s in probe.masks:
        yield Sample("timesync_mask_seconds", {**labels, "mask": mask, "statistic": statistic, "tau": tau}, limit_s)
    for against, count in probe.stability_series.items():
        yield Sample("timesync_stability_targets", {**labels, "against": against}, count)


def _spool_samples(spool: SpoolStatus, labels: Mapping[str, str]) -> Iterator[Sample]:
    values: Mapping[str, FieldValue | None] = {
        "timesync_spool_bytes": spool.bytes,
        "timesync_spool_records": spool.depth,
        "timesync_spool_oldest_timestamp_seconds": _seconds(spool.oldest_at_ns),
        "timesync_spool_buffered_records": spool.buffered,
        "timesync_spool_writable": spool.failing is None,
        "timesync_spool_dropped_total": spool.dropped,
        "timesync_spool_refused_total": spool.refused,
    }
    yield from _known(values, labels)
    for cause, count in spool.dropped_by.items():
        yield Sample("timesync_spool_dropped_by_cause_total", {**labels, "cause": cause}, count)
    for name, sink in spool.sinks.items():
        yield from _sink_samples(sink, {**labels, "sink": name})


def _sink_samples(sink: SinkStatus, labels: Mapping[str, str]) -> Iterator[Sample]:
    values: Mapping[str, FieldValue | None] = {
        "timesync_sink_records": sink.depth,
        "timesync_sink_backlog_records": sink.backlog,
        "timesync_sink_available": sink.unavailable_since_ns is None,
        "timesync_sink_last_delivery_timestamp_seconds": _seconds(sink.last_delivered_at_ns),
        "timesync_sink_delivered_total": sink.delivered,
        "timesync_sink_refused_total": sink.refused,
        "timesync_sink_failures_total": sink.failures,
    }
    yield from _known(values, labels)
