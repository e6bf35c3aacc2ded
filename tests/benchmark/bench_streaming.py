"""What a sample costs in a stream: four statistics at 15 averaging times, in blocks of 256; and a stream as the daemon has it."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from timesync.model import Record
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.stability.stream_plan import make_plan
from timesync.stability.streaming import Stream
from timesync.stability_service import StabilityService

BLOCK = 256
SETS = {
    "oadev, mdev, tdev, ohdev": ("oadev", "mdev", "tdev", "ohdev"),
    "oadev, tdev, ohdev, mtie": ("oadev", "tdev", "ohdev", "mtie"),
    "adev, oadev, hdev, tierms": ("adev", "oadev", "hdev", "tierms"),
}
LIMIT_US = 1.0


def pushed_us(stream: Stream, x: np.ndarray, block: int) -> float:
    """Processor time a sample, microseconds; what was put off is done within it."""
    begun = time.process_time()
    for start in range(0, x.size, block):
        stream.push(x[start : start + block])
    stream.work()
    return (time.process_time() - begun) / x.size * 1e6


def gapped(x: np.ndarray) -> np.ndarray:
    """One sample in 500 missing."""
    x = x.copy()
    x[::500] = np.nan
    return x


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def service_figures(targets: int, samples: int) -> list[dict[str, object]]:
    """What the daemon's service costs a target (its series against a reference and the probe's clock) and a row a second."""
    with tempfile.TemporaryDirectory() as directory:
        clocks = tuple(TargetSettings(f"t{i}", "ntp", "a", interval_s=1.0) for i in range(targets))
        settings = ProbeSettings(SiteSettings("s", "p"), clocks, SpoolSettings(Path(directory)))
        service = StabilityService(settings, len, print, clock_ns=lambda: 0)
        tags = [{"target": each.name, "reference": "utc"} for each in clocks]
        told = {"claim": "valid", "clock_epoch": 0}
        before, used = resident_mb(), 0.0
        for k in range(samples):
            at_ns = (20_000 * 86_400 + k) * 10**9
            rows = [
                Record("time_error", at_ns, each, {**told, "time_error_s": 1e-6 * (k % 7), "offset_s": 1e-6 * (k % 11)})
                for each in tags
            ]
            begun = time.process_time()
            service.observe(rows)
            used += time.process_time() - begun
        grown = resident_mb() - before
        begun = time.process_time()
        for each in clocks:
            for own in (False, True):
                service.results(each.name, (20_000 * 86_400 + samples) * 10**9, own=own)
        results_s = time.process_time() - begun
    return [
        {"name": "service: a row fed", "value": used / targets / samples * 1e6, "unit": "us"},
        {"name": "service: results of a target", "value": results_s / targets * 1e3, "unit": "ms"},
        {"name": "service: memory of a target", "value": grown / targets * 1e3, "unit": "kB"},
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    points = 200_000 if arguments.quick else 2_000_000
    x = np.cumsum(np.random.default_rng(1).standard_normal(points)) * 1e-9
    # first, while memory that others gave back cannot hide what it takes
    service = service_figures(50 if arguments.quick else 100, 500 if arguments.quick else 2000)
    figures: list[dict[str, object]] = []
    for name, statistics in SETS.items():
        plan = make_plan(1.0, statistics, longest_s=16_384.0)
        assert len(plan.m) == 15
        for kind, data in (("", x), (", 1 in 500 missing", gapped(x))):
            cost = min(pushed_us(Stream(plan), data, BLOCK) for _ in range(3))
            figures.append({"name": f"{name}{kind}", "value": cost, "unit": "us/sample"})
            if not kind:  # promised of data without gaps; where every piece has one, each term is looked at
                figures[-1]["limit"] = LIMIT_US
    plan = make_plan(1.0, ("oadev", "tdev", "mtie"), longest_s=65_536.0, exact_to_s=16.0, chunk=64)
    stream = Stream(plan, keep_days=8)
    cost = min(pushed_us(Stream(plan), x[:200_000], 64) for _ in range(3))
    figures.append({"name": "daemon's stream, in blocks of 64", "value": cost, "unit": "us/sample"})
    stream.push(x[:200_000])
    figures.append({"name": "state of a daemon's stream", "value": len(stream.to_bytes()) / 1000, "unit": "kB"})
    begun = time.process_time()
    for name in stream.names:
        stream.result(name)
    figures.append(
        {"name": "results of a daemon's stream, first", "value": (time.process_time() - begun) * 1e3, "unit": "ms"}
    )
    begun = time.process_time()
    for name in stream.names:
        stream.result(name)
    figures.append(
        {"name": "results of a daemon's stream, again", "value": (time.process_time() - begun) * 1e3, "unit": "ms"}
    )
    figures += service
    for figure in figures:
        print(f"{figure['name']:60} {figure['value']:10.3f} {figure['unit']}")
    if arguments.output:
        arguments.output.write_text(json.dumps({"figures": figures}, indent=1))


if __name__ == "__main__":
    main()
