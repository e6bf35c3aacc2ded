"""What a PTP master's Announce says: its facts, and how its time is read as UTC. Pure.

Rule: UTC comes from a master's own currentUtcOffset only where it says that the offset is valid and its scale is PTP's; otherwise
from what the operator declared; otherwise not at all, and then nothing is claimed.

Sources: IEEE 1588-2019 clause 7.2.4 (time scales), 7.6.2.6 (table 5, clockAccuracy), 13.3.2.8 (flags), 13.5.2 (Announce).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from timesync.model import PtpFacts
from timesync.reasons import Reason
from timesync.wire.ptp.header import Flag, identity_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.exchange.ptp_master import MasterKey
    from timesync.timescale import LeapTable
    from timesync.wire.ptp.message import Announce
    from timesync.wire.ptp.tlv import FollowUpInformation

__all__ = ["CLOCK_ACCURACY_S", "DECLARATIONS", "Reading", "facts_of", "leap_of", "reading_of"]

CLOCK_ACCURACY_S: Mapping[int, float] = dict(
    zip(
        range(0x17, 0x31),
        (
            *(1e-12, 2.5e-12, 10e-12, 25e-12, 100e-12, 250e-12),
            *(1e-9, 2.5e-9, 10e-9, 25e-9, 100e-9, 250e-9),
            *(1e-6, 2.5e-6, 10e-6, 25e-6, 100e-6, 250e-6),
            *(1e-3, 2.5e-3, 10e-3, 25e-3, 100e-3, 250e-3),
            *(1.0, 10.0),
        ),
        strict=True,
    )
)
"""clockAccuracy -> the error is within so many seconds; 0x31 (more than 10 s), 0xFE (unknown) and others name no limit."""

DECLARATIONS = ("announced", "utc", "tai")
"""What an operator may say of a master whose scale is arbitrary: nothing, or that it is UTC or TAI."""


class Reading(NamedTuple):
    """How a master's time is read: its scale, what is subtracted for UTC, and why nothing can be claimed (None: it can)."""

    timescale: str
    tai_minus_utc_ns: int
    no_claim: Reason | None


def reading_of(announce: Announce | None, flags: int, declared: str, leaps: LeapTable, at_ns: int) -> Reading:
    """How to read the time of a master at an instant (Unix ns) near `at_ns`."""
    known = Flag.CURRENT_UTC_OFFSET_VALID | Flag.PTP_TIMESCALE
    if announce is not None and flags & known == known:
        return Reading("ptp", announce.current_utc_offset_s * 1_000_000_000, None)
    if declared == "utc":
        return Reading("utc", 0, None)
    if declared == "tai":
        return Reading("tai", leaps.tai_minus_utc_s(at_ns) * 1_000_000_000, None)
    return Reading("arbitrary", 0, Reason.ARBITRARY_TIMESCALE)


def facts_of(
    key: MasterKey,
    announce: Announce | None,
    flags: int,
    timescale: str,
    *,
    two_step: bool | None,
    information: FollowUpInformation | None = None,
    neighbor_rate_offset: float | None = None,
) -> PtpFacts:
    """The facts for a row; without an Announce only who it is. `information` is a gPTP master's."""
    if announce is None:
        return PtpFacts(str(key.port), key.domain, timescale, two_step)
    return PtpFacts(
        str(key.port),
        key.domain,
        timescale,
        two_step,
        announce.clock_class,
        announce.clock_accuracy,
        CLOCK_ACCURACY_S.get(announce.clock_accuracy),
        announce.offset_scaled_log_variance,
        announce.priority1,
        announce.priority2,
        identity_text(announce.grandmaster),
        announce.steps_removed,
        announce.time_source,
        announce.current_utc_offset_s,
        bool(flags & Flag.CURRENT_UTC_OFFSET_VALID),
        bool(flags & Flag.TIME_TRACEABLE),
        bool(flags & Flag.FREQUENCY_TRACEABLE),
        leap_of(flags),
        None if information is None else information.gm_time_base_indicator,
        None if information is None else information.last_gm_phase_change_s,
        None if information is None else information.last_gm_freq_change,
        None if information is None else information.rate_ratio - 1.0,
        neighbor_rate_offset,
    )


def leap_of(flags: int) -> int:
    """NTP's leap indicator for leap61 and leap59: 1 a second is inserted, 2 one is deleted, 0 neither."""
    if flags & Flag.LEAP_61:
        return 1
    return 2 if flags & Flag.LEAP_59 else 0
