"""How often the confidence intervals cover: Monte Carlo over five noise types and the main statistics.

    python tests/benchmark/bench_coverage.py [--records 1000] [--points 512] [--ci 0.683] [--noise 2 1] [--out coverage.json]

For each noise type, records of exact sampled power-law noise are drawn (seeded), each statistic is computed with its
intervals (convention "exact", noise identified from each record, nothing known), and the share that covers the true
deviation is counted at each averaging time. The true deviation is the noise model's (see timesync/stability/powerlaw.py);
for PDEV, whose model is its own form, the form's expected value. Standard error of a share: 1.5 points at 1000 records.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.powerlaw import power_law_phase

from timesync.stability import STATISTICS
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


def coverage(statistic: str, alpha: int, records: np.ndarray, ci: float) -> list[dict[str, float]]:
    """Share of covering intervals, and of right noise, at each averaging factor."""
    hits: dict[int, list[bool]] = {}
    right: dict[int, int] = {}
    for x in records:
        result = STATISTICS[statistic](x, ci=ci)
        for m, lo, hi, found in zip(result.m.tolist(), result.lo, result.hi, result.alpha, strict=True):
            if m not in hits:
                hits[m], right[m] = [], 0
            true = true_deviation(statistic, alpha, m)
            hits[m].append(bool(lo <= true <= hi))  # NaN covers nothing
            right[m] += int(found == alpha)
    return [
        {"m": m, "covered": float(np.mean(hit)), "noise_right": right[m] / len(hit), "records": len(hit)}
        for m, hit in sorted(hits.items())
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--points", type=int, default=512)
    parser.add_argument("--ci", type=float, default=0.683)
    parser.add_argument("--statistics", default="adev,oadev,mdev,hdev,ohdev,totdev,pdev,tierms")
    parser.add_argument("--noise", type=int, nargs="+", default=[2, 1, 0, -1, -2], help="exponents alpha")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, began = [], time.perf_counter()
    worst = 0.0
    for alpha in options.noise:
        records = power_law_phase(alpha, options.points, np.random.default_rng(1000 + alpha), rows=options.records)
        for statistic in options.statistics.split(","):
            if statistic == "tierms" and alpha < 0:
                continue  # the TIE of such noise has no variance; the result says so
            found = coverage(statistic, alpha, records, options.ci)
            rows.append({"noise": NOISE_NAMES[alpha], "alpha": alpha, "statistic": statistic, "taus": found})
            shares = " ".join(f"{100 * row['covered']:5.1f}" for row in found)
            off = max(abs(row["covered"] - options.ci) for row in found)
            worst = max(worst, off)
            print(f"{NOISE_NAMES[alpha]:16} {statistic:8} {shares}   worst {100 * off:.1f}", flush=True)
    seconds = time.perf_counter() - began
    print(f"nominal {100 * options.ci:.1f}; worst departure {100 * worst:.1f} points; {seconds:.0f} s")
    if options.out:
        facts = {
            "ci": options.ci,
            "points": options.points,
            "records": options.records,
            "worst": worst,
            "seconds": seconds,
        }
        options.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
