"""`timesync export`: what is listed, what is written in which format and where, and the exit status."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from timesync import cli
from timesync.model import Record
from timesync.store.local import History

if TYPE_CHECKING:
    from collections.abc import Sequence

T0_NS = 1_700_000_000 * 10**9  # 2023-11-14T22:13:20Z
PROGRAM = str(Path(sys.executable).with_name("timesync"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Sixty seconds of two targets, and one event."""
    history = History(tmp_path / "history.sqlite3", read_only=False)
    for target in ("ntp1", "ntp2"):
        tags = {"site": "NIM", "probe": "p1", "target": target, "protocol": "ntp"}
        history.write(
            [
                Record("time_error", T0_NS + i * 10**9, tags, {"time_error_s": i * 1e-9, "claim": "valid"})
                for i in range(60)
            ]
        )
    history.write([Record("event", T0_NS, {"site": "NIM", "probe": "p1"}, {"kind": "clock_step"})])
    history.close()
    return tmp_path


def timesync(*words: object) -> tuple[int, bytes, str]:
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture
def export(directory: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> tuple[int, str, str]:
        try:
            status = cli.main(["export", "--directory", str(directory), *map(str, words)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, *capsys.readouterr()

    return run


def test_without_a_target_the_targets_are_listed(export: Any) -> None:
    status, out, _ = export()
    assert status == 0
    assert out.split("\n") == [
        "TARGET  NEWEST RECORD",
        "ntp1    2023-11-14T22:14:19.000000000Z",
        "ntp2    2023-11-14T22:14:19.000000000Z",
        "",
    ]


def test_csv_of_a_span_goes_to_standard_output(directory: Path) -> None:
    span = ("--from", "2023-11-14T22:13:30Z", "--to", "2023-11-14T22:13:40Z")
    status, out, complaint = timesync("export", "ntp1", *span, "--directory", directory)
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert (status, complaint) == (0, "")
    assert [int(row["at_ns"]) for row in rows] == [T0_NS + i * 10**9 for i in range(10, 20)]
    assert {row["target"] for row in rows} == {"ntp1"}
    assert float(rows[0]["time_error_s"]) == 10e-9


def test_json_lines_go_to_a_file(export: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    status, out, complaint = export("ntp2", "--format", "jsonl", "--output", path)
    assert (status, out, complaint) == (0, "", f"60 records in {path}\n")
    assert [json.loads(line)["fields"]["time_error_s"] for line in path.read_text().splitlines()][-1] == 59 * 1e-9


def test_parquet_can_be_read_back(export: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    path = tmp_path / "out.parquet"
    assert export("--all", "--format", "parquet", "--output", path)[0] == 0
    assert parquet.read_table(path).num_rows == 120


def test_records_without_a_target_are_in_all(export: Any, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    assert export("--all", "--measurement", "event", "--output", path)[0] == 0
    (row,) = csv.DictReader(io.StringIO(path.read_text()))
    assert row["kind"] == "clock_step"


def test_empty_span_exits_3_and_leaves_the_file_alone(export: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("as it was")
    status, _, complaint = export("ntp1", "--from", "2024-01-01", "--output", path)
    assert status == 3
    assert "no time_error of ntp1 in this span" in complaint
    assert path.read_text() == "as it was"
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


def test_configuration_says_where_the_history_is(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[site]\nname = "NIM"\nprobe = "p1"\n\n[[target]]\nname = "ntp1"\naddress = "ntp1.example"\n\n'
        f'[spool]\ndirectory = "{directory}"\n'
    )
    status, out, complaint = timesync("export", "--config", path)
    assert status == 0, complaint
    assert b"ntp1" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ntp3",), "has no time_error of a target 'ntp3'; it has ntp1, ntp2"),
        (("ntp1", "--measurement", "mtie"), "has no measurement 'mtie'; it has event, time_error"),
        (("ntp1", "--all"), "give a TARGET or --all"),
        (("--from", "2023-11-14"), "say which TARGET, or --all"),
        (("ntp1", "--from", "soon"), "'soon' is no instant"),
        (("ntp1", "--from", "2024-01-01", "--to", "2023-01-01"), "the span is empty"),
        (("ntp1", "--format", "xml"), "invalid choice: 'xml'"),
        (("ntp1", "--output", "/nowhere/out.csv"), "cannot be written (No such file or directory)"),
    ],
)
def test_mistake_exits_2_with_words(words: Sequence[str], told: str, export: Any) -> None:
    status, out, complaint = export(*words)
    assert (status, out) == (2, "")
    assert told in " ".join(complaint.split())


def test_directory_without_a_history_exits_2(tmp_path: Path) -> None:
    status, _, complaint = timesync("export", "--directory", tmp_path / "none")
    assert status == 2
    assert "there is no history in" in complaint


def test_export_is_what_stability_reads(directory: Path) -> None:
    first = subprocess.run(
        [PROGRAM, "export", "ntp1", "--directory", directory], capture_output=True, timeout=60, check=True
    )
    second = subprocess.run(
        [PROGRAM, "stability", "-", "--json", "--ci", "none"],
        input=first.stdout,
        capture_output=True,
        timeout=60,
        check=True,
    )
    (series,) = json.loads(second.stdout)["series"]
    assert (series["points"], series["tau0_s"], series["max_abs_te_s"]) == (60, 1.0, 59 * 1e-9)
