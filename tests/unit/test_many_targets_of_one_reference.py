"""A thousand targets that wait for one measurement of their reference are completed in shares, each once and in order."""

from __future__ import annotations

import pytest

from timesync.model import ClockOffset, Timestamping
from timesync.reference.differencing import SHARE, Differencer
from timesync.settings import Tie

S = 1_000_000_000
TARGETS = 10 * SHARE


def offset(target: str, at_ns: int) -> ClockOffset:
    return ClockOffset(target, "ntp", at_ns, 1e-6, 1e-4, 5e-5, 1e-6, 0.0, 0.0, Timestamping.KERNEL, 0)


@pytest.fixture
def crowded() -> Differencer:
    """All targets measured between two measurements of the reference, of which the second has not come."""
    differencer = Differencer("reference", Tie("UTC(LAB)"), max_age_s=64.0)
    differencer.reference(offset("reference", 0))
    for number in range(TARGETS):
        assert not differencer.target(offset(f"t{number}", number + 1), number + 1)
    return differencer


def test_one_measurement_of_the_reference_completes_a_share_of_very_many(crowded: Differencer) -> None:
    given = [error.offset.target for error in crowded.reference(offset("reference", S))]
    assert given == ["reference", *(f"t{number}" for number in range(SHARE))]
    assert crowded.waiting == TARGETS - SHARE


def test_the_calls_that_follow_give_the_others_each_once_and_in_order(crowded: Differencer) -> None:
    given = [error.offset.target for error in crowded.reference(offset("reference", S))][1:]
    for number in range(TARGETS // SHARE - 1):
        given += [error.offset.target for error in crowded.target(offset("new", 2 * S + number), 2 * S)]
    assert given == [f"t{number}" for number in range(TARGETS)]


@pytest.mark.parametrize("end", ["tick", "flush"])
def test_the_tick_and_the_end_give_all_of_them(crowded: Differencer, end: str) -> None:
    given = list(crowded.reference(offset("reference", S)))
    given += crowded.flush() if end == "flush" else crowded.overdue(S)
    assert [error.offset.target for error in given] == ["reference", *(f"t{number}" for number in range(TARGETS))]
    assert all(error.time_error_s == 0.0 for error in given)
    assert crowded.waiting == 0


def test_a_target_that_is_forgotten_is_not_completed(crowded: Differencer) -> None:
    crowded.reference(offset("reference", S))
    crowded.forget(f"t{TARGETS - 1}")
    assert [error.offset.target for error in crowded.flush()][-1] == f"t{TARGETS - 2}"
