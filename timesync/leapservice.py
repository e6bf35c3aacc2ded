"""The daemon's leap seconds: which table holds, until when, and what servers announce against it.

Rule: the table is looked for at the start, at each reload and once a day, since a system's update brings a new one; what is found
is told when it is another than before, and as a warning where it is expired or damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.leapseconds import configured_leap_table
from timesync.leapwatch import Finding, LeapChange, LeapWatch
from timesync.model import Event, Severity
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from timesync.leapseconds import LoadedLeapTable
    from timesync.model import FieldValue, Record

__all__ = ["LeapService"]

LOOK_EVERY_S = 86_400.0
WORDS = {1: "a second inserted", 2: "a second deleted", 0: "no leap second"}


class LeapService:
    """`report` hears of tables and announcements, `show` of the table's expiry (Unix ns). Nothing is told before `load`."""

    def __init__(
        self,
        path: Path | None,
        report: Callable[[Event], None],
        show: Callable[[int], None],
        *,
        clock_ns: Callable[[], int],
    ) -> None:
        self._report = report
        self._show = show
        self._clock_ns = clock_ns
        self._path = path
        self._told: tuple[object, ...] | None = None
        self._next_look_s = float("-inf")
        self._loaded = configured_leap_table(path)
        self._watch = LeapWatch(self._loaded.table)

    def load(self, path: Path | None, targets: Collection[str]) -> None:
        """Read the table again, `path` being the configured one; forget targets other than these."""
        self._path = path
        self._loaded = configured_leap_table(path)
        self._watch.table = self._loaded.table
        self._watch.keep(targets)
        now_ns = self._clock_ns()
        self._show(self._loaded.table.expires_ns)
        found = (self._loaded, self._loaded.table.is_expired(now_ns))
        if found != self._told:
            self._told = found
            self._report(_table_event(self._loaded, now_ns))

    def tick(self, now_s: float, targets: Collection[str]) -> None:
        """Look once a day; `now_s` is monotonic."""
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_EVERY_S
            self.load(self._path, targets)

    def observe(self, records: Sequence[Record]) -> None:
        """Take in what servers announce."""
        for record in records:
            leap = record.fields.get("leap")
            if isinstance(leap, int) and record.measurement == "time_error":
                tags = record.tags
                change = self._watch.observe(tags["target"], tags["protocol"], leap, record.at_ns)
                if change is not None:
                    self._report(
                        _change_event(change, record.at_ns, expired=self._watch.table.is_expired(change.at_ns))
                    )


def _table_event(loaded: LoadedLeapTable, now_ns: int) -> Event:
    expiry = format_utc(loaded.table.expires_ns)
    expired = loaded.table.is_expired(now_ns)
    text = f"leap seconds are known until {expiry[:10]}, from {loaded.source}"
    if expired:
        text += "; that is past: get a new leap-seconds.list from IERS or your system's tzdata"
    text = "; ".join((text, *loaded.problems))
    severity = Severity.WARNING if expired or loaded.problems else Severity.INFO
    return Event("leap_table", now_ns, severity, text, evidence={"source": loaded.source, "expires": expiry})


def _change_event(change: LeapChange, at_ns: int, *, expired: bool) -> Event:
    day = format_utc(change.at_ns - 1)[:10]
    says = f"{change.target} announces {WORDS[change.leap]} at the end of {day}"
    if change.finding is Finding.AGREES:
        return Event(change.finding.value, at_ns, Severity.INFO, f"{says}, as the table has it", change.target)
    why = (
        "the table has expired and cannot tell: get a new one"
        if expired
        else "the table says otherwise: look at its source"
    )
    evidence: dict[str, FieldValue] = {"leap": change.leap, "end_of": day}
    return Event(change.finding.value, at_ns, Severity.WARNING, f"{says}; {why}", change.target, evidence)
