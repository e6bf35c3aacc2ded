"""Too few file descriptors: told at the start, and never at the cost of what has been measured."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from timesync.daemon import HISTORY_FILE
from timesync.descriptors import RESERVE, allow_many, shortage
from timesync.errors import StoreError
from timesync.store.local import History, Selection

LIMIT = 100
TARGETS = 120


def test_limit_that_is_enough_needs_no_word() -> None:
    assert shortage(1000, 1000 + RESERVE) == ""


def test_limit_that_is_too_low_is_told_with_the_number_that_is_needed() -> None:
    assert f"Raise it to {1000 + RESERVE} or more" in shortage(1000, 1024)


@pytest.mark.parametrize("error", [PermissionError(1, "Operation not permitted"), ValueError("not allowed")])
def test_limit_that_may_not_be_raised_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise error

    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 200))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert allow_many() == 100


def reasons_in(directory: Path) -> set[str]:
    """The reasons in the history, none while there is no history yet."""
    try:
        history = History(directory / "state" / HISTORY_FILE, read_only=True)
        reasons = {str(row.fields["reason"]) for row in history.records(Selection(measurement="time_error"))}
    except (StoreError, sqlite3.Error):
        return set()
    history.close()
    return reasons


def test_too_many_targets_are_told_and_leave_the_store_its_files(tmp_path: Path) -> None:
    targets = "".join(
        f'[[target]]\nname = "t{number}"\naddress = "127.0.0.1:9"\ninterval_s = 1.0\ntimeout_s = 0.2\n'
        for number in range(TARGETS)
    )
    (tmp_path / "site.toml").write_text(
        '[site]\nname = "s"\nprobe = "p"\n[spool]\ndirectory = "state"\n[http]\nenabled = false\n'
        f"[stability]\nenabled = false\n{targets}"
    )
    program = Path(sys.executable).with_name("timesync")
    with subprocess.Popen(
        ["prlimit", f"--nofile={LIMIT}:{LIMIT}", program, "probe", "--config", tmp_path / "site.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as daemon:
        deadline = time.monotonic() + 30
        while not reasons_in(tmp_path) >= {"port_unreachable", "send_failed"} and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2.0)  # some rounds of the spool's housekeeping
        daemon.terminate()
        output, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, output
    assert f"the limit of {LIMIT} open files is too low for {TARGETS} targets" in output
    assert "spool_maintenance_failed" not in output
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    kinds = [row.tags["kind"] for row in history.records(Selection(measurement="event"))]
    history.close()
    assert {"port_unreachable", "send_failed"} <= reasons_in(tmp_path)
    assert "too_few_descriptors" in kinds
    assert "spool_maintenance_failed" not in kinds
    assert kinds[-1] == "stopped"
