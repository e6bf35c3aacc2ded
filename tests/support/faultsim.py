"""Simulated clocks and paths whose truth is known, measured through the real pipeline: what happens is set, what is said is
collected.

Rule: only clocks, paths and time are made up. A simulated server answers with four timestamps as a real one would, by its own
clock and over its own path; everything after that is the program under test.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from timesync.model import Exchange, Missed, ServerFacts, Timestamping
from timesync.pipeline import Pipeline
from timesync.reasons import Reason
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from timesync.model import Event, Record

__all__ = ["MS", "T0_NS", "US", "Server", "World", "constant", "ramp", "step"]

T0_NS = 1_795_000_000_000_000_000
US = 1e-6
MS = 1e-3


def constant(value: float) -> Callable[[float], float]:
    """The same for ever."""
    return lambda _t_s: value


def step(at_s: float, size_s: float, back_s: float = math.inf) -> Callable[[float], float]:
    """`size_s` from `at_s` on until `back_s`."""
    return lambda t_s: size_s if at_s <= t_s < back_s else 0.0


def ramp(at_s: float, rate: float, until_s: float = math.inf) -> Callable[[float], float]:
    """`rate` from `at_s` on, and constant after `until_s`."""
    return lambda t_s: rate * (min(t_s, until_s) - at_s) if t_s >= at_s else 0.0


NOTHING = constant(0.0)
US_2, US_5 = constant(2e-6), constant(5e-6)


@dataclass
class Server:
    """A server, and the path to it. `noise_s` scatters its timestamps, `queue_s` is the mean of each way's exponential queue."""

    name: str
    interval_s: float = 16.0
    error_s: Callable[[float], float] = NOTHING
    forth_s: Callable[[float], float] = NOTHING
    back_s: Callable[[float], float] = NOTHING
    delay_s: float = 2 * MS
    noise_s: Callable[[float], float] = US_2
    queue_s: Callable[[float], float] = US_5
    silent: Callable[[float], bool] = lambda _t_s: False
    reason: Reason = Reason.TIMEOUT
    facts: Callable[[float], ServerFacts] = lambda _t_s: ServerFacts(
        leap=0, stratum=1, precision_s=2.0**-24, root_delay_s=0.0, root_dispersion_s=1e-6, reference_id="GPS"
    )
    realises: str | None = None
    tie_bound_s: float = 100e-9
    options: dict[str, object] = field(default_factory=dict)

    def target(self) -> TargetSettings:
        """As it would be configured."""
        tie = Tie(self.realises, self.tie_bound_s, self.tie_bound_s / 3) if self.realises else None
        return TargetSettings(self.name, "ntp", f"{self.name}.example", self.interval_s, tie=tie, **self.options)  # type: ignore[arg-type]


class World:
    """A probe, its clock and its servers. `run` lets time pass; `events`, `rows` are what the pipeline gave."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        probe_error_s: Callable[[float], float] = NOTHING,
        told_steps: Sequence[tuple[float, float]] = (),
        seed: int = 1,
        keep_rows: bool = False,
        begin_ns: int = T0_NS,
        **settings: object,
    ) -> None:
        """`told_steps`: instants (s) and sizes at which the probe's kernel tells a step; `probe_error_s` has to have it too."""
        self.servers = list(servers)
        self.probe_error_s = probe_error_s
        self.begin_ns = begin_ns
        self.random = random.Random(seed)
        self.t_s = 0.0
        self.epoch = 0
        self.events: list[Event] = []
        self.rows: list[Record] = []
        self.samples = 0
        self._keep_rows = keep_rows
        self._told = sorted(told_steps)
        self.settings = ProbeSettings(
            SiteSettings("sim", "p1"),
            tuple(server.target() for server in servers),
            SpoolSettings(Path()),
            **settings,  # type: ignore[arg-type]  # tests name fields of it
        )
        self.pipeline = Pipeline(self.settings)
        self._next_s = [self.random.uniform(0.0, server.interval_s) for server in servers]

    def probe_ns(self, t_s: float) -> int:
        """What the probe's clock shows."""
        return self.begin_ns + round((t_s + self.probe_error_s(t_s)) * 1e9)

    def run(self, until_s: float) -> None:
        """Poll every server on its schedule, and tick every second (every 4 s where all are slow)."""
        tick_s = 1.0 if min(server.interval_s for server in self.servers) < 4.0 else 4.0
        while self.t_s < until_s:
            self.t_s += tick_s
            while self._told and self._told[0][0] <= self.t_s:
                _, size_s = self._told.pop(0)
                self.epoch += 1
                event = self.pipeline.clock_stepped(self.epoch, self.probe_ns(self.t_s), size_s)
                if event is not None:
                    self.events.append(event)
            for index, server in enumerate(self.servers):
                while self._next_s[index] < self.t_s:
                    self._poll(server, self._next_s[index])
                    self._next_s[index] += server.interval_s
            now_ns = self.probe_ns(self.t_s)
            self._store(self.pipeline.tick(now_ns))
            self.events.extend(self.pipeline.take_events())

    def _poll(self, server: Server, t_s: float) -> None:
        self.samples += 1
        now_ns = self.probe_ns(t_s)
        if server.silent(t_s):
            missed = Missed(server.name, "ntp", server.name, now_ns, server.reason, "", self.epoch)
            self._store(self.pipeline.outcomes(server.name, [missed], now_ns))
            return
        queue_s, noise_s = server.queue_s(t_s), server.noise_s(t_s)
        forth_s = server.delay_s / 2 + server.forth_s(t_s) + self.random.expovariate(1.0) * queue_s
        back_s = server.delay_s / 2 + server.back_s(t_s) + self.random.expovariate(1.0) * queue_s
        there_s = t_s + forth_s
        served_ns = self.begin_ns + round((there_s + server.error_s(there_s) + self.random.gauss(0.0, noise_s)) * 1e9)
        exchange = Exchange(
            server.name,
            "ntp",
            "192.0.2.9:123",
            now_ns,
            served_ns,
            served_ns,
            self.probe_ns(there_s + back_s),
            Timestamping.KERNEL,
            Timestamping.KERNEL,
            "basic",
            server.facts(t_s),
            self.epoch,
        )
        self._store(self.pipeline.outcomes(server.name, [exchange], now_ns))

    def _store(self, rows: Sequence[Record]) -> None:
        if self._keep_rows:
            self.rows.extend(rows)

    @property
    def faults(self) -> list[Event]:
        """The verdicts, without their ends."""
        return [each for each in self.events if each.kind.startswith("fault_") and not each.kind.endswith("_over")]

    @property
    def ends(self) -> list[Event]:
        """The ends of faults."""
        return [each for each in self.events if each.kind.endswith("_over")]


def facts(**changes: object) -> ServerFacts:
    """What a good stratum 1 server says, with changes."""
    good = ServerFacts(
        leap=0, stratum=1, precision_s=2.0**-24, root_delay_s=0.0, root_dispersion_s=1e-6, reference_id="GPS"
    )
    return replace(good, **changes)  # type: ignore[arg-type]  # tests name fields of it
