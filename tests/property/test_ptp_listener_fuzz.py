"""A bounded run of the PTP fuzzer; the long one is tests/benchmark/bench_fuzz.py."""

from __future__ import annotations

import pytest
from support.ptpfuzz import fuzz_ptp


@pytest.mark.parametrize("seed", [1, 2])
def test_no_octets_make_the_listener_fail_or_believe_what_is_not_for_us(seed: int) -> None:
    result = fuzz_ptp(10_000, seed)
    assert result.packets >= 10_000
    # The generator is worth something: much of it is read, and true answers are believed.
    assert result.decoded > result.packets / 4
    assert result.measured > 30
