"""The NTP client, against a server model written with struct alone (support/ntpserver.py): what is sent, measured and refused."""

from __future__ import annotations

import pytest
from support.ntplink import (
    BACK_NS,
    KEY_ID,
    OUT_NS,
    ROLLOVER_NS,
    SECRET,
    START_NS,
    Link,
    basic,
    only,
    refusal,
    with_octets,
)
from support.ntpserver import ERA_NS, UNIX_IN_NTP_S, Header, Sha1Key, ntp_time, trailer

from timesync.exchange.ntp import Measured, NtpClient, Stamp
from timesync.model import Timestamping
from timesync.reasons import Reason

# What is sent


def test_request_tells_nothing_of_the_probe_and_carries_the_nonce() -> None:
    client: NtpClient[str] = NtpClient()
    data = client.request(0x1122334455667788, 0x99, "a")
    # RFC 5905 figure 8: LI 0, version 4, mode 3; all else zero but poll, precision and the transmit timestamp.
    assert data[0] == 0b00_100_011
    assert data[1] == 0
    assert data[4:40] == bytes(36)
    assert data[40:48] == bytes.fromhex("1122334455667788")
    assert len(data) == 48


@pytest.mark.parametrize(("transmit", "receive"), [(0, 1), (1, 0), (5, 5), (1 << 64, 1), (1, 1 << 64), (-1, 1)])
def test_nonces_that_are_none_are_not_sent(transmit: int, receive: int) -> None:
    with pytest.raises(ValueError, match="nonces"):
        NtpClient().request(transmit, receive, "a")


def test_second_request_offers_interleaved_mode_as_the_rfc_says() -> None:
    # RFC 9769 section 2: origin = the server's receive timestamp, receive and transmit differ (here both random).
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    link.take(reply, t4_ns)
    request = link.ask()
    assert request[24:32] == reply[32:40]
    assert request[32:40] not in (bytes(8), request[40:48])


def test_request_in_basic_mode_has_no_origin_and_no_receive_timestamp() -> None:
    link = basic()
    link.poll()
    assert link.ask()[16:40] == bytes(24)


def test_request_with_a_key_carries_its_mac() -> None:
    client: NtpClient[str] = NtpClient(key=Sha1Key(KEY_ID, SECRET))
    data = client.request(1, 2, "a")
    assert data[48:] == trailer(KEY_ID, SECRET, data[:48])


# Basic mode


def test_basic_exchange_gives_the_four_timestamps_exactly() -> None:
    link = basic()
    link.server.offset_ns = 25_000_001
    measured = only(link.poll())
    assert isinstance(measured, Measured)
    t2 = START_NS + OUT_NS + 25_000_001
    assert (measured.t1_ns, measured.t2_ns, measured.t3_ns) == (START_NS, t2, t2 + 20_000)
    assert measured.t4_ns == START_NS + OUT_NS + 20_000 + BACK_NS
    assert (measured.mode, measured.token, measured.authenticated) == ("basic", 1, False)
    assert measured.facts.stratum == 1
    assert measured.facts.reference_id == "GPS"


def test_better_stamp_replaces_a_worse_one_and_a_worse_never_a_better() -> None:
    link = basic()
    client = link.client
    request = client.request(1, 2, 1)
    client.transmitted(Stamp(START_NS - 900, Timestamping.USER), 1)
    client.transmitted(Stamp(START_NS - 500, Timestamping.KERNEL), 1)
    client.transmitted(Stamp(START_NS, Timestamping.HARDWARE), 1)
    client.transmitted(Stamp(START_NS - 7, Timestamping.KERNEL), 1)
    client.transmitted(Stamp(START_NS + 9, Timestamping.HARDWARE), 1)
    reply, t4_ns = link.answer(request)
    measured = only(link.take(reply, t4_ns))
    assert isinstance(measured, Measured)
    assert (measured.t1_ns, measured.tx_timestamping) == (START_NS, Timestamping.HARDWARE)
    assert measured.rx_timestamping is Timestamping.KERNEL


def test_stamp_of_another_poll_is_not_taken() -> None:
    link = basic()
    request = link.ask()
    link.client.transmitted(Stamp(START_NS + 5, Timestamping.HARDWARE), 99)
    measured = only(link.take(*link.answer(request)))
    assert isinstance(measured, Measured)
    assert measured.t1_ns == START_NS


def test_exchange_without_a_transmit_stamp_is_accounted_for() -> None:
    link = basic()
    request = link.client.request(1, 2, 1)
    event = refusal(link.take(*link.answer(request)))
    assert (event.reason, event.final, event.token) == (Reason.SEND_FAILED, True, 1)


# What is not believed: the poll stays open, and the true reply is measured afterwards.


@pytest.mark.parametrize(
    ("at", "octets", "reason"),
    [
        (0, b"\x23", Reason.WRONG_MODE),  # our own request, reflected: mode 3
        (0, b"\x21", Reason.WRONG_MODE),  # symmetric active
        (0, b"\x25", Reason.WRONG_MODE),  # broadcast
        (0, b"\x2c", Reason.WRONG_VERSION),  # version 5
        (0, b"\x04", Reason.WRONG_VERSION),  # version 0
        (24, bytes(8), Reason.WRONG_ORIGIN),
        (31, b"\xa5", Reason.WRONG_ORIGIN),
    ],
)
def test_packet_that_is_no_reply_to_the_request_is_refused_by_name(at: int, octets: bytes, reason: Reason) -> None:
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    event = refusal(link.take(with_octets(reply, at, octets), t4_ns))
    assert (event.reason, event.final, event.token) == (reason, False, None)
    assert isinstance(only(link.take(reply, t4_ns)), Measured)


def test_reply_from_another_address_is_refused() -> None:
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    assert refusal(link.take(reply, t4_ns, from_server=False)).reason is Reason.WRONG_SOURCE
    assert isinstance(only(link.take(reply, t4_ns)), Measured)


@pytest.mark.parametrize("length", [0, 1, 47])
def test_truncated_reply_is_refused(length: int) -> None:
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    assert refusal(link.take(reply[:length], t4_ns)).reason is Reason.TOO_SHORT


@pytest.mark.parametrize("extra", [b"x", b"abcd", bytes(8), b"\0\0\0\x03" + bytes(24)])
def test_reply_with_an_unreadable_trailer_is_refused(extra: bytes) -> None:
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    assert refusal(link.take(reply + extra, t4_ns)).reason is Reason.MALFORMED


def test_unknown_extension_field_of_a_reply_is_no_fault() -> None:
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    field_ = b"\x21\x04\x00\x1c" + bytes(24)
    assert isinstance(only(link.take(reply + field_, t4_ns)), Measured)


def test_duplicate_of_a_reply_is_refused_by_that_name() -> None:
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    link.take(reply, t4_ns)
    event = refusal(link.take(reply, t4_ns + 10))
    assert (event.reason, event.final) == (Reason.DUPLICATE, False)


def test_replay_of_an_earlier_reply_does_not_answer_a_later_request() -> None:
    link = Link()
    replies = [link.answer(link.ask())]
    link.take(*replies[0])
    link.poll()
    link.ask()
    assert refusal(link.take(replies[0][0], link.now_ns + 400_000)).reason is Reason.DUPLICATE


def test_very_old_reply_is_a_wrong_origin() -> None:
    link = Link()
    old, t4_ns = link.answer(link.ask())
    link.take(old, t4_ns)
    for _ in range(40):
        link.poll()
    link.ask()
    assert refusal(link.take(old, link.now_ns)).reason is Reason.WRONG_ORIGIN


def test_reply_after_its_poll_is_late() -> None:
    link = Link()
    late, _ = link.answer(link.ask())
    assert link.client.expired() == ()
    assert refusal(link.take(late, link.now_ns + 2 * 10**9)).reason is Reason.LATE
    link.now_ns += 16 * 10**9
    assert isinstance(only(link.poll()), Measured)


def test_late_reply_during_the_next_poll_does_not_end_it() -> None:
    link = Link()
    late, _ = link.answer(link.ask())
    link.client.expired()
    reply, t4_ns = link.answer(link.ask())
    assert refusal(link.take(late, t4_ns)).reason is Reason.LATE
    measured = only(link.take(reply, t4_ns))
    assert isinstance(measured, Measured)
    assert measured.token == 2


def test_unasked_packet_is_refused_when_nothing_was_ever_asked() -> None:
    link = Link()
    assert refusal(link.take(b"\x24" + bytes(47), START_NS)).reason is Reason.WRONG_ORIGIN


# Answers of the server that hold no time


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (Header(leap=3), Reason.UNSYNCHRONISED),
        (Header(leap=3, stratum=0, reference_id=b"INIT"), Reason.UNSYNCHRONISED),
        (Header(stratum=0, reference_id=bytes(4)), Reason.STRATUM_UNSPECIFIED),
        (Header(stratum=16), Reason.STRATUM_UNSYNCHRONISED),
        (Header(stratum=255), Reason.STRATUM_UNSYNCHRONISED),
        (Header(stratum=0, reference_id=b"RATE"), Reason.KISS_RATE),
        (Header(leap=3, stratum=0, reference_id=b"RATE"), Reason.KISS_RATE),
        (Header(stratum=0, reference_id=b"DENY"), Reason.KISS_DENY),
        (Header(stratum=0, reference_id=b"RSTR"), Reason.KISS_RSTR),
        (Header(stratum=0, reference_id=b"NKEY"), Reason.KISS_OTHER),
        (Header(stratum=0, reference_id=b"XYZA"), Reason.KISS_OTHER),
    ],
)
@pytest.mark.parametrize("interleaved", [False, True])
def test_answer_without_a_usable_time_ends_the_poll_with_its_reason(
    header: Header, reason: Reason, interleaved: bool
) -> None:
    link = Link(NtpClient(interleaved=interleaved))
    link.poll()
    link.server.header = header
    event = refusal(link.poll())
    assert (event.reason, event.final, event.token) == (reason, True, 2)
    assert event.facts is not None
    assert (event.facts.leap, event.facts.stratum) == (header.leap, header.stratum)


@pytest.mark.parametrize("at", [32, 40])
def test_zero_timestamp_is_refused(at: int) -> None:
    link = basic()
    reply, t4_ns = link.answer(link.ask())
    event = refusal(link.take(with_octets(reply, at, bytes(8)), t4_ns))
    assert (event.reason, event.final) == (Reason.ZERO_TIMESTAMP, True)


def test_server_that_sent_before_it_received_is_refused() -> None:
    link = basic()
    link.server.processing_ns = -2
    event = refusal(link.take(*link.answer(link.ask())))
    assert (event.reason, event.final, event.token) == (Reason.TRANSMIT_BEFORE_RECEIVE, True, 1)


def test_server_that_held_the_packet_longer_than_the_round_trip_is_refused() -> None:
    link = basic()
    reply, t4_ns = link.answer(link.ask())
    held = with_octets(reply, 40, ntp_time(START_NS + OUT_NS + 20_000 + 10_000_000))
    event = refusal(link.take(held, t4_ns))
    assert (event.reason, event.final) == (Reason.IMPOSSIBLE_DELAY, True)


def test_reply_before_its_request_is_refused() -> None:
    link = basic()
    reply, _ = link.answer(link.ask())
    assert refusal(link.take(reply, START_NS - 5_000_000_000)).reason is Reason.IMPOSSIBLE_DELAY


@pytest.mark.parametrize(("gained_ns", "fits"), [(40_000, True), (300_000, False)])
def test_server_whose_clock_runs_fast_while_it_holds_the_packet_is_measured(gained_ns: int, fits: bool) -> None:
    # Held for 200 ms: at 500 ppm, the most that an honest clock is slewed, its clock gains 100 us on ours.
    link = basic()
    link.server.processing_ns = 200_000_000
    reply, t4_ns = link.answer(link.ask())
    arrived_ns = START_NS + OUT_NS
    delay_ns = t4_ns - START_NS - 200_000_000
    fast = with_octets(reply, 40, ntp_time(arrived_ns + 200_000_000 + delay_ns + gained_ns))
    event = only(link.take(fast, t4_ns))
    assert isinstance(event, Measured) == fits


def test_delay_below_zero_by_less_than_the_clocks_can_be_read_is_measured() -> None:
    link = basic()
    link.server.header.precision = -10  # 977 us
    reply, t4_ns = link.answer(link.ask())
    later = with_octets(reply, 40, ntp_time(START_NS + OUT_NS + 20_000 + 600_000))
    assert isinstance(only(link.take(later, t4_ns)), Measured)


def test_forged_kiss_with_another_origin_is_not_heeded() -> None:
    link = Link()
    reply, t4_ns = link.answer(link.ask())
    forged = with_octets(with_octets(reply, 1, b"\0"), 12, b"DENY")
    forged = with_octets(forged, 24, b"\x55" * 8)
    event = refusal(link.take(forged, t4_ns))
    assert (event.reason, event.final) == (Reason.WRONG_ORIGIN, False)
    assert isinstance(only(link.take(reply, t4_ns)), Measured)


# Eras


@pytest.mark.parametrize("before_ns", [1_000_000_000, 400_000, 310_000, 150_000, 1, 0])
def test_exchange_across_the_era_rollover_is_exact(before_ns: int) -> None:
    link = Link(now_ns=ROLLOVER_NS - before_ns)
    link.server.offset_ns = 3_000
    link.server.header.reference = ntp_time(ROLLOVER_NS - 5 * 10**9)
    measured = only(link.poll())
    assert isinstance(measured, Measured)
    t1_ns = ROLLOVER_NS - before_ns
    assert (measured.t1_ns, measured.t2_ns) == (t1_ns, t1_ns + OUT_NS + 3_000)
    assert measured.t3_ns - measured.t2_ns == 20_000
    assert measured.facts.reference_time_ns == ROLLOVER_NS - 5 * 10**9
    link.poll()
    interleaved = link.poll()[0]
    assert isinstance(interleaved, Measured)
    assert interleaved.mode == "interleaved"
    assert interleaved.t2_ns - interleaved.t1_ns == OUT_NS + 3_000


def test_server_one_era_apart_reads_as_the_same_time() -> None:
    # The packet does not tell its era; the nearest to the probe's clock is meant (RFC 5905 section 6).
    link = basic()
    link.server.offset_ns = ERA_NS
    measured = only(link.poll())
    assert isinstance(measured, Measured)
    assert measured.t2_ns == START_NS + OUT_NS


def test_model_and_standard_agree_on_the_epoch() -> None:
    # RFC 5905 figure 4: 1 January 1970 is 2,208,988,800.
    assert UNIX_IN_NTP_S == 2_208_988_800
