"""A probe kind for tests of the configuration: it knows two options, and measures nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.errors import Problem
from timesync.plugin import UnknownProbeKindError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from timesync.plugin import Engine, EngineContext, ProbeKind
    from timesync.settings import TargetSettings

__all__ = ["FakeKind", "install_fake_kinds"]


class FakeKind:
    """Stands in for an instrument: `mode` must be "auto" or "basic", and an address holds no blank."""

    protocol = "fake"

    def __init__(self, name: str) -> None:
        self.name = name
        self.options: Mapping[str, str] = {"mode": "how it asks", "key": "the number of its key"}

    def check(self, target: TargetSettings, where: str) -> Sequence[Problem]:
        """What is wrong with the address and the options."""
        problems = []
        if " " in target.address:
            problems.append(Problem(f"{where}: address", f'"{target.address}" holds a blank', "Remove it"))
        if target.options.get("mode", "auto") not in ("auto", "basic"):
            problems.append(Problem(f"{where}: mode", "it is neither auto nor basic", 'Write mode = "auto"'))
        return problems

    def open(self, context: EngineContext) -> Engine:
        """Never asked for by a check."""
        raise NotImplementedError


def install_fake_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "ntp" and "counter" be the installed kinds, and "broken" one whose package does not import."""

    def load_kind(name: str) -> ProbeKind:
        if name == "broken":
            raise ModuleNotFoundError("No module named 'counter_driver'")
        if name not in ("ntp", "counter"):
            raise UnknownProbeKindError(name)
        return FakeKind(name)

    monkeypatch.setattr("timesync.plugin.load_kind", load_kind)
    monkeypatch.setattr("timesync.plugin.kinds", lambda: ["broken", "counter", "ntp"])
