"""Profiles and hybrid mode against real ptp4l on a bridge, set up as linuxptp's own profile files have it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.netns import bridged_pair
from support.ptp4l import G8275_1, G8275_2, GPTP, Ptp4l
from support.ptpmeasuring import measure_ptp

from timesync.model import Exchange, PtpFacts

if TYPE_CHECKING:
    from conftest import NeedPrograms

MS, US = 1e-3, 1e-6
CLEAN = 20 * US
AHEAD_NS, AHEAD_S = 25_000_000, 25 * MS


def facts(of: Any) -> PtpFacts:
    assert isinstance(of.facts, PtpFacts)
    return of.facts


def test_a_gptp_grandmaster_is_measured_by_peer_delay_with_the_rate_ratio(lab: NeedPrograms, root: None) -> None:
    """It is silent until its neighbour, the probe, answers its Pdelay_Req; both ends have one clock, so the rates are the same."""
    lab("ptp4l")
    with bridged_pair() as pair:
        master = Ptp4l(pair.server, transport="l2", delay="p2p", ahead_ns=AHEAD_NS, options=GPTP)
        with master:
            options = {"profile": "gptp", "timescale": "utc"}
            silent = {**options, "answer_peers": False}
            alone = pair.client.call(partial(measure_ptp, 1, listen_s=0.7, timeout_s=0.5, options=silent))
            heard = pair.client.call(partial(measure_ptp, 12, options=options))
            plain = {"transport": "l2", "delay": "p2p"}
            default = pair.client.call(partial(measure_ptp, 1, listen_s=0.5, timeout_s=0.3, options=plain))
    assert heard.violations(AHEAD_S) == []
    assert heard.median_s() == pytest.approx(AHEAD_S, abs=CLEAN)
    assert heard.missed() == []
    last = facts(heard.offsets()[-1])
    assert last.neighbor_rate_offset == pytest.approx(0.0, abs=50e-6)
    assert (last.gm_time_base_indicator, last.last_gm_phase_change_s, last.cumulative_rate_offset) == (0, 0.0, 0.0)
    assert heard.told("profile_deviation") == []
    # A neighbour that does not answer is nobody to it, and who listens for majorSdoId 0 does not take it for its master.
    for other in (alone, default):
        assert [missed.reason.value for missed in other.missed()] == ["no_master"]


@pytest.mark.parametrize("destination", ["forwardable", "nonforwardable"])
def test_a_g8275_1_grandmaster_by_either_address(lab: NeedPrograms, root: None, destination: str) -> None:
    lab("ptp4l", "pmc")
    address = {"forwardable": "01:1B:19:00:00:00", "nonforwardable": "01:80:C2:00:00:0E"}[destination]
    served = {**G8275_1, "ptp_dst_mac": address, "p2p_dst_mac": address}
    with bridged_pair() as pair, Ptp4l(pair.server, transport="l2", ahead_ns=AHEAD_NS, options=served) as master:
        master.announce(clock_class=6, ptp_timescale=False, utc_offset_valid=False)
        options = {"profile": "g8275.1", "destination": destination, "timescale": "utc"}
        degrade = partial(master.announce, clock_class=52, ptp_timescale=False, utc_offset_valid=False)
        heard = pair.client.call(partial(measure_ptp, 12, options=options, between={6: degrade}))
    assert heard.violations(AHEAD_S) == []
    assert heard.median_s() == pytest.approx(AHEAD_S, abs=CLEAN)
    assert heard.missed() == []
    assert facts(heard.offsets()[0]).domain == 24
    (text,) = heard.told("profile_deviation")  # 52 is the default profile's, not a telecom one
    assert "clockClass 52 is none of the profile's" in text


def test_a_g8275_2_grandmaster_by_unicast(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l")
    with bridged_pair() as pair, Ptp4l(pair.server, ahead_ns=AHEAD_NS, options=G8275_2):
        options = {"profile": "g8275.2", "unicast": pair.server_ipv4, "timescale": "utc"}
        heard = pair.client.call(partial(measure_ptp, 4, options=options))
    assert heard.violations(AHEAD_S) == []
    assert heard.median_s() == pytest.approx(AHEAD_S, abs=CLEAN)
    assert heard.missed() == []
    assert facts(heard.offsets()[0]).domain == 44
    assert heard.told("profile_deviation") == []


@pytest.mark.parametrize("transport", ["udp4", "udp6", "l2"])
def test_hybrid_mode_asks_by_unicast_what_is_announced_by_multicast(
    lab: NeedPrograms, root: None, transport: str
) -> None:
    lab("ptp4l")
    with (
        bridged_pair() as pair,
        Ptp4l(pair.server, transport=transport, ahead_ns=AHEAD_NS, options={"hybrid_e2e": 1}),
    ):
        options = {"transport": transport, "hybrid": True, "timescale": "utc"}
        heard = pair.client.call(partial(measure_ptp, 12, options=options))
    assert heard.violations(AHEAD_S) == []
    assert heard.median_s() == pytest.approx(AHEAD_S, abs=CLEAN)
    assert heard.missed() == []
    assert {outcome.mode for poll in heard.polls for outcome in poll if isinstance(outcome, Exchange)} == {"hybrid"}
