"""Packets a second from a capture file to the report, beside scapy's own PTP layer on the same file in the same run.

The file is a real-looking hour of two masters and eight slaves, end-to-end over UDP, made by a script of octets; each round
reads all of it by turns with each reader: scapy's raw reading alone, scapy with its Ethernet, IP, UDP and PTP layers, and ours
with decoding, matching and statistics. CPU time, medians of rounds.
"""

from __future__ import annotations

import os
import statistics
import struct
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from support.figures import Figures, options
from support.frames import CLIENT, DELAY_REQ, DELAY_RESP, Script, ptp, stamp

from timesync.capture.observer import Observer
from timesync.plugin import load_capture

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3
TURNS, QUICK_TURNS = 3000, 600
SLAVES = 8


def write_file(path: Path, turns: int) -> int:
    """A nanosecond pcap; returns how many frames are in it."""
    script = Script()
    for _ in range(turns):
        script.announce()
        script.sync()
        for slave in range(SLAVES):
            at_ns = script.now_ns + 1_000_000 * (slave + 1)
            request = ptp(DELAY_REQ, bytes(10), number=script.number, clock=0x1000 + slave, log=0x7F)
            script.passes(at_ns, 319, request, CLIENT)
            told = stamp(script.master_time(at_ns + 1000)) + struct.pack(">QH", 0x1000 + slave, 1)
            script.passes(at_ns + 20_000, 320, ptp(DELAY_RESP, told, number=script.number, log=-3))
        script.step()
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for at_ns, frame in script.frames:
            seconds, rest = divmod(at_ns, 10**9)
            file.write(struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame)
    return len(script.frames)


def observe(path: Path) -> None:
    """Ours: from the file to the report."""
    observer = Observer()
    frames = load_capture().open_file(str(path))
    for frame in frames:
        if frame is not None:
            observer.take(*frame)
    frames.close()
    report = observer.report(str(path))
    assert report.ptp_messages == report.frames
    assert len(report.exchanges) == SLAVES
    assert not report.findings


def read_only(path: Path) -> None:
    """scapy's raw reading, which ours stands on."""
    from scapy.utils import RawPcapReader

    with RawPcapReader(str(path)) as reader:
        for _ in reader:
            pass


def dissect(path: Path) -> None:
    """scapy with its own layers: each message decoded, nothing made of it."""
    from scapy.contrib.ptp_v2 import PTP
    from scapy.utils import PcapReader

    decoded = 0
    with PcapReader(str(path)) as reader:
        for packet in reader:
            decoded += PTP in packet
    assert decoded


def seconds_of(read: Callable[[Path], None], path: Path) -> float:
    """CPU seconds of one reading."""
    begun = time.process_time()
    read(path)
    return time.process_time() - begun


def peak_mib(path: Path) -> float:
    """The most that Python holds while ours reads it all."""
    tracemalloc.start()
    observe(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def main() -> int:
    """Measure and report."""
    chosen = options(__doc__).parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="timesync-bench-") as folder:
        os.environ.setdefault("XDG_CACHE_HOME", folder)
        import scapy.layers.inet  # noqa: F401 - binds IP and UDP, so that scapy can dissect at all

        path = Path(folder) / "capture.pcap"
        count = write_file(path, QUICK_TURNS if chosen.quick else TURNS)
        readers = {"timesync": observe, "scapy, raw reading": read_only, "scapy, its PTP layer": dissect}
        taken: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(2 if chosen.quick else ROUNDS):
            for name, read in readers.items():
                taken[name].append(seconds_of(read, path))
        rates = {name: count / statistics.median(values) for name, values in taken.items()}
        figures.add("frames in the file", count, "frames")
        for name, rate in rates.items():
            figures.add(f"{name}: frames a second of CPU", rate, "1/s", better="higher")
        ratio = rates["timesync"] / rates["scapy, its PTP layer"]
        figures.add("timesync beside scapy's PTP layer", ratio, "times as fast", limit=1.0, better="higher")
        figures.add("memory: the most that Python holds", peak_mib(path), "MiB", limit=16.0)
        small = Path(folder) / "small.pcap"
        write_file(small, (QUICK_TURNS if chosen.quick else TURNS) // 4)
        figures.add("memory: the same for a quarter of the file", peak_mib(small), "MiB")
    figures.finish(chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
