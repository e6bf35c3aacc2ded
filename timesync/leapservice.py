"""The daemon's leap seconds: which table holds, until when, and what servers announce against it.

Rule: the table is looked for at the start, at each reload and once a day, since a system's update brings a new one; what is found
is told when it is another than before, and as a warning where it is expired or damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.leapseconds import configured_leap_table
from timesync.leapwatch import Finding, LeapChange, LeapWatch, SidesWatch
from timesync.model import Event, Severity
from timesync.reasons import Reason
from timesync.scalewatch import ScaleChange, ScaleWatch, UtcOffsetWatch
from timesync.smears import SmearFound, SmearWatch
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from timesync.leapseconds import LoadedLeapTable
    from timesync.model import FieldValue, Record
    from timesync.timescale import LeapTable

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
        self._sides = SidesWatch()
        self._scales = ScaleWatch(self._loaded.table)
        self._offsets = UtcOffsetWatch(self._loaded.table)
        self._smears = SmearWatch(self._loaded.table)

    @property
    def table(self) -> LeapTable:
        """The table in use."""
        return self._loaded.table

    @property
    def disagreements(self) -> Collection[str]:
        """Targets that announce another leap second than the table."""
        return self._watch.disagreements

    @property
    def expires_ns(self) -> int:
        """Until when leap seconds are known, Unix ns."""
        return self._loaded.table.expires_ns

    def load(self, path: Path | None, targets: Collection[str]) -> None:
        """Read the table again, `path` being the configured one; forget targets other than these."""
        self._path = path
        self._loaded = configured_leap_table(path)
        for watch in (self._watch, self._scales, self._offsets, self._smears):
            watch.table = self._loaded.table
            watch.keep(targets)
        self._sides.keep(targets)
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
        now_ns = self._clock_ns()
        if self.table.is_expired(now_ns):
            sides = self._sides.look(now_ns)
            if sides is not None:
                self._report(_sides_event(*sides, now_ns))

    def observe(self, records: Sequence[Record]) -> None:
        """Take in what servers announce, and how far they are from UTC."""
        for record in records:
            if record.measurement != "time_error":
                continue
            fields = record.fields
            leap = fields.get("leap")
            if isinstance(leap, int):
                self._announced(record, leap)
            utc_offset_s = fields.get("utc_offset_s")
            if isinstance(utc_offset_s, int) and fields.get("utc_offset_valid", True):
                wrong = self._offsets.observe(record.tags["target"], utc_offset_s, record.at_ns)
                if wrong is not None:
                    self._report(_offset_event(record.tags["target"], *wrong, record.at_ns))
            self._measured(record)

    def _announced(self, record: Record, leap: int) -> None:
        tags = record.tags
        self._sides.observe(tags["target"], leap, record.at_ns)
        change = self._watch.observe(tags["target"], tags["protocol"], leap, record.at_ns)
        if change is not None:
            self._report(_change_event(change, record.at_ns, expired=self._watch.table.is_expired(change.at_ns)))

    def _measured(self, record: Record) -> None:
        """Against UTC(k); where nobody says what that is, against this machine's clock."""
        fields, target = record.fields, record.tags["target"]
        error_s, bound_s = fields.get("time_error_s"), fields.get("time_error_bound_s")
        if error_s is None and fields.get("claim") == Reason.NO_REFERENCE.value:
            error_s, bound_s = fields.get("offset_s"), fields.get("bound_s")
        if not isinstance(error_s, float) or not isinstance(bound_s, float):
            return
        change = self._scales.observe(target, error_s, bound_s, record.at_ns)
        if change is not None:
            self._report(_scale_event(change, record.at_ns))
        found = self._smears.observe(target, error_s, record.at_ns)
        if found is not None:
            self._report(_smear_event(found, record.at_ns))


def _table_event(loaded: LoadedLeapTable, now_ns: int) -> Event:
    expiry = format_utc(loaded.table.expires_ns)
    expired = loaded.table.is_expired(now_ns)
    text = f"leap seconds are known until {expiry[:10]}, from {loaded.source}"
    if expired:
        text += "; that is past: get a new leap-seconds.list from IERS or your system's tzdata"
    text = "; ".join((text, *loaded.problems))
    severity = Severity.WARNING if expired or loaded.problems else Severity.INFO
    return Event("leap_table", now_ns, severity, text, evidence={"source": loaded.source, "expires": expiry})


def _sides_event(announcing: list[str], silent: list[str], month_end_ns: int, now_ns: int) -> Event:
    day = format_utc(month_end_ns - 1)[:10]
    text = (
        f"a leap second at the end of {day} is announced by {', '.join(announcing)} and not by {', '.join(silent)}; "
        "the table has expired and cannot tell who is right: get a new one"
    )
    evidence: dict[str, FieldValue] = {"members": ",".join(announcing), "witnesses": ",".join(silent), "end_of": day}
    return Event("leap_announced_by_some", now_ns, Severity.WARNING, text, None, evidence)


def _offset_event(target: str, announced_s: int, right_s: int, at_ns: int) -> Event:
    evidence: dict[str, FieldValue] = {"utc_offset_s": announced_s, "right_utc_offset_s": right_s}
    if announced_s == right_s:
        text = f"{target} announces currentUtcOffset {announced_s} s again, as the table has it"
        return Event("utc_offset_right", at_ns, Severity.INFO, text, target, evidence)
    text = (
        f"{target} announces currentUtcOffset {announced_s} s, and TAI - UTC is {right_s} s: clocks that follow it are "
        f"{right_s - announced_s:+d} s off UTC. Correct the master's table of leap seconds"
    )
    return Event("utc_offset_wrong", at_ns, Severity.ERROR, text, target, evidence)


def _scale_event(change: ScaleChange, at_ns: int) -> Event:
    evidence: dict[str, FieldValue] = {"error_s": change.error_s}
    if change.mistake is None:
        text = f"{change.target} is on no wrong time scale any more; it is {change.error_s:+.6f} s off"
        return Event("time_scale_right", at_ns, Severity.INFO, text, change.target, evidence)
    evidence["scale"] = change.mistake.name
    text = f"{change.target} is {change.error_s:+.6f} s off: {change.mistake.text}. Look at how it gets UTC from its source"
    return Event("time_scale_wrong", at_ns, Severity.ERROR, text, change.target, evidence)


def _smear_event(found: SmearFound, at_ns: int) -> Event:
    text = (
        f"{found.target} smears the leap second ({found.smear.name}, {found.rate * 1e6:+.3f} ppm): until it has done it is up to "
        "a second off UTC. Do not mix it with servers that do not smear"
    )
    evidence: dict[str, FieldValue] = {"smear": found.smear.name, "rate": found.rate, "rms_s": found.rms_s}
    return Event("leap_smear", at_ns, Severity.WARNING, text, found.target, evidence)


WHY = {
    Finding.UNKNOWN: "the table says otherwise: look at its source",
    Finding.EARLY: "the table has it for a later month: an indicator speaks of the end of the month (RFC 5905 section 7.3)",
    Finding.LATE: "that is over: the server will take a second too many if it goes on",
    Finding.MISSING: "the table has one: look at its source",
}


def _change_event(change: LeapChange, at_ns: int, *, expired: bool) -> Event:
    day = format_utc(change.at_ns - 1)[:10]
    says = f"{change.target} announces {WORDS[change.leap]} at the end of {day}"
    if change.finding is Finding.AGREES:
        return Event(change.finding.value, at_ns, Severity.INFO, f"{says}, as the table has it", change.target)
    why = "the table has expired and cannot tell: get a new one" if expired else WHY[change.finding]
    evidence: dict[str, FieldValue] = {"leap": change.leap, "end_of": day}
    return Event(change.finding.value, at_ns, Severity.WARNING, f"{says}; {why}", change.target, evidence)
