"""Alerts: told after their grace, once, over after their hold; silenced by what explains them."""

from __future__ import annotations

import pytest

from timesync.alerts.book import Alert, AlertBook, Phase
from timesync.alerts.facts import HOLDOVER_CLASSES, ProbeFacts, TargetFacts, renewal_days
from timesync.alerts.kinds import KIND_OF, KINDS, Scope
from timesync.alerts.limits import PROFILES
from timesync.model import Validity

LIMIT_S = 100e-6
WELL = {
    "reference": "utc",
    "limit_s": LIMIT_S,
    "reachability": 1.0,
    "age_intervals": 0.5,
    "claims": True,
    "time_error_s": 5e-6,
    "bound_s": 20e-6,
    "clock_class": 6,
    "grandmasters": 1,
    "to_limit_s": 86_400.0,
    "coasting": False,
    "tie_days": 100.0,
}
# What makes each alert, and nothing else, hold of a target that is otherwise well.
BAD_TARGET: dict[str, dict[str, object]] = {
    "reference_lost": {"is_reference": True, "claims": False},
    "unreachable": {"reachability": 0.0},
    "stale": {"age_intervals": 13.0},
    "loss": {"reachability": 0.625},
    "certain_breach": {"time_error_s": -121e-6},
    "possible_breach": {"time_error_s": 81e-6},
    "forecast_breach": {"to_limit_s": 3.9 * 3600},
    "not_traceable": {"claims": False},
    "holdover": {"clock_class": 7},
    "leap_trouble": {"leap_disagrees": True},
    "grandmaster_change": {"grandmasters": 2},
    "tie_expiring": {"tie_days": 13.9},
}
BAD_PROBE: dict[str, dict[str, object]] = {
    "reference_disagreement": {"disagreement_s": 1e-9},
    "clock_stepped": {"clock_steps": 1.0},
    "leap_list_expiring": {"leap_list_days": 29.0},
    "certificate_expiring": {"renewal_days": -0.1},
    "spool_unwritable": {"spool_unwritable": 1.0},
    "spool_filling": {"spool_fill": 0.81},
    "spool_growing": {"spool_age_s": 601.0},
}


def target(name: str = "ntp1", **changes: object) -> TargetFacts:
    return TargetFacts(name, **{**WELL, **changes})  # type: ignore[arg-type]  # a table of changes


def probe(**changes: object) -> ProbeFacts:
    return ProbeFacts(**{"spool_fill": 0.1, "leap_list_days": 200.0, **changes})  # type: ignore[arg-type]  # the same


def over_time(book: AlertBook, facts: TargetFacts | ProbeFacts, first_s: int, last_s: int) -> list[tuple[int, Alert]]:
    """The alerts that are told while these facts hold, each with its second."""
    judge = book.targets if isinstance(facts, TargetFacts) else book.probe
    return [(at, alert) for at in range(first_s, last_s + 1) for alert in judge(facts, float(at), at * 10**9)]  # type: ignore[arg-type]


def test_every_kind_has_a_scenario_here():
    of_scope = {scope: {kind.name for kind in KINDS if kind.scope is scope} for scope in Scope}
    assert (set(BAD_TARGET), set(BAD_PROBE)) == (of_scope[Scope.TARGET], of_scope[Scope.PROBE])
    assert of_scope[Scope.MONITOR] == {"probe_down"}


@pytest.mark.parametrize("name", [*BAD_TARGET, *BAD_PROBE])
def test_an_alert_is_told_once_after_its_grace_and_once_when_it_has_been_over_for_its_hold(name: str) -> None:
    kind, book = KIND_OF[name], AlertBook()
    bad = target(**BAD_TARGET[name]) if name in BAD_TARGET else probe(**BAD_PROBE[name])
    well = target(is_reference="is_reference" in BAD_TARGET.get(name, ())) if name in BAD_TARGET else probe()
    grace, hold = int(kind.grace_s), int(kind.hold_s)
    assert over_time(book, well, 0, 10) == []
    told = over_time(book, bad, 11, 11 + grace + 1000)
    assert [(at, alert.kind.name, alert.phase) for at, alert in told] == [(11 + grace, name, Phase.FIRING)]
    assert (told[0][1].since_ns, told[0][1].fired_ns) == (11 * 10**9, (11 + grace) * 10**9)
    ended = 12 + grace + 1000
    told = over_time(book, well, ended, ended + hold + 1000)
    assert [(at, alert.kind.name, alert.phase) for at, alert in told] == [(ended + hold, name, Phase.RESOLVED)]
    assert book.active() == []


@pytest.mark.parametrize("name", [name for name in BAD_TARGET if KIND_OF[name].grace_s])
def test_what_passes_within_the_grace_is_not_told(name: str) -> None:
    book, reference = AlertBook(), "is_reference" in BAD_TARGET[name]
    for turn in range(20):
        begin = turn * 4000
        assert over_time(book, target(**BAD_TARGET[name]), begin, begin + int(KIND_OF[name].grace_s) - 1) == []
        assert over_time(book, target(is_reference=reference), begin + 3000, begin + 3001) == []


def test_a_value_between_clear_and_threshold_keeps_a_firing_alert_and_begins_none():
    book = AlertBook()
    between = target(time_error_s=75e-6)  # (75 + 20) / 100: above clear, 0.9, below the threshold
    assert over_time(book, between, 0, 1000) == []
    assert [alert.kind.name for _, alert in over_time(book, target(time_error_s=81e-6), 1001, 2000)] == [
        "possible_breach"
    ]
    assert over_time(book, between, 2001, 9000) == []
    assert [alert.phase for _, alert in over_time(book, target(time_error_s=69e-6), 9001, 9301)] == [Phase.RESOLVED]


def test_a_condition_that_comes_and_goes_is_told_once():
    book, told = AlertBook(), []
    for turn in range(50):
        told += over_time(book, target(time_error_s=200e-6), turn * 100, turn * 100 + 49)
        told += over_time(book, target(), turn * 100 + 50, turn * 100 + 99)
    assert [alert.phase for _, alert in told] == [Phase.FIRING]


def test_a_certain_breach_silences_the_possible_one_that_it_implies():
    told = over_time(AlertBook(), target(time_error_s=500e-6), 0, 5000)
    assert [alert.kind.name for _, alert in told] == ["certain_breach"]


def test_a_dead_reference_silences_what_depends_on_it_and_nothing_else():
    book, told = AlertBook(), []
    for at in range(1000):
        lost = target("utc", reference="utc", is_reference=True, claims=False, reachability=0.0, time_error_s=None)
        told += book.targets(lost, float(at), at)
        for number in range(5):
            told += book.targets(target(f"ntp{number}", claims=False, time_error_s=None), float(at), at)
        told += book.targets(target("other", reference="utc2", claims=False, time_error_s=None), float(at), at)
    assert [(alert.kind.name, alert.target) for alert in told] == [
        ("reference_lost", "utc"),
        ("not_traceable", "other"),
    ]


def test_a_dead_reference_does_not_hide_that_a_target_is_unreachable():
    book, told = AlertBook(), []
    for at in range(200):
        told += book.targets(target("utc", reference="utc", is_reference=True, claims=False), float(at), at)
        told += book.targets(target(reachability=0.0, claims=False), float(at), at)
    assert {alert.kind.name for alert in told} == {"reference_lost", "unreachable"}


def test_a_target_that_is_removed_takes_its_alerts_with_it():
    book = AlertBook()
    over_time(book, target(reachability=0.0), 0, 300)
    (over,) = book.forget("ntp1", 301)
    assert (over.kind.name, over.phase, over.ended_ns) == ("unreachable", Phase.RESOLVED, 301)
    assert book.active() == []
    assert book.forget("ntp1", 302) == []


def test_patience_and_what_is_off_are_heeded():
    told = over_time(AlertBook(patience=0.1), target(reachability=0.0), 0, 100)
    assert [(at, alert.kind.name) for at, alert in told] == [(12, "unreachable")]
    assert over_time(AlertBook(off=["unreachable", "loss"]), target(reachability=0.0), 0, 1000) == []


def test_without_a_limit_no_breach_is_judged():
    assert over_time(AlertBook(), target(limit_s=None, time_error_s=1.0), 0, 5000) == []


@pytest.mark.parametrize(
    ("name", "error_s"),
    [
        ("cat-50ms", 0.05),  # CAT NMS Plan 6.8(a)
        ("rts25-100us", 1e-4),  # RTS 25 table 1, gateway-to-gateway latency 1 ms or less
        ("g8271-class4", 1.5e-6),  # G.8271 table 1
        ("iec61850-9-3", 1e-6),
        ("g8272-prtc-a", 1e-7),  # G.8272 clause 6.1
        ("prtc-b", 4e-8),
        ("utck-100ns", 1e-7),
    ],
)
def test_the_limits_are_those_of_the_publications(name: str, error_s: float) -> None:
    assert PROFILES[name].error_s == error_s
    assert PROFILES[name].source


def test_a_locked_or_default_clock_class_is_no_holdover():
    assert not {6, 13, 127, 248, 255} & set(HOLDOVER_CLASSES)
    assert [alert for _, alert in over_time(AlertBook(), target(clock_class=248), 0, 1000)] == []


def test_the_text_says_what_and_how_much():
    ((_, alert),) = over_time(AlertBook(), target(time_error_s=-121e-6), 0, 40)
    assert alert.text == f"ntp1: {alert.kind.means} (time error -0.000121 s, bound 2e-05 s, limit 0.0001 s)"


@pytest.mark.parametrize(("life_days", "left_days"), [(365, 14), (90, 14), (42, 14), (7, 7 / 3), (1, 1 / 3)])
def test_a_certificate_is_renewed_two_weeks_or_a_third_of_its_life_before_it_ends(life_days: int, left_days: float):
    day_ns = 86_400 * 10**9
    certificate = Validity(0, life_days * day_ns)
    due_ns = certificate.until_ns - round(left_days * day_ns)
    assert renewal_days(certificate, due_ns - day_ns // 10) == pytest.approx(0.1)
    assert renewal_days(certificate, due_ns + day_ns // 10) == pytest.approx(-0.1)
