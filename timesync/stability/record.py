"""The input of a statistic, checked and made ready: phase on a regular grid, with its gaps marked.

Rule: nothing is filled in. A missing phase point is NaN and takes every term that touches it along; a missing frequency
value breaks the phase there, and takes every term whose span holds the break. What cannot be used (wrong shape,
infinite, not numbers) is a DataError that names the element.

Precision: a constant frequency offset of 1e-7 over 1e7 s makes phase of 1 s, on which a difference of picoseconds has
four digits left. `levelled` takes off a straight line whose every value is exactly a double, so that the only rounding
is relative to what remains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.stability.result import KINDS, Booleans, Floats, Integers, Kind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Record", "levelled", "read_record", "steady", "time_error", "trimmed", "whole"]

BLOCK = 3 * 9984  # elements of a piece of a long array (see blocks.py)
MANTISSA = 53  # bits of a double
STEADY = 1e4  # times the noise from point to point
STRETCHES, STRETCH = 32, 33  # how many short stretches, of how many points, show the noise from point to point


@dataclass(frozen=True, slots=True)
class Record:
    """Phase x(i) = phase[i] + rate_s * i, i = 0 .. size-1, in seconds.

    missing_points[i]: NaN among phase[:i] (size + 1 values), None where no point is missing.
    missing_steps[i]: missing frequency values before point i (size values), None where none is missing.
    """

    phase: Floats
    rate_s: float
    tau0_s: float
    kind: Kind
    missing_points: Integers | None
    missing_steps: Integers | None
    completeness: float

    @property
    def size(self) -> int:
        return int(self.phase.size)

    @property
    def has_gaps(self) -> bool:
        return self.missing_points is not None or self.missing_steps is not None


def _checked(values: ArrayLike, name: str) -> tuple[Floats, Integers | None]:
    """One-dimensional float64 array, masked elements as NaN, and the running count of NaN; None where there is none."""
    array = np.asarray(np.ma.filled(values.astype(np.float64), np.nan) if np.ma.isMaskedArray(values) else values)
    if array.ndim != 1:
        raise DataError(f"{name}: one-dimensional data are needed, not of shape {array.shape}")
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name}: real numbers are needed, not {array.dtype}")
    if array.dtype.kind in "iu" and array.size and max(abs(int(array.min())), abs(int(array.max()))) > 2**MANTISSA:
        raise DataError(f"{name}: integers beyond 2**53 do not fit a double; subtract a constant first")
    array = np.ascontiguousarray(array, dtype=np.float64)
    # One cheap pass decides for sound data: NaN and infinity stay in a sum. (A sum that overflows costs a second look.)
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(float(np.add.reduce(array))):
            return array, None
    infinite = np.flatnonzero(np.isinf(array))
    if infinite.size:
        raise DataError(f"{name}: element {infinite[0]} is infinite; mark a missing value as NaN")
    missing = np.isnan(array)
    if not missing.any():
        return array, None
    return array, np.concatenate((np.zeros(1, np.int64), np.cumsum(missing)))


def read_record(x: ArrayLike, tau0_s: float, kind: str) -> Record:
    """Check the input and bring it to phase.

    x: phase in seconds, or fractional frequency averaged over each tau0, shape (points,), NaN where missing.
    Raises DataError for a wrong kind, sampling interval, shape or type, and for infinite elements.
    """
    if kind not in KINDS:
        raise DataError(f"kind: {kind!r} is not known; use one of {', '.join(KINDS)}")
    if not (math.isfinite(tau0_s) and tau0_s > 0):
        raise DataError(f"tau0_s: the sampling interval must be positive seconds, not {tau0_s!r}")
    values, missing = _checked(x, "x")
    completeness = 1.0 - (int(missing[-1]) / values.size if missing is not None else 0.0) if values.size else 0.0
    if kind == "phase":
        return Record(values, 0.0, float(tau0_s), "phase", missing, None, completeness)
    return _integrated(values, missing, float(tau0_s), completeness)


def _integrated(y: Floats, missing: Integers | None, tau0_s: float, completeness: float) -> Record:
    """Phase from frequency, starting at zero. The mean frequency is kept apart: y - mean loses no digit of y's
    variation, while a running sum of y itself would.
    """
    mean = float(np.nanmean(y)) if completeness > 0 else 0.0
    phase = np.empty(y.size + 1 if y.size else 0)
    if y.size:
        phase[0] = 0.0
        np.subtract(y, mean, out=phase[1:])
        if missing is not None:
            phase[1:][np.isnan(y)] = 0.0
        np.cumsum(phase[1:], out=phase[1:])
        phase *= tau0_s
    return Record(phase, mean * tau0_s, tau0_s, "frequency", None, missing, completeness)


def time_error(record: Record) -> Floats:
    """Phase with its whole slope, s: what MTIE and TIE rms look at. Not to be written to: it may be the caller's array."""
    if record.rate_s == 0.0:
        return record.phase
    return record.phase + record.rate_s * np.arange(record.size)


def levelled(record: Record) -> Floats:
    """Phase less a straight line, s, in a new array; missing points are NaN.

    For statistics blind to a constant and a slope. Both are whole multiples of one power of two, small enough that
    every value of the line is a double: the subtraction rounds once, relative to the remainder.
    """
    x = record.phase
    if record.completeness == 0.0:
        return x.copy()
    present = np.array([0, x.size - 1]) if record.missing_points is None else np.flatnonzero(~np.isnan(x))[[0, -1]]
    first, last = (float(value) for value in x[present])
    extent = max(abs(first), abs(last))
    run = int(present[1] - present[0])
    if extent == 0.0 or run == 0:
        return x - first
    quantum = math.ldexp(1.0, max(math.frexp(extent)[1] - MANTISSA + 2, -1022))
    slope = round((last - first) / run / quantum) * quantum
    constant = round((first - slope * int(present[0])) / quantum) * quantum
    out = np.empty_like(x)
    ramp = slope * np.arange(min(BLOCK, x.size), dtype=np.float64)
    line = np.empty_like(ramp)
    for start in range(0, x.size, BLOCK):
        width = min(BLOCK, x.size - start)
        np.add(ramp[:width], constant + slope * start, out=line[:width])
        np.subtract(x[start : start + width], line[:width], out=out[start : start + width])
    return out


def steady(record: Record) -> Floats:
    """Phase to take differences of, s: the record's own, not to be written to, where its offset and slope cost no digit.

    Rounding is relative to what is added. Where the phase at both ends is less than 1e4 times the noise from point to
    point (median over short stretches), that is less than 1e-12 of the noise; otherwise the record is levelled.
    """
    x = record.phase
    if record.has_gaps or x.size < STRETCHES * STRETCH:
        return levelled(record)
    starts = np.linspace(0, x.size - STRETCH, STRETCHES).astype(np.int64)
    steps = np.diff(x[starts[:, None] + np.arange(STRETCH)], axis=1)
    noise = float(np.median(np.sqrt(np.mean(np.square(steps - steps.mean(axis=1, keepdims=True)), axis=1))))
    return x if max(abs(float(x[0])), abs(float(x[-1]))) <= STEADY * noise else levelled(record)


def trimmed(record: Record) -> Record:
    """The record without missing points, or missing frequency values, at its beginning and end."""
    if record.missing_points is not None:
        present = np.flatnonzero(~np.isnan(record.phase))
        first, stop = (int(present[0]), int(present[-1]) + 1) if present.size else (0, 0)
        lost = record.missing_points[first : stop + 1] - record.missing_points[first]
        return replace(record, phase=record.phase[first:stop], missing_points=lost if lost[-1] else None)
    if record.missing_steps is not None:
        present = np.flatnonzero(np.diff(record.missing_steps) == 0)
        first, stop = (int(present[0]), int(present[-1]) + 2) if present.size else (0, 0)
        lost = record.missing_steps[first:stop] - record.missing_steps[first : first + 1]
        return replace(record, phase=record.phase[first:stop], missing_steps=lost if lost.any() else None)
    return record


def whole(record: Record, count: int, span: int) -> Booleans:
    """For each start i < count: are points i .. i + span all present, with no break between them? Boolean, (count,)."""
    ok = np.ones(count, dtype=bool)
    if record.missing_points is not None:
        lost = record.missing_points
        ok &= lost[span + 1 : span + 1 + count] == lost[:count]
    if record.missing_steps is not None:
        lost = record.missing_steps
        ok &= lost[span : span + count] == lost[:count]
    return ok
