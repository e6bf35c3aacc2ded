"""Profiles: the telecom order of masters, what deviates, and what their options may be set beside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probes.ptp import KIND
from probes.ptp_prober import options_of, place_of
from probes.ptp_segment import Place
from timesync.exchange.ptp_profiles import PROFILES, default_rank, telecom_rank
from timesync.settings import TargetSettings
from timesync.wire.ptp.header import PortIdentity, Timestamp
from timesync.wire.ptp.message import Announce

NEAR, FAR = PortIdentity(9, 1), PortIdentity(1, 1)
LOCKED = Announce(Timestamp(0, 0), 37, 128, 6, 0x21, 0x4E5D, 128, 9, 0, 0x20)


def better(rank: Any, one: tuple[Announce, PortIdentity], other: tuple[Announce, PortIdentity]) -> bool:
    return bool(rank(*one) < rank(*other))


def test_priority1_counts_by_default_and_not_in_telecom() -> None:
    preferred, better_clock = replace(LOCKED, priority1=1, clock_class=7), LOCKED
    assert better(default_rank, (preferred, NEAR), (better_clock, FAR))
    assert better(telecom_rank, (better_clock, FAR), (preferred, NEAR))


def test_of_locked_telecom_grandmasters_the_nearer_is_better_whatever_their_identities() -> None:
    """G.8275.1 clause 6.3.7: with a clockClass of 127 or less several grandmasters are active at once."""
    near, far = (
        (replace(LOCKED, grandmaster=9, steps_removed=1), NEAR),
        (replace(LOCKED, grandmaster=1, steps_removed=3), FAR),
    )
    assert better(telecom_rank, near, far)
    assert better(default_rank, far, near)
    adrift = [(replace(announce, clock_class=140), port) for announce, port in (near, far)]
    assert better(telecom_rank, adrift[1], adrift[0])


@pytest.mark.parametrize(
    ("profile", "domain", "change", "said"),
    [
        ("default", 0, {"priority1": 5}, []),
        ("g8275.1", 24, {}, []),
        ("g8275.1", 44, {}, ["domain 44 is not one of 24 to 43"]),
        ("g8275.1", 24, {"priority1": 5}, ["priority1 5 is not 128"]),
        ("g8275.2", 44, {"clock_class": 13}, ["clockClass 13 is none of the profile's"]),
        ("g8275.2", 63, {"clock_class": 165}, []),
        ("gptp", 0, {"priority1": 246, "clock_class": 248}, []),
        ("gptp", 0, {"priority1": 255}, ["priority1 255 is for clocks that cannot be grandmaster"]),
    ],
)
def test_what_a_profile_has_against_an_announce(
    profile: str, domain: int, change: dict[str, int], said: list[str]
) -> None:
    assert list(PROFILES[profile].deviations(domain, replace(LOCKED, **change))) == said  # type: ignore[arg-type]  # integers


def target(**options: Any) -> TargetSettings:
    return TargetSettings("t", "ptp", "eth0", options=options)


def test_a_profile_sets_what_the_target_does_not() -> None:
    assert place_of(target(profile="gptp")) == Place("eth0", "l2")
    assert options_of(target(profile="g8275.1"))["domain"] == 24
    assert options_of(target(profile="g8275.1", domain=25))["domain"] == 25
    assert place_of(target()) == Place("eth0", "udp4")


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "gptp"},
        {"profile": "g8275.1", "destination": "nonforwardable"},
        {"profile": "g8275.2", "unicast": "192.0.2.7"},
        {"hybrid": True, "transport": "l2"},
        {"major_sdo_id": 1, "transport": "l2", "delay": "p2p", "answer_peers": True},
    ],
)
def test_what_goes_together(options: dict[str, Any]) -> None:
    assert KIND.check(target(**options), "t") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"profile": "g8275.2"}, "none is named"),
        ({"profile": "gptp", "unicast": "192.0.2.7"}, 'transport = "l2", which is what the profile'),
        ({"hybrid": True, "delay": "p2p"}, 'delay = "p2p"'),
        ({"unicast": "192.0.2.7", "hybrid": True}, "hybrid = true"),
        ({"major_sdo_id": 1, "transport": "l2"}, 'delay = "e2e", which is what the profile or the default says'),
        ({"destination": "nonforwardable"}, "only Ethernet has one"),
        ({"profile": "power"}, 'Write "default", "gptp"'),
        ({"hybrid": 1}, "Write true or false"),
    ],
)
def test_what_does_not(options: dict[str, Any], said: str) -> None:
    problems = [str(problem) for problem in KIND.check(target(**options), "t")]
    assert problems
    assert said in problems[0]
