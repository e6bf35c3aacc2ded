"""Limits of the time error, by name: what a regulation, a recommendation or a contract asks of a clock.

Rule: a limit is on |target - UTC(k)|, in seconds, and is judged with the bound: an offset within a limit whose bound reaches beyond
it is not known to be within.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROFILES", "Limit", "Verdict", "verdict"]


class Verdict(StrEnum):
    """What can be said of an error whose bound is known: it is within a limit, perhaps beyond, or beyond whatever the path did."""

    WITHIN = "within"
    POSSIBLE = "possible"
    CERTAIN = "certain"


def verdict(error_s: float, bound_s: float, limit_s: float) -> Verdict:
    """Judge an error, s, by its bound and a limit, s: |x| - bound > limit is certainly beyond, |x| + bound > limit perhaps."""
    if abs(error_s) - bound_s > limit_s:
        return Verdict.CERTAIN
    return Verdict.POSSIBLE if abs(error_s) + bound_s > limit_s else Verdict.WITHIN


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of |target - UTC(k)|, s; `source` is where it is written."""

    name: str
    error_s: float
    source: str = "this configuration"


_TABLE = (
    Limit("cat-50ms", 50e-3, "SEC Rule 613 (CAT NMS Plan, section 6.8): 50 ms from NIST's time"),
    Limit("rts25-100us", 100e-6, "MiFID II RTS 25 (Delegated Regulation (EU) 2017/574), table 1: 100 us from UTC"),
    Limit("g8271-class4", 1.5e-6, "ITU-T G.8271, table 1, class 4: 1.5 us"),
    Limit("iec61850-9-3", 1e-6, "IEC/IEEE 61850-9-3: 1 us from the reference"),
    Limit("g8272-prtc-a", 100e-9, "ITU-T G.8272, PRTC-A: 100 ns"),
    Limit("prtc-b", 40e-9, "ITU-T G.8272, PRTC-B: 40 ns"),
    Limit("utck-100ns", 100e-9, "the CCTF's aim for a UTC(k): within 100 ns of UTC"),
)

PROFILES: Mapping[str, Limit] = {limit.name: limit for limit in _TABLE}
"""The limits that come with timesync; a configuration adds its own by [[limit]]."""
