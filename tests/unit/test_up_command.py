"""`timesync up` as a newcomer runs it: nothing but the command, without and with a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from timesync.daemon import HISTORY_FILE
from timesync.store.local import History, Selection

PROGRAM = Path(sys.executable).with_name("timesync")


def test_without_a_terminal_it_logs_the_table_and_ends_by_itself(tmp_path: Path) -> None:
    picture = tmp_path / "table.svg"
    words = ("--duration", "4", "--port", "0", "--directory", tmp_path / "state", "--picture", picture)
    done = subprocess.run([PROGRAM, "up", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "SIMULATED AS" in done.stderr
    for name in ("utc-demo", "good", "drifting", "bad-path", "holdover"):
        assert name in done.stderr
    drawn = picture.read_text()
    assert "SIMULATED" in drawn
    assert "font-face" not in drawn
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    good = [record for record in history.records(Selection(target="good")) if "time_error_s" in record.fields]
    history.close()
    assert good
    for record in good:
        # 3 us ahead, walking by 50 ns per square root of a second.
        error = float(record.fields["time_error_s"]) - 3e-6
        assert abs(error) <= float(record.fields["time_error_bound_s"]) + 1e-6


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--duration", "2", "--picture", "/nodir/x.svg"), "no file can be written there"),
        (("--picture", "x.svg"), "give --duration as well"),
    ],
)
def test_a_picture_that_cannot_be_written_is_said_at_once(words: tuple[str, ...], text: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "up", "--no-tui", "--port", "0", "--directory", tmp_path / "state", *words],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert text in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_picture_that_fails_at_the_end_ends_the_run_with_its_cause(tmp_path: Path) -> None:
    directory = tmp_path / "pictures"
    directory.mkdir()
    words = (
        "--no-tui",
        "--duration",
        "2",
        "--port",
        "0",
        "--directory",
        tmp_path / "state",
        "--picture",
        directory / "x.svg",
    )
    with subprocess.Popen(
        [PROGRAM, "up", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "state").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        directory.rmdir()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert "x.svg cannot be written: No such file or directory" in output


def test_on_a_terminal_it_draws_a_live_table(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    words = ("--duration", "4", "--port", "0", "--directory", tmp_path)
    with subprocess.Popen(
        [PROGRAM, "up", *words], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    ) as process:
        os.close(slave)
        seen = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the terminal is closed with its last process
                break
            if not piece:
                break
            seen += piece
        status = process.wait(20)
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace"))
    assert status == 0, text
    assert "OFFSET FROM UTC(DEMO)" in text
    # Small u is the standard uncertainty, capital U the expanded one (GUM sections 2.3.1 and 2.3.5).
    assert re.search(r"BOUND +u +DELAY", text), text
    assert "SIMULATED NETWORK" in text
    assert re.search(r"drifting\s+ok\s+\+2\d\d\.\d{3} us", text), text
    # The last line of the screen is where the page is; what is said at the end is how to look again.
    screen, _, end = text.rpartition("The probe has ended. ")
    address = re.search(r"Open (http://127\.0\.0\.1:\d+) in a browser: the page of this probe\s*$", screen)
    assert address, screen
    assert f"The page {address[1]} ended with it. To look again: timesync up" in end
    assert f"timesync export --directory {tmp_path}" in end.replace("\r\n", "")
