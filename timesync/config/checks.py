"""What one table of a configuration says against another: names, references, schedules, credentials.

Rule: each check is a function of the draft that adds what it finds; it looks only at values that were read well. Nothing here
reads a clock or the network: a configuration is good or bad whenever and wherever it is checked.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from timesync import plugin
from timesync.config.checks_alerts import check_limits, check_notify
from timesync.config.keys import find_key
from timesync.config.sections import report_unknown_key
from timesync.config.wording import closest, joined, number_text, printable, shown
from timesync.errors import ConfigError, DataError
from timesync.keys import read_keys
from timesync.model import PROBE_CLOCK
from timesync.settings import HttpSettings, TargetSettings, Tie
from timesync.timescale import LeapTable
from timesync.web.listening import is_loopback, unsafe
from timesync.web.passwords import read_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from timesync.config.sections import Draft, Section

__all__ = ["CHECKS", "room_for_timeout"]

LOCAL = "local"
# What a probe kind's own check, foreign code perhaps, raises on a value of a type that it did not think of.
UNFORESEEN = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


def room_for_timeout(target: Section) -> float:
    """Seconds left for the last reply of a turn before the next turn begins."""
    values = target.values
    return float(values["interval_s"] - (values["burst"] - 1) * values["burst_spacing_s"])


def check_position(draft: Draft) -> None:
    """A position is whole or absent."""
    site = draft.single["site"]
    for one, other in (("latitude", "longitude"), ("longitude", "latitude")):
        if one in site.given and other not in site.given:
            draft.report(site.where, f"there is a {one} and no {other}", f"Add the {other}, or remove the {one}")


def check_names(draft: Draft) -> None:
    """Names are unique; `local` is the host clock's."""
    for sections in draft.many.values():
        first: dict[str, str] = {}
        for section in sections:
            if not section.has("name"):
                continue
            name = section.values["name"]
            if name in first:
                draft.report(
                    f"{section.where}: name", f"{shown(name)} is the name of {first[name]} too", "Rename one of them"
                )
            first.setdefault(name, section.where.removeprefix(f"{draft.source}: "))
    for target in draft.many["target"]:
        if target.has("name") and target.values["name"] == LOCAL:
            draft.report(
                f"{target.where}: name", '"local" is the name of the host clock as a reference', "Rename the target"
            )
        if target.has("name") and target.values["name"] == PROBE_CLOCK:
            draft.report(
                f"{target.where}: name", '"probe" is the name of the probe\'s clock in results', "Rename the target"
            )


def check_ties(draft: Draft) -> None:
    """A reference says how it is tied to UTC(k), with its bound and u; nothing else does."""
    for target in draft.many["target"]:
        ties = [name for name in ("tie_bound_s", "tie_u_s", "tie_valid_until") if name in target.given]
        if "realises" not in target.given:
            for name in ties:
                draft.report(
                    f"{target.where}: {name}",
                    "only a reference has a tie, and this target does not say what it realises",
                    'Add realises = "UTC(...)" to make it a reference, or remove the tie',
                )
            continue
        linked = any(
            link.has("reference") and link.values["reference"] == target.values["name"] for link in draft.many["link"]
        )
        if linked:
            for name in ties:
                draft.report(f"{target.where}: {name}", "its [[link]] says how it is tied", "Remove one of the two")
            continue
        for name, meaning in (("tie_bound_s", "bound"), ("tie_u_s", "standard uncertainty")):
            if name not in target.given:
                draft.report(
                    target.where,
                    f"it is a reference (realises), and {name} is missing",
                    f"Add {name}, the {meaning} of reference minus UTC(k) in seconds; 0 where you mean it",
                )
        _check_u_within_bound(draft, target, "tie_bound_s", "tie_u_s")
    _check_u_within_bound(draft, draft.single["local_reference"], "bound_s", "u_s")


# What each kind of link must say, and what else it may.
LINK_KEYS = {
    "calibrated": (("bound_s", "u_s"), ("value_s", "calibrated_at", "certificate")),
    "network": (("through",), ("window_s", "rate_bound", "max_age_s")),
    "gnss": (
        ("folder", "laboratory_folder", "bound_s", "u_s"),
        ("value_s", "certificate", "method", "code", "least_elevation_deg", "rate_bound", "max_age_s"),
    ),
}
ALL_KINDS = {"name", "reference", "kind", "valid_until"}


def check_links(draft: Draft) -> None:
    """A link belongs to a reference, one to each; it says what its kind needs, and nothing of another kind."""
    targets = {target.values["name"]: target for target in draft.many["target"] if target.has("name")}
    seen: dict[str, str] = {}
    for link in draft.many["link"]:
        if link.has("reference"):
            reference = link.values["reference"]
            _check_reference_of_link(draft, link, targets, reference)
            if reference in seen:
                draft.report(
                    f"{link.where}: reference",
                    f"{shown(reference)} has the link {seen[reference]}",
                    "Remove one of them",
                )
            seen.setdefault(reference, shown(link.values["name"] or ""))
        if link.has("kind"):
            needed, more = LINK_KEYS[link.values["kind"]]
            kind = shown(link.values["kind"])
            for name in needed:
                if name not in link.given:
                    draft.report(
                        link.where,
                        f"a link of kind {kind} needs {name}",
                        f"Add {name} ({find_key('link', name).meaning})",
                    )
            for name in sorted(link.given - ALL_KINDS - set(needed + more)):
                draft.report(
                    f"{link.where}: {name}", f"a link of kind {kind} has no such key", "Remove it, or correct kind"
                )
        _check_u_within_bound(draft, link, "bound_s", "u_s")
        if link.has("through"):
            _check_through(draft, link, targets)


def _check_reference_of_link(draft: Draft, link: Section, targets: Mapping[str, Section], reference: str) -> None:
    where = f"{link.where}: reference"
    if reference == LOCAL:
        if not draft.single["local_reference"].given:
            draft.report(where, '"local" is the host clock, and [local_reference] is missing', "Add [local_reference]")
        elif link.has("kind") and link.values["kind"] == "network":
            draft.report(
                where,
                "the host clock cannot be linked by the network here",
                "Measure it as a target, or declare its tie",
            )
    elif reference not in targets:
        guess = closest(reference, list(targets))
        remedy = f'Did you mean "{guess}"?' if guess else "Name a target that has realises"
        draft.report(where, f"there is no target {shown(reference)}", remedy)
    elif "realises" not in targets[reference].given:
        what = f"{shown(reference)} does not say which UTC(k) it realises"
        draft.report(where, what, f'Add realises = "UTC(...)" to {shown(reference)}')


def _check_through(draft: Draft, link: Section, targets: Mapping[str, Section]) -> None:
    name, where = link.values["through"], f"{link.where}: through"
    through, reference = targets.get(name), targets.get(link.values["reference"] or "")
    if through is None or "realises" not in through.given or through is reference:
        draft.report(where, f"{shown(name)} is no other target that realises a UTC(k)", "Name the laboratory's server")
    elif any(other.values["reference"] == name and other.values["kind"] == "network" for other in draft.many["link"]):
        draft.report(where, f"{shown(name)} is itself linked by the network", "Name a server that has a tie of its own")
    elif reference is not None and reference.values["realises"] != through.values["realises"]:
        what = f"{shown(name)} realises {through.values['realises']}, and the reference {reference.values['realises']}"
        draft.report(where, what, "Correct realises of one of them")


def check_paths(draft: Draft) -> None:
    """A known asymmetry says how well it is known."""
    for target in draft.many["target"]:
        if "asymmetry_s" in target.given:
            for name in ("asymmetry_bound_s", "asymmetry_u_s"):
                if name not in target.given:
                    draft.report(
                        target.where,
                        f"asymmetry_s is said, and {name} is not",
                        f"Add {name} = {find_key('target', name).example}",
                    )
        _check_u_within_bound(draft, target, "asymmetry_bound_s", "asymmetry_u_s")


def _check_u_within_bound(draft: Draft, section: Section, bound: str, u: str) -> None:
    if section.has(bound) and section.has(u) and section.values[u] > section.values[bound]:
        draft.report(
            f"{section.where}: {u}",
            f"the standard uncertainty, {section.values[u]:g} s, is more than {bound}, {section.values[bound]:g} s",
            "What cannot exceed its bound cannot scatter further than it: correct one of them",
        )


def check_references(draft: Draft) -> None:
    """A reference that is named exists, realises something, and is not the target itself."""
    default = draft.single["reference"]
    if default.has("default"):
        _check_reference(draft, f"{default.where}: default", default.values["default"], None)
    for name in default.values["fallback"] if default.has("fallback") else ():
        _check_reference(draft, f"{default.where}: fallback", name, None)
    for target in draft.many["target"]:
        if "realises" in target.given and "reference" in target.given:
            draft.report(
                f"{target.where}: reference",
                "a target that realises a UTC(k) is its own reference",
                "Remove reference, or remove realises and the tie",
            )
        if "realises" in target.given and "fallback" in target.given:
            draft.report(
                f"{target.where}: fallback",
                "a target that realises a UTC(k) is its own reference",
                "Remove fallback, or remove realises and the tie",
            )
        elif target.has("fallback"):
            own = target.values["name"] if target.has("name") else None
            for name in target.values["fallback"]:
                _check_reference(draft, f"{target.where}: fallback", name, own)
        if "realises" not in target.given and target.has("reference"):
            own = target.values["name"] if target.has("name") else None
            _check_reference(draft, f"{target.where}: reference", target.values["reference"], own)


def _check_reference(draft: Draft, where: str, reference: str, own_name: str | None) -> None:
    targets = {target.values["name"]: target for target in draft.many["target"] if target.has("name")}
    references = [name for name, target in targets.items() if "realises" in target.given]
    if draft.single["local_reference"].given:
        references.append(LOCAL)
    others = [name for name in references if name != own_name]
    offered = (
        f"Name {joined(shown(name) for name in others)}"
        if others
        else 'Give a target realises = "UTC(...)" and name that'
    )
    if reference == own_name:
        remedy = 'Name another, or add realises = "UTC(...)" and its tie if this is a reference'
        draft.report(where, "the target names itself", remedy)
    elif reference in references:
        return
    elif reference == LOCAL:
        remedy = "Add [local_reference] and say what the host clock realises, or name another reference"
        draft.report(where, '"local" is the host clock, and [local_reference] is missing', remedy)
    elif reference in targets:
        remedy = f'Add realises = "UTC(...)" and its tie to {shown(reference)}, or name another reference'
        draft.report(where, f"{shown(reference)} does not say which UTC(k) it realises", remedy)
    else:
        guess = closest(reference, others)
        draft.report(where, f"there is no target {shown(reference)}", f'Did you mean "{guess}"?' if guess else offered)


def check_schedules(draft: Draft) -> None:
    """A turn ends before the next begins; a reference does not go stale between two of its turns."""
    reference = draft.single["reference"]
    for target in draft.many["target"]:
        if not target.sound("interval_s", "timeout_s", "burst", "burst_spacing_s"):
            continue
        values, room = target.values, room_for_timeout(target)
        interval, timeout = number_text(values["interval_s"]), number_text(values["timeout_s"])
        if room <= 0:
            draft.report(
                f"{target.where}: burst",
                f"{values['burst']} exchanges, {number_text(values['burst_spacing_s'])} s apart, take longer than the "
                f"interval of {interval} s",
                "Lower burst or burst_spacing_s, or raise interval_s",
            )
        elif target.has("timeout_s") and values["timeout_s"] > room:
            draft.report(
                f"{target.where}: timeout_s",
                f"{timeout} s does not fit into a turn: the next begins {number_text(room)} s after the last is sent",
                f"Write timeout_s = {number_text(room)} or less, leave it out, or raise interval_s",
            )
        if (
            "realises" in target.given
            and reference.sound("max_age_s")
            and values["interval_s"] > reference.values["max_age_s"]
        ):
            draft.report(
                f"{target.where}: interval_s",
                f"a reference measured every {interval} s goes stale after {number_text(reference.values['max_age_s'])} s "
                "(max_age_s of [reference])",
                "Lower interval_s (a quarter of max_age_s bears a few losses), or raise max_age_s",
            )


def check_kinds(draft: Draft) -> None:
    """The probe kind exists; it knows each option, and has nothing against the target."""
    by_kind: dict[str, list[Section]] = defaultdict(list)
    for target in draft.many["target"]:
        if target.sound("kind"):
            by_kind[target.values["kind"]].append(target)
    for name, targets in by_kind.items():
        # Once a kind and not once a target: the search through what is installed takes milliseconds.
        kind = _kind(draft, name, targets)
        if kind is not None:
            options = kind.options
            for target in targets:
                _check_target(draft, kind, options, target)


def _check_target(draft: Draft, kind: plugin.ProbeKind, options: Mapping[str, str], target: Section) -> None:
    for name in target.rest:
        if name not in options:
            report_unknown_key(draft, target, name, options)
    if not target.sound("address"):
        return
    values = target.values
    settings = TargetSettings(
        name=values["name"] or "unnamed",
        kind=values["kind"],
        address=values["address"],
        interval_s=values["interval_s"],
        timeout_s=values["timeout_s"],
        burst=values["burst"],
        burst_spacing_s=values["burst_spacing_s"],
        tie=Tie(values["realises"]) if target.has("realises") else None,
        options={name: value for name, value in target.rest.items() if name in options},
    )
    try:
        draft.problems.extend(kind.check(settings, target.where))
    except UNFORESEEN as error:
        what = f"the probe kind {shown(kind.name)} cannot check it ({type(error).__name__}: {printable(str(error))})"
        draft.report(target.where, what, "Correct the types of its options; the kind should have said which")


def _kind(draft: Draft, name: str, targets: list[Section]) -> plugin.ProbeKind | None:
    try:
        return plugin.load_kind(name)
    except plugin.UnknownProbeKindError:
        installed = list(plugin.kinds())
        guess = closest(name, installed)
        what = f"no probe kind {shown(name)} is installed"
        remedy = f'Did you mean "{guess}"?' if guess else f"Installed: {', '.join(installed) or 'none'}"
    except (ImportError, AttributeError) as error:
        what = f"the probe kind {shown(name)} is installed and cannot be loaded ({error})"
        remedy = "Repair the package that brings it, or its dependencies"
    for target in targets:
        draft.report(f"{target.where}: kind", what, remedy)
    return None


def check_keys(draft: Draft) -> None:
    """The keys can be read, and each key that a target names is among them."""
    section = draft.single["keys"]
    users = [target for target in draft.many["target"] if "key" in target.rest]
    if "file" not in section.given:
        for target in users:
            remedy = 'Add [keys] with file = "ntp.keys", or remove the key'
            draft.report(f"{target.where}: key", "a key is named, and there is no file of keys", remedy)
        return
    if not section.has("file"):
        return
    path = section.values["file"]
    try:
        keys = read_keys(path)
    except ConfigError as error:
        for problem in error.problems:
            draft.report(f"{section.where}: file", f"{problem.where}: {problem.what}", problem.remedy.rstrip("."))
        return
    for target in users:
        number = target.rest["key"]
        if isinstance(number, int) and number not in keys:
            draft.report(f"{target.where}: key", f"{path} has no key {shown(number)}", "Add it there, or name another")


def check_leap_seconds(draft: Draft) -> None:
    """The leap-second list can be read, and its hash is right."""
    section = draft.single["clock"]
    if not section.has("leap_seconds_file"):
        return
    path = section.values["leap_seconds_file"]
    try:
        LeapTable.parse(path.read_bytes().decode("utf-8"), str(path))
    except (OSError, UnicodeDecodeError, DataError) as error:
        what, _, remedy = (
            str(error).rpartition("; ") if isinstance(error, DataError) else (f"{path} is no text", "", "")
        )
        remedy = f"{remedy[:1].upper()}{remedy[1:]}" or "Name a leap-seconds.list, or leave it out"
        draft.report(f"{section.where}: leap_seconds_file", what, remedy)


# What each API of InfluxDB needs, and what else only it has.
API_KEYS = {
    "v2": ("bucket", "organisation", "token_file"),
    "v1": ("database", "retention_policy", "username", "password_file"),
}


def check_influx(draft: Draft) -> None:
    """Each API of InfluxDB has its own address and credentials."""
    for sink in draft.many["influxdb"]:
        if not sink.sound("api"):
            continue
        api = sink.values["api"]
        other = "v1" if api == "v2" else "v2"
        needed = API_KEYS[api][0]
        foreign = [name for name in API_KEYS[other] if name in sink.given]
        if foreign and needed not in sink.given:
            what = f"it speaks api {api}, and has what belongs to api {other}: {', '.join(foreign)}"
            draft.report(sink.where, what, f'Write api = "{other}", or say {needed} instead')
        elif foreign:
            what = f"there is no {' and no '.join(foreign)} in api {api}"
            draft.report(sink.where, what, f'Remove what does not belong, or write api = "{other}"')
        elif needed not in sink.given:
            draft.report(sink.where, f"api {api} needs {needed}", f'Add {needed} = "timesync"')
        for one, partner in (("username", "password_file"), ("password_file", "username")):
            if api == "v1" and one in sink.given and partner not in sink.given:
                draft.report(sink.where, f"there is {one} and no {partner}", f"Add {partner}, or remove {one}")


def check_http(draft: Draft) -> None:
    """Beyond loopback nobody reads without TLS and a secret; a certificate has its key, a password file its lines."""
    section = draft.single["http"]
    names = ("tls_certificate", "tls_key", "token_file", "password_file")
    values = section.values
    if section.sound("enabled", "host", *names) and (lacking := unsafe(HttpSettings(**values))):
        where = f"{section.where}: host"
        what = f"{values['host']} is not loopback: others can reach it, and there is no {joined(lacking)}"
        draft.report(where, what, 'Add them, or write host = "127.0.0.1"')
    for one, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        if one in section.given and other not in section.given and is_loopback(str(values["host"])):
            draft.report(section.where, f"there is {one} and no {other}", f"Add {other}, or remove {one}")
    if values["hsts"] is True and "tls_certificate" not in section.given:
        draft.report(f"{section.where}: hsts", "there is no TLS to come back by", "Add tls_certificate, or remove hsts")
    if section.has("password_file"):
        try:
            read_passwords(values["password_file"].read_text())
        except (DataError, OSError, UnicodeDecodeError) as error:
            text = "it cannot be read as text" if isinstance(error, UnicodeDecodeError | OSError) else str(error)
            problem, _, remedy = text.partition(": ")
            draft.report(
                f"{section.where}: password_file",
                problem,
                remedy[:1].upper() + remedy[1:] or "Run: timesync password NAME",
            )


CHECKS: tuple[Callable[[Draft], None], ...] = (
    check_position,
    check_names,
    check_ties,
    check_links,
    check_paths,
    check_references,
    check_schedules,
    check_kinds,
    check_keys,
    check_leap_seconds,
    check_influx,
    check_limits,
    check_notify,
    check_http,
)
