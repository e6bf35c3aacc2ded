"""What the page and its API say of a target, an event, a stability: plain values, ready for JSON.

Rule: an absent value is null, never a number that stands for nothing; names are those of the stored rows, with their units. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timesync.alerts.limits import verdict
from timesync.export.current import GRACE_S, LIFE_INTERVALS
from timesync.model import PROBE_CLOCK
from timesync.reasons import REASONS
from timesync.state_word import state_word
from timesync.timescale import GREATEST_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from timesync.model import ClockOffset, Record
    from timesync.pipeline import TargetState
    from timesync.plugin import Demonstration

__all__ = ["PAIR_HEADS", "STATISTIC_TITLES", "comparison", "event", "pairs", "stability", "target"]

WELL = frozenset({"ok", "reference"})
UNSETTLED = frozenset({"starting", "waiting", "carried"})
CARRIED = {
    "reason": "carried",
    "meaning": "its reference is lost, and carried on by the probe's own clock: the bound grows until carry_s ends it",
    "remedy": "look at the reference; its own row says what is wrong",
    "detail": "",
}
STATISTIC_TITLES = {
    "adev": "ADEV",
    "oadev": "OADEV",
    "mdev": "MDEV",
    "tdev": "TDEV",
    "hdev": "HDEV",
    "ohdev": "OHDEV",
    "tierms": "TIE rms",
    "mtie": "MTIE",
}


def target(name: str, state: TargetState, demonstration: Demonstration | None, now_ns: int) -> dict[str, Any]:
    """A target as it is now (Unix ns)."""
    word = state_word(state)
    settings, error = state.settings, state.error
    shown = error.offset if error is not None else state.last
    return {
        "target": name,
        "state": word,
        "level": "ok" if word in WELL else "unsettled" if word in UNSETTLED else "trouble",
        "kind": settings.kind,
        "address": settings.address,
        "interval_s": settings.interval_s,
        "parent": state.parent,
        "reference": state.reference,
        "is_reference": settings.tie is not None,
        "realises": error.realises if error is not None else None,
        **_measured(shown),
        "time_error_s": error.time_error_s if error is not None else None,
        "time_error_bound_s": error.bound_s if error is not None else None,
        "time_error_u_s": error.u_s if error is not None else None,
        "quality": error.quality.value if error is not None else None,
        **_judged(state, now_ns),
        "polls": state.polls,
        "sent": state.sent,
        "replies": state.replies,
        "reach": f"{state.register:08b}",
        "losses": {reason.value: count for reason, count in state.losses.items()},
        "trouble": _trouble(state, word),
        "simulated_as": demonstration.legend.get(name) if demonstration is not None else None,
        "true_s": demonstration.true_x_s(name, shown.at_ns)
        if demonstration is not None and shown is not None
        else None,
    }


def _judged(state: TargetState, now_ns: int) -> dict[str, Any]:
    """The limit of a target, and what its newest claim says of it while it is news."""
    limit, error = state.settings.limit, state.error
    found = None
    news = error is not None and _is_news(error.offset.at_ns, state.settings.interval_s, now_ns)
    if (
        news
        and limit is not None
        and error is not None
        and error.time_error_s is not None
        and error.bound_s is not None
    ):
        found = verdict(error.time_error_s, error.bound_s, limit.error_s).value
    return {
        "limit": limit.name if limit is not None else None,
        "limit_s": limit.error_s if limit is not None else None,
        "verdict": found,
    }


def _measured(shown: ClockOffset | None) -> dict[str, Any]:
    facts = shown.facts if shown is not None else None
    return {
        "at_ns": shown.at_ns if shown is not None else None,
        "clock_epoch": shown.clock_epoch if shown is not None else None,
        "offset_s": shown.offset_s if shown is not None else None,
        "bound_s": shown.bound_s if shown is not None else None,
        "delay_s": shown.delay_s if shown is not None else None,
        "timestamping": shown.timestamping.value if shown is not None else None,
        "protocol": shown.protocol if shown is not None else None,
        "stratum": getattr(facts, "stratum", None),
        "clock_class": getattr(facts, "clock_class", None),
        "authenticated": shown.exchange.authenticated if shown is not None and shown.exchange is not None else None,
    }


def _trouble(state: TargetState, word: str) -> dict[str, str] | None:
    """What is wrong, what it means and what to do; None where nothing is."""
    reason = None
    if word == CARRIED["reason"]:
        return CARRIED
    if state.missed is not None and word == state.missed.reason.value:
        reason = state.missed.reason
    elif state.error is not None and state.error.no_claim is not None and word == state.error.no_claim.value:
        reason = state.error.no_claim
    if reason is None:
        return None
    meaning = REASONS[reason]
    detail = state.missed.detail if state.missed is not None and reason is state.missed.reason else ""
    return {"reason": reason.value, "meaning": meaning.text, "remedy": meaning.remedy, "detail": detail}


PAIR_HEADS = ("row", "column", "difference_s", "bound_s", "differ", "limit", "limit_s", "verdict")
"""What there is to say of a pair of targets."""


def pairs(targets: Sequence[dict[str, Any]], now_ns: int) -> Iterator[dict[str, Any]]:
    """Each target against every other, row minus column: the reference cancels, the bounds add up. Without it the probe's clock
    cancels, but for what it may have run between the two measurements. A target against itself is its own claim against UTC(k).
    Of a target that has not been measured for `LIFE_INTERVALS` nothing is said. Targets are those of `target`.
    """
    fresh = {row["target"] for row in targets if _is_news(row["at_ns"], row["interval_s"], now_ns)}
    for row in targets:
        for column in targets:
            value, bound = None, None
            if row["target"] in fresh and column["target"] in fresh:
                value, bound = (
                    (row["time_error_s"], row["time_error_bound_s"]) if row is column else _difference(row, column)
                )
            limit_s = row["limit_s"]
            judged = None
            if value is not None and bound is not None and limit_s is not None:
                judged = verdict(value, bound, limit_s).value
            yield {
                "row": row["target"],
                "column": column["target"],
                "difference_s": value,
                "bound_s": bound,
                "differ": None if value is None or bound is None or row is column else abs(value) > bound,
                "limit": row["limit"],
                "limit_s": limit_s,
                "verdict": judged,
            }


def _difference(row: dict[str, Any], column: dict[str, Any]) -> tuple[float | None, float | None]:
    claims = row["time_error_s"] is not None and column["time_error_s"] is not None
    if claims and row["realises"] == column["realises"]:
        bound_s = row["time_error_bound_s"] + column["time_error_bound_s"]
        return row["time_error_s"] - column["time_error_s"], bound_s
    if row["offset_s"] is not None and column["offset_s"] is not None and row["clock_epoch"] == column["clock_epoch"]:
        run_s = GREATEST_RATE * abs(row["at_ns"] - column["at_ns"]) / 1e9
        return row["offset_s"] - column["offset_s"], row["bound_s"] + column["bound_s"] + run_s
    return None, None


def _is_news(at_ns: int | None, interval_s: float, now_ns: int) -> bool:
    return at_ns is not None and abs(now_ns - at_ns) <= (LIFE_INTERVALS * interval_s + GRACE_S) * 1e9


def event(record: Record) -> dict[str, Any]:
    """A stored event."""
    fields = dict(record.fields)
    return {
        "at_ns": record.at_ns,
        "kind": record.tags.get("kind", ""),
        "severity": fields.pop("severity", "info"),
        "target": record.tags.get("target"),
        "text": fields.pop("text", ""),
        "evidence": fields,
    }


def comparison(records: Sequence[Record]) -> list[Record]:
    """Of the newest stored results of one target those to show: against its reference where such are still computed, else
    those against the probe's clock.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.tags.get("reference", ""), []).append(record)

    def newest_ns(reference: str) -> int:
        return max(record.at_ns for record in groups[reference])

    pairs = [reference for reference in groups if reference != PROBE_CLOCK]
    chosen = max(pairs, key=newest_ns, default=PROBE_CLOCK)
    own = groups.get(PROBE_CLOCK, [])
    if pairs and own:
        every_s = max(float(record.fields.get("every_s", 0.0)) for record in own)
        if newest_ns(chosen) < newest_ns(PROBE_CLOCK) - 2 * every_s * 1e9:
            chosen = PROBE_CLOCK
    return groups.get(chosen, [])


def stability(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The newest stored results of one target, one entry a statistic, with an array for each column.

    A row that is older than the others of its statistic belongs to an averaging time that is computed no more, and is left out.
    """
    by_statistic: dict[str, list[Record]] = {}
    for record in records:
        by_statistic.setdefault(record.tags.get("statistic", ""), []).append(record)
    newest_ns = max((record.at_ns for record in records), default=0)
    found = []
    for name, rows in sorted(by_statistic.items()):
        current = sorted((row for row in rows if row.at_ns == newest_ns), key=lambda row: float(row.fields["tau_s"]))
        if current:
            found.append(_curve(name, current))
    return found


def _curve(name: str, rows: Sequence[Record]) -> dict[str, Any]:
    base = name.removesuffix("_strided").removesuffix("_bounds")
    first: Mapping[str, Any] = rows[0].fields

    def column(field: str) -> list[Any]:
        return [row.fields.get(f"{field}_s", row.fields.get(field)) for row in rows]

    return {
        "statistic": name,
        "title": STATISTIC_TITLES.get(base, base.upper()) + ("" if base == name else f" ({name.rpartition('_')[2]})"),
        "family": base,
        "unit": "s" if "dev_s" in first else "1",
        "at_ns": rows[0].at_ns,
        "exact": bool(first.get("exact", True)),
        "coverage": first.get("ci"),
        "window_days": first.get("window_days"),
        "completeness": first.get("completeness"),
        "tau_s": column("tau"),
        "dev": column("dev"),
        "lo": column("lo"),
        "hi": column("hi"),
        "n": column("n"),
        "alpha": column("alpha"),
    }
