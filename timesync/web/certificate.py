"""The certificate of the web server, renewed without a restart.

Rule: a pair of files is tried beside the one in use, and what was tried takes its place, so that a renewal that is half done, or
wrong, leaves the server speaking with what it has. Connections that are open keep theirs.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from timesync.errors import TimesyncError
from timesync.model import Validity

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Certificate"]

_Stamps = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate and its key, PEM. `context` is what the server listens with, `validity` from when until when it is valid."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises TimesyncError where they cannot be used."""
        self._certificate = certificate
        self._key = key
        self._used = self._stamps()
        self._refused: _Stamps | None = None
        self._told: _Stamps | None = None
        self.context = self._serving = self._load()
        self.context.sni_callback = self._choose
        self.validity = _validity(certificate)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Asked by OpenSSL for each connection, also where no name is given."""
        connection.context = self._serving

    def _stamps(self) -> _Stamps:
        try:
            found = [path.stat() for path in (self._certificate, self._key)]
        except OSError:
            return ()
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            text = f"[http]: tls_certificate and tls_key cannot be used: {error}. See that they are PEM, and belong together"
            raise TimesyncError(text) from error
        return context

    def renew(self, *, patient: bool) -> bool:
        """Take the files as they are now, if they are others; True if they were taken.

        Raises TimesyncError, once for each state of the files, where they cannot be used; `patient`: only if they could not be
        used at the last look either, because the two are not written at the same instant.
        """
        now = self._stamps()
        if now == self._used:
            return False
        try:
            tried = self._load()
        except TimesyncError:
            settled, self._refused = now == self._refused, now
            if now == self._told or (patient and not settled):
                return False
            self._told = now
            raise
        validity = _validity(self._certificate)
        if self._stamps() != now:
            return False  # written at this instant: the next look takes it
        self._serving, self.validity, self._used = tried, validity, now
        return True


def _validity(certificate: Path) -> Validity | None:
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - most probes serve on loopback, without

    try:
        served = load_pem_x509_certificate(certificate.read_bytes())  # the first in the file is the server's own
    except (OSError, ValueError):  # what OpenSSL took and this does not: then nothing is known
        return None
    first, last = served.not_valid_before_utc, served.not_valid_after_utc
    return Validity(round(first.timestamp()) * 10**9, round(last.timestamp()) * 10**9)
