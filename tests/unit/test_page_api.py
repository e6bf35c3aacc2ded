"""The API of the page: its description and its answers are one, it is bounded, and it tells what is wrong with a question."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.openapi import mismatches

from timesync.explain import explain
from timesync.export.current import GRACE_S, LIFE_INTERVALS
from timesync.holdover_service import HoldoverService
from timesync.model import Event, Missed, Record, Severity
from timesync.pipeline import Pipeline
from timesync.reasons import REASONS, Reason
from timesync.records import Recorder
from timesync.settings import HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie
from timesync.store.local import History
from timesync.timescale import GREATEST_RATE
from timesync.web import facts, live, reading
from timesync.web.api import StatusPage
from timesync.web.openapi import PREFIX, ROUTES, describe
from timesync.web.reading import BusyError, Reader
from timesync.web.server import WebServer

NS = 1_000_000_000
NOW_NS = 1_800_000_000 * NS
SITE = SiteSettings("NIM", "p1", latitude=40.2, longitude=116.2)
TAGS = {"site": "NIM", "probe": "p1", "target": "ntp1", "protocol": "ntp", "reference": "utc"}
TARGETS = (
    TargetSettings("utc", "ntp", "192.0.2.1", tie=Tie("UTC(NIM)", 1e-7, 3e-8)),
    TargetSettings("ntp1", "ntp", "192.0.2.2", reference="utc"),
    TargetSettings("=cmd", "ntp", "192.0.2.3", reference="utc"),
)


def row(second: int, value_s: float | None) -> Record:
    fields: dict[str, Any] = {"offset_s": 1e-3, "bound_s": 2e-5, "delay_s": 4e-5, "claim": "valid"}
    fields |= {
        "bound_path_s": 1.5e-5,
        "bound_tie_s": 5e-6,
        "u_path_s": 8e-6,
        "u_tie_s": 3e-6,
        "quality": "interpolated",
    }
    if value_s is None:
        fields = {"claim": "timeout"}
    else:
        fields |= {"time_error_s": value_s, "time_error_bound_s": 2e-5, "time_error_u_s": 9e-6, "realises": "UTC(NIM)"}
    return Record("time_error", NOW_NS + (second - 3600) * NS, TAGS, fields)


def stability_row(statistic: str, tau_s: float, at_ns: int) -> Record:
    tags = {**TAGS, "statistic": statistic, "tau": f"{tau_s:g}"}
    unit = "" if statistic == "oadev" else "_s"
    fields = {"tau_s": tau_s, f"dev{unit}": 1e-9 * tau_s, f"lo{unit}": 0.9e-9 * tau_s, f"hi{unit}": 1.1e-9 * tau_s}
    return Record("stability", at_ns, tags, {**fields, "n": 100, "exact": True, "ci": 0.683, "window_days": 7})


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "history.sqlite3"
    recorder = Recorder("NIM", "p1", 2.0, None)
    history = History(path, read_only=False)
    history.write([row(second, None if second % 100 == 7 else 1e-6 * (second % 10)) for second in range(3600)])
    events = [Event("started", NOW_NS - 3000 * NS, Severity.INFO, "measuring 2 targets")]
    events += [
        Event("kiss_deny", NOW_NS - k * NS, Severity.WARNING, f"number {k}", "ntp1", {"k": k}) for k in range(1, 300)
    ]
    history.write([recorder.event(event) for event in events])
    history.write([stability_row("tdev", 999.0, NOW_NS - 900 * NS)])  # an averaging time that is computed no more
    history.write([stability_row(name, tau, NOW_NS) for name in ("oadev", "tdev") for tau in (1.0, 2.0, 4.0)])
    history.close()
    return path


@pytest.fixture
async def page(filled: Path, tmp_path: Path):
    """A server with the page on loopback; gives (session, page, pipeline)."""
    running = []

    async def start(path: Path | None = filled, **more: Any):
        settings = ProbeSettings(SITE, TARGETS, SpoolSettings(tmp_path))
        pipeline = Pipeline(settings)
        watching = HoldoverService(settings, lambda records: None, lambda event: None, clock_ns=lambda: NOW_NS)
        more = {"holdover": lambda: watching, "clock_ns": lambda: NOW_NS, **more}
        status = StatusPage(SITE, lambda: pipeline.states, path, **more)
        server = WebServer(
            HttpSettings(port=0),
            title="NIM / p1",
            metrics=lambda: asyncio.sleep(0, b""),
            alive=list,
            ready=list,
            pages=status.pages(),
            stopping=status.close,
        )
        await server.start()
        session = aiohttp.ClientSession(server.urls[0])
        running.append((server, session))
        return session, status, pipeline

    yield start
    for server, session in running:
        await session.close()
        await server.stop()


async def get(session: aiohttp.ClientSession, path: str, status: int = 200) -> Any:
    async with session.get(f"{PREFIX}/{path}") as answer:
        assert answer.status == status, await answer.text()
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        return await answer.json()


async def test_the_description_and_the_server_have_the_same_routes(page):
    session, status, _ = await page()
    described = await get(session, "openapi.json")
    assert described == json.loads(json.dumps(describe()))
    served = {each.path for each in status.pages() if each.path.startswith("/api/")}
    assert set(described["paths"]) == served
    assert described["openapi"].startswith("3.1")
    for path in described["paths"].values():
        names = [parameter["name"] for parameter in path["get"]["parameters"]]
        assert len(names) == len(set(names))


QUESTIONS = {
    "/series": "?target=ntp1&points=50",
    "/events": "?target=ntp1&limit=20",
    "/stability": "?target=ntp1",
    "/holdover": "?target=ntp1",
    "/traceability": "?target=ntp1",
}


@pytest.mark.parametrize("route", [each for each in ROUTES if each.answer], ids=lambda each: each.path)
@pytest.mark.parametrize("there", [True, False], ids=["filled", "empty"])
async def test_every_answer_is_as_described(page, tmp_path, route, there):
    session, _, pipeline = await page() if there else await page(tmp_path / "none.sqlite3")
    missed = Missed("ntp1", "ntp", "192.0.2.2", NOW_NS, Reason.TIMEOUT, "no reply", 0)
    pipeline.outcomes("ntp1", [missed], NOW_NS)
    assert route.answer is not None
    assert mismatches(route.answer, await get(session, route.path[1:] + QUESTIONS.get(route.path, ""))) == []


def test_the_check_of_answers_can_fail():
    answer = next(route.answer for route in ROUTES if route.path == "/targets")
    assert mismatches(answer, {"targets": [{"target": "a"}]})
    assert mismatches(answer, {"targets": [], "more": 1}) == ["$: more is not described"]


async def test_a_target_in_trouble_says_what_it_means_and_what_to_do(page):
    session, _, pipeline = await page()
    pipeline.outcomes("ntp1", [Missed("ntp1", "ntp", "192.0.2.2", NOW_NS, Reason.KISS_DENY, "DENY", 0)], NOW_NS)
    found = {each["target"]: each for each in (await get(session, "targets"))["targets"]}
    assert found["utc"]["level"] == "unsettled"
    assert found["ntp1"]["level"] == "trouble"
    assert found["ntp1"]["trouble"]["remedy"] == REASONS[Reason.KISS_DENY].remedy
    assert found["ntp1"]["time_error_s"] is None  # and no number that stands for nothing


async def test_a_series_is_whole_where_it_fits_and_counts_what_was_lost(page):
    session, _, _ = await page()
    found = await get(session, "series?target=ntp1&last_s=100&points=100")
    assert not found["thinned"]
    assert found["records"] == sum(found["parts"]["records"]) == 99
    assert sum(found["parts"]["measured"]) == len(found["columns"]["at_ns"]) == 98  # one poll was lost
    assert found["columns"]["at_ns"] == sorted(found["columns"]["at_ns"])


async def test_a_peak_of_one_sample_is_in_every_answer_however_few_columns_are_asked_for(page, tmp_path):
    """12,000 samples; the peak is in one of them, and an answer weighs no more than a screen can show."""
    path = tmp_path / "long.sqlite3"
    history = History(path, read_only=False)
    rows = [row(second - 9000, 1e-6 * (second % 10)) for second in range(12_000)]
    rows[7777] = row(7777 - 9000, -5e-3)
    history.write(rows)
    history.close()
    session, _, _ = await page(path)
    for points in (7, 100, 600):
        query = f"series?target=ntp1&last_s=20000&points={points}"
        found = await get(session, query)
        values = dict(zip(found["columns"]["at_ns"], found["columns"]["time_error_s"], strict=True))
        assert found["thinned"]
        assert found["records"] == 12_000
        assert values[rows[7777].at_ns] == -5e-3
        assert max(values.values()) == 9e-6
        assert len(values) <= 5 * points
        async with session.get(f"{PREFIX}/{query}&format=csv") as answer:
            assert "-0.005," in await answer.text()
        async with session.get(f"{PREFIX}/{query}", headers={"Accept-Encoding": "gzip"}) as answer:
            await answer.read()
            assert answer.content.total_bytes < 300_000


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("series", 400, "target is missing"),
        ("series?target=other", 404, "there is no target 'other'"),
        ("series?target=ntp1&points=many", 400, "points='many' is no whole number"),
        ("series?target=ntp1&points=9999", 400, "points=9999 is outside 1 to 2000"),
        ("series?target=ntp1&start_ns=5&end_ns=5", 400, "start_ns is not before end_ns"),
        ("series?target=ntp1&last_s=nan", 400, "last_s=nan is not between"),
        ("series?target=ntp1&format=xml", 400, "write json or csv"),
        ("events?limit=0", 400, "limit=0 is outside 1 to 1000"),
        ("stability?target=%27%3B--", 404, "there is no target"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_why(page, path, status, text):
    session, _, _ = await page()
    assert text in (await get(session, path, status))["error"]


async def test_events_come_newest_first_and_no_more_than_asked_for(page):
    session, _, _ = await page()
    found = (await get(session, "events?limit=5"))["events"]
    assert [each["text"] for each in found] == [f"number {k}" for k in range(1, 6)]
    assert found[0]["evidence"] == {"k": 1}
    everything = (await get(session, "events?limit=1000"))["events"]
    assert len(everything) == 300
    assert everything[-1]["kind"] == "started"
    assert everything[-1]["target"] is None


async def test_stability_leaves_out_what_is_computed_no_more(page):
    session, _, _ = await page()
    curves = {each["statistic"]: each for each in (await get(session, "stability?target=ntp1"))["curves"]}
    assert curves["tdev"]["tau_s"] == [1.0, 2.0, 4.0]
    assert (curves["tdev"]["unit"], curves["oadev"]["unit"]) == ("s", "1")
    assert curves["oadev"]["dev"] == [1e-9, 2e-9, 4e-9]


async def test_masks_are_those_that_verdicts_are_given_by(page):
    session, _, _ = await page()
    found = {each["mask"]: each for each in (await get(session, "masks"))["masks"]}
    # ITU-T G.8272 (11/2018) table 1: MTIE of a PRTC-A is 0.275e-3 tau + 0.025 us up to 273 s, then 0.10 us.
    mask = found["prtc-a-mtie"]
    limits = dict(zip(mask["tau_s"], mask["limit_s"], strict=True))
    assert limits[0.1] == pytest.approx(25.0275e-9)
    assert limits[273.0] == pytest.approx(100.075e-9)
    assert limits[max(limits)] == pytest.approx(100e-9)


async def test_traceability_is_the_account_that_the_command_gives(page, filled):
    session, _, _ = await page()
    found = await get(session, "traceability?target=ntp1")
    history = History(filled, read_only=True)
    record = history.newest("ntp1")
    history.close()
    assert record is not None
    account = json.loads(json.dumps(asdict(explain(record))))
    assert found["claim"] == "valid"
    assert found["at_ns"] == record.at_ns
    for name in ("chain", "budget", "notes", "measurand", "time_error_s", "u_s"):
        assert found[name] == account[name], name
    assert [step["what"] for step in found["chain"]] == [
        "ntp1 - probe",
        "probe - utc",
        "utc - UTC(NIM)",
        "UTC - UTC(NIM)",
    ]
    widths = [line["half_width_s"] for line in found["budget"] if line["half_width_s"] is not None]
    assert sum(widths) == pytest.approx(found["time_error_bound_s"])  # what the page draws as the bound


@pytest.mark.parametrize(("table", "head"), [("budget", "quantity,value_s"), ("chain", "what,value_s")])
async def test_both_tables_of_the_account_can_be_had(page, table, head):
    session, _, _ = await page()
    async with session.get(f"{PREFIX}/traceability?target=ntp1&format=csv&table={table}") as answer:
        text = await answer.text()
    assert text.startswith(head)
    shown = (await get(session, "traceability?target=ntp1"))[table]
    assert len(text.splitlines()) == 1 + len(shown)


def claimed(name: str, error_s: float | None, bound_s: float, **more: Any) -> dict[str, Any]:
    clock = {"offset_s": 1e-3 + (error_s or 0.0), "bound_s": bound_s / 2, "realises": "UTC(NIM)"}
    clock |= {"at_ns": NOW_NS, "clock_epoch": 0, "interval_s": 16.0}
    limit = {"limit": "rts25-100us", "limit_s": 1e-4}
    return {"target": name, "time_error_s": error_s, "time_error_bound_s": bound_s, **clock, **limit, **more}


def test_each_pair_is_judged_by_the_limit_of_its_row_and_a_target_by_itself_on_the_diagonal():
    targets = [claimed("a", 5e-5, 1e-6), claimed("b", -9e-5, 2e-6, limit=None, limit_s=None), claimed("c", None, 0.0)]
    found = {(each["row"], each["column"]): each for each in facts.pairs(targets, NOW_NS)}
    assert len(found) == 9
    assert found["a", "a"]["difference_s"] == 5e-5
    assert (found["a", "a"]["verdict"], found["a", "a"]["differ"]) == ("within", None)
    pair = found["a", "b"]
    assert (pair["difference_s"], pair["bound_s"]) == (pytest.approx(14e-5), pytest.approx(3e-6))
    assert (pair["differ"], pair["verdict"]) == (True, "certain")
    assert found["b", "a"]["verdict"] is None  # b has no limit
    assert found["a", "c"]["difference_s"] == pytest.approx(
        5e-5
    )  # c claims nothing: by the probe's clock, which cancels
    assert found["a", "c"]["bound_s"] == pytest.approx(5e-7)
    assert (found["c", "c"]["difference_s"], found["c", "c"]["verdict"]) == (None, None)


def test_the_clock_that_a_pair_is_compared_by_may_have_run_between_its_measurements():
    """The probe's clock is 50e-6 fast, and the two are asked 10 s after each other: they do not differ."""
    one = claimed("one", None, 2e-4, offset_s=0.0, at_ns=NOW_NS - 10 * NS)
    other = claimed("other", None, 2e-4, offset_s=-5e-4)
    found = {(each["row"], each["column"]): each for each in facts.pairs([one, other], NOW_NS)}
    assert found["one", "other"]["bound_s"] == pytest.approx(2e-4 + 10 * 500e-6)
    assert (found["one", "other"]["differ"], found["one", "other"]["verdict"]) == (False, "possible")


@pytest.mark.parametrize("change", [{"at_ns": NOW_NS - 5 * 3600 * NS}, {"at_ns": None}, {"clock_epoch": 1}])
def test_what_is_no_longer_news_or_of_another_epoch_is_not_compared_by_the_probes_clock(change: dict[str, Any]):
    targets = [claimed("here", None, 2e-4), claimed("gone", None, 2e-4, **change)]
    assert {each["difference_s"] for each in facts.pairs(targets, NOW_NS)} == {None}


def test_a_claim_that_is_no_longer_news_is_not_compared():
    targets = [claimed("here", 1e-5, 1e-6), claimed("gone", 3e-4, 1e-6, at_ns=NOW_NS - 3600 * NS)]
    found = {(each["row"], each["column"]): each["verdict"] for each in facts.pairs(targets, NOW_NS)}
    assert found.pop(("here", "here")) == "within"
    assert set(found.values()) == {None}
    script = (Path(facts.__file__).parent / "static" / "view-network.js").read_text()
    for name, value in (("LIFE_INTERVALS", LIFE_INTERVALS), ("GRACE_S", GRACE_S), ("GREATEST_RATE", GREATEST_RATE)):
        (told,) = re.findall(rf"\b{name} = ([\de.-]+)[,;]", script)
        assert float(told) == value  # the page compares for itself


async def test_csv_is_what_is_shown_and_no_formula(page):
    session, _, _ = await page()
    async with session.get(f"{PREFIX}/series?target=ntp1&last_s=100&points=100&format=csv") as answer:
        assert answer.content_type == "text/csv"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="ntp1.csv"'
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    shown = await get(session, "series?target=ntp1&last_s=100&points=100")
    assert [int(each["at_ns"]) for each in rows] == shown["columns"]["at_ns"]
    assert [float(each["time_error_s"]) for each in rows] == shown["columns"]["time_error_s"]
    async with session.get(f"{PREFIX}/targets?format=csv") as answer:
        names = [each["target"] for each in csv.DictReader(io.StringIO(await answer.text()))]
    assert names == ["utc", "ntp1", "'=cmd"]
    for path in ("events", "stability"):
        async with session.get(f"{PREFIX}/{path}?target=ntp1&format=csv") as answer:
            assert len((await answer.text()).splitlines()) > 3


def test_stability_is_shown_against_the_reference_where_that_is_still_computed():
    def told(reference: str, at_s: float) -> Record:
        made = stability_row("oadev", 1.0, NOW_NS + round(at_s * NS))
        return made._replace(tags={**made.tags, "reference": reference}, fields={**made.fields, "every_s": 600.0})

    own = told("probe", 0.0)
    pair = told("utc", -700.0)  # the two are computed at different instants
    assert facts.comparison([own, pair]) == [pair]
    assert facts.comparison([told("utc-2", -900.0), own, pair]) == [pair]
    assert facts.comparison([own]) == [own]
    assert facts.comparison([own, told("utc", -1300.0)]) == [own]  # it has no reference any more
    assert facts.comparison([]) == []


async def test_without_a_history_the_present_is_still_told(page):
    session, _, _ = await page(None)
    assert (await get(session, "site"))["history"] is False
    assert len((await get(session, "targets"))["targets"]) == 3
    assert "[history] enabled = true" in (await get(session, "series?target=ntp1", 404))["error"]


# Reading beside measuring.


async def test_a_question_that_takes_too_long_is_given_up(filled):
    reader = Reader(filled, patience_s=0.05)
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"  # without end
    with pytest.raises(BusyError, match="ask for a shorter time"):
        await reader.ask(lambda history: list(history.ask(sql, ())), empty=[])
    reader.close()


async def test_questions_do_not_pile_up(filled, monkeypatch):
    monkeypatch.setattr(reading, "WAITING", 2)
    reader = Reader(filled)
    answers = await asyncio.gather(
        *(reader.ask(lambda history: history.targets(), empty=[]) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, BusyError) for each in answers) == 2
    assert answers[0] == ["ntp1"]
    reader.close()


async def test_reading_writes_nothing(filled):
    reader = Reader(filled)
    with pytest.raises(Exception, match="readonly database"):
        await reader.ask(lambda history: list(history.ask("DELETE FROM point", ())), empty=[])
    reader.close()


# Live.


async def read_messages(session: aiohttp.ClientSession, count: int) -> list[tuple[str, Any]]:
    found = []
    async with session.get(f"{PREFIX}/stream") as answer:
        assert answer.content_type == "text/event-stream"
        kind = ""
        async for line in answer.content:
            if line.startswith(b"event: "):
                kind = line[7:].decode().strip()
            elif line.startswith(b"data: "):
                found.append((kind, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


async def test_the_stream_gives_everything_first_and_then_what_changes(page, monkeypatch):
    monkeypatch.setattr(live, "EVERY_S", 0.05)
    session, status, pipeline = await page()
    reading_ = asyncio.create_task(read_messages(session, 4))
    while not status.hub.listeners:
        await asyncio.sleep(0.01)
    event = Event("kiss_deny", NOW_NS, Severity.WARNING, "denied", "ntp1")
    status.observe([pipeline.recorder.event(event), row(1, 1e-6)])
    pipeline.outcomes("ntp1", [Missed("ntp1", "ntp", "192.0.2.2", NOW_NS, Reason.TIMEOUT, "", 0)], NOW_NS)
    first, alerts, second, third = await asyncio.wait_for(reading_, 10)
    answer = next(route.answer for route in ROUTES if route.path == "/targets")
    assert (first[0], alerts[0]) == ("targets", "alerts")
    assert [each["target"] for each in first[1]["targets"]] == ["utc", "ntp1", "=cmd"]
    assert mismatches(answer, {"targets": first[1]["targets"]}) == []
    assert (second[0], second[1]["text"]) == ("event", "denied")
    assert third[0] == "targets"
    assert [each["target"] for each in third[1]["targets"]] == ["ntp1"]


async def test_a_target_that_is_gone_is_told(page):
    before = {"a": {"x": 1}, "b": {"x": 1}}
    assert live.changed("targets", before, {"b": {"x": 2}}) == {"targets": [{"x": 2}], "gone": ["a"]}


async def test_there_are_no_more_listeners_than_may_be(page, monkeypatch):
    monkeypatch.setattr("timesync.web.api.MOST_LISTENERS", 0)
    session, _, _ = await page()
    assert "pages are open already" in (await get(session, "stream", 503))["error"]


async def test_a_listener_that_does_not_keep_up_is_let_go(page, monkeypatch):
    hub = live.Hub({"targets": dict}, lambda: NOW_NS)
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    hub._queues.add(queue)
    for number in range(100):
        hub.tell("event", number)
    assert queue.qsize() == live.BEHIND + 1  # and no more, however long it goes on
    while (text := queue.get_nowait()) is not None:
        assert text.startswith(b"event: event\ndata: ")


async def test_what_changes_while_the_first_write_waits_is_told():
    class Slow:
        """A line that takes nothing before it is free."""

        def __init__(self) -> None:
            self.free, self.written = asyncio.Event(), b""

        async def write(self, text: bytes) -> None:
            await self.free.wait()
            self.written += text

    hub, slow = live.Hub({"targets": dict}, lambda: NOW_NS), Slow()
    serving = asyncio.create_task(hub.serve(slow))
    await asyncio.sleep(0)
    hub.tell("event", "between")
    slow.free.set()
    await hub.close()
    await asyncio.wait_for(serving, 1)
    assert slow.written.index(b"event: targets") < slow.written.index(live.message("event", "between"))


async def test_an_open_stream_does_not_hold_up_the_end(page):
    session, status, _ = await page()
    answer = await session.get(f"{PREFIX}/stream")
    while not status.hub.listeners:
        await asyncio.sleep(0.01)
    await asyncio.wait_for(status.close(), 1)
    await asyncio.wait_for(answer.read(), 1)  # it ends
