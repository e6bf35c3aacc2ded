"""What alerts are judged by: each quantity, its name in `facts`, and the PromQL of the same.

Rule: nothing here knows a threshold. What Prometheus computes for several of them is in `RECORDED`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from timesync.alerts.facts import HOLDOVER_CLASSES, RENEW_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AGE",
    "DISAGREEMENT",
    "DOWN",
    "DRIFT",
    "FORECAST",
    "FORECAST_H",
    "GRANDMASTERS",
    "GREATEST",
    "HOLDOVER",
    "LEAP",
    "LEAP_DAYS",
    "LEAST",
    "LOST",
    "REACHABILITY",
    "RECORDED",
    "RENEWAL_DAYS",
    "SPOOL_AGE",
    "SPOOL_FILL",
    "STEPS",
    "TIE_DAYS",
    "TREND_H",
    "UNTRACEABLE",
    "UNWRITABLE",
    "WINDOW_MIN",
    "Signal",
]

FORECAST_H = 4
TREND_H = 3
DRIFT = 15e-6
"""How far the probe's clock may drift, s/s, between measurements of two references (RFC 5905)."""

WINDOW_MIN = 10


@dataclass(frozen=True, slots=True)
class Signal:
    """A quantity: its name in `facts`, what it is, its unit, and the PromQL of the same."""

    name: str
    meaning: str
    unit: str
    promql: str

    @property
    def read(self) -> Callable[[object], float | None]:
        """From facts to the value, None where it is not known."""
        return attrgetter(self.name)


_INFO = "timesync_target_info"
_ON = "on (site, probe, target, protocol)"
_LIMIT = f"/ {_ON} group_left (limit) timesync_limit_seconds"
_CLAIM = f"(1 - timesync_utc_claim) * {_ON} group_left (reference)"
GREATEST = Signal(
    "greatest_ratio",
    "(|time error| + bound) / limit",
    "",
    f"(abs(timesync_time_error_seconds) + timesync_time_error_bound_seconds) {_LIMIT}",
)
LEAST = Signal(
    "least_ratio",
    "(|time error| - bound) / limit",
    "",
    f"(abs(timesync_time_error_seconds) - timesync_time_error_bound_seconds) {_LIMIT}",
)
_FREE = 'timesync_holdover_state{state=~"freerun|holdover|holdover_out"} == 1'
_COASTING = 'timesync_holdover_state{state=~"holdover|holdover_out"}'
_MODEL = f"timesync_holdover_time_to_own_limit_seconds * {_ON} group_left (reference) {_INFO} and {_ON} ({_FREE})"
_TREND = f"timesync:time_error_measured_seconds[{TREND_H}h]"
_TOWARDS = f"sgn(deriv({_TREND})) * predict_linear({_TREND}, 0)"
_LINE = (
    f"clamp_min(-({_TOWARDS} - {_ON} group_left (limit) timesync_limit_seconds), 0) "
    f"/ ignoring (limit) group_left () abs(deriv({_TREND})) and ignoring (limit) timesync:time_error_measured_seconds offset 1h"
)
FORECAST = Signal(
    "hours_to_limit",
    "how long the limit is kept: of a clock that runs free by its model, with the confidence of [holdover]; of any other, or where "
    f"there is no model, by the line through the last {TREND_H} h",
    "h",
    f"(({_MODEL}) or {_ON} ({_LINE})) / 3600",
)
REACHABILITY = Signal("reachability", "measured share of the last 8 polls", "", "timesync_reachability_ratio")
AGE = Signal(
    "age_intervals",
    "age of the newest measurement in poll intervals",
    "intervals",
    "(time() - timesync_last_sample_timestamp_seconds) / timesync_poll_interval_seconds",
)
LOST = Signal("reference_lost", "1: a reference without a claim", "", f'{_CLAIM} {_INFO}{{role="reference"}}')
UNTRACEABLE = Signal(
    "untraceable",
    "1: no claim, and a reference is configured",
    "",
    f'{_CLAIM} {_INFO}{{role="target",reference!=""}}',
)
HOLDOVER = Signal(
    "in_holdover",
    "1: clockClass of a clock without its source, or seen to coast",
    "",
    "max by (site, probe, target, protocol) ("
    + " + ".join(f"(timesync_ptp_clock_class == bool {number})" for number in HOLDOVER_CLASSES)
    + f" or {_COASTING})",
)
LEAP = Signal("leap_trouble", "1: announces another leap second than the table", "", "timesync_leap_disagreement")
GRANDMASTERS = Signal(
    "grandmaster_changes",
    f"other grandmasters in {WINDOW_MIN} min",
    "",
    "count without (grandmaster) (count without (port_identity, domain, timescale) "
    f"(count_over_time(timesync_ptp_master_info[{WINDOW_MIN}m]))) - 1",
)
TIE_DAYS = Signal(
    "tie_days", "days until the reference's tie ends", "d", "(timesync_tie_expiry_timestamp_seconds - time()) / 86400"
)
LEAP_DAYS = Signal(
    "leap_list_days",
    "days until the leap-second table ends",
    "d",
    "(timesync_leap_table_expiry_timestamp_seconds - time()) / 86400",
)
RENEWAL_DAYS = Signal(
    "renewal_days",
    f"days until the page's certificate has {RENEW_DAYS} days, or a third of its life, to go",
    "d",
    "(timesync_certificate_expiry_timestamp_seconds - time() - clamp_max((timesync_certificate_expiry_timestamp_seconds "
    f"- timesync_certificate_start_timestamp_seconds) / 3, {RENEW_DAYS} * 86400)) / 86400",
)
SPOOL_AGE = Signal(
    "spool_age_s", "age of the oldest record not delivered", "s", "time() - timesync_spool_oldest_timestamp_seconds"
)
SPOOL_FILL = Signal(
    "spool_fill", "used share of the spool's limit", "", "timesync_spool_bytes / timesync_spool_limit_bytes"
)
UNWRITABLE = Signal("spool_unwritable", "1: the disk refuses writes", "", "1 - timesync_spool_writable")
STEPS = Signal(
    "clock_steps",
    f"steps of the probe's clock in {WINDOW_MIN} min",
    "",
    f"increase(timesync_clock_steps_total[{WINDOW_MIN}m])",
)
DISAGREEMENT = Signal(
    "disagreement_s",
    "how far references are apart beyond their bounds",
    "s",
    "max by (site, probe) (timesync:reference_low_seconds) - min by (site, probe) (timesync:reference_high_seconds)",
)
DOWN = Signal("down", "1: /metrics cannot be scraped", "", '1 - up{job="timesync"}')

_OF_REFERENCE = f'timesync_offset_seconds * {_ON} {_INFO}{{role="reference"}} - {_ON} timesync_time_error_seconds'
_WIDTHS = (
    "timesync_offset_bound_seconds",
    "timesync_time_error_bound_seconds",
    f"timesync_poll_interval_seconds * {DRIFT:g}",
)
RECORDED: dict[str, str] = {
    "timesync:time_error_measured_seconds": f"timesync_time_error_seconds unless {_ON} (timesync_utc_claim_carried == 1)",
    "timesync:error_greatest_seconds": "abs(timesync_time_error_seconds) + timesync_time_error_bound_seconds",
    "timesync:error_least_seconds": "abs(timesync_time_error_seconds) - timesync_time_error_bound_seconds",
    "timesync:sample_age_seconds": "time() - timesync_last_sample_timestamp_seconds",
    "timesync:reference_low_seconds": " ".join((_OF_REFERENCE, *(f"- {_ON} {width}" for width in _WIDTHS))),
    "timesync:reference_high_seconds": " ".join((_OF_REFERENCE, *(f"+ {_ON} {width}" for width in _WIDTHS))),
}
"""What Prometheus computes besides: time errors that no lost reference was carried on for, the ends of |time error|, and of where
each reference says that UTC(k) is.
"""
