"""Passwords as they are kept: a line a person, `name:scrypt$ln=14,r=8,p=1$salt$hash` (RFC 7914; base64 without padding).

Rule: the file holds no password, and what is compared is compared in constant time. No message holds a line of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING

from timesync.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fits", "make_line", "read_passwords"]

LOG_N, R, P = (
    14,
    8,
    1,
)  # 16 MiB and some 50 ms for each try: the parameters of the third test vector of RFC 7914 section 12
SALT_OCTETS = 16
HASH_OCTETS = 32
_LINE = re.compile(r"([A-Za-z0-9._@-]{1,64}):scrypt\$ln=(1[0-7]),r=([1-9]|1[0-6]),p=([1-5])\$([\w+/]+)\$([\w+/]+)")


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _hash(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    # Twice what it takes (128 N r), because OpenSSL counts some of it twice.
    room = 256 * (1 << log_n) * r + (1 << 20)
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << log_n, r=r, p=p, maxmem=room, dklen=HASH_OCTETS)


def make_line(name: str, password: str, salt: bytes | None = None) -> str:
    """The line for a person. Raises DataError for a name that cannot be one, or no password."""
    salt = os.urandom(SALT_OCTETS) if salt is None else salt
    if not password:
        raise DataError("an empty password protects nothing: give one")
    line = f"{name}:scrypt$ln={LOG_N},r={R},p={P}${_text(salt)}${_text(_hash(password, salt, LOG_N, R, P))}"
    if _LINE.fullmatch(line) is None:
        raise DataError(f"{name[:80]!r} is no name: letters, digits and . _ @ - make one, 64 at most")
    return line


def read_passwords(text: str) -> Mapping[str, str]:
    """The lines by their names; blank lines and those that begin with # are passed over.

    Raises DataError with the number of a line that is none, or where there is none at all.
    """
    found = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(f"line {number} is no line of `timesync password NAME`: put there what that prints")
        found[match[1]] = line
    if not found:
        raise DataError("nobody is in it: add the line that `timesync password NAME` prints")
    return found


def fits(line: str | None, password: str) -> bool:
    """Whether a password is the one of a line; as slow, and false, where there is no line: names cannot be guessed by the clock."""
    match = _LINE.fullmatch(line or "")
    if match is None:
        _hash(password, b"nobody", LOG_N, R, P)
        return False
    try:
        salt, wanted = _octets(match[5]), _octets(match[6])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(_hash(password, salt, int(match[2]), int(match[3]), int(match[4])), wanted)
