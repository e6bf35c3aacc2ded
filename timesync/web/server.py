"""The daemon's small HTTP server: /metrics, /healthz, /readyz, an index at /, and the pages that others add.

Rule: read-only (GET and HEAD), on the loopback interface unless configured otherwise, and knows nothing of measuring:
every fact comes from a callable that is passed in. Every answer carries the headers that keep a browser from guessing,
framing or caching; what comes from outside is escaped.

    server = WebServer(
        HttpSettings(), title="NIM / probe-1", metrics=exposition.expose, alive=alive_checks, ready=ready_checks
    )
    await server.start()          # server.urls: where it listens; port 0 in the settings chooses a free one
    await server.stop()
"""

from __future__ import annotations

import html
import json
import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from timesync import __version__
from timesync.errors import TimesyncError
from timesync.web.guard import Guard
from timesync.web.health import is_well, report
from timesync.web.listening import unsafe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from timesync.settings import HttpSettings
    from timesync.web.health import Check

__all__ = ["Page", "WebServer", "make_application"]

log = logging.getLogger(__name__)

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECURITY_HEADERS = {
    "Server": "timesync",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

_COMPRESS_ABOVE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Page:
    """One more page: where it is, its line in the index (none if empty), and its handler."""

    path: str
    title: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_application(
    *,
    title: str,
    metrics: Callable[[], Awaitable[bytes]],
    alive: Callable[[], Sequence[Check]],
    ready: Callable[[], Sequence[Check]],
    pages: Sequence[Page] = (),
    guard: Guard | None = None,
) -> web.Application:
    """The aiohttp application. `title` names the site and the probe; the others give the facts, when they are asked for.

    A page whose path is / takes the place of the index.
    """

    async def show_metrics(_request: web.Request) -> web.Response:
        body = await metrics()
        response = web.Response(body=body, headers={"Content-Type": METRICS_CONTENT_TYPE})
        if len(body) > _COMPRESS_ABOVE_BYTES:
            response.enable_compression()  # if the scraper accepts it; large bodies are compressed in a thread
        return response

    async def show_alive(_request: web.Request) -> web.Response:
        return _checks(alive())

    async def show_ready(_request: web.Request) -> web.Response:
        return _checks(ready())

    standard = (
        Page("/metrics", "Metrics, for Prometheus", show_metrics),
        Page("/healthz", "Alive? (JSON)", show_alive),
        Page("/readyz", "Ready? (JSON)", show_ready),
    )
    everything = (*pages, *standard)
    index = _index(title, everything)

    async def show_index(_request: web.Request) -> web.Response:
        return web.Response(text=index, content_type="text/html")

    middlewares = [guard.middleware] if guard is not None else []
    application = web.Application(client_max_size=1024, middlewares=middlewares)
    application.on_response_prepare.append(_add_headers)
    for page in everything:
        application.router.add_get(page.path, page.handler)
    if all(page.path != "/" for page in pages):
        application.router.add_get("/", show_index)
    return application


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def _checks(checks: Sequence[Check]) -> web.Response:
    body = json.dumps(report(checks), indent=2) + "\n"
    return web.Response(text=body, content_type="application/json", status=200 if is_well(checks) else 503)


def _index(title: str, pages: Sequence[Page]) -> str:
    links = "\n".join(
        f'<li><a href="{html.escape(page.path)}">{html.escape(page.title)}</a></li>' for page in pages if page.title
    )
    safe = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>timesync: {safe}</title></head>\n'
        f"<body>\n<h1>timesync: {safe}</h1>\n<ul>\n{links}\n</ul>\n<p>timesync {html.escape(__version__)}</p>\n"
        "</body>\n</html>\n"
    )


class WebServer:
    """The application on its socket."""

    def __init__(
        self,
        settings: HttpSettings,
        *,
        title: str,
        metrics: Callable[[], Awaitable[bytes]],
        alive: Callable[[], Sequence[Check]],
        ready: Callable[[], Sequence[Check]],
        pages: Sequence[Page] = (),
        stopping: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`stopping` is awaited before open answers are waited for: it ends those that would go on for ever."""
        self._settings = settings
        self._certificate_expires_ns: int | None = None
        application = make_application(
            title=title, metrics=metrics, alive=alive, ready=ready, pages=pages, guard=Guard(settings)
        )
        if stopping is not None:
            application.on_shutdown.append(lambda _application: stopping())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)

    async def start(self) -> None:
        """Listen. Raises OSError if the address cannot be had (in use, not ours), TimesyncError if it may not be, or with a
        certificate that cannot be used.
        """
        settings = self._settings
        if lacking := unsafe(settings):
            raise TimesyncError(f"[http]: {settings.host} is not loopback, and there is no {', no '.join(lacking)}")
        context = _tls(settings)
        self._certificate_expires_ns = _expiry_ns(settings.tls_certificate)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, settings.host, settings.port, ssl_context=context).start()
        except OSError:
            await self._runner.cleanup()
            raise

    async def listen(self) -> None:
        """`start`, with a remedy where it cannot. Raises TimesyncError."""
        try:
            await self.start()
        except OSError as error:
            raise TimesyncError(
                f"cannot listen on {self._settings.host} port {self._settings.port}: {error.strerror}. "
                "Choose another in [http], or stop the program that has it."
            ) from error
        log.info("listening", extra={"urls": " ".join(self.urls)})

    @property
    def urls(self) -> Sequence[str]:
        """Where the server listens, one URL an address; empty when it does not."""
        scheme = "http" if self._settings.tls_certificate is None else "https"
        return [_url(scheme, address) for address in self._runner.addresses]

    @property
    def certificate_expires_ns(self) -> int | None:
        """Until when the certificate that is served is valid, Unix ns; None without TLS, or before the start."""
        return self._certificate_expires_ns

    async def stop(self) -> None:
        """Stop listening, after the answers under way (2 s at most)."""
        await self._runner.cleanup()


def _tls(settings: HttpSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        text = (
            f"[http]: tls_certificate and tls_key cannot be used: {error}. See that they are PEM, and belong together"
        )
        raise TimesyncError(text) from error
    return context


def _expiry_ns(certificate: Path | None) -> int | None:
    if certificate is None:
        return None
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - most probes serve on loopback, without

    try:
        served = load_pem_x509_certificate(certificate.read_bytes())  # the first in the file is the server's own
    except (OSError, ValueError):  # what OpenSSL took and this does not: then nothing is known
        return None
    return round(served.not_valid_after_utc.timestamp()) * 10**9


def _url(scheme: str, address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = address[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
