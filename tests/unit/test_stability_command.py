"""`timesync stability`: the published table of NIST SP 1065 through the command; its options, outputs and exit status."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from timesync import cli
from timesync.commands import stability
from timesync.model import Record
from timesync.stability import STATISTICS
from timesync.stability.mask_table import PROFILES
from timesync.store.local import History

if TYPE_CHECKING:
    from collections.abc import Sequence

T0_NS = 1_700_000_000 * 10**9

# NIST SP 1065, tables 30 and 31: 1000 points of frequency, m = 1, 10, 100.
SP1065 = {
    "adev": (0.2922319, 0.09965736, 0.03897804),
    "oadev": (0.2922319, 0.09159953, 0.03241343),
    "mdev": (0.2922319, 0.06172376, 0.02170921),
    "tdev": (0.1687202, 0.3563623, 1.253382),
    "hdev": (0.2943883, 0.1052754, 0.03910860),
    "ohdev": (0.2943883, 0.09581083, 0.03237638),
    "totdev": (0.2922319, 0.09134743, 0.03406530),
}
# Printed after division by the square root of the bias of white FM.
SP1065_CORRECTED = {
    "mtotdev": (0.73, (0.2418528, 0.06499161, 0.02287774)),
    "ttotdev": (0.73, (0.1396338, 0.3752293, 1.320847)),
}


def suite() -> list[float]:
    """The portable generator's 1000 numbers (SP 1065, 12.4)."""
    numbers = [1234567890]
    while len(numbers) < 1000:
        numbers.append(16807 * numbers[-1] % 2147483647)
    return [number / 2147483647 for number in numbers]


@pytest.fixture
def sp1065(tmp_path: Path) -> str:
    path = tmp_path / "sp1065.frq"
    path.write_text("".join(f"{y!r}\n" for y in suite()))
    return str(path)


@pytest.fixture
def quiet_clock(tmp_path: Path) -> str:
    """An hour of a clock a tenth of a nanosecond about its reference: well within every mask."""
    x = np.random.default_rng(1).normal(0.0, 0.1e-9, 36_000)
    path = tmp_path / "quiet.txt"
    np.savetxt(path, x)
    return str(path)


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def timesync(*words: str) -> Result:
        try:
            status = cli.main(["stability", *words])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Result(status, *capsys.readouterr())

    return timesync


def column(out: str, statistic: str) -> list[float]:
    """The deviations of one statistic's table."""
    section = next(part for part in out.split("\n\n") if part.startswith(f"{statistic.upper()}:"))
    lines = section.splitlines()[1:]
    place = lines[0].split().index(statistic.upper()) - 1  # "TAU (S)" is two words
    return [float(line.split()[place]) for line in lines[1:] if re.match(r"\s*\d", line)]


def test_published_table_comes_out_of_the_command(sp1065: str, run: Any) -> None:
    result = run(sp1065, "--kind", "frequency", "--tau0", "1", "--taus", "1,10,100", "--statistics", ",".join(SP1065))
    assert result.status == 0, result.err
    for statistic, published in SP1065.items():
        np.testing.assert_allclose(column(result.out, statistic), published, rtol=0, atol=5e-7, err_msg=statistic)


def test_published_totals_come_out_of_the_command(sp1065: str, run: Any) -> None:
    names = ",".join(SP1065_CORRECTED)
    result = run(sp1065, "--kind", "frequency", "--taus", "1,10,100", "--statistics", names, "--ci", "none")
    assert result.status == 0, result.err
    for statistic, (bias, published) in SP1065_CORRECTED.items():
        raw = np.array(column(result.out, statistic))
        np.testing.assert_allclose(raw / math.sqrt(bias), published, rtol=0, atol=6e-7, err_msg=statistic)


def test_stable32_convention_prints_the_corrected_total(sp1065: str, run: Any) -> None:
    words = ("--kind", "frequency", "--taus", "1,10", "--statistics", "mtotdev", "--convention", "stable32")
    result = run(sp1065, *words)
    np.testing.assert_allclose(column(result.out, "mtotdev"), SP1065_CORRECTED["mtotdev"][1][:2], rtol=0, atol=5e-7)
    assert "stable32" in result.out


def test_json_has_the_numbers_in_full_and_says_how(sp1065: str, run: Any) -> None:
    document = run(sp1065, "--kind", "frequency", "--statistics", "oadev,mtie", "--taus", "decade", "--json").document
    (series,) = document["series"]
    assert document["status"] == 0
    assert (series["kind"], series["points"], series["tau0_s"]) == ("frequency", 1000, 1.0)
    oadev, mtie = series["statistics"]["oadev"], series["statistics"]["mtie"]
    assert [row["m"] for row in oadev["rows"]] == [1, 2, 4, 10, 20, 40, 100, 200, 400]
    assert abs(oadev["rows"][0]["dev"] - 0.2922319) < 5e-8
    assert oadev["rows"][0]["lo"] < oadev["rows"][0]["dev"] < oadev["rows"][0]["hi"]
    assert mtie["rows"][0]["lo"] is None
    # the test data have a mean frequency of 0.5, which is nearly all of their time interval error
    assert "a frequency offset makes up" in mtie["interval"]


def test_every_statistic_is_listed_in_the_help_and_runs(sp1065: str, run: Any) -> None:
    assert sorted(listed("statistics")) == sorted(STATISTICS)
    result = run(sp1065, "--kind", "frequency", "--statistics", "all", "--ci", "none", "--json")
    assert result.status == 0
    assert list(result.document["series"][0]["statistics"]) == list(STATISTICS)


def listed(heading: str) -> list[str]:
    """The names under a heading of the help."""
    section = next(part for part in stability.EPILOG.split("\n\n") if part.startswith(heading))
    return " ".join(section.splitlines()[1:]).split()


def test_every_mask_is_listed_in_the_help() -> None:
    assert listed("masks") == list(PROFILES)


def test_constant_data_have_no_deviation_and_no_interval(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "constant.txt"
    path.write_text("1e-9\n" * 200)
    result = run(str(path), "--statistics", "oadev,tdev,mtie", "--mask", "prtc-b", "--taus", "octave", "--json")
    assert result.status == 3
    assert result.document["series"][0]["statistics"]["oadev"]["rows"][0]["dev"] == 0.0


def test_csv_is_one_table(sp1065: str, run: Any) -> None:
    result = run(sp1065, "--kind", "frequency", "--statistics", "oadev,tdev", "--taus", "10", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [(row["statistic"], row["unit"], row["tau_s"]) for row in rows] == [
        ("oadev", "1", "10.0"),
        ("tdev", "s", "10.0"),
    ]
    assert abs(float(rows[0]["dev"]) - 0.09159953) < 5e-9


def test_standard_input_and_gzip_give_the_same(sp1065: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(gzip.compress(Path(sp1065).read_bytes()))

    monkeypatch.setattr(sys, "stdin", Input)
    document = run("-", "--kind", "frequency", "--taus", "1", "--json").document
    assert document["series"][0]["source"] == "standard input"
    assert abs(document["series"][0]["statistics"]["oadev"]["rows"][0]["dev"] - 0.2922319) < 5e-8


def test_several_files_are_reported_one_after_the_other(sp1065: str, quiet_clock: str, run: Any) -> None:
    series = run(sp1065, quiet_clock, "--ci", "none", "--json").document["series"]
    assert [each["source"] for each in series] == [sp1065, quiet_clock]


def test_gap_in_the_times_is_a_gap_in_the_data(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "gap.csv"
    path.write_text("time_s,x_ns\n" + "".join(f"{t},{t % 7}\n" for t in range(200) if not 50 <= t < 60))
    (series,) = run(str(path), "--json").document["series"]
    assert (series["points"], series["present"], series["tau0_s"]) == (200, 190, 1.0)
    assert series["tau0_from"] == "fitted to the times"
    assert series["statistics"]["oadev"]["rows"][0]["n"] == 198 - 12  # second differences that touch no missing point


def test_header_gives_kind_and_interval_and_options_overrule_it(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "stable32.dat"
    path.write_text("# Type: Frequency\n# Tau: 10\n" + "".join(f"{y!r}\n" for y in suite()))
    result = run(str(path), "--taus", "10")
    assert result.status == 0
    assert "frequency, complete, tau0 10 s (from the header)" in result.out
    assert column(result.out, "oadev") == [2.922319e-01]
    overruled = run(str(path), "--kind", "phase", "--tau0", "1")
    assert "the file says that it holds frequency; read as phase, as asked" in overruled.out


# --- masks -------------------------------------------------------------------------------------------------------------


def test_mask_that_is_kept_exits_0(quiet_clock: str, run: Any) -> None:
    result = run(quiet_clock, "--tau0", "0.1", "--mask", "prtc-b", "--taus", "log-spaced:4")
    verdicts = [line for line in result.out.splitlines() if "prtc-b-" in line]
    assert [line.split()[:2] for line in verdicts][:1] == [["PASS", "prtc-b-mtie"]]
    assert {line.split()[1] for line in verdicts} == {mask.name for mask in PROFILES["prtc-b"].masks}
    assert result.status == 0, result.out


def test_mask_that_is_exceeded_exits_1(quiet_clock: str, run: Any) -> None:
    result = run(quiet_clock, "--tau0", "0.1", "--scale", "1000", "--mask", "prtc-b", "--json")
    assert result.status == result.document["status"] == 1
    assert {each["outcome"] for each in result.document["series"][0]["verdicts"]} == {"fail"}


def test_mask_whose_range_is_not_measured_exits_3(quiet_clock: str, run: Any) -> None:
    result = run(quiet_clock, "--tau0", "1", "--mask", "prtc-b", "--csv")
    assert result.status == 3
    assert "INSUFFICIENT prtc-b-mtie" in result.err
    assert "nothing measured from 0.1 s to 1 s" in result.err


def test_level_of_frequency_data_is_not_invented(sp1065: str, run: Any) -> None:
    result = run(sp1065, "--kind", "frequency", "--mask", "utc-k", "--json")
    assert result.status == 3
    assert result.document["series"][0]["verdicts"][0]["reason"] == "no value was measured"


def test_ones_own_mask_comes_from_a_file(quiet_clock: str, tmp_path: Path, run: Any) -> None:
    path = tmp_path / "hall.toml"
    text = '[[mask]]\nname = "hall-3"\nstatistic = "tdev"\nsource = "house"\nedition = "1"\nclause = "-"\npieces = [{piece}]\n'
    path.write_text(text.replace("{piece}", "{ from_s = 1, to_s = 100, constant_s = 1e-9 }"))
    result = run(quiet_clock, "--mask", str(path))
    assert result.status == 0
    assert "PASS hall-3" in result.out
    path.write_text(text.replace("{piece}", "{ from_s = 1, upto_s = 100, constant_s = 1e-9 }"))
    refused = run(quiet_clock, "--mask", str(path))
    assert refused.status == 2
    assert "upto_s" in refused.err


# --- what goes wrong ---------------------------------------------------------------------------------------------------


def test_too_little_data_exits_3_with_the_reason(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "short.txt"
    path.write_text("1\n2\n")
    result = run(str(path))
    assert result.status == 3
    assert "no value: too short: 2 phase points" in result.out


def test_explicit_tau_beyond_the_record_exits_3(sp1065: str, run: Any) -> None:
    result = run(sp1065, "--kind", "frequency", "--taus", "1,10000")
    assert result.status == 3
    assert "the record is too short for tau = 10000 s" in result.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give a FILE, - for standard input, or --history TARGET"),
        (("-", "-"), "standard input can be read once"),
        (("FILE", "--from", "2026-01-01"), "go with --history"),
        (("FILE", "--statistics", "adev,avar"), "there is no statistic 'avar'; choose from adev"),
        (("FILE", "--statistics", "adev,,mdev"), "has an empty name in it"),
        (("FILE", "--taus", "octaves"), "no list named 'octaves'"),
        (("FILE", "--taus", "1,x"), "'x' is not a number of seconds"),
        (("FILE", "--taus", "1.5"), "1.5 s is not a multiple of 1 s"),
        (("FILE", "--tau0", "0"), "0 is not above 0"),
        (("FILE", "--ci", "95"), "'95' is not a level between 0 and 1"),
        (("FILE", "--mask", "prtc-z"), "there is no mask 'prtc-z'; choose from g811"),
        (("FILE", "--mask", "none.toml"), "none.toml: cannot be read"),
        (("FILE", "--plot", "out.gif"), "does not end with .svg, .png or .pdf"),
        (("nowhere.txt",), "nowhere.txt: cannot be read (No such file or directory)"),
        (("FILE", "--json", "--csv"), "not allowed with argument"),
        (("--history", "a", "--from", "yesterday"), "'yesterday' is no instant"),
    ],
)
def test_mistake_in_the_command_line_exits_2_with_words(words: Sequence[str], told: str, sp1065: str, run: Any) -> None:
    result = run(*(sp1065 if word == "FILE" else word for word in words))
    assert result.status == 2
    assert told in " ".join(result.err.split())
    assert result.out == ""


def test_mistake_in_a_file_exits_2_with_line_and_column(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("1\n2\nthree\n")
    result = run(str(path))
    assert result.status == 2
    assert f"{path}:3: column 1: 'three' is not a number" in result.err


# --- history -----------------------------------------------------------------------------------------------------------


def keep(directory: Path, target: str, fields: Sequence[dict[str, Any]]) -> None:
    tags = {"site": "NIM", "probe": "p1", "target": target, "protocol": "ntp"}
    history = History(directory / "history.sqlite3", read_only=False)
    history.write([Record("time_error", T0_NS + i * 10**9, tags, each) for i, each in enumerate(fields)])
    history.close()


def test_levels_stand_with_their_intervals(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "noise.txt"
    np.savetxt(path, 20e-9 + 1e-9 * np.random.default_rng(8).standard_normal(500))
    text = run(str(path), "--tau0", "1").out
    assert re.search(r"cTE \+\d+\.\d+ ns \(\+\d+\.\d+ ns to \+\d+\.\d+ ns\), max\|TE\| \d", text)
    assert "interval of cTE: 0.683 of the cTE of the next such record" in text
    (series,) = run(str(path), "--tau0", "1", "--json").document["series"]
    assert set(series["levels"]) == {"cte", "max_abs_te", "max_abs_dte"}
    level = series["levels"]["cte"]
    assert level["lo_s"] < level["value_s"] < level["hi_s"]
    assert series["cte_s"] == level["value_s"]
    (bare,) = run(str(path), "--tau0", "1", "--json", "--ci", "none").document["series"]
    assert bare["levels"]["cte"]["lo_s"] is None
    assert bare["levels"]["cte"]["interval"] == "none: not asked for"


def test_history_is_read_by_target_and_span(tmp_path: Path, run: Any) -> None:
    keep(tmp_path, "ntp1", [{"time_error_s": 1e-6 * (i % 5), "claim": "valid"} for i in range(400)])
    span = ("--from", "2023-11-14T22:13:30Z", "--to", "2023-11-14T22:18:20Z")  # T0 is 22:13:20
    result = run("--history", "ntp1", *span, "--directory", str(tmp_path), "--json")
    (series,) = result.document["series"]
    assert result.status == 0
    assert (series["source"], series["points"], series["tau0_s"]) == ("ntp1 (time_error_s)", 290, 1.0)
    assert series["max_abs_te_s"] == 4e-6


def test_target_that_is_not_in_the_history_is_told_with_those_that_are(tmp_path: Path, run: Any) -> None:
    keep(tmp_path, "ntp1", [{"offset_s": 1e-6 * (i % 5), "claim": "no_reference"} for i in range(40)])
    unknown = run("--history", "ntp2", "--directory", str(tmp_path))
    assert unknown.status == 2
    assert "has no target 'ntp2'; it has ntp1" in unknown.err
    unclaimed = run("--history", "ntp1", "--directory", str(tmp_path))
    assert unclaimed.status == 2
    assert "there is still --column offset_s" in unclaimed.err
    assert run("--history", "ntp1", "--column", "offset_s", "--directory", str(tmp_path)).status == 0


def test_history_that_is_not_there_exits_2(tmp_path: Path, run: Any) -> None:
    result = run("--history", "a", "--directory", str(tmp_path))
    assert result.status == 2
    assert "there is no history in" in result.err


# --- plots -------------------------------------------------------------------------------------------------------------


def test_svg_is_well_formed_and_holds_no_address_but_namespaces(sp1065: str, tmp_path: Path, run: Any) -> None:
    path = tmp_path / "a.svg"
    words = (
        "--kind",
        "frequency",
        "--statistics",
        "oadev,tdev,mtie",
        "--ci",
        "none",
        "--mask",
        "prtc-b",
        "--plot",
        str(path),
    )
    assert run(sp1065, *words, "--title", "A < B & $C").status == 1
    text = path.read_text()
    root = ET.fromstring(text)
    assert root.find("{http://www.w3.org/2000/svg}title").text == "A < B & $C"  # type: ignore[union-attr] # it is there or the test fails
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "font-face" not in text
    first = path.read_bytes()
    run(sp1065, *words, "--title", "A < B & $C")
    assert path.read_bytes() == first


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_plot_is_of_the_kind_that_its_name_says(
    suffix: str, magic: bytes, sp1065: str, tmp_path: Path, run: Any
) -> None:
    path = tmp_path / f"a.{suffix}"
    result = run(sp1065, sp1065, "--kind", "frequency", "--taus", "log-spaced:40", "--ci", "none", "--plot", str(path))
    assert result.status == 0
    assert f"Plot: {path}" in result.out
    assert path.read_bytes().startswith(magic)


def test_plot_that_cannot_be_written_exits_2(sp1065: str, tmp_path: Path, run: Any) -> None:
    result = run(sp1065, "--kind", "frequency", "--plot", str(tmp_path / "none" / "a.svg"))
    assert result.status == 2
    assert "the plot cannot be written (No such file or directory)" in result.err


def test_plot_without_matplotlib_says_what_to_install(sp1065: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(sp1065, "--plot", "a.svg")
    assert result.status == 2
    assert "pip install 'timesync[plot]'" in result.err


def test_plot_of_nothing_is_told(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "constant.txt"
    path.write_text("1\n" * 20)
    result = run(str(path), "--plot", str(tmp_path / "a.svg"))
    assert result.status == 2
    assert "nothing to plot" in result.err
