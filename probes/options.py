"""What the options of a target may hold: predicates on values as TOML gives them, and one way to tell what is wrong.

Rule: a predicate takes any value whatever and never raises; a kind's table names for each of its options the predicate and the
remedy. An option that is not in the table is the configuration's to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TypeAlias

from timesync.config.wording import shown
from timesync.errors import Problem

__all__ = [
    "Checks",
    "is_count",
    "is_domain",
    "is_flag",
    "is_interface",
    "is_ip_address",
    "is_port",
    "is_positive",
    "one_of",
    "problems_of",
]

INTERFACE_NAME_OCTETS = 15  # linux/if.h IFNAMSIZ, without its zero

Checks: TypeAlias = Mapping[str, tuple[Callable[[object], bool], str]]
"""For each option, what is good, and the remedy for what is not."""


def problems_of(options: Mapping[str, object], checks: Checks, where: str) -> list[Problem]:
    """Everything wrong with the values of options; `where` names the target's table."""
    return [
        Problem(f"{where}: {name}", f"{shown(value)} is not possible", checks[name][1])
        for name, value in options.items()
        if name in checks and not checks[name][0](value)
    ]


def is_count(value: object) -> bool:
    """A key number: a positive integer (not a boolean) of 32 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 32


def is_domain(value: object) -> bool:
    """A PTP domain number, or another octet."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def is_port(value: object) -> bool:
    """A UDP port."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def is_positive(value: object) -> bool:
    """A positive, finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def is_ip_address(value: object) -> bool:
    """A numeric address, as text."""
    try:
        ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def is_interface(value: object) -> bool:
    """What Linux accepts as an interface's name."""
    return (
        isinstance(value, str) and 0 < len(value.encode()) <= INTERFACE_NAME_OCTETS and not set(value) & set("/ :\t\n")
    )


def is_flag(value: object) -> bool:
    """True or false."""
    return isinstance(value, bool)


def one_of(*choices: object) -> Callable[[object], bool]:
    """Whether a value is one of these, of the same type (4.0 and true are not 4 and 1)."""
    return lambda value: any(type(value) is type(choice) and value == choice for choice in choices)
