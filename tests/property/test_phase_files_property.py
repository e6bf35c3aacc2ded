"""The reader of phase files: whatever the bytes, a result or a DataError; and what is written is what is read."""

from __future__ import annotations

import contextlib
import gzip
import io
import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from timesync.errors import DataError
from timesync.phase_files import Choice, read_phase

NUMBERS = (
    "1",
    "-2.5e-9",
    "60000",
    "nan",
    "",
    "inf",
    "1e999",
    "1D-3",
    "0x1",
    "9" * 30,
    "1700000000000000001",
    "\u0661",
    "-",
)
WORDS = ("x", "at_ns", "time_s", "x_ns", "#", '"', "a,b", "'", "2026-11-23T00:00:00Z", "2026-13-01", "Tau: 1", "\x00")
CELLS = st.sampled_from(NUMBERS + WORDS)
LINES = st.lists(CELLS, max_size=4).flatmap(
    lambda cells: st.sampled_from([mark.join(cells) for mark in (" ", ",", ";", "\t")])
)
TEXTS = st.builds(
    lambda lines, end: end.join(lines), st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n", "\r"])
)
UNITS = st.sampled_from([None, "s", "ns", "mjd", "utc", "d"])
COLUMNS = st.sampled_from([None, "1", "2", "x_ns", "none"])


def read(data: bytes, choice: Choice, missing: float | None = None) -> None:
    with contextlib.suppress(DataError):
        file = read_phase(io.BytesIO(data), "data", choice, missing=missing)
        assert not np.isinf(file.values).any()
        if file.at_ns is not None:
            assert file.at_ns.size == file.values.size
            assert (np.diff(file.at_ns) > 0).all()


@given(st.binary(max_size=300), UNITS)
@example(b"\x1f\x8b\x08\x00", None)
@example(b"\xff\xfe\x00", None)
def test_any_bytes_give_a_result_or_a_data_error(data: bytes, unit: str | None) -> None:
    read(data, Choice(time_unit=unit))
    read(gzip.compress(data), Choice(time_unit=unit))
    read(b"\x1f\x8b" + data, Choice())


@given(TEXTS, COLUMNS, COLUMNS, UNITS)
def test_any_table_gives_a_result_or_a_data_error(
    text: str, column: str | None, time_column: str | None, unit: str | None
) -> None:
    read(text.encode(), Choice(column, time_column, unit), missing=1.0)


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=50), st.sampled_from(["", "\n# comment"]))
def test_values_written_in_full_come_back_to_the_bit(values: list[float], between: str) -> None:
    text = "".join(f"{value!r}{between}\n" for value in values)
    found = read_phase(io.BytesIO(text.encode()), "data").values.tolist()
    assert [None if math.isnan(value) else value for value in found] == [
        None if math.isnan(value) else value for value in values
    ]
