"""The services of deploy/compose.yaml work together: TLS, tokens, passwords, paths and rights, with real servers and no engine.

Debian's influxd 1.6 stands for InfluxDB 2, which the lab cannot have: it speaks the same 1.x interface. Grafana does not run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.error
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.chrony import Chronyd
from support.containers import ROOT, Composition, configured
from support.databases import Influxd, fetch
from support.debian import binary, environment
from support.netns import Host, host
from support.process import Program, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTRY = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
PROMETHEUS = "http://127.0.0.1:9090/api/v1"


@pytest.fixture
def made(lab: Any, root: None, tmp_path: Path) -> dict[str, Any]:
    """The composition with secrets of its own, its three targets on one server here, and more impatient scrapes."""
    lab("chronyd", "influxd", "prometheus", "promtool", "prometheus-alertmanager", "amtool")
    subprocess.run([ROOT / "deploy/make-secrets.sh", tmp_path / "secrets"], check=True, capture_output=True)
    site = (ROOT / "deploy/examples/compose.toml").read_text()
    site = re.sub(
        r'(?m)^address = ".*"$', 'address = "127.0.0.1"\ninterval_s = 0.5', site.replace("interval_s = 8\n", "")
    )
    (tmp_path / "site.toml").write_text(site)
    made = configured({"TIMESYNC_SECRETS": f"{tmp_path}/secrets", "TIMESYNC_SITE": f"{tmp_path}/site.toml"})
    for volume in made["services"]["prometheus"]["volumes"]:
        if volume["target"] == "/etc/prometheus/prometheus.yml":
            text = (ROOT / "deploy/compose/prometheus.yml").read_text().replace("15s", "500ms")
            (tmp_path / "prometheus.yml").write_text(text)
            volume["source"] = f"{tmp_path}/prometheus.yml"
    return made


def run(composition: Composition, here: Host, service: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [binary("ip"), "netns", "exec", here.name, *composition.argv(service, words)]
    return subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def once(composition: Composition, *words: str, service: str = "probe") -> subprocess.CompletedProcess[str]:
    """Run something in a container without a network, to its end."""
    argv = composition.argv(service, words)
    return subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def query(here: Host, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers; nothing while it is not there."""
    try:
        answer = json.loads(here.call(lambda: fetch(f"{PROMETHEUS}/query", {"query": expression})))
    except urllib.error.HTTPError as error:
        error.close()  # it begins
        return []
    except OSError:
        return []
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def healthy(composition: Composition, here: Host, made: dict[str, Any], service: str) -> bool:
    """Whether the health check that the file names says so."""
    check = made["services"][service]["healthcheck"]["test"]
    assert check[0] == "CMD"
    return run(composition, here, service, *check[1:]).returncode == 0


def test_the_services_reach_each_other_by_what_the_file_and_its_secrets_give_them(made: dict[str, Any], tmp_path: Path):
    secrets = tmp_path / "secrets"
    composition = Composition(made, tmp_path)
    commands = {name: [ENTRY[name], *made["services"][name]["command"]] for name in ENTRY}
    commands["probe"] = [
        "timesync",
        *json.loads(re.findall(r"(?m)^CMD (.*)$", (ROOT / "deploy/Dockerfile").read_text())[-1]),
    ]
    with host() as here, Chronyd(inside=here):
        (tmp_path / "influxd").mkdir()
        database = Influxd(tmp_path / "influxd", auth=True, port=8086)
        configuration = tmp_path / "influxd" / "influxd.conf"
        with ExitStack() as ending:

            def begin(argv: Sequence[str | Path]) -> Program:
                return ending.enter_context(Program(argv, namespace=here.name))

            running = {"influxdb": begin([binary("influxd"), "-config", configuration])}
            try:
                wait_until(lambda: here.call(lambda: _pings(database)), "influxd answered")
                here.call(lambda: _users(database, secrets))
                for name, words in commands.items():
                    running[name] = begin(composition.argv(name, words))
                _judge(composition, here, made, database)
                _back_up_and_restore(composition, made, running["probe"], tmp_path)
            except AssertionError as error:
                raise AssertionError(
                    "\n".join([*(each.output[-2000:] for each in running.values()), str(error)])
                ) from error
    _nothing_more_than_needed(composition, made)


def _judge(composition: Composition, here: Host, made: dict[str, Any], database: Influxd) -> None:
    wait_until(lambda: [each["value"][1] for each in query(here, 'up{job="timesync"}')] == ["1"], "it was scraped")
    claimed = 'timesync_time_error_seconds{target="gateway-a",site="harbour-exchange"}'
    wait_until(lambda: query(here, claimed), "a time error was scraped")
    for service in ("probe", *ENTRY):
        wait_until(
            lambda name=service: healthy(composition, here, made, name), f"{service} said that it is well", every_s=0.5
        )
    found = json.loads(here.call(lambda: fetch(f"{PROMETHEUS}/alertmanagers", {})))["data"]["activeAlertmanagers"]
    assert [each["url"] for each in found] == ["http://alertmanager:9093/api/v2/alerts"]
    rules = json.loads(here.call(lambda: fetch(f"{PROMETHEUS}/rules", {"type": "alert"})))["data"]["groups"]
    assert "TimesyncUnreachable" in {rule["name"] for group in rules for rule in group["rules"]}
    password = Path(made["secrets"]["grafana_influx_password"]["file"]).read_text().strip()
    rows = "SELECT offset_s FROM time_error"
    wait_until(lambda: here.call(lambda: database.select(rows, u="grafana", p=password)), "Grafana's user read a row")


def _back_up_and_restore(composition: Composition, made: dict[str, Any], probe: Program, tmp_path: Path) -> None:
    """As deploy/README.md says: by a second container on the volume of the first, and by a shell in its place."""
    guide = (ROOT / "deploy/README.md").read_text()
    (folder,) = set(re.findall(r"-v /var/backups/timesync:(/\w+)", guide))
    backups = tmp_path / "backups"
    backups.mkdir(mode=0o700)
    os.chown(backups, 10001, 10001)
    made["services"]["probe"]["volumes"].append({"type": "bind", "source": str(backups), "target": folder})
    (words,) = re.findall(r"(?m)^        (backup /.*)$", guide)
    done = once(composition, "timesync", *words.split())
    assert done.returncode == 0, done.stdout + done.stderr
    probe.end()
    since = tmp_path / "volumes" / "probe-state" / "since"
    since.touch()
    (script,) = re.findall(r"(?m)^        -c '(.*)'$", guide)
    (backup,) = backups.iterdir()
    done = once(composition, "sh", "-c", script.replace("timesync-INSTANT", backup.name))
    assert done.returncode == 0, done.stderr
    assert not since.exists()
    done = once(composition, "timesync", "export", "--directory", "/var/lib/timesync")
    assert "gateway-a" in done.stdout, done.stderr


def _pings(database: Influxd) -> bool:
    try:
        fetch(f"{database.url}/ping", {})
    except OSError:
        return False
    return True


def _users(database: Influxd, secrets: Path) -> None:
    """What compose/influxdb-users.sh does in InfluxDB 2: one who writes, one who reads, by the passwords of the files."""
    admin = {"u": "admin", "p": (secrets / "influxdb/admin.password").read_text().strip()}
    database.command(f"CREATE USER admin WITH PASSWORD '{admin['p']}' WITH ALL PRIVILEGES")
    database.command("CREATE DATABASE timesync", **admin)
    for user, right in (("probe", "ALL"), ("grafana", "READ")):
        password = (secrets / f"influxdb/{user}.password").read_text().strip()
        database.command(f"CREATE USER {user} WITH PASSWORD '{password}'", **admin)
        database.command(f"GRANT {right} ON timesync TO {user}", **admin)


def _nothing_more_than_needed(composition: Composition, made: dict[str, Any]) -> None:
    """The probe may write to its records and to /tmp, holds no capability, and no secret of another service."""
    for words, allowed in (
        (("touch", "/var/lib/timesync/x"), True),
        (("touch", "/tmp/x"), True),
        (("touch", "/opt/x"), False),
        (("touch", "/etc/timesync/site.toml"), False),
        (("cat", "/run/secrets/page.token"), True),
        (("cat", made["secrets"]["grafana_admin_password"]["file"]), False),
        (("grep", "-q", "^CapBnd:.0000000000000000$", "/proc/self/status"), True),
    ):
        done = once(composition, *words)
        assert (done.returncode == 0) is allowed, f"{words}: {done.stderr}"


def test_the_databases_users_are_made_by_the_secrets_that_their_readers_hold(
    made: dict[str, Any], tmp_path: Path
) -> None:
    """compose/influxdb-users.sh, run as its image would, with a client that writes down what it is asked."""
    composition = Composition(made, tmp_path)
    composition.argv("influxdb", ["true"])  # the volume is made
    client = tmp_path / "volumes" / "influxdb-data" / "influx"
    client.write_text('#!/bin/sh\necho "$@" >>/var/lib/influxdb2/told\n')
    client.chmod(0o755)
    path = f"PATH=/var/lib/influxdb2:{environment()['PATH']}"
    words = ["env", path, "DOCKER_INFLUXDB_INIT_BUCKET_ID=b1", "/docker-entrypoint-initdb.d/users.sh"]
    done = once(composition, *words, service="influxdb")
    assert done.returncode == 0, done.stderr
    passwords = {
        user: Path(made["secrets"][f"{user}_influx_password"]["file"]).read_text().strip()
        for user in ("probe", "grafana")
    }
    assert client.with_name("told").read_text().splitlines() == [
        "v1 dbrp create --db timesync --rp autogen --default --bucket-id b1",
        f"v1 auth create --username probe --password {passwords['probe']} --write-bucket b1 --read-bucket b1",
        f"v1 auth create --username grafana --password {passwords['grafana']} --read-bucket b1",
    ]
