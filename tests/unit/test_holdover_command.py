"""`timesync holdover` as a person and as a script use it: the sentence, the table, JSON, the plot, exit statuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.clocks import rubidium, simulated

from timesync.cli import main
from timesync.holdover import ClockNoise
from timesync.holdover.episodes import Episode
from timesync.holdover_service import fields_of
from timesync.model import Record
from timesync.store.local import History

NOISE = ClockNoise((5e-9) ** 2, (2e-11) ** 2)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Half a day of a rubidium clock at 60 s whose frequency is 1e-12 off, 20 ns ahead at its end."""
    _, seen = simulated(NOISE, 720, np.random.default_rng(3), tau0_s=60.0, y0=1e-12)
    file = tmp_path / "rubidium.txt"
    seen += 20e-9 - seen[-1]
    file.write_text("".join(f"{60 * number} {x:.6e}\n" for number, x in enumerate(seen)))
    return file


def test_the_answer_comes_first_in_one_sentence(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["holdover", str(record), "--limit", "100ns", "--limit", "10us", "--horizon", "7d"])
    told = capsys.readouterr().out.splitlines()
    assert status == 1
    assert told[0].startswith("rubidium.txt stays within 100 ns for ")
    assert told[0].endswith(" h with 95 % confidence.")
    assert told[1] == "rubidium.txt stays within 10 us for the whole 7.0 d with 95 % confidence."
    assert any("14.0 times as long as the record" in line for line in told)


def test_json_says_the_same_for_a_script(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["holdover", str(record), "--limit", "100ns", "--horizon", "2d", "--json", "--backtest"])
    found = json.loads(capsys.readouterr().out)
    limit = found["limits"][0]
    assert status == found["status"] == 1
    # 80 ns at 1e-12 take 22 h: 95 % confidence is before, the median near that
    assert limit["within_s"] < 80e-9 / 1e-12
    assert limit["median_s"] == pytest.approx(80e-9 / 1e-12, rel=0.4)
    assert found["samples"] == 720
    assert found["backtest"]["forecasts"] == 20
    assert 0.5 <= found["backtest"]["simultaneous_coverage"] <= 1.0
    assert all(
        low <= mean <= high
        for low, mean, high in zip(*(found["forecast"][name] for name in ("low_s", "mean_s", "high_s")), strict=True)
    )


def test_the_readme_says_what_the_command_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence, and the picture beside it."""
    file = tmp_path / "rubidium.txt"
    file.write_text(rubidium())
    main(["holdover", str(file), "--limit", "100ns", "--horizon", "24h"])
    sentence = capsys.readouterr().out.splitlines()[0]
    root = Path(__file__).parents[2]
    assert f"    {sentence}\n" in (root / "README.md").read_text(encoding="utf-8")
    assert sentence in (root / "dashboards" / "pictures" / "holdover.svg").read_text(encoding="utf-8")


def test_within_the_limit_throughout_is_status_0(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holdover", str(record), "--limit", "1ms", "--horizon", "1h"]) == 0


def test_beyond_the_limit_now_is_said(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holdover", str(record), "--limit", "1ns", "--horizon", "1h"]) == 1
    assert "cannot be said to be within 1 ns even now (+" in capsys.readouterr().out


def test_too_little_is_status_3_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "short.txt"
    file.write_text("".join(f"{number} 0.0\n" for number in range(5)))
    assert main(["holdover", str(file)]) == 3
    assert "5 samples are too few to know a clock by: at least 12 are needed" in capsys.readouterr().err


def test_frequency_is_summed_to_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(4)
    file = tmp_path / "clock.txt"
    file.write_text("".join(f"{1e-9 + 1e-11 * y:.6e}\n" for y in rng.standard_normal(400)))
    assert main(["holdover", str(file), "--kind", "frequency", "--tau0", "10", "--horizon", "1000", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["span_s"] == pytest.approx(4000.0)
    assert found["forecast"]["mean_s"][-1] == pytest.approx(1e-9 * 5000, abs=3e-9)


def test_a_target_of_the_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = History(tmp_path / "history.sqlite3", read_only=False)
    rng = np.random.default_rng(5)
    tags = {"site": "S", "probe": "p", "target": "gm", "protocol": "ptp", "reference": "utc"}
    begin_ns = 1_800_000_000_000_000_000
    history.write(
        [
            Record("time_error", begin_ns + number * 10**9, tags, {"time_error_s": 1e-6 + 1e-8 * x, "claim": "valid"})
            for number, x in enumerate(rng.standard_normal(100).tolist())
        ]
    )
    episodes = [
        Episode(
            begin_ns,
            begin_ns + last * 10**9,
            9,
            1e-6 * last,
            2e-6,
            1e-8,
            None,
            last > 50,
            1.0,
            9,
            0,
            ((10.0, 1e-9 * last),),
        )
        for last in (20, 50, 5000)
    ]
    history.write([Record("holdover_episode", each.exit_ns, tags, fields_of(each)) for each in episodes])
    history.close()
    words = ["holdover", "gm", "--directory", str(tmp_path), "--limit", "5us", "--horizon", "60"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "Holdovers that are over: 3, median 50.0 s, longest 83.3 min\n" in told
    assert "largest time error 5.000 ms, median step at the end 2.000 us, median rate 1e-08\n" in told
    assert "1 of the 3 forecasts made in them held throughout" in told
    assert main([*words, "--json", "--to", "2027-01-15T08:01:40Z"]) == 0  # the longest ends after that
    past = json.loads(capsys.readouterr().out)["history"]
    assert (past["episodes"], past["longest_s"], past["held"]) == (2, 50.0, 0)
    (after,) = past["after"]
    assert (after["elapsed_s"], after["episodes"]) == (10.0, 2)
    assert [after[name] for name in ("p50_s", "p90_s", "p99_s")] == pytest.approx([3.5e-8, 4.7e-8, 4.97e-8])
    assert main([*words, "--from", "2027-01-15T08:01:35Z"]) == 3  # five samples
    told = capsys.readouterr()
    assert told.out.startswith("Holdovers that are over: 3")
    assert "too few" in told.err
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("gm stays within 5 us for the whole 60.0 s")
    assert main(["holdover", "nobody", "--directory", str(tmp_path)]) == 2
    assert "has no target 'nobody'; it has gm" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_plot_is_written(record: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / f"holdover.{ending}"
    assert main(["holdover", str(record), "--limit", "100ns", "--horizon", "1d", "--plot", str(out)]) == 1
    data = out.read_bytes()
    assert data.startswith(b"\x89PNG") if ending == "png" else b"rubidium.txt stays within 100 ns" in data
    assert b"http://" not in data.replace(b"http://www.w3.org", b"")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["x", "--limit", "0"], "'0' is not a time above 0"),
        (["x", "--limit", "5 parsec"], "is not a time above 0, as 1us"),
        (["x", "--confidence", "1"], "'1' is not a probability from 0.5 to below 1"),
    ],
)
def test_bad_words_are_told(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["holdover", *words])
    assert complaint in capsys.readouterr().err


def test_durations_have_units() -> None:
    from timesync.commands.numbers import duration

    assert [duration(text) for text in ("1us", "90 min", "24h", "7d", "1e-6", "250ms")] == pytest.approx(
        [1e-6, 5400.0, 86_400.0, 604_800.0, 1e-6, 0.25]
    )
    assert math.isclose(duration("100ns"), 1e-7)
