"""The states of all alerts: pending, firing, resolved; with patience, hysteresis and silencing.

Rule: a condition has to hold for `grace_s` before it is told, and to be gone for `hold_s` before it is told to be over; what is
silenced starts anew when it is heard again. Nothing is told twice. Pure: time (monotonic seconds, Unix ns) is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from timesync.alerts.kinds import KINDS, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.alerts.facts import ProbeFacts, TargetFacts
    from timesync.alerts.kinds import AlertKind

__all__ = ["Alert", "AlertBook", "Phase"]

PROBE = ""


class Phase(StrEnum):
    """Where an alert is: it waits to be told, it has been told, it is over."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert now. `since_ns` is when its condition began, `fired_ns` when it was told, `ended_ns` when it was told to be over.

    `target` is None for one of the probe. `value` is its signal's newest value that held, `why` the particulars, in words.
    """

    kind: AlertKind
    target: str | None
    reference: str | None
    phase: Phase
    since_ns: int
    value: float
    why: str = ""
    fired_ns: int | None = None
    ended_ns: int | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells it from others that are active at the same time."""
        return (self.kind.name, self.target)

    @property
    def text(self) -> str:
        """What it means here, on one line."""
        whom = f"{self.target}: " if self.target is not None else ""
        why = f" ({self.why})" if self.why else ""
        return f"{whom}{self.kind.means}{why}"


@dataclass(slots=True)
class _Watch:
    """One condition that holds or did a moment ago; `gone_s`: since when it does not, monotonic."""

    alert: Alert
    since_s: float
    gone_s: float | None = None


class _Bound:
    """A kind with its reader and its patience at hand: this runs for every target."""

    __slots__ = ("grace_s", "hold_s", "kind", "name", "read")

    def __init__(self, kind: AlertKind, patience: float) -> None:
        self.kind = kind
        self.name = kind.name
        self.read: Callable[[object], float | None] = kind.signal.read
        self.grace_s = kind.grace_s * patience
        self.hold_s = kind.hold_s * patience


class AlertBook:
    """The alerts of one probe. `patience` multiplies every grace and hold; `off` names kinds that are not judged."""

    def __init__(self, *, patience: float = 1.0, off: Sequence[str] = ()) -> None:
        kinds = [_Bound(kind, patience) for kind in KINDS if kind.name not in off]
        self._kinds: Mapping[Scope, Sequence[_Bound]] = {
            scope: [each for each in kinds if each.kind.scope is scope] for scope in Scope
        }
        self._watches: dict[str, dict[str, _Watch]] = {}
        self._holding: dict[str, set[str]] = {}

    def is_quiet(self, subject: str) -> bool:
        """Whether nothing is pending or firing of a target."""
        return subject not in self._watches

    def active(self) -> Sequence[Alert]:
        """All that are pending or firing."""
        return [watch.alert for watches in self._watches.values() for watch in watches.values()]

    def adopt(self, firing: Sequence[Alert], now_s: float) -> None:
        """Alerts that were told before a restart: they go on, or are told to be over."""
        for alert in firing:
            self._watches.setdefault(alert.target or PROBE, {})[alert.kind.name] = _Watch(alert, now_s)

    def targets(self, facts: TargetFacts, now_s: float, at_ns: int) -> list[Alert]:
        """Judge a target; the alerts that begin to fire or are over. Judge references before what depends on them."""
        return self._judge(Scope.TARGET, facts.name, facts, facts.reference, now_s, at_ns)

    def probe(self, facts: ProbeFacts, now_s: float, at_ns: int) -> list[Alert]:
        """Judge the probe itself."""
        return self._judge(Scope.PROBE, PROBE, facts, None, now_s, at_ns)

    def forget(self, subject: str, at_ns: int) -> list[Alert]:
        """A target that is no longer configured: what fires of it is over."""
        self._holding.pop(subject, None)
        return [
            replace(watch.alert, phase=Phase.RESOLVED, ended_ns=at_ns, why="no longer configured")
            for watch in self._watches.pop(subject, {}).values()
            if watch.alert.phase is Phase.FIRING
        ]

    def _judge(
        self,
        scope: Scope,
        subject: str,
        facts: TargetFacts | ProbeFacts,
        reference: str | None,
        now_s: float,
        at_ns: int,
    ) -> list[Alert]:
        told: list[Alert] = []
        watches = self._watches.get(subject)
        holding: set[str] = set()
        for each in self._kinds[scope]:
            watch = watches.get(each.name) if watches else None
            value = each.read(facts)
            if value is None and watch is None:
                continue
            firing = watch is not None and watch.alert.phase is Phase.FIRING
            holds = value is not None and each.kind.holds(value, firing=firing)
            if holds:
                holding.add(each.name)
                holds = not self._silenced(each.kind, holding, reference)
            if holds and value is not None:
                if watch is None:
                    own = None if subject == PROBE else subject
                    watch = _Watch(Alert(each.kind, own, reference, Phase.PENDING, at_ns, value, facts.why), now_s)
                    watches = self._watches.setdefault(subject, {})
                    watches[each.name] = watch
                self._hold(each, watch, value, facts.why, now_s, at_ns, told)
            elif watch is not None and watches is not None:
                self._let_go(each, watch, watches, now_s, at_ns, told)
        if watches is not None and not watches:
            self._watches.pop(subject, None)
        if holding:
            self._holding[subject] = holding
        else:
            self._holding.pop(subject, None)
        return told

    def _silenced(self, kind: AlertKind, holding: set[str], reference: str | None) -> bool:
        if not holding.isdisjoint(kind.silenced_by):
            return True
        return kind.needs_reference and "reference_lost" in self._holding.get(reference or PROBE, ())

    def _hold(
        self, each: _Bound, watch: _Watch, value: float, why: str, now_s: float, at_ns: int, told: list[Alert]
    ) -> None:
        watch.gone_s = None
        alert = watch.alert
        if alert.phase is Phase.PENDING and now_s - watch.since_s >= each.grace_s:
            watch.alert = replace(alert, phase=Phase.FIRING, value=value, why=why, fired_ns=at_ns)
            told.append(watch.alert)
        elif value != alert.value or why != alert.why:
            watch.alert = replace(alert, value=value, why=why)

    def _let_go(
        self, each: _Bound, watch: _Watch, watches: dict[str, _Watch], now_s: float, at_ns: int, told: list[Alert]
    ) -> None:
        if watch.alert.phase is Phase.PENDING:
            del watches[each.name]
            return
        if watch.gone_s is None:
            watch.gone_s = now_s
        if now_s - watch.gone_s >= each.hold_s:
            del watches[each.name]
            told.append(replace(watch.alert, phase=Phase.RESOLVED, ended_ns=at_ns))
