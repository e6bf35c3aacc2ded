"""How far off a measured offset is, on a veth pair against chronyd, and what other clients get at the same time.

Both ends share one clock, so the true offset is zero and each offset is its own error. The clients take turns, in an order that
changes each round, so that all see the same machine; two chronyd clients run beside them at a poll of about the same pace and tell
their raw measurements in their log. `chronyd -Q` prints microseconds and takes seconds for one answer: fewer of those.

The standard deviation of 300 exchanges is made by the one that an interrupt or a stolen time slice hit between the two kernel
stamps of one direction (its delay is as much too long), whoever the client. So `RUNS` runs are made, each is told, and what is
promised for a run is held against the median run of each client.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ntplib
import ntpstats.sntp
from support.chrony import Chronyd
from support.debian import LabError, binary, environment, missing
from support.figures import Figures, options, robust_sd, text_table
from support.netns import cabled_pair
from support.process import Program

from timesync.model import Exchange, Missed, Timestamping
from timesync.plugin import EngineContext, load_kind
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.uncertainty import clock_offset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from support.netns import Pair

# Standard deviation and |median|, us, that the project promises here.
LIMITS = {"timesync interleaved": (0.5, 2.0), "timesync basic": (2.5, 5.0)}
# The first rounds fill caches and neighbour tables.
WARM_UP_ROUNDS = 10
RUNS = 5
SPACING_S = 0.008
# chronyd's own poll: 2^-4 s, about a round of ours.
CHRONY_POLL = -4
ONE_SHOT = re.compile(r"System clock wrong by (-?[\d.]+) seconds")


@dataclass(slots=True)
class Series:
    """What one client measured, s."""

    offsets_s: list[float] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    beyond_bound: int | None = None
    lost: int = 0
    note: str = ""

    def row(self, name: str) -> tuple[str, ...]:
        """One line of the table; us."""
        offsets = [offset * 1e6 for offset in self.offsets_s]
        if len(offsets) < 2:
            return (name, str(len(offsets)), "-", "-", "-", "-", "-", str(self.lost), self.note)
        return (
            name,
            str(len(offsets)),
            f"{statistics.median(offsets):+.2f}",
            f"{statistics.stdev(offsets):.2f}",
            f"{robust_sd(offsets):.2f}",
            f"{min(self.delays_s) * 1e6:.1f}" if self.delays_s else "-",
            "-" if self.beyond_bound is None else str(self.beyond_bound),
            str(self.lost),
            self.note,
        )


class Timesync:
    """Our own client, by the engine and the prober that the daemon uses."""

    def __init__(self, mode: str) -> None:
        self.series = Series(beyond_bound=0)
        self.counting = False
        self._mode = mode
        self._kinds: set[str] = set()
        self._prober: Any = None

    async def open(self, address: str) -> None:
        """Begin the association."""
        target = TargetSettings("server", "ntp", address, timeout_s=2.0, options={"mode": self._mode})
        settings = ProbeSettings(SiteSettings("lab", "probe"), (target,), SpoolSettings(Path()))
        engine = load_kind("ntp").open(EngineContext(settings, lambda event: None, lambda: 0))
        self._prober = await engine.open_target(target)

    async def ask(self) -> None:
        """One poll; in interleaved mode it completes the exchange before."""
        for outcome in await self._prober.poll():
            if not self.counting:
                continue
            if isinstance(outcome, Missed):
                self.series.lost += 1
            elif isinstance(outcome, Exchange):
                self.take(outcome)

    def take(self, exchange: Exchange) -> None:
        """Count an exchange. One that is not of the mode that was asked for, or not kernel stamped, is told in the note."""
        offset = clock_offset(exchange)
        self.series.offsets_s.append(offset.offset_s)
        self.series.delays_s.append(offset.delay_s)
        assert self.series.beyond_bound is not None
        self.series.beyond_bound += abs(offset.offset_s) > offset.bound_s
        self._kinds.add(f"{exchange.mode}, {offset.timestamping.value} stamps")
        assert Timestamping(offset.timestamping)
        self.series.note = "; ".join(sorted(self._kinds))

    async def close(self) -> None:
        """End the association."""
        await self._prober.close()


def ask_ntplib(host: str) -> tuple[float, float]:
    """One exchange by ntplib: offset and delay, s."""
    reply = ntplib.NTPClient().request(host, version=4, timeout=2)
    return reply.offset, reply.delay


def ask_ntpstats(host: str) -> tuple[float, float]:
    """One exchange by ntpstats: offset and delay, s."""
    reply = ntpstats.sntp.query(host, timeout=2.0)
    return reply.offset, reply.delay


PEERS: dict[str, Callable[[str], tuple[float, float]]] = {"ntplib": ask_ntplib, "ntpstats 3.8": ask_ntpstats}


async def rounds(host: str, count: int) -> dict[str, Series]:
    """`count` rounds in which every client asks once; the first of them are not counted."""
    ours = {"timesync interleaved": Timesync("auto"), "timesync basic": Timesync("basic")}
    found = {name: client.series for name, client in ours.items()} | {name: Series() for name in PEERS}
    for client in ours.values():
        await client.open(host)

    async def peer(name: str) -> None:
        try:
            offset_s, delay_s = PEERS[name](host)
        except (OSError, ntplib.NTPException, ntpstats.sntp.NTPError):
            found[name].lost += 1
            return
        found[name].offsets_s.append(offset_s)
        found[name].delays_s.append(delay_s)

    turns: list[Callable[[], Awaitable[None]]] = [client.ask for client in ours.values()]
    turns += [lambda name=name: peer(name) for name in PEERS]  # type: ignore[misc]  # each its own name
    for number in range(WARM_UP_ROUNDS + count):
        if number == WARM_UP_ROUNDS:
            for name in PEERS:
                found[name].offsets_s.clear()
                found[name].delays_s.clear()
            for client in ours.values():
                client.counting = True
        for turn in range(len(turns)):
            await turns[(turn + number) % len(turns)]()
            await asyncio.sleep(SPACING_S)
    for client in ours.values():
        await client.close()
    return found


# chronyd as a client


@contextmanager
def chronyd_client(pair: Pair, *words: str) -> Iterator[Callable[[], Series]]:
    """chronyd measuring the server without touching the clock; gives what it has logged so far."""
    with tempfile.TemporaryDirectory(prefix="chrony-client-") as folder:
        here = Path(folder)
        here.chmod(0o750)
        (here / "chrony.conf").write_text(
            "\n".join(
                [
                    f"server {pair.server_ipv4} minpoll {CHRONY_POLL} maxpoll {CHRONY_POLL} iburst {' '.join(words)}",
                    "port 0",
                    "cmdport 0",
                    f"bindcmdaddress {here}/s.sock",
                    f"pidfile {here}/pid",
                    f"logdir {here}",
                    "log rawmeasurements",
                    "user root",
                ]
            )
            + "\n"
        )
        argv = [binary("chronyd"), "-d", "-x", "-f", here / "chrony.conf"]
        with Program(argv, namespace=pair.client.name) as program:
            log = here / "measurements.log"
            program.wait_ready(log.exists, "it began its log")
            yield lambda: read_log(log.read_text(), interleaved="xleave" in words)


def read_log(text: str, *, interleaved: bool) -> Series:
    """The raw measurements of chrony.conf(5): offset and delay are columns 12 and 13, mode and stamps 18 to 20."""
    series = Series()
    kinds: set[str] = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 20 or not words[0][0].isdigit():
            continue
        if words[17].endswith("I") is not interleaved:
            continue  # the first exchanges of an interleaved association are basic
        series.offsets_s.append(float(words[11]))
        series.delays_s.append(float(words[12]))
        kinds.add(f"stamps {words[18]}{words[19]}")
    series.note = "; ".join(sorted(kinds))
    return series


def one_shots(pair: Pair, until: threading.Event, most: int) -> Series:
    """`chronyd -Q` again and again until told to stop."""
    series = Series(note="prints whole us")
    directives = [f"server {pair.server_ipv4} iburst maxsamples 1", "user root"]
    argv = [str(binary("ip")), "netns", "exec", pair.client.name, "setpriv", "--bounding-set=-sys_time"]
    argv += ["--inh-caps=-sys_time", str(binary("chronyd")), "-Q", "-t", "10", *directives]
    while not until.is_set() and len(series.offsets_s) < most:
        done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False)
        match = ONE_SHOT.search(done.stdout + done.stderr)
        if match is None:
            series.lost += 1
            series.note = (done.stderr or done.stdout).strip().splitlines()[-1][:60]
            if series.lost > 3:
                break
            continue
        # "System clock wrong by" is what would be added to the local clock: server minus client.
        series.offsets_s.append(float(match[1]))
    return series


# The run


def measure(count: int) -> dict[str, Series]:
    """All clients on one cable."""
    with ExitStack() as stack:
        pair = stack.enter_context(cabled_pair())
        stack.enter_context(Chronyd(inside=pair.server, options=["clientloglimit 16777216"]))
        logged = {
            "chronyd interleaved": stack.enter_context(chronyd_client(pair, "xleave")),
            "chronyd basic": stack.enter_context(chronyd_client(pair)),
        }
        ended = threading.Event()
        shots: list[Series] = []
        shooting = threading.Thread(target=lambda: shots.append(one_shots(pair, ended, count)))
        shooting.start()
        try:
            found = pair.client.call(lambda: asyncio.run(rounds(pair.server_ipv4, count)))
            deadline = time.monotonic() + 60
            while any(len(read().offsets_s) < count for read in logged.values()) and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            ended.set()
            shooting.join()
        for name, read in logged.items():
            found[name] = read()
        found["chronyd -Q"] = shots[0]
    return found


def table(found: dict[str, Series]) -> str:
    """One run for a person."""
    heads = ("client (us)", "n", "median", "sd", "robust sd", "least delay", "beyond bound", "lost", "")
    return text_table([heads, *(series.row(name) for name, series in found.items())])


def report(figures: Figures, runs: list[dict[str, Series]]) -> None:
    """Each client's run-by-run spread, and the figures of its median run with their limits."""
    rows = [("sd of each run (us)", *(f"run {number + 1}" for number in range(len(runs))), "median")]
    spreads: dict[str, float] = {}
    for name in runs[0]:
        each = [statistics.stdev(run[name].offsets_s) * 1e6 for run in runs if len(run[name].offsets_s) > 1]
        if each:
            spreads[name] = statistics.median(each)
            rows.append((name, *(f"{spread:.2f}" for spread in each), f"{spreads[name]:.2f}"))
    print(f"\n{text_table(rows)}", flush=True)
    medians = {
        name: statistics.median(abs(statistics.median(run[name].offsets_s)) for run in runs if run[name].offsets_s)
        * 1e6
        for name in spreads
    }
    robust = {name: statistics.median(robust_sd(run[name].offsets_s) for run in runs) * 1e6 for name in spreads}
    for name, (sd_limit, median_limit) in LIMITS.items():
        figures.add(f"{name}: standard deviation", spreads[name], "us", limit=sd_limit)
        figures.add(f"{name}: |median|", medians[name], "us", limit=median_limit)
        figures.add(f"{name}: robust standard deviation", robust[name], "us")
        beyond = sum(run[name].beyond_bound or 0 for run in runs)
        figures.add(f"{name}: errors beyond the bound, all runs", beyond, "", limit=0)
    ours = robust["timesync interleaved"]
    for name, spread in spreads.items():
        if name not in LIMITS:
            figures.add(f"{name}: standard deviation", spread, "us")
            figures.add(f"{name}: |median|", medians[name], "us")
            ratio = robust[name] / ours if ours else 0.0
            figures.add(f"{name}: robust sd, ratio to timesync interleaved", ratio, "", better="higher")


def main() -> None:
    """Measure and report."""
    chosen = options(__doc__).parse_args()
    reason = missing("chronyd")
    if reason:
        sys.exit(reason)
    runs = []
    try:
        for number in range(1 if chosen.quick else RUNS):
            runs.append(measure(60 if chosen.quick else 300))
            print(f"run {number + 1}\n{table(runs[-1])}\n", flush=True)
    except LabError as error:
        sys.exit(str(error))
    figures = Figures()
    report(figures, runs)
    details = [
        {name: {"offsets_s": series.offsets_s, "delays_s": series.delays_s} for name, series in run.items()}
        for run in runs
    ]
    figures.finish(chosen.output, {"runs": details})


if __name__ == "__main__":
    main()
