"""Events about references, leap seconds and time scales: what each says, and what to do. Faults have a table of their own.

Rule: the page of metrics is made from it; a kind that is told and not here is a mistake that a test finds. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EVENTS", "Words"]


class Words(NamedTuple):
    """What an event says, and the remedy."""

    text: str
    remedy: str


EVENTS: dict[str, Words] = {
    "reference_changed": Words(
        "targets are compared with another reference: the former is stale, expired or outvoted, or a preferred one is back",
        "look at the former; rows say by their tag which one they are compared with",
    ),
    "reference_outvoted": Words(
        "a strict majority of the references agree, and this one is outside of all their bounds; `..._over` when it no longer is",
        "look at it: its tie, or what it claims of itself, cannot be true",
    ),
    "references_disagree": Words(
        "references are further apart than their bounds allow, and there is no majority; `..._over` when it is over",
        "compare by hand; a third reference would decide",
    ),
    "leap_announced_unknown": Words(
        "a server announces a leap second at the end of this month, and the table has none",
        "look at the server's source",
    ),
    "leap_announced_early": Words(
        "it announces one that the table has for a later month", "look at the server's source"
    ),
    "leap_announced_late": Words(
        "it still announces one that has been", "look at it: it will be a second off if it takes another"
    ),
    "leap_announcement_missing": Words(
        "the last day (NTP; for PTP the last six hours) before a leap second, and it does not announce it",
        "give the server a leap-second table",
    ),
    "leap_announced_by_some": Words(
        "some servers announce one and some do not, and the table has expired", "get a new leap-seconds.list"
    ),
    "leap_indicator_agrees": Words("a server's leap indicator is as the table has it again", "none"),
    "leap_second_taken": Words("the probe's own clock took a leap second of the table", "none"),
    "leap_smear": Words(
        "a server smears the leap second, in the way that is named, at the rate that is told",
        "do not mix it with servers that do not smear",
    ),
    "service_failed": Words(
        "a service beside the measuring (named in the event) failed; it is begun again, and the measuring goes on",
        "the log has the trace: report it",
    ),
    "leap_table": Words(
        "the leap-second table in use; a warning where it has expired, or a file is damaged or was edited (its hash)",
        "get a new leap-seconds.list from IERS or your system's tzdata",
    ),
    "time_scale_wrong": Words(
        "a server's error is that of a known mistake: TAI or GPS time as UTC, 1024 weeks, an NTP era, a leap second that it missed "
        "or took early, local time; `time_scale_right` when it is over",
        "look at how it gets UTC from its source",
    ),
    "utc_offset_wrong": Words(
        "a PTP master announces another currentUtcOffset than the table has; `utc_offset_right` when it is over",
        "correct the master's leap seconds",
    ),
}
