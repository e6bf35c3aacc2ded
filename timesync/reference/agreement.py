"""Do the references agree? Each says that UTC(k) lies within its bound; the majority whose intervals meet outvotes the rest.

Rule: at one instant every reference gives an interval, its offset from the probe's clock plus and minus its whole bound (path,
precision, its own root distance, its tie). The intersection that most intervals share is the truth as far as it can be known;
where a strict majority shares it, those outside are outvoted; where none does, it is undecided. What is seen must be seen
`IN_A_ROW` times. Pure: time is a parameter.

Source: Marzullo's algorithm as in RFC 5905 section 11.2.1 (the intersection of correctness intervals), without its ranking.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from timesync.model import Event, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.model import FieldValue

__all__ = ["AgreementWatch", "Difference", "Interval", "Standing", "Vote", "differences", "vote"]

IN_A_ROW = 3
# Two UTC(k) may differ: each laboratory keeps its own within 100 ns of UTC (Recommendation ITU-R TF.536-2 and CCTF practice), s.
UTC_K_APART_S = 100e-9


class Standing(StrEnum):
    """How a reference stands with the others."""

    AGREES = "agrees"
    OUTVOTED = "outvoted"
    UNDECIDED = "undecided"
    ALONE = "alone"


class Interval(NamedTuple):
    """UTC(k) minus the probe's clock by one reference, s: the middle and the hard bound."""

    middle_s: float
    bound_s: float

    @property
    def low_s(self) -> float:
        """Its lower end."""
        return self.middle_s - self.bound_s

    @property
    def high_s(self) -> float:
        """Its upper end."""
        return self.middle_s + self.bound_s


class Difference(NamedTuple):
    """One reference minus another, s; further apart than `bound_s` they cannot both be right."""

    reference: str
    other: str
    difference_s: float
    bound_s: float

    @property
    def agrees(self) -> bool:
        """Whether both may be right."""
        return abs(self.difference_s) <= self.bound_s


@dataclass(frozen=True, slots=True)
class Vote:
    """What the references say together: each one's standing, and the interval that the majority shares (None: there is none)."""

    standing: Mapping[str, Standing]
    shared: Interval | None


def vote(intervals: Mapping[str, Interval]) -> Vote:
    """The strict majority's intersection, and who is outside of it."""
    if len(intervals) < 2:
        return Vote(dict.fromkeys(intervals, Standing.ALONE), None)
    # At equal places ends count after beginnings: intervals that touch agree.
    edges = sorted([(each.low_s, 0) for each in intervals.values()] + [(each.high_s, 1) for each in intervals.values()])
    most, depth = 0, 0
    regions: list[tuple[float, float]] = []
    for (at_s, is_end), (next_s, _) in zip(edges, [*edges[1:], edges[-1]], strict=True):
        depth += -1 if is_end else 1
        if depth > most:
            most, regions = depth, []
        if depth == most and not is_end:
            regions.append((at_s, next_s))
    if 2 * most <= len(intervals):
        return Vote(dict.fromkeys(intervals, Standing.UNDECIDED), None)
    standing = {name: _standing(each, regions) for name, each in intervals.items()}
    low_s, high_s = regions[0][0], regions[-1][1]
    return Vote(standing, Interval((low_s + high_s) / 2.0, (high_s - low_s) / 2.0))


def _standing(interval: Interval, regions: Sequence[tuple[float, float]]) -> Standing:
    """In all regions that most intervals share: it agrees; in none: outvoted; in one of several: who knows."""
    inside = [interval.low_s <= low_s and high_s <= interval.high_s for low_s, high_s in regions]
    return Standing.AGREES if all(inside) else Standing.UNDECIDED if any(inside) else Standing.OUTVOTED


def differences(intervals: Mapping[str, Interval]) -> list[Difference]:
    """Every pair, in the references' order."""
    names = list(intervals)
    return [
        Difference(
            one,
            other,
            intervals[one].middle_s - intervals[other].middle_s,
            intervals[one].bound_s + intervals[other].bound_s,
        )
        for index, one in enumerate(names)
        for other in names[index + 1 :]
    ]


class AgreementWatch:
    """How each reference stands, once it has stood so for `IN_A_ROW` votes; tells when it changes."""

    def __init__(self) -> None:
        self.standing: dict[str, Standing] = {}
        self._pending: dict[str, tuple[Standing, int]] = {}

    def keep(self, names: Sequence[str]) -> None:
        """Forget all other references."""
        self.standing = {name: standing for name, standing in self.standing.items() if name in names}
        self._pending = {name: pending for name, pending in self._pending.items() if name in names}

    def observe(self, intervals: Mapping[str, Interval], at_ns: int) -> list[Event]:
        """The next vote, at an instant (Unix ns); the events of standings that have changed."""
        result = vote(intervals)
        changed: dict[str, Standing] = {}
        for name, standing in result.standing.items():
            before, count = self._pending.get(name, (standing, 0))
            count = count + 1 if before is standing else 1
            self._pending[name] = (standing, count)
            if count >= IN_A_ROW and self.standing.get(name) is not standing:
                changed[name] = standing
        was = {name: self.standing.get(name, Standing.AGREES) for name in changed}
        self.standing.update(changed)
        return _events(changed, was, result, intervals, at_ns)


def _events(
    changed: Mapping[str, Standing],
    was: Mapping[str, Standing],
    result: Vote,
    intervals: Mapping[str, Interval],
    at_ns: int,
) -> list[Event]:
    events = []
    agreeing = [name for name, standing in result.standing.items() if standing is Standing.AGREES]
    for name, standing in changed.items():
        if standing is Standing.OUTVOTED and result.shared is not None:
            off_s = intervals[name].middle_s - result.shared.middle_s
            bound_s = intervals[name].bound_s + result.shared.bound_s
            evidence: dict[str, FieldValue] = {
                "difference_s": off_s,
                "bound_s": bound_s,
                "members": name,
                "witnesses": ",".join(agreeing),
            }
            text = (
                f"{name} is outvoted: it is {off_s:+.3e} s from what {', '.join(agreeing)} agree on, more than all bounds "
                f"together, {bound_s:.3e} s, allow. Look at it; its tie or its own claim of how good it is cannot be true"
            )
            events.append(Event("reference_outvoted", at_ns, Severity.ERROR, text, name, evidence))
        elif was[name] is Standing.OUTVOTED:
            text = f"{name} is no longer outvoted: it is {standing.value} now"
            events.append(Event("reference_outvoted_over", at_ns, Severity.INFO, text, name))
    undecided = [name for name, standing in changed.items() if standing is Standing.UNDECIDED]
    if undecided:
        apart = max(differences(intervals), key=lambda each: abs(each.difference_s) - each.bound_s)
        text = (
            f"the references {', '.join(undecided)} disagree, and there is no majority: {apart.reference} minus "
            f"{apart.other} is {apart.difference_s:+.3e} s, beyond both bounds, {apart.bound_s:.3e} s. A third would decide"
        )
        evidence = {
            "members": ",".join(undecided),
            "difference_s": apart.difference_s,
            "bound_s": apart.bound_s,
        }
        events.append(Event("references_disagree", at_ns, Severity.ERROR, text, None, evidence))
    agreed = [name for name in changed if was[name] is Standing.UNDECIDED]
    if agreed and not undecided:
        text = f"the references {', '.join(agreed)} can be told apart again, or agree"
        events.append(Event("references_disagree_over", at_ns, Severity.INFO, text))
    return events
