"""Which targets' stability is computed, and against which clocks: by the configuration alone, and told as it is.

Rule: nothing is left out that the configuration does not leave out by name: too many targets (`targets_at_most`), or the probe's
clock for those that have a better one to be compared with (`probe_clock`). Each series takes about 0.1 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from timesync.pipeline import reference_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.settings import ProbeSettings

__all__ = ["Chosen", "choose"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Names of targets. pairs: compared with a reference, those that have one; own: with the probe's clock."""

    pairs: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()

    def counts(self) -> Mapping[str, int]:
        """How many series there are, by what the targets are compared with."""
        return {"reference": len(self.pairs), "probe": len(self.own)}


def choose(settings: ProbeSettings) -> tuple[Chosen, str | None]:
    """The series, and why there are none where there might be."""
    wanted, targets = settings.stability, settings.targets
    if not wanted.enabled:
        return Chosen(), None
    if len(targets) > wanted.targets_at_most:
        text = (
            f"no stability is computed: {len(targets)} targets are more than {wanted.targets_at_most}, "
            "targets_at_most of [stability]"
        )
        return Chosen(), text
    alone = frozenset(each.name for each in targets if reference_of(settings, each) in {None, each.name})
    every = frozenset(each.name for each in targets)
    return Chosen(every - alone, alone if wanted.probe_clock == "unreferenced" else every), None
