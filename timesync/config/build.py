"""A draft without problems to settings.

Rule: nothing is judged here; whatever could be wrong has been reported before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.config.checks import room_for_timeout
from timesync.settings import (
    HistorySettings,
    HttpSettings,
    InfluxSettings,
    LocalReferenceSettings,
    LogSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    StabilitySettings,
    TargetSettings,
    Tie,
    UtcSettings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timesync.config.sections import Draft, Section

__all__ = ["build", "state_directory"]

STATE_DIRECTORY = Path("/var/lib/timesync")


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where the state is kept unless the file says otherwise: systemd's StateDirectory=, else /var/lib/timesync."""
    # systemd gives several directories separated by colons (systemd.exec(5), "Environment Variables Set"); ours is the first.
    first = environment.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(first) if first else STATE_DIRECTORY


def build(draft: Draft, environment: Mapping[str, str]) -> ProbeSettings:
    """The settings of a draft that has no problems."""
    values: dict[str, dict[str, Any]] = {name: section.values for name, section in draft.single.items()}
    spool = dict(values["spool"])
    spool["directory"] = spool["directory"] or state_directory(environment)
    local = values["local_reference"]
    default = values["reference"]["default"] or _first_reference(draft)
    return ProbeSettings(
        site=SiteSettings(**values["site"]),
        targets=tuple(_target(target, default) for target in draft.many["target"]),
        spool=SpoolSettings(**spool),
        local_reference=LocalReferenceSettings(_tie(local, ""), local["settle_s"])
        if draft.single["local_reference"].given
        else None,
        history=HistorySettings(**values["history"]),
        influx=tuple(InfluxSettings(**sink.values) for sink in draft.many["influxdb"]),
        http=HttpSettings(**values["http"]),
        stability=StabilitySettings(**values["stability"]),
        utc=UtcSettings(**values["utc"]),
        log=LogSettings(**values["log"]),
        keys_file=values["keys"]["file"],
        leap_seconds_file=values["clock"]["leap_seconds_file"],
        reference_max_age_s=values["reference"]["max_age_s"],
        oscillator_ppm=values["clock"]["oscillator_ppm"],
        coverage_factor=values["uncertainty"]["coverage_factor"],
        resolve_again_s=values["names"]["resolve_again_s"],
        source=draft.source,
    )


def _first_reference(draft: Draft) -> str | None:
    for target in draft.many["target"]:
        if "realises" in target.given:
            return str(target.values["name"])
    return "local" if draft.single["local_reference"].given else None


def _target(target: Section, default_reference: str | None) -> TargetSettings:
    values = target.values
    is_reference = "realises" in target.given
    return TargetSettings(
        name=values["name"],
        kind=values["kind"],
        address=values["address"],
        interval_s=values["interval_s"],
        timeout_s=values["timeout_s"]
        if "timeout_s" in target.given
        else min(values["timeout_s"], room_for_timeout(target)),
        burst=values["burst"],
        burst_spacing_s=values["burst_spacing_s"],
        tie=_tie(values, "tie_") if is_reference else None,
        reference=None if is_reference else values["reference"] or default_reference,
        options=dict(target.rest),
    )


def _tie(values: Mapping[str, Any], prefix: str) -> Tie:
    return Tie(values["realises"], values[f"{prefix}bound_s"], values[f"{prefix}u_s"], values[f"{prefix}valid_until"])
