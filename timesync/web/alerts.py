"""The alerts as the page shows them: those that are pending or firing, and those that ended lately.

Rule: words, thresholds and remedies are those of the one description (`alerts.kinds`); nothing is judged here. What ended before
the probe was started is read from the events of the history.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from timesync.alerts.book import Alert, Phase
from timesync.alerts.kinds import KIND_OF, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from timesync.model import Record

__all__ = ["ENDED_WITHIN_S", "HEADS", "AlertBoard", "ended_before", "row"]

ENDED = 100
HEADS = (
    *("phase", "level", "alert", "target", "since_ns", "fired_ns", "ended_ns"),
    *("signal", "value", "unit", "threshold", "why", "means", "action"),
)
"""What a table has of an alert."""
ENDED_WITHIN_S = 86_400.0


def row(alert: Alert) -> dict[str, Any]:
    """An alert as the API gives it."""
    kind = alert.kind
    return {
        "key": _key(alert),
        "alert": kind.name,
        "title": kind.title,
        "level": kind.level.value,
        "phase": alert.phase.value,
        "target": alert.target,
        "reference": alert.reference,
        "since_ns": alert.since_ns,
        "fired_ns": alert.fired_ns,
        "ended_ns": alert.ended_ns,
        "signal": kind.signal.meaning,
        "unit": kind.signal.unit,
        "value": alert.value,
        "threshold": kind.threshold,
        "below": kind.below,
        "why": alert.why,
        "means": kind.means,
        "action": kind.action,
        "runbook": f"/runbooks#{kind.name}",
    }


def _key(alert: Alert) -> str:
    end = f"|{alert.ended_ns}" if alert.ended_ns is not None else ""
    return f"{alert.kind.name}|{alert.target or ''}{end}"


class AlertBoard:
    """What is shown now. `active` gives the alerts that are pending or firing, None where none are judged."""

    def __init__(self, active: Callable[[], Sequence[Alert] | None]) -> None:
        """Nothing has ended yet."""
        self._active = active
        self._ended: deque[Alert] = deque(maxlen=ENDED)

    @property
    def enabled(self) -> bool:
        """Whether alerts are judged at all."""
        return self._active() is not None

    @property
    def judged(self) -> int:
        """How many kinds a probe can judge."""
        return sum(kind.scope is not Scope.MONITOR for kind in KIND_OF.values())

    def told(self, alerts: Iterable[Alert]) -> None:
        """Alerts that began or ended just now."""
        self._ended.extendleft(alert for alert in alerts if alert.phase is Phase.RESOLVED)

    def now(self) -> Mapping[str, Any]:
        """Rows by their keys: the active, the gravest first, then those that ended since the probe was started."""
        rows = [row(alert) for alert in (*(self._active() or ()), *self._ended)]
        return {each["key"]: each for each in rows}


def ended_before(events: Iterable[Record]) -> list[dict[str, Any]]:
    """The rows of alerts that the history says have ended, from its events; those of unknown kinds are left out."""
    found = []
    for event in events:
        kind = KIND_OF.get(str(event.fields.get("alert")))
        if event.tags.get("kind") != "alert_resolved" or kind is None:
            continue
        since_ns = int(event.fields.get("since_ns", event.at_ns))
        value, why = float(event.fields.get("value", 0.0)), str(event.fields.get("why", ""))
        target = event.tags.get("target")
        alert = Alert(kind, target, None, Phase.RESOLVED, since_ns, value, why, None, event.at_ns)
        found.append(row(alert))
    return found
