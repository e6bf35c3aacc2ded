"""PTP targets as a person writes them: ptp://IFACE, ptp+udp6://IFACE, ptp+l2://IFACE, ptp+unicast://HOST?interface=IFACE.

Rule: the query holds the options of the kind `ptp`; a number is read as one, and so are true and false. What they may be is the
kind's to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from timesync.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ptp_target"]

SCHEMES: Mapping[str, Mapping[str, str]] = {
    "ptp": {},
    "ptp+udp4": {"transport": "udp4"},
    "ptp+udp6": {"transport": "udp6"},
    "ptp+l2": {"transport": "l2"},
    "ptp+unicast": {},
}

FLAGS = {"true": True, "false": False}


def ptp_target(text: str) -> tuple[str, dict[str, Any]] | None:
    """The interface and the options that a URL names; None if it is no PTP URL.

    Raises ConfigError for one that does not say its interface.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in SCHEMES:
        return None
    host, _, query = rest.partition("?")
    host = host.rstrip("/")
    options: dict[str, Any] = dict(SCHEMES[scheme])
    for name, value in parse_qsl(query, keep_blank_values=True):
        options[name] = FLAGS[value] if value in FLAGS else int(value) if value.isascii() and value.isdigit() else value
    if scheme != "ptp+unicast":
        return host, options
    interface = options.pop("interface", None)
    if not isinstance(interface, str) or not host:
        what = f"{text} does not say through which interface the master is reached"
        raise ConfigError(
            "command line", (Problem(text, what, "Write ptp+unicast://HOST?interface=IFACE, for example eth0"),)
        )
    options["unicast"] = host.removeprefix("[").removesuffix("]")
    if ":" in host:
        options.setdefault("transport", "udp6")
    return interface, options
