"""The NTP client in interleaved mode (RFC 9769), and the account of every poll."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from support.ntplink import (
    BACK_NS,
    OUT_NS,
    START_NS,
    Link,
    only,
    refusal,
)
from support.ntpserver import Header, Server, ntp_time

from timesync.exchange.ntp import Abandoned, Accepted, Measured, NtpClient, Refused, Stamp
from timesync.model import Timestamping
from timesync.reasons import Reason


def test_interleaved_mode_switches_itself_on_and_tells_the_exact_transmit_time() -> None:
    link = Link()
    link.server.offset_ns = -1_500
    assert isinstance(only(link.poll()), Measured)
    # The second reply is accepted: its own transmit time is to come.
    assert link.poll() == [Accepted()]
    measured, accepted = link.poll()
    assert isinstance(measured, Measured)
    assert isinstance(accepted, Accepted)
    assert (measured.mode, measured.token) == ("interleaved", 2)
    t1_ns = START_NS + 16 * 10**9
    t2_ns = t1_ns + OUT_NS - 1_500
    assert (measured.t1_ns, measured.t2_ns, measured.t3_ns) == (t1_ns, t2_ns, t2_ns + 20_000)
    assert measured.t4_ns == t1_ns + OUT_NS + 20_000 + BACK_NS


def test_server_without_interleaved_mode_is_measured_in_basic() -> None:
    link = Link(server=Server(interleaved=False))
    modes = [event.mode for _ in range(5) for event in link.poll() if isinstance(event, Measured)]
    assert modes == ["basic"] * 5


def test_stamp_that_comes_after_the_reply_is_used_in_interleaved_mode() -> None:
    link = Link()
    link.poll()
    link.poll()
    link.client.transmitted(Stamp(START_NS + 16 * 10**9 + 77, Timestamping.HARDWARE), 2)
    measured = link.poll()[0]
    assert isinstance(measured, Measured)
    assert (measured.t1_ns - START_NS - 16 * 10**9, measured.tx_timestamping) == (77, Timestamping.HARDWARE)


def test_lost_reply_in_interleaved_mode_costs_only_itself() -> None:
    link = Link()
    link.poll()
    link.poll()  # waits
    assert link.lose() == []
    measured, accepted = link.poll()
    assert isinstance(measured, Measured)
    assert (measured.token, measured.mode) == (2, "interleaved")
    assert isinstance(accepted, Accepted)
    assert isinstance(link.poll()[0], Measured)


def test_server_restart_falls_back_to_basic_and_tells_what_is_lost() -> None:
    link = Link()
    link.poll()
    link.poll()
    link.server.restart()
    abandoned, measured = link.poll()
    assert isinstance(abandoned, Abandoned)
    assert abandoned.token == 2
    assert isinstance(measured, Measured)
    assert (measured.token, measured.mode) == (3, "basic")
    assert link.poll() == [Accepted()]


def test_waiting_reply_is_given_up_after_many_losses() -> None:
    link = Link()
    link.poll()
    link.poll()
    told = [event for _ in range(8) for event in link.lose()]
    assert told == [Abandoned(2)]
    # The next request begins anew, in basic mode.
    assert link.ask()[24:40] == bytes(16)


def test_waiting_reply_is_given_up_by_a_server_that_stays_unsynchronised() -> None:
    link = Link()
    link.poll()
    link.poll()
    link.server.header = Header(leap=3)
    told = [event for _ in range(20) for event in link.poll()]
    assert told.count(Abandoned(2)) == 1
    assert sum(isinstance(event, Refused) for event in told) == 20


def test_unusable_answer_does_not_lose_the_waiting_reply() -> None:
    # RFC 9769 section 2: an invalid response does not replace the state that the next one completes.
    link = Link()
    link.poll()
    link.poll()
    link.server.header = Header(leap=3)
    link.poll()
    link.server.header = Header()
    measured, _ = link.poll()
    assert isinstance(measured, Measured)
    assert (measured.token, measured.mode) == (2, "interleaved")


def test_impossible_interleaved_exchange_is_refused_for_the_poll_it_belongs_to() -> None:
    link = Link()
    link.poll()
    link.poll()
    link.server.sent = {t2: ntp_time(START_NS) for t2 in link.server.sent}
    refused, accepted = link.poll()
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.token, refused.final) == (Reason.TRANSMIT_BEFORE_RECEIVE, 2, True)
    assert isinstance(accepted, Accepted)


def test_replayed_interleaved_reply_is_a_duplicate() -> None:
    link = Link()
    link.poll()
    reply, t4_ns = link.answer(link.ask())
    assert link.take(reply, t4_ns) == [Accepted()]
    assert refusal(link.take(reply, t4_ns)).reason is Reason.DUPLICATE
    link.now_ns += 16 * 10**9
    link.ask()
    assert refusal(link.take(reply, link.now_ns)).reason is Reason.DUPLICATE


def test_end_of_the_association_tells_the_waiting_reply_once() -> None:
    link = Link()
    link.poll()
    link.poll()
    assert link.client.abandon() == (Abandoned(2),)
    assert link.client.abandon() == ()


def test_measured_reply_leaves_nothing_to_tell() -> None:
    link = Link()
    link.poll()
    assert link.client.abandon() == ()


# Every poll is accounted for exactly once

DEEDS = (
    "answer",
    "answer",
    "answer",
    "lose the request",
    "lose the reply",
    "duplicate",
    "late",
    "stray",
    "restart",
    "switch mode",
    "unsynchronised",
    "time runs back",
    "held too long",
    "no stamp",
    "fail to send",
)


def tally(link: Link, events: list[object], account: Counter[int]) -> None:
    for event in events:
        if isinstance(event, Measured | Abandoned) or (isinstance(event, Refused) and event.final):
            assert event.token is not None
            account[event.token] += 1


@settings(max_examples=300)
@given(st.lists(st.sampled_from(DEEDS), min_size=1, max_size=60), st.booleans())
def test_every_poll_is_accounted_for_exactly_once(deeds: list[str], interleaved: bool) -> None:
    link = Link(NtpClient(interleaved=interleaved))
    account: Counter[int] = Counter()
    kept: list[bytes] = []
    for deed in deeds:
        if deed == "restart":
            link.server.restart()
            continue
        if deed == "switch mode":
            link.server.interleaved = not link.server.interleaved
            continue
        link.server.header.leap = 3 if deed == "unsynchronised" else 0
        link.server.processing_ns = {"time runs back": -50, "held too long": 10**9}.get(deed, 20_000)
        request = link.ask()
        if deed == "no stamp":
            link.polls += 1
            request = link.client.request(
                link.random.getrandbits(64) | 1, link.random.getrandbits(64) & ~1 | 2, link.polls
            )
            account[link.polls - 1] += 1  # the poll that a new request ends was ended by the caller
        ended = False
        if deed not in {"lose the request", "fail to send"}:
            reply, t4_ns = link.answer(request)
            if deed == "held too long":
                t4_ns = link.now_ns + OUT_NS + BACK_NS
            events: list[object] = []
            if deed == "stray":
                events += link.take(b"\x24" + link.random.randbytes(47), t4_ns)
                events += [each for old in kept[-3:] for each in link.take(old, t4_ns)]
            if deed not in {"lose the reply", "late"}:
                events += link.take(reply, t4_ns)
            if deed == "duplicate":
                events += link.take(reply, t4_ns)
            kept.append(reply)
            tally(link, events, account)
            ended = any(isinstance(e, Accepted | Measured) or (isinstance(e, Refused) and e.final) for e in events)
        if not ended:
            tally(link, list(link.client.expired()), account)
            account[link.polls] += 1
        if deed == "late":
            tally(link, link.take(kept[-1], link.now_ns + 3 * 10**9), account)
        link.now_ns += 16 * 10**9
        waiting = link.polls - sum(account.values())
        assert waiting in (0, 1), deed
    tally(link, list(link.client.abandon()), account)
    assert account == Counter(range(1, link.polls + 1))
