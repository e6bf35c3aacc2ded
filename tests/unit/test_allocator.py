"""Memory of a probe: looks for cycles are rare, and still come; what is free goes back to the system."""

import ctypes
import gc
import platform
import weakref
from pathlib import Path

import pytest

from timesync.allocator import LARGE_BYTES, MORE_OBJECTS, be_thrifty, give_back


class _Knot:
    def __init__(self) -> None:
        self.me = self


def test_cycles_are_still_found_once_there_are_many() -> None:
    before = gc.get_threshold()
    try:
        be_thrifty()
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


def resident_bytes() -> int:
    """Memory of this process that is in use as the system sees it (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps free pages between those in use")
def test_pages_that_are_free_between_pieces_in_use_go_back() -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    pieces = [library.malloc(LARGE_BYTES // 4) for _ in range(600)]
    for piece in pieces:
        ctypes.memset(piece, 1, LARGE_BYTES // 4)
    for piece in pieces[::2]:
        library.free(piece)
    before = resident_bytes()
    assert give_back()
    assert before - resident_bytes() > 10_000_000
    for piece in pieces[1::2]:
        library.free(piece)
