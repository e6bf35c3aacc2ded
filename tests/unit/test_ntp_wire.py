"""NTP packets as octets and as objects, side by side; what is refused, and how."""

from __future__ import annotations

import random

import pytest

from timesync.errors import DataError, WireError
from timesync.wire.ntp import (
    Extension,
    Mac,
    MalformedError,
    Packet,
    TooShortError,
    decode,
    encode,
    kiss_code,
    mac_coverage,
    reference_id_text,
)

CLIENT = Packet(
    leap=0, version=4, mode=3, stratum=0, poll=0, precision=0x20, root_delay=0, root_dispersion=0, reference_id=0,
    reference=0, origin=0, receive=0, transmit=0x0123456789ABCDEF,
)  # fmt: skip

CHRONYD = Packet(
    leap=0, version=4, mode=4, stratum=1, poll=0, precision=-25, root_delay=0, root_dispersion=0,
    reference_id=0x7F7F0101, reference=0xEEAE63E3_D3BFA3FC, origin=0x01234567_89ABCDEF, receive=0xEEAE63E4_F7413333,
    transmit=0xEEAE63E4_F74E0EDA,
)  # fmt: skip

NTPSEC = Packet(
    leap=0, version=4, mode=4, stratum=3, poll=0, precision=-24, root_delay=0, root_dispersion=0,
    reference_id=0x7F000001, reference=0, origin=0x01234567_89ABCDEF, receive=0xEEAE640E_3B7D3870,
    transmit=0xEEAE640E_3C02ABB8,
)  # fmt: skip

# A client's request and what real servers answered to it, octet by octet.
FROM_REAL_SERVERS = {
    "request": ("23000020" + "00" * 36 + "0123456789abcdef", CLIENT),
    "chronyd 4.3, NTPv4": (
        "240100e7 00000000 00000000 7f7f0101 eeae63e3d3bfa3fc 0123456789abcdef eeae63e4f7413333 eeae63e4f74e0eda",
        CHRONYD,
    ),
    "chronyd 4.3, NTPv3": (
        "1c0100e7 00000000 00000000 7f7f0101 eeae63e3d3bfa3fc 0123456789abcdef eeae63e4f75bd53b eeae63e4f762a680",
        CHRONYD._replace(version=3, receive=0xEEAE63E4_F75BD53B, transmit=0xEEAE63E4_F762A680),
    ),
    "chronyd 4.3, MD5": (
        (
            "240100e7 00000000 00000000 7f7f0101 eeae63e3d3bfa3fc 0123456789abcdef eeae63e4f76dbb6b eeae63e4f7783554"
            "00000001 0fb982ed5f4bfdf734e4a649405e7a5f"
        ),
        CHRONYD._replace(
            receive=0xEEAE63E4_F76DBB6B,
            transmit=0xEEAE63E4_F7783554,
            mac=Mac(1, bytes.fromhex("0fb982ed5f4bfdf734e4a649405e7a5f")),
        ),
    ),
    "chronyd 4.3, SHA-256, cut in NTPv4": (
        (
            "240100e7 00000000 00000000 7f7f0101 eeae63e3d3bfa3fc 0123456789abcdef eeae63e5f84cc861 eeae63e5f8570fa2"
            "00000003 9fac809241f48e855fe72c1422cf1be9925a8a64"
        ),
        CHRONYD._replace(
            receive=0xEEAE63E5_F84CC861,
            transmit=0xEEAE63E5_F8570FA2,
            mac=Mac(3, bytes.fromhex("9fac809241f48e855fe72c1422cf1be9925a8a64")),
        ),
    ),
    "chronyd 4.3, SHA-256, whole in NTPv3": (
        (
            "1c0100e7 00000000 00000000 7f7f0101 eeae63e3d3bfa3fc 0123456789abcdef eeae63e5f867ba8d eeae63e5f8693ecc"
            "00000003 471fb5fcdfaf1600698486f43ed7f31f24259fa94d3423ce80950f58cb78e9d1"
        ),
        CHRONYD._replace(
            version=3,
            receive=0xEEAE63E5_F867BA8D,
            transmit=0xEEAE63E5_F8693ECC,
            mac=Mac(3, bytes.fromhex("471fb5fcdfaf1600698486f43ed7f31f24259fa94d3423ce80950f58cb78e9d1")),
        ),
    ),
    "ntpsec 1.2.2, stratum 3": (
        "240300e8 00000000 00000000 7f000001 0000000000000000 0123456789abcdef eeae640e3b7d3870 eeae640e3c02abb8",
        NTPSEC,
    ),
    "ntpsec 1.2.2, not yet synchronised": (
        "e40000e8 00000000 00000000 494e4954 0000000000000000 0123456789abcdef eeae64063a75075a eeae64063a7bf807",
        NTPSEC._replace(
            leap=3,
            stratum=0,
            reference_id=0x494E4954,
            receive=0xEEAE6406_3A75075A,
            transmit=0xEEAE6406_3A7BF807,
        ),
    ),
}

HEADER = encode(CLIENT)
HEADER_V3 = encode(CLIENT._replace(version=3))
FIELD_16 = bytes.fromhex("0104 0010") + b"p" * 12
FIELD_28 = bytes.fromhex("f323 001c") + b"q" * 24
NTS_COOKIE = bytes.fromhex("0204 0068") + b"r" * 100

TRAILERS = {
    "crypto-NAK": ("00000000", (), Mac(0, b"")),
    "MAC of 20 octets": ("00000007" + "ab" * 16, (), Mac(7, b"\xab" * 16)),
    "MAC of 24 octets": ("00000007" + "ab" * 20, (), Mac(7, b"\xab" * 20)),
    "MAC that looks like an extension field": ("00040014" + "ab" * 16, (), Mac(0x40014, b"\xab" * 16)),
    "SHA-256, not cut": ("00000007" + "ab" * 32, (), Mac(7, b"\xab" * 32)),
    "SHA-384, not cut": ("00000007" + "ab" * 48, (), Mac(7, b"\xab" * 48)),
    "SHA-512, not cut": ("00000007" + "ab" * 64, (), Mac(7, b"\xab" * 64)),
    "shortest last field": (FIELD_28.hex(), (Extension(0xF323, b"q" * 24),), None),
    "short field, then a last one": (
        (FIELD_16 + FIELD_28).hex(),
        (Extension(0x0104, b"p" * 12), Extension(0xF323, b"q" * 24)),
        None,
    ),
    "short field and a MAC": (
        FIELD_16.hex() + "00000007" + "ab" * 20,
        (Extension(0x0104, b"p" * 12),),
        Mac(7, b"\xab" * 20),
    ),
    "field and a crypto-NAK": (NTS_COOKIE.hex() + "00000000", (Extension(0x0204, b"r" * 100),), Mac(0, b"")),
    "the same field twice": (NTS_COOKIE.hex() * 2, (Extension(0x0204, b"r" * 100),) * 2, None),
}

MALFORMED = {
    "no whole words": HEADER + b"\0",
    "4 octets, key not 0": HEADER + bytes.fromhex("00000001"),
    "8 octets": HEADER + bytes(8),
    "12 octets": HEADER + bytes(12),
    "16 octets, though a field": HEADER + FIELD_16,
    "field of length 0": HEADER + bytes(32),
    "field of 12 octets": HEADER + bytes.fromhex("0104000c") + bytes(40),
    "field of 17 octets": HEADER + bytes.fromhex("01040011") + bytes(36),
    "field longer than the packet": HEADER + bytes.fromhex("01040020") + bytes(24),
    "field, then 8 octets": HEADER + NTS_COOKIE + bytes(8),
    "field, then half a field": HEADER + NTS_COOKIE + bytes.fromhex("01040040") + bytes(28),
    "field, then a MAC not cut": HEADER + NTS_COOKIE + bytes.fromhex("00000007") + bytes(32),
    "NTPv3, 4 octets, key not 0": HEADER_V3 + bytes.fromhex("00000001"),
    "NTPv3, MAC too short": HEADER_V3 + bytes(16),
    "NTPv3, MAC too long": HEADER_V3 + bytes(76),
}


@pytest.mark.parametrize(("octets", "packet"), FROM_REAL_SERVERS.values(), ids=FROM_REAL_SERVERS)
def test_octets_of_real_servers_are_the_packet_and_back(octets: str, packet: Packet) -> None:
    assert decode(bytes.fromhex(octets)) == packet
    assert encode(packet) == bytes.fromhex(octets)


@pytest.mark.parametrize(("octets", "extensions", "mac"), TRAILERS.values(), ids=TRAILERS)
def test_trailer_is_told_apart_by_its_length(octets: str, extensions: tuple[Extension, ...], mac: Mac | None) -> None:
    data = HEADER + bytes.fromhex(octets)
    packet = CLIENT._replace(extensions=extensions, mac=mac)
    assert decode(data) == packet
    assert encode(packet) == data


@pytest.mark.parametrize("digest_octets", [16, 20, 28, 32, 48, 64, 68])
def test_everything_after_the_header_of_ntpv3_is_a_mac(digest_octets: int) -> None:
    # 0x00100010 would be the beginning of an extension field in NTPv4.
    data = HEADER_V3 + bytes.fromhex("00100010") + b"m" * digest_octets
    assert decode(data).mac == Mac(0x100010, b"m" * digest_octets)
    assert encode(decode(data)) == data


@pytest.mark.parametrize("length", [0, 1, 4, 47])
def test_fewer_octets_than_a_header_are_too_short(length: int) -> None:
    with pytest.raises(TooShortError, match=f"^{length} octets, an NTP header has 48"):
        decode(HEADER[:length])


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_trailer_that_is_neither_field_nor_mac_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(data)


def test_both_refusals_are_wire_errors() -> None:
    assert issubclass(TooShortError, WireError)
    assert issubclass(MalformedError, WireError)


@pytest.mark.parametrize("version", range(8))
def test_header_of_any_version_decodes_so_that_a_wrong_one_can_be_named(version: int) -> None:
    assert decode(encode(CLIENT._replace(version=version))).version == version


def test_every_field_keeps_its_extremes() -> None:
    highest = Packet(3, 7, 7, 255, 127, 127, *(2**32 - 1,) * 3, *(2**64 - 1,) * 4)
    lowest = Packet(0, 0, 0, 0, -128, -128, *(0,) * 7)
    assert encode(highest) == b"\xff\xff\x7f\x7f" + b"\xff" * 44
    assert decode(encode(highest)) == highest
    assert encode(lowest) == bytes.fromhex("00008080") + bytes(44)
    assert decode(encode(lowest)) == lowest


@pytest.mark.parametrize(
    "wrong",
    [
        {"leap": 4}, {"leap": -1}, {"version": 8}, {"mode": 8}, {"mode": -1}, {"stratum": 256}, {"poll": 128},
        {"precision": -129}, {"root_delay": 2**32}, {"root_dispersion": -1}, {"reference_id": 2**32},
        {"reference": 2**64}, {"origin": -1}, {"receive": 2**64}, {"transmit": 2**64},
        {"extensions": (Extension(2**16, bytes(24)),)},
        {"extensions": (Extension(1, bytes(2**16)),)},
        {"mac": Mac(2**32, bytes(16))},
    ],
    ids=str,
)  # fmt: skip
def test_value_that_does_not_fit_its_field_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"does not fit"):
        encode(CLIENT._replace(**wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"extensions": (Extension(1, bytes(20)),)},  # 24 octets, the last: a peer takes it for a MAC
        {"extensions": (Extension(1, bytes(12)),)},
        {"extensions": (Extension(1, bytes(25)),)},
        {"extensions": (Extension(1, bytes(8)), Extension(1, bytes(100)))},
        {"extensions": (Extension(1, bytes(12)),), "mac": Mac(0, b"")},  # 20 octets in all: a MAC
        {"mac": Mac(7, b"")},
        {"mac": Mac(7, bytes(12))},
        {"mac": Mac(7, bytes(24))},
        {"mac": Mac(7, bytes(28))},
        {"mac": Mac(36, bytes(32))},  # not cut, with a key identifier that is an extension field's beginning
        {"extensions": (Extension(1, bytes(100)),), "mac": Mac(7, bytes(32))},
        {"version": 3, "extensions": (Extension(1, bytes(100)),)},
        {"version": 3, "extensions": (Extension(1, bytes(24)),)},
    ],
    ids=str,
)
def test_packet_that_a_peer_could_not_read_back_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match="RFC 7822"):
        encode(CLIENT._replace(**wrong))


def test_mac_covers_header_and_extension_fields() -> None:
    fields = (Extension(0x0104, b"p" * 12),)
    unsigned = HEADER + FIELD_16
    packet = CLIENT._replace(extensions=fields, mac=Mac(7, bytes(20)))
    assert mac_coverage(encode(packet), packet) == unsigned
    assert mac_coverage(HEADER, CLIENT) == HEADER
    nak = CLIENT._replace(mac=Mac(0, b""))
    assert mac_coverage(encode(nak), nak) == HEADER


@pytest.mark.parametrize(
    ("stratum", "reference_id", "code"),
    [
        (0, b"RATE", "RATE"),
        (0, b"DENY", "DENY"),
        (0, b"RSTR", "RSTR"),
        (0, b"INIT", "INIT"),
        (0, b"NTSN", "NTSN"),
        (0, b"\0\0\0\0", None),
        (0, b"GPS\0", None),
        (0, b"R\xc4TE", None),
        (1, b"RATE", None),
        (2, b"DENY", None),
        (16, b"INIT", None),
    ],
)
def test_kiss_code_is_four_letters_at_stratum_zero(stratum: int, reference_id: bytes, code: str | None) -> None:
    assert kiss_code(CLIENT._replace(stratum=stratum, reference_id=int.from_bytes(reference_id, "big"))) == code


@pytest.mark.parametrize(
    ("stratum", "reference_id", "text"),
    [
        (1, b"GPS\0", "GPS"),
        (1, b"PPS\0", "PPS"),
        (1, b"GNSS", "GNSS"),
        (0, b"RATE", "RATE"),
        (0, b"XFAC", "XFAC"),
        (0, b"\0\0\0\0", "0.0.0.0"),
        (1, b"\x7f\x7f\x01\x01", "127.127.1.1"),  # chronyd's local clock
        (1, b"A\0BC", "65.0.66.67"),
        (1, b'a"b\n', "97.34.98.10"),
        (2, b"GPS\0", "71.80.83.0"),
        (2, b"\xc0\x00\x02\x01", "192.0.2.1"),
        (16, b"INIT", "73.78.73.84"),
    ],
)
def test_reference_identifier_is_a_name_up_to_stratum_one_and_an_address_above(
    stratum: int, reference_id: bytes, text: str
) -> None:
    assert reference_id_text(stratum, int.from_bytes(reference_id, "big")) == text


def test_twenty_thousand_mutated_packets_decode_or_are_refused_by_name() -> None:
    generator = random.Random(5905)
    seeds = [bytes.fromhex(octets) for octets, _ in FROM_REAL_SERVERS.values()]
    seeds += [HEADER + bytes.fromhex(octets) for octets, _, _ in TRAILERS.values()]
    refused = 0
    for _ in range(20_000):
        data = bytearray(generator.choice(seeds))
        for _ in range(generator.randrange(4)):
            where = generator.randrange(len(data))
            match generator.randrange(4):
                case 0:
                    data[where] = generator.randrange(256)
                case 1:
                    del data[where : where + generator.choice((1, 4, 20))]
                case 2:
                    data[where:where] = generator.randbytes(generator.choice((1, 4, 16, 28)))
                case _:
                    data += data[generator.randrange(len(data)) :]
            data = data or bytearray(1)
        mutated = bytes(data)
        try:
            packet = decode(mutated)
        except WireError:
            refused += 1
        else:
            assert encode(packet) == mutated
    assert 2_000 < refused < 18_000  # the mutations reach both outcomes
