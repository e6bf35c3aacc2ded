"""From packets of a real chronyd to rows in a real influxd, which goes away in the middle: nothing is lost, nothing is twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support.chrony import Chronyd
from support.databases import Influxd
from support.installed import program
from support.process import Program, wait_until

from timesync.daemon import HISTORY_FILE
from timesync.errors import StoreError
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import NeedPrograms

AHEAD_S = 0.025


def rows_of(folder: Path, target: str) -> int:
    """How many rows of a target the history has; none while it is being made."""
    try:
        history = History(folder / "state" / HISTORY_FILE, read_only=True)
        count = sum(1 for _ in history.records(Selection(target=target)))
    except StoreError:
        return 0
    history.close()
    return count


@pytest.fixture
def need(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc", "influxd")


def test_rows_reach_influxdb_with_the_true_time_error_and_survive_its_absence(need: None, tmp_path: Path) -> None:
    influxd = Influxd(tmp_path)
    with Chronyd() as reference, Chronyd() as server, influxd:
        server.step(AHEAD_S)
        influxd.command("CREATE DATABASE timesync")
        (tmp_path / "site.toml").write_text(
            f"""
[site]
name = "lab"
probe = "p"
[spool]
directory = "state"
[http]
enabled = false
[[influxdb]]
name = "central"
url = "{influxd.url}"
api = "v1"
database = "timesync"
[[target]]
name = "utc"
address = "127.0.0.1:{reference.port}"
interval_s = 0.1
timeout_s = 0.09
realises = "UTC(LAB)"
tie_bound_s = 1e-7
tie_u_s = 3e-8
[[target]]
name = "server"
address = "127.0.0.1:{server.port}"
interval_s = 0.1
timeout_s = 0.09
"""
        )
        with Program([program(), "probe", "--config", tmp_path / "site.toml"]) as daemon:
            daemon.wait_ready(lambda: rows_of(tmp_path, "server") > 10, "it measured")
            influxd.stop()
            away = rows_of(tmp_path, "server")
            wait_until(lambda: rows_of(tmp_path, "server") > away + 20, "measuring goes on without the database")
            influxd.start()
            back_ns = time.time_ns()
            wait_until(
                lambda: influxd.select(f"SELECT count(offset_s) FROM time_error WHERE time > {back_ns}"),
                "fresh rows arrive after the outage",
                timeout_s=90,
            )
            daemon.end()
            assert "stopped" in daemon.output
        kept = rows_of(tmp_path, "server")
        select = "SELECT time_error_s, time_error_bound_s, claim, reason FROM time_error WHERE target = 'server'"
        rows = influxd.select(select)
    history_rows = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    instants = {record.at_ns for record in history_rows.records(Selection(target="server"))}
    history_rows.close()
    assert len(rows) == kept
    assert {row["time"] for row in rows} == instants
    claimed = [row for row in rows if row["claim"] == "valid"]
    assert len(claimed) > 20
    for row in claimed:
        assert abs(row["time_error_s"] - AHEAD_S) <= row["time_error_bound_s"]
