"""A draft without problems to settings.

Rule: nothing is judged here; whatever could be wrong has been reported before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.alerts.limits import PROFILES, Limit
from timesync.config.checks import room_for_timeout
from timesync.reference.link import initial_tie
from timesync.settings import (
    AlertSettings,
    HistorySettings,
    HoldoverSettings,
    HttpSettings,
    InfluxSettings,
    KnownPath,
    LinkSettings,
    LocalReferenceSettings,
    LogSettings,
    NotifySettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    StabilitySettings,
    TargetSettings,
    Tie,
    UtcSettings,
)
from timesync.timescale import NS_PER_DAY

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
    links = tuple(_link(section) for section in draft.many["link"])
    by_reference = {link.reference: link for link in links}
    limits = tuple(Limit(**limit.values) for limit in draft.many["limit"])
    by_name = {**PROFILES, **{limit.name: limit for limit in limits}}
    default_limit = values["alerts"]["default_limit"]
    default = values["reference"]["default"] or _first_reference(draft)
    fallback = values["reference"]["fallback"]
    return ProbeSettings(
        site=SiteSettings(**values["site"]),
        targets=tuple(
            _target(
                target,
                default,
                fallback,
                by_reference.get(target.values["name"]),
                by_name.get(target.values["limit"] or default_limit),
            )
            for target in draft.many["target"]
        ),
        spool=SpoolSettings(**spool),
        local_reference=LocalReferenceSettings(_tie(local, "", by_reference.get("local")), local["settle_s"])
        if draft.single["local_reference"].given
        else None,
        links=links,
        history=HistorySettings(**values["history"]),
        influx=tuple(InfluxSettings(**sink.values) for sink in draft.many["influxdb"]),
        http=HttpSettings(**values["http"]),
        stability=StabilitySettings(**values["stability"]),
        holdover=HoldoverSettings(**values["holdover"]),
        utc=UtcSettings(**values["utc"]),
        alerts=AlertSettings(**values["alerts"]),
        limits=limits,
        notify=tuple(NotifySettings(**notify.values) for notify in draft.many["notify"]),
        log=LogSettings(**values["log"]),
        keys_file=values["keys"]["file"],
        leap_seconds_file=values["clock"]["leap_seconds_file"],
        reference_max_age_s=values["reference"]["max_age_s"],
        reference_settle_s=values["reference"]["settle_s"],
        reference_carry_s=values["reference"]["carry_s"],
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


def _link(section: Section) -> LinkSettings:
    values = dict(section.values)
    for instant in ("calibrated_at", "valid_until"):
        values[f"{instant}_ns"] = values.pop(instant)
    if values["calibrated_at_ns"] is not None:
        values["calibrated_at_ns"] -= _counted_to_its_end(section)
    return LinkSettings(**{name: value for name, value in values.items() if value is not None})


def _counted_to_its_end(section: Section) -> int:
    """A date is read to its end, ns; a calibration holds from the date's beginning."""
    at_ns = section.values["calibrated_at"]
    return NS_PER_DAY if at_ns % NS_PER_DAY == 0 else 0


def _target(
    target: Section,
    default_reference: str | None,
    fallback: tuple[str, ...],
    link: LinkSettings | None,
    limit: Limit | None,
) -> TargetSettings:
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
        tie=_tie(values, "tie_", link) if is_reference else None,
        reference=None if is_reference else values["reference"] or default_reference,
        fallback=() if is_reference else values["fallback"] if "fallback" in target.given else fallback,
        options=dict(target.rest),
        path=_path(target),
        limit=limit,
    )


def _path(target: Section) -> KnownPath | None:
    names = ("minimum_delay_s", "asymmetry_s", "asymmetry_bound_s", "asymmetry_u_s")
    if not target.given.intersection(names):
        return None
    return KnownPath(*(target.values[name] for name in names))


def _tie(values: Mapping[str, Any], prefix: str, link: LinkSettings | None) -> Tie:
    if link is not None:
        return initial_tie(link, values["realises"])
    return Tie(values["realises"], values[f"{prefix}bound_s"], values[f"{prefix}u_s"], values[f"{prefix}valid_until"])
