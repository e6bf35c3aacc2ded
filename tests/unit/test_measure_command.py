"""`timesync measure` as a person and as a script runs it, against servers of the simulated network (real packets)."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.scripted import Behaviour, ScriptedServer

from probes.simulated import SimulatedServer, Spec
from timesync.commands.measure import _cause, _Line
from timesync.model import Missed
from timesync.reasons import Reason
from timesync.settings import TargetSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

QUICK = ("--interval", "0.02", "--timeout", "0.5", "--count", "3")


async def timesync(*words: str) -> tuple[int, str, str]:
    program = Path(sys.executable).with_name("timesync")
    process = await asyncio.create_subprocess_exec(
        program, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, complaint = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), complaint.decode()


async def measured(*words: str) -> tuple[int, Any]:
    status, output, complaint = await timesync("measure", "--json", *QUICK, *words)
    assert output, complaint
    return status, json.loads(output)


@asynccontextmanager
async def servers(*offsets_s: float, host: str = "127.0.0.1") -> AsyncIterator[Sequence[str]]:
    running = [SimulatedServer(Spec(f"s{n}", "", offset_s=x), n, host) for n, x in enumerate(offsets_s)]
    try:
        yield [server.address for server in running]
    finally:
        for server in running:
            server.close()


async def test_the_offset_is_target_minus_probe_and_within_its_bound() -> None:
    async with servers(0.025) as (address,):
        status, document = await measured(address)
    (target,) = document["targets"]
    assert status == document["status"] == 0
    assert abs(target["offset_s"] - 0.025) <= target["bound_s"] < 0.01
    assert target["timestamping"] == "kernel"
    assert target["delay_s"] > 0
    assert target["reason"] is None
    assert len(target["exchanges"]) >= 3
    assert "time_error_s" not in target


async def test_ipv6_works_as_well() -> None:
    async with servers(-0.5, host="::1") as (address,):
        assert address.startswith("[::1]:")
        status, document = await measured(address)
    assert status == 0
    assert abs(document["targets"][0]["offset_s"] + 0.5) <= document["targets"][0]["bound_s"]


@asynccontextmanager
async def scripted(behaviour: Behaviour) -> AsyncIterator[str]:
    with ScriptedServer(behaviour) as server:
        yield server.target


async def test_what_the_server_says_of_itself_is_shown_with_its_names() -> None:
    async with scripted(Behaviour(reference_id="GPS", leap=1)) as address:
        _, document = await measured(address)
        _, table, _ = await timesync("measure", *QUICK, address)
    (target,) = document["targets"]
    # RFC 5905 figures 9, 11 and 12.
    assert (target["reference_id"], target["reference_name"]) == ("GPS", "Global Position System")
    assert target["stratum_text"] == "primary reference (1)"
    assert target["leap_text"] == "last minute of the day has 61 seconds"
    note = "primary reference (1), GPS (Global Position System), last minute of the day has 61 seconds"
    assert note in table


async def test_server_of_stratum_2_has_a_source_without_a_name() -> None:
    async with scripted(Behaviour(stratum=2, reference_id="192.0.2.1")) as address:
        _, document = await measured(address)
    (target,) = document["targets"]
    assert (target["reference_name"], target["stratum_text"]) == (None, "secondary reference (2)")


async def test_against_a_reference_the_time_error_is_what_is_judged() -> None:
    async with servers(0.010, 0.035) as (reference, server):
        words = (server, "--reference", reference, "--realises", "UTC(NIM)")
        status, document = await measured(*words, "--max-offset", "0.030")
        beyond, _ = await measured(*words, "--max-offset", "0.020")
    assert (status, beyond) == (0, 1)
    (target,) = [each for each in document["targets"] if not each["is_reference"]]
    assert abs(target["time_error_s"] - 0.025) <= target["time_error_bound_s"]
    assert target["realises"] == "UTC(NIM)"
    assert target["claim"] == "valid"
    assert document["realises"] == "UTC(NIM)"
    assert document["reference"] == reference


async def test_a_server_that_does_not_answer_has_a_reason_and_status_3() -> None:
    async with servers(0.0) as (address,):
        status, document = await measured(address, "127.0.0.1:9")
    silent = document["targets"][1]
    assert status == 3
    assert silent["reason"] == "port_unreachable"
    assert silent["offset_s"] is None
    assert len(silent["missed"]) == 3


async def test_an_offset_beyond_the_limit_matters_more_than_a_missing_one() -> None:
    async with servers(0.025) as (address,):
        status, _ = await measured(address, "127.0.0.1:9", "--max-offset", "0.001")
    assert status == 1


async def test_the_table_names_what_it_is_against() -> None:
    async with servers(0.010, 0.035) as (reference, server):
        _, alone, _ = await timesync("measure", *QUICK, server)
        _, table, _ = await timesync(
            "measure", *QUICK, server, "--reference", reference, "--realises", "UTC(NIM)", "--max-offset", "0.02"
        )
    assert "OFFSET FROM THIS CLOCK" in alone
    assert "is no reference" in alone
    assert "OFFSET FROM UTC(NIM)" in table
    assert "beyond 20.000 ms" in table
    assert "+24.9" in table or "+25.0" in table


async def test_mistakes_in_the_command_line_are_status_2_with_the_remedy() -> None:
    for words, said in (
        (("measure",), "HOST[:PORT]"),
        (("measure", "a", "--realises", "UTC(X)"), "give --reference too"),
        (
            ("measure", "a", "--reference", "b", "--realises", "nim"),
            "Write UTC and the laboratory's code in Circular T",
        ),
        (("measure", "a", "--reference", "b", "--realises", "nim"), '--realises "UTC(NIM)"'),
        (("measure", "a", "--reference", "b", "--reference-u", "1e-9"), "give --realises too"),
        (
            (
                "measure",
                "a",
                "--reference",
                "b",
                "--realises",
                "UTC(X)",
                "--reference-bound",
                "1e-9",
                "--reference-u",
                "2e-9",
            ),
            "correct one of them",
        ),
        (("measure", "a", "--key", "7"), "--key and --key-file go together"),
        (("measure", "host:99999"), "not a number from 1 to 65535"),
        (("measure", "a", "--count", "0"), "whole number from 1"),
        (("measure", "a", "--max-offset", "nan"), "not a number of seconds"),
        (("measure", "a", "--interval", "abc"), "'abc' is not a number of seconds from 0.001 to 3600"),
        (("measure", "a", "--key", "0x7", "--key-file", "f"), "'0x7' is not a whole number"),
        (("measur", "a"), "measur"),
    ):
        status, output, complaint = await timesync(*words)
        assert (status, output) == (2, ""), words
        assert said in complaint, words


async def test_help_has_examples_and_exit_codes() -> None:
    status, output, _ = await timesync("measure", "--help")
    assert status == 0
    assert "Exit status: 0 fine, 1" in output
    assert "examples:" in output
    status, output, _ = await timesync("--help")
    assert status == 0
    assert "measure" in output
    status, _, _ = await timesync()
    assert status == 2


async def test_a_tie_that_is_not_declared_counts_as_0_and_that_is_said() -> None:
    async with servers(0.010, 0.035) as (reference, server):
        words = (server, "--reference", reference, "--realises", "UTC(NIM)")
        _, document = await measured(*words)
        _, table, _ = await timesync("measure", *QUICK, *words)
        _, tied = await measured(*words, "--reference-bound", "1e-3", "--reference-u", "5e-4")
        _, tied_table, _ = await timesync(
            "measure", *QUICK, *words, "--reference-bound", "1e-3", "--reference-u", "5e-4"
        )
    assert (document["tie_declared"], tied["tie_declared"]) == (False, True)
    assert "Its tie to UTC(NIM) is not declared and counts as 0: give --reference-bound and --reference-u." in table
    assert "not declared" not in tied_table
    (target,) = [each for each in tied["targets"] if not each["is_reference"]]
    assert target["exchanges"][0]["bound_tie_s"] == 1e-3
    assert target["exchanges"][0]["u_tie_s"] == 5e-4


async def test_against_a_reference_that_realises_nothing_no_utc_k_is_named() -> None:
    async with servers(0.010, 0.035) as (reference, server):
        status, document = await measured(server, "--reference", reference)
        _, table, _ = await timesync("measure", *QUICK, server, "--reference", reference)
    assert status == 0
    assert document["tie_declared"] is False
    (target,) = [each for each in document["targets"] if not each["is_reference"]]
    assert abs(target["time_error_s"] - 0.025) <= target["time_error_bound_s"]
    for each in (document, target, *target["exchanges"]):
        assert not {"realises", "claim"} & set(each)
    assert "No tie to a UTC(k) is declared" in table


def test_the_reason_is_the_cause_and_not_what_followed_from_it() -> None:
    told = (
        [Reason.TIMEOUT, Reason.KISS_DENY, Reason.STOPPED_BY_SERVER, Reason.STOPPED_BY_SERVER],
        [Reason.KISS_RATE, Reason.HELD_BY_RATE, Reason.HELD_BY_RATE, Reason.HELD_BY_RATE],
        [Reason.TIMEOUT, Reason.TIMEOUT, Reason.UNSYNCHRONISED],
        [Reason.TIMEOUT, Reason.TIMEOUT, Reason.STOPPED_BY_SERVER],
        [Reason.TIMEOUT, Reason.TIMEOUT],
        [Reason.BAD_MAC, Reason.MALFORMED, Reason.MALFORMED],
    )
    causes = []
    for reasons in told:
        line = _Line(TargetSettings("a", "ntp", "a"), None)
        line.missed = [Missed("a", "ntp", "a", n, reason, f"{reason} {n}", 0) for n, reason in enumerate(reasons)]
        cause = _cause(line)
        assert cause is not None
        causes.append(cause.detail)
    assert causes == [
        "kiss_deny 1", "kiss_rate 0", "unsynchronised 2", "stopped_by_server 2", "timeout 1", "malformed 2",
    ]  # fmt: skip
