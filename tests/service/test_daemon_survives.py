"""The daemon is killed without warning, again and again: every reply that it got is in its history, once."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from probes.simulated import SimulatedServer, Spec
from timesync.daemon import HISTORY_FILE
from timesync.store.local import History, Selection

KILLS = 8


# A target that is compared with nothing is a row at once; one whose reference is asked every 8 s waits for it most of the time.
REFERENCE = """
[[target]]
name = "reference"
address = "{address}"
mode = "basic"
interval_s = 8
timeout_s = 0.04
realises = "UTC(TEST)"
tie_bound_s = 1e-6
tie_u_s = 1e-7
"""


@pytest.mark.parametrize("reference", [False, True])
async def test_kill_9_costs_at_most_the_exchange_in_flight(tmp_path: Path, reference: bool) -> None:
    server, other = SimulatedServer(Spec("server", "", offset_s=0.025)), SimulatedServer(Spec("reference", ""))
    (tmp_path / "site.toml").write_text(
        '[site]\nname = "s"\nprobe = "p"\n[spool]\ndirectory = "state"\n[http]\nenabled = false\n'
        f'[[target]]\nname = "server"\naddress = "{server.address}"\nmode = "basic"\ninterval_s = 0.05\ntimeout_s = 0.04\n'
        + (REFERENCE.format(address=other.address) if reference else "")
    )
    program = Path(sys.executable).with_name("timesync")
    instants = random.Random(9)
    for life in range(KILLS + 1):
        before = server.replies
        daemon = await asyncio.create_subprocess_exec(
            program, "probe", "--config", tmp_path / "site.toml", stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(60):
            wanted = before + instants.randint(1, 40)
            while server.replies < wanted:
                await asyncio.sleep(0.01)
            await asyncio.sleep(instants.uniform(0.0, 0.7))
            if life < KILLS:
                daemon.kill()
            else:
                # Long enough for the history to have taken what earlier lives left in the spool.
                await asyncio.sleep(6.0)
                daemon.terminate()
            await daemon.wait()
    server.close()
    other.close()
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    rows = [record for record in history.records(Selection(target="server")) if "offset_s" in record.fields]
    history.close()
    assert server.replies - (KILLS + 1) <= len(rows) <= server.replies
    assert all(abs(float(row.fields["offset_s"]) - 0.025) <= float(row.fields["bound_s"]) for row in rows)
