"""Makes the tables of `timesync/stability/level_limits.py` anew: python tests/support/level_table.py [RECORDS]  (12000: a while).

For each noise and number of points: the largest time error beyond |cTE| of that many records (white FM: four times as many), over
its median; for each |cTE| in units of the median max|dTE|. Of phase noise the two numbers (1/s, g) that fit its quantiles, as in
`mtie_table.py`; of white FM the logarithms of the quantiles at NORMAL.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.mtie_table import fitted
from support.powerlaw import power_law_phase
from timesync.stability.level_limits import NORMAL, POINTS, SHARES, WALK_POINTS


def extremes(alpha: int, points: int, records: int, rng: np.random.Generator) -> np.ndarray:
    """Largest of dTE and of -dTE of independent records, shape (records, 2)."""
    found: list[np.ndarray] = []
    while (left := records - sum(each.shape[0] for each in found)) > 0:
        x = power_law_phase(alpha, points, rng, rows=min(left, max(1, 2_000_000 // points)))
        x -= x.mean(axis=1, keepdims=True)
        found.append(np.stack((x.max(axis=1), -x.min(axis=1)), axis=1))
    return np.concatenate(found)


def beyond(ends: np.ndarray, share: float) -> np.ndarray:
    """max|TE| - |cTE| of records with |cTE| = share times the median max|dTE|; both signs of it."""
    level = share * float(np.median(ends.max(axis=1)))
    both = np.concatenate((ends, ends[:, ::-1]))
    return np.maximum(both[:, 0], both[:, 1] - 2.0 * level)


def main() -> None:
    """Print the tables."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 12_000
    places = [NormalDist().cdf(z) for z in NORMAL]
    for points in WALK_POINTS:
        ends = extremes(0, points, 4 * records, np.random.default_rng([0, points]))
        print(0, points)
        for share in SHARES:
            quantiles = np.quantile(beyond(ends, share), places)
            print(", ".join(f"{each:.3f}" for each in np.log(quantiles / quantiles[NORMAL.index(0.0)])), flush=True)
    for alpha in (2, 1):
        for points in POINTS:
            ends = extremes(alpha, points, records, np.random.default_rng([alpha, points]))
            row = [fitted(beyond(ends, share)) for share in SHARES]
            print(alpha, points, ", ".join(f"({inverse:.2f}, {g:.2f})" for inverse, g in row), flush=True)


if __name__ == "__main__":
    main()
