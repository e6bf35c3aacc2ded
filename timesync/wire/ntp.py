"""NTP packets: bytes to `Packet` and back, exactly.

Rule: raw integers only, nothing is interpreted and nothing is lost. `encode(decode(data)) == data` for every octet string
that decodes, and `decode(encode(packet)) == packet` for every packet that encodes. Whatever arrives from the network,
`decode` returns a packet or raises a `WireError`. Whether a packet is believed is decided elsewhere.

Sources: RFC 5905 section 7.3 (header) and 7.5 (extension fields), RFC 7822 (extension field or MAC), RFC 8573 (MAC).

What follows the 48 octets of the header, by version:

- up to 3: no extension fields. Everything is a MAC: a key identifier and a digest of 16 to 68 octets.
- from 4: RFC 7822 section 3 makes the trailer readable without knowing any key, because an NTPv4 MAC has at most 24 octets
  and a last extension field without a MAC at least 28. So, with n octets left: 0 is the end; 4 is a crypto-NAK; 20 and 24
  are a MAC with 16 or 20 octets of digest; 28 and more begin with an extension field; the rest is malformed.
- either: a trailer of 4 octets is a crypto-NAK, and its key identifier is zero.

In NTPv4 chrony and ntpsec cut a digest longer than 20 octets (SHA-256 and longer) to its first 20, so what they send has 20 or 24
octets. Other peers send the whole digest: where what follows the header cannot be extension fields, and is as long as a key
identifier and a digest of 32, 48 or 64 octets, it is read as that MAC. (A key identifier that looks like the beginning of an
extension field is read as one, as the RFC has it; such a packet fails its authentication.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from timesync.errors import DataError, WireError

__all__ = [
    "HEADER_OCTETS",
    "MAX_V4_DIGEST_OCTETS",
    "Extension",
    "Mac",
    "MalformedError",
    "Packet",
    "TooShortError",
    "decode",
    "encode",
    "kiss_code",
    "mac_coverage",
    "reference_id_text",
]

HEADER_OCTETS = 48
MAX_V4_DIGEST_OCTETS = 20  # RFC 7822 section 3: an NTPv4 MAC has at most 24 octets, key identifier included

_HEADER = struct.Struct("!BBbbIIIQQQQ")
_EXTENSION_HEADER = struct.Struct("!HH")
_KEY_ID = struct.Struct("!I")

_CRYPTO_NAK_OCTETS = 4
_MIN_EXTENSION_OCTETS = 16  # RFC 7822 section 3, followed by another field or a MAC
_MIN_LAST_EXTENSION_OCTETS = 28  # RFC 7822 section 3, not followed by a MAC
_V4_MAC_OCTETS = frozenset({20, 24})  # MD5, AES-CMAC; SHA-1 and what is cut to its length
_V4_LONG_MAC_OCTETS = frozenset({4 + 32, 4 + 48, 4 + 64})  # SHA-256, SHA-384, SHA-512, not cut
_V3_MAC_OCTETS = range(
    4 + 16, 4 + 68 + 1, 4
)  # MD5 to SHA-512; 68 is Microsoft's extended authenticator (MS-SNTP 2.2.2)


class TooShortError(WireError):
    """Fewer octets than an NTP header."""


class MalformedError(WireError):
    """What follows the header is neither extension fields nor a MAC."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension field: its 16-bit type and its body, padding included (a whole number of 32-bit words)."""

    type: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Mac:
    """The authenticator: a 32-bit key identifier and the digest as sent. A crypto-NAK is key 0 with no digest."""

    key_id: int
    digest: bytes


class Packet(NamedTuple):
    """One NTP packet, every field as it is on the wire (RFC 5905 figure 8).

    `poll` and `precision` are signed log2 seconds; `root_delay` and `root_dispersion` unsigned 16.16 seconds;
    `reference_id` 32 bits; the four timestamps unsigned 32.32 seconds of an era that the packet does not tell.
    """

    leap: int
    version: int
    mode: int
    stratum: int
    poll: int
    precision: int
    root_delay: int
    root_dispersion: int
    reference_id: int
    reference: int
    origin: int
    receive: int
    transmit: int
    extensions: tuple[Extension, ...] = ()
    mac: Mac | None = None


def decode(data: bytes) -> Packet:
    """The packet that `data` (one datagram) holds.

    Raises `TooShortError` or `MalformedError` (both `WireError`), and nothing else.
    """
    try:
        first, stratum, poll, precision, delay, dispersion, reference_id, reference, origin, receive, transmit = (
            _HEADER.unpack_from(data)
        )
    except struct.error:
        raise TooShortError(f"{len(data)} octets, an NTP header has {HEADER_OCTETS}") from None
    extensions: tuple[Extension, ...] = ()
    mac = None
    version = first >> 3 & 7
    if len(data) != HEADER_OCTETS:
        extensions, mac = _trailer(data, version)
    return Packet(
        first >> 6,
        version,
        first & 7,
        stratum,
        poll,
        precision,
        delay,
        dispersion,
        reference_id,
        reference,
        origin,
        receive,
        transmit,
        extensions,
        mac,
    )


def encode(packet: Packet) -> bytes:
    """The octets of `packet`.

    Raises `DataError` where a field does not fit its width, or where the peer could not tell the extension fields from the
    MAC (an NTPv4 packet that ends in an extension field of fewer than 28 octets, a digest of no known length, ...).
    """
    if not (0 <= packet.leap <= 3 and 0 <= packet.version <= 7 and 0 <= packet.mode <= 7):
        raise DataError(
            f"leap {packet.leap}, version {packet.version} or mode {packet.mode} does not fit; use 0-3, 0-7, 0-7"
        )
    try:
        data = _HEADER.pack(
            packet.leap << 6 | packet.version << 3 | packet.mode,
            packet.stratum,
            packet.poll,
            packet.precision,
            packet.root_delay,
            packet.root_dispersion,
            packet.reference_id,
            packet.reference,
            packet.origin,
            packet.receive,
            packet.transmit,
        )
        if not packet.extensions and packet.mac is None:
            return data
        parts = [data]
        for extension in packet.extensions:
            parts += (_EXTENSION_HEADER.pack(extension.type, 4 + len(extension.body)), extension.body)
        if packet.mac is not None:
            parts += (_KEY_ID.pack(packet.mac.key_id), packet.mac.digest)
    except struct.error as error:
        raise DataError(f"a field of the NTP packet does not fit its width: {error}; see RFC 5905 figure 8") from error
    data = b"".join(parts)
    try:
        read_back = _trailer(data, packet.version)
    except MalformedError as error:
        raise DataError(f"no peer could read this NTP packet: {error}; see RFC 7822 section 3") from error
    if read_back != (packet.extensions, packet.mac):
        raise DataError("a peer would read other extension fields or another MAC; see RFC 7822 section 3")
    return data


def mac_coverage(data: bytes, packet: Packet) -> bytes:
    """The octets that a MAC covers (RFC 5905 section 7.3): header and extension fields, without the MAC itself.

    `data` is what `packet` was decoded from or encoded to. Without a MAC it is all of `data`: what a MAC to be added covers.
    """
    if packet.mac is None:
        return data
    return data[: len(data) - 4 - len(packet.mac.digest)]


def kiss_code(packet: Packet) -> str | None:
    """The kiss code (RFC 5905 section 7.4): four ASCII letters where the stratum is 0, else None."""
    if packet.stratum != 0:
        return None
    octets = packet.reference_id.to_bytes(4, "big")
    return octets.decode("ascii") if octets.isalpha() else None


def reference_id_text(stratum: int, reference_id: int) -> str:
    """The reference identifier (32 bits) as people write it (RFC 5905 section 7.3).

    Stratum 0 and 1: the ASCII name, without its padding (`GPS`, `PPS`, `RATE`). Stratum 2 and above: a dotted IPv4 address,
    which for an IPv6 source is no address but the first octets of its hash. Octets that are no name are dotted too.
    """
    octets = reference_id.to_bytes(4, "big")
    name = octets.rstrip(b"\0")
    if stratum <= 1 and name and all(0x20 < octet < 0x7F for octet in name):
        return name.decode("ascii")
    return ".".join(str(octet) for octet in octets)


def _trailer(data: bytes, version: int) -> tuple[tuple[Extension, ...], Mac | None]:
    """What follows the header; `data` is longer than a header."""
    left = len(data) - HEADER_OCTETS
    if left % 4:
        raise MalformedError(f"{len(data)} octets are not a whole number of 32-bit words")
    if left == _CRYPTO_NAK_OCTETS or (version <= 3 and left in _V3_MAC_OCTETS):
        return (), _mac(data, HEADER_OCTETS)
    if version <= 3:
        raise MalformedError(f"{left} octets after the header of version {version} are no MAC")
    try:
        return _extensions(data)
    except MalformedError:
        if left in _V4_LONG_MAC_OCTETS:
            return (), _mac(data, HEADER_OCTETS)
        raise


def _extensions(data: bytes) -> tuple[tuple[Extension, ...], Mac | None]:
    """The extension fields of NTPv4 and the MAC after them (RFC 7822 section 3)."""
    extensions: list[Extension] = []
    end = len(data)
    at = HEADER_OCTETS
    while at < end:
        left = end - at
        if left == _CRYPTO_NAK_OCTETS or left in _V4_MAC_OCTETS:
            return tuple(extensions), _mac(data, at)
        if left < _MIN_LAST_EXTENSION_OCTETS:
            raise MalformedError(f"the last {left} octets are neither an extension field nor a MAC")
        kind, length = _EXTENSION_HEADER.unpack_from(data, at)
        if length % 4 or not _MIN_EXTENSION_OCTETS <= length <= left:
            raise MalformedError(f"the extension field at octet {at} gives its length as {length}, with {left} left")
        extensions.append(Extension(kind, data[at + 4 : at + length]))
        at += length
    return tuple(extensions), None


def _mac(data: bytes, at: int) -> Mac:
    """The MAC that begins at octet `at` and ends the packet."""
    (key_id,) = _KEY_ID.unpack_from(data, at)
    digest = data[at + 4 :]
    if not digest and key_id:
        raise MalformedError(f"key identifier {key_id} without a digest")
    return Mac(key_id, digest)
