"""The daemon is killed without warning, again and again: every reply that it got is in its history, once."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from probes.simulated import SimulatedServer, Spec
from timesync.daemon import HISTORY_FILE
from timesync.store.local import History, Selection

KILLS = 12


async def test_kill_9_costs_at_most_the_exchange_in_flight(tmp_path: Path) -> None:
    server = SimulatedServer(Spec("server", "", offset_s=0.025))
    (tmp_path / "site.toml").write_text(
        '[site]\nname = "s"\nprobe = "p"\n[spool]\ndirectory = "state"\n[http]\nenabled = false\n'
        f'[[target]]\nname = "server"\naddress = "{server.address}"\nmode = "basic"\ninterval_s = 0.05\ntimeout_s = 0.04\n'
    )
    program = Path(sys.executable).with_name("timesync")
    instants = random.Random(9)
    for life in range(KILLS + 1):
        before = server.replies
        daemon = await asyncio.create_subprocess_exec(
            program, "probe", "--config", tmp_path / "site.toml", stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(60):
            while server.replies < before + 3:
                await asyncio.sleep(0.01)
            await asyncio.sleep(instants.uniform(0.0, 0.7))
            if life < KILLS:
                daemon.kill()
            else:
                # Long enough for the history to have taken what earlier lives left in the spool.
                await asyncio.sleep(2.0)
                daemon.terminate()
            await daemon.wait()
    server.close()
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    rows = [record for record in history.records(Selection(target="server")) if "offset_s" in record.fields]
    history.close()
    assert len({row.at_ns for row in rows}) == len(rows)
    assert server.replies - (KILLS + 1) <= len(rows) <= server.replies
    assert all(abs(float(row.fields["offset_s"]) - 0.025) <= float(row.fields["bound_s"]) for row in rows)
