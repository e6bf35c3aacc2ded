"""How often a server is asked after a kiss-o'-death (RFC 5905 section 7.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timesync.exchange.pacing import Pacing
from timesync.reasons import Reason


def polls(pacing: Pacing, begin_s: float, end_s: float, every_s: float = 16.0) -> list[float]:
    """The instants at which a schedule would send, unanswered."""
    sent = []
    now_s = begin_s
    while now_s < end_s:
        if pacing.hold(now_s) is None:
            pacing.sent(now_s)
            sent.append(now_s)
        now_s += every_s
    return sent


def test_nothing_is_held_back_while_the_server_is_content() -> None:
    assert len(polls(Pacing(16.0), 0.0, 1600.0)) == 100


def test_rate_doubles_the_pause_each_time() -> None:
    # "MUST immediately reduce its polling interval ... and continue to reduce it each time it receives a RATE kiss code."
    pacing = Pacing(16.0)
    pauses = []
    for _ in range(14):
        pacing.kissed(Reason.KISS_RATE, 0.0)
        pauses.append(pacing.rate_pause_s)
    assert pauses[:6] == [32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]
    assert pauses[-1] == 2.0**17  # RFC 5905 section 7.2: MAXPOLL


@given(st.floats(0.1, 60_000.0))
def test_rate_slows_any_interval_down(interval_s: float) -> None:
    pacing = Pacing(interval_s)
    pacing.kissed(Reason.KISS_RATE, 0.0)
    assert pacing.rate_pause_s >= 2.0 * interval_s


def test_poll_after_rate_is_held_with_that_reason_until_the_pause_is_over() -> None:
    pacing = Pacing(16.0)
    pacing.sent(100.0)
    pacing.kissed(Reason.KISS_RATE, 100.1)
    hold = pacing.hold(116.0)
    assert hold is not None
    assert (hold.reason, hold.until_s) == (Reason.HELD_BY_RATE, pytest.approx(132.1))
    assert pacing.hold(132.1) is None


def test_slower_pace_is_kept_between_polls() -> None:
    pacing = Pacing(16.0)
    pacing.kissed(Reason.KISS_RATE, 0.0)
    assert polls(pacing, 0.0, 320.0) == [32.0 * turn for turn in range(1, 10)]


def test_pace_recovers_after_eight_good_replies_a_step() -> None:
    pacing = Pacing(16.0)
    pacing.kissed(Reason.KISS_RATE, 0.0)
    pacing.kissed(Reason.KISS_RATE, 0.0)
    paces = []
    for _ in range(16):
        pacing.answered()
        paces.append(pacing.rate_pause_s)
    assert paces == [64.0] * 7 + [32.0] * 8 + [0.0]


def test_another_rate_begins_the_count_of_good_replies_anew() -> None:
    pacing = Pacing(16.0)
    pacing.kissed(Reason.KISS_RATE, 0.0)
    for _ in range(7):
        pacing.answered()
    pacing.kissed(Reason.KISS_RATE, 0.0)
    pacing.answered()
    assert pacing.rate_pause_s == 64.0


@pytest.mark.parametrize("kiss", [Reason.KISS_DENY, Reason.KISS_RSTR])
def test_denial_stops_the_target_visibly(kiss: Reason) -> None:
    pacing = Pacing(16.0)
    pacing.sent(0.0)
    pacing.kissed(kiss, 0.1)
    hold = pacing.hold(16.0)
    assert hold is not None
    assert hold.reason is Reason.STOPPED_BY_SERVER
    assert hold.until_s == pytest.approx(3600.1)
    assert pacing.denied is kiss


def test_retry_after_a_denial_is_a_single_poll_even_if_nobody_answers() -> None:
    # A server that has said DENY goes on by saying nothing: that is no leave to ask at full pace again.
    pacing = Pacing(16.0)
    pacing.kissed(Reason.KISS_DENY, 0.0)
    assert polls(pacing, 0.0, 5 * 3600.0) == [3600.0, 7200.0, 10800.0, 14400.0]


def test_repeated_denials_double_the_pause_up_to_a_day() -> None:
    pacing = Pacing(16.0)
    now_s, pauses = 0.0, []
    for _ in range(8):
        pacing.sent(now_s)
        pacing.kissed(Reason.KISS_DENY, now_s)
        hold = pacing.hold(now_s)
        assert hold is not None
        pauses.append(hold.until_s - now_s)
        now_s = hold.until_s
    assert pauses == [3600.0, 7200.0, 14400.0, 28800.0, 57600.0, 86400.0, 86400.0, 86400.0]


def test_good_reply_ends_the_denial_and_is_told_once() -> None:
    pacing = Pacing(16.0)
    pacing.kissed(Reason.KISS_DENY, 0.0)
    pacing.sent(3600.0)
    assert pacing.answered()
    assert pacing.denied is None
    assert pacing.hold(3616.0) is None
    assert not pacing.answered()
    pacing.kissed(Reason.KISS_DENY, 4000.0)
    hold = pacing.hold(4000.0)
    assert hold is not None
    assert hold.until_s == 7600.0


def test_denial_is_never_faster_than_the_interval() -> None:
    pacing = Pacing(7200.0)
    pacing.kissed(Reason.KISS_DENY, 0.0)
    assert pacing.hold(7199.0) is not None


def test_configured_first_pause_is_kept_even_beyond_a_day() -> None:
    pacing = Pacing(16.0, first_deny_pause_s=100_000.0)
    pacing.kissed(Reason.KISS_RSTR, 0.0)
    hold = pacing.hold(0.0)
    assert hold is not None
    assert hold.until_s == 100_000.0


def test_rate_during_a_denial_does_not_shorten_it() -> None:
    pacing = Pacing(16.0)
    pacing.kissed(Reason.KISS_DENY, 0.0)
    pacing.kissed(Reason.KISS_RATE, 1.0)
    hold = pacing.hold(100.0)
    assert hold is not None
    assert (hold.reason, hold.until_s) == (Reason.STOPPED_BY_SERVER, 3600.0)


def test_slower_pace_outlives_a_denial() -> None:
    pacing = Pacing(16.0)
    pacing.kissed(Reason.KISS_RATE, 0.0)
    pacing.sent(32.0)
    pacing.kissed(Reason.KISS_DENY, 32.0)
    pacing.sent(3632.0)
    pacing.answered()
    assert pacing.hold(3648.0) is not None
    assert pacing.hold(3664.0) is None
