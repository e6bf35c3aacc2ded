"""Alerts: how many named faults are told and how many alerts are false, in a simulated week too, and what a beat costs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from support.alertsim import DAY_S, FAULTS, Server, Site
from support.figures import Figures, options

TARGETS = 1000


def scenarios(seeds: int) -> tuple[int, int, int]:
    """Alerts that were due, those of them that were told, and others that were told."""
    due = found = false = 0
    for seed in range(seeds):
        for fault in FAULTS.values():
            site = Site(Path(tempfile.mkdtemp()), seed=seed, step_s=2.0)
            site.run(fault.warm_s)
            fault.begin(site)
            site.run(fault.within_s)
            told = {alert.key for _, alert in site.told}
            due += len(fault.expected)
            found += len(told & fault.expected)
            false += len(told - fault.expected - fault.also_allowed)
    return due, found, false


def cost_of_a_beat(seconds: int) -> float:
    """CPU time of the alerts in one beat with 1,000 targets polled every 16 s, share of a core."""
    site = Site(Path(tempfile.mkdtemp()))
    site.servers.update({f"more{number}": Server() for number in range(TARGETS - len(site.servers))})
    site.begin()
    site.run(60)
    judge, used_s = site.alerts.tick, 0.0

    def timed(*words: object, **named: object) -> None:
        nonlocal used_s
        begun_s = time.process_time()
        judge(*words, **named)  # type: ignore[arg-type]  # as it was called
        used_s += time.process_time() - begun_s

    site.alerts.tick = timed  # type: ignore[method-assign]  # only this is timed, not the simulation
    site.run(seconds)
    return used_s / seconds


def main() -> int:
    """Run it."""
    chosen = options(__doc__).parse_args()
    figures = Figures()
    due, found, false = scenarios(1 if chosen.quick else 3)
    figures.add("named faults: recall", found / due, limit=1.0, better="higher")
    figures.add("named faults: precision", found / (found + false), limit=1.0, better="higher")
    days = 1 if chosen.quick else 7
    week = Site(Path(tempfile.mkdtemp()), seed=99, step_s=4.0)
    week.run(days * DAY_S)
    figures.add(f"false alarms in {days} simulated days of 7 targets", len(week.told), limit=0)
    figures.add("alerts of 1,000 targets, share of a core", 100 * cost_of_a_beat(60), "%", limit=1.0)
    figures.finish(chosen.output, {"due": due, "found": found, "false": false})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
