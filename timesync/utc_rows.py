"""UTC - X in a row: what is added when a sample is measured, and what becomes of it when more has been published.

Rule: UTC - X = [UTC - UTC(k)] - x, with its label. The first estimate stays in the row for ever (`utc_early_*`) once a later
one has taken its place. Computing a row again from the same publications changes nothing. Pure.
"""

from __future__ import annotations

from math import hypot, inf
from typing import TYPE_CHECKING

from timesync.reference.published import Label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.model import FieldValue
    from timesync.reference.published import UtcEstimate

__all__ = ["EARLY", "UTC_FIELDS", "add_utc", "revised"]

UTC_FIELDS = (
    "utc_minus_x_s",
    "utc_minus_x_u_s",
    "utc_minus_x_expanded_s",
    "utc_label",
    "utc_issue",
    "utc_minus_utck_s",
    "u_utck_s",
    "u_utc_interpolation_s",
)
"""What belongs to one estimate: replaced together, a field that no longer applies is gone."""
EARLY = {
    "utc_minus_x_s": "utc_early_minus_x_s",
    "utc_minus_x_u_s": "utc_early_u_s",
    "utc_label": "utc_early_label",
    "utc_issue": "utc_early_issue",
}
"""What of the first estimate is kept, and under which name."""
LEAST_CHANGE_S = 1e-12  # less is rounding: publications have 0.1 ns


def add_utc(fields: dict[str, FieldValue], estimate: UtcEstimate) -> None:
    """Add UTC - X to the fields of a row that has a claim: x, its u and the coverage factor are read from them."""
    fields["utc_label"] = estimate.label.value
    if estimate.label is Label.UNAVAILABLE:
        return
    fields["utc_issue"] = estimate.issue
    fields["utc_minus_utck_s"] = estimate.value_s
    fields["utc_minus_x_s"] = estimate.value_s - float(fields["time_error_s"])
    fields["u_utc_interpolation_s"] = estimate.u_interpolation_s
    if estimate.u_s is not None:
        published_u_s = hypot(estimate.u_s, estimate.u_interpolation_s)
        u_s = hypot(published_u_s, float(fields["time_error_u_s"]))
        factor = float(fields["coverage_factor"])
        fields["u_utck_s"] = estimate.u_s
        fields["utc_minus_x_u_s"] = u_s
        # x is within its bound for certain, so that no more than that and U of what is published can be wrong.
        bound_s = float(fields.get("time_error_bound_s", inf))
        fields["utc_minus_x_expanded_s"] = min(factor * u_s, bound_s + factor * published_u_s)


def revised(fields: Mapping[str, FieldValue], estimate: UtcEstimate) -> dict[str, FieldValue] | None:
    """The fields of a stored row with its UTC - X as it is known now; None where that changes nothing, or where it has no claim."""
    if "time_error_s" not in fields or "time_error_u_s" not in fields or "coverage_factor" not in fields:
        return None
    new = {name: value for name, value in fields.items() if name not in UTC_FIELDS}
    add_utc(new, estimate)
    if not any(_differs(fields.get(name), new.get(name)) for name in UTC_FIELDS):
        return None
    if "utc_label" in fields and "utc_early_label" not in fields:
        new.update({EARLY[name]: fields[name] for name in EARLY if name in fields})
    return new


def _differs(old: FieldValue | None, new: FieldValue | None) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return abs(old - new) > LEAST_CHANGE_S
    return old != new
