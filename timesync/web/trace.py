"""What the newest record of a target rests on: the chain from UTC down to it, and its budget part by part.

Rule: only what the record itself says; the meaning of each part is that of the schema (`records.FIELDS`). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timesync.records import CLAIM_VALID, FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.model import FieldValue, Record

__all__ = ["trace"]

# Of UTC itself, not of time_error_s.
NOT_OF_THE_CLAIM = frozenset({"u_utck_s", "u_utc_interpolation_s"})


def trace(target: str, records: Sequence[Record]) -> dict[str, Any]:
    """The account of the newest of these records (newest first) that has a claim; of the newest where none has."""
    record = next(
        (each for each in records if each.fields.get("claim") == CLAIM_VALID), records[0] if records else None
    )
    fields: Mapping[str, FieldValue] = record.fields if record is not None else {}
    return {
        "target": target,
        "at_ns": record.at_ns if record is not None else None,
        "claim": fields.get("claim"),
        "time_error_s": fields.get("time_error_s"),
        "chain": _chain(target, record) if record is not None else [],
        "bound": _parts(fields, "bound_"),
        "u": _parts(fields, "u_"),
        "bound_s": fields.get("time_error_bound_s"),
        "u_s": fields.get("time_error_u_s"),
    }


def _parts(fields: Mapping[str, FieldValue], prefix: str) -> list[dict[str, Any]]:
    """The parts of a sum, the largest first."""
    found = [
        {"part": name, "value_s": float(value), "meaning": FIELDS[name].meaning}
        for name, value in fields.items()
        if name.startswith(prefix)
        and name in FIELDS
        and name not in NOT_OF_THE_CLAIM
        and name != "bound_s"
        and isinstance(value, int | float)
    ]
    return sorted(found, key=lambda part: -part["value_s"])


def _chain(target: str, record: Record) -> list[dict[str, str]]:
    fields, tags = record.fields, record.tags
    realises = str(fields.get("realises", "")) or "no UTC(k)"
    reference = tags.get("reference", "none")
    label = fields.get("utc_label")
    steps = []
    if label is not None and label != "unavailable":
        value = fields.get("utc_minus_utck_s")
        detail = f"{label}, {fields.get('utc_issue', '')}"
        steps.append({"step": "UTC", "what": "Circular T", "detail": f"UTC - {realises} = {value} s ({detail})"})
    steps.append({"step": realises, "what": "realised by the reference", "detail": reference})
    source = fields.get("link_source") or "as the operator declares it"
    link = fields.get("link")
    steps.append({"step": "tie", "what": f"link {link}" if link is not None else "declared tie", "detail": str(source)})
    if reference != target:
        steps.append(
            {"step": reference, "what": "measured by the probe", "detail": f"reference {fields.get('quality', 'none')}"}
        )
    stamps = fields.get("timestamping") or f"{fields.get('tx_timestamping', '')} {fields.get('rx_timestamping', '')}"
    steps.append(
        {"step": target, "what": f"measured by {tags.get('protocol', '')}", "detail": f"timestamps: {stamps}".strip()}
    )
    return steps
