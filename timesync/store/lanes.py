"""What one sink has still to be given, as spans of record ids: a backlog, oldest first, and a live lane without an end.

Rule: every id from the oldest kept to the newest is either delivered or in exactly one span. A record is handed over in
the order of its id within a lane. After an outage the live lane jumps to the present and what it leaves behind becomes
backlog, so that a dashboard shows now while history fills. A later record of the same row must win: so the backlog, when
it has reached the place where the live lane began, repeats what followed there (the echo) before it ends. Pure: ids in,
spans out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ECHO",
    "Lane",
    "Lanes",
    "Span",
    "advance",
    "lowest",
    "merged",
    "pending_spans",
    "raise_floor",
    "reach",
    "split",
]


ECHO = 2 << 32
"""How far the backlog repeats the live lane, in ids: to somewhere in the next file but one, some thousands of records."""


class Lane(StrEnum):
    """The two ways to a sink."""

    LIVE = "live"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Ids from `low` up to, not including, `high`. A backlog's span whose low has passed its high is in its echo."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Lanes:
    """The undelivered ids of one sink: `backlog` (disjoint, ascending, all below `live`) and everything from `live` on."""

    live: int
    backlog: tuple[Span, ...] = ()


def split(lanes: Lanes, begin: int) -> Lanes:
    """Let the live lane begin again at `begin`, and put what it had not reached into the backlog."""
    if begin <= lanes.live:
        return lanes
    return Lanes(begin, tuple(merged([*lanes.backlog, Span(lanes.live, begin)])))


def advance(lanes: Lanes, lane: Lane, low: int, beyond: int) -> Lanes:
    """After the ids from `low` up to, not including, `beyond` were delivered from one lane.

    A live lane that has meanwhile jumped ahead leaves the delivered ids in the backlog: they are taken out of it there.
    """
    if lane is Lane.LIVE and low >= lanes.live:
        return replace(lanes, live=max(lanes.live, beyond))
    if lane is Lane.LIVE:
        return replace(lanes, backlog=tuple(_without(lanes.backlog, Span(low, beyond))))
    if not lanes.backlog or beyond < lanes.backlog[0].low:
        return lanes
    first = Span(beyond, lanes.backlog[0].high)
    rest = lanes.backlog[1:]
    return replace(lanes, backlog=rest if beyond >= reach(replace(lanes, backlog=(first, *rest))) else (first, *rest))


def reach(lanes: Lanes) -> int:
    """Where reading the first span of the backlog ends: past its high comes the echo, up to what is to be delivered anyway."""
    following = lanes.backlog[1].low if len(lanes.backlog) > 1 else lanes.live
    return min(lanes.backlog[0].high + ECHO, following)


def raise_floor(lanes: Lanes, floor: int) -> Lanes:
    """Forget every id below `floor`: those records are no longer kept."""
    backlog = tuple(Span(max(span.low, floor), span.high) for span in lanes.backlog if span.high > floor)
    return Lanes(max(lanes.live, floor), backlog)


def lowest(lanes: Lanes) -> int:
    """The lowest id still to be delivered (or, with nothing waiting, the next one to come)."""
    return lanes.backlog[0].low if lanes.backlog else lanes.live


def pending_spans(lanes: Lanes, present: int) -> tuple[Span, ...]:
    """Everything undelivered below `present` (the next id); an echo has been delivered and does not count."""
    return tuple(span for span in (*lanes.backlog, Span(lanes.live, present)) if span.low < span.high)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same ids as disjoint spans in ascending order, neighbours joined."""
    result: list[Span] = []
    for span in sorted(spans):
        if result and span.low <= result[-1].high:
            result[-1] = Span(result[-1].low, max(result[-1].high, span.high))
        else:
            result.append(span)
    return result


def _without(spans: Iterable[Span], gone: Span) -> list[Span]:
    result: list[Span] = []
    for span in spans:
        if span.high <= gone.low or span.low >= gone.high:
            result.append(span)
            continue
        if span.low < gone.low:
            result.append(Span(span.low, gone.low))
        if span.high > gone.high:
            result.append(Span(gone.high, span.high))
    return result
