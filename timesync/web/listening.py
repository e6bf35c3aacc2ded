"""Where the web server may listen. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timesync.settings import HttpSettings

__all__ = ["is_loopback", "unsafe"]


def is_loopback(host: str) -> bool:
    """Whether a host, without a port, is this machine itself."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def unsafe(settings: HttpSettings) -> list[str]:
    """What these settings lack to listen where they say, as names of keys; empty where they may."""
    if not settings.enabled or is_loopback(settings.host):
        return []
    lacking = []
    if settings.tls_certificate is None:
        lacking.append("tls_certificate")
    if settings.tls_key is None:
        lacking.append("tls_key")
    if settings.token_file is None and settings.password_file is None:
        lacking.append("password_file or token_file")
    return lacking
