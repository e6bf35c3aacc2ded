"""The PTP engine: hardware clocks that come and stay away, and which leap-second table it uses."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from probes.hardware import HardwareUnavailableError, Packets
from probes.ptp import PtpEngine
from timesync.model import Severity
from timesync.plugin import EngineContext
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings

if TYPE_CHECKING:
    from timesync.model import Event


class Card:
    """A FAKE of a card's clock, which translates nothing."""

    def to_system_ns(self, hardware_ns: int) -> int | None:
        return None

    def close(self) -> None:
        """Nothing to let go."""


@pytest.fixture
def stamping(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What a made-up card can stamp now, by the name of the packets; the test says."""
    able: set[str] = set()

    def open_clock(interface: str, _epoch: object, *, configure: bool, packets: Packets) -> Card:
        if packets.name not in able:
            raise HardwareUnavailableError("not set up yet")
        return Card()

    monkeypatch.setattr("probes.hardware.HardwareClock.open", open_clock)
    return able


def free_ports() -> dict[str, int]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return {"event_port": one.getsockname()[1], "general_port": two.getsockname()[1]}


def settings(*, configure: bool = False) -> ProbeSettings:
    ports = free_ports()
    targets = [TargetSettings("ntp", "ntp", "192.0.2.1", options={"interface": "lo"})]
    for name, domain in (("gm", 0), ("other", 24)):
        options = {**ports, "domain": domain, "configure_interface": configure}
        targets.append(TargetSettings(name, "ptp", "lo", options=options))
    return ProbeSettings(SiteSettings("lab", "p"), tuple(targets), SpoolSettings(Path()))


@pytest.mark.parametrize(("configure", "severity"), [(False, Severity.INFO), (True, Severity.WARNING)])
async def test_hardware_stamps_are_tried_again_at_reload(
    stamping: set[str], configure: bool, severity: Severity
) -> None:
    events: list[Event] = []
    made = settings(configure=configure)
    engine = PtpEngine(EngineContext(made, events.append, lambda: 0))
    probers = [await engine.open_target(target) for target in made.targets if target.kind == "ptp"]
    assert engine.reconfigure(made) == []
    assert [(event.kind, event.severity) for event in events] == [("no_hardware_stamps", severity)] * 2
    stamping.add("PTP over UDP")
    assert engine.reconfigure(made) == ["gm", "other"]
    assert engine.reconfigure(made) == []
    for prober in probers:
        await prober.close()
    await engine.close()


def older_list() -> str:
    """A list that ends in 2010 and is right (its hash is over the digits), which any system's is newer than."""
    updated, expires, row = 3_400_000_000, 3_470_000_000, (2_272_060_800, 10)
    digest = hashlib.sha1(f"{updated}{expires}{row[0]}{row[1]}".encode()).hexdigest()
    words = " ".join(digest[at : at + 8] for at in range(0, 40, 8))
    return f"#$\t{updated}\n#@\t{expires}\n{row[0]}\t{row[1]}\n#h\t{words}\n"


async def test_the_leap_second_table_is_the_one_that_the_settings_name_even_where_it_is_older(tmp_path: Path) -> None:
    chosen = tmp_path / "leap-seconds.list"
    chosen.write_text(older_list())
    engine = PtpEngine(EngineContext(replace(settings(), leap_seconds_file=chosen), lambda event: None, lambda: 0))
    assert engine._shared.leaps.tai_minus_utc_s(1_700_000_000 * 10**9) == 10
    engine.reconfigure(settings())
    assert engine._shared.leaps.tai_minus_utc_s(1_700_000_000 * 10**9) == 37
    await engine.close()
