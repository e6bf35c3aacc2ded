"""Frames of real stacks, mutated, through the passive observer: nothing is raised, and every frame is accounted for."""

from __future__ import annotations

import json
import random
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from timesync.capture.frames import ETHERNET
from timesync.capture.observer import Observer
from timesync.capture.report import document
from timesync.capture_text import report_lines

__all__ = ["FuzzedCapture", "fuzz_capture", "kept_frames"]

KEPT = Path(__file__).resolve().parents[1] / "unit" / "captures" / "ptp4l-chronyd.pcap"


@dataclass
class FuzzedCapture:
    """What came of the frames."""

    packets: int = 0
    read: int = 0
    seconds: float = 0.0


def kept_frames() -> list[tuple[int, bytes]]:
    """The frames of the kept capture with their times, read by hand: a nanosecond pcap, little end first."""
    data, at = KEPT.read_bytes(), 24
    found = []
    while at < len(data):
        seconds, nanoseconds, length, _ = struct.unpack_from("<IIII", data, at)
        found.append((seconds * 10**9 + nanoseconds, data[at + 16 : at + 16 + length]))
        at += 16 + length
    return found


def _mutated(rng: random.Random, frame: bytes) -> bytes:
    """As it is, or with octets overwritten, or cut, or nothing but noise."""
    if rng.random() < 0.02:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(frame)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        data[rng.randrange(len(data))] = rng.choice((0, 1, 2, 255, rng.randrange(256)))
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.05 else data)


def fuzz_capture(count: int, seed: int = 1) -> FuzzedCapture:
    """Feed `count` frames; raises what the code raises, and AssertionError where a frame is not accounted for."""
    rng, real = random.Random(seed), kept_frames()
    result = FuzzedCapture()
    observer = Observer()
    begun = time.perf_counter()
    for number in range(count):
        frame = real[number % len(real)][1] if rng.random() < 0.7 else rng.choice(real)[1]
        at_ns = real[0][0] + number * 100_000 + (rng.randrange(-(10**9), 10**9) if rng.random() < 0.05 else 0)
        observer.take(at_ns, ETHERNET, _mutated(rng, frame), len(frame))
    report = observer.report("mutated")
    json.dumps(document(report))
    list(report_lines(report))
    result.seconds = time.perf_counter() - begun
    result.packets, result.read = report.frames, report.ptp_messages + report.ntp_packets
    if result.read + sum(report.passed_over.values()) != count:
        raise AssertionError(f"of {count} frames {result.read} were read and {report.passed_over} passed over")
    return result
