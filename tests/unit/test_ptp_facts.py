"""What an Announce says, and how a master's time is read: IEEE 1588-2019 clauses 7.2.4, 7.6.2.6 and table 37."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timesync.exchange.ptp import MasterKey
from timesync.exchange.ptp_facts import CLOCK_ACCURACY_S, facts_of, reading_of
from timesync.leapseconds import embedded_leap_table
from timesync.reasons import Reason
from timesync.wire.ptp.header import PortIdentity, Timestamp
from timesync.wire.ptp.message import Announce

LEAPS = embedded_leap_table()
AT_NS = 1_700_000_000_000_000_000  # 2023-11-14, TAI - UTC = 37 s
KEY = MasterKey(24, 0, PortIdentity(0x001122FFFE334455, 2))
ANNOUNCE = Announce(Timestamp(0, 0), 37, 100, 6, 0x21, 0x4E5D, 90, 0xAABBCCFFFEDDEEFF, 1, 0x20)
VALID, PTP, TRACEABLE, LEAP_61, LEAP_59 = 0x4, 0x8, 0x30, 0x1, 0x2


@pytest.mark.parametrize(
    ("code", "limit_s"),
    [(0x17, 1e-12), (0x1F, 10e-9), (0x20, 25e-9), (0x23, 1e-6), (0x29, 1e-3), (0x2F, 1.0), (0x30, 10.0)],
)
def test_clock_accuracy_is_read_by_table_5(code: int, limit_s: float) -> None:
    assert CLOCK_ACCURACY_S[code] == pytest.approx(limit_s)


@pytest.mark.parametrize("code", [0x00, 0x16, 0x31, 0xFE, 0xFF])
def test_codes_that_name_no_limit_give_none(code: int) -> None:
    facts = facts_of(KEY, replace(ANNOUNCE, clock_accuracy=code), 0, "ptp", two_step=True)
    assert facts.clock_accuracy == code
    assert facts.clock_accuracy_s is None
    assert facts.upstream_s == 0.0


def test_utc_is_had_by_the_announced_offset_where_both_flags_say_so() -> None:
    assert reading_of(ANNOUNCE, VALID | PTP, "announced", LEAPS, AT_NS) == ("ptp", 37 * 10**9, None)
    # What the master says goes before what was declared for one that says nothing.
    assert reading_of(ANNOUNCE, VALID | PTP, "utc", LEAPS, AT_NS).timescale == "ptp"


@pytest.mark.parametrize("flags", [0, VALID, PTP])
def test_without_one_of_the_flags_the_scale_is_arbitrary_and_nothing_is_claimed(flags: int) -> None:
    assert reading_of(ANNOUNCE, flags, "announced", LEAPS, AT_NS) == ("arbitrary", 0, Reason.ARBITRARY_TIMESCALE)


def test_what_the_operator_declared_holds_for_an_arbitrary_scale() -> None:
    assert reading_of(ANNOUNCE, 0, "utc", LEAPS, AT_NS) == ("utc", 0, None)
    assert reading_of(None, 0, "tai", LEAPS, AT_NS) == ("tai", 37 * 10**9, None)


def test_all_that_is_announced_becomes_a_fact() -> None:
    facts = facts_of(KEY, ANNOUNCE, VALID | PTP | TRACEABLE | LEAP_61, "ptp", two_step=False)
    assert (facts.port_identity, facts.domain) == ("001122.fffe.334455-2", 24)
    assert facts.grandmaster == "aabbcc.fffe.ddeeff"
    assert (facts.clock_class, facts.clock_accuracy_s, facts.priority1, facts.priority2) == (6, 100e-9, 100, 90)
    assert (facts.utc_offset_s, facts.utc_offset_valid, facts.time_traceable) == (37, True, True)
    assert (facts.two_step, facts.leap, facts.upstream_s) == (False, 1, 100e-9)
    assert facts_of(KEY, ANNOUNCE, LEAP_59, "arbitrary", two_step=None).leap == 2


def test_without_an_announce_only_the_port_is_known() -> None:
    facts = facts_of(KEY, None, 0, "arbitrary", two_step=True)
    assert facts.port_identity == "001122.fffe.334455-2"
    assert facts.clock_class is None
    assert facts.leap is None
