"""Names of the numbers in an NTP packet."""

from __future__ import annotations

import pytest

from timesync.ntp_names import leap_name, mode_name, reference_id_name, stratum_name


def test_every_value_of_every_field_has_a_name() -> None:
    assert all(leap_name(leap) for leap in range(4))
    assert all(mode_name(mode) for mode in range(8))
    assert all(stratum_name(stratum) for stratum in range(256))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (leap_name(1), "last minute of the day has 61 seconds"),
        (leap_name(3), "unknown (clock unsynchronized)"),
        (mode_name(3), "client"),
        (mode_name(4), "server"),
        (stratum_name(0), "unspecified or invalid"),
        (stratum_name(1), "primary reference (1)"),
        (stratum_name(2), "secondary reference (2)"),
        (stratum_name(16), "unsynchronized (16)"),
        (stratum_name(17), "reserved (17)"),
    ],
)
def test_names_are_those_of_rfc_5905(name: str, expected: str) -> None:
    assert name == expected


@pytest.mark.parametrize(
    ("code", "begins"),
    [("PPS", "Generic pulse-per-second"), ("DCF", "LF Radio DCF77"), ("IRIG", "Inter-Range"), ("NIST", "NIST")],
)
def test_reference_identifier_is_explained(code: str, begins: str) -> None:
    name = reference_id_name(code)
    assert name is not None
    assert name.startswith(begins)


def test_unregistered_reference_identifier_has_no_name() -> None:
    assert reference_id_name("XYZ") is None
