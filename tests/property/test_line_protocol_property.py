"""Every line the encoder writes is read back, by a reader of its own making, as exactly the record."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from support.lineparser import parse

from timesync.model import Record
from timesync.store.lineprotocol import encode
from timesync.store.payload import decode
from timesync.store.payload import encode as to_payload

CHARACTERS = st.characters(exclude_categories=["Cs"])
UNSAYABLE = re.compile(r"\\[,= \"\\]|\\$|\n")


def sayable(name: str) -> bool:
    return name != "time" and not UNSAYABLE.search(name)


NAMES = st.text(CHARACTERS | st.sampled_from(', ="\\#%'), min_size=1, max_size=12).filter(sayable)
MEASUREMENTS = NAMES.filter(lambda name: name[0] not in "#\t\0")
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(CHARACTERS | st.sampled_from('"\\, =\n'), max_size=20),
)
RECORDS = st.builds(
    Record,
    MEASUREMENTS,
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.dictionaries(NAMES, NAMES, max_size=4),
    st.dictionaries(NAMES, VALUES, min_size=1, max_size=8),
)


@given(RECORDS)
def test_line_is_read_back_as_the_record(record: Record) -> None:
    point = parse(encode(record))
    assert point.measurement == record.measurement
    assert point.tags == record.tags
    assert point.at_ns == record.at_ns
    assert point.fields == record.fields
    assert {name: type(value) for name, value in point.fields.items()} == {
        name: type(value) for name, value in record.fields.items()
    }


@given(RECORDS)
def test_line_is_one_line_unless_a_text_breaks_it(record: Record) -> None:
    breaks = sum(value.count("\n") for value in record.fields.values() if isinstance(value, str))
    assert encode(record).count("\n") == breaks


@given(RECORDS)
def test_spooled_bytes_are_read_back_as_the_record(record: Record) -> None:
    back = decode(to_payload(record))
    assert back == record
    assert [type(value) for value in back.fields.values()] == [type(value) for value in record.fields.values()]
