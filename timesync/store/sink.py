"""What a sink is: something that takes batches of records, once or more than once, and says what became of them.

Rule: a sink is idempotent (a record written twice is stored once) and never loses in silence: it returns the records
that can never be stored, each with a reason, and raises `SinkUnavailable` when trying later makes sense.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from timesync.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.model import Record

__all__ = ["Refusal", "Sink", "SinkUnavailableError"]


class SinkUnavailableError(StoreError):
    """The sink cannot take records now; the whole batch stays in the spool. `retry_after_s` is the sink's own wish."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that the sink will never take, and why."""

    record: Record
    reason: str


class Sink(Protocol):
    """A place records are handed to; `at_once` is how many of them it wants in one batch at most."""

    name: str
    at_once: int

    async def write(self, records: Sequence[Record]) -> Sequence[Refusal]:
        """Store all records or say which cannot be. Raises `SinkUnavailableError` if the batch should be tried again."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
