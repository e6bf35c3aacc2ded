"""What keeping and handing on costs: spool in and out, line encoder against influxdb_client's, history, and the event loop's lag.

CPU time of the whole process, medians of several runs; the encoder's peer is measured on the same records in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from influxdb_client import Point

from timesync.model import Event, FieldValue, Record
from timesync.settings import SpoolSettings
from timesync.store.delivery import Delivery
from timesync.store.lanes import Lane
from timesync.store.lineprotocol import encode
from timesync.store.local import History, HistorySink, Selection
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS: dict[str, FieldValue] = {
    "bound_s": 1.1234e-3,
    "delay_s": 2.3456e-4,
    "time_error_s": 1.234567e-7,
    "time_error_bound_s": 1.1e-3,
    "time_error_u_s": 5.2e-4,
    "bound_path_s": 1.1728e-4,
    "bound_timestamping_s": 1.19e-7,
    "bound_oscillator_s": 3.5e-9,
    "bound_reference_path_s": 9.7e-5,
    "u_path_s": 6.7712e-5,
    "u_timestamping_s": 6.9e-8,
    "u_reference_path_s": 5.6e-5,
    "t1_ns": 1_700_000_000_000_000_000,
    "t2_ns": 1_700_000_000_000_100_000,
    "t3_ns": 1_700_000_000_000_120_000,
    "t4_ns": 1_700_000_000_000_220_000,
    "timestamping": "kernel",
    "mode": "interleaved",
    "address": "192.0.2.1:123",
    "claim": "valid",
    "stratum": 1,
    "leap": 0,
    "reference_id": "GPS",
    "root_delay_s": 1.5e-5,
    "root_dispersion_s": 1.1e-4,
    "clock_epoch": 0,
    "authenticated": False,
}


def record(number: int) -> Record:
    tags = {"site": "nim", "probe": "p1", "target": f"t{number % 100}", "protocol": "ntp", "reference": "utc"}
    return Record(
        "time_error", 1_700_000_000_123_456_789 + number * 10**7, tags, {"offset_s": number * 1.1e-9, **FIELDS}
    )


def cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def median_cpu_s(work: Callable[[], object], rounds: int) -> float:
    return statistics.median(cpu_s(work) for _ in range(rounds))


def line_by_point(each: Record) -> str:
    """The same line by the client's own builder."""
    point = Point(each.measurement)
    for name, text in each.tags.items():
        point.tag(name, text)
    for name, value in each.fields.items():
        point.field(name, value)
    return str(point.time(each.at_ns).to_line_protocol())


def line_from_dict(each: Record) -> str:
    """The same line by the client's builder for dictionaries."""
    row = {"measurement": each.measurement, "tags": each.tags, "fields": each.fields, "time": each.at_ns}
    return str(Point.from_dict(row).to_line_protocol())


def measure_encoder(records: list[Record], rounds: int) -> list[dict[str, Any]]:
    ours, points, dicts = [], [], []
    for _ in range(rounds):  # in turns, so that a change of the machine's speed meets all of them
        ours.append(cpu_s(lambda: [encode(each) for each in records]))
        points.append(cpu_s(lambda: [line_by_point(each) for each in records]))
        dicts.append(cpu_s(lambda: [line_from_dict(each) for each in records]))
    own = statistics.median(ours)
    return [
        figure("encoder", len(records) / own, "lines/s"),
        figure("encoder against Point", statistics.median(points) / own, "times", 5.0, "higher"),
        figure("encoder against Point.from_dict", statistics.median(dicts) / own, "times"),
    ]


def measure_spool(records: list[Record], folder: Path) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = []
    for batch in (1, 10, 100):
        spool = Spool(SpoolSettings(folder / f"spool{batch}"), ["one"], time.time_ns)
        parts = [records[at : at + batch] for at in range(0, len(records), batch)]
        taken: list[float] = []
        begun = time.process_time()
        for part in parts:
            before = time.perf_counter()
            spool.append(part)
            taken.append(time.perf_counter() - before)
        each_s = (time.process_time() - begun) / len(records)
        taken.sort()
        figures.append(figure(f"spool in, batches of {batch}", 1 / each_s, "records/s"))
        figures.append(figure(f"append of {batch}, p99", taken[int(len(taken) * 0.99)] * 1e6, "us", None, "lower"))
        if batch == 1:
            figures.append(figure("1,000 single records/s, share of a core", each_s * 1e5, "%", 8.0, "lower"))
        if batch == 100:
            begun = time.process_time()
            drain(spool)
            figures.append(figure("spool out", len(records) / (time.process_time() - begun), "records/s"))
        spool.close()
    return figures


def drain(spool: Spool) -> None:
    for lane in (Lane.LIVE, Lane.BACKLOG):
        while (batch := spool.read("one", lane, 5000)) is not None:
            spool.settle(batch)


def measure_history(records: list[Record], folder: Path, points: int) -> list[dict[str, Any]]:
    history = History(folder / "history.sqlite3", read_only=False)
    parts = [records[at : at + 5000] for at in range(0, len(records), 5000)]
    written_s = cpu_s(lambda: [history.write(part) for part in parts])
    history.close()
    size = history.path.stat().st_size / len(records)
    history = History(history.path, read_only=False)
    many = [
        Record("time_error", number * 10**9, {"target": "long"}, {"offset_s": number * 1e-9, "bound_s": 1e-3})
        for number in range(points)
    ]
    history.write(many)
    begun = time.process_time()
    columns = history.columns(Selection(target="long"), ["offset_s", "bound_s"])
    read_s = time.process_time() - begun
    assert len(columns.at_ns) == points
    history.close()
    return [
        figure("history in", len(records) / written_s, "records/s"),
        figure("history on disk", size, "bytes/record", None, "lower"),
        figure(f"history: two columns of {points} points", read_s, "s", None, "lower"),
    ]


async def measure_lag(records: list[Record], folder: Path) -> list[dict[str, Any]]:
    """How late a timer of 1 ms fires while a backlog drains into the history."""

    def ignore(event: Event) -> None:
        """Nothing goes wrong here."""

    history = HistorySink(folder / "drained.sqlite3", None, clock_ns=time.time_ns, report=ignore)
    spool = Spool(SpoolSettings(folder / "lag"), ["history"], time.time_ns)
    for at in range(0, len(records), 100):
        spool.append(records[at : at + 100])
    delivery = Delivery(spool, [history], clock_ns=time.time_ns, uniform=random.random, report=ignore)
    idle = [await lateness() for _ in range(300)]
    task = asyncio.create_task(delivery.run())
    late: list[float] = []
    while delivery.status().depth:
        late.append(await lateness())
    await delivery.stop(5)
    await task
    spool.close()
    late.sort()
    idle.sort()
    return [
        figure("event loop late while a backlog drains, p99", late[int(len(late) * 0.99)] * 1e3, "ms", None, "lower"),
        figure("event loop late while a backlog drains, worst", late[-1] * 1e3, "ms", None, "lower"),
        figure("event loop late while idle, p99", idle[int(len(idle) * 0.99)] * 1e3, "ms", None, "lower"),
    ]


async def lateness() -> float:
    begun = time.perf_counter()
    await asyncio.sleep(0.001)
    return time.perf_counter() - begun - 0.001


def figure(name: str, value: float, unit: str, limit: float | None = None, better: str = "higher") -> dict[str, Any]:
    return {"name": name, "value": round(value, 6), "unit": unit, "limit": limit, "better": better}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer records and rounds")
    parser.add_argument("--output", "--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    count, rounds, points = (5_000, 3, 100_000) if options.quick else (20_000, 7, 1_000_000)
    records = [record(number) for number in range(count)]
    figures = measure_encoder(records[:5000], rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures += measure_spool(records, folder)
        figures += measure_history(records, folder, points)
        figures += asyncio.run(measure_lag(records, folder))
    for each in figures:
        print(f"{each['name']:<50} {each['value']:>14,.3f} {each['unit']}")
    if options.output:
        options.output.write_text(json.dumps({"figures": figures}, indent=1))


if __name__ == "__main__":
    main()
