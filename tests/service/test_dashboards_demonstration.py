"""The demonstration network, measured by the daemon, in real stores: what the dashboards show of it is true."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest
from support.databases import Influxd
from support.panels import asked, dashboards, put_in
from support.prometheus import Prometheus, started

from probes.simulated import DemonstrationNetwork
from timesync.commands.up import demonstration_settings
from timesync.daemon import Daemon
from timesync.settings import InfluxSettings

if TYPE_CHECKING:
    from pathlib import Path

# What a network of some seconds' age on loopback cannot have. `test_dashboards` asks these of a site that has it.
NOT_SHOWN = {
    "$target: forecast and truth",  # an hour's age
    "Newest holdover that is over",
    "Noise type by averaging time",  # samples enough to tell it
    "Score",  # a forecast whose time has come
    "Our measurement and the stack's claim B",  # a PTP stack that tells of itself
    "Path delay B",
    "Port states",
    "Messages",
    "Newest Circular T and UTCr",  # an issue of it
    "UTC minus target",
    "Days until declared ties end",  # a tie that ends
    "Link validity",
    "Health of the references",  # two references
    "People told",  # a messenger
    "Verdicts",  # a change, and time to judge it
    "What fires",
    "Why there is no claim",
    "Oldest record waiting",  # an absent database
}
SLOWEST_S = 60.0
BOUND = "timesync_time_error_bound_seconds"


def name_of(where: str, letter: str) -> set[str]:
    return {where, f"{where} {letter}"}


async def check_truth(prometheus: Prometheus, network: DemonstrationNetwork) -> None:
    """Each time error is within its bound of what the network knows, and the grid's difference is that of its two."""
    shown = await prometheus.query("timesync_time_error_seconds")
    bounds = {each["metric"]["target"]: float(each["value"][1]) for each in await prometheus.query(BOUND)}
    assert len(shown) >= 5
    for each in shown:
        target, at_s = each["metric"]["target"], float(each["value"][0])
        truth_s = network.true_x_s(target, int(at_s * 1e9))
        aged_s = 3.0 * 5e-6  # the value is up to three seconds old, and the fastest clock gains 5 us/s
        assert truth_s is not None
        assert abs(float(each["value"][1]) - truth_s) <= bounds[target] + aged_s, target
    (panel,) = (each for _, made in dashboards() for each in made["panels"] if each["title"] == "The same in seconds")
    one, other = [await prometheus.query(put_in(target["expr"])) for target in panel["targets"]]
    site = "demonstration"
    at_s = float(one[0]["value"][0])
    good_s = next(float(each["value"][1]) for each in one if each["metric"]["clock"] == f"{site} good")
    master_s = next(float(each["value"][1]) for each in other if each["metric"]["against"] == f"{site} grandmaster")
    truths = [network.true_x_s(target, int(at_s * 1e9)) for target in ("good", "grandmaster")]
    assert abs(good_s - master_s - (truths[0] - truths[1])) <= bounds["good"] + bounds["grandmaster"] + 1e-6


@pytest.mark.service
async def test_the_demonstration_network_is_shown_as_it_is(lab, tmp_path: Path) -> None:
    lab("prometheus", "influxd")
    network = DemonstrationNetwork()
    influxd = Influxd(tmp_path)
    (tmp_path / "prometheus").mkdir()
    with influxd:
        influxd.command("CREATE DATABASE timesync")
        made = demonstration_settings(await network.start(), tmp_path / "state", 0)
        settings = replace(
            made,
            site=replace(made.site, latitude=40.24, longitude=116.23),
            influx=(InfluxSettings("central", influxd.url, api="v1", database="timesync"),),
            stability=replace(made.stability, statistics=("oadev", "mdev", "tdev", "mtie"), masks=("prtc-a",)),
        )
        daemon = Daemon(settings, demonstration=network)
        ready = asyncio.Event()
        running = asyncio.create_task(daemon.run(ready.set))
        await asyncio.wait_for(ready.wait(), 20)
        program, url = started(tmp_path / "prometheus", daemon.urls)
        with program:
            async with aiohttp.ClientSession() as session:
                await watch(Prometheus(session, url), network)
        stored = {
            question.where: await asyncio.to_thread(influxd.select, put_in(question.text))
            for question in asked(influx=True)
        }
        _, shown = next(dashboards())
        events = put_in(shown["annotations"]["list"][0]["query"])
        notes = await asyncio.to_thread(influxd.select, events)
        daemon.stop()
        await running
        await network.stop()
    assert {where for where, rows in stored.items() if not rows} <= NOT_SHOWN
    assert sum(bool(rows) for rows in stored.values()) >= 5
    assert "started" in {row["kind"] for row in notes}


async def watch(prometheus: Prometheus, network: DemonstrationNetwork) -> None:
    """Until all that can be shown is."""
    questions = [each for each in asked(influx=False) if not name_of(each.where, each.letter) & NOT_SHOWN]
    assert len(questions) > 60
    deadline = time.monotonic() + SLOWEST_S
    left = questions
    while left and time.monotonic() < deadline:
        await asyncio.sleep(1.0)
        left = [each for each in left if not await prometheus.query(put_in(each.text))]
    assert [(each.where, each.letter) for each in left] == []
    await check_truth(prometheus, network)
