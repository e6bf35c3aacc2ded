"""The leap-second table to use: the one that somebody chose, else the system's or timesync's own, whichever knows more.

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

__all__ = ["SYSTEM_FILES", "LoadedLeapTable", "configured_leap_table", "embedded_leap_table", "load_leap_table"]

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


def configured_leap_table(path: Path | None) -> LoadedLeapTable:
    """The table of the file that somebody chose, whatever its expiry; else that of `load_leap_table`."""
    if path is None:
        return load_leap_table()
    read = _read(path)
    if isinstance(read, LeapTable):
        return LoadedLeapTable(read, str(path))
    other = load_leap_table()
    problem = read or f"{path}: there is no such file; name a leap-seconds.list, or leave it out"
    return LoadedLeapTable(other.table, other.source, (problem, *other.problems))


def load_leap_table(paths: Iterable[Path] = SYSTEM_FILES) -> LoadedLeapTable:
    """Of the files that exist and the embedded table, the one that expires last; among equals the first file.

    A file that does not exist is passed over: the embedded table is there for that. One that cannot be read or whose hash is
    wrong is passed over and named in `problems`.
    """
    best, source = embedded_leap_table(), EMBEDDED
    problems: list[str] = []
    for path in paths:
        read = _read(path)
        if isinstance(read, LeapTable):
            later = read.expires_ns > best.expires_ns
            if later or (source == EMBEDDED and read.expires_ns == best.expires_ns):
                best, source = read, str(path)
        elif read is not None:
            problems.append(read)
    return LoadedLeapTable(best, source, tuple(problems))


def _read(path: Path) -> LeapTable | str | None:
    """The table of a file, or what is wrong with it in one sentence; None if there is no such file."""
    try:
        return LeapTable.parse(path.read_bytes().decode("utf-8"), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: {error.strerror}; make it readable or remove it"
    except UnicodeDecodeError:
        return f"{path}: not a text file; install tzdata again"
    except DataError as error:
        return str(error)
