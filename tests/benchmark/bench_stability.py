"""The stability statistics beside allantools and ntpstats: speed, peak memory, agreement; and what gaps do to a result.

    python tests/benchmark/bench_stability.py [--quick] [--output FILE] [--only TEXT]

Every case runs all three on the same data and the same averaging times, in this process, exact against exact (ntpstats
samples its long sums by default: max_work=0 turns that off; its bias correction is off too), none with intervals. Times are
processor time of the process, the median of repetitions taken in turn, so that another program's load falls on all alike
(not quite: it costs the one that lives in the cache more; the fastest repetition of each is given too).
BLAS is held to one thread: its idle threads spin for tens of milliseconds, which would be booked on whoever comes next.
Peak memory is what one call allocates at most, beside the data (tracemalloc). A peer that needs minutes is timed once, or
on part of the averaging times, which is said.

Monte Carlo of the gap bias: the mean of dev^2 with gaps over dev^2 of the same record without, for each noise type, with
points lost one by one and in runs. Only terms without gaps are summed, so the ratio is 1 but for chance.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import statistics
import sys
import time
import tracemalloc
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read once, when numpy is first imported
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import allantools
import numpy as np
from ntpstats import stability as ntpstats_stability
from support.figures import Figures, options, text_table
from support.powerlaw import power_law_phase

from timesync.stability import STATISTICS, Stability

if TYPE_CHECKING:
    from collections.abc import Callable

NTPSTATS = {
    "mtotdev": "mtot",
    "ttotdev": "ttot",
    "htotdev": "htot",
    "ohdev": "hdev",  # what it calls hdev is the overlapping estimator
    **{name: name for name in ("adev", "oadev", "mdev", "tdev", "totdev", "theo1", "theobr", "mtie", "tierms")},
}
SAME = 1e-10
BUDGET_S = 6.0  # of processor time for a case's repetitions


@dataclass(frozen=True, slots=True)
class Case:
    """What is compared: statistic, size, tau list; how many times faster than allantools is promised, if anything.

    part: of how many averaging times allantools gets one, where all would take minutes; its time is then scaled up.
    quick: whether a quick run has it. peers: which of allantools ("a") and ntpstats ("n") take part.
    """

    name: str
    points: int
    taus: str = "octave"
    promise: float | None = None
    part: int = 1
    quick: bool = True
    peers: str = "an"


CASES = (
    Case("oadev", 1_000_000, promise=3.5),
    Case("ohdev", 1_000_000, promise=4.5),
    Case("totdev", 1_000_000, promise=4.5),
    Case("tdev", 1_000_000, promise=4.5),
    Case("mdev", 1_000_000, promise=4.5),
    Case("adev", 1_000_000),
    Case("hdev", 1_000_000, peers="a"),
    Case("tierms", 1_000_000, promise=100.0),
    Case("mtie", 100_000, promise=300.0, quick=False),
    Case("mtie", 10_000, "all", promise=5000.0, part=40),
    Case("pdev", 10_000, promise=3000.0, quick=False, peers="a"),
    Case("mtotdev", 1000, promise=70.0),
    Case("ttotdev", 1000),
    Case("htotdev", 1000, promise=70.0),
    Case("theo1", 1000, promise=150.0),
    Case("theobr", 1000, peers="n"),
    Case("mdev", 1_000_000, "decade"),
    Case("oadev", 1_000_000, "decade"),
    Case("mdev", 3000, "all"),
    Case("oadev", 3000, "all"),
    Case("totdev", 3000, "all"),
    Case("tierms", 3000, "all"),
    Case("theo1", 2000, "all", peers="n"),
    Case("mtie", 3000, "all", part=10),
    *(Case(name, 1000) for name in ("adev", "oadev", "mdev", "tdev", "hdev", "ohdev", "totdev", "tierms", "mtie")),
)

# Absolute aims: statistic, points, tau list, seconds, and bytes allocated where that is an aim too.
AIMS: tuple[tuple[str, int, str, float, float | None], ...] = (
    ("theo1", 10_000, "all", 0.3, None),
    ("theobr", 10_000, "all", 0.3, None),
    ("theoh", 10_000, "all", 0.3, None),
    ("mtotdev", 10_000, "octave", 0.5, None),
    ("mtie", 10_000_000, "octave", 1.0, 200e6),
)


def processor_s(call: Callable[[], object]) -> float:
    """Processor time of one call, in the whole process."""
    begun = time.process_time_ns()
    call()
    return (time.process_time_ns() - begun) / 1e9


def peak_bytes(call: Callable[[], object]) -> int:
    """Most memory allocated at once during a call."""
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def quiet(call: Callable[[], object]) -> Callable[[], object]:
    """A peer's call with its prints and warnings kept away."""

    def wrapped() -> object:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()

    return wrapped


def calls(case: Case, x: np.ndarray) -> tuple[Stability, dict[str, Callable[[], object]]]:
    """Our result, and a call for each taking part."""
    ours = STATISTICS[case.name]
    result = ours(x, taus=case.taus, ci=None)
    chosen = result.m[:: case.part]
    parties: dict[str, Callable[[], object]] = {"timesync": lambda: ours(x, taus=case.taus, ci=None)}
    if "a" in case.peers:
        peer = getattr(allantools, case.name)
        parties["allantools"] = quiet(lambda: peer(x, rate=1.0, data_type="phase", taus=chosen.astype(float)))
    if "n" in case.peers and case.name in NTPSTATS:
        parties["ntpstats"] = quiet(
            lambda: ntpstats_stability.compute(
                x, 1.0, NTPSTATS[case.name], result.m.tolist(), 1, ci=None, max_work=0, bias_correction=False
            )
        )
    return result, parties


def disagreement(case: Case, ours: Stability, party: str, call: Callable[[], object]) -> float:
    """Largest relative difference of a peer's deviations from ours, at the averaging times it gives."""
    found = call()
    if party == "allantools":
        taus, dev = found[0], found[1]  # type: ignore[index] # (taus, devs, errors, ns)
        m = np.rint(taus).astype(np.int64)
    else:
        m = np.rint(found.taus / (0.75 if "theo" in case.name else 1.0)).astype(np.int64)  # type: ignore[attr-defined]
        dev = found.dev  # type: ignore[attr-defined]
    mine = ours.dev[np.searchsorted(ours.m, m)]
    return float(np.max(np.abs(dev / mine - 1.0)))


def run_case(case: Case, repetitions: int) -> dict[str, object]:
    """Times, memory and agreement of one case."""
    x = np.cumsum(np.random.default_rng(case.points).standard_normal(case.points))
    result, parties = calls(case, x)
    row: dict[str, object] = {"name": case.name, "points": case.points, "taus": case.taus, "number": len(result)}
    times: dict[str, list[float]] = {party: [] for party in parties}
    row["difference"] = max(
        (disagreement(case, result, party, call) for party, call in parties.items() if party != "timesync"), default=0.0
    )
    spent = dict.fromkeys(parties, 0.0)
    for turn in range(repetitions):
        for party, call in parties.items():
            # Whoever has had his share of the time is not asked again; everybody is asked once.
            if turn == 0 or spent[party] < BUDGET_S:
                times[party].append(processor_s(call))
                spent[party] += times[party][-1]
    for party, taken in times.items():
        scale = case.part if party == "allantools" else 1
        row[f"{party}_s"] = statistics.median(taken) * scale
        row[f"{party}_fastest_s"] = min(taken) * scale
        slow = statistics.median(taken) > BUDGET_S / 2
        row[f"{party}_peak_bytes"] = None if slow else peak_bytes(parties[party])
    return row


def named(name: str, only: str) -> bool:
    """Is this one asked for: by a part of its name, or, after "=", by the whole?"""
    return name == only[1:] if only.startswith("=") else only in name


def number(value: object, scale: float, digits: str = ".4g") -> str:
    return "" if value is None else f"{float(value) * scale:{digits}}"  # type: ignore[arg-type] # from a JSON row


def ratio(row: dict[str, object], peer: str, which: str = "") -> float | None:
    theirs = row.get(f"{peer}{which}_s")
    return None if theirs is None else float(theirs) / float(row[f"timesync{which}_s"])  # type: ignore[arg-type] # as above


def compare(figures: Figures, *, quick: bool, only: str) -> list[dict[str, object]]:
    """All cases; a table of them, and a figure for each promise."""
    rows = []
    table = [("statistic", "points", "taus", "ms", "allantools", "ntpstats", "MB", "allantools", "ntpstats", "differ")]
    for case in CASES:
        if not named(case.name, only) or (quick and not case.quick):
            continue
        row = run_case(case, 7 if quick else 21)
        rows.append(row)
        label = f"{case.name} {case.points:.0e} {case.taus}".replace("e+0", "e")
        by_allantools, by_ntpstats = ratio(row, "allantools"), ratio(row, "ntpstats")
        table.append(
            (
                case.name,
                str(case.points),
                case.taus,
                number(row["timesync_s"], 1e3),
                "" if by_allantools is None else f"x {by_allantools:.4g}",
                "" if by_ntpstats is None else f"x {by_ntpstats:.4g}",
                number(row["timesync_peak_bytes"], 1e-6),
                number(row.get("allantools_peak_bytes"), 1e-6),
                number(row.get("ntpstats_peak_bytes"), 1e-6),
                f"{row['difference']:.1e}",
            )
        )
        print("  ".join(table[-1]), flush=True)
        if by_allantools is not None:
            figures.add(f"{label}: times faster than allantools", by_allantools, limit=case.promise, better="higher")
            fastest = ratio(row, "allantools", "_fastest")
            figures.add(f"{label}: the same by the fastest repetition of each", fastest or math.nan, better="higher")
        if by_ntpstats is not None:
            figures.add(f"{label}: times faster than ntpstats", by_ntpstats, limit=1.0, better="higher")
        figures.add(f"{label}: largest difference from peers", float(row["difference"]), limit=SAME)  # type: ignore[arg-type] # a float
    print("\nTime of ours, times faster than each peer; peak memory of each, largest relative difference.")
    print(text_table(table))
    return rows


def aims(figures: Figures, *, quick: bool, only: str) -> list[dict[str, object]]:
    """The absolute aims."""
    rows = []
    for name, points, taus, limit_s, limit_bytes in AIMS:
        if not named(name, only) or (quick and points > 1_000_000):
            continue
        x = np.cumsum(np.random.default_rng(1).standard_normal(points))

        def call(name: str = name, taus: str = taus, x: np.ndarray = x) -> object:
            return STATISTICS[name](x, taus=taus, ci=None)

        call()
        taken = statistics.median(processor_s(call) for _ in range(3 if quick else 7))
        peak = peak_bytes(call)
        label = f"{name} {points:.0e} {taus}".replace("e+0", "e")
        figures.add(f"{label}: time", taken, "s", limit=limit_s)
        figures.add(f"{label}: peak memory beside the data", peak / 1e6, "MB", limit=limit_bytes and limit_bytes / 1e6)
        rows.append({"name": name, "points": points, "taus": taus, "seconds": taken, "peak_bytes": peak})
    return rows


def in_extended(x: np.ndarray, offset: float) -> dict[tuple[str, int], float]:
    """OADEV, MDEV, OHDEV and PDEV at octaves in extended precision; the offset, a power of two, comes off exactly."""

    def rms(values: np.ndarray) -> np.longdouble:
        parts = np.array_split(values, 64)
        return np.sqrt(sum((np.sum(part**2) for part in parts), np.longdouble(0)) / np.longdouble(values.size))

    level = x.astype(np.longdouble) - np.longdouble(offset) * np.arange(x.size)
    sums, moments = level.copy(), np.zeros(x.size, np.longdouble)
    found: dict[tuple[str, int], float] = {}
    m = 1
    while 3 * m <= x.size - 1:
        found["oadev", m] = rms(level[2 * m :] - 2 * level[m:-m] + level[: -2 * m]) / np.sqrt(np.longdouble(2)) / m
        third = level[3 * m :] - 3 * level[2 * m : -m] + 3 * level[m : -2 * m] - level[: -3 * m]
        found["ohdev", m] = rms(third) / np.sqrt(np.longdouble(6)) / m
        found["mdev", m] = rms(sums[2 * m :] - 2 * sums[m:-m] + sums[: -2 * m]) / np.sqrt(np.longdouble(2)) / m / m
        if m > 1:
            found["pdev", m] = (
                np.sqrt(np.longdouble(72)) * rms((moments[:-m] - moments[m:])[:-1]) / np.longdouble(m) ** 3
            )
        moments = moments[:-m] + moments[m:] + np.longdouble(m) / 2 * (sums[:-m] - sums[m:])
        sums = sums[:-m] + sums[m:]
        m *= 2
    return found


def precision(figures: Figures, *, quick: bool) -> None:
    """Noise of 1 ps on an offset that reaches 1 s and a drift: digits kept."""
    points = 200_000 if quick else 10_000_000
    rng = np.random.default_rng(2)
    offset = 2.0 ** -math.ceil(math.log2(points))
    t = np.arange(points, dtype=float)
    x = offset * t + 0.5 * 1e-18 * t**2 + 1e-12 * (rng.standard_normal(points) + np.cumsum(rng.standard_normal(points)))
    expected = in_extended(x, offset)
    for name in ("oadev", "ohdev", "mdev", "pdev"):
        result = STATISTICS[name](x, ci=None)
        worst = max(
            abs(float(dev / expected[name, m] - 1))
            for m, dev in zip(result.m.tolist(), result.dev, strict=True)
            if (name, m) in expected
        )
        figures.add(f"{name} {points:.0e}, offset to 1 s and drift: error".replace("e+0", "e"), worst, limit=1e-10)


def lose(points: int, share: float, run: int, rng: np.random.Generator) -> np.ndarray:
    """Which points are lost: about `share` of them, in runs of the given length."""
    starts = rng.random(points) < share / run
    lost = np.convolve(starts, np.ones(run), "full")[:points] > 0
    lost[[0, -1]] = False
    return lost


def gap_bias(figures: Figures, *, quick: bool) -> list[dict[str, object]]:
    """Ratio of mean squared deviation with gaps to that without, over records of each noise type."""
    records, points, share = (60, 512, 0.1) if quick else (400, 1024, 0.1)
    names = ("oadev", "ohdev", "totdev", "tierms", "theo1", "mdev", "pdev", "mtotdev", "htotdev")
    rng = np.random.default_rng(3)
    rows: list[dict[str, object]] = []
    table = [("noise", "lost", "statistic", "tau", "ratio", "standard error")]
    for alpha in (2, 1, 0, -1, -2):
        whole = power_law_phase(alpha, points, rng, rows=records)
        for run in (1, 32):
            squares: dict[tuple[str, float], list[tuple[float, float]]] = {}
            for record in whole:
                torn = np.where(lose(points, share, run, rng), np.nan, record)
                for name in names:
                    taus = [1.5, 12.0] if name == "theo1" else [1.0, 4.0, 16.0]
                    complete = STATISTICS[name](record, taus=taus, ci=None)
                    left = STATISTICS[name](torn, taus=taus, ci=None)
                    at = np.searchsorted(complete.tau_s, left.tau_s)
                    for tau, a, b in zip(left.tau_s.tolist(), left.dev, complete.dev[at], strict=True):
                        squares.setdefault((name, tau), []).append((a * a, b * b))
            for (name, tau), pairs in squares.items():
                torn_squares, squares_whole = np.array(pairs).T
                mean = float(torn_squares.mean() / squares_whole.mean())
                error = float(np.std(torn_squares - squares_whole) / squares_whole.mean() / math.sqrt(len(pairs)))
                rows.append({"alpha": alpha, "run": run, "name": name, "tau_s": tau, "ratio": mean, "error": error})
                lost = f"10 % in runs of {run}"
                table.append((f"alpha {alpha:+d}", lost, name, f"{tau:g}", f"{mean:.4f}", f"{error:.4f}"))
    print(f"\nBias by gaps: dev^2 with 10 % of {points} points lost over dev^2 without, mean of {records} records.")
    print(text_table(table))
    off = [abs(float(row["ratio"]) - 1) / max(float(row["error"]), 1e-12) for row in rows]  # type: ignore[arg-type] # floats
    figures.add("bias by gaps: largest", max(abs(float(row["ratio"]) - 1) for row in rows))  # type: ignore[arg-type] # floats
    figures.add("bias by gaps: share of ratios within 2 standard errors of 1", statistics.mean(o < 2 for o in off))
    return rows


def main() -> int:
    """Run everything."""
    parser = options(__doc__)
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only statistics whose name contains (=TEXT: is) TEXT, speed alone"
    )
    chosen = parser.parse_args()
    figures = Figures()
    details: dict[str, object] = {"cases": compare(figures, quick=chosen.quick, only=chosen.only)}
    details["aims"] = aims(figures, quick=chosen.quick, only=chosen.only)
    if not chosen.only:
        precision(figures, quick=chosen.quick)
        details["gap_bias"] = gap_bias(figures, quick=chosen.quick)
    figures.finish(chosen.output, details)
    return 0


if __name__ == "__main__":
    sys.exit(main())
