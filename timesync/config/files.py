"""What is wrong with a file that a configuration names, before the daemon stumbles over it.

Rule: a file is looked at, never read further than whether it holds anything, and nothing of it is ever shown. A secret that
others may read or change, or the group may change, is refused: it is no secret.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timesync.secrecy import is_open_to_others

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Places", "directory_fault", "file_fault", "secret_fault"]

Fault = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Places:
    """Where relative paths of files start: at systemd's credentials, and else at the configuration's folder."""

    folder: Path
    credentials: Path | None = None

    def handed(self, name: str) -> Path:
        """The file of that name: a credential if the service was given one (systemd.exec(5), LoadCredential=), else beside
        the configuration."""
        if self.credentials is not None and _exists(self.credentials / name):
            return self.credentials / name
        return self.folder / name


def file_fault(path: Path) -> Fault | None:
    """What is wrong with a file that must be readable, and the remedy; None if nothing is."""
    return _fault_or_status(path)[0]


def secret_fault(path: Path) -> Fault | None:
    """The same for a file that holds a secret: it must also be closed to others, and not be empty."""
    fault, status = _fault_or_status(path)
    if status is None:
        return fault
    if is_open_to_others(status.st_mode):
        mode = stat.S_IMODE(status.st_mode)
        return (
            f"{path} has mode {mode:04o}: it is not kept from others",
            f"Run chmod 0600 {path}, or 0640 for a group",
        )
    if status.st_size == 0:
        return (f"{path} is empty", "Write the secret into it")
    return None


def directory_fault(path: Path) -> Fault | None:
    """What is wrong with a directory that will be made where it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return _cannot_be_looked_at(path, error)
    if stat.S_ISDIR(status.st_mode):
        return None
    return (f"{path} is not a directory", "Name a directory, or one that does not exist yet")


def _fault_or_status(path: Path) -> tuple[Fault | None, os.stat_result | None]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (
            f"{path} does not exist",
            "Create it, or correct the path (a relative one starts at this file's folder)",
        ), None
    except OSError as error:
        return _cannot_be_looked_at(path, error), None
    if not stat.S_ISREG(status.st_mode):
        return (f"{path} is not a regular file", "Name a file"), None
    if not os.access(path, os.R_OK):
        return (f"{path} cannot be read by this user", "Let the daemon's user read it, and check as that user"), None
    return None, status


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, a folder that is closed: no credential, and the file beside is judged on its own
        return False


def _cannot_be_looked_at(path: Path, error: OSError) -> Fault:
    return (f"{path} cannot be looked at ({error.strerror})", "Let the daemon's user reach it, and check as that user")
