"""One process a spool: the lock on its directory."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from timesync.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["claim"]


def claim(directory: Path) -> int:
    """Lock the directory for this process; two writers of one spool would lose each other's records.

    Returns the descriptor that holds the lock. Raises StoreError if another process has it.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreError(
            f"another process uses the spool in {directory}; end it, or configure another directory"
        ) from error
    return descriptor
