"""A result taken apart: the chain adds up to it, the budget combines to its u by the GUM, and what is missing is said."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from math import fsum, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from timesync import cli
from timesync.explain import Explanation, explain
from timesync.explain_picture import picture
from timesync.explain_text import page, text
from timesync.model import ClockOffset, Record, ServerFacts, Timestamping
from timesync.pipeline import Pipeline
from timesync.reference.link import initial_tie
from timesync.reference.published import Published, UtcBook, UtcTable
from timesync.settings import (
    LinkSettings,
    LocalReferenceSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    TargetSettings,
    Tie,
)
from timesync.store.local import History
from timesync.timescale import mjd_to_unix_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

S = 10**9
T0_NS = mjd_to_unix_ns(61238)
LINK = LinkSettings(
    "cal", "clock", "calibrated", value_s=-3e-6, bound_s=1e-6, u_s=2e-7, certificate="NIM-2026-0123",
    valid_until_ns=mjd_to_unix_ns(61500),
)  # fmt: skip
BOOK = UtcBook(
    {
        "NIM": UtcTable(
            "NIM", [Published(mjd, 5e-8, 3e-9, rapid=False, issue="Circular T 463") for mjd in (61234, 61239)]
        )
    }
)


def rows(local: bool = False, book: UtcBook | None = BOOK, count: int = 20, lost_s: float = 0.0) -> list[Record]:
    """A server 25 us ahead of the probe, seen on a path of 400 us, and a clock 10 us ahead on one of 200 us, a second apart."""
    clock = TargetSettings("clock", "ntp", "192.0.2.1", tie=initial_tie(LINK, "UTC(NIM)"))
    server = TargetSettings("server", "ntp", "192.0.2.2", reference="local" if local else "clock")
    host = LocalReferenceSettings(Tie("UTC(NIM)", 1e-6, 2e-7)) if local else None
    pipeline = Pipeline(ProbeSettings(SiteSettings("NIM", "p"), (clock, server), SpoolSettings(Path()), host), utc=book)
    found: dict[tuple[str, int], Record] = {}

    def take(records: Sequence[Record]) -> None:
        found.update({(record.tags["target"], record.at_ns): record for record in records})

    for number in range(count):
        jitter_s = (number % 3) * 1e-6
        for name, offset_s, delay_s, shift_ns in (("clock", 10e-6, 2e-4, 0), ("server", 25e-6, 4e-4, S // 2)):
            at_ns = T0_NS + number * S + shift_ns
            facts = ServerFacts(root_delay_s=1e-6, root_dispersion_s=2e-6)
            offset = ClockOffset(
                name, "ntp", at_ns, offset_s + jitter_s, delay_s, delay_s / 2, 1e-7, 3e-9, facts.upstream_s,
                Timestamping.KERNEL, 0, None, facts,
            )  # fmt: skip
            take(pipeline.outcomes(name, [offset], at_ns))
    if lost_s:  # the server alone is measured once more, so long after
        at_ns = T0_NS + count * S + round(lost_s * S)
        facts = ServerFacts(root_delay_s=1e-6, root_dispersion_s=2e-6)
        offset = ClockOffset(
            "server", "ntp", at_ns, 25e-6, 4e-4, 2e-4, 1e-7, 3e-9, facts.upstream_s, Timestamping.KERNEL, 0, None, facts
        )
        take(pipeline.outcomes("server", [offset], at_ns))
    take(pipeline.flush())
    return [record for record in found.values() if record.tags["target"] == "server"] + [found["clock", T0_NS]]


def check_sums(found: Explanation) -> None:
    assert found.u_s is not None
    assert fsum(line.sensitivity * line.value_s for line in found.budget) == pytest.approx(found.value_s, abs=1e-15)
    assert sqrt(fsum(line.contribution_s**2 for line in found.budget)) == pytest.approx(found.u_s)
    assert fsum(line.half_width_s or 0.0 for line in found.budget) == pytest.approx(found.time_error_bound_s)
    *to_utck, to_utc = found.chain
    assert fsum(step.value_s or 0.0 for step in to_utck) == pytest.approx(found.time_error_s, abs=1e-15)
    assert fsum(step.bound_s or 0.0 for step in to_utck) == pytest.approx(found.time_error_bound_s)
    assert sqrt(fsum((step.u_s or 0.0) ** 2 for step in to_utck)) == pytest.approx(found.time_error_u_s)
    if to_utc.value_s is not None:
        assert found.value_s == pytest.approx(to_utc.value_s - (found.time_error_s or 0.0))


def test_the_chain_adds_up_and_the_budget_combines_to_u() -> None:
    found = explain(rows()[10])
    assert [step.what for step in found.chain] == [
        "server - probe",
        "probe - clock",
        "clock - UTC(NIM)",
        "UTC - UTC(NIM)",
    ]
    # x = 25 us - 10 us - 3 us, up to a jitter of 2 us; UTC - server = 50 ns - x
    assert found.time_error_s == pytest.approx(12e-6, abs=2e-6)
    assert found.measurand == "UTC - server"
    assert found.value_s == pytest.approx(50e-9 - (found.time_error_s or 0.0))
    check_sums(found)
    link, utc = found.chain[2:]
    assert (link.value_s, link.bound_s, link.u_s) == (-3e-6, 1e-6, 2e-7)
    assert (link.validity, link.source) == ("until 2027-04-05", "link cal: calibration NIM-2026-0123")
    assert (utc.validity, utc.source) == ("final", "Circular T 463, between its dates")
    assert found.notes == ()


def test_each_line_of_the_budget_has_its_distribution_and_source() -> None:
    lines = {line.quantity: line for line in explain(rows()[10]).budget}
    path = lines["asymmetry of the path to the target"]
    assert (path.distribution, path.half_width_s) == ("rectangular", 2e-4)
    assert path.u_s == pytest.approx(2e-4 / sqrt(3))
    assert lines["reference - UTC(k)"].distribution == "normal"
    assert lines["UTC - UTC(NIM)"].sensitivity == 1.0
    assert lines["target - probe, as measured"].sensitivity == -1.0
    assert all(line.source for line in lines.values())


def test_the_reference_itself_and_a_local_reference_have_their_chain() -> None:
    itself = explain(rows()[-1])
    assert [step.what for step in itself.chain] == ["clock - its source", "clock - UTC(NIM)", "UTC - UTC(NIM)"]
    check_sums(itself)
    local = explain(rows(local=True)[10])
    assert [step.what for step in local.chain][1:3] == ["probe - local", "local - UTC(NIM)"]
    check_sums(local)


def test_a_reference_that_is_lost_is_said_to_be_carried_on() -> None:
    carried = max((record for record in rows(lost_s=600.0) if record.tags["target"] == "server"), key=lambda r: r.at_ns)
    found = explain(carried)
    check_sums(found)
    step = found.chain[1]
    assert "lost, and carried on by the probe's clock since its last measurement" in step.source
    assert step.bound_s is not None
    assert step.bound_s > 2 * 15e-6 * 600
    (line,) = (line for line in found.budget if line.quantity == "probe - reference, as measured")
    assert line.distribution == "normal"  # by the model of the probe's clock
    assert line.source == "carried; probe's oscillator since its last measurement"


def test_without_published_values_the_chain_ends_at_utc_k_and_says_so() -> None:
    found = explain(rows(book=UtcBook())[10])
    assert found.measurand == "server - UTC(NIM)"
    assert found.value_s == found.time_error_s
    assert found.chain[-1].validity == "unavailable"
    assert "import the issue" in found.notes[0]
    check_sums(found)


def test_a_result_without_a_claim_says_where_the_chain_is_broken() -> None:
    record = rows()[10]
    fields = {"offset_s": 1e-6, "bound_s": 2e-6, "claim": "reference_stale", "quality": "none", "realises": "UTC(NIM)"}
    found = explain(record._replace(fields=fields))
    assert found.no_claim == "reference_stale"
    assert found.budget == ()
    assert found.chain[-1].value_s is None
    assert "no fresh measurement of the reference" in found.chain[-1].source
    assert "see the reference's own losses" in found.notes[0]
    assert any("no claim" in line for line in text(found))


def test_a_u_that_is_cut_at_the_bound_is_told() -> None:
    record = rows()[10]
    found = explain(record._replace(fields={**record.fields, "u_type_a_s": 1.0}))
    assert "is cut at the bound" in found.notes[0]


class Tags(HTMLParser):
    """The elements of a page, and whether each is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_escapes_what_comes_from_outside() -> None:
    record = rows()[10]
    fields = {**record.fields, "address": "<script>alert(1)</script>", "utc_issue": "a & b"}
    made = page(explain(record._replace(fields=fields)))
    tags = Tags()
    tags.feed(made)
    assert tags.open == []
    assert tags.seen.count("table") == 2
    assert "script" not in tags.seen
    assert "http" not in made.replace("&", "").split("<body>")[0]
    assert "a &amp; b" in made


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    history = History(tmp_path / "history.sqlite3", read_only=False)
    history.write(rows())
    history.close()

    def run(*words: object) -> tuple[int, str, str]:
        status = cli.main(["explain", *map(str, words), "--directory", str(tmp_path)])
        return status, *capsys.readouterr()

    return run


def test_the_command_explains_the_newest_result_or_one_of_the_past(command: Any, tmp_path: Path) -> None:
    status, out, _ = command("server")
    assert status == 0
    assert out.startswith("server at 2026-07-17T00:00:19.500000000Z, measured by NIM / p\n")
    assert "clock - UTC(NIM)" in out
    assert "combined, UTC - server" in out
    status, out, _ = command("server", "--at", "2026-07-17T00:00:07Z", "--json")
    assert json.loads(out)["at"] == "2026-07-17T00:00:06.500000000Z"
    status, out, _ = command("server", "--html", tmp_path / "x.html")
    assert (status, out) == (0, "")
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")


def test_the_command_tells_what_there_is_not(command: Any) -> None:
    status, _, told = command("nobody")
    assert (status, "it has clock, server" in told) == (2, True)
    status, _, told = command("server", "--at", "2020-01-01")
    assert (status, "ask for a later one" in told) == (2, True)


def test_the_picture_is_well_formed_and_shows_each_clock_and_step() -> None:
    record = rows()[10]
    found = explain(record._replace(fields={**record.fields, "link_source": "a <b> & c"}))
    root = ET.fromstring(picture(found))
    words = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("server", "probe", "clock", "UTC(NIM)", "UTC", "clock - UTC(NIM)", "link cal: a <b> & c"):
        assert name in words
    assert words[0].startswith("UTC - server = -")
    broken = explain(record._replace(fields={"claim": "reference_stale", "offset_s": 0.0, "bound_s": 1.0}))
    assert "no claim" in picture(broken)
