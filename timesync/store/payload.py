"""Record <-> bytes, as the spool keeps them: a JSON array [measurement, at_ns, tags, fields].

Rule: what comes back equals what went in. A value that JSON cannot hold (a float that is not finite, an integer beyond
64 bits, a lone surrogate) is refused with its reason; it never turns into null on the way. Pure.
Source: RFC 8259 (JSON has no NaN and no infinities).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from timesync.errors import StoreError
from timesync.model import Record

__all__ = ["UnstorableRecordError", "decode", "encode"]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


class UnstorableRecordError(StoreError):
    """A record that cannot be written down, or bytes that are not a record; says which part and why."""


def encode(record: Record) -> bytes:
    """The bytes of one record. Raises `UnstorableRecordError` naming the field that cannot be kept."""
    row = (record.measurement, record.at_ns, record.tags, record.fields)
    try:
        payload = orjson.dumps(row, _plain, _OPTIONS)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise UnstorableRecordError(f"record of {record.measurement!r} cannot be stored: {error}") from error
    # orjson writes null for a float that is not finite; a text may hold the word, too. Looked for backwards: that is twice as fast.
    if payload.rfind(b"null") >= 0:
        _refuse_nulls(record)
    return bytes(memoryview(payload))  # orjson's own object takes 8 kB for 1.5, and a thousand may be written in one go


def decode(payload: bytes) -> Record:
    """The record of these bytes. Raises `UnstorableRecordError` if they are not one."""
    try:
        measurement, at_ns, tags, fields = orjson.loads(payload)
    except (ValueError, TypeError) as error:
        raise UnstorableRecordError(f"{len(payload)} bytes are not a record: {error}") from error
    return Record(measurement, at_ns, tags, fields)


def _plain(value: object) -> object:
    """What orjson does not know by itself: read-only mappings."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not a number, a text or a truth value")


def _refuse_nulls(record: Record) -> None:
    values: dict[str, Any] = {**record.tags, **record.fields}
    for name, value in values.items():
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            raise UnstorableRecordError(
                f"field {name!r} of {record.measurement!r} is {value}: leave an absent field out, with a reason"
            )
