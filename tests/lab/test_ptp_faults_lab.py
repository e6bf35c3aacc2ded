"""The PTP probe against a scripted master on loopback that misbehaves: the right value, or the right reason, always in its bound.

Ports above 1024, so that no privilege is needed. The script's own stamps are user space's: only bounds are tested here.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from support.ptpmaster import ANNOUNCE, DELAY_RESP, FOLLOW_UP, SYNC, ScriptedMaster
from support.ptpmeasuring import Heard, measure_ptp

from timesync.model import PtpFacts

PORTS = itertools.count(21_400, 2)


def master(**behaviour: Any) -> ScriptedMaster:
    port = next(PORTS)
    return ScriptedMaster(port, port + 1, **behaviour)


def measure(of: ScriptedMaster, count: int = 6, **how: Any) -> Heard:
    how.setdefault("timeout_s", 0.3)
    how.setdefault("listen_s", 1.0)
    ports = {"event_port": of.event_port, "general_port": of.general_port}
    return measure_ptp(count, interface="lo", interval_s=0.05, options={**ports, **how.pop("options", {})}, **how)


def mute(of: ScriptedMaster, *kinds: int) -> None:
    of.muted = frozenset(kinds)


@pytest.mark.parametrize("one_step", [False, True])
@pytest.mark.parametrize("ahead_s", [0.0, 0.25, -0.25])
def test_one_and_two_steps_give_the_offset_within_its_bound(one_step: bool, ahead_s: float) -> None:
    with master(ahead_s=ahead_s, one_step=one_step) as server:
        heard = measure(server)
    assert heard.violations(ahead_s) == []
    assert len(heard.offsets()) == 6
    assert {offset.facts.two_step for offset in heard.offsets() if isinstance(offset.facts, PtpFacts)} == {not one_step}
    assert {offset.no_claim for offset in heard.offsets()} == {None}


def test_a_clock_that_drifts_is_within_the_bound_at_each_instant() -> None:
    with master(rate=10e-6) as server:
        heard = measure(server, 15)
        errors = [abs(each.offset_s - server.true_s(each.at_ns)) - each.bound_s for each in heard.offsets()]
    assert len(errors) == 15
    assert max(errors) <= 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"muted": frozenset({SYNC})}, "no_sync"),
        ({"muted": frozenset({FOLLOW_UP})}, "no_follow_up"),
        ({"muted": frozenset({DELAY_RESP})}, "no_delay_response"),
        ({"response_sequence_shift": 1}, "no_delay_response"),
        ({"response_to_other": True}, "no_delay_response"),
        ({"follow_up_sequence_shift": 100}, "no_follow_up"),
        ({"muted": frozenset({ANNOUNCE})}, "no_master"),
        # Its flag octets swapped: what it announces says that it is unicast, to somebody else.
        ({"flags": 0x0C00}, "no_master"),
    ],
)
def test_what_a_master_does_not_do_is_named(behaviour: dict[str, Any], reason: str) -> None:
    with master(**behaviour) as server:
        heard = measure(server, 2)
    assert [missed.reason.value for missed in heard.missed()] == [reason] * 2
    assert heard.offsets() == []


def test_a_late_follow_up_is_matched_all_the_same() -> None:
    with master(follow_up_late_s=0.03, ahead_s=0.25) as server:
        heard = measure(server, 4, timeout_s=1.0)
    assert len(heard.offsets()) == 4
    assert heard.violations(0.25) == []


def test_dropped_messages_are_misses_with_their_reasons_and_the_rest_is_right() -> None:
    """Four of ten messages of every kind never leave: an answer, a Sync, its Follow_Up."""
    with master(dropped=0.4, ahead_s=0.25) as server:
        heard = measure(server, 20, timeout_s=0.1, listen_s=2.0)
    assert heard.violations(0.25) == []
    assert heard.offsets()
    assert heard.missed()
    assert {missed.reason.value for missed in heard.missed()} <= {"no_sync", "no_follow_up", "no_delay_response"}
    assert len(heard.offsets()) + len(heard.missed()) == 20


def test_an_answer_that_comes_too_late_is_not_taken_for_one_to_the_next_question() -> None:
    with master(response_late_s=0.15, ahead_s=0.25) as server:
        heard = measure(server, 4, timeout_s=0.1)
        in_time = measure(server, 2, timeout_s=1.0)
    assert {missed.reason.value for missed in heard.missed()} <= {"no_delay_response", "no_sync", "no_follow_up"}
    assert heard.missed()
    for each in (heard, in_time):
        assert each.violations(0.25) == []
    assert len(in_time.offsets()) == 2


def test_a_correction_counts_with_its_sign() -> None:
    """1 ms that a transparent clock claims to have held each Sync, which it did not: half of it shows."""
    with master(sync_correction_ns=1_000_000) as server:
        heard = measure(server)
    assert heard.median_s() == pytest.approx(0.5e-3, abs=0.4e-3)


def test_tai_that_is_said_to_be_utc_is_37_s_ahead_and_told() -> None:
    with master(utc_offset_s=0) as server:
        heard = measure(server, 2)
    assert heard.violations(37.0) == []
    (text,) = heard.told("utc_offset_wrong")
    assert "TAI - UTC = 0 s; the leap-second table says 37 s" in text


def test_an_undeclared_scale_that_the_operator_knows_to_be_tai_is_read_as_such() -> None:
    with master(flags=0, ahead_s=0.25) as server:
        heard = measure(server, 2, options={"timescale": "tai"})
    assert heard.violations(0.25) == []
    assert {offset.no_claim for offset in heard.offsets()} == {None}


def test_a_master_that_flaps_is_told_each_time_and_measured_while_it_is_there() -> None:
    everything = (SYNC, FOLLOW_UP, DELAY_RESP, ANNOUNCE)
    with master(ahead_s=0.25) as server:
        steps = {4: partial(mute, server, *everything), 9: partial(mute, server)}
        heard = measure(server, 14, between=steps)
    assert heard.violations(0.25) == []
    assert len(heard.told("master_vanished")) == 1
    assert len(heard.told("master_appeared")) == 2
    reasons = {missed.reason.value for missed in heard.missed()}
    assert reasons <= {"no_master", "no_sync", "no_delay_response"}
    assert "no_master" in reasons
    assert heard.offsets()[-1].at_ns > heard.missed()[-1].at_ns


def test_two_masters_of_one_domain_are_each_measured() -> None:
    with master(ahead_s=0.25, priority1=10) as best:
        other = ScriptedMaster(best.event_port, best.general_port, clock=0x00AABBFFFE000001, ahead_s=-0.5)
        with other:
            heard = measure(best, 6)
    child = f"gm/{other.port_text}"
    assert heard.names == {"gm", child}
    assert heard.violations(0.25) == []
    assert heard.violations(-0.5, child) == []
