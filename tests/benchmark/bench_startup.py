"""How long `timesync --help` takes from the shell, and what an idle Python takes beside it; and how long `timesync up`, the
program that `make run` starts, takes until every target of its demonstration network has a live measurement.

Wall time of whole processes, the kinds in turn so that all see the same machine. The median is the figure; processor time
stands beside it, since on a busy machine a process waits for its turn.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from support.chrony import free_port
from support.figures import Figures, options, text_table

HELP_LIMIT_MS = 200.0
UP_LIMIT_S = 10.0
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


def first_measurements_s() -> tuple[float, float]:
    """From the start of `timesync up`: until its page shows one measurement, and until it shows one of every target.

    Raises RuntimeError if that takes more than a minute.
    """
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as folder:
        port = free_port()
        begun = time.perf_counter()
        command = [TIMESYNC, "up", "--no-tui", "--directory", folder, "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = None
        try:
            while (passed := time.perf_counter() - begun) < 60.0:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                        lines = answer.read().decode().splitlines()
                except OSError:
                    time.sleep(0.02)
                    continue
                passed = time.perf_counter() - begun
                measured = sum(line.startswith("timesync_offset_seconds{") for line in lines)
                if measured and first is None:
                    first = passed
                if first is not None and measured == sum(line.startswith("timesync_target_info{") for line in lines):
                    return first, passed
                time.sleep(0.05)
        finally:
            process.terminate()
            process.wait(30)
    raise RuntimeError("timesync up showed no measurement of every target within a minute")


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
    starts = [first_measurements_s() for _ in range(1 if chosen.quick else 5)]
    print(text_table(rows))
    figures.add("timesync up, first measurement, median", statistics.median(a for a, _ in starts), "s")
    figures.add("timesync up, all targets, median", statistics.median(b for _, b in starts), "s", limit=UP_LIMIT_S)
    figures.finish(chosen.output)


if __name__ == "__main__":
    main()
