"""Addresses as people write them: host, host:port, v6, [v6]:port; and as sockets have them: tuples.

Rule: a link-local IPv6 address means nothing without its interface: the scope is shown, and compared where both sides say one.
"""

from __future__ import annotations

import socket
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from timesync.errors import TimesyncError

__all__ = ["AddressError", "address_text", "is_same", "split_host_port"]


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


def address_text(address: tuple[Any, ...]) -> str:
    """A socket's address as a person writes it: 192.0.2.1:123, [2001:db8::1]:123, [fe80::1%eth0]:123."""
    host, port = address[:2]
    if ":" not in host:
        return f"{host}:{port}"
    scope = _scope(address)
    if scope and "%" not in host:
        host = f"{host}%{_interface(scope)}"
    return f"[{host}]:{port}"


def is_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two socket addresses are one host and port; a scope that only one of them names decides nothing."""
    scopes = (_scope(one), _scope(other))
    return one[:2] == other[:2] and (0 in scopes or scopes[0] == scopes[1])


def _scope(address: tuple[Any, ...]) -> int:
    """The number of the interface that an IPv6 address is bound to, 0 if none."""
    return int(address[3]) if len(address) == 4 else 0


def _interface(scope: int) -> str:
    try:
        return socket.if_indextoname(scope)
    except OSError:
        return str(scope)  # it has gone
