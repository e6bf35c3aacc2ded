"""What can be wrong with the PTP and NTP messages of a capture: a closed list of names, each with its meaning and its remedy.

Rule: a fault is what a standard forbids or what costs measurements; a notice is what an operator would want to know. Names are
stable: scripts judge by them. What was found is counted by name and by whom it concerns, with its first and last instant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["MEANINGS", "Finding", "FindingName", "Findings", "Meaning", "Severity"]

LIMIT = 4096
DETAILS = 160


class Severity(StrEnum):
    """How much a finding weighs."""

    FAULT = "fault"
    NOTICE = "notice"


class FindingName(StrEnum):
    """The names of what can be found."""

    # Octets.
    MALFORMED = "malformed"
    OLD_VERSION = "old_version"
    CUT_OFF = "cut_off"
    FRAGMENT = "fragment"
    UNKNOWN_MESSAGE_TYPE = "unknown_message_type"
    UNKNOWN_TLV = "unknown_tlv"
    INVALID_TIMESTAMP = "invalid_timestamp"
    RESERVED_FLAGS = "reserved_flags"
    FLAG_OCTETS_SWAPPED = "flag_octets_swapped"
    TWO_STEP_FLAG_MISSING = "two_step_flag_missing"
    LEAP_FLAGS_CONTRADICT = "leap_flags_contradict"
    # Sequences and rates.
    LOST = "lost"
    REPEATED = "repeated"
    SEQUENCE_REUSED = "sequence_reused"
    OUT_OF_ORDER = "out_of_order"
    SEQUENCE_JUMP = "sequence_jump"
    INTERVAL_NOT_AS_ANNOUNCED = "interval_not_as_announced"
    INTERVAL_NOT_ANNOUNCED = "interval_not_announced"
    FOLLOW_UP_MISSING = "follow_up_missing"
    FOLLOW_UP_WITHOUT_SYNC = "follow_up_without_sync"
    FOLLOW_UP_BEFORE_SYNC = "follow_up_before_sync"
    # Questions and answers.
    REQUEST_UNANSWERED = "request_unanswered"
    RESPONSE_WITHOUT_REQUEST = "response_without_request"
    RESPONSE_REPEATED = "response_repeated"
    IMPOSSIBLE_DELAY = "impossible_delay"
    UNICAST_REFUSED = "unicast_refused"
    # Masters.
    SEVERAL_MASTERS = "several_masters"
    MASTER_SILENT = "master_silent"
    SYNC_WITHOUT_ANNOUNCE = "sync_without_announce"
    MASTER_CHANGED = "master_changed"
    UTC_OFFSET_WRONG = "utc_offset_wrong"
    SCALE_NOT_AS_ANNOUNCED = "scale_not_as_announced"
    # NTP.
    KISS = "kiss"
    UNSYNCHRONISED = "unsynchronised"
    ZERO_TIMESTAMP = "zero_timestamp"
    TRANSMIT_BEFORE_RECEIVE = "transmit_before_receive"
    WRONG_ORIGIN = "wrong_origin"
    CRYPTO_NAK = "crypto_nak"
    # The capture.
    CAPTURE_TIME_BACKWARDS = "capture_time_backwards"
    CAPTURE_LOST = "capture_lost"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a finding weighs, what it means, and what to do."""

    severity: Severity
    text: str
    remedy: str


_F, _N = Severity.FAULT, Severity.NOTICE
_L = FindingName
MEANINGS: dict[FindingName, Meaning] = {
    _L.MALFORMED: Meaning(_F, "a message that cannot be read", "read the detail; find out what sends it"),
    _L.OLD_VERSION: Meaning(_N, "PTP of another version than 2", "it is not read; keep it off this network"),
    _L.CUT_OFF: Meaning(_N, "the capture kept too few octets of a message", "capture with a longer snaplen"),
    _L.FRAGMENT: Meaning(_N, "a fragmented UDP datagram, which is not put together", "PTP and NTP need no fragments"),
    _L.UNKNOWN_MESSAGE_TYPE: Meaning(_N, "a message type that IEEE 1588-2019 reserves", "find out what sends it"),
    _L.UNKNOWN_TLV: Meaning(_N, "a TLV type that IEEE 1588-2019 does not name", "a receiver passes over it"),
    _L.INVALID_TIMESTAMP: Meaning(_F, "a timestamp with a second or more of nanoseconds", "repair the sender (5.3.3)"),
    _L.RESERVED_FLAGS: Meaning(_N, "flags are set that IEEE 1588-2019 reserves", "see the sender's profile"),
    _L.FLAG_OCTETS_SWAPPED: Meaning(_F, "the two octets of the flags are interchanged", "repair the sender (13.3.2.8)"),
    _L.TWO_STEP_FLAG_MISSING: Meaning(_F, "a one-step Sync that a Follow_Up follows", "repair the sender (13.3.2.8)"),
    _L.LEAP_FLAGS_CONTRADICT: Meaning(_F, "a second is to be inserted and to be deleted", "repair the master"),
    _L.LOST: Meaning(
        _F, "numbers of a sequence are missing", "look for loss before the capture point, or in the capture"
    ),
    _L.REPEATED: Meaning(_F, "the same message came twice", "look for a loop, a mirror of both directions, or PRP"),
    _L.SEQUENCE_REUSED: Meaning(
        _F, "another message with a number that was used just before", "repair the sender (7.3.7)"
    ),
    _L.OUT_OF_ORDER: Meaning(_N, "a message came after its successor", "look for several paths"),
    _L.SEQUENCE_JUMP: Meaning(
        _F, "numbers began anew, or jumped farther than time explains", "was the sender restarted?"
    ),
    _L.INTERVAL_NOT_AS_ANNOUNCED: Meaning(
        _F, "the mean interval is more than 30 % from what the messages announce", "see the sender's settings and load"
    ),
    _L.INTERVAL_NOT_ANNOUNCED: Meaning(_N, "a multicast message that does not tell its interval", "repair the sender"),
    _L.FOLLOW_UP_MISSING: Meaning(_F, "a two-step Sync without its Follow_Up", "look for loss of general messages"),
    _L.FOLLOW_UP_WITHOUT_SYNC: Meaning(_F, "a Follow_Up whose Sync was not seen", "look for loss, or a wrong number"),
    _L.FOLLOW_UP_BEFORE_SYNC: Meaning(_N, "a Follow_Up came before its Sync", "receivers differ in how they take it"),
    _L.REQUEST_UNANSWERED: Meaning(_F, "a question without an answer", "see the answerer, and loss on the way"),
    _L.RESPONSE_WITHOUT_REQUEST: Meaning(
        _F, "an answer to a question that was not seen", "look for loss or a wrong number"
    ),
    _L.RESPONSE_REPEATED: Meaning(_F, "a question was answered twice by one port", "look for a loop"),
    _L.IMPOSSIBLE_DELAY: Meaning(
        _F, "the answer came sooner than the answerer says it took", "an unfit clock, or stamps"
    ),
    _L.UNICAST_REFUSED: Meaning(_N, "a master refused unicast transmission", "see its limits"),
    _L.SEVERAL_MASTERS: Meaning(
        _N, "several ports announce in one multicast domain at once", "see their priorities and the path"
    ),
    _L.MASTER_SILENT: Meaning(_F, "no Announce for longer than its receipt time-out", "see the master's port"),
    _L.SYNC_WITHOUT_ANNOUNCE: Meaning(_F, "Sync without any Announce", "see the filters; a receiver will not take it"),
    _L.MASTER_CHANGED: Meaning(_N, "a master says something else of itself than before", "none, unless it repeats"),
    _L.UTC_OFFSET_WRONG: Meaning(
        _F, "the announced UTC offset is not that of the leap-second table", "correct the master"
    ),
    _L.SCALE_NOT_AS_ANNOUNCED: Meaning(
        _N, "the offset is nearly TAI - UTC: one clock is on another scale than it says", "see the time scales of both"
    ),
    _L.KISS: Meaning(_N, "a server sent a kiss code", "see the code: RFC 5905 section 7.4"),
    _L.UNSYNCHRONISED: Meaning(_F, "a server says that it is not synchronised", "see its source"),
    _L.ZERO_TIMESTAMP: Meaning(_F, "a timestamp of a reply is zero", "check the server"),
    _L.TRANSMIT_BEFORE_RECEIVE: Meaning(_F, "a server sent before it received", "its clock was set, or is faked"),
    _L.WRONG_ORIGIN: Meaning(_F, "a reply that echoes no request that was seen", "look for loss, or a forgery"),
    _L.CRYPTO_NAK: Meaning(_N, "a server rejects a key", "compare the keys"),
    _L.CAPTURE_TIME_BACKWARDS: Meaning(_N, "the capture's own clock went back", "see what set it; merge files by time"),
    _L.CAPTURE_LOST: Meaning(_N, "the kernel dropped frames before they were read", "a filter, or a faster machine"),
    _L.TOO_MANY: Meaning(_N, "more ports, streams or servers than are followed", "capture a part, or filter"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found so often about a subject. Instants are Unix ns of the capture's clock; the detail is of the first time."""

    name: FindingName
    severity: Severity
    subject: str
    count: int
    first_at_ns: int
    last_at_ns: int
    detail: str


class Findings:
    """Counts findings by name and subject; beyond 4096 of them further subjects are one."""

    def __init__(self) -> None:
        self._found: dict[tuple[FindingName, str], Finding] = {}

    def add(self, name: FindingName, subject: str, at_ns: int, detail: str = "", count: int = 1) -> None:
        """Take in one (or `count`) of a name."""
        key = (name, subject)
        held = self._found.get(key)
        if held is None:
            if len(self._found) >= LIMIT:
                key = (FindingName.TOO_MANY, "findings")
                held = self._found.get(key)
            if held is None:
                cut = detail if len(detail) <= DETAILS else f"{detail[: DETAILS - 3]}..."
                self._found[key] = Finding(key[0], MEANINGS[key[0]].severity, key[1], count, at_ns, at_ns, cut)
                return
        self._found[key] = replace(
            held,
            count=held.count + count,
            first_at_ns=min(held.first_at_ns, at_ns),
            last_at_ns=max(held.last_at_ns, at_ns),
        )

    def take_back(self, name: FindingName, subject: str) -> None:
        """One of them was none after all: what was missing has come."""
        held = self._found.get((name, subject))
        if held is None:
            return
        if held.count == 1:
            del self._found[held.name, held.subject]
        else:
            self._found[held.name, held.subject] = replace(held, count=held.count - 1)

    def list(self) -> tuple[Finding, ...]:
        """Faults first, then by their first instant."""
        order = sorted(self._found.values(), key=lambda each: (each.severity is _N, each.first_at_ns, each.name))
        return tuple(order)
