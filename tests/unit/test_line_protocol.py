"""Lines as InfluxData's reference writes them; what the format cannot say is refused with a reason."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import pytest

from timesync.model import FieldValue, Record
from timesync.store.lineprotocol import LineProtocolError, encode


def line(
    measurement: str, tags: dict[str, str], fields: dict[str, FieldValue], at_ns: int = 1465839830100400200
) -> str:
    return encode(Record(measurement, at_ns, tags, fields))


# The examples of the reference "Line protocol" (docs.influxdata.com), with their typed values written out.
@pytest.mark.parametrize(
    ("tags", "fields", "expected"),
    [
        (
            {"location": "us-midwest"},
            {"temperature": 82.0},
            "weather,location=us-midwest temperature=82.0 1465839830100400200",
        ),
        (
            {"season": "summer", "location": "us-midwest"},
            {"temperature": 82},
            "weather,location=us-midwest,season=summer temperature=82i 1465839830100400200",
        ),
        ({}, {"temperature": "too warm"}, 'weather temperature="too warm" 1465839830100400200'),
        ({}, {"too_hot": True}, "weather too_hot=true 1465839830100400200"),
        ({"location": "us, midwest"}, {"t": 82}, r"weather,location=us\,\ midwest t=82i 1465839830100400200"),
        ({"location place": "us-midwest"}, {"t": 82}, r"weather,location\ place=us-midwest t=82i 1465839830100400200"),
        ({}, {"temp=rature": 82}, r"weather temp\=rature=82i 1465839830100400200"),
        ({}, {"t": 'too "hot"'}, r'weather t="too \"hot\"" 1465839830100400200'),
        ({}, {"t": r"too hot\cold"}, r'weather t="too hot\\cold" 1465839830100400200'),
    ],
)
def test_examples_of_the_reference(tags: dict[str, str], fields: dict[str, FieldValue], expected: str) -> None:
    assert line("weather", tags, fields) == expected


def test_measurement_escapes_comma_and_space_and_leaves_the_equals_sign() -> None:
    assert line("wea, t=her", {}, {"t": 1}, 0) == r"wea\,\ t=her t=1i 0"


def test_percent_signs_are_only_characters() -> None:
    assert line("m", {"a": "5%s"}, {"load_%d": 1.5, "text": "100 %r"}, 0) == 'm,a=5%s load_%d=1.5,text="100 %r" 0'


def test_empty_tag_is_left_out_as_influxdb_itself_holds_it_to_be_absent() -> None:
    assert line("m", {"a": "", "b": "x"}, {"t": 1}, 0) == "m,b=x t=1i 0"


def test_instants_before_the_epoch_and_nanoseconds_are_kept() -> None:
    assert line("m", {}, {"t": 1}, -1).endswith(" -1")


class Kind(StrEnum):
    KERNEL = "kernel"


def test_enumerations_and_numpy_scalars_are_written_as_what_they_are_made_of() -> None:
    assert line("m", {}, {"a": np.float64(0.5), "b": Kind.KERNEL}, 0) == 'm a=0.5,b="kernel" 0'


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "without fields"),
        ({"x": float("nan")}, "'x' is nan"),
        ({"x": float("-inf")}, "'x' is -inf"),
        ({"x": 2**63}, "64-bit range"),
        ({"x": -(2**63) - 1}, "64-bit range"),
        ({"x\n": 1}, "line break"),
        ({"x\\": 1}, "backslash at its end"),
        ({"a\\=b": 1}, "backslash"),
        ({"": 1}, "empty"),
        ({"time": 1}, "reserved"),
        ({"x": "\ud800"}, "not Unicode"),
        ({"x": b"bytes"}, "is a bytes"),
    ],
)
def test_what_the_format_cannot_say_is_refused(fields: dict[str, FieldValue], reason: str) -> None:
    with pytest.raises(LineProtocolError, match=reason):
        line("m", {}, fields)


@pytest.mark.parametrize(
    ("measurement", "tags", "reason"),
    [
        ("", {}, "measurement is empty"),
        ("#m", {}, "comment"),
        ("\tm", {}, "white space"),
        ("m\n", {}, "line break"),
        ("m", {"a": "x\ny"}, "tag a 'x\\\\ny' holds a line break"),
        ("m", {"a": "x\\"}, "backslash at its end"),
        ("m", {"time": "x"}, "reserved"),
    ],
)
def test_series_that_the_format_cannot_say_is_refused(measurement: str, tags: dict[str, str], reason: str) -> None:
    with pytest.raises(LineProtocolError, match=reason):
        line(measurement, tags, {"t": 1})
