"""A secret in a file: a token or a password, read again when the file changes.

Rule: the secret is never part of a message, a file that others may read is refused, and so is what no HTTP header can carry
(RFC 9110 section 5.5): a control character, or another that does not print.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from timesync.errors import StoreError
from timesync.secrecy import is_open_to_others

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Secret"]


class Secret:
    """The first line of a file. `changed` is looked up by the file's identity, size and time, without reading it."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._text = ""

    def read(self) -> str:
        """The secret as it is now. Raises `StoreError` if it cannot be read or sent, is empty, or is open to others."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if is_open_to_others(status.st_mode):
                    mode = stat.S_IMODE(status.st_mode)
                    raise StoreError(f"{self.path} (mode {mode:04o}) is open to others: chmod 0600 {self.path}")
                seen = (status.st_ino, status.st_size, status.st_mtime_ns)
                if seen == self._seen:
                    return self._text
                text = file.readline(65_536).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise StoreError(f"the secret in {self.path} cannot be read: {reason}") from error
        if not text:
            raise StoreError(f"{self.path} is empty: its first line must be the secret")
        if not text.isprintable():
            raise StoreError(
                f"the secret in {self.path} has a control character, which cannot be sent: write the file "
                "anew, on its first line nothing but the secret"
            )
        self._seen, self._text = seen, text
        return text
