"""The same alerts as rules of Grafana, for sites without Alertmanager: `python -m timesync.alerts.grafana` prints the file.

Rule: nothing is judged here. Prometheus judges (`prometheus`), with its patience and silences; each rule of Grafana fires while the
alert of that name fires there, and tells it in the words of `KINDS`. Source: Grafana documentation, "Use configuration files to
provision alerting resources". Labels there are put through the environment, so they hold no `$`; annotations are templates.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from timesync.alerts.kinds import KINDS
from timesync.alerts.prometheus import RUNBOOKS, documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.alerts.kinds import AlertKind

__all__ = ["expression", "provisioning", "uid"]

HEAD = """\
# Made by `python -m timesync.alerts.grafana`; a test fails where the two differ.
# For /etc/grafana/provisioning/alerting, where there is no Alertmanager. Prometheus judges (prometheus/timesync.rules.yaml);
# Grafana tells what fires there, to the webhook below: write your own address, or another kind of contact point.
apiVersion: 1
contactPoints:
  - orgId: 1
    name: timesync
    receivers:
      - uid: timesync-webhook
        type: webhook
        settings:
          url: http://127.0.0.1:9099/timesync
groups:
  - orgId: 1
    name: timesync
    folder: timesync
    interval: 30s
    rules:
"""
KEPT = "site, probe, target, protocol, reference, instance"
"""The labels that tell alerts of one kind apart; Grafana names and counts alerts itself."""


def uid(kind: AlertKind) -> str:
    """Its stable identity in Grafana, at most 40 characters."""
    return f"timesync-{kind.name.replace('_', '-')}"


def expression(kind: AlertKind) -> str:
    """1 for each alert of the kind that fires in Prometheus."""
    return f'max by ({KEPT}) (ALERTS{{alertname="{kind.rule}",alertstate="firing"}})'


def provisioning(runbooks: str = RUNBOOKS) -> str:
    """The file: a contact point, and a rule for each kind of alert."""
    return HEAD + "\n".join(line for kind in KINDS for line in _rule(kind, runbooks)) + "\n"


def _rule(kind: AlertKind, runbooks: str) -> Iterator[str]:
    yield f"      - uid: {uid(kind)}"
    yield f"        title: {_quoted(kind.title)}"
    yield "        condition: B"
    yield "        for: 0s"
    yield "        noDataState: OK"
    yield "        execErrState: Error"
    yield from ("        labels:", f"          severity: {kind.level.value}", "        annotations:")
    # Without the number in the description: it is the signal's, which this query does not have.
    words = {**documents(kind, runbooks), "description": f"{kind.means}."}
    yield from (f"          {name}: {_quoted(text)}" for name, text in words.items())
    yield from ("        notification_settings:", "          receiver: timesync", "        data:")
    yield from _query("A", "timesync-prometheus", {"expr": expression(kind), "instant": True, "range": False})
    threshold = {"type": "gt", "params": [0]}
    yield from _query(
        "B", "__expr__", {"type": "threshold", "expression": "A", "conditions": [{"evaluator": threshold}]}
    )


def _query(letter: str, datasource: str, model: dict[str, object]) -> Iterator[str]:
    yield f"          - refId: {letter}"
    yield f"            datasourceUid: {datasource}"
    yield "            relativeTimeRange: {from: 60, to: 0}"
    yield "            model:"
    yield from (
        f"              {name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in {"refId": letter, **model}.items()
    )


def _quoted(text: str) -> str:
    """A JSON string is a YAML string."""
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(provisioning())
