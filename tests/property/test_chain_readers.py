"""Readers of Circular T, the BIPM web API and CGGTTS: no bytes crash them, and what was written is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from support.bulletins import cggtts, circular_t

from timesync.errors import DataError
from timesync.reference.bipm_api import parse_reply
from timesync.reference.cggtts import parse_cggtts
from timesync.reference.circular_t import parse_bulletin

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUE = circular_t(463, [60884, 60889, 60894], {"NIM": [1.5, None, -3.25], "PTB": [0.0, 0.1, 0.2]})
FILE = cggtts([("G08", 60884, "001000", -28.1), ("G10", 60884, "001000", -31.1)])
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=15),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["data", "name", "x", "y", "unc"]), inner)
    ),
    max_leaves=12,
)
value_ns = st.none() | st.integers(-(10**6), 10**6).map(lambda tenths: tenths / 10)


def told(read: Callable[[], object]) -> None:
    """Read; a refusal begins with the source's name."""
    complaint = ""
    try:
        read()
    except DataError as error:
        complaint = str(error)
    assert complaint == "" or complaint.startswith("x")


@given(st.text())
def test_no_text_crashes_the_reader_of_bulletins(text: str) -> None:
    for each in (text, f"CIRCULAR T 1\n1 - x\nMJD 60884\n{text}"):
        told(lambda each=each: parse_bulletin(each, "x"))


@given(st.integers(0, len(ISSUE) - 1), st.text(max_size=6), st.integers(0, 30))
def test_no_damaged_issue_crashes_the_reader(at: int, put: str, gone: int) -> None:
    told(lambda: parse_bulletin(ISSUE[:at] + put + ISSUE[at + gone :], "x"))


@given(st.lists(st.lists(value_ns, min_size=6, max_size=6), min_size=1, max_size=5))
def test_an_issue_is_read_as_it_was_written(rows: list[list[float | None]]) -> None:
    labs = {f"LAB{number}": values for number, values in enumerate(rows)}
    found = parse_bulletin(circular_t(463, list(range(60884, 60914, 5)), labs), "x")
    assert {row.lab: list(row.values_ns) for row in found.rows} == labs


@given(json)
def test_no_json_crashes_the_reader_of_replies(document: object) -> None:
    for each in (document, {"data": [document]}, {"data": [{"name": "UTC-UTC(NIM)", "x": document, "y": document}]}):
        told(lambda each=each: parse_reply(each, "x"))


@given(st.binary())
def test_no_bytes_crash_the_reader_of_cggtts(data: bytes) -> None:
    told(lambda: parse_cggtts(data, "x"))
    head = FILE[: FILE.index(b"G08")]
    assert isinstance(parse_cggtts(head + data, "x").refused, tuple)


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_always_seen(at: int, change: int) -> None:
    """A sum of bytes sees every single byte that is changed; what is not covered by one is not read."""
    damaged = bytearray(FILE)
    damaged[at] ^= change
    whole = parse_cggtts(FILE, "x")
    try:
        found = parse_cggtts(bytes(damaged), "x")
    except DataError:
        return
    assert set(found.tracks) <= set(whole.tracks)
