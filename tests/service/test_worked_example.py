"""The worked example, from packets to UTC: two real chronyds, a calibrated link and Circular T, each a part that the test knows.

The server is 25 ms ahead of the host's clock and the reference 10 ms, the reference is 3 us ahead of UTC(LAB) by its certificate,
and UTC - UTC(LAB) is published. So UTC - server = [UTC - UTC(LAB)] - (25 ms - 10 ms + 3 us), and nothing else.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.bulletins import circular_t
from support.chrony import Chronyd
from support.databases import Influxd
from support.installed import program
from support.measuring import command_line
from support.process import Program, wait_until

from timesync.errors import StoreError
from timesync.store.local import History, Selection
from timesync.timescale import mjd_to_unix_ns, unix_ns_to_mjd

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import NeedPrograms

    from timesync.model import Record

AHEAD_S, REFERENCE_AHEAD_S, LINK_S = 25e-3, 10e-3, 3e-6
RATE_NS = 2.0  # a day
SITE = """
[site]
name = "lab"
probe = "p"
[spool]
directory = "state"
[http]
enabled = false
[stability]
enabled = false
[[influxdb]]
name = "central"
url = "{influxd}"
api = "v1"
database = "timesync"
[[target]]
name = "utc-lab"
address = "127.0.0.1:{reference}"
interval_s = 0.2
timeout_s = 0.15
realises = "UTC(LAB)"
[[target]]
name = "server"
address = "127.0.0.1:{server}"
interval_s = 0.2
timeout_s = 0.15
[[link]]
name = "cable"
reference = "utc-lab"
kind = "calibrated"
value_s = 3e-6
bound_s = 1e-7
u_s = 4e-8
calibrated_at = {calibrated}
valid_until = {valid}
certificate = "LAB-2026-0042"
"""


def site_toml(influxd: str, reference: int, server: int) -> str:
    today = datetime.now(UTC).date()
    dates = {"calibrated": today - timedelta(days=30), "valid": today + timedelta(days=30)}
    return SITE.format(influxd=influxd, reference=reference, server=server, **dates)


def rows_of(state: Path) -> list[Record]:
    """The server's rows with a claim."""
    try:
        history = History(state / "history.sqlite3", read_only=True)
        rows = [row for row in history.records(Selection(target="server")) if "time_error_s" in row.fields]
    except StoreError:
        return []
    history.close()
    return rows


def labels(state: Path) -> set[object]:
    return {row.fields["utc_label"] for row in rows_of(state)}


def issue(number: int, mjds: list[int], at_first_ns: float) -> str:
    return circular_t(number, mjds, {"LAB": [at_first_ns + RATE_NS * (mjd - mjds[0]) for mjd in mjds]}, "1.0  2.0  2.2")


@pytest.fixture
def need(lab: NeedPrograms) -> None:
    lab("chronyd", "chronyc", "influxd")


def test_from_packets_to_utc(need: None, tmp_path: Path) -> None:
    state, now = tmp_path / "state", unix_ns_to_mjd(time.time_ns())[0]
    last = now - (now - 4) % 5  # the newest date that ends in 4 or 9
    early_dates, later_dates = list(range(last - 30, last + 1, 5)), list(range(last, last + 31, 5))
    (tmp_path / "early").write_text(issue(500, early_dates, -5000.0))
    # What is published later is 40 ns off the prediction, all along.
    (tmp_path / "later").write_text(issue(501, later_dates, -5000.0 + RATE_NS * 30 + 40.0))
    config = tmp_path / "site.toml"

    def utc_minus_utck_s(at_ns: int, shift_ns: float) -> float:
        days = (at_ns - mjd_to_unix_ns(last - 30)) / 86_400e9
        return (-5000.0 + RATE_NS * days + shift_ns) * 1e-9

    def check(row: Record, shift_ns: float, prefix: str = "utc_minus_x", u: str = "utc_minus_x_expanded_s") -> None:
        known_s = utc_minus_utck_s(row.at_ns, shift_ns) - (AHEAD_S - REFERENCE_AHEAD_S + LINK_S)
        value_s, expanded_s = row.fields[f"{prefix}_s"], row.fields[u]
        assert isinstance(value_s, float)
        assert isinstance(expanded_s, float)
        assert abs(value_s - known_s) <= expanded_s

    influxd = Influxd(tmp_path)
    with Chronyd() as reference, Chronyd() as server, influxd:
        reference.step(REFERENCE_AHEAD_S)
        server.step(AHEAD_S)
        influxd.command("CREATE DATABASE timesync")
        config.write_text(site_toml(influxd.url, reference.port, server.port))
        status, told, complaint = command_line("circular-t", "import", str(tmp_path / "early"), "--config", str(config))
        assert status == 0, complaint
        assert "Circular T 500, 1 laboratories" in told
        with Program([program(), "probe", "--config", config]) as daemon:
            daemon.wait_ready(lambda: len(rows_of(state)) > 15, "it measured")
            early = rows_of(state)
            assert labels(state) == {"predicted"}
            for row in early:
                check(row, 0.0)
                assert (row.fields["link"], row.fields["link_s"]) == ("cable", LINK_S)

            assert command_line("circular-t", "import", str(tmp_path / "later"), "--config", str(config))[0] == 0
            wait_until(lambda: labels(state) == {"final"}, "the span is final", timeout_s=40)
            final = {row.at_ns: row for row in rows_of(state)}
            for old in early:
                row = final[old.at_ns]
                check(row, 40.0)
                assert row.fields["utc_issue"] == "Circular T 501"
                # both are on record
                assert row.fields["utc_early_minus_x_s"] == old.fields["utc_minus_x_s"]
                assert (row.fields["utc_early_label"], row.fields["utc_early_issue"]) == ("predicted", "Circular T 500")
                moved_s = float(row.fields["utc_minus_x_s"]) - float(old.fields["utc_minus_x_s"])
                assert moved_s == pytest.approx(40e-9, abs=1e-12)

            def in_influxdb() -> set[object]:
                select = "SELECT utc_label, utc_minus_x_s FROM time_error WHERE target = 'server'"
                known = {row["time"]: row for row in influxd.select(select) if row["utc_label"]}
                return {known[row.at_ns]["utc_label"] if row.at_ns in known else None for row in early}

            wait_until(lambda: in_influxdb() == {"final"}, "it is final in InfluxDB too", timeout_s=40)
            daemon.end()
    status, out, complaint = command_line("explain", "server", "--config", str(config), "--json")
    assert status == 0, complaint
    check_explanation(json.loads(out))


def check_explanation(found: dict[str, Any]) -> None:
    """The chain is complete, its steps add up, and so does the budget."""
    assert [step["what"] for step in found["chain"]] == [
        "server - probe",
        "probe - utc-lab",
        "utc-lab - UTC(LAB)",
        "UTC - UTC(LAB)",
    ]
    values = [step["value_s"] for step in found["chain"]]
    assert values[0] == pytest.approx(AHEAD_S, abs=1e-3)
    assert values[1] == pytest.approx(-REFERENCE_AHEAD_S, abs=1e-3)
    assert values[2] == LINK_S
    assert values[3] - sum(values[:3]) == pytest.approx(found["value_s"], abs=1e-12)
    assert all(step["source"] and step["validity"] for step in found["chain"])
    assert "LAB-2026-0042" in found["chain"][2]["source"]
    assert found["chain"][3]["source"].startswith("Circular T 501")
    assert (found["label"], found["issue"]) == ("final", "Circular T 501")
    assert sum(line["sensitivity"] * line["value_s"] for line in found["budget"]) == pytest.approx(found["value_s"])
