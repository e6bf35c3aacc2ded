"""Symmetric keys: the file that chrony and ntpd share, and the message authentication codes made with it.

Rule: a secret is in the key and nowhere else. It is in no error, no repr and no log, and neither is any part of a line that
could be one. A file that others may read is refused. Where chrony and ntpd would read one line as two different secrets, the line
is refused with the way to write it so that it has one meaning. All that is wrong with a file is told at once.

Sources: RFC 5905 section 7.3 and appendix A.2 (digest of secret and packet), RFC 8573 (AES-128-CMAC), RFC 4493 (AES-CMAC), RFC 7822
(an NTPv4 MAC has at most 20 octets of digest), the manual pages chrony.conf(5) keyfile and ntp.keys(5).

The file: `NUMBER [TYPE] SECRET` a line, MD5 where no type is given. `HEX:` and `ASCII:` before the secret say how it is written.
Without them it is text, except that an AES key of the right length in hexadecimal digits is that. ntpd reads more than 20
hexadecimal digits as octets and chrony as text: with a digest such a secret needs `HEX:` or `ASCII:` here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from timesync.errors import ConfigError, Problem
from timesync.secrecy import is_open_to_others

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Key", "KeyType", "read_keys"]

MAX_DIGEST_OCTETS = 20  # RFC 7822 section 3


class KeyType(StrEnum):
    """How a key authenticates: a digest of secret and message, or a CMAC."""

    MD5 = "MD5"
    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA384 = "SHA384"
    SHA512 = "SHA512"
    AES128 = "AES128"
    AES256 = "AES256"


CMAC_KEY_OCTETS = {KeyType.AES128: 16, KeyType.AES256: 32}

# Names in chrony (chrony.conf(5)), ntpsec and ntpd (ntp.keys(5)) and the RFCs; compared without case and hyphens.
_TYPE_NAMES = {
    b"M": KeyType.MD5,
    b"MD5": KeyType.MD5,
    b"SHA": KeyType.SHA1,
    b"SHA1": KeyType.SHA1,
    b"SHA256": KeyType.SHA256,
    b"SHA384": KeyType.SHA384,
    b"SHA512": KeyType.SHA512,
    b"AES": KeyType.AES128,
    b"AES128": KeyType.AES128,
    b"AES128CMAC": KeyType.AES128,
    b"AES256": KeyType.AES256,
    b"AES256CMAC": KeyType.AES256,
}


@dataclass(frozen=True, slots=True)
class Key:
    """A symmetric key shared with a server. Its secret cannot be had back from it by printing it."""

    key_id: int
    type: KeyType
    secret: bytes = field(repr=False)

    def mac(self, data: bytes) -> bytes:
        """The digest over `data` (header and extension fields), as chrony and ntpd send it in NTPv4: at most 20 octets.

        In NTPv3 ntpsec cuts digests of SHA-256 and longer in the same way, and chrony does not cut them: ask in NTPv4.
        """
        return self._whole(data)[:MAX_DIGEST_OCTETS]

    def verify(self, data: bytes, digest: bytes) -> bool:
        """Whether `digest` is this key's over `data`, cut to 20 octets or whole. The time taken does not tell how near it is."""
        whole = self._whole(data)
        cut = hmac.compare_digest(whole[:MAX_DIGEST_OCTETS], digest)
        return hmac.compare_digest(whole, digest) or cut

    def _whole(self, data: bytes) -> bytes:
        if self.type in CMAC_KEY_OCTETS:
            return _cmac(self.secret, data)
        # Not the use that these digests were made for, and the one that NTP has: "usedforsecurity" asks whether this host
        # forbids them, and the operator has chosen.
        return hashlib.new(self.type.value, self.secret + data, usedforsecurity=False).digest()


def _cmac(secret: bytes, data: bytes) -> bytes:
    # Imported where it is used: most probes have no AES key, and this library takes long to load.
    from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415 -- see above
    from cryptography.hazmat.primitives.cmac import CMAC  # noqa: PLC0415 -- see above

    cmac = CMAC(AES(secret))
    cmac.update(data)
    return cmac.finalize()


def read_keys(path: Path) -> Mapping[int, Key]:
    """The keys of a file, by number.

    Raises `ConfigError` with every problem of the file: it cannot be read, it is open to others (timesync.secrecy),
    lines that are no keys.
    """
    source = str(path)
    try:
        # The rights are asked of the open file, so that it cannot be exchanged in between.
        with open(path, "rb", opener=_open_without_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(source, (Problem(source, "the key file is not a regular file", "Name a file."),))
            data = file.read()
    except OSError as error:
        what = f"the key file cannot be read ({error.strerror})"
        raise ConfigError(source, (Problem(source, what, "Check its path and its owner."),)) from error
    problems = list(_rights(source, mode))
    keys = _parse(data, source, problems)
    if problems:
        raise ConfigError(source, tuple(problems))
    return keys


def _open_without_waiting(path: str, flags: int) -> int:
    """An opener that does not wait for a writer where the path is a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _rights(source: str, mode: int) -> tuple[Problem, ...]:
    if is_open_to_others(mode):
        what = f"the key file is not kept from others (mode {mode & 0o777:04o})"
        return (Problem(source, what, f"Run: chmod 600 {source}"),)
    return ()


class _BadLineError(Exception):
    """A line that is no key: what is wrong (never with any of its text) and the remedy."""


def _parse(data: bytes, source: str, problems: list[Problem]) -> dict[int, Key]:
    keys: dict[int, Key] = {}
    lines: dict[int, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        words = line.split()
        if not words or words[0][:1] in (b"#", b"!", b";", b"%"):  # comments in chrony; # in ntpd
            continue
        where = f"{source} line {number}"
        try:
            key = _key(words)
        except _BadLineError as error:
            what, remedy = error.args
            problems.append(Problem(where, what, remedy))
            continue
        if key.key_id in keys:
            what = f"key {key.key_id} is also on line {lines[key.key_id]}"
            problems.append(Problem(where, what, "Give every key a number of its own."))
            continue
        keys[key.key_id], lines[key.key_id] = key, number
    return keys


def _key(words: list[bytes]) -> Key:
    """The key of one line's words: NUMBER [TYPE] SECRET, perhaps with a comment after three words as in ntpd."""
    if len(words) > 3 and not words[3].startswith(b"#"):
        raise _BadLineError("more than three words", "Write NUMBER TYPE SECRET; a secret with spaces needs HEX:.")
    number = words[0]
    if not re.fullmatch(rb"[0-9]{1,10}", number) or not 1 <= int(number) <= 0xFFFF_FFFF:
        raise _BadLineError("the first word is no key number", "Begin with a number from 1 to 4294967295.")
    if len(words) == 1:
        raise _BadLineError(f"key {int(number)} has no secret", "Write NUMBER TYPE SECRET.")
    # One word after the number is a secret for MD5, unless it is the name of a type: then the secret was forgotten.
    name = words[1] if len(words) > 2 else b"MD5"
    kind = _type(name)
    if kind is None:
        known = ", ".join(KeyType)
        raise _BadLineError(f"key {int(number)} has a type that is not known", f"Use one of {known}.")
    if len(words) == 2 and _type(words[1]) is not None:
        raise _BadLineError(f"key {int(number)} has a type and no secret", "Write NUMBER TYPE SECRET.")
    return Key(int(number), kind, _secret(words[-1] if len(words) < 4 else words[2], kind, int(number)))


def _type(name: bytes) -> KeyType | None:
    return _TYPE_NAMES.get(name.upper().replace(b"-", b""))


def _secret(word: bytes, kind: KeyType, number: int) -> bytes:
    needed = CMAC_KEY_OCTETS.get(kind)
    if word.startswith(b"HEX:"):
        secret = _from_hex(word.removeprefix(b"HEX:"))
        if secret is None:
            raise _BadLineError(
                f"key {number}: what follows HEX: is no hexadecimal", "Give pairs of hexadecimal digits."
            )
    elif word.startswith(b"ASCII:"):
        secret = word.removeprefix(b"ASCII:")
    elif b"#" in word:
        raise _BadLineError(
            f"key {number}: ntpd ends the secret at its # and chrony does not",
            "Write ASCII: or HEX: before the secret.",
        )
    else:
        secret = word
        as_hex = _from_hex(word) if len(word) > 20 else None
        if as_hex is not None and len(as_hex) == needed:
            secret = as_hex
        elif as_hex is not None and needed is None:
            raise _BadLineError(
                f"key {number}: ntpd reads this secret as hexadecimal and chrony as text",
                "Write HEX: or ASCII: before the secret.",
            )
    if not secret:
        raise _BadLineError(f"key {number}: the secret is empty", "Write a secret.")
    if needed is not None and len(secret) != needed:
        raise _BadLineError(
            f"key {number}: {kind} needs {needed} octets, not {len(secret)}",
            f"Write HEX: and {2 * needed} hexadecimal digits.",
        )
    return secret


def _from_hex(digits: bytes) -> bytes | None:
    if len(digits) % 2 or not re.fullmatch(rb"[0-9a-fA-F]+", digits):
        return None
    return bytes.fromhex(digits.decode("ascii"))
