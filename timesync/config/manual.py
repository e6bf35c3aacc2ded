"""The manual of the configuration file, made from the table of keys: `python -m timesync.config.manual > deploy/CONFIGURATION.md`.

Rule: every key of the table and every option of the probe kinds is in it, and nothing that they do not know. A test compares
deploy/CONFIGURATION.md with what this makes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from timesync.config.keys import TABLES
from timesync.config.schema import Key, Table, Type
from timesync.config.wording import number_text
from timesync.plugin import load_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["SHIPPED_KINDS", "manual", "options_of"]

# The kinds that come with timesync; a laboratory documents its own.
SHIPPED_KINDS = ("ntp", "ptp", "ptp4l")

INTRODUCTION = """\
# Configuration

Made from the table of keys by `python -m timesync.config.manual`; a test fails where the two differ.

The configuration is one file in [TOML](https://toml.io). `timesync check FILE` tells everything that is wrong with it, each with
its place and remedy, or shows what it will do; it sends and starts nothing. [examples/ntp-site.toml](examples/ntp-site.toml) is a
whole one.

- A unit is part of a key's name: `interval_s = 16`, never `"16s"`.
- A relative path starts at the folder of the file. A file of that name among systemd's credentials (`LoadCredential=`,
  `CREDENTIALS_DIRECTORY`) goes before it, so that one configuration serves the service and a person who checks it. In a container
  that variable names the folder of its secrets.
- Secrets are never in the file: it names files that hold them, and those must be closed to others: mode 0600, or 0640
  where a group has to read them. That holds for keys, tokens and passwords alike.
- Names (of site, probe, targets, sinks) are up to 64 letters, digits, dots, underscores and hyphens, beginning with a letter or a
  digit: they become tags in databases and labels in Prometheus.
- A key or table that is not below is an error, so that a slip of the pen is never taken for a setting.
"""

REFERENCES = """\
## Which reference a target is compared with

Its own `reference`; else `default` of `[reference]`; else the first target with `realises`; else `local`, where
`[local_reference]` declares the host clock. A target with `realises` is its own reference. Where there is none at all, offsets are
recorded without a claim against UTC(k), and say so.

Where that one is stale, expired or outvoted, the first of its `fallback` (else of `fallback` of `[reference]`) that can be used
takes its place; it is taken back when it could be used again for `settle_s`. Each change is the event `reference_changed`; each row
says by its tag `reference` which one it is compared with, and by `reference_changes` how often that had changed. References are
compared with each other all the time; a majority that outvotes one ends its claims only where somebody has a fallback.
"""


def manual(kinds: Mapping[str, Mapping[str, str]]) -> str:
    """The manual in Markdown. `kinds` has the options of each probe kind, with their meanings."""
    parts = [INTRODUCTION, REFERENCES, *(_table(table) for table in TABLES)]
    parts += [_options(name, options) for name, options in kinds.items()]
    return "\n".join(parts)


def options_of(names: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
    """The options of the installed probe kinds of these names."""
    return {name: load_kind(name).options for name in names}


def _table(table: Table) -> str:
    lines = [f"## `{table.heading}`", "", table.meaning, ""]
    if table.required:
        lines[2] += " Required."
    lines += ["| key | value | default | meaning | example |", "|---|---|---|---|---|"]
    lines += [
        f"| `{key.name}` | {_value(key)} | {_default(key)} | {key.meaning} | `{key.example}` |" for key in table.keys
    ]
    if table.extensible:
        lines += ["", "Every other key is an option of the probe kind: see below."]
    return "\n".join(lines) + "\n"


def _value(key: Key) -> str:
    return ", ".join(_facts(key))


def _facts(key: Key) -> Iterator[str]:
    if key.type is Type.CHOICES:
        yield "a list of " + ", ".join(f'`"{choice}"`' for choice in key.choices)
        return
    if key.type is Type.CHOICE:
        yield " or ".join(f'`"{choice}"`' for choice in key.choices)
        return
    yield key.type.value
    if key.unit:
        yield key.unit
    if key.low is not None and key.high is not None:
        yield f"{number_text(key.low)} to {number_text(key.high)}"


def _default(key: Key) -> str:
    if key.required:
        return "required"
    if key.default_text:
        return key.default_text
    if key.default in (None, ""):
        return "none"
    if isinstance(key.default, tuple):
        return f"`[{', '.join(f'{chr(34)}{each}{chr(34)}' for each in key.default)}]`"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    return f"`{number_text(key.default)}`" if isinstance(key.default, int | float) else f'`"{key.default}"`'


def _options(kind: str, options: Mapping[str, str]) -> str:
    lines = [f'## Options of `kind = "{kind}"`', "", "| key | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in options.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(manual(options_of(SHIPPED_KINDS)))
