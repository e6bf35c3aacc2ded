"""Why there is no value: the closed vocabulary of reasons, each with its meaning and its remedy.

Rule: a missed reply, a refusal or a missing reference is data with a name from this table, never a sentinel number
and never a gap without a name. The names are stable: they are stored, exported as label values and alerted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["REASONS", "Meaning", "Reason", "Whose"]


class Whose(StrEnum):
    """Where a reason points: who has to act on it."""

    NETWORK = "network"
    SERVER = "server"
    PROBE = "probe"
    REFERENCE = "reference"
    CONFIGURATION = "configuration"


class Reason(StrEnum):
    """Why a poll gave no measurement, or a measurement no UTC(k) claim."""

    # Nothing came back.
    TIMEOUT = "timeout"
    PORT_UNREACHABLE = "port_unreachable"
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    SEND_FAILED = "send_failed"
    NAME_NOT_RESOLVED = "name_not_resolved"
    INTERLEAVED_BROKEN = "interleaved_broken"
    # Something came back that is not an answer to what was asked.
    TOO_SHORT = "too_short"
    MALFORMED = "malformed"
    WRONG_SOURCE = "wrong_source"
    WRONG_VERSION = "wrong_version"
    WRONG_MODE = "wrong_mode"
    WRONG_ORIGIN = "wrong_origin"
    DUPLICATE = "duplicate"
    LATE = "late"
    MISSING_MAC = "missing_mac"
    BAD_MAC = "bad_mac"
    CRYPTO_NAK = "crypto_nak"
    # No PTP master, or one that is heard and could not be measured.
    NO_MASTER = "no_master"
    TOO_MANY_MASTERS = "too_many_masters"
    NO_SYNC = "no_sync"
    NO_FOLLOW_UP = "no_follow_up"
    NO_DELAY_RESPONSE = "no_delay_response"
    # The server answered, and its answer cannot be used.
    KISS_RATE = "kiss_rate"
    KISS_DENY = "kiss_deny"
    KISS_RSTR = "kiss_rstr"
    KISS_OTHER = "kiss_other"
    UNSYNCHRONISED = "unsynchronised"
    STRATUM_UNSPECIFIED = "stratum_unspecified"
    STRATUM_UNSYNCHRONISED = "stratum_unsynchronised"
    ZERO_TIMESTAMP = "zero_timestamp"
    TRANSMIT_BEFORE_RECEIVE = "transmit_before_receive"
    IMPOSSIBLE_DELAY = "impossible_delay"
    # Not asked at all, or not waited for.
    ASSOCIATION_ENDED = "association_ended"
    STOPPED_BY_SERVER = "stopped_by_server"
    HELD_BY_RATE = "held_by_rate"
    PROBE_OVERLOADED = "probe_overloaded"
    PROBE_FAILED = "probe_failed"
    # The probe's own clock moved under the measurement.
    CLOCK_STEPPED = "clock_stepped"
    # Measured, but no claim against UTC(k).
    ARBITRARY_TIMESCALE = "arbitrary_timescale"
    NO_REFERENCE = "no_reference"
    REFERENCE_PENDING = "reference_pending"
    REFERENCE_STALE = "reference_stale"
    REFERENCE_EXPIRED = "reference_expired"
    REFERENCE_OUTVOTED = "reference_outvoted"
    LOCAL_CLOCK_STEPPED = "local_clock_stepped"
    LINK_MISSING = "link_missing"
    LINK_STALE = "link_stale"
    LINK_NOT_YET_VALID = "link_not_yet_valid"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means and what to do about it, for the operator at 3 a.m."""

    whose: Whose
    text: str
    remedy: str


_N, _S, _P, _R, _C = Whose.NETWORK, Whose.SERVER, Whose.PROBE, Whose.REFERENCE, Whose.CONFIGURATION

REASONS: dict[Reason, Meaning] = {
    Reason.TIMEOUT: Meaning(_N, "no reply within the time-out", "check the path and that the server runs"),
    Reason.PORT_UNREACHABLE: Meaning(
        _S, "the host says that nothing listens there", "start the server, check the port"
    ),
    Reason.HOST_UNREACHABLE: Meaning(
        _N, "a router says that the host cannot be reached", "check the route and firewall"
    ),
    Reason.NETWORK_UNREACHABLE: Meaning(_N, "no route to the network", "check the probe's routes and interface"),
    Reason.SEND_FAILED: Meaning(_P, "the probe could not send", "read the detail; check interface and permissions"),
    Reason.NAME_NOT_RESOLVED: Meaning(_N, "the name does not resolve", "check the name and the resolver"),
    Reason.INTERLEAVED_BROKEN: Meaning(
        _S, "the server left interleaved mode before it told when it sent", "none, unless it repeats: set mode = basic"
    ),
    Reason.TOO_SHORT: Meaning(_S, "the reply is shorter than an NTP header", "find out what answers on that port"),
    Reason.MALFORMED: Meaning(_S, "the reply's extension fields or MAC cannot be read", "check what answers there"),
    Reason.WRONG_SOURCE: Meaning(_N, "a reply came from another address or port", "look for NAT, anycast or forgery"),
    Reason.WRONG_VERSION: Meaning(_S, "the reply has a version that was not asked for", "check the server"),
    Reason.WRONG_MODE: Meaning(_S, "the reply is not in server mode", "check the server; look for a loop or forgery"),
    Reason.WRONG_ORIGIN: Meaning(_N, "the reply does not echo our nonce", "look for forgery or a broken server"),
    Reason.DUPLICATE: Meaning(_N, "a reply came twice", "look for a duplicating path or a replay"),
    Reason.LATE: Meaning(_N, "a reply came after its time-out", "raise the time-out, or look at the path's queues"),
    Reason.MISSING_MAC: Meaning(
        _S, "a key is configured and the reply carries no MAC", "install the key on the server"
    ),
    Reason.BAD_MAC: Meaning(_S, "the reply's MAC does not verify", "compare the keys; look for forgery"),
    Reason.CRYPTO_NAK: Meaning(_S, "the server rejects our key", "compare key number, type and secret"),
    Reason.NO_MASTER: Meaning(
        _S, "no PTP master is heard in the domain", "check domain, transport and interface; see that a master is there"
    ),
    Reason.TOO_MANY_MASTERS: Meaning(
        _N, "more PTP ports are heard than are followed", "look for forged messages; keep networks apart"
    ),
    Reason.NO_SYNC: Meaning(_S, "the master is heard, but sends no Sync", "look at the master's port state"),
    Reason.NO_FOLLOW_UP: Meaning(
        _N, "two-step Syncs come without their Follow_Up", "look for loss of port 320 traffic"
    ),
    Reason.NO_DELAY_RESPONSE: Meaning(
        _S, "neither the master nor our peer answers our question", "check delay mechanism and filters"
    ),
    Reason.KISS_RATE: Meaning(_S, "the server asks us to slow down", "raise the interval"),
    Reason.KISS_DENY: Meaning(_S, "the server denies access", "ask its operator for access"),
    Reason.KISS_RSTR: Meaning(_S, "the server restricts access", "ask its operator for access"),
    Reason.KISS_OTHER: Meaning(_S, "the server sent another kiss code", "look the code up in RFC 5905 section 7.4"),
    Reason.UNSYNCHRONISED: Meaning(
        _S, "leap indicator 3: the server is not synchronised", "look at the server's source"
    ),
    Reason.STRATUM_UNSPECIFIED: Meaning(_S, "stratum 0 without a kiss code", "look at the server's source"),
    Reason.STRATUM_UNSYNCHRONISED: Meaning(_S, "stratum 16 or above: not synchronised", "look at the server's source"),
    Reason.ZERO_TIMESTAMP: Meaning(_S, "a timestamp of the reply is zero", "check the server"),
    Reason.TRANSMIT_BEFORE_RECEIVE: Meaning(_S, "the server sent before it received", "its clock stepped, or is faked"),
    Reason.IMPOSSIBLE_DELAY: Meaning(_S, "the server held the packet longer than the round trip", "its clock is unfit"),
    Reason.ASSOCIATION_ENDED: Meaning(
        _P, "the target was closed, or moved to another address, before its reply was complete", "none"
    ),
    Reason.STOPPED_BY_SERVER: Meaning(_S, "not asked: the server told us to go away", "ask its operator for access"),
    Reason.HELD_BY_RATE: Meaning(_S, "not asked: the server wants a slower pace", "raise the interval"),
    Reason.PROBE_OVERLOADED: Meaning(
        _P, "not asked: the probe was behind its schedule", "fewer targets or a faster CPU"
    ),
    Reason.PROBE_FAILED: Meaning(_P, "the instrument raised an error", "read the probe's log"),
    Reason.CLOCK_STEPPED: Meaning(
        _P, "the probe's clock was stepped, or its machine slept, during the exchange", "find what sets the clock"
    ),
    Reason.ARBITRARY_TIMESCALE: Meaning(
        _S,
        "the master does not say how its time scale relates to UTC",
        "let it announce ptpTimescale and currentUtcOffsetValid, or declare it by the option timescale",
    ),
    Reason.NO_REFERENCE: Meaning(_C, "no reference is configured for this target", "name a reference for it"),
    Reason.REFERENCE_PENDING: Meaning(
        _R, "it waited for its reference when the probe ended", "none: the probe was killed"
    ),
    Reason.REFERENCE_STALE: Meaning(_R, "no fresh measurement of the reference", "see the reference's own losses"),
    Reason.REFERENCE_EXPIRED: Meaning(_R, "the reference's tie to UTC(k) is no longer valid", "renew its calibration"),
    Reason.REFERENCE_OUTVOTED: Meaning(
        _R, "most other references say that it is wrong", "look at it, and at the differences between the references"
    ),
    Reason.LOCAL_CLOCK_STEPPED: Meaning(
        _R,
        "the host clock, declared as the reference, was stepped, or its machine slept, less than settle_s ago",
        "find what sets the clock; the claims come back by themselves",
    ),
    Reason.LINK_MISSING: Meaning(
        _R, "the reference's link to UTC(k) has no result yet", "see that its files or its laboratory's server come"
    ),
    Reason.LINK_STALE: Meaning(
        _R, "the newest result of the reference's link to UTC(k) is too old", "see why its data come no more"
    ),
    Reason.LINK_NOT_YET_VALID: Meaning(
        _C, "the calibration of the reference's link is dated later than the measurement", "correct calibrated_at"
    ),
}
