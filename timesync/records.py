"""From the measurement's own types to the stored row, by one table of fields.

Rule: a row says all that is known of a sample and nothing that is not: an absent value is an absent field. `claim` is always there:
"valid", or the reason why there is no claim against UTC(k), so that a later, better row replaces every field of an earlier one.
The table `FIELDS` is the schema of the local history, of InfluxDB and of `timesync export`; the documents are checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING

from timesync.model import (
    ClockOffset,
    Event,
    FieldValue,
    Missed,
    PtpFacts,
    Record,
    Reported,
    ServerFacts,
    TimeError,
)
from timesync.uncertainty import expanded_uncertainty_s
from timesync.utc_rows import add_utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.reference.published import UtcBook

__all__ = ["CLAIM_VALID", "EVENT", "FIELDS", "TIME_ERROR", "Field", "Recorder"]

TIME_ERROR = "time_error"
EVENT = "event"
CLAIM_VALID = "valid"
# Protocols by which nothing is measured, only reports are taken: where the polls without one are told.
REPORTS = {"ptp4l": "ptp_clock"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row: its type ("float", "int", "str" or "bool"), unit ("" where it has none) and meaning."""

    type: str
    unit: str
    meaning: str


def _s(meaning: str) -> Field:
    return Field("float", "s", meaning)


FIELDS: Mapping[str, Field] = {
    "offset_s": _s("target minus probe at the middle of the exchange"),
    "bound_s": _s("hard bound of offset_s"),
    "delay_s": _s("round-trip delay"),
    "time_error_s": _s("target minus UTC(k)"),
    "time_error_bound_s": _s("hard bound of time_error_s"),
    "time_error_u_s": _s("standard uncertainty of time_error_s (coverage factor 1), at most the bound"),
    "time_error_expanded_s": _s("expanded uncertainty of time_error_s: coverage factor times u, at most the bound"),
    "coverage_factor": Field("float", "", "the coverage factor of time_error_expanded_s"),
    "claim": Field("str", "", '"valid", or the reason why there is no claim against UTC(k)'),
    "quality": Field(
        "str",
        "",
        "how the reference was had: interpolated, held (from one side), carried (it is lost: by the probe's own clock), local, "
        "itself, none (no claim)",
    ),
    "reference_changes": Field(
        "int",
        "",
        "changes of the target's reference, since the probe began, until this one was taken; absent without fallback",
    ),
    "realises": Field("str", "", "the UTC(k) that the reference realises"),
    "utc_minus_x_s": _s("UTC minus target: [UTC - UTC(k)] as published, minus time_error_s"),
    "utc_minus_x_u_s": _s("standard uncertainty of utc_minus_x_s (coverage factor 1); absent where none is published"),
    "utc_minus_x_expanded_s": _s(
        "expanded uncertainty of utc_minus_x_s: coverage factor times u, at most the bound of x and that share of UTC(k)"
    ),
    "utc_label": Field(
        "str", "", "what utc_minus_x_s rests on: final (Circular T), rapid (UTCr), predicted, unavailable"
    ),
    "utc_issue": Field("str", "", "the issue that utc_minus_x_s rests on"),
    "utc_minus_utck_s": _s("UTC - UTC(k) at the instant, as published and interpolated or predicted"),
    "u_utck_s": _s("part of the u of utc_minus_x_s: the published u of UTC - UTC(k)"),
    "u_utc_interpolation_s": _s("part of the u of utc_minus_x_s: from the published dates to the instant"),
    "utc_early_minus_x_s": _s("the first estimate of utc_minus_x_s, once a later one has taken its place"),
    "utc_early_u_s": _s("standard uncertainty of the first estimate"),
    "utc_early_label": Field("str", "", "label of the first estimate"),
    "utc_early_issue": Field("str", "", "issue of the first estimate"),
    "bound_path_s": _s(
        "part of the bound: half the round trip to the target, less a declared least one (PTP peer delay: the link delay or more)"
    ),
    "bound_asymmetry_s": _s("part of the bound: half the bound of the path's declared asymmetry"),
    "asymmetry_correction_s": _s("what of offset_s corrects the path's declared asymmetry: minus half of it"),
    "bound_timestamping_s": _s("part of the bound: precision of the target's and the probe's clock"),
    "bound_oscillator_s": _s("part of the bound: the probe's oscillator during the exchange"),
    "bound_interpolation_s": _s("part of the bound: the probe's oscillator between measurements of the reference"),
    "bound_reference_path_s": _s("part of the bound: half the round trip to the reference"),
    "bound_reference_timestamping_s": _s("part of the bound: precision of the reference's and the probe's clock"),
    "bound_reference_oscillator_s": _s("part of the bound: the probe's oscillator during the reference's exchange"),
    "bound_reference_upstream_s": _s("part of the bound: the reference's own root delay / 2 + root dispersion"),
    "bound_upstream_s": _s("part of the bound of a reference itself: its root delay / 2 + root dispersion"),
    "bound_reference_asymmetry_s": _s(
        "part of the bound: half the bound of the declared asymmetry of the reference's path"
    ),
    "bound_tie_s": _s("part of the bound: the reference's tie to UTC(k), by declaration or by its link"),
    "tie_valid_until_ns": Field(
        "int", "ns", "when the reference's tie to UTC(k) ends (Unix time); absent: no end declared"
    ),
    "link": Field(
        "str", "", "the link by which the reference is tied to UTC(k); absent where the tie is declared without one"
    ),
    "link_s": _s("reference minus UTC(k) by the link: part of time_error_s"),
    "link_source": Field("str", "", "what the link rests on: a certificate, a server, receivers"),
    "u_path_s": _s("part of u: bound_path_s, rectangular"),
    "u_timestamping_s": _s("part of u: bound_timestamping_s, rectangular"),
    "u_oscillator_s": _s("part of u: bound_oscillator_s, rectangular"),
    "u_interpolation_s": _s("part of u: bound_interpolation_s, rectangular"),
    "u_reference_path_s": _s("part of u: bound_reference_path_s, rectangular"),
    "u_reference_timestamping_s": _s("part of u: bound_reference_timestamping_s, rectangular"),
    "u_reference_oscillator_s": _s("part of u: bound_reference_oscillator_s, rectangular"),
    "u_reference_upstream_s": _s("part of u: bound_reference_upstream_s, rectangular"),
    "u_upstream_s": _s("part of u of a reference itself: bound_upstream_s, rectangular"),
    "u_asymmetry_s": _s("part of u: half the standard uncertainty of the path's declared asymmetry"),
    "u_reference_asymmetry_s": _s("part of u: the same of the reference's path"),
    "u_tie_s": _s("part of u: the standard uncertainty of the tie, as declared or by its link"),
    "u_type_a_s": _s("part of u: the scatter of single samples, TDEV at the sampling interval"),
    "upstream_s": _s(
        "what the target claims: NTP root delay / 2 + root dispersion, PTP clockAccuracy; no part of its own bound"
    ),
    "t1_ns": Field("int", "ns", "request left the probe (probe's clock, Unix time)"),
    "t2_ns": Field("int", "ns", "request reached the target (target's clock, Unix time)"),
    "t3_ns": Field("int", "ns", "reply left the target (target's clock, Unix time)"),
    "t4_ns": Field("int", "ns", "reply reached the probe (probe's clock, Unix time)"),
    "timestamping": Field(
        "str", "", "where the probe's timestamps were taken, the worse of two: hardware, kernel, user"
    ),
    "tx_timestamping": Field("str", "", "where t1 was taken"),
    "rx_timestamping": Field("str", "", "where t4 was taken"),
    "mode": Field("str", "", "NTP: basic or interleaved; PTP: e2e, p2p, hybrid or unicast"),
    "authenticated": Field("bool", "", "whether the reply verified under a key"),
    "address": Field("str", "", "address and port that were asked"),
    "leap": Field("int", "", "leap indicator, 0 to 3 (PTP: 1 leap61, 2 leap59)"),
    "stratum": Field("int", "", "stratum of the target"),
    "version": Field("int", "", "protocol version of the reply"),
    "poll": Field("int", "", "poll exponent of the reply"),
    "precision_s": _s("precision that the target claims"),
    "root_delay_s": _s("root delay that the target claims"),
    "root_dispersion_s": _s("root dispersion that the target claims"),
    "reference_id": Field("str", "", "what the target says it follows"),
    "reference_time_ns": Field("int", "ns", "when the target says its clock was last set (Unix time)"),
    "port_identity": Field("str", "", "PTP: the port that was measured"),
    "domain": Field("int", "", "PTP: its domain"),
    "timescale": Field(
        "str", "", "PTP: how its time was read: ptp (as announced), utc or tai (as declared), arbitrary"
    ),
    "two_step": Field("bool", "", "PTP: whether its Sync was followed by a Follow_Up"),
    "clock_class": Field("int", "", "PTP: clockClass of the grandmaster"),
    "clock_accuracy": Field("int", "", "PTP: clockAccuracy of the grandmaster, its code"),
    "clock_accuracy_s": _s("PTP: the same as a limit; absent where the code names none"),
    "offset_scaled_log_variance": Field("int", "", "PTP: offsetScaledLogVariance of the grandmaster"),
    "priority1": Field("int", "", "PTP: priority1 of the grandmaster"),
    "priority2": Field("int", "", "PTP: priority2 of the grandmaster"),
    "grandmaster": Field("str", "", "PTP: clock identity of the grandmaster"),
    "steps_removed": Field("int", "", "PTP: communication paths between the grandmaster and the port's clock"),
    "time_source": Field("int", "", "PTP: timeSource, its code"),
    "utc_offset_s": Field("int", "s", "PTP: currentUtcOffset, TAI minus UTC"),
    "utc_offset_valid": Field("bool", "", "PTP: currentUtcOffsetValid"),
    "time_traceable": Field("bool", "", "PTP: timeTraceable"),
    "frequency_traceable": Field("bool", "", "PTP: frequencyTraceable"),
    "gm_time_base_indicator": Field("int", "", "gPTP: gmTimeBaseIndicator, changes with each step of the grandmaster"),
    "last_gm_phase_change_s": _s("gPTP: lastGmPhaseChange, the grandmaster's newest step as announced"),
    "last_gm_freq_change": Field("float", "", "gPTP: scaledLastGmFreqChange as a fraction"),
    "cumulative_rate_offset": Field("float", "", "gPTP: the grandmaster's rate over its port's, minus 1, as announced"),
    "neighbor_rate_offset": Field(
        "float", "", "PTP peer delay: the neighbour's rate over the probe's, minus 1, measured"
    ),
    "reason": Field("str", "", "why a poll gave no measurement; absent where it did"),
    "detail": Field("str", "", "the reason's particulars, for a person"),
    "sent": Field("bool", "", "whether a packet was sent for a poll that gave no measurement"),
    "polls": Field("int", "", "how many polls without a measurement this row tells of; sum it to count losses"),
    "clock_epoch": Field("int", "", "count of steps and suspends of the probe's clock since the probe began"),
}


def _parts(prefix: str) -> Mapping[str, str]:
    """The name of a part (`path`) -> its field (`bound_path_s`)."""
    return {name[len(prefix) : -len("_s")]: name for name in FIELDS if name.startswith(prefix)}


BOUND_FIELDS = _parts("bound_")
U_FIELDS = _parts("u_")

FACTS: Mapping[type, tuple[str, ...]] = {
    facts: tuple(each.name for each in dataclass_fields(facts)) for facts in (ServerFacts, PtpFacts)
}
"""What a server says of itself: each name is a field of the row."""


class Recorder:
    """Makes the rows of one probe: its site and name are tags of each, with the target, the protocol and the reference."""

    def __init__(self, site: str, probe: str, coverage_factor: float, utc: UtcBook | None = None) -> None:
        """With a book of what is published each claim says what it is against UTC, too."""
        self._utc = utc
        self._site = site
        self._probe = probe
        self._coverage_factor = float(coverage_factor)
        self._tags: dict[tuple[str, str, str | None], Mapping[str, str]] = {}
        self._known: dict[str, tuple[object, Mapping[str, FieldValue]]] = {}

    def time_error(self, error: TimeError, draft: Record | None = None) -> Record:
        """The row of a measured sample, with its claim or the reason for none; `draft` is the row that it replaces, if any."""
        offset = error.offset
        # What was measured stays as it was; a draft has no more than that and what is set anew below.
        fields = self._measured(offset) if draft is None else {**draft.fields}
        fields["claim"] = CLAIM_VALID if error.no_claim is None else error.no_claim.value
        fields["quality"] = error.quality._value_  # what `value` gives, at a fifth of its cost
        if error.realises is not None:
            fields["realises"] = error.realises
        else:
            fields.pop("realises", None)
        if error.time_error_s is not None and error.bound_s is not None and error.u_s is not None:
            fields["time_error_s"] = error.time_error_s
            fields["time_error_bound_s"] = error.bound_s
            fields["time_error_u_s"] = error.u_s
            fields["coverage_factor"] = self._coverage_factor
            fields["time_error_expanded_s"] = expanded_uncertainty_s(error.u_s, error.bound_s, self._coverage_factor)
            for name, value in error.bound_parts.items():
                # A tie may be declared as a whole number; a field has one type.
                fields[BOUND_FIELDS[name]] = float(value)
            for name, value in error.u_parts.items():
                fields[U_FIELDS[name]] = float(value)
            if error.tie is not None and error.tie.valid_until_ns is not None:
                fields["tie_valid_until_ns"] = error.tie.valid_until_ns
            if error.tie is not None and error.tie.link:
                fields["link"] = error.tie.link
                fields["link_s"] = float(error.tie.value_s)
                if error.tie.source:
                    fields["link_source"] = error.tie.source
            if self._utc is not None and error.realises is not None:
                add_utc(fields, self._utc.at(error.realises, offset.at_ns))
        return Record(TIME_ERROR, offset.at_ns, self._tag(offset.target, offset.protocol, error.reference), fields)

    def missed(self, missed: Missed, reference: str | None) -> Record:
        """The row of a poll that gave no measurement."""
        fields: dict[str, FieldValue] = {
            "reason": missed.reason.value,
            "claim": missed.reason.value,
            "sent": missed.sent,
            "polls": missed.polls,
            "address": missed.address,
            "clock_epoch": missed.clock_epoch,
        }
        if missed.detail:
            fields["detail"] = missed.detail
        if missed.facts is not None:
            fields.update(_fields_of(missed.facts))
        measurement = REPORTS.get(missed.protocol, TIME_ERROR)
        return Record(measurement, missed.at_ns, self._tag(missed.target, missed.protocol, reference), fields)

    def reported(self, reported: Reported) -> Sequence[Record]:
        """The rows of what a clock's software says of itself."""
        tags = self._tag(reported.target, reported.protocol, None)
        common: Mapping[str, FieldValue] = {"address": reported.address, "clock_epoch": reported.clock_epoch}
        return [
            Record(part.measurement, reported.at_ns, {**tags, **part.tags}, {**part.fields, **common})
            for part in reported.parts
        ]

    def event(self, event: Event) -> Record:
        """The row of an event; its evidence becomes fields."""
        tags = {"site": self._site, "probe": self._probe, "kind": event.kind}
        if event.target is not None:
            tags["target"] = event.target
        fields: dict[str, FieldValue] = {**event.evidence, "severity": event.severity.value, "text": event.text}
        return Record(EVENT, event.at_ns, tags, fields)

    def _tag(self, target: str, protocol: str, reference: str | None) -> Mapping[str, str]:
        key = (target, protocol, reference)
        tags = self._tags.get(key)
        if tags is None:
            tags = {"site": self._site, "probe": self._probe, "target": target, "protocol": protocol}
            if reference is not None:
                tags["reference"] = reference
            self._tags[key] = tags
        return tags

    def _measured(self, offset: ClockOffset) -> dict[str, FieldValue]:
        fields: dict[str, FieldValue] = {
            "offset_s": offset.offset_s,
            "bound_s": offset.bound_s,
            "delay_s": offset.delay_s,
            "bound_path_s": offset.bound_path_s,
            "bound_timestamping_s": offset.bound_timestamping_s,
            "bound_oscillator_s": offset.bound_oscillator_s,
            "upstream_s": offset.upstream_s,
            "timestamping": offset.timestamping._value_,
            "clock_epoch": offset.clock_epoch,
        }
        if offset.bound_asymmetry_s or offset.correction_s:
            fields["bound_asymmetry_s"] = offset.bound_asymmetry_s
            fields["asymmetry_correction_s"] = offset.correction_s
        exchange = offset.exchange
        if exchange is not None:
            fields["t1_ns"] = exchange.t1_ns
            fields["t2_ns"] = exchange.t2_ns
            fields["t3_ns"] = exchange.t3_ns
            fields["t4_ns"] = exchange.t4_ns
            fields["tx_timestamping"] = exchange.tx_timestamping._value_
            fields["rx_timestamping"] = exchange.rx_timestamping._value_
            fields["mode"] = exchange.mode
            fields["authenticated"] = exchange.authenticated
            fields["address"] = exchange.address
        if offset.facts is not None:
            fields.update(self._facts(offset.target, offset.facts))
        return fields

    def _facts(self, target: str, facts: ServerFacts | PtpFacts) -> Mapping[str, FieldValue]:
        """The fields of what a server says of itself; it seldom says anything new, and then the object is the same."""
        before = self._known.get(target)
        if before is not None and before[0] is facts:
            return before[1]
        known = _fields_of(facts)
        self._known[target] = (facts, known)
        return known

    def forget(self, target: str) -> None:
        """A target that is no longer measured."""
        self._known.pop(target, None)
        for key in [key for key in self._tags if key[0] == target]:
            del self._tags[key]


def _fields_of(facts: ServerFacts | PtpFacts) -> Mapping[str, FieldValue]:
    named = ((name, getattr(facts, name)) for name in FACTS[type(facts)])
    return {name: value for name, value in named if value is not None}
