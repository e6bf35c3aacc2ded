"""The PTP codec: what it writes it reads back, what it reads it writes back, and no octets make it fail in another way."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timesync.errors import WireError
from timesync.wire.ptp.header import Header, MessageType, PortIdentity, Timestamp
from timesync.wire.ptp.management import (
    CurrentDataSet,
    DataSet,
    DefaultDataSet,
    GrandmasterSettings,
    ManagementId,
    ParentDataSet,
    PortDataSet,
    PortDataSetNp,
    PortProperties,
    PortStats,
    TimePropertiesDataSet,
    TimeStatus,
    data_set,
    management_error,
)
from timesync.wire.ptp.message import (
    Announce,
    Management,
    Message,
    PdelayReq,
    Response,
    Signaling,
    Stamped,
    Unknown,
    decode,
    encode,
)
from timesync.wire.ptp.tlv import (
    FollowUpInformation,
    Tlv,
    UnicastGrant,
    UnicastRequest,
    cancel_unicast,
    follow_up_information,
    organization_extension,
    path_trace,
    unicast_cancellation,
    unicast_grant,
    unicast_request,
)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


ports = st.builds(PortIdentity, unsigned(64), unsigned(16))
timestamps = st.builds(Timestamp, unsigned(48), unsigned(32))
tlvs = st.lists(st.builds(Tlv, unsigned(16), st.binary(max_size=40)), max_size=4).map(tuple)
stamped = st.builds(Stamped, timestamps)
responses = st.builds(Response, timestamps, ports)
BODIES: dict[int, st.SearchStrategy[Any]] = {
    MessageType.SYNC: stamped,
    MessageType.DELAY_REQ: stamped,
    MessageType.FOLLOW_UP: stamped,
    MessageType.DELAY_RESP: responses,
    MessageType.PDELAY_RESP: responses,
    MessageType.PDELAY_RESP_FOLLOW_UP: responses,
    MessageType.PDELAY_REQ: st.builds(PdelayReq, timestamps, st.binary(min_size=10, max_size=10)),
    MessageType.ANNOUNCE: st.builds(
        Announce,
        timestamps,
        signed(16),
        *(unsigned(8) for _ in range(3)),
        unsigned(16),
        unsigned(8),
        unsigned(64),
        unsigned(16),
        unsigned(8),
        unsigned(8),
    ),
    MessageType.SIGNALING: st.builds(Signaling, ports),
    MessageType.MANAGEMENT: st.builds(
        Management, ports, unsigned(8), unsigned(8), unsigned(4), st.tuples(unsigned(4), unsigned(8))
    ),
}


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from([*MessageType, 0x4, 0xE, 0xF]))
    header = draw(
        st.builds(
            Header,
            st.just(int(kind)),
            ports,
            unsigned(16),
            unsigned(8),
            unsigned(16),
            signed(64),
            signed(8),
            unsigned(8),
            unsigned(4),
            unsigned(8),
            st.just(2),
            unsigned(4),
            unsigned(32),
        )
    )
    if kind not in BODIES:
        return Message(header, Unknown(draw(st.binary(max_size=60))))
    return Message(header, draw(BODIES[kind]), draw(tlvs))


@given(messages(), st.binary(max_size=30))
def test_a_message_is_read_back_whatever_padding_follows(message: Message, padding: bytes) -> None:
    assert decode(encode(message) + padding) == message


@given(st.binary(max_size=120))
def test_octets_that_can_be_read_are_written_back(data: bytes) -> None:
    try:
        message = decode(data)
    except WireError:
        return
    length = int.from_bytes(data[2:4], "big")
    assert encode(message) == data[:length]


def test_mutated_messages_never_fail_in_another_way() -> None:
    generator = random.Random(4)
    body = Announce(Timestamp(1, 2), 37, 128, 6, 0x21, 0x4E5D, 128, 7, 0, 0x20)
    whole = encode(Message(Header(MessageType.ANNOUNCE, PortIdentity(7, 1), 3), body, (Tlv(8, bytes(16)),)))
    accepted = 0
    for _ in range(20_000):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        del data[generator.randint(0, len(data)) + 20 :]
        try:
            message = decode(bytes(data))
        except WireError:
            continue
        accepted += 1
        assert encode(message) == bytes(data[: int.from_bytes(data[2:4], "big")])
    assert 0 < accepted < 20_000


@given(unsigned(4), signed(8), unsigned(32), st.booleans())
def test_unicast_negotiation_is_read_back(kind: int, interval: int, duration: int, renewal: bool) -> None:
    request = UnicastRequest(kind, interval, duration)
    grant = UnicastGrant(kind, interval, duration, renewal)
    assert unicast_request(request.tlv()) == request
    assert unicast_grant(grant.tlv()) == grant
    assert unicast_grant(request.tlv()) is None
    assert unicast_cancellation(cancel_unicast(kind)) == kind


@given(signed(32), unsigned(16), signed(96), signed(32))
def test_follow_up_information_is_read_back(offset: int, base: int, phase: int, frequency: int) -> None:
    information = FollowUpInformation(offset, base, phase, frequency)
    assert follow_up_information(information.tlv()) == information


def numbers(*bits: int) -> list[st.SearchStrategy[int]]:
    """A strategy for each width; a negative one is signed."""
    return [unsigned(width) if width > 0 else signed(-width) for width in bits]


counters = st.tuples(*numbers(*(64,) * 16))
data_sets: st.SearchStrategy[DataSet] = st.one_of(
    st.builds(DefaultDataSet, *numbers(8, 8, 16, 8, 8, 8, 16, 8, 64, 8, 8)),
    st.builds(CurrentDataSet, *numbers(16, -64, -64)),
    st.builds(ParentDataSet, ports, *numbers(8, 8, 16, -32, 8, 8, 8, 16, 8, 64)),
    st.builds(TimePropertiesDataSet, *numbers(-16, 8, 8)),
    st.builds(PortDataSet, ports, *numbers(8, -8, -64, -8, 8, -8, 8, -8, 8)),
    st.builds(TimeStatus, *numbers(-64, -64, -32, -32, 16, 16, 64, 16, -32, 64)),
    st.builds(GrandmasterSettings, *numbers(8, 8, 16, -16, 8, 8)),
    st.builds(PortDataSetNp, *numbers(32, -32)),
    st.builds(PortProperties, ports, *numbers(8, 8), st.binary(max_size=255)),
    st.builds(PortStats, ports, counters, counters),
)
# Octets of each dataField: IEEE 1588-2019 tables 63 to 71, and linuxptp's tlv.h.
DATA_FIELD_OCTETS = {
    ManagementId.DEFAULT_DATA_SET: 20,
    ManagementId.CURRENT_DATA_SET: 18,
    ManagementId.PARENT_DATA_SET: 32,
    ManagementId.TIME_PROPERTIES_DATA_SET: 4,
    ManagementId.PORT_DATA_SET: 26,
    ManagementId.TIME_STATUS_NP: 50,
    ManagementId.GRANDMASTER_SETTINGS_NP: 8,
    ManagementId.PORT_DATA_SET_NP: 8,
    ManagementId.PORT_STATS_NP: 266,
}


@given(data_sets, st.binary(max_size=4))
def test_a_data_set_is_read_back_whatever_follows_it(data: DataSet, more: bytes) -> None:
    tlv = data.tlv()
    assert data_set(tlv) == data
    assert data_set(Tlv(tlv.type, tlv.value + more)) == data
    assert len(tlv.value) == 2 + DATA_FIELD_OCTETS.get(data.ID, len(tlv.value) - 2)
    assert len(tlv.value) % 2 == 0


@given(st.sampled_from([*ManagementId, 0x1234]), st.binary(max_size=300), st.sampled_from([1, 2]))
def test_no_content_of_a_management_tlv_makes_its_reading_fail(identifier: int, data: bytes, kind: int) -> None:
    tlv = Tlv(kind, identifier.to_bytes(2, "big") + data)
    found = data_set(tlv)
    assert found is None or data_set(found.tlv()) == found
    data_set(Tlv(kind, data))
    management_error(tlv)
    management_error(Tlv(kind, data))


@given(st.builds(Tlv, unsigned(16) | st.sampled_from(range(1, 10)), st.binary(max_size=40)))
def test_no_content_of_a_tlv_makes_its_reading_fail(tlv: Tlv) -> None:
    for read in (
        unicast_request,
        unicast_grant,
        unicast_cancellation,
        path_trace,
        organization_extension,
        follow_up_information,
    ):
        read(tlv)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:33], "too few"),
        (lambda data: b"\x00\x01" + data[2:], "version 1 is not 2"),
        (lambda data: data[:2] + b"\xff\xff" + data[4:], "messageLength 65535 does not fit"),
        (lambda data: data[:2] + b"\x00\x28" + data[4:], "shorter than 44"),
        (lambda data: data[:2] + b"\x00\x2d" + data[4:] + b"\x00", "left over"),
        (lambda data: data[:2] + b"\x00\x31" + data[4:] + b"\x00\x08\x00\x09\x00", "claims 9 octets, 1 are there"),
    ],
)
def test_what_is_no_message_is_refused_in_words(change: Any, said: str) -> None:
    sync = encode(Message(Header(MessageType.SYNC, PortIdentity(1, 1), 1), Stamped(Timestamp(0, 0))))
    with pytest.raises(WireError, match=said):
        decode(change(sync))
