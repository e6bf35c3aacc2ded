"""What /metrics costs with 1,000 targets: recording, a scrape, and the lateness of the event loop meanwhile."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from statistics import median, quantiles

from support.exposition import ROW, Counted

from timesync.export.prometheus import Exposition
from timesync.model import Record

TARGETS = 1000


def rows(at_ns: int) -> list[Record]:
    return [
        Record(
            "time_error",
            at_ns,
            {"site": "NIM", "probe": "p1", "target": f"ntp{number}", "protocol": "ntp", "reference": "utc"},
            {**ROW, "offset_s": number * 1e-9},
        )
        for number in range(TARGETS)
    ]


async def lateness(found_s: list[float]) -> None:
    while True:
        due_s = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        found_s.append(time.perf_counter() - due_s)


async def measure(scrapes: int) -> list[dict[str, object]]:
    tallies = {f"ntp{number}": Counted(polls=1, replies=1, register=1) for number in range(TARGETS)}
    exposition = Exposition("NIM", "p1", tallies=lambda: tallies)
    for name in tallies:
        exposition.add_target(name, protocol="ntp", interval_s=16.0)
    recorded_us = []
    for turn in range(20):
        batch = rows(turn)
        begun = time.perf_counter()
        for record in batch:
            exposition.observe(record)
        recorded_us.append((time.perf_counter() - begun) / TARGETS * 1e6)
    quiet: list[float] = []
    watch = asyncio.create_task(lateness(quiet))
    await asyncio.sleep(1.0)
    watch.cancel()
    late: list[float] = []
    watch = asyncio.create_task(lateness(late))
    wall_s, cpu_s = [], []
    for _ in range(scrapes):
        begun, used = time.perf_counter(), time.process_time()
        page = await exposition.expose()
        wall_s.append(time.perf_counter() - begun)
        cpu_s.append(time.process_time() - used)
    watch.cancel()
    series = sum(1 for line in page.splitlines() if not line.startswith(b"#"))
    print(f"{TARGETS} targets, {series} series, {len(page) / 1e6:.1f} MB a scrape")

    def figure(name: str, value: float, unit: str, limit: float | None = None) -> dict[str, object]:
        print(f"  {name:48} {value:10.3f} {unit}")
        kept = {} if limit is None else {"limit": limit, "better": "lower"}
        return {"name": name, "value": value, "unit": unit, **kept}

    return [
        figure("recording a row", median(recorded_us), "us", 5.0),
        figure("scrape, CPU time", median(cpu_s), "s"),
        figure("scrape, CPU share at one each 15 s", median(cpu_s) / 15.0 * 100.0, "%", 5.0),
        figure("scrape, wall time", median(wall_s), "s"),
        figure("event loop late, no scrape, median", median(quiet) * 1e3, "ms"),
        figure("event loop late, no scrape, p99", quantiles(quiet, n=100)[98] * 1e3, "ms"),
        figure("event loop late, during a scrape, median", median(late) * 1e3, "ms"),
        figure("event loop late, during a scrape, p99", quantiles(late, n=100)[98] * 1e3, "ms"),
        figure("event loop late, during a scrape, worst", max(late) * 1e3, "ms"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    figures = asyncio.run(measure(scrapes=3 if options.quick else 20))
    options.output.write_text(json.dumps({"figures": figures}, indent=2))


if __name__ == "__main__":
    main()
