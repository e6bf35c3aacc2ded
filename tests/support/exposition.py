"""What an exposition is fed in tests and benchmarks: a whole row by hand, and a tally by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timesync.model import FieldValue
    from timesync.reasons import Reason

__all__ = ["ROW", "Counted"]

ROW: dict[str, FieldValue] = {
    "offset_s": 1.25e-6,
    "bound_s": 2e-4,
    "delay_s": 3.5e-4,
    "time_error_s": -2.5e-7,
    "time_error_bound_s": 3e-4,
    "time_error_u_s": 4e-5,
    "utc_minus_x_s": 2.6e-7,
    "utc_minus_x_u_s": 4e-5,
    "claim": "valid",
    "realises": "UTC(NIM)",
    "root_delay_s": 0.001,
    "root_dispersion_s": 0.002,
    "stratum": 1,
    "leap": 0,
    "timestamping": "kernel",
    "mode": "basic",
    "authenticated": False,
    "clock_epoch": 0,
}
"""The fields of a `time_error` record of an NTP server."""


@dataclass
class Counted:
    """A tally by hand; `register` holds the last eight polls, 1: measured."""

    polls: int = 0
    replies: int = 0
    register: int = 0
    losses: Counter[Reason] = field(default_factory=Counter)
