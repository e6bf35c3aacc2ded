"""Alerts in the daemon: judges what is measured in the once-a-second beat; what begins or ends is an event, and is handed on.

Rule: a target is judged when something came of it, while something is pending or firing of it, and every few seconds besides, so
that a thousand targets cost little. What fires is written down, so that its end is told after a restart, too.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from timesync.alerts.book import Alert, AlertBook, Phase
from timesync.alerts.facts import ProbeFacts, TargetFacts, renewal_days
from timesync.alerts.kinds import KIND_OF, Level
from timesync.alerts.signals import DRIFT, TREND_H, WINDOW_MIN
from timesync.export.current import GRACE_S, LIFE_INTERVALS
from timesync.model import Event, PtpFacts, Quality, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from timesync.alerts.facts import Foreseen
    from timesync.model import TimeError, Validity
    from timesync.pipeline import TargetState
    from timesync.settings import ProbeSettings
    from timesync.store.status import SpoolStatus

__all__ = ["STATE_FILE", "AlertService", "tie_ends"]

log = logging.getLogger(__name__)

STATE_FILE = "alerts.json"
SEVERITIES = {Level.CRITICAL: Severity.ERROR, Level.WARNING: Severity.WARNING, Level.INFO: Severity.INFO}
REGISTER_BITS = 8
# How often a quiet target is looked at though nothing came of it, in beats; and of how many in trouble all are in each beat.
LOOK_EVERY = 8
AT_ONCE = 250
FORECAST_EVERY_S = 300.0
FORECAST_OVER_S = TREND_H * 3600.0
FORECAST_FROM_S = 3600.0
NS = 1_000_000_000
DAY_NS = 86_400 * NS


def tie_ends(settings: ProbeSettings) -> Mapping[str, int]:
    """The declared end of each reference's tie to UTC(k), by its name, Unix ns; those without one are not in it."""
    ends = {target.name: target.tie.valid_until_ns for target in settings.targets if target.tie is not None}
    if settings.local_reference is not None:
        ends["local"] = settings.local_reference.tie.valid_until_ns
    ends.update({link.reference: link.valid_until_ns for link in settings.links})
    return {name: end for name, end in ends.items() if end is not None}


class _Seen:
    """What was last seen of a target, and what alerts need of its past."""

    __slots__ = ("arrived_s", "error", "masters", "polls", "reports", "trend")

    def __init__(self, now_s: float) -> None:
        self.polls = -1
        self.reports = 0
        self.error: TimeError | None = None
        self.arrived_s = now_s
        self.masters: dict[str, float] = {}  # grandmaster: when it was last seen
        self.trend: deque[tuple[float, float]] | None = None

    def take(self, state: TargetState, now_s: float) -> None:
        self.polls = state.polls
        error = state.error
        if state.replies != self.reports:
            self.reports, self.arrived_s = state.replies, now_s
        if error is None or error is self.error:
            return
        self.error = error
        facts = error.offset.facts
        if isinstance(facts, PtpFacts) and facts.grandmaster is not None:
            self.masters[facts.grandmaster] = now_s
        # A reference that is carried on is the probe's clock: its line says nothing of the target.
        if error.time_error_s is not None and state.settings.limit is not None and error.quality is not Quality.CARRIED:
            self._follow(error.time_error_s, now_s)

    def _follow(self, time_error_s: float, now_s: float) -> None:
        trend = self.trend
        if trend is None:
            trend = self.trend = deque()
        if not trend or now_s - trend[-1][0] >= FORECAST_EVERY_S:
            trend.append((now_s, time_error_s))
            while now_s - trend[0][0] > FORECAST_OVER_S:
                trend.popleft()

    def to_limit_s(self, limit_s: float, now_s: float) -> float | None:
        """When the line of least squares through the last hours, drawn on, leaves the limit; None without one hour of them."""
        trend = self.trend
        if trend is None or len(trend) < 3 or trend[-1][0] - trend[0][0] < FORECAST_FROM_S:
            return None
        count = len(trend)
        mean_s = sum(at for at, _ in trend) / count
        mean = sum(x for _, x in trend) / count
        spread = sum((at - mean_s) ** 2 for at, _ in trend)
        slope = sum((at - mean_s) * (x - mean) for at, x in trend) / spread
        if slope == 0.0:
            return None
        towards = 1.0 if slope > 0.0 else -1.0
        return max(limit_s - towards * (mean + slope * (now_s - mean_s)), 0.0) / abs(slope)

    def grandmasters(self, now_s: float) -> int | None:
        if not self.masters:
            return None
        if len(self.masters) > 1:
            newest = max(self.masters.values())
            self.masters = {
                name: at for name, at in self.masters.items() if at == newest or now_s - at <= WINDOW_MIN * 60
            }
        return len(self.masters)


class AlertService:
    """The alerts of one daemon.

    `report` takes events, `tell` the alerts that begin or end, in batches; `adopted` hears of those told before a restart.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        report: Callable[[Event], None],
        tell: Callable[[Sequence[Alert]], None],
        adopted: Callable[[Sequence[Alert]], None] = lambda alerts: None,  # noqa: ARG005 - nobody asks
        *,
        clock_ns: Callable[[], int],
    ) -> None:
        self._report = report
        self._tell = tell
        self._adopted = adopted
        self._clock_ns = clock_ns
        self._path: Path = settings.spool.directory / STATE_FILE
        self._seen: dict[str, _Seen] = {}
        self._beats = 0
        self._steps: deque[float] = deque()
        self._steps_seen = 0
        self._unkept = False
        self._restored = False
        self._book = AlertBook()
        self.configure(settings)

    def configure(self, settings: ProbeSettings) -> None:
        """Take new settings; what fires goes on firing."""
        wanted = settings.alerts
        self._enabled = wanted.enabled
        firing = [alert for alert in self._book.active() if alert.phase is Phase.FIRING]
        self._book = AlertBook(patience=wanted.patience, off=wanted.off)
        self._adopting: Sequence[Alert] = [alert for alert in firing if alert.kind.name not in wanted.off]
        self._tie_ends = tie_ends(settings)
        self._max_bytes = settings.spool.max_bytes

    def active(self) -> Sequence[Alert]:
        """All that are pending or firing, the gravest first."""
        order = list(Level)
        return sorted(
            self._book.active(), key=lambda a: (a.phase is not Phase.FIRING, order.index(a.kind.level), a.since_ns)
        )

    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many fire, by kind and level; none of a kind is 0."""
        counts = {(kind.name, kind.level.value): 0 for kind in KIND_OF.values() if kind.scope.value != "monitor"}
        for alert in self._book.active():
            if alert.phase is Phase.FIRING:
                counts[alert.kind.name, alert.kind.level.value] += 1
        return counts

    def tick(
        self,
        now_s: float,
        states: Mapping[str, TargetState],
        *,
        spool: SpoolStatus,
        clock_steps: int,
        leap_disagreements: Collection[str],
        leap_expires_ns: int,
        foreseen: Callable[[str], Foreseen | None] = lambda name: None,  # noqa: ARG005 - nobody foresees
        certificate: Validity | None = None,
    ) -> None:
        """Judge all that has changed; `now_s` is monotonic. Some microseconds a target. `foreseen`: by the watch for holdovers."""
        if not self._enabled:
            return
        if not self._restored or self._adopting:
            self._restore(now_s)
        at_ns = self._clock_ns()
        told: list[Alert] = []
        for name in [name for name in self._seen if name not in states]:
            del self._seen[name]
            told += self._book.forget(name, at_ns)
        due = self._due(now_s, states)
        for name in due:
            state = states[name]
            facts = self._facts(name, state, now_s, at_ns, leap_disagreements, foreseen(name))
            told += self._book.targets(facts, now_s, at_ns)
        if clock_steps > self._steps_seen:
            self._steps.extend([now_s] * (clock_steps - self._steps_seen))
        self._steps_seen = clock_steps
        while self._steps and now_s - self._steps[0] > WINDOW_MIN * 60:
            self._steps.popleft()
        probe = ProbeFacts(
            spool_age_s=None if spool.oldest_at_ns is None else (at_ns - spool.oldest_at_ns) / NS,
            spool_fill=spool.bytes / self._max_bytes,
            spool_unwritable=float(spool.failing is not None),
            clock_steps=float(len(self._steps)),
            leap_list_days=(leap_expires_ns - at_ns) / DAY_NS,
            renewal_days=None if certificate is None else renewal_days(certificate, at_ns),
            disagreement_s=self._disagreement(states, now_s),
            why=spool.failing or "",
        )
        told += self._book.probe(probe, now_s, at_ns)
        self._beats += 1
        if told:
            self._hand_on(told)

    def _due(self, now_s: float, states: Mapping[str, TargetState]) -> Iterable[str]:
        """Whom to judge in this beat, references first."""
        references: list[str] = []
        others: list[str] = []
        in_trouble = len(self._book.active())
        stride = 1 + in_trouble // AT_ONCE
        for number, (name, state) in enumerate(states.items(), start=self._beats):
            seen = self._seen.get(name)
            if seen is None:
                seen = self._seen[name] = _Seen(now_s)
            if state.polls != seen.polls or state.error is not seen.error:
                seen.take(state, now_s)
            elif number % (LOOK_EVERY if self._book.is_quiet(name) else stride):
                continue
            (references if state.reference == name else others).append(name)
        return references + others

    def _facts(
        self,
        name: str,
        state: TargetState,
        now_s: float,
        at_ns: int,
        leap_disagreements: Collection[str],
        foreseen: Foreseen | None,
    ) -> TargetFacts:
        seen = self._seen[name]
        target, error = state.settings, state.error
        age_s = now_s - seen.arrived_s
        fresh = age_s <= LIFE_INTERVALS * target.interval_s + GRACE_S
        facts = TargetFacts(name, state.reference, state.reference == name)
        facts.leap_disagrees = name in leap_disagreements
        ends_ns = self._tie_ends.get(name)
        facts.tie_days = None if ends_ns is None else (ends_ns - at_ns) / DAY_NS
        if state.replies:
            facts.age_intervals = age_s / target.interval_s
        if state.polls:
            facts.reachability = state.register.bit_count() / min(state.polls, REGISTER_BITS)
            if error is not None or state.missed is not None:  # a stack's reports claim nothing by themselves
                facts.claims = fresh and error is not None and error.time_error_s is not None
        if facts.claims and error is not None:
            facts.time_error_s, facts.bound_s = error.time_error_s, error.bound_s
            facts.carried = error.quality is Quality.CARRIED
            if target.limit is not None:
                facts.limit_s = target.limit.error_s
                facts.to_limit_s = foreseen.to_limit_s if foreseen is not None else None
                if facts.to_limit_s is None:
                    facts.to_limit_s = seen.to_limit_s(facts.limit_s, now_s)
        elif fresh and error is not None and error.no_claim is not None:
            facts.reason = error.no_claim.value
        elif state.missed is not None:
            facts.reason = state.missed.reason.value
        if fresh:
            ptp = error.offset.facts if error is not None else None
            facts.clock_class = ptp.clock_class if isinstance(ptp, PtpFacts) else None
            facts.grandmasters = seen.grandmasters(now_s)
            facts.coasting = None if foreseen is None else foreseen.coasting
        return facts

    def _disagreement(self, states: Mapping[str, TargetState], now_s: float) -> float | None:
        """How far apart the references say that UTC(k) is, beyond their bounds and the drift of the probe's clock."""
        low, high = float("-inf"), float("inf")
        count = 0
        for name, seen in self._seen.items():
            state, error = states[name], seen.error
            if state.reference != name or error is None or error.time_error_s is None or error.bound_s is None:
                continue
            interval_s = state.settings.interval_s
            if now_s - seen.arrived_s > LIFE_INTERVALS * interval_s + GRACE_S:
                continue
            middle = error.offset.offset_s - error.time_error_s
            width = error.offset.bound_s + error.bound_s + DRIFT * interval_s
            low, high = max(low, middle - width), min(high, middle + width)
            count += 1
        return low - high if count > 1 else None

    # Telling

    def _hand_on(self, told: Sequence[Alert]) -> None:
        for alert in told:
            over = alert.phase is Phase.RESOLVED
            evidence: dict[str, Any] = {"alert": alert.kind.name, "level": alert.kind.level.value, "value": alert.value}
            evidence |= {"since_ns": alert.since_ns, "why": alert.why}
            if over:
                text = f"over: {alert.kind.title}" + (f", {alert.target}" if alert.target is not None else "")
            else:
                text = f"{alert.text}: {alert.kind.action}"
            severity = Severity.INFO if over else SEVERITIES[alert.kind.level]
            at_ns = alert.ended_ns if over else alert.fired_ns
            kind = "alert_resolved" if over else "alert_firing"
            self._report(Event(kind, at_ns or self._clock_ns(), severity, text, alert.target, evidence))
        self._tell(told)
        self._keep()

    def _keep(self) -> None:
        firing = [
            {
                "alert": alert.kind.name,
                "target": alert.target,
                "reference": alert.reference,
                "since_ns": alert.since_ns,
                "fired_ns": alert.fired_ns,
                "value": alert.value,
                "why": alert.why,
            }
            for alert in self._book.active()
            if alert.phase is Phase.FIRING
        ]
        aside = self._path.with_suffix(".new")
        try:
            aside.write_bytes(orjson.dumps(firing))
            aside.replace(self._path)
        except OSError as error:
            if not self._unkept:
                log.warning("alerts that fire cannot be written down: %s", error)
            self._unkept = True
        else:
            self._unkept = False

    def _restore(self, now_s: float) -> None:
        firing = [*self._adopting]
        self._adopting = ()
        if not self._restored:
            self._restored = True
            firing += self._kept()
            self._adopted(firing)
        self._book.adopt(firing, now_s)
        # What belongs to a target that is gone is told to be over by the next beat.
        for alert in firing:
            if alert.target is not None:
                self._seen.setdefault(alert.target, _Seen(now_s))

    def _kept(self) -> list[Alert]:
        try:
            rows = orjson.loads(self._path.read_bytes())
            return [
                Alert(
                    KIND_OF[row["alert"]],
                    row["target"],
                    row["reference"],
                    Phase.FIRING,
                    int(row["since_ns"]),
                    float(row["value"]),
                    str(row["why"]),
                    int(row["fired_ns"]),
                )
                for row in rows
            ]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the alerts of the last run cannot be read: %s", error, extra={"file": str(self._path)})
            return []
