"""Whose scatter has grown: a clock's, a path's, or that of the pivot, which shows in everybody's.

Rule: a clock is noisy when `NOISY` of its last 16 points are outliers of what was usual before, and calm again at `CALM`; its
usual scatter stays what it was meanwhile. Where its delay has outliers too, it is the path that is congested. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.attribution.detector import CALM, NOISY
from timesync.attribution.judge import Fault, Finding, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.attribution.ledger import Ledger
    from timesync.attribution.member import Member

__all__ = ["ScatterWatch", "is_delayed", "is_restless"]

# Outliers among the last 16 points: from where a clock may be on its way to be noisy, and from where its delay is not what it was.
RESTLESS = 4
DELAYED = 3
# How long a scatter waits for others, in points, to be one event with theirs.
NOISE_WAITS = 4.0


def is_restless(member: Member) -> bool:
    """Whether its difference from the pivot scatters more than usual, perhaps."""
    return member.detectors[0].difference.register.bit_count() >= RESTLESS


def is_delayed(member: Member) -> bool:
    """Whether its delay does."""
    return member.detectors[0].delay.register.bit_count() >= DELAYED


class ScatterWatch:
    """Which clocks have become noisy and have not had a verdict yet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._noisy: set[str] = set()
        self._since_s: float | None = None

    def note(self, member: Member) -> None:
        """A point of this clock has come."""
        fine = member.detectors[0]
        if fine.difference.register.bit_count() >= NOISY and not fine.noisy and fine.change is None:
            fine.noisy = True
            self._noisy.add(member.name)

    def forget(self, name: str | None = None) -> None:
        """A clock that is gone; all of them, without a name."""
        self._noisy = set() if name is None else self._noisy - {name}

    def look(self, members: Mapping[str, Member], pivot: Member, live: Callable[[Member], bool]) -> Sequence[Finding]:
        """Verdicts on those whose scatter has grown, when others have had time to show the same."""
        self._calm_down(members, pivot)
        now_s = self._ledger.now_s
        if not self._noisy:
            self._since_s = None
            return ()
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < NOISE_WAITS * max(members[name].period_s for name in self._noisy):
            return ()
        names, self._noisy, self._since_s = self._noisy, set(), None
        known = self._ledger.concerned(None, Kind.NOISE, Kind.CONGESTION)
        if pivot.name in known:
            return ()
        others = [m for m in members.values() if m is not pivot and live(m) and m.detectors[0].difference.ready]
        restless = [m for m in others if is_restless(m) or m.name in names]
        pivot_too = pivot.detectors[0].raw.register.bit_count() >= RESTLESS or is_delayed(pivot)
        if 2 * len(restless) > len(others) and (len(others) > 1 or pivot_too):
            for member in (*others, pivot):
                member.detectors[0].noisy = True  # as long as it scatters, nothing else can be told from its scatter
            return (self._finding([pivot], others),)
        new = [members[name] for name in sorted(names) if name not in known]
        groups = ([m for m in new if is_delayed(m) is congested] for congested in (True, False))
        return [self._finding(group, others) for group in groups if group]

    def _finding(self, group: Sequence[Member], others: Sequence[Member]) -> Finding:
        names = tuple(member.name for member in group)
        changed = self._ledger.concerned(Fault.PATH)
        delayed = all(is_delayed(member) or member.name in changed for member in group)
        fault = Fault.PATH if delayed else Fault.REFERENCE if group[0].is_reference else Fault.SERVER
        kind = Kind.CONGESTION if delayed else Kind.NOISE
        witnesses = tuple(member.name for member in others if member.name not in names)
        note = "its delay scatters too" if delayed else "its delay is as steady as before"
        confidence = 0.8 if len(witnesses) > 1 else 0.6
        return Finding(fault, kind, names, witnesses, len(witnesses) + len(names), confidence, note=note)

    def _calm_down(self, members: Mapping[str, Member], pivot: Member) -> None:
        calmed = False
        for member in members.values():
            fine = member.detectors[0]
            if fine.noisy:
                registers = (fine.difference.register, fine.delay.register, fine.raw.register if member is pivot else 0)
                if all(register.bit_count() <= CALM for register in registers):
                    fine.noisy = False
                    self._noisy.discard(member.name)
                    calmed = True
        if not calmed:
            return
        others = [m for m in members.values() if m is not pivot]
        most_are_calm = 2 * sum(not m.detectors[0].noisy for m in others) > len(others)
        for active in self._ledger.scattering():
            concerned = [members[name] for name in active.finding.members if name in members]
            calm = most_are_calm if pivot in concerned else not any(m.detectors[0].noisy for m in concerned)
            if calm:
                self._ledger.mark(active, gone_back=True)
