"""From a definition to a result: the one path that every batch statistic takes.

Rule: check the input, choose the averaging factors, evaluate, keep what has terms, and finish with the intervals: all
in one place, so that every statistic is called alike and says alike what it left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.stability.confidence import RULES, intervals
from timesync.stability.mtie_limits import METHOD, mtie_limits, offset_share
from timesync.stability.noise import identify
from timesync.stability.record import Record, levelled, read_record, time_error
from timesync.stability.result import CONVENTIONS, Convention, Floats, Integers, Kind, Stability
from timesync.stability.taus import TauGrid, Taus, factors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

CI = 0.683
TOTALS = frozenset({"totdev", "mtotdev", "ttotdev", "htotdev"})  # corrected for bias under Stable32's convention

__all__ = ["Statistic", "Terms", "finish"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an evaluation gives for each averaging factor: deviation, and terms summed (0: none, dev is not used).

    tau_per_m: tau = m * tau_per_m * tau0; an array where it differs within one statistic (TheoH).
    why_not: a reason in words when there is no value at all, for example a bias ratio that cannot be formed.
    """

    dev: Floats
    n: Integers
    tau_per_m: float | Floats = 1.0
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic of stability: call it on data, `oadev(x, tau0_s=1.0, taus="octave", kind="phase")`.

    name        as in the table `STATISTICS`
    title       in words
    unit        of the deviation: "1" (fractional frequency) or "s"
    source      publication and equation
    grid        the averaging factors open to a record of so many phase points
    evaluate    the terms at given averaging factors
    choose      how averaging factors follow from the wanted taus where it is not the common way (TheoH)
    """

    name: str
    title: str
    unit: str
    source: str
    grid: Callable[[int], TauGrid]
    evaluate: Callable[[Record, Integers], Terms]
    choose: Callable[[Taus, float, int], tuple[Integers, str | None]] | None = None

    def __call__(
        self,
        x: ArrayLike,
        tau0_s: float = 1.0,
        taus: Taus = "octave",
        kind: Kind = "phase",
        *,
        ci: float | None = CI,
        convention: Convention = "exact",
    ) -> Stability:
        """Evaluate the statistic.

        x           shape (points,): phase in s, or fractional frequency; NaN marks a missing point
        tau0_s      sampling interval, s
        taus        "octave", "decade", "all", "log:K" (K points a decade), or averaging times in s
        kind        "phase" or "frequency"
        ci          confidence level of the intervals, None for none (and no noise identification)
        convention  "exact", or "stable32": totals corrected for bias, EDF of averaged phase

        Too short a record, or one with no term free of gaps, gives an empty result with its reason. Raises DataError
        for data of the wrong shape or type, infinite elements, and averaging times off the statistic's grid.
        """
        if convention not in CONVENTIONS:
            raise DataError(f"convention: {convention!r} is not known; use one of {', '.join(CONVENTIONS)}")
        if ci is not None and not 0.0 < ci < 1.0:
            raise DataError(f"ci: a confidence level lies between 0 and 1, not {ci!r}; use None for no intervals")
        record = read_record(x, tau0_s, kind)
        if self.choose is not None:
            m, reason = self.choose(taus, record.tau0_s, record.size)
        else:
            m, reason = factors(taus, record.tau0_s, self.grid(record.size))
        return finish(self.name, record, m, self.evaluate(record, m), reason, ci=ci, convention=convention)


def _why_empty(record: Record, m: Integers) -> str:
    points = f"{record.size} phase point{'s' if record.size != 1 else ''}"
    if record.size and record.completeness == 0.0:
        return "every point of the record is missing"
    if m.size == 0:
        return f"too short: {points} give no term at any averaging time"
    return f"no term is free of gaps in a record of {points}, {record.completeness:.1%} complete"


@dataclass(frozen=True, slots=True)
class _Limits:
    """Interval arrays, the divisor of dev squared where the convention corrects bias, and what is said about them."""

    lo: Floats
    hi: Floats
    edf: Floats
    alpha: Floats
    bias: Floats | None
    said: str


def _none(size: int, why: str) -> _Limits:
    absent = np.full(size, np.nan)
    return _Limits(absent, absent, absent, absent, None, f"none: {why}")


def _limits(
    statistic: str,
    record: Record,
    columns: tuple[Integers, Integers, Floats, Floats],
    *,
    ci: float | None,
    convention: Convention,
) -> _Limits:
    """The intervals of the finished deviations. They take the statistic as defined; the convention may then correct it."""
    m, n, dev, tau_s = columns
    corrected = convention == "stable32" and statistic in TOTALS
    if not m.size:
        return _none(0, "the result is empty")
    if not dev.any():
        return _none(m.size, "every deviation is zero, there is no noise to identify")
    if ci is None and not corrected:
        return _none(m.size, "not asked for")
    if statistic == "mtie":
        return _of_extremes(record, columns, ci or CI, convention)
    found = intervals(
        statistic,
        _as_seen(record),
        m,
        dev,
        n,
        tau0_s=record.tau0_s,
        ci=CI if ci is None else ci,
        convention=convention,
        tau_s=tau_s,
    )
    bias = found.bias if corrected else None
    if ci is None:
        return replace(_none(m.size, "not asked for"), alpha=found.alpha, bias=bias)
    said = _said(ci, tau_s, found.reason)
    return _Limits(found.lo, found.hi, found.edf, found.alpha, bias, said)


def _said(ci: float, tau_s: Floats, reasons: tuple[str, ...]) -> str:
    """Where there are intervals, and why there are none where there are not."""
    why = {text: tau_s[[each == text for each in reasons]] for text in dict.fromkeys(reasons) if text}
    said = "; ".join(f"none at tau = {', '.join(f'{tau:g}' for tau in taus)} s: {text}" for text, taus in why.items())
    return said or f"{ci:g} at every tau"


def _of_extremes(
    record: Record, columns: tuple[Integers, Integers, Floats, Floats], ci: float, convention: Convention
) -> _Limits:
    """The intervals of MTIE, which has a distribution but no degrees of freedom."""
    m, _, dev, tau_s = columns
    x = _as_seen(record)
    alpha = identify(x, m, rule=RULES[convention]).alpha
    share = offset_share(time_error(record), m, dev, alpha) if record.completeness > 0.0 else None
    lo, hi, reasons = mtie_limits(m, dev, record.size, alpha, ci, present=record.completeness, offset=share)
    said = _said(ci, tau_s, reasons)
    if np.isfinite(lo).any():
        said += f"; {METHOD}"
    return _Limits(lo, hi, np.full(m.size, np.nan), alpha, None, said)


def _as_seen(record: Record) -> Floats:
    """Phase for the identification of noise: the point that follows a missing frequency value is missing too."""
    x = levelled(record)
    if record.missing_steps is not None:
        x[1:][np.diff(record.missing_steps) > 0] = np.nan
    return x


def finish(
    statistic: str,
    record: Record,
    m: Integers,
    terms: Terms,
    reason: str | None,
    *,
    ci: float | None,
    convention: Convention,
) -> Stability:
    """Keep the taus that have terms, name those that have none, and attach the confidence intervals."""
    kept = terms.n > 0
    tau_s = m * np.asarray(terms.tau_per_m) * record.tau0_s
    reasons = [reason] if reason else []
    if terms.why_not:
        reasons.append(terms.why_not)
    elif not kept.any():
        reasons.append(_why_empty(record, m))
    elif not kept.all():
        lost = ", ".join(f"{tau:g}" for tau in tau_s[~kept][:8]) + (", ..." if np.sum(~kept) > 8 else "")
        reasons.append(f"no term is free of gaps at tau = {lost} s")
    m, n, dev, tau_s = m[kept], terms.n[kept], terms.dev[kept], tau_s[kept]
    limits = _limits(statistic, record, (m, n, dev, tau_s), ci=ci, convention=convention)
    if limits.bias is not None:
        dev = dev / np.sqrt(limits.bias)
    return Stability(
        statistic=statistic,
        convention=convention,
        kind=record.kind,
        tau0_s=record.tau0_s,
        tau_s=tau_s,
        m=m,
        dev=dev,
        lo=limits.lo,
        hi=limits.hi,
        n=n,
        edf=limits.edf,
        alpha=limits.alpha + 0.0,  # no -0
        ci=ci,
        completeness=record.completeness,
        interval=limits.said,
        reason="; ".join(reasons) or None,
    )
