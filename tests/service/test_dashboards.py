"""Every query of every panel of every dashboard, asked of a real Prometheus and a real influxd that hold a site's data.

There is no Grafana here: its macros and variables are put in as Grafana would put them.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
from support.databases import Influxd, free_tcp_port
from support.debian import binary
from support.exposition import ROW, Counted
from support.process import Program

from dashboards.source.catalogue import DASHBOARDS
from dashboards.source.model import EVENTS
from timesync.alerts.prometheus import rules
from timesync.export.current import Declared
from timesync.export.prometheus import Exposition
from timesync.model import FieldValue, Record
from timesync.reasons import Reason
from timesync.settings import HttpSettings
from timesync.store.lineprotocol import encode
from timesync.store.status import SinkStatus, SpoolStatus
from timesync.web.health import Check
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {
    "$site": ".*",
    "$target": ".*",
    "$reference": ".*",
    "$limit": ".*",
    "$against": "utc",
    "$__rate_interval": "10s",
    "$__interval": "1s",
    "$timeFilter": "time > now() - 1h",
}
PTP: dict[str, FieldValue] = {
    "clock_class": 6,
    "clock_accuracy": 0x21,
    "clock_accuracy_s": 100e-9,
    "steps_removed": 1,
    "utc_offset_s": 37,
    "utc_offset_valid": True,
    "time_traceable": True,
    "port_identity": "0c1105fffe000001-1",
    "grandmaster": "0c1105fffe000001",
    "domain": 0,
    "timescale": "ptp",
}
BUDGET: dict[str, FieldValue] = {
    "bound_path_s": 1e-4,
    "bound_interpolation_s": 1e-4,
    "bound_tie_s": 1e-7,
    "bound_oscillator_s": 1e-9,
    "utc_minus_x_s": 1e-9,
    "utc_minus_x_u_s": 1e-9,
    "utc_label": "final",
}
CLOCK: dict[str, FieldValue] = {"master_offset_s": 1e-6, "mean_path_delay_s": 1e-5}
PORT: dict[str, FieldValue] = {"port_state": "master"}


class SiteData:
    """A site with two references, an NTP server, a PTP master, a stack, and a server that does not answer."""

    def __init__(self) -> None:
        self.turn = 0
        self.tallies = {name: Counted() for name in ("utc", "utc2", "ntp1", "ptp", "stack", "dead")}
        self.exposition = Exposition("nim", "p1", tallies=lambda: self.tallies)
        for name in self.tallies:
            protocol = {"ptp": "ptp", "stack": "ptp4l"}.get(name, "ntp")
            self.exposition.add_target(name, protocol=protocol, interval_s=16.0)
            is_reference = name.startswith("utc")
            reference = name if is_reference else "utc"
            until_ns = time.time_ns() + 10**15 if is_reference else None
            self.exposition.declare(
                name, Declared(reference, is_reference=is_reference, limit=("house", 1e-3), tie_until_ns=until_ns)
            )
        self.records: list[Record] = []

    def _row(self, measurement: str, target: str, fields: dict[str, FieldValue], **tags: str) -> None:
        own = {"site": "nim", "probe": "p1", "target": target, "protocol": "ntp", **tags}
        record = Record(measurement, time.time_ns(), own, fields)
        self.records.append(record)
        self.exposition.observe(record)

    def go_on(self) -> None:
        """Another second of it."""
        self.turn += 1
        for target in ("utc", "utc2", "ntp1", "ptp"):
            reference = target if target.startswith("utc") else "utc"
            more: dict[str, FieldValue] = PTP if target == "ptp" else {}
            protocol = "ptp" if target == "ptp" else "ntp"
            self._row("time_error", target, {**ROW, **BUDGET, **more}, reference=reference, protocol=protocol)
        self._row("time_error", "dead", {"reason": "timeout", "claim": "timeout", "clock_epoch": 0, "polls": 1})
        for statistic in ("oadev", "mdev", "tdev", "mtie"):
            end = "_s" if statistic in {"tdev", "mtie"} else ""
            fields: dict[str, FieldValue] = {f"dev{end}": 1e-9, f"lo{end}": 9e-10, f"hi{end}": 2e-9, "every_s": 600.0}
            self._row("stability", "ntp1", fields, reference="utc", statistic=statistic, tau="16")
        forecast: dict[str, FieldValue] = {"predicted_1h_s": 1e-6, "predicted_1h_u_s": 1e-7, "score": 0.95}
        self._row("holdover", "ntp1", {"state": "locked", "every_s": 600.0, **forecast})
        self._row("holdover", "ntp1", {"within_s": 7200.0, "every_s": 600.0}, limit="1us")
        self._row("ptp_clock", "stack", CLOCK, protocol="ptp4l", clock="0c1105fffe000002")
        self._row(
            "ptp_port", "stack", {**PORT, "rx_sync": self.turn}, protocol="ptp4l", clock="0c1105fffe000002", port="1"
        )
        for name, tally in self.tallies.items():
            tally.polls += 1
            if name == "dead":
                tally.losses = Counter({Reason.TIMEOUT: tally.polls})
            else:
                tally.replies, tally.register = tally.replies + 1, 0xFF
        sinks = {"central": SinkStatus(delivered=self.turn, failures=self.turn)}
        status = SpoolStatus(3, time.time_ns() - 10**10, 4096, 0, 0, 0, None, sinks=sinks)
        show = self.exposition
        show.set_spool(status, limit_bytes=10**9)
        show.set_loop_lag(0.001)
        show.set_schedule_lag(0.001)
        show.set_clock_changes(steps=0, suspends=0)
        show.set_leap_expiry(time.time_ns() + 10**16)
        show.set_alerts({("unreachable", "critical"): 1})
        show.set_notifications({("on-call", "sent"): self.turn})
        show.set_faults([("server", "step", "ntp1", 0.9)])


def asked(*, influx: bool) -> list[tuple[str, str]]:
    """Every query, with its panel."""
    return [
        (f"{dashboard.name}: {panel.title[0]}", query.text)
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
        if query.influx == influx
    ]


def put_in(text: str) -> str:
    for name in sorted(VARIABLES, key=len, reverse=True):
        text = text.replace(name, VARIABLES[name])
    assert "$" not in text.replace("/^", "").replace("$/", ""), text
    return text


async def prometheus_answers(session: aiohttp.ClientSession, url: str, text: str) -> list[dict[str, Any]]:
    async with session.get(f"{url}/api/v1/query", params={"query": text}) as answer:
        body = await answer.json()
    assert body["status"] == "success", body
    found: list[dict[str, Any]] = body["data"]["result"]
    return found


async def test_every_panel_shows_something_from_a_real_prometheus(lab, tmp_path: Path) -> None:
    lab("prometheus")
    site, well = SiteData(), (Check("test", well=True, detail="well"),)
    server = WebServer(
        HttpSettings(port=0), title="t", metrics=site.exposition.expose, alive=lambda: well, ready=lambda: well
    )
    await server.start()
    (tmp_path / "rules.yaml").write_text(rules(every_s=0.5), encoding="utf-8")
    scraped = server.urls[0].removeprefix("http://").rstrip("/")
    configuration = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "timesync", "static_configs": [{"targets": [scraped]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(configuration))
    listen = f"127.0.0.1:{free_tcp_port()}"
    command = [
        *(binary("prometheus"), f"--config.file={tmp_path}/prometheus.yml"),
        *(f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={listen}"),
    ]
    empty = dict(asked(influx=False))
    with Program(command, cwd=tmp_path) as program:
        async with aiohttp.ClientSession() as session:
            queries = asked(influx=False)
            deadline = time.monotonic() + 30
            while queries and time.monotonic() < deadline:
                site.go_on()
                await asyncio.sleep(0.5)
                assert program.running, program.output
                if site.turn < 14:  # Prometheus scrapes for the first time after some five seconds
                    continue
                left = []
                for panel, text in queries:
                    found = await prometheus_answers(session, f"http://{listen}", put_in(text))
                    if not found or not all(math.isfinite(float(each["value"][1])) for each in found):
                        left.append((panel, text))
                queries = left
    await server.stop()
    assert not queries, f"nothing, or not numbers, from {queries}"
    assert len(empty) > 40


def test_every_panel_shows_something_from_a_real_influxdb(lab, tmp_path: Path) -> None:
    lab("influxd")
    site = SiteData()
    site.go_on()
    event = Record("event", time.time_ns(), {"site": "nim", "probe": "p1", "kind": "clock_step"}, {"text": "stepped"})
    lines = "\n".join(encode(record) for record in (*site.records, event))
    with Influxd(tmp_path) as influxd:
        influxd.command("CREATE DATABASE timesync")
        request = urllib.request.Request(f"{influxd.url}/write?db=timesync", lines.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 204
        queries = [*asked(influx=True), ("events", EVENTS)]
        found = {text: influxd.select(put_in(text)) for _, text in queries}
    assert len(queries) >= 4
    for panel, text in queries:
        values = [value for row in found[text] for key, value in row.items() if key != "time" and value is not None]
        assert values, f"{panel}: nothing from {text}"
