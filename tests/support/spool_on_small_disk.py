"""Fill the disk under a spool, make room again, and say in JSON what the spool did.

Run: python spool_on_small_disk.py DIRECTORY, the directory being on a small file system of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from timesync.model import Record
from timesync.settings import SpoolSettings
from timesync.store.lanes import Lane
from timesync.store.spool import Spool


def main() -> None:
    directory = Path(sys.argv[1])
    ballast = directory / "ballast"
    ballast.write_bytes(b"\0" * 2_000_000)
    spool = Spool(SpoolSettings(directory / "spool"), ["one"], clock_ns=lambda: 0)
    number = on_disk = 0
    while number < 20_000 and spool.status().buffered < 500:
        fields = {"number": number, "text": "x" * 700}
        on_disk += spool.append([Record("time_error", number, {"target": "a"}, fields)])
        number += 1
    full = spool.status()
    spool.maintain()
    still_full = spool.retry()
    ballast.unlink()
    recovered = spool.retry()
    spool.maintain()
    got: list[int] = []
    for lane in (Lane.BACKLOG, Lane.LIVE):
        while (batch := spool.read("one", lane, 20_000)) is not None:
            got += [int(each.fields["number"]) for each in batch.records]
            spool.settle(batch)
    kinds = [event.kind for event in spool.take_events()]
    status = spool.status()
    spool.close()
    answer = {
        "appended": number,
        "on_disk": on_disk,
        "full": [full.buffered, full.failing],
        "still_full": still_full,
        "recovered": recovered,
        "complete": got == list(range(number)),
        "left": [status.buffered, status.failing, status.dropped, status.refused],
        "kinds": kinds,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
