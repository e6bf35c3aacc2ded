"""What the numbers in an NTP packet are called, for people: leap indicator, mode, stratum, reference identifier.

Rule: a name for every value that the field can hold, and None where a reference identifier has no registered meaning. The tables
are ntplib's (RFC 5905 figures 9 to 12), asked through its public functions and read from its `NTP` class.
"""

from __future__ import annotations

import ntplib

__all__ = ["leap_name", "mode_name", "reference_id_name", "stratum_name"]


def leap_name(leap: int) -> str:
    """What a leap indicator, 0 to 3, announces."""
    return str(ntplib.leap_to_text(leap))


def mode_name(mode: int) -> str:
    """What an association mode, 0 to 7, is called."""
    return str(ntplib.mode_to_text(mode))


def stratum_name(stratum: int) -> str:
    """What a stratum, 0 to 255, means."""
    if stratum == 0:
        return "unspecified or invalid"  # ntplib formats the number into a text that has no place for it
    if stratum > 16:
        return f"reserved ({stratum})"  # RFC 5905 figure 11; ntplib raises
    return str(ntplib.stratum_to_text(stratum))


def reference_id_name(code: str) -> str | None:
    """What the ASCII reference identifier of a stratum 1 server, such as `GPS`, stands for."""
    name = ntplib.NTP.REF_ID_TABLE.get(code.ljust(4, "\0"))
    return None if name is None else str(name)
