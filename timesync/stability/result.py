"""The one result that every statistic of stability returns.

Rule: a result says what was computed (statistic, convention), from how much of the record (completeness, terms per
tau), and, where something is absent, why (`reason`, `interval`). No number stands for an absence: where intervals were
not computed the four interval arrays are NaN throughout and `interval` says so.

Symbols as in NIST SP 1065: tau0 is the sampling interval, m the averaging factor, tau the averaging time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONVENTIONS", "KINDS", "Booleans", "Convention", "Floats", "Integers", "Kind", "Stability"]

Booleans: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Kind: TypeAlias = Literal["phase", "frequency"]
Convention: TypeAlias = Literal["exact", "stable32"]

KINDS: tuple[str, ...] = get_args(Kind)
CONVENTIONS: tuple[str, ...] = get_args(Convention)


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """A statistic over averaging times. The arrays all have the same length, one element a tau, tau increasing.

    statistic     its name in `timesync.stability.STATISTICS`, for example "oadev"
    convention    "exact" (the definition, untouched) or "stable32" (bias-corrected totals, averaged-phase EDF)
    kind          what the input was: "phase" (s) or "frequency" (fractional)
    tau0_s        sampling interval, s
    tau_s         averaging time, s (for Theo1 and its kin 0.75 m tau0)
    m             averaging factor
    dev           the deviation: fractional frequency, or s for TDEV, TTOTDEV, TIE rms and MTIE
    lo, hi        confidence limits, at the level `ci`, of what dev estimates; NaN where `interval` says there are none.
                  A raw total is biased against what it estimates (MTOTDEV against MDEV) and can lie outside them
    n             squared terms summed (MTIE: windows looked at); a term that touches a gap is not counted
    edf           equivalent degrees of freedom behind lo and hi
    alpha         identified power-law exponent of S_y(f), 2 (white PM) to -2 (random-walk FM) or below
    ci            the level of lo and hi, None when not asked for
    completeness  present points / grid points, 0..1
    interval      how lo and hi were made, or why there are none
    reason        why the result is empty, or which wanted taus are not in it; None when nothing is missing
    """

    statistic: str
    convention: Convention
    kind: Kind
    tau0_s: float
    tau_s: Floats
    m: Integers
    dev: Floats
    lo: Floats
    hi: Floats
    n: Integers
    edf: Floats
    alpha: Floats
    ci: float | None
    completeness: float
    interval: str
    reason: str | None = None

    def __len__(self) -> int:
        return int(self.tau_s.size)

    def rows(self) -> list[dict[str, Any]]:
        """One dict a tau, plain Python numbers; an absent limit is None."""
        columns = ("tau_s", "m", "dev", "lo", "hi", "n", "edf", "alpha")
        values = zip(*(getattr(self, name).tolist() for name in columns), strict=True)
        return [
            {name: None if value != value else value for name, value in zip(columns, row, strict=True)}  # noqa: PLR0124 - NaN test
            for row in values
        ]
