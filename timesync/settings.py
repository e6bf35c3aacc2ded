"""What a configuration says, once it has been read and found good: plain frozen dataclasses with defaults.

Rule: a value here is valid (config.py has checked it), carries its unit in its name, and its default is one that a
careful operator would choose. Nothing here reads a file or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "HistorySettings",
    "HttpSettings",
    "InfluxSettings",
    "LocalReferenceSettings",
    "LogSettings",
    "ProbeSettings",
    "SiteSettings",
    "SpoolSettings",
    "StabilitySettings",
    "TargetSettings",
    "Tie",
    "UtcSettings",
]


@dataclass(frozen=True, slots=True)
class Tie:
    """How a reference is tied to UTC(k), as declared: the bound and standard uncertainty of (reference - UTC(k)).

    `valid_until_ns` ends the claim (Unix ns); None means that no end was declared.
    """

    realises: str
    bound_s: float = 0.0
    u_s: float = 0.0
    valid_until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """One clock to measure. `options` are the probe kind's own (checked by the kind)."""

    name: str
    kind: str
    address: str
    interval_s: float = 16.0
    timeout_s: float = 1.0
    burst: int = 1
    burst_spacing_s: float = 0.25
    tie: Tie | None = None
    reference: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LocalReferenceSettings:
    """The probe's host clock, declared to realise UTC(k); its name as a reference is `local`.

    For `settle_s` after it was stepped, or its machine slept, nothing is claimed by it.
    """

    tie: Tie
    settle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Who measures: the institution and the probe there; position for the map, degrees, north and east positive."""

    name: str
    probe: str
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """The durable queue between measuring and the sinks."""

    directory: Path
    max_bytes: int = 2_000_000_000
    when_full: str = "drop_oldest"  # or "drop_newest"
    durability: str = "normal"  # a power cut costs a second; "full": nothing, for one fsync an append


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """The embedded history. `retention_days` None keeps everything."""

    enabled: bool = True
    retention_days: float | None = 400.0


@dataclass(frozen=True, slots=True)
class InfluxSettings:
    """One InfluxDB (or compatible) sink.

    `api` "v2" writes to /api/v2/write (InfluxDB 2.x, 3 Core, 1.8+, VictoriaMetrics) with org, bucket and token;
    "v1" writes to /write with database and, if given, user name and password. Secrets are read from files.
    """

    name: str
    url: str
    api: str = "v2"
    organisation: str = ""
    bucket: str = ""
    database: str = ""
    retention_policy: str = ""
    username: str = ""
    token_file: Path | None = None
    password_file: Path | None = None
    batch_size: int = 5000
    timeout_s: float = 10.0
    gzip: bool = True
    verify_tls: bool = True
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where /metrics, /healthz and /readyz are served. Port 0 chooses a free one."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9787


@dataclass(frozen=True, slots=True)
class StabilitySettings:
    """Streamed stability of each target; with more than `targets_at_most` targets there is none.

    Averaging times are multiples of a target's interval, `taus` "octave" or "decade", up to `longest_tau_s`; beyond
    `exact_intervals` of them strided estimators take over, under their own names. `coverage`: of the intervals.
    """

    enabled: bool = True
    statistics: tuple[str, ...] = ("oadev", "tdev", "mtie")
    taus: str = "octave"
    longest_tau_s: float = 86_400.0
    exact_intervals: int = 16
    every_s: float = 600.0
    window_days: int = 7
    coverage: float = 0.683
    targets_at_most: int = 100


@dataclass(frozen=True, slots=True)
class UtcSettings:
    """Where what the BIPM publishes is fetched; from nowhere unless an address is given. `{issue}` stands for an issue's number."""

    api_url: str = ""
    circular_t_url: str = ""
    every_s: float = 21_600.0
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the daemon logs: level name, and text (for people), json (for journald) or auto (json when no terminal)."""

    level: str = "info"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """A whole configuration."""

    site: SiteSettings
    targets: tuple[TargetSettings, ...]
    spool: SpoolSettings
    local_reference: LocalReferenceSettings | None = None
    history: HistorySettings = HistorySettings()
    influx: tuple[InfluxSettings, ...] = ()
    http: HttpSettings = HttpSettings()
    stability: StabilitySettings = StabilitySettings()
    utc: UtcSettings = UtcSettings()
    log: LogSettings = LogSettings()
    keys_file: Path | None = None
    leap_seconds_file: Path | None = None
    reference_max_age_s: float = 64.0
    oscillator_ppm: float = 15.0
    coverage_factor: float = 2.0
    resolve_again_s: float = 600.0
    source: str = "embedded defaults"
