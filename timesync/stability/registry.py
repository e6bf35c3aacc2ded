"""The table of every statistic, by name.

Rule: one place lists them; the command line, the daemon and the documents read this table.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from timesync.stability.allan import adev, hdev, mdev, oadev, ohdev, tdev
from timesync.stability.mtie import mtie, tierms
from timesync.stability.parabolic import pdev
from timesync.stability.theo import theo1, theobr, theoh
from timesync.stability.total import htotdev, mtotdev, totdev, ttotdev

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.stability.estimate import Statistic

__all__ = ["STATISTICS"]

STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        statistic.name: statistic
        for statistic in (
            *(adev, oadev, mdev, tdev, hdev, ohdev, pdev),
            *(totdev, mtotdev, ttotdev, htotdev, theo1, theobr, theoh),
            *(tierms, mtie),
        )
    }
)
