"""From streamed sums to results: the deviation, its interval, and what was left out.

Rule: an estimator that did not look at every term has a name of its own (`oadev_strided`, `mtie_bounds`), and a result of its
own: no `Stability` holds both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timesync.errors import DataError
from timesync.stability.mtie_limits import METHOD, mtie_limits
from timesync.stability.result import Stability
from timesync.stability.stream_noise import CONVENTION, identified, limits
from timesync.stability.stream_plan import BOUNDED, DISJOINT, STREAMED, STRIDED

if TYPE_CHECKING:
    from timesync.stability.daysums import Sums
    from timesync.stability.result import Floats, Integers
    from timesync.stability.stream_plan import Streamed, StreamPlan

__all__ = ["names", "summary"]

NOISE_ROWS = ("second", "third", "modified")  # sums that tell the noise


def names(plan: StreamPlan) -> tuple[str, ...]:
    """The results that a plan can give, exact ones first."""
    strided = [name for name in plan.statistics if name not in DISJOINT] if _size(plan.strided) else []
    exact = list(plan.statistics) if _size(plan.exact) else []
    return (*exact, *(BOUNDED if name == "mtie" else name + STRIDED for name in strided))


def _size(columns: slice) -> int:
    return int(columns.stop - columns.start)


def summary(plan: StreamPlan, sums: Sums, name: str, ci: float | None) -> Stability:
    """The result called `name` (one of `names(plan)`) from these sums; ci: level of the intervals, None for none.

    Raises DataError for a name that the plan does not give.
    """
    if name not in names(plan):
        raise DataError(f"{name!r} is not in this stream; it has {', '.join(names(plan))}")
    base = "mtie" if name == BOUNDED else name.removesuffix(STRIDED)
    columns = plan.exact if name == base else plan.strided
    order = np.argsort(plan.factors[columns], kind="stable") + columns.start
    return _mtie(plan, sums, name, order, ci) if base == "mtie" else _sum(plan, sums, name, STREAMED[base], order, ci)


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is to tell: the columns that have terms and those that have none, and what was made of the former."""

    chosen: Integers
    lost: Integers
    dev: Floats
    n: Integers
    lo: Floats
    hi: Floats
    edf: Floats
    alpha: Floats
    ci: float | None
    said: str


def _mtie(plan: StreamPlan, sums: Sums, name: str, order: Integers, ci: float | None) -> Stability:
    # A window of one point has a range, 0, and is none that counts; strides may cover windows that end within one.
    seen = np.isfinite(sums.cover[order]) if name == BOUNDED else sums.windows[order] > 0
    chosen = order[seen]
    dev, n = sums.cover[chosen], sums.windows[chosen]
    lo = hi = alpha = absent = np.full(chosen.size, np.nan)
    said = "none: not asked for"
    if name == BOUNDED:
        lo, hi, ci = np.maximum(sums.top[chosen], 0.0), dev, None
        said = "rigorous bounds of MTIE, not a confidence interval; dev is the upper one"
    elif ci is not None:
        if set(NOISE_ROWS) <= set(plan.rows):
            alpha = _alpha(plan, sums)[chosen]
        present = sums.present / sums.points if sums.points else 0.0
        lo, hi, reasons = mtie_limits(plan.factors[chosen], dev, float(sums.points), alpha, ci, present=present)
        said = _said(ci, plan.tau_s()[chosen], reasons)
        if np.isfinite(lo).any():
            said += f"; MTIE: {METHOD}"
    return _result(plan, sums, name, _Found(chosen, order[~seen], dev, n, lo, hi, absent, alpha, ci, said))


def _sum(plan: StreamPlan, sums: Sums, name: str, statistic: Streamed, order: Integers, ci: float | None) -> Stability:
    row = plan.rows.index(statistic.row)
    n = sums.terms[row, order]
    chosen = order[n > 0]
    n = n[n > 0]
    m = plan.factors[chosen]
    mean = (sums.total[row, chosen] + sums.rest[row, chosen]) / n
    dev = (
        np.sqrt(mean / statistic.norm) * (m * plan.tau0_s) ** float(statistic.power_tau) * m ** float(statistic.power_m)
    )
    lo = hi = edf = alpha = np.full(chosen.size, np.nan)
    said = "none: not asked for"
    if ci is not None:
        alpha = _alpha(plan, sums)[chosen]
        stride = plan.factors[chosen] if statistic.name in DISJOINT else plan.strides[chosen]
        found = limits(statistic.order, m, stride, dev, n, alpha, ci, summed=statistic.row == "modified")
        lo, hi, edf = found.lo, found.hi, found.edf
        said = _said(ci, m * plan.tau0_s, found.reason)
    lost = order[~np.isin(order, chosen)]
    return _result(plan, sums, name, _Found(chosen, lost, dev, n, lo, hi, edf, alpha, ci, said))


def _alpha(plan: StreamPlan, sums: Sums) -> Floats:
    """The noise at every column of the plan, identified from the shortest averaging time up."""
    order = np.argsort(plan.factors, kind="stable")
    m, strides = plan.factors[order], plan.strides[order]
    terms = {row: sums.terms[plan.rows.index(row), order] for row in NOISE_ROWS}
    means = {
        row: (sums.total[plan.rows.index(row), order] + sums.rest[plan.rows.index(row), order]) / np.maximum(n, 1)
        for row, n in terms.items()
    }
    points = np.where(terms["third"] > 0, terms["third"] * strides / m + 3.0, 0.0)
    found = np.empty(m.size)
    found[order] = identified(m, means["second"], means["third"], means["modified"] / m**2.0, points)
    return found


def _said(ci: float, tau_s: Floats, reasons: tuple[str, ...]) -> str:
    why = {text: tau_s[[each == text for each in reasons]] for text in dict.fromkeys(reasons) if text}
    parts = [f"none at tau = {', '.join(f'{tau:g}' for tau in taus)} s: {text}" for text, taus in why.items()]
    return "; ".join([*parts, CONVENTION] if parts else [f"{ci:g} at every tau", CONVENTION])


def _result(plan: StreamPlan, sums: Sums, name: str, found: _Found) -> Stability:
    reason = None
    if found.lost.size:
        times = plan.tau_s()[found.lost].tolist()
        taus = ", ".join(f"{tau:g}" for tau in times[:8]) + (", ..." if len(times) > 8 else "")
        reason = f"no term yet at tau = {taus} s" if sums.present else "no sample is there yet"
    return Stability(
        statistic=name,
        convention="exact",
        kind="phase",
        tau0_s=plan.tau0_s,
        tau_s=plan.tau_s()[found.chosen],
        m=plan.factors[found.chosen],
        dev=found.dev,
        lo=found.lo,
        hi=found.hi,
        n=found.n,
        edf=found.edf,
        alpha=found.alpha,
        ci=found.ci,
        completeness=sums.present / sums.points if sums.points else 0.0,
        interval=found.said if found.chosen.size else "none: the result is empty",
        reason=reason,
    )
