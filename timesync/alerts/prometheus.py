"""The same alerts as rules for Prometheus: `python -m timesync.alerts.prometheus > dashboards/prometheus/timesync.rules.yaml`.

Rule: every rule is made from `KINDS`. The condition of each is recorded as `timesync:condition:NAME`, so that one alert can silence
another in the rule itself, with Alertmanager or without; a firing alert ends only beyond its `clear`. Needs Prometheus 2.42
(keep_firing_for). Source: Prometheus documentation, "Alerting rules", "Recording rules".
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from timesync.alerts.kinds import KINDS, Scope
from timesync.alerts.signals import RECORDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from timesync.alerts.kinds import AlertKind

__all__ = ["RUNBOOKS", "alert_expression", "condition", "documents", "rules"]

RUNBOOKS = "https://example.org/timesync/RUNBOOKS.md"
"""Where a site keeps its copy of deploy/RUNBOOKS.md: `rules(runbooks=...)`, or `sed`."""

MATCHED: Mapping[Scope, str] = {
    Scope.TARGET: "site, probe, target",
    Scope.PROBE: "site, probe",
    Scope.MONITOR: "instance",
}

HEAD = """\
# Made by `python -m timesync.alerts.prometheus`; a test fails where the two differ. Needs Prometheus 2.42 or later.
"""


def condition(kind: AlertKind) -> str:
    """The name under which the condition of an alert is recorded."""
    return f"timesync:condition:{kind.name}"


def condition_expression(kind: AlertKind) -> str:
    """Present where the condition holds; for one that fires, until `clear`."""
    sign = "<" if kind.below else ">"
    signal = f"({kind.signal.promql})"
    expression = f"{signal} {sign} {kind.threshold:g}"
    if kind.clear != kind.threshold:
        firing = f'ALERTS{{alertname="{kind.rule}",alertstate="firing"}}'
        expression += f" or ({signal} {sign} {kind.clear:g} and on ({MATCHED[kind.scope]}) {firing})"
    return expression


def alert_expression(kind: AlertKind) -> str:
    """The condition, unless another alert says more."""
    expression = condition(kind)
    for other in kind.silenced_by:
        expression += f" unless on ({MATCHED[kind.scope]}) timesync:condition:{other}"
    if kind.needs_reference:
        expression += " unless on (site, probe, reference) timesync:condition:reference_lost"
    return expression


def documents(kind: AlertKind, runbooks: str = RUNBOOKS) -> Mapping[str, str]:
    """The annotations of an alert."""
    whom = {
        Scope.TARGET: "{{ $labels.site }}: {{ $labels.target }}",
        Scope.PROBE: "{{ $labels.site }} / {{ $labels.probe }}",
    }
    subject = whom.get(kind.scope, "{{ $labels.instance }}")
    sign = "below" if kind.below else "above"
    value = f"{kind.signal.meaning}: {{{{ $value | humanize }}}} ({sign} {kind.threshold:g})"
    return {
        "summary": f"{subject}: {kind.title}",
        "summary_zh": f"{subject}: {kind.title_zh}",
        "description": f"{kind.means}. {value}.",
        "action": kind.action,
        "runbook_url": f"{runbooks}#{kind.name}",
    }


def rules(*, patience: float = 1.0, runbooks: str = RUNBOOKS, every_s: float = 15.0) -> str:
    """The file of rules as YAML; `patience` multiplies every grace and hold."""
    return HEAD + "\n".join(_lines(patience, runbooks, every_s)) + "\n"


def _lines(patience: float, runbooks: str, every_s: float) -> Iterator[str]:
    yield from ("groups:", "  - name: timesync", f"    interval: {_duration(every_s)}", "    rules:")
    for name, expression in RECORDED.items():
        yield from (f"      - record: {name}", f"        expr: {_quoted(expression)}")
    for kind in KINDS:
        yield from (f"      - record: {condition(kind)}", f"        expr: {_quoted(condition_expression(kind))}")
    for kind in KINDS:
        yield f"      - alert: {kind.rule}"
        yield f"        expr: {_quoted(alert_expression(kind))}"
        yield f"        for: {_duration(kind.grace_s * patience)}"
        yield f"        keep_firing_for: {_duration(kind.hold_s * patience)}"
        yield from ("        labels:", f"          severity: {kind.level.value}", "        annotations:")
        for name, text in documents(kind, runbooks).items():
            yield f"          {name}: {_quoted(text)}"


def _quoted(text: str) -> str:
    """A JSON string is a YAML string."""
    return json.dumps(text, ensure_ascii=False)


def _duration(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


if __name__ == "__main__":
    sys.stdout.write(rules())
