"""Named faults with known truth: what happens in a simulated world, and the only verdict that is right.

Each scenario begins with half an hour in which nothing is wrong; the fault comes at `FAULT_S`. `expected` are the faults that
must be told, each once and no other: whose fault, how it changed (None: either), and whom it concerns.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.faultsim import MS, US, Server, World, constant, facts, ramp, step
from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.model import Event, ServerFacts

__all__ = ["CONTROLS", "FAULT_S", "SCENARIOS", "Scenario", "verdicts"]

FAULT_S = 2000.0
BACK_S = 4000.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens (`world`, from a seed) until `until_s`, and what has to be said of it."""

    world: Callable[[int], World]
    expected: tuple[tuple[str, str | None, str], ...] = ()
    until_s: float = 5000.0
    over: tuple[str, ...] = ()


def verdicts(events: list[Event]) -> list[tuple[str, str, str]]:
    """The faults told: whose, how it changed, whom it concerns."""
    return [
        (each.kind.removeprefix("fault_"), str(each.evidence["change"]), str(each.evidence["members"]))
        for each in events
        if each.kind.startswith("fault_") and not each.kind.endswith("_over")
    ]


def _site(clocks: int = 4, references: int = 1, **changes: dict[str, object]) -> list[Server]:
    """`utc`, `utc1` ... are references, `s1`, `s2` ... are not; changes by name."""
    servers = []
    for index in range(references):
        name = "utc" if index == 0 else f"utc{index}"
        servers.append(Server(name, realises="UTC(NIM)", **changes.get(name, {})))  # type: ignore[arg-type]  # by name
    others = [f"s{index}" for index in range(1, clocks - references + 1)]
    return servers + [Server(name, **changes.get(name, {})) for name in others]  # type: ignore[arg-type]  # by name


def _changed(name: str, clocks: int = 4, references: int = 1, **how: object) -> Callable[[int], World]:
    return lambda seed: World(_site(clocks, references, **{name: dict(how)}), seed=seed)


def _probe(error: Callable[[float], float], clocks: int = 4, told: float | None = None) -> Callable[[int], World]:
    steps = [] if told is None else [(FAULT_S, told)]
    return lambda seed: World(_site(clocks), probe_error_s=error, told_steps=steps, seed=seed)


def _several(clocks: int, references: int, changes: dict[str, dict[str, object]]) -> Callable[[int], World]:
    return lambda seed: World(_site(clocks, references, **changes), seed=seed)


def _since(t_s: float, then: float, before: float, until_s: float = math.inf) -> Callable[[float], float]:
    return lambda now_s: then if t_s <= now_s < until_s else before


def _restarted(t_s: float) -> ServerFacts:
    return facts() if t_s < FAULT_S else facts(stratum=3, reference_id="10.0.0.7", root_dispersion_s=5 * MS)


def _holdover(t_s: float) -> ServerFacts:
    grown = 1e-6 + max(0.0, t_s - FAULT_S) * 15e-6
    return (
        facts(root_dispersion_s=grown)
        if t_s < FAULT_S
        else facts(stratum=10, reference_id="LOCL", root_dispersion_s=grown)
    )


def _everybody(clocks: int = 4, **how: object) -> Callable[[int], World]:
    def world(seed: int) -> World:
        servers = _site(clocks)
        names = [server.name for server in servers]
        return World(_site(clocks, **{name: dict(how) for name in names}), seed=seed)

    return world


SLEW_S = 50e-6
SILENT = _since(FAULT_S, 1.0, 0.0)

SCENARIOS: dict[str, Scenario] = {
    # The probe's own clock.
    "the probe's clock is stepped, and its kernel tells": Scenario(
        _probe(step(FAULT_S, 5 * MS), told=5 * MS), (("probe_clock", "step", ""),), over=("probe_clock",)
    ),
    "the probe's clock is stepped by an hour": Scenario(
        _probe(step(FAULT_S, -3600.0), told=-3600.0), (("probe_clock", "step", ""),), over=("probe_clock",)
    ),
    "the probe's clock jumps, and its kernel does not see it": Scenario(
        _probe(step(FAULT_S, 1 * MS)), (("probe_clock", "step", ""),), over=("probe_clock",)
    ),
    "the probe's clock jumps with one target and one reference": Scenario(
        _probe(step(FAULT_S, 3 * MS), clocks=2), (("probe_clock", "step", ""),), over=("probe_clock",)
    ),
    "the probe's clock changes its frequency by 20 ppm": Scenario(
        _probe(ramp(FAULT_S, 20e-6)), (("probe_clock", "drift", ""),)
    ),
    "the probe's clock is slewed by 30 ms": Scenario(
        _probe(ramp(FAULT_S, SLEW_S, FAULT_S + 600.0)), (("probe_clock", "drift", ""),), over=("probe_clock",)
    ),
    # A server.
    "a target steps by 10 ms": Scenario(_changed("s1", error_s=step(FAULT_S, 10 * MS)), (("server", "step", "s1"),)),
    "a target steps by 60 us": Scenario(_changed("s1", error_s=step(FAULT_S, 60 * US)), (("server", "step", "s1"),)),
    "a target steps by one second": Scenario(_changed("s1", error_s=step(FAULT_S, -1.0)), (("server", "step", "s1"),)),
    "a target steps and is set right again": Scenario(
        _changed("s1", error_s=step(FAULT_S, 2 * MS, BACK_S)), (("server", "step", "s1"),), 6000.0, over=("server",)
    ),
    "a target drifts by 1 ppm": Scenario(_changed("s1", error_s=ramp(FAULT_S, 1e-6)), (("server", "drift", "s1"),)),
    "a target drifts by 0.05 ppm": Scenario(
        _changed("s1", error_s=ramp(20_000.0, 5e-8)), (("server", "drift", "s1"),), 32_000.0
    ),
    "a target becomes noisy": Scenario(
        _changed("s1", noise_s=_since(FAULT_S, 100 * US, 2 * US)), (("server", "noise", "s1"),)
    ),
    "a target is noisy for a while": Scenario(
        _changed("s1", noise_s=_since(FAULT_S, 100 * US, 2 * US, BACK_S)),
        (("server", "noise", "s1"),),
        7000.0,
        over=("server",),
    ),
    "a server restarts at another stratum, 4 ms off": Scenario(
        _changed("s1", error_s=step(FAULT_S, 4 * MS), facts=_restarted), (("server", "step", "s1"),)
    ),
    "a server goes into holdover and drifts": Scenario(
        _changed("s1", error_s=ramp(FAULT_S, 2e-6), facts=_holdover), (("server", "drift", "s1"),)
    ),
    "a target falls silent": Scenario(
        _changed("s1", silent=lambda t_s: t_s > FAULT_S), (("undecided", "silence", "s1"),)
    ),
    "a target is silent for ten minutes": Scenario(
        _changed("s1", silent=lambda t_s: FAULT_S < t_s < FAULT_S + 600.0),
        (("undecided", "silence", "s1"),),
        over=("undecided",),
    ),
    "a server says that it is not synchronised": Scenario(
        _changed("s1", silent=lambda t_s: t_s > FAULT_S, reason=Reason.UNSYNCHRONISED), (("server", "silence", "s1"),)
    ),
    "nobody answers any more": Scenario(
        _everybody(silent=lambda t_s: t_s > FAULT_S), (("path", "silence", "utc,s1,s2,s3"),)
    ),
    "a slow poll: a target of 64 s steps": Scenario(
        _changed("s1", interval_s=64.0, error_s=step(FAULT_S, 10 * MS)), (("server", "step", "s1"),)
    ),
    "a slow poll: every target every 256 s, one steps": Scenario(
        lambda seed: World(
            [
                Server(
                    name,
                    256.0,
                    realises="UTC(NIM)" if name == "utc" else None,
                    error_s=step(6000.0, 10 * MS) if name == "s2" else constant(0.0),
                )
                for name in ("utc", "s1", "s2")
            ],
            seed=seed,
            reference_max_age_s=600.0,
        ),
        (("server", "step", "s2"),),
        12_000.0,
    ),
    # The reference.
    "the reference steps by 1 ms": Scenario(
        _changed("utc", error_s=step(FAULT_S, 1 * MS)), (("reference", "step", "utc"),)
    ),
    "the reference drifts by 1 ppm": Scenario(
        _changed("utc", error_s=ramp(FAULT_S, 1e-6)), (("reference", "drift", "utc"),)
    ),
    "the reference becomes noisy": Scenario(
        _changed("utc", noise_s=_since(FAULT_S, 100 * US, 2 * US)), (("reference", "noise", "utc"),)
    ),
    "a second reference is wrong": Scenario(
        _changed("utc1", 4, 2, error_s=step(FAULT_S, 1 * MS)), (("reference", "step", "utc1"),)
    ),
    "three references, the first is wrong: two against one": Scenario(
        _changed("utc", 3, 3, error_s=step(FAULT_S, 1 * MS)), (("reference", "step", "utc"),)
    ),
    "two references only, one drifts within what the probe's oscillator can do": Scenario(
        _changed("utc1", 2, 2, error_s=ramp(FAULT_S, 1e-6)), (("undecided", None, "utc,utc1"),)
    ),
    "no reference, a target steps": Scenario(
        _changed("s1", 3, 0, error_s=step(FAULT_S, 1 * MS)), (("server", "step", "s1"),)
    ),
    "one target alone steps": Scenario(
        _changed("s1", 1, 0, error_s=step(FAULT_S, 5 * MS)), (("undecided", "step", "s1,(probe)"),)
    ),
    # The path.
    "the way to a target becomes 1 ms longer": Scenario(
        _changed("s1", forth_s=step(FAULT_S, 1 * MS)), (("path", "route", "s1"),)
    ),
    "the way back from a target becomes 1 ms longer": Scenario(
        _changed("s1", back_s=step(FAULT_S, 1 * MS)), (("path", "route", "s1"),)
    ),
    "the path becomes 1 ms longer both ways": Scenario(
        _changed("s1", forth_s=step(FAULT_S, 1 * MS), back_s=step(FAULT_S, 1 * MS)), (("path", "route", "s1"),)
    ),
    "the route changes and changes back": Scenario(
        _changed("s1", forth_s=step(FAULT_S, 3 * MS, BACK_S)), (("path", "route", "s1"),), 6000.0, over=("path",)
    ),
    "the route becomes shorter": Scenario(
        _changed("s1", delay_s=6 * MS, back_s=lambda t_s: 0.0 if t_s < FAULT_S else -2 * MS),
        (("path", "route", "s1"),),
    ),
    "the path to the reference becomes longer one way": Scenario(
        _changed("utc", forth_s=step(FAULT_S, 1 * MS)), (("path", "route", "utc"),)
    ),
    "the path to the reference becomes longer both ways": Scenario(
        _changed("utc", forth_s=step(FAULT_S, 1 * MS), back_s=step(FAULT_S, 1 * MS)), (("path", "route", "utc"),)
    ),
    "the path that all share becomes longer one way": Scenario(
        _everybody(forth_s=step(FAULT_S, 1 * MS)), (("path", "route", "utc,s1,s2,s3"),)
    ),
    "the path is congested for half an hour": Scenario(
        _changed("s1", queue_s=_since(FAULT_S, 500 * US, 5 * US, FAULT_S + 1800.0)),
        (("path", None, "s1"),),
        7000.0,
        over=("path",),
    ),
    "the path to the reference is congested for half an hour": Scenario(
        _changed("utc", queue_s=_since(FAULT_S, 500 * US, 5 * US, FAULT_S + 1800.0)),
        (("path", None, "utc"),),
        7000.0,
        over=("path",),
    ),
    "one target and the reference: the path to the target changes": Scenario(
        _changed("s1", 2, 1, forth_s=step(FAULT_S, 1 * MS)), (("path", "route", "s1"),)
    ),
    # More than one.
    "two faults at once: a target steps, the path to another changes": Scenario(
        _several(5, 1, {"s1": {"error_s": step(FAULT_S, 2 * MS)}, "s2": {"forth_s": step(FAULT_S, 1 * MS)}}),
        (("path", "route", "s2"), ("server", "step", "s1")),
    ),
    "two faults, ten minutes apart": Scenario(
        _several(5, 1, {"s1": {"error_s": step(FAULT_S, 2 * MS)}, "utc": {"error_s": step(FAULT_S + 600.0, 1 * MS)}}),
        (("reference", "step", "utc"), ("server", "step", "s1")),
    ),
    "two targets of one source step together": Scenario(
        _several(6, 1, {"s1": {"error_s": step(FAULT_S, 2 * MS)}, "s2": {"error_s": step(FAULT_S, 2 * MS)}}),
        (("server", "step", "s1,s2"),),
    ),
    "a target that steps to and fro is one fault": Scenario(
        _changed("s1", error_s=lambda t_s: 2 * MS if t_s > FAULT_S and (t_s // 200.0) % 2 else 0.0),
        (("server", "step", "s1"),),
        6000.0,
    ),
}


def _wandering(seed: int) -> Callable[[float], float]:
    """A free-running oscillator: 12 ppm off, its rate wandering by 0.3 ppm with the temperature of the day, and a bit by
    itself."""
    chance = random.Random(seed)
    phase = chance.uniform(0.0, 2.0 * math.pi)
    day = 2.0 * math.pi / 86_400.0
    return lambda t_s: 12e-6 * t_s + 0.3e-6 / day * math.sin(day * t_s + phase)


def _lossy(seed: int) -> World:
    chance = random.Random(seed + 1)
    return World(_everybody(silent=lambda _t_s: chance.random() < 0.1)(seed).servers, seed=seed)


CONTROLS: dict[str, Callable[[int], World]] = {
    "four quiet clocks": lambda seed: World(_site(4), seed=seed),
    "a free-running probe that wanders": lambda seed: World(_site(4), probe_error_s=_wandering(seed), seed=seed),
    "heavy queues": lambda seed: World(_everybody(queue_s=constant(400 * US))(seed).servers, seed=seed),
    "mixed intervals": lambda seed: World(
        [
            Server("utc", 4.0, realises="UTC(NIM)"),
            Server("s1", 16.0),
            Server("s2", 64.0, queue_s=constant(100 * US)),
            Server("s3", 16.0, error_s=ramp(0.0, 3e-7)),
        ],
        probe_error_s=_wandering(seed),
        seed=seed,
    ),
    "one target and one reference": lambda seed: World(_site(2), probe_error_s=_wandering(seed), seed=seed),
    "lossy": _lossy,
}
"""Worlds in which nothing is wrong, and nothing may be said."""
