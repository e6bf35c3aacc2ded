"""Addresses as people write them."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.address import AddressError, address_text, is_same, split_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("ntp.example", "ntp.example", 123),
        ("ntp.example:1234", "ntp.example", 1234),
        ("192.0.2.1", "192.0.2.1", 123),
        ("192.0.2.1:65535", "192.0.2.1", 65535),
        ("2001:db8::1", "2001:db8::1", 123),
        ("::1", "::1", 123),
        ("[2001:db8::1]", "2001:db8::1", 123),
        ("[2001:db8::1]:1", "2001:db8::1", 1),
        ("[fe80::1%eth0]:123", "fe80::1%eth0", 123),
        ("fe80::1%eth0", "fe80::1%eth0", 123),
    ],
)
def test_host_and_port_are_told_apart(text: str, host: str, port: int) -> None:
    assert split_host_port(text, 123) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ":123", "[]", "[]:123", "host:", "[::1]:", "[::1", "[::1]123", "host:0", "host:65536", "host:-1", "host:+1",
        "host:1e3", "host:\u0661\u0662", "host: 12", "my host", "host\n", "a:b:c", "host:123:4", "1.2.3.4:5:6", "::g",
        "[host]:123:4",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_text_in_the_message(text: str) -> None:
    with pytest.raises(AddressError) as refused:
        split_host_port(text, 123)
    assert str(refused.value)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_any_numeric_address_is_read_back(address: object, port: int) -> None:
    host = str(address)
    written = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert split_host_port(written, 123) == (host, port)
    assert split_host_port(host, port) == (host, port)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused_by_name(text: str) -> None:
    try:
        host, port = split_host_port(text, 123)
    except AddressError:
        return
    assert host
    assert 0 < port < 65536


def test_scope_of_a_link_local_address_is_shown() -> None:
    assert address_text(("192.0.2.1", 123)) == "192.0.2.1:123"
    assert address_text(("2001:db8::1", 123, 0, 0)) == "[2001:db8::1]:123"
    assert address_text(("fe80::1", 123, 0, socket.if_nametoindex("lo"))) == "[fe80::1%lo]:123"
    assert address_text(("fe80::1", 123, 0, 2**31 - 1)) == "[fe80::1%2147483647]:123"  # an interface that has gone


def test_one_link_local_address_on_two_interfaces_is_two_servers() -> None:
    assert not is_same(("fe80::1", 123, 0, 2), ("fe80::1", 123, 0, 3))
    assert is_same(("fe80::1", 123, 0, 2), ("fe80::1", 123, 7, 2))
    assert is_same(("fe80::1", 123, 0, 2), ("fe80::1", 123, 0, 0))  # bound to its interface without saying so
    assert is_same(("192.0.2.1", 123), ("192.0.2.1", 123))
    assert not is_same(("192.0.2.1", 123), ("192.0.2.1", 124))
