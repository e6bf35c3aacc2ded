"""How memory is handed out and taken back in a probe: one arena for all threads, what is free given back, few looks for cycles.

Rule: nothing here may fail a start. The threads of a probe write to disks and render pages while the event loop measures; with an
arena each (glibc's way) every one of them keeps its own high-water mark for ever, some megabytes a thread; a page of megabytes,
freed once, makes the library keep room for the next; and free pieces between pieces in use stay resident until they are asked
for. A C library without the settings (musl) is left as it is.

Source: mallopt(3), M_ARENA_MAX and M_MMAP_THRESHOLD; malloc_trim(3); the Python library's gc.set_threshold.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["GIVE_BACK_EVERY_S", "be_thrifty", "give_back"]

M_ARENA_MAX = -8
M_MMAP_THRESHOLD = -3
# From this size on a piece of memory is had from the system, and goes back to it when it is freed.
LARGE_BYTES = 1 << 18
# Containers that may live beyond those of the last look; in cycles they would take a megabyte or two. Python's own number is 700.
MORE_OBJECTS = 10_000
GIVE_BACK_EVERY_S = 60.0

_library = ctypes.CDLL(None)


def be_thrifty() -> bool:
    """Ask for one arena, before the first thread begins, for large pieces of their own, and for few looks for cycles: records on
    their way are none. False where the C library knows no such settings.

    With Python's own threshold a thousand targets cause fifteen looks a second, an eighth of all that the probe computes.
    """
    _, later, last = gc.get_threshold()
    gc.set_threshold(MORE_OBJECTS, later, last)
    mallopt = getattr(_library, "mallopt", None)
    return mallopt is not None and bool(mallopt(M_ARENA_MAX, 1) and mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))


def give_back() -> bool:
    """Let the system have the pages that are free, wherever they lie: half a millisecond for 20 MB. False where none were, or where
    the C library cannot.
    """
    trim = getattr(_library, "malloc_trim", None)
    return trim is not None and bool(trim(0))
