"""The state of a stream as bytes, and back.

Rule: what is read back is exactly what was written, or a DataError says what is wrong: another format, another version, cut short,
damaged. Nothing in the bytes is executed.

Layout: 8 octets of mark, u32 version, u32 length of the head, u64 length of the body (all little-endian), the head (JSON:
the plan, the counters, and name, type and shape of each array), the body (the arrays, little-endian, one after the other),
and 16 octets of BLAKE2b over everything before them.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from timesync.errors import DataError
from timesync.stability.daysums import Sums
from timesync.stability.stream_plan import StreamPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from timesync.stability.streaming import Stream

__all__ = ["VERSION", "pack", "unpack"]

MARK = b"\x93TSSTRM\n"
VERSION = 1
_FRAME = struct.Struct("<8sIIQ")
_DIGEST = 16
_TYPES = {"<f8": np.dtype("<f8"), "<i8": np.dtype("<i8")}


def _arrays(stream: Stream) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array of the state, by name; those that are loaded are written into, or looked up by the same name."""
    for number, level in enumerate(stream.levels):
        yield f"level{number}.tail", level.tail.last()
        yield f"level{number}.part", level.part_extremes
        if level.windows is not None:
            for each, tail in enumerate(level.windows.tails):
                yield f"level{number}.windows{each}", tail.last()
        if level.coverings is not None:
            yield f"level{number}.coverings", level.coverings.tail.last()
    if stream.early is not None:
        yield "early", stream.early


_SUMS = ("total", "rest", "terms", "top", "cover", "windows")


def _head(stream: Stream) -> dict[str, Any]:
    plan = stream.plan
    return {
        "plan": {
            "tau0_s": plan.tau0_s,
            "statistics": plan.statistics,
            "m": plan.m,
            "exact_to": plan.exact_to,
            "chunk": plan.chunk,
        },
        "keep_days": stream.kept.keep_days,
        "clock": [stream.start_ns, stream.start_index, stream.index, stream.origin, stream.ahead],
        "line": [stream.line.constant_s.hex(), stream.line.slope_s.hex(), stream.line.first],
        "running": [stream.running[0].hex(), stream.running[1].hex(), stream.running[2]],
        "levels": [[level.seen, level.clean, level.part] for level in stream.levels],
        "early": stream.early is not None,
        "days": [[day, sums.points, sums.present] for day, sums in sorted(stream.kept.days.items())],
        "earlier": None if stream.kept.earlier is None else [stream.kept.earlier.points, stream.kept.earlier.present],
    }


def pack(stream: Stream) -> bytes:
    """See `Stream.to_bytes`."""
    arrays = dict(_arrays(stream))
    parts = [(str(day), sums) for day, sums in sorted(stream.kept.days.items())]
    if stream.kept.earlier is not None:
        parts.append(("earlier", stream.kept.earlier))
    for name, sums in parts:
        arrays |= {f"sums.{name}.{each}": getattr(sums, each) for each in _SUMS}
    head = _head(stream)
    body = []
    described = []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype="<i8" if array.dtype.kind == "i" else "<f8")
        described.append([name, little.dtype.str, list(little.shape)])
        body.append(little.tobytes())
    head["arrays"] = described
    text = json.dumps(head, separators=(",", ":")).encode()
    packed = b"".join(body)
    frame = _FRAME.pack(MARK, VERSION, len(text), len(packed)) + text + packed
    return frame + hashlib.blake2b(frame, digest_size=_DIGEST).digest()


def _parts(state: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Head and arrays of an undamaged state."""
    if len(state) < _FRAME.size or not state.startswith(MARK):
        raise DataError("state: these are not the bytes of a stream's state")
    _, version, text_length, body_length = _FRAME.unpack_from(state)
    if version != VERSION:
        raise DataError(f"state: version {version} is not known, only {VERSION}; it was written by another release")
    end = _FRAME.size + text_length + body_length
    if len(state) != end + _DIGEST:
        raise DataError(f"state: {len(state)} bytes where {end + _DIGEST} belong: it was cut short or added to")
    if hashlib.blake2b(state[:end], digest_size=_DIGEST).digest() != state[end:]:
        raise DataError("state: the checksum does not fit: it is damaged")
    head = json.loads(state[_FRAME.size : _FRAME.size + text_length])
    arrays: dict[str, NDArray[Any]] = {}
    at = _FRAME.size + text_length
    for name, kind, shape in head["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(state, _TYPES[kind], count, at).reshape(shape).astype(kind[1:])
        at += count * 8
    return head, arrays


def unpack(state: bytes, make: type[Stream]) -> Stream:
    """See `Stream.from_bytes`."""
    head, arrays = _parts(state)
    try:
        return _rebuilt(head, arrays, make)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        # The checksum is right, so a program wrote this; it is not one that agrees with us on version 1.
        raise DataError(f"state: its parts do not fit each other ({type(error).__name__}: {error})") from error


def _rebuilt(head: dict[str, Any], arrays: dict[str, NDArray[Any]], make: type[Stream]) -> Stream:
    plan = dict(head["plan"])
    plan["statistics"], plan["m"] = tuple(plan["statistics"]), tuple(plan["m"])
    start_ns, start_index, index, origin, ahead = head["clock"]
    stream = make(StreamPlan(**plan), start_ns=start_ns, keep_days=head["keep_days"])
    stream.resume(start_index=start_index, index=index, origin=origin, ahead=ahead)
    constant, slope, first = head["line"]
    stream.line = type(stream.line)(float.fromhex(constant), float.fromhex(slope), first)
    high, low, lost = head["running"]
    stream.running = (float.fromhex(high), float.fromhex(low), lost)
    stream.early = arrays["early"] if head["early"] else None
    for (seen, clean, part), level in zip(head["levels"], stream.levels, strict=True):
        level.seen, level.clean, level.part = seen, clean, part
    for name, array in _arrays(stream):
        if name != "early":
            array[...] = arrays[name]
    for day, points, present in head["days"]:
        stream.kept.days[day] = _sums(arrays, str(day), points, present)
    if head["earlier"] is not None:
        stream.kept.earlier = _sums(arrays, "earlier", *head["earlier"])
    return stream


def _sums(arrays: dict[str, NDArray[Any]], name: str, points: int, present: int) -> Sums:
    return Sums(**{each: arrays[f"sums.{name}.{each}"] for each in _SUMS}, points=points, present=present)
