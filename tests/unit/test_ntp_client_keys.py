"""The NTP client under a symmetric key: what is authenticated, and what is not believed."""

from __future__ import annotations

import pytest
from support.ntplink import (
    KEY_ID,
    SECRET,
    Link,
    only,
    refusal,
    with_octets,
)
from support.ntpserver import Header, Server, Sha1Key, trailer

from timesync.exchange.ntp import Measured, NtpClient
from timesync.reasons import Reason


def keyed() -> Link:
    return Link(NtpClient(key=Sha1Key(KEY_ID, SECRET)), Server(key=(KEY_ID, SECRET)))


def test_reply_under_the_key_is_authenticated() -> None:
    measured = only(keyed().poll())
    assert isinstance(measured, Measured)
    assert measured.authenticated


def test_reply_without_a_mac_is_refused_and_the_true_one_still_taken() -> None:
    link = keyed()
    reply, t4_ns = link.answer(link.ask())
    event = refusal(link.take(reply[:48], t4_ns))
    assert (event.reason, event.final) == (Reason.MISSING_MAC, False)
    assert isinstance(only(link.take(reply, t4_ns)), Measured)


@pytest.mark.parametrize("at", [1, 4, 16, 36, 40, 47, 48, 51, 52, 71])
def test_any_changed_octet_breaks_the_mac(at: int) -> None:
    link = keyed()
    reply, t4_ns = link.answer(link.ask())
    changed = with_octets(reply, at, bytes([reply[at] ^ 0x10]))
    assert refusal(link.take(changed, t4_ns)).reason is Reason.BAD_MAC


def test_mac_of_another_key_is_refused() -> None:
    link = keyed()
    link.server.key = (KEY_ID + 1, SECRET)
    assert refusal(link.poll()).reason is Reason.BAD_MAC


def test_mac_is_checked_over_the_extension_fields_too() -> None:
    link = keyed()
    reply, t4_ns = link.answer(link.ask())
    message = reply[:48] + b"\x21\x04\x00\x1c" + bytes(24)
    swapped = reply[:48] + b"\x21\x04\x00\x1c" + b"x" + bytes(23) + trailer(KEY_ID, SECRET, message)
    assert refusal(link.take(swapped, t4_ns)).reason is Reason.BAD_MAC
    assert isinstance(only(link.take(message + trailer(KEY_ID, SECRET, message), t4_ns)), Measured)


@pytest.mark.parametrize("make", [Link, keyed])
def test_crypto_nak_is_told_and_the_true_reply_still_taken(make: type[Link]) -> None:
    link = make()
    reply, t4_ns = link.answer(link.ask())
    event = refusal(link.take(reply[:48] + bytes(4), t4_ns))
    assert (event.reason, event.final) == (Reason.CRYPTO_NAK, False)
    assert isinstance(only(link.take(reply, t4_ns)), Measured)


def test_kiss_without_the_key_stops_nothing() -> None:
    link = keyed()
    link.server.key = None
    link.server.header = Header(stratum=0, reference_id=b"DENY")
    event = refusal(link.poll())
    assert (event.reason, event.final) == (Reason.MISSING_MAC, False)
