"""One family of errors, so that a caller can tell the user's mistake from the remote's fault and from ours.

Rule: an error carries what is wrong, where (file, key, packet), and what to do about it. A `WireError` is the remote's
fault: it never stops a probe.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ConfigError",
    "DataError",
    "Problem",
    "StoreError",
    "TimesyncError",
    "WireError",
]


class TimesyncError(Exception):
    """The root of every error that timesync raises on purpose."""


class WireError(TimesyncError):
    """Bytes from the network that are not a message of the protocol. Carries the reason in words."""


class DataError(TimesyncError, ValueError):
    """Input data (a file, an array) that cannot be used; names the file, line or argument and the remedy."""


class StoreError(TimesyncError):
    """A record could not be kept or handed on; says where it is now and what will be tried next."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a configuration: where, what, and the remedy."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


class ConfigError(TimesyncError):
    """All the problems of one configuration, at once."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.source = source
        self.problems = problems
        count = len(problems)
        head = f"{source}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in problems)]))
