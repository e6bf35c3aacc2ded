"""When a file is a secret: one rule for keys, tokens and passwords.

Rule: others may do nothing with it, and the group may not change it. The group may read: root:timesync 0640 is usual, and
systemd hands a credential to a dynamic user as 0440 (the group's bits are then the mask of an access list, systemd issue 29435).
"""

from __future__ import annotations

import stat

__all__ = ["is_open_to_others"]

OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IRWXO


def is_open_to_others(mode: int) -> bool:
    """Whether a file of that mode (st_mode) is no secret."""
    return bool(mode & OPEN_TO_OTHERS)
