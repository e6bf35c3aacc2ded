"""What the process uses: CPU time, memory, file descriptors, read from the kernel.

Rule: only /proc/self and system calls, so that it works in a unit with ProcSubset=pid; a value that the kernel does not
give is left out. Names: Prometheus documentation, "Writing client libraries", "Standard and runtime collectors".
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

__all__ = ["process_metrics", "start_time_s"]

_SELF = Path("/proc/self")
_START_TICKS = 21  # field 22 of proc(5) stat, counted from 0


def start_time_s() -> float | None:
    """When this process started, Unix seconds by the present setting of the clock; None where /proc has no answer.

    Read it once: the clock may be set later, and the start of a process does not move.
    """
    try:
        stat = (_SELF / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The second field is the command in brackets and may hold anything, so count from the last bracket.
    fields = stat.rpartition(")")[2].split()
    since_boot_s = int(fields[_START_TICKS - 2]) / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot_s)


def process_metrics() -> dict[str, float]:
    """The `process_*` metrics by name, without the start time; takes some tens of microseconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values = {"process_cpu_seconds_total": usage.ru_utime + usage.ru_stime}
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY:
        values["process_max_fds"] = float(limit)
    try:
        virtual, resident = (_SELF / "statm").read_text(encoding="ascii").split()[:2]
        page = resource.getpagesize()
        values["process_virtual_memory_bytes"] = float(int(virtual) * page)
        values["process_resident_memory_bytes"] = float(int(resident) * page)
        values["process_open_fds"] = float(len(os.listdir(_SELF / "fd")))  # noqa: PTH208 - names only, no Path objects
    except OSError:
        return values
    return values
