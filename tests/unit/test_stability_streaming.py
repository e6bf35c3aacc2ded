"""What a stream states: published values, names, days, sizes, noise, intervals, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from timesync.errors import DataError
from timesync.stability import STATISTICS
from timesync.stability.stream_plan import STREAMED, make_plan
from timesync.stability.streaming import Stream

DAY_NS = 86_400 * 10**9


def sp1065() -> np.ndarray:
    """Phase of the 1000-point suite of NIST SP 1065, 12.4."""
    n, y = 1234567890, []
    for _ in range(1000):
        y.append(n / 2147483647)
        n = 16807 * n % 2147483647
    return np.concatenate(([0.0], np.cumsum(y)))


def filled(plan_of: dict[str, object], x: np.ndarray, **more: object) -> Stream:
    stream = Stream(make_plan(**plan_of), **more)  # type: ignore[arg-type]  # a test's keywords
    stream.push(x)
    return stream


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("adev", (0.2922319, 0.09965736, 0.03897804)),
        ("oadev", (0.2922319, 0.09159953, 0.03241343)),
        ("mdev", (0.2922319, 0.06172376, 0.02170921)),
        ("tdev", (0.1687202, 0.3563623, 1.253382)),
        ("hdev", (0.2943883, 0.1052754, 0.03910860)),
        ("ohdev", (0.2943883, 0.09581083, 0.03237638)),
    ],
)
def test_sp1065_suite(name: str, values: tuple[float, ...]) -> None:
    stream = filled({"tau0_s": 1.0, "statistics": (name,), "taus": (1, 10, 100)}, sp1065())
    np.testing.assert_allclose(stream.result(name).dev, values, rtol=5e-7)


def test_large_offset_and_slope_take_no_digit() -> None:
    rng = np.random.default_rng(1)
    grain = 2.0**-60  # so that the samples with their offset are exact, and the sum is known
    noise = rng.integers(-(2**20), 2**20, 60_000) * grain
    x = 2.0**-10 + noise + 3 * 2.0**-33 * np.arange(60_000)
    statistics = ("oadev", "mdev", "ohdev")
    stream = filled({"tau0_s": 1.0, "statistics": statistics, "longest_s": 4096.0}, x)
    for name in statistics:
        plain = STATISTICS[name](noise, 1.0, stream.result(name).tau_s.tolist(), ci=None)
        np.testing.assert_allclose(stream.result(name).dev, plain.dev, rtol=1e-11)


def test_state_does_not_grow_with_the_run() -> None:
    plan = {"tau0_s": 1.0, "statistics": ("oadev", "tdev", "mtie"), "longest_s": 512.0, "chunk": 64}
    stream = filled(plan, np.random.default_rng(1).standard_normal(2 * 86_400), keep_days=2)
    before = len(stream.to_bytes())
    stream.push(np.random.default_rng(2).standard_normal(3 * 86_400))
    assert len(stream.to_bytes()) - before < 3000  # one sum over all that is older than two days


def test_strided_stream_is_small() -> None:
    plan = {
        "tau0_s": 1.0,
        "statistics": ("oadev", "tdev", "mtie"),
        "longest_s": 131_072.0,
        "exact_to_s": 16.0,
        "chunk": 64,
    }
    stream = filled(plan, np.random.default_rng(1).standard_normal(20_000))
    assert len(stream.to_bytes()) < 60_000


def test_days_are_utc_days_and_a_term_belongs_to_that_of_its_last_sample() -> None:
    x = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    # the third sample is the first of day 20001
    start = 20_001 * DAY_NS - 2 * 10**9
    stream = filled({"tau0_s": 1.0, "statistics": ("oadev",), "taus": (1.0,)}, x, start_ns=start)
    assert sorted(stream.days.by_day()) == [20_000, 20_001]
    assert stream.result("oadev", days=(20_000, 20_000)).n.tolist() == []
    assert stream.result("oadev", days=(20_001, 20_001)).n.tolist() == [4]
    assert stream.result("oadev").n.tolist() == [4]


def test_days_no_longer_kept_apart_are_refused_and_stay_in_the_whole() -> None:
    x = np.random.default_rng(1).standard_normal(100)
    stream = filled({"tau0_s": 21_600.0, "statistics": ("oadev",), "taus": (21_600.0,)}, x, keep_days=3)
    assert stream.result("oadev").n.tolist() == [98]
    assert stream.result("oadev", days=(22, 24)).n.tolist() == [12]
    with pytest.raises(DataError, match="kept only as one sum"):
        stream.result("oadev", days=(21, 24))


def test_streams_planned_differently_do_not_merge() -> None:
    one = filled({"tau0_s": 1.0, "statistics": ("oadev",), "longest_s": 8.0}, np.zeros(4))
    other = filled({"tau0_s": 2.0, "statistics": ("oadev",), "longest_s": 8.0}, np.zeros(4))
    with pytest.raises(DataError, match="do not add"):
        one.days.merged(other.days)


@pytest.mark.parametrize("alpha", [2, 1, 0, -1, -2])
def test_noise_is_identified_from_the_sums(alpha: int) -> None:
    from support.powerlaw import power_law_phase

    x = power_law_phase(alpha, 40_000, np.random.default_rng(alpha + 5))[0]
    stream = filled({"tau0_s": 1.0, "statistics": ("oadev", "mdev"), "longest_s": 256.0}, x)
    result = stream.result("oadev")
    assert result.alpha.tolist() == [alpha] * 9
    batch = STATISTICS["oadev"](x, 1.0, result.tau_s.tolist())
    np.testing.assert_allclose(result.lo, batch.lo, rtol=0.02)
    np.testing.assert_allclose(result.hi, batch.hi, rtol=0.02)


def test_intervals_widen_honestly_where_terms_are_strided_over() -> None:
    x = np.random.default_rng(4).standard_normal(60_000)
    every = filled({"tau0_s": 1.0, "statistics": ("oadev",), "taus": (256.0,)}, x).result("oadev")
    some = filled({"tau0_s": 1.0, "statistics": ("oadev",), "taus": (256.0,), "exact_to_s": 1.0}, x)
    strided = some.result("oadev_strided")
    assert strided.alpha.tolist() == every.alpha.tolist() == [2.0]
    assert strided.edf[0] < every.edf[0] / 8  # white PM: every term left out is a degree of freedom left out
    assert strided.lo[0] < every.dev[0] < strided.hi[0] or abs(strided.dev[0] / every.dev[0] - 1) < 0.1


def test_mtie_says_whether_it_is_exact() -> None:
    x = np.cumsum(np.random.default_rng(4).standard_normal(3000))
    stream = filled({"tau0_s": 1.0, "statistics": ("mtie",), "longest_s": 512.0, "exact_to_s": 32.0}, x)
    assert stream.names == ("mtie", "mtie_bounds")
    exact, bounds = stream.result("mtie"), stream.result("mtie_bounds")
    batch = {row["m"]: row["dev"] for row in STATISTICS["mtie"](x).rows()}
    assert [batch[m] for m in exact.m.tolist()] == exact.dev.tolist()
    for m, lo, hi in zip(bounds.m.tolist(), bounds.lo, bounds.hi, strict=True):
        assert lo <= batch[m] <= hi
        assert hi < 1.3 * lo
    assert "rigorous bounds" in bounds.interval


def test_empty_stream_gives_an_empty_result_with_its_reason() -> None:
    stream = filled({"tau0_s": 1.0, "statistics": tuple(STREAMED), "longest_s": 8.0}, np.full(5, np.nan))
    for name in stream.names:
        result = stream.result(name)
        assert len(result) == 0
        assert result.reason == "no sample is there yet"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tau0_s": 0.0, "statistics": ("oadev",), "longest_s": 8.0}, "tau0_s"),
        ({"tau0_s": 1.0, "statistics": ("totdev",), "longest_s": 8.0}, "cannot be streamed"),
        ({"tau0_s": 1.0, "statistics": (), "longest_s": 8.0}, "cannot be streamed"),
        ({"tau0_s": 1.0, "statistics": ("oadev",)}, "give longest_s"),
        ({"tau0_s": 1.0, "statistics": ("oadev",), "longest_s": 0.5}, "none is left"),
        ({"tau0_s": 1.0, "statistics": ("oadev",), "longest_s": 8.0, "chunk": 0}, "chunk"),
    ],
)
def test_plan_that_cannot_be_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        make_plan(**arguments)  # type: ignore[arg-type]  # a test's keywords


@pytest.mark.parametrize("x", [np.zeros((2, 2)), np.array(["a"]), np.array([0.0, np.inf])])
def test_samples_that_cannot_be_are_refused_and_nothing_is_taken(x: np.ndarray) -> None:
    stream = filled({"tau0_s": 1.0, "statistics": ("oadev",), "longest_s": 8.0}, np.zeros(3))
    with pytest.raises(DataError, match="x: "):
        stream.push(x)
    assert stream.size == 3


def test_state_of_another_version_says_so() -> None:
    state = bytearray(filled({"tau0_s": 1.0, "statistics": ("oadev",), "longest_s": 8.0}, np.zeros(3)).to_bytes())
    state[8] = 2
    with pytest.raises(DataError, match="version 2 is not known"):
        Stream.from_bytes(bytes(state))
    with pytest.raises(DataError, match="not the bytes"):
        Stream.from_bytes(b"something else entirely, and long enough to hold a frame")


def test_grid_begins_anew_at_an_interruption_also_in_a_day_before() -> None:
    stream = filled({"tau0_s": 1.0, "statistics": ("tierms",), "longest_s": 1.0}, np.zeros(3), start_ns=DAY_NS)
    stream.interrupt(DAY_NS - 10**9)
    stream.push(np.zeros(3))
    days = stream.days.by_day()
    assert {day: (sums.points, int(sums.terms[0, 0])) for day, sums in days.items()} == {0: (1, 0), 1: (5, 4)}


def test_a_negative_gap_is_refused() -> None:
    stream = filled({"tau0_s": 1.0, "statistics": ("oadev",), "longest_s": 8.0}, np.zeros(3))
    with pytest.raises(DataError, match="does not go back"):
        stream.skip(-1)
