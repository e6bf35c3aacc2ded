"""Memory of a probe: looks for cycles are rare, and still come."""

import gc
import weakref

from timesync.allocator import MORE_OBJECTS, collect_seldom


class _Knot:
    def __init__(self) -> None:
        self.me = self


def test_cycles_are_still_found_once_there_are_many() -> None:
    before = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.get_threshold() == (MORE_OBJECTS, *before[1:])
        gc.collect()
        first = weakref.ref(_Knot())
        while_kept = first() is not None
        for _ in range(2 * MORE_OBJECTS):
            _Knot()
        assert while_kept
        assert first() is None
    finally:
        gc.set_threshold(*before)
