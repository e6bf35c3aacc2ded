"""The demonstration network: real packets, known truth. Every measurement of it must lie within its own bound of the truth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from probes.simulated import NETWORK, DemonstrationNetwork, SimulatedClock, Spec
from timesync.measuring import Measuring
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings

if TYPE_CHECKING:
    from timesync.model import Record

SPECS = (
    Spec("reference", "the reference"),
    Spec("ahead", "25 ms ahead", offset_s=0.025, walk_s_per_sqrt_s=1e-6),
    Spec("fast", "gains 50 ppm", rate=50e-6),
    NETWORK[3],
)


async def test_every_time_error_is_within_its_bound_of_the_truth() -> None:
    network = DemonstrationNetwork(SPECS)
    targets = await network.start()
    rows: list[Record] = []
    measuring = Measuring(
        ProbeSettings(SiteSettings("s", "p"), tuple(targets), SpoolSettings(Path()), reference_max_age_s=5.0),
        rows.extend,
    )
    await measuring.start()
    try:
        async with asyncio.timeout(30):
            while len([row for row in rows if "time_error_s" in row.fields]) < 16:
                await asyncio.sleep(0.1)
        await measuring.stop()
        for row in rows:
            if "time_error_s" not in row.fields:
                continue
            truth_s = network.true_x_s(row.tags["target"], row.at_ns)
            assert truth_s is not None
            assert abs(float(row.fields["time_error_s"]) - truth_s) <= float(row.fields["time_error_bound_s"]), row
        asymmetric = [
            float(row.fields["offset_s"])
            for row in rows
            if row.tags.get("target") == "bad-path" and "offset_s" in row.fields
        ]
        # 4 ms out and 12 ms back look like a clock that is 4 ms behind, give or take the jitter of 1 ms each way.
        assert min(asymmetric) < -2e-3
    finally:
        await network.stop()


async def test_servers_answer_in_interleaved_mode() -> None:
    network = DemonstrationNetwork(SPECS[:2])
    targets = await network.start()
    rows: list[Record] = []
    measuring = Measuring(ProbeSettings(SiteSettings("s", "p"), tuple(targets), SpoolSettings(Path())), rows.extend)
    await measuring.start()
    try:
        async with asyncio.timeout(30):
            while not any(row.fields.get("mode") == "interleaved" for row in rows):
                await asyncio.sleep(0.05)
    finally:
        await measuring.stop()
        await network.stop()


async def test_the_grandmaster_of_the_demonstration_is_measured_within_its_bound() -> None:
    network = DemonstrationNetwork()
    targets = [target for target in await network.start() if target.kind == "ptp"]
    rows: list[Record] = []
    settings = ProbeSettings(SiteSettings("s", "p"), tuple(targets), SpoolSettings(Path()))
    measuring = Measuring(settings, rows.extend)
    await measuring.start()
    try:
        async with asyncio.timeout(30):
            while sum("offset_s" in row.fields for row in rows) < 3:
                await asyncio.sleep(0.05)
        found = [row for row in rows if "offset_s" in row.fields]
        for row in found:
            truth_s = network.true_x_s("grandmaster", row.at_ns)
            assert truth_s is not None
            assert abs(float(row.fields["offset_s"]) - truth_s) <= float(row.fields["bound_s"])
            assert (row.fields["timescale"], row.fields["clock_class"]) == ("ptp", 6)
    finally:
        await measuring.stop()
        await network.stop()
    assert network.true_x_s("grandmaster", 0) is None


def test_the_simulated_walk_is_the_same_whenever_it_is_asked_for() -> None:
    spec = Spec("walk", "", walk_s_per_sqrt_s=1e-6)
    one, other = SimulatedClock(spec, 7), SimulatedClock(spec, 7)
    late = other.x_s(100.0)
    assert [one.x_s(t) for t in (0.3, 10.0, 100.0)] == [other.x_s(0.3), other.x_s(10.0), late]


def test_the_simulated_walk_has_the_spread_of_white_frequency_noise() -> None:
    # Phase of white FM with deviation a per square root of a second: sd(x(t) - x(0)) = a sqrt(t).
    ends = [SimulatedClock(Spec("w", "", walk_s_per_sqrt_s=1e-6), seed).x_s(25.0) for seed in range(400)]
    rms = (sum(x * x for x in ends) / len(ends)) ** 0.5
    assert rms == pytest.approx(5e-6, rel=0.15)


def test_a_clock_in_holdover_drifts_and_comes_back() -> None:
    clock = SimulatedClock(Spec("h", "", offset_s=1e-6, rate=5e-6, locked_s=30.0, holdover_s=60.0), 1)
    assert clock.free_s(29.9) == 0.0
    assert clock.x_s(20.0) == pytest.approx(1e-6)
    assert clock.x_s(50.0) == pytest.approx(1e-6 + 20 * 5e-6)
    assert clock.x_s(91.0) == pytest.approx(1e-6)


def test_an_old_walk_is_forgotten_in_bounded_memory() -> None:
    clock = SimulatedClock(Spec("w", "", walk_s_per_sqrt_s=1e-6), 3)
    for hour in range(1, 30):
        clock.x_s(3600.0 * hour)
    assert len(clock._walk) <= 2 * 3600 + 14400 + 2
