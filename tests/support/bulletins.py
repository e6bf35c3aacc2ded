"""Small publications in the format of real ones, for tests: Circular T, UTCr and CGGTTS files with values of the test's own.

The layout is that of the published files (see the sources in timesync/reference); the values are made up, except where a test cites
an issue. Checksums are computed here, by the words of the directives: byte sum modulo 256.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["cggtts", "circular_t", "mjd_of", "real_data", "utcr"]

_MJD_ZERO = date(1858, 11, 17)
_HEADER = """\
 CIRCULAR T {number}                                                               ISSN 1143-1393
 {year} {month} 11, 10h UTC

              BUREAU INTERNATIONAL DES POIDS ET MESURES
 THE INTERGOVERNMENTAL ORGANIZATION ESTABLISHED BY THE METRE CONVENTION

 1 - Difference between UTC and its local realizations UTC(k) and corresponding uncertainties.
     From 2017 January 1, 0h UTC, TAI-UTC = 37 s.

 Date {year}     0h UTC      {dates}    Uncertainty/ns  Notes
           MJD          {mjds}      uA   uB   u
 Laboratory k                  [UTC-UTC(k)]/ns
"""
_SECTION_2 = """
 2 - International Atomic Time TAI and Local atomic time scales TA(k).

 Date {year}     0h UTC      {dates}
           MJD          {mjds}
 Laboratory k                  [TAI-TA(k)]/ns

 PTB  (Braunschweig)     -362011.0 -362012.1 -362013.2
"""


def real_data(name: str) -> Path | None:
    """A published file that lies beside the checkout, if there is one; nothing needs it."""
    for folder in Path(__file__).resolve().parents[3:]:
        path = folder / "shared" / "data" / name
        if path.is_file():
            return path
    return None


def mjd_of(day: date) -> int:
    """The Modified Julian Day of a date."""
    return (day - _MJD_ZERO).days


def _dates(mjds: Sequence[int]) -> str:
    return " ".join((_MJD_ZERO + timedelta(days=mjd)).strftime("%b %d").upper() for mjd in mjds)


def circular_t(
    number: int, mjds: Sequence[int], labs: Mapping[str, Sequence[float | None]], uncertainties: str = "0.3   2.0   2.0"
) -> str:
    """An issue with these laboratories' [UTC - UTC(k)] in ns; `uncertainties` are the last columns of each row."""
    year = (_MJD_ZERO + timedelta(days=mjds[0])).year
    words = {"year": year, "month": "JULY", "number": number, "dates": _dates(mjds), "mjds": " ".join(map(str, mjds))}
    rows = []
    for lab, values in labs.items():
        cells = " ".join("     -  " if value is None else f"{value:8.1f}" for value in values)
        rows.append(f" {lab:4} (Somewhere)      {cells}   {uncertainties}\n")
    return _HEADER.format(**words) + "\n" + "".join(rows) + _SECTION_2.format(**words)


def utcr(number: int, mjds: Sequence[int], labs: Mapping[str, Sequence[float | None]]) -> str:
    """A weekly bulletin of UTCr: daily values, no uncertainty."""
    head = f"                 UTCr_{number:04d}\n\n Date   0h UTC   {_dates(mjds)}\n        MJD      {' '.join(map(str, mjds))}\n"
    rows = []
    for lab, values in labs.items():
        cells = " ".join("     -  " if value is None else f"{value:8.1f}" for value in values)
        rows.append(f" {lab:4} (Somewhere)      {cells}\n")
    return f"{head} Laboratory k         [UTCr-UTC(k)]/ns\n{''.join(rows)}"


def cggtts(
    tracks: Sequence[tuple[str, int, str, float]], *, version: str = "2E", dual: bool = True, lab: str = "TEST"
) -> bytes:
    """A file of (satellite, MJD, hhmmss, REFSYS in ns) tracks, with right checksums."""
    head = [
        f"{'C' if version == '2E' else ''}GGTTS GENERIC DATA FORMAT VERSION = {version}",
        "REV DATE = 2026-01-01",
        "RCVR = TEST 1",
        "CH = 20",
        "IMS = TEST 1" if dual else "IMS = 99999",
        f"LAB = {lab}",
        *("X = +1.0 m", "Y = +2.0 m", "Z = +3.0 m", "FRAME = ITRF", "COMMENTS = NONE"),
        "INT DLY =   10.0 ns (GPS C1)     CAL_ID = 1001-2026",
        "CAB DLY = 100.0 ns",
        "REF DLY = 5.0 ns",
        "REF = UTC(TEST)",
    ]
    total = sum(sum(line.encode()) for line in head) + sum(b"CKSUM = ")
    first, refsys = ("SAT", "REFSYS") if version == "2E" else ("PRN", "REFGPS")
    columns = (
        f"{first} CL  MJD  STTIME TRKL ELV AZTH   REFSV      SRSV     {refsys}    SRSYS  DSG IOE MDTR SMDT MDIO SMDI"
    )
    units = "             hhmmss  s  .1dg .1dg    .1ns     .1ps/s     .1ns    .1ps/s .1ns     .1ns.1ps/s.1ns.1ps/s"
    if dual:
        columns, units = f"{columns} MSIO SMSI ISG", f"{units}.1ns.1ps/s.1ns"
    if version == "2E":
        columns, units = f"{columns} FR HC FRC", f"{units}"
    lines = [*head, f"CKSUM = {total % 256:02X}", "", f"{columns} CK", units]
    for sat, mjd, clock, refsys_ns in tracks:
        row = f"{sat:>3} FF {mjd} {clock}  780 451 1609     +607280    +13 {round(refsys_ns * 10):+11d}"
        row += "     -1    3 039  112  -15   68   -8"
        if dual:
            row += "  109   +3   5"
        if version == "2E":
            row += "  0  0 L3P" if dual else "  0  0 L1C"
        row += " "
        lines.append(f"{row}{sum(row.encode()) % 256:02X}")
    return ("\n".join(lines) + "\n").encode()
