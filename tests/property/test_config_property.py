"""Whatever a file holds, reading it ends in settings or in a `ConfigError` whose problems can be shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_kind import install_fake_kinds

from timesync.config import parse, remarks
from timesync.config.checks import CHECKS
from timesync.config.files import Places
from timesync.config.keys import TABLES
from timesync.config.sections import read_document
from timesync.errors import ConfigError, Problem
from timesync.settings import ProbeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOWHERE = Path("/nowhere")

SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**6000),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        ["ntp", "local", "UTC(NIM)", "2 GB", "v1", "forever", "https://[::1", "https://h:x", "\x00", "/", "a" * 300]
    ),
    st.datetimes(timezones=st.one_of(st.none(), st.timezones())),
    st.dates(),
    st.times(),
)
KEY_NAMES = sorted({key.name for table in TABLES for key in table.keys} | {"mode", "key", "", "targets", "é\n"})
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
)
BODIES = st.dictionaries(st.sampled_from(KEY_NAMES), VALUES, max_size=8)
DOCUMENTS = st.dictionaries(
    st.sampled_from([*(table.name for table in TABLES), "targets", "", "[x]\n"]),
    st.one_of(BODIES, st.lists(BODIES, max_size=3), VALUES),
    max_size=6,
)

# Lines of TOML that are mostly right, so that whole files get past the syntax.
LINES = st.one_of(
    st.sampled_from([table.heading for table in TABLES]),
    st.builds(
        "{} = {}".format,
        st.sampled_from([name for name in KEY_NAMES if name.isidentifier()]),
        st.one_of(
            st.sampled_from(
                ["true", "nan", "-inf", '"16"', "2027-06-30", "12:00:00", "[1, {a = 2}]", "{}", "0x" + "f" * 6000]
            ),
            st.integers().map(str),
            st.floats(allow_nan=False, allow_infinity=False).map(repr),
            st.text("abc.-_ ()", max_size=8).map('"{}"'.format),
        ),
    ),
    st.text(max_size=20),
)

GOOD_TARGETS = st.lists(
    st.fixed_dictionaries(
        {"address": st.sampled_from(["192.0.2.1", "ntp1.example:123", "[2001:db8::1]:123"])},
        optional={
            "interval_s": st.one_of(st.integers(16, 64), st.floats(16, 64)),
            "timeout_s": st.floats(0.001, 1),
            "burst": st.integers(1, 8),
            "burst_spacing_s": st.floats(0.01, 1),
            "mode": st.sampled_from(["auto", "basic"]),
        },
    ),
    min_size=1,
    max_size=5,
)


@pytest.fixture(autouse=True, scope="module")
def _fake_kinds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        install_fake_kinds(monkeypatch)
        yield


def outcome(data: bytes) -> ProbeSettings | ConfigError:
    """The settings or the error; anything else raised fails the test."""
    try:
        settings = parse(data, "site.toml", NOWHERE, {})
    except ConfigError as error:
        return error
    remarks(settings, 0)
    return settings


def assert_can_be_shown(problems: Sequence[Problem]) -> None:
    for problem in problems:
        assert problem.where.startswith("site.toml")
        assert problem.what
        assert problem.remedy
        assert str(problem).isprintable()


def check_outcome(data: bytes) -> None:
    end = outcome(data)
    if isinstance(end, ConfigError):
        assert end.problems
        assert_can_be_shown(end.problems)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_end_in_settings_or_a_configuration_error(data: bytes) -> None:
    check_outcome(data)


@given(st.lists(LINES, max_size=12).map("\n".join))
def test_arbitrary_lines_end_in_settings_or_a_configuration_error(text: str) -> None:
    check_outcome(text.encode("utf-8", "ignore"))


@given(DOCUMENTS)
def test_arbitrary_documents_end_in_problems_that_can_be_shown(document: dict[str, Any]) -> None:
    draft = read_document(document, "site.toml", Places(NOWHERE))
    for check in CHECKS:
        check(draft)
    assert_can_be_shown(draft.in_order())


@given(GOOD_TARGETS)
def test_targets_within_the_limits_are_read_as_written(targets: list[dict[str, Any]]) -> None:
    lines = ['[site]\nname = "NIM"\nprobe = "probe-1"']
    for number, target in enumerate(targets):
        lines.append(f'[[target]]\nname = "t{number}"')
        lines += [
            f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value!r}" for name, value in target.items()
        ]
    settings = outcome("\n".join(lines).encode())
    assert isinstance(settings, ProbeSettings), settings
    for written, read in zip(targets, settings.targets, strict=True):
        for name in ("address", "interval_s", "timeout_s", "burst", "burst_spacing_s"):
            assert getattr(read, name) == written.get(name, getattr(read, name))
        assert read.options == ({"mode": written["mode"]} if "mode" in written else {})
        assert (read.burst - 1) * read.burst_spacing_s + read.timeout_s <= read.interval_s * (1 + 1e-12)
