"""The one description of every alert: signal, threshold, patience, what silences it, what it means and what to do.

Rule: the daemon's own alerts (`book`) and the rules for Prometheus (`prometheus`) are both made from `KINDS`: text and threshold
cannot drift apart. A threshold is crossed above, or below where `below` says so; a firing alert ends only beyond `clear`, for
`hold_s`. `silenced_by` names alerts whose condition, holding for the same target, makes this one no news of its own;
`needs_reference` is silent while the target's reference is lost. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from timesync.alerts import signals
from timesync.alerts.signals import FORECAST_H, TREND_H

if TYPE_CHECKING:
    from timesync.alerts.signals import Signal

__all__ = ["KINDS", "KIND_OF", "AlertKind", "Level", "Scope"]


class Scope(StrEnum):
    """What an alert speaks of."""

    TARGET = "target"
    PROBE = "probe"
    MONITOR = "monitor"  # the probe as Prometheus sees it: the daemon cannot tell of its own end


class Level(StrEnum):
    """How soon somebody has to act: at once (wake me), today, when there is time."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class AlertKind:
    """One alert. `name` is stored, alerted on and the anchor of its runbook: it is never changed."""

    name: str
    title: str
    title_zh: str
    scope: Scope
    level: Level
    signal: Signal
    threshold: float
    clear: float
    grace_s: float
    hold_s: float
    means: str
    action: str
    below: bool = False
    silenced_by: tuple[str, ...] = ()
    needs_reference: bool = False

    @property
    def rule(self) -> str:
        """Its name in Prometheus."""
        return "Timesync" + "".join(word.capitalize() for word in self.name.split("_"))

    def holds(self, value: float, *, firing: bool) -> bool:
        """Whether the condition holds, for one that is firing until `clear`."""
        threshold = self.clear if firing else self.threshold
        return value < threshold if self.below else value > threshold


_T, _P = Scope.TARGET, Scope.PROBE
_CRITICAL, _WARNING, _INFO_LEVEL = Level.CRITICAL, Level.WARNING, Level.INFO

KINDS: tuple[AlertKind, ...] = (
    AlertKind(
        "reference_lost",
        "Reference lost",
        "参考丢失",
        _T,
        _CRITICAL,
        signals.LOST,
        0.5,
        0.5,
        120,
        60,
        "a reference carries no claim against UTC(k): what is compared with it is carried on by the probe's clock, with a bound "
        "that grows, for carry_s at most; then nothing of it is traceable",
        "see why in timesync_utc_claim_absent_info; look at the reference's server, its path, and the end of its tie",
    ),
    AlertKind(
        "unreachable",
        "Target unreachable",
        "目标不可达",
        _T,
        _CRITICAL,
        signals.REACHABILITY,
        0.01,
        0.2,
        120,
        60,
        "none of the last eight polls gave a measurement",
        "see the reasons in timesync_losses_total; check the server, then the path and firewalls",
        below=True,
        silenced_by=("reference_lost",),
    ),
    AlertKind(
        "stale",
        "No fresh measurement",
        "测量过期",
        _T,
        _WARNING,
        signals.AGE,
        12,
        4,
        60,
        30,
        "the newest measurement is older than twelve poll intervals",
        "see whether the probe polls at all (timesync_polls_total), whether a server told it to stop, and its log",
        silenced_by=("reference_lost", "unreachable"),
    ),
    AlertKind(
        "loss",
        "Polls are lost",
        "轮询丢失",
        _T,
        _WARNING,
        signals.REACHABILITY,
        0.7,
        0.85,
        300,
        300,
        "more than a quarter of the polls give no measurement",
        "see the reasons in timesync_losses_total: time-outs point to the path, kisses to the server's rate limit",
        below=True,
        silenced_by=("reference_lost", "unreachable", "stale"),
    ),
    AlertKind(
        "certain_breach",
        "Beyond the limit",
        "确定超限",
        _T,
        _CRITICAL,
        signals.LEAST,
        1.0,
        0.9,
        30,
        120,
        "the time error less its bound is beyond the limit: whatever the path does, the clock is wrong",
        "take the clock out of service or correct it; note the interval, it has to be reported where a regulation applies",
    ),
    AlertKind(
        "possible_breach",
        "Perhaps beyond the limit",
        "可能超限",
        _T,
        _WARNING,
        signals.GREATEST,
        1.0,
        0.9,
        300,
        300,
        "the time error and its bound together reach beyond the limit: that the clock is within cannot be shown",
        "see which part of the bound is large (Traceability dashboard): most often the path's delay; then the clock itself",
        silenced_by=("certain_breach",),
        needs_reference=True,
    ),
    AlertKind(
        "forecast_breach",
        "Limit will be crossed",
        "即将超限",
        _T,
        _WARNING,
        signals.FORECAST,
        FORECAST_H,
        FORECAST_H + 1,
        1800,
        1800,
        f"the clock may leave its limit within {FORECAST_H} hours: it runs free and its model says so, or the line through its "
        f"last {TREND_H} hours does",
        "see whether the clock is in holdover or has lost its discipline, and correct it before the limit is crossed",
        below=True,
        silenced_by=("certain_breach", "possible_breach"),
        needs_reference=True,
    ),
    AlertKind(
        "not_traceable",
        "No claim against UTC(k)",
        "无法溯源",
        _T,
        _WARNING,
        signals.UNTRACEABLE,
        0.5,
        0.5,
        300,
        60,
        "the target is measured, and nothing can be said of it against UTC(k)",
        "see the reason in timesync_utc_claim_absent_info; it names what is missing and deploy/METRICS.md what to do",
        silenced_by=("unreachable", "stale"),
        needs_reference=True,
    ),
    AlertKind(
        "holdover",
        "Clock in holdover",
        "时钟进入保持",
        _T,
        _WARNING,
        signals.HOLDOVER,
        0.5,
        0.5,
        60,
        300,
        "the clock has lost its source and lives on its oscillator: its clockClass says so, or two other signs at least",
        "see to its antenna or upstream; the Holdover dashboard says how long its limit holds",
        silenced_by=("unreachable", "stale"),
    ),
    AlertKind(
        "leap_trouble",
        "Leap second announced wrongly",
        "闰秒预告异常",
        _T,
        _WARNING,
        signals.LEAP,
        0.5,
        0.5,
        60,
        60,
        "the server announces a leap second that the table does not have, or none where the table has one",
        "compare with IERS Bulletin C; correct the server's leap-second source, or the probe's leap-seconds.list",
        silenced_by=("unreachable", "stale"),
    ),
    AlertKind(
        "grandmaster_change",
        "Grandmaster changed",
        "最高级主时钟切换",
        _T,
        _INFO_LEVEL,
        signals.GRANDMASTERS,
        0.5,
        0.5,
        0,
        60,
        "another PTP grandmaster than ten minutes ago is followed",
        "see whether it was meant; if not, look at the former one's clockClass, priorities and network",
    ),
    AlertKind(
        "tie_expiring",
        "Tie to UTC(k) about to end",
        "溯源关系即将到期",
        _T,
        _WARNING,
        signals.TIE_DAYS,
        14,
        14,
        0,
        60,
        "the calibration or declaration that ties a reference to UTC(k) ends within two weeks; then claims end",
        "have the reference calibrated and write the new value and end into the configuration",
        below=True,
    ),
    AlertKind(
        "reference_disagreement",
        "References disagree",
        "参考不一致",
        _P,
        _CRITICAL,
        signals.DISAGREEMENT,
        0.0,
        0.0,
        120,
        120,
        "the references of a site are further apart than their bounds allow: at least one of them is wrong",
        "compare them on the Network dashboard; take the one that stands alone out of service, and check its calibration",
    ),
    AlertKind(
        "clock_stepped",
        "Probe's clock stepped",
        "探针时钟跳变",
        _P,
        _INFO_LEVEL,
        signals.STEPS,
        0.5,
        0.5,
        0,
        60,
        "the clock of the probe's host was stepped; measurements before and after are not compared",
        "find out what set it: a second time service, a hypervisor, a person; one step at boot is usual",
    ),
    AlertKind(
        "leap_list_expiring",
        "Leap-second table about to end",
        "闰秒表即将到期",
        _P,
        _WARNING,
        signals.LEAP_DAYS,
        30,
        30,
        0,
        60,
        "leap seconds are known for less than thirty days more; then announcements cannot be checked",
        "get a new leap-seconds.list from IERS or update tzdata, and reload the probe",
        below=True,
    ),
    AlertKind(
        "certificate_expiring",
        "Page's certificate about to end",
        "页面证书即将到期",
        _P,
        _WARNING,
        signals.RENEWAL_DAYS,
        0,
        0,
        0,
        60,
        "the TLS certificate of [http] has two weeks, or a third of its life, to go; then browsers and Prometheus refuse the page",
        "renew it where tls_certificate points to, and restart the probe if that is a copy (LoadCredential=, a container's secret)",
        below=True,
    ),
    AlertKind(
        "spool_unwritable",
        "Disk refuses records",
        "磁盘拒绝写入",
        _P,
        _CRITICAL,
        signals.UNWRITABLE,
        0.5,
        0.5,
        10,
        30,
        "the probe cannot write to its spool: measurements are held in memory only",
        "see to the disk: space, rights, errors in the kernel's log; what is held is written once it takes writes",
    ),
    AlertKind(
        "spool_filling",
        "Spool nearly full",
        "缓冲队列将满",
        _P,
        _CRITICAL,
        signals.SPOOL_FILL,
        0.8,
        0.7,
        60,
        300,
        "the spool uses more than 80 % of its limit; when it is full, records are given up by when_full",
        "bring the database back, or raise max_bytes of [spool]",
    ),
    AlertKind(
        "spool_growing",
        "Records wait to be delivered",
        "记录积压",
        _P,
        _WARNING,
        signals.SPOOL_AGE,
        600,
        300,
        120,
        60,
        "the oldest record that a sink lacks is older than ten minutes",
        "see timesync_sink_available and the log: the database is away, refuses, or is too slow; nothing is lost meanwhile",
        silenced_by=("spool_filling",),
    ),
    AlertKind(
        "probe_down",
        "Probe cannot be scraped",
        "探针无响应",
        Scope.MONITOR,
        _CRITICAL,
        signals.DOWN,
        0.5,
        0.5,
        60,
        60,
        "Prometheus gets no answer from the probe: it, its host or the path to it is down",
        "look at the host and at `systemctl status timesync-probe`; its spool keeps what it measured",
    ),
)

KIND_OF = {kind.name: kind for kind in KINDS}
