"""UTC - X of a whole series at once, as arrays: what a new issue makes of results that are on record.

Rule: the same numbers as `UtcTable.at` gives one by one, only faster. Imported where whole series are worked on; it takes numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.reference.published import Label
from timesync.timescale import NS_PER_DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from timesync.reference.published import Segment, UtcTable

__all__ = ["LABELS", "UtcSeries", "utc_minus"]

LABELS = (Label.UNAVAILABLE, Label.PREDICTED, Label.RAPID, Label.FINAL)
"""The codes of `UtcSeries.label`, by index."""


@dataclass(frozen=True, slots=True)
class UtcSeries:
    """One value a sample: UTC - X and its u (k = 1) in s, NaN where there is none; `label` indexes `LABELS`."""

    value_s: NDArray[np.float64]
    u_s: NDArray[np.float64]
    label: NDArray[np.int8]


def utc_minus(
    table: UtcTable, at_ns: NDArray[np.int64], x_s: NDArray[np.float64], u_x_s: NDArray[np.float64]
) -> UtcSeries:
    """UTC - X = [UTC - UTC(k)] - x at ascending instants (Unix ns), with u^2 = u(k)^2 + u(interpolation)^2 + u(x)^2."""
    value = np.full(at_ns.shape, np.nan)
    u = np.full(at_ns.shape, np.nan)
    label = np.zeros(at_ns.shape, dtype=np.int8)
    for segment in table.segments:
        first, end = np.searchsorted(at_ns, (segment.start_ns, segment.end_ns))
        if first < end:
            part = slice(first, end)
            _fill(segment, at_ns[part], x_s[part], u_x_s[part], value[part], u[part])
            label[part] = LABELS.index(segment.label)
    return UtcSeries(value, u, label)


def _fill(
    segment: Segment,
    at_ns: NDArray[np.int64],
    x_s: NDArray[np.float64],
    u_x_s: NDArray[np.float64],
    value: NDArray[np.float64],
    u: NDArray[np.float64],
) -> None:
    days = (at_ns - segment.start_ns) / NS_PER_DAY
    np.multiply(days, segment.rate * 86_400.0, out=value)
    value += segment.value_s
    value -= x_s
    if segment.u_s is None:
        return
    span_days = (segment.end_ns - segment.start_ns) / NS_PER_DAY
    walk = days + days * days / segment.rate_days if segment.rate_days else days * (span_days - days) / span_days
    np.sqrt(segment.u_s**2 + segment.walk_s**2 * walk + u_x_s * u_x_s, out=u)
