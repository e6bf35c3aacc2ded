"""Where a command finds the history: options, and the file that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from timesync.errors import DataError

if TYPE_CHECKING:
    import argparse

__all__ = ["FILE", "add_place_options", "history_file", "place"]

FILE = "history.sqlite3"


def add_place_options(group: argparse._ArgumentGroup) -> None:
    """Add --directory and --config, of which one at most is given."""
    place = group.add_mutually_exclusive_group()
    place.add_argument("--directory", metavar="DIR", type=Path, help="the spool's directory (the demonstration's)")
    place.add_argument("--config", metavar="FILE", type=Path, help="the configuration of the probe that keeps it")


def place(args: argparse.Namespace) -> Path:
    """The spool's directory that the options name; without one, the demonstration's.

    Raises ConfigError for a configuration that is not good.
    """
    directory: Path | None = args.directory
    if args.config is not None:
        from timesync.config import load  # noqa: PLC0415 - only where a configuration is given

        directory = load(args.config).spool.directory
    elif directory is None:
        from timesync.commands.up import state_directory  # noqa: PLC0415 - only where nothing is given

        directory = state_directory()
    return directory


def history_file(args: argparse.Namespace) -> Path:
    """The file of the history in the directory that the options name.

    Raises DataError where there is none, ConfigError for a configuration that is not good.
    """
    directory = place(args)
    path = directory / FILE
    if not path.is_file():
        raise DataError(
            f"there is no history in {directory}; name the probe's spool with --directory, or its configuration with --config"
        )
    return path
