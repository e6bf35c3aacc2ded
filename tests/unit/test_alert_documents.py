"""Rules, runbooks and limits: what is committed is what the one description makes, and every alert is in each."""

from __future__ import annotations

from pathlib import Path

from timesync.alerts.kinds import KIND_OF, KINDS, Scope
from timesync.alerts.limits import PROFILES
from timesync.alerts.prometheus import RUNBOOKS, rules
from timesync.alerts.runbooks import STEPS, page

ROOT = Path(__file__).parents[2]


def committed(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_rules_are_made_from_the_description():
    made = rules()
    remedy = "run: python -m timesync.alerts.prometheus > dashboards/prometheus/timesync.rules.yaml"
    assert committed("dashboards/prometheus/timesync.rules.yaml") == made, remedy
    for kind in KINDS:
        assert f"- alert: {kind.rule}\n" in made
        assert f"{RUNBOOKS}#{kind.name}" in made


def test_the_runbooks_are_made_from_the_description_and_none_is_missing():
    assert committed("deploy/RUNBOOKS.md") == page(), "run: python -m timesync.alerts.runbooks > deploy/RUNBOOKS.md"
    headings = [line.removeprefix("## ") for line in page().splitlines() if line.startswith("## ")]
    assert headings == ["Alerts", "Limits", *(kind.name for kind in KINDS)]
    assert STEPS.keys() == KIND_OF.keys()
    assert all(name in page() for name in PROFILES)


def test_an_alert_is_silenced_only_by_what_is_judged_before_it_of_the_same_scope():
    order = [kind.name for kind in KINDS]
    for kind in KINDS:
        for name in kind.silenced_by:
            assert order.index(name) < order.index(kind.name)
            assert KIND_OF[name].scope is kind.scope
        assert not kind.needs_reference or kind.scope is Scope.TARGET


def test_a_firing_alert_ends_no_sooner_than_it_begins():
    for kind in KINDS:
        assert kind.clear >= kind.threshold if kind.below else kind.clear <= kind.threshold
        assert kind.holds(kind.threshold, firing=False) is False
        assert kind.means
        assert kind.action
        assert kind.title_zh
