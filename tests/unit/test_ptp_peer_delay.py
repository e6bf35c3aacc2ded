"""Peer delay by answers written for the test, octets by struct: IEEE 1588-2019 clause 11.4.2."""

from __future__ import annotations

import struct

import pytest

from timesync.exchange.ntp import Stamp
from timesync.exchange.ptp import MasterKey, PtpListener, PtpMissed, PtpPeerMeasured, PtpRefused
from timesync.exchange.ptp_peer import PeerResponder
from timesync.model import Timestamping
from timesync.reasons import Reason
from timesync.wire.ptp.header import PortIdentity, decode_header

T0 = 1_795_000_000_000_000_000
US = PortIdentity(0xAABBCCFFFEDDEEFF, 1)
PEER, OTHER = 0x001122FFFE334455, 0x00AABBFFFECCDDEE
SYNC, PDELAY_RESP, FOLLOW_UP, PDELAY_RESP_FOLLOW_UP = 0x0, 0x3, 0x8, 0xA
TWO_STEP = 0x0200
AHEAD_NS, LINK_NS, HELD_NS = 1_500_000, 700, 90_000


def kernel(at_ns: int) -> Stamp:
    return Stamp(at_ns, Timestamping.KERNEL)


def header(
    kind: int, length: int, sequence: int, *, flags: int = 0, correction_ns: int = 0, clock: int = PEER
) -> bytes:
    return struct.pack(">BBHBBHqIQHHBb", kind, 2, length, 0, 0, flags, correction_ns << 16, 0, clock, 1, sequence, 0, 0)


def instant(at_ns: int) -> bytes:
    seconds, nanoseconds = divmod(at_ns, 10**9)
    return struct.pack(">HII", seconds >> 32, seconds & 0xFFFFFFFF, nanoseconds)


def ours() -> bytes:
    return struct.pack(">QH", US.clock, US.port)


def hear_sync(listener: PtpListener, *, waited_ns: int = 0, clock: int = PEER) -> None:
    sync = header(SYNC, 44, 1, flags=TWO_STEP, clock=clock) + bytes(10)
    listener.received(sync, kernel(T0 + LINK_NS + waited_ns), 0.0)
    listener.received(header(FOLLOW_UP, 44, 1, clock=clock) + instant(T0 + AHEAD_NS), kernel(T0), 0.0)


def ask(listener: PtpListener) -> int:
    request = listener.peer.ask(0)
    listener.peer.asked(kernel(T0 + 10_000))
    assert request[0] & 0x0F == 0x2
    assert len(request) == 54
    sequence: int = struct.unpack_from(">H", request, 30)[0]
    return sequence


def answer_two_step(listener: PtpListener, sequence: int, *, clock: int = PEER) -> None:
    reached = T0 + 10_000 + LINK_NS
    came = kernel(reached + HELD_NS + LINK_NS)
    resp = header(PDELAY_RESP, 54, sequence, flags=TWO_STEP, clock=clock) + instant(reached + AHEAD_NS) + ours()
    follow = header(PDELAY_RESP_FOLLOW_UP, 54, sequence, clock=clock) + instant(reached + HELD_NS + AHEAD_NS) + ours()
    assert listener.received(resp, came, 0.0) == ()
    assert listener.received(follow, came, 0.0) == ()


def test_the_link_delay_is_half_of_what_the_peer_did_not_hold() -> None:
    listener = PtpListener(US)
    hear_sync(listener)
    answer_two_step(listener, ask(listener))
    assert listener.answered_peer(0)
    (result,) = listener.account_peer(0, 0.0)
    assert isinstance(result, PtpPeerMeasured)
    assert result.link.delay_s == pytest.approx(LINK_NS / 1e9)
    assert result.offset_s == pytest.approx(AHEAD_NS / 1e9, abs=1e-12)
    assert result.path_bound_s == pytest.approx(LINK_NS / 1e9)


def test_a_one_step_answer_tells_by_its_correction_how_long_it_was_held() -> None:
    listener = PtpListener(US)
    hear_sync(listener)
    sequence = ask(listener)
    came = kernel(T0 + 10_000 + 2 * LINK_NS + HELD_NS)
    listener.received(header(PDELAY_RESP, 54, sequence, correction_ns=HELD_NS) + bytes(10) + ours(), came, 0.0)
    (result,) = listener.account_peer(0, 0.0)
    assert isinstance(result, PtpPeerMeasured)
    assert result.link.delay_s == pytest.approx(LINK_NS / 1e9)
    assert result.offset_s == pytest.approx(AHEAD_NS / 1e9, abs=1e-12)


def test_a_sync_that_waited_on_its_way_is_within_the_bound() -> None:
    listener = PtpListener(US)
    hear_sync(listener, waited_ns=50_000)
    answer_two_step(listener, ask(listener))
    (result,) = listener.account_peer(0, 0.0)
    assert isinstance(result, PtpPeerMeasured)
    error_s = result.offset_s - AHEAD_NS / 1e9
    assert error_s == pytest.approx(-50e-6, abs=1e-12)
    assert abs(error_s) <= result.path_bound_s < 52e-6


def test_behind_a_transparent_clock_the_only_peers_link_counts() -> None:
    listener = PtpListener(US)
    hear_sync(listener, clock=OTHER)
    answer_two_step(listener, ask(listener))
    (result,) = listener.account_peer(0, 0.0)
    assert isinstance(result, PtpPeerMeasured)
    assert result.key == MasterKey(0, 0, PortIdentity(OTHER, 1))
    assert result.link.peer == PortIdentity(PEER, 1)


def test_of_several_peers_none_is_taken_for_another() -> None:
    listener = PtpListener(US)
    third = 0x0055
    hear_sync(listener, clock=third)
    sequence = ask(listener)
    answer_two_step(listener, sequence)
    answer_two_step(listener, sequence, clock=OTHER)
    assert not listener.answered_peer(0)
    (result,) = listener.account_peer(0, 0.0)
    assert isinstance(result, PtpMissed)
    assert result.reason is Reason.NO_DELAY_RESPONSE
    assert "2 peers" in result.detail


@pytest.mark.parametrize("shift", [1, -1])
def test_an_answer_to_another_question_is_refused(shift: int) -> None:
    listener = PtpListener(US)
    sequence = ask(listener)
    (event,) = listener.received(header(PDELAY_RESP, 54, sequence + shift) + bytes(10) + ours(), kernel(T0), 0.0)
    assert isinstance(event, PtpRefused)
    assert event.reason is Reason.LATE


def test_a_second_answer_of_a_peer_is_a_duplicate() -> None:
    listener = PtpListener(US)
    sequence = ask(listener)
    resp = header(PDELAY_RESP, 54, sequence, flags=TWO_STEP) + instant(T0) + ours()
    follow = header(PDELAY_RESP_FOLLOW_UP, 54, sequence) + instant(T0) + ours()
    reasons = []
    for data in (resp, resp, follow, follow):
        reasons += [event.reason for event in listener.received(data, kernel(T0), 0.0) if isinstance(event, PtpRefused)]
    assert reasons == [Reason.DUPLICATE, Reason.DUPLICATE]


def test_a_follow_up_that_overtakes_its_answer_is_matched() -> None:
    """They come by two sockets: which is read first is chance."""
    listener = PtpListener(US)
    hear_sync(listener)
    sequence = ask(listener)
    reached = T0 + 10_000 + LINK_NS
    came = kernel(reached + HELD_NS + LINK_NS)
    follow = header(PDELAY_RESP_FOLLOW_UP, 54, sequence) + instant(reached + HELD_NS + AHEAD_NS) + ours()
    resp = header(PDELAY_RESP, 54, sequence, flags=TWO_STEP) + instant(reached + AHEAD_NS) + ours()
    assert listener.received(follow, came, 0.0) == ()
    assert not listener.answered_peer(0)
    assert listener.received(resp, came, 0.0) == ()
    (result,) = listener.account_peer(0, 0.0)
    assert isinstance(result, PtpPeerMeasured)
    assert result.link.delay_s == pytest.approx(LINK_NS / 1e9)


def test_an_answer_of_another_standards_domain_is_refused() -> None:
    """majorSdoId 1 is IEEE 802.1AS, whose domain 0 is another one."""
    listener = PtpListener(US)
    sequence = ask(listener)
    data = bytearray(header(PDELAY_RESP, 54, sequence) + bytes(10) + ours())
    data[0] |= 0x10
    (event,) = listener.received(bytes(data), kernel(T0), 0.0)
    assert isinstance(event, PtpRefused)
    assert event.reason is Reason.LATE


def test_an_answer_to_another_port_is_left_alone() -> None:
    listener = PtpListener(US)
    sequence = ask(listener)
    other = struct.pack(">QH", US.clock, 2)
    assert listener.received(header(PDELAY_RESP, 54, sequence) + bytes(10) + other, kernel(T0), 0.0) == ()
    assert listener.peer.links() == {}


def gptp(message: bytes) -> bytes:
    """The same with majorSdoId 1."""
    return bytes([message[0] | 0x10]) + message[1:]


RATE, TURN_NS, GPTP_LINK_NS = 100e-6, 10_000_000, 800


def test_by_the_rate_ratio_a_long_turnaround_does_not_show_in_the_link_delay() -> None:
    """802.1AS-2020 clause 11.2.19.3.4: a neighbour 100 ppm fast that holds the question for 10 ms; without r, 500 ns too little."""
    listener = PtpListener(US)

    def theirs(our_ns: int) -> int:
        return our_ns + round((our_ns - T0) * RATE) + AHEAD_NS

    delays, rates = [], []
    for turn in range(5):
        request = listener.peer.ask(0, 0x100)
        assert request[0] == 0x12
        (sequence,) = struct.unpack_from(">H", request, 30)
        asked_ns = T0 + turn * 10**9
        reached_ns = asked_ns + GPTP_LINK_NS
        left_ns = reached_ns + TURN_NS
        listener.peer.asked(kernel(asked_ns))
        came = kernel(left_ns + GPTP_LINK_NS)
        resp = header(PDELAY_RESP, 54, sequence, flags=TWO_STEP) + instant(theirs(reached_ns)) + ours()
        follow = header(PDELAY_RESP_FOLLOW_UP, 54, sequence) + instant(theirs(left_ns)) + ours()
        # A neighbour's answer of another standard's domain is not one to this question.
        (refused,) = listener.received(resp, came, 0.0)
        assert isinstance(refused, PtpRefused)
        assert listener.received(gptp(resp), came, 0.0) == ()
        assert listener.received(gptp(follow), came, 0.0) == ()
        (link,) = listener.peer.links().values()
        delays.append(link.delay_s)
        rates.append(link.rate_offset)
        listener.account_peer(0, 0.0, 0x100)
    assert rates[0] is None
    assert delays[0] == pytest.approx(GPTP_LINK_NS / 1e9 - RATE * TURN_NS / 2e9, abs=2e-9)
    for delay_s, rate in zip(delays[1:], rates[1:], strict=True):
        assert rate == pytest.approx(RATE, abs=5e-9)
        assert delay_s == pytest.approx(GPTP_LINK_NS / 1e9, abs=2e-9)


def test_no_rate_is_drawn_across_a_step_of_the_neighbour() -> None:
    listener = PtpListener(US)
    for turn, stepped_ns in enumerate((0, 0, 10**9, 10**9, 10**9)):
        (sequence,) = struct.unpack_from(">H", listener.peer.ask(0), 30)
        asked_ns = T0 + turn * 2 * 10**9
        listener.peer.asked(kernel(asked_ns))
        reached_ns = asked_ns + LINK_NS
        resp = header(PDELAY_RESP, 54, sequence, flags=TWO_STEP) + instant(reached_ns + stepped_ns) + ours()
        follow = header(PDELAY_RESP_FOLLOW_UP, 54, sequence) + instant(reached_ns + stepped_ns + HELD_NS) + ours()
        came = kernel(reached_ns + HELD_NS + LINK_NS)
        listener.received(resp, came, 0.0)
        listener.received(follow, came, 0.0)
        (link,) = listener.peer.links().values()
        assert link.delay_s == pytest.approx(LINK_NS / 1e9, abs=1e-9)
        assert link.rate_offset == (None if turn in {0, 2} else pytest.approx(0.0, abs=1e-9))
        listener.account_peer(0, 0.0)


def test_a_neighbours_question_is_answered_with_its_own_numbers() -> None:
    """Two-step, clause 11.4.2: the request's sequence, domain, majorSdoId and port; its correction in the follow-up."""
    responder = PeerResponder(US)
    request = gptp(header(0x2, 54, 77, correction_ns=5) + bytes(20))
    asked, _ = decode_header(request)
    resp = responder.response(asked, kernel(T0 + 3))
    follow = responder.follow_up(asked, kernel(T0 + 9))
    for data, kind, at_ns, correction in (
        (resp, PDELAY_RESP, T0 + 3, 0),
        (follow, PDELAY_RESP_FOLLOW_UP, T0 + 9, 5 << 16),
    ):
        assert (data[0], len(data)) == (0x10 | kind, 54)
        assert struct.unpack_from(">H", data, 30) == (77,)
        assert struct.unpack_from(">q", data, 8) == (correction,)
        assert data[20:30] == ours()
        assert data[34:44] == instant(at_ns)
        assert data[44:54] == struct.pack(">QH", PEER, 1)
    assert struct.unpack_from(">H", resp, 6) == (TWO_STEP,)
