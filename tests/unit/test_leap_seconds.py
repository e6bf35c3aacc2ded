"""The leap-second table: reading, checking, asking."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import pytest

from timesync.errors import DataError
from timesync.leapseconds import EMBEDDED, SYSTEM_FILES, embedded_leap_table, load_leap_table
from timesync.timescale import NS_PER_S, Leap, LeapTable, parse_utc

EMBEDDED_PATH = Path(str(files("timesync").joinpath("data", "leap-seconds.list")))
EMBEDDED_TEXT = EMBEDDED_PATH.read_text("ascii")
# The embedded list, and those that this machine has (IERS's own layout).
LISTS = [EMBEDDED_PATH, *(path for path in SYSTEM_FILES if path.exists())]

# One positive and one negative leap second, as the format allows.
NEGATIVE_ROWS = ((2_272_060_800, 10), (2_287_785_600, 11), (4_102_444_800, 10))


def a_list(rows: tuple[tuple[int, int], ...] = NEGATIVE_ROWS, updated: int = 1, expires: int = 4_200_000_000) -> str:
    digits = f"{updated}{expires}" + "".join(f"{seconds}{value}" for seconds, value in rows)
    digest = hashlib.sha1(digits.encode()).hexdigest()
    words = " ".join(digest[at : at + 8].lstrip("0") or "0" for at in range(0, 40, 8))
    body = "".join(f"{seconds}\t{value}\t# a comment\n" for seconds, value in rows)
    return f"# prose\n#$\t{updated}\n#@\t{expires}\n\n{body}#h\t{words}\n"


def test_embedded_table_bears_the_hash_that_iers_published() -> None:
    # The fingerprint of IERS's list updated at 3992312697 and expiring on 28 June 2027.
    assert "a9bad145 84c31c70 758402aa b37bfd54 5923836a" in EMBEDDED_TEXT
    table = LeapTable.parse(EMBEDDED_TEXT)
    assert table == embedded_leap_table()
    assert table.updated_ns == (3_992_312_697 - 2_208_988_800) * NS_PER_S
    assert table.expires_ns == parse_utc("2027-06-28")
    assert len(table.rows) == 28


@pytest.mark.parametrize("path", LISTS, ids=str)
def test_list_of_the_system_agrees_with_the_embedded_one(path: Path) -> None:
    table = LeapTable.parse(path.read_text())
    shared = min(len(table.rows), 28)
    assert table.rows[:shared] == embedded_leap_table().rows[:shared]


@pytest.mark.parametrize(
    ("instant", "value"),
    [
        ("1972-01-01", 10),  # IERS Bulletin C and ITU-R TF.460: the beginning
        ("1972-06-30T23:59:59.999999999Z", 10),
        ("1972-07-01", 11),
        ("1999-01-01", 32),
        ("2005-12-31T23:59:59Z", 32),
        ("2006-01-01", 33),
        ("2016-12-31T23:59:59.999999999Z", 36),
        ("2017-01-01", 37),
        ("2026-11-23", 37),
    ],
)
def test_tai_minus_utc_is_what_bulletin_c_says(instant: str, value: int) -> None:
    assert embedded_leap_table().tai_minus_utc_s(parse_utc(instant)) == value


def test_before_1972_there_is_no_whole_number() -> None:
    table = embedded_leap_table()
    with pytest.raises(DataError, match="begins at 1972-01-01"):
        table.tai_minus_utc_s(parse_utc("1972-01-01") - 1)
    with pytest.raises(DataError, match="begins at 1972-01-01"):
        table.tai_to_utc_ns(parse_utc("1972-01-01") + 10 * NS_PER_S - 1)


def test_next_leap_is_the_announced_one_after_the_instant() -> None:
    table = embedded_leap_table()
    new_year = parse_utc("2017-01-01")
    assert table.next_leap(new_year - 1) == Leap(new_year, +1)
    assert table.next_leap(new_year) is None
    assert table.next_leap(parse_utc("1960-01-01")) == Leap(parse_utc("1972-07-01"), +1)
    negative = LeapTable.parse(a_list())
    assert negative.next_leap(parse_utc("2026-11-23")) == Leap(parse_utc("2030-01-01"), -1)


def test_expired_from_the_expiry_on() -> None:
    table = embedded_leap_table()
    assert not table.is_expired(table.expires_ns - 1)
    assert table.is_expired(table.expires_ns)
    assert table.tai_minus_utc_s(table.expires_ns) == 37  # still answered: expiry is a question, not an error


@pytest.mark.parametrize("offset_ns", [-NS_PER_S, -1, 0, 1, NS_PER_S - 1, NS_PER_S, 10 * NS_PER_S])
def test_utc_survives_tai_around_a_leap_second(offset_ns: int) -> None:
    table = embedded_leap_table()
    at_ns = parse_utc("2017-01-01") + offset_ns
    assert table.tai_to_utc_ns(table.utc_to_tai_ns(at_ns)) == at_ns


def test_inserted_second_has_the_unix_time_of_the_second_after_it() -> None:
    table = embedded_leap_table()
    new_year = parse_utc("2017-01-01")
    last_second_tai = table.utc_to_tai_ns(new_year - NS_PER_S)  # 23:59:59
    assert last_second_tai == new_year + 35 * NS_PER_S
    assert table.tai_to_utc_ns(last_second_tai + NS_PER_S) == new_year  # 23:59:60
    assert table.tai_to_utc_ns(last_second_tai + 2 * NS_PER_S) == new_year  # 00:00:00
    assert table.tai_to_utc_ns(last_second_tai + 2 * NS_PER_S - 1) == new_year + NS_PER_S - 1


def test_negative_leap_removes_a_second() -> None:
    table = LeapTable.parse(a_list())
    midnight = parse_utc("2030-01-01")
    second_58_tai = table.utc_to_tai_ns(midnight - 2 * NS_PER_S)
    assert table.tai_to_utc_ns(second_58_tai + NS_PER_S - 1) == midnight - NS_PER_S - 1
    assert table.tai_to_utc_ns(second_58_tai + NS_PER_S) == midnight  # 23:59:59 never comes


def test_hash_words_may_lack_leading_zeros() -> None:
    # Of a hundred digests of five words about thirty have a word that begins with 0.
    texts = [a_list(updated=updated) for updated in range(100)]
    short = [text for text in texts if any(len(word) < 8 for word in text.splitlines()[-1].split()[1:])]
    assert short
    assert all(LeapTable.parse(text).rows[1].tai_minus_utc_s == 11 for text in short)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3550089600\t35", "3550089600\t36", r"line \d+: TAI - UTC does not change by one second"),
        ("3692217600\t37", "3692217601\t37", r"line \d+: 3692217601 is not the beginning of a day"),
        ("3692217600\t37", "3692304000\t37", "the hash does not match"),
        ("3692217600\t37", "3644697600\t37", r"line \d+: not later than the row before"),
        ("3692217600\t37", "37", r"line \d+: not 'NTP-seconds TAI-UTC'"),
        ("3692217600\t37", "9" * 5000 + "\t37", r"line \d+: not 'NTP-seconds TAI-UTC'"),
        ("#@\t4023129600", "#@\t4023129601", "the hash does not match"),
        ("#@\t4023129600", "#@\tsoon", r"line \d+: the expiry is not one number"),
        ("#@\t4023129600", "#", r"no line #@ \(the expiry\)"),
        ("#$\t3992312697", "#", r"no line #\$ \(the time of the last update\)"),
        ("#$\t3992312697", "#$\t3992312697\n#$\t3992312697", r"line \d+: the time of the last update comes twice"),
        ("#h\ta9bad145", "#", r"no line #h \(the hash\)"),
        ("#h\ta9bad145", "#h\t", r"line \d+: the hash is not five hexadecimal words"),
        ("a9bad145", "a9bad144", "the hash does not match"),
    ],
)
def test_damaged_list_is_refused_with_its_line_and_a_remedy(old: str, new: str, message: str) -> None:
    assert old in EMBEDDED_TEXT
    with pytest.raises(DataError, match=f"^the list.*{message}.*get a new copy"):
        LeapTable.parse(EMBEDDED_TEXT.replace(old, new), "the list")


def test_list_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="no row"):
        LeapTable.parse(a_list(rows=()))


def test_later_expiry_wins_and_the_source_is_named(tmp_path: Path) -> None:
    newer, older = tmp_path / "newer.list", tmp_path / "older.list"
    newer.write_text(a_list(expires=4_100_000_000))
    older.write_text(a_list(expires=3_900_000_000))
    assert load_leap_table([older, newer]).source == str(newer)
    assert load_leap_table([older]).source == EMBEDDED
    assert load_leap_table([tmp_path / "absent.list"]) == load_leap_table([])
    assert load_leap_table([]).problems == ()


def test_of_equal_lists_the_systems_is_used(tmp_path: Path) -> None:
    path = tmp_path / "leap-seconds.list"
    path.write_text(EMBEDDED_TEXT)
    assert load_leap_table([path]).source == str(path)


def test_damaged_file_is_passed_over_and_named(tmp_path: Path) -> None:
    damaged, binary, directory = tmp_path / "damaged", tmp_path / "binary", tmp_path / "directory"
    damaged.write_text(EMBEDDED_TEXT.replace("#@", "#"))
    binary.write_bytes(b"\xff\xfe")
    directory.mkdir()
    loaded = load_leap_table([damaged, binary, directory])
    assert loaded.source == EMBEDDED
    assert [problem.split(":")[0] for problem in loaded.problems] == [str(damaged), str(binary), str(directory)]
