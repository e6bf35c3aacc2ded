"""The masks and limits of ITU-T and other bodies, as data.

Rule: each number stands with its source, edition and clause. Where a document bounds a mask only at its beginning the last
piece is open. Averaging times in s, limits in s.

The numbers of G.811, G.8272, G.8272.1 and G.8262 are the published ones. That the clauses have these subjects is in the tables of
contents that ITU-T publishes: G.8272 (10/2012 to 07/2025) and G.8272.1, 6.1 time error and 6.2 wander in locked mode; G.8262
(10/2024), 8.1 wander in locked mode; G.8273.2 (06/2023), 7.1 time error noise generation. Not compared with any text, for none
was at hand: clause 6 of G.811, 7.3 of G.8271.1, the parts of 7.1 of G.8273.2 and the upper ends of its ranges. Check them against
the edition that a contract names.
"""

from __future__ import annotations

import math

from timesync.stability.masks import Mask, Piece, Profile

__all__ = ["PROFILES"]

_US, _NS = 1e-6, 1e-9
_G811 = ("ITU-T G.811", "09/1997 with Amd. 1 (04/2016)")
_G8272 = ("ITU-T G.8272/Y.1367", "11/2018")
_G8272_1 = ("ITU-T G.8272.1/Y.1367.1", "11/2016 with Amd. 1 (08/2017)")
_G8262 = ("ITU-T G.8262/Y.1362", "11/2018")
_G8273_2 = ("ITU-T G.8273.2/Y.1368.2", "10/2020")
_G8271_1 = ("ITU-T G.8271.1/Y.1366.1", "03/2020")


def _level(name: str, statistic: str, document: tuple[str, str], clause: str, limit_s: float) -> Mask:
    return Mask(name, statistic, *document, clause, (Piece(0.0, math.inf, constant_s=limit_s),))


def _flat(name: str, statistic: str, document: tuple[str, str], clause: str, limit_s: float) -> Mask:
    return Mask(name, statistic, *document, clause, (Piece(0.1, 1000.0, constant_s=limit_s),))


_PRC_SLOPE = {"constant_s": 0.025 * _US, "slope_s": 0.275e-3 * _US}
_PRC_TDEV = (
    Piece(0.1, 100.0, constant_s=3.0 * _NS),
    Piece(100.0, 1000.0, slope_s=0.03 * _NS),
    Piece(1000.0, 10000.0, constant_s=30.0 * _NS),
)


def _noise_classes() -> list[Profile]:
    """G.8273.2 noise generation of T-BC and T-TSC, class by class: max|TE|, cTE, and dTE_L by MTIE and TDEV."""
    found = []
    for letter, (te, cte, mtie, tdev) in {"a": (100, 50, 40, 4), "b": (70, 20, 40, 4), "c": (30, 10, 10, 2)}.items():
        name = f"g8273.2-{letter}"
        masks = (
            _level(f"{name}-max-te", "max_abs_te", _G8273_2, "7.1", te * _NS),
            _level(f"{name}-cte", "cte", _G8273_2, "7.1.1", cte * _NS),
            _flat(f"{name}-dte-mtie", "mtie", _G8273_2, "7.1.2", mtie * _NS),
            _flat(f"{name}-dte-tdev", "tdev", _G8273_2, "7.1.2", tdev * _NS),
        )
        found.append(
            Profile(name, f"G.8273.2 T-BC/T-TSC class {letter.upper()} (dTE low-pass filtered at 0.1 Hz)", masks)
        )
    return found


_LIST = [
    Profile(
        "g811",
        "G.811 primary reference clock",
        (
            Mask("g811-mtie", "mtie", *_G811, "6",
                 (Piece(0.1, 1000.0, **_PRC_SLOPE), Piece(1000.0, math.inf, 0.29 * _US, 1e-5 * _US))),
            Mask("g811-tdev", "tdev", *_G811, "6", _PRC_TDEV),
        ),
    ),
    Profile(
        "prtc-a",
        "G.8272 primary reference time clock, class A",
        (
            Mask("prtc-a-mtie", "mtie", *_G8272, "6.2",
                 (Piece(0.1, 273.0, **_PRC_SLOPE), Piece(273.0, math.inf, constant_s=0.10 * _US))),
            Mask("prtc-a-tdev", "tdev", *_G8272, "6.2", _PRC_TDEV),
            _level("prtc-a-max-te", "max_abs_te", _G8272, "6.1", 100.0 * _NS),
        ),
    ),
    Profile(
        "prtc-b",
        "G.8272 primary reference time clock, class B",
        (
            Mask("prtc-b-mtie", "mtie", *_G8272, "6.2",
                 (Piece(0.1, 54.5, **_PRC_SLOPE), Piece(54.5, math.inf, constant_s=0.04 * _US))),
            Mask("prtc-b-tdev", "tdev", *_G8272, "6.2",
                 (Piece(0.1, 100.0, constant_s=1.0 * _NS), Piece(100.0, 500.0, slope_s=0.01 * _NS),
                  Piece(500.0, math.inf, constant_s=5.0 * _NS))),
            _level("prtc-b-max-te", "max_abs_te", _G8272, "6.1", 40.0 * _NS),
        ),
    ),
    Profile(
        "eprtc",
        "G.8272.1 enhanced primary reference time clock",
        (
            Mask("eprtc-mtie", "mtie", *_G8272_1, "6.2",
                 (Piece(0.1, 1.0, constant_s=4.0 * _NS), Piece(1.0, 100.0, 3.89 * _NS, 0.11114 * _NS),
                  Piece(100.0, 4e5, 15.0 * _NS, 3.75e-5 * _NS), Piece(4e5, math.inf, constant_s=30.0 * _NS))),
            Mask("eprtc-tdev", "tdev", *_G8272_1, "6.2",
                 (Piece(0.1, 3e4, constant_s=1.0 * _NS), Piece(3e4, 3e5, slope_s=3.33333e-5 * _NS),
                  Piece(3e5, math.inf, constant_s=10.0 * _NS))),
            _level("eprtc-max-te", "max_abs_te", _G8272_1, "6.1", 30.0 * _NS),
        ),
    ),
    Profile(
        "eec-1",
        "G.8262 synchronous Ethernet equipment clock, option 1",
        (
            Mask("eec-1-mtie", "mtie", *_G8262, "8.1",
                 (Piece(0.1, 1.0, constant_s=40.0 * _NS), Piece(1.0, 100.0, slope_s=40.0 * _NS, power=0.1),
                  Piece(100.0, 1000.0, slope_s=25.25 * _NS, power=0.2))),
            Mask("eec-1-tdev", "tdev", *_G8262, "8.1",
                 (Piece(0.1, 25.0, constant_s=3.2 * _NS), Piece(25.0, 100.0, slope_s=0.64 * _NS, power=0.5),
                  Piece(100.0, 1000.0, constant_s=6.4 * _NS))),
        ),
    ),
    *_noise_classes(),
    Profile(
        "g8273.2-d",
        "G.8273.2 T-BC/T-TSC class D (low-pass filtered at 0.1 Hz)",
        (_level("g8273.2-d-max-te-l", "max_abs_te", _G8273_2, "7.1", 5.0 * _NS),),
    ),
    Profile(
        "g8271.1-c",
        "G.8271.1 network limit at reference point C",
        (_level("g8271.1-c-max-te", "max_abs_te", _G8271_1, "7.3", 1100.0 * _NS),),
    ),
    Profile(
        "iec-61850-9-3",
        "IEC/IEEE 61850-9-3 power utility profile, end to end",
        (_level("iec-61850-9-3-max-te", "max_abs_te", ("IEC/IEEE 61850-9-3", "05/2016"), "-", 1.0 * _US),),
    ),
    Profile(
        "rts25-100us",
        "EU RTS 25, gateway to gateway latency of 1 ms or less, and high frequency trading",
        (_level("rts25-100us-max-te", "max_abs_te", ("Regulation (EU) 2017/574", "2016-06-07"), "annex, tables 1 and 2",
                100.0 * _US),),
    ),
    Profile(
        "rts25-1ms",
        "EU RTS 25, latency above 1 ms, and other trading",
        (_level("rts25-1ms-max-te", "max_abs_te", ("Regulation (EU) 2017/574", "2016-06-07"), "annex, tables 1 and 2", 1e-3),),
    ),
    Profile(
        "rts25-1s",
        "EU RTS 25, voice trading and requests for quote",
        (_level("rts25-1s-max-te", "max_abs_te", ("Regulation (EU) 2017/574", "2016-06-07"), "annex, table 2", 1.0),),
    ),
    Profile(
        "us-cat-client",
        "US consolidated audit trail, industry members",
        (_level("us-cat-client-max-te", "max_abs_te", ("CAT NMS Plan", "2016"), "6.8", 50e-3),),
    ),
    Profile(
        "us-cat-venue",
        "US consolidated audit trail, exchanges",
        (_level("us-cat-venue-max-te", "max_abs_te", ("CAT NMS Plan", "2016"), "6.8", 100.0 * _US),),
    ),
    Profile(
        "utc-k",
        "ITU-R: UTC(k) within 100 ns of UTC",
        (_level("utc-k-max-te", "max_abs_te", ("ITU-R TF.536 and CCDS S 5", "1993"), "-", 100.0 * _NS),),
    ),
]  # fmt: skip

PROFILES = {profile.name: profile for profile in _LIST}
