"""From the rows of a probe to rows of stability: what is fed, what is not, what is told, and what a restart keeps."""

from __future__ import annotations

import asyncio
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from probes.simulated import DemonstrationNetwork
from timesync.daemon import HISTORY_FILE, Daemon
from timesync.export.current import Current
from timesync.export.prometheus import render
from timesync.export.samples import samples
from timesync.model import Event, Record
from timesync.settings import (
    HttpSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    StabilitySettings,
    TargetSettings,
    Tie,
)
from timesync.stability import mtie, oadev
from timesync.stability_choice import choose
from timesync.stability_feed import Feed
from timesync.stability_service import StabilityService
from timesync.store.lineprotocol import encode
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from pathlib import Path

NS = 1_000_000_000
NOON = 20_000 * 86_400 * NS + 43_200 * NS
TAGS = {"site": "s", "probe": "p", "target": "a", "protocol": "ntp", "reference": "utc"}


def row(at_s: float, x_s: float | None, *, claim: str = "valid", epoch: int = 0, **tags: str) -> Record:
    fields: dict[str, float | int | str] = {"claim": claim, "clock_epoch": epoch, "offset_s": 0.1}
    if x_s is not None:
        fields["time_error_s"] = x_s
    return Record("time_error", NOON + round(at_s * NS), {**TAGS, **tags}, fields)


def settings(directory: Path, **stability: object) -> ProbeSettings:
    wanted = StabilitySettings(**{"longest_tau_s": 64.0, **stability})  # type: ignore[arg-type]  # a test's keywords
    targets = tuple(TargetSettings(name, "ntp", name, interval_s=1.0) for name in ("a", "b", "utc"))
    return ProbeSettings(SiteSettings("s", "p"), targets, SpoolSettings(directory), stability=wanted)


class Bench:
    """A service, what it stored and told, and a clock that stands."""

    def __init__(self, directory: Path, **stability: object) -> None:
        self.stored: list[Record] = []
        self.told: list[Event] = []
        self.settings = settings(directory, **stability)
        self.service = StabilityService(
            self.settings, self.stored.extend, self.told.append, clock_ns=lambda: NOON + 3600 * NS
        )

    def results(self, target: str = "a", *, own: bool = False) -> dict[tuple[str, str], Record]:
        found = self.service.results(target, NOON + 3600 * NS, own=own)
        return {(record.tags["statistic"], record.tags["tau"]): record for record in found}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_results_are_those_of_the_batch_statistic(bench: Bench) -> None:
    x = np.random.default_rng(1).standard_normal(500) * 1e-6
    bench.service.observe([row(i, value) for i, value in enumerate(x.tolist())])
    bench.service._series["a"].feed.finish(bench.service._series["a"].stream)
    found = bench.results()
    batch = {f"{each['tau_s']:g}": each for each in oadev(x, ci=0.683).rows()}
    for tau in ("1", "2", "4", "8", "16"):
        record = found["oadev", tau]
        assert record.fields["dev"] == pytest.approx(batch[tau]["dev"], rel=1e-12)
        assert record.fields["n"] == batch[tau]["n"]
        assert record.fields["lo"] == pytest.approx(batch[tau]["lo"], rel=0.03)
        assert record.fields["exact"] is True
    assert {name for name, tau in found if tau == "32"} == {"oadev_strided", "tdev_strided", "mtie_bounds"}
    assert {name for name, tau in found if tau == "16"} == {"oadev", "tdev", "mtie"}
    tdev = found["tdev", "4"]
    assert tdev.tags == {**TAGS, "statistic": "tdev", "tau": "4"}
    assert tdev.measurement == "stability"
    assert {"tau_s", "dev_s", "lo_s", "hi_s", "edf", "alpha", "completeness", "convention"} <= set(tdev.fields)
    assert tdev.fields["window_days"] == 7
    ours, alone = found["mtie", "4"].fields, {f"{each['tau_s']:g}": each for each in mtie(x, ci=0.683).rows()}["4"]
    assert ours["dev_s"] == alone["dev"]
    assert ours["lo_s"] == pytest.approx(alone["lo"], rel=0.01)
    assert ours["hi_s"] == pytest.approx(alone["hi"], rel=0.01)
    assert found["mtie_bounds", "64"].fields["lo_s"] <= found["mtie_bounds", "64"].fields["dev_s"]
    for record in found.values():
        assert encode(record).startswith("stability,probe=p,")
        assert all(not isinstance(value, float) or math.isfinite(value) for value in record.fields.values())


def test_a_better_row_of_the_same_instant_takes_the_place_of_the_first(bench: Bench) -> None:
    # The reference is measured every 16 s: until then the newest rows hold its last value, then come again, all at once.
    for i in range(200):
        bench.service.observe([row(i, 1.0)])
        if i % 16 == 15:
            bench.service.observe([row(k, 0.25) for k in range(i - 15, i + 1)])
    series = bench.service._series["a"]
    series.stream.settle()
    series.feed.drain(series.stream)
    assert series.feed.fed == 200 - 68  # the others may still become better
    assert series.feed.late == series.feed.crowded == series.feed.off_grid == 0
    assert series.stream.result("mtie").dev.tolist()[0] == 0.0


def test_only_valid_rows_against_another_clock_are_fed_once_each(bench: Bench) -> None:
    rows = []
    for i in range(20):
        rows += [row(i, None, claim="no_reference_yet"), row(i, 1e-6 * i), row(i, 1e-6 * i)]
        rows += [row(i, 0.0, target="utc"), row(i, 5.0, target="stranger")]
        rows.append(Record("event", NOON, {"site": "s"}, {"text": "x"}))
    bench.service.observe(rows)
    assert list(bench.service._series) == ["a"]
    series = bench.service._series["a"]
    series.feed.finish(series.stream)
    assert (series.feed.fed, series.feed.crowded, series.stream.size) == (20, 0, 20)


def test_rows_out_of_order_within_the_window_are_put_in_order(bench: Bench) -> None:
    order = [0, 2, 1, 3, 5, 4, 6, 7]
    bench.service.observe([row(i, float(i)) for i in order])
    series = bench.service._series["a"]
    series.feed.finish(series.stream)
    assert series.feed.fed == 8
    assert series.stream.result("oadev").dev.tolist() == [0.0, 0.0]  # a straight line has none


def test_no_statistic_spans_a_step_of_the_probes_clock(bench: Bench) -> None:
    x = np.random.default_rng(3).standard_normal(60)
    bench.service.observe([row(i, value, epoch=0 if i < 30 else 1) for i, value in enumerate(x.tolist())])
    # a row of the old epoch that comes late is not fed
    bench.service.observe([row(29, 9.9, epoch=0)])
    series = bench.service._series["a"]
    series.feed.finish(series.stream)
    result = series.stream.result("oadev", ci=None)
    terms = [x[k : k + 30] for k in (0, 30)]
    for m, n, dev in zip(result.m.tolist(), result.n.tolist(), result.dev.tolist(), strict=True):
        second = np.concatenate(
            [part[2 * m :] - 2 * part[m:-m] + part[: -2 * m] for part in terms if part.size > 2 * m]
        )
        assert n == second.size
        assert dev == pytest.approx(math.sqrt(np.mean(second**2) / 2) / m)
    assert series.feed.late == 1


def test_rows_too_late_are_counted_and_change_nothing(bench: Bench) -> None:
    bench.service.observe([row(i, 0.0) for i in range(300)])
    bench.service.observe([row(i, 9.0) for i in range(100)])
    bench.service.observe([row(i, 0.0) for i in range(300, 400)])
    series = bench.service._series["a"]
    series.feed.finish(series.stream)
    assert (series.feed.late, series.feed.fed, series.stream.size) == (100, 400, 400)
    assert series.stream.result("oadev").n.tolist()[0] == 398


def test_missing_samples_stay_missing_and_a_long_gap_costs_nothing(bench: Bench) -> None:
    times = [i for i in range(40) if i % 7] + [2_000_000 + i for i in range(40)]
    bench.service.observe([row(t, 0.0) for t in times])
    series = bench.service._series["a"]
    series.feed.finish(series.stream)
    assert series.stream.size == 2_000_039  # the first sample, at 1 s, is the first of the grid
    sums = series.stream.sums()
    assert (sums.points, sums.present) == (2_000_039, len(times))


def test_grid_that_no_longer_fits_begins_anew(bench: Bench) -> None:
    bench.service.observe([row(i, 0.0) for i in range(20)])
    bench.service.observe([row(i + 0.5, 0.0) for i in range(20, 60)])
    series = bench.service._series["a"]
    series.feed.finish(series.stream)
    assert series.feed.off_grid == 8
    assert series.feed.fed == 20 + 33


def test_of_a_burst_the_sample_nearest_to_the_grid_is_taken() -> None:
    class Kept:
        def __init__(self) -> None:
            self.x: list[float] = []

        def push(self, x: object) -> None:
            self.x.extend(x)  # type: ignore[call-overload]  # an array

        def skip(self, count: int) -> None:
            raise NotImplementedError

        def interrupt(self, start_ns: int | None = None) -> None:
            raise NotImplementedError

    feed, kept = Feed(16 * NS), Kept()
    for turn in range(4):
        for k, late_s in enumerate((0.0, 0.25, 0.5, 0.75)):
            feed.take(NOON + round((16 * turn + late_s) * NS), 10 * turn + k, 0, kept)
    feed.finish(kept)
    assert kept.x == [0.0, 10.0, 20.0, 30.0]
    assert feed.crowded == 12


def test_restart_loses_nothing(tmp_path: Path) -> None:
    x = (np.cumsum(np.random.default_rng(4).standard_normal(300)) * 1e-9).tolist()
    one = Bench(tmp_path)
    one.service.observe([row(i, value) for i, value in enumerate(x[:200])])
    one.service.close()
    assert {path.name for path in (tmp_path / "stability").iterdir()} == {"a.state", "a@probe.state"}
    other = Bench(tmp_path)
    # the new run's epochs begin at zero again, and its polls are half a second off
    other.service.observe([row(i + 0.45, value) for i, value in enumerate(x) if i >= 200])
    series = other.service._series["a"]
    series.feed.finish(series.stream)
    assert not other.told
    assert series.stream.result("oadev", ci=None).n.tolist() == oadev(x, ci=None).n.tolist()[:5]
    np.testing.assert_allclose(series.stream.result("oadev").dev, oadev(x, ci=None).dev[:5], rtol=1e-12)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damaged_state_is_put_aside_and_told(tmp_path: Path, damage: str) -> None:
    one = Bench(tmp_path)
    one.service.observe([row(i, 0.0) for i in range(50)])
    one.service.close()
    path = tmp_path / "stability" / "a.state"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:100]), "empty": b""}[damage])
    other = Bench(tmp_path)
    other.service.observe([row(100 + i, 0.0) for i in range(5)])
    assert [event.kind for event in other.told] == ["stability_begun_anew"]
    assert "damaged" in other.told[0].text
    assert path.with_suffix(".unusable").exists()
    assert other.service._series["a"].stream.size < 5


def test_state_for_another_plan_or_reference_begins_anew(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    one.service.observe([row(i, 0.0) for i in range(50)])
    one.service.close()
    other = Bench(tmp_path, longest_tau_s=32.0)
    other.service.observe([row(100, 0.0)])
    assert "averaging times are others" in other.told[0].text
    other.service.close()
    third = Bench(tmp_path, longest_tau_s=32.0)
    third.service.observe([row(200, 0.0, reference="local")])
    assert "compared with utc" in third.told[0].text


def by(reference: str, changes: int, at_s: float) -> Record:
    """A row of a target that has a fallback."""
    made = row(at_s, 1e-6, reference=reference)
    return made._replace(fields={**made.fields, "reference_changes": changes})


def test_another_reference_has_a_state_of_its_own_and_the_way_back_is_no_beginning(bench: Bench) -> None:
    first = [by("utc", 0, i) for i in range(100)]
    bench.service.observe([*first, *(by("utc-2", 1, i) for i in range(100, 150)), by("utc", 0, 99.0)])
    assert bench.service._series["a"].reference == "utc-2"  # a late row by the former one changes nothing
    bench.service.observe([by("utc", 2, i) for i in range(150, 200)])
    series = bench.service._series["a"]
    series.feed.finish(series.stream)
    assert (series.reference, series.feed.fed) == ("utc", 150)
    assert bench.told == []


def test_disk_that_refuses_is_told_and_does_not_stop_anything(tmp_path: Path) -> None:
    (tmp_path / "stability").write_text("in the way")
    bench = Bench(tmp_path)
    bench.service.observe([row(i, 0.0) for i in range(5)])
    bench.service.close()
    assert {event.kind for event in bench.told} >= {"stability_not_saved"}


def test_nothing_is_told_twice_without_new_samples(bench: Bench) -> None:
    bench.service.observe([row(i, 0.0) for i in range(100)])
    assert bench.results()
    assert not bench.results()


def test_more_targets_than_allowed_get_none_and_it_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, targets_at_most=2)
    bench.service.observe([row(i, 0.0) for i in range(10)])
    assert [event.kind for event in bench.told] == ["stability_off"]
    assert not bench.service._series


def unreferenced(at_s: float, offset_s: float, *, epoch: int = 0) -> Record:
    """A row of a target that is compared with no other clock."""
    tags = {name: value for name, value in TAGS.items() if name != "reference"}
    fields = {"claim": "no_reference_configured", "clock_epoch": epoch, "offset_s": offset_s}
    return Record("time_error", NOON + round(at_s * NS), tags, fields)


def test_target_without_reference_has_stability_against_the_probes_clock(bench: Bench) -> None:
    x = np.random.default_rng(5).standard_normal(500) * 1e-6
    bench.service.observe([unreferenced(i, value) for i, value in enumerate(x.tolist())])
    bench.service.observe([row(500, None, claim="timeout")._replace(fields={"claim": "timeout", "clock_epoch": 0})])
    assert not bench.service._series
    series = bench.service._own["a"]
    series.feed.finish(series.stream)
    found = bench.results(own=True)
    assert {name for name, tau in found if tau == "4"} == {"oadev", "tdev", "mtie"}
    for record in found.values():
        assert record.tags["reference"] == "probe"
        assert encode(record).startswith("stability,probe=p,")
    for each in oadev(x, ci=None).rows()[:5]:
        told = found["oadev", f"{each['tau_s']:g}"].fields
        assert (told["dev"], told["n"]) == (pytest.approx(each["dev"], rel=1e-12), each["n"])


def test_pair_and_own_series_are_told_apart(bench: Bench) -> None:
    noise, probe = np.random.default_rng(6).standard_normal((2, 300)) * 1e-6
    for i, (x, own) in enumerate(zip(noise.tolist(), probe.tolist(), strict=True)):
        drafted = unreferenced(i, x - own)  # before its reference is known, and again with it: one sample
        known = row(i, x)
        bench.service.observe([drafted, known._replace(fields={**known.fields, "offset_s": x - own})])
    for series in bench.service._all():
        series.feed.finish(series.stream)
    pair, own = bench.results(), bench.results(own=True)
    assert pair.keys() == own.keys()
    assert pair["oadev", "1"].fields["dev"] == pytest.approx(oadev(noise, ci=None).dev[0], rel=1e-12)
    assert own["oadev", "1"].fields["dev"] == pytest.approx(oadev(noise - probe, ci=None).dev[0], rel=1e-12)
    current = Current("s", "p")
    current.add_target("a", protocol="ntp", interval_s=1.0)
    for record in [*own.values(), *pair.values()]:
        current.observe(record, 1000.0)
    shown = [each for each in samples(current.snapshot(1000.0, {})) if each.metric == "timesync_oadev"]
    at_1 = {each.labels["reference"]: each.value for each in shown if each.labels["tau"] == "1"}
    assert at_1 == {"utc": pair["oadev", "1"].fields["dev"], "probe": own["oadev", "1"].fields["dev"]}


def test_own_series_is_broken_by_a_step_and_kept_over_a_restart(tmp_path: Path) -> None:
    one = Bench(tmp_path)
    one.service.observe([unreferenced(i, 0.0 if i < 30 else 1.0, epoch=i // 30) for i in range(60)])
    one.service.close()
    other = Bench(tmp_path)
    other.service.observe([unreferenced(i, 1.0) for i in range(60, 90)])
    series = other.service._own["a"]
    series.feed.finish(series.stream)
    result = series.stream.result("oadev", ci=None)
    assert not other.told
    assert result.dev.tolist()[0] == 0.0  # no term spans the step
    assert result.n.tolist()[0] == 28 + 58


def tied(bench: Bench) -> tuple[TargetSettings, ...]:
    """a and b compared with utc, which is the reference."""
    tie = Tie("UTC(NIM)", bound_s=1e-7, u_s=1e-8)
    return tuple(replace(t, tie=tie) if t.name == "utc" else t for t in bench.settings.targets)


def test_probe_clock_is_left_out_for_those_that_have_a_reference_where_it_is_asked_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, probe_clock="unreferenced")
    targets, wanted = tied(bench), bench.settings.stability
    bench.service.configure(replace(bench.settings, targets=targets))
    bench.service.observe([row(i, 0.0, target=name) for i in range(10) for name in ("a", "b", "utc")])
    assert (list(bench.service._series), list(bench.service._own)) == (["a", "b"], ["utc"])
    bench.service.configure(
        replace(bench.settings, targets=targets, stability=replace(wanted, probe_clock="all", targets_at_most=3))
    )
    bench.service.observe([row(10, 0.0)])
    assert set(bench.service._own) == {"a", "utc"}
    assert not bench.told


def test_how_many_series_there_are_is_the_configurations_word(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    all_of = replace(bench.settings, targets=tied(bench))

    def counted(**stability: object) -> dict[str, int]:
        return dict(choose(replace(all_of, stability=StabilitySettings(**stability)))[0].counts())  # type: ignore[arg-type]  # a test's keywords

    assert counted(targets_at_most=3) == {"reference": 2, "probe": 3}  # all of both, up to the limit
    assert counted(probe_clock="unreferenced") == {"reference": 2, "probe": 1}
    assert counted(targets_at_most=2) == counted(enabled=False) == {"reference": 0, "probe": 0}


async def test_run_tells_both_series(tmp_path: Path) -> None:
    bench = Bench(tmp_path, every_s=0.01)
    bench.service.observe([row(i, 1e-6 * (i % 3)) for i in range(100)])
    task = asyncio.create_task(bench.service.run())
    async with asyncio.timeout(30):
        while {record.tags["reference"] for record in bench.stored} != {"utc", "probe"}:
            await asyncio.sleep(0.01)
    task.cancel()


def test_reconfiguring_keeps_what_is_the_same(bench: Bench) -> None:
    bench.service.observe([row(i, 0.0, target=name) for i in range(10) for name in ("a", "b")])
    kept = bench.service._series["a"]
    targets = tuple(t if t.name != "b" else replace(t, interval_s=2.0) for t in bench.settings.targets)
    bench.service.configure(replace(bench.settings, targets=targets))
    assert bench.service._series == {"a": kept}
    bench.service.configure(replace(bench.settings, stability=StabilitySettings(enabled=False)))
    assert not bench.service._series


def test_results_are_shown_to_prometheus_until_they_are_no_longer_news(bench: Bench) -> None:
    bench.service.observe([row(i, 1e-6 * (i % 3)) for i in range(400)])
    current = Current("s", "p")
    current.add_target("a", protocol="ntp", interval_s=1.0)
    for record in bench.results().values():
        current.observe(record, 1000.0)

    def shown(now_s: float) -> list[str]:
        body, refused = render(samples(current.snapshot(now_s, {})))
        assert not refused
        return [line for line in body.decode().splitlines() if "_oadev" in line or "_mtie" in line]

    lines = shown(1000.0 + 1200.0)
    assert any(
        line.startswith("timesync_oadev{") and 'tau="1"' in line and 'estimator="exact"' in line for line in lines
    )
    assert any('estimator="strided"' in line and "timesync_oadev_lower" in line for line in lines)
    assert any('estimator="bounds"' in line and "timesync_mtie_upper_seconds" in line for line in lines)
    assert not shown(1000.0 + 1205.0)


async def test_a_daemon_stores_and_shows_stability_and_keeps_it(tmp_path: Path) -> None:
    network = DemonstrationNetwork()
    targets = tuple(replace(target, interval_s=0.1) for target in await network.start())
    wanted = StabilitySettings(longest_tau_s=1.0, every_s=1.0)
    http = HttpSettings(enabled=False)
    site, spool = SiteSettings("s", "p"), SpoolSettings(tmp_path)
    daemon = Daemon(ProbeSettings(site, targets, spool, http=http, stability=wanted, reference_max_age_s=0.5))
    task = asyncio.create_task(daemon.run())
    async with asyncio.timeout(60):
        while b"timesync_oadev{" not in await daemon.exposition.expose():
            await asyncio.sleep(0.2)
            assert not task.done()
        daemon.stop()
        await task
    await network.stop()
    history = History(tmp_path / HISTORY_FILE, read_only=True)
    found = {record.tags["statistic"] for record in history.records(Selection(measurement="stability"))}
    history.close()
    assert {"oadev", "tdev", "mtie"} <= found
    # the reference is compared with itself, which says nothing
    names = {path.stem for path in (tmp_path / "stability").iterdir()}
    pairs = {target.name for target in targets if target.tie is None}
    assert names == pairs | {f"{target.name}@probe" for target in targets}


async def test_a_daemon_with_too_many_targets_does_not_even_load_numpy(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from timesync.daemon import Daemon\n"
        "from timesync.settings import *\n"
        "targets = (TargetSettings('a', 'ntp', '127.0.0.1:9', interval_s=1.0),)\n"
        "settings = ProbeSettings(SiteSettings('s', 'p'), targets, SpoolSettings(Path(sys.argv[1])),\n"
        "    http=HttpSettings(enabled=False), history=HistorySettings(enabled=False),\n"
        "    stability=StabilitySettings(targets_at_most=int(sys.argv[2])), holdover=HoldoverSettings(enabled=False))\n"
        "daemon = Daemon(settings)\n"
        "asyncio.run(daemon.run(daemon.stop))\n"
        "print('numpy' in sys.modules)\n"
    )
    for most, loaded in (("0", b"False"), ("1", b"True")):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(tmp_path / most), most, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert said.split()[-1] == loaded
