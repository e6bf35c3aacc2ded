"""The API in one table: each route with its parameters and the shape of its answer, and the OpenAPI 3.1 description made of it.

Rule: what the table says is what the handlers are registered by and what the answers are tested against; there is no second list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from timesync import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PREFIX", "ROUTES", "Parameter", "Route", "describe"]

PREFIX = "/api/v1"
INSTANT = "Unix time in whole ns, UTC"

Schema = dict[str, Any]


def _text(meaning: str = "") -> Schema:
    return {"type": "string", "description": meaning} if meaning else {"type": "string"}


def _maybe(kind: str, meaning: str) -> Schema:
    return {"type": [kind, "null"], "description": meaning}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}


def _list(items: Schema, meaning: str = "") -> Schema:
    found: Schema = {"type": "array", "items": items}
    return found | {"description": meaning} if meaning else found


_NUMBER_COLUMN = _list({"type": ["number", "null"]})
_INSTANT = {"type": "integer", "description": INSTANT}
_COUNT = {"type": "integer"}

TARGET = _object(
    target=_text("its name"),
    state=_text('"ok", "reference", "starting", "waiting", or the reason why there is no result'),
    level={"type": "string", "enum": ["ok", "unsettled", "trouble"]},
    kind=_text("how it is measured"),
    address=_text(),
    interval_s={"type": "number"},
    parent=_maybe("string", "the configured target that found this one"),
    reference=_maybe("string", "the target, or `local`, that it is compared with"),
    is_reference={"type": "boolean"},
    realises=_maybe("string", "the UTC(k) that the reference realises"),
    at_ns=_maybe("integer", f"instant of the newest measurement; {INSTANT}"),
    offset_s=_maybe("number", "target minus the probe's clock"),
    bound_s=_maybe("number", "hard bound of offset_s"),
    delay_s=_maybe("number", "round-trip delay"),
    timestamping=_maybe("string", "where the timestamps were taken: hardware, kernel, user"),
    protocol=_maybe("string", "the protocol of the measurement"),
    stratum=_maybe("integer", "NTP stratum, as the server claims"),
    clock_class=_maybe("integer", "PTP clockClass, as the master claims"),
    authenticated=_maybe("boolean", "whether a MAC covers the exchange"),
    time_error_s=_maybe("number", "target minus UTC(k)"),
    time_error_bound_s=_maybe("number", "hard bound of time_error_s"),
    time_error_u_s=_maybe("number", "standard uncertainty of time_error_s, coverage factor 1"),
    quality=_maybe("string", "how the reference was had"),
    limit=_maybe("string", "the name of its limit"),
    limit_s=_maybe("number", "the limit of |time_error_s|"),
    verdict={
        "type": ["string", "null"],
        "enum": ["within", "possible", "certain", None],
        "description": "certain: |time error| - bound is beyond it; possible: |time error| + bound is; null: no claim, or no limit",
    },
    polls=_COUNT,
    sent=_COUNT,
    replies=_COUNT,
    reach=_text("the newest eight polls, the newest last; 1: answered"),
    losses={"type": "object", "additionalProperties": {"type": "integer"}, "description": "polls by reason"},
    trouble={
        "type": ["object", "null"],
        "properties": {"reason": _text(), "meaning": _text(), "remedy": _text(), "detail": _text()},
        "description": "what is wrong and what to do",
    },
    simulated_as=_maybe("string", "demonstration only: what the target simulates"),
    true_s=_maybe("number", "demonstration only: the simulated clock's true error at at_ns"),
)

ALERT = _object(
    key=_text("what tells it from others"),
    alert=_text("its kind, the anchor of its runbook"),
    title=_text(),
    level={"type": "string", "enum": ["critical", "warning", "info"]},
    phase={
        "type": "string",
        "enum": ["pending", "firing", "resolved"],
        "description": "pending: its condition holds, and it is not told before its grace",
    },
    target=_maybe("string", "null: it is of the probe"),
    reference=_maybe("string", "the reference of the target"),
    since_ns={"type": "integer", "description": f"when its condition began; {INSTANT}"},
    fired_ns=_maybe("integer", f"when it was told; {INSTANT}"),
    ended_ns=_maybe("integer", f"when it was told to be over; {INSTANT}"),
    signal=_text("what it is judged by"),
    unit=_text(),
    value={"type": "number", "description": "the newest value of the signal"},
    threshold={"type": "number"},
    below={"type": "boolean", "description": "it fires below the threshold"},
    why=_text("the particulars"),
    means=_text(),
    action=_text("what to do"),
    runbook=_text("the address of its runbook on this probe"),
)

EVENT = _object(
    at_ns=_INSTANT,
    kind=_text(),
    severity={"type": "string", "enum": ["info", "warning", "error"]},
    target=_maybe("string", "the target it is about"),
    text=_text("what happened, and what to do"),
    evidence={"type": "object"},
)

CURVE = _object(
    statistic=_text("such as oadev, mtie, oadev_strided"),
    title=_text(),
    family=_text("the statistic without the name of its estimator"),
    unit={"type": "string", "enum": ["s", "1"]},
    at_ns=_INSTANT,
    exact={"type": "boolean", "description": "computed from every term"},
    coverage=_maybe("number", "probability covered by lo to hi"),
    window_days=_maybe("integer", "over how many UTC days"),
    completeness=_maybe("number", "share of the samples that were there"),
    tau_s=_NUMBER_COLUMN,
    dev=_NUMBER_COLUMN,
    lo=_NUMBER_COLUMN,
    hi=_NUMBER_COLUMN,
    n=_NUMBER_COLUMN,
    alpha=_list({"type": ["number", "null"]}, "identified power-law exponent of the noise, +2 to -2"),
)

MASK = _object(
    profile=_text(),
    title=_text(),
    mask=_text(),
    statistic={"type": "string", "enum": ["mtie", "tdev"]},
    source=_text("document, edition and clause"),
    tau_s=_list({"type": "number"}),
    limit_s=_list({"type": "number"}),
)

SITE = _object(
    site=_text(),
    probe=_text(),
    latitude=_maybe("number", "degrees north"),
    longitude=_maybe("number", "degrees east"),
    version=_text(),
    now_ns=_INSTANT,
    simulated={"type": "boolean", "description": "a demonstration: real packets, made-up clocks"},
    history={"type": "boolean", "description": "whether a history is kept"},
    oldest_ns=_maybe("integer", "the oldest record of the history"),
)

SERIES = _object(
    target=_text(),
    start_ns=_INSTANT,
    end_ns=_INSTANT,
    records=_COUNT,
    thinned={"type": "boolean", "description": "some rows are left out; of each part the extremes are there"},
    columns=_object(
        at_ns=_list({"type": "integer"}),
        time_error_s=_NUMBER_COLUMN,
        time_error_bound_s=_NUMBER_COLUMN,
        time_error_u_s=_NUMBER_COLUMN,
        offset_s=_NUMBER_COLUMN,
        bound_s=_NUMBER_COLUMN,
        delay_s=_NUMBER_COLUMN,
    ),
    parts=_object(
        start_ns=_list({"type": "integer"}),
        end_ns=_list({"type": "integer"}),
        records=_list(_COUNT),
        measured=_list(_COUNT),
        claimed=_list(_COUNT),
    ),
)

TRACE = _object(
    target=_text(),
    at_ns=_maybe("integer", "the record that this is about"),
    claim=_maybe("string", '"valid", or why there is no claim'),
    time_error_s=_maybe("number", "target minus UTC(k)"),
    chain=_list(_object(step=_text(), what=_text(), detail=_text()), "from UTC down to the target"),
    bound=_list(_object(part=_text(), value_s={"type": "number"}, meaning=_text())),
    u=_list(_object(part=_text(), value_s={"type": "number"}, meaning=_text())),
    bound_s=_maybe("number", "their sum"),
    u_s=_maybe("number", "root sum of squares, at most the bound"),
)


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
    Route("/targets", "targets", "Every target as it is now", (_FORMAT,), _object(targets=_list(TARGET)), "text/csv"),
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
        _object(events=_list(EVENT)),
        "text/csv",
    ),
    Route(
        "/alerts",
        "alerts",
        "The alerts: those that fire, the gravest first, those that wait for their grace, and those that ended in the last day",
        (_ONE, _FORMAT),
        _object(enabled={"type": "boolean"}, judged=_COUNT, alerts=_list(ALERT)),
        "text/csv",
    ),
    Route(
        "/stability",
        "stability",
        "The newest stability of a target against its reference, or, where there is none, the probe's clock (`probe`)",
        (_TARGET, _FORMAT),
        _object(target=_text(), reference=_maybe("string", "against what"), curves=_list(CURVE)),
        "text/csv",
    ),
    Route("/masks", "masks", "The ITU-T masks for MTIE and TDEV", (), _object(masks=_list(MASK))),
    Route("/traceability", "traceability", "What the newest record of a target rests on", (_TARGET,), TRACE),
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
    problem = {"content": {"application/json": {"schema": _object(error=_text("what is wrong, and the remedy"))}}}
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
