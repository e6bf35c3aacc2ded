"""The runbooks: `python -m timesync.alerts.runbooks > deploy/RUNBOOKS.md`, one section for each alert, for somebody just woken.

Rule: what an alert means, its threshold and patience come from `KINDS`; only the steps are written here. A test compares.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from timesync.alerts.kinds import KINDS
from timesync.alerts.limits import PROFILES
from timesync.alerts.prometheus import condition_expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from timesync.alerts.kinds import AlertKind

__all__ = ["STEPS", "page"]

STEPS: Mapping[str, tuple[str, ...]] = {
    "reference_lost": (
        (
            "The reason is in the alert's text and in `timesync_utc_claim_absent_info`. A name of the network or the "
            "server (`timeout`, `unsynchronised`): go on as for [unreachable](#unreachable), with the reference as the "
            "target."
        ),
        (
            "`reference_expired`, `link_stale`, `link_missing`: the tie to UTC(k) has ended; see "
            "[tie_expiring](#tie_expiring)."
        ),
        (
            "While it lasts the probe's own clock carries the reference on for `carry_s` of `[reference]`: claims go on, marked "
            "`carried`, and `timesync_time_error_bound_seconds` says how far they can be wrong. Breaches that only the grown "
            "bound makes possible are not told one by one. After that offsets are recorded without a claim. Nothing has to be "
            "repeated afterwards."
        ),
    ),
    "unreachable": (
        "On the probe's host: `timesync measure ADDRESS` polls once and says what came back.",
        "`timeout` for one target: its server or its path. For all targets at once: the probe's own network.",
        (
            "`port_unreachable`: nothing listens; start the server. `kiss_deny`, `kiss_rstr`: the server refuses the "
            "probe; ask its operator."
        ),
    ),
    "stale": (
        (
            "Does `timesync_polls_total` still grow? If not, the probe is stuck: `systemctl status timesync-probe`, "
            "`/healthz`."
        ),
        "If it grows, the polls are refused: `timesync_losses_total` says why.",
    ),
    "loss": (
        "`timeout` on all targets behind one router: the path is congested or a firewall drops state.",
        "`held_by_rate`, `kiss_rate`: the server limits the rate; raise `interval_s` of the target.",
        "Compare loss with the round trip on the Target dashboard: both rising together is congestion.",
    ),
    "certain_breach": (
        (
            "Is it one target? Then the clock (or its configuration: a leap second, a time zone, a wrong epoch) is wrong."
            " See the jump or the slope on the Target dashboard: a step, or a drift since it lost its source."
        ),
        (
            "Are all targets of one reference beyond it by the same? Then suspect the reference first: "
            "[reference_disagreement](#reference_disagreement)."
        ),
        (
            "Take the clock out of service before correcting it, and keep begin and end of the interval: `timesync "
            "export` has the rows."
        ),
    ),
    "possible_breach": (
        "The bound is a limit of the error, not the error: the clock may be right, and cannot be shown to be.",
        (
            "See the parts of the bound (`bound_path_s`, `bound_interpolation_s`, ...) of a row: half the round trip is "
            "most often the largest. A grown round trip is congestion or a new route."
        ),
        (
            "Tighten it: a probe nearer to the target, `minimum_delay_s` where the path's length is known, a shorter "
            "`interval_s` of the reference, hardware timestamps."
        ),
    ),
    "forecast_breach": (
        (
            "Does the clock run free (`timesync_holdover_state`)? Then `timesync_holdover_time_to_own_limit_seconds` says how "
            "long its limit is kept, with the confidence of `[holdover]`. If it is steered, or `[holdover]` is off, it is a "
            "line through the last three hours, drawn on: that knows nothing of the clock."
        ),
        (
            "Find out since when the clock drifts, and what happened then: a lost antenna, a changed upstream, a room "
            "that warms up."
        ),
    ),
    "not_traceable": (
        (
            "The reason is in `timesync_utc_claim_absent_info`. `reference_stale`: the reference answers too seldom for "
            "`max_age_s`."
        ),
        "`arbitrary_timescale`: a PTP grandmaster whose time is not TAI; declare its `timescale` or correct it.",
        "`local_clock_stepped`: it passes by itself after `settle_s`.",
    ),
    "holdover": (
        (
            "Look at the clock: antenna, receiver, upstream. The newest event `holdover_state` of it has the signs that were "
            "seen. `clockClass` 7 is within its specification for a while; others are not."
        ),
        "See how fast it leaves on the Holdover dashboard, and decide whether another clock should take over.",
    ),
    "leap_trouble": (
        (
            "Compare with IERS Bulletin C. If a leap second is due and the table does not have it, the table is old: "
            "[leap_list_expiring](#leap_list_expiring)."
        ),
        (
            "If none is due, the server is wrong: correct its leap-second file or its upstream before the end of the "
            "month."
        ),
    ),
    "grandmaster_change": (
        "Was it planned? The PTP dashboard has both identities, with their classes and priorities.",
        "If not: a better clock has appeared (rogue grandmaster) or the former one was degraded or cut off.",
    ),
    "tie_expiring": (
        (
            "`timesync check FILE` lists the ends. Have the reference calibrated, and write value, bound, u and the new "
            "end."
        ),
        "After the end nothing is claimed: rows say `reference_expired`.",
    ),
    "reference_disagreement": (
        (
            "Where UTC(k) is by each reference, with its bound, is recorded as `timesync:reference_low_seconds` and "
            "`timesync:reference_high_seconds`: the one whose interval stands apart is the suspect."
        ),
        "With two references nobody can tell which: compare with a third, by any means, before trusting either.",
        "Its path may have become asymmetric beyond what was declared; then its bound was declared too small.",
    ),
    "clock_stepped": (
        (
            "`journalctl` around the instant: chronyd or ntpd stepping at start, a hypervisor after a migration, a "
            "person."
        ),
        "Steps that repeat mean two services that both set the clock: keep one.",
    ),
    "leap_list_expiring": (
        (
            "Get leap-seconds.list from IERS (hpiers.obspm.fr) or update the package tzdata; then `systemctl reload "
            "timesync-probe`."
        ),
    ),
    "certificate_expiring": (
        "`openssl x509 -enddate -noout -in FILE` on what `tls_certificate` of `[http]` names.",
        (
            "A file that the configuration names itself is taken within half a minute, or at once by `systemctl reload "
            "timesync-probe`. Is it newer than what is served? Then it could not be used: the event `certificate_refused` says why."
        ),
        (
            "Where the probe has a copy, it sees a new file only when it starts. By `LoadCredential=` (a name without a folder): "
            "`systemctl restart timesync-probe`. In containers, whose mount is of the old file: `docker compose -f "
            "deploy/compose.yaml up -d --force-recreate probe prometheus`, for Prometheus trusts `page.crt` itself."
        ),
        "Prometheus trusts it by `ca_file`: give it the new issuer too, where that has changed.",
    ),
    "spool_unwritable": (
        "`df` and `df -i` on the spool's file system; `dmesg` for errors of the disk; rights of the directory.",
        (
            "What is measured meanwhile is held in memory and written when the disk takes writes; a restart now would "
            "lose it."
        ),
    ),
    "spool_filling": (
        "See [spool_growing](#spool_growing) for why. Until then raise `max_bytes` of `[spool]` and restart.",
        "When it is full, `when_full` says what is given up; it is counted in `timesync_spool_dropped_total`.",
    ),
    "spool_growing": (
        "`timesync_sink_available` is 0 for the database that is away; the log has its last error.",
        "Nothing is lost: the records are delivered, the live ones first, when the database is back.",
    ),
    "probe_down": (
        "Does the host answer? `systemctl status timesync-probe`, `journalctl -u timesync-probe`.",
        "If the host is well and the page answers there, the path from Prometheus is cut.",
    ),
}

HEAD = """\
# Runbooks

Made by `python -m timesync.alerts.runbooks` from the description of the alerts; a test fails where the two differ. The daemon
judges these itself and tells them by `[[notify]]`; Prometheus judges the same by
[timesync.rules.yaml](../dashboards/prometheus/timesync.rules.yaml). All but the last are judged by both.

An alert is told when its condition has held for its *grace*, and told to be over when it has been gone for its *hold*. What another
alert explains is silent: a lost reference is one alert, and not one for each target.

## Alerts

{index}
## Limits

`limit` of a target, or `default_limit` of `[alerts]`; `[[limit]]` adds your own. They are judged with the bound.

| name | limit of target - UTC(k), either sign | where it is written |
|---|---|---|
"""


def page() -> str:
    """The whole page, Markdown."""
    limits = "".join(f"| `{limit.name}` | {limit.error_s:g} s | {limit.source} |\n" for limit in PROFILES.values())
    return HEAD.replace("{index}", _index()) + limits + "".join("\n".join(_section(kind)) for kind in KINDS)


def _index() -> str:
    """A table of the alerts, most urgent first."""
    levels = ("critical", "warning", "info")
    kinds = sorted(KINDS, key=lambda kind: levels.index(kind.level.value))
    rows = (f"| [{kind.name}](#{kind.name}) | {kind.level.value} | {kind.means} |\n" for kind in kinds)
    return "| alert | level | means |\n|---|---|---|\n" + "".join(rows)


def _section(kind: AlertKind) -> Iterator[str]:
    sign = "below" if kind.below else "above"
    clear = f", until {kind.clear:g}" if kind.clear != kind.threshold else ""
    yield f"\n## {kind.name}\n"
    yield f"**{kind.title}** ({kind.title_zh}), {kind.level.value}; in Prometheus `{kind.rule}`.\n"
    yield f"Means: {kind.means}.\n"
    yield f"Do: {kind.action}.\n"
    yield from (f"{number}. {step}" for number, step in enumerate(STEPS[kind.name], start=1))
    yield ""
    yield f"Told when {kind.signal.meaning} is {sign} {kind.threshold:g}{clear}; grace {kind.grace_s:g} s, hold {kind.hold_s:g} s."
    silent = [f"[{name}](#{name})" for name in kind.silenced_by]
    if kind.needs_reference:
        silent.append("[reference_lost](#reference_lost) of its reference")
    if silent:
        yield f"Silent while {' or '.join(silent)} holds."
    yield f"\n    {condition_expression(kind).partition(' or (')[0]}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
