"""The InfluxDB sink: batches of lines to `/api/v2/write` or to `/write` of 1.x. The only importer of influxdb_client.

Rule: a bad line costs itself and nothing else: where the database finds fault with a batch, halves of it are sent until the
line stands alone; writing a good line twice is harmless. Secrets travel in a header, never in an address, a log or an
error. Encoding goes in slices and compression in a thread, so that the event loop keeps measuring.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from timesync.errors import StoreError
from timesync.store.answers import Answer, Verdict, dropped_all, judge
from timesync.store.lineprotocol import LineProtocolError, encode
from timesync.store.secret import Secret
from timesync.store.sink import Refusal, SinkUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.model import Record
    from timesync.settings import InfluxSettings

__all__ = ["InfluxSink"]

_SLICE = 50  # records encoded between two turns of the event loop: about a millisecond
_COMPRESSION = 4
_CHEAP_BYTES = 20_000  # compressed without a thread


class _Transport(Protocol):
    """One way of posting lines."""

    async def post(self, body: bytes, *, compressed: bool) -> Answer:
        """Send a body of lines. Raises aiohttp.ClientError, OSError or TimeoutError where there is no answer."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class _Line:
    record: Record
    line: bytes


class InfluxSink:
    """A bucket or database of one server. Connects at the first write."""

    def __init__(self, settings: InfluxSettings) -> None:
        """Reads nothing and connects to nothing yet."""
        self.name = settings.name
        self.at_once = settings.batch_size
        self._settings = settings
        file = settings.token_file if settings.api == "v2" else settings.password_file
        self._secret = Secret(file) if file is not None else None
        self._secret_in_use: str | None = None
        self._transport: _Transport | None = None
        self._largest_body: int | None = None  # learnt from a 413

    async def write(self, records: Sequence[Record]) -> Sequence[Refusal]:
        """Store all records or say which cannot be. Raises `SinkUnavailableError` if the batch should be tried again."""
        lines, refusals = await _encoded(records)
        size = self._settings.batch_size
        pending = [lines[at : at + size] for at in range(0, len(lines), size)][::-1]
        doubtful: list[Refusal] = []
        stored = 0
        while pending:
            part = pending.pop()
            body = b"\n".join([each.line for each in part])
            if self._largest_body is not None and len(body) > self._largest_body and len(part) > 1:
                pending += _halves(part)
                continue
            answer = await self._send(body)
            text = self._clean(answer.text)
            if answer.verdict is Verdict.STORED:
                stored += len(part)
            elif answer.verdict is Verdict.UNAVAILABLE:
                raise SinkUnavailableError(text, answer.retry_after_s)
            elif len(part) == 1 or (answer.verdict is Verdict.LINE_FAULT and dropped_all(text, len(part))):
                blamed = doubtful if answer.verdict is Verdict.DOUBTFUL else refusals
                blamed += [Refusal(each.record, text) for each in part]
            else:
                if answer.verdict is Verdict.TOO_LARGE:
                    self._largest_body = len(body) // 2
                pending += _halves(part)
        if doubtful and not stored:
            # nothing at all went in: more likely the request is wrong than every record
            raise SinkUnavailableError(f"it takes none of {len(doubtful)} records: {doubtful[0].reason}")
        return [*refusals, *doubtful]

    async def _send(self, body: bytes) -> Answer:
        compress = self._settings.gzip and len(body) > 500
        if compress:
            packed = gzip.compress(body, _COMPRESSION) if len(body) < _CHEAP_BYTES else None
            body = packed if packed is not None else await asyncio.to_thread(gzip.compress, body, _COMPRESSION)
        try:
            transport = await self._connected()
            return await transport.post(body, compressed=compress)
        except TimeoutError as error:
            text = f"{_shown(self._settings.url)} does not answer within {self._settings.timeout_s:g} s"
            raise SinkUnavailableError(text) from error
        except (aiohttp.ClientError, OSError) as error:
            text = self._clean(f"{_shown(self._settings.url)}: {str(error) or type(error).__name__}")
            raise SinkUnavailableError(text) from error

    async def _connected(self) -> _Transport:
        """The transport, made anew when the secret's file has changed."""
        try:
            secret = self._secret.read() if self._secret is not None else None
        except StoreError as error:
            raise SinkUnavailableError(str(error)) from error
        if self._transport is None or secret != self._secret_in_use:
            await self.close()
            make = _TransportV2 if self._settings.api == "v2" else _TransportV1
            self._transport = make(self._settings, secret)
            self._secret_in_use = secret
        return self._transport

    def _clean(self, text: str) -> str:
        """A text from outside without our secret in it."""
        return text.replace(self._secret_in_use, "***") if self._secret_in_use else text

    async def close(self) -> None:
        """Let go of the connections."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()


async def _encoded(records: Sequence[Record]) -> tuple[list[_Line], list[Refusal]]:
    """The lines of all records, and those that cannot be said in lines; lets the event loop turn in between."""
    lines: list[_Line] = []
    refusals: list[Refusal] = []
    for index, record in enumerate(records, start=1):
        try:
            lines.append(_Line(record, encode(record).encode()))
        except LineProtocolError as error:
            refusals.append(Refusal(record, str(error)))
        if index % _SLICE == 0:
            await asyncio.sleep(0)
    return lines, refusals


def _halves(part: list[_Line]) -> list[list[_Line]]:
    """Both halves, the later one first: they are taken from the end."""
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _shown(url: str) -> str:
    """An address as it may be shown: without a user name, password or query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _TransportV2:
    """/api/v2/write through influxdb_client: InfluxDB 2.x, 3 Core, 1.8 and later, VictoriaMetrics."""

    def __init__(self, settings: InfluxSettings, token: str | None) -> None:
        self._settings = settings
        self._client = InfluxDBClientAsync(
            url=settings.url,
            token=token or "",
            org=settings.organisation,
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            verify_ssl=settings.verify_tls,
            ssl_ca_cert=str(settings.ca_file) if settings.ca_file else None,
            allow_redirects=False,
        )
        self._service = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]  # the client has no types

    async def post(self, body: bytes, *, compressed: bool) -> Answer:
        headers = {"content_encoding": "gzip"} if compressed else {}
        try:
            await self._service.post_write_async(  # type: ignore[no-untyped-call]  # the client has no types
                org=self._settings.organisation,
                bucket=self._settings.bucket,
                body=body,
                precision="ns",
                async_req=False,
                _return_http_data_only=False,
                content_type="text/plain; charset=utf-8",
                **headers,
            )
        except ApiException as error:
            return judge(error.status or 0, error.body or b"", error.headers or {})
        return Answer(Verdict.STORED)

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]  # the client has no types


class _TransportV1:
    """/write of InfluxDB 1.x, which influxdb_client does not speak."""

    def __init__(self, settings: InfluxSettings, password: str | None) -> None:
        self._url = f"{settings.url.rstrip('/')}/write"
        self._query = {"db": settings.database, "precision": "ns"}
        if settings.retention_policy:
            self._query["rp"] = settings.retention_policy
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if settings.username:
            credentials = f"{settings.username}:{password or ''}".encode()
            headers["Authorization"] = f"Basic {b64encode(credentials).decode()}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            connector=aiohttp.TCPConnector(ssl=_tls(settings)),
        )

    async def post(self, body: bytes, *, compressed: bool) -> Answer:
        headers = {"Content-Encoding": "gzip"} if compressed else {}
        async with self._session.post(
            self._url, params=self._query, data=body, headers=headers, allow_redirects=False
        ) as response:
            return judge(response.status, await response.read(), response.headers)

    async def close(self) -> None:
        await self._session.close()


def _tls(settings: InfluxSettings) -> ssl.SSLContext | bool:
    if not settings.url.startswith("https:"):
        return True
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
