"""Rows: every field is in the table with its type, and `claim` is always there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timesync.model import (
    ClockOffset,
    Event,
    Exchange,
    Missed,
    PtpFacts,
    ServerFacts,
    Severity,
    TimeError,
    Timestamping,
)
from timesync.reasons import Reason
from timesync.records import CLAIM_VALID, EVENT, FIELDS, TIME_ERROR, Recorder
from timesync.reference.differencing import Differencer, LocalReference
from timesync.reference.published import Label, Published, UtcBook, UtcEstimate, UtcTable
from timesync.settings import Tie
from timesync.timescale import mjd_to_unix_ns
from timesync.uncertainty import clock_offset
from timesync.utc_rows import revised

if TYPE_CHECKING:
    from timesync.model import Record

NOW_NS = 1_795_000_000_123_456_789
TYPES = {"float": float, "int": int, "str": str, "bool": bool}
FACTS = ServerFacts(0, 2, 4, 6, 2.0**-23, 0.001, 0.002, "192.0.2.7", NOW_NS - 10**10)
# As a person may write it: whole numbers.
TIE = Tie("UTC(TEST)", bound_s=0, u_s=0)
RECORDER = Recorder("lab", "probe-1", 2)


def exchange(target: str = "target", facts: ServerFacts | PtpFacts = FACTS, at_ns: int = NOW_NS) -> Exchange:
    return Exchange(
        target, "ntp", "192.0.2.1:123", at_ns, at_ns + 5, at_ns + 7, at_ns + 10_000,
        Timestamping.USER, Timestamping.KERNEL, "interleaved", facts, 4, authenticated=True,
    )  # fmt: skip


def check(record: Record) -> None:
    """Each field is in the table, has its type exactly (a boolean is no integer), and there is a claim."""
    for name, value in record.fields.items():
        assert name in FIELDS, name
        assert type(value) is TYPES[FIELDS[name].type], (name, value)
    assert record.fields["claim"] == CLAIM_VALID or record.fields["claim"] in set(Reason)
    assert all(record.tags.values())
    assert set(record.tags) <= {"site", "probe", "target", "protocol", "reference"}
    assert record.measurement == TIME_ERROR


def claims() -> list[TimeError]:
    """Every way in which an offset becomes a time error."""
    expired = Tie("UTC(TEST)", valid_until_ns=NOW_NS - 1)
    told: list[TimeError] = []
    for tie in (TIE, expired):
        differences = Differencer("reference", tie, max_age_s=64.0)
        for turn in range(5):
            at_ns = NOW_NS + turn * 16 * 10**9
            told += differences.reference(clock_offset(exchange("reference", at_ns=at_ns)))
            told += differences.target(clock_offset(exchange(at_ns=at_ns + 10**9)), at_ns)
        told += differences.provisional(at_ns + 10**10, 1.0)
        told += differences.flush()
        told.append(LocalReference(tie, epoch=4).target(clock_offset(exchange())))
    told.append(LocalReference(TIE, epoch=3).target(clock_offset(exchange())))
    lonely = Differencer("reference", TIE, max_age_s=64.0)
    lonely.target(clock_offset(exchange()), NOW_NS)
    told += lonely.flush()
    told.append(TimeError(clock_offset(exchange(facts=ServerFacts())), None, None, no_claim=Reason.NO_REFERENCE))
    direct = ClockOffset("target", "ti", NOW_NS, 1e-9, 0.0, 0.0, 1e-9, 0.0, 0.0, Timestamping.HARDWARE, 0)
    told.append(TimeError(direct, None, None, no_claim=Reason.NO_REFERENCE))
    return told


def test_every_field_of_a_measured_row_is_in_the_table_with_its_type() -> None:
    told = claims()
    assert {error.no_claim for error in told} == {
        None, Reason.REFERENCE_EXPIRED, Reason.REFERENCE_STALE, Reason.NO_REFERENCE, Reason.LOCAL_CLOCK_STEPPED,
    }  # fmt: skip
    emitted: set[str] = set()
    for error in told:
        record = RECORDER.time_error(error)
        check(record)
        emitted |= set(record.fields)
    for reason in Reason:
        record = RECORDER.missed(
            Missed("target", "ntp", "192.0.2.1:123", NOW_NS, reason, "why", 4, facts=FACTS), "reference"
        )
        check(record)
        emitted |= set(record.fields)
    master = PtpFacts(
        "001122.fffe.334455-1", 0, "ptp", True, 6, 0x21, 1e-7, 0x4E5D, 128, 128, "001122.fffe.334455", 0, 0x20, 37,
        True, True, True, 0, 3, -25e-9, 1e-12, 1e-6, 2e-6,
    )  # fmt: skip
    record = RECORDER.time_error(TimeError(clock_offset(exchange(facts=master)), None, None))
    check(record)
    emitted |= set(record.fields)
    book = UtcBook({"LAB": UtcTable("LAB", [Published(60000, 1e-9, 2e-9, rapid=False, issue="one")])})
    claimed = next(error for error in told if error.no_claim is None)
    known = claimed._replace(offset=claimed.offset._replace(at_ns=mjd_to_unix_ns(60001)), realises="UTC(LAB)")
    record = Recorder("lab", "probe-1", 2, book).time_error(known)
    linked = known._replace(
        offset=known.offset._replace(correction_s=1e-6, bound_asymmetry_s=2e-6, u_asymmetry_s=1e-6),
        bound_parts={**known.bound_parts, "asymmetry": 2e-6, "reference_asymmetry": 2e-6},
        u_parts={**known.u_parts, "asymmetry": 1e-6, "reference_asymmetry": 1e-6},
        tie=Tie("UTC(LAB)", valid_until_ns=2**62, link="cal", value_s=1e-9, source="calibration"),
    )
    record_of_link = RECORDER.time_error(linked)
    check(record_of_link)
    emitted |= set(record_of_link.fields)
    later = revised(record.fields, UtcEstimate(Label.FINAL, 2e-9, 2e-9, 1e-9, "two"))
    assert later is not None
    check(record._replace(fields=later))
    emitted |= set(later)
    # And nothing is in the table that no row can have; this one the pipeline adds.
    assert emitted | {"reference_changes"} == set(FIELDS)


@pytest.mark.parametrize("reason", list(Reason))
def test_claim_of_a_missed_poll_is_its_reason(reason: Reason) -> None:
    missed = Missed("target", "ntp", "192.0.2.1:123", NOW_NS, reason, "", 4, sent=False)
    record = RECORDER.missed(missed, None)
    assert record.fields == {
        "reason": reason.value, "claim": reason.value, "sent": False, "polls": 1, "address": "192.0.2.1:123", "clock_epoch": 4,
    }  # fmt: skip
    assert record.at_ns == NOW_NS
    assert "reference" not in record.tags


def test_valid_claim_has_value_bound_u_and_all_parts() -> None:
    (error,) = Differencer("reference", TIE, max_age_s=64.0).reference(clock_offset(exchange("reference")))
    fields = RECORDER.time_error(error).fields
    assert fields["claim"] == CLAIM_VALID
    assert fields["realises"] == "UTC(TEST)"
    assert fields["time_error_s"] == 0.0
    assert fields["coverage_factor"] == 2.0
    bound_s, expanded_s = fields["time_error_bound_s"], fields["time_error_expanded_s"]
    assert isinstance(bound_s, float)
    assert isinstance(expanded_s, float)
    assert expanded_s <= bound_s


def test_row_without_a_claim_has_the_offset_and_no_value() -> None:
    error = TimeError(clock_offset(exchange()), "reference", "UTC(TEST)", no_claim=Reason.REFERENCE_STALE)
    fields = RECORDER.time_error(error).fields
    assert fields["claim"] == "reference_stale"
    assert "offset_s" in fields
    assert "bound_s" in fields
    assert not any(name.startswith(("time_error", "u_")) for name in fields)


def test_later_row_of_the_same_sample_replaces_the_earlier() -> None:
    # (measurement, tags, instant) is the same, and no field of the first is left over in the second.
    differences = Differencer("reference", TIE, max_age_s=64.0)
    differences.reference(clock_offset(exchange("reference")))
    differences.target(clock_offset(exchange(at_ns=NOW_NS + 10**9)), 0)
    (early,) = differences.provisional(2 * 10**9, 1.0)
    _, final = differences.reference(clock_offset(exchange("reference", at_ns=NOW_NS + 2 * 10**9)))
    one, other = RECORDER.time_error(early), RECORDER.time_error(final)
    assert (one.measurement, one.tags, one.at_ns) == (other.measurement, other.tags, other.at_ns)
    assert set(one.fields) <= set(other.fields)


def test_tags_name_site_probe_target_protocol_and_reference() -> None:
    record = RECORDER.missed(Missed("target", "ntp", "a", NOW_NS, Reason.TIMEOUT, "", 0), "reference")
    assert record.tags == {
        "site": "lab", "probe": "probe-1", "target": "target", "protocol": "ntp", "reference": "reference",
    }  # fmt: skip


@given(st.sampled_from([field.name for field in dataclasses.fields(ServerFacts)]))
def test_fact_that_the_server_did_not_tell_is_absent(name: str) -> None:
    facts = dataclasses.replace(FACTS, **{name: None})
    error = TimeError(clock_offset(exchange(facts=facts)), None, None, no_claim=Reason.NO_REFERENCE)
    fields = RECORDER.time_error(error).fields
    assert name not in fields
    assert None not in fields.values()


def test_event_is_a_row_of_its_own() -> None:
    event = Event("clock_stepped", NOW_NS, Severity.WARNING, "by 1 s", None, {"step_s": 1.0})
    record = RECORDER.event(event)
    assert record.measurement == EVENT
    assert record.tags == {"site": "lab", "probe": "probe-1", "kind": "clock_stepped"}
    assert record.fields == {"step_s": 1.0, "severity": "warning", "text": "by 1 s"}
    assert RECORDER.event(dataclasses.replace(event, target="target")).tags["target"] == "target"


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_name_of_a_field_carries_its_unit(name: str) -> None:
    unit = FIELDS[name].unit
    assert name.endswith({"s": "_s", "ns": "_ns", "": ""}[unit])
    assert FIELDS[name].type in TYPES
    assert FIELDS[name].meaning
