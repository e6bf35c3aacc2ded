"""From a stepped clock to the telephone: a real chronyd, the daemon, a real Prometheus and Alertmanager, and a webhook.

The rules are those that are shipped, with a fraction of their patience.
"""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest
from support.chrony import Chronyd
from support.databases import free_tcp_port
from support.debian import binary, over_usr
from support.installed import program
from support.process import Program, wait_until

from timesync.alerts.prometheus import rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SITE = """
[site]
name = "lab"
probe = "p"
[spool]
directory = "state"
[http]
port = {http}
[alerts]
patience = 0.02
[[notify]]
name = "own"
kind = "webhook"
url = "http://127.0.0.1:{hook}/own"
[[target]]
name = "utc"
address = "127.0.0.1:{reference}"
interval_s = 0.25
timeout_s = 0.2
realises = "UTC(LAB)"
tie_bound_s = 1e-7
tie_u_s = 3e-8
[[target]]
name = "server"
address = "127.0.0.1:{server}"
interval_s = 0.25
timeout_s = 0.2
limit = "cat-50ms"
"""


class Hook:
    """A webhook that remembers which alerts it was told of, by its path: (alert, target, status)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str | None, str]] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    labels = alert["labels"]
                    told.append((self.path, labels["alertname"], labels.get("target"), alert["status"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                """Nothing on the test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, path: str) -> list[tuple[str, str | None, str]]:
        """What a sender told, each once, in order."""
        return list(dict.fromkeys(entry[1:] for entry in self.told if entry[0] == path))


@pytest.fixture
def monitors(lab, tmp_path: Path) -> Iterator[tuple[Hook, int, list[Program]]]:
    """A webhook, the port that is scraped, and Prometheus with its Alertmanager."""
    lab("chronyd", "chronyc", "prometheus", "prometheus-alertmanager")
    if os.geteuid() != 0:
        pytest.skip("Debian's alertmanager needs a mount namespace, which only root can make")
    http, alertmanager = free_tcp_port(), free_tcp_port()
    (tmp_path / "rules.yaml").write_text(rules(patience=0.02, every_s=0.5), encoding="utf-8")
    prometheus = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [{"job_name": "timesync", "static_configs": [{"targets": [f"127.0.0.1:{http}"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(prometheus))
    with Hook() as hook:
        route = {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
        url = f"http://127.0.0.1:{hook.port}/alertmanager"
        receivers = [{"name": "hook", "webhook_configs": [{"url": url, "send_resolved": True}]}]
        (tmp_path / "alertmanager.yml").write_text(json.dumps({"route": route, "receivers": receivers}))
        listen = f"--web.listen-address=127.0.0.1:{alertmanager}"
        of_alerts = over_usr(
            [
                *(binary("prometheus-alertmanager"), f"--config.file={tmp_path}/alertmanager.yml", listen),
                *(f"--storage.path={tmp_path}/alerts", "--cluster.listen-address="),
            ]
        )
        of_metrics = [
            *(binary("prometheus"), f"--config.file={tmp_path}/prometheus.yml"),
            *(f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{free_tcp_port()}"),
        ]
        with Program(of_alerts, cwd=tmp_path) as one, Program(of_metrics, cwd=tmp_path) as other:
            yield hook, http, [one, other]


def test_a_stepped_server_is_told_to_be_beyond_its_limit_and_then_to_be_well_again(monitors, tmp_path: Path) -> None:
    hook, http, programs = monitors
    with Chronyd() as reference, Chronyd() as server:
        site = SITE.format(http=http, hook=hook.port, reference=reference.port, server=server.port)
        (tmp_path / "site.toml").write_text(site)
        with Program([program(), "probe", "--config", tmp_path / "site.toml"], cwd=tmp_path) as daemon:
            daemon.wait_for_output("listening")
            time.sleep(1.0)  # some polls while all is well: nothing may be told of them
            server.step(0.2)
            name, fires, over = "TimesyncCertainBreach", "firing", "resolved"

            def told(path: str, status: str) -> bool:
                return (name, "server", status) in hook.of(path)

            try:
                wait_until(lambda: told("/own", fires), "the daemon told", timeout_s=20)
                wait_until(lambda: told("/alertmanager", fires), "Alertmanager told", timeout_s=30)
                server.step(-0.2)
                wait_until(lambda: told("/own", over), "the daemon told of the end", timeout_s=20)
                wait_until(lambda: told("/alertmanager", over), "Alertmanager told of the end", timeout_s=30)
            except AssertionError as error:
                said = "\n".join(each.output[-2000:] for each in (daemon, *programs))
                raise AssertionError(f"{error}\ntold: {hook.told}\n{said}") from None
    assert hook.of("/own") == [(name, "server", fires), (name, "server", over)]
    of_server = [entry for entry in hook.of("/alertmanager") if entry[0] != "TimesyncProbeDown"]
    assert of_server == [(name, "server", fires), (name, "server", over)]
