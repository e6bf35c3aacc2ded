"""The API in one table: each route with its parameters and the shape of its answer, and the OpenAPI 3.1 description made of it.

Rule: what the table says is what the handlers are registered by and what the answers are tested against; there is no second list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from timesync import __version__
from timesync.web.shapes import (
    ALERT,
    COUNT,
    CURVE,
    EVENT,
    HOLDOVER,
    INSTANT,
    MASK,
    PAIR,
    SERIES,
    SITE,
    TARGET,
    TRACE,
    listed,
    maybe,
    shape,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.web.shapes import Schema

__all__ = ["PREFIX", "ROUTES", "Parameter", "Route", "describe"]

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query."""

    name: str
    schema: Schema
    meaning: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One address below `PREFIX`: the handler's name, what it gives, and the schema of its JSON (None: it has none)."""

    path: str
    handler: str
    summary: str
    parameters: Sequence[Parameter] = ()
    answer: Schema | None = None
    other: str = ""  # the media type it gives besides JSON, or instead


_TARGET = Parameter("target", {"type": "string"}, "the name of a target", required=True)
_ONE = Parameter("target", {"type": "string"}, "of this target only")
_FROM = Parameter("start_ns", {"type": "integer"}, f"from this instant on; {INSTANT}")
_TO = Parameter("end_ns", {"type": "integer"}, f"before this instant; now, where it is not said; {INSTANT}")
_LAST = Parameter("last_s", {"type": "number"}, "the last so many seconds before end_ns; 3600 where nothing is said")
_FORMAT = Parameter("format", {"type": "string", "enum": ["json", "csv"]}, "json, or csv with a head of names")

ROUTES = (
    Route("/site", "site", "Who measures, and since when", answer=SITE),
    Route("/targets", "targets", "Every target as it is now", (_FORMAT,), shape(targets=listed(TARGET)), "text/csv"),
    Route(
        "/comparison",
        "comparison",
        "Each target against every other, and by itself against UTC(k), now, judged by the limit of the row",
        (
            Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 100}, "the first so many targets; 24"),
            _FORMAT,
        ),
        shape(pairs=listed(PAIR)),
        "text/csv",
    ),
    Route(
        "/series",
        "series",
        "What was measured of a target: every row, or where there are too many the extremes of each part",
        (
            _TARGET,
            _FROM,
            _TO,
            _LAST,
            Parameter("points", {"type": "integer", "minimum": 1, "maximum": 2000}, "columns to show it in; 600"),
            _FORMAT,
        ),
        SERIES,
        "text/csv",
    ),
    Route(
        "/events",
        "events",
        "What happened, the newest first",
        (_ONE, _FROM, _TO, Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "200"), _FORMAT),
        shape(events=listed(EVENT)),
        "text/csv",
    ),
    Route(
        "/alerts",
        "alerts",
        "The alerts: those that fire, the gravest first, those that wait for their grace, and those that ended in the last day",
        (_ONE, _FORMAT),
        shape(enabled={"type": "boolean"}, judged=COUNT, alerts=listed(ALERT)),
        "text/csv",
    ),
    Route(
        "/stability",
        "stability",
        "The newest stability of a target against its reference, or, where there is none, the probe's clock (`probe`)",
        (_TARGET, _FORMAT),
        shape(target=text(), reference=maybe("string", "against what"), curves=listed(CURVE)),
        "text/csv",
    ),
    Route(
        "/holdover",
        "holdover",
        "Whether a target coasts, how long it stays within its limits, its forecast, its states in a span of time, and what was",
        (
            _TARGET,
            _FROM,
            _TO,
            _LAST,
            _FORMAT,
            Parameter("table", {"type": "string", "enum": ["forecast", "states", "episodes"]}, "of csv: which"),
        ),
        HOLDOVER,
        "text/csv",
    ),
    Route("/masks", "masks", "The ITU-T masks for MTIE and TDEV", (), shape(masks=listed(MASK))),
    Route(
        "/traceability",
        "traceability",
        "What the newest record of a target rests on: the chain to UTC, and the budget",
        (_TARGET, _FORMAT, Parameter("table", {"type": "string", "enum": ["budget", "chain"]}, "of csv: which")),
        TRACE,
        "text/csv",
    ),
    Route(
        "/stream",
        "stream",
        "Server-sent events: `targets` (those that have changed, as in /targets) once a second, `alerts` when one has changed, "
        "`event` as they happen",
        (),
        None,
        "text/event-stream",
    ),
    Route("/openapi.json", "openapi", "This description", (), {"type": "object"}),
)


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "timesync",
            "version": __version__,
            "description": "What a probe measures. Read-only; instants are Unix ns (whole numbers above 2^53: a reader in "
            "JavaScript rounds them to 256 ns), all else is in SI units. An absent value is null.",
        },
        "paths": {PREFIX + route.path: {"get": _operation(route)} for route in ROUTES},
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            }
        },
        "security": [{}, {"token": []}, {"password": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.answer is not None:
        content["application/json"] = {"schema": route.answer}
    if route.other:
        content[route.other] = {"schema": {"type": "string"}}
    problem = {"content": {"application/json": {"schema": shape(error=text("what is wrong, and the remedy"))}}}
    return {
        "operationId": route.handler,
        "summary": route.summary,
        "parameters": [
            {
                "name": each.name,
                "in": "query",
                "required": each.required,
                "description": each.meaning,
                "schema": each.schema,
            }
            for each in route.parameters
        ],
        "responses": {
            "200": {"description": route.summary, "content": content},
            "400": {"description": "a parameter is wrong", **problem},
            "404": {"description": "there is no such target", **problem},
            "503": {"description": "too many questions at once, or an answer that takes too long", **problem},
        },
    }
