"""What a configuration says, once it has been read and found good: plain frozen dataclasses with defaults.

Rule: a value here is valid (config.py has checked it), carries its unit in its name, and its default is one that a
careful operator would choose. Nothing here reads a file or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from timesync.alerts.limits import Limit

__all__ = [
    "AlertSettings",
    "HistorySettings",
    "HoldoverSettings",
    "HttpSettings",
    "InfluxSettings",
    "KnownPath",
    "LinkSettings",
    "LocalReferenceSettings",
    "LogSettings",
    "NotifySettings",
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
    """How a reference is tied to UTC(k): the value, bound and standard uncertainty of (reference - UTC(k)).

    It holds from `valid_from_ns` to `valid_until_ns` (Unix ns; None: no limit was declared). `link` names the [[link]] that it
    comes from, `source` says in words on what it rests. `no_claim` is why there is no tie at all now: a link without data.
    """

    realises: str
    bound_s: float = 0.0
    u_s: float = 0.0
    valid_until_ns: int | None = None
    value_s: float = 0.0
    valid_from_ns: int | None = None
    link: str = ""
    source: str = ""
    no_claim: Reason | None = None

    def why_not(self, at_ns: int) -> Reason | None:
        """Why nothing is claimed by it at an instant (Unix ns); None where it holds."""
        if self.no_claim is not None:
            return self.no_claim
        if self.valid_until_ns is not None and at_ns > self.valid_until_ns:
            return Reason.REFERENCE_EXPIRED
        if self.valid_from_ns is not None and at_ns < self.valid_from_ns:
            return Reason.LINK_NOT_YET_VALID
        return None


@dataclass(frozen=True, slots=True)
class KnownPath:
    """What is known of the path to a target besides what an exchange shows, s.

    `minimum_delay_s` is the least round trip that it can physically have, half of it each way but for the asymmetry: the way out
    takes `asymmetry_s` longer than the way back, known within `asymmetry_bound_s`, with `asymmetry_u_s` (k = 1).
    """

    minimum_delay_s: float = 0.0
    asymmetry_s: float = 0.0
    asymmetry_bound_s: float = 0.0
    asymmetry_u_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How a site's reference is tied to UTC(k): `kind` is "calibrated", "network" or "gnss".

    calibrated: (reference - UTC(k)) = value_s with its bound and u, from a calibration. network: measured against the target
    `through`, which has a tie of its own; the best sample of the last `window_s` counts. gnss: CGGTTS files of the site's and the
    laboratory's receiver; value_s is added to what they give, bound_s and u_s are the calibration's. Past the newest data
    the bound grows by `rate_bound` (s/s), and after `max_age_s` nothing is claimed.
    """

    name: str
    reference: str
    kind: str
    value_s: float = 0.0
    bound_s: float | None = None
    u_s: float | None = None
    calibrated_at_ns: int | None = None
    valid_until_ns: int | None = None
    certificate: str = ""
    through: str | None = None
    window_s: float = 3600.0
    folder: Path | None = None
    laboratory_folder: Path | None = None
    method: str = "common_view"
    code: str = ""
    least_elevation_deg: float = 15.0
    rate_bound: float = 1e-12
    max_age_s: float = 172_800.0


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """One clock to measure. `options` are the probe kind's own (checked by the kind).

    `fallback`: references that take the place of `reference`, in this order, where it cannot be used.
    """

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
    path: KnownPath | None = None
    fallback: tuple[str, ...] = ()
    limit: Limit | None = None


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
    batch_size: int = 1000
    timeout_s: float = 10.0
    gzip: bool = True
    verify_tls: bool = True
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where the page, its API, /metrics, /healthz and /readyz are served. Port 0 chooses a free one.

    Beyond loopback it takes TLS and a token or passwords (timesync/web/guard.py). `hsts`: browsers are told to come to this host
    name by TLS only, on every port.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9787
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    password_file: Path | None = None
    hsts: bool = False


@dataclass(frozen=True, slots=True)
class StabilitySettings:
    """Streamed stability of each target; with more than `targets_at_most` targets there is none. `probe_clock`: which targets are
    compared with the probe's clock too, "all" or "unreferenced" (those that have no other clock to be compared with).

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
    probe_clock: str = "all"
    masks: tuple[str, ...] = ()  # profiles whose masks are shown with them


@dataclass(frozen=True, slots=True)
class UtcSettings:
    """Where what the BIPM publishes is fetched; from nowhere unless an address is given. `{issue}` stands for an issue's number."""

    api_url: str = ""
    circular_t_url: str = ""
    every_s: float = 21_600.0
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class HoldoverSettings:
    """State and forecast of each target; with more than `targets_at_most` targets there are none.

    A target that coasts beyond its own limit is out of specification; one without a limit, beyond the smallest of `limits_s`.
    """

    enabled: bool = True
    limits_s: tuple[float, ...] = (1e-6, 1e-3)
    horizon_s: float = 86_400.0
    confidence: float = 0.95
    every_s: float = 600.0
    targets_at_most: int = 100


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What is judged: `patience` multiplies every grace and hold, `off` names alerts that are not wanted.

    `default_limit` is the name of the limit of targets that name none; each target has the limit itself.
    """

    enabled: bool = True
    default_limit: str = ""
    patience: float = 1.0
    off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Who is told of alerts: `kind` is "webhook" (url, token_file), "command" (no shell), or "syslog".

    Alerts below `least` are not told; what still fires is told again after `repeat_s` (0: never).
    """

    name: str
    kind: str
    url: str | None = None
    token_file: Path | None = None
    command: str | None = None
    least: str = "warning"
    repeat_s: float = 14_400.0
    timeout_s: float = 10.0


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
    links: tuple[LinkSettings, ...] = ()
    history: HistorySettings = HistorySettings()
    influx: tuple[InfluxSettings, ...] = ()
    http: HttpSettings = HttpSettings()
    stability: StabilitySettings = StabilitySettings()
    holdover: HoldoverSettings = HoldoverSettings()
    utc: UtcSettings = UtcSettings()
    alerts: AlertSettings = AlertSettings()
    limits: tuple[Limit, ...] = ()
    notify: tuple[NotifySettings, ...] = ()
    log: LogSettings = LogSettings()
    keys_file: Path | None = None
    leap_seconds_file: Path | None = None
    reference_max_age_s: float = 64.0
    reference_settle_s: float = 300.0
    reference_carry_s: float = 3600.0
    oscillator_ppm: float = 15.0
    coverage_factor: float = 2.0
    resolve_again_s: float = 600.0
    source: str = "embedded defaults"

    @property
    def too_many_to_foresee(self) -> str:
        """Why no target is watched for holdovers though that is wanted; empty where they are."""
        most, count = self.holdover.targets_at_most, len(self.targets)
        if not self.holdover.enabled or count <= most:
            return ""
        return f"no target is watched for holdovers: {count} targets, and targets_at_most of [holdover] is {most}"
