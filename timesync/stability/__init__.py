"""Frequency stability statistics (NIST SP 1065, ITU-T G.810): arrays in, results out, numpy only.

    from timesync.stability import STATISTICS, oadev
    result = oadev(x, tau0_s=1.0, taus="octave", kind="phase")

Every statistic is called alike and returns a `Stability`; `STATISTICS` is the table of them all, by name. `on_grid`
makes the regular grid they take from timestamps as they came.
"""

from timesync.stability.allan import adev, hdev, mdev, oadev, ohdev, tdev
from timesync.stability.estimate import Statistic
from timesync.stability.level_limits import Levels, levels
from timesync.stability.mtie import cte, dte, max_abs_te, mtie, tierms
from timesync.stability.parabolic import pdev
from timesync.stability.registry import STATISTICS
from timesync.stability.result import Stability
from timesync.stability.series import GridSeries, on_grid
from timesync.stability.theo import theo1, theobr, theoh
from timesync.stability.total import htotdev, mtotdev, totdev, ttotdev

__all__ = [
    "STATISTICS",
    "GridSeries",
    "Levels",
    "Stability",
    "Statistic",
    "adev",
    "cte",
    "dte",
    "hdev",
    "htotdev",
    "levels",
    "max_abs_te",
    "mdev",
    "mtie",
    "mtotdev",
    "oadev",
    "ohdev",
    "on_grid",
    "pdev",
    "tdev",
    "theo1",
    "theobr",
    "theoh",
    "tierms",
    "totdev",
    "ttotdev",
]
