"""The program under test, as it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["program"]


def program() -> Path:
    """The `timesync` command of the environment that runs the tests."""
    return Path(sys.executable).with_name("timesync")
