"""Real servers that go wrong in a known way, measured by the daemon's own probers: each fault is laid at the right door.

chronyd's clock is set by its own commands; the path by a relay between namespaces. Intervals are short so that a test is: what is a
point every 16 s at a site is one every 0.4 s here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.chrony import Chronyd
from support.relay import Way, relayed_pair

from timesync.measuring import Measuring
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conftest import NeedPrograms

    from timesync.model import Event

pytestmark = pytest.mark.lab

MS = 1e-3
INTERVAL_S = 0.05
WARM_S = 12.0
AFTER_S = 20.0


def told(addresses: dict[str, str], fault: Callable[[], object], references: Sequence[str] = ("utc",)) -> list[Event]:
    """What is told of these servers, measured in this process, when `fault` happens once they are known."""
    targets = tuple(
        TargetSettings(
            name,
            "ntp",
            address,
            INTERVAL_S,
            timeout_s=0.04,
            tie=Tie("UTC(LAB)", 1e-3, 1e-4) if name in references else None,
        )
        for name, address in addresses.items()
    )
    events: list[Event] = []
    settings = ProbeSettings(SiteSettings("lab", "p1"), targets, SpoolSettings(Path()))

    async def run() -> None:
        measuring = Measuring(settings, lambda _rows: None, events.append)
        await measuring.start()
        running = asyncio.create_task(measuring.run())
        begun_s = time.monotonic()
        broken = False
        while time.monotonic() - begun_s < WARM_S + AFTER_S:
            await asyncio.sleep(0.2)
            measuring.tick()
            if not broken and time.monotonic() - begun_s > WARM_S:
                assert [event.text for event in events if event.kind.startswith("fault_")] == []
                fault()
                broken = True
            if broken and any(event.kind.startswith("fault_") for event in events):
                break
        await measuring.stop()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(run())
    return [event for event in events if event.kind.startswith("fault_")]


def servers(stack: contextlib.ExitStack, names: Sequence[str]) -> dict[str, Chronyd]:
    return {name: stack.enter_context(Chronyd()) for name in names}


@pytest.mark.parametrize(
    ("wrong", "kind"), [("s1", "fault_server"), ("utc", "fault_reference")], ids=["a target", "the reference"]
)
def test_a_real_server_that_steps(lab: NeedPrograms, wrong: str, kind: str) -> None:
    lab("chronyd", "chronyc")
    with contextlib.ExitStack() as stack:
        running = servers(stack, ["utc", "s1", "s2"])
        addresses = {name: f"127.0.0.1:{server.port}" for name, server in running.items()}
        (event,) = told(addresses, lambda: running[wrong].step(25 * MS))
    assert (event.kind, event.target) == (kind, wrong)
    assert float(event.evidence["moved_s"]) == pytest.approx(25 * MS, abs=1 * MS)


def test_a_real_server_that_runs_fast(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    with contextlib.ExitStack() as stack:
        running = servers(stack, ["utc", "s1", "s2"])
        addresses = {name: f"127.0.0.1:{server.port}" for name, server in running.items()}
        (event,) = told(addresses, lambda: running["s2"].change_frequency(400.0))
    assert (event.kind, event.target) == ("fault_server", "s2")
    assert event.evidence["change"] == "drift"
    assert float(event.evidence["rate"]) == pytest.approx(400e-6, rel=0.3)


def test_a_real_path_that_becomes_longer_one_way(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    same = Way(delay_s=1 * MS)
    with relayed_pair(out=same, back=same) as (pair, relay), contextlib.ExitStack() as stack:
        far = stack.enter_context(Chronyd(inside=pair.server))
        near = {
            name: stack.enter_context(Chronyd(inside=pair.client, port=port))
            for name, port in (("utc", 1123), ("s1", 1124))
        }
        addresses = {name: f"127.0.0.1:{server.port}" for name, server in near.items()}
        addresses["far"] = f"{pair.server_ipv4}:{far.port}"
        longer = Way(delay_s=11 * MS)  # back and forth in 12 ms: well within the time-out
        (event,) = pair.client.call(lambda: told(addresses, lambda: relay.set(out=longer, back=same)))
    assert (event.kind, event.target) == ("fault_path", "far")
    assert float(event.evidence["delay_change_s"]) == pytest.approx(10 * MS, abs=1 * MS)
    assert float(event.evidence["moved_s"]) == pytest.approx(5 * MS, abs=1 * MS)
    assert "only the way to it" in event.text
