"""NTP packets as octets and as objects."""

from __future__ import annotations

import pytest

from timesync.wire.ntp import MalformedError, Packet, TooShortError, decode, encode

CLIENT = Packet(
    leap=0, version=4, mode=3, stratum=0, poll=0, precision=0x20, root_delay=0, root_dispersion=0, reference_id=0,
    reference=0, origin=0, receive=0, transmit=0x0123456789ABCDEF,
)  # fmt: skip


def test_plain_request_has_48_octets() -> None:
    data = bytes.fromhex("23000020") + bytes(36) + bytes.fromhex("0123456789abcdef")
    assert encode(CLIENT) == data
    assert decode(data) == CLIENT


@pytest.mark.parametrize("length", [0, 1, 47])
def test_fewer_octets_than_a_header_are_too_short(length: int) -> None:
    with pytest.raises(TooShortError):
        decode(bytes(length))


@pytest.mark.parametrize("length", [49, 51, 56, 60, 64])
def test_trailer_that_is_neither_field_nor_mac_is_malformed(length: int) -> None:
    with pytest.raises(MalformedError):
        decode(encode(CLIENT) + bytes(length - 48))
