"""A demonstration network on loopback: NTP servers and a PTP master in this process, whose clocks follow documented noise models.

Rule: everything is labelled as simulated, the packets and the kernel timestamps are real, and the truth is known:
`true_x_s` gives a server's time error at any instant, so that tests can hold the measurement against it.

Noise models, after NIST SP 1065 section 4: phase = offset + rate * t + white-FM random walk (deviation a * sqrt(t)).
Holdover is a cycle: locked, then without a source (rate as given, reference time frozen, root dispersion growing 15 us/s
as in RFC 5905), then locked again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.simulated_ptp import SimulatedGrandmaster, free_place
from probes.sockets import Address, SocketCounters, TimestampedSocket
from timesync.errors import WireError
from timesync.model import Timestamping
from timesync.settings import TargetSettings, Tie
from timesync.timescale import s_to_short, unix_ns_to_ntp
from timesync.wire.ntp import Packet, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.exchange.ntp import Stamp

__all__ = ["NETWORK", "DemonstrationNetwork", "Path", "SimulatedClock", "SimulatedServer", "Spec", "demonstration"]

log = logging.getLogger(__name__)

ROOT_DISPERSION_RATE = 15e-6
# Steps in which the random walk is drawn, s.
WALK_STEP_S = 0.25
WALK_REMEMBERED = 3600
REPLIES_REMEMBERED = 64
CLIENT_MODE, SERVER_MODE = 3, 4
PROCESSING_NS = 30_000


@dataclass(frozen=True, slots=True)
class Path:
    """A network path: constant delay each way, s, exponential jitter of that mean each way, s, and loss, 0 to 1."""

    out_s: float = 0.0
    back_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0

    @property
    def is_loopback(self) -> bool:
        """Whether nothing is added to the loopback interface's own path."""
        return self == Path()


@dataclass(frozen=True, slots=True)
class Spec:
    """A simulated server: what it is for, its clock, its path, and what it says of itself."""

    name: str
    legend: str
    offset_s: float = 0.0
    rate: float = 0.0
    walk_s_per_sqrt_s: float = 0.0
    path: Path = Path()
    stratum: int = 1
    reference_id: int = int.from_bytes(b"SIM\0", "big")
    root_delay_s: float = 0.0
    root_dispersion_s: float = 1e-6
    locked_s: float | None = None  # None: always locked
    holdover_s: float = 0.0


class SimulatedClock:
    """x(t) of one server: clock minus true time, s, `t_s` seconds after it was started."""

    def __init__(self, spec: Spec, seed: int) -> None:
        self._spec = spec
        self._random = random.Random(seed)  # noqa: S311 - noise, not a secret
        self._walk = [0.0]
        self._dropped = 0

    def free_s(self, t_s: float) -> float:
        """Seconds since the clock lost its source; 0 while it is locked."""
        spec = self._spec
        if spec.locked_s is None:
            return 0.0
        into_s = t_s % (spec.locked_s + spec.holdover_s)
        return max(0.0, into_s - spec.locked_s)

    def x_s(self, t_s: float) -> float:
        """The time error at `t_s`."""
        spec = self._spec
        drifting_s = t_s if spec.locked_s is None else self.free_s(t_s)
        return spec.offset_s + spec.rate * drifting_s + self._walk_s(t_s)

    def _walk_s(self, t_s: float) -> float:
        """The random walk, drawn once per step and joined by straight lines: asking twice gives the same.

        The last quarter of an hour is remembered; what is asked before that is answered with its beginning.
        """
        position = max(0.0, t_s / WALK_STEP_S - self._dropped)
        index = int(position)
        deviation = self._spec.walk_s_per_sqrt_s * WALK_STEP_S**0.5
        while len(self._walk) < index + 2:
            self._walk.append(self._walk[-1] + self._random.gauss(0.0, deviation))
        before, after = self._walk[index], self._walk[index + 1]
        if len(self._walk) > 2 * WALK_REMEMBERED:
            self._dropped += len(self._walk) - WALK_REMEMBERED
            del self._walk[:-WALK_REMEMBERED]
        return before + (after - before) * (position - index)


class SimulatedServer:
    """An NTP server on a loopback port, basic and interleaved, with a simulated clock behind a simulated path."""

    def __init__(self, spec: Spec, seed: int = 1, host: str = "127.0.0.1") -> None:
        self.spec = spec
        self.clock = SimulatedClock(spec, seed)
        self._loop = asyncio.get_running_loop()
        self._random = random.Random(seed + 1)  # noqa: S311 - noise, not a secret
        self._began_ns = time.time_ns()
        self.replies = 0
        self._sent: dict[int, int] = {}
        self._pending: dict[int, int] = {}
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = TimestampedSocket(
            self._loop,
            family,
            self._on_request,
            self._on_transmit,
            lambda number, text: None,  # noqa: ARG005 - a client that has gone is no concern of the server
            counters=SocketCounters(),
            source=(host, 0),
        )
        self.address = f"[{host}]:{self._socket.port}" if ":" in host else f"{host}:{self._socket.port}"

    def close(self) -> None:
        """Let the port go."""
        self._socket.close()

    def true_x_s(self, at_ns: int) -> float:
        """The clock's time error at a true instant (Unix ns)."""
        return self.clock.x_s((at_ns - self._began_ns) / 1e9)

    def _shown_ns(self, true_ns: int) -> int:
        """What the simulated clock shows at a true instant."""
        return true_ns + round(self.true_x_s(true_ns) * 1e9)

    def _on_transmit(self, number: int, stamp: Stamp) -> None:
        receive = self._pending.pop(number, None)
        if receive is not None and stamp.kind is Timestamping.KERNEL:
            self._sent[receive] = unix_ns_to_ntp(self._shown_ns(stamp.at_ns))
            if len(self._sent) > REPLIES_REMEMBERED:
                del self._sent[next(iter(self._sent))]

    def _on_request(self, data: bytes, address: Address, stamp: Stamp) -> None:
        try:
            request = decode(data)
        except WireError:
            return
        path = self.spec.path
        if request.mode != CLIENT_MODE or self._random.random() < path.loss:
            return
        arrived_ns = stamp.at_ns + self._one_way_ns(path.out_s)
        if path.is_loopback:
            self._reply(request, address, arrived_ns, None)
            return
        sent_ns = arrived_ns + PROCESSING_NS
        leaves_ns = sent_ns + self._one_way_ns(path.back_s)
        delay_s = max(0.0, (leaves_ns - time.time_ns()) / 1e9)
        self._loop.call_later(delay_s, self._reply, request, address, arrived_ns, sent_ns)

    def _one_way_ns(self, constant_s: float) -> int:
        jitter_s = self._random.expovariate(1.0 / self.spec.path.jitter_s) if self.spec.path.jitter_s else 0.0
        return round((constant_s + jitter_s) * 1e9)

    def _reply(self, request: Packet, address: Address, arrived_ns: int, sent_ns: int | None) -> None:
        """Answer; `sent_ns` None means now, with the kernel's own transmit stamp to follow in interleaved mode."""
        receive = unix_ns_to_ntp(self._shown_ns(arrived_ns))
        true_transmit = self._sent.get(request.origin) if request.receive != request.transmit else None
        now_ns = time.time_ns()
        spec, free_s = self.spec, self.clock.free_s((now_ns - self._began_ns) / 1e9)
        locked_ns = now_ns - round(free_s * 1e9) - 1_000_000_000
        reply = Packet(
            leap=0,
            version=request.version,
            mode=SERVER_MODE,
            stratum=spec.stratum,
            poll=request.poll,
            precision=-24,
            root_delay=s_to_short(spec.root_delay_s),
            root_dispersion=s_to_short(spec.root_dispersion_s + ROOT_DISPERSION_RATE * free_s),
            reference_id=spec.reference_id,
            reference=unix_ns_to_ntp(self._shown_ns(locked_ns)),
            origin=request.transmit if true_transmit is None else request.receive,
            receive=receive,
            transmit=true_transmit or unix_ns_to_ntp(self._shown_ns(sent_ns or time.time_ns())),
        )
        if self._socket.closed:
            return
        number, _ = self._socket.send(encode(reply), address)
        self.replies += 1
        if sent_ns is None:
            self._pending[number] = receive
            if len(self._pending) > REPLIES_REMEMBERED:
                del self._pending[next(iter(self._pending))]


NETWORK = (
    Spec("utc-demo", "the reference: realises UTC(DEMO)"),
    Spec("good", "3 us ahead, steady", offset_s=3e-6, walk_s_per_sqrt_s=50e-9),
    Spec("drifting", "gains 2 us every second", offset_s=200e-6, rate=2e-6, walk_s_per_sqrt_s=100e-9),
    Spec(
        "bad-path",
        "true, but 4 ms out and 12 ms back",
        path=Path(0.004, 0.012, 0.001, 0.05),
        stratum=2,
        reference_id=int.from_bytes(bytes((192, 0, 2, 1)), "big"),
        root_delay_s=0.001,
        root_dispersion_s=50e-6,
    ),
    Spec(
        "holdover",
        "coasts 5 us/s off, 60 s in 90",
        offset_s=1e-6,
        rate=5e-6,
        walk_s_per_sqrt_s=50e-9,
        locked_s=30.0,
        holdover_s=60.0,
    ),
)
GRANDMASTER = Spec("grandmaster", "a PTP master 8 us ahead", offset_s=8e-6, walk_s_per_sqrt_s=50e-9)
DEMONSTRATION_TIE = Tie("UTC(DEMO)", bound_s=100e-9, u_s=30e-9)


class DemonstrationNetwork:
    """All servers of `NETWORK`, the PTP master, and the targets that measure them."""

    def __init__(self, specs: Sequence[Spec] = NETWORK) -> None:
        self._specs = specs
        self.servers: dict[str, SimulatedServer] = {}
        self.grandmaster: SimulatedGrandmaster | None = None

    @property
    def legend(self) -> Mapping[str, str]:
        """What each target simulates."""
        return {spec.name: spec.legend for spec in (*self._specs, GRANDMASTER)}

    async def start(self) -> Sequence[TargetSettings]:
        """Start the servers; the targets, polled every second. The first is the reference."""
        for seed, spec in enumerate(self._specs, start=1):
            self.servers[spec.name] = SimulatedServer(spec, 100 * seed)
        reference = self._specs[0].name
        targets = [
            TargetSettings(
                name,
                "ntp",
                server.address,
                interval_s=1.0,
                timeout_s=0.5,
                tie=DEMONSTRATION_TIE if name == reference else None,
                reference=None if name == reference else reference,
            )
            for name, server in self.servers.items()
        ]
        return [*targets, *self._start_grandmaster(reference)]

    def _start_grandmaster(self, reference: str) -> Sequence[TargetSettings]:
        """Start the PTP master; its target, or none where loopback has no multicast."""
        place = free_place()
        clock = SimulatedClock(GRANDMASTER, 100 * len(self._specs) + 100)
        try:
            self.grandmaster = SimulatedGrandmaster(clock, place)
        except OSError as error:
            log.info("no PTP master is simulated: %s", error)
            return []
        ports = {"event_port": place.event_port, "general_port": place.general_port}
        return [
            TargetSettings(
                GRANDMASTER.name,
                "ptp",
                place.interface,
                interval_s=1.0,
                timeout_s=0.5,
                reference=reference,
                options=ports,
            )
        ]

    def true_x_s(self, target: str, at_ns: int) -> float | None:
        """The truth about a target at a true instant (Unix ns)."""
        if target == GRANDMASTER.name and self.grandmaster is not None:
            return self.grandmaster.true_x_s(at_ns)
        server = self.servers.get(target)
        return server.true_x_s(at_ns) if server is not None else None

    async def stop(self) -> None:
        """Stop the servers."""
        if self.grandmaster is not None:
            self.grandmaster.close()
            self.grandmaster = None
        for server in self.servers.values():
            server.close()
        self.servers.clear()


def demonstration() -> DemonstrationNetwork:
    """The entry point of the group `timesync.demonstrations`."""
    return DemonstrationNetwork()
