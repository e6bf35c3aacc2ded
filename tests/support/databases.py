"""Real databases for the tests of sinks: Debian's influxd 1.6 and VictoriaMetrics, on the loopback, in a folder of their own."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from support.debian import binary
from support.process import Program

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Influxd", "VictoriaMetrics", "free_tcp_port"]


def free_tcp_port() -> int:
    """A TCP port of the loopback that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str, query: dict[str, str], *, post: bool = False, headers: dict[str, str] | None = None) -> bytes:
    """The body of an answer; raises urllib.error.HTTPError for one that is not good."""
    data = urlencode(query).encode() if post else None
    address = url if post else f"{url}?{urlencode(query)}"
    with urllib.request.urlopen(urllib.request.Request(address, data, headers or {}), timeout=20) as answer:
        body: bytes = answer.read()
        return body


def answers(url: str) -> bool:
    """Whether a server is there."""
    try:
        fetch(url, {})
    except (urllib.error.URLError, OSError):
        return False
    return True


class Influxd:
    """influxd with one database, `timesync`. `max_body` limits what one write may hold."""

    def __init__(
        self, folder: Path, *, auth: bool = False, max_body: int = 25_000_000, port: int | None = None
    ) -> None:
        self.port = port or free_tcp_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._file = folder / "influxd.conf"
        self._file.write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{free_tcp_port()}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{self.port}"
auth-enabled = {str(auth).lower()}
max-body-size = {max_body}
log-enabled = false
"""
        )
        self._program: Program | None = None

    def start(self) -> None:
        """Start it; the data of an earlier start is there again."""
        self._program = Program([binary("influxd"), "-config", self._file])
        self._program.wait_ready(lambda: answers(f"{self.url}/ping"), "it answered /ping")

    def stop(self) -> None:
        """End it; the data stay."""
        if self._program is not None:
            self._program.__exit__()
            self._program = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def command(self, text: str, **parameters: str) -> Any:
        """Send a command that changes something (CREATE DATABASE ...)."""
        return json.loads(fetch(f"{self.url}/query?{urlencode(parameters)}", {"q": text}, post=True))

    def select(self, text: str, database: str = "timesync", **parameters: str) -> list[dict[str, Any]]:
        """The rows of a query, with `time` in ns."""
        query = {"q": text, "db": database, "epoch": "ns", **parameters}
        (result,) = json.loads(fetch(f"{self.url}/query", query))["results"]
        if "error" in result:
            raise AssertionError(result["error"])
        rows: list[dict[str, Any]] = []
        for series in result.get("series", ()):
            tags = series.get("tags", {})
            rows += [{**tags, **dict(zip(series["columns"], values, strict=True))} for values in series["values"]]
        return rows


class VictoriaMetrics:
    """A single-node VictoriaMetrics that keeps a hundred years."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.port = free_tcp_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._argv = [
            binary("victoria-metrics"),
            f"-storageDataPath={folder}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            *flags,
        ]
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self._program = Program(self._argv)
        self._program.wait_ready(lambda: answers(f"{self.url}/health"), "it answered /health")
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._program is not None:
            self._program.__exit__()

    def export(self, match: str) -> list[dict[str, Any]]:
        """Every raw sample of the series that match, one dict for each series (metric, values, timestamps in ms)."""
        fetch(f"{self.url}/internal/force_flush", {})
        body = fetch(f"{self.url}/api/v1/export", {"match[]": match, "start": "0"})
        return [json.loads(line) for line in body.splitlines()]
