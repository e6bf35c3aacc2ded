"""Whatever the order of appends, jumps and deliveries: nothing is left out, and a row's successor is written last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timesync.store.lanes import Lane, Lanes, advance, pending_spans, reach, split

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 30)),
        st.tuples(st.just("jump"), st.integers(0, 10)),
        st.tuples(st.sampled_from([Lane.LIVE, Lane.BACKLOG]), st.integers(1, 15)),
    ),
    max_size=60,
)


class Run:
    """A sink that remembers what it was given, in order; records of an id and of the next even one are one row."""

    def __init__(self) -> None:
        self.lanes = Lanes(0)
        self.present = 0
        self.given: list[int] = []

    def step(self, action: str | Lane, amount: int) -> None:
        if action == "append":
            self.present += amount
        elif action == "jump":
            self.lanes = split(self.lanes, max(self.lanes.live, self.present - amount))
        else:
            self.deliver(Lane(action), amount)

    def deliver(self, lane: Lane, amount: int) -> None:
        if lane is Lane.BACKLOG:
            if not self.lanes.backlog:
                return
            low, high = self.lanes.backlog[0].low, min(reach(self.lanes), self.present)
        else:
            low, high = self.lanes.live, self.present
        beyond = min(low + amount, high)
        if low > beyond:
            return
        self.given += range(low, beyond)
        self.lanes = advance(self.lanes, lane, low, beyond)

    def drain(self) -> None:
        while self.lanes.backlog or self.lanes.live < self.present:
            self.deliver(Lane.LIVE, 7)
            self.deliver(Lane.BACKLOG, 5)


@given(STEPS)
def test_everything_is_delivered_and_what_is_pending_is_exactly_what_is_not(
    steps: list[tuple[str | Lane, int]],
) -> None:
    run = Run()
    for action, amount in steps:
        run.step(action, amount)
        waiting = {number for span in pending_spans(run.lanes, run.present) for number in range(span.low, span.high)}
        assert waiting == set(range(run.present)) - set(run.given)
    run.drain()
    assert set(run.given) == set(range(run.present))


@given(STEPS)
def test_of_two_records_of_a_row_the_later_is_written_last(steps: list[tuple[str | Lane, int]]) -> None:
    run = Run()
    for action, amount in steps:
        run.step(action, amount)
    run.drain()
    last = {number: place for place, number in enumerate(run.given)}
    assert all(last[number] < last[number + 1] for number in range(run.present - 1))
