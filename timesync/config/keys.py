"""The one table of everything a configuration file can say.

Rule: reading, checking, suggesting and documenting are all driven by `TABLES`; a key that is not here does not exist.
Each numeric key has both limits, each key a meaning and an example as TOML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.config.keys_alerts import ALERTS, LIMIT, NOTIFY
from timesync.config.keys_measuring import (
    CLOCK,
    KEYS,
    LINK,
    LOCAL_REFERENCE,
    NAMES,
    REFERENCE,
    SITE,
    TARGET,
    UNCERTAINTY,
)
from timesync.config.keys_results import HISTORY, HOLDOVER, HTTP, INFLUXDB, LOG, SPOOL, STABILITY, UTC

if TYPE_CHECKING:
    from timesync.config.schema import Key, Table

__all__ = ["TABLES", "find_key"]

TABLES: tuple[Table, ...] = (
    SITE,
    TARGET,
    REFERENCE,
    LOCAL_REFERENCE,
    LINK,
    KEYS,
    CLOCK,
    NAMES,
    UNCERTAINTY,
    SPOOL,
    HISTORY,
    INFLUXDB,
    HTTP,
    STABILITY,
    HOLDOVER,
    UTC,
    ALERTS,
    LIMIT,
    NOTIFY,
    LOG,
)


def find_key(table: str, name: str) -> Key:
    """The key of that name in that table. Raises `KeyError` where there is none."""
    for candidate in TABLES:
        for key in candidate.keys:
            if (candidate.name, key.name) == (table, name):
                return key
    raise KeyError(f"{table}.{name}")
