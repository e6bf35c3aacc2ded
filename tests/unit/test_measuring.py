"""One probe's measuring with instruments that misbehave. The instruments here are fakes, and say so."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from timesync import measuring as module
from timesync.clockwatch import ClockReading
from timesync.errors import ConfigError, Problem, TimesyncError
from timesync.measuring import Measuring
from timesync.model import ClockOffset, Exchange, Missed, ServerFacts, Timestamping
from timesync.reasons import Reason
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from timesync.model import Outcome, Record
    from timesync.plugin import EngineContext, EngineCounts

T0 = 1_795_000_000_000_000_000


def offset(name: str = "t", at_ns: int = T0, offset_s: float = 1e-9, bound_s: float = 0.0) -> ClockOffset:
    return ClockOffset(name, "fake", at_ns, offset_s, 0.0, bound_s, 0.0, 0.0, 0.0, Timestamping.HARDWARE, 0)


# What an instrument may return against its contract: address -> outcomes.
NONSENSE: dict[str, Any] = {
    "a string": ["x"],
    "nothing": None,
    "a number": 7,
    "no text": "measured",
    "no number": [offset(offset_s=math.nan)],
    "endless": [offset(bound_s=math.inf)],
    "negative bound": [offset(bound_s=-1e-9)],
    "a text for a number": [offset(offset_s="1 ns")],  # type: ignore[arg-type]  # nonsense
    "a float for an instant": [offset(at_ns=1.8e18)],  # type: ignore[arg-type]  # nonsense
    "no such instant": [offset(at_ns=2**63)],
    "an unknown reason": [Missed("t", "fake", "", T0, "bored", "", 0)],  # type: ignore[arg-type]  # nonsense
    "no facts": [
        Exchange("t", "fake", "", T0, T0, T0, T0, Timestamping.USER, Timestamping.USER, "basic", None, 0)  # type: ignore[arg-type]  # nonsense
    ],
    "facts without sense": [
        Exchange(
            "t",
            "fake",
            "",
            T0,
            T0,
            T0,
            T0,
            Timestamping.USER,
            Timestamping.USER,
            "basic",
            ServerFacts(root_delay_s=math.nan),
            0,
        )
    ],
}


class FakeProber:
    """A fake instrument: its address says how it behaves."""

    def __init__(self, engine: FakeEngine, target: TargetSettings) -> None:
        self.engine = engine
        self.target = target
        self.polls = 0

    async def poll(self) -> Sequence[Outcome]:
        self.polls += 1
        if self.target.address == "raises":
            raise RuntimeError("the counter is unplugged")
        if self.target.address == "cancels":
            raise asyncio.CancelledError
        if self.target.address == "hangs":
            await asyncio.sleep(3600)
        if self.target.address in NONSENSE:
            return NONSENSE[self.target.address]
        return [offset(self.target.name, T0 + self.polls)]

    async def close(self) -> Sequence[Outcome]:
        self.engine.closed.append(self.target.name)
        if self.target.address == "cannot be closed":
            raise RuntimeError("the handle is not valid")
        return []


class FakeEngine:
    """Opens fake instruments; `again` names those that a reconfiguration must open again."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.again: Collection[str] = ()
        self.broken: set[str] = set()
        self.taken: list[int] = []
        self.refuses: Exception | None = None

    async def open_target(self, target: TargetSettings) -> FakeProber:
        if target.address in self.broken:
            raise RuntimeError("the driver is confused")
        if target.address == "no such device":
            raise ConfigError("site.toml", (Problem(target.name, "it is not there", "Plug it in."),))
        self.opened.append(target.name)
        return FakeProber(self, target)

    def reconfigure(self, settings: ProbeSettings) -> Collection[str]:
        if self.refuses is not None and len(settings.targets) > 1:
            raise self.refuses
        self.taken.append(len(settings.targets))
        return self.again

    def counts(self) -> EngineCounts:
        raise RuntimeError("not counted")

    async def close(self) -> None:
        self.closed.append("engine")


class FakeKind:
    """The kind "fake"."""

    name = protocol = "fake"
    options: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.engine = FakeEngine()

    def check(self, target: TargetSettings, where: str) -> Sequence[Problem]:
        return []

    def open(self, context: EngineContext) -> FakeEngine:
        return self.engine


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> FakeKind:
    kind = FakeKind()
    monkeypatch.setattr(module, "load_kind", lambda name: kind)
    return kind


def target(name: str, address: str = "works", interval_s: float = 0.01) -> TargetSettings:
    return TargetSettings(name, "fake", address, interval_s=interval_s)


def settings(*targets: TargetSettings) -> ProbeSettings:
    return ProbeSettings(SiteSettings("site", "probe"), targets, SpoolSettings(Path()))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def gather_rows(site: ProbeSettings, enough: int) -> list[Record]:
    rows: list[Record] = []
    enough_came = asyncio.Event()

    def store(records: Sequence[Record]) -> None:
        rows.extend(records)
        if len(rows) >= enough:
            enough_came.set()

    measuring = Measuring(site, store)
    await measuring.start()
    async with asyncio.timeout(20):
        await enough_came.wait()
    await measuring.stop()
    return rows


async def test_an_instrument_that_raises_is_recorded_and_polled_again(
    kind: FakeKind, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[Record] = []
    measuring = Measuring(settings(target("broken", "raises")), rows.extend)
    await measuring.start()
    await until(lambda: sum(row.fields["reason"] == "probe_failed" for row in rows) >= 3)
    await measuring.stop()
    failed = [row for row in rows if row.fields["reason"] == "probe_failed"]
    assert {row.fields["detail"] for row in failed} == {"RuntimeError: the counter is unplugged"}
    # A machine that is busy may have been late for a poll between.
    assert {row.fields["reason"] for row in rows} <= {"probe_failed", "probe_overloaded"}
    assert "the counter is unplugged" in caplog.text


@pytest.mark.parametrize("address", [*NONSENSE, "cancels"])
async def test_what_is_no_outcome_is_a_failed_poll_and_the_next_is_made(kind: FakeKind, address: str) -> None:
    rows = await gather_rows(settings(target("broken", address)), 3)
    failed = [row for row in rows if row.fields["reason"] == "probe_failed"]
    assert failed
    assert {row.tags["target"] for row in rows} == {"broken"}
    assert all(row.fields["detail"] for row in failed)
    # A machine that is busy may have been late for the poll after.
    assert {row.fields["reason"] for row in rows} <= {"probe_failed", "probe_overloaded"}


async def test_an_instrument_that_fails_in_close_is_recorded_and_keeps_nothing_open(
    kind: FakeKind, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[Record] = []
    measuring = Measuring(
        settings(target("broken", "cannot be closed", 3600.0), target("good", "works", 3600.0)), rows.extend
    )
    await measuring.start()
    await measuring.stop()
    (row,) = [row for row in rows if row.fields.get("reason") == "probe_failed"]
    assert row.fields["detail"] == "closing: RuntimeError: the handle is not valid"
    assert kind.engine.closed == ["broken", "good", "engine"]
    assert "Traceback" in caplog.text


async def test_an_instrument_that_cannot_be_opened_is_tried_at_each_poll(kind: FakeKind) -> None:
    rows: list[Record] = []
    kind.engine.broken = {"works"}
    measuring = Measuring(settings(target("late")), rows.extend)
    await measuring.start()
    await until(lambda: sum("reason" in row.fields for row in rows) >= 2)
    assert {row.fields["reason"] for row in rows if "reason" in row.fields} <= {"probe_failed", "probe_overloaded"}
    kind.engine.broken = set()
    await until(lambda: any("offset_s" in row.fields for row in rows))
    await measuring.stop()
    assert kind.engine.closed == ["late", "engine"]


async def test_an_engine_that_cannot_count_does_not_stop_the_daemon(kind: FakeKind) -> None:
    measuring = Measuring(settings(target("good")), lambda rows: None)
    await measuring.start()
    assert measuring.engine_counts() == {}
    await measuring.stop()


@pytest.mark.parametrize("error", [RuntimeError("surprise"), ConfigError("site.toml", ())])
async def test_an_engine_that_refuses_new_settings_leaves_everything_as_it_was(
    kind: FakeKind, error: Exception
) -> None:
    old = settings(target("kept"))
    measuring = Measuring(old, lambda rows: None)
    await measuring.start()
    kind.engine.refuses = error
    with pytest.raises(TimesyncError):
        await measuring.reconfigure(settings(target("kept", interval_s=1.0), target("new")))
    assert measuring.settings is old
    assert kind.engine.opened == ["kept"]
    assert kind.engine.closed == []
    await measuring.stop()


async def test_a_target_that_cannot_be_opened_at_reload_undoes_the_reload(kind: FakeKind) -> None:
    rows: list[Record] = []
    old = settings(target("same"), target("goes"), target("changes"))
    measuring = Measuring(old, rows.extend)
    await measuring.start()
    same = measuring.pipeline.states["same"]
    with pytest.raises(ConfigError, match="it is not there"):
        await measuring.reconfigure(
            settings(
                target("same"), target("changes", interval_s=0.02), target("comes"), target("bad", "no such device")
            )
        )
    assert measuring.settings is old
    assert sorted(measuring.pipeline.states) == ["changes", "goes", "same"]
    assert measuring.pipeline.states["same"] is same
    # What was opened is closed; what was closed is opened, as it was.
    assert sorted(kind.engine.closed) == ["changes", "changes", "comes", "goes"]
    assert sorted(kind.engine.opened) == ["changes", "changes", "changes", "comes", "goes", "goes", "same"]
    rows.clear()
    await until(lambda: {row.tags.get("target") for row in rows} >= {"same", "goes", "changes"})
    await measuring.stop()


async def test_a_target_that_cannot_be_opened_again_is_named_and_tried_at_each_poll(kind: FakeKind) -> None:
    rows: list[Record] = []
    measuring = Measuring(settings(target("goes", "device")), rows.extend)
    await measuring.start()
    kind.engine.broken = {"device"}
    with pytest.raises(TimesyncError, match="not measured until they can be opened again: goes"):
        await measuring.reconfigure(settings(target("bad", "no such device")))
    kind.engine.broken = set()
    rows.clear()
    await until(lambda: any("offset_s" in row.fields for row in rows))
    await measuring.stop()


async def test_targets_that_must_follow_a_new_key_do_so_at_the_next_reload_if_this_one_fails(kind: FakeKind) -> None:
    measuring = Measuring(settings(target("keyed")), lambda rows: None)
    await measuring.start()
    kind.engine.again = ["keyed"]
    kind.engine.refuses = ConfigError("site.toml", ())
    with pytest.raises(ConfigError):
        await measuring.reconfigure(settings(target("keyed"), target("new")))
    kind.engine.refuses = None
    await measuring.reconfigure(settings(target("keyed"), target("new")))
    assert kind.engine.closed == ["keyed"]
    await measuring.stop()


async def test_age_of_the_newest_poll_is_told_by_engine(kind: FakeKind) -> None:
    measuring = Measuring(settings(target("fast"), target("slow", interval_s=3600.0)), lambda rows: None)
    loop = asyncio.get_running_loop()
    await measuring.start()
    assert measuring.polled(loop.time())["fake"].age_s is None
    await until(lambda: measuring.polled(loop.time())["fake"].polls > 0)
    polled = measuring.polled(loop.time() + 100.0)["fake"]
    assert polled.age_s is not None
    assert 100.0 <= polled.age_s < 110.0
    assert polled.period_s == 0.01 + 1.0
    await measuring.stop()


async def test_a_broken_instrument_does_not_disturb_the_others(kind: FakeKind) -> None:
    rows = await gather_rows(settings(target("broken", "raises"), target("good")), 8)
    good = [row for row in rows if row.tags["target"] == "good"]
    assert good
    assert all("offset_s" in row.fields for row in good)


async def test_a_poll_that_is_due_while_the_last_still_runs_is_told_as_overload(kind: FakeKind) -> None:
    *rows, last = await gather_rows(settings(target("slow", "hangs")), 2)
    assert {row.fields["reason"] for row in rows} == {"probe_overloaded"}
    assert {row.fields["sent"] for row in rows} == {False}
    # The poll that was under way at the end has its account, too.
    assert last.fields["reason"] == "association_ended"


async def test_polls_lost_in_a_stall_are_one_row_with_their_number_and_span(
    kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    rows: list[Record] = []
    measuring = Measuring(settings(target("stalled", interval_s=0.05)), rows.extend)
    await measuring.start()
    await asyncio.sleep(0.06)
    before_ns = time.time_ns()
    time.sleep(1.0)  # noqa: ASYNC251 - the whole process stands still
    await asyncio.sleep(0.01)
    await measuring.stop()
    (lost,) = [row for row in rows if row.fields.get("reason") == "probe_overloaded"]
    count = lost.fields["polls"]
    assert 18 <= count <= 20
    assert str(lost.fields["detail"]).startswith(f"{count} turns, due from ")
    assert abs(lost.at_ns - before_ns) < 0.2e9  # the first that was lost
    state = measuring.pipeline.states["stalled"]
    assert state.losses[Reason.PROBE_OVERLOADED] == count
    assert state.polls == state.replies + count
    assert state.register & 0b1111_1110 == 0


async def test_a_target_that_cannot_be_opened_leaves_nothing_open(kind: FakeKind) -> None:
    measuring = Measuring(settings(target("good"), target("bad", "no such device")), lambda rows: None)
    with pytest.raises(ConfigError, match="it is not there"):
        await measuring.start()
    assert kind.engine.closed == ["good", "engine"]


async def test_new_settings_open_and_close_only_what_changed(kind: FakeKind) -> None:
    measuring = Measuring(settings(target("same"), target("goes"), target("changes")), lambda rows: None)
    await measuring.start()
    await measuring.reconfigure(settings(target("same"), target("changes", interval_s=0.02), target("comes")))
    assert sorted(kind.engine.closed) == ["changes", "goes"]
    assert kind.engine.opened == ["same", "goes", "changes", "changes", "comes"]
    await measuring.stop()


async def test_what_the_engine_names_is_opened_again(kind: FakeKind) -> None:
    measuring = Measuring(settings(target("keyed"), target("plain")), lambda rows: None)
    await measuring.start()
    kind.engine.again = ["keyed"]
    await measuring.reconfigure(settings(target("keyed"), target("plain")))
    assert kind.engine.closed == ["keyed"]
    await measuring.stop()


async def test_a_step_of_the_probes_clock_is_an_event_and_a_new_epoch(
    kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [
        ClockReading(T0, 10**9, 10**9, 10**9, 100),
        ClockReading(T0 + 10**9 + 500_000_000, 2 * 10**9, 2 * 10**9, 2 * 10**9, 100),
    ]
    monkeypatch.setattr(module, "read_clocks", lambda: readings[min(1, reads.pop() if reads else 1)])
    reads = [0]
    rows: list[Record] = []
    measuring = Measuring(settings(), rows.extend)
    assert measuring.clock_epoch() == 1
    assert measuring.clock_steps == 1
    (event,) = rows
    assert event.tags["kind"] == "clock_stepped"
    assert event.fields["step_s"] == 0.5
    assert measuring.clock_epoch() == 1


async def test_a_slew_of_the_probes_clock_is_told_once_and_no_new_epoch(
    kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten seconds at the oscillator's own rate, then five at 1,000 ppm more: realtime and monotonic alike, raw not.
    shown = [0]
    for rate in [0] * 10 + [1000] * 5:
        shown.append(shown[-1] + 10**9 + rate * 1000)
    readings = iter(ClockReading(T0 + ns, ns, ns, n * 10**9, 100) for n, ns in enumerate(shown))
    monkeypatch.setattr(module, "read_clocks", lambda: next(readings))
    rows: list[Record] = []
    measuring = Measuring(settings(), rows.extend)
    epochs = {measuring.clock_epoch() for _ in range(15)}
    assert epochs == {0}
    (event,) = rows
    assert event.tags["kind"] == "clock_slewed"
    assert event.fields["rate_ppm"] == pytest.approx(1000.0)


async def test_the_clocks_are_read_once_a_turn_of_the_loop_and_a_step_is_seen_in_the_next(
    kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_ns = 0
    turns: list[int] = []
    measuring = Measuring(settings(), lambda rows: None)
    await measuring.start()

    def read() -> ClockReading:
        turns.append(len(turns))
        gone_ns = len(turns) * 1_000_000
        return ClockReading(T0 + gone_ns + step_ns, gone_ns, gone_ns, gone_ns, 100)

    monkeypatch.setattr(module, "read_clocks", read)
    first = measuring.clock_epoch()  # from the machine's own clocks to the simulated ones: a step, too
    assert [measuring.clock_epoch() for _ in range(5)] == [first] * 5
    assert len(turns) == 1
    step_ns = 3_000_000_000
    assert measuring.clock_epoch() == first
    seen = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: seen.set_result(measuring.clock_epoch()))
    assert await seen == first + 1
    assert len(turns) == 2
    await measuring.stop()
