"""Replies of the BIPM web API."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from support.bulletins import real_data

from timesync.errors import DataError
from timesync.reference.bipm_api import parse_reply

# A reply for INXE, shortened; the older shape, without `unc`.
REPLY: dict[str, Any] = {
    "errorcode": 0,
    "success": True,
    "data": [
        {"name": "UTC-UTC(INXE)", "x": [60369, 60374, 60379], "y": [1.9, -0.3, 1.4], "xmin": 60369},
        {"name": "UTCR-UTC(INXE)", "x": [60369, 60370], "y": [2.9, None], "xmin": 60369},
    ],
}


def changed(index: int, **values: Any) -> dict[str, Any]:
    reply = copy.deepcopy(REPLY)
    reply["data"][index].update(values)
    return reply


def test_both_scales_are_read() -> None:
    final, rapid = parse_reply(REPLY, "api")
    assert (final.lab, final.rapid, final.mjds, final.values_ns) == (
        "INXE",
        False,
        (60369, 60374, 60379),
        (1.9, -0.3, 1.4),
    )
    assert final.u_ns == (None, None, None)
    assert (rapid.lab, rapid.rapid, rapid.values_ns) == ("INXE", True, (2.9, None))


@pytest.mark.parametrize("unc", [2.5, [2.5, 2.5, 2.5]])
def test_uncertainties_are_one_number_or_one_for_each(unc: object) -> None:
    assert parse_reply(changed(0, unc=unc), "api")[0].u_ns == (2.5, 2.5, 2.5)


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        ([], "no reply of the BIPM web API"),
        ({"success": False, "message": "unknown lab", "data": []}, "the service says: 'unknown lab'"),
        (changed(0, y=[1.0]), r"data\[0\]: x and y are not lists of one length"),
        (changed(0, x=[60369, 60369, 60379]), "does not ascend"),
        (changed(0, x=[60369.5, 60374, 60379]), "no whole MJD"),
        (changed(0, y=[1.0, "2", 3.0]), "'?2'? is no number"),
        (changed(0, y=[1.0, float("nan"), 3.0]), "nan is no number|'nan' is no number"),
        (changed(0, unc=[1.0]), "unc is neither one number nor as long as x"),
        (changed(0, name="TAI-TA(PTB)"), "is not UTC-UTC"),
        (changed(1, name="UTC-UTC(INXE)"), "a series comes twice"),
    ],
)
def test_what_is_not_right_is_refused_with_its_place(reply: object, what: str) -> None:
    with pytest.raises(DataError, match=what):
        parse_reply(reply, "api")


def test_a_stored_reply_where_there_is_one() -> None:
    path = real_data("bipm/utc+utcr_INXE_60369_60399.json")
    final, rapid = parse_reply(json.loads(path.read_text()) if path else REPLY, "api")
    assert final.values_ns[:3] == (1.9, -0.3, 1.4)
    assert rapid.values_ns[0] == 2.9
