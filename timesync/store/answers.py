"""What an answer of an InfluxDB (or a database that speaks its protocol) to a write means for the batch. Pure.

Rule: only a fault of a line itself may cost a record its place; whatever may be cured from outside (a token, a full disk, a
missing database, a proxy) makes the whole batch wait.
Source: InfluxData, HTTP API references of 1.8, 2.7 and 3 Core; RFC 9110 sections 10.2.3 (Retry-After) and 15.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "Verdict", "dropped_all", "judge", "retry_after_s"]

_LONGEST_TEXT = 400

_LINE_FAULTS = re.compile(
    r"partial write|unable to parse|field type conflict|beyond retention|line protocol|max-values-per-tag|"
    r"max-series-per-database|invalid (?:field|tag|number|boolean|timestamp)|missing (?:fields|tag)|"
    r"key (?:too long|length)|already exists as type|out of range",
    re.IGNORECASE,
)
"""Words by which 1.x, 2.x and 3 Core say that lines, and not the request, are at fault."""

_DROPPED = re.compile(r"dropped=(\d+)")


class Verdict(Enum):
    """What to do next."""

    STORED = "stored"
    LINE_FAULT = "some lines are at fault"
    DOUBTFUL = "the request or some lines are at fault"
    TOO_LARGE = "the batch is too large"
    UNAVAILABLE = "try again later"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict with what the database said and how long it wants to be left alone, if it said so."""

    verdict: Verdict
    text: str = ""
    retry_after_s: float | None = None


_REMEDIES: Mapping[int, str] = {
    401: "the credentials are not accepted; check the token or password file and the user name",
    403: "the credentials do not allow writing here; give them write permission for this bucket or database",
    404: "no such bucket or database, or not this API; create it, or check url and api (v1 for InfluxDB 1.x)",
}


def judge(status: int, body: bytes, headers: Mapping[str, str]) -> Answer:
    """The meaning of an HTTP status with its body and headers (names in any case)."""
    if 200 <= status < 300:
        return Answer(Verdict.STORED)
    text = _message(body, headers)
    said = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if status in {400, 422}:
        return Answer(Verdict.LINE_FAULT if _LINE_FAULTS.search(text) else Verdict.DOUBTFUL, said)
    if status == 413:
        return Answer(Verdict.TOO_LARGE, said)
    if 300 <= status < 400:
        return Answer(Verdict.UNAVAILABLE, f"{said}: it sends us to {_header(headers, 'location')}; configure that url")
    if status in _REMEDIES:
        said = f"{_REMEDIES[status]} ({said})"
    return Answer(Verdict.UNAVAILABLE, said, retry_after_s(headers))


def dropped_all(text: str, lines: int) -> bool:
    """Whether a partial-write message says that every one of so many lines was dropped."""
    found = _DROPPED.search(text)
    return found is not None and int(found[1]) == lines


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wish in Retry-After: seconds, or a date taken against the answer's own Date; None if there is none."""
    value = _header(headers, "retry-after")
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(_header(headers, "date"))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "").strip()


def _message(body: bytes, headers: Mapping[str, str]) -> str:
    """What the database says is wrong, from the body in its several shapes or from a header, cut to a sane length."""
    text = body.decode(errors="replace").strip()
    try:
        said = json.loads(text) if text else None
    except ValueError:
        said = None
    if isinstance(said, dict):
        parts = [str(said[key]) for key in ("error", "message") if said.get(key)]
        details = said.get("data")
        if isinstance(details, list):  # 3 Core names each bad line
            parts += [
                str(each["error_message"]) for each in details if isinstance(each, dict) and "error_message" in each
            ]
        text = ": ".join(parts) or text
    text = text or _header(headers, "x-influxdb-error") or _header(headers, "x-influx-error")
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " ..."
