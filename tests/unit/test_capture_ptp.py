"""What an observer makes of a master and a slave that pass: rates, losses, offsets, and each fault by its name.

The scripted exchange knows the truth: how far the master is ahead, and how long the paths from the capture point to it are.
"""

from __future__ import annotations

import struct

import pytest
from support.frames import (
    ANNOUNCE,
    AT_NS,
    CLIENT,
    DELAY_REQ,
    DELAY_RESP,
    FOLLOW_UP,
    PDELAY_FOLLOW_UP,
    PDELAY_REQ,
    PDELAY_RESP,
    SERVER,
    SIGNALING,
    SLAVE,
    SYNC,
    Script,
    announce_body,
    l2,
    ptp,
    stamp,
    udp4,
    udp6,
    vlan,
)
from support.watching import found, stream_of, watch

from timesync.capture.findings import MEANINGS, FindingName
from timesync.leapseconds import embedded_leap_table

LEAPS = embedded_leap_table()


def test_a_clean_exchange_gives_the_offset_and_nothing_is_found() -> None:
    script = Script(ahead_ns=1500)
    script.turns(20)
    report = watch(script.frames, leaps=LEAPS)
    (pair,) = report.exchanges
    assert pair.mechanism == "e2e"
    assert pair.timescale == "ptp"
    assert pair.exchanges == 20
    assert pair.offset is not None
    assert pair.offset.mean_s == pytest.approx(1500e-9, abs=1e-15)
    assert pair.round_trip.mean_s == pytest.approx(2000e-9, abs=1e-15)
    assert found(report) == {}
    (master,) = report.masters
    assert master.best
    assert master.two_step
    assert (master.clock_class, master.utc_offset_s, master.addresses) == (6, 37, (SERVER,))
    (asker,) = report.requesters
    assert (asker.requests, asker.answered, asker.unanswered) == (20, 20, 0)


def test_the_bound_holds_on_a_lopsided_path() -> None:
    script = Script(ahead_ns=-40_000, from_master_ns=1_000, to_master_ns=9_000)
    script.turns(10)
    (pair,) = watch(script.frames).exchanges
    assert pair.best_offset_s is not None
    assert pair.best_bound_s is not None
    assert abs(pair.best_offset_s + 40e-6) == pytest.approx(4e-6, abs=1e-12)
    assert abs(pair.best_offset_s + 40e-6) <= pair.best_bound_s
    assert pair.best_bound_s >= 5e-6


def test_where_the_slave_is_does_not_matter() -> None:
    """The request's way to the capture point, and what a transparent clock there added, play no part."""
    script = Script(ahead_ns=777, request_correction=5_000 << 16, response_correction=5_000 << 16)
    script.turns(10)
    (pair,) = watch(script.frames).exchanges
    assert pair.offset is not None
    assert pair.offset.mean_s == pytest.approx(777e-9, abs=1e-15)
    assert pair.round_trip.mean_s == pytest.approx(2000e-9, abs=1e-15)


def test_residence_in_transparent_clocks_is_taken_out() -> None:
    """A Sync waits 3000.5 ns in one-step and 200 ns in two-step clocks, the request 7000 ns, all between here and the master."""
    script = Script(ahead_ns=777, sync_correction=(3000 << 16) + 32768, follow_up_correction=200 << 16)
    script.request_correction, script.response_correction = 100 << 16, 7_100 << 16
    script.turns(10)
    report = watch(script.frames)
    (pair,) = report.exchanges
    assert pair.offset is not None
    # The half nanosecond is in the field, and not in the whole nanoseconds of the scripted passage.
    assert pair.offset.mean_s == pytest.approx(777e-9 + 0.25e-9, abs=1e-15)
    (master,) = report.masters
    corrections = {each.message: each for each in master.corrections}
    assert corrections["Sync"].not_zero == 10
    assert corrections["Sync"].values.mean_s == pytest.approx(3000.5e-9, abs=1e-15)
    assert corrections["Follow_Up"].values.max_s == pytest.approx(200e-9, abs=1e-15)
    assert corrections["Delay_Resp"].values.min_s == pytest.approx(7100e-9, abs=1e-15)


def test_one_direction_gives_a_limit_and_no_offset() -> None:
    script = Script(ahead_ns=1_000_000, from_master_ns=400)
    for _ in range(5):
        script.turn(ask=False)
    report = watch(script.frames)
    assert report.exchanges == ()
    (master,) = report.masters
    assert master.offset_limits.at_least_s == pytest.approx(1e-3 - 400e-9, abs=1e-12)
    assert master.offset_limits.at_most_s is None


def test_the_other_direction_gives_the_other_limit() -> None:
    script = Script(ahead_ns=1_000_000, to_master_ns=600)
    for _ in range(5):
        script.announce()
        script.ask()
        script.step()
    report = watch(script.frames)
    assert report.exchanges == ()
    (master,) = report.masters
    assert master.offset_limits.at_most_s == pytest.approx(1e-3 + 600e-9, abs=1e-12)
    assert master.offset_limits.at_least_s is None


def test_a_time_scale_that_is_not_announced_is_left_as_it_is() -> None:
    script = Script(ahead_ns=0, flags=0)
    script.turns(4)
    (pair,) = watch(script.frames, leaps=LEAPS).exchanges
    assert pair.timescale == "arbitrary"
    assert pair.best_offset_s == pytest.approx(37.0, abs=1e-9)
    (pair,) = watch(script.frames, leaps=LEAPS, timescale="tai").exchanges
    assert pair.timescale == "tai"
    assert pair.best_offset_s == pytest.approx(0.0, abs=1e-9)


def test_a_wrong_utc_offset_is_found() -> None:
    script = Script(utc_offset_s=36)
    script.turns(4)
    assert found(watch(script.frames, leaps=LEAPS))["utc_offset_wrong"] == 1


def test_utc_served_as_tai_is_found() -> None:
    script = Script(ahead_ns=-37 * 10**9)
    script.turns(4)
    assert found(watch(script.frames, leaps=LEAPS))["scale_not_as_announced"] == 1


def test_one_step_masters_are_measured() -> None:
    script = Script(ahead_ns=250)
    for _ in range(6):
        script.announce()
        message = ptp(SYNC, stamp(script.master_time(script.now_ns)), number=script.number, log=-3)
        script.passes(script.now_ns + 1000, 319, message)
        script.ask()
        script.step()
    report = watch(script.frames)
    (pair,) = report.exchanges
    assert pair.offset is not None
    assert pair.offset.mean_s == pytest.approx(250e-9, abs=1e-12)
    assert report.masters[0].two_step is False
    assert found(report) == {}


# --- faults --------------------------------------------------------------------------------------------------------------


def test_a_lost_sync_is_counted_and_its_follow_up_named() -> None:
    script = Script()
    script.turns(10)
    lost = script.number
    script.turn()
    sync = next(n for n, (_, frame) in enumerate(script.frames) if frame[42] & 15 == SYNC and number_of(frame) == lost)
    del script.frames[sync]
    script.turns(10)
    report = watch(script.frames)
    assert stream_of(report, "Sync").lost == 1
    assert found(report) == {"lost": 1, "follow_up_without_sync": 1}


def number_of(frame: bytes) -> int:
    """The sequenceId of a message in a frame of UDP over IPv4."""
    (number,) = struct.unpack_from(">H", frame, 42 + 30)
    return int(number)


def test_a_missing_follow_up_is_found() -> None:
    script = Script()
    script.turns(10)
    script.announce()
    script.sync(follow_up=False)
    script.ask()
    script.step()
    script.turns(12)
    report = watch(script.frames)
    assert found(report) == {"follow_up_missing": 1}
    assert stream_of(report, "Follow_Up").lost == 1


def test_a_follow_up_with_a_wrong_number_is_found() -> None:
    script = Script()
    script.turns(10)
    script.announce()
    script.sync(follow_up_number=script.number + 3000)
    script.ask()
    script.step()
    script.turns(12)
    names = found(watch(script.frames))
    assert names["follow_up_missing"] == 1
    assert names["follow_up_without_sync"] == 1
    assert names["sequence_jump"] >= 1


def test_a_follow_up_before_its_sync_is_used_and_told() -> None:
    script = Script()
    script.turns(3)
    script.announce()
    script.sync()
    sync, follow_up = script.frames[-2:]
    script.frames[-2:] = [(sync[0] - 10, follow_up[1]), sync]
    script.ask()
    script.step()
    script.turns(3)
    report = watch(script.frames)
    assert found(report) == {"follow_up_before_sync": 1}


def test_a_duplicated_sync_is_found_and_used_once() -> None:
    script = Script()
    script.turns(10)
    at = next(n for n, (_, frame) in enumerate(script.frames) if frame[42] & 15 == SYNC)
    script.frames.insert(at + 1, script.frames[at])
    report = watch(script.frames)
    assert found(report) == {"repeated": 1}
    assert report.masters[0].syncs == 10


def test_a_number_used_again_for_another_message_is_found() -> None:
    script = Script()
    script.turns(5)
    script.number -= 1
    script.announce()
    body = announce_body(priority1=7)
    script.frames[-1] = (script.now_ns, udp4(320, ptp(ANNOUNCE, body, number=script.number, flags=0xC, log=-3)))
    assert found(watch(script.frames))["sequence_reused"] == 1


def test_messages_out_of_order_are_no_loss() -> None:
    script = Script()
    script.turns(10)
    announces = [n for n, (_, frame) in enumerate(script.frames) if frame[42] & 15 == ANNOUNCE]
    one, other = announces[4:6]
    frames = script.frames
    frames[one], frames[other] = (frames[one][0], frames[other][1]), (frames[other][0], frames[one][1])
    names = found(watch(frames))
    assert names == {"out_of_order": 1}


def test_an_interval_other_than_announced_is_found() -> None:
    script = Script(interval_ns=500_000_000, log=-3)
    script.turns(20)
    report = watch(script.frames)
    names = found(report)
    assert names["interval_not_as_announced"] >= 2
    sync = stream_of(report, "Sync")
    assert sync.interval_s == pytest.approx(0.5, abs=1e-6)
    assert sync.announced_interval_s == 0.125


def test_a_loss_does_not_change_the_mean_interval() -> None:
    script = Script()
    script.turns(40)
    frames = [(at, frame) for at, frame in script.frames if frame[42] & 15 != ANNOUNCE or number_of(frame) % 3]
    announce = stream_of(watch(frames), "Announce")
    assert announce.lost == 12  # of the 14 that are left out, the first and the last are at the ends
    assert announce.interval_s == pytest.approx(0.125, abs=1e-6)


def test_the_answers_to_many_slaves_are_no_stream_of_their_own_interval() -> None:
    """logMessageInterval of a Delay_Resp is how often each slave may ask (clause 9.5.11.2)."""
    script = Script()
    for _ in range(20):
        script.announce()
        script.sync()
        for slave in range(4):
            at_ns = script.now_ns + 10**6 * (slave + 1)
            request = ptp(DELAY_REQ, bytes(10), number=script.number, clock=slave + 1, log=0x7F)
            script.passes(at_ns, 319, request, CLIENT)
            told = stamp(script.master_time(at_ns + 1000)) + struct.pack(">QH", slave + 1, 1)
            script.passes(at_ns + 20_000, 320, ptp(DELAY_RESP, told, number=script.number, log=-3))
        script.step()
    report = watch(script.frames)
    assert found(report) == {}
    assert len(report.exchanges) == 4
    assert stream_of(report, "Delay_Resp").announced_interval_s is None


def test_a_slave_that_asks_faster_than_it_may_is_found() -> None:
    script = Script(interval_ns=31_250_000, log=-3)
    script.turns(20)
    subjects = [each.subject for each in watch(script.frames).findings if each.name == "interval_not_as_announced"]
    assert "Delay_Req of 00aabb.fffe.ccddee-1 domain 0" in subjects


def test_swapped_flag_octets_are_found_and_the_sync_is_used() -> None:
    script = Script(ahead_ns=4242, sync_flags=0x0002, flags=0x0C00 | 0x1000)
    script.turns(12)
    report = watch(script.frames, timescale="tai", leaps=LEAPS)
    assert found(report)["flag_octets_swapped"] == 24
    (pair,) = report.exchanges
    assert pair.best_offset_s == pytest.approx(4242e-9, abs=1e-12)


def test_a_two_step_sync_without_its_flag_is_found() -> None:
    script = Script(sync_flags=0)
    script.turns(12)
    assert found(watch(script.frames))["two_step_flag_missing"] == 12


def test_contradicting_leap_flags_are_found() -> None:
    script = Script(flags=0x000F)
    script.turns(3)
    assert found(watch(script.frames))["leap_flags_contradict"] == 3


def test_an_unknown_tlv_is_told_and_the_message_is_used() -> None:
    script = Script()
    script.turns(2)
    tlv = struct.pack(">HH4s", 0x2F00, 4, b"what")
    message = ptp(ANNOUNCE, announce_body() + tlv, number=script.number, flags=0xC, log=-3)
    script.passes(script.now_ns, 320, message)
    report = watch(script.frames)
    assert found(report) == {"unknown_tlv": 1}
    assert report.masters[0].announces == 3
    assert report.domains[0].tlvs == {"0x2f00": 1}


def test_malformed_messages_are_told_with_their_sender() -> None:
    script = Script()
    script.turns(2)
    script.passes(script.now_ns, 320, ptp(ANNOUNCE, bytes(7)))
    script.passes(script.now_ns, 320, ptp(ANNOUNCE, announce_body() + b"\x00\x03\x00\xff"))
    script.passes(script.now_ns, 320, b"\x0b\x02\x00")
    report = watch(script.frames)
    assert found(report) == {"malformed": 3}
    assert any("001122.fffe.334455-1 domain 0" in each.subject for each in report.findings)
    assert report.passed_over == {"malformed": 3}


def test_version_1_is_told_apart() -> None:
    assert found(watch([(AT_NS, udp4(320, ptp(0, bytes(90), version=1)))])) == {"old_version": 1}


def test_an_impossible_timestamp_is_found_and_not_used() -> None:
    script = Script()
    script.turns(3)
    script.passes(script.now_ns, 319, ptp(SYNC, bytes(10), number=script.number, flags=0x200, log=-3))
    wrong = struct.pack(">HII", 0, 1795000000, 10**9)
    script.passes(script.now_ns + 10, 320, ptp(FOLLOW_UP, wrong, number=script.number, log=-3))
    report = watch(script.frames)
    assert found(report) == {"invalid_timestamp": 1}


def test_questions_without_answers_and_answers_without_questions_are_found() -> None:
    script = Script()
    script.turns(10)
    script.announce()
    script.sync()
    script.ask(answer=False)
    script.step()
    script.announce()
    script.sync()
    script.ask(answer_number=script.number + 77)
    script.step()
    script.turns(20)
    report = watch(script.frames)
    assert found(report) == {"request_unanswered": 2, "response_without_request": 1}
    (asker,) = report.requesters
    assert (asker.requests, asker.answered, asker.unanswered) == (32, 30, 2)


def test_a_direction_that_is_not_captured_is_no_fault() -> None:
    script = Script(interval_ns=10**9, log=0)
    script.turns(20)
    answers = [(at, frame) for at, frame in script.frames if frame[42] & 15 != DELAY_REQ]
    assert found(watch(answers)) == {}
    questions = [(at, frame) for at, frame in script.frames if frame[42] & 15 != DELAY_RESP]
    report = watch(questions)
    assert found(report) == {}
    assert report.requesters[0].unanswered == 18  # the last two are no older than a second


def test_an_answer_twice_is_found() -> None:
    script = Script()
    script.turns(4)
    at_ns, answer = script.frames[-1]
    changed = bytearray(answer)
    changed[42 + 34 + 9] ^= 1  # another receive timestamp
    script.frames.append((at_ns + 5, bytes(changed)))
    assert found(watch(script.frames)) == {"response_repeated": 1}


def test_an_answer_before_its_question_could_arrive_is_impossible() -> None:
    script = Script(from_master_ns=-30_000, to_master_ns=-30_000)
    script.turns(3)
    report = watch(script.frames)
    assert found(report)["impossible_delay"] == 3
    assert report.exchanges == ()


def test_two_masters_at_once_are_told_and_the_better_one_is_named() -> None:
    one, other = Script(), Script()
    for _ in range(12):
        one.turn(ask=False)
        body = announce_body(priority1=100, clock=0x77)
        message = ptp(ANNOUNCE, body, number=other.number, clock=0x77, log=-3, flags=0xC)
        one.passes(one.now_ns, 320, message)
        other.step()
    report = watch(one.frames)
    assert found(report) == {"several_masters": 1}
    best = {master.port: master.best for master in report.masters}
    assert best == {"001122.fffe.334455-1": False, "000000.0000.000077-1": True}


def test_a_silent_master_is_found_unless_another_took_over() -> None:
    script = Script()
    script.turns(6)
    script.now_ns += 5 * 10**9
    script.turns(2)
    assert found(watch(script.frames))["master_silent"] == 1
    script = Script()
    script.turns(6)
    for _ in range(20):
        body = announce_body(clock=0x77)
        script.passes(script.now_ns, 320, ptp(ANNOUNCE, body, number=script.number, clock=0x77, log=-3, flags=0xC))
        script.step()
    assert found(watch(script.frames)) == {}


def test_a_change_of_what_a_master_says_is_told() -> None:
    script = Script()
    script.turns(3)
    body = announce_body(clock_class=7)
    script.passes(script.now_ns, 320, ptp(ANNOUNCE, body, number=script.number, log=-3, flags=0xC))
    report = watch(script.frames)
    assert found(report) == {"master_changed": 1}
    assert report.masters[0].changes[0][1] == "clock_class 6 -> 7"


def test_sync_without_announce_is_found() -> None:
    script = Script()
    for _ in range(3):
        script.sync()
        script.step()
    assert found(watch(script.frames)) == {"sync_without_announce": 1}


def test_a_capture_whose_time_goes_back_says_so() -> None:
    script = Script()
    script.turns(3)
    frames = [*script.frames, (AT_NS - 10**9, script.frames[0][1])]
    assert "capture_time_backwards" in found(watch(frames))


# --- peer delay, unicast, places ----------------------------------------------------------------------------------------


def peer_frames(count: int, *, ahead_ns: int, one_step: bool = False, sdo: int = 0) -> list[tuple[int, bytes]]:
    """A peer that answers 400 ns from the capture point; it holds each question for 5 us."""
    frames = []
    to, flags = "01:80:c2:00:00:0e", 0 if one_step else 0x200
    whose = struct.pack(">QH", SLAVE, 1)
    for number in range(count):
        at_ns = AT_NS + number * 10**9
        reached, left = at_ns + 400 + ahead_ns, at_ns + 5400 + ahead_ns
        request = ptp(PDELAY_REQ, bytes(20), number=number, clock=SLAVE, log=0x7F, sdo=sdo)
        told, held = (bytes(10), 5000 << 16) if one_step else (stamp(reached), 0)
        response = ptp(PDELAY_RESP, told + whose, number=number, flags=flags, correction=held, log=0x7F, sdo=sdo)
        frames += [(at_ns, l2(request, to)), (at_ns + 5800, l2(response, to))]
        if not one_step:
            after = ptp(PDELAY_FOLLOW_UP, stamp(left) + whose, number=number, log=0x7F, sdo=sdo)
            frames.append((at_ns + 9000, l2(after, to)))
    return frames


def test_a_peer_that_answers_shows_its_own_clock() -> None:
    report = watch(peer_frames(8, ahead_ns=-123_456), timescale="utc")
    (pair,) = report.exchanges
    assert (pair.mechanism, pair.timescale) == ("p2p", "utc")
    assert pair.best_offset_s == pytest.approx(-123_456e-9, abs=1e-12)
    assert pair.round_trip.mean_s == pytest.approx(800e-9, abs=1e-12)
    assert found(report) == {}


def test_a_one_step_peer_shows_only_its_distance() -> None:
    (pair,) = watch(peer_frames(8, ahead_ns=0, one_step=True)).exchanges
    assert pair.offset is None
    assert pair.best_offset_s is None
    assert pair.round_trip.mean_s == pytest.approx(800e-9, abs=1e-12)
    assert "only the delay" in pair.note


def test_a_gptp_peer_is_on_a_clock_of_its_own() -> None:
    (pair,) = watch(peer_frames(8, ahead_ns=5, sdo=1)).exchanges
    assert pair.timescale == "local"


def test_a_missing_peer_follow_up_is_a_question_left_open() -> None:
    frames = peer_frames(8, ahead_ns=0)
    del frames[5]
    report = watch(frames)
    assert report.exchanges[0].exchanges == 7


def test_unicast_intervals_are_those_of_the_grants() -> None:
    grant = struct.pack(">HHBbIBB", 5, 8, SYNC << 4, -4, 300, 0, 1) + struct.pack(">HHBbIBB", 5, 8, 0xB0, 0, 0, 0, 0)
    frames = [(AT_NS, udp4(320, ptp(SIGNALING, struct.pack(">QH", SLAVE, 1) + grant, log=0x7F), SERVER, CLIENT))]
    for number in range(40):
        message = ptp(SYNC, stamp(AT_NS), number=number, flags=0x400, log=0x7F)
        frames.append((AT_NS + number * 62_500_000, udp4(319, message, SERVER, CLIENT)))
    report = watch(frames)
    sync = stream_of(report, "Sync")
    assert (sync.announced_interval_s, sync.announced_by) == (0.0625, "grant")
    names = found(report)
    assert names.pop("sync_without_announce") == 1
    assert names == {"unicast_refused": 1}
    assert report.masters[0].unicast


def test_one_pool_of_numbers_for_several_slaves_is_no_loss() -> None:
    """linuxptp counts its unicast messages through, whoever they go to."""
    frames = []
    for number in range(60):
        to = f"10.0.0.{10 + number % 3}"
        body = announce_body()
        frames.append(
            (AT_NS + number * 10**7, udp4(320, ptp(ANNOUNCE, body, number=number, flags=0x40C, log=0x7F), SERVER, to))
        )
    report = watch(frames)
    assert found(report) == {}
    assert len(report.streams) == 3


def test_the_same_port_on_two_vlans_is_two_masters() -> None:
    script = Script()
    script.turns(6)
    both = [(at, tagged) for at, frame in script.frames for tagged in (vlan(frame, 10), vlan(frame, 20))]
    report = watch(both)
    assert sorted(master.vlans for master in report.masters) == [(10,), (20,)]
    assert found(report) == {}


def test_ipv6_is_followed() -> None:
    frames = [(AT_NS + n * 10**9, udp6(320, ptp(ANNOUNCE, announce_body(), number=n, flags=0xC))) for n in range(4)]
    report = watch(frames)
    assert report.masters[0].transport == "udp6"
    assert stream_of(report, "Announce").interval_s == pytest.approx(1.0)


def test_offsets_are_exact_to_the_nanosecond_at_the_present_epoch() -> None:
    """A float of Unix seconds would resolve 238 ns."""
    script = Script(ahead_ns=1, from_master_ns=0, to_master_ns=0)
    script.turns(3)
    (pair,) = watch(script.frames).exchanges
    assert pair.best_offset_s == 1e-9


def test_more_ports_than_are_followed_are_told() -> None:
    frames = [(AT_NS + n, udp4(320, ptp(ANNOUNCE, announce_body(), clock=n + 1, flags=0xC))) for n in range(1100)]
    report = watch(frames)
    assert len(report.masters) == 1024
    assert found(report)["too_many"] == 76


def test_every_name_has_its_meaning() -> None:
    assert set(MEANINGS) == set(FindingName)
    assert all(meaning.text and meaning.remedy for meaning in MEANINGS.values())
