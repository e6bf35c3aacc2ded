"""Streaming against the batch statistics: random data, gaps, blocks, restarts, breaks and merges; the same to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.stability_definitions import DEFINITIONS

from timesync.errors import DataError
from timesync.stability import STATISTICS
from timesync.stability.stream_plan import STREAMED, StreamPlan, make_plan
from timesync.stability.streaming import Stream

ALL = tuple(STREAMED)
SEEDS = st.integers(0, 2**32 - 1)


def record(rng: np.random.Generator, points: int) -> np.ndarray:
    """Noise of some type and size, on an offset, a slope and a drift, with gaps."""
    x = rng.standard_normal(points)
    for _ in range(rng.integers(0, 2)):
        x = np.cumsum(x)
    x = x * 10.0 ** rng.uniform(-12, 3)
    t = np.arange(points)
    scale = np.std(x) * 10.0 ** rng.uniform(-1, 4)
    x = x + scale * rng.standard_normal() + scale * rng.standard_normal() * t / points
    for _ in range(rng.integers(0, 4)):
        begin = int(rng.integers(0, points))
        x[begin : begin + int(rng.integers(1, points // 3 + 2))] = np.nan
    return x


def blocks(rng: np.random.Generator, x: np.ndarray) -> list[np.ndarray]:
    most = int(rng.choice([1, 3, 40, 1000]))
    out, done = [], 0
    while done < x.size:
        width = int(rng.integers(0, most + 1))
        out.append(x[done : done + width])
        done += width
    return out


def plan_of(rng: np.random.Generator, points: int, **more: float) -> StreamPlan:
    tau0 = float(rng.choice([1.0, 0.1, 16.0, 1 / 3, 5000.0]))
    taus = str(rng.choice(["octave", "decade", "log:5"]))
    longest = int(rng.integers(1, max(2, points // 2)))
    chunk = int(rng.choice([1, 5, 64, 4096]))
    return make_plan(tau0, ALL, taus, longest_s=longest * tau0, chunk=chunk, **more)


def compare(stream: Stream, x: np.ndarray) -> None:
    plan = stream.plan
    wanted = plan.factors[plan.factors < x.size] * plan.tau0_s
    for name in ALL:
        streamed = stream.result(name, ci=None)
        batch = STATISTICS[name](x, plan.tau0_s, wanted.tolist(), ci=None) if wanted.size else None
        if batch is None:
            assert len(streamed) == 0
            continue
        assert streamed.m.tolist() == batch.m.tolist()
        assert streamed.n.tolist() == batch.n.tolist()
        assert streamed.completeness == pytest.approx(batch.completeness)
        if name == "mtie":
            np.testing.assert_array_equal(streamed.dev, batch.dev)
        else:
            np.testing.assert_allclose(streamed.dev, batch.dev, rtol=1e-12, atol=0)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 700))
def test_stream_equals_batch_at_any_moment_and_across_restarts(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    x = record(rng, points)
    stream = Stream(plan_of(rng, points), keep_days=int(rng.integers(1, 5)), start_ns=int(rng.integers(0, 10**18)))
    looks = 0
    done = 0
    for block in blocks(rng, x):
        stream.push(block)
        done += block.size
        if rng.random() < 0.1:
            stream = Stream.from_bytes(stream.to_bytes())
        if rng.random() < 0.02 and looks < 3 and done > 1:
            looks += 1
            compare(stream, x[:done])
    assert stream.size == points
    compare(stream, x)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 60))
def test_no_term_spans_an_interruption(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    x = record(rng, points)
    plan = plan_of(rng, points)
    cuts = sorted({int(cut) for cut in rng.integers(1, points + 1, 2)})
    stream = Stream(plan)
    for part in np.split(x, cuts):
        stream.push(part)
        if stream.size < points:
            stream.interrupt()
    for name in ALL:
        result = stream.result(name, ci=None)
        defined = {m: DEFINITIONS[name](x, m, plan.tau0_s, [cut - 1 for cut in cuts if cut < points]) for m in plan.m}
        assert result.m.tolist() == [m for m in plan.m if defined[m] is not None]
        for m, dev, n in zip(result.m.tolist(), result.dev, result.n, strict=True):
            assert n == defined[m][1]
            assert dev == pytest.approx(defined[m][0], rel=1e-9, abs=0)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(0, 3000))
@example(1049, 6)  # differed by 1e-12 when the samples' blocks decided what was rounded
@example(1422, 22)
def test_skipping_is_the_same_as_missing_samples(seed: int, gap: int) -> None:
    rng = np.random.default_rng(seed)
    plan = make_plan(40.0, ALL, longest_s=40.0 * 32, exact_to_s=40.0 * 4, chunk=64)
    one, other = Stream(plan), Stream(plan)
    for part in (np.full(int(rng.integers(0, 40)), np.nan), record(rng, int(rng.integers(1, 400)))):
        one.push(part)
        other.push(part)
    one.skip(gap)
    other.push(np.full(gap, np.nan))
    after = record(rng, 200)
    one.push(after)
    other.push(after)
    assert one.size == other.size
    for name in one.names:
        a, b = one.result(name), other.result(name)
        np.testing.assert_allclose(a.dev, b.dev, rtol=1e-14)
        assert a.n.tolist() == b.n.tolist()
        assert a.completeness == b.completeness


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 700))
def test_rounding_does_not_depend_on_how_the_data_were_cut(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    # noise, after a stretch on another scale: what rounding leaves of it is all that some terms see
    x = np.concatenate((record(rng, points), record(rng, 200)))
    found = []
    for chunk in (1, int(rng.integers(2, 100)), 4096):
        stream = Stream(make_plan(1.0, ALL, longest_s=64, exact_to_s=4, chunk=chunk))
        for block in blocks(rng, x):
            stream.push(block)
        found.append([stream.result(name, ci=None) for name in stream.names])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert one.n.tolist() == other.n.tolist()
            np.testing.assert_allclose(one.dev, other.dev, rtol=1e-14)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_days_of_two_streams_add_to_the_terms_of_both(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = record(rng, 300), record(rng, 200)
    plan = make_plan(7200.0, ALL, longest_s=7200.0 * 20)
    first, second = Stream(plan), Stream(plan, start_ns=310 * 7200 * 10**9)
    first.push(x)
    second.push(y)
    merged = first.days.merged(second.days)
    parts = [first.sums(), second.sums()]
    both = merged.whole()
    np.testing.assert_allclose(both.total, parts[0].total + parts[1].total, rtol=1e-14)
    np.testing.assert_array_equal(both.terms, parts[0].terms + parts[1].terms)
    np.testing.assert_array_equal(both.top, np.maximum(parts[0].top, parts[1].top))
    assert (both.points, both.present) == (500, np.count_nonzero(~np.isnan(x)) + np.count_nonzero(~np.isnan(y)))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 400))
def test_window_of_days_has_the_terms_that_end_in_them(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    x = record(rng, points)
    plan = make_plan(7200.0, ("oadev", "tierms", "mtie"), longest_s=7200.0 * 16, chunk=int(rng.choice([3, 100])))
    stream = Stream(plan, start_ns=5 * 3600 * 10**9)
    for block in blocks(rng, x):
        stream.push(block)
    day = (5 * 3600 + 7200 * np.arange(points)) // 86400
    first, last = sorted(int(d) for d in rng.integers(0, day[-1] + 1, 2))
    chosen = (day >= first) & (day <= last)
    for name in ("oadev", "mtie"):
        result = stream.result(name, days=(first, last), ci=None)
        for m in plan.m:
            values = []
            for end in np.flatnonzero(chosen):
                if name == "oadev" and end >= 2 * m:
                    term = x[end] - 2 * x[end - m] + x[end - 2 * m]
                    values += [] if np.isnan(term) else [term**2]
                if name == "mtie" and end >= m:
                    window = x[end - m : end + 1]
                    here = window[~np.isnan(window)]
                    values += [np.ptp(here)] if here.size > 1 else []
            assert (m in result.m) == bool(values)
            if values:
                dev = result.dev[result.m == m][0]
                wanted = max(values) if name == "mtie" else np.sqrt(np.mean(values) / 2) / (m * 7200)
                assert dev == pytest.approx(wanted, rel=1e-9)
                assert result.n[result.m == m][0] == len(values)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(60, 1500))
def test_strided_estimators_sum_every_strideth_term_and_bounds_hold(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    x = record(rng, points)
    plan = make_plan(
        1.0, ("oadev", "mdev", "tierms", "mtie"), longest_s=256, exact_to_s=4, chunk=int(rng.choice([7, 64]))
    )
    stream = Stream(plan, start_ns=86400 * 10**9 - int(rng.integers(0, points)) * 10**9)
    for block in blocks(rng, x):
        stream.push(block)
        if rng.random() < 0.05:
            stream = Stream.from_bytes(stream.to_bytes())
    assert stream.names == (*plan.statistics, "oadev_strided", "mdev_strided", "tierms_strided", "mtie_bounds")
    strides = dict(zip(plan.m, plan.strides.tolist(), strict=True))
    oadev, bounds, mdev = (stream.result(name, ci=None) for name in ("oadev_strided", "mtie_bounds", "mdev_strided"))
    for m in (k for k in plan.m if strides[k] > 1):
        ends = np.arange(strides[m] - 1, points, strides[m])
        ends = ends[ends >= 2 * m]
        terms = x[ends] - 2 * x[ends - m] + x[ends - 2 * m]
        terms = terms[~np.isnan(terms)]
        if terms.size:
            assert oadev.dev[oadev.m == m][0] == pytest.approx(np.sqrt(np.mean(terms**2) / 2) / m, rel=1e-9)
            assert oadev.n[oadev.m == m][0] == terms.size
        third = []
        for end in range(strides[m] - 1, points, strides[m]):
            if end >= 3 * m - 1:
                a, b, c = (np.mean(x[end + 1 - (k + 1) * m : end + 1 - k * m]) for k in range(3))
                third += [] if np.isnan(a + b + c) else [(a - 2 * b + c) ** 2]
        if third:
            assert mdev.dev[mdev.m == m][0] == pytest.approx(np.sqrt(np.mean(third) / 2) / m, rel=1e-7)
            assert mdev.n[mdev.m == m][0] == len(third)
        true = DEFINITIONS["mtie"](x, m, 1.0)
        if true is not None:
            assert bounds.lo[bounds.m == m][0] <= true[0] <= bounds.hi[bounds.m == m][0]


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.data())
def test_damaged_state_is_an_error_and_nothing_else(seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    stream = Stream(make_plan(1.0, ("oadev", "mtie"), longest_s=8, chunk=16))
    stream.push(record(rng, 50))
    state = bytearray(stream.to_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "add"]))
    if kind == "flip":
        state[data.draw(st.integers(0, len(state) - 1))] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del state[data.draw(st.integers(0, len(state) - 1)) :]
    else:
        state += b"\0"
    with pytest.raises(DataError, match="state: "):
        Stream.from_bytes(bytes(state))
