"""A backup is taken while the probe runs, is whole, and who begins with it has everything that was acknowledged before."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.handing_on import numbers_handed_on
from support.installed import program
from support.process import Program, wait_until

from probes.simulated import SimulatedServer, Spec
from timesync.cli import main
from timesync.errors import StoreError
from timesync.store.backup import STATE, back_up, backups
from timesync.store.local import History, Selection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


TESTS = Path(__file__).parents[1]
WRITER = """
import asyncio, sys
from pathlib import Path
from support.spool_victim import live
asyncio.run(live(Path(sys.argv[1]), 0, 7, int(sys.argv[2])))
"""


class Writer:
    """A process that appends 0, 1, 2 ... and delivers them to a history. `last` is the newest number acknowledged to it."""

    def __init__(self, directory: Path) -> None:
        self.last = -1
        reading, writing = os.pipe()
        argv = [sys.executable, "-c", WRITER, directory, str(writing)]
        environ = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        self._process = subprocess.Popen(argv, pass_fds=[writing], env=environ)
        os.close(writing)
        self._thread = threading.Thread(target=self._listen, args=[reading])
        self._thread.start()

    def _listen(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self.last = int(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "live")
    wait_until(lambda: made.last > 2000, "it wrote")
    yield made
    made.kill()


async def test_whoever_begins_with_a_backup_has_all_that_was_acknowledged_before_it_began(
    writer: Writer, tmp_path: Path
) -> None:
    copies = []
    for number in range(6):
        before = writer.last
        copied = await asyncio.to_thread(back_up, tmp_path / "live", tmp_path / "into", f"2026112810000{number}Z")
        copies.append((before, copied.folder / STATE))
        await asyncio.sleep(0.2)
    assert writer.last > before  # it was not held up
    for before, state in copies:
        numbers = await numbers_handed_on(state)
        assert numbers[: before + 1] == list(range(before + 1))  # of what came while it was taken, some may be in it
        assert len(numbers) == len(set(numbers))


def test_a_backup_is_private_and_has_no_companion_files(writer: Writer, tmp_path: Path) -> None:
    folder = back_up(tmp_path / "live", tmp_path / "into", "20261128T100000Z").folder
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    names = {path.name for path in folder.rglob("*")}
    assert {"history.sqlite3", "ledger.sqlite3"} <= names
    assert not [name for name in names if name.endswith(("-wal", "-shm", ".part")) or name == "lock"]


SITE = """
[site]
name = "s"
probe = "p"
[spool]
directory = "state"
[http]
enabled = false
[[target]]
name = "server"
address = "{address}"
interval_s = 0.1
timeout_s = 0.05
"""


def rows(state: Path) -> int:
    """How many rows of the server are in a history; none before its tables are made."""
    if not (state / "history.sqlite3").exists():
        return 0
    try:
        with closing(History(state / "history.sqlite3", read_only=True)) as reader:
            return sum(1 for _ in reader.records(Selection(target="server")))
    except (StoreError, sqlite3.Error):
        return 0


@pytest.fixture
async def server() -> AsyncIterator[SimulatedServer]:
    made = SimulatedServer(Spec("server", ""))
    yield made
    made.close()


async def test_a_probe_goes_on_from_a_backup_as_the_guide_says(server: SimulatedServer, tmp_path: Path) -> None:
    """deploy/README.md: back up while it runs, stop, put the folder in the place of the old one, start."""
    site, state = tmp_path / "site.toml", tmp_path / "state"
    site.write_text(SITE.format(address=server.address))

    def live(least: int) -> None:
        argv = [program(), "probe", "--config", site]
        with Program(argv, cwd=tmp_path) as daemon:
            daemon.wait_ready(
                lambda: rows(state) >= least, f"{least} rows were in the history", timeout_s=60, every_s=0.2
            )
            done = subprocess.run(
                [program(), "backup", tmp_path / "backups", "--config", site, "--keep", "1"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    await asyncio.to_thread(live, 10)
    (backup,) = backups(tmp_path / "backups")
    assert (backup / "site.toml").read_text() == site.read_text()
    kept = rows(backup / STATE)
    assert kept >= 10
    shutil.rmtree(state)
    shutil.copytree(backup / STATE, state)
    await asyncio.to_thread(time.sleep, 1.1)  # a backup a second
    await asyncio.to_thread(live, kept + 5)
    (again,) = backups(tmp_path / "backups")
    assert again != backup
    assert rows(again / STATE) >= kept + 5
    assert not list(state.glob("*corrupt*"))


@contextmanager
def at_work_in(part: Path) -> Iterator[None]:
    """Another process that holds a folder as a backup does."""
    argv = ["flock", "--exclusive", part, "sh", "-c", "echo begun; read end"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        yield
        process.communicate(b"\n")


def keep_something(directory: Path) -> None:
    directory.mkdir()
    for name in ("history.sqlite3", "ledger.sqlite3"):
        with closing(sqlite3.connect(directory / name)) as database:
            database.execute("CREATE TABLE t (x)")
            database.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 1000)
            database.commit()


def test_a_damaged_file_makes_no_backup(tmp_path: Path) -> None:
    keep_something(tmp_path / "state")
    with (tmp_path / "state" / "history.sqlite3").open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff" * 20_000)
    with pytest.raises(StoreError, match=r"history\.sqlite3 is damaged"):
        back_up(tmp_path / "state", tmp_path / "into", "20261128T100000Z")
    assert list((tmp_path / "into").iterdir()) == []


def test_only_the_newest_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    keep_something(tmp_path / "state")
    for second in range(5):
        back_up(tmp_path / "state", tmp_path / "into", f"20261128T10000{second}Z")
    (tmp_path / "into" / "timesync-notes").mkdir()
    argv = ["backup", str(tmp_path / "into"), "--directory", str(tmp_path / "state"), "--keep", "2"]
    assert main(argv) == 0
    left = [path.name for path in backups(tmp_path / "into")]
    assert left[0] == "timesync-20261128T100004Z"
    assert len(left) == 2
    assert (tmp_path / "into" / "timesync-notes").is_dir()


def test_what_a_killed_backup_left_is_removed_by_the_next_and_one_at_work_is_left_alone(tmp_path: Path) -> None:
    keep_something(tmp_path / "state")
    into = tmp_path / "into"
    left, at_work = (into / f".timesync-20261128T10000{second}Z.part" for second in (0, 1))
    for part in (left, at_work):
        (part / STATE).mkdir(parents=True)
        (part / STATE / "history.sqlite3").write_bytes(b"half")
    with at_work_in(at_work):
        back_up(tmp_path / "state", into, "20261128T100002Z")
        assert {path.name for path in into.iterdir()} == {at_work.name, "timesync-20261128T100002Z"}
    back_up(tmp_path / "state", into, "20261128T100003Z")
    assert not at_work.exists()


@pytest.mark.parametrize(
    ("into", "directory", "reason"),
    [("state/backups", "state", "is within"), ("into", "elsewhere", "keeps nothing")],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, into: str, directory: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_something(tmp_path / "state")
    assert main(["backup", str(tmp_path / into), "--directory", str(tmp_path / directory)]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("word", ["0", "-1", "all"])
def test_a_number_of_backups_is_at_least_one(tmp_path: Path, word: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["backup", str(tmp_path), f"--keep={word}"])
    assert caught.value.code == 2
