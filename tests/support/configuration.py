"""Configurations for tests: the least one, the settings or the problems of a text, and the secrets that some refer to."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from timesync.config import parse
from timesync.errors import ConfigError

if TYPE_CHECKING:
    from timesync.settings import ProbeSettings

__all__ = ["LEAST", "problems", "put_secrets", "read"]

LEAST = """
[site]
name = "NIM"
probe = "probe-1"
[[target]]
name = "ntp1"
address = "192.0.2.1"
"""


def read(text: str, folder: Path = Path("/nowhere"), environment: dict[str, str] | None = None) -> ProbeSettings:
    return parse(text.encode(), "site.toml", folder, environment or {})


def problems(text: str, folder: Path = Path("/nowhere")) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, folder)
    return [str(problem) for problem in caught.value.problems]


def put_secrets(folder: Path) -> None:
    """Make a folder as the bad configurations expect it beside them."""
    for name, content, mode in (
        ("good.secret", "s3cret\n", 0o600),
        ("group.secret", "s3cret\n", 0o640),
        ("open.secret", "s3cret\n", 0o644),
        ("empty.secret", "", 0o600),
        ("file.txt", "x\n", 0o644),
        ("good.keys", "7 AES128 HEX:000102030405060708090a0b0c0d0e0f\n", 0o600),
        ("bad.keys", "7 AES128 HEX:00\n7\n", 0o600),
    ):
        path = folder / name
        path.write_text(content)
        path.chmod(mode)
    shutil.copy(files("timesync") / "data" / "leap-seconds.list", folder)
