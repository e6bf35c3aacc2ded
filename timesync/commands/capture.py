"""`timesync capture IFACE|FILE`: watch PTP and NTP as they pass, without sending anything.

Rule: one report, whatever ended the capture: the file's end, --duration, --count, Ctrl-C or SIGTERM. Exit status 0 fine, 1 faults
(--strict) or an offset beyond --max-offset, 2 usage, 3 no message of PTP or NTP was seen.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from timesync.capture.findings import Severity
from timesync.capture.observer import Observer
from timesync.capture.report import document
from timesync.capture_text import report_lines
from timesync.commands.numbers import count, port, seconds
from timesync.errors import DataError
from timesync.leapseconds import load_leap_table
from timesync.plugin import load_capture

if TYPE_CHECKING:
    from types import FrameType

    from timesync.capture.report import CaptureReport
    from timesync.plugin import Capture, Frame, Frames, Recorder

__all__ = ["add_parser", "run"]

FINE, BEYOND, NOTHING = 0, 1, 3
PROGRESS_S = 0.5
# Of a file, the clock is looked at once for so many frames.
LOOK = 1024

EPILOG = """\
A pure observer: nothing is sent, no clock is set. It sees what passes the capture point: on a switch, use a mirror port or a tap.

What it can know of time: where question and answer both pass, the answering clock's offset from the capture's clock, with
half of the round trip between capture point and clock as the bound. Of one direction alone, a one-sided limit. Of a client's
clock nothing, unless it answers peer-delay questions or tells its time. The capture's own clock is taken for UTC and cancels
in the difference of two rows.

examples:
  timesync capture eth0 --duration 60                    masters, rates, losses and offsets of a minute
  timesync capture trace.pcapng                          the same of a file: pcap, pcapng, compressed or not
  timesync capture trace.pcap.gz --json | jq .findings
  timesync capture eth0 --count 1000 --write ptp.pcap    keep the PTP and NTP frames, with nanoseconds
  timesync capture trace.pcap --plot offsets.svg         offsets, rates and losses over time
  timesync capture eth0 --duration 300 --strict --max-offset 1e-6 && echo fine
  tcpdump -i eth0 -w - port 319 or port 320 | timesync capture -

Exit status: 0 fine, 1 faults (--strict) or an offset beyond --max-offset, 2 usage, 3 no PTP or NTP message was seen.
Capturing needs CAP_NET_RAW; reading a file needs nothing. A filter in the kernel needs libpcap.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `capture` to the command line."""
    parser = subparsers.add_parser(
        "capture",
        help="watch PTP and NTP as they pass an interface, or in a capture file",
        description="Masters, domains, profiles, rates, losses, offsets and protocol faults of PTP and NTP that pass.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="IFACE|FILE", help="an interface, a pcap or pcapng file, or - for standard input"
    )
    what = parser.add_argument_group("what is captured")
    what.add_argument(
        "--duration", metavar="S", type=seconds, help="end after so many seconds (of a file: of its time)"
    )
    what.add_argument("--count", metavar="N", type=count, help="end after so many frames of PTP and NTP")
    what.add_argument("--filter", metavar="BPF", default="", help="of an interface, only frames that pass this as well")
    what.add_argument("--ntp-port", metavar="P", type=port, action="append", help="a further port of NTP than 123")
    what.add_argument("--no-promiscuous", action="store_true", help="only what this machine itself gets")
    what.add_argument("--write", metavar="OUT", type=Path, help="keep the frames of PTP and NTP in this pcap file")
    judge = parser.add_argument_group("how it is read and judged")
    judge.add_argument(
        "--timescale",
        choices=("announced", "utc", "tai"),
        default="announced",
        help="what PTP clocks serve that do not say how their scale relates to UTC",
    )
    judge.add_argument("--strict", action="store_true", help="exit 1 if any fault was found (notices are none)")
    judge.add_argument("--max-offset", metavar="S", type=seconds, help="exit 1 if a best |offset| is beyond this, s")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print the whole report as one JSON object")
    output.add_argument(
        "--plot", metavar="OUT", type=_plot_name, help="draw offsets, rates and losses, .svg, .png or .pdf"
    )
    parser.set_defaults(run=run, usage_error=parser.error)


def _plot_name(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in {".svg", ".png", ".pdf"}:
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .svg, .png or .pdf")
    return path


def run(args: argparse.Namespace) -> int:
    """Capture, report, judge; returns the exit status. Raises DataError for a source that cannot be read."""
    if args.plot is not None:
        from timesync.capture_plot import need_matplotlib  # noqa: PLC0415 - before the capture, not after it

        need_matplotlib()
    capture = load_capture()
    live = _is_interface(args.source, capture)
    if not live and (args.filter or args.no_promiscuous):
        args.usage_error("--filter and --no-promiscuous go with an interface")
    ntp_ports = frozenset({123, *(args.ntp_port or ())})
    observer = Observer(timescale=args.timescale, leaps=load_leap_table().table, ntp_ports=ntp_ports)
    frames = _open(args, capture, ntp_ports, live=live)
    recorder = capture.open_writer(args.write) if args.write is not None else None
    try:
        _watch(frames, observer, recorder, args, live=live)
    finally:
        frames.close()
        if recorder is not None:
            recorder.close()
    notes = list(frames.notes)
    if recorder is not None and recorder.left_out:
        notes.append(f"{args.write}: {recorder.left_out} frames of another link type are not in it")
    report = observer.report(
        args.source, live=live, kernel_dropped=frames.dropped if live else None, notes=notes, complete=frames.complete
    )
    _print(report, args)
    return _status(report, args)


def _is_interface(source: str, capture: Capture) -> bool:
    """Whether the source is an interface. Raises DataError where it is neither, or both."""
    if source == "-":
        return False
    interface, file = source in capture.interfaces(), Path(source).exists()
    if interface and file:
        raise DataError(f"{source} is an interface and a file: write ./{source} for the file, or run it elsewhere")
    if not interface and not file:
        names = ", ".join(capture.interfaces()) or "none"
        raise DataError(f"{source}: no such interface (there are: {names}) and no such file")
    return interface


def _open(args: argparse.Namespace, capture: Capture, ntp_ports: frozenset[int], *, live: bool) -> Frames:
    if not live:
        return capture.open_file(args.source)
    return capture.open_interface(
        args.source, filter_text=args.filter, ntp_ports=sorted(ntp_ports), promiscuous=not args.no_promiscuous
    )


def _watch(
    frames: Frames, observer: Observer, recorder: Recorder | None, args: argparse.Namespace, *, live: bool
) -> None:
    """Feed the observer until something ends it; Ctrl-C and SIGTERM are an end like any other."""
    progress = _Progress(frames, observer, show=sys.stderr.isatty() and not args.json)

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        _feed(frames, observer, recorder, args, progress, live=live)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        progress.clear()


def _feed(
    frames: Frames,
    observer: Observer,
    recorder: Recorder | None,
    args: argparse.Namespace,
    progress: _Progress,
    *,
    live: bool,
) -> None:
    begun_s = time.monotonic()
    limit_ns = None if args.duration is None else round(args.duration * 1e9)
    ours = 0
    for number, frame in enumerate(frames):
        if frame is not None:
            if limit_ns is not None and _is_beyond(frame, observer, limit_ns, live=live):
                return
            if observer.take(*frame):
                ours += 1
                if recorder is not None:
                    recorder.write(frame)
                if ours == args.count:
                    return
        if live or number % LOOK == 0:
            progress.show()
            if live and args.duration is not None and time.monotonic() - begun_s >= args.duration:
                return


def _is_beyond(frame: Frame, observer: Observer, limit_ns: int, *, live: bool) -> bool:
    """Whether a frame of a file is later than what is wanted of it."""
    if live or frame.at_ns is None or observer.first_ns is None:
        return False
    return frame.at_ns - observer.first_ns >= limit_ns


class _Progress:
    """One line on the terminal that is written over, and is gone when the work is done."""

    def __init__(self, frames: Frames, observer: Observer, *, show: bool) -> None:
        self._frames, self._observer, self._shown = frames, observer, show
        self._begun_s = time.monotonic()
        self._next_s = self._begun_s + PROGRESS_S

    def show(self) -> None:
        """Where it is time: how far it is."""
        now_s = time.monotonic()
        if not self._shown or now_s < self._next_s:
            return
        self._next_s = now_s + PROGRESS_S
        share = self._frames.share
        far = f"{now_s - self._begun_s:.0f} s" if share is None else f"{share:.0%}"
        watch = self._observer
        text = f"{far}: {watch.frames} frames, {watch.ptp.messages} PTP, {watch.ntp.packets} NTP"
        masters = len(watch.ptp.master_ports())
        end = " (Ctrl-C ends with the report)" if share is None else ""
        print(f"\r\x1b[K{text}, {masters} masters{end}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave no trace."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(report: CaptureReport, args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(document(report), indent=2))
    else:
        print("\n".join(report_lines(report)))
    if args.plot is not None:
        from timesync.capture_plot import plot  # noqa: PLC0415 - matplotlib, an extra

        plot(report, args.plot)


def _status(report: CaptureReport, args: argparse.Namespace) -> int:
    if not report.usable:
        return NOTHING
    if args.strict and any(each.severity is Severity.FAULT for each in report.findings):
        return BEYOND
    if args.max_offset is not None:
        offsets = [each.best_offset_s for each in report.exchanges if each.timescale != "local"]
        if any(offset is not None and abs(offset) > args.max_offset for offset in offsets):
            return BEYOND
    return FINE
