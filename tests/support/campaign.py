"""Two servers behind one path, measured by turns and put through the pipeline as in the daemon: how far is each claim off?

Both servers and the probe read one host clock, so the true time error is what the test has set, and each claim's error is known.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from support.chrony import Chronyd
from support.relay import Way, relayed_pair
from timesync.pipeline import Pipeline
from timesync.plugin import EngineContext, load_kind
from timesync.settings import KnownPath, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.model import FieldValue

__all__ = ["AHEAD_S", "PATHS", "PathOfTest", "Verdict", "campaign"]

MS = 1e-3
AHEAD_S = 25 * MS
REFERENCE_AHEAD_S = 10 * MS


@dataclass(frozen=True, slots=True)
class PathOfTest:
    """One way out and back, and what the probe is told of it."""

    out: Way
    back: Way
    known: KnownPath | None = None


PATHS: Mapping[str, PathOfTest] = {
    "clean": PathOfTest(Way(1 * MS), Way(1 * MS)),
    "asymmetric": PathOfTest(Way(5 * MS), Way(1 * MS)),
    "lossy": PathOfTest(Way(1 * MS, loss=0.15), Way(1 * MS, loss=0.15)),
    "jittery": PathOfTest(Way(1 * MS, jitter_s=4 * MS), Way(1 * MS, jitter_s=2 * MS)),
    # What is declared leaves 0.2 ms of room: the relay's delay counts from a stamp a little before the probe's own.
    "jittery, length known": PathOfTest(
        Way(1 * MS, jitter_s=4 * MS), Way(1 * MS, jitter_s=2 * MS), KnownPath(minimum_delay_s=1.8 * MS)
    ),
    "asymmetric, declared": PathOfTest(Way(5 * MS), Way(1 * MS), KnownPath(5.8 * MS, 4 * MS, 0.2 * MS, 0.1 * MS)),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of the claims of a campaign: how many, beyond their bound, within U; greatest error and mean bound, s; polls lost."""

    claims: int
    beyond_bound: int
    within_u: int
    worst_s: float
    mean_bound_s: float
    lost: int


def campaign(path: PathOfTest, count: int, *, interval_s: float = 0.004) -> Verdict:
    """`count` exchanges with each of two chronyds behind the path; the claims of the one against the other."""
    with (
        relayed_pair(out=path.out, back=path.back) as (pair, _),
        Chronyd(inside=pair.server) as reference,
        Chronyd(inside=pair.server, port=1123) as server,
    ):
        reference.step(REFERENCE_AHEAD_S)
        server.step(AHEAD_S)
        addresses = (f"{pair.server_ipv4}:123", f"{pair.server_ipv4}:1123")
        rows = pair.client.call(partial(_measure, addresses, path.known, count, interval_s))
    true_s = AHEAD_S - REFERENCE_AHEAD_S
    claims = [row for row in rows if "time_error_s" in row]
    errors = [abs(_number(row, "time_error_s") - true_s) for row in claims]
    bounds = [_number(row, "time_error_bound_s") for row in claims]
    expanded = [_number(row, "time_error_expanded_s") for row in claims]
    return Verdict(
        len(claims),
        sum(error > bound for error, bound in zip(errors, bounds, strict=True)),
        sum(error <= u for error, u in zip(errors, expanded, strict=True)),
        max(errors),
        sum(bounds) / len(bounds),
        sum("reason" in row for row in rows),
    )


def _number(row: Mapping[str, FieldValue], name: str) -> float:
    value = row[name]
    assert isinstance(value, float)
    return value


def _measure(
    addresses: tuple[str, str], known: KnownPath | None, count: int, interval_s: float
) -> Sequence[Mapping[str, FieldValue]]:
    """The rows of the target, whole; to be called in the probe's namespace."""
    reference = TargetSettings(
        "reference", "ntp", addresses[0], interval_s=0.05, timeout_s=0.05, tie=Tie("UTC(LAB)"), path=known
    )
    target = TargetSettings(
        "server", "ntp", addresses[1], interval_s=0.05, timeout_s=0.05, reference="reference", path=known
    )
    settings = ProbeSettings(SiteSettings("lab", "probe"), (reference, target), SpoolSettings(Path()))
    pipeline = Pipeline(settings)
    rows: dict[int, Mapping[str, FieldValue]] = {}

    async def run() -> None:
        kind = load_kind("ntp")
        engine = kind.open(EngineContext(settings, lambda event: None, lambda: 0))
        probers = {each.name: await engine.open_target(each) for each in settings.targets}
        for _ in range(count):
            for name, prober in probers.items():
                take(pipeline.outcomes(name, await prober.poll(), time.time_ns()))
            await asyncio.sleep(interval_s)
        for name, prober in probers.items():
            take(pipeline.outcomes(name, await prober.close(), time.time_ns()))
        take(pipeline.flush())
        await engine.close()

    def take(records: Sequence[Record]) -> None:
        rows.update({record.at_ns: record.fields for record in records if record.tags["target"] == "server"})

    asyncio.run(run())
    return list(rows.values())


if TYPE_CHECKING:
    from timesync.model import Record
