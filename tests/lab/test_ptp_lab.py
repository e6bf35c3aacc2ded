"""The PTP probe against real ptp4l (linuxptp), whose offset, domain, class and time scale the test sets, over a cable.

Two promises are tested: every sample's error is within its own bound, always; and the median is within 20 us of the truth. Both
ends read one host clock, so the truth is what the test has set.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.debian import binary
from support.netns import bridged_hosts, bridged_pair, cabled_pair
from support.process import Program
from support.ptp4l import Ptp4l
from support.ptpmeasuring import Heard, measure_ptp

from timesync.daemon import HISTORY_FILE
from timesync.model import PtpFacts, Timestamping
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from conftest import NeedPrograms
    from support.netns import Host

MS, US = 1e-3, 1e-6
CLEAN = 20 * US
FIRST, SECOND = "aabbcc.fffe.000001", "aabbcc.fffe.000002"
MASTER_ONLY = {"masterOnly": 1}
TIMESYNC = Path(sys.executable).with_name("timesync")


@pytest.mark.parametrize("delay", ["e2e", "p2p"])
@pytest.mark.parametrize("transport", ["udp4", "udp6", "l2"])
def test_a_grandmaster_with_a_known_offset(lab: NeedPrograms, root: None, transport: str, delay: str) -> None:
    lab("ptp4l")
    options = {"transport": transport, "delay": delay, "timescale": "utc"}
    with bridged_pair() as pair, Ptp4l(pair.server, transport=transport, delay=delay, ahead_ns=25_000_000):
        heard = pair.client.call(partial(measure_ptp, 14, options=options))
    assert heard.violations(25 * MS) == []
    assert heard.median_s() == pytest.approx(25 * MS, abs=CLEAN)
    assert heard.missed() == []
    assert heard.names == {"gm"}
    assert {offset.timestamping for offset in heard.offsets()} == {Timestamping.KERNEL}


def test_two_grandmasters_in_two_domains_of_one_bridge_and_ptpd_are_three_clocks(lab: NeedPrograms, root: None) -> None:
    """+1.5 ms and 0, one of them degraded live, and a second implementation: each as it is, whatever the others do."""
    lab("ptp4l", "pmc", "ptpd")
    with (
        bridged_hosts(4) as (probe, first, second, third),
        Ptp4l(first, clock_identity=FIRST, ahead_ns=1_500_000) as degraded,
        Ptp4l(second, clock_identity=SECOND, domain=24),
        ptpd_master(third, domain=5),
    ):
        degraded.announce(clock_class=6, ptp_timescale=False, utc_offset_valid=False)
        degrade = partial(degraded.announce, clock_class=52, ptp_timescale=False, utc_offset_valid=False)

        def measure(domain: int, between: dict[int, Any] | None = None) -> Heard:
            options = {"domain": domain, "timescale": "utc"}
            return probe.call(partial(measure_ptp, 12, listen_s=15.0, options=options, between=between))

        one, other, ptpd = measure(0, {6: degrade}), measure(24), measure(5)
    for heard, ahead_s in ((one, 1.5 * MS), (other, 0.0), (ptpd, 0.0)):
        assert heard.violations(ahead_s) == []
        assert heard.median_s() == pytest.approx(ahead_s, abs=CLEAN)
        assert heard.missed() == []
    grandmasters = [facts_of(heard).grandmaster for heard in (one, other)]
    assert grandmasters == [FIRST, SECOND]
    classes = [each.facts.clock_class for each in one.offsets() if isinstance(each.facts, PtpFacts)]
    assert (classes[0], classes[-1]) == (6, 52)
    assert any("clock_class was 6, is 52" in text for text in one.told("master_changed"))
    assert not other.told("master_changed")


def facts_of(heard: Heard) -> PtpFacts:
    facts = heard.offsets()[0].facts
    assert isinstance(facts, PtpFacts)
    return facts


def ptpd_master(inside: Host, domain: int) -> Program:
    """ptpd as a grandmaster that touches no clock and keeps no file."""
    options = ["-C", "-n", "-L", "-M", "-i", "cable", "-d", str(domain), "--global:log_status=n"]
    options += [
        "--ptpengine:ip_mode=multicast",
        "--ptpengine:log_sync_interval=-3",
        "--ptpengine:log_announce_interval=0",
    ]
    options += ["--ptpengine:log_delayreq_interval=-3"]
    return Program([binary("ptpd"), *options], namespace=inside.name)


def test_a_master_that_is_not_the_best_is_measured_as_a_child(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l")
    with (
        cabled_pair() as pair,
        Ptp4l(pair.server, clock_identity=FIRST, options={**MASTER_ONLY, "priority1": 10}),
        Ptp4l(pair.server, clock_identity=SECOND, options=MASTER_ONLY, ahead_ns=1_500_000),
    ):
        heard = pair.client.call(partial(measure_ptp, 15, options={"timescale": "utc"}))
    child = f"gm/{SECOND}-1"
    assert heard.names == {"gm", child}
    for name, ahead_s in (("gm", 0.0), (child, 1.5 * MS)):
        assert heard.violations(ahead_s, name) == []
        assert heard.median_s(name) == pytest.approx(ahead_s, abs=CLEAN)


def test_when_the_best_master_goes_the_next_takes_its_place(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l")
    best = Ptp4l
    with cabled_pair() as pair, Ptp4l(pair.server, clock_identity=SECOND, options=MASTER_ONLY, ahead_ns=1_500_000):
        first = best(pair.server, clock_identity=FIRST, options={**MASTER_ONLY, "priority1": 10})
        with first:
            heard = pair.client.call(
                partial(measure_ptp, 24, options={"timescale": "utc"}, between={4: first.__exit__}, timeout_s=0.3)
            )
    last = heard.offsets()[-1]
    assert abs(last.offset_s - 1.5 * MS) <= last.bound_s
    assert any(FIRST in text for text in heard.told("master_vanished"))
    assert any(f"is {SECOND}-1, before {FIRST}-1" in text for text in heard.told("best_master_changed"))


def test_a_class_that_is_degraded_live_is_told_and_stands_in_the_facts(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l", "pmc")
    with cabled_pair() as pair, Ptp4l(pair.server) as master:
        master.announce(clock_class=6, ptp_timescale=False, utc_offset_valid=False)
        degrade = partial(master.announce, clock_class=7, accuracy=0x25, ptp_timescale=False, utc_offset_valid=False)
        heard = pair.client.call(partial(measure_ptp, 10, options={"timescale": "utc"}, between={4: degrade}))
    classes = [offset.facts.clock_class for offset in heard.offsets() if isinstance(offset.facts, PtpFacts)]
    assert (classes[0], classes[-1]) == (6, 7)
    last = heard.offsets()[-1]
    assert last.upstream_s == pytest.approx(10 * US)  # 0x25
    assert any("clock_class was 6, is 7" in text for text in heard.told("master_changed"))
    assert heard.violations(0.0) == []


def test_without_a_declared_scale_nothing_is_claimed(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l")
    with cabled_pair() as pair, Ptp4l(pair.server):
        heard = pair.client.call(partial(measure_ptp, 3))
    assert {str(offset.no_claim) for offset in heard.offsets()} == {"arbitrary_timescale"}
    assert heard.violations(0.0) == []


def test_utc_that_is_served_as_tai_is_37_s_behind(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l", "pmc")
    with cabled_pair() as pair, Ptp4l(pair.server) as master:
        master.announce(utc_offset_s=37)
        heard = pair.client.call(partial(measure_ptp, 14, between={4: partial(master.announce, utc_offset_s=36)}))
    first, last = heard.offsets()[0], heard.offsets()[-1]
    # Single samples on a machine that may be busy: each is held to its own bound.
    assert abs(first.offset_s + 37.0) <= first.bound_s
    assert abs(last.offset_s + 36.0) <= last.bound_s
    assert {offset.no_claim for offset in heard.offsets()} == {None}
    (text,) = heard.told("utc_offset_wrong")
    assert "TAI - UTC = 36 s; the leap-second table says 37 s" in text


@pytest.mark.parametrize("transport", ["udp4", "udp6"])
def test_a_master_that_is_asked_for_unicast(lab: NeedPrograms, root: None, transport: str) -> None:
    """It sends no multicast (inhibit_multicast_service), grants what is asked for, and stops when it is given back."""
    lab("ptp4l")
    silent = {"unicast_listen": 1, "inhibit_multicast_service": 1}
    with bridged_pair() as pair:
        address = pair.server_ipv4 if transport == "udp4" else pair.server_ipv6
        with Ptp4l(pair.server, transport=transport, ahead_ns=25_000_000, options=silent):
            options = {"unicast": address, "transport": transport, "timescale": "utc"}
            heard = pair.client.call(partial(measure_ptp, 4, options=options))
            multicast = pair.client.call(
                partial(
                    measure_ptp, 1, listen_s=0.5, timeout_s=0.5, options={"transport": transport, "timescale": "utc"}
                )
            )
    assert heard.violations(25 * MS) == []
    assert heard.median_s() == pytest.approx(25 * MS, abs=CLEAN)
    assert heard.missed() == []
    assert [missed.reason.value for missed in multicast.missed()] == ["no_master"]


def test_a_wire_without_a_master_has_a_reason(root: None) -> None:
    with cabled_pair() as pair:
        heard = pair.client.call(partial(measure_ptp, 2, timeout_s=0.2, listen_s=0.1))
        absent = pair.client.call(partial(measure_ptp, 1, interface="nosuch0", timeout_s=0.2, listen_s=0.1))
    assert [missed.reason.value for missed in heard.missed()] == ["no_master", "no_master"]
    assert [missed.reason.value for missed in absent.missed()] == ["send_failed"]


# The daemon and the command line

CONFIGURATION = """
[site]
name = "lab"
probe = "p"
[spool]
directory = "state"
[[target]]
name = "gm"
kind = "ptp"
address = "cable"
interval_s = 0.5
timeout_s = 0.4
timescale = "utc"
realises = "UTC(LAB)"
tie_bound_s = 0
tie_u_s = 0
"""


def test_the_daemon_stores_and_shows_a_grandmaster_and_the_other_master(
    lab: NeedPrograms, root: None, tmp_path: Path
) -> None:
    lab("ptp4l")
    (tmp_path / "site.toml").write_text(CONFIGURATION)
    child = f"gm/{SECOND}-1"
    with (
        cabled_pair() as pair,
        Ptp4l(pair.server, clock_identity=FIRST, options={**MASTER_ONLY, "priority1": 10}),
        Ptp4l(pair.server, clock_identity=SECOND, options=MASTER_ONLY, ahead_ns=1_500_000),
    ):

        def page() -> str:
            def read() -> str:
                with urllib.request.urlopen("http://127.0.0.1:9787/metrics", timeout=5) as answer:
                    return str(answer.read().decode())

            try:
                return pair.client.call(read)
            except OSError:
                return ""

        argv = [TIMESYNC, "probe", "--config", tmp_path / "site.toml"]
        with Program(argv, namespace=pair.client.name, cwd=tmp_path) as daemon:
            labels = f'probe="p",protocol="ptp",reference="gm",site="lab",target="{child}"'
            wanted = f"timesync_time_error_seconds{{{labels}}}"
            daemon.wait_ready(lambda: wanted in page(), f"it showed {wanted}", timeout_s=30, every_s=0.2)
            shown = page()
            daemon.end()
    assert 'timesync_ptp_clock_class{probe="p",protocol="ptp",site="lab",target="gm"} 248' in shown
    assert f'grandmaster="{FIRST}"' in shown
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    rows = [row for row in history.records(Selection(target=child)) if "time_error_s" in row.fields]
    history.close()
    assert rows
    for row in rows:
        assert abs(float(row.fields["time_error_s"]) - 1.5 * MS) <= float(row.fields["time_error_bound_s"])
        assert row.fields["grandmaster"] == SECOND
        assert row.tags["reference"] == "gm"


def test_the_command_line_measures_every_master(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l")
    with (
        cabled_pair() as pair,
        Ptp4l(pair.server, clock_identity=FIRST, options={**MASTER_ONLY, "priority1": 10}),
        Ptp4l(pair.server, clock_identity=SECOND, options=MASTER_ONLY, ahead_ns=1_500_000),
    ):

        def measured(*words: str) -> tuple[int, str]:
            argv = [TIMESYNC, "measure", "--listen", "1.5", "--count", "3", "--interval", "0.3", *words]
            with Program(argv, namespace=pair.client.name) as program:
                return program.wait(timeout_s=60), program.output

        target = "ptp://cable?timescale=utc"
        status, output = measured(target, "--json")
        assert status == 0, output
        found = {each["target"]: each for each in json.loads(output)["targets"]}
        assert set(found) == {target, f"{target}/{SECOND}-1"}
        second = found[f"{target}/{SECOND}-1"]
        assert abs(second["offset_s"] - 1.5 * MS) <= second["bound_s"]
        assert second["grandmaster"] == SECOND
        beyond, table = measured(target, "--max-offset", "0.001")
        assert beyond == 1
        assert "beyond 1.000 ms" in table
        silent, table = measured("ptp+l2://cable")
        assert silent == 3
        assert "no_master" in table
        wrong, complaint = measured("ptp://cable?domain=900&speed=7")
        assert wrong == 2
        assert "there is no such option" in complaint
        assert "0 to 255" in complaint
