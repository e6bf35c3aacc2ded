"""How long `timesync --help` takes from the shell, and what an idle Python takes beside it.

Wall time of whole processes, the kinds in turn so that all see the same machine. The median is the figure; processor time
stands beside it, since on a busy machine a process waits for its turn.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from support.figures import Figures, options, text_table

HELP_LIMIT_MS = 200.0
REPOSITORY = Path(__file__).resolve().parents[2]
TIMESYNC = Path(sys.executable).with_name("timesync")


def run(argv: list[str]) -> tuple[float, float]:
    """Wall and processor time of one process, ms. Raises CalledProcessError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1e3, used * 1e3


def main() -> None:
    """Measure and report."""
    chosen = options(__doc__).parse_args()
    kinds = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "timesync --help": [str(TIMESYNC), "--help"],
        "timesync --version": [str(TIMESYNC), "--version"],
        "import of the daemon": [sys.executable, "-c", "import timesync.daemon, probes.ntp"],
    }
    for argv in kinds.values():
        run(argv)  # from a warm cache, as on any machine where it is used
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(5 if chosen.quick else 30):
        for name, argv in kinds.items():
            taken[name].append(run(argv))
    figures = Figures()
    rows = [("", "median wall ms", "least", "median CPU ms", "ratio to idle Python")]
    idle = statistics.median(wall for wall, _ in taken["python -c pass"])
    for name, times in taken.items():
        wall = statistics.median(wall for wall, _ in times)
        least = min(wall for wall, _ in times)
        used = statistics.median(used for _, used in times)
        rows.append((name, f"{wall:.1f}", f"{least:.1f}", f"{used:.1f}", f"{wall / idle:.1f}"))
        limit = HELP_LIMIT_MS if name == "timesync --help" else None
        figures.add(f"{name}, wall, median", wall, "ms", limit=limit)
    print(text_table(rows))
    figures.finish(chosen.output)


if __name__ == "__main__":
    main()
