"""How much one probe process can do: exchanges per second on one core, and a whole daemon with 1,000 targets at 1 Hz.

Part 1, sustained rate. Real chronyd processes on several loopback addresses answer, on one core; the probe has another core for
itself (both pinned, where the machine has two). `probers` polls with as many targets at once as it can, which is the way from
request to clock offset; `rows` takes the outcomes through the pipeline too. The clock is shared, so an offset is its own error:
its distribution is taken at 10 %, 50 % and 100 % of the `rows` rate by the daemon's own scheduler and pipeline (nothing stored).

Part 2, the daemon: `timesync probe` with 1,000 targets at 1 Hz against a reference, spool and history on the disk, /metrics scraped
every 15 s. Its processor time is read from /proc. At the end each request that the servers say they received must be a row: of the
history, or of the spool, which is then emptied as the next start would.

On a machine that is busy with other things the processor time of an exchange says more than the rate: both are told.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.chrony import Chronyd, free_port
from support.debian import missing
from support.figures import Figures, options, quantile, text_table

from timesync.clockwatch import ClockWatch, read_clocks
from timesync.daemon import HISTORY_FILE
from timesync.measuring import Measuring
from timesync.model import Exchange, Missed, Timestamping
from timesync.pipeline import Pipeline
from timesync.plugin import EngineContext, load_kind
from timesync.settings import HttpSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie
from timesync.store.delivery import Delivery
from timesync.store.local import HistorySink
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from timesync.model import Outcome, Record

RATE_LIMIT = 5000.0
DAEMON_TARGETS = 1000
CPU_LIMIT_PERCENT = 25.0
RSS_LIMIT_MB = 80.0
# Growth that is no leak: the allocator's own coming and going, and SQLite's caches, which have a limit.
GROWTH_LIMIT_MB = 2.0
GROWTH_FROM_S = 500.0
SERVERS = 4
TARGETS = 200
SCRAPE_EVERY_S = 15.0
# The daemon is left alone for so long before its memory and its processor time count: caches fill, all targets begin.
WARM_UP_S = 15.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# The rows of the history by their reason (NULL: a measurement); its place in a row's values is that of its name in the shape.
REASONS_OF_ROWS = """
SELECT
  (SELECT json_extract(CAST(detail.fields AS TEXT), '$[' || key || ']') FROM json_each(shape.names) WHERE value = 'sreason'),
  count(*)
FROM point JOIN series ON series.id = point.series JOIN detail ON detail.id = point.detail JOIN shape ON shape.id = point.shape
WHERE measurement = 'time_error' GROUP BY 1
"""


# The lab


def pin(pid: int, *, probe: bool) -> None:
    """The first core for the probe, the others for the servers; nothing where there is only one."""
    cores = sorted(os.sched_getaffinity(0)) if pid else sorted(range(os.cpu_count() or 1))
    if len(cores) > 1:
        os.sched_setaffinity(pid, cores[:1] if probe else cores[1:])


@contextmanager
def servers(count: int) -> Iterator[list[Chronyd]]:
    """So many chronyd processes on loopback."""
    with ExitStack() as stack:
        running = []
        for number in range(count):
            # Enough memory in the server to keep the transmit times of all clients for interleaved mode.
            server = stack.enter_context(
                Chronyd(address=f"127.0.0.{number + 2}", port=free_port(), options=["clientloglimit 16777216"])
            )
            assert server._program is not None
            pin(server._program.pid, probe=False)
            running.append(server)
        yield running


def targets(addresses: Sequence[str], count: int, interval_s: float) -> list[TargetSettings]:
    """Targets dealt to the addresses in turn."""
    return [
        TargetSettings(f"t{number:04d}", "ntp", addresses[number % len(addresses)], interval_s=interval_s)
        for number in range(count)
    ]


def settings_for(chosen: Sequence[TargetSettings], directory: Path) -> ProbeSettings:
    """A configuration whose first target is the reference."""
    first = chosen[0]
    reference = TargetSettings(first.name, first.kind, first.address, first.interval_s, tie=Tie("UTC(LAB)", 1e-7, 5e-8))
    return ProbeSettings(
        SiteSettings("lab", "probe"),
        (reference, *chosen[1:]),
        SpoolSettings(directory),
        http=HttpSettings(port=0),
        oscillator_ppm=15.0,
    )


class Tally:
    """What came back: the errors of the offsets, where the stamps were taken, what was missed, bounds that did not hold."""

    def __init__(self) -> None:
        self.errors_s: list[float] = []
        self.user_tx = 0
        self.interleaved = 0
        self.beyond_bound = 0
        self.missed: dict[str, int] = {}

    def outcome(self, outcome: Outcome) -> None:
        """Count an outcome of a prober."""
        if isinstance(outcome, Missed):
            self.missed[outcome.reason.value] = self.missed.get(outcome.reason.value, 0) + 1
        elif isinstance(outcome, Exchange):
            self.user_tx += outcome.tx_timestamping is Timestamping.USER
            self.interleaved += outcome.mode == "interleaved"
            error_s = ((outcome.t2_ns - outcome.t1_ns) + (outcome.t3_ns - outcome.t4_ns)) / 2e9
            self.errors_s.append(error_s)

    def row(self, row: Record) -> None:
        """Count a row of the pipeline."""
        fields = row.fields
        if "reason" in fields:
            reason = str(fields["reason"])
            self.missed[reason] = self.missed.get(reason, 0) + 1
        elif "offset_s" in fields:
            offset_s, bound_s = float(fields["offset_s"]), float(fields["bound_s"])
            self.user_tx += fields["tx_timestamping"] == "user"
            self.interleaved += fields["mode"] == "interleaved"
            self.beyond_bound += abs(offset_s) > bound_s
            self.errors_s.append(offset_s)

    def document(self) -> dict[str, Any]:
        """All of it, the errors summed up in us."""
        absolute = [abs(error) for error in self.errors_s]
        return {
            "exchanges": len(self.errors_s),
            "lost_tx_stamps": self.user_tx,
            "interleaved": self.interleaved,
            "beyond_bound": self.beyond_bound,
            "missed": self.missed,
            "median_us": statistics.median(self.errors_s) * 1e6 if absolute else None,
            "p50_us": quantile(absolute, 0.5) * 1e6 if absolute else None,
            "p99_us": quantile(absolute, 0.99) * 1e6 if absolute else None,
        }


def processor_s() -> float:
    """Processor time of this process so far, s."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# Part 1, in a process of its own


async def saturate(addresses: Sequence[str], seconds: float, *, rows: bool) -> dict[str, Any]:
    """Poll as fast as the process can, each target again as soon as it has answered."""
    settings = settings_for(targets(addresses, TARGETS, 1.0), Path())
    watch = ClockWatch(read_clocks())

    def epoch() -> int:
        watch.observe(read_clocks())
        return watch.epoch

    engine: Any = load_kind("ntp").open(EngineContext(settings, lambda event: None, epoch))
    pipeline = Pipeline(settings)
    tally = Tally()
    probers = {target.name: await engine.open_target(target) for target in settings.targets}
    for prober in probers.values():
        await prober.poll()
    ends_s = time.monotonic() + seconds

    async def keep_asking(name: str) -> int:
        polls, prober = 0, probers[name]
        while time.monotonic() < ends_s:
            outcomes = await prober.poll()
            polls += 1
            if rows:
                for row in pipeline.outcomes(name, outcomes, time.time_ns()):
                    tally.row(row)
            else:
                for outcome in outcomes:
                    tally.outcome(outcome)
        return polls

    begun_s, used_s = time.monotonic(), processor_s()
    polls = sum(await asyncio.gather(*(keep_asking(name) for name in probers)))
    wall_s, used_s = time.monotonic() - begun_s, processor_s() - used_s
    for prober in probers.values():
        await prober.close()
    document = tally.document()
    done = document["exchanges"]
    return {
        **document,
        "polls": polls,
        "per_s": done / wall_s,
        "cpu_us": used_s / done * 1e6,
        "per_cpu_s": done / used_s,
        "stray_tx_stamps": engine.counters.stray_tx_stamps,
    }


async def scheduled(addresses: Sequence[str], rate: float, seconds: float) -> dict[str, Any]:
    """The daemon's schedule and pipeline at a given rate; the first quarter of the time is not counted."""
    settings = settings_for(targets(addresses, TARGETS, TARGETS / rate), Path())
    tally = Tally()
    counting = False
    lags_s: list[float] = []

    def store(records: Sequence[Record]) -> None:
        if counting:
            for record in records:
                tally.row(record)

    measuring = Measuring(settings, store)
    await measuring.start()
    running = asyncio.create_task(measuring.run())
    await asyncio.sleep(seconds / 4)
    counting = True
    begun_s, used_s = time.monotonic(), processor_s()
    while (now_s := time.monotonic()) < begun_s + seconds * 3 / 4:
        await asyncio.sleep(0.05)
        lags_s.append(time.monotonic() - now_s - 0.05)
        measuring.tick()
    wall_s, used_s = time.monotonic() - begun_s, processor_s() - used_s
    counting = False
    await measuring.stop()
    await running
    document = tally.document()
    return {
        **document,
        "rate": rate,
        "per_s": document["exchanges"] / wall_s,
        "cpu_us": used_s / max(1, document["exchanges"]) * 1e6,
        "cpu_share": used_s / wall_s,
        "loop_lag_p99_ms": quantile(lags_s, 0.99) * 1e3,
    }


def child(role: str, *words: str) -> subprocess.Popen[str]:
    """This script again, on the probe's core, in a role of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--role", role, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pin(process.pid, probe=True)
    return process


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the child found; raises RuntimeError if it failed."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def status_of(pid: int) -> tuple[float, float]:
    """Processor time (s) and resident memory (MB) of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return (int(words[11]) + int(words[12])) / TICKS_PER_S, kilobytes / 1024


# Part 2, the daemon as a site runs it


def configuration(addresses: Sequence[str], directory: Path, port: int) -> str:
    """A site of `DAEMON_TARGETS` targets at 1 Hz, the first of them the reference."""
    lines = [
        '[site]\nname = "lab"\nprobe = "probe"',
        f'[spool]\ndirectory = "{directory}"',
        f"[http]\nport = {port}",
    ]
    for number in range(DAEMON_TARGETS):
        lines.append(
            f'[[target]]\nname = "t{number:04d}"\naddress = "{addresses[number % len(addresses)]}"\ninterval_s = 1'
        )
        if number == 0:
            lines.append('realises = "UTC(LAB)"\ntie_bound_s = 1e-7\ntie_u_s = 5e-8')
    return "\n".join(lines) + "\n"


def received(running: Sequence[Chronyd]) -> int:
    """How many requests the servers say that they have received."""
    reports = [server.command("serverstats") for server in running]
    return sum(int(re.search(r"NTP packets received\s*:\s*(\d+)", report)[1]) for report in reports)  # type: ignore[index]  # it is there


def scrape(url: str) -> tuple[float, int, str]:
    """How long a scrape took (s), its size and its text."""
    begun_s = time.monotonic()
    with urllib.request.urlopen(url, timeout=30) as reply:
        body = reply.read()
    return time.monotonic() - begun_s, len(body), body.decode()


def gauge(page: str, name: str) -> float:
    """The one value of a metric that has no labels but the probe's own."""
    return float(next(line for line in page.splitlines() if line.startswith(name + "{")).rpartition(" ")[2])


def wait_for_page(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until the daemon answers; raises RuntimeError if it ended instead."""
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"timesync probe ended with {process.returncode}")
        try:
            scrape(url)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("timesync probe did not answer within 30 s")


async def deliver_rest(directory: Path) -> int:
    """What the next start would do with what the daemon did not hand on in its last seconds; how many records that was."""
    sink = HistorySink(directory / HISTORY_FILE, None, clock_ns=time.time_ns, report=lambda event: None)
    spool = Spool(SpoolSettings(directory), [sink.name], clock_ns=time.time_ns)
    left = spool.status().depth
    delivery = Delivery(spool, [sink], clock_ns=time.time_ns, uniform=lambda: 0.5, report=lambda event: None)
    delivering = asyncio.create_task(delivery.run())
    await asyncio.sleep(0)
    if not await delivery.stop(120.0):
        raise RuntimeError("the spool could not be emptied within two minutes")
    await delivering
    spool.close()
    return left


def watch_daemon(running: Sequence[Chronyd], seconds: float) -> dict[str, Any]:
    """Start the daemon, scrape it, read what it uses, end it, and count its history and what was left in its spool."""
    addresses = [f"{server.address}:{server.port}" for server in running]
    before = received(running)
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name:
        folder, port = Path(name), free_port()
        state = folder / "state"
        file = folder / "site.toml"
        file.write_text(configuration(addresses, state, port))
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            [Path(sys.executable).with_name("timesync"), "probe", "--config", file], stdout=log, stderr=log
        )
        pin(process.pid, probe=True)
        url = f"http://127.0.0.1:{port}/metrics"
        wait_for_page(url, process)
        time.sleep(WARM_UP_S)
        begun_s = time.monotonic()
        first_cpu_s, _ = status_of(process.pid)
        memory: list[tuple[float, float]] = []
        scrapes: list[tuple[float, int]] = []
        loop_lags_s, poll_lags_s = [], []
        next_scrape_s = begun_s
        while (now_s := time.monotonic()) < begun_s + seconds:
            memory.append((now_s - begun_s, status_of(process.pid)[1]))
            if now_s >= next_scrape_s:
                next_scrape_s += SCRAPE_EVERY_S
                taken_s, size, page = scrape(url)
                scrapes.append((taken_s, size))
                loop_lags_s.append(gauge(page, "timesync_event_loop_lag_seconds"))
                poll_lags_s.append(gauge(page, "timesync_schedule_lag_seconds"))
            time.sleep(1.0)
        last_cpu_s, _ = status_of(process.pid)
        wall_s = time.monotonic() - begun_s
        process.terminate()
        if process.wait(60) != 0:
            raise RuntimeError(f"timesync probe ended with {process.returncode}")
        log.close()
        left = asyncio.run(deliver_rest(state))
        with sqlite3.connect(state / HISTORY_FILE) as history:
            rows = Counter(dict(history.execute(REASONS_OF_ROWS).fetchall()))
        requests = received(running) - before
    measured = rows.pop(None, 0)
    third = max(1, len(memory) // 3)
    return {
        "seconds": wall_s,
        "requests": requests,
        "measured": measured,
        "losses": rows,
        "left_in_spool": left,
        "cpu_percent": 100 * (last_cpu_s - first_cpu_s) / wall_s,
        "rss_mb": max(size for _, size in memory),
        "growth_mb": statistics.median(m for _, m in memory[-third:]) - statistics.median(m for _, m in memory[:third]),
        "memory_mb": [[round(at, 1), round(size, 2)] for at, size in memory],
        "scrape_s": max(taken for taken, _ in scrapes),
        "scrape_bytes": max(size for _, size in scrapes),
        "loop_lag_ms": [round(lag * 1e3, 3) for lag in loop_lags_s],
        "poll_lag_ms": [round(lag * 1e3, 3) for lag in poll_lags_s],
    }


# Reports


def report_rate(figures: Figures, found: dict[str, dict[str, Any]]) -> None:
    """The sustained rate and what it costs."""
    rows = [("closed loop", "per s", "CPU us each", "per CPU s", "interleaved", "lost TX stamps", "stray", "missed")]
    for name, each in found.items():
        share = f"{100 * each['interleaved'] / each['exchanges']:.0f} %"
        rows.append(
            (name, f"{each['per_s']:.0f}", f"{each['cpu_us']:.0f}", f"{each['per_cpu_s']:.0f}", share,
             str(each["lost_tx_stamps"]), str(each["stray_tx_stamps"]), str(each["missed"] or "none"))
        )  # fmt: skip
    print(text_table(rows), flush=True)
    probers, whole = found["probers"], found["rows"]
    figures.add("exchanges per second, probers", probers["per_s"], "/s", limit=RATE_LIMIT, better="higher")
    figures.add("exchanges per CPU second, probers", probers["per_cpu_s"], "/s", better="higher")
    figures.add("exchanges per second, to rows", whole["per_s"], "/s", better="higher")
    figures.add("exchanges per CPU second, to rows", whole["per_cpu_s"], "/s", better="higher")
    lost = probers["lost_tx_stamps"] + whole["lost_tx_stamps"]
    figures.add("lost TX stamps at the sustained rate", lost, "", limit=0)


def report_errors(figures: Figures, found: dict[str, dict[str, Any]]) -> None:
    """The offset's error at shares of the sustained rate."""
    rows = [
        (
            "open loop",
            "asked/s",
            "done/s",
            "CPU",
            "median us",
            "p50 us",
            "p99 us",
            "beyond bound",
            "lag p99 ms",
            "missed",
        )
    ]
    for name, each in found.items():
        rows.append(
            (name, f"{each['rate']:.0f}", f"{each['per_s']:.0f}", f"{100 * each['cpu_share']:.0f} %",
             f"{each['median_us']:+.2f}", f"{each['p50_us']:.2f}", f"{each['p99_us']:.2f}", str(each["beyond_bound"]),
             f"{each['loop_lag_p99_ms']:.1f}", str(each["missed"] or "none"))
        )  # fmt: skip
        figures.add(f"|offset error| p50 at {name}", each["p50_us"], "us")
        figures.add(f"|offset error| p99 at {name}", each["p99_us"], "us")
    print(f"\n{text_table(rows)}", flush=True)
    figures.add("errors beyond their bound", sum(each["beyond_bound"] for each in found.values()), "", limit=0)


def report_daemon(figures: Figures, found: dict[str, Any]) -> None:
    """What the whole daemon uses."""
    sent_and_missed = sum(found["losses"].values())
    loop, poll = found["loop_lag_ms"], found["poll_lag_ms"]
    print(
        f"\ndaemon, {DAEMON_TARGETS} targets at 1 Hz for {found['seconds']:.0f} s: {found['requests']} requests reached servers; "
        f"{found['measured']} rows with a measurement, others {dict(found['losses']) or 'none'} "
        f"({found['left_in_spool']} were still in the spool at the end)\n"
        f"scrape of {found['scrape_bytes'] / 1e6:.1f} MB in at most {found['scrape_s'] * 1e3:.0f} ms; as scrapes saw it the loop "
        f"was late by {statistics.median(loop):.2f} ms (at most {max(loop):.1f}) and a poll by {statistics.median(poll):.2f} ms "
        f"(at most {max(poll):.1f})",
        flush=True,
    )
    figures.add("daemon: CPU share of one core", found["cpu_percent"], "%", limit=CPU_LIMIT_PERCENT)
    figures.add("daemon: resident memory, largest", found["rss_mb"], "MB", limit=RSS_LIMIT_MB)
    # In a minute the series that alerts and verdicts look at are still filling: that tells nothing of a leak.
    growth_limit_mb = GROWTH_LIMIT_MB if found["seconds"] >= GROWTH_FROM_S else None
    figures.add("daemon: growth of resident memory", found["growth_mb"], "MB", limit=growth_limit_mb)
    without = max(0, found["requests"] - found["measured"] - sent_and_missed)
    figures.add("daemon: requests without a row", without, "", limit=0)


def main() -> None:
    """Measure and report, or play one role for the parent."""
    parser = options(__doc__)
    parser.add_argument("--role", nargs="+", help="for the script's own use")
    parser.add_argument("--part", choices=("rate", "daemon", "both"), default="both", help="measure only this part")
    chosen = parser.parse_args()
    if chosen.role:
        print(json.dumps(play(*chosen.role)))
        return
    reason = missing("chronyd")
    if reason:
        sys.exit(reason)
    figures = Figures()
    details: dict[str, object] = {}
    with servers(SERVERS) as running:
        addresses = [f"{server.address}:{server.port}" for server in running]
        if chosen.part != "daemon":
            details["rate"] = measure_rate(figures, addresses, quick=chosen.quick)
        if chosen.part != "rate":
            found = watch_daemon(running, 60.0 if chosen.quick else 600.0)
            report_daemon(figures, found)
            details["daemon"] = found
    figures.finish(chosen.output, details)


def measure_rate(figures: Figures, addresses: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Part 1: the sustained rate, three times each kind in turn and the median taken; then the errors at shares of it."""
    seconds = 3.0 if quick else 10.0
    tries: dict[str, list[dict[str, Any]]] = {"probers": [], "rows": []}
    for _ in range(3):
        for kind, results in tries.items():
            results.append(answer(child(kind, str(seconds), *addresses)))
    closed = {kind: sorted(results, key=lambda each: each["per_s"])[1] for kind, results in tries.items()}
    report_rate(figures, closed)
    opened = {}
    for percent in (10, 50, 100):
        rate = closed["rows"]["per_s"] * percent / 100
        opened[f"{percent} % of the rate"] = answer(child("scheduled", str(rate), str(2 * seconds), *addresses))
    report_errors(figures, opened)
    return {"closed": closed, "open": opened}


def play(role: str, *words: str) -> dict[str, Any]:
    """What a child does."""
    if role == "scheduled":
        return asyncio.run(scheduled(words[2:], float(words[0]), float(words[1])))
    return asyncio.run(saturate(words[1:], float(words[0]), rows=role == "rows"))


if __name__ == "__main__":
    main()
