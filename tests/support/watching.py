"""Feed frames to an observer, and find things in its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.capture.frames import ETHERNET
from timesync.capture.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from timesync.capture.report import CaptureReport, Stream
    from timesync.timescale import LeapTable

__all__ = ["found", "stream_of", "watch"]


def watch(
    frames: Iterable[tuple[int, bytes]],
    *,
    timescale: str = "announced",
    leaps: LeapTable | None = None,
    link_type: int = ETHERNET,
) -> CaptureReport:
    """The report on frames, each with its capture time (Unix ns)."""
    observer = Observer(timescale=timescale, leaps=leaps)
    for at_ns, data in frames:
        observer.take(at_ns, link_type, data)
    return observer.report("test")


def found(report: CaptureReport) -> dict[str, int]:
    """What was found, by name, however many it concerns."""
    counts: dict[str, int] = {}
    for each in report.findings:
        counts[each.name.value] = counts.get(each.name.value, 0) + each.count
    return counts


def stream_of(report: CaptureReport, message: str) -> Stream:
    """The one stream of a message type."""
    (stream,) = (each for each in report.streams if each.message == message)
    return stream
