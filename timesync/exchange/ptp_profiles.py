"""PTP profiles as an observer needs them: what is set where nothing else is said, what is to be announced, who is better. Pure.

Rule: a profile only sets what a person may also set by hand, and what a master announces against it is told, not refused: it is
measured all the same.

Sources: IEEE 1588-2019 clause 9.3.4 (figures 34, 35) and annex I.3; IEEE 802.1AS-2020 clauses 8.1, 10.3.5, 11.2.17; ITU-T G.8275.1
(2020) clauses 6.2.1 (domains 24 to 43), 6.2.7 and 6.3 (alternate BMCA, figure 1; priority1 128), annex A (clockClass), and G.8275.2
(2020) clauses 6.2 (domains 44 to 63), 6.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.wire.ptp.header import PortIdentity
    from timesync.wire.ptp.message import Announce

__all__ = ["PROFILES", "Profile", "default_rank", "telecom_rank"]

# A clockClass above this cannot be a grandmaster that is locked or within its holdover specification (G.8275.1 figure 1).
LAST_MASTER_CLASS = 127
TELECOM_CLASSES = frozenset({6, 7, 135, 140, 150, 160, 165, 248, 255})
TELECOM_PRIORITY1 = 128
# IEEE 802.1AS-2020 clause 8.6.2.1: priority1 of 255 is not grandmaster-capable.
NOT_CAPABLE = 255


def default_rank(announce: Announce, sender: PortIdentity) -> tuple[int, ...]:
    """The order of the data set comparison (clause 9.3.4, figure 34, then 35): the smallest is best.

    For an observer without a port of its own the topology's last comparison is by the sender's identity.
    """
    return (
        announce.priority1,
        announce.clock_class,
        announce.clock_accuracy,
        announce.offset_scaled_log_variance,
        announce.priority2,
        announce.grandmaster,
        announce.steps_removed,
        sender.clock,
        sender.port,
    )


def telecom_rank(announce: Announce, sender: PortIdentity) -> tuple[int, ...]:
    """The alternate best-master algorithm of G.8275.1 and G.8275.2: no priority1, and of grandmasters that are as good the nearer.

    localPriority is the receiving port's own and the same for all here. (G.8275.1 clause 6.3.7, figure 1.)
    """
    grandmaster = 0 if announce.clock_class <= LAST_MASTER_CLASS else announce.grandmaster
    return (
        announce.clock_class,
        announce.clock_accuracy,
        announce.offset_scaled_log_variance,
        announce.priority2,
        grandmaster,
        announce.steps_removed,
        sender.clock,
        sender.port,
    )


def _nothing(_domain: int, _announce: Announce) -> Sequence[str]:
    return ()


def _telecom(domains: range) -> Callable[[int, Announce], Sequence[str]]:
    def deviations(domain: int, announce: Announce) -> Sequence[str]:
        found = []
        if domain not in domains:
            found.append(f"domain {domain} is not one of {domains.start} to {domains.stop - 1}")
        if announce.priority1 != TELECOM_PRIORITY1:
            found.append(f"priority1 {announce.priority1} is not {TELECOM_PRIORITY1}")
        if announce.clock_class not in TELECOM_CLASSES:
            found.append(f"clockClass {announce.clock_class} is none of the profile's")
        return found

    return deviations


def _gptp(_domain: int, announce: Announce) -> Sequence[str]:
    if announce.priority1 == NOT_CAPABLE:
        return (f"priority1 {NOT_CAPABLE} is for clocks that cannot be grandmaster",)
    return ()


@dataclass(frozen=True, slots=True)
class Profile:
    """`options` are those of a target where it does not set them itself; `deviations` says what an Announce has against it."""

    title: str
    options: Mapping[str, Any]
    rank: Callable[[Announce, PortIdentity], tuple[int, ...]] = default_rank
    deviations: Callable[[int, Announce], Sequence[str]] = _nothing


PROFILES: Mapping[str, Profile] = {
    "default": Profile("IEEE 1588 default", {}),
    "gptp": Profile(
        "IEEE 802.1AS (gPTP)",
        {"transport": "l2", "delay": "p2p", "major_sdo_id": 1, "answer_peers": True},
        deviations=_gptp,
    ),
    "g8275.1": Profile("ITU-T G.8275.1", {"transport": "l2", "domain": 24}, telecom_rank, _telecom(range(24, 44))),
    "g8275.2": Profile("ITU-T G.8275.2", {"domain": 44}, telecom_rank, _telecom(range(44, 64))),
}
"""By the name that a target's option `profile` has."""
