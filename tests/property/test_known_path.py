"""What is declared of a path may be used: the error never leaves the bound, for any delays that agree with the declaration."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timesync.model import Exchange, ServerFacts, Timestamping
from timesync.settings import KnownPath
from timesync.uncertainty import clock_offset, contradicts, with_known_path

US = 1_000
ways = st.integers(0, 50_000)  # us
queues = st.integers(0, 20_000)


def exchange(out_us: int, back_us: int, true_us: int) -> Exchange:
    """A server that answers at once, `true_us` ahead."""
    t1 = 10**18
    t2 = t1 + (out_us + true_us) * US
    t4 = t1 + (out_us + back_us) * US
    facts = ServerFacts(precision_s=0.0)
    return Exchange("t", "ntp", "a", t1, t2, t2, t4, Timestamping.KERNEL, Timestamping.KERNEL, "basic", facts, 0)


@given(out=ways, back=ways, queue_out=queues, queue_back=queues, true=st.integers(-(10**6), 10**6), data=st.data())
def test_the_error_is_within_the_bound_of_what_is_declared_truly(
    out: int, back: int, queue_out: int, queue_back: int, true: int, data: st.DataObject
) -> None:
    wrong = data.draw(st.integers(-500, 500), label="how wrong the declared asymmetry is, us")
    least = data.draw(st.integers(0, out + back), label="the least round trip that is declared, us")
    path = KnownPath(least * 1e-6, (out - back + wrong) * 1e-6, abs(wrong) * 1e-6, abs(wrong) * 1e-6)
    plain = clock_offset(exchange(out + queue_out, back + queue_back, true))
    known = with_known_path(plain, path)
    assert not contradicts(plain, path)
    assert abs(known.offset_s - true * 1e-6) <= known.bound_s + 1e-12
    assert known.bound_path_s <= plain.bound_path_s
    assert known.correction_s == -path.asymmetry_s / 2.0


@given(out=ways, back=ways, true=st.integers(-(10**6), 10**6))
def test_where_the_declaration_is_contradicted_nothing_of_it_is_used(out: int, back: int, true: int) -> None:
    plain = clock_offset(exchange(out, back, true))
    path = KnownPath((out + back + 1000) * 1e-6, 1e-3, 1e-6, 1e-6)
    assert contradicts(plain, path)
    assert with_known_path(plain, path) == plain


@given(length=st.integers(1, 10_000), queue=queues)
def test_a_symmetric_path_of_known_length_leaves_only_the_queues(length: int, queue: int) -> None:
    """(d - 2 d_min) / 2: all that is left in doubt is who waited."""
    plain = clock_offset(exchange(length + queue, length, 0))
    known = with_known_path(plain, KnownPath(minimum_delay_s=2e-6 * length))
    assert abs(known.bound_path_s - queue * 0.5e-6) < 1e-12
