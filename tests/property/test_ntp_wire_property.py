"""NTP packets: what is decoded is encoded again, nothing crashes, and ntplib reads the same."""

from __future__ import annotations

import contextlib

import ntplib
from hypothesis import example, given
from hypothesis import strategies as st

from timesync.errors import DataError, WireError
from timesync.timescale import short_to_s
from timesync.wire.ntp import Extension, Mac, MalformedError, Packet, TooShortError, decode, encode, mac_coverage

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
I8 = st.integers(-128, 127)
BODIES = st.integers(3, 40).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
LAST_BODIES = st.integers(6, 40).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
TYPES = st.integers(0, 2**16 - 1)
MACS = st.builds(Mac, U32, st.sampled_from((16, 20)).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
NAKS = st.just(Mac(0, b""))
MACS_V3 = st.builds(
    Mac, U32, st.sampled_from((16, 20, 32, 48, 64)).flatmap(lambda n: st.binary(min_size=n, max_size=n))
)
FIELDS = st.lists(st.builds(Extension, TYPES, BODIES), max_size=4).map(tuple)
LAST_FIELD = st.builds(Extension, TYPES, LAST_BODIES)

HEADER = {
    "leap": st.integers(0, 3), "mode": st.integers(0, 7), "stratum": st.integers(0, 255), "poll": I8, "precision": I8,
    "root_delay": U32, "root_dispersion": U32, "reference_id": U32, "reference": U64, "origin": U64, "receive": U64,
    "transmit": U64,
}  # fmt: skip
PACKETS = st.one_of(
    st.builds(Packet, version=st.integers(0, 7), extensions=st.just(()), mac=st.none(), **HEADER),
    st.builds(Packet, version=st.integers(0, 3), extensions=st.just(()), mac=MACS_V3 | NAKS, **HEADER),
    st.builds(Packet, version=st.integers(4, 7), extensions=FIELDS, mac=MACS, **HEADER),
    st.builds(
        Packet,
        version=st.integers(4, 7),
        # Of fewer than 28 octets alone, or than 24 before a crypto-NAK, the last field could be a MAC.
        extensions=st.builds(lambda fields, last: (*fields, last), FIELDS, LAST_FIELD),
        mac=st.none() | NAKS,
        **HEADER,
    ),
)


@given(PACKETS)
def test_packet_survives_the_wire(packet: Packet) -> None:
    data = encode(packet)
    assert decode(data) == packet
    assert len(data) % 4 == 0
    covered = 48 + sum(4 + len(extension.body) for extension in packet.extensions)
    assert mac_coverage(data, packet) == data[:covered]


@given(st.binary(max_size=200) | st.integers(12, 60).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)))
@example(bytes(47))
@example(bytes(65_507))  # the largest datagram
@example(bytes.fromhex("23" + "00" * 47) + bytes.fromhex("00010010" + "00" * 12) * 4_000 + bytes(20))
def test_any_octets_decode_exactly_or_are_refused_by_name(data: bytes) -> None:
    try:
        packet = decode(data)
    except TooShortError:
        assert len(data) < 48
    except MalformedError:
        assert len(data) > 48
    else:
        assert encode(packet) == data


@given(PACKETS, st.data())
def test_damaged_packet_never_raises_anything_but_a_wire_error(packet: Packet, choose: st.DataObject) -> None:
    data = bytearray(encode(packet))
    for _ in range(choose.draw(st.integers(1, 4))):
        data[choose.draw(st.integers(0, len(data) - 1))] = choose.draw(st.integers(0, 255))
    damaged = bytes(data[: choose.draw(st.integers(0, len(data)))])
    with contextlib.suppress(WireError):
        assert encode(decode(damaged)) == damaged


@given(
    st.builds(
        Packet,
        version=st.integers(0, 7),
        extensions=st.lists(st.builds(Extension, st.integers(0, 2**17), st.binary(max_size=60)), max_size=3).map(tuple),
        mac=st.none() | st.builds(Mac, st.integers(0, 2**33), st.binary(max_size=80)),
        **HEADER,
    )
)
def test_packet_encodes_to_what_decodes_to_it_or_is_refused(packet: Packet) -> None:
    try:
        data = encode(packet)
    except DataError:
        return
    assert decode(data) == packet


@given(PACKETS)
def test_ntplib_reads_the_same_header(packet: Packet) -> None:
    theirs = ntplib.NTPPacket()
    theirs.from_data(encode(packet))
    assert (theirs.leap, theirs.version, theirs.mode) == (packet.leap, packet.version, packet.mode)
    # ntplib reads the poll exponent as unsigned, RFC 5905 section 7.3 has it signed.
    assert (theirs.stratum, theirs.poll, theirs.precision) == (packet.stratum, packet.poll % 256, packet.precision)
    assert theirs.root_delay == short_to_s(packet.root_delay)
    assert theirs.root_dispersion == short_to_s(packet.root_dispersion)
    assert theirs.ref_id == packet.reference_id
    # ntplib rounds to a double (477 ns at today's seconds); rounded in the same way, the exact timestamps are its own.
    assert [
        theirs.ref_timestamp,
        theirs.orig_timestamp,
        theirs.recv_timestamp,
        theirs.tx_timestamp,
    ] == [timestamp / 2**32 for timestamp in (packet.reference, packet.origin, packet.receive, packet.transmit)]


@given(
    leap=st.integers(0, 3), version=st.integers(0, 7), mode=st.integers(0, 7), seconds=U32, half=st.booleans(),
)  # fmt: skip
def test_we_read_what_ntplib_writes(leap: int, version: int, mode: int, seconds: int, half: bool) -> None:
    theirs = ntplib.NTPPacket(version=version, mode=mode, tx_timestamp=seconds + 0.5 * half)
    theirs.leap, theirs.stratum, theirs.poll, theirs.precision = leap, 2, 6, -20
    theirs.root_delay, theirs.root_dispersion, theirs.ref_id = 0.5, 1.25, 0xC0000201
    packet = decode(theirs.to_data())
    assert (packet.leap, packet.version, packet.mode) == (leap, version, mode)
    assert (packet.stratum, packet.poll, packet.precision, packet.reference_id) == (2, 6, -20, 0xC0000201)
    assert (packet.root_delay, packet.root_dispersion) == (0x8000, 0x14000)
    assert packet.transmit == seconds << 32 | half << 31
