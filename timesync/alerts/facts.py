"""What alerts are judged by: the present state of a target and of the probe, in plain numbers. None: not known.

Rule: nothing here knows a threshold; each property is one quantity of `signals`, beside the PromQL that says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from timesync.model import Validity

__all__ = ["HOLDOVER_CLASSES", "RENEW_DAYS", "Foreseen", "ProbeFacts", "TargetFacts", "renewal_days"]

DAY_NS = 86_400 * 10**9
RENEW_DAYS = 14

# clockClass of a clock that has lost its source: IEEE 1588-2019 table 4 (7, 14: within specification; 52, 58, 187, 193: beyond it),
# ITU-T G.8275.1 table 2 (135: boundary clock, 140 150 160: grandmaster beyond, 165: boundary clock beyond).
HOLDOVER_CLASSES = (7, 14, 52, 58, 135, 140, 150, 160, 165, 187, 193)


class Foreseen(NamedTuple):
    """What the watch for holdovers says of a target. `to_limit_s`: how long it stays within its own limit, as a first passage with
    the configured confidence; None unless it runs free, which alone the model of a clock foresees.
    """

    coasting: bool
    to_limit_s: float | None = None


@dataclass(slots=True)
class TargetFacts:
    """A target now. `age_intervals` is the age of its newest measurement in poll intervals, `reachability` the measured share of
    the last eight polls; `time_error_s` and `bound_s` are those of a claim that is still news; `claims` whether there is one.
    `carried`: by a reference that is lost, carried on by the probe's clock. `to_limit_s` is how long the limit is kept: of a clock
    that runs free by its model, else by the line through the last hours. `coasting`: it has lost its source, as the watch for
    holdovers sees it.
    """

    name: str
    reference: str | None = None
    is_reference: bool = False
    limit_s: float | None = None
    reachability: float | None = None
    age_intervals: float | None = None
    claims: bool | None = None
    time_error_s: float | None = None
    bound_s: float | None = None
    reason: str = ""
    clock_class: int | None = None
    leap_disagrees: bool = False
    grandmasters: int | None = None
    carried: bool = False
    to_limit_s: float | None = None
    coasting: bool | None = None
    tie_days: float | None = None

    @property
    def why(self) -> str:
        """The particulars, for a person."""
        if self.claims and self.time_error_s is not None and self.bound_s is not None:
            limit = f", limit {self.limit_s:.3g} s" if self.limit_s is not None else ""
            carried = ", carried on since the reference was lost" if self.carried else ""
            return f"time error {self.time_error_s:+.3g} s, bound {self.bound_s:.3g} s{limit}{carried}"
        return self.reason

    @property
    def greatest_ratio(self) -> float | None:
        """(|x| + bound) / limit: the error may be as large as this."""
        if self.limit_s is None or self.time_error_s is None or self.bound_s is None:
            return None
        return (abs(self.time_error_s) + self.bound_s) / self.limit_s

    @property
    def least_ratio(self) -> float | None:
        """(|x| - bound) / limit: the error is no less than this."""
        if self.limit_s is None or self.time_error_s is None or self.bound_s is None:
            return None
        return (abs(self.time_error_s) - self.bound_s) / self.limit_s

    @property
    def hours_to_limit(self) -> float | None:
        """How long the limit is kept, h."""
        if self.limit_s is None or self.to_limit_s is None or self.time_error_s is None:
            return None
        return self.to_limit_s / 3600.0

    @property
    def reference_lost(self) -> float | None:
        """1 for a reference that carries no claim, 0 for one that does; None for other targets."""
        return float(not self.claims) if self.is_reference and self.claims is not None else None

    @property
    def untraceable(self) -> float | None:
        """1 for a target that has a reference and no claim by it."""
        if self.claims is None or self.is_reference or self.reference is None:
            return None
        return float(not self.claims)

    @property
    def in_holdover(self) -> float | None:
        """1 if its clockClass is one of a clock without its source, or if it is seen to coast."""
        if self.clock_class is None and self.coasting is None:
            return None
        return float(self.clock_class in HOLDOVER_CLASSES or self.coasting is True)

    @property
    def leap_trouble(self) -> float:
        """1 if it announces another leap second than the table, or none where there is one."""
        return float(self.leap_disagrees)

    @property
    def grandmaster_changes(self) -> float | None:
        """How many other grandmasters it has had in the last ten minutes."""
        return None if self.grandmasters is None else float(self.grandmasters - 1)


@dataclass(slots=True)
class ProbeFacts:
    """The probe now. `spool_age_s` is the age of the oldest record that is not delivered, `spool_fill` the used share of its limit,
    `clock_steps` how many there were in the last ten minutes; `renewal_days` is the time until the certificate ought to be renewed,
    `disagreement_s` how far apart references are beyond their bounds.
    """

    spool_age_s: float | None = None
    spool_fill: float | None = None
    spool_unwritable: float | None = None
    clock_steps: float = 0.0
    leap_list_days: float | None = None
    renewal_days: float | None = None
    disagreement_s: float | None = None
    why: str = ""


def renewal_days(certificate: Validity, at_ns: int) -> float:
    """Until a certificate ought to be renewed: `RENEW_DAYS` before its end, or with a third of its life to go if that is less."""
    life_ns = certificate.until_ns - certificate.from_ns
    return (certificate.until_ns - at_ns - min(life_ns / 3, RENEW_DAYS * DAY_NS)) / DAY_NS
