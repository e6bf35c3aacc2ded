"""The lab itself, judged by a plain third-party client: a lab that lies would make every other test worthless."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ntplib
import pytest
from support.chrony import Chronyd, free_port
from support.debian import BINARIES, binary, over_usr, prepare
from support.netns import cabled_pair, host
from support.ntpsec import Ntpd
from support.process import Program, ProgramError
from support.relay import Way, relayed_pair
from support.scripted import Behaviour, ScriptedServer, ask

if TYPE_CHECKING:
    from conftest import NeedPrograms

MS = 1e-3
US = 1e-6


# ntplib keeps times in doubles, which at today's epoch resolve 477 ns; four of them enter an offset.
DOUBLES = 2 * US


@dataclass(frozen=True, slots=True)
class Seen:
    """What ntplib made of the quickest of some exchanges, s."""

    offset_s: float
    delay_s: float

    def agrees_with(self, offset_s: float, *, path_s: float = 0.0) -> bool:
        """Whether the clock can be `offset_s` ahead: what exceeds the path's own round trip may all lie in one direction."""
        return abs(self.offset_s - offset_s) <= (self.delay_s - path_s) / 2 + DOUBLES


def look(address: str, port: int, *, count: int = 30) -> Seen:
    """Ask a server `count` times by ntplib and keep the quickest exchange."""
    client = ntplib.NTPClient()
    replies = [client.request(address, version=4, port=port, timeout=2) for _ in range(count)]
    best = min(replies, key=lambda reply: reply.delay)
    return Seen(best.offset, best.delay)


def test_every_program_of_the_lab_can_be_run(lab: NeedPrograms) -> None:
    lab(*BINARIES)
    assert prepare() == []
    for words in (["chronyd", "--version"], ["ntpd", "--version"], ["influxd", "version"], ["prometheus", "--version"]):
        with Program([binary(words[0]), *words[1:]]) as program:
            assert program.wait() == 0, program.output


def test_the_prefix_lies_over_usr_for_a_program_that_insists(lab: NeedPrograms, root: None) -> None:
    lab("prometheus-alertmanager")
    template = "/usr/share/prometheus/alertmanager/default.tmpl"
    with Program(over_usr(["cat", template])) as program:
        assert program.wait() == 0, program.output
        assert "define" in program.output
    assert Path(template).exists() == _alertmanager_is_installed()


def _alertmanager_is_installed() -> bool:
    return Path("/usr/bin/prometheus-alertmanager").exists()


def test_chronyd_serves_the_time_and_an_offset_and_a_frequency_that_the_test_sets(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    with Chronyd() as server:
        assert look(server.address, server.port).agrees_with(0.0)
        server.step(25 * MS)
        assert look(server.address, server.port).agrees_with(25 * MS)
        server.change_frequency(50.0)
        begun_s, first = time.monotonic(), look(server.address, server.port)
        time.sleep(4.0)
        last = look(server.address, server.port)
        gained_s = 50e-6 * (time.monotonic() - begun_s)
        possible_s = (first.delay_s + last.delay_s) / 2 + 50e-6 * 0.1  # and the rate over the asking itself
        assert last.offset_s - first.offset_s == pytest.approx(gained_s, abs=possible_s)


def test_two_chronyd_live_on_one_host(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    with Chronyd() as one, Chronyd(stratum=4) as other:
        other.step(-10 * MS)
        assert look(one.address, one.port).agrees_with(0.0)
        assert look(other.address, other.port).agrees_with(-10 * MS)
        reply = ask(other.address, other.port)
        assert reply is not None
        assert reply[1] == 4


def test_no_program_of_the_lab_may_set_the_clock(lab: NeedPrograms, root: None) -> None:
    """CAP_SYS_TIME is bit 25 (linux/capability.h); it must be in no set of the process."""
    lab("chronyd", "chronyc")
    with Chronyd() as server:
        assert server._program is not None
        status = Path(f"/proc/{server._program.pid}/status").read_text(encoding="ascii")
        sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert not int(sets[name], 16) >> 25 & 1, name


def test_servers_answer_across_a_cable_in_both_families(lab: NeedPrograms, root: None) -> None:
    lab("chronyd", "chronyc")
    with cabled_pair() as pair, Chronyd(inside=pair.server) as server:
        server.step(25 * MS)
        for address in (pair.server_ipv4, pair.server_ipv6):
            assert pair.client.call(partial(look, address, 123)).agrees_with(25 * MS)


def test_namespaces_are_apart(root: None) -> None:
    """The same port of the same address is two places in two namespaces."""
    with host() as one, host() as other, one.socket() as here, other.socket() as there:
        here.bind(("127.0.0.1", 10123))
        there.bind(("127.0.0.1", 10123))


def test_an_error_inside_a_namespace_reaches_the_test(root: None) -> None:
    with host() as inside, pytest.raises(ZeroDivisionError):
        inside.call(lambda: 1 / 0)


def test_ntpd_says_that_it_is_not_synchronised_and_then_serves_stratum_3(lab: NeedPrograms, root: None) -> None:
    lab("ntpd")
    with host() as inside, Ntpd(inside) as server:
        early = inside.call(lambda: ask("127.0.0.1", 123))
        assert early is not None
        assert early[0] >> 6 == 3
        server.wait_synchronised()
        late = inside.call(lambda: ask("127.0.0.1", 123))
        assert late is not None
        assert late[1] == 3


def test_relay_of_5_ms_out_and_1_ms_back_shifts_the_offset_by_2_ms(lab: NeedPrograms, root: None) -> None:
    """offset = ((T2 - T1) + (T3 - T4)) / 2 (RFC 5905 section 8) = (out - back) / 2 = +2 ms, server minus client."""
    lab("chronyd", "chronyc")
    with relayed_pair(out=Way(5 * MS), back=Way(1 * MS)) as (pair, relay), Chronyd(inside=pair.server):
        seen = pair.client.call(partial(look, pair.server_ipv4, 123))
        assert seen.delay_s >= 6 * MS - DOUBLES
        assert seen.agrees_with(2 * MS, path_s=6 * MS)
        relay.set(out=Way(1 * MS), back=Way(5 * MS))
        assert pair.client.call(partial(look, pair.server_ipv6, 123)).agrees_with(-2 * MS, path_s=6 * MS)


def test_relay_loses_and_doubles_datagrams(root: None) -> None:
    with relayed_pair(out=Way(loss=0.5), back=Way(duplicates=1.0)) as (pair, _relay):
        near, far = pair.client.socket(), pair.server.socket()
        with near, far:
            near.bind((pair.client_ipv4, 0))
            far.bind((pair.server_ipv4, 123))
            near.settimeout(0.5)
            far.settimeout(0.5)
            for number in range(100):
                near.sendto(bytes([number]), (pair.server_ipv4, 123))
            arrived = drain(far)
            assert 20 <= len(arrived) <= 80
            far.sendto(b"twice", near.getsockname())
            assert drain(near) == [b"twice", b"twice"]


def drain(sock: socket.socket) -> list[bytes]:
    """What arrives until nothing has for the socket's time-out."""
    got: list[bytes] = []
    while True:
        try:
            got.append(sock.recv(2048))
        except TimeoutError:
            return got


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_scripted_server_is_honest_by_default(address: str) -> None:
    with ScriptedServer(Behaviour(offset_s=25 * MS), address=address) as server:
        assert look(address, server.port).agrees_with(25 * MS)


def test_scripted_server_follows_its_script_request_by_request() -> None:
    script = (
        Behaviour(stratum=1),
        Behaviour(silent=True),
        Behaviour(stratum=0, reference_id="DENY"),
        Behaviour(length=20),
    )
    with ScriptedServer(*script) as server:
        replies = [ask(server.address, server.port, timeout_s=0.2) for _ in range(5)]
        assert [None if r is None else (len(r), r[1], r[12:16]) for r in replies[:3]] == [
            (48, 1, b"TEST"),
            None,
            (48, 0, b"DENY"),
        ]
        assert [r is not None and len(r) for r in replies[3:]] == [20, 20]
        assert len(server.requests) == 5
        assert len({request[40:48] for request in server.requests}) == 5


def test_scripted_clock_steps_smears_and_wanders() -> None:
    clock = Behaviour(offset_s=1.0, rate_ppm=100.0, step_s=2.0, step_after_s=10.0, smear_s=-1.0, smear_over_s=20.0)
    assert clock.clock_error_s(0.0) == 1.0
    assert clock.clock_error_s(10.0) == pytest.approx(1.0 + 1e-3 + 2.0 - 0.5)
    assert clock.clock_error_s(40.0) == pytest.approx(1.0 + 4e-3 + 2.0 - 1.0)
    assert Behaviour(wander_s=0.5, wander_period_s=4.0).clock_error_s(1.0) == pytest.approx(0.5)


def test_scripted_server_is_read_from_a_file(lab: NeedPrograms, tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    port = free_port()
    file.write_text(json.dumps({"port": port, "script": [{"stratum": 7}]}))
    script = Path(__file__).parents[1] / "support" / "scripted.py"
    with Program([sys.executable, script, file]) as program:
        program.wait_for_output(str(port))
        reply = ask("127.0.0.1", port)
        assert reply is not None
        assert reply[1] == 7


def test_a_program_that_ends_too_soon_fails_with_what_it_printed() -> None:
    with (
        Program(["sh", "-c", "echo no such luck; exit 3"]) as program,
        pytest.raises(ProgramError, match="no such luck"),
    ):
        program.wait_ready(lambda: False, "it was ready")


def test_a_program_is_gone_when_its_block_is_left() -> None:
    with Program(["sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.05; done"]) as program:
        program.wait_for_output("on")
        program.end(timeout_s=0.2)
        assert not program.running


def test_late_and_duplicate_replies_arrive_as_scripted() -> None:
    with ScriptedServer(Behaviour(late_s=0.15), Behaviour(copies=2)) as server:
        begun_s = time.monotonic()
        assert ask(server.address, server.port) is not None
        assert time.monotonic() - begun_s >= 0.15
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.3)
            sock.sendto(struct.pack(">B47x", 0x23), (server.address, server.port))
            assert len(drain(sock)) == 2


def test_nothing_stays_behind(root: None, lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc")
    threads = threading.active_count()
    with host() as inside, Chronyd(inside=inside) as server:
        program = server._program
        assert program is not None
        name = inside.name
    assert not program.running
    with pytest.raises(RuntimeError):
        inside.ip("link")
    assert threading.active_count() == threads
    assert name
