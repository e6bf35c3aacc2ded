"""How often the confidence intervals cover: Monte Carlo over five noise types and the main statistics.

    python tests/benchmark/bench_coverage.py [--quick] [--output FILE] [--records 8000] [--points 512] [--ci 0.683]

For each noise type, records of exact sampled power-law noise are drawn (seeded), each statistic is computed, and the share
of intervals (convention "exact") that cover the true deviation is counted at each octave, twice: with the noise *known*,
which tests the degrees of freedom and the distribution, and with the noise *identified* from each record, as a user has
it. The true deviation is the noise model's (timesync/stability/powerlaw.py); for PDEV, whose model is its own form, the form's
expected value; for MTIE the median of as many other records. Standard error of a share: 0.5 points at 8000 records; the
largest of the 300 departures lies three of them off by chance alone. The intervals of cTE, max|dTE| and max|TE| hold for other
records: see `level_shares`.

For speed, a record's noise is identified once for all statistics of one order, and the ends of the interval over the
deviation are worked out once for each noise: neither depends on more. That this is what a call gives is checked on some records.
"""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from pathlib import Path
from unittest import mock

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read once, when numpy is first imported

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.figures import Figures, options
from support.powerlaw import power_law_phase

from timesync.stability import STATISTICS, confidence, levels
from timesync.stability.mtie_limits import mtie_limits
from timesync.stability.noise import NoiseIdentity, identify
from timesync.stability.powerlaw import NOISE_NAMES, difference_covariance, generalised_autocovariance
from timesync.stability.quadratic import QUADRATIC

# the difference whose mean square each statistic estimates: order, of phase averaged over m, normaliser, times tau^2/3
PARENTS = {
    "adev": (2, False, 2.0, False),
    "oadev": (2, False, 2.0, False),
    "mdev": (2, True, 2.0, False),
    "tdev": (2, True, 2.0, True),
    "hdev": (3, False, 6.0, False),
    "ohdev": (3, False, 6.0, False),
    "totdev": (2, False, 2.0, False),
    "mtotdev": (2, True, 2.0, False),
    "htotdev": (3, False, 6.0, False),
    "tierms": (1, False, 1.0, False),
}
HADAMARD = {"hdev", "ohdev", "htotdev"}


@cache
def true_deviation(statistic: str, alpha: int, m: int) -> float:
    """Of unit innovation at unit tau0."""
    if statistic == "pdev":
        points = max(3, 2 * m)
        lags = np.abs(np.subtract.outer(np.arange(points), np.arange(points))).astype(float)
        covariance = generalised_autocovariance(lags, alpha)
        return math.sqrt(float(np.sum(QUADRATIC["pdev"].matrix(m, points) * covariance)))
    order, averaged, normaliser, time_like = PARENTS[statistic]
    value = float(difference_covariance(np.zeros(1), alpha, order, m, summed=averaged)[0]) / normaliser
    if statistic != "tierms":
        value /= float(m * m)
    return math.sqrt(value * (m * m / 3.0 if time_like else 1.0))


def ratios(statistic: str, alpha: int, m: np.ndarray, n: np.ndarray, points: int, ci: float) -> np.ndarray:
    """Lower and upper limit over the deviation at each averaging factor, for a noise that is known. Shape (2, factors)."""
    ones, known = np.ones(m.size), np.full(m.size, float(alpha))
    if statistic == "mtie":
        lo, hi, _ = mtie_limits(m, ones, points, known, ci)
        return np.array([lo, hi])

    def told(x: np.ndarray, factors: np.ndarray, *, order: int, rule: str) -> NoiseIdentity:
        del x, order, rule
        return NoiseIdentity(factors, known, known, ("known",) * m.size, ("",) * m.size)

    with mock.patch.object(confidence, "identify", told):
        found = confidence.intervals(
            statistic, np.zeros(points), m, ones, n, tau0_s=1.0, ci=ci, convention="exact", tau_s=m * 1.0
        )
    return np.array([found.lo, found.hi])


def shares(statistic: str, alpha: int, records: np.ndarray, noises: np.ndarray, ci: float) -> dict[str, list[float]]:
    """Share of covering intervals (0..1) at each octave, with the noise known and with it identified.

    noises: what was found in each record at each octave, shape (records, octaves).
    """
    evaluate = STATISTICS[statistic]
    first = evaluate(records[0], ci=None)
    m, n, points = first.m, first.n, records.shape[1]
    dev = np.array([evaluate(x, ci=None).dev for x in records])
    if statistic == "mtie":
        half = records.shape[0] // 2
        true, dev, noises = np.median(dev[:half], axis=0), dev[half:], noises[half:]
        records = records[half:]
    else:
        true = np.array([true_deviation(statistic, alpha, int(k)) for k in m])
    noises = noises[:, : m.size]
    ends = {
        each: ratios(statistic, each, m, n, points, ci) for each in range(2, -5 if HADAMARD & {statistic} else -3, -1)
    }
    lo, hi = np.full((2, *dev.shape), np.nan)
    for each, (low, high) in ends.items():
        here = noises == each
        lo[here], hi[here] = (np.broadcast_to(end, dev.shape)[here] for end in (low, high))
    if statistic != "theo1":
        for i in range(0, records.shape[0], max(1, records.shape[0] // 5)):
            told = evaluate(records[i], ci=ci)
            np.testing.assert_allclose(dev[i] * lo[i], told.lo, rtol=1e-9)
    known = ends[alpha]
    covered = {
        "known": (dev * known[0] <= true) & (true <= dev * known[1]),
        "identified": (dev * lo <= true) & (true <= dev * hi),  # NaN covers nothing
    }
    return {which: each.mean(axis=0).tolist() for which, each in covered.items()} | {"m": m.tolist()}


def level_shares(alpha: int, points: int, count: int, ci: float) -> dict[str, float]:
    """Share of covering intervals of cTE, max|dTE| and max|TE|, among those that were told; noise identified.

    For max|TE| records are moved to a cTE of 0.3 times the median max|dTE|.
    """
    both = power_law_phase(alpha, 2 * points, np.random.default_rng(2000 + alpha), rows=count)
    first, following = both[:, :points], both[:, points:].mean(axis=1)
    centred = first - first.mean(axis=1, keepdims=True)
    spread = float(np.median(np.abs(centred).max(axis=1)))
    largest = float(np.median(np.abs(centred + 0.3 * spread).max(axis=1)))
    hits, told = np.zeros(3), 0
    for x, level, after in zip(first, centred, following, strict=True):
        own, placed = levels(x, ci=ci), levels(level + 0.3 * spread, ci=ci)
        if math.isnan(own.cte.lo_s):
            continue
        told += 1
        hits += (
            own.cte.lo_s <= after <= own.cte.hi_s,
            own.max_abs_dte.lo_s <= spread <= own.max_abs_dte.hi_s,
            placed.max_abs_te.lo_s <= largest <= placed.max_abs_te.hi_s,
        )
    return dict(zip(("cte", "max_abs_dte", "max_abs_te"), (hits / told).tolist(), strict=True)) | {"told": told / count}


def main() -> int:
    """Measure, print, write."""
    parser = options(__doc__)
    parser.add_argument("--records", type=int)
    parser.add_argument("--points", type=int, default=512)
    parser.add_argument("--ci", type=float, default=0.683)
    parser.add_argument("--statistics", default="adev,oadev,mdev,hdev,ohdev,totdev,pdev,tierms,mtie")
    parser.add_argument("--noise", type=int, nargs="+", default=[2, 1, 0, -1, -2], help="exponents alpha")
    chosen = parser.parse_args()
    count = chosen.records or (500 if chosen.quick else 8000)
    figures, rows = Figures(), []
    worst: dict[str, float] = {}
    octaves = 2 ** np.arange(int(chosen.points).bit_length())
    for alpha in chosen.noise:
        records = power_law_phase(alpha, chosen.points, np.random.default_rng(1000 + alpha), rows=count)
        noises = {order: np.array([identify(x, octaves, order=order).alpha for x in records]) for order in (2, 3)}
        right = " ".join(f"{100 * share:5.1f}" for share in np.mean(noises[2] == alpha, axis=0))
        print(f"{NOISE_NAMES[alpha]:16} named rightly      {right}", flush=True)
        for statistic in chosen.statistics.split(","):
            if statistic in {"tierms", "mtie"} and alpha < 0:
                continue  # the time error of such noise has no distribution; the result says so
            found = shares(statistic, alpha, records, noises[3 if statistic in HADAMARD else 2], chosen.ci)
            rows.append({"noise": NOISE_NAMES[alpha], "alpha": alpha, "statistic": statistic, **found})
            for which in ("known", "identified"):
                off = max(abs(share - chosen.ci) for share in found[which])
                group = f"{'MTIE, ' if statistic == 'mtie' else ''}noise {which}"
                worst[group] = max(worst.get(group, 0.0), off)
                text = " ".join(f"{100 * share:5.1f}" for share in found[which])
                print(f"{'':16} {statistic:8} {which:10} {text}   worst {100 * off:.1f}", flush=True)
    for alpha in (each for each in chosen.noise if each >= 0):
        shown = level_shares(alpha, chosen.points, count // 2, chosen.ci)
        rows.append({"noise": NOISE_NAMES[alpha], "alpha": alpha, "statistic": "levels", **shown})
        print(
            f"{NOISE_NAMES[alpha]:16} " + ", ".join(f"{name} {100 * share:.1f}" for name, share in shown.items()),
            flush=True,
        )
        off = max(abs(shown[name] - chosen.ci) for name in ("cte", "max_abs_dte", "max_abs_te"))
        worst["levels, noise identified"] = max(worst.get("levels, noise identified", 0.0), off)
    for group, off in worst.items():
        figures.add(
            f"coverage of {100 * chosen.ci:g} % intervals, {group}: largest departure",
            100.0 * off,
            "points",
            limit=None if chosen.quick else 3.0 if group.startswith("MTIE") else 2.0,
        )
    figures.finish(chosen.output, {"ci": chosen.ci, "points": chosen.points, "records": count, "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
