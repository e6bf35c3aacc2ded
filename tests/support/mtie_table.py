"""Makes the table of `timesync/stability/mtie_limits.py` anew: python tests/support/mtie_table.py [RECORDS]  (10 minutes for 4000).

For each noise, averaging factor and length: MTIE of that many records over its median, and the two numbers (1/s, g) of
ln U = (exp(g z) - 1) s/g that fit its quantiles best, the middle weighing most.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.powerlaw import power_law_phase
from timesync.stability.mtie_limits import FACTORS, LENGTHS

QUANTILES = (0.005, 0.025, 0.05, 0.1587, 0.25, 0.5, 0.75, 0.8413, 0.95, 0.975, 0.995)
WEIGHTS = (0.3, 0.6, 0.8, 1, 1, 1, 1, 1, 0.8, 0.6, 0.3)
LONGEST = 17_000  # points of a record; the one cell beyond is continued from its neighbours


def mtie_of_rows(x: np.ndarray, m: int) -> np.ndarray:
    """MTIE of each row at averaging factor m, a power of two."""
    high, low, steps = np.maximum(x[:, :-1], x[:, 1:]), np.minimum(x[:, :-1], x[:, 1:]), 1
    while steps < m:
        high, low = np.maximum(high[:, :-steps], high[:, steps:]), np.minimum(low[:, :-steps], low[:, steps:])
        steps *= 2
    return np.asarray((high - low).max(axis=1))


def simulated(alpha: int, m: int, points: int, records: int, rng: np.random.Generator) -> np.ndarray:
    """MTIE of independent records of this noise."""
    found: list[np.ndarray] = []
    while (left := records - sum(each.size for each in found)) > 0:
        rows = min(left, max(1, 2_000_000 // max(points, 64)))
        found.append(mtie_of_rows(power_law_phase(alpha, points, rng, rows=rows), m))
    return np.concatenate(found)


def fitted(values: np.ndarray) -> tuple[float, float]:
    """(1/s, g)."""
    quantiles = np.quantile(values, QUANTILES)
    y, z = np.log(quantiles / np.median(values)), np.array([NormalDist().inv_cdf(p) for p in QUANTILES])
    best = (np.inf, 0.0, 0.0)
    for g in np.linspace(-1.2, 0.8, 400):  # 0 is not among them
        shape = np.expm1(g * z) / g
        s = float((shape * WEIGHTS) @ y / ((shape * WEIGHTS) @ shape))
        best = min(best, (float(np.sum((np.array(WEIGHTS) * (y - s * shape)) ** 2)), 1.0 / s, float(g)))
    return best[1], best[2]


def main() -> None:
    """Print the table."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    for alpha in (2, 1, 0):
        for m in FACTORS:
            rows = [
                fitted(simulated(alpha, m, m * length + 1, records, np.random.default_rng([alpha, m, length])))
                for length in LENGTHS
                if m * length < LONGEST
            ]
            print(alpha, m, ", ".join(f"({inverse:.2f}, {g:.2f})" for inverse, g in rows), flush=True)


if __name__ == "__main__":
    main()
