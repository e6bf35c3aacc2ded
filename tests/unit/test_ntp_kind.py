"""The options of the NTP kind: everything wrong is told, in words, whatever TOML can hold."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ntp import CHECKS, KIND, OPTIONS
from timesync.settings import TargetSettings


def problems(address: str = "ntp.example", **options: Any) -> list[str]:
    return [
        str(problem) for problem in KIND.check(TargetSettings("t", "ntp", address, options=options), "[[target]] 1")
    ]


def test_every_option_has_a_check_and_a_meaning() -> None:
    assert set(CHECKS) == set(OPTIONS)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "auto"),
        ("version", 3),
        ("key", 4294967295),
        ("family", "ipv6"),
        ("source", "2001:db8::1"),
        ("interface", "enp3s0"),
        ("configure_interface", True),
        ("deny_retry_s", 60),
    ],
)
def test_good_options_are_good(option: str, value: object) -> None:
    assert problems(**{option: value}) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "interleaved"),
        ("mode", ["auto"]),
        ("version", 4.0),
        ("version", True),
        ("version", 2),
        ("key", 0),
        pytest.param("key", 10**5000, id="key-of-5000-digits"),
        ("family", []),
        ("family", {}),
        ("source", "not an address"),
        ("interface", "a/b"),
        ("interface", "sixteen-letters!"),
        ("configure_interface", 1),
        ("deny_retry_s", float("inf")),
        ("deny_retry_s", date(2026, 1, 1)),
    ],
)
def test_bad_options_are_told_with_a_remedy(option: str, value: object) -> None:
    (problem,) = problems(**{option: value})
    assert problem.startswith(f"[[target]] 1: {option}: ")
    assert "is not possible. Write " in problem


@pytest.mark.parametrize("address", ["", "host:", "host:0", "host:65536", "[::1", "a b", "1:2:3", "[::1]x"])
def test_what_is_no_address_is_told(address: str) -> None:
    (problem,) = problems(address)
    assert "address" in problem


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
