"""A real Prometheus scrapes a real /metrics: what it stores is what was measured, and what is old goes away."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest
from support.debian import binary, environment
from support.exposition import ROW, Counted
from support.process import Program
from support.sitedata import EPISODE

from timesync.export.current import Declared
from timesync.export.document import EXPRESSIONS
from timesync.export.metrics import METRICS
from timesync.export.prometheus import Exposition
from timesync.model import Event, FieldValue, Record, Severity, Validity
from timesync.plugin import EngineCounts
from timesync.ptp_stack import CLOCK_STATES, PORT_STATES
from timesync.reasons import Reason
from timesync.settings import HttpSettings, Tie
from timesync.store.status import SinkStatus, SpoolStatus
from timesync.web.health import Check
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

INTERVAL_S = 16.0
NASTY = (
    'a "quoted" name',
    "back\\slash\\n",
    "line\nfeed",
    "комета ☄",
    "tab\there,={}#",
    "\x01control\x7f",
    "nul\x00nul",
    "\u2028",
)


PTP: dict[str, FieldValue] = {
    "clock_class": 6,
    "clock_accuracy": 0x21,
    "clock_accuracy_s": 100e-9,
    "offset_scaled_log_variance": 0x4E5D,
    "priority1": 128,
    "priority2": 128,
    "steps_removed": 1,
    "utc_offset_s": 37,
    "utc_offset_valid": True,
    "time_traceable": True,
    "frequency_traceable": True,
    "port_identity": "0c1105fffe000001-1",
    "grandmaster": "0c1105fffe000001",
    "domain": 0,
    "timescale": "ptp",
    "utc_label": "final",
}
STACK_CLOCK: dict[str, FieldValue] = {
    "master_offset_s": -2e-8,
    "mean_path_delay_s": 3e-7,
    "steps_removed": 1,
    "clock_class": 248,
    "grandmaster_class": 6,
    "grandmaster_accuracy_s": 1e-7,
    "grandmaster_present": True,
    "utc_offset_s": 37,
    "utc_offset_valid": True,
    "ptp_timescale": True,
    "time_traceable": True,
    "frequency_traceable": True,
    "clock_state": CLOCK_STATES[0],
    "parent_port": "0c1105fffe000001-1",
    "grandmaster": "0c1105fffe000001",
    "domain": 0,
}
STACK_PORT: dict[str, FieldValue] = {
    "peer_mean_path_delay_s": 2e-7,
    "as_capable": True,
    "port_state": next(iter(PORT_STATES.values())),
    "rx_sync": 12,
}
HOLDOVER: dict[str, FieldValue] = {
    "state": "holdover",
    "predicted_1h_s": 1e-6,
    "predicted_1h_u_s": 1e-7,
    "predicted_24h_s": 2e-5,
    "predicted_24h_u_s": 5e-6,
    "score": 0.95,
    "every_s": 600.0,
}
IN_SECONDS = {"tdev", "tierms", "mtie"}
STATISTICS = ("adev", "oadev", "mdev", "tdev", "hdev", "ohdev", "tierms", "mtie")


def tally(replies: int = 2) -> Counted:
    """Three polls, one of them lost."""
    return Counted(polls=3, replies=replies, register=0b101, losses=Counter({Reason.TIMEOUT: 1}))


class Clock:
    """Monotonic seconds that a test moves on."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Probe:
    """What the daemon would be: an exposition behind a real HTTP server."""

    site: str
    exposition: Exposition
    clock: Clock
    tallies: dict[str, Counted]

    def measured(self, target: str, **changes: FieldValue) -> None:
        tags = {"site": self.site, "probe": "p1", "target": target, "protocol": "ntp", "reference": "utc"}
        self.exposition.observe(Record("time_error", time.time_ns(), tags, {**ROW, **changes}))

    def computed(self, target: str, statistic: str) -> None:
        tags = {"site": self.site, "probe": "p1", "target": target, "protocol": "ntp", "reference": "utc"}
        end = "_s" if statistic in IN_SECONDS else ""
        fields: dict[str, FieldValue] = {f"dev{end}": 1e-9, f"lo{end}": 0.9e-9, f"hi{end}": 1.2e-9, "every_s": 600.0}
        self.exposition.observe(
            Record("stability", time.time_ns(), {**tags, "statistic": statistic, "tau": "16"}, fields)
        )

    def told(self, target: str, measurement: str, fields: Mapping[str, FieldValue], **tags: str) -> None:
        own = {"site": self.site, "probe": "p1", "target": target, **tags}
        self.exposition.observe(Record(measurement, time.time_ns(), own, dict(fields)))


def filled(site: str, clock: Clock, tallies: dict[str, Counted]) -> Exposition:
    exposition = Exposition(site, "p1", tallies=lambda: tallies, clock=clock)
    for name in ("ntp1", "ntp2", *NASTY):
        exposition.add_target(name, protocol="ntp", interval_s=INTERVAL_S)
        tallies[name] = tally()
    sinks = {"history": SinkStatus(delivered=5), "influx": SinkStatus(depth=7, unavailable_since_ns=1)}
    now_ns = time.time_ns()
    status = SpoolStatus(7, now_ns - 10**10, 4096, 1, 0, 0, failing=None, dropped_by={"full": 1}, sinks=sinks)
    exposition.set_spool(status, limit_bytes=10**9)
    exposition.set_loop_lag(0.001)
    exposition.set_schedule_lag(0.001)
    exposition.set_clock_changes(steps=1, suspends=0)
    exposition.set_leap_expiry(now_ns)
    exposition.set_certificate(Validity(now_ns, now_ns))
    exposition.set_references([("utc-a", "utc-b", 3e-7, 1e-6)], {"utc-a": "agrees", "utc-b": "outvoted"})
    exposition.set_faults([("server", "step", "ntp1", 0.85), ("probe_clock", "step", "", 0.98)])
    exposition.set_engine_counts({"ntp": EngineCounts({"late": 1}, {"tx_stamps": 2})})
    exposition.observe_event(Event("clock_step", now_ns, Severity.WARNING, "stepped"))
    exposition.declare("ntp1", Declared("ntp1", is_reference=True, limit=("tight", 1e-6), tie_until_ns=now_ns))
    exposition.set_alerts({("loss", "warning"): 1})
    exposition.set_notifications({("on-call", "sent"): 1})
    exposition.set_position(40.24, 116.23)
    exposition.set_ties({"ntp1": Tie("UTC(NIM)", 1e-7, 1e-8, now_ns + 10**12)}, now_ns)
    exposition.set_published([("NIM", "circular_t", "Circular T 465", now_ns)])
    exposition.set_stability([("prtc-a", "mtie", "0.1", 2.5e-8)], {"reference": 1, "probe": 2})
    return exposition


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def probe_port() -> int:
    return free_port()


@pytest.fixture
async def probe(request: pytest.FixtureRequest, probe_port: int) -> AsyncIterator[Probe]:
    """The probe of one test: its site is the name of the test, so that the tests' series are told apart."""
    clock, tallies, site = Clock(), {}, request.node.name
    exposition = filled(site, clock, tallies)
    well = (Check("test", well=True, detail="well"),)
    settings = HttpSettings(port=probe_port)
    server = WebServer(settings, title="t", metrics=exposition.expose, alive=lambda: well, ready=lambda: well)
    await server.start()
    made = Probe(site, exposition, clock, tallies)
    for target in ("ntp1", "ntp2", *NASTY):
        made.measured(target)
    made.measured("ntp2", **PTP)
    for statistic in STATISTICS:
        made.computed("ntp1", statistic)
    yield made
    await server.stop()


class Prometheus:
    """A running Prometheus, asked by its HTTP API."""

    def __init__(self, program: Program, url: str, session: aiohttp.ClientSession) -> None:
        self.program = program
        self._url = url
        self._session = session

    async def api(self, path: str, **parameters: str) -> object:
        async with self._session.get(f"{self._url}/api/v1/{path}", params=parameters) as answer:
            body = await answer.json()
        assert body["status"] == "success", f"{parameters}: {body}"
        return body["data"]

    async def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        data = await self.api("query", query=expression)
        assert isinstance(data, dict)
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    async def until(self, expression: str, count: int) -> list[tuple[Mapping[str, str], float]]:
        """Ask until there are that many series; the assertion shows what there was and what the program printed."""
        found: list[tuple[Mapping[str, str], float]] = []
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            try:
                found = await self.query(expression)
            except (aiohttp.ClientError, json.JSONDecodeError):
                assert self.program.running, self.program.output  # it has not opened its port yet
            else:
                if len(found) == count:
                    return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{expression}: {count} series expected, there are {found}\n{self.program.output}")


@pytest.fixture(scope="module")
def running(lab, probe_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, str]]:
    """One Prometheus for all tests here: it takes 5 s to its first scrape, whatever it is told."""
    lab("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "timesync", "static_configs": [{"targets": [f"127.0.0.1:{probe_port}"]}]}],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(configuration))  # JSON is YAML
    listen = f"127.0.0.1:{free_port()}"
    command = [
        binary("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={listen}",
    ]
    with Program(command, cwd=folder) as program:
        yield program, f"http://{listen}"


@pytest.fixture
async def prometheus(running: tuple[Program, str], probe: Probe) -> AsyncIterator[Prometheus]:
    """Prometheus, when it has scraped the probe of this test (and so marked the series of the one before as stale)."""
    program, url = running
    async with aiohttp.ClientSession() as session:
        made = Prometheus(program, url, session)
        await made.until(f'timesync_build_info{{site="{probe.site}"}}', 1)
        yield made


async def test_promtool_finds_nothing_to_complain_about(lab, probe):
    lab("promtool")
    page = await probe.exposition.expose()
    command = [binary("promtool"), "check", "metrics"]
    checked = await asyncio.to_thread(
        subprocess.run, command, input=page, env=environment(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def test_prometheus_stores_what_was_measured_whatever_the_labels_hold(prometheus, probe):
    found = await prometheus.until("timesync_offset_seconds", 2 + len(NASTY))
    assert {labels["target"] for labels, _ in found} == {"ntp1", "ntp2", *NASTY}
    assert {value for _, value in found} == {1.25e-6}
    ((labels, value),) = await prometheus.query('timesync_time_error_seconds{target="ntp1"}')
    expected = {"site": probe.site, "probe": "p1", "target": "ntp1", "protocol": "ntp", "reference": "utc"}
    assert expected.items() <= labels.items()
    assert value == -2.5e-7
    assert [value for _, value in await prometheus.query('up{job="timesync"}')] == [1.0]


async def test_prometheus_knows_type_and_help_of_every_metric_that_is_shown(prometheus, probe):
    probe.told("ntp1", "holdover", HOLDOVER, protocol="ntp")
    within: dict[str, FieldValue] = {"within_s": 7200.0, "own": "tight", "every_s": 600.0}
    probe.told("ntp1", "holdover", within, protocol="ntp", limit="1us")
    probe.told("ntp1", "holdover_episode", EPISODE, protocol="ntp")
    probe.exposition.add_target("stack", protocol="ptp4l", interval_s=INTERVAL_S)
    probe.told("stack", "ptp_clock", STACK_CLOCK, protocol="ptp4l", clock="0c1105fffe000002")
    probe.told("stack", "ptp_port", STACK_PORT, protocol="ptp4l", clock="0c1105fffe000002", port="1")
    await prometheus.until("timesync_ptp_stack_info", 1)
    await prometheus.until("timesync_exposition_duration_seconds", 1)  # from the second scrape on
    metadata = await prometheus.api("metadata")
    shown = {name: (told[0]["type"], told[0]["help"]) for name, told in metadata.items()}
    not_here = {
        "timesync_utc_claim_absent_info",
        "timesync_exposition_refused_total",
        "timesync_sink_last_delivery_timestamp_seconds",
    }
    assert shown == {name: (one.kind.value, one.help) for name, one in METRICS.items() if name not in not_here}


async def test_what_is_no_longer_measured_goes_at_the_next_scrape_and_its_counters_stay(prometheus, probe):
    await prometheus.until('timesync_offset_seconds{target="ntp1"}', 1)
    probe.clock.now_s += 10 * INTERVAL_S
    probe.measured("ntp2")
    await prometheus.until('timesync_offset_seconds{target="ntp1"}', 0)
    assert len(await prometheus.query('timesync_offset_seconds{target="ntp2"}')) == 1
    assert len(await prometheus.query('timesync_polls_total{target="ntp1"}')) == 1
    assert len(await prometheus.query('timesync_last_sample_timestamp_seconds{target="ntp1"}')) == 1
    probe.exposition.remove_target("ntp1")
    await prometheus.until('{target="ntp1"}', 0)


async def test_the_documented_expressions_answer_their_questions(prometheus, probe):
    probe.exposition.add_target("silent", protocol="ntp", interval_s=INTERVAL_S)
    probe.tallies["silent"] = tally(replies=0)
    missed: dict[str, FieldValue] = {"reason": "timeout", "claim": "timeout", "clock_epoch": 0}
    tags = {"site": probe.site, "probe": "p1", "target": "silent", "protocol": "ntp"}
    probe.exposition.observe(Record("time_error", time.time_ns(), tags, missed))
    await prometheus.until('timesync_utc_claim{target="silent"}', 1)
    age, unmeasured, unclaimed, lost, oldest = EXPRESSIONS.values()
    measured = await prometheus.query(age)
    assert len(measured) == 2 + len(NASTY)
    assert all(0 <= seconds < 60 for _, seconds in measured)
    assert [labels["target"] for labels, _ in await prometheus.query(unmeasured)] == ["silent"]
    assert [(labels["target"], labels["reason"]) for labels, _ in await prometheus.query(unclaimed)] == [
        ("silent", "timeout")
    ]
    for counted in probe.tallies.values():
        counted.polls += 4
        counted.losses[Reason.TIMEOUT] += 1
    shares = await prometheus.until(f"({lost}) > 0", 3 + len(NASTY))  # the counters of other tests stand still: 0
    # 1 of 4, but for Prometheus' extrapolation to the ends of the range, which stops where a counter would be negative.
    assert all(0.2 < share < 0.35 for _, share in shares)
    ((_, seconds),) = await prometheus.query(oldest)
    assert 10 <= seconds < 70
