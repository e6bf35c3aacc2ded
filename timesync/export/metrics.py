"""The table of metrics: every name that /metrics can show, its type, labels and help text.

Rule: a metric that is not in this table is not shown, and deploy/METRICS.md is made from it. Names and units follow the
Prometheus practice: the prefix `timesync_`, base units, `_total` for counters, `_info` for facts that live in labels, a
state-set (one series per state, 0 or 1) for a small closed set of states. An absent value is an absent series.
Source: Prometheus documentation, "Metric and label naming" and "Writing exporters"; OpenMetrics 1.0, "StateSet", "Info".
Pure: nothing here reads a clock, a file or a socket.
"""

from __future__ import annotations

from timesync.export.families import Kind, Life, Metric, Subject

__all__ = ["METRICS", "metric"]


def _target(name: str, help_text: str, *own_labels: str) -> Metric:
    """A gauge of a target that lives as long as its measurements."""
    return Metric(name, Kind.GAUGE, Subject.TARGET, Life.MEASUREMENT, help_text, own_labels)


def _polled(name: str, help_text: str, *own_labels: str) -> Metric:
    """A gauge of a target that lives as long as it is polled."""
    return Metric(name, Kind.GAUGE, Subject.TARGET, Life.POLL, help_text, own_labels)


def _answered(name: str, help_text: str, *own_labels: str) -> Metric:
    """A gauge of what a server says of itself, in an answer that may have been refused."""
    return Metric(name, Kind.GAUGE, Subject.TARGET, Life.ANSWER, help_text, own_labels)


def _stack(name: str, help_text: str, *own_labels: str) -> Metric:
    """A gauge of what a PTP stack says of one of its clocks."""
    full = f"timesync_ptp_stack_{name}"
    return Metric(full, Kind.GAUGE, Subject.TARGET, Life.MEASUREMENT, help_text, ("clock", *own_labels))


def _target_kept(kind: Kind, name: str, help_text: str, *own_labels: str) -> Metric:
    return Metric(name, kind, Subject.TARGET, Life.KEPT, help_text, own_labels)


def _probe(kind: Kind, name: str, help_text: str, *own_labels: str) -> Metric:
    return Metric(name, kind, Subject.PROBE, Life.KEPT, help_text, own_labels)


def _process(kind: Kind, name: str, help_text: str) -> Metric:
    return Metric(name, kind, Subject.PROCESS, Life.KEPT, help_text)


_G, _C = Kind.GAUGE, Kind.COUNTER


def _stability(name: str, title: str, *, seconds: bool) -> tuple[Metric, ...]:
    """A statistic and the ends of its interval, each tau a series."""
    unit = "_seconds" if seconds else ""
    labels = ("reference", "tau", "estimator")
    parts = (("", title), ("_lower", f"Lower limit of {name}"), ("_upper", f"Upper limit of {name}"))
    return tuple(
        Metric(f"timesync_{name}{end}{unit}", _G, Subject.TARGET, Life.STABILITY, f"{text}{_WHAT[end]}", labels)
        for end, text in parts
    )


_WHAT = {
    "": " against the reference, or the probe's clock (reference: probe); estimator: exact, strided (every some terms) or bounds "
    "(the upper one). tau in seconds.",
    "_lower": ": of its confidence interval, or rigorous where the estimator is bounds. tau in seconds.",
    "_upper": ": of its confidence interval, or rigorous where the estimator is bounds. tau in seconds.",
}


def _forecast(name: str, help_text: str, *own_labels: str) -> Metric:
    return Metric(f"timesync_holdover_{name}", _G, Subject.TARGET, Life.STABILITY, help_text, own_labels)


def _episode(kind: Kind, name: str, help_text: str) -> Metric:
    return _target_kept(kind, f"timesync_holdover_{name}", help_text)


_TABLE: tuple[Metric, ...] = (
    # What was measured.
    _target("timesync_offset_seconds", "Target minus the probe's clock, newest measurement; positive: target ahead."),
    _target("timesync_offset_bound_seconds", "Hard bound of timesync_offset_seconds: its error cannot exceed this."),
    _target("timesync_delay_seconds", "Round-trip delay of the newest measurement."),
    _target(
        "timesync_time_error_seconds",
        "Target minus UTC(k), measured against the reference; positive: target ahead. Absent without a UTC(k) claim.",
        "reference",
    ),
    _target(
        "timesync_time_error_bound_seconds",
        "Hard bound of timesync_time_error_seconds: its error cannot exceed this.",
        "reference",
    ),
    _target(
        "timesync_time_error_uncertainty_seconds",
        "Standard uncertainty (GUM, coverage factor 1) of timesync_time_error_seconds.",
        "reference",
    ),
    _target(
        "timesync_utc_minus_target_seconds",
        "UTC minus target by what is published of UTC - UTC(k), as a rule a prediction. Absent where nothing is.",
        "reference",
    ),
    _target(
        "timesync_utc_minus_target_uncertainty_seconds",
        "Standard uncertainty (GUM, coverage factor 1) of timesync_utc_minus_target_seconds.",
        "reference",
    ),
    _target(
        "timesync_utc_status",
        "What UTC minus target rests on: 1 for final (Circular T), rapid (UTCr), predicted or unavailable, 0 for the others.",
        *("reference", "status"),
    ),
    _target(
        "timesync_timestamping",
        "Where the timestamps of the newest measurement were taken: 1 for the state that holds, 0 for the others.",
        "timestamping",
    ),
    _target("timesync_authenticated", "1 if the newest reply verified under a key, 0 if it was not authenticated."),
    _target(
        "timesync_mode_info",
        "Mode of the newest exchange: NTP basic or interleaved, PTP e2e, p2p, hybrid or unicast; always 1.",
        "mode",
    ),
    _target(
        "timesync_reference_info",
        "The reference that the target is compared with, and the UTC(k) it realises; always 1.",
        "reference",
        "realises",
    ),
    # What the server says of itself, in its newest answer, measured or refused.
    _answered("timesync_root_delay_seconds", "Root delay that the server claims."),
    _answered(
        "timesync_root_dispersion_seconds", "Root dispersion that the server claims; it grows between its polls."
    ),
    _answered("timesync_stratum", "Stratum that the server claims; 16 and above: not synchronised."),
    _answered(
        "timesync_leap", "Leap indicator that the server sends: 0 none, 1 insert, 2 delete a second, 3 unsynchronised."
    ),
    # The same for a PTP master, from its Announce.
    _answered("timesync_ptp_clock_class", "clockClass of the grandmaster: 6 locked, 7 holdover, 248 default."),
    _answered("timesync_ptp_clock_accuracy", "clockAccuracy of the grandmaster, its code."),
    _answered(
        "timesync_ptp_clock_accuracy_seconds",
        "clockAccuracy of the grandmaster as a limit; absent where it names none.",
    ),
    _answered("timesync_ptp_offset_scaled_log_variance", "offsetScaledLogVariance of the grandmaster."),
    _answered("timesync_ptp_priority1", "priority1 of the grandmaster."),
    _answered("timesync_ptp_priority2", "priority2 of the grandmaster."),
    _answered("timesync_ptp_steps_removed", "Communication paths between the grandmaster and the measured clock."),
    _answered("timesync_ptp_utc_offset_seconds", "currentUtcOffset: TAI minus UTC, as announced."),
    _answered("timesync_ptp_utc_offset_valid", "currentUtcOffsetValid: 1 if the announced offset may be used."),
    _answered("timesync_ptp_time_traceable", "timeTraceable: 1 if the time is traceable to a primary reference."),
    _answered("timesync_ptp_frequency_traceable", "frequencyTraceable: 1 if the frequency is."),
    _answered(
        "timesync_ptp_master_info",
        "The port that is measured, its grandmaster, domain, and how its time scale is read; always 1.",
        "port_identity",
        "grandmaster",
        "domain",
        "timescale",
    ),
    # What a PTP stack says of itself, as a target of the kind ptp4l: its claims, not measurements.
    _stack(
        "master_offset_seconds",
        "What the stack holds its master to be ahead of its clock; sign as timesync_offset_seconds.",
    ),
    _stack("mean_path_delay_seconds", "Path delay to its master, as the stack holds it."),
    _stack("steps_removed", "Communication paths between the stack's clock and its grandmaster."),
    _stack("clock_class", "The clock's own clockClass."),
    _stack("grandmaster_class", "clockClass of the clock's grandmaster."),
    _stack(
        "grandmaster_accuracy_seconds",
        "clockAccuracy of the clock's grandmaster as a limit; absent where it names none.",
    ),
    _stack("grandmaster_present", "1 if the clock follows a grandmaster that is another clock."),
    _stack("utc_offset_seconds", "currentUtcOffset that the clock holds: TAI minus UTC."),
    _stack("utc_offset_valid", "1 if the clock holds that offset to be valid."),
    _stack("ptp_timescale", "1 if the clock's time scale is PTP's, 0 if it is arbitrary."),
    _stack("time_traceable", "1 if the clock holds its time to be traceable to a primary reference."),
    _stack("frequency_traceable", "1 if the clock holds its frequency to be."),
    _stack(
        "info",
        "The port that the clock follows, its grandmaster and its domain; always 1.",
        *("parent_port", "grandmaster", "domain"),
    ),
    _stack("clock_state", "What the clock is by its ports: 1 for the state that holds, 0 for the others.", "state"),
    _stack("port_state", "portState: 1 for the state that holds, 0 for the others.", "port", "state"),
    _stack("peer_mean_path_delay_seconds", "Delay of the port's link (peer-to-peer), as the stack holds it.", "port"),
    _stack("as_capable", "gPTP: 1 if the port's neighbour can run it.", "port"),
    Metric(
        "timesync_ptp_stack_messages_total",
        _C,
        Subject.TARGET,
        Life.MEASUREMENT,
        "PTP messages of a port since its stack began, by direction (rx, tx) and message type.",
        ("clock", "port", "direction", "message"),
    ),
    # How far to trust it.
    _polled(
        "timesync_utc_claim",
        "1 if timesync_time_error_seconds is shown, so that the target is compared with UTC(k) now; 0 if it is not.",
    ),
    _polled(
        "timesync_utc_claim_carried",
        "1 if that claim is by a reference that is lost, carried on by the probe's clock: its bound grows until carry_s ends it.",
    ),
    _polled(
        "timesync_utc_claim_absent_info",
        "Why there is no UTC(k) claim (a name from the table of reasons); always 1, absent while there is a claim.",
        "reason",
    ),
    _polled(
        "timesync_reachability_ratio", "Share of the last 8 polls (fewer at the beginning) that gave a measurement."
    ),
    # What was asked, and what came of it. polls = replies + the sum of losses over all reasons.
    _target_kept(_C, "timesync_polls_total", "Polls that are accounted for, measured or missed."),
    _target_kept(_C, "timesync_replies_total", "Polls that gave a measurement."),
    _target_kept(
        _C,
        "timesync_losses_total",
        "Polls without a measurement, by reason. Never sent: stopped_by_server, held_by_rate, probe_overloaded, "
        "name_not_resolved, send_failed.",
        "reason",
    ),
    _target_kept(
        _G,
        "timesync_last_sample_timestamp_seconds",
        "When the newest measurement (or report) was made, on the probe's clock, Unix time. Kept while the target is configured.",
    ),
    _target_kept(_G, "timesync_poll_interval_seconds", "The target's poll interval."),
    _target_kept(
        _G,
        "timesync_target_info",
        "What is configured: the reference that the target is compared with, and its role, reference or target; always 1.",
        "reference",
        "role",
    ),
    _target_kept(
        _G, "timesync_limit_seconds", "The limit of the time error, either sign, that alerts judge by.", "limit"
    ),
    _target_kept(
        _G,
        "timesync_tie_expiry_timestamp_seconds",
        "Until when the declared tie of a reference to UTC(k) holds, Unix time; absent where no end is declared.",
    ),
    _target_kept(
        _G,
        "timesync_leap_disagreement",
        "1 if the target announces another leap second than the table has, 0 if it does not; absent before it has answered.",
    ),
    # Stability, computed as the samples come.
    *_stability("adev", "Allan deviation", seconds=False),
    *_stability("oadev", "Overlapping Allan deviation", seconds=False),
    *_stability("mdev", "Modified Allan deviation", seconds=False),
    *_stability("tdev", "Time deviation", seconds=True),
    *_stability("hdev", "Hadamard deviation", seconds=False),
    *_stability("ohdev", "Overlapping Hadamard deviation", seconds=False),
    *_stability("tierms", "Rms time interval error", seconds=True),
    *_stability("mtie", "Maximum time interval error", seconds=True),
    # Holdover: state, and forecast from the newest sample.
    _forecast(
        "state",
        "What the target is doing: 1 for the state that holds (locked, holdover, holdover_out: beyond its limit, ...).",
        "state",
    ),
    _forecast(
        "time_to_limit_seconds",
        "How long the target stays within the limit with the configured confidence (first passage); at most the horizon.",
        "limit",
    ),
    _forecast(
        "time_to_own_limit_seconds",
        "The same of the limit in timesync_limit_seconds. Of a clock that is locked it supposes that it goes on as a free one. "
        "Absent where the limit is kept for a horizon of less than 5 h: what comes after is not known.",
        "limit",
    ),
    _forecast("predicted_1h_seconds", "Time error foreseen in an hour."),
    _forecast("predicted_1h_uncertainty_seconds", "Standard uncertainty of the time error foreseen in an hour."),
    _forecast("predicted_24h_seconds", "Time error foreseen in 24 hours."),
    _forecast("predicted_24h_uncertainty_seconds", "Standard uncertainty of the time error foreseen in 24 hours."),
    _forecast("score_ratio", "Share of the last 100 forecasts whose interval held what was then measured."),
    _episode(_C, "episodes_total", "Holdovers that are over, since the daemon started."),
    _episode(_C, "episodes_judged_total", "Those of them that were long enough for a forecast, which was judged."),
    _episode(_C, "episodes_held_total", "Those of them whose forecast's band held throughout."),
    _episode(_G, "last_duration_seconds", "How long the newest of them lasted."),
    _episode(_G, "last_max_error_seconds", "Its largest time error, without a sign."),
    _episode(_G, "last_end_step_seconds", "Its time error after the exit minus the last before it."),
    _episode(_G, "last_rate_ratio", "Fractional frequency of the target while it lasted."),
    # The probe.
    _probe(_G, "timesync_targets", "Targets that are configured."),
    _probe(
        _G,
        "timesync_site_info",
        "Where the probe stands, degrees, north and east positive, for maps; always 1; absent where none is configured.",
        *("latitude", "longitude"),
    ),
    # What ties it to UTC(k), and to UTC.
    _probe(
        _G,
        "timesync_tie_claim",
        "What ties a reference to UTC(k), by declaration or by a link: 1 while it holds, 0 while nothing is claimed by it.",
        *("reference", "link", "realises"),
    ),
    _probe(
        _G,
        "timesync_tie_valid_until_timestamp_seconds",
        "Until when the tie holds as it is now, Unix time: its declared end or that of its data's age, whichever is first; a link "
        "moves it on with new data. Absent where it has no end.",
        *("reference", "link"),
    ),
    _probe(
        _G,
        "timesync_tie_uncertainty_seconds",
        "Standard uncertainty (GUM, coverage factor 1) of the tie as it is now.",
        *("reference", "link"),
    ),
    _probe(
        _G,
        "timesync_tie_bound_seconds",
        "Hard bound of the tie as it is now.",
        *("reference", "link"),
    ),
    _probe(
        _G,
        "timesync_utc_published_until_timestamp_seconds",
        "Newest date for which UTC - UTC(k) is published, Unix time, by publication (circular_t: final, utcr: rapid).",
        *("laboratory", "publication", "issue"),
    ),
    _probe(
        _G,
        "timesync_mask_seconds",
        "A point of a mask that `masks` of [stability] names, by statistic (mtie, tdev) and averaging time. tau in seconds.",
        *("mask", "statistic", "tau"),
    ),
    _probe(
        _G,
        "timesync_stability_targets",
        "Targets whose stability is computed, against a reference and against the probe's clock (against: probe); 0 where the "
        "configuration leaves it out: `enabled`, `targets_at_most` and `probe_clock` of [stability].",
        "against",
    ),
    _probe(_C, "timesync_clock_steps_total", "Steps of the probe's own clock since the daemon started."),
    _probe(_C, "timesync_clock_suspends_total", "Sleeps of the probe's machine since the daemon started."),
    _probe(
        _G,
        "timesync_leap_table_expiry_timestamp_seconds",
        "Until when leap seconds are known, Unix time; past it, a new leap-seconds.list is needed.",
    ),
    _probe(
        _G,
        "timesync_certificate_expiry_timestamp_seconds",
        "Until when the TLS certificate that [http] serves is valid, Unix time; absent without TLS.",
    ),
    _probe(
        _G,
        "timesync_certificate_start_timestamp_seconds",
        "From when the TLS certificate that [http] serves is valid, Unix time; absent without TLS.",
    ),
    _probe(
        _G,
        "timesync_reference_difference_seconds",
        "One reference minus another, newest comparison.",
        "reference",
        "other",
    ),
    _probe(
        _G,
        "timesync_reference_difference_bound_seconds",
        "Hard bound of timesync_reference_difference_seconds: beyond it they cannot both be right.",
        "reference",
        "other",
    ),
    _probe(
        _G,
        "timesync_reference_standing",
        "How a reference stands with the others: 1 for agrees, outvoted or undecided, 0 for the others.",
        "reference",
        "standing",
    ),
    Metric(
        "timesync_fault_confidence_ratio",
        _G,
        Subject.PROBE,
        Life.FAULT,
        "Confidence of a verdict that holds now, 0 to 1: whose fault, what changed, the clock it concerns.",
        ("fault", "change", "clock"),
    ),
    _probe(_G, "timesync_event_loop_lag_seconds", "How late the event loop woke up, newest check."),
    _probe(_G, "timesync_schedule_lag_seconds", "How late the newest poll began."),
    _probe(_G, "timesync_alerts_firing", "Alerts that fire, by kind and severity.", "alert", "severity"),
    _probe(
        _C,
        "timesync_notifications_total",
        "Alerts told by a messenger (sent), tries that failed (failed), alerts given up (dropped).",
        "messenger",
        "result",
    ),
    _probe(_C, "timesync_events_total", "Events, by kind and severity.", "kind", "severity"),
    _probe(
        _C, "timesync_packets_refused_total", "Packets that were not believed, whenever they came.", "engine", "reason"
    ),
    _probe(
        _C,
        "timesync_stamps_total",
        "Timestamps of packets: given by the kernel or the card (tx_stamps), not matched to a packet (stray_tx_stamps), "
        "missing on arrival (untimed_receives); and network errors about packets of the past (stray_errors).",
        "engine",
        "what",
    ),
    # What is kept until it is delivered.
    _probe(_G, "timesync_spool_bytes", "Size of the spool on disk."),
    _probe(_G, "timesync_spool_limit_bytes", "Configured size limit of the spool."),
    _probe(_G, "timesync_spool_records", "Records in the spool that at least one sink lacks."),
    _probe(
        _G,
        "timesync_spool_oldest_timestamp_seconds",
        "Instant of the oldest record that a sink lacks, Unix time; its age is time() minus this. Absent when none waits.",
    ),
    _probe(_G, "timesync_spool_buffered_records", "Records held in memory because the disk refuses them."),
    _probe(_G, "timesync_spool_writable", "1 if the spool accepts writes, 0 if the disk refuses them."),
    _probe(_C, "timesync_spool_dropped_total", "Records dropped, since the spool was first made."),
    _probe(_C, "timesync_spool_dropped_by_cause_total", "The same by cause.", "cause"),
    _probe(_C, "timesync_spool_refused_total", "Records that a sink refused for good, since the spool was first made."),
    _probe(_G, "timesync_sink_records", "Records that wait for this sink.", "sink"),
    _probe(_G, "timesync_sink_backlog_records", "Those of them that wait behind the live ones.", "sink"),
    _probe(_G, "timesync_sink_available", "1 if this sink takes records, 0 while it is away.", "sink"),
    _probe(
        _G,
        "timesync_sink_last_delivery_timestamp_seconds",
        "When this sink last took records, Unix time; absent if it never did.",
        "sink",
    ),
    _probe(_C, "timesync_sink_delivered_total", "Records that this sink took.", "sink"),
    _probe(_C, "timesync_sink_refused_total", "Records that this sink refused for good.", "sink"),
    _probe(_C, "timesync_sink_failures_total", "Deliveries to this sink that failed and are tried again.", "sink"),
    # This program and this exposition.
    _probe(_G, "timesync_build_info", "Version of timesync and of Python; always 1.", "version", "python"),
    _probe(_G, "timesync_exposition_duration_seconds", "How long it took to render the previous scrape."),
    _probe(
        _C,
        "timesync_exposition_refused_total",
        "Values that could not be shown (not a finite number), by metric.",
        "metric",
    ),
    _probe(_C, "timesync_exposition_unknown_target_total", "Records of targets that are not configured; not shown."),
    # The process, under the names that every Prometheus client library uses.
    _process(_C, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds."),
    _process(_G, "process_resident_memory_bytes", "Resident memory size in bytes."),
    _process(_G, "process_virtual_memory_bytes", "Virtual memory size in bytes."),
    _process(_G, "process_open_fds", "Number of open file descriptors."),
    _process(_G, "process_max_fds", "Maximum number of open file descriptors."),
    _process(_G, "process_start_time_seconds", "Start time of the process since the Unix epoch in seconds."),
)

METRICS: dict[str, Metric] = {entry.name: entry for entry in _TABLE}


def metric(name: str) -> Metric:
    """The metric of that name. Raises KeyError: a name outside the table is a mistake in the program."""
    return METRICS[name]
