"""Reading phase and frequency data: each format that is promised, and for each mistake the line and column."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest

from timesync.errors import DataError
from timesync.phase_files import BLOCK, Choice, PhaseFile, read_phase

DAY_NS = 86_400 * 10**9
MJD_60000_NS = 1_677_283_200 * 10**9  # 2023-02-25T00:00:00Z


def read(text: str | bytes, *, scale: float = 1.0, missing: float | None = None, **choice: str) -> PhaseFile:
    data = text.encode() if isinstance(text, str) else text
    return read_phase(io.BytesIO(data), "data.txt", Choice(**choice), scale=scale, missing=missing)


def values(text: str | bytes, **options: str) -> list[float]:
    return read(text, **options).values.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "1e-9\n2e-9\n-3.5\n",
        "1e-9\r\n2e-9\r\n-3.5",
        "  1e-9 \n\n# a comment\n% another\n2e-9\n! and\n// this\n-3.5\n",
        "1D-9\n+2.0d-09\n-3.5\n",
        "\ufeff1e-9\n2e-9\n-3.5\n",
        "phase recorded in hall 3\n1e-9\n2e-9\n-3.5\n",
    ],
    ids=["plain", "dos", "comments", "fortran", "byte order mark", "title"],
)
def test_one_column_is_values(text: str) -> None:
    file = read(text)
    assert file.values.tolist() == [1e-9, 2e-9, -3.5]
    assert file.at_ns is None


def test_two_columns_are_seconds_and_values() -> None:
    file = read("0 1e-9\n0.5 2e-9\n1\t3e-9\n")
    assert file.at_ns is not None
    assert file.at_ns.tolist() == [0, 500_000_000, 1_000_000_000]
    assert file.values.tolist() == [1e-9, 2e-9, 3e-9]


def test_mjd_by_name_and_by_option_is_utc() -> None:
    for file in (read("mjd x_s\n60000 1\n60001 2\n"), read("60000 1\n60001 2\n", time_unit="mjd")):
        assert file.at_ns is not None
        assert file.at_ns.tolist() == [MJD_60000_NS, MJD_60000_NS + DAY_NS]


def test_times_that_may_be_mjd_or_seconds_are_asked_for() -> None:
    with pytest.raises(DataError, match="may be MJD or seconds; give --time-unit mjd or s"):
        read("60000 1\n60001 2\n")
    file = read("60000 1\n60001 2\n", time_unit="s")
    assert file.at_ns is not None
    assert file.at_ns.tolist() == [60_000 * 10**9, 60_001 * 10**9]


def test_instants_as_text_are_exact() -> None:
    file = read("2023-02-25T00:00:00Z 1\n2023-02-25T00:00:00.123456789Z 2\n")
    assert file.at_ns is not None
    assert file.at_ns.tolist() == [MJD_60000_NS, MJD_60000_NS + 123_456_789]


def test_nanoseconds_of_an_epoch_keep_every_digit() -> None:
    text = "at_ns,x_ns\n1700000000000000001,5\n1700000000000000002,\n1700000000000000003,8\n"
    file = read(text)
    assert file.at_ns is not None
    assert file.at_ns.tolist() == [1700000000000000001, 1700000000000000002, 1700000000000000003]
    np.testing.assert_array_equal(file.values, [5e-9, np.nan, 8e-9])
    assert (file.kind, file.column) == ("phase", "x_ns")


def test_our_own_export_is_read_without_options() -> None:
    text = (
        "time_utc,at_ns,measurement,probe,target,offset_s,time_error_s\n"
        '2023-02-25T00:00:00Z,1677283200000000000,time_error,"probe, one",a,0.5,1e-6\n'
        '2023-02-25T00:00:01Z,1677283201000000000,time_error,"probe, one",a,0.5,\n'
    )
    file = read(text)
    assert file.column == "time_error_s"
    np.testing.assert_array_equal(file.values, [1e-6, np.nan])
    assert file.at_ns is not None
    assert file.at_ns.tolist() == [MJD_60000_NS, MJD_60000_NS + 10**9]
    assert read(text, column="offset_s").values.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "unit"),
    [("x_us", 1e-6), ("phase [ps]", 1e-12), ("offset(ms)", 1e-3), ("x_s", 1.0), ("phase", 1.0), ("y", 1.0)],
)
def test_unit_in_a_columns_name_is_taken(name: str, unit: float) -> None:
    assert values(f"time_s,{name}\n1,3\n2,4\n") == [3 * unit, 4 * unit]


def test_semicolons_tabs_and_quotes_separate() -> None:
    assert values("t;x\n1;2.5\n2;3.5\n") == [2.5, 3.5]
    assert values("t\tx\n1\t2.5\n2\t3.5\n") == [2.5, 3.5]
    assert values('note,x\n"a, b",2.5\nc,3.5\n') == [2.5, 3.5]


def test_columns_are_chosen_by_name_and_by_number() -> None:
    text = "1 10 100\n2 20 200\n"
    assert values(text, column="3", time_column="1") == [100.0, 200.0]
    assert read(text, column="2", time_column="none").at_ns is None
    assert values("a,b,c\n1,2,3\n", column="b") == [2.0]


def test_stable32_header_says_kind_and_interval() -> None:
    text = "File: hall, 3\nType: Frequency\nPoints: 3\nTau: 1.0000000e+01\n1e-12\n0\n3e-12\n"
    file = read(text, missing=0.0)
    assert (file.kind, file.tau0_s) == ("frequency", 10.0)
    np.testing.assert_array_equal(file.values, [1e-12, np.nan, 3e-12])
    assert read(text).values[1] == 0.0  # a zero is a gap only where the user says so


def test_header_that_miscounts_is_told() -> None:
    assert "the header says 1000 points, the file has 2" in read("# Points: 1000\n1\n2\n").notes


def test_gzip_and_utf16_are_seen_through() -> None:
    assert values(gzip.compress(b"1\n2\n")) == [1.0, 2.0]
    assert values("1\n2\n".encode("utf-16")) == [1.0, 2.0]


def test_header_in_an_8_bit_code_does_no_harm() -> None:
    assert values("# Temperatur 23 °C\n1\n2\n".encode("latin-1")) == [1.0, 2.0]


def test_missing_values_have_names() -> None:
    np.testing.assert_array_equal(read("1\nnan\nNaN\nNA\n2\n").values, [1, np.nan, np.nan, np.nan, 2])


def test_numbers_beyond_the_first_block_are_read_and_their_lines_known() -> None:
    count = BLOCK + 10
    text = "".join(f"{i} {i}e-9\n" for i in range(count))
    assert read(text).values.size == count
    with pytest.raises(DataError, match=rf"data.txt:{count + 1}: column 2: 'oops' is not a number"):
        read(text + f"{count} oops\n")


MISTAKES = {
    "": "data.txt: empty",
    "# only\n": "data.txt: nothing but comments in the first 1 lines",
    "hello world\n": "data.txt:1: column 1: 'hello' is not a number; no line of data was found",
    "1\n2\nx3\n": "data.txt:3: column 1: 'x3' is not a number",
    "1\n2,5\n": "data.txt:2: column 1: '2,5' is not a number; write a decimal point",
    "0;1\n1;2,5\n": "data.txt:2: column 2: '2,5' is not a number; write a decimal point",
    "1\n1_000\n": "data.txt:2: column 1: '1_000' is not a number",
    "1\ninf\n": "data.txt:2: column 1: 'inf' is not a number; write nan for a missing value",
    "1\n1e999\n": "data.txt:2: column 1: '1e999' is beyond the range of numbers",
    "1 2\n2\n": "data.txt:2: 1 column where the first line of data (line 1) has 2",
    "t,x\n1,2\n2,3,4\n": "data.txt:3: 3 columns where the first line of data (line 2) has 2",
    "1 2\nnan 3\n": "data.txt:2: column 1: 'nan' is not a time in numbers",
    "1 2\n2 3\n2 4\n": "data.txt:3: column 1: this time is not later than that of line 2",
    "1 2\n1e300 3\n": "data.txt:2: column 1: 1e+300 s is farther than 146 years from the epoch",
    "1 2 3\n": "data.txt: 3 columns; say which holds the values with --column",
    "a,b,c\n1,2,3\n": "data.txt: say which column holds the values with --column; it has a, b, c",
    'a,x\nb,1\n"c,2\n': "data.txt:3: 1 column where the first line of data (line 2) has 2",
    "2023-02-25T00:00:00Z 1\n2023-02-30T00:00:00Z 1\n": "data.txt:2: column 1: '2023-02-30T00:00:00Z' names a day",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake_is_told_with_line_and_column(text: str) -> None:
    with pytest.raises(DataError) as caught:
        read(text)
    assert str(caught.value).startswith(MISTAKES[text])


def test_column_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(DataError, match="no column 'q'; it has t, x"):
        read("t,x\n1,2\n", column="q")
    with pytest.raises(DataError, match="it has 2 without names"):
        read("1 2\n", column="5")


@pytest.mark.parametrize("cut", [2, 12, 40])
def test_damaged_gzip_is_told(cut: int) -> None:
    with pytest.raises(DataError, match="damaged gzip"):
        read(gzip.compress(b"1.25\n2.5\n" * 1000)[:cut])
