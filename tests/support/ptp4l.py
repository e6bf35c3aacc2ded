"""Real linuxptp: a ptp4l that is grandmaster with a clock that the test shifts, and one that is a client, in namespaces.

ptp4l runs with software stamps and free running: it never sets a clock. A grandmaster's time is shifted by a latency that it
believes its port to have (`egressLatency` with `ingressLatency` of the opposite sign), so that the kernel's stamps stay true.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.debian import binary, environment
from support.process import Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.netns import Host

__all__ = ["G8275_1", "G8275_2", "GPTP", "Ptp4l"]

GPTP: Mapping[str, object] = {
    "gmCapable": 1,
    "transportSpecific": 1,
    "follow_up_info": 1,
    "assume_two_step": 1,
    "path_trace_enabled": 1,
    "neighborPropDelayThresh": 10_000_000,
    "ptp_dst_mac": "01:80:C2:00:00:0E",
}
"""As linuxptp's gPTP.cfg; the threshold is for software stamps."""

G8275: Mapping[str, object] = {"dataset_comparison": "G.8275.x", "G.8275.defaultDS.localPriority": 128}
G8275_1: Mapping[str, object] = {**G8275, "domainNumber": 24}
G8275_2: Mapping[str, object] = {**G8275, "domainNumber": 44, "unicast_listen": 1, "inhibit_multicast_service": 1}
"""As linuxptp's G.8275.1.cfg and G.8275.2.cfg."""

TRANSPORTS = {"udp4": "-4", "udp6": "-6", "l2": "-2"}
MASTER_OFFSET = re.compile(r"master offset +(-?\d+) s\d freq +[-+]?\d+ path delay +(-?\d+)")
FASTER = {"logAnnounceInterval": -2, "logSyncInterval": -3, "logMinDelayReqInterval": -3, "logMinPdelayReqInterval": -1}
"""Announce four times a second and Sync eight times, so that tests are quick."""


class Ptp4l:
    """One ptp4l on an interface of a namespace: grandmaster as a rule. Entered, it has its role (unless it need not wait).

    `ahead_ns` shifts the time it serves. `options` are further settings of its configuration.
    """

    def __init__(
        self,
        inside: Host,
        *,
        interface: str = "cable",
        transport: str = "udp4",
        delay: str = "e2e",
        domain: int = 0,
        ahead_ns: int = 0,
        clock_identity: str | None = None,
        client: bool = False,
        waits: bool = True,
        options: Mapping[str, object] | None = None,
        sections: Sequence[str] = (),
    ) -> None:
        self._inside = inside
        self._interface = interface
        self._arguments = [TRANSPORTS[transport], *(["-P"] if delay == "p2p" else ["-E"])]
        self._client = client
        self._waits = waits
        self._settings: dict[str, object] = {
            "free_running": 1,
            "time_stamping": "software",
            "domainNumber": domain,
            "tx_timestamp_timeout": 200,
            **FASTER,
            **(options or {}),
        }
        if client:
            self._settings["slaveOnly"] = 1
        if clock_identity is not None:
            self._settings["clockIdentity"] = clock_identity
        if ahead_ns:
            self._settings |= {"egressLatency": ahead_ns, "ingressLatency": -ahead_ns}
        self._sections = sections
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="ptp4l-")
        folder = Path(self._folder.name)
        self.socket = Path(str(self._settings.setdefault("uds_address", folder / "s")))
        file = folder / "ptp4l.conf"
        lines = ["[global]", *(f"{name} {value}" for name, value in self._settings.items()), *self._sections]
        file.write_text("\n".join(lines) + "\n")
        argv: list[str | Path] = [binary("ptp4l"), "-S", *self._arguments, "-m", "-q", "-i", self._interface]
        self._program = Program([*argv, "-f", file], namespace=self._inside.name)
        try:
            role = "to UNCALIBRATED" if self._client else "assuming the grand master role"
            self._program.wait_for_output(role if self._waits else "INIT_COMPLETE", timeout_s=30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._program is not None:
            self._program.__exit__()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def output(self) -> str:
        """What it has printed."""
        assert self._program is not None
        return self._program.output

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """What a client has measured so far: offset from its master and path delay, ns."""
        return [(int(offset), int(delay)) for offset, delay in MASTER_OFFSET.findall(self.output)]

    def manage(self, command: str) -> str:
        """What pmc says to a command; raises RuntimeError if it has no answer."""
        argv = [str(binary("pmc")), "-u", "-b", "0", "-s", str(self.socket), "-i", f"{self.socket}.pmc"]
        argv += ["-d", str(self._settings["domainNumber"]), command]
        done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False, timeout=20)
        if "RESPONSE" not in done.stdout:
            raise RuntimeError(f"pmc {command}: {done.stdout} {done.stderr}")
        return done.stdout

    def announce(
        self,
        *,
        clock_class: int = 6,
        accuracy: int = 0x21,
        utc_offset_s: int = 37,
        utc_offset_valid: bool = True,
        ptp_timescale: bool = True,
    ) -> None:
        """Change what a grandmaster says of itself, at once."""
        self.manage(
            f"SET GRANDMASTER_SETTINGS_NP clockClass {clock_class} clockAccuracy {accuracy:#x} "
            f"offsetScaledLogVariance 0x4e5d currentUtcOffset {utc_offset_s} leap61 0 leap59 0 "
            f"currentUtcOffsetValid {utc_offset_valid:d} ptpTimescale {ptp_timescale:d} timeTraceable 1 "
            "frequencyTraceable 1 timeSource 0x20"
        )
