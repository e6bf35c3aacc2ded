"""An NTP client without I/O: nonces, timestamps and bytes go in, events come out.

Rule: nothing is believed that does not answer a question of ours. The request's transmit timestamp is a random nonce, never
the time; a reply must echo it, come from the address and port that were asked, be in server mode, verify under the
configured key, and carry four timestamps that a clock can have produced. Whatever is refused is refused by name.

Sources: RFC 5905 (sections 7.3, 7.4, 8), RFC 9769 (interleaved client/server mode), RFC 8573 and RFC 7822 (MAC).

In interleaved mode a reply carries the exact transmit timestamp of the reply before it, so an exchange is complete one
poll later than in basic mode. The request offers both modes at once: its origin field names the server's last receive
timestamp, and the server says by what it echoes (our transmit nonce or our receive nonce) which mode it answers in.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from timesync.errors import WireError
from timesync.model import ServerFacts, Timestamping
from timesync.reasons import Reason
from timesync.timescale import GREATEST_RATE, ntp_to_unix_ns, precision_to_s, short_to_s
from timesync.wire.ntp import (
    Mac,
    Packet,
    TooShortError,
    decode,
    encode,
    kiss_code,
    mac_coverage,
    reference_id_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Abandoned",
    "Accepted",
    "Authenticator",
    "Measured",
    "NtpClient",
    "NtpEvent",
    "Refused",
    "Stamp",
]

Token = TypeVar("Token")

CLIENT_MODE = 3
SERVER_MODE = 4
KISSES = {"RATE": Reason.KISS_RATE, "DENY": Reason.KISS_DENY, "RSTR": Reason.KISS_RSTR}
# The header up to and with the reference timestamp (RFC 5905 figure 8): all that `ServerFacts` is made of.
FACTS_OCTETS = 24
# Requests remembered after their end, to tell a duplicate or a late reply from a forgery.
REMEMBERED = 16
# Unanswered polls after which a reply that still waits for its transmit timestamp is given up.
PATIENCE = 8


class Authenticator(Protocol):
    """A symmetric key shared with the server (RFC 8573, RFC 7822)."""

    @property
    def key_id(self) -> int:
        """The key's number, 1 to 65535 by custom."""
        ...

    def mac(self, data: bytes) -> bytes:
        """The digest over `data`, as long as a peer would send it."""
        ...

    def verify(self, data: bytes, digest: bytes) -> bool:
        """Whether `digest` is the one of `data`, compared in constant time."""
        ...


class Stamp(NamedTuple):
    """An instant on the probe's clock (Unix ns), and where it was taken."""

    at_ns: int
    kind: Timestamping


class Measured(NamedTuple, Generic[Token]):
    """A complete exchange. `token` is what the caller gave with the request that began it."""

    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int
    tx_timestamping: Timestamping
    rx_timestamping: Timestamping
    mode: str
    facts: ServerFacts
    authenticated: bool
    token: Token


@dataclass(frozen=True, slots=True)
class Accepted:
    """A good reply in interleaved mode, whose transmit timestamp will come with the next one."""


@dataclass(frozen=True, slots=True)
class Refused(Generic[Token]):
    """A packet that is not believed, or an answer that cannot be used.

    `final`: the server has answered, waiting longer is no use. `token` is then the poll that is over: in interleaved mode it can be
    the one before the open one. A packet that is not believed ends no poll and has none.
    """

    reason: Reason
    detail: str
    final: bool = False
    facts: ServerFacts | None = None
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Abandoned(Generic[Token]):
    """An earlier reply whose transmit timestamp never came: the server left interleaved mode or went away."""

    token: Token


NtpEvent = Measured[Token] | Accepted | Refused[Token] | Abandoned[Token]


@dataclass(slots=True)
class _Request(Generic[Token]):
    """The question that is open now."""

    transmit: int
    receive: int
    origin: int
    token: Token
    t1: Stamp | None = None


@dataclass(slots=True)
class _Answered(Generic[Token]):
    """The last question that was answered; in interleaved mode it waits for its T3."""

    request: _Request[Token]
    t2_raw: int
    t4: Stamp
    facts: ServerFacts
    precision_s: float
    authenticated: bool
    reported: bool
    polls_since: int = 0


class NtpClient(Generic[Token]):
    """One association with one server address.

    For each poll: `request` with two fresh nonces gives the bytes to send; `transmitted` tells when they left; `received` is
    called for every datagram that arrives; `expired` ends the poll if no final event came. The caller owns time-outs.
    """

    def __init__(
        self, *, version: int = 4, interleaved: bool = True, key: Authenticator | None = None, poll: int = 6
    ) -> None:
        self._version = version
        self._interleaved = interleaved
        self._key = key
        self._poll = poll
        self._open: _Request[Token] | None = None
        self._last: _Answered[Token] | None = None
        self._facts_octets = b""
        self._facts: ServerFacts | None = None
        # No deques, no numbers: a deque takes 600 octets, a number of 64 bits 36, and a process has thousands of associations.
        self._answered = array("Q")
        self._expired = array("Q")

    def request(self, transmit_nonce: int, receive_nonce: int, token: Token) -> bytes:
        """The datagram of a new poll; a poll still open is expired first.

        The nonces are random, non-zero, different 64-bit integers that were never used before.
        """
        if not (0 < transmit_nonce < 1 << 64 and 0 < receive_nonce < 1 << 64 and transmit_nonce != receive_nonce):
            raise ValueError("nonces must be two different non-zero 64-bit integers")
        self._retire_open(self._expired)
        last = self._last
        origin = last.t2_raw if self._interleaved and last is not None else 0
        receive = receive_nonce if origin else 0
        self._open = _Request(transmit_nonce, receive, origin, token)
        packet = Packet(
            leap=0,
            version=self._version,
            mode=CLIENT_MODE,
            stratum=0,
            poll=self._poll,
            precision=0x20,  # no information about our clock leaves the probe
            root_delay=0,
            root_dispersion=0,
            reference_id=0,
            reference=0,
            origin=origin,
            receive=receive,
            transmit=transmit_nonce,
        )
        data = encode(packet)
        if self._key is None:
            return data
        return data + encode_mac(Mac(self._key.key_id, self._key.mac(data)))

    def transmitted(self, stamp: Stamp, token: Token) -> None:
        """When the request with that token left. Of several stamps for one request the best kind is kept."""
        request = self._open
        if request is None or request.token != token:
            request = self._last.request if self._last is not None else None
        if request is None or request.token != token:
            return
        if request.t1 is None or is_better(stamp.kind, request.t1.kind):
            request.t1 = stamp

    def expired(self) -> Sequence[NtpEvent[Token]]:
        """The open poll is over without an answer."""
        self._retire_open(self._expired)
        return self._age()

    def _age(self) -> Sequence[NtpEvent[Token]]:
        """One more poll that did not bring the transmit timestamp that the last reply may wait for."""
        last = self._last
        if last is None:
            return ()
        last.polls_since += 1
        if last.polls_since < PATIENCE:
            return ()
        return self.abandon()

    def abandon(self) -> Sequence[NtpEvent[Token]]:
        """Forget the association's state; tells of the reply that still waited for its transmit timestamp."""
        last, self._last = self._last, None
        if last is None or last.reported:
            return ()
        return (Abandoned(last.request.token),)

    def received(self, data: bytes, t4: Stamp, *, from_server: bool) -> Sequence[NtpEvent[Token]]:
        """A datagram arrived at `t4`; `from_server` tells whether from the very address and port that were asked.

        Never raises, whatever the bytes.
        """
        if not from_server:
            return (Refused(Reason.WRONG_SOURCE, ""),)
        try:
            packet = decode(data)
        except TooShortError as error:
            return (Refused(Reason.TOO_SHORT, str(error)),)
        except WireError as error:
            return (Refused(Reason.MALFORMED, str(error)),)
        refusal = self._refuse_unasked(packet) or self._refuse_unauthentic(data, packet)
        if refusal is not None:
            return (refusal,)
        request = self._open
        assert request is not None  # _refuse_unasked has matched the packet to it
        self._retire_open(self._answered)
        facts = self._facts_of(data, packet, t4.at_ns)
        unusable = refuse_unusable(packet, facts, request.token)
        if unusable is not None:
            # RFC 9769 section 2: it does not replace what the next interleaved reply needs, but that does not wait for ever.
            return (unusable, *self._age())
        return self._measure(packet, request, t4, facts)

    def _facts_of(self, data: bytes, packet: Packet, pivot_ns: int) -> ServerFacts:
        """What the server says of itself; it seldom says anything new, and then the octets are those of its last reply."""
        octets = data[:FACTS_OCTETS]
        if octets != self._facts_octets or self._facts is None:
            self._facts_octets, self._facts = octets, facts_of(packet, pivot_ns)
        return self._facts

    def _retire_open(self, where: array[int]) -> None:
        request, self._open = self._open, None
        if request is not None:
            where.append(request.transmit)
            if request.receive:
                where.append(request.receive)
            del where[: -2 * REMEMBERED]

    def _refuse_unasked(self, packet: Packet) -> Refused[Token] | None:
        """A packet that is not a reply to the open request."""
        if packet.mode != SERVER_MODE:
            return Refused(Reason.WRONG_MODE, f"mode {packet.mode}")
        if not 1 <= packet.version <= self._version:
            return Refused(Reason.WRONG_VERSION, f"version {packet.version}")
        request = self._open
        if request is not None and (
            packet.origin == request.transmit or (request.receive and packet.origin == request.receive)
        ):
            return None
        if packet.origin in self._answered:
            return Refused(Reason.DUPLICATE, "")
        if packet.origin in self._expired:
            return Refused(Reason.LATE, "")
        return Refused(Reason.WRONG_ORIGIN, f"origin {packet.origin:016x}")

    def _refuse_unauthentic(self, data: bytes, packet: Packet) -> Refused[Token] | None:
        mac = packet.mac
        if mac is not None and mac.key_id == 0 and not mac.digest:
            # A crypto-NAK proves nothing about who sent it, so a good reply may still follow.
            return Refused(Reason.CRYPTO_NAK, "")
        key = self._key
        if key is None:
            return None
        if mac is None:
            return Refused(Reason.MISSING_MAC, f"key {key.key_id}")
        if mac.key_id != key.key_id or not key.verify(mac_coverage(data, packet), mac.digest):
            return Refused(Reason.BAD_MAC, f"key {mac.key_id}, ours is {key.key_id}")
        return None

    def _measure(
        self, packet: Packet, request: _Request[Token], t4: Stamp, facts: ServerFacts
    ) -> Sequence[NtpEvent[Token]]:
        """The events of a good reply: the exchange that it completes, if any."""
        interleaved = packet.origin != request.transmit
        answered = _Answered(
            request,
            packet.receive,
            t4,
            facts,
            precision_to_s(packet.precision),
            authenticated=self._key is not None,
            reported=not interleaved,
        )
        previous, self._last = self._last, answered
        if not interleaved:
            measured = complete(answered, packet.transmit, "basic")
            if previous is not None and not previous.reported:
                return (Abandoned(previous.request.token), measured)
            return (measured,)
        # The request named the previous reply's receive timestamp, so that reply is the one whose T3 this is.
        if previous is None or previous.reported:
            return (Accepted(),)
        return (complete(previous, packet.transmit, "interleaved"), Accepted())


def is_better(kind: Timestamping, other: Timestamping) -> bool:
    """Whether a stamp of that kind is worth more than the other: hardware, kernel, user space."""
    return kind is not other and (kind is Timestamping.HARDWARE or other is Timestamping.USER)


def encode_mac(mac: Mac) -> bytes:
    """The trailer of a message: key number and digest (RFC 5905 section 7.3)."""
    return mac.key_id.to_bytes(4, "big") + mac.digest


def facts_of(packet: Packet, pivot_ns: int) -> ServerFacts:
    """What the packet says of its server, in units."""
    return ServerFacts(
        leap=packet.leap,
        stratum=packet.stratum,
        version=packet.version,
        poll=packet.poll,
        precision_s=precision_to_s(packet.precision),
        root_delay_s=short_to_s(packet.root_delay),
        root_dispersion_s=short_to_s(packet.root_dispersion),
        reference_id=reference_id_text(packet.stratum, packet.reference_id),
        reference_time_ns=ntp_to_unix_ns(packet.reference, pivot_ns) if packet.reference else None,
    )


def refuse_unusable(packet: Packet, facts: ServerFacts, token: Token) -> Refused[Token] | None:
    """A true answer of the server that holds no usable time (RFC 5905 sections 7.4 and 9.2)."""
    if packet.leap != 3 and 0 < packet.stratum < 16 and packet.receive and packet.transmit:
        return None
    code = kiss_code(packet)
    detail = f"leap {packet.leap}, stratum {packet.stratum}, reference {facts.reference_id or '-'}"
    if code in KISSES:
        return Refused(KISSES[code], detail, final=True, facts=facts, token=token)
    checks = (
        (packet.leap == 3, Reason.UNSYNCHRONISED),
        (code is not None, Reason.KISS_OTHER),
        (packet.stratum == 0, Reason.STRATUM_UNSPECIFIED),
        (packet.stratum >= 16, Reason.STRATUM_UNSYNCHRONISED),
        (packet.receive == 0 or packet.transmit == 0, Reason.ZERO_TIMESTAMP),
    )
    for wrong, reason in checks:
        if wrong:
            return Refused(reason, detail, final=True, facts=facts, token=token)
    return None


def complete(answered: _Answered[Token], t3_raw: int, mode: str) -> NtpEvent[Token]:
    """The exchange of an answered request, now that its T3 is known; refused if no clock can have made it."""
    request, t4, facts = answered.request, answered.t4, answered.facts
    t1, token = request.t1, request.token
    if t1 is None:
        return Refused(Reason.SEND_FAILED, "no transmit timestamp was reported", final=True, facts=facts, token=token)
    t2_ns = ntp_to_unix_ns(answered.t2_raw, t4.at_ns)
    t3_ns = ntp_to_unix_ns(t3_raw, t4.at_ns)
    if t3_ns < t2_ns:
        return Refused(Reason.TRANSMIT_BEFORE_RECEIVE, f"by {t2_ns - t3_ns} ns", final=True, facts=facts, token=token)
    # Reading a clock is as good as its precision, and while the server held the packet its clock may have run faster than
    # ours by what the kernel slews at most: a delay that is negative by no more than that is zero.
    tolerance_ns = 1000 + int(2e9 * min(answered.precision_s, 1e-3)) + int((t3_ns - t2_ns) * GREATEST_RATE)
    delay_ns = (t4.at_ns - t1.at_ns) - (t3_ns - t2_ns)
    if delay_ns < -tolerance_ns or t4.at_ns < t1.at_ns:
        return Refused(Reason.IMPOSSIBLE_DELAY, f"round trip {delay_ns} ns", final=True, facts=facts, token=token)
    return Measured(
        t1.at_ns,
        t2_ns,
        t3_ns,
        t4.at_ns,
        t1.kind,
        t4.kind,
        mode,
        facts,
        answered.authenticated,
        token,
    )
