"""The PTP listener against masters written for the test: octets by struct, not by the codec under test."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest

from timesync.exchange.ntp import Stamp
from timesync.exchange.ptp import (
    MASTERS_LIMIT,
    Appeared,
    BestChanged,
    Changed,
    MasterKey,
    PtpListener,
    PtpMeasured,
    PtpMissed,
    PtpRefused,
    Stepped,
    Vanished,
)
from timesync.model import Timestamping
from timesync.reasons import Reason
from timesync.wire.ptp.header import PortIdentity

T0 = 1_795_000_000_000_000_000
US = PortIdentity(0xAABBCCFFFEDDEEFF, 1)
SYNC, DELAY_REQ, FOLLOW_UP, DELAY_RESP, ANNOUNCE = 0x0, 0x1, 0x8, 0x9, 0xB
TWO_STEP = 0x0200


def kernel(at_ns: int) -> Stamp:
    return Stamp(at_ns, Timestamping.KERNEL)


@dataclass
class Master:
    """A grandmaster: its clock is `ahead_ns` ahead of ours, the path takes `out_ns` to it and `back_ns` from it."""

    clock: int = 0x001122FFFE334455
    domain: int = 0
    ahead_ns: int = 0
    out_ns: int = 5_000
    back_ns: int = 5_000
    priority1: int = 128
    clock_class: int = 6
    steps_removed: int = 0
    flags: int = 0x000C
    sequence: int = field(default=0)

    def header(
        self, kind: int, length: int, sequence: int, *, flags: int = 0, correction: int = 0, log: int = 0
    ) -> bytes:
        return struct.pack(
            ">BBHBBHqIQHHBb", kind, 0x12, length, self.domain, 0, flags, correction, 0, self.clock, 1, sequence, 0, log
        )

    def stamp(self, at_ns: int) -> bytes:
        seconds, nanoseconds = divmod(at_ns, 10**9)
        return struct.pack(">HII", seconds >> 32, seconds & 0xFFFFFFFF, nanoseconds)

    def announce(self, log: int = 1) -> bytes:
        body = struct.pack(
            ">hBBBBHBQHB",
            37,
            0,
            self.priority1,
            self.clock_class,
            0x21,
            0x4E5D,
            128,
            self.clock,
            self.steps_removed,
            0x20,
        )
        return self.header(ANNOUNCE, 64, 1, flags=self.flags, log=log) + bytes(10) + body

    def sync(self, sent_ns: int, *, correction: int = 0, one_step: bool = False) -> tuple[bytes, Stamp]:
        """A Sync that leaves at a true instant, and when it comes."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        flags = 0 if one_step else TWO_STEP
        body = self.stamp(sent_ns + self.ahead_ns if one_step else 0)
        data = self.header(SYNC, 44, self.sequence, flags=flags, correction=correction) + body
        return data, kernel(sent_ns + self.back_ns)

    def follow_up(self, sent_ns: int, *, correction: int = 0) -> bytes:
        return self.header(FOLLOW_UP, 44, self.sequence, correction=correction) + self.stamp(sent_ns + self.ahead_ns)

    def delay_resp(self, request: bytes, left_ns: int, *, correction: int = 0, to: PortIdentity = US) -> bytes:
        (sequence,) = struct.unpack_from(">H", request, 30)
        asked = struct.pack(">QH", to.clock, to.port)
        return (
            self.header(DELAY_RESP, 54, sequence, correction=correction)
            + self.stamp(left_ns + self.out_ns + self.ahead_ns)
            + asked
        )

    @property
    def key(self) -> MasterKey:
        return MasterKey(self.domain, 0, PortIdentity(self.clock, 1))


def measure(listener: PtpListener, *masters: Master, now_s: float = 100.0) -> list[PtpMeasured | PtpMissed]:
    """One whole poll: Sync and Follow_Up of each, our question, each one's answer."""
    for master in masters:
        data, came = master.sync(T0)
        listener.received(data, came, now_s)
        listener.received(master.follow_up(T0), came, now_s)
    domain = masters[0].domain
    request = listener.ask(domain)
    listener.asked(domain, kernel(T0 + 20_000))
    for master in masters:
        listener.received(master.delay_resp(request, T0 + 20_000), kernel(T0 + 40_000), now_s)
    return list(listener.account(domain, now_s))


def offset_ns(result: PtpMeasured | PtpMissed) -> float:
    assert isinstance(result, PtpMeasured), result
    return ((result.t2_ns - result.t1.at_ns) + (result.t3_ns - result.t4.at_ns)) / 2


@pytest.mark.parametrize(("out_ns", "back_ns", "error_ns"), [(5_000, 5_000, 0), (9_000, 1_000, 4_000)])
def test_the_offset_is_master_minus_us_and_half_the_asymmetry(out_ns: int, back_ns: int, error_ns: int) -> None:
    master = Master(ahead_ns=1_500_000, out_ns=out_ns, back_ns=back_ns)
    (result,) = measure(PtpListener(US), master)
    assert offset_ns(result) == 1_500_000 + error_ns


def test_every_master_of_a_domain_is_measured_with_one_question() -> None:
    one, other = Master(ahead_ns=1_000), Master(clock=2, ahead_ns=-7_000)
    results = measure(PtpListener(US), one, other)
    assert [offset_ns(result) for result in results] == [1_000, -7_000]
    assert [result.key for result in results] == [one.key, other.key]


def test_domains_are_kept_apart() -> None:
    listener = PtpListener(US)
    one, other = Master(ahead_ns=0), Master(domain=24, ahead_ns=1_500_000)
    listener.received(*other.sync(T0), 100.0)
    (first,) = measure(listener, one)
    (second,) = measure(listener, other)
    assert (offset_ns(first), offset_ns(second)) == (0, 1_500_000)


def test_corrections_count_in_both_directions_with_their_sign() -> None:
    # A transparent clock held the Sync for 3 us and the Delay_Req for 8 us; 2^16 units are one ns.
    listener, master = PtpListener(US), Master(out_ns=5_000 + 8_000, back_ns=5_000 + 3_000)
    data, came = master.sync(T0, correction=2_000 << 16)
    listener.received(data, came, 0.0)
    listener.received(master.follow_up(T0, correction=1_000 << 16), came, 0.0)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    listener.received(master.delay_resp(request, T0, correction=8_000 << 16), kernel(T0), 0.0)
    (result,) = listener.account(0, 0.0)
    assert offset_ns(result) == 0
    assert isinstance(result, PtpMeasured)
    assert (result.t4.at_ns - result.t1.at_ns) - (result.t3_ns - result.t2_ns) == 10_000


def test_a_one_step_sync_needs_no_follow_up() -> None:
    listener, master = PtpListener(US), Master(ahead_ns=250)
    listener.received(*master.sync(T0, one_step=True), 0.0)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    listener.received(master.delay_resp(request, T0), kernel(T0), 0.0)
    (result,) = listener.account(0, 0.0)
    assert offset_ns(result) == 250


def test_a_follow_up_that_comes_before_its_sync_is_matched() -> None:
    listener, master = PtpListener(US), Master(ahead_ns=250)
    data, came = master.sync(T0)
    listener.received(master.follow_up(T0), came, 0.0)
    listener.received(data, came, 0.0)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    listener.received(master.delay_resp(request, T0), kernel(T0), 0.0)
    assert offset_ns(listener.account(0, 0.0)[0]) == 250


def test_a_follow_up_of_another_sync_is_not_matched() -> None:
    listener, master = PtpListener(US), Master()
    data, came = master.sync(T0)
    listener.received(data, came, 0.0)
    master.sequence += 1
    listener.received(master.follow_up(T0), came, 0.0)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    listener.received(master.delay_resp(request, T0), kernel(T0), 0.0)
    (result,) = listener.account(0, 0.0)
    assert isinstance(result, PtpMissed)
    assert result.reason is Reason.NO_FOLLOW_UP


def test_what_is_missing_has_a_name() -> None:
    listener, master = PtpListener(US), Master()
    assert listener.account(0, 0.0) == []
    listener.received(master.announce(), kernel(T0), 0.0)
    (silent,) = listener.account(0, 0.0)
    assert isinstance(silent, PtpMissed)
    assert silent.reason is Reason.NO_SYNC
    data, came = master.sync(T0)
    listener.received(data, came, 0.0)
    listener.received(master.follow_up(T0), came, 0.0)
    listener.ask(0)
    (deaf,) = listener.account(0, 0.0)
    assert isinstance(deaf, PtpMissed)
    assert deaf.reason is Reason.NO_DELAY_RESPONSE


def test_a_sync_is_used_once() -> None:
    listener, master = PtpListener(US), Master()
    measure(listener, master)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    listener.received(master.delay_resp(request, T0), kernel(T0), 101.0)
    (result,) = listener.account(0, 101.0)
    assert isinstance(result, PtpMissed)
    assert result.reason is Reason.NO_SYNC


def test_answers_to_others_and_to_old_questions_are_not_ours() -> None:
    listener, master = PtpListener(US), Master()
    data, came = master.sync(T0)
    listener.received(data, came, 0.0)
    listener.received(master.follow_up(T0), came, 0.0)
    old = listener.ask(0)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    assert listener.received(master.delay_resp(request, T0, to=PortIdentity(5, 1)), kernel(T0), 0.0) == ()
    (late,) = listener.received(master.delay_resp(old, T0), kernel(T0), 0.0)
    assert isinstance(late, PtpRefused)
    assert late.reason is Reason.LATE
    (stranger,) = listener.received(Master(clock=9).delay_resp(request, T0), kernel(T0), 0.0)
    assert isinstance(stranger, PtpRefused)
    assert stranger.reason is Reason.WRONG_SOURCE
    (result,) = listener.account(0, 0.0)
    assert isinstance(result, PtpMissed)


def test_a_second_answer_is_a_duplicate_and_the_first_counts() -> None:
    listener, master = PtpListener(US), Master()
    data, came = master.sync(T0)
    listener.received(data, came, 0.0)
    listener.received(master.follow_up(T0), came, 0.0)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    listener.received(master.delay_resp(request, T0), kernel(T0), 0.0)
    (again,) = listener.received(master.delay_resp(request, T0 + 999), kernel(T0), 0.0)
    assert isinstance(again, PtpRefused)
    assert again.reason is Reason.DUPLICATE
    assert offset_ns(listener.account(0, 0.0)[0]) == 0


def test_a_sync_that_repeats_or_goes_back_is_refused_and_lost_ones_are_counted() -> None:
    listener, master = PtpListener(US), Master()
    data, came = master.sync(T0)
    listener.received(data, came, 0.0)
    (again,) = listener.received(data, came, 0.0)
    assert isinstance(again, PtpRefused)
    master.sequence += 3
    listener.received(*master.sync(T0), 0.0)
    assert listener.masters[master.key].syncs_missed == 3


def test_a_master_that_begins_to_count_anew_is_heard_from_its_second_sync() -> None:
    listener, master = PtpListener(US), Master(sequence=20_000)
    listener.received(*master.sync(T0), 0.0)
    master.sequence = 0
    (first,) = listener.received(*master.sync(T0 + 10**9, one_step=True), 1.0)
    assert isinstance(first, PtpRefused)
    assert listener.received(*master.sync(T0 + 2 * 10**9, one_step=True), 2.0) == []
    assert listener.masters[master.key].last_sync_sequence == 2


def test_no_more_masters_are_followed_than_the_memory_is_for() -> None:
    listener = PtpListener(US)
    for clock in range(MASTERS_LIMIT):
        listener.received(Master(clock=clock + 1).announce(), kernel(T0), 0.0)
    (event,) = listener.received(Master(clock=10**6).announce(), kernel(T0), 0.0)
    assert isinstance(event, PtpRefused)
    assert event.reason is Reason.TOO_MANY_MASTERS
    assert len(listener.masters) == MASTERS_LIMIT


def test_what_was_stamped_before_a_step_of_our_clock_is_forgotten() -> None:
    listener, master = PtpListener(US), Master()
    listener.received(*master.sync(T0, one_step=True), 0.0)
    request = listener.ask(0)
    listener.asked(0, kernel(T0))
    listener.restart()
    (late,) = listener.received(master.delay_resp(request, T0), kernel(T0), 0.0)
    assert isinstance(late, PtpRefused)
    (result,) = listener.account(0, 0.0)
    assert isinstance(result, PtpMissed)


def test_a_new_master_is_settled_when_it_counts_or_has_had_the_time_to() -> None:
    listener, master, silent = PtpListener(US), Master(), Master(clock=3)
    for now_s in (0.0, 1.0):
        listener.received(master.announce(), kernel(T0), now_s)
    listener.received(*silent.sync(T0), 1.0)
    assert listener.masters[master.key].settled(1.0)
    assert not listener.masters[silent.key].settled(2.0)
    assert listener.masters[silent.key].settled(8.0)


def test_the_better_stamp_of_our_request_counts() -> None:
    listener, master = PtpListener(US), Master()
    listener.received(*master.sync(T0, one_step=True), 0.0)
    request = listener.ask(0)
    listener.asked(0, Stamp(T0, Timestamping.USER))
    listener.received(master.delay_resp(request, T0 + 700), kernel(T0), 0.0)
    listener.asked(0, kernel(T0 + 700))
    assert offset_ns(listener.account(0, 0.0)[0]) == 0


def test_a_master_counts_after_two_announces_and_the_best_is_chosen_by_the_data_set() -> None:
    listener = PtpListener(US)
    good, better = Master(clock=7, priority1=128), Master(clock=9, priority1=100)
    assert [type(event) for event in listener.received(good.announce(), kernel(T0), 0.0)] == [Appeared]
    assert listener.best(0) is None
    assert listener.received(good.announce(), kernel(T0), 1.0) == [BestChanged(0, 0, None, good.key)]
    listener.received(better.announce(), kernel(T0), 1.0)
    assert listener.received(better.announce(), kernel(T0), 2.0) == [BestChanged(0, 0, good.key, better.key)]


@pytest.mark.parametrize(
    ("change", "what"),
    [({"clock_class": 7}, "clock_class"), ({"flags": 0x0008}, "flags"), ({"steps_removed": 1}, "steps_removed")],
)
def test_what_a_master_announces_anew_is_told(change: dict[str, int], what: str) -> None:
    listener, master = PtpListener(US), Master()
    listener.received(master.announce(), kernel(T0), 0.0)
    for name, value in change.items():
        setattr(master, name, value)
    events = listener.received(master.announce(), kernel(T0), 1.0)
    assert [event.what for event in events if isinstance(event, Changed)] == [what]


def test_an_alternate_master_is_measured_and_never_chosen() -> None:
    listener, master = PtpListener(US), Master(flags=0x010C, ahead_ns=42)
    for now_s in (0.0, 1.0, 2.0):
        listener.received(master.announce(), kernel(T0), now_s)
    assert listener.best(0) is None
    assert offset_ns(measure(listener, master)[0]) == 42


def test_a_master_that_vanishes_is_told_and_comes_back() -> None:
    listener, master = PtpListener(US), Master()
    for now_s in (0.0, 2.0):
        listener.received(master.announce(log=1), kernel(T0), now_s)
    assert listener.tick(7.9) == []
    assert listener.tick(8.1) == [Vanished(master.key, pytest.approx(6.1)), BestChanged(0, 0, master.key, None)]
    assert listener.received(master.announce(), kernel(T0), 9.0) == [Appeared(master.key)]


def test_our_own_multicast_is_not_a_master() -> None:
    listener = PtpListener(US)
    master = Master(clock=US.clock)
    assert listener.received(master.sync(T0)[0], kernel(T0), 0.0) == []
    assert not listener.masters


def test_octets_that_are_no_message_are_refused_by_name() -> None:
    listener = PtpListener(US)
    (event,) = listener.received(b"\x00\x02", kernel(T0), 0.0)
    assert isinstance(event, PtpRefused)
    assert event.reason is Reason.MALFORMED
    assert listener.refused[Reason.MALFORMED] == 1


def test_a_question_to_each_master_is_answered_by_that_one_alone() -> None:
    """Hybrid mode: each Delay_Req is flagged unicast and has a sequence number of its own."""
    listener = PtpListener(US)
    one, other = Master(clock=1), Master(clock=2, ahead_ns=7_000)
    for master in (one, other):
        listener.received(master.announce(), kernel(T0), 0.0)
        listener.received(*master.sync(T0), 0.0)
        listener.received(master.follow_up(T0), kernel(T0), 0.0)
    listener.begin(0)
    ports = (PortIdentity(1, 1), PortIdentity(2, 1))
    questions = {port: listener.question(0, flags=0x0400, to=port) for port in ports}
    sequences = {port.clock: struct.unpack_from(">H", data, 30)[0] for port, data in questions.items()}
    assert len(set(sequences.values())) == 2
    assert all(struct.unpack_from(">H", data, 6)[0] == 0x0400 for data in questions.values())
    for port in questions:
        listener.asked(0, kernel(T0 + port.clock), sequence_id=sequences[port.clock])

    def answer(master: Master, sequence: int) -> bytes:
        body = master.stamp(T0 + 5_000 + master.ahead_ns) + struct.pack(">QH", US.clock, US.port)
        return master.header(DELAY_RESP, 54, sequence) + body

    (stolen,) = listener.received(answer(other, sequences[1]), kernel(T0), 0.0)
    assert isinstance(stolen, PtpRefused)
    assert stolen.reason is Reason.WRONG_SOURCE
    for master in (one, other):
        assert listener.received(answer(master, sequences[master.clock]), kernel(T0), 0.0) == ()
    results = listener.account(0, 0.0)
    assert [result.t1.at_ns - T0 for result in results if isinstance(result, PtpMeasured)] == [1, 2]


def test_of_questions_that_leave_together_the_fastest_counts() -> None:
    """The first waits 4 us on its way: half of that would be in the offset, and all of it in the delay."""
    listener = PtpListener(US)
    master = Master()
    listener.received(master.announce(), kernel(T0), 0.0)
    listener.received(*master.sync(T0), 0.0)
    listener.received(master.follow_up(T0), kernel(T0), 0.0)
    listener.begin(0)
    questions = [listener.question(0) for _ in range(2)]
    for data, left_ns, waits_ns in zip(questions, (T0, T0 + 30_000), (4_000, 0), strict=True):
        listener.asked(0, kernel(left_ns), sequence_id=struct.unpack_from(">H", data, 30)[0])
        assert not listener.answered(0)
        assert listener.received(master.delay_resp(data, left_ns + waits_ns), kernel(left_ns), 0.0) == ()
    assert listener.answered(0)
    (result,) = listener.account(0, 0.0)
    assert isinstance(result, PtpMeasured)
    assert result.t1.at_ns == T0 + 30_000
    assert offset_ns(result) == 0


def test_a_step_of_a_gptp_grandmaster_is_told_by_its_indicator() -> None:
    """IEEE 802.1AS-2020 clause 11.4.4.3: organizationId 00-80-C2, subtype 1; 96 bits of phase in 2^-16 ns, frequency in 2^-41."""
    listener = PtpListener(US)
    master = Master(clock=1)

    def informed(indicator: int, phase_ns: int, frequency: int) -> bytes:
        tlv = struct.pack(">HH", 3, 28) + bytes.fromhex("0080c2000001") + struct.pack(">iH", 1 << 21, indicator)
        tlv += (phase_ns << 16).to_bytes(12, "big", signed=True) + struct.pack(">i", frequency)
        return master.header(FOLLOW_UP, 76, 1) + master.stamp(T0) + tlv

    listener.received(master.announce(), kernel(T0), 0.0)
    assert listener.received(informed(3, 0, 0), kernel(T0), 0.0) == []
    assert listener.received(informed(3, 0, 0), kernel(T0), 0.0) == []
    (step,) = listener.received(informed(4, -250, 1 << 11), kernel(T0), 0.0)
    assert isinstance(step, Stepped)
    assert (step.old.gm_time_base_indicator, step.new.gm_time_base_indicator) == (3, 4)
    assert step.new.last_gm_phase_change_s == pytest.approx(-250e-9)
    assert step.new.last_gm_freq_change == pytest.approx(2.0**-30)
    assert step.new.rate_ratio == pytest.approx(1 + 2.0**-20)
