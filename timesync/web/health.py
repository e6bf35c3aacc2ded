"""Whether the daemon is alive and ready, as checks with a reason each.

Rule: alive means that restarting it would not help; ready means that what it is for is being done. A check always says
in words what it saw. Pure: the facts come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.measuring import Polled

__all__ = ["Check", "is_well", "liveness", "readiness", "report"]

LOOP_LAG_LIMIT_S = 10.0
"""An event loop that wakes up later than this does not measure any more; nor does a schedule whose polls are as late."""

PERIODS = 3.0
"""An engine that has completed no poll for so many of its shortest intervals, time-outs included, does not do its work."""

GRACE_S = 5.0
"""On top of that, so that a stall of some seconds does not take a probe with fast targets out of service."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its name, whether it is well, and what was seen."""

    name: str
    well: bool
    detail: str


def liveness(*, heartbeat_age_s: float | None, overdue_s: float = 0.0) -> Sequence[Check]:
    """The checks of /healthz. `heartbeat_age_s`: since the daemon's main loop last turned; None before its first turn.
    `overdue_s`: for how long a poll has been due that has not begun.
    """
    limit = f"limit {LOOP_LAG_LIMIT_S:g} s"
    if heartbeat_age_s is None:
        return [Check("event loop", well=True, detail="starting")]
    return [
        Check("event loop", heartbeat_age_s <= LOOP_LAG_LIMIT_S, f"turned {heartbeat_age_s:.1f} s ago, {limit}"),
        Check("schedule", overdue_s <= LOOP_LAG_LIMIT_S, f"the next poll is {overdue_s:.1f} s overdue, {limit}"),
    ]


def readiness(*, polled: Mapping[str, Polled], spool_problem: str | None) -> Sequence[Check]:
    """The checks of /readyz.

    `polled`: the completed polls (measured or missed) of each engine in use, by its kind. `spool_problem`: why the spool
    accepts no writes, None if it does.
    """
    checks = [_engine(kind, each) for kind, each in sorted(polled.items())]
    if not checks:
        checks.append(Check("engines", well=False, detail="no engine is open"))
    checks.append(Check("spool", well=spool_problem is None, detail=spool_problem or "accepts writes"))
    return checks


def _engine(kind: str, polled: Polled) -> Check:
    if polled.age_s is None:
        return Check(f"engine {kind}", well=False, detail="no poll completed yet")
    limit_s = PERIODS * polled.period_s + GRACE_S
    detail = f"{polled.polls} polls completed, the newest {polled.age_s:.1f} s ago, limit {limit_s:g} s"
    return Check(f"engine {kind}", polled.age_s <= limit_s, detail)


def is_well(checks: Sequence[Check]) -> bool:
    """All of them."""
    return all(check.well for check in checks)


def report(checks: Sequence[Check]) -> dict[str, object]:
    """The JSON body: `status` "ok" or "failing", and each check."""
    return {
        "status": "ok" if is_well(checks) else "failing",
        "checks": [{"name": check.name, "ok": check.well, "detail": check.detail} for check in checks],
    }
