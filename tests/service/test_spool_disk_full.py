"""A real file system of four megabytes, in a mount namespace of its own, that fills up under the spool."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import support.spool_on_small_disk as script

if TYPE_CHECKING:
    from pathlib import Path


def test_full_disk_costs_no_record_and_is_told_once(root: None, tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -P "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, script.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["full"] == [500, "database or disk is full"]
    assert told["on_disk"] == told["appended"] - 500
    assert not told["still_full"]
    assert told["recovered"]
    assert told["complete"]
    assert told["left"] == [0, None, 0, 0]
    assert told["kinds"].count("spool_append_failed") == 1
    assert told["kinds"].count("spool_recovered") == 1
