"""How memory is handed out and taken back in a probe: one arena for all threads, large pieces given back, few looks for cycles.

Rule: nothing here may fail a start. The threads of a probe write to disks and render pages while the event loop measures; with an
arena each (glibc's way) every one of them keeps its own high-water mark for ever, some megabytes a thread; and a page of megabytes,
freed once, makes the library keep room for the next. A C library without the settings (musl) is left as it is.

Source: mallopt(3), M_ARENA_MAX and M_MMAP_THRESHOLD; the Python library's gc.set_threshold.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["collect_seldom", "share_one_arena"]

M_ARENA_MAX = -8
M_MMAP_THRESHOLD = -3
# From this size on a piece of memory is had from the system, and goes back to it when it is freed.
LARGE_BYTES = 1 << 18
# Containers that may live beyond those of the last look; in cycles they would take a megabyte or two. Python's own number is 700.
MORE_OBJECTS = 10_000


def share_one_arena() -> bool:
    """Ask for one arena, before the first thread begins, and for large pieces of their own; false where the C library knows no
    such settings.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_ARENA_MAX, 1) and mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))


def collect_seldom() -> None:
    """Let Python look for cycles only once many objects more live than at the last look: records on their way are no cycles.

    With Python's own threshold a thousand targets cause fifteen looks a second, an eighth of all that the probe computes.
    """
    _, later, last = gc.get_threshold()
    gc.set_threshold(MORE_OBJECTS, later, last)
