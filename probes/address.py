"""Addresses as people write them: host, host:port, v6, [v6]:port."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address

from timesync.errors import TimesyncError

__all__ = ["AddressError", "split_host_port"]


class AddressError(TimesyncError):
    """Text that is not an address."""


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """Split an address into host and port.

    Raises `AddressError` with what is wrong. A bare IPv6 address needs no brackets when it has no port.
    """
    host, port_text = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise AddressError(f"{text!r} has no closing bracket before its port")
        port_text = rest[1:]
        if rest == ":":
            raise AddressError(f"{text!r} ends in a colon without a port")
    elif text.count(":") == 1:
        host, _, port_text = text.partition(":")
        if not port_text:
            raise AddressError(f"{text!r} ends in a colon without a port")
    if not host or any(character.isspace() for character in host):
        raise AddressError(f"{text!r} has no host name in it")
    if ":" in host:
        try:
            IPv6Address(host)
        except AddressValueError as error:
            raise AddressError(f"{host!r} is neither a host name nor an IPv6 address ({error})") from error
    if not port_text:
        return host, default_port
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536):
        raise AddressError(f"port {port_text!r} in {text!r} is not a number from 1 to 65535")
    return host, int(port_text)
