"""The ITU-T masks as points to draw, from the table that `timesync stability` judges by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from timesync.stability.mask_table import PROFILES
from timesync.stability.masks import STATISTICS

__all__ = ["masks"]

END_S = 1e6  # where a mask without end is drawn to
POINTS_A_DECADE = 8


def masks() -> list[dict[str, Any]]:
    """Every mask on MTIE or TDEV: its corners and enough points between them for logarithmic axes."""
    found = []
    for profile in PROFILES.values():
        for mask in profile.masks:
            if mask.statistic not in STATISTICS:
                continue
            first, last = mask.range_s
            end = min(last, max(END_S, 10.0 * mask.pieces[-1].from_s)) if math.isinf(last) else last
            count = max(2, math.ceil(POINTS_A_DECADE * math.log10(end / first)))
            corners = [piece.from_s for piece in mask.pieces]
            taus = np.unique(np.concatenate([np.geomspace(first, end, count), corners]))
            limits = mask.limit_s(taus)
            good = np.isfinite(limits)
            found.append(
                {
                    "profile": profile.name,
                    "title": profile.title,
                    "mask": mask.name,
                    "statistic": mask.statistic,
                    "source": f"{mask.source} ({mask.edition}) {mask.clause}",
                    "tau_s": taus[good].tolist(),
                    "limit_s": limits[good].tolist(),
                }
            )
    return found
