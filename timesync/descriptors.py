"""File descriptors: one socket a target, and some that the store and the HTTP server can always have.

Rule: what measures stops short of the limit, so that what has been measured can be kept. A limit that is too low for the targets is
told at the start, with its remedy.
"""

from __future__ import annotations

import resource

__all__ = ["RESERVE", "allow_many", "is_reserved", "shortage"]

# For the spool, the history, sinks, logs and scrapes: they open and close some files every now and then.
RESERVE = 40


def allow_many() -> int:
    """Take as many file descriptors as the system lets us have without privileges; returns how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (
            OSError,
            ValueError,
        ):  # a system call filter forbids it, or the system's own limit is lower: what we have must do
            return soft
    return hard


def is_reserved(number: int) -> bool:
    """Whether a descriptor just opened is one of the last. The system gives out the lowest that is free, so the last go last."""
    return number >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE


def shortage(targets: int, limit: int) -> str:
    """What an operator should know if so many targets have a limit of so many descriptors; "" if it is enough."""
    if targets + RESERVE <= limit:
        return ""
    return (
        f"the limit of {limit} open files is too low for {targets} targets: some will not be measured (send_failed). "
        f"Raise it to {targets + RESERVE} or more: LimitNOFILE= in the unit, or ulimit -n"
    )
