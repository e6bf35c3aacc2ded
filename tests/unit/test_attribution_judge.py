"""The vote: who moved, by what the clocks say of one change. Cases with an answer that can be told by hand."""

from __future__ import annotations

from timesync.attribution.judge import PROBE, Fault, Kind, Stand, judge

US = 1e-6


def stand(
    name: str, moved_s: float = 0.0, *, delay_s: float = 0.0, tolerance_s: float = 5 * US, **more: object
) -> Stand:
    return Stand(name, moved_s, tolerance_s, delay_s=delay_s, delay_tolerance_s=5 * US, **more)  # type: ignore[arg-type]


def doors(stands: list[Stand], probe: Stand | None) -> list[tuple[Fault, tuple[str, ...]]]:
    return [(finding.fault, finding.members) for finding in judge(stands, probe)]


def test_one_of_four_that_moved_is_wrong() -> None:
    assert doors([stand("a"), stand("b", 100 * US), stand("c"), stand("d")], None) == [(Fault.SERVER, ("b",))]


def test_a_pivot_that_moved_is_seen_in_all_others() -> None:
    moved = [stand("r", is_reference=True), *(stand(name, -100 * US) for name in "abc")]
    (finding,) = judge(moved, stand(PROBE, -100 * US))
    assert (finding.fault, finding.members) == (Fault.REFERENCE, ("r",))
    assert finding.moved_s == 100 * US


def test_all_that_moved_together_stood_still_and_the_probe_moved() -> None:
    (finding,) = judge([stand("a"), stand("b"), stand("c")], stand(PROBE, 300 * US))
    assert (finding.fault, finding.moved_s, finding.members) == (Fault.PROBE, 300 * US, ())


def test_of_two_the_probe_decides_if_it_can_tell_and_nobody_if_not() -> None:
    two = [stand("a"), stand("b", 100 * US)]
    assert doors(two, stand(PROBE)) == [(Fault.SERVER, ("b",))]
    assert doors(two, stand(PROBE, 100 * US)) == [(Fault.SERVER, ("a",))]
    assert doors(two, None) == [(Fault.UNDECIDED, ("a", "b"))]


def test_two_against_two_is_undecided() -> None:
    four = [stand("a"), stand("b"), stand("c", 100 * US), stand("d", 100 * US)]
    assert doors(four, None) == [(Fault.UNDECIDED, ("a", "b", "c", "d"))]


def test_offset_by_half_the_delay_is_the_path_and_more_is_not() -> None:
    others = [stand("a"), stand("c"), stand("d")]
    assert doors([*others, stand("b", 500 * US, delay_s=1000 * US)], None) == [(Fault.PATH, ("b",))]
    assert doors([*others, stand("b", 200 * US, delay_s=1000 * US)], None) == [(Fault.PATH, ("b",))]
    (finding,) = judge([*others, stand("b", 900 * US, delay_s=1000 * US)], None)
    assert finding.fault is Fault.SERVER
    assert "path alone cannot" in finding.note


def test_which_way_of_the_path_changed() -> None:
    others = [stand("a"), stand("c"), stand("d")]
    # RFC 5905 section 8: offset = (forth - back) / 2
    notes = {
        (500 * US, 1000 * US): "only the way to it changed",
        (-500 * US, 1000 * US): "only the way back from it changed",
        (-500 * US, -1000 * US): "only the way to it changed",
        (0.0, 1000 * US): "the path changed both ways",
    }
    for (moved_s, delay_s), note in notes.items():
        (finding,) = judge([*others, stand("b", moved_s, delay_s=delay_s)], None)
        assert (finding.kind, finding.note) == (Kind.ROUTE, note)


def test_every_delay_by_the_same_is_the_path_that_all_share_and_not_the_probes_clock() -> None:
    stands = [stand(name, delay_s=1000 * US) for name in "abc"]
    (finding,) = judge(stands, stand(PROBE, -500 * US))
    assert (finding.fault, finding.members) == (Fault.PATH, ("a", "b", "c"))
    assert (
        doors(stands, stand(PROBE, -5000 * US))[0][0] is not Fault.PATH or len(judge(stands, stand(PROBE, -5e-3))) > 1
    )


def test_more_witnesses_make_a_verdict_more_certain() -> None:
    few = judge([stand("a"), stand("b", 1e-3), stand("c")], None)[0]
    many = judge([stand("b", 1e-3), *(stand(name) for name in "acdefgh")], None)[0]
    assert 0.5 <= few.confidence < many.confidence < 1.0
