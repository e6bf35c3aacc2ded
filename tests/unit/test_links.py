"""How a reference is tied to UTC(k): by calibration, by the network, by GNSS; and what is claimed when it is not."""

from __future__ import annotations

from dataclasses import replace
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.bulletins import cggtts
from support.configuration import read

from timesync.link_service import LINK_FIELDS, LinkService
from timesync.model import ClockOffset, Event, Record, ServerFacts, TimeError, Timestamping
from timesync.pipeline import Pipeline
from timesync.reasons import Reason
from timesync.reference.differencing import Differencer, LocalReference
from timesync.reference.link import calibrated_tie, initial_tie
from timesync.settings import (
    LinkSettings,
    LocalReferenceSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    TargetSettings,
    Tie,
)
from timesync.timescale import NS_PER_DAY, mjd_to_unix_ns

if TYPE_CHECKING:
    from collections.abc import Callable

MJD = 60884
DAY_NS = mjd_to_unix_ns(MJD)
S = 10**9


def offset(target: str, at_ns: int, offset_s: float, *, delay_s: float = 1e-4) -> ClockOffset:
    facts = ServerFacts(root_delay_s=0.0, root_dispersion_s=0.0)
    return ClockOffset(
        target, "ntp", at_ns, offset_s, delay_s, delay_s / 2, 1e-9, 1e-9, 0.0, Timestamping.KERNEL, 0, None, facts
    )


def claim(tie: Tie, at_ns: int = DAY_NS) -> TimeError:
    """A target 250 us ahead of the probe, against a reference 100 us ahead of it."""
    differencer = Differencer("clock", tie, max_age_s=64.0)
    differencer.reference(offset("clock", at_ns - S, 100e-6))
    differencer.target(offset("server", at_ns, 250e-6), at_ns)
    return differencer.reference(offset("clock", at_ns + S, 100e-6))[-1]


CALIBRATED = LinkSettings(
    "cal", "clock", "calibrated", value_s=40e-6, bound_s=2e-6, u_s=0.5e-6, certificate="NIM-2026-0123",
    calibrated_at_ns=DAY_NS - 30 * NS_PER_DAY, valid_until_ns=DAY_NS + 30 * NS_PER_DAY,
)  # fmt: skip


def test_the_value_of_a_calibration_is_added_with_its_own_sign() -> None:
    """target - UTC(k) = (target - reference) + (reference - UTC(k)) = 150 us + 40 us."""
    found = claim(calibrated_tie(CALIBRATED, "UTC(NIM)"))
    assert found.time_error_s == pytest.approx(190e-6)
    assert found.bound_parts["tie"] == 2e-6
    assert found.u_parts["tie"] == 0.5e-6


def test_the_reference_itself_is_what_its_link_says() -> None:
    differencer = Differencer("clock", calibrated_tie(CALIBRATED, "UTC(NIM)"), max_age_s=64.0)
    assert differencer.reference(offset("clock", DAY_NS, 100e-6))[0].time_error_s == pytest.approx(40e-6)


def test_the_host_clock_may_have_a_link_too() -> None:
    local = LocalReference(calibrated_tie(CALIBRATED, "UTC(NIM)"))
    assert local.target(offset("server", DAY_NS, 250e-6)).time_error_s == pytest.approx(290e-6)


@pytest.mark.parametrize(
    ("days", "why"), [(-31, Reason.LINK_NOT_YET_VALID), (0, None), (30, None), (31, Reason.REFERENCE_EXPIRED)]
)
def test_outside_its_validity_nothing_is_claimed(days: int, why: Reason | None) -> None:
    at_ns = DAY_NS + days * NS_PER_DAY - S * (days == 30)
    found = claim(calibrated_tie(CALIBRATED, "UTC(NIM)"), at_ns)
    assert found.no_claim is why
    assert (found.time_error_s is None) == (why is not None)


def test_a_link_without_data_claims_nothing_and_says_why() -> None:
    tie = initial_tie(LinkSettings("cv", "clock", "gnss"), "UTC(NIM)")
    assert claim(tie).no_claim is Reason.LINK_MISSING


# --- by the network ------------------------------------------------------------------------------------------------------


def settings(*links: LinkSettings, local: bool = False) -> ProbeSettings:
    lab = TargetSettings("utc-nim", "ntp", "192.0.2.1", tie=Tie("UTC(NIM)", 1e-6, 0.3e-6))
    by_reference = {link.reference: initial_tie(link, "UTC(NIM)") for link in links}
    clock = TargetSettings("clock", "ntp", "192.0.2.2", tie=by_reference.get("clock", Tie("UTC(NIM)")))
    server = TargetSettings("server", "ntp", "192.0.2.3", reference="clock")
    host = LocalReferenceSettings(by_reference["local"]) if local else None
    return ProbeSettings(SiteSettings("NIM", "p"), (clock, lab, server), SpoolSettings(Path()), host, links)


class Bench:
    """A pipeline and its links at an instant of the test's own."""

    def __init__(self, wanted: ProbeSettings) -> None:
        self.now_ns = DAY_NS
        self.events: list[Event] = []
        self.rows: list[Record] = []
        self.ties: dict[str, Tie] = {}
        self.service = LinkService(
            wanted, self.set_tie, self.rows.extend, self.events.append, clock_ns=lambda: self.now_ns
        )
        self.pipeline = Pipeline(wanted, linked=self.service.observe)

    def set_tie(self, reference: str, tie: Tie) -> None:
        self.ties[reference] = tie
        self.pipeline.set_tie(reference, tie)

    def poll(self, target: str, offset_s: float, **known: Any) -> list[Record]:
        self.now_ns += S
        return list(self.pipeline.outcomes(target, [offset(target, self.now_ns, offset_s, **known)], self.now_ns))


NETWORK = LinkSettings("lan", "clock", "network", through="utc-nim", rate_bound=1e-9)


def test_a_reference_is_tied_by_what_it_is_against_the_laboratorys_server() -> None:
    """The laboratory's server is 20 us ahead of the probe, the site's clock 100 us: clock - UTC(NIM) is 80 us."""
    bench = Bench(settings(NETWORK))
    assert bench.poll("clock", 100e-6)[0].fields["claim"] == "link_missing"
    bench.poll("utc-nim", 20e-6)
    tie = bench.ties["clock"]
    assert tie.value_s == pytest.approx(80e-6)
    # half of both round trips, the laboratory's tie, and the probe's clock over a second
    assert tie.bound_s >= 50e-6 + 50e-6 + 1e-6
    assert tie.source == "ntp to utc-nim, best sample of the last 3600 s"
    bench.poll("server", 250e-6)
    rows = bench.poll("clock", 100e-6)
    found = next(row for row in rows if row.tags["target"] == "server")
    assert found.fields["time_error_s"] == pytest.approx(230e-6)
    assert found.fields["link"] == "lan"
    assert found.fields["link_s"] == pytest.approx(80e-6)
    assert {(row.tags["target"], row.tags["reference"]) for row in rows} == {("clock", "clock"), ("server", "clock")}
    assert [event.kind for event in bench.events] == ["link_found"]


def test_of_many_samples_the_one_of_least_bound_counts() -> None:
    bench = Bench(settings(NETWORK))
    for number, delay_s in enumerate((1e-2, 1e-4, 1e-2)):
        bench.poll("clock", (100 + number) * 1e-6, delay_s=delay_s)
        bench.poll("utc-nim", 20e-6)
    assert bench.ties["clock"].value_s == pytest.approx(81e-6)
    assert [row.fields["value_s"] for row in bench.rows] == pytest.approx(
        [80e-6, 81e-6]
    )  # a row for each new result only


async def test_a_link_that_is_no_longer_measured_ages_and_is_lost() -> None:
    bench = Bench(settings(replace(NETWORK, window_s=3600.0)))
    bench.poll("clock", 100e-6)
    bench.poll("utc-nim", 20e-6)
    young = bench.ties["clock"]
    bench.now_ns += 1800 * S
    await bench.service.turn()
    old = bench.ties["clock"]
    assert old.bound_s - young.bound_s == pytest.approx(1801 * 1e-9, rel=2e-3)
    assert old.u_s > young.u_s
    bench.now_ns += 3600 * S
    await bench.service.turn()
    assert bench.ties["clock"].no_claim is Reason.LINK_STALE
    assert [event.kind for event in bench.events] == ["link_found", "link_lost"]
    assert bench.poll("clock", 100e-6)[0].fields["claim"] == "link_stale"


async def test_a_reload_that_leaves_a_link_alone_leaves_its_tie_alone() -> None:
    bench = Bench(settings(NETWORK))
    bench.poll("clock", 100e-6)
    bench.poll("utc-nim", 20e-6)
    tie, rows = bench.ties["clock"], len(bench.rows)
    more = settings(NETWORK)
    bench.pipeline.configure(more)
    bench.service.configure(more)
    assert bench.ties["clock"] == tie
    bench.poll("server", 250e-6)
    found = next(row for row in bench.poll("clock", 100e-6) if row.tags["target"] == "server")
    assert found.fields["claim"] == "valid"
    bench.poll("utc-nim", 20e-6)
    assert [event.kind for event in bench.events] == ["link_found"]
    assert len(bench.rows) - rows <= 1  # the new sample of the clock, at most
    # Another link is another matter: it has to be found.
    bench.service.configure(settings(replace(NETWORK, window_s=60.0)))
    assert bench.service._ties["lan"].no_claim is Reason.LINK_MISSING


# --- by GNSS -------------------------------------------------------------------------------------------------------------


def tracks(shift_ns: float, mjd: int = MJD, bad: float = 0.0) -> bytes:
    """A day of five satellites; their system time errs alike for every receiver."""
    rows = []
    for minute in range(2, 1438, 16):
        clock = f"{minute // 60:02d}{minute % 60:02d}00"
        for sat in range(1, 6):
            wrong = bad if (sat, minute) == (3, 34) else 0.0
            rows.append((f"G{sat:02d}", mjd, clock, shift_ns + 7.0 * sat + wrong))
    return cggtts(rows)


@pytest.fixture
def receivers(tmp_path: Path) -> Callable[..., LinkSettings]:
    def make(**more: Any) -> LinkSettings:
        for name in ("site", "lab"):
            (tmp_path / name).mkdir(exist_ok=True)
        return LinkSettings(
            "cv", "clock", "gnss", bound_s=10e-9, u_s=3e-9, folder=tmp_path / "site",
            laboratory_folder=tmp_path / "lab", certificate="CAL-1001-2026", **more,
        )  # fmt: skip

    return make


@pytest.mark.parametrize("method", ["common_view", "all_in_view"])
async def test_two_receivers_tie_the_clock(receivers: Callable[..., LinkSettings], tmp_path: Path, method: str) -> None:
    """REFSYS of the site minus REFSYS of the laboratory: clock - UTC(k) = 120.5 - 20 ns, plus what the files do not know."""
    link = receivers(method=method, value_s=1.5e-9, rate_bound=1e-13)
    bench = Bench(settings(link))
    await bench.service.turn()
    assert bench.ties["clock"].no_claim is Reason.LINK_MISSING
    (tmp_path / "site" / "GMSI60.884").write_bytes(tracks(120.5, bad=900.0))
    (tmp_path / "lab" / "GMNM60.884").write_bytes(tracks(20.0))
    bench.now_ns = DAY_NS + NS_PER_DAY + 6 * 3600 * S
    await bench.service.turn()
    tie = bench.ties["clock"]
    assert tie.value_s == pytest.approx(102.0e-9, abs=0.1e-9)
    age_s = (bench.now_ns - mjd_to_unix_ns(MJD, (1426 * 60 + 390) * S)) / S
    assert tie.bound_s == pytest.approx(10e-9 + 1e-13 * age_s)
    assert tie.u_s == pytest.approx(hypot(3e-9, 1e-13 * age_s / 3**0.5), rel=0.02)
    assert "TEST 1 and TEST 1" in tie.source
    assert "calibration CAL-1001-2026" in tie.source
    row = bench.rows[-1]
    assert row.fields["epochs"] == 90
    assert row.fields["rejected"] == 1
    assert row.fields.keys() <= LINK_FIELDS.keys()
    assert bench.poll("clock", 0.0)[0].fields["time_error_s"] == pytest.approx(102.0e-9, abs=0.1e-9)


async def test_files_that_come_no_more_end_the_claim(receivers: Callable[..., LinkSettings], tmp_path: Path) -> None:
    bench = Bench(settings(receivers(max_age_s=2 * 86_400.0)))
    (tmp_path / "site" / "a").write_bytes(tracks(120.5))
    (tmp_path / "lab" / "b").write_bytes(tracks(20.0))
    bench.now_ns = DAY_NS + 2 * NS_PER_DAY
    await bench.service.turn()
    assert bench.ties["clock"].no_claim is None
    bench.now_ns = DAY_NS + 4 * NS_PER_DAY
    await bench.service.turn()
    assert bench.ties["clock"].no_claim is Reason.LINK_STALE
    (tmp_path / "site" / "c").write_bytes(tracks(121.5, MJD + 3))
    (tmp_path / "lab" / "d").write_bytes(tracks(20.0, MJD + 3))
    await bench.service.turn()
    assert bench.ties["clock"].value_s == pytest.approx(101.5e-9, abs=0.2e-9)
    assert [event.kind for event in bench.events] == ["link_found", "link_lost", "link_found"]


async def test_a_bad_file_is_told_once_with_its_line_and_costs_only_itself(
    receivers: Callable[..., LinkSettings], tmp_path: Path
) -> None:
    bench = Bench(settings(receivers()))
    (tmp_path / "site" / "good").write_bytes(tracks(120.5))
    (tmp_path / "lab" / "good").write_bytes(tracks(20.0))
    (tmp_path / "site" / "header").write_bytes(tracks(120.5).replace(b"CAB DLY = 100", b"CAB DLY = 900"))
    (tmp_path / "lab" / "row").write_bytes(tracks(20.0, MJD - 1).replace(b"G01 FF", b"G09 FF", 1))
    bench.now_ns = DAY_NS + NS_PER_DAY
    await bench.service.turn()
    await bench.service.turn()
    texts = [event.text for event in bench.events if event.kind == "link_file_refused"]
    assert len(texts) == 2
    assert f"{tmp_path}/site/header line 16: the header's checksum is" in texts[0]
    assert f"{tmp_path}/lab/row line 20: the checksum is" in texts[1]
    assert "1 of its rows are left out, 449 are taken" in texts[1]
    assert bench.ties["clock"].value_s == pytest.approx(100.5e-9, abs=0.1e-9)


def test_links_are_read_from_the_configuration() -> None:
    text = """
[site]
name = "NIM"
probe = "p"
[[target]]
name = "clock"
address = "192.0.2.2"
realises = "UTC(NIM)"
minimum_delay_s = 100e-6
[[link]]
name = "cal"
reference = "clock"
kind = "calibrated"
value_s = 40e-6
bound_s = 2e-6
u_s = 0.5e-6
calibrated_at = 2026-05-04
valid_until = 2027-05-04
certificate = "NIM-2026-0123"
"""
    found = read(text)
    tie = found.targets[0].tie
    assert tie is not None
    assert (tie.realises, tie.value_s, tie.bound_s, tie.u_s, tie.link) == ("UTC(NIM)", 40e-6, 2e-6, 0.5e-6, "cal")
    assert tie.source == "calibration NIM-2026-0123 of 2026-05-04"
    assert tie.valid_from_ns == mjd_to_unix_ns(61164)  # the date's beginning
    assert tie.valid_until_ns == mjd_to_unix_ns(61530)  # and the other's end
    assert found.targets[0].path is not None
    assert found.targets[0].path.minimum_delay_s == 100e-6
