"""What the page shows of a target's holdover: whether it coasts, how long it stays within its limits, and what came of it before.

Rule: what was told is read from the stored rows; only the curve of the forecast is drawn anew, from the same belief and the same
seeds, so that it says what the rows say. It imports numpy: the page imports it when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from timesync.holdover.detect import State
from timesync.holdover.forecast import clock, draw
from timesync.holdover_report import limit_text, span_text
from timesync.holdover_service import EPISODE, HOLDOVER
from timesync.holdover_watch import DAY_S, HOUR_S, PATHS, POINTS
from timesync.store.local import Selection
from timesync.store.window import newest, newest_of_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from timesync.holdover_watch import Watch
    from timesync.model import Record
    from timesync.settings import HoldoverSettings
    from timesync.store.local import History

__all__ = ["TABLES", "Past", "answer", "curve", "read", "table"]

NS = 1_000_000_000
EPISODES, TRANSITIONS = 200, 1000
EPISODE_HEADS = (
    *("entry_ns", "exit_ns", "duration_s", "samples", "max_abs_s", "end_step_s"),
    *("rate", "drift", "held", "inside", "judged", "gaps"),
)
FORECAST_HEADS = ("at_ns", "mean_s", "u_s", "low_s", "high_s")
STATE_HEADS = ("state", "start_ns", "end_ns", "signs")
TABLES = ("forecast", "states", "episodes")
REASONS = {
    "too_few_samples": "too few samples yet",
    "too_uneven": "its samples come at no usual interval",
    "holdover_ending": "a holdover is ending, and its phase may have been set already",
}


@dataclass(frozen=True, slots=True)
class Past:
    """What the history has of a target: its newest rows, its episodes, newest first, and its states from start_ns on."""

    rows: Sequence[Record] = ()
    episodes: Sequence[Record] = ()
    states: Sequence[dict[str, Any]] = ()


def read(history: History, target: str, start_ns: int, end_ns: int) -> Past:
    """Ask the history. Raises `StoreError`."""
    rows = newest_of_each(history, Selection(HOLDOVER, target))
    newest_ns = max((row.at_ns for row in rows), default=0)
    changes = _changes(history, target, start_ns, end_ns)
    return Past(
        [row for row in rows if row.at_ns == newest_ns],
        newest(history, Selection(EPISODE, target), EPISODES),
        list(_spans(changes, start_ns)),
    )


def _changes(history: History, target: str, start_ns: int, end_ns: int) -> list[Record]:
    """Changes of state in a span of time and the last one before it, oldest first; also where the probe began or ended."""
    found: list[Record] = []
    for whose, kind in ((target, "holdover_state"), (None, "started"), (None, "stopped")):
        tagged = {"kind": kind}
        found += newest(history, Selection("event", whose, start_ns, end_ns), TRANSITIONS, tagged)
        found += newest(history, Selection("event", whose, 0, start_ns), 1, tagged)
    return sorted(found, key=lambda event: event.at_ns)


def _spans(changes: Iterable[Record], start_ns: int) -> Iterable[dict[str, Any]]:
    """The states one after the other, from start_ns on; the last one has no end yet."""
    span: dict[str, Any] | None = None
    for event in changes:
        state = str(event.fields.get("after", State.UNKNOWN.value))
        since_ns = int(event.fields.get("since_ns", event.at_ns))
        if span is not None and span["state"] == state:
            continue
        if span is not None:
            since_ns = max(since_ns, span["start_ns"])
            if since_ns > start_ns:
                yield {**span, "start_ns": max(span["start_ns"], start_ns), "end_ns": since_ns}
        span = {
            "state": state,
            "start_ns": since_ns,
            "end_ns": None,
            "signs": str(event.fields.get("signs", "")).split(),
        }
    if span is not None:
        yield {**span, "start_ns": max(span["start_ns"], start_ns)}


def curve(watch: Watch, settings: HoldoverSettings) -> dict[str, Any] | None:
    """The newest forecast of a target as arrays from where its rows begin, the last sample or, after a silence, when it was told;
    `low_s` and `high_s` the band that holds throughout; None where nothing is foreseen. Takes some ms.
    """
    belief, origin_ns = watch.foreseen_from, watch.origin_ns
    if belief is None:
        return None
    first_s = min(watch.interval_s, settings.horizon_s / 2)
    marks = [each for each in (HOUR_S, DAY_S) if each <= settings.horizon_s]
    ahead = np.union1d(np.geomspace(first_s, settings.horizon_s, POINTS), marks)
    future = clock(belief, draw(belief, ahead, paths=PATHS), settings.confidence)
    begin_ns = origin_ns + round(belief.states.at_s * NS)
    return {
        "at_ns": [begin_ns + round(t_s * NS) for t_s in future.t_s.tolist()],
        "mean_s": future.mean_s.tolist(),
        "u_s": future.u_s.tolist(),
        "low_s": future.band_low_s.tolist(),
        "high_s": future.band_high_s.tolist(),
    }


def answer(target: str, watch: Watch | None, past: Past, forecast: dict[str, Any] | None) -> dict[str, Any]:
    """All there is to say, the sentence first. watch: None where no row of the target has come yet."""
    told = next((row for row in past.rows if "limit" not in row.tags), None)
    fields = told.fields if told is not None else {}
    state = watch.detector.state.value if watch is not None else str(fields.get("state", State.UNKNOWN.value))
    limits = sorted((_limit(row) for row in past.rows if "limit" in row.tags), key=_size)
    return {
        "target": target,
        "sentence": _sentence(target, state, told, limits),
        "state": state,
        "signs": list(watch.detector.signs) if watch is not None else [],
        "basis": str(fields["basis"]) if "basis" in fields else None,
        "told_ns": told.at_ns if told is not None else None,
        "every_s": _number(fields.get("every_s")),
        "samples": _whole(fields.get("samples")),
        "confidence": _number(fields.get("confidence")),
        "score": _number(fields.get("score")),
        "frequency": _number(fields.get("frequency")),
        "drift_per_s": _number(fields.get("drift_per_s")),
        "white_pm_s": _number(fields.get("white_pm_s")),
        "limits": limits,
        "forecast": forecast,
        "states": list(past.states),
        "episodes": [{head: row.fields.get(head) for head in EPISODE_HEADS} for row in past.episodes],
    }


def table(name: str, past: Past, forecast: dict[str, Any] | None) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    """Heads and rows of one of `TABLES`."""
    if name == "episodes":
        return EPISODE_HEADS, [[row.fields.get(head) for head in EPISODE_HEADS] for row in past.episodes]
    if name == "states":
        return STATE_HEADS, [(*list(span.values())[:3], " ".join(span["signs"])) for span in past.states]
    return FORECAST_HEADS, zip(*forecast.values(), strict=True) if forecast is not None else ()


def _size(limit: dict[str, Any]) -> float:
    return float(limit["limit_s"])


def _limit(row: Record) -> dict[str, Any]:
    limit_s, within_s = float(row.fields["limit_s"]), float(row.fields["within_s"])
    limit = limit_text(limit_s).replace(" us", " \u00b5s")
    if row.fields.get("beyond_horizon"):
        text = f"it stays within {limit} for the whole {span_text(within_s)} that is foreseen"
    elif within_s == 0.0:
        text = f"it cannot be said to be within {limit} even now"
    else:
        text = f"it stays within {limit} for {span_text(within_s)}"
    return {
        "limit_s": limit_s,
        "within_s": within_s,
        "beyond_horizon": bool(row.fields.get("beyond_horizon")),
        "median_s": _number(row.fields.get("median_s")),
        "left_by_horizon": _number(row.fields.get("left_by_horizon")),
        "text": text,
    }


STATE_WORDS = {
    State.UNKNOWN.value: "is not known well enough to say whether it has a source",
    State.FREERUN.value: "has no source: it runs free",
    State.ACQUIRING.value: "has a source; its phase is still on the way",
    State.LOCKED.value: "is locked to its source",
    State.HOLDOVER.value: "has lost its source and coasts",
    State.HOLDOVER_OUT.value: "coasts out of its specification",
}


def _sentence(target: str, state: str, told: Record | None, limits: Sequence[dict[str, Any]]) -> str:
    words = f"{target} {STATE_WORDS.get(state, state)}"
    if told is None or not limits:
        reason = str(told.fields.get("reason", "")) if told is not None else "too_few_samples"
        return f"{words}. Nothing is foreseen: {REASONS.get(reason, reason or 'it has not been told yet')}."
    so = "going on as now, " if told.fields.get("basis") == "locked" else ""
    level = f", with {100 * float(told.fields.get('confidence', 0.0)):.6g} % confidence"
    return f"{words}; {so}{', and '.join(each['text'] for each in limits)}{level}."


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None
