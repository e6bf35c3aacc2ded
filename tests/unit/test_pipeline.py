"""Outcomes to rows: every outcome is accounted for, and the claim is the one that the site's settings allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from timesync.model import ClockOffset, Exchange, Missed, Record, ServerFacts, Timestamping
from timesync.pipeline import LOCAL, Pipeline, reference_of
from timesync.reasons import Reason
from timesync.settings import (
    LocalReferenceSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    TargetSettings,
    Tie,
)

T0 = 1_795_000_000_000_000_000
NIM = Tie("UTC(NIM)", bound_s=50e-9, u_s=10e-9)
REFERENCE = TargetSettings("utc", "ntp", "192.0.2.1", tie=NIM)
SERVER = TargetSettings("server", "ntp", "192.0.2.2")


def settings(*targets: TargetSettings, local: Tie | None = None) -> ProbeSettings:
    return ProbeSettings(
        SiteSettings("nim", "p1"),
        targets,
        SpoolSettings(Path()),
        local_reference=LocalReferenceSettings(local) if local else None,
        reference_max_age_s=10.0,
    )


def exchange(target: str, at_ns: int, offset_s: float, delay_s: float = 1e-3) -> Exchange:
    """An exchange over a symmetric path with a server that is ahead by `offset_s` and answers at once."""
    shift, half = round(offset_s * 1e9), round(delay_s * 1e9) // 2
    middle = at_ns + shift
    return Exchange(
        target,
        "ntp",
        "192.0.2.9:123",
        at_ns - half,
        middle,
        middle,
        at_ns + half,
        Timestamping.KERNEL,
        Timestamping.KERNEL,
        "basic",
        ServerFacts(leap=0, stratum=1, precision_s=2.0**-24, root_delay_s=0.0, root_dispersion_s=0.0),
        0,
    )


def test_a_target_waits_for_its_reference_and_then_has_a_claim() -> None:
    pipeline = Pipeline(settings(REFERENCE, SERVER))
    first = pipeline.outcomes("utc", [exchange("utc", T0, 1e-6)], T0)
    waiting = pipeline.outcomes("server", [exchange("server", T0 + 10**8, 26e-6)], T0 + 10**8)
    then = pipeline.outcomes("utc", [exchange("utc", T0 + 10**9, 1e-6)], T0 + 10**9)
    assert [row.tags["target"] for row in first] == ["utc"]
    assert waiting == []
    rows = {row.tags["target"]: row for row in then}
    assert rows["server"].fields["time_error_s"] == pytest.approx(25e-6, abs=1e-9)
    assert rows["server"].fields["claim"] == "valid"
    assert rows["server"].fields["realises"] == "UTC(NIM)"
    assert rows["server"].tags == {
        "site": "nim",
        "probe": "p1",
        "target": "server",
        "protocol": "ntp",
        "reference": "utc",
    }


def test_a_measurement_without_its_reference_is_a_row_after_a_second_and_again_when_the_reference_comes() -> None:
    pipeline = Pipeline(settings(REFERENCE, SERVER))
    pipeline.outcomes("server", [exchange("server", T0, 5e-6)], T0)
    assert pipeline.tick(T0 + 5 * 10**8) == []
    (first,) = pipeline.tick(T0 + 10**9)
    assert first.fields["claim"] == Reason.REFERENCE_STALE.value
    assert first.fields["offset_s"] == pytest.approx(5e-6, abs=1e-9)
    assert "time_error_s" not in first.fields
    assert pipeline.tick(T0 + 2 * 10**9) == []
    rows = pipeline.outcomes("utc", [exchange("utc", T0 + 3 * 10**9, 0.0)], T0 + 3 * 10**9)
    (again,) = [row for row in rows if row.tags["target"] == "server"]
    assert (again.at_ns, again.tags) == (first.at_ns, first.tags)
    assert set(first.fields) <= set(again.fields)
    assert again.fields["claim"] == "valid"


def test_the_local_clock_is_a_reference_at_once() -> None:
    pipeline = Pipeline(settings(SERVER, local=Tie("UTC(NIM)", 2e-6, 1e-6)))
    (row,) = pipeline.outcomes("server", [exchange("server", T0, 5e-6)], T0)
    assert row.tags["reference"] == LOCAL
    assert row.fields["time_error_s"] == pytest.approx(5e-6, abs=1e-9)
    assert row.fields["bound_tie_s"] == 2e-6


def test_without_any_reference_the_row_carries_the_offset_and_the_reason() -> None:
    pipeline = Pipeline(settings(SERVER))
    (row,) = pipeline.outcomes("server", [exchange("server", T0, 5e-6)], T0)
    assert row.fields["claim"] == Reason.NO_REFERENCE.value
    assert "reference" not in row.tags
    assert "time_error_s" not in row.fields


def test_an_expired_tie_ends_the_claim_of_the_reference_and_of_its_targets() -> None:
    tie = Tie("UTC(NIM)", 50e-9, 10e-9, valid_until_ns=T0 + 10**9)
    reference = TargetSettings("utc", "ntp", "192.0.2.1", tie=tie)
    pipeline = Pipeline(settings(reference, SERVER))
    late = T0 + 2 * 10**9
    pipeline.outcomes("server", [exchange("server", late, 1e-6)], late)
    rows = pipeline.outcomes("utc", [exchange("utc", late + 10**8, 0.0)], late)
    assert {row.fields["claim"] for row in rows} == {Reason.REFERENCE_EXPIRED.value}
    assert len(rows) == 2


def test_every_outcome_is_counted_and_a_loss_is_a_row_with_its_reason() -> None:
    pipeline = Pipeline(settings(SERVER))
    missed = Missed("server", "ntp", "192.0.2.2:123", T0, Reason.TIMEOUT, "no reply within 1 s", 0)
    not_asked = Missed("server", "ntp", "192.0.2.2:123", T0 + 1, Reason.STOPPED_BY_SERVER, "", 0, sent=False)
    rows = [
        *pipeline.outcomes("server", [missed], T0),
        *pipeline.outcomes("server", [not_asked], T0),
        *pipeline.outcomes("server", [exchange("server", T0, 0.0)], T0),
    ]
    state = pipeline.states["server"]
    assert (state.polls, state.sent, state.replies, state.register) == (3, 2, 1, 0b001)
    assert state.losses == {Reason.TIMEOUT: 1, Reason.STOPPED_BY_SERVER: 1}
    assert [row.fields.get("reason") for row in rows] == ["timeout", "stopped_by_server", None]
    assert [row.fields.get("sent") for row in rows] == [True, False, None]


def test_an_instrument_may_give_an_offset_without_an_exchange() -> None:
    pipeline = Pipeline(settings(SERVER, local=NIM))
    counter = ClockOffset("server", "counter", T0, 1e-9, 0.0, 0.0, 1e-10, 0.0, 0.0, Timestamping.HARDWARE, 0)
    (row,) = pipeline.outcomes("server", [counter], T0)
    assert row.fields["time_error_s"] == 1e-9
    assert row.fields["timestamping"] == "hardware"
    assert "t1_ns" not in row.fields


def test_new_settings_keep_the_state_of_targets_that_did_not_change() -> None:
    pipeline = Pipeline(settings(REFERENCE, SERVER))
    pipeline.outcomes("utc", [exchange("utc", T0, 0.0)], T0)
    other = TargetSettings("other", "ntp", "192.0.2.3")
    rows = pipeline.configure(settings(REFERENCE, other))
    assert rows == []
    assert pipeline.states["utc"].replies == 1
    assert set(pipeline.states) == {"utc", "other"}


def test_a_reference_that_is_taken_away_gives_up_what_waited_for_it() -> None:
    pipeline = Pipeline(settings(REFERENCE, SERVER))
    pipeline.outcomes("utc", [exchange("utc", T0, 0.0)], T0)
    pipeline.outcomes("server", [exchange("server", T0 + 10**8, 5e-6)], T0 + 10**8)
    rows: list[Record] = list(pipeline.configure(settings(SERVER)))
    assert [row.tags["target"] for row in rows] == ["server"]
    assert rows[0].fields["claim"] == "valid"


@pytest.mark.parametrize(
    ("targets", "local", "expected"),
    [
        ((REFERENCE, SERVER), None, "utc"),
        ((SERVER,), NIM, LOCAL),
        ((SERVER,), None, None),
        ((REFERENCE, TargetSettings("server", "ntp", "x", reference=LOCAL)), NIM, LOCAL),
    ],
)
def test_a_target_has_the_reference_it_names_else_the_first_of_the_site(
    targets: tuple[TargetSettings, ...], local: Tie | None, expected: str | None
) -> None:
    site = settings(*targets, local=local)
    assert reference_of(site, targets[-1]) == expected


def test_the_newest_state_is_of_the_newest_epoch_when_the_probes_clock_was_set_back() -> None:
    pipeline = Pipeline(settings(SERVER))
    pipeline.outcomes("server", [exchange("server", T0, 5e-6)], T0)
    back_ns = T0 - 3600 * 10**9
    pipeline.outcomes("server", [exchange("server", back_ns, 7e-6)._replace(clock_epoch=1)], back_ns)
    error = pipeline.states["server"].error
    assert error is not None
    assert error.offset.at_ns == back_ns
    # One from before the step that comes late changes nothing.
    pipeline.outcomes("server", [exchange("server", T0 + 10**9, 5e-6)], back_ns)
    assert pipeline.states["server"].error is error


def test_a_step_of_the_local_reference_withholds_its_claims_and_says_so() -> None:
    pipeline = Pipeline(settings(SERVER, local=NIM))
    event = pipeline.clock_stepped(1, T0)
    assert event is not None
    assert event.kind == "local_reference_withheld"
    assert event.evidence["settle_s"] == 300.0
    claims = []
    for seconds in (1, 299, 301):
        at_ns = T0 + seconds * 10**9
        (row,) = pipeline.outcomes("server", [exchange("server", at_ns, 5e-6)._replace(clock_epoch=1)], at_ns)
        claims.append(row.fields["claim"])
    assert claims == ["local_clock_stepped", "local_clock_stepped", "valid"]
    assert Pipeline(settings(REFERENCE, SERVER)).clock_stepped(1, T0) is None


def test_a_leap_second_of_the_local_reference_withholds_nothing() -> None:
    from timesync.timescale import LeapRow, LeapTable

    leap_ns = T0 // (86_400 * 10**9) * 86_400 * 10**9
    rows = (LeapRow(0, 36), LeapRow(leap_ns, 37))
    pipeline = Pipeline(settings(SERVER, local=NIM))
    pipeline.set_leaps(LeapTable(0, 2**62, rows))
    # An inserted second: the clock is set back by one.
    assert pipeline.clock_stepped(1, leap_ns + 10**8, -1.0) is None
    at_ns = leap_ns + 10**9
    (row,) = pipeline.outcomes("server", [exchange("server", at_ns, 5e-6)._replace(clock_epoch=1)], at_ns)
    assert row.fields["claim"] == "valid"
    # The same step at another time is a step, and so is one of another size then.
    assert pipeline.clock_stepped(2, leap_ns + 3600 * 10**9, -1.0) is not None
    assert not pipeline.is_leap_second(leap_ns + 10**8, 1.0)


def test_a_local_reference_declared_at_a_reload_takes_the_clocks_epoch_as_it_is() -> None:
    pipeline = Pipeline(settings(SERVER))
    pipeline.clock_stepped(1, T0)
    pipeline.configure(settings(SERVER, local=NIM))
    (row,) = pipeline.outcomes("server", [exchange("server", T0 + 10**9, 5e-6)._replace(clock_epoch=1)], T0)
    assert row.fields["claim"] == "valid"


def test_a_target_that_is_another_server_after_a_reload_has_no_scatter_of_the_first() -> None:
    pipeline = Pipeline(settings(REFERENCE, SERVER))
    rows: list[Record] = []
    for number in range(20):
        now = T0 + number * 10**9
        rows += pipeline.outcomes("utc", [exchange("utc", now, 0.0)], now)
        rows += pipeline.outcomes("server", [exchange("server", now + 10**8, 2e-3 * (number % 2))], now + 10**8)
    before = [row for row in rows if row.tags["target"] == "server"][-1]
    assert before.fields["u_type_a_s"] > 1e-3
    pipeline.configure(settings(REFERENCE, replace(SERVER, address="192.0.2.3")))
    after: list[Record] = []
    for number in range(20, 25):
        now = T0 + number * 10**9
        after += pipeline.outcomes("utc", [exchange("utc", now, 0.0)], now)
        after += pipeline.outcomes("server", [exchange("server", now + 10**8, 5e-3)], now + 10**8)
    scatter = [row.fields.get("u_type_a_s", 0.0) for row in after if row.tags["target"] == "server"]
    assert max(scatter) < 1e-9
