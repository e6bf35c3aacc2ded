"""The two lanes to a sink: nothing is left out, nothing is told twice, live goes before history."""

from timesync.store.lanes import ECHO, Lane, Lanes, Span, advance, lowest, pending_spans, raise_floor, reach, split


def test_live_lane_jumps_ahead_and_leaves_a_backlog() -> None:
    state = split(Lanes(live=10), begin=50)
    assert state == Lanes(50, (Span(10, 50),))
    assert pending_spans(state, 60) == (Span(10, 50), Span(50, 60))


def test_second_jump_without_a_delivery_joins_the_backlog() -> None:
    assert split(split(Lanes(10), 50), 80) == Lanes(80, (Span(10, 80),))


def test_second_jump_after_live_deliveries_keeps_two_spans() -> None:
    state = advance(split(Lanes(10), 50), Lane.LIVE, 50, 55)
    assert split(state, 80) == Lanes(80, (Span(10, 50), Span(55, 80)))


def test_backlog_is_taken_from_its_oldest_end_and_ends_where_the_live_lane_is() -> None:
    state = advance(Lanes(50, (Span(10, 50),)), Lane.BACKLOG, 10, 30)
    assert state == Lanes(50, (Span(30, 50),))
    assert advance(state, Lane.BACKLOG, 30, 50) == Lanes(50)


def test_backlog_repeats_what_the_live_lane_delivered_where_it_began() -> None:
    """A row of the backlog may have had a successor there, and the successor must be the last to be written."""
    state = advance(split(Lanes(10), 50), Lane.LIVE, 50, 60)
    assert reach(state) == 60
    state = advance(state, Lane.BACKLOG, 10, 50)
    assert state.backlog == (Span(50, 50),)
    assert pending_spans(state, 60) == ()
    assert advance(state, Lane.BACKLOG, 50, 60) == Lanes(60)


def test_echo_ends_at_the_next_span_and_after_a_while() -> None:
    assert reach(Lanes(90, (Span(10, 50), Span(55, 80)))) == 55
    assert reach(Lanes(10 * ECHO, (Span(10, 50),))) == 50 + ECHO


def test_delivery_that_was_under_way_while_the_live_lane_jumped_is_not_repeated() -> None:
    jumped = split(Lanes(10), 50)
    assert advance(jumped, Lane.LIVE, 10, 20) == Lanes(50, (Span(20, 50),))


def test_settling_twice_changes_nothing_more() -> None:
    once = advance(Lanes(10), Lane.LIVE, 10, 20)
    assert advance(once, Lane.LIVE, 10, 20) == once


def test_records_no_longer_kept_are_forgotten_in_both_lanes() -> None:
    state = Lanes(50, (Span(10, 20), Span(30, 40)))
    assert raise_floor(state, 35) == Lanes(50, (Span(35, 40),))
    assert raise_floor(state, 70) == Lanes(70)
    assert lowest(state) == 10
    assert lowest(Lanes(50)) == 50
