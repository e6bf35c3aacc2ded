"""The PTP probe on a veth pair: how far off beside a ptp4l client in the same run, and 64 masters at 8 Hz in one process.

Both ends share one clock, so the true offset is zero and each offset is its own error. The client runs free at the same end of the
cable as the probe; both take about one sample a second. The client's is the offset of a Sync with a median of its last ten path
delays; ours that of a Sync with the faster of two questions, and no filter. The 64 masters are one process that sends by a script,
on a cable too; a poll asks them all.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from support.debian import missing
from support.figures import Figures, options, robust_sd, text_table
from support.netns import cabled_pair
from support.ptp4l import Ptp4l
from support.ptpmaster import GROUP, ScriptedMaster
from support.ptpmeasuring import measure_ptp

from timesync.model import Missed, Timestamping
from timesync.plugin import EngineContext, load_kind
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings

if TYPE_CHECKING:
    from support.netns import Pair
    from support.ptpmeasuring import Heard

# What the project promises on a cable, us.
MEDIAN_LIMIT_US = 2.0
MASTERS, RATE_HZ = 64, 8
POLL_S = 0.125
PORTS = (319, 320)
# A client that runs free tells one sample a second at most.
EACH_SECOND = {"summary_interval": -4, "freq_est_interval": 0}


def one_run(count: int) -> tuple[Heard, list[float], list[float]]:
    """Our probe and a ptp4l client listen to one ptp4l at the same time: what was heard, our offsets and the client's, us."""
    with cabled_pair() as pair, Ptp4l(pair.server), Ptp4l(pair.client, client=True, options=EACH_SECOND) as client:
        before = len(client.offsets)
        heard = pair.client.call(partial(measure_ptp, count, interval_s=0.9, options={"timescale": "utc"}))
        # ptp4l tells local minus master; ours is master minus local.
        theirs = [-offset / 1e3 for offset, _ in client.offsets[before:]]
    return heard, [offset.offset_s * 1e6 for offset in heard.offsets()], theirs


def beside_ptp4l(figures: Figures, runs: int, count: int) -> None:
    """Several runs, each with processes of its own, since a run's luck with the scheduler is its own too; their medians count."""
    rows = [("run: client (us)", "n", "median", "sd", "robust sd")]
    found: dict[str, list[tuple[float, float, float]]] = {"timesync": [], "ptp4l": []}
    violations = missed = 0
    for run in range(runs):
        heard, ours, theirs = one_run(count)
        violations, missed = violations + len(heard.violations(0.0)), missed + len(heard.missed())
        for name, values in (("timesync", ours), ("ptp4l", theirs)):
            cells = (statistics.median(values), statistics.stdev(values), robust_sd(values))
            found[name].append(cells)
            rows.append((f"{run + 1}: {name}", str(len(values)), *(f"{cell:.3f}" for cell in cells)))
    print(text_table(rows), flush=True)
    middle = {
        name: [statistics.median(abs(run[column]) for run in of_runs) for column in range(3)]
        for name, of_runs in found.items()
    }
    figures.add("|median|, median of the runs", middle["timesync"][0], "us", limit=MEDIAN_LIMIT_US)
    figures.add("standard deviation, median of the runs", middle["timesync"][1], "us", limit=middle["ptp4l"][1])
    figures.add("robust standard deviation", middle["timesync"][2], "us")
    figures.add("ptp4l: |median|", middle["ptp4l"][0], "us")
    figures.add("ptp4l: standard deviation", middle["ptp4l"][1], "us")
    figures.add("ptp4l: robust standard deviation", middle["ptp4l"][2], "us")
    wider = sum(ours[1] > theirs[1] for ours, theirs in zip(found["timesync"], found["ptp4l"], strict=True))
    figures.add("runs with a standard deviation above ptp4l's", wider, f"of {runs}")
    figures.add("errors beyond the bound", violations, "", limit=0)
    figures.add("polls without a measurement", missed, "polls", limit=0)


class Crowd(ScriptedMaster):
    """64 scripted masters in one: each turn all of them announce and sync, and each question has 64 answers."""

    def _tick(self) -> None:
        for number in range(MASTERS):
            self.clock = 0x0011220000000000 + number
            super()._tick()
            self.sequence = (self.sequence - 1) & 0xFFFF
        self.sequence = (self.sequence + 1) & 0xFFFF

    def _answer(self) -> None:
        request, _ = self._event.recvfrom(2048)
        at_ns = time.time_ns()
        if request[0] & 0x0F != 1:
            return
        (sequence,) = struct.unpack_from(">H", request, 30)
        for number in range(MASTERS):
            self.clock = 0x0011220000000000 + number
            answer = self._header(0x9, 54, sequence) + self._stamp(at_ns) + request[20:30]
            self._general.sendto(answer, (GROUP, self.general_port))


def crowd(seconds: float) -> None:
    """Be 64 masters until the time is over (a process of its own, so that the probe's CPU is the probe's)."""
    with Crowd(*PORTS, interface="cable", interval_s=1 / RATE_HZ, log_interval=-3):
        time.sleep(seconds)


async def poll_all(seconds: float) -> dict[str, float]:
    """Poll the domain at 8 Hz; CPU share, and what became of the measurements."""
    target = TargetSettings("gm", "ptp", "cable", POLL_S, 0.12)
    settings = ProbeSettings(SiteSettings("lab", "probe"), (target,), SpoolSettings(Path()))
    engine = load_kind("ptp").open(EngineContext(settings, lambda event: None, lambda: 0))
    prober = await engine.open_target(target)
    await asyncio.sleep(2.0)
    await prober.poll()
    loop = asyncio.get_running_loop()
    begun_s, cpu_s = loop.time(), time.thread_time()
    polls = measured = missed = other_stamps = 0
    while loop.time() < begun_s + seconds:
        due_s = begun_s + (polls + 1) * POLL_S
        for outcome in await prober.poll():
            if isinstance(outcome, Missed):
                missed += 1
            else:
                measured += 1
                kinds = {outcome.tx_timestamping, outcome.rx_timestamping}  # type: ignore[union-attr]  # by E2E
                other_stamps += kinds != {Timestamping.KERNEL}
        polls += 1
        await asyncio.sleep(max(0.0, due_s - loop.time()))
    took_s, cpu_s = loop.time() - begun_s, time.thread_time() - cpu_s
    await prober.close()
    await engine.close()
    return {
        "rate": measured / took_s,
        "cpu": 100.0 * cpu_s / took_s,
        "measured": 100.0 * measured / (measured + missed),
        "lost": other_stamps,
        "polls": polls / took_s,
    }


def many(figures: Figures, seconds: float) -> None:
    """64 masters at 8 Hz on a cable."""
    with cabled_pair() as pair:
        ours = threading.Thread(target=start_crowd, args=(pair, seconds + 6.0))
        ours.start()
        try:
            found = pair.client.call(lambda: asyncio.run(poll_all(seconds)))
        finally:
            ours.join()
    figures.add("64 masters: measurements", found["rate"], "1/s")
    figures.add("64 masters: share of accounts that are measurements", found["measured"], "%", better="higher")
    figures.add("64 masters: CPU share of one core", found["cpu"], "%")
    figures.add("64 masters: stamps not the kernel's", found["lost"], "", limit=0)


def start_crowd(pair: Pair, seconds: float) -> None:
    """The 64 masters in a process in the server's namespace."""
    argv = ["ip", "netns", "exec", pair.server.name, sys.executable, __file__, "--crowd", str(seconds)]
    subprocess.run(argv, check=True, env=os.environ)


def main() -> None:
    """Measure and report."""
    parser = options(__doc__)
    parser.add_argument("--crowd", type=float, metavar="S", help="be the 64 masters for so long, and nothing else")
    chosen = parser.parse_args()
    if chosen.crowd is not None:
        crowd(chosen.crowd)
        return
    reason = missing("ptp4l")
    if reason:
        sys.exit(reason)
    figures = Figures()
    beside_ptp4l(figures, *((2, 15) if chosen.quick else (7, 25)))
    many(figures, 5.0 if chosen.quick else 20.0)
    figures.finish(chosen.output)


if __name__ == "__main__":
    main()
