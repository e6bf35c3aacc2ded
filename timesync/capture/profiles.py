"""Which PTP profile a domain follows, as far as its messages show, and by which evidence.

Rule: a profile is "marked" where messages name it (an identifier that no other profile uses), and "fits" where what was seen
is as it prescribes in everything that can be seen; profiles that cannot be told apart by their messages are all named.
Nothing is guessed from one field alone, and no claim is made of what was not seen.

Sources: IEEE 1588-2019 annex I.3 and I.4 (default profiles); IEEE 802.1AS-2020 clauses 8.1 and 11; ITU-T G.8265.1 (07/2014)
clause 6; G.8275.1 (2020) clause 6 and annex A; G.8275.2 (2020) clause 6 and annex A; IEC/IEEE 61850-9-3:2016 clause 7; IEEE
C37.238-2011 and 2017; SMPTE ST 2059-2:2015.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from timesync.capture.report import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Traits", "recognise"]

NOT_FORWARDED = "01:80:c2:00:00:0e"
PRIMARY_MAC = "01:1b:19:00:00:00"
# Organisations' TLVs by which a profile is marked: (organizationId, organizationSubType).
TLV_802_1AS = (b"\x00\x80\xc2", b"\x00\x00\x01")
TLV_C37_238_2011 = (b"\x1c\x12\x9d", b"\x00\x00\x01")
TLV_C37_238_2017 = (b"\x1c\x12\x9d", b"\x00\x00\x02")
TLV_SMPTE = (b"\x68\x97\xe8", b"\x00\x00\x01")
# clockClass values of the telecom profiles for frequency (QL 80 to 110) and for phase (G.8275 table 2 of annex A).
QL_CLASSES = range(80, 111)
TELECOM_CLASSES = frozenset({6, 7, 135, 140, 150, 160, 165, 248, 255})


@dataclass(slots=True)
class Traits:
    """What was seen of a domain, for the rules below. Intervals are logMessageInterval values of multicast messages."""

    transport: str
    domain: int
    sdo: int
    vlans: tuple[int, ...] = ()
    end_to_end: bool = False
    peer_to_peer: bool = False
    multicast: bool = False
    unicast: bool = False
    negotiated: bool = False
    destinations: set[str] = field(default_factory=set)
    announce_logs: set[int] = field(default_factory=set)
    sync_logs: set[int] = field(default_factory=set)
    peer_logs: set[int] = field(default_factory=set)
    classes: set[int] = field(default_factory=set)
    priorities_1: set[int] = field(default_factory=set)
    organisations: set[tuple[bytes, bytes]] = field(default_factory=set)
    time_offset_tlv: bool = False


def recognise(traits: Traits) -> tuple[Profile, ...]:
    """The profiles of a domain: those that are marked, else all that fit."""
    marked = tuple(
        Profile(name, "marked", evidence)
        for name, rule in _MARKS.items()
        if (evidence := tuple(each for each in rule(traits) if each))
    )
    if marked:
        return marked
    return tuple(
        Profile(name, "fits", tuple(text for text, _ in rule(traits)))
        for name, rule in _RULES.items()
        if all(held for _, held in rule(traits))
    )


def _gptp(traits: Traits) -> Iterator[str]:
    if traits.sdo >> 8 == 1:
        yield "majorSdoId 1"
        if NOT_FORWARDED in traits.destinations:
            yield f"sent to {NOT_FORWARDED}"
        if TLV_802_1AS in traits.organisations:
            yield "Follow_Up information TLV (00-80-C2, 1)"


def _cmlds(traits: Traits) -> Iterator[str]:
    if traits.sdo >> 8 == 2:
        yield "majorSdoId 2"


def _c37_238_2011(traits: Traits) -> Iterator[str]:
    if TLV_C37_238_2011 in traits.organisations:
        yield "IEEE_C37_238 TLV (1C-12-9D, 1)"


def _c37_238_2017(traits: Traits) -> Iterator[str]:
    if TLV_C37_238_2017 in traits.organisations:
        yield "IEEE_C37_238 TLV (1C-12-9D, 2)"


def _smpte(traits: Traits) -> Iterator[str]:
    if TLV_SMPTE in traits.organisations:
        yield "synchronisation metadata TLV (68-97-E8, 1)"


_MARKS: Mapping[str, Callable[[Traits], Iterator[str]]] = {
    "IEEE 802.1AS (gPTP)": _gptp,
    "IEEE 1588 common mean link delay service": _cmlds,
    "IEEE C37.238-2011": _c37_238_2011,
    "IEEE C37.238-2017": _c37_238_2017,
    "SMPTE ST 2059-2": _smpte,
}


def _plain(traits: Traits) -> bool:
    return traits.sdo == 0


def _g8265_1(traits: Traits) -> Iterator[tuple[str, bool]]:
    yield "UDP", traits.transport != "l2" and _plain(traits)
    yield "unicast, negotiated", traits.negotiated and not traits.multicast
    yield f"domain {traits.domain} of 4 to 23", 4 <= traits.domain <= 23
    yield "no peer delay", not traits.peer_to_peer
    yield (
        f"clockClass {_listed(traits.classes)} of 80 to 110 (quality levels)",
        bool(traits.classes) and all(each in QL_CLASSES for each in traits.classes),
    )


def _g8275_1(traits: Traits) -> Iterator[tuple[str, bool]]:
    yield "Ethernet, multicast", traits.transport == "l2" and traits.multicast and _plain(traits)
    yield f"domain {traits.domain} of 24 to 43", 24 <= traits.domain <= 43
    yield "no peer delay", not traits.peer_to_peer
    yield f"sent to {_listed(traits.destinations)}", traits.destinations <= {NOT_FORWARDED, PRIMARY_MAC}
    yield f"priority1 {_listed(traits.priorities_1)}", traits.priorities_1 <= {128}
    yield f"clockClass {_listed(traits.classes)}", traits.classes <= TELECOM_CLASSES


def _g8275_2(traits: Traits) -> Iterator[tuple[str, bool]]:
    yield "UDP", traits.transport != "l2" and _plain(traits)
    yield "unicast, negotiated", traits.negotiated and not traits.multicast
    yield f"domain {traits.domain} of 44 to 63", 44 <= traits.domain <= 63
    yield "no peer delay", not traits.peer_to_peer
    yield f"priority1 {_listed(traits.priorities_1)}", traits.priorities_1 <= {128}
    yield f"clockClass {_listed(traits.classes)}", traits.classes <= TELECOM_CLASSES


def _power(traits: Traits) -> Iterator[tuple[str, bool]]:
    """IEC/IEEE 61850-9-3 has no mark of its own: a default profile with these settings looks the same."""
    yield "Ethernet, multicast", traits.transport == "l2" and traits.multicast and _plain(traits)
    yield "peer delay", traits.peer_to_peer and not traits.end_to_end
    yield "Announce and Sync every second", traits.announce_logs == {0} and traits.sync_logs == {0}
    yield "Pdelay_Req every second or not told", traits.peer_logs <= {0, 0x7F}
    yield f"domain {traits.domain} below 128 or 254", traits.domain < 128 or traits.domain == 254


def _aes67(traits: Traits) -> Iterator[tuple[str, bool]]:
    """Without its metadata TLV, ST 2059-2 shows in its domain and rates."""
    yield "UDP over IPv4", traits.transport == "udp4" and _plain(traits)
    yield "domain 127", traits.domain == 127
    yield "Sync eight times a second", traits.sync_logs == {-3}


def _default(traits: Traits) -> Iterator[tuple[str, bool]]:
    telecom = (
        traits.transport == "l2" and 24 <= traits.domain <= 43 and traits.priorities_1 <= {128}
    ) or traits.negotiated
    yield "multicast", traits.multicast
    yield f"domain {traits.domain} below 128", traits.domain < 128 and _plain(traits) and not telecom
    inside = all(each in range(5) for each in traits.announce_logs) or not traits.announce_logs
    yield f"logAnnounceInterval {_listed(traits.announce_logs)} of 0 to 4", inside
    yield (
        f"logSyncInterval {_listed(traits.sync_logs)} of -1 to 1",
        all(each in range(-1, 2) for each in traits.sync_logs),
    )


def _default_e2e(traits: Traits) -> Iterator[tuple[str, bool]]:
    yield "Delay_Req", traits.end_to_end and not traits.peer_to_peer
    yield from _default(traits)


def _default_p2p(traits: Traits) -> Iterator[tuple[str, bool]]:
    yield "Pdelay_Req", traits.peer_to_peer and not traits.end_to_end
    yield from _default(traits)


def _custom(mechanism: str) -> Callable[[Traits], Iterator[tuple[str, bool]]]:
    """The default profile's mechanism with intervals that its ranges do not hold."""
    strict = _default_e2e if mechanism == "Delay_Req" else _default_p2p

    def rule(traits: Traits) -> Iterator[tuple[str, bool]]:
        ours = traits.end_to_end if mechanism == "Delay_Req" else traits.peer_to_peer
        yield mechanism, ours and _plain(traits)
        others = (_g8265_1, _g8275_1, _g8275_2, _power, _aes67, strict)
        yield (
            "outside the ranges of the default profile",
            not any(all(held for _, held in other(traits)) for other in others),
        )
        yield f"logAnnounceInterval {_listed(traits.announce_logs)}, logSyncInterval {_listed(traits.sync_logs)}", True
        yield f"domain {traits.domain}, {'multicast' if traits.multicast else 'unicast'}", True

    return rule


_RULES: Mapping[str, Callable[[Traits], Iterator[tuple[str, bool]]]] = {
    "ITU-T G.8265.1": _g8265_1,
    "ITU-T G.8275.1": _g8275_1,
    "ITU-T G.8275.2": _g8275_2,
    "IEC/IEEE 61850-9-3": _power,
    "SMPTE ST 2059-2": _aes67,
    "IEEE 1588 default, delay request-response": _default_e2e,
    "IEEE 1588 default, peer-to-peer": _default_p2p,
    "IEEE 1588 end-to-end, custom settings": _custom("Delay_Req"),
    "IEEE 1588 peer-to-peer, custom settings": _custom("Pdelay_Req"),
}


def _listed(values: set[int] | set[str]) -> str:
    return ", ".join(str(each) for each in sorted(values)) or "not seen"
