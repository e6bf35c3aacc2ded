"""Holdover on the page: it says what the service told, its curve is the forecast of the rows, and states do not bridge a stop."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pytest
from support.openapi import mismatches
from support.targets import ntp_target

from timesync.holdover_service import HoldoverService
from timesync.model import Event, Record, Severity
from timesync.pipeline import Pipeline
from timesync.records import Recorder
from timesync.settings import HoldoverSettings, HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.store.local import History, Selection
from timesync.store.window import newest_of_each
from timesync.web.api import StatusPage
from timesync.web.openapi import PREFIX
from timesync.web.server import WebServer
from timesync.web.shapes import HOLDOVER

if TYPE_CHECKING:
    from pathlib import Path

    from timesync.holdover.detect import Observation

NS = 1_000_000_000
BEGIN = 1_800_000_000 * NS
STEP_S = 16
SITE = SiteSettings("s", "p")
TAGS = {"site": "s", "probe": "p", "target": "a", "protocol": "ntp", "reference": "utc"}
TARGETS = tuple(TargetSettings(name, "ntp", name, interval_s=16.0) for name in ("a", "utc"))


def row(seen: Observation) -> Record:
    names = ("leap", "stratum", "reference_id", "reference_time_ns", "root_dispersion_s")
    fields: dict[str, Any] = {name: getattr(seen, name) for name in names if getattr(seen, name) is not None}
    fields |= {"claim": "valid", "quality": "interpolated", "time_error_s": seen.x_s}
    return Record("time_error", BEGIN + seen.at_ns, TAGS, fields)


class Probe:
    """A holdover service, and a page on loopback beside the history that it stores into."""

    def __init__(self, folder: Path) -> None:
        wanted = HoldoverSettings(limits_s=(10e-3, 1e-4))
        self.settings = ProbeSettings(SITE, TARGETS, SpoolSettings(folder), holdover=wanted)
        self.now_ns = BEGIN
        self.path = folder / "history.sqlite3"
        self.history = History(self.path, read_only=False)
        self.recorder = Recorder("s", "p", 2.0, None)
        self.service: HoldoverService | None = HoldoverService(
            self.settings, self.history.write, self.tell, clock_ns=lambda: self.now_ns
        )
        self.tell(Event("started", BEGIN, Severity.INFO, "measuring 2 targets"))

    def tell(self, event: Event) -> None:
        self.history.write([self.recorder.event(event)])

    def feed(self, polls: list[Observation]) -> None:
        """Polls one after the other, and the forecast after the last."""
        assert self.service is not None
        rows = [row(each) for each in polls]
        self.history.write(rows)
        self.service.take(rows)
        self.now_ns = rows[-1].at_ns + NS
        self.service.release(self.now_ns)
        self.service.tell_of("a")


@pytest.fixture
async def served(tmp_path: Path):
    """(a probe, a session with its page)"""
    probe = Probe(tmp_path)
    pipeline = Pipeline(probe.settings)
    page = StatusPage(
        SITE, lambda: pipeline.states, probe.path, holdover=lambda: probe.service, clock_ns=lambda: probe.now_ns
    )
    server = WebServer(
        HttpSettings(port=0), title="t", metrics=lambda: asyncio.sleep(0, b""), alive=list, ready=list,
        pages=page.pages(), stopping=page.close,
    )  # fmt: skip
    await server.start()
    async with aiohttp.ClientSession(server.urls[0]) as session:
        yield probe, session
    await server.stop()
    probe.history.close()


async def get(session: aiohttp.ClientSession, query: str = "", status: int = 200) -> Any:
    async with session.get(f"{PREFIX}/holdover?target=a&last_s=1e6{query}") as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


def polls(seed: int = 2) -> list[Observation]:
    """900 polls of 16 s; from the 400th to the 600th the source is lost and the clock runs 50e-9 fast: 0.16 ms at the end."""
    return list(ntp_target(900, 400, 600, np.random.default_rng(seed), rate=50e-9, scatter_s=1e-6))


async def test_before_anything_is_known_that_is_said(served) -> None:
    _, session = served
    found = await get(session)
    assert mismatches(HOLDOVER, found) == []
    assert found["state"] == "unknown"
    assert found["sentence"].endswith("Nothing is foreseen: too few samples yet.")
    assert (found["limits"], found["forecast"], found["episodes"]) == ([], None, [])


async def test_the_sentence_and_the_curve_say_what_the_rows_say(served) -> None:
    probe, session = served
    probe.feed(polls()[:460])  # it has coasted for 16 minutes
    found = await get(session)
    assert mismatches(HOLDOVER, found) == []
    assert (found["state"], found["basis"], found["confidence"]) == ("holdover", "holdover", 0.95)
    tight, loose = found["limits"]  # the tightest first
    assert (tight["limit_s"], loose["limit_s"]) == (1e-4, 10e-3)
    assert found["sentence"].startswith("a has lost its source and coasts; it stays within 100 µs for ")
    assert found["sentence"].endswith(", with 95 % confidence.")
    # 100 us at 50e-9 is 2000 s from the loss on; half of it has passed.
    assert 200 < tight["within_s"] < 1400
    assert tight["median_s"] == pytest.approx(2000 - 60 * STEP_S, rel=0.35)
    # The curve is that of the row: the same at the hour that the row tells, and it leaves the limit when the row says so.
    stored = newest_of_each(probe.history, Selection("holdover", "a"))
    fields = next(each.fields for each in stored if "limit" not in each.tags)
    curve = found["forecast"]
    begin_ns = BEGIN + polls()[459].at_ns
    ahead_s = [(at_ns - begin_ns) / NS for at_ns in curve["at_ns"]]
    assert ahead_s == sorted(ahead_s)
    assert ahead_s[-1] == pytest.approx(86_400.0, abs=1.0)
    at = min(range(len(ahead_s)), key=lambda index: abs(ahead_s[index] - 3600.0))
    assert curve["mean_s"][at] == pytest.approx(fields["predicted_1h_s"], rel=1e-9)
    assert curve["high_s"][at] == pytest.approx(fields["predicted_1h_high_s"], rel=1e-9)
    left_s = min(t for t, high in zip(ahead_s, curve["high_s"], strict=True) if high > 1e-4)
    assert left_s == pytest.approx(tight["within_s"], rel=0.7)


async def test_after_a_silence_the_curve_begins_where_the_rows_do(served) -> None:
    """Two days without a sample: twice the horizon."""
    probe, session = served
    probe.feed(polls()[:460])
    probe.now_ns += 2 * 86_400 * NS
    assert probe.service is not None
    probe.service.tell_of("a")
    found = await get(session)
    stored = newest_of_each(probe.history, Selection("holdover", "a"))
    fields = next(each.fields for each in stored if each.at_ns == probe.now_ns and "limit" not in each.tags)
    assert fields["sample_age_s"] > 86_400.0
    curve = found["forecast"]
    assert curve["at_ns"][0] > probe.now_ns
    assert curve["at_ns"][-1] == pytest.approx(probe.now_ns + 86_400 * NS, abs=NS)
    at = min(range(len(curve["at_ns"])), key=lambda index: abs(curve["at_ns"][index] - probe.now_ns - 3600 * NS))
    assert curve["mean_s"][at] == pytest.approx(fields["predicted_1h_s"], rel=1e-9)


async def test_states_follow_each_other_and_a_holdover_leaves_its_account(served) -> None:
    probe, session = served
    probe.feed(polls())
    found = await get(session)
    assert [each["state"] for each in found["states"]] == [
        "unknown",
        "acquiring",
        "locked",
        "holdover",
        "holdover_out",
        "acquiring",
        "locked",
    ]
    for before, after in zip(found["states"], found["states"][1:], strict=False):
        assert before["end_ns"] == after["start_ns"]
    assert found["states"][-1]["end_ns"] is None
    assert found["states"][3]["signs"]
    coasting = found["states"][3]
    assert BEGIN + 400 * STEP_S * NS <= coasting["start_ns"] <= BEGIN + 425 * STEP_S * NS
    (episode,) = found["episodes"]
    assert episode["duration_s"] == pytest.approx(200 * STEP_S, rel=0.15)
    assert episode["max_abs_s"] == pytest.approx(200 * STEP_S * 50e-9, rel=0.05)
    # A part of the time begins with the state that held then.
    part = await get(session, f"&start_ns={BEGIN + 300 * STEP_S * NS}&end_ns={BEGIN + 500 * STEP_S * NS}")
    assert part["states"][0]["state"] == "locked"
    assert part["states"][0]["start_ns"] == BEGIN + 300 * STEP_S * NS


async def test_while_the_probe_was_stopped_nothing_is_known(served) -> None:
    probe, session = served
    probe.feed(polls()[:100])
    probe.tell(Event("stopped", probe.now_ns + 10 * NS, Severity.INFO, "stopped"))
    probe.tell(Event("started", probe.now_ns + 500 * NS, Severity.INFO, "started"))
    probe.now_ns += 600 * NS
    states = (await get(session))["states"]
    assert [each["state"] for each in states] == ["unknown", "acquiring", "locked", "unknown"]
    assert states[-1]["start_ns"] == probe.now_ns - 590 * NS


@pytest.mark.parametrize(
    ("table", "head", "least"),
    [("forecast", "at_ns,mean_s,u_s,low_s,high_s", 24), ("states", "state,start_ns", 6), ("episodes", "entry_ns,", 1)],
)
async def test_each_table_can_be_had(served, table: str, head: str, least: int) -> None:
    probe, session = served
    probe.feed(polls())
    async with session.get(f"{PREFIX}/holdover?target=a&last_s=1e6&format=csv&table={table}") as answer:
        text = await answer.text()
    assert text.startswith(head)
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) > least
    assert {len(each) for each in rows} == {len(rows[0])}


async def test_where_none_is_watched_the_remedy_is_told(served) -> None:
    probe, session = served
    probe.service = None
    assert "[holdover] enabled = true" in (await get(session, status=404))["error"]
    async with session.get(f"{PREFIX}/holdover?target=a&format=csv&table=all") as answer:
        assert answer.status == 404
