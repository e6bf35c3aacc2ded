"""Negotiated unicast against a master written for the test: IEEE 1588-2019 clause 16.1, octets by struct."""

from __future__ import annotations

import struct

from timesync.exchange.ptp_unicast import DURATION_S, RETRY_S, UnicastNegotiation
from timesync.wire.ptp.header import PortIdentity

US = PortIdentity(0xAABBCCFFFEDDEEFF, 7)
ANNOUNCE, SYNC, DELAY_RESP = 0xB, 0x0, 0x9
REQUEST, GRANT, CANCEL, ACKNOWLEDGE = 4, 5, 6, 7


def signaling(*tlvs: bytes, to: PortIdentity = US) -> bytes:
    content = struct.pack(">QH", to.clock, to.port) + b"".join(tlvs)
    header = struct.pack(
        ">BBHBBHqIQHHBb", 0xC, 2, 34 + len(content), 0, 0, 0x0400, 0, 0, 0x001122FFFE334455, 1, 9, 5, 0x7F
    )
    return header + content


def grant(kind: int, duration_s: int = DURATION_S) -> bytes:
    return struct.pack(">HHBbIBB", GRANT, 8, kind << 4, 0, duration_s, 0, 1)


def asked(messages: list[bytes]) -> list[tuple[int, int]]:
    """TLV type and message type of each Signaling, after a look at its header."""
    found = []
    for data in messages:
        assert data[0] & 0x0F == 0xC
        assert data[6] & 0x04, "the unicast flag"
        assert struct.unpack_from(">QH", data, 34) == ((1 << 64) - 1, 0xFFFF)
        kind, _ = struct.unpack_from(">HH", data, 44)
        found.append((kind, data[48] >> 4))
    return found


def granted() -> UnicastNegotiation:
    negotiation = UnicastNegotiation(US, 0)
    negotiation.due(0.0)
    for kind in (ANNOUNCE, SYNC, DELAY_RESP):
        assert negotiation.received(signaling(grant(kind)), 0.0) == []
    return negotiation


def test_announce_sync_and_answers_are_asked_for() -> None:
    negotiation = UnicastNegotiation(US, 0)
    assert sorted(asked(list(negotiation.due(0.0)))) == [(REQUEST, SYNC), (REQUEST, DELAY_RESP), (REQUEST, ANNOUNCE)]
    assert not negotiation.granted(0.0)


def test_what_is_not_granted_is_asked_for_again_and_what_is_granted_not() -> None:
    negotiation = UnicastNegotiation(US, 0)
    negotiation.due(0.0)
    negotiation.received(signaling(grant(SYNC)), 0.1)
    assert negotiation.due(RETRY_S / 2) == []
    assert sorted(asked(list(negotiation.due(RETRY_S)))) == [(REQUEST, DELAY_RESP), (REQUEST, ANNOUNCE)]


def test_a_grant_is_renewed_before_it_ends() -> None:
    negotiation = granted()
    assert negotiation.granted(DURATION_S - 1)
    assert negotiation.due(0.5 * DURATION_S) == []
    assert len(negotiation.due(0.8 * DURATION_S)) == 3
    assert not negotiation.granted(DURATION_S + 1)


def test_a_refusal_is_named_and_asked_again() -> None:
    negotiation = UnicastNegotiation(US, 0)
    negotiation.due(0.0)
    negotiation.received(signaling(grant(SYNC, 0)), 0.0)
    assert negotiation.refused == ["SYNC"]
    assert (REQUEST, SYNC) in asked(list(negotiation.due(RETRY_S)))


def test_what_the_master_cancels_is_acknowledged_and_asked_for_anew() -> None:
    negotiation = granted()
    answers = negotiation.received(signaling(struct.pack(">HHBB", CANCEL, 2, SYNC << 4, 0)), 1.0)
    assert asked(list(answers)) == [(ACKNOWLEDGE, SYNC)]
    assert not negotiation.granted(1.0)
    assert asked(list(negotiation.due(1.0 + RETRY_S))) == [(REQUEST, SYNC)]


def test_at_the_end_all_that_is_granted_is_given_back() -> None:
    negotiation = granted()
    assert sorted(asked(list(negotiation.close(1.0)))) == [(CANCEL, SYNC), (CANCEL, DELAY_RESP), (CANCEL, ANNOUNCE)]
    assert negotiation.close(1.0) == []


def test_grants_to_others_and_octets_that_are_none_change_nothing() -> None:
    negotiation = UnicastNegotiation(US, 0)
    negotiation.due(0.0)
    negotiation.received(signaling(grant(SYNC), to=PortIdentity(5, 1)), 0.0)
    negotiation.received(b"\x0c", 0.0)
    negotiation.received(signaling(b"\x00\x05\x00\xff"), 0.0)
    negotiation.received(signaling(grant(0x3)), 0.0)
    assert len(negotiation.due(RETRY_S)) == 3
