"""CGGTTS files (V1 and V2E) -> tracks: REF minus GNSS system time as a receiver saw it over 13 minutes, satellite by satellite.

Rule: every checksum is verified; a header that fails refuses the file, a row that fails is refused with its line and the file's
other rows are kept. Fields that are all nines say "no value" and are absent. Nothing is corrected here: the receiver has applied
the delays that its header states.

Sources: D. Allan and C. Thomas, "Technical directives for standardization of GPS time receiver software", Metrologia 31 (1994), V1;
P. Defraigne and G. Petit, "CGGTTS-Version 2E", Metrologia 52 (2015). The checksum is the byte sum modulo 256 without line ends:
the header's up to and with `CKSUM = `, a row's up to the space before CK.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from timesync.errors import DataError
from timesync.timescale import NS_PER_S, mjd_to_unix_ns

__all__ = ["CggttsFile", "CggttsHeader", "RefusedTrack", "Track", "parse_cggtts"]

_VERSION = re.compile(rb"\s*C?GGTTS\s.*VERSION\s*=\s*(\S+)")
_CKSUM = re.compile(rb"\s*CKSUM\s*=\s*([0-9A-Fa-f]{2})\s*")
_NINES = re.compile(r"[-+]?9{3,}")
_CAL_ID = re.compile(r"CAL_ID\s*=\s*(\S+)")
_VERSIONS = {"01": 1, "1": 1, "2E": 2}
_HEAD_LINES = 40
_NAMES_V1, _NAMES_V2 = "PRN", "SAT"
_KNOWN = {
    "SAT",
    "PRN",
    "CL",
    "MJD",
    "STTIME",
    "TRKL",
    "ELV",
    "AZTH",
    "REFSV",
    "SRSV",
    "REFSYS",
    "REFGPS",
    "SRSYS",
    "SRGPS",
}
_KNOWN |= {"DSG", "IOE", "MDTR", "SMDT", "MDIO", "SMDI", "MSIO", "SMSI", "ISG", "FR", "HC", "FRC", "CK"}
_WANTED = ("CL", "MJD", "STTIME", "TRKL", "ELV", "CK")
_SECONDS_OF_DAY = 86_400
_GREATEST_BYTES = 20_000_000
_COMMON = "correct the receiver's software, or fetch the file again"


class Track(NamedTuple):
    """One row. `at_ns` is the middle of the track (Unix ns by the file's UTC dates); `refsys_s` REF minus system time there, s.

    `frc` is the code of the observation ("L1C", "L3P"); V1 has none and is "L1C". `dsg_s` is the rms of the residuals;
    `msio_s` the measured ionospheric delay of a dual-frequency receiver; None where absent. `elevation_deg` in degrees.
    """

    sat: str
    mjd: int
    start_s: int
    length_s: int
    at_ns: int
    elevation_deg: float
    refsys_s: float
    frc: str
    dsg_s: float | None
    msio_s: float | None


@dataclass(frozen=True, slots=True)
class CggttsHeader:
    """What the receiver says of itself; `version` is 1 or 2, texts are as written. `cal_id` is "" where there is none."""

    version: int
    receiver: str
    lab: str
    reference: str
    frame: str
    cal_id: str


@dataclass(frozen=True, slots=True)
class RefusedTrack:
    """A row that was not taken: its line (from 1) and why."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class CggttsFile:
    """A file: its header, its good rows in order, and those refused."""

    header: CggttsHeader
    tracks: tuple[Track, ...]
    refused: tuple[RefusedTrack, ...]


def checksum(data: bytes) -> int:
    """The byte sum modulo 256."""
    return sum(data) % 256


def parse_cggtts(data: bytes, source: str) -> CggttsFile:
    """Read a file. Raises DataError, naming the file and the line with the remedy, where its header is not sound."""
    if len(data) > _GREATEST_BYTES:
        _bad(source, f"{len(data)} bytes are no daily file")
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    header, body = _header(lines, source)
    columns, first = _columns(lines, body, source)
    tracks: list[Track] = []
    refused: list[RefusedTrack] = []
    for index in range(first, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        taken = _track(line, columns, header.version)
        if isinstance(taken, Track):
            tracks.append(taken)
        else:
            refused.append(RefusedTrack(index + 1, taken))
    return CggttsFile(header, tuple(tracks), tuple(refused))


def _header(lines: list[bytes], source: str) -> tuple[CggttsHeader, int]:
    """The header, and the index of the line after it."""
    version = _VERSION.match(lines[0])
    if version is None or version[1].decode("latin-1") not in _VERSIONS:
        _bad(f"{source} line 1", "it is not a CGGTTS file of version 01 or 2E")
    total = 0
    said: dict[str, str] = {}
    for index, line in enumerate(lines[:_HEAD_LINES]):
        found = _CKSUM.fullmatch(line)
        if found is None:
            total += sum(line)
            name, _, value = line.decode("latin-1").partition("=")
            said.setdefault(name.strip().upper(), value.strip())
            continue
        total = (total + sum(line[: line.index(found[1], line.index(b"="))])) % 256
        if total != int(found[1], 16):
            text = f"the header's checksum is {found[1].decode()}, and its bytes sum to {total:02X}"
            _bad(f"{source} line {index + 1}", text)
        delays = " ".join(said.get(f"{kind} DLY", "") for kind in ("INT", "SYS", "TOT"))
        cal_id = _CAL_ID.search(delays)
        number = _VERSIONS[version[1].decode("latin-1")]
        receiver, lab, reference, frame = (said.get(name, "") for name in ("RCVR", "LAB", "REF", "FRAME"))
        return CggttsHeader(number, receiver, lab, reference, frame, cal_id[1] if cal_id else ""), index + 1
    return _bad(source, f"no line CKSUM among the first {_HEAD_LINES}")


def _columns(lines: list[bytes], start: int, source: str) -> tuple[dict[str, int], int]:
    """The place of each column by its name, and the index of the first row."""
    for index in range(start, min(start + 5, len(lines))):
        words = lines[index].decode("latin-1").split()
        if words and words[0] in {_NAMES_V1, _NAMES_V2}:
            columns = {name: place for place, name in enumerate(words)}
            refsys = next((name for name in ("REFSYS", "REFGPS") if name in columns), None)
            strange = [name for name in words if name not in _KNOWN or words.count(name) > 1]
            if strange:
                _bad(f"{source} line {index + 1}", f"the column {strange[0][:20]!r} is unknown, or there twice")
            missing = [name for name in _WANTED if name not in columns] + ([] if refsys else ["REFSYS"])
            if missing or refsys is None:
                _bad(f"{source} line {index + 1}", f"there is no column {missing[0]}")
            columns["REFSYS"] = columns[refsys]
            units = index + 1 < len(lines) and b"hhmmss" in lines[index + 1]
            return columns, index + 1 + units
    return _bad(f"{source} line {start + 1}", "no line of column names follows the header")


def _bad(where: str, what: str) -> NoReturn:
    raise DataError(f"{where}: {what}; {_COMMON}")


def _track(line: bytes, columns: dict[str, int], version: int) -> Track | str:
    """The row, or why it is refused."""
    words = line.decode("latin-1").split()
    if columns["CK"] >= len(words):
        return f"{len(words)} columns where {columns['CK'] + 1} are wanted"
    stated = words[columns["CK"]]
    if not re.fullmatch(r"[0-9A-Fa-f]{2}", stated):
        return f"the checksum {stated[:8]!r} is not two hexadecimal digits"
    # Comments may follow CK; the space before it belongs to the sum.
    end = [match.end() for match in re.finditer(rb"\S+", line)][columns["CK"]]
    total = checksum(line[: end - len(stated)])
    if total != int(stated, 16):
        return f"the checksum is {stated}, and the row's bytes sum to {total:02X}"
    return _read(words, columns, version)


def _read(words: list[str], columns: dict[str, int], version: int) -> Track | str:
    def number(name: str) -> int | None:
        word = words[columns[name]]
        return int(word) if re.fullmatch(r"[-+]?\d{1,12}", word, re.ASCII) else None

    def tenths(name: str) -> float | None:
        """0.1 ns -> s; all nines, or a column that is not there, is no value."""
        value = number(name) if name in columns else None
        if value is None or _NINES.fullmatch(words[columns[name]]):
            return None
        return value * 1e-10

    mjd, length_s, elevation = number("MJD"), number("TRKL"), number("ELV")
    clock = re.fullmatch(r"(\d\d)(\d\d)(\d\d)", words[columns["STTIME"]], re.ASCII)
    if mjd is None or length_s is None or elevation is None or clock is None:
        return "MJD, STTIME, TRKL or ELV is no number"
    start_s = int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3])
    if start_s >= _SECONDS_OF_DAY or not 0 < length_s <= 3600 or not 30_000 <= mjd < 100_000:
        return "MJD, STTIME or TRKL is beyond its limits"
    refsys_s = tenths("REFSYS")
    if refsys_s is None:
        return "REFSYS has no value"
    sat = words[0] if version == 2 else f"G{words[0]:0>2}"
    frc = words[columns["FRC"]] if "FRC" in columns else "L1C"
    at_ns = mjd_to_unix_ns(mjd, start_s * NS_PER_S + length_s * NS_PER_S // 2)
    return Track(sat, mjd, start_s, length_s, at_ns, elevation / 10.0, refsys_s, frc, tenths("DSG"), tenths("MSIO"))
