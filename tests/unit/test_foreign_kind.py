"""A laboratory's own instrument, in a distribution of its own: found by its entry point, checked, measured with, stored.

The distribution is written as pip would install it (module, METADATA, entry_points.txt) into a folder on the path of whole
processes of timesync; nothing of timesync is changed for it.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.installed import program

from timesync.daemon import HISTORY_FILE
from timesync.store.local import History
from timesync.store.window import Selection

MODULE = """
import time

from timesync.errors import Problem
from timesync.model import ClockOffset, Timestamping
from timesync.plugin import EngineCounts


class Prober:
    def __init__(self, context, target):
        self._context, self._target = context, target

    async def poll(self):
        known_s = self._target.options["delay_s"]
        at_ns, epoch = time.time_ns(), self._context.clock_epoch()
        name = self._target.name
        return [ClockOffset(name, "pps", at_ns, known_s, 0.0, 1e-9, 2e-9, 3e-9, 0.0, Timestamping.HARDWARE, epoch)]

    async def close(self):
        return []


class Engine:
    def __init__(self, context):
        self._context = context

    async def open_target(self, target):
        return Prober(self._context, target)

    def reconfigure(self, settings):
        return ()

    def counts(self):
        return EngineCounts({}, {})

    async def close(self):
        pass


class Counter:
    name, protocol = "acme-counter", "pps"
    options = {"delay_s": "the delay of the cable, s"}

    def check(self, target, where):
        if target.address.startswith("/dev/"):
            return []
        return [Problem(f"{where}: address", f'"{target.address}" is no device', "Write /dev/NAME")]

    def open(self, context):
        return Engine(context)


COUNTER = Counter()
"""
SITE = """
[site]
name = "lab"
probe = "counter-room"
[http]
enabled = false
[spool]
directory = "{state}"
[[target]]
name = "maser"
kind = "acme-counter"
address = "{address}"
interval_s = 0.1
{option} = 4.25e-8
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that have the distribution."""
    site = tmp_path / "site-packages"
    described = site / "acme_counter-1.0.dist-info"
    described.mkdir(parents=True)
    (site / "acme_counter.py").write_text(MODULE)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-counter\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[timesync.probes]\nacme-counter = acme_counter:COUNTER\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def site_file(folder: Path, *, address: str = "/dev/counter0", option: str = "delay_s") -> Path:
    path = folder / "site.toml"
    path.write_text(SITE.format(state=folder / "state", address=address, option=option))
    return path


def test_its_own_check_speaks_and_its_options_are_known(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [program(), "check", site_file(tmp_path)]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    # Without the distribution the kind is unknown, and the message says so.
    without = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert without.returncode == 1
    assert "acme-counter" in without.stderr + without.stdout
    command = [program(), "check", site_file(tmp_path, address="counter0", option="delay")]
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    told = wrong.stderr + wrong.stdout
    assert '"counter0" is no device' in told
    assert "delay_s" in told  # what was meant


def test_the_daemon_measures_with_it(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [program(), "up", "--config", site_file(tmp_path), "--no-tui", "--duration", "3"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    try:
        rows = list(history.records(Selection("time_error", "maser")))
    finally:
        history.close()
    assert rows
    for row in rows:
        assert row.tags["protocol"] == "pps"
        assert row.fields["offset_s"] == 4.25e-8
        assert row.fields["bound_s"] == pytest.approx(6e-9, rel=1e-12)
        assert row.fields["timestamping"] == "hardware"
    exported = subprocess.run(
        [program(), "export", "maser", "--directory", tmp_path / "state", "--format", "jsonl"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert exported.returncode == 0, exported.stderr
    assert json.loads(exported.stdout.splitlines()[0])["fields"]["offset_s"] == 4.25e-8
