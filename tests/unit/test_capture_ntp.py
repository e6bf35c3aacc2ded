"""What an observer makes of NTP that passes: exchanges by their origin timestamps, basic and interleaved, and faults by name."""

from __future__ import annotations

import pytest
from support.frames import AT_NS, CLIENT, SERVER, ntp, udp4
from support.watching import found, watch

from timesync.timescale import unix_ns_to_ntp

S = 10**9
TO, BACK, HELD = 40_000, 60_000, 15_000  # ns from the capture point to the server and back, and in the server


class Talk:
    """A client and a server whose clock is `ahead_ns`; the frames as they pass the capture point."""

    def __init__(self, ahead_ns: int = 0) -> None:
        self.ahead_ns = ahead_ns
        self.frames: list[tuple[int, bytes]] = []
        self.nonce = 0xABCDEF0123456789
        self.port = 40000

    def request(self, at_ns: int, *, transmit: int | None = None, origin: int = 0, receive: int = 0) -> int:
        self.nonce = (self.nonce * 6364136223846793005 + 1442695040888963407) % 2**64
        self.port += 1
        transmit = self.nonce if transmit is None else transmit
        data = ntp(3, transmit=transmit, origin=origin, receive=receive, stratum=0)
        self.frames.append((at_ns, udp4(123, data, CLIENT, SERVER, self.port)))
        return transmit

    def stamps(self, asked_ns: int) -> tuple[int, int]:
        """T2 and T3 of the server for a request that passed then."""
        return tuple(unix_ns_to_ntp(asked_ns + TO + extra + self.ahead_ns) for extra in (0, HELD))  # type: ignore[return-value]  # two

    def reply(self, asked_ns: int, origin: int, receive: int, transmit: int, **more: int) -> None:
        data = ntp(4, origin=origin, receive=receive, transmit=transmit, **more)
        self.frames.append((asked_ns + TO + HELD + BACK, udp4(self.port, data, SERVER, CLIENT, 123)))

    def basic(self, count: int) -> None:
        for turn in range(count):
            at_ns = AT_NS + turn * 64 * S
            self.reply(at_ns, self.request(at_ns), *self.stamps(at_ns))


def test_basic_exchanges_give_the_servers_offset() -> None:
    talk = Talk(ahead_ns=2_000_000)
    talk.basic(5)
    report = watch(talk.frames)
    (pair,) = report.exchanges
    assert (pair.clock, pair.mechanism, pair.requester, pair.exchanges) == (SERVER, "basic", CLIENT, 5)
    # The path is lopsided by 20 us: half of that is the error, and within the bound.
    assert pair.best_offset_s == pytest.approx(2e-3 - 10e-6, abs=2e-9)
    assert pair.round_trip.mean_s == pytest.approx(100e-6, abs=2e-9)
    assert pair.best_bound_s is not None
    assert 50e-6 <= pair.best_bound_s < 60e-6
    (association,) = report.associations
    assert (association.requests, association.replies, association.basic, association.interleaved) == (5, 5, 5, 0)
    assert association.interval_s == pytest.approx(64.0)
    assert association.poll_s == 64.0
    assert association.client_clock == "hidden"
    (server,) = report.ntp_servers
    assert (server.stratum, server.reference_id, server.replies) == (1, "GPS", 5)
    assert found(report) == {}


def test_interleaved_exchanges_take_the_transmit_timestamp_of_the_next_reply() -> None:
    """RFC 9769: the reply echoes the request's receive timestamp, and tells when the reply before it left."""
    talk = Talk(ahead_ns=-3_000_000)
    first = AT_NS
    transmit = talk.request(first)
    t2, _ = talk.stamps(first)
    estimated = talk.stamps(first)[1] - (2 << 12)  # a basic reply guesses when it will leave, here 2 us too early
    talk.reply(first, transmit, t2, estimated)
    before_ns, before_t2 = first, t2
    for turn in range(1, 5):
        at_ns = AT_NS + turn * 16 * S
        name = 0x1122334455660000 + turn
        talk.request(at_ns, origin=before_t2, receive=name)
        t2, _ = talk.stamps(at_ns)
        talk.reply(at_ns, name, t2, talk.stamps(before_ns)[1])
        before_ns, before_t2 = at_ns, t2
    report = watch(talk.frames)
    pairs = {pair.mechanism: pair for pair in report.exchanges}
    assert pairs["interleaved"].exchanges == 4
    assert pairs["interleaved"].best_offset_s == pytest.approx(-3e-3 - 10e-6, abs=2e-9)
    assert pairs["basic"].exchanges == 1
    assert found(report) == {}


def test_a_client_that_tells_its_time_gives_a_limit() -> None:
    talk = Talk()
    for turn in range(4):
        at_ns = AT_NS + turn * S
        transmit = unix_ns_to_ntp(at_ns + 5_000_000 - 300_000)  # 5 ms ahead, 300 us away
        talk.reply(at_ns, talk.request(at_ns, transmit=transmit), *talk.stamps(at_ns))
    (association,) = watch(talk.frames).associations
    assert association.client_clock == "told"
    assert association.client_offset_limits.at_least_s == pytest.approx(4.7e-3, abs=2e-9)
    assert association.client_offset_limits.at_most_s is None


def test_a_reply_to_nothing_that_was_asked_is_found() -> None:
    talk = Talk()
    talk.basic(2)
    talk.reply(AT_NS, 4711, *talk.stamps(AT_NS))
    report = watch(talk.frames)
    assert found(report)["wrong_origin"] == 1


def test_a_reply_twice_and_a_request_without_reply_are_found() -> None:
    talk = Talk()
    talk.basic(2)
    talk.frames.append(talk.frames[-1])
    talk.request(AT_NS + 500 * S)
    talk.request(AT_NS + 600 * S)
    report = watch(talk.frames)
    assert found(report) == {"response_repeated": 1, "request_unanswered": 1}
    assert report.associations[0].unanswered == 1


def test_one_direction_alone_is_no_fault() -> None:
    talk = Talk()
    talk.basic(4)
    replies = talk.frames[1::2]
    report = watch(replies)
    assert found(report) == {}
    assert report.exchanges == ()
    assert report.ntp_servers[0].replies == 4


@pytest.mark.parametrize(
    ("more", "name"),
    [({"leap": 3}, "unsynchronised"), ({"stratum": 16}, "unsynchronised"), ({"stratum": 0}, "kiss")],
)
def test_replies_without_a_time_are_named(more: dict[str, int], name: str) -> None:
    talk = Talk()
    data = {"stratum": 1, "leap": 0, **more}
    talk.reply(AT_NS, talk.request(AT_NS), *talk.stamps(AT_NS), **data)
    frames = talk.frames
    if name == "kiss":
        frames = [(at, frame.replace(b"GPS\0", b"RATE")) for at, frame in frames]
    report = watch(frames)
    assert found(report) == {name: 1}
    assert report.exchanges == ()


def test_zero_and_reversed_timestamps_are_named() -> None:
    talk = Talk()
    talk.reply(AT_NS, talk.request(AT_NS), 0, 0)
    t2, t3 = talk.stamps(AT_NS + S)
    talk.reply(AT_NS + S, talk.request(AT_NS + S), t3, t2)
    assert found(watch(talk.frames)) == {"zero_timestamp": 1, "transmit_before_receive": 1}


def test_what_a_short_snaplen_left_of_a_header_is_used() -> None:
    talk = Talk(ahead_ns=1_000)
    talk.basic(3)
    from timesync.capture.observer import Observer

    observer = Observer()
    for at_ns, frame in talk.frames:
        mac = frame[:16] + (int.from_bytes(frame[16:18], "big") + 24).to_bytes(2, "big") + frame[18:38]
        longer = mac + (int.from_bytes(frame[38:40], "big") + 24).to_bytes(2, "big") + frame[40:]
        observer.take(at_ns, 1, longer, len(longer) + 24)
    report = observer.report("cut")
    assert report.exchanges[0].exchanges == 3


def test_malformed_and_other_modes_are_told() -> None:
    frames = [
        (AT_NS, udp4(123, bytes(20), CLIENT, SERVER)),
        (AT_NS + 1, udp4(123, ntp(6), CLIENT, SERVER)),
        (AT_NS + 2, udp4(123, ntp(1, transmit=5), CLIENT, SERVER)),
    ]
    report = watch(frames)
    assert found(report) == {"malformed": 1}
    assert report.notes == ("NTP in other modes: 1 control, 1 symmetric active",)
