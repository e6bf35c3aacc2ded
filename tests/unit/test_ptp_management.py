"""The management client: whose answers count, and what they become, by octets written here with struct."""

from __future__ import annotations

import struct

import pytest

from timesync.exchange.ptp_management import CLOCKS_LIMIT, ManagementClient
from timesync.ptp_stack import CLOCK_FIELDS, PORT_FIELDS, PTP_CLOCK, PTP_PORT, parts_of
from timesync.reasons import Reason
from timesync.wire.ptp.header import PortIdentity

US = PortIdentity(0x1234, 7)
CLOCK, MASTER = 0x001122FFFE334455, 0xAABBCCFFFE000001
DEFAULT, CURRENT, PARENT, TIME_PROPERTIES, PORT, STATUS = 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0xC000
NO_SUCH_ID = 2


def asked(question: bytes) -> tuple[int, int]:
    """The sequence number and the managementId of a question, and that it is a GET of 54 octets."""
    kind, length, sequence = question[0] & 0x0F, *struct.unpack_from(">H26xH", question, 2)
    tlv, size, identifier = struct.unpack_from(">HHH", question, 48)
    assert (kind, length, tlv, size, question[46] & 0x0F) == (0xD, 54, 1, 2, 0)
    return sequence, identifier


def answer(question: bytes, data: bytes, *, clock: int = CLOCK, port: int = 1, to: PortIdentity = US) -> bytes:
    """A RESPONSE to a question, with that dataField."""
    sequence, identifier = asked(question)
    tlv = struct.pack(">HHH", 1, 2 + len(data), identifier) + data
    return message(sequence, tlv, clock=clock, port=port, to=to)


def refusal(question: bytes, error: int = NO_SUCH_ID) -> bytes:
    """A MANAGEMENT_ERROR_STATUS."""
    sequence, identifier = asked(question)
    return message(sequence, struct.pack(">HHHHI", 2, 8, error, identifier, 0))


def message(sequence: int, tlv: bytes, *, clock: int = CLOCK, port: int = 1, to: PortIdentity = US) -> bytes:
    head = struct.pack(">BBHBBHqIQHHBb", 0xD, 2, 48 + len(tlv), 0, 0, 0, 0, 0, clock, port, sequence, 4, 0x7F)
    return head + struct.pack(">QHBBBB", to.clock, to.port, 0, 0, 2, 0) + tlv


def default(ports: int = 1, clock: int = CLOCK) -> bytes:
    return struct.pack(">BBHBBBHBQBB", 3, 0, ports, 128, 255, 0xFE, 0xFFFF, 127, clock, 0, 0)


def port(number: int, state: int = 9, mechanism: int = 1) -> bytes:
    return struct.pack(">QHBbqbBbBbB", CLOCK, number, state, -3, 500 << 16, 1, 3, 0, mechanism, 0, 0x12)


CONTENT = {
    DEFAULT: default(),
    # offsetFromMaster: this clock is 1.5 us ahead of its master; the path takes 700 ns.
    CURRENT: struct.pack(">Hqq", 1, 1500 << 16, 700 << 16),
    PARENT: struct.pack(">QHBBHiBBBHBQ", MASTER, 2, 0, 0, 0xFFFF, 0, 10, 6, 0x21, 0x4E5D, 11, MASTER),
    TIME_PROPERTIES: struct.pack(">hBB", 37, 0x3C | 0x01, 0x20),
    STATUS: struct.pack(">qqiiHHQHiQ", 1500, 5_000_000_000, 1 << 31 >> 10, 0, 3, 0xFFFF, (1 << 64) - 25, 0, 1, MASTER),
    PORT: port(1),
    0xC002: struct.pack(">Ii", 20_000_000, 1),
    0xC004: struct.pack(">QHBBB", CLOCK, 1, 9, 1, 4) + b"eth0" + b"\0",
    0xC005: struct.pack(">QH", CLOCK, 1) + struct.pack("<32Q", *range(100, 132)),
}


def test_all_of_a_clock_and_its_port_becomes_two_rows() -> None:
    client = ManagementClient(US)
    questions = client.ask()
    assert {asked(question)[1] for question in questions} == set(CONTENT)
    for question in questions:
        assert not client.complete()
        assert client.received(answer(question, CONTENT[asked(question)[1]])) is None
    assert client.complete()
    (report,) = client.account()
    clock, its_port = parts_of(report)
    assert (clock.measurement, clock.tags) == (PTP_CLOCK, {"clock": "001122.fffe.334455"})
    assert (its_port.measurement, its_port.tags) == (PTP_PORT, {"clock": "001122.fffe.334455", "port": "1"})
    fields = clock.fields
    # The clock is ahead of its master: the master is behind, in the sign of offset_s.
    assert fields["master_offset_s"] == pytest.approx(-1.5e-6)
    assert fields["mean_path_delay_s"] == pytest.approx(0.7e-6)
    assert (fields["clock_state"], fields["slave_only"], fields["grandmaster_present"]) == ("slave", True, True)
    assert (fields["parent_port"], fields["grandmaster"]) == ("aabbcc.fffe.000001-2", "aabbcc.fffe.000001")
    assert (fields["grandmaster_class"], fields["grandmaster_accuracy_s"]) == (6, 100e-9)
    assert (fields["clock_class"], fields["priority2"]) == (255, 127)
    traced = ("utc_offset_s", "utc_offset_valid", "ptp_timescale", "time_traceable", "frequency_traceable", "leap")
    assert [fields[name] for name in traced] == [37, True, True, True, True, 1]
    # A ScaledNs of -25 ns, in two's complement over 96 bits.
    assert fields["last_gm_phase_change_s"] == pytest.approx(-25e-9)
    assert fields["cumulative_rate_offset"] == pytest.approx(2.0**-20)
    assert (its_port.fields["port_state"], its_port.fields["delay_mechanism"]) == ("slave", "e2e")
    assert (its_port.fields["interface"], its_port.fields["timestamping"]) == ("eth0", "hardware")
    assert "peer_mean_path_delay_s" not in its_port.fields
    counted = ("rx_sync", "rx_announce", "tx_delay_req")
    assert [its_port.fields[name] for name in counted] == [100, 111, 117]


def test_every_field_of_a_row_is_in_the_schema() -> None:
    client = ManagementClient(US)
    for question in client.ask():
        client.received(answer(question, CONTENT[asked(question)[1]]))
    types = {"float": float, "int": int, "str": str, "bool": bool}
    for part in parts_of(client.account()[0]):
        table = CLOCK_FIELDS if part.measurement == PTP_CLOCK else PORT_FIELDS
        for name, value in part.fields.items():
            assert type(value) is types[table[name].type], name


def test_one_by_one_asks_each_port_once_it_knows_how_many_there_are() -> None:
    client = ManagementClient(US)
    seen = []
    for question in client.one_by_one():
        assert not client.answered()
        identifier = asked(question)[1]
        target = struct.unpack_from(">QH", question, 34)
        seen.append((identifier, target[1]))
        data = default(ports=2) if identifier == DEFAULT else CONTENT[identifier]
        if identifier == PORT:
            data = port(target[1], state=(9, 6)[target[1] - 1])
        elif identifier > PORT and identifier != STATUS:
            client.received(refusal(question))
            continue
        client.received(answer(question, data))
        assert client.answered()
    assert [number for identifier, number in seen if identifier == PORT] == [1, 2]
    # What it has refused for one port it is not asked for again.
    assert [number for identifier, number in seen if identifier == 0xC005] == [1]
    (report,) = client.account()
    clock, one, two = parts_of(report)
    assert (one.fields["port_state"], two.fields["port_state"]) == ("slave", "master")
    assert clock.fields["clock_state"] == "slave"
    assert clock.fields["not_offered"] == "PORT_DATA_SET_NP, PORT_PROPERTIES_NP, PORT_STATS_NP"


def test_what_is_no_answer_to_us_is_not_used() -> None:
    client = ManagementClient(US)
    first, second, *_ = client.ask()
    assert client.received(answer(first, default(), to=PortIdentity(0x1234, 8))) is None
    assert client.account() == []
    first, second, *_ = client.ask()
    old = message(1, struct.pack(">HHH", 1, 22, DEFAULT) + default())
    expected = {
        Reason.LATE: old,
        Reason.WRONG_SOURCE: answer(first, default(clock=MASTER)),
        Reason.MALFORMED: answer(second, b"\0"),
    }
    for reason, data in expected.items():
        unused = client.received(data)
        assert unused is not None
        assert unused.reason is reason
    assert client.received(answer(first, default())) is None
    again = client.received(answer(first, default()))
    assert again is not None
    assert again.reason is Reason.DUPLICATE
    assert client.received(b"noise") is not None
    assert len(client.account()) == 1


def test_forged_clocks_do_not_fill_the_memory() -> None:
    client = ManagementClient(US)
    first, *_ = client.ask()
    unused = [client.received(answer(first, default(clock=number), clock=number)) for number in range(CLOCKS_LIMIT + 1)]
    assert [each.reason for each in unused if each is not None] == [Reason.TOO_MANY_MASTERS]
    assert len(client.account()) == CLOCKS_LIMIT


def test_a_clock_that_follows_nobody_claims_no_offset() -> None:
    client = ManagementClient(US)
    own = struct.pack(">QHBBHiBBBHBQ", CLOCK, 0, 0, 0, 0xFFFF, 0, 10, 6, 0x21, 0x4E5D, 11, CLOCK)
    content = {**CONTENT, CURRENT: struct.pack(">Hqq", 0, 1500 << 16, 700 << 16), PARENT: own, PORT: port(1, state=6)}
    for question in client.ask():
        client.received(answer(question, content[asked(question)[1]]))
    fields = parts_of(client.account()[0])[0].fields
    assert fields["clock_state"] == "grandmaster"
    assert "master_offset_s" not in fields
    assert "mean_path_delay_s" not in fields
