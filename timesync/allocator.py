"""How the C library's allocator serves a probe: one arena for all threads.

Rule: nothing here may fail a start. The threads of a probe write to disks and render pages while the event loop measures; with an
arena each (glibc's way) every one of them keeps its own high-water mark for ever, some megabytes a thread. A C library without
the setting (musl) is left as it is.

Source: mallopt(3), M_ARENA_MAX.
"""

from __future__ import annotations

import ctypes

__all__ = ["share_one_arena"]

M_ARENA_MAX = -8


def share_one_arena() -> bool:
    """Ask for one arena, before the first thread begins; false where the C library knows no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_ARENA_MAX, 1))
