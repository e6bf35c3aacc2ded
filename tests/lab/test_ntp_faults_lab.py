"""The NTP probe against a server that misbehaves on purpose: each fault has its name, and no fault becomes a measurement.

What is expected comes from RFC 5905 (sections 7.3, 7.4, 8 and 9.2), RFC 7822 and RFC 8573, and from what the script says of
its clock.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support.measuring import measure, measured_json
from support.netns import host
from support.scripted import Behaviour, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MS = 1e-3

# An extension field of a type nobody knows, 28 octets as the last one must have at least (RFC 7822 section 3).
UNKNOWN_EXTENSION = "f00d001c" + "00" * 24
EXTENSION_LONGER_THAN_THE_PACKET = "f00d0100" + "00" * 24

FAULTS = {
    "wrong_origin": (Behaviour(origin="wrong"), "wrong_origin"),
    "zero_origin": (Behaviour(origin="zero"), "wrong_origin"),
    "zero_transmit": (Behaviour(transmit="zero"), "zero_timestamp"),
    "zero_receive": (Behaviour(receive="zero"), "zero_timestamp"),
    "other_port": (Behaviour(from_other_port=True), "wrong_source"),
    "one_octet_short": (Behaviour(length=47), "too_short"),
    "one_octet": (Behaviour(length=1), "too_short"),
    "empty": (Behaviour(length=0), "too_short"),
    "odd_trailer": (Behaviour(append_hex="00"), "malformed"),
    "extension_too_long": (Behaviour(append_hex=EXTENSION_LONGER_THAN_THE_PACKET), "malformed"),
    "transmit_before_receive": (Behaviour(transmit="before_receive"), "transmit_before_receive"),
    "held_longer_than_the_round_trip": (Behaviour(claimed_hold_s=3.0), "impossible_delay"),
    "leap_3": (Behaviour(leap=3), "unsynchronised"),
    "stratum_0_without_a_code": (Behaviour(stratum=0, reference_id=""), "stratum_unspecified"),
    "stratum_16": (Behaviour(stratum=16), "stratum_unsynchronised"),
    "stratum_255": (Behaviour(stratum=255), "stratum_unsynchronised"),
    "client_mode": (Behaviour(mode=3), "wrong_mode"),
    "broadcast_mode": (Behaviour(mode=5), "wrong_mode"),
    "version_7": (Behaviour(version=7), "wrong_version"),
    "version_0": (Behaviour(version=0), "wrong_version"),
    "kiss_init": (Behaviour(stratum=0, reference_id="INIT"), "kiss_other"),
    "kiss_init_with_leap_3": (Behaviour(stratum=0, leap=3, reference_id="INIT"), "unsynchronised"),
    "crypto_nak": (Behaviour(mac="nak"), "crypto_nak"),
    "silent": (Behaviour(silent=True), "timeout"),
}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_refused_by_its_name_and_over_when_the_server_is_well(fault: str, address: str) -> None:
    behaviour, reason = FAULTS[fault]
    with ScriptedServer(behaviour, behaviour, Behaviour(offset_s=25 * MS), address=address) as server:
        account = measure(server.target, 4, timeout_s=0.25, interval_s=0.0)
    assert account.reasons == [reason, reason]
    assert all(missed.sent for missed in account.missed)
    assert len(account.exchanges) == 2
    assert account.violations(25 * MS) == []
    assert account.is_complete


@pytest.mark.parametrize("code", ["DENY", "RSTR"])
def test_a_server_that_denies_is_asked_again_only_after_the_pause(code: str) -> None:
    denied = Behaviour(stratum=0, leap=3, reference_id=code)
    with ScriptedServer(denied) as server:
        account = measure(server.target, 4, timeout_s=0.3, interval_s=0.05, options={"deny_retry_s": 60.0})
        asked = len(server.requests)
    assert account.reasons == [f"kiss_{code.lower()}"] + ["stopped_by_server"] * 3
    assert [missed.sent for missed in account.missed] == [True, False, False, False]
    assert asked == 1
    assert [event.kind for event in account.events] == [f"kiss_{code.lower()}"]


def test_the_end_of_a_denial_is_found_by_the_slow_retry() -> None:
    with ScriptedServer(Behaviour(stratum=0, leap=3, reference_id="DENY"), Behaviour()) as server:
        account = measure(
            server.target,
            5,
            timeout_s=0.3,
            interval_s=0.0,
            options={"deny_retry_s": 0.3},
            between={2: lambda: time.sleep(0.35)},
        )
    assert account.reasons == ["kiss_deny", "stopped_by_server"]
    assert len(account.exchanges) == 3
    assert [event.kind for event in account.events] == ["kiss_deny", "access_restored"]


def test_a_rate_kiss_slows_the_polls() -> None:
    with ScriptedServer(Behaviour(stratum=0, leap=3, reference_id="RATE"), Behaviour()) as server:
        account = measure(server.target, 4, timeout_s=0.3, interval_s=0.2)
    assert account.reasons[0] == "kiss_rate"
    assert account.missed[0].sent
    held = [missed for missed in account.missed[1:] if missed.reason == "held_by_rate"]
    assert held
    assert not any(missed.sent for missed in held)
    assert account.is_complete


def test_a_forged_kiss_without_our_nonce_does_not_stop_the_target() -> None:
    """An attacker who cannot see our packets cannot know the origin (RFC 5905 section 7.4 and 8)."""
    with ScriptedServer(Behaviour(stratum=0, reference_id="DENY", origin="wrong"), Behaviour()) as server:
        account = measure(server.target, 3, timeout_s=0.2, interval_s=0.0)
    assert account.reasons == ["wrong_origin"]
    assert len(account.exchanges) == 2
    assert account.events == []


def test_forgeries_before_the_true_reply_are_refused_and_the_reply_is_used() -> None:
    with ScriptedServer(Behaviour(forged_first=5, offset_s=25 * MS)) as server:
        account = measure(server.target, 5)
    assert account.reasons == []
    assert len(account.exchanges) == 5
    assert account.violations(25 * MS) == []


def test_duplicate_replies_give_each_exchange_once() -> None:
    with ScriptedServer(Behaviour(copies=3)) as server:
        account = measure(server.target, 6, interval_s=0.0)
    assert account.is_complete
    assert len({exchange.t1_ns for exchange in account.exchanges}) == len(account.exchanges) == 6
    assert account.violations(0.0) == []


def test_a_replayed_reply_is_a_duplicate() -> None:
    """The second reply echoes the nonce of the first request, which has been answered."""
    with ScriptedServer(Behaviour(), Behaviour(origin="previous")) as server:
        account = measure(server.target, 2, timeout_s=0.2)
    assert len(account.exchanges) == 1
    assert account.reasons == ["duplicate"]


def test_a_late_reply_is_late_and_not_the_answer_to_the_next_question() -> None:
    with ScriptedServer(Behaviour(late_s=0.25, offset_s=100.0), Behaviour(silent=True), Behaviour()) as server:
        account = measure(server.target, 3, timeout_s=0.2, interval_s=0.0)
    assert account.reasons == ["timeout", "late"]
    assert len(account.exchanges) == 1
    assert account.violations(0.0) == []


def test_unknown_extension_fields_do_no_harm() -> None:
    with ScriptedServer(Behaviour(append_hex=UNKNOWN_EXTENSION, offset_s=25 * MS)) as server:
        account = measure(server.target, 3)
    assert account.reasons == []
    assert account.violations(25 * MS) == []


@pytest.mark.parametrize(
    ("mac", "reason"), [("none", "missing_mac"), ("bad", "bad_mac"), ("other_key", "bad_mac"), ("nak", "crypto_nak")]
)
@pytest.mark.parametrize("kind", ["MD5", "SHA1", "SHA256"])
def test_a_reply_that_does_not_authenticate_is_refused(kind: str, mac: str, reason: str, tmp_path: Path) -> None:
    keys = {7: (kind.lower(), b"a shared secret!")}
    file = tmp_path / "keys"
    file.touch(mode=0o600)
    file.write_text(f"7 {kind} HEX:{keys[7][1].hex()}\n")
    with ScriptedServer(Behaviour(mac="good", offset_s=25 * MS), Behaviour(mac=mac, offset_s=1.0), keys=keys) as server:
        account = measure(server.target, 2, timeout_s=0.25, options={"key": 7}, keys_file=file)
    assert account.reasons == [reason]
    assert len(account.exchanges) == 1
    assert account.exchanges[0].authenticated
    assert account.violations(25 * MS) == []


def test_requests_carry_a_nonce_and_never_the_time() -> None:
    """The transmit timestamp is random (RFC 9769 section 5 and the data minimisation draft): none may be near the true one."""
    with ScriptedServer() as server:
        measure(server.target, 20, interval_s=0.0)
        nonces = [request[40:48] for request in server.requests]
    now_s = int(time.time()) + 2208988800
    assert len(set(nonces)) == 20
    near = [nonce for nonce in nonces if abs(int.from_bytes(nonce[:4], "big") - now_s % (1 << 32)) < 86400]
    assert len(near) <= 1  # by chance one in 25,000 is


# Clocks that move


def truth_of(server: ScriptedServer, behaviour: Behaviour) -> Callable[[int], float]:
    """The served clock's error at an instant of the host's clock."""
    return lambda at_ns: behaviour.clock_error_s((at_ns - server.began_ns) / 1e9)


@pytest.mark.parametrize(
    "clock",
    [
        Behaviour(offset_s=25 * MS),
        Behaviour(rate_ppm=50.0),
        Behaviour(smear_s=5 * MS, smear_over_s=1.0),
        Behaviour(wander_s=0.1 * MS, wander_period_s=0.7),
    ],
    ids=["offset", "50_ppm", "smear", "wander"],
)
def test_a_clock_that_moves_is_followed_within_the_bound(clock: Behaviour) -> None:
    with ScriptedServer(clock) as server:
        account = measure(server.target, 40, interval_s=0.03)
        truth = truth_of(server, clock)
    for offset in account.offsets:
        assert offset.exchange is not None
        # Such a clock has no one offset during an exchange: what it moves by is no error.
        moved_s = abs(truth(offset.exchange.t4_ns) - truth(offset.exchange.t1_ns))
        assert abs(offset.offset_s - truth(offset.at_ns)) <= offset.bound_s + moved_s
    assert account.reasons == []
    assert account.is_complete


def test_a_step_of_the_server_shows_at_once() -> None:
    with ScriptedServer(Behaviour(step_s=-1.0, step_after_s=0.5)) as server:
        account = measure(server.target, 30, interval_s=0.03)
        stepped_ns = server.began_ns + 500_000_000
    before = [offset for offset in account.offsets if offset.at_ns < stepped_ns - 20_000_000]
    after = [offset for offset in account.offsets if offset.at_ns > stepped_ns + 20_000_000]
    assert before
    assert after
    assert all(abs(offset.offset_s) <= offset.bound_s for offset in before)
    assert all(abs(offset.offset_s + 1.0) <= offset.bound_s for offset in after)
    assert account.reasons == []


def test_an_era_away_is_still_the_same_instant() -> None:
    """NTP seconds wrap every 2^32 s (next on 2036-02-07): a server 20 years ahead is 20 years ahead."""
    years_s = 20 * 365.25 * 86400.0
    with ScriptedServer(Behaviour(offset_s=years_s)) as server:
        account = measure(server.target, 3)
    assert len(account.exchanges) == 3
    for offset in account.offsets:
        assert offset.offset_s == pytest.approx(years_s, abs=1.0)


def test_the_server_s_own_claims_are_kept() -> None:
    with ScriptedServer(
        Behaviour(stratum=2, root_delay_s=0.125, root_dispersion_s=0.25, reference_id="\n\x01\x02\x03", leap=1)
    ) as server:
        account = measure(server.target, 1)
    facts = account.exchanges[0].facts
    assert (facts.stratum, facts.leap, facts.root_delay_s, facts.root_dispersion_s) == (2, 1, 0.125, 0.25)
    assert facts.reference_id == "10.1.2.3"
    assert account.offsets[0].upstream_s == 0.125 / 2 + 0.25


def test_scripted_server_inside_a_namespace(root: None) -> None:
    with host() as inside:
        clock = Behaviour(offset_s=25 * MS)
        with ScriptedServer(clock, port=123, sock=inside.socket(), other_sock=inside.socket()):
            account = inside.call(partial(measure, "127.0.0.1", 3))
    assert account.violations(25 * MS) == []
    assert len(account.exchanges) == 3


def test_command_line_names_the_reason() -> None:
    with ScriptedServer(Behaviour(leap=3)) as server:
        status, document = measured_json(server.target, "--count", "2", "--interval", "0.05")
    assert status == 3
    assert document["targets"][0]["reason"] == "unsynchronised"
    assert document["targets"][0]["offset_s"] is None
