"""Running statistics are exact whatever the numbers' size; sequence numbers tell loss from repetition from a new beginning."""

from __future__ import annotations

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timesync.capture.tally import BINS, Sequence, Spread, Step, Timeline


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=60), st.integers(-(10**20), 10**20))
def test_spread_is_that_of_the_statistics_module(values: list[int], base: int) -> None:
    spread = Spread()
    for value in values:
        spread.add(base + value)
    got = spread.summary(1.0, -base)
    assert got is not None
    assert (got.count, got.min_s, got.max_s) == (len(values), min(values), max(values))
    assert got.mean_s == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert got.sd_s == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(-(2**52), 2**52)), min_size=1, max_size=300))
def test_timeline_keeps_every_value_in_a_bounded_number_of_bins(values: list[tuple[int, int]]) -> None:
    line = Timeline()
    begun = values[0][0]
    for at_ns, value in values:
        line.add(at_ns, value)
    bins = line.bins(1.0)
    assert len(bins) <= BINS
    assert sum(each.count for each in bins) == len(values)
    total = sum(Fraction(each.mean_s) * each.count for each in bins)
    assert float(total) == pytest.approx(sum(value for _, value in values), rel=1e-9, abs=1e-3 * len(values) * 10**6)
    assert min(each.min_s for each in bins) == min(value for _, value in values)
    assert max(each.max_s for each in bins) == max(value for _, value in values)
    assert all(each.at_ns >= begun for each in bins)


def steps(*numbers: int, interval_ns: int | None = None, elapsed_ns: int = 0) -> tuple[list[Step], Sequence]:
    sequence = Sequence()
    return [sequence.take(number, elapsed_ns, interval_ns)[0] for number in numbers], sequence


def test_numbers_wrap_round_at_16_bits() -> None:
    got, sequence = steps(0xFFFE, 0xFFFF, 0, 1)
    assert got == [Step.FIRST, Step.NEXT, Step.NEXT, Step.NEXT]
    assert sequence.lost == 0


def test_a_gap_is_so_many_lost() -> None:
    got, sequence = steps(5, 9)
    assert got == [Step.FIRST, Step.GAP]
    assert sequence.lost == 3


def test_a_late_number_is_lost_no_more() -> None:
    got, sequence = steps(5, 7, 6, 8)
    assert got == [Step.FIRST, Step.GAP, Step.LATE, Step.NEXT]
    assert (sequence.lost, sequence.late) == (0, 1)


def test_the_same_number_again_is_a_repetition() -> None:
    got, sequence = steps(5, 5, 6, 5)
    assert got == [Step.FIRST, Step.REPEATED, Step.NEXT, Step.REPEATED]
    assert sequence.repeated == 2


def test_a_far_number_is_a_new_beginning_unless_the_time_explains_it() -> None:
    got, sequence = steps(60000, 0)
    assert got == [Step.FIRST, Step.JUMP]
    assert (sequence.lost, sequence.jumps) == (0, 1)
    assert steps(60000, 10)[0] == [Step.FIRST, Step.JUMP]
    got, sequence = steps(100, 1100, interval_ns=10**9, elapsed_ns=1000 * 10**9)
    assert got == [Step.FIRST, Step.GAP]
    assert sequence.lost == 999
