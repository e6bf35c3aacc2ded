"""UTC - UTC(k) at any instant, from what has been published: interpolated between dates, predicted past the last one.

Rule: every answer says what it is: `final` (Circular T on both sides), `rapid` (UTCr), `predicted` (past the last date) or
`unavailable`. Its standard uncertainty is that of the publication and that of getting from the dates to the instant, kept apart;
where nothing is published about uncertainty there is none here. There is no hard bound: the BIPM publishes none.

Between dates d1 before and d2 after (days) the value is on the straight line, with u = s_d sqrt(d1 d2 / (d1 + d2)), the Brownian
bridge of white FM. Past the last date it follows the mean rate of the last `RATE_DAYS` days T, with
u^2 = s_d^2 d + (s_d^2 / T) d^2, the walk since and the rate's own uncertainty. s_d is 2 ns / sqrt(day), that of a commercial
caesium clock, or what the published dates themselves show if that is more.

Sources: Circular T explanatory supplement; G. Panfilo and E. F. Arias, "The Coordinated Universal Time (UTC)", Metrologia 56 (2019)
(u of interpolation is a property of the clock behind UTC(k)); JCGM 100:2008 section 5.1.2.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import fsum, hypot, sqrt
from typing import TYPE_CHECKING, NamedTuple

from timesync.timescale import NS_PER_DAY, mjd_to_unix_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "UNAVAILABLE",
    "Label",
    "Published",
    "Segment",
    "UtcBook",
    "UtcEstimate",
    "UtcTable",
    "laboratory",
    "realisation",
]

NS = 1e-9
WALK_S = 2.0 * NS  # per sqrt(day): a 5071A
RATE_DAYS = 20  # the span behind a prediction's rate
PREDICT_DAYS = 70  # longer than an issue can be late: its month, and ten days of the next, and a month more
LONGEST_GAP_DAYS = 15  # dates further apart than this are not joined: two in a row are absent
LONGEST_RAPID_GAP_DAYS = 5
RAPID_U_S = 2.0 * NS  # how closely UTCr follows UTC (BIPM)


class Label(StrEnum):
    """What an estimate of UTC - UTC(k) rests on."""

    FINAL = "final"
    RAPID = "rapid"
    PREDICTED = "predicted"
    UNAVAILABLE = "unavailable"


class Published(NamedTuple):
    """One published value of one laboratory: UTC - UTC(k) at 0h UTC of a date, s, with its u (k = 1), or None."""

    mjd: int
    value_s: float
    u_s: float | None
    rapid: bool
    issue: str


class UtcEstimate(NamedTuple):
    """UTC - UTC(k) at an instant, s. `u_s` is the publication's, `u_interpolation_s` that of getting to the instant."""

    label: Label
    value_s: float = 0.0
    u_s: float | None = None
    u_interpolation_s: float = 0.0
    issue: str = ""

    @property
    def total_u_s(self) -> float | None:
        """Both together; None where the publication has none."""
        return None if self.u_s is None else hypot(self.u_s, self.u_interpolation_s)


UNAVAILABLE = UtcEstimate(Label.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch on which the estimate is one formula: start_ns <= t < end_ns (Unix ns).

    value = value_s + rate * (t - start); u_interpolation is a bridge over `span_days`, or with `rate_days` an open prediction.
    """

    start_ns: int
    end_ns: int
    value_s: float
    rate: float
    u_s: float | None
    walk_s: float
    label: Label
    issue: str
    rate_days: float = 0.0

    def at(self, at_ns: int) -> UtcEstimate:
        """The estimate at an instant of this stretch."""
        elapsed_ns = at_ns - self.start_ns
        days = elapsed_ns / NS_PER_DAY
        if self.rate_days:
            walk = sqrt(days + days * days / self.rate_days)
        else:
            walk = sqrt(max(0.0, days * (self.end_ns - at_ns) / (self.end_ns - self.start_ns)))
        value_s = self.value_s + self.rate * elapsed_ns * 1e-9
        return UtcEstimate(self.label, value_s, self.u_s, self.walk_s * walk, self.issue)


class UtcTable:
    """One laboratory's UTC - UTC(k). `values` in any order; of two for one date and kind the later in order counts."""

    def __init__(self, lab: str, values: Iterable[Published]) -> None:
        self.lab = lab
        final: dict[int, Published] = {}
        rapid: dict[int, Published] = {}
        for each in values:
            (rapid if each.rapid else final)[each.mjd] = each
        self.segments: tuple[Segment, ...] = tuple(_segments(_sorted(final), _sorted(rapid)))
        self.newest: tuple[Published, ...] = tuple(kind[max(kind)] for kind in (final, rapid) if kind)
        self._starts = [segment.start_ns for segment in self.segments]
        self._current: Segment | None = None

    def segment(self, at_ns: int) -> Segment | None:
        """The stretch that an instant lies on."""
        index = bisect_right(self._starts, at_ns) - 1
        if index < 0 or at_ns >= self.segments[index].end_ns:
            return None
        return self.segments[index]

    def at(self, at_ns: int) -> UtcEstimate:
        """UTC - UTC(k) at an instant (Unix ns)."""
        current = self._current
        if current is None or not current.start_ns <= at_ns < current.end_ns:
            current = self._current = self.segment(at_ns)
        return UNAVAILABLE if current is None else current.at(at_ns)


def _sorted(values: dict[int, Published]) -> list[Published]:
    return [values[mjd] for mjd in sorted(values)]


def _segments(final: Sequence[Published], rapid: Sequence[Published]) -> Iterable[Segment]:
    walk_s = _walk_s(final)
    u_s = next((each.u_s for each in reversed(final) if each.u_s is not None), None)
    last_final = final[-1].mjd if final else -1
    rapid = [
        each._replace(u_s=None if u_s is None else hypot(u_s, RAPID_U_S)) for each in rapid if each.mjd > last_final
    ]
    # A rapid value leads on from the last final one.
    later = [*final[-1:], *rapid] if rapid and rapid[0].mjd - last_final <= LONGEST_RAPID_GAP_DAYS else rapid
    yield from _bridges(final, Label.FINAL, walk_s, LONGEST_GAP_DAYS)
    yield from _bridges(later, Label.RAPID, walk_s, LONGEST_RAPID_GAP_DAYS)
    if final or rapid:
        yield _prediction([*final, *rapid], walk_s)


def _bridges(values: Sequence[Published], label: Label, walk_s: float, longest_days: int) -> Iterable[Segment]:
    for one, other in pairwise(values):
        if other.mjd - one.mjd <= longest_days:
            rate = (other.value_s - one.value_s) / ((other.mjd - one.mjd) * 86_400.0)
            # The later issue may state another u; in between the greater counts.
            u_s = None if one.u_s is None or other.u_s is None else max(one.u_s, other.u_s)
            start_ns, end_ns = mjd_to_unix_ns(one.mjd), mjd_to_unix_ns(other.mjd)
            yield Segment(start_ns, end_ns, one.value_s, rate, u_s, walk_s, label, other.issue)


def _prediction(values: Sequence[Published], walk_s: float) -> Segment:
    last = values[-1]
    first = next(each for each in values if last.mjd - each.mjd <= RATE_DAYS)
    days = last.mjd - first.mjd
    rate = (last.value_s - first.value_s) / (days * 86_400.0) if days else 0.0
    start_ns = mjd_to_unix_ns(last.mjd)
    end_ns = start_ns + PREDICT_DAYS * NS_PER_DAY
    # A single date says nothing of a rate: one as uncertain as that of the shortest span.
    return Segment(start_ns, end_ns, last.value_s, rate, last.u_s, walk_s, Label.PREDICTED, last.issue, days or 5.0)


def _walk_s(final: Sequence[Published]) -> float:
    """s per sqrt(day): the scatter of the rates from date to date, or that of a caesium clock if that is more."""
    pairs = [(two.mjd - one.mjd, two.value_s - one.value_s) for one, two in pairwise(final)][-12:]
    pairs = [(days, change) for days, change in pairs if days <= LONGEST_GAP_DAYS]
    if len(pairs) < 3:
        return WALK_S
    rate = fsum(change for _, change in pairs) / fsum(days for days, _ in pairs)
    square = fsum((change - rate * days) ** 2 / days for days, change in pairs) / (len(pairs) - 1)
    return max(WALK_S, sqrt(square))


class UtcBook:
    """UTC - UTC(k) of every laboratory that is known, by the name of its realisation: "UTC(NIM)"."""

    def __init__(self, tables: Mapping[str, UtcTable] | None = None) -> None:
        """`tables` by the laboratory's code."""
        self._tables = {realisation(lab): table for lab, table in (tables or {}).items()}

    def replace(self, tables: Mapping[str, UtcTable]) -> None:
        """Other values have been published: they count from now on."""
        self._tables = {realisation(lab): table for lab, table in tables.items()}

    def newest(self) -> list[tuple[str, str, str, int]]:
        """Of each laboratory and publication ("circular_t", "utcr"): laboratory, publication, issue, newest date (Unix ns)."""
        return [
            (table.lab, "utcr" if each.rapid else "circular_t", each.issue, mjd_to_unix_ns(each.mjd))
            for table in self._tables.values()
            for each in table.newest
        ]

    def at(self, realises: str, at_ns: int) -> UtcEstimate:
        """UTC - UTC(k) at an instant (Unix ns)."""
        table = self._tables.get(realises)
        return UNAVAILABLE if table is None else table.at(at_ns)


def realisation(lab: str) -> str:
    """ "UTC(NIM)" of "NIM"."""
    return f"UTC({lab})"


def laboratory(realises: str) -> str:
    """ "NIM" of "UTC(NIM)"."""
    return realises.removeprefix("UTC(").removesuffix(")")
