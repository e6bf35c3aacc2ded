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

import asyncio
import html
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from timesync import __version__
from timesync.errors import TimesyncError
from timesync.model import Event, Severity
from timesync.web.certificate import Certificate
from timesync.web.guard import Guard
from timesync.web.health import is_well, report
from timesync.web.listening import unsafe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from timesync.model import Validity
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

# RFC 6797: a browser that has been here by TLS comes back by nothing else for a year, to no port of this host name (section 8.2):
# only where everything on it speaks TLS, which [http] hsts says.
STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}

_COMPRESS_ABOVE_BYTES = 8192
CERTIFICATE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Page:
    """One more page: where it is, its line in the index (none if empty), and its handler."""

    path: str
    title: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_application(
    *,
    title: str,
    metrics: Callable[[], Awaitable[bytes | bytearray]],
    alive: Callable[[], Sequence[Check]],
    ready: Callable[[], Sequence[Check]],
    pages: Sequence[Page] = (),
    guard: Guard | None = None,
    hsts: bool = False,
) -> web.Application:
    """The aiohttp application. `title` names the site and the probe; the others give the facts, when they are asked for.

    A page whose path is / takes the place of the index. `hsts`: browsers are told to come back by TLS only.
    """

    async def show_metrics(_request: web.Request) -> web.Response:
        body = await metrics()
        response = web.Response(body=body, headers={"Content-Type": METRICS_CONTENT_TYPE})
        if len(body) > _COMPRESS_ABOVE_BYTES:
            response.enable_compression()  # if the scraper accepts it; large bodies are compressed in a thread
        return response

    async def show_alive(request: web.Request) -> web.Response:
        return _checks(alive(), brief=guard is not None and not guard.vouches(request))

    async def show_ready(request: web.Request) -> web.Response:
        return _checks(ready(), brief=guard is not None and not guard.vouches(request))

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
    headers = SECURITY_HEADERS | STRICT_TRANSPORT if hsts else SECURITY_HEADERS

    async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)
        response.headers.setdefault("Cache-Control", "no-store")

    application.on_response_prepare.append(add_headers)
    for page in everything:
        application.router.add_get(page.path, page.handler)
    if all(page.path != "/" for page in pages):
        application.router.add_get("/", show_index)
    return application


def _checks(checks: Sequence[Check], *, brief: bool) -> web.Response:
    """What was seen; `brief`: only whether all is well, for whom nobody has vouched."""
    found = report(checks)
    body = json.dumps({"status": found["status"]} if brief else found, indent=2) + "\n"
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
        metrics: Callable[[], Awaitable[bytes | bytearray]],
        alive: Callable[[], Sequence[Check]],
        ready: Callable[[], Sequence[Check]],
        pages: Sequence[Page] = (),
        stopping: Callable[[], Awaitable[None]] | None = None,
        tell: Callable[[Event], None] = lambda event: None,  # noqa: ARG005 - nobody wants to hear
    ) -> None:
        """`stopping` is awaited before open answers are waited for: it ends those that would go on for ever. `tell` hears of
        renewed certificates.
        """
        self._settings = settings
        self._tell = tell
        self._certificate: Certificate | None = None
        self._watch: asyncio.Task[None] | None = None
        hsts = settings.hsts and settings.tls_certificate is not None  # section 7.2: never by plain HTTP
        application = make_application(
            title=title, metrics=metrics, alive=alive, ready=ready, pages=pages, guard=Guard(settings), hsts=hsts
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
        if settings.tls_certificate is not None and settings.tls_key is not None:
            self._certificate = Certificate(settings.tls_certificate, settings.tls_key)
        context = self._certificate.context if self._certificate is not None else None
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, settings.host, settings.port, ssl_context=context).start()
        except OSError:
            await self._runner.cleanup()
            raise
        if self._certificate is not None:
            self._watch = asyncio.create_task(self._look(), name="certificate")

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_EVERY_S)
            self.renew(patient=True)

    def renew(self, *, patient: bool = False) -> None:
        """Take the certificate's files as they are now; what came of it is an event. See `Certificate.renew`."""
        if self._certificate is None:
            return
        try:
            renewed = self._certificate.renew(patient=patient)
        except TimesyncError as error:
            text = f"{error}. The one before is still in use"
            self._tell(Event("certificate_refused", time.time_ns(), Severity.ERROR, text))
            return
        if renewed:
            self._tell(
                Event("certificate_renewed", time.time_ns(), Severity.INFO, "the page's certificate is the new one")
            )

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
    def certificate_validity(self) -> Validity | None:
        """Of the certificate that is served; None without TLS, or before the start."""
        return self._certificate.validity if self._certificate is not None else None

    async def stop(self) -> None:
        """Stop listening, after the answers under way (2 s at most)."""
        if self._watch is not None:
            self._watch.cancel()
        await self._runner.cleanup()


def _url(scheme: str, address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = address[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
