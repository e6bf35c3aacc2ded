"""What was published is kept with its provenance, once, and the command that imports, shows and reports it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from support.bulletins import circular_t, utcr

from timesync import cli
from timesync.errors import DataError, StoreError
from timesync.model import Record
from timesync.reference.published import Label
from timesync.store.local import History
from timesync.store.published import FILE, PublishedStore
from timesync.timescale import NS_PER_DAY, mjd_to_unix_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAGS = {"site": "NIM", "probe": "p", "target": "ntp1", "protocol": "ntp", "reference": "utc-nim"}
JUNE = [60824, 60829, 60834, 60839, 60844, 60849, 60854]
JULY = [60854, 60859, 60864, 60869, 60874, 60879, 60884]
ISSUE_450 = circular_t(450, JUNE, {"NIM": [10, 11, 12, 13, 14, 15, 16], "PTB": [0.5] * 7})
ISSUE_451 = circular_t(451, JULY, {"NIM": [16.5, 17, 18, 19, 20, 21, 22], "PTB": [0.5] * 7})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PublishedStore]:
    with PublishedStore(tmp_path / FILE) as made:
        yield made


def test_an_issue_is_kept_with_where_it_came_from(store: PublishedStore) -> None:
    taken = store.add_bulletin(ISSUE_450.encode(), "/media/cirt.450", 123)
    assert taken.new
    (issue,) = store.issues()
    assert (issue.name, issue.number, issue.source, issue.imported_ns) == (
        "Circular T 450",
        450,
        "/media/cirt.450",
        123,
    )
    assert issue.sha256 == hashlib.sha256(ISSUE_450.encode()).hexdigest()
    assert (issue.labs, issue.first_mjd, issue.last_mjd) == (2, 60824, 60854)
    assert store.text(issue.sha256) == ISSUE_450.encode()


def test_the_same_issue_twice_is_kept_once(store: PublishedStore) -> None:
    store.add_bulletin(ISSUE_450.encode(), "a", 1)
    before = store.revision()
    again = store.add_bulletin(ISSUE_450.encode(), "b", 2)
    assert not again.new
    assert again.issue.source == "a"
    assert store.revision() == before
    assert len(store.issues()) == 1


def test_the_later_issue_counts_for_the_date_that_both_have(store: PublishedStore) -> None:
    store.add_bulletin(ISSUE_451.encode(), "b", 1)
    store.add_bulletin(ISSUE_450.encode(), "a", 2)  # imported later, published earlier
    assert store.table("NIM").at(mjd_to_unix_ns(60854)).value_s == pytest.approx(16.5e-9)
    assert store.labs() == ["NIM", "PTB"]


def test_a_reply_of_the_api_counts_until_the_text_comes(store: PublishedStore) -> None:
    reply = {"data": [{"name": "UTC-UTC(NIM)", "x": JUNE, "y": [9.0] * 7, "unc": 2.5}]}
    store.add_reply(json.dumps(reply).encode(), "https://api", 1)
    found = store.table("NIM").at(mjd_to_unix_ns(60830))
    assert (found.value_s, found.u_s, found.label) == (pytest.approx(9e-9), pytest.approx(2.5e-9), Label.FINAL)
    assert found.issue == "Circular T 450 (BIPM web API)"
    store.add_bulletin(ISSUE_450.encode(), "a", 2)
    assert store.table("NIM").at(mjd_to_unix_ns(60829)).value_s == pytest.approx(11e-9)


def test_what_was_known_at_an_earlier_revision_can_be_asked(store: PublishedStore) -> None:
    store.add_bulletin(ISSUE_450.encode(), "a", 1)
    earlier = store.revision()
    store.add_bulletin(ISSUE_451.encode(), "b", 2)
    assert max(each.mjd for each in store.values("NIM", earlier)) == 60854
    assert max(each.mjd for each in store.values("NIM")) == 60884


def test_what_is_none_is_refused_and_changes_nothing(store: PublishedStore) -> None:
    with pytest.raises(DataError, match="x: neither a Circular T"):
        store.add_bulletin(b"\xff\x00", "x", 1)
    with pytest.raises(DataError, match="x: it is no JSON"):
        store.add_reply(b"<html>", "x", 1)
    assert store.add_reply(b'{"data": []}', "x", 1) is None
    assert store.revision() == 0


def test_a_store_that_is_missing_or_damaged_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"nothing published is kept at .*; import an issue: timesync circular-t import FILE"
    ):
        PublishedStore(tmp_path / FILE, read_only=True)
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be used: file is not a database"):
        PublishedStore(tmp_path / FILE)


# --- the command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> tuple[int, str, str]:
        status = cli.main(["circular-t", *map(str, words), "--directory", str(tmp_path)])
        return status, *capsys.readouterr()

    return run


def test_import_tells_what_was_taken_and_what_was_not(command: Any, tmp_path: Path) -> None:
    (tmp_path / "cirt.450").write_text(ISSUE_450)
    (tmp_path / "bad").write_text(ISSUE_451.replace("   21.0 ", "        "))
    status, out, _ = command("import", tmp_path / "cirt.450")
    assert status == 0
    assert "cirt.450: Circular T 450, 2 laboratories, MJD 60824 to 60854\n" in out
    status, out, _ = command("import", tmp_path / "cirt.450", tmp_path / "bad")
    assert status == 1
    assert "(there already)" in out
    assert "  line 14, NIM: not taken, 9 columns where 7 dates and 3 uncertainties are wanted" in out


def test_show_gives_the_issues_and_the_value_at_an_instant(command: Any, tmp_path: Path) -> None:
    for name, text in (("a", ISSUE_450), ("b", utcr(2527, [60855, 60856, 60857], {"NIM": [20, 20, 20]}))):
        (tmp_path / name).write_text(text)
    assert command("import", tmp_path / "a", tmp_path / "b", "--json")[0] == 0
    status, out, _ = command("show")
    assert status == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == ["ISSUE", "Circular T 450", "UTCr 2527"]
    status, out, _ = command("show", "NIM", "--at", "60826.5")
    assert status == 0
    assert "= +10.5 ns, u = 3.0 ns (published 2.0 ns, to this instant 2.2 ns); final, Circular T 450" in out
    status, out, _ = command("show", "UTC(NIM)", "--at", "60856.5", "--json")
    known = json.loads(out)
    assert (known["label"], known["issue"]) == ("rapid", "UTCr 2527")
    assert known["utc_minus_utck_s"] == pytest.approx(20e-9)
    assert command("show", "NIM", "--at", "59000")[0] == 3
    status, _, complaint = command("show", "XYZ")
    assert status == 2
    assert "nothing is published of XYZ in what was imported; there are NIM, PTB" in complaint


def test_report_computes_utc_minus_x_day_by_day(command: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(ISSUE_450)
    command("import", tmp_path / "a")
    history = History(tmp_path / "history.sqlite3", read_only=False)
    begin_ns = mjd_to_unix_ns(60852)
    fields = {
        "time_error_s": 1e-6,
        "time_error_u_s": 30e-9,
        "realises": "UTC(NIM)",
        "claim": "valid",
        "coverage_factor": 2.0,
    }
    history.write([Record("time_error", begin_ns + hour * NS_PER_DAY // 24, TAGS, fields) for hour in range(4 * 24)])
    history.close()
    status, out, _ = command("report", "ntp1", "--json")
    assert status == 0
    (report,) = json.loads(out)["targets"]
    assert (report["target"], report["realises"]) == ("ntp1", "UTC(NIM)")
    days = report["days"]
    assert [(day["mjd"], day["samples"]) for day in days] == [(mjd, 24) for mjd in range(60852, 60856)]
    # UTC(NIM) goes from 15 to 16 ns in five days: at MJD 60852.479, the mean of the hours, it is 15.696
    assert days[0]["mean_s"] == pytest.approx(15.696e-9 - 1e-6, abs=1e-12)
    assert days[0]["u_s"] == pytest.approx(30.1e-9, abs=0.2e-9)
    assert days[0]["labels"] == {"final": 24}
    assert days[3]["labels"] == {"predicted": 24}
    status, out, _ = command("report", "ntp1")
    assert "60852  2025-06-26        -984.3    30." in out
    assert command("report", "ntp1", "--from", "61000")[0] == 3
    history = History(tmp_path / "history.sqlite3", read_only=False)
    history.write([Record("time_error", begin_ns, {**TAGS, "target": "ntp2"}, fields)])
    history.write([Record("time_error", begin_ns, {**TAGS, "target": "no-utc"}, {"offset_s": 1.0})])
    history.close()
    status, out, _ = command("report", "--all", "--json")
    both = json.loads(out)["targets"]
    assert [(each["target"], len(each["days"])) for each in both] == [("ntp1", 4), ("ntp2", 1)]
    assert both[0]["days"] == days
    status, _, complaint = command("report", "nobody")
    assert (status, "it has no-utc, ntp1, ntp2" in complaint) == (2, True)
