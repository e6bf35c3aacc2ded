"""What a probe takes of a disk and of Prometheus: octets a row in its history, in InfluxDB and in a backup, and series a target.

A real probe measures a real chronyd by 40 targets, with every part on, into a real influxd 1.6 whose log is turned into its
files at once. The figures of deploy/README.md, "Capacity", are these.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from support.chrony import Chronyd
from support.databases import Influxd, free_tcp_port
from support.installed import program
from support.process import Program

TARGETS = 40
SITE = """
[site]
name = "lab"
probe = "p"
[http]
port = {http}
[spool]
directory = "state"
[[influxdb]]
name = "i"
url = "{influx}"
api = "v1"
database = "timesync"
[[target]]
name = "utc"
address = "{server}"
interval_s = 0.5
realises = "UTC(LAB)"
tie_bound_s = 1e-7
tie_u_s = 1e-8
"""
TARGET = """
[[target]]
name = "t{number}"
address = "{server}"
interval_s = 0.5
limit = "cat-50ms"
"""
AT_ONCE = 'cache-snapshot-write-cold-duration = "3s"\ncompact-full-write-cold-duration = "3s"'


def figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "limit": None, "better": "lower"}


def influxd(folder: Path) -> Influxd:
    """One that writes its files some seconds after the last point."""
    folder.mkdir()
    database = Influxd(folder)
    file = folder / "influxd.conf"
    file.write_text(file.read_text().replace("query-log-enabled = false", f"query-log-enabled = false\n{AT_ONCE}"))
    return database


def measured(folder: Path, seconds: float) -> list[dict[str, Any]]:
    http = free_tcp_port()
    with influxd(folder / "influxd") as database, Chronyd() as chronyd:
        database.command("CREATE DATABASE timesync")
        server = f"{chronyd.address}:{chronyd.port}"
        site = SITE.format(http=http, influx=database.url, server=server)
        site += "".join(TARGET.format(number=number, server=server) for number in range(1, TARGETS))
        (folder / "site.toml").write_text(site)
        with Program([program(), "probe", "--config", folder / "site.toml"], cwd=folder):
            time.sleep(seconds)
            with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10) as answer:
                shown = answer.read().decode().splitlines()
        series = sum('target="t1"' in line for line in shown)
        history = folder / "state" / "history.sqlite3"
        with closing(sqlite3.connect(history)) as opened:
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (rows,) = opened.execute("SELECT count(*) FROM point").fetchone()
        begun = time.monotonic()
        argv = [program(), "backup", folder / "backups", "--directory", folder / "state"]
        subprocess.run(argv, check=True, capture_output=True)
        backup_s = time.monotonic() - begun
        copied = sum(path.stat().st_size for path in (folder / "backups").rglob("*") if path.is_file())
        time.sleep(15)
        (stored,) = database.select("SELECT count(offset_s) FROM time_error")
        files = sum(path.stat().st_size for path in (folder / "influxd" / "data" / "timesync").rglob("*.tsm"))
    return [
        figure("history, a row", history.stat().st_size / rows, "bytes"),
        figure("InfluxDB 1.6, a row", files / stored["count"], "bytes"),
        figure("series of a target, without stability", series, "series"),
        figure("backup, a MB", backup_s / (copied / 1e6), "s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of a minute in place of a minute and a half")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), 15 if options.quick else 90)
    for each in figures:
        print(f"{each['name']:40} {each['value']:10.3f} {each['unit']}")
    if options.output:
        options.output.write_text(json.dumps({"figures": figures}, indent=1))


if __name__ == "__main__":
    main()
