"""A site with two references, an NTP server, a PTP master, a stack, and a server that does not answer: metrics and rows of each."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from support.exposition import ROW, Counted
from timesync.export.current import Declared
from timesync.export.masks import masks_of
from timesync.export.prometheus import Exposition
from timesync.model import FieldValue, Record
from timesync.reasons import Reason
from timesync.settings import StabilitySettings, Tie
from timesync.store.status import SinkStatus, SpoolStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LIMIT_S", "TIME_ERRORS", "SiteData"]

DAY_NS = 86_400 * 10**9
LIMIT_S = 1e-3
TIME_ERRORS: Mapping[tuple[str, str], float] = {
    (site, target): number * 1e-5 - 4e-5
    for number, (site, target) in enumerate(
        (site, target) for site in ("nim", "ptb") for target in ("utc", "utc2", "ntp1", "ptp")
    )
}
"""What each clock shows of UTC(k), s."""
PTP: dict[str, FieldValue] = {
    "clock_class": 6,
    "clock_accuracy": 0x21,
    "clock_accuracy_s": 100e-9,
    "steps_removed": 1,
    "utc_offset_s": 37,
    "utc_offset_valid": True,
    "time_traceable": True,
    "port_identity": "0c1105fffe000001-1",
    "grandmaster": "0c1105fffe000001",
    "domain": 0,
    "timescale": "ptp",
}
BUDGET: dict[str, FieldValue] = {
    "bound_path_s": 1e-4,
    "bound_interpolation_s": 1e-4,
    "bound_tie_s": 1e-7,
    "bound_oscillator_s": 1e-9,
    "bound_timestamping_s": 1e-9,
    "bound_reference_path_s": 1e-4,
    "bound_reference_upstream_s": 1e-6,
    "u_path_s": 6e-5,
    "u_tie_s": 1e-8,
    "utc_minus_x_s": 1e-9,
    "utc_minus_x_u_s": 1e-9,
    "utc_label": "final",
}
EPISODE: dict[str, FieldValue] = {
    "duration_s": 3600.0,
    "max_abs_s": 2e-6,
    "end_step_s": -1e-6,
    "rate": 1e-9,
    "held": True,
}
CLOCK: dict[str, FieldValue] = {"master_offset_s": 1e-6, "mean_path_delay_s": 1e-5}
PORT: dict[str, FieldValue] = {"port_state": "master"}


class SiteData:
    """One site, second by second."""

    def __init__(self, site: str = "nim", position: tuple[float, float] = (40.24, 116.23)) -> None:
        self.turn = 0
        self.site = site
        self.tallies = {name: Counted() for name in ("utc", "utc2", "ntp1", "ptp", "stack", "dead")}
        self.exposition = Exposition(site, "p1", tallies=lambda: self.tallies)
        for name in self.tallies:
            protocol = {"ptp": "ptp", "stack": "ptp4l"}.get(name, "ntp")
            self.exposition.add_target(name, protocol=protocol, interval_s=16.0)
            is_reference = name.startswith("utc")
            reference = name if is_reference else "utc"
            until_ns = time.time_ns() + 10**15 if is_reference else None
            self.exposition.declare(
                name, Declared(reference, is_reference=is_reference, limit=("house", LIMIT_S), tie_until_ns=until_ns)
            )
        self.exposition.set_position(*position)
        self.exposition.set_stability(masks_of(StabilitySettings(masks=("prtc-a",))), {})
        self.records: list[Record] = []

    def _row(self, measurement: str, target: str, fields: dict[str, FieldValue], **tags: str) -> None:
        own = {"site": self.site, "probe": "p1", "target": target, "protocol": "ntp", **tags}
        record = Record(measurement, time.time_ns(), own, fields)
        self.records.append(record)
        self.exposition.observe(record)

    def go_on(self) -> None:
        """Another second of it."""
        self.turn += 1
        now_ns = time.time_ns()
        for target in ("utc", "utc2", "ntp1", "ptp"):
            reference = target if target.startswith("utc") else "utc"
            more: dict[str, FieldValue] = PTP if target == "ptp" else {}
            protocol = "ptp" if target == "ptp" else "ntp"
            fields = {**ROW, **BUDGET, **more, "time_error_s": TIME_ERRORS[self.site, target]}
            self._row("time_error", target, fields, reference=reference, protocol=protocol)
        self._row("time_error", "dead", {"reason": "timeout", "claim": "timeout", "clock_epoch": 0, "polls": 1})
        for statistic in ("oadev", "mdev", "tdev", "mtie"):
            end = "_s" if statistic in {"tdev", "mtie"} else ""
            fields = {f"dev{end}": 1e-9, f"lo{end}": 9e-10, f"hi{end}": 2e-9, "every_s": 600.0, "alpha": 0.0}
            for tau in ("16", "128"):
                self._row("stability", "ntp1", fields, reference="utc", statistic=statistic, tau=tau)
        forecast: dict[str, FieldValue] = {"predicted_1h_s": 1e-6, "predicted_1h_u_s": 1e-7, "score": 0.95}
        self._row("holdover", "ntp1", {"state": "locked", "every_s": 600.0, **forecast})
        self._row("holdover", "ntp1", {"within_s": 7200.0, "every_s": 600.0}, limit="1us")
        if self.turn == 1:
            self._row("holdover_episode", "ntp1", EPISODE)
        self._row("ptp_clock", "stack", CLOCK, protocol="ptp4l", clock="0c1105fffe000002")
        self._row(
            "ptp_port", "stack", {**PORT, "rx_sync": self.turn}, protocol="ptp4l", clock="0c1105fffe000002", port="1"
        )
        for name, tally in self.tallies.items():
            tally.polls += 1
            if name == "dead":
                tally.losses = Counter({Reason.TIMEOUT: tally.polls})
            else:
                tally.replies, tally.register = tally.replies + 1, 0xFF
        sinks = {"central": SinkStatus(delivered=self.turn, failures=self.turn)}
        status = SpoolStatus(3, time.time_ns() - 10**10, 4096, 0, 0, 0, None, sinks=sinks)
        show = self.exposition
        show.set_spool(status, limit_bytes=10**9)
        show.set_loop_lag(0.001)
        show.set_schedule_lag(0.001)
        show.set_clock_changes(steps=0, suspends=0)
        show.set_leap_expiry(time.time_ns() + 10**16)
        show.set_alerts({("unreachable", "critical"): int(self.site == "nim"), ("loss", "warning"): 0})
        show.set_notifications({("on-call", "sent"): self.turn})
        show.set_faults([("server", "step", "ntp1", 0.9)])
        show.set_references([("utc", "utc2", 1e-8, 1e-4)], {"utc": "agrees", "utc2": "agrees"})
        show.set_published([("NIM", "circular_t", "Circular T 465", now_ns - 30 * DAY_NS)])
        tied = Tie("UTC(NIM)", 1e-7, 1e-8, now_ns + DAY_NS, link="fibre")
        show.set_ties({"utc": tied, "utc2": Tie("UTC(NIM)", 1e-7, 1e-8)}, now_ns)
