"""Real stacks that lose their source: chronyd followed by a daemon through a whole episode, ntpd, and ptp4l degraded live."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.chrony import Chronyd, free_port
from support.measuring import measure
from support.netns import bridged_hosts, cabled_pair
from support.ntpsec import Ntpd
from support.ptp4l import Ptp4l
from support.ptpmeasuring import measure_ptp

from timesync.daemon import HISTORY_FILE, Daemon
from timesync.holdover.detect import Detector, Transition
from timesync.holdover_watch import observation
from timesync.pipeline import Pipeline
from timesync.settings import (
    HoldoverSettings,
    HttpSettings,
    LocalReferenceSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    TargetSettings,
    Tie,
)
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from conftest import NeedPrograms
    from support.measuring import Account

    from timesync.model import Outcome, Record

LEFT = 50e-6  # of frequency error, when the source is lost
LOCAL = LocalReferenceSettings(Tie("UTC(LAB)"))


def transitions(
    polls: Sequence[Sequence[Outcome]], name: str, kind: str, detector: Detector | None = None
) -> list[Transition]:
    """What a detector makes of polls against the host clock."""
    target = TargetSettings(name, kind, "somewhere")
    settings = ProbeSettings(SiteSettings("lab", "probe"), (target,), SpoolSettings(Path()), local_reference=LOCAL)
    pipeline, detector = Pipeline(settings), detector or Detector()
    rows = [row for poll in polls for row in pipeline.outcomes(name, poll, time.time_ns())]
    found = [detector.observe(observation(row)) for row in rows if row.tags["target"] == name]
    return [each for each in found if each is not None]


async def until(condition: object, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # type: ignore[operator]  # a test's own function
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def ntpds(lab: NeedPrograms, root: None) -> Iterator[Future[Mapping[str, tuple[Account, int, int]]]]:
    """What was polled of two ntpd that lost their source and had it again: a minute, which goes by beside the other tests."""
    lab("ntpd", "chronyd", "chronyc")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(ntpds_lose_their_source)


def ntpds_lose_their_source() -> Mapping[str, tuple[Account, int, int]]:
    """Of one that is left without any, and of one that becomes its own: the polls, when the source went, when it came back."""
    with ExitStack() as stack:
        here, *there = stack.enter_context(bridged_hosts(3))
        source = Chronyd(inside=here)
        source.__enter__()

        def end() -> None:
            source.__exit__()

        stack.callback(end)
        names = ("alone", "orphan")
        servers = [
            stack.enter_context(Ntpd(inside, source="10.123.0.1", orphan=name == "orphan"))
            for name, inside in zip(names, there, strict=True)
        ]
        for server in servers:
            server.wait_following()
        turns: list[int] = []

        def gone() -> None:
            turns.append(time.time_ns())
            source.__exit__()

        def back() -> None:
            nonlocal source
            turns.append(time.time_ns())
            source = Chronyd(inside=here)
            source.__enter__()

        def polled(number: int) -> Account:
            turn = {24: gone, 108: back} if number == 0 else {}
            polls = partial(measure, f"10.123.0.{number + 2}", 172, interval_s=0.25, between=turn)
            return here.call(polls)

        with ThreadPoolExecutor(2) as pool:
            accounts = list(pool.map(polled, range(2)))
        lost_ns, back_ns = turns
        return {name: (account, lost_ns, back_ns) for name, account in zip(names, accounts, strict=True)}


async def test_chronyd_loses_its_source_with_50_ppm_left(
    lab: NeedPrograms, tmp_path: Path, ntpds: Future[Mapping[str, tuple[Account, int, int]]]
) -> None:
    """Detected, forecast, and scored when it is over: the whole way through a daemon, against real servers."""
    assert not ntpds.done()  # it goes on meanwhile
    lab("chronyd", "chronyc")
    port = free_port()
    follow = (f"server 127.0.0.1 port {port} minpoll -2 maxpoll -2 iburst", "makestep 0.00001 -1")
    source = Chronyd(port=port)
    source.__enter__()
    with Chronyd(stratum=10, options=follow) as server:
        target = TargetSettings("server", "ntp", f"127.0.0.1:{server.port}", interval_s=0.25)
        holdover = HoldoverSettings(limits_s=(1e-3, 1e-2), horizon_s=60.0, every_s=1.0)
        daemon = Daemon(
            ProbeSettings(
                SiteSettings("lab", "probe"),
                (target,),
                SpoolSettings(tmp_path),
                local_reference=LOCAL,
                http=HttpSettings(enabled=False),
                holdover=holdover,
            )
        )
        task = asyncio.create_task(daemon.run())

        def state() -> str:
            service = daemon._holdover
            watch = service.watches.get("server") if service is not None else None
            return watch.detector.state.value if watch is not None else "none"

        try:
            await until(lambda: "1 tracked" in server.command("activity") or _stratum(server) == 2, 20)
            await until(lambda: state() == "locked", 30)
            await asyncio.sleep(3.0)
            lost_ns = time.time_ns()
            await asyncio.to_thread(source.__exit__)
            server.change_frequency(LEFT * 1e6)
            await until(lambda: state().startswith("holdover"), 20)
            await asyncio.sleep(8.0)
            back_ns = time.time_ns()
            source = Chronyd(port=port)
            await asyncio.to_thread(source.__enter__)
            await until(lambda: state() in ("acquiring", "locked"), 30)
            await until(lambda: state() == "locked", 30)
        finally:
            daemon.stop()
            await task
            source.__exit__()
    check_the_story(tmp_path, lost_ns, back_ns)


def _stratum(server: Chronyd) -> int:
    for line in server.command("tracking").splitlines():
        if line.startswith("Stratum"):
            return int(line.split(":")[1])
    return 0


def check_the_story(folder: Path, lost_ns: int, back_ns: int) -> None:
    history = History(folder / HISTORY_FILE, read_only=True)
    records = {name: list(history.records(Selection(name))) for name in ("event", "holdover", "holdover_episode")}
    history.close()
    states = [record for record in records["event"] if record.tags.get("kind") == "holdover_state"]
    began = next(record for record in states if str(record.fields["after"]).startswith("holdover"))
    assert 0 < began.at_ns - lost_ns < 15e9
    assert "frozen" in str(began.fields["signs"]).split()
    assert len(str(began.fields["signs"]).split()) >= 2
    coasting = [
        row
        for row in records["holdover"]
        if row.fields.get("basis") == "holdover" and "frequency" in row.fields and row.at_ns < back_ns
    ]
    assert coasting[-1].fields["frequency"] == pytest.approx(LEFT, rel=0.2)
    forecasts_of_limit(records["holdover"], coasting[-1])
    (episode,) = records["holdover_episode"]
    assert episode.fields["duration_s"] == pytest.approx((back_ns - lost_ns) / 1e9, abs=15.0)
    assert episode.fields["rate"] == pytest.approx(LEFT, rel=0.2)
    assert episode.fields["max_abs_s"] >= 0.7 * LEFT * (back_ns - lost_ns) / 1e9
    assert episode.fields["judged"] >= 10
    assert "held" in episode.fields
    assert str(states[-1].fields["after"]) == "locked"


def forecasts_of_limit(rows: Sequence[Record], newest: Record) -> None:
    """10 ms at 50 ppm are left after 200 s: beyond the horizon of 60 s; 1 ms is left in 20 s less what it has run already."""
    limits = {row.tags["limit"]: row.fields for row in rows if row.at_ns == newest.at_ns and "limit" in row.tags}
    assert limits["0.01"]["beyond_horizon"] is True
    assert limits["0.001"]["within_s"] < 1e-3 / LEFT


def test_ptp4l_degraded_live(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l", "pmc")
    with cabled_pair() as pair, Ptp4l(pair.server) as master:
        master.announce(clock_class=6, accuracy=0x21)
        between = {
            30: partial(master.announce, clock_class=7, accuracy=0x2A),
            50: partial(master.announce, clock_class=187, accuracy=0x31),
            70: partial(master.announce, clock_class=6, accuracy=0x21),
        }
        heard = pair.client.call(partial(measure_ptp, 100, between=between))
    found = transitions(heard.polls, "gm", "ptp")
    assert [each.after.value for each in found] == [
        "acquiring",
        "locked",
        "holdover",
        "holdover_out",
        "acquiring",
        "locked",
    ]
    assert set(found[2].signs) >= {"clock_class", "accuracy"}
    assert found[3].evidence["clock_class"] == 187


@pytest.mark.parametrize(
    ("name", "in_the_end"), [("alone", {"frozen", "dispersion"}), ("orphan", {"frozen", "source"})]
)
def test_ntpd_loses_its_source(
    name: str, in_the_end: set[str], ntpds: Future[Mapping[str, tuple[Account, int, int]]]
) -> None:
    """Its clock does not wander here: what it says of itself is all the evidence, and it goes on answering."""
    account, lost_ns, back_ns = ntpds.result(180)[name]
    assert account.reasons == []
    found = transitions(account.polls, "measured", "ntp")
    story = [each.after.value for each in found]
    assert story[:4] == ["acquiring", "locked", "holdover", "acquiring"]
    assert story[4:] in ([], ["locked"])  # how soon its phase is steady again is up to the machine's load
    began, ended = found[2], found[3]
    assert set(began.signs) >= {"frozen", "dispersion"}
    assert began.evidence["reference_id"] == "10.123.0.1"
    assert began.evidence["reference_time_ns"] < lost_ns
    # Three intervals of the reference timestamp, of 2 s or 4 s, and three polls.
    assert 5e9 < began.at_ns - lost_ns < 15e9
    assert back_ns < ended.since_ns
    detector = Detector()
    meanwhile = [[each] for each in account.exchanges if each.t1_ns < back_ns]
    assert transitions(meanwhile, "measured", "ntp", detector)[-1].after.value == "holdover"
    assert set(detector.signs) >= in_the_end
