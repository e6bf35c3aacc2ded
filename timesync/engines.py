"""The engines of one probe, one for each probe kind in use: opened when first needed, told of new settings, asked for their counts.

Rule: an engine is foreign code. What it raises as its contract says (ConfigError, OSError) is the caller's to handle; anything
else is logged with its trace and becomes an `InstrumentError`, or nothing at all where there is nothing to decide.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from timesync.errors import TimesyncError
from timesync.instrument import CLOSE_S, OPEN_S, InstrumentError, fault_text
from timesync.plugin import EngineContext, EngineCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from timesync.model import Event
    from timesync.plugin import Engine, ProbeKind, Prober
    from timesync.settings import ProbeSettings, TargetSettings

__all__ = ["Engines"]

log = logging.getLogger(__name__)


class Engines:
    """By kind. `emit` takes the engines' events, `clock_epoch` tells them the epoch of the probe's clock."""

    def __init__(self, emit: Callable[[Event], None], clock_epoch: Callable[[], int]) -> None:
        self._emit = emit
        self._clock_epoch = clock_epoch
        self._engines: dict[str, Engine] = {}
        self._stale: set[str] = set()
        self._mute: set[str] = set()

    async def open_target(self, kind: ProbeKind, target: TargetSettings, settings: ProbeSettings) -> Prober:
        """Open a target, and the engine of its kind if it is the first.

        Raises TimesyncError or OSError, as the contract has it, and InstrumentError for everything else.
        """
        try:
            engine = self._engines.get(target.kind)
            if engine is None:
                engine = kind.open(EngineContext(settings, self._emit, self._clock_epoch))
                self._engines[target.kind] = engine
            async with asyncio.timeout(OPEN_S):
                prober = await engine.open_target(target)
        except (TimesyncError, OSError):
            raise
        except Exception as error:
            log.exception("%s: the instrument failed when it was opened", target.name)
            raise InstrumentError(f'target "{target.name}": the instrument failed: {fault_text(error)}') from error
        self._stale.discard(target.name)
        return prober

    def take(self, settings: ProbeSettings, before: ProbeSettings) -> set[str]:
        """Tell all engines the new settings; the names of the open targets that must be opened again to follow them.

        Names are remembered until they have been opened again. Raises TimesyncError or OSError if one of the engines refuses;
        those that had taken the settings have been given `before` again.
        """
        taken: list[Engine] = []
        for kind, engine in self._engines.items():
            try:
                self._stale |= set(engine.reconfigure(settings))
            except (TimesyncError, OSError):
                _give_back(taken, before)
                raise
            except Exception as error:
                log.exception("the probe kind %s failed when it took new settings", kind)
                _give_back([*taken, engine], before)
                raise InstrumentError(f'probe kind "{kind}" failed: {fault_text(error)}') from error
            taken.append(engine)
        return set(self._stale)

    def give_back(self, before: ProbeSettings) -> None:
        """The settings that the engines took are not used after all."""
        _give_back(list(self._engines.values()), before)

    def counts(self) -> Mapping[str, EngineCounts]:
        """What each engine in use has seen, by its kind; one that cannot say is left out, and the log says so once."""
        counts = {}
        for kind, engine in self._engines.items():
            try:
                seen = engine.counts()
                counts[kind] = EngineCounts(dict(seen.refused), dict(seen.sockets))
            except Exception:
                if kind not in self._mute:
                    log.exception("the probe kind %s cannot say what it has seen", kind)
                self._mute.add(kind)
        return counts

    async def close(self) -> None:
        """Close all; what one of them raises keeps none of the others open."""
        for kind, engine in self._engines.items():
            try:
                async with asyncio.timeout(CLOSE_S):
                    await engine.close()
            except Exception:
                log.exception("the probe kind %s could not be closed properly", kind)
        self._engines.clear()


def _give_back(engines: list[Engine], before: ProbeSettings) -> None:
    for engine in engines:
        try:
            engine.reconfigure(before)
        except Exception:
            log.exception("an engine did not take its former settings again")
