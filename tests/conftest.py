"""What every test may ask for, and the rule that CI skips nothing.

A lab test asks the fixture `lab` for the programs it needs and `root` if it makes network namespaces. Where this machine
cannot give them the test is skipped with the reason; with CI=true it fails instead, because a test that did not run has
shown nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest
from support import debian

if TYPE_CHECKING:
    from collections.abc import Generator

IN_CI = os.environ.get("CI") == "true"


class NeedPrograms(Protocol):
    """Called with the names of programs; skips the test if one cannot be run here."""

    def __call__(self, *names: str) -> None: ...


@pytest.fixture(scope="session")
def lab() -> NeedPrograms:
    """The lab's programs: call it with the names that the test needs (see support.debian.BINARIES)."""
    trouble = ""
    try:
        debian.prepare()
    except debian.LabError as error:
        trouble = str(error)

    def need(*names: str) -> None:
        for name in names:
            reason = debian.missing(name)
            if reason:
                pytest.skip(f"{reason} {trouble}".strip())

    return need


@pytest.fixture(scope="session")
def root() -> None:
    """Skips where the test process may not make network namespaces."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    reason = debian.missing("ip")
    if reason:
        pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test is marked by the folder it lives in: lab, service, browser."""
    for item in items:
        folder = item.path.parent.name
        if folder in {"lab", "service", "browser"}:
            item.add_marker(folder)


def _fail_instead_of_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"CI runs every test, and this one did not run: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one."""
    report = yield
    _fail_instead_of_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI a module that skips itself is an error."""
    report = yield
    _fail_instead_of_skip(report)
    return report
