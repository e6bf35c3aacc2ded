"""CGGTTS files: both versions, their checksums, and the comparison of two receivers."""

from __future__ import annotations

import random

import pytest
from support.bulletins import cggtts, real_data

from timesync.errors import DataError
from timesync.reference.cggtts import parse_cggtts
from timesync.reference.common_view import METHODS, best_code, common_view, fit_last
from timesync.timescale import mjd_to_unix_ns

# Rows of a published file (GTR51 receiver, MJD 60258), with the checksums that it printed.
REAL_ROWS = (
    (
        "G08 FF 60258 001000  780 245 2954    +1513042    +28        -281    +10    3 042  192  -49   99  -14   57"
        "  -29   5  0  0 L1C 1F"
    ),
    (
        "G10 FF 60258 001000  780 451 1609     +607280    +13        -311     -1    3 039  112  -15   68   -8  109"
        "   +3   5  0  0 L1C CA"
    ),
)
TRACKS = [("G08", 60884, "001000", -28.1), ("G10", 60884, "001000", -31.1), ("G08", 60884, "002600", -28.4)]


def day_of_tracks(shift_ns: float, noise_ns: float, seed: int) -> list[tuple[str, int, str, float]]:
    """A day of five satellites every 16 minutes, whose system time errs alike for every receiver."""
    common, own = random.Random(7), random.Random(seed)
    return [
        (
            f"G{sat:02d}",
            60884,
            f"{minute // 60:02d}{minute % 60:02d}00",
            common.gauss(0, 20) + shift_ns + own.gauss(0, noise_ns),
        )
        for minute in range(2, 1438, 16)
        for sat in range(1, 6)
    ]


@pytest.mark.parametrize("dual", [True, False])
@pytest.mark.parametrize("version", ["2E", "01"])
def test_both_versions_with_one_and_two_frequencies(version: str, dual: bool) -> None:
    tracks = TRACKS if version == "2E" else [(sat[1:].lstrip("0"), *rest) for sat, *rest in TRACKS]
    found = parse_cggtts(cggtts(tracks, version=version, dual=dual), "GMTEST.884")  # type: ignore[arg-type]  # as tuples
    assert found.refused == ()
    assert [track.sat for track in found.tracks] == ["G08", "G10", "G08"]
    assert [track.refsys_s for track in found.tracks] == pytest.approx([-28.1e-9, -31.1e-9, -28.4e-9])
    assert (found.tracks[0].msio_s is not None) == dual
    assert found.tracks[0].at_ns == mjd_to_unix_ns(60884, (600 + 390) * 10**9)
    assert found.header.cal_id == "1001-2026"
    assert found.header.version == (2 if version == "2E" else 1)


def test_rows_of_a_published_file_have_the_checksums_it_printed() -> None:
    lines = cggtts(TRACKS).decode().splitlines()[:-3]
    found = parse_cggtts("\n".join([*lines, *REAL_ROWS]).encode(), "GZGTR560.258")
    assert found.refused == ()
    assert [track.refsys_s for track in found.tracks] == pytest.approx([-28.1e-9, -31.1e-9])


def test_a_bad_header_checksum_refuses_the_file_and_names_the_line() -> None:
    data = cggtts(TRACKS).replace(b"CAB DLY = 100.0 ns", b"CAB DLY = 101.0 ns")
    with pytest.raises(
        DataError, match=r"x.884 line 16: the header's checksum is .., and its bytes sum to ..; correct"
    ):
        parse_cggtts(data, "x.884")


def test_a_bad_row_checksum_refuses_the_row_by_its_line_and_keeps_the_others() -> None:
    lines = cggtts(TRACKS).split(b"\n")
    lines[20] = lines[20].replace(b"-311", b"-312")
    found = parse_cggtts(b"\n".join(lines), "x.884")
    assert len(found.tracks) == 2
    (refused,) = found.refused
    assert refused.line == 21
    assert "the row's bytes sum to" in refused.why


def test_all_nines_are_no_value() -> None:
    found = parse_cggtts(cggtts([("G08", 60884, "001000", 999999999.9)]), "x.884")
    assert found.tracks == ()
    assert "REFSYS has no value" in found.refused[0].why


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"CGGTTS     GENERIC DATA FORMAT VERSION = 03\n", b"GIF89a"])
def test_what_is_no_such_file_is_told(data: bytes) -> None:
    with pytest.raises(DataError, match="x line 1: it is not a CGGTTS file of version 01 or 2E"):
        parse_cggtts(data, "x")


@pytest.mark.parametrize("method", ["common_view", "all_in_view"])
def test_one_clock_seen_by_two_receivers(method: str) -> None:
    """Common view takes the satellites' errors away; what stays: the difference of the delays, the receivers' noise / sqrt 5."""
    ours = parse_cggtts(cggtts(day_of_tracks(-2447.0, 3.0, 1)), "ours").tracks
    theirs = parse_cggtts(cggtts(day_of_tracks(0.0, 3.0, 2)), "theirs").tracks
    code = best_code(ours, theirs)
    assert code == "L3P"
    found = METHODS[method](ours, theirs, code, 0.0)
    assert len(found.epochs) == 90
    sd_ns = 3.0 * 2**0.5 / 5**0.5
    assert found.sd_s == pytest.approx(sd_ns * 1e-9, rel=0.3)
    assert found.mean_s == pytest.approx(-2447e-9, abs=4 * sd_ns * 1e-9 / 90**0.5)


def test_a_satellite_that_is_far_off_is_rejected_and_counted() -> None:
    bad = [
        (sat, mjd, clock, value + (500.0 if sat == "G03" and clock.startswith("12") else 0.0))
        for sat, mjd, clock, value in day_of_tracks(0.0, 3.0, 1)
    ]
    found = common_view(
        parse_cggtts(cggtts(bad), "a").tracks, parse_cggtts(cggtts(day_of_tracks(0.0, 3.0, 2)), "b").tracks, "L3P"
    )
    assert found.rejected >= 4
    assert found.compared - found.rejected > 430
    assert found.mean_s == pytest.approx(0.0, abs=1e-9)


def test_the_newest_value_is_on_the_line_through_the_last_day() -> None:
    found = common_view(
        parse_cggtts(cggtts(day_of_tracks(100.0, 0.0, 1)), "a").tracks,
        parse_cggtts(cggtts(day_of_tracks(0.0, 0.0, 2)), "b").tracks,
        "L3P",
    )
    last = fit_last(found.epochs, 86_400 * 10**9)
    assert last is not None
    at_ns, value_s, u_s = last
    assert at_ns == found.epochs[-1].at_ns
    assert value_s == pytest.approx(100e-9, abs=1e-10)
    assert u_s < 0.2e-9  # rounding to 0.1 ns
    assert fit_last(found.epochs[:2], 86_400 * 10**9) is None


def test_published_files_where_they_are() -> None:
    """Two receivers on one clock (OpenTTP's validation data): Javad - Trimble -2447.28 ns, sd 2.36 ns, 88 epochs by common view,
    -2447.53 ns by all in view, as OpenTTP has it with filters of its own; half a ns is what those move.
    """
    names = ("openttp_javad_57490.cctf", "openttp_trimble_57490.cctf", "GZGTR560.258")
    files = {name: path for name in names if (path := real_data(f"cggtts/{name}"))}
    tracks = {name: parse_cggtts(path.read_bytes(), name) for name, path in files.items()}
    assert all(each.refused == () for each in tracks.values())
    refused = real_data("cggtts/GZSY8259.506")
    if refused is not None:
        with pytest.raises(
            DataError, match=r"GZSY8259\.506 line 16: the header's checksum is CC, and its bytes sum to 36"
        ):
            parse_cggtts(refused.read_bytes(), refused.name)
    if len(tracks) == len(names):
        javad, trimble = (tracks[name].tracks for name in names[:2])
        found = common_view(javad, trimble, "L1C")
        assert len(found.epochs) == 88
        assert found.mean_s == pytest.approx(-2447.28e-9, abs=0.5e-9)
        assert found.sd_s == pytest.approx(2.36e-9, abs=0.3e-9)
        assert METHODS["all_in_view"](javad, trimble, "L1C", 0.0).mean_s == pytest.approx(-2447.53e-9, abs=0.5e-9)
