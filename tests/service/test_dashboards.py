"""Every query of every panel, variable and annotation, as committed, asked of real stores that hold two sites.

There is no Grafana here: its macros and variables are put in as Grafana would, and what its transformations need is looked for.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING

import aiohttp
import pytest
from support.databases import Influxd
from support.debian import binary, environment
from support.panels import ALL, Asked, asked, dashboards, put_in
from support.prometheus import Prometheus, started
from support.sitedata import LIMIT_S, TIME_ERRORS, SiteData

from dashboards.source.__main__ import FOLDER
from timesync.alerts.grafana import expression
from timesync.alerts.kinds import KINDS
from timesync.model import Record
from timesync.settings import HttpSettings
from timesync.store.lineprotocol import encode
from timesync.web.health import Check
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Chosen instead of "All", as Grafana writes several values of a variable in PromQL and in InfluxQL.
SOME = {**ALL, "$site": "(nim|ptb)", "$target": "(utc|utc2|ntp1|ptp|stack|dead)"}
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
SENSIBLE = {"percentunit": (-1.0, 10.0), "d": (0.0, 40_000.0)}
# What is known of the two sites: panel, letter of the query -> the values that come back.
KNOWN: Mapping[tuple[str, str], set[float]] = {
    ("Targets with a claim", "A"): {8.0},
    ("Alerts firing", "A"): {1.0},
    ("Worst |time error|", "A"): {4e-5},
    ("Worst bound", "A"): {3e-4},
    ("Nearest to its limit", "A"): {(4e-5 + 3e-4) / LIMIT_S},
    ("Sites by state", "A"): {1.0},
    ("Sites by state", "B"): {0.0},
    ("Sites by state", "C"): {1.0},
    ("Sites by state", "D"): {0.0},
    ("State of each site", "A"): {0.0, 2.0},
    ("Every clock minus every other, in parts of the limit", "A"): {value / LIMIT_S for value in TIME_ERRORS.values()},
    ("The same in seconds", "B"): set(TIME_ERRORS.values()),
    ("Map", "A"): {(4e-5 + 3e-4) / LIMIT_S, (3e-5 + 3e-4) / LIMIT_S},
    ("State", "A"): {0.0},
    ("Status by Circular T", "A"): {0.0},
    ("Newest Circular T and UTCr", "A"): {30.0},
    ("Other grandmasters in 10 min", "A"): {0.0},
    ("Score", "A"): {0.95},
    ("Spool used", "A"): {4096e-9},
    ("Clock steps", "A"): {0.0},
}


def test_the_other_language_asks_the_same():
    for stem, made in dashboards():
        other = json.loads((FOLDER / "zh" / f"{stem}.json").read_text(encoding="utf-8"))
        for one, two in zip(made["panels"], other["panels"], strict=True):
            texts = [[target.get("expr", target.get("query")) for target in each["targets"]] for each in (one, two)]
            assert texts[0] == texts[1]


# --- Prometheus ----------------------------------------------------------------------------------------------------------


def past(body: str, end_s: float) -> str:
    """Three hours of what an exposition says of forecasts and time errors, a sample a minute, as OpenMetrics."""
    lines = []
    for name in ("timesync_holdover_predicted_1h_seconds", "timesync_holdover_predicted_1h_uncertainty_seconds"):
        lines.append(f"# TYPE {name} gauge")
        series = [line for line in body.splitlines() if line.startswith(f"{name}{{")]
        lines += [f"{line} {end_s - 60 * minute:.0f}" for line in series for minute in range(180, 0, -1)]
    return "\n".join([*lines, "# EOF\n"])


def backfill(folder: Path, text: str) -> None:
    """Blocks of the past, made by promtool."""
    (folder / "past").write_text(text)
    command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "past", "data"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True, timeout=60)


async def falls_short(prometheus: Prometheus, question: Asked) -> str:
    """What is missing in the answers to a question; nothing, if all is well."""
    for values in (ALL, SOME):
        found = await prometheus.query(put_in(question.text, values))
        if not found:
            return f"{question.where} {question.letter}: nothing from {put_in(question.text, values)}"
        numbers = [float(each["value"][1]) for each in found]
        low, high = SENSIBLE.get(question.unit, (-1e12, 1e12))
        if not all(math.isfinite(number) and low <= number <= high for number in numbers):
            return f"{question.where} {question.letter}: {numbers} in {question.unit}"
        if any(question.needs - each["metric"].keys() for each in found):
            return f"{question.where} {question.letter}: no {question.needs} in {found[0]['metric']}"
    expected = KNOWN.get((question.where, question.letter))
    if expected is not None:
        different = sorted({float(f"{number:.6g}") for number in numbers})
        if different != pytest.approx(sorted(expected), rel=1e-3, abs=1e-15):
            return f"{question.where} {question.letter}: {different}, not {sorted(expected)}"
    return ""


async def check_variables(prometheus: Prometheus) -> None:
    """Each variable of each dashboard offers what there is."""
    offered: dict[str, set[str]] = {}
    for _, made in dashboards():
        for variable in made["templating"]["list"]:
            if variable["type"] == "query":
                match, label = LABEL_VALUES.fullmatch(variable["query"]["query"]).groups()  # type: ignore[union-attr]
                values = await prometheus.ask(f"label/{label}/values", **{"match[]": put_in(match)})
                offered[variable["name"]] = set(values)
    assert offered == {
        "site": {"nim", "ptb"},
        "target": {"utc", "utc2", "ntp1", "ptp", "stack", "dead"},
        "reference": {"utc", "utc2"},
        "limit": {"house"},
        "mask": {"prtc-a"},
    }


async def check_grid(prometheus: Prometheus) -> None:
    """Each clock with each: joined by the column that all share, subtracted, laid out: what Grafana's transformations do."""
    (panel,) = (
        panel for _, made in dashboards() for panel in made["panels"] if panel["title"] == "The same in seconds"
    )
    rows, against = [await prometheus.query(put_in(target["expr"])) for target in panel["targets"]]
    join, subtract = panel["transformations"][:2]
    shared = join["options"]["byField"]
    sides = subtract["options"]["binary"]
    assert [sides[side]["matcher"]["options"] for side in ("left", "right")] == ["Value #A", "Value #B"]
    cells = {
        (one["metric"]["clock"], two["metric"]["against"]): float(one["value"][1]) - float(two["value"][1])
        for one in rows
        for two in against
        if one["metric"][shared] == two["metric"][shared]
    }
    assert len(cells) == len(TIME_ERRORS) ** 2
    for (site, target), error_s in TIME_ERRORS.items():
        for (other_site, other), other_s in TIME_ERRORS.items():
            assert cells[f"{site} {target}", f"{other_site} {other}"] == pytest.approx(error_s - other_s, abs=1e-12)


async def check_rules_of_grafana(prometheus: Prometheus) -> None:
    """Each rule that is provisioned is asked; it tells of what fires in Prometheus, by site and target, and of nothing else."""
    told = {
        (kind.name, each["metric"].get("site"), each["metric"].get("target"), each["value"][1])
        for kind in KINDS
        for each in await prometheus.query(expression(kind))
    }
    dead = {("unreachable", site, "dead", "1") for site in ("nim", "ptb")}
    assert told == dead | {("tie_expiring", site, name, "1") for site in ("nim", "ptb") for name in ("utc", "utc2")}


async def test_every_panel_shows_what_there_is_in_a_real_prometheus(lab, tmp_path: Path) -> None:
    lab("prometheus", "promtool")
    sites = [SiteData("nim"), SiteData("ptb", (52.3, 10.46))]
    well = (Check("test", well=True, detail="well"),)
    servers = [
        WebServer(
            HttpSettings(port=0), title="t", metrics=each.exposition.expose, alive=lambda: well, ready=lambda: well
        )
        for each in sites
    ]
    for site, server in zip(sites, servers, strict=True):
        await server.start()
        site.go_on()
    body = (await sites[0].exposition.expose() + await sites[1].exposition.expose()).decode()
    await asyncio.to_thread(backfill, tmp_path, past(body, time.time() - 600))
    questions = asked(influx=False)
    assert len(questions) > 60
    assert {where for where, _ in KNOWN} <= {question.where for question in questions}
    left = ["nothing was asked"]
    program, url = started(tmp_path, [server.urls[0] for server in servers])
    with program:
        async with aiohttp.ClientSession() as session:
            prometheus = Prometheus(session, url)
            deadline = time.monotonic() + 40
            while left and time.monotonic() < deadline:
                for site in sites:
                    site.go_on()
                await asyncio.sleep(0.5)
                assert program.running, program.output
                if sites[0].turn >= 16:  # Prometheus scrapes for the first time after some five seconds
                    left = [short for each in questions if (short := await falls_short(prometheus, each))]
            assert not left, "\n".join(left)
            await check_variables(prometheus)
            await check_grid(prometheus)
            await check_rules_of_grafana(prometheus)
    for server in servers:
        await server.stop()


# --- InfluxDB ------------------------------------------------------------------------------------------------------------


def test_every_panel_and_annotation_shows_what_there_is_in_a_real_influxdb(lab, tmp_path: Path) -> None:
    lab("influxd")
    site = SiteData()
    site.go_on()
    event = Record("event", time.time_ns(), {"site": "nim", "probe": "p1", "kind": "clock_step"}, {"text": "stepped"})
    lines = "\n".join(encode(record) for record in (*site.records, event))
    questions = asked(influx=True)
    notes = [note for _, made in dashboards() for note in made["annotations"]["list"]]
    assert len(questions) == 6
    assert len(notes) == 7
    with Influxd(tmp_path) as influxd:
        influxd.command("CREATE DATABASE timesync")
        request = urllib.request.Request(f"{influxd.url}/write?db=timesync", lines.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 204
        for question in questions:
            for values in (ALL, SOME):
                rows = influxd.select(put_in(question.text, values))
                shown = [value for row in rows for name, value in row.items() if name != "time" and value is not None]
                assert shown, f"{question.where}: nothing from {question.text}"
                numbers = [value for value in shown if isinstance(value, float)]
                assert all(math.isfinite(number) and abs(number) < 1.0 for number in numbers), (question.where, numbers)
                assert all(question.needs <= row.keys() for row in rows), question.where
        for note in notes:
            (row,) = influxd.select(put_in(note["query"]))
            assert row[note["textColumn"]] == "stepped"
            assert row[note["tagsColumn"]] == "clock_step"
    by_panel = {question.where: question for question in questions}
    assert 'last("alpha")' in by_panel["Noise type by averaging time"].text
