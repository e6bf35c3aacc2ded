"""Replies of the BIPM web API (JSON) -> the same rows as the bulletins: [UTC - UTC(k)] and [UTCr - UTC(k)], ns, by MJD.

Rule: what the API says is taken whole or refused with the place in the reply; a value that is null is absent. The reply carries no
issue numbers: a final value belongs to the Circular T of its month (`issue_of_mjd`).

Source: `GET /api/v1.0/get-data.html?scale=utc|utcr|utc+utcr&lab=K&mjd1=&mjd2=` of the BIPM time server;
`data[i].{name,x,y,unc,...}`, x in MJD, y and unc in ns (unc is missing in older replies, one number or one for each x in newer).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from timesync.errors import DataError

__all__ = ["ApiSeries", "parse_reply"]

_NAME = re.compile(r"UTC(R?)\s*-\s*UTC\(([A-Z][A-Z0-9]{1,7})\)", re.IGNORECASE)
_MJDS = range(30_000, 100_000)
_REMEDY = "look at what answers at the configured address"


@dataclass(frozen=True, slots=True)
class ApiSeries:
    """One series: `rapid` is UTCr. Values and uncertainties (k = 1) in ns, None where absent; the lengths are equal."""

    lab: str
    rapid: bool
    mjds: tuple[int, ...]
    values_ns: tuple[float | None, ...]
    u_ns: tuple[float | None, ...]


def parse_reply(document: object, source: str) -> tuple[ApiSeries, ...]:
    """The series of a decoded JSON reply. Raises DataError naming the place in it."""
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        _bad(source, "it is no reply of the BIPM web API (there is no list `data`)")
    if document.get("success") is False:
        _bad(source, f"the service says: {str(document.get('message', 'no success'))[:100]!r}")
    found = [_series(each, f"{source}: data[{index}]") for index, each in enumerate(document["data"])]
    names = [(each.lab, each.rapid) for each in found]
    if len(set(names)) < len(names):
        _bad(source, "a series comes twice")
    return tuple(found)


def _series(entry: Any, where: str) -> ApiSeries:
    if not isinstance(entry, dict):
        _bad(where, "it is no object")
    match = _NAME.fullmatch(str(entry.get("name", "")).strip())
    if match is None:
        _bad(where, f"name {str(entry.get('name'))[:40]!r} is not UTC-UTC(k) or UTCr-UTC(k)")
    x, y = entry.get("x"), entry.get("y")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        _bad(where, "x and y are not lists of one length")
    mjds = tuple(_mjd(each, where) for each in x)
    if list(mjds) != sorted(set(mjds)):
        _bad(where, "x (MJD) does not ascend")
    unc = entry.get("unc")
    u = unc if isinstance(unc, list) else [unc] * len(x)
    if len(u) != len(x):
        _bad(where, "unc is neither one number nor as long as x")
    values = tuple(_value(each, f"{where}: y") for each in y)
    uncertainties = tuple(_value(each, f"{where}: unc") for each in u)
    if any(each is not None and each < 0 for each in uncertainties):
        _bad(where, "unc is negative")
    return ApiSeries(match[2].upper(), bool(match[1]), mjds, values, uncertainties)


def _mjd(value: Any, where: str) -> int:
    number = _value(value, f"{where}: x")
    if number is None or number != int(number) or int(number) not in _MJDS:
        _bad(where, f"x has {value!r}, which is no whole MJD")
    return int(number)


def _value(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12 or not math.isfinite(value):
        _bad(where, f"{str(value)[:30]!r} is no number")
    return float(value)


def _bad(where: str, what: str) -> NoReturn:
    raise DataError(f"{where}: {what}; {_REMEDY}")
