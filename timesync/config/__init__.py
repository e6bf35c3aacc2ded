"""A configuration file (TOML) to `timesync.settings`: everything wrong with it at once, or settings that are good.

Rule: `load` and `parse` give settings that hold in every respect that can be known without the network, or raise
`timesync.errors.ConfigError` with every problem: where it is, what it is, and the remedy. Nothing else is raised. The table of
keys is in `timesync.config.keys`; the manual made from it is deploy/CONFIGURATION.md. The language is TOML 1.0
(https://toml.io/en/v1.0.0).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from timesync.config.build import build
from timesync.config.checks import CHECKS
from timesync.config.files import Places
from timesync.config.remarks import Remark, remarks
from timesync.config.sections import read_document
from timesync.config.syntax import read_toml
from timesync.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from timesync.settings import ProbeSettings

__all__ = ["Remark", "load", "parse", "remarks"]


def load(path: Path, environment: Mapping[str, str] | None = None) -> ProbeSettings:
    """The settings in the file at `path`; relative paths in it start at its folder.

    `environment` (the process's own where None) gives STATE_DIRECTORY and CREDENTIALS_DIRECTORY, as systemd sets them.
    Raises `ConfigError`, for a file that cannot be read too.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        problem = Problem(
            str(path), f"it cannot be read ({error.strerror})", "Name a configuration that exists and is readable"
        )
        raise ConfigError(str(path), (problem,)) from error
    return parse(data, str(path), path.parent, os.environ if environment is None else environment)


def parse(data: bytes, source: str, folder: Path, environment: Mapping[str, str]) -> ProbeSettings:
    """The settings in `data`, which `source` names in messages. Raises `ConfigError`."""
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    places = Places(folder.absolute(), folder.absolute() / credentials if credentials else None)
    draft = read_document(read_toml(data, source), source, places)
    for check in CHECKS:
        check(draft)
    if draft.problems:
        raise ConfigError(source, draft.in_order())
    return build(draft, environment)
