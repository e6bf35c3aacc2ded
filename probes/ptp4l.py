"""The probe kind `ptp4l`: what PTP stacks say of themselves, asked by management messages.

Rule: only GET is ever sent. What comes back is the stack's own claim, stored in `ptp_clock` and `ptp_port` beside what the probe
measures and never mixed with it (timesync/ptp_stack.py); no such target can be a reference. Over ptp4l's UNIX socket one question
is open at a time: ptp4l would wait for a reader whose queue is full, and a probe must not disturb what it watches.

Source: IEEE 1588-2019 clause 15; the socket is linuxptp's (uds_address, uds_ro_address of ptp4l(8)).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.options import Checks, is_domain, is_interface, is_port, one_of, problems_of
from probes.ptp_segment import TRANSPORTS, Place, PtpSegment
from probes.sockets import SocketCounters
from timesync.config.wording import shown
from timesync.errors import Problem
from timesync.exchange.ptp_management import ManagementClient
from timesync.model import Event, Missed, Part, Reported, Severity
from timesync.plugin import EngineCounts
from timesync.ptp_stack import parts_of
from timesync.reasons import Reason
from timesync.wire.ptp.header import PortIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from timesync.exchange.ntp import Stamp
    from timesync.model import FieldValue, Outcome
    from timesync.plugin import EngineContext
    from timesync.settings import ProbeSettings, TargetSettings

__all__ = ["KIND", "PROTOCOL", "Ptp4lEngine", "Ptp4lKind"]

PROTOCOL = "ptp4l"
OPTIONS = {
    "transport": 'for an interface: "udp4" (default), "udp6", or "l2" (Ethernet; needs CAP_NET_RAW)',
    "domain": "PTP domain of the clocks, 0 to 255 (default 0)",
    "major_sdo_id": "majorSdoId of the clocks (ptp4l: transportSpecific): 0 (default), or 1 for IEEE 802.1AS",
    "hops": "boundary clocks that a question may pass, 0 to 255 (default 0)",
    "event_port": "UDP port of event messages (default 319)",
    "general_port": "UDP port of management messages (default 320)",
}
CHECKS: Checks = {
    "transport": (one_of(*TRANSPORTS), 'Write "udp4", "udp6" or "l2"'),
    "domain": (is_domain, "Write a whole number from 0 to 255"),
    "major_sdo_id": (one_of(0, 1), "Write 0, or 1 for IEEE 802.1AS"),
    "hops": (is_domain, "Write a whole number from 0 to 255"),
    "event_port": (is_port, "Write a port from 1 to 65535"),
    "general_port": (is_port, "Write a port from 1 to 65535"),
}
LONGEST_SOCKET_PATH = 107  # linux/un.h UNIX_PATH_MAX, without its zero
# What is told when it changes; for the worse, or of the clock itself, as a warning.
WATCHED = {
    "clock_state": Severity.WARNING,
    "port_state": Severity.WARNING,
    "grandmaster": Severity.WARNING,
    "grandmaster_class": Severity.WARNING,
    "grandmaster_accuracy": Severity.WARNING,
    "clock_class": Severity.WARNING,
    "time_traceable": Severity.WARNING,
    "frequency_traceable": Severity.WARNING,
    "utc_offset_s": Severity.WARNING,
    "utc_offset_valid": Severity.WARNING,
    "ptp_timescale": Severity.WARNING,
    "leap": Severity.INFO,
    "parent_port": Severity.INFO,
    "steps_removed": Severity.INFO,
    "as_capable": Severity.WARNING,
    "gm_time_base_indicator": Severity.WARNING,
}
# How long to leave ptp4l alone when its queue is full.
QUEUE_PAUSE_S = 0.005


def is_socket_path(address: str) -> bool:
    """Whether an address is the path of a UNIX socket, and not the name of an interface."""
    return address.startswith("/")


class Ptp4lKind:
    """`kind = "ptp4l"`."""

    name = "ptp4l"
    protocol = PROTOCOL
    options: Mapping[str, str] = OPTIONS

    def check(self, target: TargetSettings, where: str) -> Sequence[Problem]:
        """Everything wrong with the address (a socket, or an interface) and options."""
        problems: list[Problem] = []
        address = target.address
        if is_socket_path(address):
            if len(address.encode()) > LONGEST_SOCKET_PATH:
                what = f"a UNIX socket's path has at most {LONGEST_SOCKET_PATH} octets"
                problems.append(
                    Problem(f"{where}: address", what, "Set a shorter uds_address in ptp4l's configuration")
                )
            problems += [
                Problem(f"{where}: {name}", "a UNIX socket has none", "Take it out, or name an interface as address")
                for name in ("transport", "event_port", "general_port")
                if name in target.options
            ]
        elif not is_interface(address):
            what = f"{shown(address)} is neither the path of a socket nor the name of a network interface"
            remedy = 'Write ptp4l\'s socket, such as "/var/run/ptp4l", or an interface, such as "eth0"'
            problems.append(Problem(f"{where}: address", what, remedy))
        if target.tie is not None:
            what = "what a stack says of itself is no measurement, and cannot realise a UTC(k)"
            problems.append(Problem(f"{where}: realises", what, 'Take it out; measure the clock by kind = "ptp"'))
        return [*problems, *problems_of(target.options, CHECKS, where)]

    def open(self, context: EngineContext) -> Ptp4lEngine:
        """The engine of this process."""
        return Ptp4lEngine(context)


KIND = Ptp4lKind()


class Ptp4lEngine:
    """All ptp4l targets of this process. `refused` counts messages not used."""

    def __init__(self, context: EngineContext) -> None:
        self.context = context
        self.counters = SocketCounters()
        self.refused: Counter[Reason] = Counter()

    def reconfigure(self, settings: ProbeSettings) -> Collection[str]:
        """Nothing of the settings matters here."""
        self.context = replace(self.context, settings=settings)
        return ()

    async def open_target(self, target: TargetSettings) -> Ptp4lProber:
        """Begin to watch a target."""
        return Ptp4lProber(self, target)

    def counts(self) -> EngineCounts:
        """Messages not used."""
        return EngineCounts({reason.value: count for reason, count in self.refused.items()}, self.counters.as_mapping())

    async def close(self) -> None:
        """There is nothing that targets share."""


class UnixLink:
    """To one ptp4l, by its socket. Ours has an abstract name, so that nothing is left behind and no directory is written to."""

    def __init__(self, path: str, received: Callable[[bytes], None]) -> None:
        self._path = path
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind("")
        self._loop.add_reader(self._socket.fileno(), self._readable)

    async def ask(self, client: ManagementClient, timeout_s: float) -> None:
        """Ask all questions of a poll and wait for the answers. Raises OSError where they cannot be sent."""
        self._socket.connect(self._path)  # anew each time: a ptp4l that was started again has another socket
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for question in client.one_by_one():
                    await self._send(question)
                    while not client.answered():
                        self._came.clear()
                        await self._came.wait()

    async def _send(self, question: bytes) -> None:
        while True:
            try:
                self._socket.send(question)
            except BlockingIOError:  # others ask too, and ptp4l's queue is full
                await asyncio.sleep(QUEUE_PAUSE_S)
            else:
                return

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                self._received(self._socket.recv(65536))
        self._came.set()

    def close(self) -> None:
        """Let go of it."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class NetworkLink:
    """To all clocks of a domain that an interface reaches, by multicast."""

    unicast: str | None = None

    def __init__(self, segment: PtpSegment, domain: int, major_sdo_id: int, received: Callable[[bytes], None]) -> None:
        self.domain, self.major_sdo_id = domain, major_sdo_id
        self._segment = segment
        self._received = received
        self.identity = segment.subscribe(self)

    @property
    def alive(self) -> bool:
        """Whether the interface is still the one that was opened."""
        return self._segment.alive

    async def ask(self, client: ManagementClient, timeout_s: float) -> None:
        """Ask all questions of a poll. Who else may answer is not known: the time is waited for to its end. Raises OSError."""
        for question in client.ask():
            self._segment.send_general(question, self)
        await asyncio.sleep(timeout_s)

    def close(self) -> None:
        """Let go of it."""
        self._segment.unsubscribe(self)
        self._segment.close()

    def heard(self, data: bytes, _stamp: Stamp, _sender: str) -> None:
        """A message of the domain came."""
        self._received(data)

    def transmitted(self, number: int, stamp: Stamp) -> None:
        """When a message left does not matter."""

    def failed(self, number: int, text: str) -> None:
        """A port that nothing listens on is seen by the silence."""


class Ptp4lProber:
    """One target."""

    def __init__(self, engine: Ptp4lEngine, target: TargetSettings) -> None:
        self._engine = engine
        self._target = target
        self._options: dict[str, Any] = dict(target.options)
        self._link: UnixLink | NetworkLink | None = None
        self._client: ManagementClient | None = None
        self._known: dict[tuple[str, ...], Mapping[str, FieldValue]] = {}
        self._silent: set[str] = set()

    async def poll(self) -> Sequence[Outcome]:
        """Ask once; one report of all clocks that answered."""
        at_ns = time.time_ns()
        try:
            link, client = self._open()
            await link.ask(client, self._target.timeout_s)
        except OSError as error:
            return [self._missed(at_ns, Reason.SEND_FAILED, self._trouble(error), sent=False)]
        reports = client.account()
        if not reports:
            where = "its socket" if isinstance(link, UnixLink) else f"domain {link.domain}"
            return [self._missed(at_ns, Reason.TIMEOUT, f"no clock answered by {where}")]
        parts = tuple(part for report in reports for part in parts_of(report))
        self._compare(parts)
        return [self._report(at_ns, parts)]

    async def close(self) -> Sequence[Outcome]:
        """Ask no more."""
        if self._link is not None:
            self._link.close()
            self._link = None
        return ()

    def _open(self) -> tuple[UnixLink | NetworkLink, ManagementClient]:
        """The link, opened if it is not. Raises OSError."""
        if isinstance(self._link, NetworkLink) and not self._link.alive:
            self._link.close()
            self._link = None
        if self._link is None or self._client is None:
            options = self._options
            domain, sdo = options.get("domain", 0), options.get("major_sdo_id", 0)
            if is_socket_path(self._target.address):
                self._link = UnixLink(self._target.address, self._received)
                identity = PortIdentity(secrets.randbits(64), 1)
            else:
                ports = options.get("event_port", 319), options.get("general_port", 320)
                place = Place(self._target.address, options.get("transport", "udp4"), *ports)
                segment = PtpSegment(asyncio.get_running_loop(), place, self._engine.counters)
                self._link = NetworkLink(segment, domain, sdo, self._received)
                identity = self._link.identity
            self._client = ManagementClient(identity, domain, sdo << 8, options.get("hops", 0))
        return self._link, self._client

    def _received(self, data: bytes) -> None:
        if self._client is not None:
            unused = self._client.received(data)
            if unused is not None:
                self._engine.refused[unused.reason] += 1

    def _trouble(self, error: OSError) -> str:
        what = f"{self._target.address}: {error.strerror or error}"
        if isinstance(error, PermissionError):
            what += "; let the probe's user write to the socket, or name ptp4l's uds_ro_address"
        elif is_socket_path(self._target.address) and not Path(self._target.address).exists():
            what += "; is ptp4l running, and is this its uds_address?"
        return what

    # Telling

    def _compare(self, parts: Sequence[Part]) -> None:
        """Tell what has changed since the last poll, and which clocks have fallen silent or are back."""
        for part in parts:
            key = tuple(part.tags.values())
            before = self._known.get(key)
            self._known[key] = part.fields
            for name, severity in WATCHED.items():
                old, new = (before or {}).get(name), part.fields.get(name)
                if old is not None and new is not None and old != new:
                    who = "-".join(key)
                    self._emit("stack_changed", f"{who}: {name} was {old}, is {new}", severity)
        answering = {part.tags["clock"] for part in parts}
        for key in [key for key in self._known if key[0] not in answering]:
            if len(key) == 1:
                self._silent.add(key[0])
                self._emit("stack_silent", f"{key[0]} does not answer any more", Severity.WARNING)
            del self._known[key]
        for clock in self._silent & answering:
            self._emit("stack_answers", f"{clock} answers again", Severity.INFO)
        self._silent -= answering

    def _emit(self, kind: str, text: str, severity: Severity) -> None:
        event = Event(kind, time.time_ns(), severity, f"{self._target.name}: {text}", self._target.name)
        self._engine.context.emit(event)

    def _report(self, at_ns: int, parts: tuple[Part, ...]) -> Reported:
        epoch = self._engine.context.clock_epoch()
        return Reported(self._target.name, PROTOCOL, self._target.address, at_ns, epoch, parts)

    def _missed(self, at_ns: int, reason: Reason, detail: str, *, sent: bool = True) -> Missed:
        epoch = self._engine.context.clock_epoch()
        return Missed(self._target.name, PROTOCOL, self._target.address, at_ns, reason, detail, epoch, sent=sent)
