"""Whether the daemon is alive and ready, as checks with a reason each.

Rule: alive means that restarting it would not help; ready means that what it is for is being done. A check always says
in words what it saw. Pure: the facts come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Check", "is_well", "liveness", "readiness", "report"]

LOOP_LAG_LIMIT_S = 10.0
"""An event loop that wakes up later than this does not measure any more."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its name, whether it is well, and what was seen."""

    name: str
    well: bool
    detail: str


def liveness(*, heartbeat_age_s: float | None) -> Sequence[Check]:
    """The checks of /healthz. `heartbeat_age_s`: since the daemon's main loop last turned; None before its first turn."""
    if heartbeat_age_s is None:
        return [Check("event loop", well=True, detail="starting")]
    well = heartbeat_age_s <= LOOP_LAG_LIMIT_S
    return [Check("event loop", well=well, detail=f"turned {heartbeat_age_s:.1f} s ago, limit {LOOP_LAG_LIMIT_S:g} s")]


def readiness(*, polls_by_engine: Mapping[str, int], spool_problem: str | None) -> Sequence[Check]:
    """The checks of /readyz.

    `polls_by_engine`: completed polls (measured or missed) of each engine in use, by its kind. `spool_problem`: why the
    spool accepts no writes, None if it does.
    """
    checks = [
        Check(f"engine {kind}", well=polls > 0, detail=f"{polls} polls completed" if polls else "no poll completed yet")
        for kind, polls in sorted(polls_by_engine.items())
    ]
    if not checks:
        checks.append(Check("engines", well=False, detail="no engine is open"))
    checks.append(Check("spool", well=spool_problem is None, detail=spool_problem or "accepts writes"))
    return checks


def is_well(checks: Sequence[Check]) -> bool:
    """All of them."""
    return all(check.well for check in checks)


def report(checks: Sequence[Check]) -> dict[str, object]:
    """The JSON body: `status` "ok" or "failing", and each check."""
    return {
        "status": "ok" if is_well(checks) else "failing",
        "checks": [{"name": check.name, "ok": check.well, "detail": check.detail} for check in checks],
    }
