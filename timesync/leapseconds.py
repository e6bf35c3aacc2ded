"""The leap-second table to use: the system's, or the one that comes with timesync, whichever knows more.

Rule: a table is used only after its hash has been checked, and the caller learns where it came from and what was wrong with
those that were passed over. Whether it has expired is asked of the table, with the present as a parameter.

Source: the leap-seconds.list that tzdata installs (IERS Bulletin C).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from timesync.errors import DataError
from timesync.timescale import LeapTable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SYSTEM_FILES", "LoadedLeapTable", "embedded_leap_table", "load_leap_table"]

SYSTEM_FILES = (Path("/usr/share/zoneinfo/leap-seconds.list"),)  # Debian and Ubuntu: tzdata; also Fedora, Arch

EMBEDDED = "the table that comes with timesync"


@dataclass(frozen=True, slots=True)
class LoadedLeapTable:
    """A table, where it came from, and one sentence for each file that is there but could not be used."""

    table: LeapTable
    source: str
    problems: tuple[str, ...] = ()


def embedded_leap_table() -> LeapTable:
    """The table that comes with timesync."""
    return LeapTable.parse(files("timesync").joinpath("data", "leap-seconds.list").read_text("ascii"), EMBEDDED)


def load_leap_table(paths: Iterable[Path] = SYSTEM_FILES) -> LoadedLeapTable:
    """Of the files that exist and the embedded table, the one that expires last; among equals the first file.

    A file that does not exist is passed over: the embedded table is there for that. One that cannot be read or whose hash is
    wrong is passed over and named in `problems`.
    """
    best, source = embedded_leap_table(), EMBEDDED
    problems: list[str] = []
    for path in paths:
        try:
            table = LeapTable.parse(path.read_bytes().decode("utf-8"), str(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{path}: {error.strerror}; make it readable or remove it")
        except UnicodeDecodeError:
            problems.append(f"{path}: not a text file; install tzdata again")
        except DataError as error:
            problems.append(str(error))
        else:
            if table.expires_ns > best.expires_ns or (source == EMBEDDED and table.expires_ns == best.expires_ns):
                best, source = table, str(path)
    return LoadedLeapTable(best, source, tuple(problems))
