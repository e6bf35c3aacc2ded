"""`timesync health` asks the running probe, over TLS and with its token where these are configured, and believes no other."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.databases import free_tcp_port

from timesync.cli import main
from timesync.config import load
from timesync.web.health import Check
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SITE = """
[site]
name = "NIM"
probe = "probe-1"
[[target]]
name = "ntp1"
address = "192.0.2.1"
[http]
port = {port}
"""
SAFE = """host = "0.0.0.0"
tls_certificate = "page.crt"
tls_key = "page.key"
token_file = "page.token"
"""
GOOD = [Check("event loop", well=True, detail="turned 0.1 s ago")]
BAD = [Check("spool", well=False, detail="disk full")]


def certificate(folder: Path) -> None:
    """A certificate for a name that is not the address asked."""
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    argv += ["-subj", "/CN=elsewhere", "-keyout", folder / "page.key", "-out", folder / "page.crt"]
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(port=free_tcp_port()))
    return path


@pytest.fixture
def safe_site(site: Path) -> Path:
    """Beyond loopback: with a certificate and a token."""
    site.write_text(site.read_text() + SAFE)
    certificate(site.parent)
    (site.parent / "page.token").write_text("s3cret\n")
    for name in ("page.key", "page.token"):
        (site.parent / name).chmod(0o600)
    return site


async def ask(
    site: Path, *words: str, alive: Sequence[Check] = GOOD, ready: Sequence[Check] = GOOD, served: Path | None = None
) -> int:
    """The status of the command beside a server with the settings of `served`, or of the same configuration."""

    async def metrics() -> bytes:
        return b""

    settings = load(served or site).http
    server = WebServer(settings, title="t", metrics=metrics, alive=lambda: alive, ready=lambda: ready)
    await server.start()
    try:
        return await asyncio.to_thread(main, ["health", "--config", str(site), *words])
    finally:
        await server.stop()


async def test_a_probe_that_is_well_says_so(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await ask(site, ready=BAD) == 0
    assert capsys.readouterr().out == "ok  event loop: turned 0.1 s ago\n"


async def test_what_fails_is_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await ask(site, "--ready", ready=BAD) == 1
    assert "FAILING  spool: disk full" in capsys.readouterr().out
    assert await ask(site, alive=BAD) == 1


async def test_it_speaks_tls_and_carries_the_token(safe_site: Path) -> None:
    assert await ask(safe_site, "--ready") == 0


@pytest.fixture
def impostor(safe_site: Path) -> Path:
    """The same address, another certificate, the same token."""
    folder = safe_site.parent / "other"
    folder.mkdir()
    for name in ("site.toml", "page.token"):
        (folder / name).write_text((safe_site.parent / name).read_text())
    certificate(folder)
    for name in ("page.key", "page.token"):
        (folder / name).chmod(0o600)
    return folder / "site.toml"


async def test_a_server_with_another_certificate_is_not_believed(
    safe_site: Path, impostor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ask(impostor) == 0
    assert await ask(safe_site, served=impostor) == 1
    assert "certificate verify failed" in capsys.readouterr().out


def test_a_probe_that_does_not_run_is_not_well(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--config", str(site), "--timeout", "1"]) == 1
    assert "no answer from 127.0.0.1" in capsys.readouterr().out


def test_a_configuration_that_serves_nothing_is_a_mistake(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write_text(site.read_text() + "enabled = false\n")
    assert main(["health", "--config", str(site)]) == 2
    assert "[http]" in capsys.readouterr().err
