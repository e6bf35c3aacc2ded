"""Who moved? A vote of clocks on what they saw of one change, and the path told from the server by the delay.

Rule: each clock says how far it moved against a common one, the pivot; those that agree, within what each knows, are of one mind,
and the strict majority of all that can see a change of that size stood still. Whoever is outside has moved. The probe's own clock
has a vote where the change is beyond what its oscillator can do unnoticed. No majority: the verdict is that it cannot be decided.

A change of the path moves the delay too: one way longer by d moves the delay by d and the offset by d/2 (RFC 5905 section 8),
both ways less than that. What moves further than half the delay did is no path alone.

Source: the median clock as the truth of an ensemble, as in Marzullo and Owicki, "Maintaining the time in a distributed system"
(1985). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Fault", "Finding", "Kind", "Stand", "judge"]

# Clocks agree within their tolerances and this share of what is compared.
AGREEING_SHARE = 0.1
# An offset of at least this share of half the delay's change: one direction has changed, not both.
ONE_WAY_SHARE = 0.8
# Voters that are tried as the middle of a majority.
CENTRES = 32
# The name of the probe's clock among the others; no target can have it (timesync/config/schema.py).
PROBE = "(probe)"


class Fault(StrEnum):
    """Whose fault it is."""

    PROBE = "probe_clock"
    PATH = "path"
    SERVER = "server"
    REFERENCE = "reference"
    UNDECIDED = "undecided"


class Kind(StrEnum):
    """How it changed."""

    STEP = "step"
    DRIFT = "drift"
    NOISE = "noise"
    ROUTE = "route"
    CONGESTION = "congestion"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a clock moved against the pivot, s, and how well it can tell; its delay's change likewise. `rate`: of the move, s/s.

    `bound_s`: how far the path can deceive about its offset at all (half of its delay, RFC 5905).
    """

    name: str
    moved_s: float
    tolerance_s: float
    rate: float = 0.0
    delay_s: float = 0.0
    delay_tolerance_s: float = 0.0
    bound_s: float = 0.0
    is_reference: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict: whose fault, how it changed, whom it concerns; `moved_s` is against those that stood still.

    `witnesses` are those that stood still; `voters` how many could have seen it. Confidence is 0 to 1, by the rule in
    `_confidence`.
    """

    fault: Fault
    kind: Kind
    members: tuple[str, ...]
    witnesses: tuple[str, ...]
    voters: int
    confidence: float
    moved_s: float = 0.0
    rate: float = 0.0
    delay_s: float = 0.0
    note: str = ""


def judge(stands: Sequence[Stand], probe: Stand | None) -> list[Finding]:
    """The verdicts on one change. `stands`: every clock that could have seen it, those that stood still too; `probe`: its own
    clock, None where it cannot tell. The pivot is among the stands, with `moved_s` 0.
    """
    shared = _shared_path(stands, probe)
    if shared is not None:
        return [shared]
    voters = [*stands, probe] if probe is not None else list(stands)
    still = _majority(voters)
    if still is None:
        return _undecided(stands, voters)
    frame_s = median(each.moved_s for each in still if each is not probe or len(still) == 1)
    frame_rate = median(each.rate for each in still)
    witnesses = tuple(each.name for each in still)
    findings = []
    for each in stands:
        moved_s = each.moved_s - frame_s
        by_path = each.delay_s != 0.0 and _by_path(moved_s, each)
        if each in still and not by_path:
            continue
        others = tuple(name for name in witnesses if name != each.name)
        fault = Fault.PATH if by_path else Fault.REFERENCE if each.is_reference else Fault.SERVER
        rate = each.rate - frame_rate
        kind = Kind.ROUTE if by_path else Kind.DRIFT if rate else Kind.STEP
        note = _path_note(moved_s, each) if by_path else _server_note(moved_s, each)
        confidence = _confidence(each, moved_s, len(still), len(voters), by_path=by_path)
        findings.append(
            Finding(fault, kind, (each.name,), others, len(voters), confidence, moved_s, rate, each.delay_s, note)
        )
    if probe is not None and probe not in still:
        moved_s = probe.moved_s - frame_s
        rate = probe.rate - frame_rate
        kind = Kind.DRIFT if rate else Kind.STEP
        confidence = _confidence(probe, moved_s, len(still), len(voters), by_path=False)
        findings.append(Finding(Fault.PROBE, kind, (), witnesses, len(voters), confidence, moved_s, rate))
    return _together(findings)


def _agree(one: Stand, other: Stand) -> bool:
    allowed_s = one.tolerance_s + other.tolerance_s + AGREEING_SHARE * max(abs(one.moved_s), abs(other.moved_s))
    return abs(one.moved_s - other.moved_s) <= allowed_s


def _majority(voters: Sequence[Stand]) -> list[Stand] | None:
    """The strict majority that agrees, or None."""
    best: list[Stand] = []
    # A majority has the median voter in it: of very many, some around the middle are tried as its centre.
    centres = sorted(voters, key=lambda each: each.moved_s)
    if len(centres) > CENTRES:
        quarter = len(centres) // 4
        centres = centres[quarter : -quarter : max(1, len(centres) // (2 * CENTRES))]
    for centre in centres:
        agreeing = [each for each in voters if _agree(centre, each)]
        if len(agreeing) > len(best):
            best = agreeing
    return best if 2 * len(best) > len(voters) else None


def _by_path(moved_s: float, stand: Stand) -> bool:
    """Whether the delay's change explains the move: at most half of it, within what is known."""
    half_s = abs(stand.delay_s) / 2.0
    return abs(moved_s) <= half_s * (1.0 + AGREEING_SHARE) + stand.tolerance_s + stand.delay_tolerance_s / 2.0


def _path_note(moved_s: float, stand: Stand) -> str:
    half_s = abs(stand.delay_s) / 2.0
    if abs(moved_s) < ONE_WAY_SHARE * half_s:
        sort = "both ways" if abs(moved_s) <= max(stand.tolerance_s, 0.2 * half_s) else "both ways, unequally"
        return f"the path changed {sort}"
    # offset = (forth - back) / 2: a longer way to the server makes it seem ahead.
    forth = (moved_s > 0.0) == (stand.delay_s > 0.0)
    return f"only the way {'to' if forth else 'back from'} it changed"


def _server_note(moved_s: float, stand: Stand) -> str:
    if stand.delay_s != 0.0:
        return "the delay changed too, by less than twice as much: the path alone cannot be it"
    if abs(moved_s) > stand.bound_s > 0.0:
        return "further than half its delay: no path can make it seem so"
    return "the delay did not change"


def _confidence(stand: Stand, moved_s: float, still: int, voters: int, *, by_path: bool) -> float:
    """By rule: 0.5 for a bare majority, up to 0.9 with all others against one; 0.05 more where the move is ten times what is
    known; a server that moved within half of its delay may be a path whose two ways changed oppositely: 0.1 less.
    """
    share = still / max(voters - 1, 1)
    confidence = 0.5 + 0.4 * min(1.0, max(0.0, 2.0 * share - 1.0)) * min(1.0, still / 3.0)
    known_s = max(stand.delay_tolerance_s if by_path else stand.tolerance_s, 1e-12)
    if abs(stand.delay_s if by_path else moved_s) > 10.0 * known_s / 4.0:
        confidence += 0.05
    if not by_path and stand.delay_s == 0.0 and stand.bound_s and abs(moved_s) <= stand.bound_s:
        confidence -= 0.1
    if not by_path and stand.delay_s != 0.0:
        confidence -= 0.2
    return round(min(0.99, max(0.1, confidence)), 2)


def _shared_path(stands: Sequence[Stand], probe: Stand | None) -> Finding | None:
    """Every delay changed by the same: the path that all have in common, at the probe; never the probe's clock."""
    if len(stands) < 2 or any(each.delay_s == 0.0 for each in stands):
        return None
    first = stands[0].delay_s
    for each in stands:
        allowed_s = each.delay_tolerance_s + stands[0].delay_tolerance_s + AGREEING_SHARE * abs(first)
        if abs(each.delay_s - first) > allowed_s or not _agree(each, stands[0]):
            return None
    moved_s = -probe.moved_s if probe is not None else 0.0
    names = tuple(each.name for each in stands)
    if probe is not None and abs(moved_s) > abs(first) / 2.0 * (1.0 + AGREEING_SHARE) + probe.tolerance_s:
        return None
    confidence = 0.9 if len(stands) > 2 else 0.75
    note = "the part of the path that all share, at the probe"
    return Finding(Fault.PATH, Kind.ROUTE, names, (), len(stands), confidence, moved_s, 0.0, first, note)


def _undecided(stands: Sequence[Stand], voters: Sequence[Stand]) -> list[Finding]:
    """Nobody has a majority; but a delay that changed by enough still says that it was the path."""
    movers = [each for each in stands if each.delay_s != 0.0]
    spread_s = max(each.moved_s for each in voters) - min(each.moved_s for each in voters)
    if len(movers) == 1 and _by_path(spread_s, movers[0]):
        mover = movers[0]
        note = "by its delay alone: nobody else could tell"
        others = tuple(each.name for each in voters if each is not mover)
        return [
            Finding(Fault.PATH, Kind.ROUTE, (mover.name,), others, len(voters), 0.7, spread_s, 0.0, mover.delay_s, note)
        ]
    rate = max((each.rate for each in voters), key=abs)
    names = tuple(each.name for each in voters)
    note = "no majority among those that could see it"
    if len(voters) == 1:
        note = "nobody else could see it: it, or the probe's clock"
    kind = Kind.DRIFT if rate else Kind.STEP
    return [Finding(Fault.UNDECIDED, kind, names, (), len(voters), 0.3, spread_s, rate, note=note)]


def _together(findings: Sequence[Finding]) -> list[Finding]:
    """One verdict for those whose fault is the same: the same sort of change by the same amount."""
    groups: list[list[Finding]] = []
    for finding in findings:
        for group in groups:
            first = group[0]
            same = (first.fault, first.kind, first.note) == (finding.fault, finding.kind, finding.note)
            size_s = max(abs(first.moved_s), abs(first.delay_s))
            near = abs(first.moved_s - finding.moved_s) + abs(first.delay_s - finding.delay_s) <= 0.2 * size_s
            if same and near:
                group.append(finding)
                break
        else:
            groups.append([finding])
    return [
        Finding(
            group[0].fault,
            group[0].kind,
            tuple(name for each in group for name in each.members),
            group[0].witnesses,
            group[0].voters,
            min(each.confidence for each in group),
            group[0].moved_s,
            group[0].rate,
            group[0].delay_s,
            group[0].note,
        )
        for group in groups
    ]
