"""A copy of what a probe keeps, taken while it runs: the spool, the history, and what it remembers beside them.

Rule: each database is copied as it is at one instant, by SQLite's own backup, and looked through before the copy counts. The ledger
goes first and the history last. What a sink was given while the copy was taken may stand in the spool's copy still, and is given
once more after a restoration, which is harmless; nothing is in neither. A copy appears whole, under its name, or not at all.
Source: the SQLite documentation, "SQLite Backup API" and "Write-Ahead Logging".
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from timesync.errors import StoreError
from timesync.store.segment import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["STATE", "Copied", "back_up", "backups", "prune"]

STATE = "state"
"""The folder of a backup that holds the records; beside it lies the configuration."""

_NAME = "timesync-[0-9]*Z"
_PART = ".timesync-[0-9]*Z.part"
_FIRST, _LAST = "ledger.sqlite3", "history.sqlite3"
_OF_THE_RUNNING = ("lock", "new.sqlite3")
_COMPANIONS = ("-wal", "-shm", "-journal")
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Copied:
    """A backup: its folder, and how many files and bytes are in it."""

    folder: Path
    files: int
    size_bytes: int


def back_up(directory: Path, into: Path, instant: str, configuration: Path | None = None) -> Copied:
    """Copy a probe's `directory` to the new folder `into`/timesync-`instant`, readable for this user only.

    Raises StoreError where something cannot be read, written, or is damaged; then no backup of that name is there.
    """
    target = into / f"timesync-{instant}"
    part = into / f".timesync-{instant}.part"
    if target.exists():
        raise StoreError(f"{target} is there already; try again in a second")
    try:
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(into)
        part.mkdir(mode=0o700)
    except OSError as error:  # another one's of this second, too: that is left alone
        raise StoreError(f"{directory} could not be copied into {into}: {error}") from error
    try:
        with _claimed(part):
            copied = _copy_all(directory, part / STATE)
            if configuration is not None:
                copied.append(_copy_file(configuration, part / configuration.name))
            for folder in {path.parent for path in copied} | {part}:
                sync_directory(folder)
            size = sum(path.stat().st_size for path in copied)
            part.rename(target)
        sync_directory(into)
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise StoreError(f"{directory} could not be copied into {into}: {error}") from error
    except StoreError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Copied(target, len(copied), size)


def backups(into: Path) -> Sequence[Path]:
    """The backups in a folder, oldest first."""
    return sorted(path for path in into.glob(_NAME) if (path / STATE).is_dir())


def prune(into: Path, keep: int) -> Sequence[Path]:
    """Remove all backups but the newest `keep` (at least 1); returns what was removed. Raises StoreError."""
    old = backups(into)[:-keep]
    try:
        for path in old:
            shutil.rmtree(path)
    except OSError as error:
        raise StoreError(f"an old backup could not be removed: {error}") from error
    return old


@contextmanager
def _claimed(part: Path) -> Iterator[None]:
    """Somebody is at work in a folder. Raises BlockingIOError if that is another; who is killed lets go."""
    folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(folder)


def _sweep(into: Path) -> None:
    """Remove what backups left that were killed: nobody else would, and each may be as large as the history."""
    for part in into.glob(_PART):
        try:
            with _claimed(part):
                shutil.rmtree(part)
        except (BlockingIOError, FileNotFoundError):
            continue


def _copy_all(directory: Path, target: Path) -> list[Path]:
    found = [path for path in directory.rglob("*") if _is_kept(path)]
    found.sort(key=lambda path: (path.name != _FIRST, path.name == _LAST, path))
    target.mkdir(mode=0o700)
    copied = []
    for path in found:
        copy = target / path.relative_to(directory)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            copied.append(_copy_database(path, copy) if path.suffix == ".sqlite3" else _copy_file(path, copy))
        except FileNotFoundError:
            continue  # a segment that every sink has got meanwhile, or a file that has just been replaced
    return copied


def _is_kept(path: Path) -> bool:
    name = path.name
    passing = name in _OF_THE_RUNNING or name.startswith(".") or name.endswith((*_COMPANIONS, ".part", ".new"))
    return not passing and path.is_file()


def _copy_database(path: Path, copy: Path) -> Path:
    """Raises FileNotFoundError if it has gone, sqlite3.Error, and StoreError if the copy is damaged."""
    _make_empty(copy)
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_WAIT_S)) as source,
            closing(sqlite3.connect(copy, isolation_level=None)) as sink,
        ):
            source.backup(sink)
            sink.execute(
                "PRAGMA journal_mode=DELETE"
            )  # a copy is one file; who opens it to write turns the log on again
            (answer,) = sink.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        copy.unlink()
        if not path.exists():
            raise FileNotFoundError(path) from None
        raise
    if answer != "ok":
        raise StoreError(f"{path} is damaged ({answer}): it has to be mended or put aside before it can be backed up")
    _sync(copy)
    return copy


def _copy_file(path: Path, copy: Path) -> Path:
    content = path.read_bytes()
    _make_empty(copy)
    copy.write_bytes(content)
    _sync(copy)
    return copy


def _make_empty(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
