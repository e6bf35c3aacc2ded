"""The state of a target in one word, the same on the terminal, on the page and in the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.model import Quality

if TYPE_CHECKING:
    from timesync.pipeline import TargetState

__all__ = ["state_word"]


def state_word(state: TargetState) -> str:
    """One word (or a reason) for the state of a target."""
    if state.polls == 0:
        return "starting"
    if not state.answering and state.missed is not None:
        return state.missed.reason.value
    if state.error is None:
        return "waiting" if state.last is not None else "ok"  # a report has no error to wait for
    if state.error.no_claim is not None:
        return state.error.no_claim.value
    if state.error.quality is Quality.CARRIED:
        return "carried"
    return "reference" if state.settings.tie is not None else "ok"
