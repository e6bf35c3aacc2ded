"""The options of the PTP kind: everything wrong is told, in words, whatever TOML can hold."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ptp import CHECKS, KIND, OPTIONS
from timesync.plugin import load_kind
from timesync.settings import TargetSettings


def problems(address: str = "eth0", **options: Any) -> list[str]:
    return [
        str(problem) for problem in KIND.check(TargetSettings("t", "ptp", address, options=options), "[[target]] 1")
    ]


def test_the_kind_is_found_by_its_name() -> None:
    assert load_kind("ptp") is KIND


def test_every_option_has_a_check_and_a_meaning() -> None:
    assert set(CHECKS) == set(OPTIONS)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("transport", "l2"),
        ("domain", 127),
        ("delay", "p2p"),
        ("unicast", "192.0.2.7"),
        ("unicast", "gm.example"),
        ("unicast", "2001:db8::7"),
        ("timescale", "tai"),
        ("configure_interface", True),
        ("event_port", 10319),
    ],
)
def test_good_options_are_good(option: str, value: object) -> None:
    assert problems(**{option: value}) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("transport", "udp"),
        ("domain", 256),
        ("domain", True),
        ("delay", "auto"),
        ("unicast", ""),
        ("unicast", "[::1]:319"),
        ("timescale", "gps"),
        ("configure_interface", 1),
        ("event_port", 0),
        ("general_port", date(2026, 1, 1)),
    ],
)
def test_bad_options_are_told_with_a_remedy(option: str, value: object) -> None:
    (problem,) = problems(**{option: value})
    assert problem.startswith(f"[[target]] 1: {option}: ")
    assert "is not possible. Write " in problem


@pytest.mark.parametrize("address", ["", "a/b", "sixteen-letters!", "192.0.2.1 or so"])
def test_what_is_no_interface_is_told(address: str) -> None:
    (problem,) = problems(address)
    assert "interface" in problem


@pytest.mark.parametrize("other", [{"transport": "l2"}, {"delay": "p2p"}])
def test_unicast_over_ethernet_or_with_peer_delay_is_told(other: dict[str, str]) -> None:
    (problem,) = problems(unicast="192.0.2.7", **other)
    assert "cannot go together" in problem


@given(
    st.dictionaries(
        st.sampled_from(sorted(OPTIONS)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.dates(),
    ),
    st.text(),
)
def test_no_value_makes_the_check_itself_fail(options: dict[str, Any], address: str) -> None:
    for problem in problems(address, **options):
        assert problem
