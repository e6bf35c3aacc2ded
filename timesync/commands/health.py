"""`timesync health --config FILE`: ask the probe of that configuration whether it is alive, as a container's health check does.

Rule: nothing but the probe's own address is asked, the certificate must be the configured one, and the token goes nowhere else.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from timesync.config import load
from timesync.errors import TimesyncError
from timesync.store.secret import Secret

if TYPE_CHECKING:
    import argparse

    from timesync.settings import HttpSettings

__all__ = ["add_parser", "run"]

WELL, FAILING = 0, 1
ANYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104 - asked, not listened on
MOST_BYTES = 1_000_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `health` to the command line."""
    parser = subparsers.add_parser(
        "health",
        help="ask a running probe on this machine whether it is well",
        description="Ask the running probe of a configuration, on this machine, whether it is alive, and print what it looked at.",
        epilog="Exit status: 0 well, 1 not, or no answer, 2 a configuration that is not good or serves nothing.",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the site's configuration (TOML)")
    parser.add_argument("--ready", action="store_true", help="ask also whether it measures and keeps (/readyz)")
    parser.add_argument("--timeout", metavar="S", type=float, default=5.0, help="how long to wait, seconds (5)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and print; returns the exit status. Raises ConfigError, and TimesyncError where [http] is off."""
    settings = load(args.config).http
    if not settings.enabled or settings.port == 0:
        raise TimesyncError(f"{args.config}: [http] serves nothing at a fixed port; write enabled = true and a port")
    paths = ("/healthz", "/readyz") if args.ready else ("/healthz",)
    try:
        return max(_ask(settings, path, args.timeout) for path in paths)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(f"no answer from {_host(settings)}:{settings.port}: {error}")
        return FAILING


def _host(settings: HttpSettings) -> str:
    return ANYWHERE.get(settings.host, settings.host).strip("[]")


def _ask(settings: HttpSettings, path: str, timeout_s: float) -> int:
    """Print the checks of one page; 0 if all are well. Raises OSError, HTTPException or ValueError for no good answer."""
    connection = _connection(settings, timeout_s)
    headers = (
        {"Authorization": f"Bearer {Secret(settings.token_file).read()}"} if settings.token_file is not None else {}
    )
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(MOST_BYTES)
    finally:
        connection.close()
    if answer.status not in (200, 503):
        print(f"{path}: {answer.status} {answer.reason}")
        return FAILING
    found = json.loads(body)
    for check in found.get("checks", ()):  # without a token only the status is told
        print(f"{'ok' if check['ok'] else 'FAILING'}  {check['name']}: {check['detail']}")
    if "checks" not in found:
        print(f"{path}: {found['status']}")
    return WELL if answer.status == 200 else FAILING


def _connection(settings: HttpSettings, timeout_s: float) -> http.client.HTTPConnection:
    host = _host(settings)
    if settings.tls_certificate is None:
        return http.client.HTTPConnection(host, settings.port, timeout=timeout_s)
    context = ssl.create_default_context(cafile=str(settings.tls_certificate))
    context.check_hostname = False  # it is this very certificate, by whatever name it is known outside
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(host, settings.port, timeout=timeout_s, context=context)
