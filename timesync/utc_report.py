"""UTC - X of a target from its history and what is published now: day by day, whole series at once.

Rule: computed anew each time from x and u as they were measured; nothing that is stored of an earlier estimate is used. A span is
read in pieces of a day, so that its length does not matter.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np

from timesync.reference.published import laboratory
from timesync.reference.recompute import LABELS, utc_minus
from timesync.store.local import History, Selection
from timesync.store.published import PublishedStore
from timesync.timescale import NS_PER_DAY, format_utc, mjd_to_unix_ns, unix_ns_to_mjd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from timesync.reference.published import UtcTable

__all__ = ["DayOfUtc", "UtcReport", "days_of_utc", "reports"]


@dataclass(frozen=True, slots=True)
class DayOfUtc:
    """One UTC day of one target: the mean of UTC - X and the u (k = 1) of one sample, rms over the day, s; None where absent.

    `labels` counts the samples by label.
    """

    mjd: int
    date: str
    samples: int
    mean_s: float | None
    u_s: float | None
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UtcReport:
    """The days of one target against the UTC(k) that its reference realises."""

    target: str
    realises: str
    days: tuple[DayOfUtc, ...]


def reports(
    history: Path, published: Path, realised: Mapping[str, str], start_ns: int | None, end_ns: int | None
) -> Iterator[UtcReport]:
    """The reports of several targets (target -> UTC(k)), in order, by as many processes as there are cores."""
    jobs = [(history, published, target, realises, start_ns, end_ns) for target, realises in realised.items()]
    if len(jobs) == 1:
        yield _report(*jobs[0])
        return
    workers = min(len(os.sched_getaffinity(0)), len(jobs))
    # Processes that begin anew: a fork would take along whatever threads hold.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_report, *zip(*jobs, strict=True))


def _report(
    history: Path, published: Path, target: str, realises: str, start_ns: int | None, end_ns: int | None
) -> UtcReport:
    with PublishedStore(published, read_only=True) as store:
        table = store.table(laboratory(realises))
    source = History(history, read_only=True)
    try:
        return UtcReport(target, realises, tuple(days_of_utc(source, target, table, start_ns, end_ns)))
    finally:
        source.close()


def days_of_utc(
    history: History, target: str, table: UtcTable, start_ns: int | None, end_ns: int | None
) -> Iterator[DayOfUtc]:
    """The days that have results, in order. Limits in Unix ns; None: all that there is."""
    span = history.span(target)
    if span is None:
        return
    first_ns = span[0] if start_ns is None else max(start_ns, span[0])
    last_ns = span[1] + 1 if end_ns is None else min(end_ns, span[1] + 1)
    for mjd in range(unix_ns_to_mjd(first_ns)[0], unix_ns_to_mjd(last_ns)[0] + 1):
        begin_ns = max(first_ns, mjd_to_unix_ns(mjd))
        until_ns = min(last_ns, mjd_to_unix_ns(mjd) + NS_PER_DAY)
        if begin_ns < until_ns:
            day = _day(history, Selection(target=target, start_ns=begin_ns, end_ns=until_ns), table, mjd)
            if day is not None:
                yield day


def _day(history: History, selection: Selection, table: UtcTable, mjd: int) -> DayOfUtc | None:
    columns = history.columns(selection, ("time_error_s", "time_error_u_s"))
    if not len(columns.at_ns):
        return None
    found = utc_minus(table, columns.at_ns, columns.values["time_error_s"], columns.values["time_error_u_s"])
    known = ~np.isnan(found.value_s)
    certain = ~np.isnan(found.u_s)
    counts = np.bincount(found.label, minlength=len(LABELS)).tolist()
    return DayOfUtc(
        mjd,
        format_utc(mjd_to_unix_ns(mjd))[:10],
        len(columns.at_ns),
        float(np.mean(found.value_s[known])) if known.any() else None,
        float(np.sqrt(np.mean(found.u_s[certain] ** 2))) if certain.any() else None,
        {label.value: count for label, count in zip(LABELS, counts, strict=True) if count},
    )
