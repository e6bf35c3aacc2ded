"""Circular T and UTCr bulletins, and the traps of thirty years of them."""

from __future__ import annotations

import pytest
from support.bulletins import circular_t, real_data, utcr

from timesync.errors import DataError
from timesync.reference.circular_t import CIRCULAR_T, UTCR, issue_of_mjd, parse_bulletin

# Circular T 229 (January 2007), four of its rows as published.
ISSUE_229 = """\
CIRCULAR T 229      ISSN 1143-1393
2007 FEBRUARY 15, 14h UTC
BUREAU INTERNATIONAL DES POIDS ET MESURES

1 - Coordinated Universal Time UTC and its local realizations UTC(k).
From 2006 January 1, 0h UTC, TAI-UTC = 33 s.
Date 2006/07 0h UTC DEC 30 JAN 4 JAN 9 JAN 14 JAN 19 JAN 24 JAN 29 Uncertainty/ns Notes
       MJD 54099 54104 54109 54114 54119 54124 54129 uA uB u
Laboratory k [UTC-UTC(k)]/ns

AOS (Borowiec) -17.6 -12.1 -8.5 -7.0 -12.1 -8.0 -9.2 1.5 5.1 5.3
BIM (Sofiya) -4983.2 -4998.7 -4991.6 -5013.5 -5020.3 -5053.0 -5083.0 5.0 20.0 20.6 (1)
DLR (Oberpfaffenhofen) - - - - - - - - - -
IT (Torino) 11.5 9.9 -5.1 -15.5 -29.9 -40.2 -45.6 0.6 1.5 1.6

2 - International Atomic Time TAI and local atomic time scales TA(k).
Date 2006/07 0h UTC DEC 30 JAN 4 JAN 9 JAN 14 JAN 19 JAN 24 JAN 29
       MJD 54099 54104 54109 54114 54119 54124 54129
Laboratory k [TAI-TA(k)]/ns
CH (Bern) 61350.1 61351.2 61352.3 61353.4 61354.5 61355.6 61356.7
"""
TWO_PAGES = """\
 CIRCULAR T 120
 1 - Coordinated Universal Time UTC. Computed values of UTC-UTC(k).
 Date 1998     0h UTC      JAN  2   JAN  7   JAN 12
            MJD             50815    50820    50825
 Laboratory k
 AOS  (Borowiec)              158      163      151
 1 - (Cont.)
 Date 1998     0h UTC      JAN  2   JAN  7   JAN 12
            MJD             50815    50820    50825
 Laboratory k
 USNO (Washington DC)          -4       -3        -
 2 - TAI and TA(k).
 USNO (Washington DC)    -4000000 -4000001 -4000002
"""


def test_an_issue_is_read_as_printed() -> None:
    found = parse_bulletin(ISSUE_229, "cirt.229")
    assert (found.kind, found.number, found.name) == (CIRCULAR_T, 229, "Circular T 229")
    rows = {row.lab: row for row in found.rows}
    assert rows["IT"].values_ns == (11.5, 9.9, -5.1, -15.5, -29.9, -40.2, -45.6)
    assert (rows["IT"].u_a_ns, rows["IT"].u_b_ns, rows["IT"].u_ns) == (0.6, 1.5, 1.6)
    assert rows["BIM"].note == "1"
    assert found.rejected == ()


def test_a_dash_is_absent_and_not_zero() -> None:
    rows = {row.lab: row for row in parse_bulletin(ISSUE_229, "cirt.229").rows}
    assert rows["DLR"].values_ns == (None,) * 7
    assert rows["DLR"].u_ns is None


def test_section_2_is_not_read() -> None:
    assert "CH" not in {row.lab for row in parse_bulletin(ISSUE_229, "cirt.229").rows}


def test_two_pages_with_whole_numbers_and_no_uncertainty() -> None:
    with pytest.raises(DataError, match=r"cirt.120 line 4: a date \(MJD\) of Circular T does not end in 4 or 9; fetch"):
        parse_bulletin(TWO_PAGES, "cirt.120")
    text = TWO_PAGES.replace("50815    50820    50825", "50814    50819    50824")
    found = parse_bulletin(text, "cirt.120")
    assert [(row.lab, row.values_ns, row.u_ns) for row in found.rows] == [
        ("AOS", (158.0, 163.0, 151.0), None),
        ("USNO", (-4.0, -3.0, None), None),
    ]


def test_a_laboratory_that_is_not_calibrated_has_values_and_no_u() -> None:
    found = parse_bulletin(circular_t(440, [60554, 60559], {"NIM": [1.0, 2.0]}, "0.3   NC   -"), "cirt.440")
    (row,) = found.rows
    assert (row.values_ns, row.u_a_ns, row.u_b_ns, row.u_ns, row.calibrated) == ((1.0, 2.0), 0.3, None, None, False)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("AOS (Borowiec) -17.6 -12.1 -8.5 -7.0 -12.1 -8.0 1.5 5.1 5.3", "9 columns where 7 dates and 3 uncertainties"),
        ("AOS (Borowiec) -17.6 -12.1 -8.5 x -12.1 -8.0 -9.2 1.5 5.1 5.3", "'x' is no number of ns"),
        ("AOS (Borowiec) -17.6 -12.1 -8.5 7 -12.1 -8.0 -9.2 -1.5 5.1 5.3", "an uncertainty is negative"),
    ],
)
def test_a_row_that_does_not_fit_is_rejected_with_its_line(row: str, why: str) -> None:
    lines = ISSUE_229.splitlines()
    lines[10] = row
    found = parse_bulletin("\n".join(lines), "cirt.229")
    (rejected,) = found.rejected
    assert (rejected.line, rejected.lab) == (11, "AOS")
    assert why in rejected.why
    assert "AOS" not in {each.lab for each in found.rows}


def test_what_is_no_bulletin_is_told() -> None:
    with pytest.raises(DataError, match=r"page\.html: neither a Circular T nor a UTCr bulletin"):
        parse_bulletin("<html>404</html>", "page.html")
    with pytest.raises(DataError, match="no row of section 1 can be taken"):
        parse_bulletin(ISSUE_229.replace("(", "<"), "cirt.229")


def test_utcr_is_daily_and_has_no_uncertainty() -> None:
    found = parse_bulletin(utcr(2624, [61200, 61201, 61202], {"NIM": [1.5, None, -0.5]}), "utcr_2624")
    assert (found.kind, found.name) == (UTCR, "UTCr 2624")
    assert found.rows[0].values_ns == (1.5, None, -0.5)
    assert found.rows[0].u_ns is None


@pytest.mark.parametrize(("mjd", "issue"), [(54099, 228), (54104, 229), (54129, 229), (60434, 437), (60459, 437)])
def test_a_date_belongs_to_the_issue_of_its_month(mjd: int, issue: int) -> None:
    """Circular T 229 is January 2007, 437 May 2024 (MJD 60431 is 2024-05-01)."""
    assert issue_of_mjd(mjd) == issue


def test_a_stored_copy_of_issue_229_where_there_is_one() -> None:
    path = real_data("bipm/cirt.229.reflowed.txt")
    found = parse_bulletin(path.read_text() if path else ISSUE_229, "cirt.229")
    assert {row.lab: row.values_ns[-1] for row in found.rows}["IT"] == -45.6
    assert found.rejected == ()
