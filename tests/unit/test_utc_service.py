"""Published values in the daemon: live rows, what is computed again when more is published, and fetching on schedule."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from math import hypot
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from support.bulletins import circular_t

from timesync import utc_service
from timesync.model import ClockOffset, Event, Record, TimeError, Timestamping
from timesync.reasons import Reason
from timesync.records import FIELDS, Recorder
from timesync.reference.published import Label, Published, UtcBook, UtcEstimate, UtcTable
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie, UtcSettings
from timesync.store.local import History, Selection
from timesync.store.published import FILE, PublishedStore
from timesync.timescale import mjd_to_unix_ns
from timesync.utc_fetch import fetch_all
from timesync.utc_rows import add_utc, revised
from timesync.utc_service import UtcService, first_difference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

JUNE = [60824, 60829, 60834, 60839, 60844, 60849, 60854]
JULY = [60854, 60859, 60864, 60869, 60874, 60879, 60884]
ISSUE_450 = circular_t(450, JUNE, {"NIM": [10, 11, 12, 13, 14, 15, 16]}).encode()
ISSUE_451 = circular_t(451, JULY, {"NIM": [16, 27, 28, 29, 30, 31, 32]}).encode()
T0_NS = mjd_to_unix_ns(60856)
NOW_NS = mjd_to_unix_ns(60870)
X_S, U_S = 1e-6, 30e-9
TAGS = {"site": "NIM", "probe": "p", "target": "ntp1", "protocol": "ntp", "reference": "utc-nim"}


def time_error(at_ns: int, realises: str | None = "UTC(NIM)", no_claim: Reason | None = None) -> TimeError:
    offset = ClockOffset("ntp1", "ntp", at_ns, X_S, 1e-3, 5e-4, 1e-9, 1e-9, 0.0, Timestamping.KERNEL, 0)
    if no_claim is not None:
        return TimeError(offset, "utc-nim", realises, no_claim=no_claim)
    return TimeError(offset, "utc-nim", realises, X_S, 6e-4, U_S, None, {"path": 6e-4}, {"path": U_S})


def settings(directory: Path, **utc: Any) -> ProbeSettings:
    reference = TargetSettings("utc-nim", "ntp", "192.0.2.1", tie=Tie("UTC(NIM)"))
    return ProbeSettings(SiteSettings("NIM", "p"), (reference,), SpoolSettings(directory), utc=UtcSettings(**utc))


class Bench:
    """A service whose spool is this list, written through to the history at once, as the daemon's sink would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.events: list[Event] = []
        self.appended: list[Record] = []
        self.service = UtcService(
            settings(directory), self.append, lambda: 0, self.events.append, clock_ns=lambda: NOW_NS
        )

    def append(self, records: Sequence[Record]) -> None:
        self.appended.extend(records)
        self.write(records)

    def write(self, records: Sequence[Record]) -> None:
        history = History(self.directory / "history.sqlite3", read_only=False)
        assert history.write(records) == []
        history.close()

    def publish(self, data: bytes) -> None:
        with PublishedStore(self.directory / FILE) as store:
            store.add_bulletin(data, "test", NOW_NS)

    def measured(self, count: int, step_ns: int = 3600 * 10**9) -> list[Record]:
        recorder = Recorder("NIM", "p", 2.0, self.service.book)
        rows = [recorder.time_error(time_error(T0_NS + number * step_ns)) for number in range(count)]
        self.write(rows)
        return rows

    def stored(self) -> list[Record]:
        history = History(self.directory / "history.sqlite3", read_only=True)
        rows = list(history.records(Selection(target="ntp1")))
        history.close()
        return rows


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(utc_service, "SETTLE_S", 0.0)
    return Bench(tmp_path)


def test_a_row_says_what_it_is_against_utc() -> None:
    book = UtcBook({"NIM": UtcTable("NIM", [Published(60854, 20e-9, 4e-9, rapid=False, issue="Circular T 450")])})
    row = Recorder("NIM", "p", 2.0, book).time_error(time_error(mjd_to_unix_ns(60854)))
    assert row.fields["utc_minus_x_s"] == pytest.approx(20e-9 - X_S)
    assert row.fields["utc_minus_x_u_s"] == pytest.approx(hypot(4e-9, U_S))
    assert row.fields["utc_minus_x_expanded_s"] == pytest.approx(2 * hypot(4e-9, U_S))
    assert (row.fields["utc_label"], row.fields["utc_issue"]) == ("predicted", "Circular T 450")
    assert row.fields.keys() <= FIELDS.keys()


def test_the_expanded_uncertainty_knows_the_bound_of_x() -> None:
    """u of x may be as large as its bound; then U of UTC - X is that bound and the share of what is published, not twice it."""
    fields: dict[str, Any] = {
        "time_error_s": X_S,
        "time_error_u_s": U_S,
        "time_error_bound_s": U_S,
        "coverage_factor": 2.0,
    }
    add_utc(fields, UtcEstimate(Label.FINAL, 1e-9, 3e-9, 4e-9, "one"))
    assert fields["utc_minus_x_u_s"] == pytest.approx(hypot(5e-9, U_S))
    assert fields["utc_minus_x_expanded_s"] == pytest.approx(U_S + 2 * 5e-9)


def test_a_row_of_an_unknown_laboratory_says_unavailable_and_one_without_a_claim_nothing() -> None:
    recorder = Recorder("NIM", "p", 2.0, UtcBook())
    row = recorder.time_error(time_error(T0_NS))
    assert row.fields["utc_label"] == "unavailable"
    assert "utc_minus_x_s" not in row.fields
    assert "utc_label" not in recorder.time_error(time_error(T0_NS, no_claim=Reason.REFERENCE_STALE)).fields


def test_a_value_without_a_published_u_gives_no_u() -> None:
    fields: dict[str, Any] = {"time_error_s": X_S, "time_error_u_s": U_S, "coverage_factor": 2.0}
    add_utc(fields, UtcEstimate(Label.RAPID, 1e-9, None, 1e-9, "UTCr 2527"))
    assert fields["utc_minus_x_s"] == pytest.approx(1e-9 - X_S)
    assert "utc_minus_x_u_s" not in fields


def test_the_first_estimate_stays_for_ever() -> None:
    fields: dict[str, Any] = {"time_error_s": X_S, "time_error_u_s": U_S, "coverage_factor": 2.0}
    add_utc(fields, UtcEstimate(Label.PREDICTED, 1e-9, 2e-9, 9e-9, "one"))
    second = revised(fields, UtcEstimate(Label.RAPID, 2e-9, 2e-9, 1e-9, "two"))
    assert second is not None
    third = revised(second, UtcEstimate(Label.FINAL, 3e-9, 2e-9, 1e-9, "three"))
    assert third is not None
    assert (third["utc_label"], third["utc_issue"]) == ("final", "three")
    assert (third["utc_early_label"], third["utc_early_issue"]) == ("predicted", "one")
    assert third["utc_early_minus_x_s"] == pytest.approx(1e-9 - X_S)
    assert revised(third, UtcEstimate(Label.FINAL, 3e-9, 2e-9, 1e-9, "three")) is None
    assert revised({"claim": "timeout"}, UtcEstimate(Label.FINAL)) is None


async def test_a_new_issue_makes_the_rows_on_record_final_and_keeps_the_early_estimate(bench: Bench) -> None:
    bench.publish(ISSUE_450)
    await bench.service.turn()
    early = bench.measured(100)
    assert {row.fields["utc_label"] for row in early} == {"predicted"}
    bench.publish(ISSUE_451)
    await bench.service.turn()
    rows = bench.stored()
    assert [row.at_ns for row in rows] == [row.at_ns for row in early]
    for old, row in zip(early, rows, strict=True):
        days = (row.at_ns - mjd_to_unix_ns(60854)) / 86_400e9
        true_s = (16 + 2.2 * days if days < 5 else 27 + 0.2 * (days - 5)) * 1e-9
        assert row.fields["utc_minus_x_s"] == pytest.approx(true_s - X_S, abs=2e-12)
        assert (row.fields["utc_label"], row.fields["utc_issue"]) == ("final", "Circular T 451")
        assert row.fields["utc_early_minus_x_s"] == old.fields["utc_minus_x_s"]
        assert (row.fields["utc_early_label"], row.fields["utc_early_issue"]) == ("predicted", "Circular T 450")
        kept = {name: value for name, value in old.fields.items() if not name.startswith(("utc_", "u_ut"))}
        assert kept.items() <= row.fields.items()
        assert row.fields.keys() <= FIELDS.keys()
    (event,) = [event for event in bench.events if event.kind == "utc_revised"]
    assert event.evidence["rows"] == 100
    assert event.evidence["issue"] == "Circular T 451"


async def test_computing_again_changes_nothing(bench: Bench) -> None:
    bench.publish(ISSUE_450)
    bench.measured(10)
    await bench.service.turn()
    assert len(bench.appended) == 10
    await bench.service.turn()
    (bench.directory / utc_service.APPLIED).unlink()
    await bench.service.turn()
    assert len(bench.appended) == 10


async def test_a_restart_in_between_goes_on_where_it_was(bench: Bench) -> None:
    bench.publish(ISSUE_450)
    await bench.service.turn()
    bench.measured(10)
    bench.publish(ISSUE_451)
    again = Bench(bench.directory)
    await again.service.turn()
    assert {row.fields["utc_label"] for row in bench.stored()} == {"final"}
    assert len(again.appended) == 10


async def test_a_span_that_is_not_touched_is_not_read_again(bench: Bench) -> None:
    bench.publish(ISSUE_450)
    await bench.service.turn()
    bench.measured(10)
    bench.publish(circular_t(451, JULY, {"PTB": [1] * 7}).encode())
    await bench.service.turn()
    assert bench.appended == []


async def test_a_damaged_store_is_told_once_and_measuring_goes_on(bench: Bench) -> None:
    (bench.directory / FILE).write_bytes(b"nonsense" * 1000)
    await bench.service.turn()
    await bench.service.turn()
    assert [event.kind for event in bench.events] == ["utc_unreadable"]


def test_the_first_difference_of_two_tables() -> None:
    values = [Published(mjd, 0.0, 1e-9, rapid=False, issue="a") for mjd in JUNE]
    old, new = UtcTable("NIM", values[:4]), UtcTable("NIM", values)
    assert first_difference(old, old) is None
    assert first_difference(old, new) == mjd_to_unix_ns(JUNE[3])
    assert first_difference(UtcTable("NIM", []), new) == mjd_to_unix_ns(JUNE[0])
    assert first_difference(new, UtcTable("NIM", [])) == mjd_to_unix_ns(JUNE[0])


# --- fetching: a local server stands for the BIPM's -----------------------------------------------------------------------


class Publisher:
    """What it serves by path, and what it was asked. Answers conditional requests as RFC 9110 has it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.raw_path.partition("?")[2], request.headers.get("If-None-Match")))
        if self.status != 200:
            return web.Response(status=self.status)
        body = self.files.get(request.path)
        if body is None:
            return web.Response(status=404)
        etag = f'"{len(body)}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(body=body, headers={"ETag": etag})


@asynccontextmanager
async def published() -> AsyncIterator[tuple[Publisher, str]]:
    publisher = Publisher()
    app = web.Application()
    app.router.add_get("/{path:.*}", publisher.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield publisher, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_issues_are_fetched_when_they_appear_and_asked_for_conditionally(tmp_path: Path) -> None:
    path = tmp_path / FILE
    async with published() as (publisher, url):
        wanted = UtcSettings(circular_t_url=f"{url}/cirt.{{issue}}")
        publisher.files["/cirt.450"] = ISSUE_450
        now_ns = mjd_to_unix_ns(60870)  # July 2025: the newest that there can be is June's, 450
        taken, troubles = await fetch_all(wanted, path, ["NIM"], now_ns)
        assert ([each.issue.name for each in taken], troubles) == (["Circular T 450"], [])
        assert [asked[0] for asked in publisher.asked] == [f"/cirt.{number}" for number in (447, 448, 449, 450)]
        publisher.asked.clear()
        assert await fetch_all(wanted, path, ["NIM"], now_ns) == ([], [])
        assert publisher.asked[-1] == ("/cirt.450", "", f'"{len(ISSUE_450)}"')
    with PublishedStore(path) as store:
        assert store.issues()[0].source == f"{url}/cirt.450"


async def test_the_api_is_asked_for_each_laboratory(tmp_path: Path) -> None:
    async with published() as (publisher, url):
        wanted = UtcSettings(api_url=f"{url}/get-data.html")
        publisher.files["/get-data.html"] = b'{"data": [{"name": "UTC-UTC(NIM)", "x": [60849], "y": [1.5]}]}'
        taken, troubles = await fetch_all(wanted, tmp_path / FILE, ["NIM"], NOW_NS)
    assert (len(taken), troubles) == (1, [])
    assert publisher.asked == [("/get-data.html", "scale=utc+utcr&lab=NIM&mjd1=60750&mjd2=60870", None)]


async def test_what_cannot_be_fetched_is_told_with_the_address_and_changes_nothing(tmp_path: Path) -> None:
    async with published() as (publisher, url):
        wanted = UtcSettings(api_url=f"{url}/api", circular_t_url=f"{url}/cirt.{{issue}}", timeout_s=5.0)
        publisher.files = {"/api": b"<html>", "/cirt.450": b"under maintenance"}
        taken, troubles = await fetch_all(wanted, tmp_path / FILE, ["NIM"], NOW_NS)
        assert taken == []
        assert [trouble.partition(": ")[2].split(";")[0][:30] for trouble in troubles] == [
            "it is no JSON (Expecting value"[:30],
            "neither a Circular T nor a UTCr bulletin"[:30],
        ]
        publisher.status = 503
        assert "answers 503" in (await fetch_all(wanted, tmp_path / FILE, ["NIM"], NOW_NS))[1][0]
    _, troubles = await fetch_all(wanted, tmp_path / FILE, ["NIM"], NOW_NS)
    assert len(troubles) == 5
    assert all(trouble.startswith(url) for trouble in troubles)


async def test_the_service_fetches_and_tells(bench: Bench) -> None:
    async with published() as (publisher, url):
        bench.service.configure(
            replace(settings(bench.directory), utc=UtcSettings(circular_t_url=f"{url}/cirt.{{issue}}"))
        )
        publisher.files["/cirt.450"] = ISSUE_450
        await bench.service.turn()
        count = len(publisher.asked)
        await bench.service.turn()
    assert len(publisher.asked) == count  # not before every_s has passed
    assert [event.kind for event in bench.events] == ["utc_published"]
    assert bench.service.book.at("UTC(NIM)", mjd_to_unix_ns(60826)).label is Label.FINAL


def test_nothing_is_fetched_unless_an_address_is_given(tmp_path: Path) -> None:
    assert asyncio.run(fetch_all(UtcSettings(), tmp_path / FILE, ["NIM"], NOW_NS)) == ([], [])
