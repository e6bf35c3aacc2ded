"""Through a leap second from packets to events: the real client, pipeline, attribution and leap service in simulated time.

Truth is a count of SI seconds. A clock that keeps UTC as POSIX has it is set back by one at an inserted second, and on by one
where one is left out (POSIX.1-2017 section 4.16); so are the probe's, by its kernel, and the servers'. Nothing may be said of
one that does so.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.ntpserver import Header, Server

from timesync.exchange.ntp import Accepted, Measured, NtpClient, Stamp
from timesync.leapservice import LeapService
from timesync.model import Event, Exchange, Missed, Timestamping
from timesync.pipeline import Pipeline
from timesync.reasons import Reason
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie
from timesync.timescale import NTP_TO_UNIX_S, parse_utc

if TYPE_CHECKING:
    from collections.abc import Callable

LEAP_NS = parse_utc("2028-01-01")
HOUR_S = 3600.0
BEFORE_S = 30 * HOUR_S
S = 10**9


def leap_list(step_s: int) -> str:
    """A leap-seconds.list with its hash (SHA-1 over the digits of $, @ and the rows, as IERS describes it)."""
    rows = [(parse_utc("2017-01-01"), 37), (LEAP_NS, 37 + step_s)]
    marks = [at_ns // S + NTP_TO_UNIX_S for at_ns in (parse_utc("2027-07-01"), parse_utc("2030-01-01"))]
    lines = [f"{at_ns // S + NTP_TO_UNIX_S} {tai}" for at_ns, tai in rows]
    digits = "".join(map(str, marks)) + "".join(line.replace(" ", "") for line in lines)
    words = hashlib.sha1(digits.encode()).hexdigest()
    return "\n".join(
        [
            f"#$ {marks[0]}",
            f"#@ {marks[1]}",
            *lines,
            "#h " + " ".join(words[at : at + 8] for at in range(0, 40, 8)),
        ]
    )


@dataclass
class Clock:
    """A server: `error_s` is its error against UTC, given seconds since the leap second; it steps with UTC unless `steps` is
    false."""

    error_s: Callable[[float], float] = lambda _since_s: 0.0
    steps: bool = True
    announces: bool = True
    client: NtpClient[int] = field(default_factory=NtpClient)
    server: Server = field(default_factory=Server)


class Night:
    """Sixty hours around a leap second of `step_s`. Time is SI seconds since the leap second."""

    def __init__(self, step_s: int, folder: Path, clocks: dict[str, Clock], *, probe_steps: bool = True) -> None:
        path = folder / "leap-seconds.list"
        path.write_text(leap_list(step_s))
        self.step_s, self.clocks, self.probe_steps = step_s, clocks, probe_steps
        self.events: list[Event] = []
        self.random = random.Random(1)
        self.now_ns = self.posix_ns(-BEFORE_S)
        tie = Tie("UTC(NIM)", 1e-6, 1e-7)
        targets = tuple(TargetSettings(name, "ntp", name, 64.0, tie=tie if name == "utc" else None) for name in clocks)
        settings = ProbeSettings(SiteSettings("nim", "p1"), targets, SpoolSettings(Path()), reference_max_age_s=256.0)
        self.pipeline = Pipeline(settings)
        self.leaps = LeapService(path, self.events.append, lambda _expiry: None, clock_ns=lambda: self.now_ns)
        self.leaps.load(path, clocks)
        self.pipeline.set_leaps(self.leaps.table)
        self.epoch = 0

    def posix_ns(self, since_s: float, *, steps: bool = True) -> int:
        """What a clock shows that is right before the leap second, and after it if it steps."""
        over = since_s >= 0.0 and steps
        # An inserted second is 23:59:60: 86400 s of the day are over one second before it ends.
        shift_s = -self.step_s if over else 0.0
        return LEAP_NS + round((since_s + shift_s) * S)

    def run(self, until_s: float = BEFORE_S) -> list[str]:
        """Poll everybody every 64 s; the kinds of the events that were told."""
        since_s, turn = -BEFORE_S, 0
        while since_s < until_s:
            for place, name in enumerate(self.clocks):
                self._poll(name, since_s + 7.0 * place + 0.3, turn)
            since_s += 64.0
            turn += 1
            self._tick(since_s)
        return [event.kind for event in self.events if event.kind != "leap_table"]

    def _probe_ns(self, since_s: float) -> int:
        return self.posix_ns(since_s, steps=self.probe_steps)

    def _look(self, since_s: float) -> None:
        if since_s >= 0.0 and self.epoch == 0 and self.probe_steps:
            self.epoch = 1
            event = self.pipeline.clock_stepped(1, self._probe_ns(since_s), float(-self.step_s))
            assert event is None

    def _tick(self, since_s: float) -> None:
        self._look(since_s)
        self.now_ns = self._probe_ns(since_s)
        self.leaps.observe(self.pipeline.tick(self.now_ns))
        self.leaps.tick(since_s, self.clocks)
        self.events.extend(self.pipeline.take_events())

    def _poll(self, name: str, since_s: float, turn: int) -> None:
        clock = self.clocks[name]
        self._look(since_s)
        forth_s, back_s = (1e-4 + self.random.expovariate(1.0) * 5e-6 for _ in range(2))
        request = clock.client.request(self.random.getrandbits(64) | 1, self.random.getrandbits(64) & ~1 | 2, turn)
        clock.client.transmitted(Stamp(self._probe_ns(since_s), Timestamping.KERNEL), turn)
        there_s = since_s + forth_s
        indicator = {1: 1, -1: 2}[self.step_s] if clock.announces and -24 * HOUR_S < since_s < 0.0 else 0
        clock.server.header = Header(leap=indicator)
        arrives_ns = self.posix_ns(there_s, steps=clock.steps) + round(clock.error_s(there_s) * S)
        reply, _ = clock.server.answer(request, arrives_ns)
        begun = self.epoch
        self._look(there_s + back_s)
        t4_ns = self._probe_ns(there_s + back_s)
        outcomes: list[Exchange | Missed] = []
        for event in clock.client.received(reply, Stamp(t4_ns, Timestamping.KERNEL), from_server=True):
            if isinstance(event, Measured) and begun == self.epoch:
                outcomes.append(
                    Exchange(
                        name, "ntp", name, event.t1_ns, event.t2_ns, event.t3_ns, event.t4_ns,
                        event.tx_timestamping, event.rx_timestamping, event.mode, event.facts, self.epoch,
                    )
                )  # fmt: skip
            elif not isinstance(event, Accepted):
                outcomes.append(Missed(name, "ntp", name, t4_ns, Reason.CLOCK_STEPPED, "", self.epoch))
        self.leaps.observe(self.pipeline.outcomes(name, outcomes, t4_ns))


def honest(**others: Clock) -> dict[str, Clock]:
    # Basic mode: an exchange is complete at once, and so never spans the leap second by a poll.
    clocks = {"utc": Clock(), "s1": Clock(), "s2": Clock(), **others}
    for clock in clocks.values():
        clock.client = NtpClient(interleaved=False)
    return clocks


@pytest.mark.parametrize("step_s", [1, -1], ids=["inserted", "left out"])
def test_nothing_is_said_of_clocks_that_keep_utc(step_s: int, tmp_path: Path) -> None:
    night = Night(step_s, tmp_path, honest())
    assert night.run() == []
    assert night.pipeline.states["s1"].replies > 3000


@pytest.mark.parametrize("step_s", [1, -1], ids=["inserted", "left out"])
def test_a_server_that_did_not_take_the_leap_second_is_told_as_such(step_s: int, tmp_path: Path) -> None:
    night = Night(step_s, tmp_path, honest(late=Clock(steps=False)))
    kinds = night.run(6 * HOUR_S)
    assert sorted(kinds) in (
        ["fault_server", "fault_server_over", "time_scale_wrong"],
        ["fault_server", "time_scale_wrong"],
    )
    wrong = next(event for event in night.events if event.kind == "time_scale_wrong")
    assert (wrong.target, wrong.evidence["scale"]) == ("late", "leap_residual")
    assert float(wrong.evidence["error_s"]) == pytest.approx(step_s, abs=1e-3)
    fault = next(event for event in night.events if event.kind == "fault_server")
    assert fault.target == "late"
    assert "leap second" in fault.text


@pytest.mark.parametrize("step_s", [1, -1], ids=["inserted", "left out"])
def test_a_server_that_smears_is_told_with_its_rate(step_s: int, tmp_path: Path) -> None:
    def error_s(since_s: float) -> float:
        share = min(1.0, max(0.0, (since_s + 12 * HOUR_S) / (24 * HOUR_S)))
        return step_s * ((1.0 if since_s >= 0 else 0.0) - share)

    night = Night(step_s, tmp_path, honest(smearing=Clock(error_s, announces=False)))
    night.run()
    smears = [event for event in night.events if event.kind == "leap_smear"]
    assert [event.target for event in smears] == ["smearing"]
    assert smears[0].evidence["smear"] == "linear, 24 h, noon to noon"
    assert float(smears[0].evidence["rate"]) * 1e6 == pytest.approx(-step_s * 11.574, abs=0.001)
    assert {event.target for event in night.events if event.kind != "leap_table"} == {"smearing"}


def test_a_probe_that_did_not_take_the_leap_second_blames_no_server(tmp_path: Path) -> None:
    night = Night(1, tmp_path, honest(), probe_steps=False)
    kinds = night.run(6 * HOUR_S)
    assert kinds == ["fault_probe_clock", "fault_probe_clock_over"]
    assert "leap second" in next(event for event in night.events if event.kind == "fault_probe_clock").text


def test_a_server_that_does_not_announce_and_one_that_is_late_are_told(tmp_path: Path) -> None:
    night = Night(1, tmp_path, honest(mute=Clock(announces=False)))
    kinds = night.run()
    assert kinds == ["leap_announcement_missing", "leap_indicator_agrees"]
    assert {event.target for event in night.events if event.kind.startswith("leap_a")} == {"mute"}


def test_tai_served_as_utc_is_told(tmp_path: Path) -> None:
    night = Night(1, tmp_path, honest(tai=Clock(lambda since_s: 38.0 if since_s >= 0 else 37.0)))
    night.run(-25 * HOUR_S)
    assert [(event.kind, event.target, event.evidence["scale"]) for event in night.events[1:]] == [
        ("time_scale_wrong", "tai", "tai")
    ]
