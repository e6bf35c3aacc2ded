"""What has been measured is for this user and its group: no file of the store can be read by others, whatever the umask."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

import pytest

from timesync.model import Record
from timesync.settings import SpoolSettings
from timesync.store.local import History
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_no_file_of_spool_and_history_is_open_to_others(tmp_path: Path) -> None:
    record = Record("time_error", 1, {"target": "a"}, {"offset_s": 1.0})
    spool = Spool(SpoolSettings(tmp_path), ["history"], clock_ns=time.time_ns)
    spool.append([record])
    spool.maintain()
    history = History(tmp_path / "history.sqlite3", read_only=False)
    history.write([record])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    history.close()
    spool.close()
    assert {"history.sqlite3", "history.sqlite3-wal", "ledger.sqlite3", "ledger.sqlite3-wal"} <= modes.keys()
    assert len([name for name in modes if name.startswith("segment")]) >= 2
    assert set(modes.values()) == {0o640}, modes
