"""Which reference a target is compared with now: the first of its preference that can be used.

Rule: a reference that cannot be used (stale, expired, outvoted) gives way at once to the next that can; a better one is taken
back only when it could be used for `settle_s` without a break. Each change is counted and told, and rows say by which reference
they are. Where none can be used the last one stays, and its rows say why there is no claim. Pure: time is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from timesync.reasons import Reason

__all__ = ["Changed", "Preference"]


@dataclass(frozen=True, slots=True)
class Changed:
    """Another reference is used; `why` the former cannot be (None: the new one is preferred and can be used again)."""

    former: str
    chosen: str
    why: Reason | None


class Preference:
    """An order of references, and the one in use. `changes` counts; `changed_at[name]` is the count when `name` was last
    chosen."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.current = names[0]
        self.changes = 0
        self.changed_at = {names[0]: 0}
        self._better: str | None = None
        self._better_since_ns = 0

    def look(self, unusable: Callable[[str], Reason | None], now_ns: int, settle_ns: int) -> Changed | None:
        """Judge again at `now_ns`; `unusable` says why a reference cannot be used, or None if it can."""
        why = unusable(self.current)
        if why is not None:
            others = (name for name in self.names if name != self.current and unusable(name) is None)
            chosen = next(others, None)
            return None if chosen is None else self._take(chosen, why)
        preferred = self.names[: self.names.index(self.current)]
        better = next((name for name in preferred if unusable(name) is None), None)
        if better is None or better != self._better or now_ns < self._better_since_ns:
            self._better, self._better_since_ns = better, now_ns
            return None
        return self._take(better, None) if now_ns - self._better_since_ns >= settle_ns else None

    def _take(self, chosen: str, why: Reason | None) -> Changed:
        former, self.current = self.current, chosen
        self.changes += 1
        self.changed_at[chosen] = self.changes
        self._better = None
        return Changed(former, chosen, why)
