"""The NTP probe against real servers: chronyd and ntpd, whose offset, frequency, path and keys the test sets.

Two promises are tested: every sample's error is within its own bound, always; and where the path is clean the median is within
50 us of the truth. Probe and server read one host clock, so the truth is what the test has set.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.chrony import Chronyd, free_port
from support.measuring import command_line, measure, measured_json
from support.netns import cabled_pair, host
from support.ntpsec import Ntpd
from support.relay import Way, relayed_pair

from timesync.model import Timestamping

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import NeedPrograms

MS = 1e-3
US = 1e-6
CLEAN = 50 * US

KEYS = {
    1: ("MD5", "ASCII:a plain old one".replace(" ", "-")),
    2: ("SHA1", "HEX:" + "5a" * 20),
    3: ("SHA256", "HEX:" + "3c" * 32),
    4: ("AES128", "HEX:000102030405060708090a0b0c0d0e0f"),
    5: ("AES256", "HEX:" + "0123456789abcdef" * 4),
    6: ("SHA512", "HEX:" + "77" * 24),
}
"""One key of every type, as a line of the key file that chronyd, ntpd and timesync read alike."""


def key_file(folder: Path, keys: dict[int, tuple[str, str]]) -> Path:
    """A file of keys that others may not read."""
    file = folder / "keys"
    file.touch(mode=0o600)
    file.write_text("".join(f"{number} {kind} {secret}\n" for number, (kind, secret) in keys.items()))
    return file


@pytest.mark.parametrize("mode", ["auto", "basic"])
@pytest.mark.parametrize("ahead_s", [0.0, 25 * MS, -25 * MS])
def test_chronyd_with_a_known_offset(lab: NeedPrograms, ahead_s: float, mode: str) -> None:
    lab("chronyd", "chronyc")
    with Chronyd() as server:
        server.step(ahead_s)
        account = measure(f"{server.address}:{server.port}", 20, options={"mode": mode})
    assert account.violations(ahead_s) == []
    assert account.median_s == pytest.approx(ahead_s, abs=CLEAN)
    assert {exchange.tx_timestamping for exchange in account.exchanges} == {Timestamping.KERNEL}
    assert {exchange.rx_timestamping for exchange in account.exchanges} == {Timestamping.KERNEL}
    assert account.exchanges[0].facts.stratum == 1
    assert "interleaved" in account.modes if mode == "auto" else set(account.modes) == {"basic"}


def test_chronyd_that_gains_50_ppm(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    with Chronyd() as server:
        server.step(25 * MS)
        begun_ns = time.time_ns()
        server.change_frequency(50.0)
        applied_s = (time.time_ns() - begun_ns) / 1e9
        account = measure(f"{server.address}:{server.port}", 60, interval_s=0.1)
    uncertain_s = 50e-6 * applied_s  # the frequency changed at some instant within the command

    def truth_s(at_ns: int) -> float:
        return 25 * MS + 50e-6 * (at_ns - begun_ns) / 1e9

    for offset in account.offsets:
        assert abs(offset.offset_s - truth_s(offset.at_ns)) <= offset.bound_s + uncertain_s
    errors = [offset.offset_s - truth_s(offset.at_ns) for offset in account.offsets]
    assert np.median(errors) == pytest.approx(0.0, abs=CLEAN)
    good = sorted(account.offsets, key=lambda offset: offset.delay_s)[:30]
    at_s = np.array([(offset.at_ns - begun_ns) / 1e9 for offset in good])
    rate = np.polyfit(at_s, [offset.offset_s for offset in good], 1)[0]
    # No slope through the samples can be wrong by more than their bounds over their span.
    assert rate == pytest.approx(50e-6, abs=4 * max(offset.bound_s for offset in good) / float(np.ptp(at_s)))


def test_ntpd_before_and_after_it_has_chosen_its_source(lab: NeedPrograms, root: None) -> None:
    lab("ntpd")
    with host() as inside, Ntpd(inside) as server:
        early = inside.call(partial(measure, "127.0.0.1", 2))
        assert early.reasons == ["unsynchronised", "unsynchronised"]
        assert early.missed[0].facts is not None
        assert early.missed[0].facts.leap == 3
        server.wait_synchronised()
        account = inside.call(partial(measure, "127.0.0.1", 20))
    assert account.violations(0.0) == []
    assert account.median_s == pytest.approx(0.0, abs=CLEAN)
    assert account.exchanges[0].facts.stratum == 3
    assert set(account.modes) == {"basic"}


def test_both_families_across_a_cable(lab: NeedPrograms, root: None) -> None:
    lab("chronyd", "chronyc")
    with cabled_pair() as pair, Chronyd(inside=pair.server) as server:
        server.step(25 * MS)
        for address in (pair.server_ipv4, pair.server_ipv6, f"[{pair.server_ipv6}]:123"):
            account = pair.client.call(partial(measure, address, 20))
            assert account.violations(25 * MS) == []
            assert account.median_s == pytest.approx(25 * MS, abs=CLEAN)
            assert account.reasons == []


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_path_of_5_ms_out_and_1_ms_back(lab: NeedPrograms, root: None, family: str) -> None:
    """Half the asymmetry, (5 - 1) / 2 = 2 ms, is a true error of the method: it shows, and the bound covers it."""
    lab("chronyd", "chronyc")
    with relayed_pair(out=Way(5 * MS), back=Way(1 * MS)) as (pair, _relay), Chronyd(inside=pair.server):
        address = pair.server_ipv4 if family == "ipv4" else pair.server_ipv6
        account = pair.client.call(partial(measure, address, 20))
    assert account.violations(0.0) == []
    assert account.median_s == pytest.approx(2 * MS, abs=CLEAN)
    # The relay counts from a stamp that lies before the probe's own, by some microseconds as a rule.
    assert statistics.median(offset.delay_s for offset in account.offsets) >= 5.9 * MS


def test_a_path_with_jitter_stays_within_the_bound(lab: NeedPrograms, root: None) -> None:
    lab("chronyd", "chronyc")
    ways = Way(1 * MS, jitter_s=4 * MS), Way(1 * MS, jitter_s=1 * MS)
    with relayed_pair(out=ways[0], back=ways[1]) as (pair, _relay), Chronyd(inside=pair.server) as server:
        server.step(-10 * MS)
        account = pair.client.call(partial(measure, pair.server_ipv4, 60, interval_s=0.01))
    assert account.violations(-10 * MS) == []
    assert account.reasons == []
    assert account.is_complete


def test_every_lost_datagram_is_a_loss(lab: NeedPrograms, root: None) -> None:
    lab("chronyd", "chronyc")
    with relayed_pair(out=Way(loss=0.2), back=Way(loss=0.2)) as (pair, _relay), Chronyd(inside=pair.server):
        account = pair.client.call(
            partial(measure, pair.server_ipv4, 60, interval_s=0.0, timeout_s=0.1, options={"mode": "basic"})
        )
    assert account.is_complete
    assert set(account.reasons) <= {"timeout", "late"}  # on a busy machine a reply may miss the short time-out
    assert 5 <= len(account.missed) <= 40


def test_interleaved_mode_survives_losses_within_the_bound(lab: NeedPrograms, root: None) -> None:
    lab("chronyd", "chronyc")
    with relayed_pair(out=Way(loss=0.15), back=Way(loss=0.15)) as (pair, _relay), Chronyd(inside=pair.server) as server:
        server.step(25 * MS)
        account = pair.client.call(partial(measure, pair.server_ipv4, 80, interval_s=0.0, timeout_s=0.1))
    assert account.violations(25 * MS) == []
    assert account.is_complete
    assert "interleaved" in account.modes
    assert set(account.reasons) <= {"timeout", "late", "interleaved_broken"}


def test_duplicating_path_gives_each_exchange_once(lab: NeedPrograms, root: None) -> None:
    lab("chronyd", "chronyc")
    with relayed_pair(out=Way(duplicates=1.0), back=Way(duplicates=1.0)) as (pair, _relay), Chronyd(inside=pair.server):
        account = pair.client.call(partial(measure, pair.server_ipv4, 20))
    assert account.violations(0.0) == []
    instants = [exchange.t1_ns for exchange in account.exchanges]
    assert len(instants) == len(set(instants))
    assert account.reasons == []
    assert account.is_complete


def test_interleaved_mode_is_used_where_the_server_has_it(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    with Chronyd() as server:
        account = measure(f"{server.address}:{server.port}", 12)
    assert account.modes.count("interleaved") >= 9
    assert account.reasons in (
        [],
        ["interleaved_broken"],
    )  # the last reply's transmit time had no poll left to come with


def test_basic_mode_is_used_where_the_server_knows_no_other(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    with Chronyd(options=("noclientlog",)) as server:
        account = measure(f"{server.address}:{server.port}", 12)
    assert account.modes == ["basic"] * 12
    assert account.reasons == []


def test_interleaved_falls_back_when_the_server_forgets_how(lab: NeedPrograms) -> None:
    """The server is replaced, at the same address, by one without interleaved mode."""
    lab("chronyd", "chronyc")
    port = free_port()
    first, second = Chronyd(port=port), Chronyd(port=port, options=("noclientlog",))

    def replace() -> None:
        first.__exit__()
        second.__enter__()

    first.__enter__()
    try:
        account = measure(f"127.0.0.1:{port}", 16, between={8: replace})
    finally:
        second.__exit__()
        first.__exit__()
    assert account.modes[4] == "interleaved"
    assert account.modes[-6:] == ["basic"] * 6
    assert account.reasons == ["interleaved_broken"]
    assert account.is_complete
    assert account.violations(0.0) == []


@pytest.mark.parametrize("number", KEYS, ids=[kind for kind, _ in KEYS.values()])
def test_chronyd_authenticates_with_a_key_of_type(lab: NeedPrograms, tmp_path: Path, number: int) -> None:
    lab("chronyd", "chronyc")
    with Chronyd(keys=KEYS) as server:
        server.step(25 * MS)
        address = f"{server.address}:{server.port}"
        account = measure(address, 8, options={"key": number}, keys_file=key_file(tmp_path, KEYS))
    assert account.violations(25 * MS) == []
    assert account.median_s == pytest.approx(25 * MS, abs=CLEAN)
    assert all(exchange.authenticated for exchange in account.exchanges)
    assert "interleaved" in account.modes


@pytest.mark.parametrize("number", [1, 2, 4], ids=["MD5", "SHA1", "AES128"])
def test_ntpd_authenticates_with_a_key_of_type(lab: NeedPrograms, root: None, tmp_path: Path, number: int) -> None:
    lab("ntpd")
    as_ntpd = {1: KEYS[1], 2: ("SHA1", "5a" * 20), 4: ("AES-128", "000102030405060708090a0b0c0d0e0f")}
    as_ntpd[1] = ("MD5", KEYS[1][1].removeprefix("ASCII:"))
    with host() as inside, Ntpd(inside, keys={number: as_ntpd[number]}) as server:
        server.wait_synchronised()
        ours = key_file(tmp_path, KEYS)
        account = inside.call(partial(measure, "127.0.0.1", 8, options={"key": number}, keys_file=ours))
    assert account.reasons == []
    assert account.violations(0.0) == []
    assert all(exchange.authenticated for exchange in account.exchanges)


def test_chronyd_is_silent_for_a_key_that_it_does_not_have(lab: NeedPrograms, tmp_path: Path) -> None:
    lab("chronyd", "chronyc")
    strangers = {**KEYS, 9: ("SHA256", "HEX:" + "99" * 32)}
    wrong = {**KEYS, 3: ("SHA256", "HEX:" + "00" * 32)}
    for number, keys in ((9, strangers), (3, wrong)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Chronyd(keys=KEYS) as server:
            address = f"{server.address}:{server.port}"
            account = measure(address, 2, timeout_s=0.3, options={"key": number}, keys_file=key_file(folder, keys))
        assert account.reasons == ["timeout", "timeout"]


def test_ntpd_is_silent_for_a_wrong_key(lab: NeedPrograms, root: None, tmp_path: Path) -> None:
    """ntpsec sends no crypto-NAK to a client: the scripted server does (test_ntp_faults_lab.py)."""
    lab("ntpd")
    ours = key_file(tmp_path, {1: ("MD5", "ASCII:not-the-same")})
    with host() as inside, Ntpd(inside, keys={1: ("MD5", "quite-another")}) as server:
        server.wait_synchronised()
        account = inside.call(partial(measure, "127.0.0.1", 2, timeout_s=0.3, options={"key": 1}, keys_file=ours))
    assert account.reasons == ["timeout", "timeout"]


def test_ntpd_that_limits_its_rate_is_asked_less(lab: NeedPrograms, root: None) -> None:
    """A real RATE kiss slows the probe down: it says so, and the next polls are not sent."""
    lab("ntpd")
    with host() as inside, Ntpd(inside, restrict="default kod limited nomodify noquery") as server:
        account = inside.call(partial(measure, "127.0.0.1", 40, interval_s=0.02, timeout_s=0.2))
        assert "kiss_rate" in account.reasons, (account.reasons, server.output)
    kissed = next(missed for missed in account.missed if missed.reason == "kiss_rate")
    after = account.missed[account.missed.index(kissed) + 1]
    assert kissed.sent
    assert (after.reason, after.sent) == ("held_by_rate", False)
    assert "kiss_rate" in {event.kind for event in account.events}


def test_an_address_without_a_server(lab: NeedPrograms) -> None:
    account = measure(f"127.0.0.1:{free_port()}", 3, timeout_s=1.0)
    assert account.reasons == ["port_unreachable"] * 3


def test_a_network_without_a_route(root: None) -> None:
    with host() as inside:
        account = inside.call(partial(measure, "192.0.2.1", 2, timeout_s=0.5))
        assert account.reasons == ["network_unreachable"] * 2


def test_a_neighbour_that_is_not_there(root: None) -> None:
    """Address resolution fails after three tries of a second (arp_solicit), and the kernel says so."""
    with cabled_pair() as pair:
        account = pair.client.call(partial(measure, "10.123.0.99", 1, timeout_s=8.0))
        assert account.reasons == ["host_unreachable"]


# The command line


def test_command_line_measures_chronyd(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    with Chronyd() as server:
        server.step(25 * MS)
        words = (f"{server.address}:{server.port}", "--count", "4", "--interval", "0.1")
        status, document = measured_json(*words)
        (target,) = document["targets"]
        assert status == 0
        assert abs(target["offset_s"] - 25 * MS) <= target["bound_s"]
        assert target["timestamping"] == "kernel"
        assert target["reason"] is None
        assert len(target["exchanges"]) >= 4
        beyond, _ = measured_json(*words, "--max-offset", "0.001")
        assert beyond == 1
        within, table, _ = command_line("measure", *words, "--max-offset", "0.1")
        assert within == 0
        assert "+25." in table


def test_command_line_against_a_reference(lab: NeedPrograms) -> None:
    """The probe's clock cancels: target minus reference is what the test has set between the two servers."""
    lab("chronyd", "chronyc")
    with Chronyd() as reference, Chronyd() as server:
        reference.step(10 * MS)
        server.step(35 * MS)
        status, document = measured_json(
            f"{server.address}:{server.port}",
            *("--reference", f"{reference.address}:{reference.port}", "--realises", "UTC(LAB)"),
            *("--count", "6", "--interval", "0.1"),
        )
    assert status == 0
    target = next(each for each in document["targets"] if not each["is_reference"])
    assert target["realises"] == "UTC(LAB)"
    assert abs(target["time_error_s"] - 25 * MS) <= target["time_error_bound_s"]


def test_command_line_with_a_key(lab: NeedPrograms, tmp_path: Path) -> None:
    lab("chronyd", "chronyc")
    with Chronyd(keys=KEYS) as server:
        file = str(key_file(tmp_path, KEYS))
        words = (f"{server.address}:{server.port}", "--key-file", file, "--count", "2", "--interval", "0.1")
        status, document = measured_json(*words, "--key", "3")
        assert status == 0
        assert document["targets"][0]["reason"] is None


def test_command_line_without_an_answer(lab: NeedPrograms) -> None:
    status, document = measured_json(f"127.0.0.1:{free_port()}", "--count", "2", "--interval", "0.1")
    assert status == 3
    assert document["targets"][0]["offset_s"] is None
    assert document["targets"][0]["reason"] == "port_unreachable"
