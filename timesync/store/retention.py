"""When the history may forget: the clock that says what is old is believed only where the records bear it out.

Rule: nothing is deleted on the word of a clock alone. A clock that jumps ahead makes every record look old, and so the records
themselves must have been coming up to the clock's present, for a day, or for a week where what is due reaches back further than
a day. A clock that is right passes by waiting; one that is wrong for a minute deletes nothing. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Verdict", "verdict"]

DAY_NS = 86_400 * 10**9
ORDINARY_NS = DAY_NS
FAR_NS = 7 * DAY_NS
PARTS = 8
PARTS_NEEDED = 6  # a restart or an outage may leave a part empty


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be deleted: what is older than `before_ns` (Unix ns), if `agreed`; else the records do not bear the clock out.

    `due_ns` says how far back what is due reaches (0: nothing is due), `settle_ns` for how long clock and records must agree.
    """

    before_ns: int
    due_ns: int
    settle_ns: int
    agreed: bool


def verdict(now_ns: int, retention_ns: int, oldest_ns: int | None, has_record: Callable[[int, int], bool]) -> Verdict:
    """Judge the clock's present by what is stored.

    `oldest_ns` is the oldest record's instant, None in an empty history; `has_record(start_ns, end_ns)` says whether there is a
    record with start_ns <= instant < end_ns. All in Unix ns.
    """
    before_ns = now_ns - retention_ns
    due_ns = 0 if oldest_ns is None else max(0, before_ns - oldest_ns)
    wanted_ns = ORDINARY_NS if due_ns <= ORDINARY_NS else FAR_NS
    settle_ns = min(wanted_ns, retention_ns // 2)
    if not due_ns:
        return Verdict(before_ns, 0, settle_ns, agreed=True)
    edges = [now_ns - settle_ns * (PARTS - number) // PARTS for number in range(PARTS)] + [now_ns + 1]
    held = sum(has_record(start, end) for start, end in pairwise(edges))
    return Verdict(before_ns, due_ns, settle_ns, agreed=held >= PARTS_NEEDED)
