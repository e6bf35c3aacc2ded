"""Measure PTP masters in a test by the very engine and prober that the daemon uses."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.model import ClockOffset, Exchange, Missed
from timesync.plugin import EngineContext, load_kind
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.uncertainty import clock_offset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.model import Event, Outcome

__all__ = ["Heard", "measure_ptp"]

US = 1e-6


@dataclass(slots=True)
class Heard:
    """What became of each poll of one target, and what events were told."""

    polls: list[Sequence[Outcome]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def offsets(self, name: str = "gm") -> list[ClockOffset]:
        """Target minus probe, of the target or one of its children."""
        outcomes = [outcome for poll in self.polls for outcome in poll if outcome.target == name]
        return [
            clock_offset(each) if isinstance(each, Exchange) else each
            for each in outcomes
            if not isinstance(each, Missed)
        ]

    def missed(self, name: str = "gm") -> list[Missed]:
        """The polls that gave nothing."""
        return [each for poll in self.polls for each in poll if isinstance(each, Missed) and each.target == name]

    @property
    def names(self) -> set[str]:
        """Of all that was measured."""
        return {outcome.target for poll in self.polls for outcome in poll}

    def median_s(self, name: str = "gm") -> float:
        """The median offset."""
        return statistics.median(offset.offset_s for offset in self.offsets(name))

    def violations(self, truth_s: float, name: str = "gm") -> list[str]:
        """Every sample whose error exceeds its own bound."""
        return [
            f"{each.offset_s:+.9f} s, truly {truth_s:+.9f} s, bound {each.bound_s:.9f} s"
            for each in self.offsets(name)
            if abs(each.offset_s - truth_s) > each.bound_s
        ]

    def told(self, kind: str) -> list[str]:
        """The texts of the events of a kind."""
        return [event.text for event in self.events if event.kind == kind]


def measure_ptp(
    count: int,
    *,
    interface: str = "cable",
    interval_s: float = 0.15,
    timeout_s: float = 1.0,
    listen_s: float = 10.0,
    options: Mapping[str, Any] | None = None,
    between: Mapping[int, Callable[[], object]] | None = None,
) -> Heard:
    """Poll the target `gm` `count` times after its first measurement (which is waited for); to be called in the probe's namespace.

    `between[n]` is called before poll n (from 0), to change what is being measured.
    """
    target = TargetSettings("gm", "ptp", interface, interval_s=interval_s, timeout_s=timeout_s, options=options or {})
    settings = ProbeSettings(SiteSettings("lab", "probe"), (target,), SpoolSettings(Path()))
    heard = Heard()

    async def run() -> None:
        kind = load_kind("ptp")
        assert not kind.check(target, "target")
        engine = kind.open(EngineContext(settings, heard.events.append, lambda: 0))
        prober = await engine.open_target(target)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + listen_s
        while loop.time() < deadline_s:
            outcomes = await prober.poll()
            if not any(isinstance(each, Missed) for each in outcomes if each.target == "gm"):
                break
            await asyncio.sleep(0.1)
        for number in range(count):
            if between and number in between:
                await asyncio.to_thread(between[number])
            heard.polls.append(await prober.poll())
            await asyncio.sleep(interval_s)
        heard.polls.append(await prober.close())
        await engine.close()

    asyncio.run(run())
    return heard
