"""The NTP probe kind: one association and one socket a target, kernel or hardware stamped.

Rule: every poll ends in exactly one account of itself: a measurement, a reply whose transmit time comes with the next one, or
a miss with its reason. A lost packet is a loss; nothing is asked again behind the schedule's back.
The protocol is in timesync/exchange/ntp.py; here are only the socket, the time-out and the name.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from probes.address import AddressError, split_host_port
from probes.sockets import Address, SocketCounters, TimestampedSocket, icmp_reason
from timesync.errors import ConfigError, Problem
from timesync.exchange.ntp import Abandoned, Accepted, Measured, NtpClient, NtpEvent, Refused, Stamp
from timesync.exchange.pacing import Pacing
from timesync.keys import Key, read_keys
from timesync.model import Event, Exchange, Missed, Outcome, Severity
from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from timesync.plugin import EngineContext
    from timesync.settings import ProbeSettings, TargetSettings

__all__ = ["KIND", "NtpEngine", "NtpKind", "NtpProber"]

NTP_PORT = 123
MODES = ("auto", "basic")
FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
# After so many polls without any answer the name is resolved again: the server may have moved.
LOSSES_BEFORE_RESOLVING = 4
OPTIONS = {
    "mode": '"auto" (interleaved where the server can, the default) or "basic"',
    "version": "NTP version of the request: 4 (default) or 3",
    "key": "number of the symmetric key in the keys file",
    "family": '"any" (default), "ipv4" or "ipv6"',
    "source": "local address to send from",
    "deny_retry_s": "first pause after DENY or RSTR, seconds (default 3600; doubles up to a day)",
}


class NtpKind:
    """`kind = "ntp"`."""

    name = "ntp"
    protocol = "ntp"
    options: Mapping[str, str] = OPTIONS

    def check(self, target: TargetSettings, where: str) -> Sequence[Problem]:
        """Everything wrong with the address and options."""
        problems: list[Problem] = []
        try:
            split_host_port(target.address, NTP_PORT)
        except AddressError as error:
            problems.append(Problem(f"{where}: address", str(error), 'Write "host", "host:port" or "[v6]:port".'))
        options = target.options
        checks = (
            ("mode", options.get("mode", "auto") in MODES, 'Write "auto" or "basic".'),
            ("version", options.get("version", 4) in (3, 4), "Write 3 or 4."),
            ("family", options.get("family", "any") in FAMILIES, 'Write "any", "ipv4" or "ipv6".'),
            ("key", is_count(options.get("key", 1)), "Write the key's number, a whole number from 1 to 4294967295."),
            ("deny_retry_s", is_positive(options.get("deny_retry_s", 1)), "Write a positive number of seconds."),
            ("source", isinstance(options.get("source", ""), str), "Write a local address in quotes."),
        )
        problems.extend(
            Problem(f"{where}: {name}", f"{options.get(name)!r} is not possible", remedy)
            for name, good, remedy in checks
            if not good
        )
        return problems

    def open(self, context: EngineContext) -> NtpEngine:
        """The engine of this process."""
        return NtpEngine(context)


def is_count(value: object) -> bool:
    """A key number: a positive integer (not a boolean) of 32 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 32


def is_positive(value: object) -> bool:
    """A positive, finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


KIND = NtpKind()


class NtpEngine:
    """All NTP targets of this process: shared counters, keys and name resolution."""

    def __init__(self, context: EngineContext) -> None:
        self.context = context
        self.counters = SocketCounters()
        self.loop = asyncio.get_running_loop()
        self._keys = keys_of(context.settings)
        self._with_key: dict[str, int] = {}
        allow_many_sockets()

    def reconfigure(self, settings: ProbeSettings) -> Collection[str]:
        """Read the keys again; targets whose key is another now must be opened again. Raises ConfigError."""
        keys, old = keys_of(settings), self._keys
        self.context = replace(self.context, settings=settings)
        self._keys = keys
        return [name for name, number in self._with_key.items() if keys.get(number) != old.get(number)]

    async def open_target(self, target: TargetSettings) -> NtpProber:
        """Begin to measure a target."""
        number = target.options.get("key")
        key = None
        if number is not None:
            key = self._keys.get(number)
            if key is None:
                source = self.context.settings.source
                raise ConfigError(
                    source,
                    (
                        Problem(
                            f'target "{target.name}": key',
                            f"the keys file has no key {number}",
                            "Add it to the file named by [keys] file, or name another.",
                        ),
                    ),
                )
            self._with_key[target.name] = number
        else:
            self._with_key.pop(target.name, None)
        return NtpProber(self, target, key)

    async def close(self) -> None:
        """Nothing is shared that must be let go."""


def keys_of(settings: ProbeSettings) -> Mapping[int, Key]:
    """The keys of the configured file. Raises ConfigError if it cannot be used."""
    return read_keys(settings.keys_file) if settings.keys_file is not None else {}


def allow_many_sockets() -> None:
    """One socket a target: take as many file descriptors as the system lets us have without privileges."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass(slots=True, eq=False)
class Poll:
    """The poll that is under way."""

    number: int
    began_ns: int
    epoch: int
    done: asyncio.Future[None]
    events: list[NtpEvent[Poll]]
    refused: Refused | None = None
    network_error: tuple[int, str] | None = None
    tx_number: int = -1


class NtpProber:
    """One target: its address, socket, client state and pace."""

    def __init__(self, engine: NtpEngine, target: TargetSettings, key: Key | None) -> None:
        self._engine = engine
        self._target = target
        self._key = key
        options: Mapping[str, Any] = target.options
        self._host, self._port = split_host_port(target.address, NTP_PORT)
        self._family = FAMILIES[options.get("family", "any")]
        self._interleaved = options.get("mode", "auto") == "auto"
        self._version = options.get("version", 4)
        self._source = options.get("source")
        self._pacing = Pacing(target.interval_s, first_deny_pause_s=options.get("deny_retry_s", 3600.0))
        self._client: NtpClient[Poll] | None = None
        self._socket: TimestampedSocket | None = None
        self._address: Address | None = None
        self._resolved_at_s = float("-inf")
        self._losses = 0
        self._poll: Poll | None = None
        self._number = 0

    @property
    def address_text(self) -> str:
        """The address in use, or the one that was configured while there is none."""
        if self._address is None:
            return self._target.address
        host, port = self._address[0], self._address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def poll(self) -> Sequence[Outcome]:
        """Ask once; the outcomes are in time order."""
        loop = self._engine.loop
        now_s = loop.time()
        hold = self._pacing.hold(now_s)
        if hold is not None:
            return [self._missed(hold.reason, f"next try in {hold.until_s - now_s:.0f} s", sent=False)]
        outcomes: list[Outcome] = []
        unresolved = await self._follow_name(now_s, outcomes)
        if unresolved is not None:
            outcomes.append(self._missed(Reason.NAME_NOT_RESOLVED, unresolved, sent=False))
            return outcomes
        self._number += 1
        poll = Poll(self._number, time.time_ns(), self._engine.context.clock_epoch(), loop.create_future(), [])
        self._poll = poll
        try:
            self._send(poll)
        except OSError as error:
            self._poll = None
            self._losses += 1
            self._expire(poll)
            outcomes.extend(self._outcomes(poll))
            detail = f"{error.strerror or error} (sending to {self.address_text})"
            outcomes.append(self._missed(icmp_reason(error.errno or 0), detail, poll))
            return outcomes
        self._pacing.sent(now_s)
        timer = loop.call_later(self._target.timeout_s, self._time_out, poll)
        try:
            await poll.done
        finally:
            timer.cancel()
            self._poll = None
        return [*outcomes, *self._outcomes(poll)]

    async def close(self) -> Sequence[Outcome]:
        """Close the socket; a reply that still waited for its transmit timestamp is told as a miss."""
        poll = self._poll
        if poll is not None and not poll.done.done():
            poll.done.set_result(None)
        events = self._client.abandon() if self._client is not None else ()
        self._close_socket()
        return [self._abandoned(event) for event in events if isinstance(event, Abandoned)]

    # Names and sockets

    async def _follow_name(self, now_s: float, outcomes: list[Outcome]) -> str | None:
        """Resolve the name when it is time to; on a change of address begin a new association. Error text, or None."""
        age_s = now_s - self._resolved_at_s
        again_s = self._engine.context.settings.resolve_again_s
        lost = self._losses >= LOSSES_BEFORE_RESOLVING and age_s > 8 * self._target.interval_s
        if self._address is not None and age_s < again_s and not lost:
            return None
        try:
            found = await self._engine.loop.getaddrinfo(
                self._host, self._port, family=self._family, type=socket.SOCK_DGRAM
            )
        except (OSError, UnicodeError) as error:
            if self._address is not None:
                return None  # the old address serves while the resolver does not
            return f"{self._host}: {error}"
        self._resolved_at_s = now_s
        addresses: list[Address] = [info[4] for info in found]
        if self._address in addresses and not (lost and len(addresses) > 1):
            return None
        others = [address for address in addresses if address != self._address]
        self._move(others[0] if others else addresses[0], outcomes)
        return None

    def _move(self, address: Address, outcomes: list[Outcome]) -> None:
        """Begin a new association with that address: new socket, new port, no memory of the old server."""
        old = self.address_text if self._address is not None else None
        if self._client is not None:
            outcomes.extend(self._abandoned(event) for event in self._client.abandon() if isinstance(event, Abandoned))
        self._close_socket()
        self._address = address
        self._losses = 0
        self._client = NtpClient(version=self._version, interleaved=self._interleaved, key=self._key)
        if old is not None:
            self._engine.context.emit(
                Event(
                    "address_changed",
                    time.time_ns(),
                    Severity.INFO,
                    f"{self._target.name} moved from {old} to {self.address_text}",
                    self._target.name,
                    {"from": old, "to": self.address_text},
                )
            )

    def _open_socket(self, address: Address) -> TimestampedSocket:
        if self._socket is None:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            source = (self._source, 0) if self._source else None
            self._socket = TimestampedSocket(
                self._engine.loop,
                family,
                self._on_datagram,
                self._on_transmit,
                self._on_error,
                counters=self._engine.counters,
                source=source,
            )
        return self._socket

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # One poll

    def _send(self, poll: Poll) -> None:
        assert self._client is not None
        assert self._address is not None
        sock = self._open_socket(self._address)
        data = self._client.request(nonce(), nonce(), poll)
        poll.tx_number, user_stamp = sock.send(data, self._address)
        self._client.transmitted(user_stamp, poll)

    def _on_transmit(self, number: int, stamp: Stamp) -> None:
        poll, client = self._poll, self._client
        if poll is not None and client is not None and poll.tx_number in (number, -1):
            client.transmitted(stamp, poll)

    def _on_error(self, number: int, text: str) -> None:
        poll = self._poll
        if poll is None or poll.done.done():
            return
        poll.network_error = (number, text)
        poll.done.set_result(None)

    def _on_datagram(self, data: bytes, address: Address, stamp: Stamp) -> None:
        poll, client = self._poll, self._client
        if poll is None or client is None or poll.done.done():
            return
        assert self._address is not None
        for event in client.received(data, stamp, from_server=address[:2] == self._address[:2]):
            if isinstance(event, Refused) and not event.final:
                # Somebody's packet, perhaps not the server's: remember it and wait on for the real answer.
                poll.refused = event
                continue
            poll.events.append(event)
        if poll.events:
            poll.done.set_result(None)

    def _time_out(self, poll: Poll) -> None:
        if not poll.done.done():
            poll.done.set_result(None)

    def _expire(self, poll: Poll) -> None:
        if self._client is not None:
            poll.events.extend(self._client.expired())

    def _outcomes(self, poll: Poll) -> list[Outcome]:
        """The account of a poll that has ended."""
        answered = bool(poll.events)
        if not answered:
            self._losses += 1
            self._expire(poll)
        outcomes = [outcome for event in poll.events if (outcome := self._outcome(event, poll)) is not None]
        if not answered:
            outcomes.append(self._unanswered(poll))
        return outcomes

    def _unanswered(self, poll: Poll) -> Missed:
        if poll.network_error is not None:
            number, text = poll.network_error
            return self._missed(icmp_reason(number), text, poll)
        if poll.refused is not None:
            return self._missed(poll.refused.reason, poll.refused.detail, poll)
        return self._missed(Reason.TIMEOUT, f"no reply within {self._target.timeout_s:g} s", poll)

    def _outcome(self, event: NtpEvent[Poll], poll: Poll) -> Outcome | None:
        if isinstance(event, Accepted):
            self._good_reply()
            return None
        if isinstance(event, Abandoned):
            return self._abandoned(event)
        if isinstance(event, Refused):
            return self._refused(event, poll)
        self._good_reply()
        return self._measured(event)

    def _measured(self, event: Measured[Poll]) -> Outcome:
        epoch = self._engine.context.clock_epoch()
        if event.token.epoch != epoch:
            # The exchange began on another clock than the one that reads it now.
            return self._missed(Reason.CLOCK_STEPPED, "the probe's clock changed during the exchange", event.token)
        return Exchange(
            self._target.name,
            KIND.protocol,
            self.address_text,
            event.t1_ns,
            event.t2_ns,
            event.t3_ns,
            event.t4_ns,
            event.tx_timestamping,
            event.rx_timestamping,
            event.mode,
            event.facts,
            epoch,
            event.authenticated,
        )

    def _refused(self, event: Refused, poll: Poll) -> Missed:
        if event.reason in {Reason.KISS_RATE, Reason.KISS_DENY, Reason.KISS_RSTR}:
            self._pacing.kissed(event.reason, self._engine.loop.time())
            self._tell(event.reason, f"{self._target.name} answered with a kiss: {event.detail}")
        missed = self._missed(event.reason, event.detail, poll)
        return Missed(
            missed.target,
            missed.protocol,
            missed.address,
            missed.at_ns,
            missed.reason,
            missed.detail,
            missed.clock_epoch,
            facts=event.facts,
        )

    def _abandoned(self, event: Abandoned[Poll]) -> Missed:
        return self._missed(Reason.INTERLEAVED_BROKEN, "its transmit time never came", event.token)

    def _good_reply(self) -> None:
        self._losses = 0
        if self._pacing.answered():
            self._tell("access_restored", f"{self._target.name} answers again", Severity.INFO)

    def _tell(self, kind: str, text: str, severity: Severity = Severity.WARNING) -> None:
        self._engine.context.emit(Event(kind, time.time_ns(), severity, text, self._target.name))

    def _missed(self, reason: Reason, detail: str, poll: Poll | None = None, *, sent: bool = True) -> Missed:
        return Missed(
            self._target.name,
            KIND.protocol,
            self.address_text,
            poll.began_ns if poll is not None else time.time_ns(),
            reason,
            detail,
            poll.epoch if poll is not None else self._engine.context.clock_epoch(),
            sent=sent,
        )


def nonce() -> int:
    """A random, non-zero 64-bit integer."""
    return secrets.randbits(64) or 1
