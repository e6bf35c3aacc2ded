"""From the rows of a probe to states, forecasts and accounts of holdovers; what is shown of them and what they cost in memory."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.targets import ntp_target

from probes.simulated import DemonstrationNetwork
from timesync.alerts.facts import Foreseen
from timesync.alerts.limits import Limit
from timesync.daemon import HISTORY_FILE, Daemon
from timesync.export.current import Current
from timesync.export.prometheus import render
from timesync.export.samples import HOLDOVER_STATES, samples
from timesync.holdover.detect import State
from timesync.holdover.tail import Tail
from timesync.holdover_service import HoldoverService, episode_of, fields_of
from timesync.model import Event, Record
from timesync.settings import HoldoverSettings, HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.store.lineprotocol import encode
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from pathlib import Path

    from timesync.holdover.detect import Observation

NS = 1_000_000_000
BEGIN = 1_800_000_000 * NS
TAGS = {"site": "s", "probe": "p", "target": "a", "protocol": "ntp", "reference": "utc"}


def row(seen: Observation) -> Record:
    names = ("leap", "stratum", "reference_id", "reference_time_ns", "root_dispersion_s")
    fields = {name: getattr(seen, name) for name in names if getattr(seen, name) is not None}
    fields |= {"claim": "valid", "clock_epoch": 0, "quality": "interpolated"}
    if seen.x_s is not None:
        fields["time_error_s"] = seen.x_s
    if not seen.answered:
        fields = {"claim": "timeout", "reason": "timeout", "clock_epoch": 0}
    return Record("time_error", BEGIN + seen.at_ns, TAGS, fields)


class Bench:
    """A service, what it stored and told, and a clock that stands where the rows are."""

    def __init__(self, directory: Path, *, own: Limit | None = None, **holdover: object) -> None:
        self.stored: list[Record] = []
        self.told: list[Event] = []
        self.now_ns = BEGIN
        wanted = HoldoverSettings(**holdover)  # type: ignore[arg-type]  # a test's keywords
        targets = tuple(TargetSettings(name, "ntp", name, interval_s=16.0, limit=own) for name in ("a", "utc"))
        settings = ProbeSettings(SiteSettings("s", "p"), targets, SpoolSettings(directory), holdover=wanted)
        self.service = HoldoverService(settings, self.stored.extend, self.told.append, clock_ns=lambda: self.now_ns)

    def feed(self, observations: list[Observation]) -> None:
        self.service.take([row(each) for each in observations])
        self.service.release(self.now_ns)

    def rows(self, measurement: str) -> list[Record]:
        return [record for record in self.stored if record.measurement == measurement]


def test_a_lost_source_is_an_event_with_its_evidence(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits_s=(1e-3,))
    bench.feed(list(ntp_target(900, 400, 600, np.random.default_rng(1), rate=1e-8)))
    assert [event.evidence["after"] for event in bench.told] == [
        "acquiring",
        "locked",
        "holdover",
        "acquiring",
        "locked",
    ]
    began = bench.told[2]
    assert began.severity.value == "warning"
    assert began.text.startswith("a: it has lost its source and coasts (")
    assert {"frozen", "dispersion"} <= set(str(began.evidence["signs"]).split())
    assert began.evidence["reference_id"] == "192.0.2.1"


def test_a_holdover_that_is_over_is_a_record(tmp_path: Path) -> None:
    """200 polls of 16 s at 50e-9: 0.16 ms at the end; forecast made once 12 samples of it were there."""
    bench = Bench(tmp_path, limits_s=(10e-3,))
    polls = list(ntp_target(900, 400, 600, np.random.default_rng(2), rate=50e-9, scatter_s=1e-6))
    bench.feed(polls[:460])
    bench.service.tell_of("a")
    bench.feed(polls[460:])
    found = bench.rows("holdover_episode")
    assert len(found) == 1
    fields = found[0].fields
    assert fields["max_abs_s"] == pytest.approx(200 * 16 * 50e-9, rel=0.05)
    assert fields["rate"] == pytest.approx(50e-9, rel=0.1)
    assert fields["duration_s"] == pytest.approx(200 * 16, rel=0.15)
    assert fields["held"] is True
    assert fields["judged"] > 100
    # What was promised of its last sample, by the forecast that was made as soon as it could be.
    assert abs(fields["end_s"] - fields["promised_s"]) < 3 * fields["promised_u_s"]
    assert fields["end_s"] == pytest.approx(200 * 16 * 50e-9, rel=0.05)
    assert fields["after_10min_s"] == pytest.approx(600 * 50e-9, abs=15e-6)
    assert "after_1h_s" not in fields
    assert fields_of(episode_of(fields)) == fields
    assert encode(found[0])
    current = Current("s", "p")
    current.add_target("a", protocol="ntp", interval_s=16.0)
    current.observe(found[0], 0.0)
    text = render(samples(current.snapshot(1e6, {})))[0].decode()
    for name, value in (("episodes_total", "1"), ("episodes_judged_total", "1"), ("episodes_held_total", "1")):
        assert re.search(rf"timesync_holdover_{name}\{{[^}}]*\}} {value}\.0\n", text)
    assert re.search(r"timesync_holdover_last_max_error_seconds\{[^}]*\} 0\.0001[56]", text)
    assert BEGIN + 400 * 16 * NS <= found[0].at_ns <= BEGIN + 425 * 16 * NS


def test_a_forecast_is_a_row_for_the_target_and_one_for_each_limit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits_s=(1e-6, 1e-3), horizon_s=86_400.0)
    bench.feed(list(ntp_target(300, 999, 999, np.random.default_rng(3))))
    bench.service.tell_of("a")
    target, tight, loose = bench.rows("holdover")
    assert target.fields["state"] == "locked"
    assert target.fields["basis"] == "locked"
    assert (
        target.fields["predicted_1h_low_s"] <= target.fields["predicted_1h_s"] <= target.fields["predicted_1h_high_s"]
    )
    assert target.fields["predicted_24h_u_s"] > target.fields["predicted_1h_u_s"]
    assert (tight.tags["limit"], loose.tags["limit"]) == ("1e-06", "0.001")
    assert tight.fields["within_s"] < loose.fields["within_s"] <= 86_400.0
    assert all(encode(each) for each in (target, tight, loose))


def test_of_a_coasting_target_the_forecast_is_from_its_coasting(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits_s=(1.0,))
    bench.feed(list(ntp_target(500, 400, 999, np.random.default_rng(4), rate=1e-6, scatter_s=1e-6)))
    bench.service.tell_of("a")
    target = bench.rows("holdover")[0]
    assert (target.fields["state"], target.fields["basis"]) == ("holdover", "holdover")
    assert target.fields["frequency"] == pytest.approx(1e-6, rel=0.05)
    assert target.fields["predicted_1h_s"] == pytest.approx(1e-6 * (100 * 16 + 3600), rel=0.05)


def test_too_few_samples_are_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(list(ntp_target(6, 99, 99, np.random.default_rng(5))))
    bench.service.tell_of("a")
    (only,) = bench.rows("holdover")
    assert only.fields["reason"] == "too_few_samples"
    assert "predicted_1h_s" not in only.fields


def test_carrying_on_gives_what_learning_anew_gives(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    polls = list(ntp_target(600, 9999, 9999, np.random.default_rng(6)))
    bench.feed(polls[:500])
    bench.service.tell_of("a")
    watch = bench.service.watches["a"]
    before = watch.learned_ns
    bench.feed(polls[500:])
    bench.service.tell_of("a")
    assert watch.learned_ns == before  # carried on
    assert watch.belief is not None
    carried = watch.belief
    watch.belief = None
    bench.service.tell_of("a")
    anew = watch.belief
    assert anew is not None
    u = float(np.sqrt(anew.states.p[0].mean()))
    assert carried.states.at_s == anew.states.at_s
    assert carried.states.mean[0].mean() == pytest.approx(anew.states.mean[0].mean(), abs=u)


def test_forecasts_are_scored_by_what_was_measured_then(tmp_path: Path) -> None:
    bench = Bench(tmp_path, horizon_s=3600.0)
    polls = list(ntp_target(2000, 9999, 9999, np.random.default_rng(7)))
    for begin in range(0, 2000, 40):
        bench.feed(polls[begin : begin + 40])
        bench.service.tell_of("a")
    score = bench.rows("holdover")[-4].fields.get("score") or bench.service.watches["a"].score
    assert score is not None
    assert score >= 0.8


def test_a_better_row_of_the_same_instant_takes_the_place_of_the_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    polls = [row(each) for each in ntp_target(50, 99, 99, np.random.default_rng(8))]
    for each in polls:
        poor = {**each.fields, "claim": "reference_pending", "quality": "none"}
        del poor["time_error_s"]
        bench.service.take([each._replace(fields=poor), each])
    assert bench.service.watches["a"]._tail.samples == 49  # the newest may still become better


def test_rows_of_others_are_left_alone_and_reconfiguring_forgets(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.service.take(
        [Record("stability", BEGIN, TAGS, {}), Record("time_error", BEGIN, {**TAGS, "target": "zz"}, {})]
    )
    assert bench.service.watches == {}
    bench.feed(list(ntp_target(50, 99, 99, np.random.default_rng(9))))
    settings = bench.service.settings
    bench.service.configure(settings)
    assert "a" in bench.service.watches
    bench.service.configure(replace(settings, targets=settings.targets[1:]))
    assert bench.service.watches == {}


def test_more_targets_than_allowed_are_not_watched_and_it_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, targets_at_most=1)
    bench.feed(list(ntp_target(50, 99, 99, np.random.default_rng(9))))
    (told,) = bench.told
    assert (told.kind, told.severity.value) == ("holdover_off", "warning")
    assert "2 targets, and targets_at_most of [holdover] is 1" in told.text
    assert bench.service.watches == {}


def test_what_goes_wrong_with_one_target_is_told_and_it_begins_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    polls = list(ntp_target(60, 99, 99, np.random.default_rng(11)))
    bench.feed(polls[:30])
    bench.service.watches["a"]._tail = None  # type: ignore[assignment]  # a fault from inside
    bench.feed(polls[30:])
    assert [event.kind for event in bench.told if event.severity.value == "error"] == ["holdover_failed"]
    assert bench.service.watches["a"]._tail.samples > 20


def test_states_and_forecasts_are_shown_and_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits_s=(1e-6,))
    bench.feed(list(ntp_target(100, 999, 999, np.random.default_rng(10))))
    bench.service.tell_of("a")
    current = Current("s", "p")
    current.add_target("a", protocol="ntp", interval_s=16.0)
    for record in bench.rows("holdover"):
        current.observe(record, 0.0)
    text = render(samples(current.snapshot(1.0, {})))[0].decode()
    assert re.search(r'timesync_holdover_state\{[^}]*state="locked"[^}]*\} 1', text)
    assert re.search(r'timesync_holdover_time_to_limit_seconds\{[^}]*limit="1e-06"[^}]*\} [0-9]', text)
    assert "timesync_holdover_predicted_24h_uncertainty_seconds" in text
    assert b"timesync_holdover" not in render(samples(current.snapshot(5000.0, {})))[0]


def test_a_targets_own_limit_is_its_specification_and_foreseen_where_it_runs_free(tmp_path: Path) -> None:
    bench = Bench(tmp_path, own=Limit("house", 20e-3), limits_s=(1e-3,))
    polls = list(ntp_target(500, 400, 999, np.random.default_rng(12), rate=1e-6, scatter_s=1e-6))
    bench.feed(polls[:300])
    bench.service.tell_of("a")
    _, loose, own = bench.rows("holdover")
    assert "own" not in loose.fields
    assert (own.tags["limit"], own.fields["own"]) == ("0.02", "house")
    assert bench.service.foreseen("a") == Foreseen(coasting=False, to_limit_s=None)  # it is steered
    bench.feed(polls[300:])
    bench.service.tell_of("a")
    target, _, own = bench.rows("holdover")[-3:]
    assert target.fields["state"] == "holdover"  # 1.6 ms: beyond the smallest of limits_s, within its own
    assert own.fields["median_s"] == pytest.approx((20e-3 - 100 * 16e-6) / 1e-6, rel=0.15)
    assert own.fields["within_s"] < own.fields["median_s"]
    assert bench.service.foreseen("a") == Foreseen(coasting=True, to_limit_s=own.fields["within_s"])
    assert bench.service.foreseen("zz") is None
    current = Current("s", "p")
    current.add_target("a", protocol="ntp", interval_s=16.0)
    for record in bench.rows("holdover")[-3:]:
        current.observe(record, 0.0)
    text = render(samples(current.snapshot(1.0, {})))[0].decode()
    assert re.search(r'timesync_holdover_time_to_own_limit_seconds\{[^}]*limit="house"[^}]*\} 1[0-9]', text)
    current.observe(target._replace(fields={"state": "holdover", "every_s": 600.0, "reason": "too_few_samples"}), 2.0)
    text = render(samples(current.snapshot(3.0, {})))[0].decode()
    assert "timesync_holdover_state" in text
    assert "time_to_own_limit" not in text  # what was foreseen before is no news


@pytest.mark.parametrize(
    ("horizon_s", "limit_s", "known"), [(3600.0, 1.0, False), (18_000.0, 1.0, True), (3600.0, 2.5e-3, True)]
)
def test_the_end_of_a_short_horizon_is_not_taken_for_the_end_of_the_limit(
    tmp_path: Path, horizon_s: float, limit_s: float, *, known: bool
) -> None:
    """Coasting at 1e-6 since 1.6 ms: a limit of 1 s is kept for days, one of 2.5 ms for 15 minutes."""
    bench = Bench(tmp_path, own=Limit("house", limit_s), limits_s=(1e-3,), horizon_s=horizon_s)
    bench.feed(list(ntp_target(500, 400, 999, np.random.default_rng(12), rate=1e-6, scatter_s=1e-6)))
    bench.service.tell_of("a")
    own = bench.rows("holdover")[-1]
    foreseen = bench.service.foreseen("a")
    assert foreseen == Foreseen(coasting=True, to_limit_s=own.fields["within_s"] if known else None)
    assert ("own" in own.fields) is known
    assert (own.fields["within_s"] < horizon_s) is (limit_s < 1.0)


def test_the_time_to_a_limit_runs_while_nothing_new_is_foreseen(tmp_path: Path) -> None:
    """A limit that is left in an hour is left in half an hour 30 minutes later; a horizon is no time that runs out."""
    for limit_s, runs in ((5e-3, True), (1.0, False)):
        bench = Bench(tmp_path, own=Limit("house", limit_s), limits_s=(1e-3,), horizon_s=18_000.0)
        polls = list(ntp_target(500, 400, 999, np.random.default_rng(12), rate=1e-6, scatter_s=1e-6))
        bench.now_ns = BEGIN + polls[-1].at_ns
        bench.feed(polls)
        bench.now_ns += NS
        bench.service.tell_of("a")
        told = bench.rows("holdover")[-1].fields
        assert told["beyond_horizon"] is not runs
        found = []
        for after_s in (0.0, 1800.0, 1e5, -1e5):  # the last: the clock was set back
            bench.now_ns = BEGIN + polls[-1].at_ns + round(after_s * NS)
            foreseen = bench.service.foreseen("a")
            assert foreseen is not None
            found.append(foreseen.to_limit_s)
        within_s = told["within_s"]
        assert 1800.0 < within_s <= 18_000.0
        left = (within_s, within_s - 1800.0, 0.0, within_s) if runs else (within_s,) * 4
        assert found == pytest.approx(left, abs=33.0)


def test_a_forecast_after_a_silence_is_from_now(tmp_path: Path) -> None:
    """Half an hour without a sample at 1e-6: it is 1.8 ms further off than it was seen."""
    bench = Bench(tmp_path, limits_s=(1.0,))
    polls = list(ntp_target(500, 400, 999, np.random.default_rng(4), rate=1e-6, scatter_s=1e-6))
    bench.feed(polls)
    bench.now_ns = BEGIN + polls[-1].at_ns + 16 * NS
    bench.service.tell_of("a")
    bench.now_ns += 1800 * NS
    bench.service.tell_of("a")
    fresh, late = (each for each in bench.rows("holdover") if "limit" not in each.tags)
    assert "sample_age_s" not in fresh.fields
    assert late.fields["sample_age_s"] == pytest.approx(1816.0, abs=33.0)
    further_s = late.fields["predicted_1h_s"] - fresh.fields["predicted_1h_s"]
    assert further_s == pytest.approx(1816e-6, rel=0.05)
    assert late.fields["predicted_1h_u_s"] > fresh.fields["predicted_1h_u_s"]


def test_the_shown_states_are_those_of_the_detector() -> None:
    assert tuple(state.value for state in State) == HOLDOVER_STATES


def test_a_tail_keeps_every_sample_in_bounded_memory() -> None:
    tail = Tail(1.0)
    for number in range(100_000):
        assert tail.push(float(number), 2.0 * number)
    assert not tail.push(5.0, 0.0)
    found = tail.since(float("-inf"))
    assert int(found.count.sum()) == 100_000
    assert len(tail) == len(found) < 600
    assert np.all(np.diff(found.first_s) > 0)
    assert np.allclose(found.x_s, 2.0 * found.centre_s)


def test_a_tail_does_not_average_across_a_gap() -> None:
    tail = Tail(1.0)
    for number in range(3000):
        tail.push(number + (5000.0 if number >= 1500 else 0.0), 0.0)
    found = tail.since(float("-inf"))
    assert not np.any((found.first_s < 1500) & (found.last_s >= 6500))
    assert int(found.count.sum()) == 3000


async def test_the_daemon_watches_for_holdovers(tmp_path: Path) -> None:
    network = DemonstrationNetwork()
    targets = tuple(replace(target, interval_s=0.1) for target in await network.start())
    quick = HoldoverSettings(limits_s=(1e-3,), every_s=1.0, horizon_s=3600.0)
    site, spool, http = SiteSettings("s", "p"), SpoolSettings(tmp_path), HttpSettings(enabled=False)
    daemon = Daemon(ProbeSettings(site, targets, spool, http=http, holdover=quick, reference_max_age_s=0.5))
    task = asyncio.create_task(daemon.run())
    page = b""
    async with asyncio.timeout(60):
        wanted = (b"timesync_holdover_time_to_limit_seconds{", b'kind="holdover_state"')
        while not all(part in page for part in wanted):
            await asyncio.sleep(0.2)
            page = await daemon.exposition.expose()
            assert not task.done()
        daemon.stop()
        await task
    await network.stop()
    history = History(tmp_path / HISTORY_FILE, read_only=True)
    rows = list(history.records(Selection("holdover")))
    events = [record for record in history.records(Selection("event")) if record.tags.get("kind") == "holdover_state"]
    history.close()
    assert {record.fields["state"] for record in rows if "limit" not in record.tags} <= {state.value for state in State}
    assert any("limit" in record.tags for record in rows)
    assert events
