"""Who does not answer any more: one clock, some, or all, which is the network at the probe.

Rule: `SILENT_POLLS` polls in a row without a measurement make a clock silent, one with ends it. The reason of the misses says
whose it is where it can: a server that answers that it is not synchronised is there. Silence alone does not tell a server from
its path. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.attribution.judge import Fault, Finding, Kind
from timesync.reasons import REASONS, Whose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.attribution.ledger import Ledger
    from timesync.attribution.member import Member

__all__ = ["SilenceWatch"]

SILENT_POLLS = 4
# How long a silence waits for others, in intervals of the slowest, to be one event with theirs.
SILENCE_WAITS = 2.0

WHOSE = {reason.value: meaning.whose for reason, meaning in REASONS.items()}
SAYS: Mapping[Whose, tuple[Fault, float, str]] = {
    Whose.SERVER: (Fault.SERVER, 0.9, "it answers, or its host does, that it cannot be used"),
    Whose.NETWORK: (Fault.UNDECIDED, 0.5, "nothing comes back: the server is down, or the path is cut"),
}
ELSE = (Fault.UNDECIDED, 0.3, "it gives no measurement")


class SilenceWatch:
    """Since when somebody new is silent."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since_s: float | None = None

    def look(self, members: Mapping[str, Member]) -> Sequence[Finding]:
        """Verdicts on those that have fallen silent, when others have had time to do the same."""
        for active in self._ledger.active.values():
            if active.finding.kind is Kind.SILENCE:
                silent_still = any(name in members and members[name].missed for name in active.finding.members)
                self._ledger.mark(active, gone_back=not silent_still)
        silent = [member for member in members.values() if member.missed >= SILENT_POLLS]
        if not silent:
            self._since_s = None
            return ()
        known = self._ledger.concerned(None, Kind.SILENCE)
        new = [member for member in silent if member.name not in known]
        if not new:
            self._since_s = None
            return ()
        now_s = self._ledger.now_s
        if self._since_s is None:
            self._since_s = now_s
        wait_s = SILENCE_WAITS * max(member.interval_s for member in members.values())
        everybody = len(silent) == len(members)
        if now_s - self._since_s < wait_s and not everybody:
            return ()
        self._since_s = None
        if everybody and len(silent) > 1:
            note = "nobody answers: the network at the probe, or what all share"
            names = tuple(member.name for member in silent)
            return (Finding(Fault.PATH, Kind.SILENCE, names, (), len(names), 0.8, note=note),)
        answering = tuple(member.name for member in members.values() if not member.missed)
        groups = ([member for member in new if WHOSE[member.missed_reason] is whose] for whose in Whose)
        return [_finding(group, answering) for group in groups if group]


def _finding(group: Sequence[Member], answering: tuple[str, ...]) -> Finding:
    fault, confidence, note = SAYS.get(WHOSE[group[0].missed_reason], ELSE)
    names = tuple(member.name for member in group)
    reasons = ", ".join(sorted({member.missed_reason for member in group}))
    voters = len(answering) + len(names)
    return Finding(fault, Kind.SILENCE, names, answering, voters, confidence, note=f"{note} ({reasons})")
