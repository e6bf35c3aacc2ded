"""Who may read: nobody from elsewhere without TLS and a secret, and no page of another site through somebody's browser.

Rule: on loopback everybody of this machine may read. On any other address the server starts only with TLS and a token or passwords,
and each request must carry one of them, but for the question whether the probe is alive or ready, which is answered in a word.
Secrets are compared in constant time, are in no message, and are read again when their file changes. Without a secret a request
must name the server by an address or as localhost: a foreign name that points here is how a web page reads what is on loopback
(DNS rebinding).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import os
from typing import TYPE_CHECKING

from aiohttp import web

from timesync.errors import DataError, StoreError
from timesync.secrecy import is_open_to_others
from timesync.store.secret import Secret
from timesync.web.listening import is_loopback
from timesync.web.passwords import fits, read_passwords

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from timesync.settings import HttpSettings

__all__ = ["OPEN", "Guard"]

OPEN = frozenset({"/healthz", "/readyz"})
"""What answers without a secret, too, because a container's health check has none: whether all is well, and nothing else."""

TOKEN_USER = "token"  # noqa: S105 - the name by which a browser gives the token as a password
WAITING = 8  # passwords being checked at once; each takes 16 MiB and some 50 ms
REMEMBERED = 256
CHALLENGE = 'Basic realm="timesync", charset="UTF-8"'


class Guard:
    """The middleware of the web server."""

    def __init__(self, settings: HttpSettings) -> None:
        """Nothing is read yet."""
        self._host = settings.host
        self._token = Secret(settings.token_file) if settings.token_file is not None else None
        self._passwords = settings.password_file
        self._seen: tuple[int, int, int] | None = None
        self._lines: Mapping[str, str] = {}
        self._key = os.urandom(32)
        self._known: set[bytes] = set()  # headers that were found right, keyed: scrypt is for the first time only
        self._turn = asyncio.Lock()
        self._waiting = 0

    @property
    def _has_secret(self) -> bool:
        return self._token is not None or self._passwords is not None

    def vouches(self, request: web.Request) -> bool:
        """Whether a request that was let through may learn more than `OPEN` tells: it carried the secret, or needs none."""
        return not self._has_secret or bool(request.headers.get("Authorization"))

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let the request through, or say why not."""
        header = request.headers.get("Authorization", "")
        if not self._has_secret and not self._is_named_well(request):
            return web.Response(status=421, text="this name is not the probe's: use its address or localhost\n")
        if not self._has_secret or (not header and request.path in OPEN):
            return await handler(request)
        return await self._if_allowed(header, request, handler)

    async def _if_allowed(
        self, header: str, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            allowed = await self._allowed(header)
        except (StoreError, DataError, OSError) as error:
            return web.Response(status=500, text=f"the secrets of [http] cannot be used: {error}\n")
        if allowed is None:
            return web.Response(status=429, headers={"Retry-After": "2"}, text="too many passwords at once\n")
        if not allowed:
            text = "give the token (Authorization: Bearer) or a name and password\n"
            return web.Response(status=401, headers={"WWW-Authenticate": CHALLENGE}, text=text)
        return await handler(request)

    def _is_named_well(self, request: web.Request) -> bool:
        host = request.headers.get("Host", "")
        name = host.rpartition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
        if is_loopback(name) or name == self._host:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _allowed(self, header: str) -> bool | None:
        """Whether a header is right; None where too many are being looked at."""
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(value.strip())
        if scheme.lower() != "basic":
            return False
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        if name == TOKEN_USER and self._is_token(password):
            return True
        return await self._is_password(header, name, password)

    def _is_token(self, text: str) -> bool:
        return self._token is not None and hmac.compare_digest(self._token.read().encode(), text.encode())

    async def _is_password(self, header: str, name: str, password: str) -> bool | None:
        if self._passwords is None:
            return False
        self._read(self._passwords)
        mark = hmac.digest(self._key, header.encode(), "sha256")
        if mark in self._known:
            return True
        if self._waiting >= WAITING:
            return None
        self._waiting += 1
        try:
            async with self._turn:
                right = await asyncio.to_thread(fits, self._lines.get(name), password)
        finally:
            self._waiting -= 1
        if right and len(self._known) < REMEMBERED:
            self._known.add(mark)
        return right

    def _read(self, path: Path) -> None:
        """Take the file as it is now. Raises OSError, StoreError and DataError."""
        status = path.stat()
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen == self._seen:
            return
        if is_open_to_others(status.st_mode):
            raise StoreError(f"{path} is open to others: chmod 0600 {path}")
        self._known.clear()
        self._lines = read_passwords(path.read_text())
        self._seen = seen
