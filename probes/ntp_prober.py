"""Measuring one NTP server: its address, socket, client state and pace.

Rule: every poll ends in exactly one account of itself: a measurement, a reply whose transmit time comes with the next one, or
a miss with its reason. A lost packet is a loss; nothing is asked again behind the schedule's back. Every packet that is not
believed is counted by its reason, whenever it comes.
The protocol is in timesync/exchange/ntp.py; here are only the socket, the time-out and the name.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from probes.address import address_text, is_same, split_host_port
from probes.names import HostName, NotResolved
from probes.sockets import Address, TimestampedSocket, icmp_reason, send_reason
from timesync.exchange.ntp import Abandoned, Accepted, Measured, NtpClient, NtpEvent, Refused, Stamp
from timesync.exchange.pacing import Pacing
from timesync.model import Event, Exchange, Missed, Outcome, Severity, Timestamping
from timesync.reasons import Reason

if TYPE_CHECKING:
    import asyncio
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from probes.sockets import SocketCounters
    from probes.timeouts import TimeOuts
    from timesync.exchange.ntp import Authenticator
    from timesync.plugin import EngineContext
    from timesync.settings import TargetSettings

__all__ = ["FAMILIES", "NTP_PORT", "PROTOCOL", "NtpProber", "Shared"]

PROTOCOL = "ntp"
NTP_PORT = 123
FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
# After so many polls without any answer the name is resolved again: the server may have moved.
LOSSES_BEFORE_RESOLVING = 4
NONCES = struct.Struct("=QQ")
NONCES_AT_ONCE = 64
# How long a first poll waits for the resolver.
RESOLVER_PATIENCE_S = 5.0
# How long a reply waits for the hardware stamp of its request: drivers read it from the card after the packet has left.
HARDWARE_STAMP_WAIT_S = 0.005
KISSES = {Reason.KISS_RATE, Reason.KISS_DENY, Reason.KISS_RSTR}
# Refusals of packets that say nothing of the poll that is open: they give way to one that does.
OF_ANOTHER_POLL = {Reason.DUPLICATE, Reason.LATE, Reason.WRONG_SOURCE}


def fresh_nonces() -> Iterator[tuple[int, int]]:
    """Pairs of different random, non-zero 64-bit integers, without end; the system is asked for many at a time."""
    while True:
        for one, other in NONCES.iter_unpack(secrets.token_bytes(NONCES.size * NONCES_AT_ONCE)):
            if one and other and one != other:
                yield one, other


@dataclass(slots=True)
class Shared:
    """What all probers of a process share; a new configuration replaces the context."""

    loop: asyncio.AbstractEventLoop
    context: EngineContext
    counters: SocketCounters
    refused: Counter[Reason]
    time_outs: TimeOuts
    nonces: Iterator[tuple[int, int]] = field(default_factory=fresh_nonces)


@dataclass(slots=True, eq=False)
class Poll:
    """The poll that is under way. The epochs of the probe's clock are those at its beginning and at the reply."""

    began_ns: int
    epoch: int
    done: asyncio.Future[None]
    end_epoch: int | None = None
    events: list[NtpEvent[Poll]] = field(default_factory=list)
    held: list[tuple[bytes, Stamp]] = field(default_factory=list)
    refused: Refused[Poll] | None = None
    network_error: tuple[int, str] | None = None
    tx_number: int | None = None
    tx_kind: Timestamping = Timestamping.USER

    def finish(self) -> None:
        """Nothing more is waited for."""
        if not self.done.done():
            self.done.set_result(None)


class NtpProber:
    """One target. `phc_to_system` translates hardware stamps of `interface`; without it stamps are the kernel's."""

    def __init__(
        self,
        shared: Shared,
        target: TargetSettings,
        key: Authenticator | None = None,
        phc_to_system: Callable[[int], int | None] | None = None,
    ) -> None:
        self._shared = shared
        self._target = target
        self._key = key
        self._phc_to_system = phc_to_system
        options: Mapping[str, Any] = target.options
        host, port = split_host_port(target.address, NTP_PORT)
        self._name = HostName(shared.loop, host, port, FAMILIES[options.get("family", "any")])
        self._interleaved = options.get("mode", "auto") == "auto"
        self._version = options.get("version", 4)
        self._source = options.get("source")
        self._interface = options.get("interface")
        self._pacing = Pacing(target.interval_s, first_deny_pause_s=options.get("deny_retry_s", 3600.0))
        self._client: NtpClient[Poll] | None = None
        self._socket: TimestampedSocket | None = None
        self._address: Address | None = None
        self._address_text = target.address
        self._losses = 0
        self._poll: Poll | None = None
        self._previous: Poll | None = None
        self._unreported: list[Outcome] = []

    @property
    def address_text(self) -> str:
        """The address in use, or the one that was configured while there is none."""
        return self._address_text

    async def poll(self) -> Sequence[Outcome]:
        """Ask once; the outcomes are in time order."""
        loop = self._shared.loop
        now_s = loop.time()
        hold = self._pacing.hold(now_s)
        if hold is not None:
            return [self._missed(hold.reason, f"next try in {hold.until_s - now_s:.0f} s", sent=False)]
        is_settled = self._name.numeric and self._address is not None
        unresolved = None if is_settled else await self._follow_name(now_s)
        outcomes, self._unreported = self._unreported, []
        if unresolved is not None:
            outcomes.append(self._missed(Reason.NAME_NOT_RESOLVED, unresolved, sent=False))
            return outcomes
        client = self._client
        assert client is not None
        poll = Poll(time.time_ns(), self._shared.context.clock_epoch(), loop.create_future())
        self._previous, self._poll = self._poll, poll
        try:
            self._send(client, poll)
        except OSError as error:
            self._losses += 1
            outcomes += self._abandoned(client.expired())
            detail = f"{error.strerror or error} (sending to {self.address_text})"
            outcomes.append(self._missed(send_reason(error.errno or 0), detail, poll, sent=False))
            return outcomes
        self._pacing.sent(now_s)
        self._shared.time_outs.add(self._target.timeout_s, poll.done)
        try:
            await poll.done
        except BaseException:  # cancelled: the target is being closed
            self._release(poll)
            self._unreported = [*outcomes, *self._cut_off(client, poll)]
            raise
        self._release(poll)
        outcomes += self._outcomes(client, poll)
        # A measurement names the poll before as its own: with its events kept, each poll would hold on to all before it.
        poll.events.clear()
        return outcomes

    async def close(self) -> Sequence[Outcome]:
        """Close the socket; a reply that still waited for its transmit timestamp is told as a miss."""
        if self._poll is not None:
            self._poll.finish()
        self._name.close()
        outcomes, self._unreported = self._unreported, []
        outcomes += self._leave()
        return outcomes

    # Names and sockets

    async def _follow_name(self, now_s: float) -> str | None:
        """Look the name up when it is time to; on a change of address begin a new association. Why there is no address, or None."""
        name = self._name
        if self._address is None:
            name.ask(now_s)
            await name.wait(RESOLVER_PATIENCE_S)
        elif not name.numeric and self._name_is_due(now_s - name.asked_at_s):
            name.ask(now_s)
        found = name.take()
        if found is None or isinstance(found, NotResolved):
            if self._address is not None:
                return None  # the old address serves while the resolver does not
            return found or "the resolver has not answered yet"
        others = [address for address in found if address != self._address]
        if others and (self._is_lost() or self._address not in found):
            self._move(others[0])
        return None

    def _is_lost(self) -> bool:
        return self._losses >= LOSSES_BEFORE_RESOLVING

    def _name_is_due(self, age_s: float) -> bool:
        if self._is_lost() and age_s > 2 * LOSSES_BEFORE_RESOLVING * self._target.interval_s:
            return True
        return age_s >= self._shared.context.settings.resolve_again_s

    def _move(self, address: Address) -> None:
        """Begin a new association with that address: new socket, new port, no memory of the old server."""
        old = self.address_text if self._address is not None else None
        self._unreported += self._leave()
        self._address, self._address_text = address, address_text(address)
        self._losses = 0
        self._client = NtpClient(version=self._version, interleaved=self._interleaved, key=self._key)
        if old is not None:
            text = f"{self._target.name} moved from {old} to {self.address_text}"
            evidence = {"from": old, "to": self.address_text}
            event = Event("address_changed", time.time_ns(), Severity.INFO, text, self._target.name, evidence)
            self._shared.context.emit(event)

    def _leave(self) -> list[Outcome]:
        """End the association: what it leaves unfinished."""
        left = self._abandoned(self._client.abandon(), Reason.ASSOCIATION_ENDED) if self._client is not None else []
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._client = None
        return left

    def _open_socket(self, address: Address) -> TimestampedSocket:
        if self._socket is None:
            self._socket = TimestampedSocket(
                self._shared.loop,
                socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
                self._on_datagram,
                self._on_transmit,
                self._on_error,
                counters=self._shared.counters,
                source=(self._source, 0) if self._source else None,
                interface=self._interface,
                phc_to_system=self._phc_to_system,
            )
        return self._socket

    # One poll

    def _send(self, client: NtpClient[Poll], poll: Poll) -> None:
        assert self._address is not None
        sock = self._open_socket(self._address)
        data = client.request(*next(self._shared.nonces), poll)
        poll.tx_number, user_stamp = sock.send(data, self._address)
        client.transmitted(user_stamp, poll)
        sock.drain_transmit_stamps()

    def _on_transmit(self, number: int, stamp: Stamp) -> None:
        # In interleaved mode a stamp is welcome until the next reply, so the poll before is asked too.
        for poll in (self._poll, self._previous):
            if poll is not None and poll.tx_number == number and self._client is not None:
                self._client.transmitted(stamp, poll)
                if stamp.kind is Timestamping.HARDWARE:
                    poll.tx_kind = stamp.kind
                    self._release(poll)
                return

    def _on_error(self, number: int, text: str) -> None:
        poll = self._poll
        if poll is None or poll.done.done():
            self._shared.counters.stray_errors += 1
            return
        poll.network_error = (number, text)
        poll.finish()

    def _on_datagram(self, data: bytes, address: Address, stamp: Stamp) -> None:
        poll = self._poll
        assert self._address is not None
        assert poll is not None
        from_server = address == self._address or is_same(address, self._address)
        if (
            from_server
            and self._phc_to_system is not None
            and poll.tx_kind is not Timestamping.HARDWARE
            and not poll.done.done()
        ):
            if not poll.held:
                self._shared.loop.call_later(HARDWARE_STAMP_WAIT_S, self._release, poll)
            poll.held.append((data, stamp))
            return
        self._take(data, stamp, poll, from_server=from_server)

    def _release(self, poll: Poll) -> None:
        """Take the datagrams that waited for the request's hardware stamp."""
        held, poll.held = poll.held, []
        for data, stamp in held:
            self._take(data, stamp, poll, from_server=True)

    def _take(self, data: bytes, stamp: Stamp, poll: Poll, *, from_server: bool) -> None:
        client = self._client
        if client is None:
            return  # closed while the datagram was held
        for event in client.received(data, stamp, from_server=from_server):
            if isinstance(event, Refused) and not event.final:
                # Somebody's packet, perhaps not the server's: remember it and wait on for the real answer.
                self._shared.refused[event.reason] += 1
                if poll.refused is None or poll.refused.reason in OF_ANOTHER_POLL:
                    poll.refused = event
                continue
            poll.events.append(event)
        if poll.events:
            if poll.end_epoch is None and stamp.kind is not Timestamping.USER:
                poll.end_epoch = self._shared.context.clock_epoch()
            poll.finish()

    # What is told of it

    def _outcomes(self, client: NtpClient[Poll], poll: Poll) -> list[Outcome]:
        """The account of a poll that has ended."""
        if not poll.events:
            self._losses += 1
            return [*self._abandoned(client.expired()), self._unanswered(poll)]
        if poll.end_epoch is None:  # stamped in user space, later than the clocks were read in that turn
            poll.end_epoch = self._shared.context.clock_epoch()
        self._losses = 0
        if any(isinstance(event, Accepted | Measured) for event in poll.events) and self._pacing.answered():
            self._tell("access_restored", f"{self._target.name} answers again", Severity.INFO)
        outcomes: list[Outcome] = []
        for event in poll.events:
            if isinstance(event, Measured):
                outcomes.append(self._measured(event))
            elif isinstance(event, Refused):
                outcomes.append(self._refused(event))
        return self._abandoned(poll.events) + outcomes

    def _cut_off(self, client: NtpClient[Poll], poll: Poll) -> list[Outcome]:
        """The account of a poll that was sent and is not waited for; its answer may have come in this very turn of the loop."""
        if poll.events:
            return self._outcomes(client, poll)
        ended = self._missed(Reason.ASSOCIATION_ENDED, "closed while it was asked", poll)
        return [*self._abandoned(client.expired()), ended]

    def _unanswered(self, poll: Poll) -> Missed:
        if poll.network_error is not None:
            number, text = poll.network_error
            return self._missed(icmp_reason(number), text, poll)
        if poll.refused is not None:
            return self._missed(poll.refused.reason, poll.refused.detail, poll)
        return self._missed(Reason.TIMEOUT, f"no reply within {self._target.timeout_s:g} s", poll)

    def _measured(self, event: Measured[Poll]) -> Outcome:
        poll = event.token
        if poll.epoch != poll.end_epoch:
            # The exchange began on another clock than the one that ended it.
            return self._missed(Reason.CLOCK_STEPPED, "the probe's clock changed during the exchange", poll)
        return Exchange(
            self._target.name,
            PROTOCOL,
            self._address_text,
            event.t1_ns,
            event.t2_ns,
            event.t3_ns,
            event.t4_ns,
            event.tx_timestamping,
            event.rx_timestamping,
            event.mode,
            event.facts,
            poll.epoch,
            event.authenticated,
        )

    def _refused(self, event: Refused[Poll]) -> Missed:
        if event.reason in KISSES:
            self._pacing.kissed(event.reason, self._shared.loop.time())
            self._tell(event.reason, f"{self._target.name} answered with a kiss: {event.detail}")
        return replace(self._missed(event.reason, event.detail, event.token), facts=event.facts)

    def _abandoned(self, events: Iterable[NtpEvent[Poll]], reason: Reason = Reason.INTERLEAVED_BROKEN) -> list[Outcome]:
        return [
            self._missed(reason, "its transmit time never came", event.token)
            for event in events
            if isinstance(event, Abandoned)
        ]

    def _tell(self, kind: str, text: str, severity: Severity = Severity.WARNING) -> None:
        self._shared.context.emit(Event(kind, time.time_ns(), severity, text, self._target.name))

    def _missed(self, reason: Reason, detail: str, poll: Poll | None = None, *, sent: bool = True) -> Missed:
        return Missed(
            self._target.name,
            PROTOCOL,
            self.address_text,
            poll.began_ns if poll is not None else time.time_ns(),
            reason,
            detail,
            poll.epoch if poll is not None else self._shared.context.clock_epoch(),
            sent=sent,
        )
