"""All references of a site together: compared with each other, voted on, and given to the targets in the order of their
preference.

Rule: references are compared where they are all known at one instant, by the same interpolation and the same bounds as targets
are; what one of them has done wrong is told as an event, shown as a metric and kept as rows. With one reference, or none, there
is nothing to do. Pure: time is a parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.model import Event, Record, Severity
from timesync.reasons import REASONS, Reason
from timesync.reference.agreement import UTC_K_APART_S, AgreementWatch, Difference, Interval, Standing, differences
from timesync.reference.fallback import Preference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.model import FieldValue
    from timesync.reference.differencing import Differencer, LocalReference
    from timesync.reference.fallback import Changed

__all__ = ["REFERENCE_DIFFERENCE", "References", "changed_event"]

REFERENCE_DIFFERENCE = "reference_difference"
LOCAL = "local"
# How often references are compared, and how often that is a row, s.
COMPARE_EVERY_S = 16.0
ROW_EVERY_S = 64.0
NS = 1_000_000_000


class References:
    """`configure` with the differencers and orders of preference; `look` once a second; `unusable` says why one is not used."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        """`tags`: site and probe of the rows."""
        self._tags = tags
        self._differencers: Mapping[str, Differencer] = {}
        self._local: LocalReference | None = None
        self.preferences: dict[tuple[str, ...], Preference] = {}
        self.watch = AgreementWatch()
        self.newest: Sequence[Difference] = ()
        self._max_age_ns = 0
        self._settle_ns = 0
        self._begun_ns: int | None = None
        self._epoch = 0
        self._epoch_since_ns: int | None = None
        self._compared_ns: int | None = None
        self._voted_at_ns: int | None = None
        self._told_ns: int | None = None

    def configure(
        self,
        differencers: Mapping[str, Differencer],
        local: LocalReference | None,
        orders: Sequence[tuple[str, ...]],
        *,
        max_age_s: float,
        settle_s: float,
    ) -> None:
        """Take new settings; an order that was there before keeps the reference that it uses."""
        self._differencers, self._local = differencers, local
        self._max_age_ns, self._settle_ns = round(max_age_s * NS), round(settle_s * NS)
        self.preferences = {
            order: self.preferences.get(order) or Preference(order) for order in orders if len(order) > 1
        }
        self.watch.keep(list(differencers))
        self.newest = [each for each in self.newest if {each.reference, each.other} <= set(differencers)]
        self._begun_ns = None

    def in_use(self, order: tuple[str, ...]) -> str | None:
        """The reference of an order that is used now."""
        preference = self.preferences.get(order)
        return preference.current if preference is not None else order[0] if order else None

    def changes(self, order: tuple[str, ...], name: str | None) -> int:
        """How often an order's reference had changed when `name` was last taken."""
        preference = self.preferences.get(order)
        return 0 if preference is None or name is None else preference.changed_at.get(name, preference.changes)

    def shown(self) -> tuple[Sequence[tuple[str, str, float, float]], Mapping[str, str]]:
        """For the metrics: the newest differences (one, other, difference, bound; s) and standings. Empty with one reference."""
        pairs = [(each.reference, each.other, each.difference_s, each.bound_s) for each in self.newest]
        return pairs, {name: standing.value for name, standing in self.watch.standing.items()}

    @property
    def voting(self) -> bool:
        """Whether a vote has consequences: somebody has a fallback."""
        return bool(self.preferences)

    def clock_stepped(self, epoch: int, at_ns: int) -> None:
        """The probe's clock has a new epoch: references have their greatest age from then on to be measured again."""
        self._epoch, self._epoch_since_ns = epoch, at_ns

    def outvoted(self, name: str) -> bool:
        """Whether a majority of the others says that this one is wrong, and that has consequences."""
        return self.voting and self.watch.standing.get(name) is Standing.OUTVOTED

    def unusable(self, name: str, now_ns: int) -> Reason | None:
        """Why a reference cannot be used now; None if it can."""
        if name == LOCAL:
            return Reason.NO_REFERENCE if self._local is None else self._local.unusable(now_ns, self._epoch)
        differencer = self._differencers.get(name)
        if differencer is None:
            return Reason.NO_REFERENCE
        untied = differencer.tie.why_not(now_ns)
        if untied is not None:
            return untied
        if self.outvoted(name):
            return Reason.REFERENCE_OUTVOTED
        newest = differencer.newest
        since_ns = self._begun_ns if self._epoch_since_ns is None else self._epoch_since_ns
        if newest is not None and newest.clock_epoch == self._epoch:
            since_ns = newest.at_ns if since_ns is None else max(since_ns, newest.at_ns)
        fresh = since_ns is not None and now_ns - since_ns <= self._max_age_ns
        return None if fresh else Reason.REFERENCE_STALE

    def look(self, now_ns: int) -> tuple[list[tuple[Preference, Changed]], list[Event], list[Record]]:
        """Compare and choose: preferences whose reference has changed, events, rows."""
        if self._begun_ns is None:
            self._begun_ns = now_ns
        events, rows = self._compare(now_ns)
        changed = []
        for preference in self.preferences.values():
            change = preference.look(lambda name: self.unusable(name, now_ns), now_ns, self._settle_ns)
            if change is not None:
                changed.append((preference, change))
        return changed, events, rows

    def _compare(self, now_ns: int) -> tuple[list[Event], list[Record]]:
        if len(self._differencers) < 2 or not _due(now_ns, self._compared_ns, COMPARE_EVERY_S):
            return [], []
        self._compared_ns = now_ns
        found = self._intervals(now_ns)
        if found is None or len(found[1]) < 2 or found[0] == self._voted_at_ns:
            return [], []
        at_ns, intervals = found
        self._voted_at_ns = at_ns
        events = self.watch.observe(intervals, at_ns)
        self.newest = differences(intervals)
        if not events and not _due(now_ns, self._told_ns, ROW_EVERY_S):
            return events, []
        self._told_ns = now_ns
        return events, [self._row(each, at_ns) for each in self.newest]

    def _intervals(self, now_ns: int) -> tuple[int, dict[str, Interval]] | None:
        """Each fresh reference's interval at the latest instant that all of them reach."""
        fresh = {}
        for name, differencer in self._differencers.items():
            newest = differencer.newest
            if newest is None or newest.clock_epoch != self._epoch or differencer.tie.why_not(now_ns) is not None:
                continue
            if 0 <= now_ns - newest.at_ns <= self._max_age_ns:
                fresh[name] = differencer
        if not fresh:
            return None
        at_ns = min(each.newest.at_ns for each in fresh.values() if each.newest is not None)
        # Where they realise several UTC(k), those may differ.
        apart_s = UTC_K_APART_S if len({each.tie.realises for each in fresh.values()}) > 1 else 0.0
        intervals = {}
        for name, differencer in fresh.items():
            known = differencer.interval(self._epoch, at_ns)
            if known is not None:
                intervals[name] = Interval(known[0], known[1] + apart_s)
        return at_ns, intervals

    def _row(self, each: Difference, at_ns: int) -> Record:
        fields: dict[str, FieldValue] = {
            "difference_s": each.difference_s,
            "difference_bound_s": each.bound_s,
            "agrees": each.agrees,
            "standing": self.watch.standing.get(each.reference, Standing.AGREES).value,
            "other_standing": self.watch.standing.get(each.other, Standing.AGREES).value,
        }
        tags = {**self._tags, "target": each.reference, "reference": each.other}
        return Record(REFERENCE_DIFFERENCE, at_ns, tags, fields)


def _due(now_ns: int, last_ns: int | None, every_s: float) -> bool:
    return last_ns is None or not 0 <= now_ns - last_ns < every_s * NS


def changed_event(change: Changed, changes: int, targets: Sequence[str], now_ns: int) -> Event:
    """The event of another reference for these targets."""
    shown = ", ".join(targets) if len(targets) <= 6 else f"{', '.join(targets[:5])} and {len(targets) - 5} more"
    if change.why is None:
        why, severity = f"{change.chosen} is preferred and can be used again", Severity.INFO
    else:
        meaning = REASONS[change.why]
        why, severity = f"{change.former}: {meaning.text}; {meaning.remedy}", Severity.WARNING
    text = f"{shown}: compared with {change.chosen} from now on, not with {change.former} ({why})"
    evidence: dict[str, FieldValue] = {
        "former": change.former,
        "chosen": change.chosen,
        "targets": len(targets),
        "changes": changes,
        "members": ",".join(targets[:100]),  # a database's text has an end
        "cause": "preferred" if change.why is None else change.why.value,
    }
    return Event("reference_changed", now_ns, severity, text, None, evidence)
