"""Masks against the numbers of the Recommendations, and the three verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from timesync.errors import ConfigError, DataError
from timesync.stability.mask_table import PROFILES
from timesync.stability.masks import LEVELS, STATISTICS, judge, judge_level, masks_from_toml

MASKS = {mask.name: mask for profile in PROFILES.values() for mask in profile.masks}

# mask, tau (s), limit (s): corners and middles as the Recommendations tabulate them
POINTS = [
    ("g811-mtie", 0.1, 0.0250275e-6), ("g811-mtie", 1000.0, 0.3e-6), ("g811-mtie", 10000.0, 0.39e-6),
    ("g811-tdev", 10.0, 3e-9), ("g811-tdev", 500.0, 15e-9), ("g811-tdev", 10000.0, 30e-9),
    ("prtc-a-mtie", 273.0, 0.100075e-6), ("prtc-a-mtie", 1e4, 0.1e-6),
    ("prtc-b-mtie", 10.0, 0.02775e-6), ("prtc-b-mtie", 1e4, 0.04e-6), ("prtc-b-tdev", 300.0, 3e-9), ("prtc-b-tdev", 1e4, 5e-9),
    ("eprtc-mtie", 1.0, 4e-9), ("eprtc-mtie", 100.0, 15.004e-9), ("eprtc-mtie", 4e5, 30e-9), ("eprtc-tdev", 1e5, 3.33333e-9),
    ("eec-1-mtie", 100.0, 63.3957e-9), ("eec-1-mtie", 1000.0, 100.52e-9), ("eec-1-tdev", 49.0, 4.48e-9),
    ("g8273.2-c-dte-mtie", 100.0, 10e-9), ("g8273.2-a-dte-tdev", 1.0, 4e-9),
]  # fmt: skip


@pytest.mark.parametrize(("name", "tau", "limit"), POINTS)
def test_limit_is_the_tabulated_one(name, tau, limit):
    assert MASKS[name].limit_s(np.array([tau]))[0] == pytest.approx(limit, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("prtc-a-max-te", 100e-9), ("prtc-b-max-te", 40e-9), ("eprtc-max-te", 30e-9), ("g8273.2-b-cte", 20e-9),
     ("g8273.2-d-max-te-l", 5e-9), ("g8271.1-c-max-te", 1.1e-6), ("iec-61850-9-3-max-te", 1e-6),
     ("rts25-100us-max-te", 1e-4), ("us-cat-client-max-te", 0.05), ("utc-k-max-te", 1e-7)],
)  # fmt: skip
def test_level_is_the_tabulated_one(name, limit):
    assert MASKS[name].pieces[0].constant_s == pytest.approx(limit)


def test_every_mask_is_named_once_and_says_where_it_comes_from():
    assert len(MASKS) == sum(len(profile.masks) for profile in PROFILES.values())
    for mask in MASKS.values():
        assert mask.statistic in (*STATISTICS, *LEVELS)
        assert mask.source
        assert mask.edition
        assert mask.clause


def test_pieces_meet_within_two_per_cent():
    for mask in MASKS.values():
        for before, after in zip(mask.pieces, mask.pieces[1:], strict=False):
            tau = before.to_s
            at = [piece.constant_s + piece.slope_s * tau**piece.power for piece in (before, after)]
            assert at[0] == pytest.approx(at[1], rel=0.02), mask.name


TAU = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000.0])


def test_values_below_the_mask_over_its_range_pass_with_the_margin_at_the_worst_tau():
    value = 0.5 * MASKS["g811-tdev"].limit_s(TAU)
    value[7] *= 1.6
    verdict = judge(MASKS["g811-tdev"], TAU, value)
    assert verdict.outcome == "pass"
    assert verdict.margin == pytest.approx(1.25)
    assert verdict.worst_tau_s == 20.0
    assert verdict.reason == ""


def test_one_value_above_fails_even_where_the_range_is_not_covered():
    verdict = judge(MASKS["g811-tdev"], np.array([10.0]), np.array([3.1e-9]))
    assert verdict.outcome == "fail"
    assert verdict.margin == pytest.approx(3.0 / 3.1)
    assert "at tau = 10 s" in verdict.reason


@pytest.mark.parametrize(
    ("tau", "says"),
    [([1.0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], "from 0.1 s to 1 s"),
     ([0.1, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], "from 0.1 s to 1 s"),
     ([0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000], "from 1000 s to 10000 s")],
)  # fmt: skip
def test_a_range_that_is_not_reached_is_insufficient_and_says_where(tau, says):
    verdict = judge(MASKS["g811-tdev"], np.array(tau), np.full(len(tau), 1e-9))
    assert verdict.outcome == "insufficient"
    assert says in verdict.reason


def test_an_open_last_piece_needs_one_value():
    mask = MASKS["prtc-b-mtie"]
    assert judge(mask, TAU[:9], np.full(9, 1e-9)).outcome == "insufficient"
    assert judge(mask, TAU[:10], np.full(10, 1e-9)).outcome == "pass"


def test_nothing_in_range_is_insufficient():
    verdict = judge(MASKS["g811-tdev"], np.array([2e4]), np.array([1.0]))
    assert verdict.outcome == "insufficient"
    assert np.isnan(verdict.margin)


def test_a_value_that_is_missing_is_not_a_pass():
    value = np.full(TAU.size, 1e-9)
    value[6:9] = np.nan
    verdict = judge(MASKS["g811-tdev"], TAU, value)
    assert verdict.outcome == "insufficient"
    assert "from 5 s to 100 s" in verdict.reason


def test_a_level_has_three_verdicts_too():
    mask = MASKS["prtc-b-max-te"]
    assert judge_level(mask, -39e-9, duration_s=10.0).outcome == "pass"
    failed = judge_level(mask, -41e-9, duration_s=10.0)
    assert failed.outcome == "fail"
    assert failed.margin == pytest.approx(40 / 41)
    assert judge_level(mask, 1e-9, duration_s=10.0, least_s=1000.0).outcome == "insufficient"
    assert judge_level(mask, float("nan"), duration_s=10.0).outcome == "insufficient"


def test_masks_and_levels_are_not_mixed_up():
    with pytest.raises(DataError, match="judge_level"):
        judge(MASKS["prtc-b-max-te"], TAU, TAU)
    with pytest.raises(DataError, match="against tau"):
        judge_level(MASKS["prtc-b-tdev"], 1e-9, duration_s=1.0)
    with pytest.raises(DataError, match="2 averaging times and 1 values"):
        judge(MASKS["prtc-b-tdev"], TAU[:2], TAU[:1])


OWN = """
[[mask]]
name = "hall-3"
statistic = "tdev"
source = "house rule"
edition = "2026"
clause = "-"
pieces = [{ from_s = 1, to_s = 100, constant_s = 5e-9 }, { from_s = 100, slope_s = 5e-10, power = 0.5 }]

[[mask]]
name = "hall-3-te"
statistic = "max_abs_te"
source = "house rule"
edition = "2026"
clause = "-"
pieces = [{ constant_s = 1e-6 }]
"""


def test_a_users_own_mask_is_read_from_toml():
    tdev, level = masks_from_toml(OWN, "own.toml")
    np.testing.assert_allclose(tdev.limit_s(np.array([0.5, 1.0, 100.0, 400.0])), [np.nan, 5e-9, 5e-9, 1e-8])
    assert tdev.range_s == (1.0, float("inf"))
    assert judge_level(level, 2e-6, duration_s=1.0).outcome == "fail"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [('name = "hall-3"\n', "", "mask[0].name: missing"),
     ('"tdev"', '"adev"', "'adev' is not known"),
     ("to_s = 100", "to_s = 90", "mask[0].pieces[1]: does not begin where"),
     ("to_s = 100", "to_s = 0.5", "covers no averaging time"),
     ("constant_s = 5e-9", "constant = 5e-9", "mask[0].pieces[0].constant: unknown key"),
     ("slope_s = 5e-10, ", "", "not positive"),
     ("{ constant_s = 1e-6 }", "{ slope_s = 1e-6 }", "a level needs one positive constant_s"),
     ('"hall-3-te"', '"hall-3"', "occurs twice"),
     ("[[mask]]", "[[masks]]", "unknown key"),
     ("5e-9", "true", "not a number"),
     ("power = 0.5 }]", "", "own.toml")],
)  # fmt: skip
def test_a_mistake_in_a_users_mask_is_named(old, new, says):
    with pytest.raises(ConfigError) as caught:
        masks_from_toml(OWN.replace(old, new, 1), "own.toml")
    assert says in str(caught.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        masks_from_toml(OWN.replace('"tdev"', '"adev"').replace('edition = "2026"', ""), "own.toml")
    assert len(caught.value.problems) == 3
