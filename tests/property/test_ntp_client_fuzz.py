"""Whatever arrives, the decoder and the client raise nothing, and no forgery is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ntpfuzz import KEY, KEY_ID, NOW_NS, SECRET, fuzz, is_forgery
from support.ntpserver import Server

from timesync.exchange.ntp import Accepted, Measured, NtpClient, Refused, Stamp
from timesync.model import Timestamping
from timesync.reasons import Reason

PACKETS = 28_000


def test_random_and_mutated_packets_raise_nothing_and_no_forgery_is_believed() -> None:
    result = fuzz(PACKETS, seed=20361)
    assert result.packets >= PACKETS
    # The run has been everywhere: true replies were believed, and each kind of refusal was met.
    assert result.believed > PACKETS // 50
    assert result.decoded > PACKETS // 4
    names = {reason.value for reason in Reason}
    assert set(result.refused) <= names
    for reason in (
        Reason.TOO_SHORT, Reason.MALFORMED, Reason.WRONG_SOURCE, Reason.WRONG_VERSION, Reason.WRONG_MODE, Reason.WRONG_ORIGIN,
        Reason.DUPLICATE, Reason.LATE, Reason.MISSING_MAC, Reason.BAD_MAC, Reason.CRYPTO_NAK, Reason.KISS_RATE, Reason.KISS_DENY,
        Reason.UNSYNCHRONISED, Reason.STRATUM_UNSPECIFIED, Reason.STRATUM_UNSYNCHRONISED, Reason.TRANSMIT_BEFORE_RECEIVE,
        Reason.IMPOSSIBLE_DELAY,
    ):  # fmt: skip
        assert result.refused[reason.value] > 0, reason


def test_judge_tells_a_true_reply_from_a_forged_one() -> None:
    client: NtpClient[int] = NtpClient(key=KEY)
    request = client.request(1, 2, 1)
    reply, _ = Server(key=(KEY_ID, SECRET)).answer(request, NOW_NS)
    assert not is_forgery(reply, request, from_server=True, keyed=True)
    assert is_forgery(reply, request, from_server=False, keyed=True)
    assert is_forgery(reply[:48], request, from_server=True, keyed=True)
    assert is_forgery(reply[:24] + bytes(8) + reply[32:], request, from_server=True, keyed=False)


@given(
    st.lists(st.tuples(st.integers(0, 75), st.binary(min_size=1, max_size=9)), max_size=5),
    st.integers(0, 90),
    st.booleans(),
    st.booleans(),
)
@pytest.mark.filterwarnings("error")
def test_changed_reply_is_believed_only_if_it_is_no_forgery(
    changes: list[tuple[int, bytes]], length: int, interleaved: bool, keyed: bool
) -> None:
    client: NtpClient[int] = NtpClient(interleaved=interleaved, key=KEY if keyed else None)
    server = Server(key=(KEY_ID, SECRET) if keyed else None)
    for token in range(3):
        now_ns = NOW_NS + token * 16_000_000_000
        request = client.request(2 * token + 1, 2 * token + 2, token)
        client.transmitted(Stamp(now_ns, Timestamping.KERNEL), token)
        reply, leaves_ns = server.answer(request, now_ns + 1000)
        t4 = Stamp(leaves_ns + 1000, Timestamping.KERNEL)
        if token < 2:
            client.received(reply, t4, from_server=True)
            continue
        packet = reply
        for at, octets in changes:
            packet = packet[:at] + octets + packet[at + len(octets) :]
        packet = packet[:length] if length < len(packet) else packet
        events = client.received(packet, t4, from_server=True)
        assert events
        believed = any(isinstance(e, Measured | Accepted) or (isinstance(e, Refused) and e.final) for e in events)
        assert not (believed and is_forgery(packet, request, from_server=True, keyed=keyed))
        if packet == reply:
            assert believed


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_are_refused_without_an_exception(data: bytes, keyed: bool) -> None:
    client: NtpClient[int] = NtpClient(key=KEY if keyed else None)
    client.request(1 << 40, 1 << 41, 1)
    (event,) = client.received(data, Stamp(NOW_NS, Timestamping.KERNEL), from_server=True)
    assert isinstance(event, Refused)
    assert not event.final
