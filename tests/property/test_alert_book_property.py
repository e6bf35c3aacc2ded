"""Whatever comes: alerts begin and end in turn, patiently, and nothing is told twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timesync.alerts.book import AlertBook, Phase
from timesync.alerts.facts import TargetFacts
from timesync.alerts.kinds import KINDS, Scope

RATIOS = st.floats(min_value=-2e-4, max_value=2e-4)
MAYBE = st.one_of(st.none(), st.booleans())
FACTS = st.fixed_dictionaries(
    {
        "limit_s": st.one_of(st.none(), st.just(1e-4)),
        "is_reference": st.booleans(),
        "reachability": st.one_of(st.none(), st.sampled_from([number / 8 for number in range(9)])),
        "age_intervals": st.one_of(st.none(), st.floats(0, 30)),
        "claims": MAYBE,
        "time_error_s": st.one_of(st.none(), RATIOS),
        "bound_s": st.one_of(st.none(), st.floats(0, 1e-4)),
        "clock_class": st.one_of(st.none(), st.integers(0, 255)),
        "leap_disagrees": st.booleans(),
        "grandmasters": st.one_of(st.none(), st.integers(1, 3)),
        "to_limit_s": st.one_of(st.none(), RATIOS.map(lambda ratio: ratio * 4 * 3600)),
        "tie_days": st.one_of(st.none(), st.floats(-1, 100)),
    }
)
STEPS = st.lists(st.tuples(FACTS, st.integers(1, 2000)), max_size=60)


@given(STEPS)
def test_each_alert_fires_and_resolves_in_turn_no_sooner_than_its_patience_allows(steps):
    book, now_s, told = AlertBook(), 0, []
    for facts, passed_s in steps:
        now_s += passed_s
        alerts = book.targets(TargetFacts("t", reference="utc", **facts), float(now_s), now_s * 10**9)
        told += [(now_s, alert) for alert in alerts]
    for kind in KINDS:
        of_kind = [(at, alert) for at, alert in told if alert.kind is kind]
        phases = [alert.phase for _, alert in of_kind]
        assert phases == [Phase.FIRING, Phase.RESOLVED] * (len(phases) // 2) + [Phase.FIRING] * (len(phases) % 2)
        for at, alert in of_kind:
            if alert.phase is Phase.FIRING:
                assert at - alert.since_ns // 10**9 >= kind.grace_s
            else:
                assert alert.ended_ns is not None
                assert alert.fired_ns is not None
                assert alert.ended_ns >= alert.fired_ns
    firing = {alert.kind.name for alert in book.active() if alert.phase is Phase.FIRING}
    begun = {alert.kind.name for _, alert in told if [a.kind for _, a in told].count(alert.kind) % 2}
    assert firing == begun


@given(FACTS)
def test_what_is_silenced_never_fires_beside_what_silences_it(facts):
    book = AlertBook(patience=0)
    told = {alert.kind.name for alert in book.targets(TargetFacts("t", reference="utc", **facts), 0.0, 0)}
    for kind in KINDS:
        if kind.scope is Scope.TARGET and kind.name in told:
            assert not told.intersection(kind.silenced_by)
