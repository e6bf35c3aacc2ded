"""Whose fault is it: how often the verdict is right, how soon it comes, how often it comes for nothing, and what it costs.

    python tests/benchmark/bench_attribution.py [--quick] [--output FILE]

The named scenarios run with seeds that the tests do not use; a world counts as right if its one expected set of verdicts (whose
fault, whom it concerns) was told and nothing else. Each control runs for a simulated week, where any verdict is a false alarm.
Costs are CPU time of this process: of putting a sample aside, and of the work that each tick does, spread over the samples.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.faultscenarios import CONTROLS, SCENARIOS, verdicts
from support.faultsim import T0_NS
from support.figures import Figures, options, text_table

from timesync.attribution.watch import Attribution
from timesync.model import ClockOffset, Timestamping

US = 1e-6
WEEK_S = 7 * 86_400.0
# When the fault of a scenario begins, where that is not after 2000 s.
BEGINS_S = {"a target drifts by 0.05 ppm": 20_000.0, "a slow poll: every target every 256 s, one steps": 6000.0}


def right(name: str, seed: int) -> tuple[bool, float | None]:
    """Whether the verdict on a scenario is right, and how long after the fault the first one came, s of simulated time."""
    scenario = SCENARIOS[name]
    world = scenario.world(seed)
    world.run(scenario.until_s)
    told = sorted((fault, members) for fault, _, members in verdicts(world.events))
    expected = sorted((fault, members) for fault, _, members in scenario.expected)
    first = min((event.at_ns for event in world.faults), default=None)
    begun_s = BEGINS_S.get(name, 2000.0)
    stepped = name == "the probe's clock is stepped by an hour"  # its instants are an hour early
    delay_s = None if first is None or stepped else (first - world.begin_ns) / 1e9 - begun_s
    return told == expected, delay_s


def offsets(targets: int, interval_s: float, turns: int) -> list[list[ClockOffset]]:
    """Turns of samples of quiet clocks."""
    chance = random.Random(1)
    rounds = []
    for turn in range(turns):
        at_s = turn * interval_s
        rounds.append(
            [
                ClockOffset(
                    f"t{index}", "ntp", T0_NS + round((at_s + index * interval_s / targets) * 1e9),
                    chance.gauss(0.0, 10 * US), 1e-3 + chance.expovariate(1e5), 5e-4, 1e-7, 1e-8, 0.0,
                    Timestamping.KERNEL, 0,
                )
                for index in range(targets)
            ]
        )  # fmt: skip
    return rounds


def cost(targets: int, interval_s: float, turns: int) -> tuple[float, float]:
    """CPU time of putting a sample aside, and of the ticks for each sample, us."""
    attribution = Attribution(15e-6)
    attribution.configure([(f"t{index}", interval_s, index == 0) for index in range(targets)], 15e-6)
    rounds = offsets(targets, interval_s, turns)
    taken = ticked = 0.0
    for turn, samples in enumerate(rounds):
        begun = time.process_time()
        for sample in samples:
            attribution.take(sample)
        between = time.process_time()
        for second in range(round(interval_s)):
            attribution.tick(T0_NS + round((turn * interval_s + second + 1) * 1e9))
        ended = time.process_time()
        taken += between - begun
        ticked += ended - between
    count = targets * turns
    return 1e6 * taken / count, 1e6 * ticked / count


def main() -> int:
    """Run it."""
    arguments = options(__doc__).parse_args()
    figures = Figures()
    seeds = range(100, 102 if arguments.quick else 106)
    rows = [("scenario", "right", "told after, s (median)")]
    good = total = 0
    delays: list[float] = []
    for name in SCENARIOS:
        results = [right(name, seed) for seed in seeds]
        good += sum(is_right for is_right, _ in results)
        total += len(results)
        late = [delay_s for is_right, delay_s in results if is_right and delay_s is not None]
        delays += late
        middle = f"{statistics.median(late):.0f}" if late else "-"
        rows.append((name, f"{sum(is_right for is_right, _ in results)}/{len(results)}", middle))
    print(text_table(rows), flush=True)
    figures.add("scenarios", len(SCENARIOS), limit=20, better="higher")
    figures.add("verdicts that are right", 100.0 * good / total, "%", limit=95.0, better="higher")
    figures.add("told after the fault, median", statistics.median(delays), "s simulated")
    alarms = weeks = 0
    for name, world_of in CONTROLS.items():
        world = world_of(200)
        world.run(WEEK_S / 7 if arguments.quick else WEEK_S)
        alarms += len(world.faults)
        weeks += 1
        for event in world.faults:
            print(f"false alarm: {name}: {event.text}")
    figures.add("false alarms of a probe in a week", alarms / weeks / (1 / 7 if arguments.quick else 1), "", limit=0.2)
    for targets, interval_s, turns in ((1000, 1.0, 60), (100, 16.0, 40)):
        taken, ticked = cost(targets, interval_s, turns)
        what = f"{targets} targets every {interval_s:g} s"
        figures.add(f"putting a sample aside, {what}", taken, "us", limit=3.0)
        figures.add(f"the ticks' work for a sample, {what}", ticked, "us")
    figures.finish(arguments.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
