"""The options of the ptp4l kind, and what its prober tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from probes.ptp4l import CHECKS, KIND, OPTIONS, Ptp4lEngine
from timesync.instrument import ask
from timesync.model import Missed, Part, Reported
from timesync.pipeline import Pipeline
from timesync.plugin import EngineContext, load_kind
from timesync.reasons import Reason
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.model import Event, FieldValue


def problems(address: str = "/var/run/ptp4l", *, tie: Tie | None = None, **options: Any) -> list[str]:
    target = TargetSettings("t", "ptp4l", address, tie=tie, options=options)
    return [str(problem) for problem in KIND.check(target, "[[target]] 1")]


def test_the_kind_is_found_by_its_name_and_every_option_has_a_check() -> None:
    assert load_kind("ptp4l") is KIND
    assert set(CHECKS) == set(OPTIONS)


def test_a_socket_and_an_interface_are_good() -> None:
    assert problems() == []
    assert problems(domain=24, major_sdo_id=1, hops=2) == []
    assert problems("eth0", transport="l2", domain=24) == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"address": "eth0/1"}, "neither the path of a socket nor the name of a network interface"),
        ({"address": "/" + "x" * 107}, "at most 107 octets"),
        ({"transport": "udp4"}, "transport: a UNIX socket has none"),
        ({"address": "eth0", "transport": "udp"}, 'Write "udp4", "udp6" or "l2"'),
        ({"domain": 256}, "0 to 255"),
        ({"major_sdo_id": 2}, "1 for IEEE 802.1AS"),
        ({"tie": Tie("UTC(LAB)")}, "cannot realise a UTC(k)"),
    ],
)
def test_what_is_wrong_is_told(what: dict[str, Any], said: str) -> None:
    (problem,) = problems(**what)
    assert said in problem


def settings() -> ProbeSettings:
    targets = (
        TargetSettings("ref", "ntp", "192.0.2.1", tie=Tie("UTC(LAB)")),
        TargetSettings("stack", "ptp4l", "/nonexistent/ptp4l"),
    )
    return ProbeSettings(SiteSettings("lab", "p"), targets, SpoolSettings(Path()))


async def test_without_a_socket_the_poll_says_so() -> None:
    engine = Ptp4lEngine(EngineContext(settings(), lambda event: None, lambda: 3))
    prober = await engine.open_target(settings().targets[1])
    (missed,) = await prober.poll()
    await prober.close()
    assert isinstance(missed, Missed)
    assert (missed.reason.value, missed.sent, missed.clock_epoch) == ("send_failed", False, 3)
    assert "is ptp4l running" in missed.detail


def clock(identity: str, **fields: FieldValue) -> Part:
    return Part("ptp_clock", {"clock": identity}, fields)


async def test_changes_and_silence_are_told_once() -> None:
    events: list[Event] = []
    engine = Ptp4lEngine(EngineContext(settings(), events.append, lambda: 0))
    prober = await engine.open_target(settings().targets[1])
    states: list[list[Part]] = [
        [clock("a", clock_class=6), clock("b", clock_class=6)],
        [clock("a", clock_class=7), clock("b", clock_class=6)],
        [clock("a", clock_class=7)],
        [clock("a", clock_class=7)],
        [clock("a", clock_class=7), clock("b", clock_class=6)],
    ]
    for parts in states:
        prober._compare(parts)
    told = [(event.kind, event.text) for event in events]
    assert told == [
        ("stack_changed", "stack: a: clock_class was 6, is 7"),
        ("stack_silent", "stack: b does not answer any more"),
        ("stack_answers", "stack: b answers again"),
    ]


def test_a_report_is_an_answered_poll_and_no_time_error() -> None:
    pipeline = Pipeline(settings())
    report = Reported("stack", "ptp4l", "/s", 5, 0, (clock("a", master_offset_s=1e-6),))
    missed = Missed("stack", "ptp4l", "/s", 6, Reason.TIMEOUT, "", 0)
    (row,) = pipeline.outcomes("stack", [report], 5)
    (loss,) = pipeline.outcomes("stack", [missed], 6)
    assert row.measurement == loss.measurement == "ptp_clock"
    assert row.tags == {"site": "lab", "probe": "p", "target": "stack", "protocol": "ptp4l", "clock": "a"}
    assert row.fields == {"master_offset_s": 1e-6, "address": "/s", "clock_epoch": 0}
    state = pipeline.states["stack"]
    assert (state.polls, state.replies, state.register) == (2, 1, 0b10)
    assert (state.last, state.error) == (None, None)


@pytest.mark.parametrize(
    "part",
    [
        Part("time_error", {"clock": "a"}, {"x": 1}),
        Part("ptp_clock", {"clock": ""}, {"x": 1}),
        Part("ptp_clock", {"clock": "a"}, {"x": float("nan")}),
        Part("ptp_clock", {"clock": "a"}, {"x": 1 << 63}),
        Part("ptp_clock", {"clock": "a"}, {"x": None}),  # type: ignore[dict-item]  # what a foreign kind may give
    ],
)
async def test_a_report_that_cannot_be_stored_is_a_fault_of_the_instrument(part: Part) -> None:
    async def poll() -> Mapping[str, object] | list[Reported]:
        return [Reported("stack", "ptp4l", "/s", 5, 0, (part,))]

    told = await ask("stack", poll)
    assert told.outcomes == []
    assert told.fault
