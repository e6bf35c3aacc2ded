"""What a prober keeps of its polls does not grow with their number."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from support.chrony import Chronyd
from support.debian import missing

from probes.ntp_prober import Poll
from timesync.plugin import EngineContext, load_kind
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings

pytestmark = [pytest.mark.lab, pytest.mark.skipif(missing("chronyd") is not None, reason=str(missing("chronyd")))]


def polls_alive() -> int:
    gc.collect()
    return sum(isinstance(each, Poll) for each in gc.get_objects())


@pytest.mark.parametrize("mode", ["auto", "basic"])
def test_a_prober_holds_on_to_its_last_polls_only(mode: str) -> None:
    async def run(address: str) -> int:
        target = TargetSettings("server", "ntp", address, options={"mode": mode})
        settings = ProbeSettings(SiteSettings("lab", "probe"), (target,), SpoolSettings(Path()))
        engine = load_kind("ntp").open(EngineContext(settings, lambda event: None, lambda: 0))
        prober = await engine.open_target(target)
        for _ in range(40):
            await prober.poll()
        alive = polls_alive()
        await prober.close()
        await engine.close()
        return alive

    before = polls_alive()
    with Chronyd() as server:
        assert asyncio.run(run(f"{server.address}:{server.port}")) - before <= 3
