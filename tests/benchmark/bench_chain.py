"""The chain to UTC: what the budget costs, how fast a month is computed anew, and whether bound and U keep what they say.

1. The full budget of one sample: CPU time from a completed exchange to the claim with all its parts (known path, reference,
   link) and to UTC - X with those of UTC(k); and that of its row besides.
2. A month of 1 Hz data of 20 targets computed anew from the history: one target's month is made (2,592,000 samples) and read
   twenty times over, as `circular-t report --all` does, with as many processes as there are cores; their greatest memory is
   summed. Beside it what it costs to rewrite one row on record.
3. Thousands of exchanges with real servers on clean, asymmetric, lossy and jittery paths: errors outside the bound, and inside U.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.bulletins import circular_t
from support.campaign import PATHS, campaign
from support.debian import missing
from support.figures import Figures, options, text_table

from timesync.model import Exchange, Record, ServerFacts, Timestamping
from timesync.pipeline import Pipeline
from timesync.records import Recorder
from timesync.reference.differencing import Differencer
from timesync.reference.link import initial_tie
from timesync.reference.published import UtcBook, UtcTable
from timesync.settings import KnownPath, LinkSettings, ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.store.local import History, Selection
from timesync.store.published import FILE, PublishedStore
from timesync.timescale import mjd_to_unix_ns
from timesync.uncertainty import clock_offset, with_known_path
from timesync.utc_report import reports
from timesync.utc_rows import add_utc, revised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from timesync.model import FieldValue

S = 10**9
BLOCK = 100  # samples timed together: reading the clock costs as much as a tenth of one
FIRST_MJD, DAYS, TARGETS = 61222, 30, 20
MONTH_NS = [-2.1, -1.9, -2.4, -2.6, -2.2, -1.8, -1.5]
DATES = list(range(61219, 61254, 5))
TAGS = {"site": "NIM", "probe": "p", "target": "ntp1", "protocol": "ntp", "reference": "utc-nim"}
BUDGET_LIMIT_US, RECOMPUTE_LIMIT_S, MEMORY_LIMIT_MB = 20.0, 60.0, 500.0
FACTS = ServerFacts(0, 1, 4, 6, 6e-8, 1e-5, 2e-5, "GPS", 0)


def table() -> UtcTable:
    """UTC - UTC(NIM) of a month, by way of the store."""
    with tempfile.TemporaryDirectory() as folder, PublishedStore(Path(folder) / FILE) as store:
        store.add_bulletin(circular_t(463, DATES, {"NIM": MONTH_NS}).encode(), "bench", 0)
        return store.table("NIM")


def pipeline() -> Pipeline:
    """A site with everything: known paths, a link, and what is published."""
    link = LinkSettings("cal", "utc-nim", "calibrated", value_s=-12e-9, bound_s=1e-7, u_s=2e-8, certificate="NIM-1")
    path = KnownPath(1.5e-4, 1e-5, 2e-6, 1e-6)
    clock = TargetSettings("utc-nim", "ntp", "192.0.2.1", 1.0, tie=initial_tie(link, "UTC(NIM)"), path=path)
    server = TargetSettings("ntp1", "ntp", "192.0.2.2", 1.0, reference="utc-nim", path=path)
    settings = ProbeSettings(SiteSettings("NIM", "p"), (clock, server), SpoolSettings(Path()), links=(link,))
    return Pipeline(settings, utc=UtcBook({"NIM": table()}))


def exchange(name: str, at_ns: int, number: int) -> Exchange:
    t2, t4 = at_ns + 110_000 + number % 7 * 1000, at_ns + 220_000 + number % 5 * 1000
    kernel = Timestamping.KERNEL
    return Exchange(name, "ntp", "192.0.2.1:123", at_ns, t2, t2 + 20_000, t4, kernel, kernel, "interleaved", FACTS, 0)


def budget_us(count: int) -> tuple[float, float]:
    """CPU time of a sample: its budget, from the exchange to the claim and on to UTC - X; and its row. Medians, us.

    The reference has been measured before and after it, each a sample of its own.
    """
    settings = pipeline().settings
    clock, server = settings.targets
    assert clock.tie is not None
    assert server.path is not None
    differencer = Differencer("utc-nim", clock.tie, max_age_s=64.0)
    book = UtcBook({"NIM": table()})
    recorder = Recorder("NIM", "p", 2.0, book)
    begin_ns = mjd_to_unix_ns(FIRST_MJD)
    claims, rows = [], []
    for first in range(0, count, BLOCK):
        numbers = range(first, first + BLOCK)
        for number in numbers:
            given = exchange("utc-nim", begin_ns + number * S, number)
            differencer.reference(with_known_path(clock_offset(given), server.path))
        targets = [exchange("ntp1", begin_ns + number * S - S // 2, number) for number in numbers]
        begun = time.process_time()
        errors = []
        for each in targets:
            (error,) = differencer.target(with_known_path(clock_offset(each), server.path), each.t4_ns)
            fields: dict[str, FieldValue] = {
                "time_error_s": error.time_error_s or 0.0,
                "time_error_u_s": error.u_s or 0.0,
            }
            fields["coverage_factor"] = 2.0
            add_utc(fields, book.at("UTC(NIM)", error.offset.at_ns))
            errors.append(error)
        claimed = time.process_time()
        made = [recorder.time_error(error) for error in errors]
        rows.append((time.process_time() - claimed) / BLOCK)
        claims.append((claimed - begun) / BLOCK)
        assert {(row.fields["utc_label"], row.fields["quality"]) for row in made[1:]} == {("final", "interpolated")}
    return statistics.median(claims) * 1e6, statistics.median(rows) * 1e6


def round_us(count: int) -> float:
    """CPU time of the pipeline for one exchange of the target and one of the reference: claims, drafts and rows, us."""
    line = pipeline()
    begin_ns = mjd_to_unix_ns(FIRST_MJD)
    spent = []
    for number in range(count):
        at_ns = begin_ns + number * S
        given = [(name, exchange(name, at_ns + shift, number)) for name, shift in (("utc-nim", 0), ("ntp1", S // 2))]
        begun = time.process_time()
        for name, each in given:
            line.outcomes(name, [each], each.t4_ns)
        line.take_drafts()
        spent.append(time.process_time() - begun)
    return statistics.median(spent) * 1e6


def make_month(path: Path, days: int) -> None:
    """A history with so many days of one target at 1 Hz. Only the narrow rows are many: it is they that are read."""
    history = History(path, read_only=False)
    begin_ns = mjd_to_unix_ns(FIRST_MJD)
    fields = {
        "time_error_s": 1e-6,
        "time_error_u_s": 3e-8,
        "realises": "UTC(NIM)",
        "claim": "valid",
        "coverage_factor": 2.0,
    }
    history.write([Record("time_error", begin_ns + days * 86_400 * S, TAGS, fields)])
    connection = history._connection
    ((series, shape, detail),) = connection.execute("SELECT series, shape, detail FROM point").fetchall()

    def rows() -> Iterator[tuple[object, ...]]:
        for second in range(days * 86_400):
            x_s = 1e-6 + (second * 2654435761 % 1000) * 1e-10
            yield series, begin_ns + second * S, x_s, 3e-4, x_s, 2e-4, 4e-4, 3e-8, shape, detail

    connection.execute("BEGIN")
    names = "series, at_ns, time_error_s, time_error_bound_s, offset_s, bound_s, delay_s, time_error_u_s, shape, detail"
    connection.executemany(f"INSERT INTO point ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
    connection.execute("COMMIT")
    history.close()


def recompute(folder: Path, targets: int) -> None:
    """In a process of its own: the month of each target anew; prints seconds (wall, CPU) and the greatest memory of all, MB."""
    wall = time.monotonic()
    samples = 0
    for report in reports(folder / "month.sqlite3", folder / FILE, _Same(targets), None, None):
        samples += sum(day.samples for day in report.days)
        assert report.days[1].labels == {"final": 86_400}
    wall = time.monotonic() - wall
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    workers = min(targets, os.cpu_count() or 1)
    # The children's figure is that of the largest of them.
    peak_mb = (ours.ru_maxrss + workers * theirs.ru_maxrss) / 1024
    cpu = sum(each.ru_utime + each.ru_stime for each in (ours, theirs))
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb, "samples": samples}))


class _Same(dict):  # type: ignore[type-arg]  # a stand-in for many targets: one, so often
    """One target as often as there are to be targets."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]  # a list will do
        return [("ntp1", "UTC(NIM)")] * self._count


def rewriting_us(folder: Path, count: int) -> float:
    """CPU time a row that an issue changes: read whole, computed again, written to the history again; without the spool."""
    line = pipeline()
    begin_ns, rows = mjd_to_unix_ns(FIRST_MJD), {}
    for number in range(count):
        for name, shift in (("utc-nim", 0), ("ntp1", S // 2)):
            at_ns = begin_ns + number * S + shift
            for row in line.outcomes(name, [exchange(name, at_ns, number)], at_ns):
                rows[row.tags["target"], row.at_ns] = row
    history = History(folder / "rows.sqlite3", read_only=False)
    history.write([row for row in rows.values() if row.tags["target"] == "ntp1"])
    other = UtcTable("NIM", [value._replace(value_s=value.value_s + 5e-9) for value in _values()])
    begun, changed = time.process_time(), 0
    batch = []
    for record in list(history.records(Selection(target="ntp1"))):
        new = revised(record.fields, other.at(record.at_ns))
        if new is not None:
            batch.append(record._replace(fields=new))
    for at in range(0, len(batch), 1000):
        history.write(batch[at : at + 1000])
    changed = len(batch)
    spent = time.process_time() - begun
    history.close()
    assert changed > 0.9 * count
    return spent / changed * 1e6


def _values() -> list:
    with tempfile.TemporaryDirectory() as folder, PublishedStore(Path(folder) / FILE) as store:
        store.add_bulletin(circular_t(463, DATES, {"NIM": [-2.1] * 7}).encode(), "bench", 0)
        return store.values("NIM")


def proof(figures: Figures, count: int) -> None:
    """The campaigns against real servers; a table of what they found."""
    lines = [("path", "claims", "lost", "beyond bound", "within U", "worst error / us", "mean bound / us")]
    beyond = claims = 0
    least = 1.0
    for name, path in PATHS.items():
        found = campaign(path, count)
        share = found.within_u / found.claims
        lines.append(
            (name, str(found.claims), str(found.lost), str(found.beyond_bound), f"{share:.4f}", f"{found.worst_s * 1e6:.1f}",
             f"{found.mean_bound_s * 1e6:.1f}")
        )  # fmt: skip
        beyond, claims, least = beyond + found.beyond_bound, claims + found.claims, min(least, share)
        print(f"  {name}: {found.claims} claims", flush=True)
    print(text_table(lines), flush=True)
    figures.add("claims on six paths", claims)
    figures.add("claims whose error is beyond the bound", beyond, limit=0)
    figures.add("claims within U, worst path", least, limit=0.95, better="higher")


def main() -> int:
    parser: argparse.ArgumentParser = options(__doc__)
    parser.add_argument("--recompute", metavar="FILE", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--targets", type=int, default=TARGETS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.recompute is not None:
        recompute(args.recompute, args.targets)
        return 0
    figures = Figures()
    found: dict[str, float] = {}
    claim_us, row_us = budget_us(2_000 if args.quick else 20_000)
    figures.add("full budget of a sample, CPU", claim_us, "us", limit=BUDGET_LIMIT_US)
    figures.add("its row with UTC - X, CPU", row_us, "us")
    figures.add("both exchanges through the pipeline, CPU", round_us(2_000 if args.quick else 20_000), "us")
    days, targets = (3, 2) if args.quick else (DAYS, TARGETS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_month(folder / "month.sqlite3", days)
        with PublishedStore(folder / FILE) as store:
            store.add_bulletin(circular_t(463, DATES, {"NIM": MONTH_NS}).encode(), "bench", 0)
        command = [sys.executable, __file__, "--recompute", name, "--targets", str(targets)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        what = f"{days} days of 1 Hz of {targets} targets anew"
        figures.add(what, found["wall_s"], "s", limit=None if args.quick else RECOMPUTE_LIMIT_S)
        figures.add("the same, CPU", found["cpu_s"], "s")
        figures.add("its greatest memory", found["peak_mb"], "MB", limit=MEMORY_LIMIT_MB)
        figures.add("rewriting a row on record, CPU", rewriting_us(folder, 3_000 if args.quick else 20_000), "us")
    reason = missing("chronyd")
    if reason:
        print(f"no campaigns: {reason}")
    else:
        proof(figures, 150 if args.quick else 1_500)
    figures.finish(args.output, {"samples": found["samples"]})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
