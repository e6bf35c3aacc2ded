"""Measure a server in a test by the very engine and prober that the daemon uses, on a schedule of the test's own."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.model import Exchange, Missed
from timesync.plugin import EngineContext, load_kind
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.uncertainty import clock_offset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.model import ClockOffset, Event, Outcome

__all__ = ["Account", "command_line", "measure"]


@dataclass(slots=True)
class Account:
    """What became of each poll, in order, and what events were told.

    `closing` is what the end of the measurement told: in interleaved mode the last reply's transmit time has no poll left to come
    with, which is a miss of its own.
    """

    polls: list[Sequence[Outcome]] = field(default_factory=list)
    closing: Sequence[Outcome] = ()
    events: list[Event] = field(default_factory=list)

    @property
    def outcomes(self) -> list[Outcome]:
        """All outcomes of all polls."""
        return [outcome for poll in self.polls for outcome in poll]

    @property
    def exchanges(self) -> list[Exchange]:
        """The completed exchanges."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Exchange)]

    @property
    def offsets(self) -> list[ClockOffset]:
        """Target minus probe of each completed exchange."""
        return [clock_offset(exchange) for exchange in self.exchanges]

    @property
    def missed(self) -> list[Missed]:
        """The polls that gave nothing."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Missed)]

    @property
    def reasons(self) -> list[str]:
        """Their reasons, in order."""
        return [missed.reason.value for missed in self.missed]

    @property
    def modes(self) -> list[str]:
        """The mode of each completed exchange."""
        return [exchange.mode for exchange in self.exchanges]

    @property
    def is_complete(self) -> bool:
        """Whether each poll has exactly one account of itself."""
        return len(self.exchanges) + len(self.missed) + len(self.closing) == len(self.polls)

    @property
    def median_s(self) -> float:
        """The median offset, s."""
        return statistics.median(offset.offset_s for offset in self.offsets)

    def violations(self, truth_s: Callable[[int], float] | float) -> list[str]:
        """Every sample whose error exceeds its own bound; `truth_s` is the target's true offset, at an instant or at all."""
        found = []
        for offset in self.offsets:
            true_s = truth_s(offset.at_ns) if callable(truth_s) else truth_s
            if abs(offset.offset_s - true_s) > offset.bound_s:
                found.append(f"{offset.offset_s:+.9f} s, truly {true_s:+.9f} s, bound {offset.bound_s:.9f} s")
        return found


def measure(
    address: str,
    count: int,
    *,
    interval_s: float = 0.03,
    timeout_s: float = 2.0,
    options: Mapping[str, Any] | None = None,
    keys_file: Path | None = None,
    between: Mapping[int, Callable[[], object]] | None = None,
) -> Account:
    """Poll a server `count` times and close; to be called in the namespace that the probe is to be in (Host.call).

    `between[n]` is called before poll n (from 0), to change what is being measured. The interval counts from the end of a poll.
    """
    target = TargetSettings(
        "measured", "ntp", address, interval_s=interval_s, timeout_s=timeout_s, options=options or {}
    )
    settings = ProbeSettings(SiteSettings("lab", "probe"), (target,), SpoolSettings(Path()), keys_file=keys_file)
    account = Account()

    async def run() -> None:
        kind = load_kind("ntp")
        assert not kind.check(target, "target")
        engine = kind.open(EngineContext(settings, account.events.append, lambda: 0))
        prober = await engine.open_target(target)
        for number in range(count):
            if between and number in between:
                await asyncio.to_thread(between[number])
            account.polls.append(await prober.poll())
            await asyncio.sleep(interval_s)
        account.closing = await prober.close()
        await engine.close()

    asyncio.run(run())
    return account


def command_line(*words: str) -> tuple[int, str, str]:
    """`timesync WORDS` as a person runs it: its exit status and both outputs."""
    program = Path(sys.executable).with_name("timesync")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def measured_json(*words: str) -> tuple[int, Any]:
    """`timesync measure --json WORDS`: its exit status and the document."""
    status, output, complaint = command_line("measure", "--json", *words)
    assert output, complaint
    return status, json.loads(output)
