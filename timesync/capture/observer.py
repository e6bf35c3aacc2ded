"""All of it together: frames with their capture times go in, a report comes out.

Rule: `take` never raises, whatever the octets. Memory is bounded, however long the capture: 1024 PTP ports, 8192 streams, 4096 NTP
associations, 1024 servers, 2048 pairs of a clock and an asker (512 of each protocol with a timeline of 128 bins), 4096
findings. A flood of forged senders that reaches the limits of ports and pairs takes 60 MB; a real network about one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from timesync.capture.findings import FindingName, Findings
from timesync.capture.frames import NTP_PORTS, Passed, unwrap
from timesync.capture.ntp import NtpWatch
from timesync.capture.ptp import PtpWatch
from timesync.capture.report import CaptureReport
from timesync.capture.summary import PtpSummary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.timescale import LeapTable

__all__ = ["Observer"]

# The capture's time may go back by so much without a word: frames of several queues are interleaved.
JITTER_NS = 1_000_000


class Observer:
    """One capture.

    `timescale` is what an operator declares of PTP clocks whose scale is arbitrary: "announced" (nothing), "utc" or "tai".
    `leaps` is what announced UTC offsets are compared with.
    """

    def __init__(
        self, *, timescale: str = "announced", leaps: LeapTable | None = None, ntp_ports: frozenset[int] = NTP_PORTS
    ) -> None:
        self.findings = Findings()
        self._ntp_ports = ntp_ports
        self.ptp = PtpWatch(self.findings)
        self.ntp = NtpWatch(self.findings, ntp_ports)
        self._timescale, self._leaps = timescale, leaps
        self._passed: Counter[str] = Counter()
        self._resolution_ns = 0
        self.frames = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None

    def take(
        self, at_ns: int | None, link_type: int, data: bytes, wire_octets: int | None = None, resolution_ns: int = 1
    ) -> bool:
        """A frame: when it was captured (Unix ns, None: not told), pcap's link type, its octets, how long it was on the wire.

        Returns whether it is one of PTP or NTP, readable or not.
        """
        self.frames += 1
        if at_ns is None:
            self._passed[Passed.NO_TIMESTAMP] += 1
            return False
        if self.last_ns is None:
            self.first_ns = self.last_ns = at_ns
        elif at_ns < self.last_ns - JITTER_NS:
            detail = f"by {(self.last_ns - at_ns) * 1e-9:.6f} s"
            self.findings.add(FindingName.CAPTURE_TIME_BACKWARDS, "the capture", at_ns, detail)
        self.last_ns = max(self.last_ns, at_ns)
        self._resolution_ns = max(self._resolution_ns, resolution_ns)
        datagram = unwrap(link_type, data, len(data) if wire_octets is None else wire_octets, self._ntp_ports)
        if isinstance(datagram, Passed):
            self._passed[datagram] += 1
            if datagram is Passed.FRAGMENT:
                self.findings.add(FindingName.FRAGMENT, "UDP", at_ns)
            return False
        read = self.ptp.take(at_ns, datagram) if datagram.protocol == "ptp" else self.ntp.take(at_ns, datagram)
        if not read:
            self._passed[Passed.CUT_OFF if datagram.missing else Passed.MALFORMED] += 1
        return True

    def report(
        self,
        source: str,
        *,
        live: bool = False,
        kernel_dropped: int | None = None,
        notes: Sequence[str] = (),
        complete: bool = True,
    ) -> CaptureReport:
        """What has been learned; the capture is over then."""
        end_ns = self.last_ns or 0
        if kernel_dropped:
            self.findings.add(FindingName.CAPTURE_LOST, "the capture", end_ns, count=kernel_dropped)
        self.ntp.finish(end_ns)
        ptp = PtpSummary(self.ptp, end_ns, self._timescale, self._leaps, self._resolution_ns)
        told = [*notes]
        if self.ntp.other_modes:
            told.append("NTP in other modes: " + ", ".join(f"{n} {mode}" for mode, n in self.ntp.other_modes.items()))
        exchanges = [*ptp.exchanges]
        for pair in self.ntp.pairs():
            found = pair.report("utc", 0, self._resolution_ns)
            if found is not None:
                exchanges.append(found)
        return CaptureReport(
            source,
            live,
            self.first_ns,
            self.last_ns,
            self.frames,
            self.ptp.messages,
            self.ntp.packets,
            dict(self._passed),
            self._resolution_ns * 1e-9 if self._resolution_ns else None,
            kernel_dropped,
            complete,
            tuple(told),
            ptp.domains,
            ptp.masters,
            ptp.requesters,
            ptp.streams,
            self.ntp.servers(),
            self.ntp.associations(),
            tuple(exchanges),
            self.findings.list(),
        )
