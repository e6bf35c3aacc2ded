"""Profiles are named by what their recommendations prescribe, with the evidence; and never by what does not show."""

from __future__ import annotations

from typing import Any

import pytest

from timesync.capture.profiles import Traits, recognise

# What the profiles' documents prescribe, as an observer would see it.
G8265_1: dict[str, Any] = {
    "transport": "udp4",
    "domain": 4,
    "end_to_end": True,
    "unicast": True,
    "negotiated": True,
    "classes": {84},
}
G8275_1: dict[str, Any] = {
    "transport": "l2",
    "domain": 24,
    "end_to_end": True,
    "multicast": True,
    "destinations": {"01:80:c2:00:00:0e"},
    "announce_logs": {-3},
    "sync_logs": {-4},
    "classes": {6},
    "priorities_1": {128},
}
G8275_2: dict[str, Any] = {**G8265_1, "domain": 44, "classes": {6}, "priorities_1": {128}}
POWER: dict[str, Any] = {
    "transport": "l2",
    "domain": 0,
    "peer_to_peer": True,
    "multicast": True,
    "destinations": {"01:1b:19:00:00:00", "01:80:c2:00:00:0e"},
    "announce_logs": {0},
    "sync_logs": {0},
    "peer_logs": {0x7F},
    "classes": {6},
    "priorities_1": {128},
}
DEFAULT: dict[str, Any] = {
    "transport": "udp4",
    "domain": 0,
    "end_to_end": True,
    "multicast": True,
    "announce_logs": {1},
    "sync_logs": {0},
    "classes": {248},
    "priorities_1": {128},
}
GPTP: dict[str, Any] = {**POWER, "sdo": 0x100, "announce_logs": {0}, "sync_logs": {-3}}


def names(how: dict[str, Any], **changes: Any) -> list[str]:
    return [each.name for each in recognise(Traits(**{"sdo": 0, **how, **changes}))]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (G8265_1, ["ITU-T G.8265.1"]),
        (G8275_1, ["ITU-T G.8275.1"]),
        (G8275_2, ["ITU-T G.8275.2"]),
        (DEFAULT, ["IEEE 1588 default, delay request-response"]),
        # By its messages alone the power profile is a default profile with one-second intervals: both are named.
        (POWER, ["IEC/IEEE 61850-9-3", "IEEE 1588 default, peer-to-peer"]),
        (GPTP, ["IEEE 802.1AS (gPTP)"]),
    ],
)
def test_a_profile_is_recognised(how: dict[str, Any], expected: list[str]) -> None:
    assert names(how) == expected


@pytest.mark.parametrize(
    ("organisation", "subtype", "expected"),
    [
        (b"\x1c\x12\x9d", 1, "IEEE C37.238-2011"),
        (b"\x1c\x12\x9d", 2, "IEEE C37.238-2017"),
        (b"\x68\x97\xe8", 1, "SMPTE ST 2059-2"),
    ],
)
def test_a_tlv_of_its_own_marks_a_profile(organisation: bytes, subtype: int, expected: str) -> None:
    (profile,) = recognise(Traits(**{"sdo": 0, **POWER}, organisations={(organisation, subtype.to_bytes(3, "big"))}))
    assert (profile.name, profile.certainty) == (expected, "marked")
    assert "TLV" in profile.evidence[0]


@pytest.mark.parametrize(
    ("how", "changes"),
    [
        (G8265_1, {"domain": 3}),
        (G8265_1, {"classes": {6}}),
        (G8265_1, {"multicast": True}),
        (G8275_1, {"domain": 44}),
        (G8275_1, {"transport": "udp4"}),
        (G8275_1, {"priorities_1": {127}}),
        (G8275_1, {"peer_to_peer": True}),
        (G8275_1, {"sdo": 0x100}),
        (G8275_2, {"negotiated": False}),
        (G8275_2, {"classes": {13}}),
        (POWER, {"sync_logs": {-3}}),
        (POWER, {"end_to_end": True}),
        (DEFAULT, {"sync_logs": {-4}}),
        (DEFAULT, {"domain": 200}),
        # A capture that begins after the grants sees unicast without its negotiation: no default profile.
        (DEFAULT, {"multicast": False, "unicast": True}),
    ],
)
def test_what_a_profile_forbids_is_not_that_profile(how: dict[str, Any], changes: dict[str, Any]) -> None:
    before = set(names(how))
    assert names(how, **changes)[:1] != [names(how)[0]]
    assert before


def test_settings_outside_a_profile_are_called_custom() -> None:
    assert names(DEFAULT, sync_logs={-4}) == ["IEEE 1588 end-to-end, custom settings"]


def test_evidence_is_what_was_seen() -> None:
    (profile,) = recognise(Traits(**{"sdo": 0, **G8275_1}))
    assert "domain 24 of 24 to 43" in profile.evidence
    assert "clockClass 6" in profile.evidence
