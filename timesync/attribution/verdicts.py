"""Verdicts as events: what they are called, what they mean, what to do; and when a fault is over.

Rule: one fault is one event when it is found and one when it is over, however often it comes and goes meanwhile. A fault is
over when what changed has gone back and stayed there for `HOLD_PERIODS` of its points; or when a new level has been kept for
`SETTLED_S` (a new route, say, is no fault for ever), a drift or a scatter for `LASTING_SETTLED_S`. Pure; instants in s on the
attribution's axis, `at_ns` in Unix ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from timesync.attribution.judge import Fault, Finding, Kind
from timesync.model import Event, Severity

if TYPE_CHECKING:
    from timesync.model import FieldValue

__all__ = ["VERDICTS", "Active", "Verdict", "event_kinds", "found_event", "over_event"]

HOLD_PERIODS = 20
SETTLED_S = 3600.0
LASTING_SETTLED_S = 86_400.0
# What is left of a change that has gone back, at most.
LEFT_SHARE = 0.25
# A further change of the same sort is news only if it is so many times larger.
WORSE = 3.0
# Names in one field of an event, at most.
LISTED = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verdict means, and what to do about it."""

    says: str
    remedy: str


VERDICTS: dict[Fault, Verdict] = {
    Fault.PROBE: Verdict(
        "the probe's own clock moved: everything it measures moved together",
        "nothing for UTC(k), from which it cancels; find what sets the probe's clock",
    ),
    Fault.PATH: Verdict(
        "the path changed: the delay moved, and the offset by half of that or less",
        "ask the network's operator; the target's bound has grown or shrunk with its delay and still holds",
    ),
    Fault.SERVER: Verdict(
        "the server is wrong: it alone moved, and its delay did not",
        "look at the server's own source, log and status",
    ),
    Fault.REFERENCE: Verdict(
        "the reference is wrong: it alone moved, so every difference from it did",
        "look at the reference; claims against it since are wrong by as much, name a fallback",
    ),
    Fault.UNDECIDED: Verdict(
        "something moved, and too few clocks saw it to say which",
        "compare by hand; with three clocks beside the probe's it would be decided",
    ),
}
_SILENT = Verdict("no measurement comes from it any more", "see the reason; check the server, then the path to it")
_NOISY = Verdict("it scatters as it did not before", "look at the server's own source, log and load")
SPECIAL: dict[tuple[Fault, Kind], Verdict] = {
    (Fault.PATH, Kind.SILENCE): Verdict("nothing is heard from anybody", "check the probe's own network"),
    (Fault.PATH, Kind.CONGESTION): Verdict(
        "its path is congested: the delay scatters as it did not before, and the offset with it",
        "ask the network's operator; each sample's bound has grown with its delay and still holds",
    ),
    (Fault.SERVER, Kind.SILENCE): _SILENT,
    (Fault.UNDECIDED, Kind.SILENCE): _SILENT,
    (Fault.SERVER, Kind.NOISE): _NOISY,
    (Fault.REFERENCE, Kind.NOISE): _NOISY,
}
"""What is better said otherwise of one sort of change."""


def verdict_of(finding: Finding) -> Verdict:
    """The words for a finding."""
    return SPECIAL.get((finding.fault, finding.kind)) or VERDICTS[finding.fault]


ENDED = {
    "recovered": "is over",
    "settled": "has not changed any more and counts as usual now,",
    "removed": "is no longer watched,",
}


def event_kinds() -> list[str]:
    """Every kind of event that attribution tells: `fault_NAME`, and `fault_NAME_over` when it is over."""
    return [kind for fault in Fault for kind in (f"fault_{fault.value}", f"fault_{fault.value}_over")]


@dataclass(slots=True)
class Active:
    """A fault that is not over. What has moved in sum since it was found, and when it moved last."""

    finding: Finding
    since_s: float
    since_ns: int
    period_s: float
    last_s: float
    moved_s: float
    rate: float
    delay_s: float
    gone_back: bool = False
    changes: int = 1

    @classmethod
    def begun(cls, finding: Finding, t_s: float, at_ns: int, period_s: float) -> Active:
        """A fault as it is found."""
        return cls(finding, t_s, at_ns, period_s, t_s, finding.moved_s, finding.rate, finding.delay_s)

    def again(self, finding: Finding, t_s: float) -> bool:
        """A further change of the same; whether it is so much worse that it is news."""
        self.moved_s += finding.moved_s
        self.rate += finding.rate
        self.delay_s += finding.delay_s
        self.last_s = t_s
        self.changes += 1
        first = self.finding
        if first.kind is Kind.DRIFT:
            self.gone_back = abs(self.rate) <= LEFT_SHARE * abs(first.rate)
            return abs(self.rate) > WORSE * abs(first.rate)
        size_s, left_s = (first.delay_s, self.delay_s) if first.delay_s else (first.moved_s, self.moved_s)
        self.gone_back = abs(left_s) <= LEFT_SHARE * abs(size_s)
        return abs(left_s) > WORSE * abs(size_s)

    def over(self, now_s: float) -> str:
        """Why it is over; empty while it is not."""
        kept_s = now_s - self.last_s
        if self.gone_back:
            return "recovered" if kept_s >= HOLD_PERIODS * self.period_s else ""
        if self.finding.kind is Kind.SILENCE:
            return ""
        lasting = self.finding.kind in (Kind.DRIFT, Kind.NOISE, Kind.CONGESTION)
        if kept_s >= (LASTING_SETTLED_S if lasting else SETTLED_S):
            return "settled"
        return ""


def _who(finding: Finding) -> str:
    names = list(finding.members) or ["the probe's clock"]
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])} and {len(names) - 5} more"


def _listed(names: tuple[str, ...]) -> str:
    """Names in one field: of very many the first, as a database's text has an end (64 kB in InfluxDB)."""
    return ",".join(names[:LISTED])


def _what(finding: Finding) -> str:
    """What was seen, in numbers."""
    parts = []
    if finding.kind is Kind.DRIFT:
        parts.append(f"rate changed by {finding.rate * 1e6:+.4g} ppm")
    elif finding.kind is Kind.STEP:
        parts.append(f"moved by {finding.moved_s:+.3e} s")
    elif finding.kind is Kind.ROUTE:
        parts.append(f"delay {finding.delay_s:+.3e} s, offset {finding.moved_s:+.3e} s")
    else:
        parts.append(finding.kind.value)
    if finding.note:
        parts.append(finding.note)
    return "; ".join(parts)


def found_event(finding: Finding, at_ns: int, told: str) -> Event:
    """The event of a fault that is found; `told` is what the servers concerned say of themselves now and did not before."""
    verdict = verdict_of(finding)
    evidence: dict[str, FieldValue] = {
        "change": finding.kind.value,
        "confidence": finding.confidence,
        "members": _listed(finding.members),
        "witnesses": _listed(finding.witnesses),
        "concerned": len(finding.members),
        "voters": finding.voters,
        "moved_s": float(finding.moved_s),
        "rate": float(finding.rate),
        "delay_change_s": float(finding.delay_s),
    }
    if finding.note:
        evidence["note"] = finding.note
    if told:
        evidence["told"] = told
    text = f"{_who(finding)}: {verdict.says} ({_what(finding)}"
    text += f"; it now says {told})" if told else ")"
    text += f". Confidence {finding.confidence:.0%}. {verdict.remedy[:1].upper()}{verdict.remedy[1:]}."
    severity = Severity.INFO if finding.fault is Fault.PROBE else Severity.WARNING
    if finding.fault is Fault.REFERENCE:
        severity = Severity.ERROR
    target = finding.members[0] if len(finding.members) == 1 else None
    return Event(f"fault_{finding.fault.value}", at_ns, severity, text, target, evidence)


def over_event(active: Active, why: str, at_ns: int, lasted_s: float) -> Event:
    """The event of a fault that is over: "recovered", or "settled" at another level."""
    finding = active.finding
    verdict = verdict_of(finding)
    words = {
        "recovered": "is over",
        "settled": "has not changed any more and counts as usual now",
        "removed": "is no longer watched",
    }
    text = f"{_who(finding)}: {words[why]} after {lasted_s:.0f} s ({verdict.says})"
    evidence: dict[str, FieldValue] = {
        "change": finding.kind.value,
        "ended": why,
        "members": _listed(finding.members),
        "duration_s": float(lasted_s),
        "changes": active.changes,
        "moved_s": float(active.moved_s),
        "rate": float(active.rate),
        "delay_change_s": float(active.delay_s),
    }
    target = finding.members[0] if len(finding.members) == 1 else None
    return Event(f"fault_{finding.fault.value}_over", at_ns, Severity.INFO, text, target, evidence)
