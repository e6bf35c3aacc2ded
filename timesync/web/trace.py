"""What the newest record of a target rests on, as the API gives it: the account of `timesync.explain`, and no second one. Pure."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from timesync.explain import Quantity, Step, explain
from timesync.records import CLAIM_VALID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.model import Record

__all__ = ["HEADS", "chosen", "trace"]

HEADS = {
    "budget": [field.name for field in fields(Quantity)],
    "chain": [field.name for field in fields(Step)],
}
"""What can be had as a table, and its columns."""

NOTHING: dict[str, Any] = {
    "at_ns": None,
    "claim": None,
    "realises": None,
    "measurand": None,
    **dict.fromkeys(("value_s", "u_s", "expanded_s", "coverage_factor", "label", "issue")),
    **dict.fromkeys(("time_error_s", "time_error_bound_s", "time_error_u_s", "time_error_expanded_s")),
    "chain": [],
    "budget": [],
    "notes": [],
}


def chosen(records: Sequence[Record]) -> Record | None:
    """Of these records, newest first, the newest that has a claim; the newest where none has."""
    claimed = (each for each in records if each.fields.get("claim") == CLAIM_VALID)
    return next(claimed, records[0] if records else None)


def trace(target: str, record: Record | None) -> dict[str, Any]:
    """The account of a record; nulls where there is none."""
    if record is None:
        return {"target": target, **NOTHING}
    found = asdict(explain(record))
    found["claim"] = CLAIM_VALID if found["no_claim"] is None else found["no_claim"]
    return {"target": target, **{name: found[name] for name in NOTHING}}
