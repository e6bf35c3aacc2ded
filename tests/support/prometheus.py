"""A real Prometheus of a test's own: it scrapes twice a second, judges the rules as often, and is asked by its API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.databases import free_tcp_port
from support.debian import binary
from support.process import Program
from timesync.alerts.prometheus import rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import aiohttp

__all__ = ["Prometheus", "started"]


def started(folder: Path, urls: Sequence[str]) -> tuple[Program, str]:
    """Prometheus in a folder, scraping these pages, and its address; its data are in `data` there, new or from before."""
    (folder / "rules.yaml").write_text(rules(every_s=0.5, patience=0.0), encoding="utf-8")
    scraped = [url.removeprefix("http://").rstrip("/") for url in urls]
    configuration = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "timesync", "static_configs": [{"targets": scraped}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    listen = f"127.0.0.1:{free_tcp_port()}"
    command = [
        *(binary("prometheus"), f"--config.file={folder}/prometheus.yml"),
        *(f"--storage.tsdb.path={folder}/data", f"--web.listen-address={listen}"),
    ]
    return Program(command, cwd=folder), f"http://{listen}"


class Prometheus:
    """What it answers."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer that is good."""
        async with self.session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            body = await answer.json()
        assert body["status"] == "success", (parameters, body)
        return body["data"]

    async def query(self, text: str) -> list[dict[str, Any]]:
        """The present of a query."""
        found: list[dict[str, Any]] = (await self.ask("query", query=text))["result"]
        return found
