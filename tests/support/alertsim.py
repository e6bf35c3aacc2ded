"""A site on virtual time: the real pipeline and the real alerts, fed by simulated clocks and paths, with faults that a test names.

Nothing is sent and no clock is read; a simulated week takes some ten seconds. Each exchange has queueing delays of its own each
way, so that offsets scatter as those of a network do; the probe's clock wanders. What a fault does is in `FAULTS`, with the alert
that has to tell of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from math import pi, sin
from typing import TYPE_CHECKING

from timesync.alert_service import AlertService
from timesync.alerts.facts import Foreseen
from timesync.alerts.limits import Limit
from timesync.leapseconds import configured_leap_table
from timesync.leapwatch import LeapWatch
from timesync.model import Exchange, Missed, PtpFacts, ServerFacts, Timestamping, Validity
from timesync.pipeline import Pipeline
from timesync.reasons import Reason
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie
from timesync.store.status import SpoolStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from timesync.alerts.book import Alert
    from timesync.model import Event

__all__ = ["FAULTS", "Fault", "Server", "Site"]

START_NS = 1_795_860_000_000_000_000  # 2026-11-28, in the middle of a month
NS = 1_000_000_000
DAY_S = 86_400
CERTIFICATE = Validity(START_NS, START_NS + 90 * DAY_S * NS)
NTP = ServerFacts(leap=0, stratum=1, precision_s=2.0**-24, root_delay_s=0.0, root_dispersion_s=1e-6)
PTP = PtpFacts("0c1105fffe000001-1", 0, "ptp", clock_class=6, grandmaster="0c1105fffe000001", leap=0)


@dataclass
class Server:
    """One simulated clock and the path to it; a fault changes its fields as time goes on."""

    error: Callable[[float], float] = lambda _: 0.0
    delay_s: float = 200e-6
    queue_s: float = 5e-6
    loss: float = 0.001
    facts: ServerFacts | PtpFacts = NTP


@dataclass
class Site:
    """References `utc` and `utc2`, NTP servers `ntp0` to `ntp3`, a PTP master `ptp`; each with a limit of 2 ms."""

    folder: Path
    seed: int = 1
    now_s: float = 0.0
    step_s: float = 1.0
    told: list[tuple[float, Alert]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    spool: SpoolStatus = field(default_factory=lambda: SpoolStatus(0, None, 4096, 0, 0, 0, None))
    clock_steps: int = 0
    leap_expires_ns: int = START_NS + 200 * DAY_S * NS
    certificate: Validity = CERTIFICATE
    tie_until_ns: int | None = None
    probe: Callable[[float], float] = lambda at_s: 200e-6 * sin(2 * pi * at_s / 5400)
    foreseen: dict[str, Foreseen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.servers = {name: Server() for name in ("utc", "utc2", "ntp0", "ntp1", "ntp2", "ntp3", "ptp")}
        self.servers["ptp"].facts = PTP
        for number in range(4):  # a few microseconds a day, as the temperature of a machine room makes them
            self.servers[f"ntp{number}"].error = _daily(4e-6, number)
        self.begin()

    def begin(self) -> None:
        """Make the probe: what was set before is in its configuration."""
        tie = Tie("UTC(NIM)", bound_s=100e-9, u_s=30e-9, valid_until_ns=self.tie_until_ns)
        limit = Limit("house-2ms", 2e-3)
        targets = tuple(
            TargetSettings(
                name,
                "ptp" if name == "ptp" else "ntp",
                "192.0.2.1",
                tie=tie if name.startswith("utc") else None,
                limit=None if name.startswith("utc") else limit,
            )
            for name in self.servers
        )
        self.settings = ProbeSettings(SiteSettings("nim", "p1"), targets, SpoolSettings(self.folder))
        self.pipeline = Pipeline(self.settings)
        self.leaps = LeapWatch(configured_leap_table(None).table)
        self.alerts = AlertService(self.settings, self.events.append, self._hear, clock_ns=self.now_ns)
        self._due = {name: self._random.uniform(0, 16) + self.now_s for name in self.servers}

    def now_ns(self) -> int:
        """By the probe's clock."""
        return START_NS + round(self.now_s * NS)

    def _hear(self, alerts: Sequence[Alert]) -> None:
        self.told += [(self.now_s, alert) for alert in alerts]

    def run(self, seconds: float) -> None:
        """Let so much time go by."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += self.step_s
            for name, due_s in self._due.items():
                if due_s <= self.now_s:
                    self._due[name] = due_s + 16.0
                    self._poll(name, self.servers[name])
            self.pipeline.tick(self.now_ns())
            self.pipeline.take_drafts()
            self.alerts.tick(
                self.now_s,
                self.pipeline.states,
                spool=self.spool,
                clock_steps=self.clock_steps,
                leap_disagreements=self.leaps.disagreements,
                leap_expires_ns=self.leap_expires_ns,
                foreseen=self.foreseen.get,
                certificate=self.certificate,
            )

    def _poll(self, name: str, server: Server) -> None:
        at_ns, protocol = self.now_ns(), "ptp" if name == "ptp" else "ntp"
        if self._random.random() < server.loss:
            missed = Missed(name, protocol, "192.0.2.1:123", at_ns, Reason.TIMEOUT, "", 0)
            self.pipeline.outcomes(name, [missed], at_ns)
            return
        probe_s = self.probe(self.now_s)  # the probe's own clock: it cancels
        out_s, back_s = (server.delay_s / 2 + self._random.expovariate(1 / server.queue_s) for _ in range(2))
        shift_s = server.error(self.now_s) - probe_s
        t2_ns = at_ns + round((out_s + shift_s) * NS)
        t4_ns = at_ns + round((out_s + back_s) * NS)
        kernel = Timestamping.KERNEL
        exchange = Exchange(
            name, protocol, "192.0.2.1:123", at_ns, t2_ns, t2_ns, t4_ns, kernel, kernel, "basic", server.facts, 0
        )
        leap = server.facts.leap
        if leap is not None:
            self.leaps.observe(name, protocol, leap, at_ns)
        self.pipeline.outcomes(name, [exchange], t4_ns)

    def firing(self) -> set[tuple[str, str | None]]:
        """What has been told to fire and not to be over: kind and target."""
        standing: set[tuple[str, str | None]] = set()
        for _, alert in self.told:
            (standing.discard if alert.ended_ns is not None else standing.add)(alert.key)
        return standing


def _daily(amplitude_s: float, phase: float) -> Callable[[float], float]:
    return lambda at_s: amplitude_s * sin(2 * pi * at_s / DAY_S + phase)


def _ramp(site: Site, rate: float) -> Callable[[float], float]:
    begun_s = site.now_s
    return lambda at_s: rate * (at_s - begun_s)


def _set(name: str, **changes: object) -> Callable[[Site], None]:
    def begin(site: Site) -> None:
        for field_name, value in changes.items():
            setattr(site.servers[name], field_name, value)

    return begin


def _tie_ends_soon(site: Site) -> None:
    site.tie_until_ns = site.now_ns() + 10 * DAY_S * NS
    site.begin()


def _degrade(name: str, **changes: object) -> Callable[[Site], None]:
    def begin(site: Site) -> None:
        server = site.servers[name]
        server.facts = replace(server.facts, **changes)  # type: ignore[type-var]  # both are dataclasses

    return begin


@dataclass(frozen=True)
class Fault:
    """What happens, which alerts have to tell of it (kind, target) and no others, and how long it takes to be sure."""

    begin: Callable[[Site], None]
    expected: frozenset[tuple[str, str | None]]
    within_s: float = 1200.0
    also_allowed: frozenset[tuple[str, str | None]] = frozenset()
    warm_s: float = 900.0


def _expect(*pairs: tuple[str, str | None]) -> frozenset[tuple[str, str | None]]:
    return frozenset(pairs)


def _spool(**changes: object) -> Callable[[Site], None]:
    def begin(site: Site) -> None:
        if "oldest_at_ns" in changes:
            changes["oldest_at_ns"] = site.now_ns() - 1
        site.spool = replace(site.spool, **changes)  # type: ignore[arg-type]  # a table of changes

    return begin


def _step_of_probe(site: Site) -> None:
    site.clock_steps += 1


def _leap_list_ends(site: Site) -> None:
    site.leap_expires_ns = site.now_ns() + 20 * DAY_S * NS


def _certificate_ends(site: Site) -> None:
    site.certificate = Validity(START_NS - 80 * DAY_S * NS, site.now_ns() + 10 * DAY_S * NS)


FAULTS: Mapping[str, Fault] = {
    "a server steps by 10 ms": Fault(_set("ntp1", error=lambda _: 10e-3), _expect(("certain_breach", "ntp1"))),
    "a server steps by -10 ms": Fault(_set("ntp1", error=lambda _: -10e-3), _expect(("certain_breach", "ntp1"))),
    "the path grows by 4 ms": Fault(_set("ntp1", delay_s=4.2e-3), _expect(("possible_breach", "ntp1"))),
    "a server drifts by 0.3 ms an hour": Fault(
        lambda site: setattr(site.servers["ntp1"], "error", _ramp(site, 0.3e-3 / 3600)),
        _expect(("forecast_breach", "ntp1")),
        within_s=4 * 3600.0,
        warm_s=3 * 3600.0,
    ),
    "a server is dead": Fault(_set("ntp1", loss=1.0), _expect(("unreachable", "ntp1"))),
    "half of the polls are lost": Fault(
        _set("ntp1", loss=0.55),
        _expect(("loss", "ntp1")),
        within_s=3600.0,
        also_allowed=_expect(("unreachable", "ntp1")),
    ),
    "the reference is dead": Fault(_set("utc", loss=1.0), _expect(("reference_lost", "utc"))),
    "both references are dead": Fault(
        lambda site: [_set(name, loss=1.0)(site) for name in ("utc", "utc2")] and None,
        _expect(("reference_lost", "utc"), ("reference_lost", "utc2")),
    ),
    "a reference steps by 10 ms": Fault(
        _set("utc2", error=lambda _: 10e-3),
        _expect(("reference_disagreement", None)),
    ),
    "an NTP server is seen to coast": Fault(
        lambda site: site.foreseen.update(ntp1=Foreseen(coasting=True, to_limit_s=20 * 3600.0)),
        _expect(("holdover", "ntp1")),
    ),
    "a coasting server keeps its limit for two hours more": Fault(
        lambda site: site.foreseen.update(ntp1=Foreseen(coasting=True, to_limit_s=2 * 3600.0)),
        _expect(("holdover", "ntp1"), ("forecast_breach", "ntp1")),
        within_s=2400.0,
    ),
    "a grandmaster loses its source": Fault(_degrade("ptp", clock_class=7), _expect(("holdover", "ptp"))),
    "another grandmaster takes over": Fault(
        _degrade("ptp", grandmaster="0c1105fffe000002"), _expect(("grandmaster_change", "ptp")), within_s=300.0
    ),
    "a server announces a leap second": Fault(_degrade("ntp2", leap=1), _expect(("leap_trouble", "ntp2"))),
    "a tie ends in ten days": Fault(_tie_ends_soon, _expect(("tie_expiring", "utc"), ("tie_expiring", "utc2"))),
    "the leap list ends in twenty days": Fault(_leap_list_ends, _expect(("leap_list_expiring", None))),
    "the page's certificate ends in ten days": Fault(_certificate_ends, _expect(("certificate_expiring", None))),
    "the probe's clock is stepped": Fault(_step_of_probe, _expect(("clock_stepped", None)), within_s=300.0),
    "the database is away": Fault(_spool(oldest_at_ns=0, depth=9), _expect(("spool_growing", None))),
    "the disk is full": Fault(_spool(failing="no space left on device"), _expect(("spool_unwritable", None))),
    "the spool is nearly full": Fault(
        _spool(bytes=1_700_000_000, oldest_at_ns=0), _expect(("spool_filling", None)), within_s=900.0
    ),
}
"""The named faults. `within_s` is well beyond each alert's grace."""
