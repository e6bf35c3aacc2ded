"""The masks that a configuration names, as points for /metrics.

Rule: numpy (30 MB) is imported only where a mask is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.settings import StabilitySettings

__all__ = ["masks_of"]


def masks_of(settings: StabilitySettings) -> Sequence[tuple[str, str, str, float]]:
    """Each point: profile, statistic ("mtie" or "tdev"), averaging time (s, as text), limit (s)."""
    if not (settings.enabled and settings.masks):
        return ()
    from timesync.stability.mask_points import masks  # noqa: PLC0415 - see the rule

    return [
        (mask["profile"], mask["statistic"], f"{tau_s:.6g}", limit_s)
        for mask in masks()
        if mask["profile"] in settings.masks
        for tau_s, limit_s in zip(mask["tau_s"], mask["limit_s"], strict=True)
    ]
