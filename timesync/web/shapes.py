"""The shapes of the API's answers, as JSON Schema.

Rule: every answer is tested against its shape, and nothing may be in it that the shape does not have.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ALERT",
    "COUNT",
    "CURVE",
    "EVENT",
    "HOLDOVER",
    "INSTANT",
    "INSTANT_SHAPE",
    "MASK",
    "PAIR",
    "SERIES",
    "SITE",
    "TARGET",
    "TRACE",
    "Schema",
    "listed",
    "maybe",
    "shape",
    "text",
]

INSTANT = "Unix time in whole ns, UTC"

Schema = dict[str, Any]


def text(meaning: str = "") -> Schema:
    """A text."""
    return {"type": "string", "description": meaning} if meaning else {"type": "string"}


def maybe(kind: str, meaning: str) -> Schema:
    """A value of a kind, or null."""
    return {"type": [kind, "null"], "description": meaning}


def shape(**properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}


def listed(items: Schema, meaning: str = "") -> Schema:
    """An array of such items."""
    found: Schema = {"type": "array", "items": items}
    return found | {"description": meaning} if meaning else found


_NUMBER_COLUMN = listed({"type": ["number", "null"]})
INSTANT_SHAPE = {"type": "integer", "description": INSTANT}
COUNT = {"type": "integer"}

TARGET = shape(
    target=text("its name"),
    state=text(
        '"ok", "reference", "starting", "waiting", "carried" (reference lost), or the reason why there is no result'
    ),
    level={"type": "string", "enum": ["ok", "unsettled", "trouble"]},
    kind=text("how it is measured"),
    address=text(),
    interval_s={"type": "number"},
    parent=maybe("string", "the configured target that found this one"),
    reference=maybe("string", "the target, or `local`, that it is compared with"),
    is_reference={"type": "boolean"},
    realises=maybe("string", "the UTC(k) that the reference realises"),
    at_ns=maybe("integer", f"instant of the newest measurement; {INSTANT}"),
    clock_epoch=maybe("integer", "of the probe's clock then: another one after each of its steps"),
    offset_s=maybe("number", "target minus the probe's clock"),
    bound_s=maybe("number", "hard bound of offset_s"),
    delay_s=maybe("number", "round-trip delay"),
    timestamping=maybe("string", "where the timestamps were taken: hardware, kernel, user"),
    protocol=maybe("string", "the protocol of the measurement"),
    stratum=maybe("integer", "NTP stratum, as the server claims"),
    clock_class=maybe("integer", "PTP clockClass, as the master claims"),
    authenticated=maybe("boolean", "whether a MAC covers the exchange"),
    time_error_s=maybe("number", "target minus UTC(k)"),
    time_error_bound_s=maybe("number", "hard bound of time_error_s"),
    time_error_u_s=maybe("number", "standard uncertainty of time_error_s, coverage factor 1"),
    quality=maybe("string", "how the reference was had"),
    limit=maybe("string", "the name of its limit"),
    limit_s=maybe("number", "the limit of |time_error_s|"),
    verdict={
        "type": ["string", "null"],
        "enum": ["within", "possible", "certain", None],
        "description": "certain: |time error| - bound is beyond it; possible: |time error| + bound is; null: no claim, no limit, "
        "or nothing measured lately",
    },
    polls=COUNT,
    sent=COUNT,
    replies=COUNT,
    reach=text("the newest eight polls, the newest last; 1: answered"),
    losses={"type": "object", "additionalProperties": {"type": "integer"}, "description": "polls by reason"},
    trouble={
        "type": ["object", "null"],
        "properties": {"reason": text(), "meaning": text(), "remedy": text(), "detail": text()},
        "description": "what is wrong and what to do",
    },
    simulated_as=maybe("string", "demonstration only: what the target simulates"),
    true_s=maybe("number", "demonstration only: the simulated clock's true error at at_ns"),
)

PAIR = shape(
    row=text("a target"),
    column=text("another, or itself: then it is against UTC(k)"),
    difference_s=maybe("number", "row minus column; null where one of them has not been measured lately"),
    bound_s=maybe(
        "number",
        "hard bound of the difference; without a claim with 500e-6 of the time between the two measurements, the probe's clock",
    ),
    differ=maybe("boolean", "the bounds do not allow them to be the same"),
    limit=maybe("string", "the limit of the row"),
    limit_s=maybe("number", "the same, as a size"),
    verdict={"type": ["string", "null"], "enum": ["within", "possible", "certain", None]},
)

ALERT = shape(
    key=text("what tells it from others"),
    alert=text("its kind, the anchor of its runbook"),
    title=text(),
    level={"type": "string", "enum": ["critical", "warning", "info"]},
    phase={
        "type": "string",
        "enum": ["pending", "firing", "resolved"],
        "description": "pending: its condition holds, and it is not told before its grace",
    },
    target=maybe("string", "null: it is of the probe"),
    reference=maybe("string", "the reference of the target"),
    since_ns={"type": "integer", "description": f"when its condition began; {INSTANT}"},
    fired_ns=maybe("integer", f"when it was told; {INSTANT}"),
    ended_ns=maybe("integer", f"when it was told to be over; {INSTANT}"),
    signal=text("what it is judged by"),
    unit=text(),
    value={"type": "number", "description": "the newest value of the signal"},
    threshold={"type": "number"},
    below={"type": "boolean", "description": "it fires below the threshold"},
    why=text("the particulars"),
    means=text(),
    action=text("what to do"),
    runbook=text("the address of its runbook on this probe"),
)

EVENT = shape(
    at_ns=INSTANT_SHAPE,
    kind=text(),
    severity={"type": "string", "enum": ["info", "warning", "error"]},
    target=maybe("string", "the target it is about"),
    text=text("what happened, and what to do"),
    evidence={"type": "object"},
)

CURVE = shape(
    statistic=text("such as oadev, mtie, oadev_strided"),
    title=text(),
    family=text("the statistic without the name of its estimator"),
    unit={"type": "string", "enum": ["s", "1"]},
    at_ns=INSTANT_SHAPE,
    exact={"type": "boolean", "description": "computed from every term"},
    coverage=maybe("number", "probability covered by lo to hi"),
    window_days=maybe("integer", "over how many UTC days"),
    completeness=maybe("number", "share of the samples that were there"),
    tau_s=_NUMBER_COLUMN,
    dev=_NUMBER_COLUMN,
    lo=_NUMBER_COLUMN,
    hi=_NUMBER_COLUMN,
    n=_NUMBER_COLUMN,
    alpha=listed({"type": ["number", "null"]}, "identified power-law exponent of the noise, +2 to -2"),
)

HOLDOVER = shape(
    target=text(),
    sentence=text("the answer, in words"),
    state={"type": "string", "enum": ["unknown", "freerun", "acquiring", "locked", "holdover", "holdover_out"]},
    signs=listed(text(), "what speaks for a lost source now"),
    basis=maybe("string", "learned from: locked (it goes on like that), or holdover (its oscillator, left alone)"),
    told_ns=maybe("integer", f"when the forecast was made; {INSTANT}"),
    every_s=maybe("number", "how often one is made"),
    samples=maybe("integer", "learned from so many"),
    confidence=maybe("number", "of the band, and of the times to the limits"),
    score=maybe("number", "share of the newest forecasts of an hour ahead whose interval held"),
    frequency=maybe("number", "fractional frequency, s/s"),
    drift_per_s=maybe("number", "frequency drift, 1/s"),
    white_pm_s=maybe("number", "white phase noise of a sample"),
    limits=listed(
        shape(
            limit_s={"type": "number"},
            within_s={"type": "number", "description": "stays within for so long, with the confidence"},
            beyond_horizon={"type": "boolean", "description": "within_s is as far as is foreseen"},
            median_s=maybe("number", "as likely left before as after"),
            left_by_horizon=maybe("number", "probability to have left at the end"),
            text=text(),
        )
    ),
    forecast={
        "type": ["object", "null"],
        "properties": {
            "at_ns": listed({"type": "integer"}),
            **{name: listed({"type": "number"}) for name in ("mean_s", "u_s", "low_s", "high_s")},
        },
        "description": "time error ahead; low_s to high_s is the band that holds throughout",
    },
    states=listed(
        shape(state=text(), start_ns=INSTANT_SHAPE, end_ns=maybe("integer", "null: it lasts"), signs=listed(text())),
        "one after the other; unknown where the probe did not run",
    ),
    episodes=listed(
        shape(
            entry_ns=maybe("integer", INSTANT),
            exit_ns=maybe("integer", INSTANT),
            duration_s=maybe("number", "from entry to exit"),
            samples=maybe("integer", "measured meanwhile"),
            max_abs_s=maybe("number", "largest |time error|"),
            end_step_s=maybe("number", "step at its end"),
            rate=maybe("number", "fitted fractional frequency"),
            drift=maybe("number", "fitted frequency drift, 1/s"),
            held=maybe("boolean", "whether the forecast's band held throughout"),
            inside=maybe("number", "share of the samples inside"),
            judged=maybe("integer", "by so many samples"),
            gaps=maybe("integer", "intervals more than twice the usual"),
        ),
        "holdovers that are over, the newest first",
    ),
)

MASK = shape(
    profile=text(),
    title=text(),
    mask=text(),
    statistic={"type": "string", "enum": ["mtie", "tdev"]},
    source=text("document, edition and clause"),
    tau_s=listed({"type": "number"}),
    limit_s=listed({"type": "number"}),
)

SITE = shape(
    site=text(),
    probe=text(),
    latitude=maybe("number", "degrees north"),
    longitude=maybe("number", "degrees east"),
    version=text(),
    now_ns=INSTANT_SHAPE,
    simulated={"type": "boolean", "description": "a demonstration: real packets, made-up clocks"},
    history={"type": "boolean", "description": "whether a history is kept"},
    oldest_ns=maybe("integer", "the oldest record of the history"),
)

SERIES = shape(
    target=text(),
    start_ns=INSTANT_SHAPE,
    end_ns=INSTANT_SHAPE,
    records=COUNT,
    thinned={"type": "boolean", "description": "some rows are left out; of each part the extremes are there"},
    columns=shape(
        at_ns=listed({"type": "integer"}),
        time_error_s=_NUMBER_COLUMN,
        time_error_bound_s=_NUMBER_COLUMN,
        time_error_u_s=_NUMBER_COLUMN,
        offset_s=_NUMBER_COLUMN,
        bound_s=_NUMBER_COLUMN,
        delay_s=_NUMBER_COLUMN,
    ),
    parts=shape(
        start_ns=listed({"type": "integer"}),
        end_ns=listed({"type": "integer"}),
        records=listed(COUNT),
        measured=listed(COUNT),
        claimed=listed(COUNT),
    ),
)

TRACE = shape(
    target=text(),
    at_ns=maybe("integer", "the record that this is about"),
    claim=maybe("string", '"valid", or why there is no claim'),
    realises=maybe("string", "the UTC(k) of the reference"),
    measurand=maybe("string", "what the budget is of: UTC - target, or target - UTC(k) where UTC is not known"),
    value_s=maybe("number", "the measurand"),
    u_s=maybe("number", "its combined standard uncertainty"),
    expanded_s=maybe("number", "its expanded uncertainty"),
    coverage_factor=maybe("number", "of expanded_s"),
    label=maybe("string", "final, rapid, predicted, or unavailable: what is known of UTC - UTC(k)"),
    issue=maybe("string", "where that is published"),
    time_error_s=maybe("number", "target minus UTC(k)"),
    time_error_bound_s=maybe("number", "its hard bound: the sum of the half-widths"),
    time_error_u_s=maybe("number", "its standard uncertainty"),
    time_error_expanded_s=maybe("number", "its expanded uncertainty"),
    chain=listed(
        shape(
            what=text("a difference of two clocks"),
            value_s=maybe("number", "null: there is none"),
            bound_s=maybe("number", "hard bound"),
            u_s=maybe("number", "standard uncertainty"),
            validity=text(),
            source=text(),
        ),
        "from the target to UTC: the values add up to the result",
    ),
    budget=listed(
        shape(
            quantity=text(),
            value_s={"type": "number"},
            distribution=text(),
            half_width_s=maybe("number", "what its error cannot exceed"),
            u_s={"type": "number"},
            sensitivity={"type": "number"},
            contribution_s={"type": "number", "description": "|sensitivity| * u_s"},
            source=text(),
        ),
        "JCGM 100:2008, table H.1",
    ),
    notes=listed(text()),
)
