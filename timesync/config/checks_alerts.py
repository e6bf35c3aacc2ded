"""What the tables about alerts say against each other: limits that exist, messengers that have what they need."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from timesync.alerts.limits import PROFILES
from timesync.config.keys import find_key
from timesync.config.wording import closest, shown

if TYPE_CHECKING:
    from timesync.config.sections import Draft, Section

__all__ = ["check_limits", "check_notify"]

# What each kind of messenger must say, and what else it may.
NOTIFY_KEYS = {"webhook": (("url",), ("token_file",)), "syslog": ((), ()), "command": (("command",), ())}
OF_A_KIND = {"url", "token_file", "command"}


def check_limits(draft: Draft) -> None:
    """Every limit that is named exists, and no name has two meanings."""
    own = [limit.values["name"] for limit in draft.many["limit"] if limit.has("name")]
    for limit in draft.many["limit"]:
        if limit.has("name") and limit.values["name"] in PROFILES:
            known = PROFILES[limit.values["name"]]
            draft.report(
                f"{limit.where}: name", f"{shown(known.name)} is {known.error_s:g} s already", "Choose another name"
            )
    names = list(dict.fromkeys((*own, *PROFILES)))
    for section, key in (
        (draft.single["alerts"], "default_limit"),
        *((each, "limit") for each in draft.many["target"]),
    ):
        _check_named(draft, section, key, names)


def _check_named(draft: Draft, section: Section, key: str, names: list[str]) -> None:
    name = section.values[key]
    if section.has(key) and name not in names:
        guess = closest(name, names)
        remedy = f'Did you mean "{guess}"?' if guess else f"The limits are {', '.join(names)}; add a [[limit]]"
        draft.report(f"{section.where}: {key}", f"there is no limit {shown(name)}", remedy)


def check_notify(draft: Draft) -> None:
    """A messenger says what its kind needs, and nothing of another kind."""
    for notify in draft.many["notify"]:
        if not notify.has("kind"):
            continue
        needed, more = NOTIFY_KEYS[notify.values["kind"]]
        kind = shown(notify.values["kind"])
        for name in needed:
            if name not in notify.given:
                key = find_key("notify", name)
                draft.report(notify.where, f"{kind} needs {name}", f"Add {name} = {key.example}")
        for name in sorted((notify.given & OF_A_KIND) - set(needed + more)):
            draft.report(f"{notify.where}: {name}", f"{kind} has no such key", "Remove it, or correct kind")
        if notify.has("command"):
            _check_command(draft, notify)


def _check_command(draft: Draft, notify: Section) -> None:
    try:
        words = shlex.split(notify.values["command"])
    except ValueError as error:
        draft.report(f"{notify.where}: command", f"it cannot be split into words ({error})", "Correct its quotes")
        return
    if not words or not words[0].startswith("/"):
        draft.report(
            f"{notify.where}: command",
            "its program has no absolute path",
            "Write the whole path, such as /usr/bin/mail",
        )
