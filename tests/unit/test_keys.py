"""Key files, and authentication codes against the RFCs and against what real servers sent."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

import pytest

from timesync.errors import ConfigError
from timesync.keys import Key, KeyType, read_keys
from timesync.wire.ntp import decode, mac_coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Write = Callable[[bytes], Path]

# RFC 4493 section 4: key, then message length and AES-CMAC.
RFC_4493_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
RFC_4493_MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
)
RFC_4493_CODES = [
    (0, "bb1d6929e95937287fa37d129b756746"),
    (16, "070a16b46b4d4144f79bdd9dd04a287c"),
    (40, "dfa66747de9ae63030ca32611497c827"),
    (64, "51f0bebf7e3b9d92fc49741779363cfe"),
]
# NIST SP 800-38B, examples for AES-256: the same messages.
SP_800_38B_KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
SP_800_38B_CODES = [
    (0, "028962f61b7bf89efc6b551f4667d983"),
    (16, "28a7023f452e8f82bd4bf28d8c37c35c"),
    (40, "aaf3d8f1de5640c232f5b169b9c911e6"),
    (64, "e1992190549f6ed5696a2c056c315410"),
]

SERVER_KEYS = b"""
# The keys that the servers below had.
1 MD5 ASCII:timesync-md5
2 SHA1 HEX:8f3a1b2c4d5e6f708192a3b4c5d6e7f801122334
3 SHA256 HEX:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
4 AES128 HEX:2b7e151628aed2a6abf7158809cf4f3c
5 AES256 HEX:603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4
"""
CHRONYD = (
    "chronyd 4.3",
    "240100e700000000000000007f7f0101eeae63e3d3bfa3fc0123456789abcdef",
    [
        "eeae63e4f76dbb6beeae63e4f7783554000000010fb982ed5f4bfdf734e4a649405e7a5f",
        "eeae63e4f7a99bafeeae63e4f7bbe6be000000029669ca00209dd4596caf677f2d69435c630e21bf",
        "eeae63e5f84cc861eeae63e5f8570fa2000000039fac809241f48e855fe72c1422cf1be9925a8a64",
        "eeae63e6f947d575eeae63e6f94c425e00000004b99838951144f1f5037e509d130e4a43",
        "eeae63e6f95e221beeae63e6f95f9a520000000538d9a0d47e9fc1c00029d24013f2b673",
    ],
)
NTPSEC = (
    "ntpsec 1.2.2",
    "240300e800000000000000007f00000100000000000000000123456789abcdef",
    [
        "eeae640e3c1c36b3eeae640e3cb5e85800000001743d5714b05ca4aa85aa6c20c8e2f7a6",
        "eeae640e3ce45704eeae640e3cee789d0000000224ccf7d0b39b1391c2d37e436146a4f7a7c8583f",
        "eeae640f3d616746eeae640f3d6e745e0000000340f733e3238554dd0c05be66c8a630011970efde",
        "eeae64103e674170eeae64103e6ab04900000004cba35c228f273e64231e4843231b24d1",
        "eeae64103e780806eeae64103e79a3cc0000000541d9bc0611e5db34125f108b5e156558",
    ],
)
REPLIES = [
    pytest.param(bytes.fromhex(head + tail), id=f"{server}, key {number}")
    for server, head, tails in (CHRONYD, NTPSEC)
    for number, tail in enumerate(tails, 1)
]
# chronyd 4.3 does not cut the digest in NTPv3.
CHRONYD_V3_SHA256 = bytes.fromhex(
    "1c0100e700000000000000007f7f0101eeae63e3d3bfa3fc0123456789abcdefeeae63e5f867ba8deeae63e5f8693ecc"
    "00000003471fb5fcdfaf1600698486f43ed7f31f24259fa94d3423ce80950f58cb78e9d1"
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a key file that only its owner may read."""

    def write_file(data: bytes) -> Path:
        path = tmp_path / "keys"
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    return write_file


@pytest.fixture
def server_keys(write: Write) -> Mapping[int, Key]:
    return read_keys(write(SERVER_KEYS))


@pytest.mark.parametrize(("length", "code"), RFC_4493_CODES)
def test_cmac_is_that_of_rfc_4493(length: int, code: str) -> None:
    key = Key(1, KeyType.AES128, RFC_4493_KEY)
    assert key.mac(RFC_4493_MESSAGE[:length]).hex() == code
    assert key.verify(RFC_4493_MESSAGE[:length], bytes.fromhex(code))


@pytest.mark.parametrize(("length", "code"), SP_800_38B_CODES)
def test_cmac_with_a_256_bit_key_is_that_of_sp_800_38b(length: int, code: str) -> None:
    assert Key(1, KeyType.AES256, SP_800_38B_KEY).mac(RFC_4493_MESSAGE[:length]).hex() == code


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        # RFC 1321 A.5 and FIPS 180-4: of "abc", here divided between secret and message.
        (KeyType.MD5, "900150983cd24fb0d6963f7d28e17f72"),
        (KeyType.SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (KeyType.SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a3"),
        (KeyType.SHA384, "cb00753f45a35e8bb5a03d699ac65007272c32ab"),
        (KeyType.SHA512, "ddaf35a193617abacc417349ae20413112e6fa4e"),
    ],
)
def test_digest_is_over_secret_then_message_and_has_at_most_20_octets(kind: KeyType, digest: str) -> None:
    assert Key(1, kind, b"a").mac(b"bc").hex() == digest


@pytest.mark.parametrize("reply", REPLIES)
def test_reply_of_a_real_server_verifies_with_its_key_and_no_other(
    reply: bytes, server_keys: Mapping[int, Key]
) -> None:
    packet = decode(reply)
    assert packet.mac is not None
    covered = mac_coverage(reply, packet)
    assert covered == reply[:48]
    assert [number for number, key in server_keys.items() if key.verify(covered, packet.mac.digest)] == [
        packet.mac.key_id
    ]
    assert server_keys[packet.mac.key_id].mac(covered) == packet.mac.digest


def test_whole_digest_of_an_older_version_verifies(server_keys: Mapping[int, Key]) -> None:
    packet = decode(CHRONYD_V3_SHA256)
    assert packet.mac is not None
    assert len(packet.mac.digest) == 32
    assert server_keys[3].verify(CHRONYD_V3_SHA256[:48], packet.mac.digest)


@pytest.mark.parametrize("reply", REPLIES)
def test_one_wrong_bit_anywhere_is_refused(reply: bytes, server_keys: Mapping[int, Key]) -> None:
    key = server_keys[int.from_bytes(reply[48:52], "big")]
    for bit in range(0, 48 * 8, 5):
        changed = (int.from_bytes(reply[:48], "big") ^ 1 << bit).to_bytes(48, "big")
        assert not key.verify(changed, reply[52:])
    for bit in range(len(reply[52:]) * 8):
        changed = (int.from_bytes(reply[52:], "big") ^ 1 << bit).to_bytes(len(reply) - 52, "big")
        assert not key.verify(reply[:48], changed)


@pytest.mark.parametrize("cut", [0, 1, 4, 15, 19])
def test_shortened_digest_is_refused(cut: int, server_keys: Mapping[int, Key]) -> None:
    key = server_keys[3]
    assert not key.verify(b"data", key.mac(b"data")[:cut])
    assert not key.verify(b"data", key.mac(b"data") + b"\0")


@pytest.mark.parametrize(
    ("line", "kind", "secret"),
    [
        # chrony.conf(5), keyfile
        (b"10 tulip", KeyType.MD5, b"tulip"),
        (b"11 hyacinth", KeyType.MD5, b"hyacinth"),
        (b"20 MD5 ASCII:crocus", KeyType.MD5, b"crocus"),
        (
            b"25 SHA1 HEX:933F62BE1D604E68A81B557F18CFA200483F5B70",
            KeyType.SHA1,
            "933F62BE1D604E68A81B557F18CFA200483F5B70",
        ),
        (b"30 AES128 HEX:7EA62AE64D190114D46D5A082F948EC1", KeyType.AES128, "7EA62AE64D190114D46D5A082F948EC1"),
        # ntp.keys(5)
        (b"1 M secret", KeyType.MD5, b"secret"),
        (b"8 AES 7EA62AE64D190114D46D5A082F948EC1", KeyType.AES128, "7EA62AE64D190114D46D5A082F948EC1"),
        (b"8 AES128CMAC 0123456789abcdef # sixteen octets", KeyType.AES128, b"0123456789abcdef"),
        (b"8 aes-128-cmac 0123456789abcdef", KeyType.AES128, b"0123456789abcdef"),
        (b"8 AES-256 " + b"ab" * 32, KeyType.AES256, "ab" * 32),
        (b"8 SHA-1 0123456789abcdef0123", KeyType.SHA1, b"0123456789abcdef0123"),  # 20 characters are text
        (b"8 SHA512 longer-than-twenty-characters", KeyType.SHA512, b"longer-than-twenty-characters"),
        (b"  4294967295\tsha256  ASCII:with#sign \r", KeyType.SHA256, b"with#sign"),
        (b"9 SHA256 ASCII:" + b"ab" * 16, KeyType.SHA256, b"ab" * 16),
        (b"9 SHA256 HEXAGON", KeyType.SHA256, b"HEXAGON"),
        (b"9 SHA256 \xc3\xa9\xff", KeyType.SHA256, b"\xc3\xa9\xff"),
    ],
)
def test_line_is_read_as_chrony_and_ntpd_read_it(line: bytes, kind: KeyType, secret: bytes | str, write: Write) -> None:
    (key,) = read_keys(write(line + b"\n")).values()
    assert key.type == kind
    assert key.secret == (bytes.fromhex(secret) if isinstance(secret, str) else secret)


def test_comments_and_empty_lines_are_passed_over(write: Write) -> None:
    assert read_keys(write(b"# a\n! b\n; c\n% d\n\n   \n")) == {}


SECRET = b"hunter2hunter2"


@pytest.mark.parametrize(
    ("line", "what", "remedy"),
    [
        (SECRET, "the first word is no key number", "Begin with a number"),
        (b"0 MD5 " + SECRET, "the first word is no key number", "Begin with a number"),
        (b"4294967296 MD5 " + SECRET, "the first word is no key number", "Begin with a number"),
        (b"9" * 5000 + b" " + SECRET, "the first word is no key number", "Begin with a number"),
        (b"7", "key 7 has no secret", "Write NUMBER TYPE SECRET"),
        (b"7 SHA1", "key 7 has a type and no secret", "Write NUMBER TYPE SECRET"),
        (b"7 " + SECRET + b" word", "key 7 has a type that is not known", "Use one of MD5, SHA1"),
        (b"7 MD5 " + SECRET + b" word", "more than three words", "needs HEX:"),
        (b"7 MD5 a#" + SECRET, "ntpd ends the secret at its #", "Write ASCII: or HEX:"),
        (b"7 MD5 HEX:" + SECRET, "what follows HEX: is no hexadecimal", "Give pairs"),
        (b"7 MD5 HEX:abc", "what follows HEX: is no hexadecimal", "Give pairs"),
        (b"7 MD5 ASCII:", "the secret is empty", "Write a secret"),
        (b"7 SHA1 " + b"ab" * 20, "as hexadecimal and chrony as text", "Write HEX: or ASCII:"),
        (b"7 AES128 " + SECRET, "AES128 needs 16 octets, not 14", "Write HEX: and 32"),
        (b"7 AES256 HEX:" + b"ab" * 16, "AES256 needs 32 octets, not 16", "Write HEX: and 64"),
        (b"7 AES128 " + b"ab" * 15, "AES128 needs 16 octets, not 30", "Write HEX: and 32"),
        (b"7 MD5 ok\n7 MD5 " + SECRET, "key 7 is also on line 1", "number of its own"),
    ],
)
def test_bad_line_is_refused_with_its_remedy_and_without_its_secret(
    line: bytes, what: str, remedy: str, write: Write
) -> None:
    path = write(line)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    (problem,) = caught.value.problems
    assert problem.where == f"{path} line {len(line.splitlines())}"
    assert what in problem.what
    assert remedy in problem.remedy
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET.decode() not in told
    assert "abab" not in told


def test_every_bad_line_is_told_at_once(write: Write) -> None:
    path = write(b"1 MD5 good\nbad\n2 WHAT secret\n\n3 AES128 short\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert [problem.where for problem in caught.value.problems] == [
        str(path),
        f"{path} line 2",
        f"{path} line 3",
        f"{path} line 5",
    ]


@pytest.mark.parametrize("mode", [0o604, 0o601, 0o620, 0o602, 0o644, 0o666, 0o777])
def test_file_that_others_may_read_or_write_is_refused(mode: int, write: Write) -> None:
    path = write(b"1 MD5 secret\n")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"\(mode {mode:04o}\). Run: chmod 600 {path}"):
        read_keys(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o640, 0o440])
def test_file_that_is_kept_from_others_is_read(mode: int, write: Write) -> None:
    path = write(b"1 MD5 secret\n")
    path.chmod(mode)
    assert set(read_keys(path)) == {1}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_keys(tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory"):
        read_keys(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_keys(tmp_path / "pipe")


def test_secret_is_not_in_what_a_key_prints(write: Write) -> None:
    keys = read_keys(write(b"7 SHA256 " + SECRET))
    assert repr(keys) == "{7: Key(key_id=7, type=<KeyType.SHA256: 'SHA256'>)}"
    assert SECRET.decode() not in f"{keys[7]!s} {keys[7]!r} {keys}"
