"""Numbers, instants and names on the command line: what is not one is told in words, with the range or the remedy."""

from __future__ import annotations

import argparse
import math

from timesync.config.values import BadValueError, utc_k_name
from timesync.errors import DataError
from timesync.timescale import parse_utc

__all__ = ["count", "duration", "instant", "interval", "key_number", "port", "seconds", "utc_k"]


def seconds(text: str) -> float:
    """A number of seconds from 0 up."""
    return _number(text, 0.0, math.inf, "a number of seconds from 0 up")


UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def duration(text: str) -> float:
    """A time above 0 with its unit, as seconds: "1us", "24h", "90 min"; without a unit, seconds."""
    word = text.strip()
    digits = word.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = word[len(digits) :]
    try:
        value = float(digits) * UNITS_S[unit or "s"]
    except (KeyError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above 0, as 1us, 250ms, 90min, 24h or 7d")
    return value


def interval(text: str) -> float:
    """Seconds from 0.001 to an hour."""
    return _number(text, 0.001, 3600.0, "a number of seconds from 0.001 to 3600")


def count(text: str) -> int:
    """A whole number from 1 to a million."""
    return _whole(text, 1, 1_000_000)


def key_number(text: str) -> int:
    """The number of a symmetric key."""
    return _whole(text, 1, 2**32 - 1)


def instant(text: str) -> int:
    """An instant, ISO 8601 or MJD, as Unix ns."""
    try:
        return parse_utc(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def utc_k(text: str) -> str:
    """The name of a UTC(k), as the configuration wants it."""
    try:
        return utc_k_name(text, "--realises ", '"UTC(NIM)"')
    except BadValueError as bad:
        raise argparse.ArgumentTypeError(f"{bad.what}. {bad.remedy}") from None


def port(text: str) -> int:
    """A port, or 0 for any."""
    return _whole(text, 0, 65535)


def _number(text: str, low: float, high: float, wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def _whole(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
    return int(text)
