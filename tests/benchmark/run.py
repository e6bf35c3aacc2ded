"""Runs every benchmark and sums up: one JSON for each in var/bench, and one table.

Rule: a benchmark that fails is reported and does not stop the others; the exit status is 1 if any failed, or, with
--strict, if a figure misses its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parents[1] / "var" / "bench"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure, and the limit the project promises for it, if any."""

    benchmark: str
    name: str
    value: float
    unit: str
    limit: float | None
    better: str

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None if there is none."""
        if self.limit is None:
            return None
        return self.value >= self.limit if self.better == "higher" else self.value <= self.limit


def run_one(script: Path, *, extra: list[str]) -> tuple[int, float, dict[str, Any]]:
    """Runs a benchmark; returns its exit status, the seconds it took and what it wrote (empty if nothing)."""
    result = OUTPUT / f"{script.stem.removeprefix('bench_')}.json"
    result.unlink(missing_ok=True)
    begun = time.monotonic()
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    status = subprocess.run(
        [sys.executable, str(script), *extra, "--output", str(result)],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    ).returncode
    written: dict[str, Any] = {}
    if result.exists():
        written = json.loads(result.read_text())
    return status, time.monotonic() - begun, written


def figures_of(benchmark: str, written: dict[str, Any]) -> list[Figure]:
    """The figures that a benchmark wrote, in its order."""
    return [
        Figure(benchmark, f["name"], f["value"], f.get("unit", ""), f.get("limit"), f.get("better", "lower"))
        for f in written.get("figures", [])
    ]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    verdict = {True: "PASS", False: "MISS", None: ""}
    rows = [("benchmark", "figure", "value", "limit", "")]
    for f in figures:
        limit = "" if f.limit is None else f"{'>=' if f.better == 'higher' else '<='} {f.limit:g}"
        rows.append((f.benchmark, f.name, f"{f.value:.6g} {f.unit}".strip(), limit, verdict[f.kept]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> int:
    """Run all (or those asked for), write the summary, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter runs, for a look")
    parser.add_argument("--only", default="", metavar="TEXT", help="only benchmarks whose name contains TEXT")
    parser.add_argument("--strict", action="store_true", help="fail if a figure misses its limit")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    failed: list[str] = []
    took: dict[str, float] = {}
    for script in sorted(HERE.glob("bench_*.py")):
        name = script.stem.removeprefix("bench_")
        if options.only not in name:
            continue
        print(f"== {name}", flush=True)
        status, seconds, written = run_one(script, extra=["--quick"] if options.quick else [])
        took[name] = round(seconds, 1)
        if status:
            failed.append(name)
        figures += figures_of(name, written)
    summary = {
        "machine": machine(),
        "quick": options.quick,
        "seconds": took,
        "failed": failed,
        "figures": [{**asdict(figure), "kept": figure.kept} for figure in figures],
    }
    (OUTPUT / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"\n{table(figures)}\n\nwritten to {OUTPUT}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    missed = any(figure.kept is False for figure in figures)
    return 1 if failed or (options.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
