"""What real ptp4l says of itself, by its socket and over the network, beside what the probe measures of it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.netns import cabled_pair
from support.process import Program, wait_until
from support.ptp4l import Ptp4l

from timesync.daemon import HISTORY_FILE
from timesync.model import Missed, Part, Reported
from timesync.plugin import EngineContext, load_kind
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from conftest import NeedPrograms
    from support.netns import Host

    from timesync.model import Event, Outcome

MASTER, CLIENT = "aabbcc.fffe.000001", "aabbcc.fffe.000002"
MS = 1e-3
# A client that runs free tells one sample a second at most.
EACH_SECOND = {"summary_interval": -4, "freq_est_interval": 0}
TIMESYNC = Path(sys.executable).with_name("timesync")


def ask(
    address: str,
    count: int = 1,
    *,
    options: Mapping[str, Any] | None = None,
    between: Mapping[int, Callable[[], object]] | None = None,
    timeout_s: float = 1.0,
) -> tuple[list[Outcome], list[Event]]:
    """Poll a stack; `between[n]` is called before poll n. To be called in the probe's namespace."""
    target = TargetSettings("stack", "ptp4l", address, timeout_s=timeout_s, options=options or {})
    settings = ProbeSettings(SiteSettings("lab", "probe"), (target,), SpoolSettings(Path()))
    outcomes: list[Outcome] = []
    events: list[Event] = []

    async def run() -> None:
        kind = load_kind("ptp4l")
        assert not kind.check(target, "target")
        engine = kind.open(EngineContext(settings, events.append, lambda: 0))
        prober = await engine.open_target(target)
        for number in range(count):
            if between and number in between:
                await asyncio.to_thread(between[number])
            outcomes.extend(await prober.poll())
        await prober.close()
        await engine.close()

    asyncio.run(run())
    return outcomes, events


def command(inside: Host, *words: str) -> tuple[int, str]:
    """The exit status of `timesync ptp4l`, and what it printed."""
    with Program([TIMESYNC, "ptp4l", *words], namespace=inside.name) as program:
        return program.wait(timeout_s=20), program.output


def parts(outcome: Outcome) -> Sequence[Part]:
    assert isinstance(outcome, Reported), outcome
    return outcome.parts


def test_master_and_client_tell_what_they_are_by_their_sockets(lab: NeedPrograms, root: None) -> None:
    """The grandmaster is 25 ms ahead, and its client says so with the sign of offset_s."""
    lab("ptp4l")
    with (
        cabled_pair() as pair,
        Ptp4l(pair.server, clock_identity=MASTER, ahead_ns=25_000_000) as master,
        Ptp4l(pair.client, clock_identity=CLIENT, client=True, options=EACH_SECOND) as client,
    ):
        wait_until(lambda: len(client.offsets) > 1, "the client measured", timeout_s=20)
        (of_master,), _ = pair.server.call(partial(ask, str(master.socket)))
        (of_client,), _ = pair.client.call(partial(ask, str(client.socket)))
        printed = [
            command(pair.client, str(client.socket), *words)
            for words in ((), ("--json",), ("--domain", "9", "--timeout", "0.2"))
        ]
    clock, port = parts(of_master)
    assert (clock.tags["clock"], clock.fields["clock_state"]) == (MASTER, "grandmaster")
    assert (clock.fields["clock_class"], clock.fields["steps_removed"]) == (248, 0)
    assert "master_offset_s" not in clock.fields
    assert (port.fields["port_state"], port.fields["interface"]) == ("master", "cable")
    assert int(port.fields["tx_sync"]) > 0
    assert int(port.fields["rx_delay_req"]) > 0
    clock, port = parts(of_client)
    assert (clock.tags["clock"], clock.fields["clock_state"]) == (CLIENT, "uncalibrated")
    assert clock.fields["master_offset_s"] == pytest.approx(25 * MS, abs=1 * MS)
    assert 0 <= float(clock.fields["mean_path_delay_s"]) < 1 * MS
    assert (clock.fields["parent_port"], clock.fields["grandmaster"]) == (f"{MASTER}-1", MASTER)
    assert (clock.fields["steps_removed"], clock.fields["grandmaster_present"]) == (1, True)
    assert (port.fields["port_state"], port.fields["delay_mechanism"]) == ("uncalibrated", "e2e")
    assert port.fields["timestamping"] == "software"
    (status, table), (_, document), (silent, complaint) = printed
    assert (status, silent) == (0, 3)
    assert re.search(rf"{CLIENT} +uncalibrated +\+2\d\.\d+ ms .* {MASTER}", table), table
    assert re.search(rf"{CLIENT}-1 +uncalibrated +cable +software +e2e", table), table
    (shown,) = json.loads(document)["clocks"]
    assert (shown["clock"], shown["parent_port"], shown["ports"][0]["port"]) == (CLIENT, f"{MASTER}-1", 1)
    assert complaint.startswith("timeout: no clock answered")


@pytest.mark.parametrize("transport", ["udp4", "udp6", "l2"])
def test_a_clock_answers_over_the_network_and_its_degradation_is_told(
    lab: NeedPrograms, root: None, transport: str
) -> None:
    lab("ptp4l", "pmc")
    with cabled_pair() as pair, Ptp4l(pair.server, transport=transport, clock_identity=MASTER) as master:
        master.announce(clock_class=6)
        degrade = partial(master.announce, clock_class=7, accuracy=0x25)
        options = {"transport": transport}
        outcomes, events = pair.client.call(
            partial(ask, "cable", 2, options=options, between={1: degrade}, timeout_s=0.3)
        )
    before, after = (parts(outcome)[0] for outcome in outcomes)
    assert before.tags == after.tags == {"clock": MASTER}
    assert (before.fields["clock_class"], after.fields["clock_class"]) == (6, 7)
    assert after.fields["grandmaster_accuracy_s"] == pytest.approx(10e-6)
    assert (after.fields["utc_offset_s"], after.fields["utc_offset_valid"]) == (37, True)
    assert (after.fields["ptp_timescale"], after.fields["time_traceable"]) == (True, True)
    told = [event.text for event in events if event.kind == "stack_changed"]
    assert any(f"{MASTER}: clock_class was 6, is 7" in text for text in told)


def test_a_stack_that_ends_has_a_reason_and_one_that_begins_again_answers(
    lab: NeedPrograms, root: None, tmp_path: Path
) -> None:
    lab("ptp4l")
    with cabled_pair() as pair:
        first = Ptp4l(pair.server, clock_identity=MASTER, options={"uds_address": tmp_path / "s"})
        second = Ptp4l(pair.server, clock_identity=MASTER, options={"uds_address": tmp_path / "s"})
        with first:
            steps = {1: first.__exit__, 2: second.__enter__}
            outcomes, _ = pair.server.call(partial(ask, str(tmp_path / "s"), 3, between=steps))
        second.__exit__()
    up, down, again = outcomes
    assert parts(up)[0].tags == parts(again)[0].tags == {"clock": MASTER}
    assert isinstance(down, Missed)
    assert down.reason.value == "send_failed"
    assert not down.sent


def test_another_domain_than_the_stacks_is_silence(lab: NeedPrograms, root: None) -> None:
    lab("ptp4l")
    with cabled_pair() as pair, Ptp4l(pair.server) as master:
        (outcome,), _ = pair.server.call(partial(ask, str(master.socket), options={"domain": 5}, timeout_s=0.3))
    assert isinstance(outcome, Missed)
    assert outcome.reason.value == "timeout"


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
[[target]]
name = "stack"
kind = "ptp4l"
address = "cable"
interval_s = 0.5
timeout_s = 0.3
"""


def test_the_daemon_keeps_what_a_stack_says_apart_from_what_it_measures(
    lab: NeedPrograms, root: None, tmp_path: Path
) -> None:
    lab("ptp4l")
    (tmp_path / "site.toml").write_text(CONFIGURATION)
    with cabled_pair() as pair, Ptp4l(pair.server, clock_identity=MASTER):

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
            labels = f'clock="{MASTER}",port="1",probe="p",protocol="ptp4l",site="lab",state="master",target="stack"'
            wanted = (
                f"timesync_ptp_stack_port_state{{{labels}}} 1",
                'timesync_offset_seconds{probe="p",protocol="ptp"',
            )

            def complete() -> bool:
                shown = page()
                return all(line in shown for line in wanted)

            daemon.wait_ready(complete, f"it showed {wanted}", timeout_s=30, every_s=0.2)
            shown = page()
            daemon.end()
    assert 'timesync_utc_claim{probe="p",protocol="ptp4l"' not in shown
    assert 'timesync_reachability_ratio{probe="p",protocol="ptp4l",site="lab",target="stack"} 1' in shown
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    measured = {row.tags["protocol"] for row in history.records(Selection())}
    clocks = [row for row in history.records(Selection("ptp_clock")) if "reason" not in row.fields]
    ports = list(history.records(Selection("ptp_port")))
    history.close()
    assert measured == {"ptp"}
    assert {row.fields["clock_state"] for row in clocks} == {"grandmaster"}
    assert {(row.tags["clock"], row.tags["port"]) for row in ports} == {(MASTER, "1")}
