"""`timesync check`: its exit status, its text and its JSON; and the manual and the example that it is read with."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fake_kind import install_fake_kinds

from timesync.commands import check
from timesync.config.keys import TABLES
from timesync.config.manual import SHIPPED_KINDS, manual, options_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

SITE = """\
[site]
name = "NIM"
probe = "probe-1"

[[target]]
name = "utc-nim"
address = "10.20.0.10"
interval_s = 4
realises = "UTC(NIM)"
tie_bound_s = 100e-9
tie_u_s = 20e-9
tie_valid_until = 2199-01-01

[[target]]
name = "ntp1"
address = "ntp1.example"
interval_s = 8
burst = 2

[local_reference]
realises = "UTC(NIM)"
bound_s = 1e-6
u_s = 0

[spool]
directory = "/srv/timesync"

[[influxdb]]
name = "central"
url = "https://influx.example:8086"
bucket = "timesync"
"""

SUMMARY = """\
FILE: good. Probe probe-1 at NIM.

References (2)
  NAME     REALISES  BOUND    u        VALID UNTIL
  local    UTC(NIM)  1e-06 s  0 s      no end declared
  utc-nim  UTC(NIM)  1e-07 s  2e-08 s  2199-01-02T00:00:00Z

Targets (2)
  NAME     KIND  ADDRESS       EVERY             REFERENCE
  utc-nim  ntp   10.20.0.10    4 s               is one
  ntp1     ntp   ntp1.example  8 s, 2 at a time  utc-nim
"""


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    check.add_parser(parser.add_subparsers())
    args = parser.parse_args(["check", *map(str, arguments)])
    status: int = args.run(args)
    return status


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write a configuration that is checked with fake probe kinds."""
    install_fake_kinds(monkeypatch)

    def write_site(text: str) -> Path:
        path = tmp_path / "site.toml"
        path.write_text(text)
        return path

    return write_site


def test_good_configuration_gives_a_summary_and_status_0(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(SITE)
    assert run(path) == 0
    out = capsys.readouterr().out.replace(str(path), "FILE")
    assert out.startswith(SUMMARY)
    assert "history  /srv/timesync, kept for 400 days" in out
    assert "central  https://influx.example:8086 (InfluxDB api v2), bucket timesync" in out
    assert "metrics  http://127.0.0.1:9787/metrics, scraped by Prometheus" in out
    assert out.splitlines()[-1].startswith("  [[target]]: ntp1: asked more often than every 16 s")


def test_columns_of_the_summary_are_aligned(write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    run(write(SITE))
    head, *rows = capsys.readouterr().out.split("Targets (2)\n")[1].split("\n\n")[0].splitlines()
    assert {row[head.index("ADDRESS") :].split("  ")[0] for row in rows} == {"10.20.0.10", "ntp1.example"}
    assert {row[head.index("REFERENCE") :] for row in rows} == {"is one", "utc-nim"}


def test_good_configuration_in_json_has_targets_references_sinks_and_notes(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write(SITE), "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["good"], told["problems"], told["site"], told["probe"]) == (True, [], "NIM", "probe-1")
    assert [target["reference"] for target in told["targets"]] == [None, "utc-nim"]
    assert told["references"][1] == {
        "name": "utc-nim",
        "realises": "UTC(NIM)",
        "bound_s": 1e-7,
        "u_s": 2e-8,
        "valid_until": "2199-01-02T00:00:00Z",
    }
    assert [sink["name"] for sink in told["sinks"]] == ["history", "central", "metrics"]
    assert [note["where"] for note in told["notes"]] == ["[[target]]"]


BAD = SITE.replace("interval_s = 8", 'interval_s = "8"').replace("[spool]", "[spol]")


def test_bad_configuration_gives_every_problem_with_its_remedy_and_status_1(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(BAD)
    assert run(path) == 1
    assert capsys.readouterr().out.replace(str(path), "FILE").splitlines() == [
        "FILE: 2 problems",
        "  FILE: spol: there is no such table",
        "      Did you mean [spool]?",
        '  FILE: [[target]] 2 "ntp1": interval_s: "8" is text; a number is wanted',
        "      Write interval_s = 8, without quotes",
    ]


def test_bad_configuration_in_json_has_place_problem_and_remedy(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(BAD)
    assert run(path, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["good"] is False
    assert told["problems"][1] == {
        "where": f'{path}: [[target]] 2 "ntp1": interval_s',
        "what": '"8" is text; a number is wanted',
        "remedy": "Write interval_s = 8, without quotes",
    }


@pytest.mark.parametrize(("name", "reason"), [("absent.toml", "does not exist"), (".", "is a directory")])
def test_file_that_is_not_there_is_a_mistake_of_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    assert run(tmp_path / name) == 2
    assert capsys.readouterr().err == f"timesync check: {tmp_path / name} {reason}\n"


def test_missing_argument_is_a_mistake_of_usage() -> None:
    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 2


def test_manual_is_what_the_table_of_keys_makes() -> None:
    told = (ROOT / "deploy" / "CONFIGURATION.md").read_text(encoding="utf-8")
    made = manual(options_of(SHIPPED_KINDS))
    assert told == made, "run: python -m timesync.config.manual > deploy/CONFIGURATION.md"


def test_every_setting_and_every_option_is_in_the_manual() -> None:
    told = (ROOT / "deploy" / "CONFIGURATION.md").read_text(encoding="utf-8")
    for table in TABLES:
        section = told.split(f"## `{table.heading}`\n")[1].split("\n## ")[0]
        for key in table.keys:
            assert f"| `{key.name}` |" in section, f"{table.heading} {key.name}"
    for kind, options in options_of(SHIPPED_KINDS).items():
        section = told.split(f'## Options of `kind = "{kind}"`\n')[1].split("\n## ")[0]
        for name in options:
            assert f"| `{name}` |" in section, f"{kind} {name}"


@pytest.mark.parametrize("key", [(table, key) for table in TABLES for key in table.keys], ids=lambda pair: pair[1].name)
def test_example_of_every_key_is_toml(key: Any) -> None:
    assert key[1].name in tomllib.loads(f"{key[1].name} = {key[1].example}\n")


def test_importing_the_command_brings_nothing_heavy() -> None:
    heavy = ("rich", "aiohttp", "numpy", "asyncio", "influxdb_client", "cryptography")
    code = f"import sys, timesync.commands.check; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
