"""`timesync measure HOST...`: measure NTP servers and PTP masters once, for a person or a script.

Rule: each target, and each further PTP master that is heard, gets one line: its best exchange (the one with the smallest bound), or
the reason why there is none. Against a reference that realises UTC(k) the line is target minus UTC(k), by the same pipeline as the
daemon's; a tie that is not declared counts as 0, and that is said. Nothing is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.clockwatch import ClockWatch, read_clocks
from timesync.commands.numbers import count, interval, key_number, seconds, utc_k
from timesync.commands.ptp_urls import ptp_target
from timesync.errors import ConfigError, Problem
from timesync.model import Missed
from timesync.ntp_names import leap_name, reference_id_name, stratum_name
from timesync.pipeline import Pipeline
from timesync.plugin import EngineContext, load_kind
from timesync.reasons import Reason
from timesync.records import CLAIM_VALID
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings, Tie
from timesync.slews import SlewWatch
from timesync.text import aligned, offset_text, size_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from timesync.model import Event, FieldValue, Record
    from timesync.plugin import Engine, Prober

__all__ = ["add_parser", "run"]

FINE, BEYOND, NO_ANSWER = 0, 1, 3
# In interleaved mode a reply is completed by the next: so many polls more may be needed than exchanges are wanted.
EXTRA_POLLS = 2
PTP_TIMEOUT_S = 2.5
# What explains the silence of a target: a server that sends one away before the polls that were not sent because of it, and any
# answer or fault before mere silence.
OF_ITSELF = 1
RANKS = {
    **dict.fromkeys((Reason.KISS_DENY, Reason.KISS_RSTR, Reason.KISS_RATE, Reason.KISS_OTHER), 0),
    **dict.fromkeys((Reason.STOPPED_BY_SERVER, Reason.HELD_BY_RATE, Reason.PROBE_OVERLOADED), 2),
    **dict.fromkeys((Reason.ASSOCIATION_ENDED, Reason.INTERLEAVED_BROKEN, Reason.LATE, Reason.TIMEOUT), 3),
}
# Targets of one round are asked this far apart, so that replies do not queue behind each other.
SPACING_S = 0.002

EPILOG = """\
examples:
  timesync measure ntp.example.org
  timesync measure 192.0.2.1 [2001:db8::1]:123 --count 8 --interval 2
  timesync measure a.example b.example --reference utc.example --realises "UTC(NIM)" --max-offset 100e-6
  timesync measure ntp.example.org --key-file keys --key 7 --json
  timesync measure ptp://eth0 ptp://eth0?domain=24 ptp+l2://eth1?delay=p2p
  timesync measure ptp+unicast://192.0.2.7?interface=eth0 --max-offset 1e-6

The sign is target minus reference: + means that the target is ahead.
Exit status: 0 fine, 1 an offset beyond --max-offset, 2 usage, 3 no usable answer from some target.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `measure` to the command line."""
    parser = subparsers.add_parser(
        "measure",
        help="measure servers once and print a table",
        description="Measure time servers from outside: offset, the bound of its error, delay, and how it was timestamped.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "targets",
        metavar="HOST[:PORT]",
        nargs="+",
        help="NTP server, [v6]:port for IPv6; or PTP: ptp://IFACE, ptp+l2://IFACE, ptp+unicast://HOST?interface=IFACE",
    )
    parser.add_argument(
        "--reference", metavar="HOST[:PORT]", help="server that realises UTC(k): results are against it"
    )
    parser.add_argument(
        "--realises", metavar="UTC(K)", type=utc_k, help='what the reference realises, for example "UTC(NIM)"'
    )
    parser.add_argument(
        "--reference-bound", metavar="S", type=seconds, help="its tie: the bound of reference - UTC(k), s"
    )
    parser.add_argument("--reference-u", metavar="S", type=seconds, help="its tie: the standard uncertainty of that, s")
    parser.add_argument("--count", metavar="N", type=count, default=4, help="exchanges with each server (4)")
    parser.add_argument("--interval", metavar="S", type=interval, default=1.0, help="seconds between them (1)")
    parser.add_argument("--timeout", metavar="S", type=interval, default=1.0, help="seconds to wait for a reply (1)")
    parser.add_argument(
        "--listen", metavar="S", type=interval, default=5.0, help="seconds to listen for PTP masters first (5)"
    )
    parser.add_argument("--basic", action="store_true", help="do not offer interleaved mode")
    parser.add_argument("--key-file", metavar="F", type=Path, help="symmetric keys, as chrony and ntpd keep them")
    parser.add_argument("--key", metavar="ID", type=key_number, help="number of the key to use")
    parser.add_argument("--max-offset", metavar="S", type=seconds, help="exit 1 if any |offset| is beyond this, s")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.set_defaults(run=run, usage_error=parser.error)


@dataclass(slots=True)
class _Line:
    """What is gathered of one target. A PTP master that another target's polls found has no prober of its own."""

    target: TargetSettings
    prober: Prober | None
    rows: dict[int, Record] = field(default_factory=dict)
    missed: list[Missed] = field(default_factory=list)
    polls: int = 0

    @property
    def accounted(self) -> int:
        return len(self.rows) + len(self.missed)


def run(args: argparse.Namespace) -> int:
    """Measure and print; returns the exit status."""
    if args.realises and not args.reference:
        args.usage_error("--realises says what a reference realises: give --reference too")
    _check_tie(args)
    if (args.key is None) != (args.key_file is None):
        args.usage_error("--key and --key-file go together")
    logging.basicConfig(level=logging.ERROR, format="timesync: %(message)s")
    settings = _settings(args)
    show = not args.json and sys.stderr.isatty()
    results = asyncio.run(_measure(settings, args.count, args.interval, args.listen, show=show))
    status = _status(results, args.max_offset)
    if args.json:
        print(json.dumps(_document(args, results, status), indent=2))
    else:
        print("\n".join(_table(args, results)))
    return status


def _check_tie(args: argparse.Namespace) -> None:
    bound_s, u_s = args.reference_bound, args.reference_u
    if not args.realises and (bound_s is not None or u_s is not None):
        args.usage_error("--reference-bound and --reference-u tie a reference to a UTC(k): give --realises too")
    if bound_s is not None and u_s is not None and u_s > bound_s:
        args.usage_error("--reference-u is more than --reference-bound, which it cannot exceed: correct one of them")


def _tie_declared(args: argparse.Namespace) -> bool:
    return args.reference_bound is not None and args.reference_u is not None


def _settings(args: argparse.Namespace) -> ProbeSettings:
    """The settings of this one measurement. Raises ConfigError for an address that is none."""
    tie = Tie(args.realises or args.reference or "", args.reference_bound or 0.0, args.reference_u or 0.0)
    targets = []
    if args.reference:
        targets.append(_target(args, args.reference, tie=tie))
    others = [text for text in dict.fromkeys(args.targets) if text != args.reference]
    targets += [_target(args, text, reference=args.reference) for text in others]
    problems: list[Problem] = []
    for target in targets:
        kind = load_kind(target.kind)
        problems.extend(kind.check(target, target.name))
        for name in sorted(target.options.keys() - kind.options.keys()):
            known = ", ".join(kind.options)
            problems.append(Problem(f"{target.name}: {name}", "there is no such option", f"Write one of {known}"))
    if problems:
        raise ConfigError("command line", tuple(problems))
    return ProbeSettings(
        SiteSettings("here", "measure"),
        tuple(targets),
        SpoolSettings(Path()),
        keys_file=args.key_file,
        reference_max_age_s=2.0 * args.interval + args.timeout + 1.0,
        source="command line",
    )


def _target(
    args: argparse.Namespace, text: str, *, tie: Tie | None = None, reference: str | None = None
) -> TargetSettings:
    """A target as it was written. Raises ConfigError for a URL that is none."""
    if text.startswith("ptp"):
        found = ptp_target(text)
        if found is not None:
            address, options = found
            # A PTP answer needs a Sync as well, which by default comes once a second.
            timeout_s = max(args.timeout, PTP_TIMEOUT_S)
            return TargetSettings(
                text, "ptp", address, args.interval, timeout_s, tie=tie, reference=reference, options=options
            )
    options = {"mode": "basic"} if args.basic else {}
    if args.key is not None:
        options["key"] = args.key
    address = text.removeprefix("ntp://")
    return TargetSettings(
        text, "ntp", address, args.interval, args.timeout, tie=tie, reference=reference, options=options
    )


async def _engines(settings: ProbeSettings, slews: SlewWatch) -> Mapping[str, Engine]:
    """An engine for each kind of target that there is; whenever one looks at the clocks, `slews` does too."""
    watch = ClockWatch(read_clocks())

    def epoch() -> int:
        reading = read_clocks()
        watch.observe(reading)
        slews.observe(reading, watch.epoch)
        return watch.epoch

    def ignore(_: Event) -> None:
        """What an event tells (a kiss, a denial) is in the target's own line."""

    context = EngineContext(settings, ignore, epoch)
    return {kind: load_kind(kind).open(context) for kind in dict.fromkeys(each.kind for each in settings.targets)}


async def _measure(
    settings: ProbeSettings, count: int, interval_s: float, listen_s: float, *, show: bool
) -> Sequence[_Line]:
    """Poll every target `count` times (and a few more where interleaved mode needs it to complete)."""
    slews = SlewWatch(settings.oscillator_ppm * 1e-6)
    engines = await _engines(settings, slews)
    lines: dict[str, _Line] = {}
    for target in settings.targets:
        lines[target.name] = _Line(target, await engines[target.kind].open_target(target))
    polled = list(lines.values())

    def found(child: TargetSettings) -> None:
        """A further PTP master gets a line of its own, and is polled with the target that found it."""
        lines[child.name] = _Line(child, None)

    pipeline = Pipeline(settings, found, slews.excess_s)
    if "ptp" in engines:
        await asyncio.sleep(listen_s)
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for turn in range(count + EXTRA_POLLS):
        wanting = [line for line in polled if turn < count or line.polls - line.accounted > 0]
        if not wanting:
            break
        await asyncio.sleep(max(0.0, begun_s + turn * interval_s - loop.time()))
        await asyncio.gather(*(_poll(line, number, lines, pipeline) for number, line in enumerate(wanting)))
        if show:
            print(f"\r{min(turn + 1, count)}/{count} ", end="", file=sys.stderr, flush=True)
    if show:
        print("\r      \r", end="", file=sys.stderr)
    for line in polled:
        if line.prober is not None:
            await line.prober.close()
    for engine in engines.values():
        await engine.close()
    _sort_in(lines, pipeline.flush())
    return list(lines.values())


async def _poll(line: _Line, number: int, lines: Mapping[str, _Line], pipeline: Pipeline) -> None:
    assert line.prober is not None
    await asyncio.sleep(number * SPACING_S)
    outcomes = await line.prober.poll()
    line.polls += 1
    rows = pipeline.outcomes(line.target.name, outcomes, time.time_ns())
    for outcome in outcomes:
        if isinstance(outcome, Missed):
            lines[outcome.target].missed.append(outcome)
    _sort_in(lines, rows)


def _sort_in(lines: Mapping[str, _Line], rows: Sequence[Record]) -> None:
    for row in rows:
        if "offset_s" in row.fields:
            lines[row.tags["target"]].rows[row.at_ns] = row


def _value(row: Record) -> float | None:
    """What is judged: the time error where a reference was asked for, else the offset from this machine's clock."""
    value = row.fields.get("time_error_s") if "realises" in row.fields else row.fields.get("offset_s")
    return value if isinstance(value, float) else None


def _best(line: _Line) -> Record | None:
    """The exchange with the smallest bound, of those that can be judged if any can."""

    def rank(row: Record) -> tuple[bool, FieldValue]:
        bound = "bound_s" if "time_error_bound_s" not in row.fields else "time_error_bound_s"
        return (_value(row) is None, row.fields[bound])

    return min(line.rows.values(), key=rank, default=None)


def _reason(line: _Line, best: Record | None) -> str | None:
    """Why there is no value: the miss that explains most, or why the claim fails. None where there is one."""
    if best is not None and _value(best) is not None:
        return None
    if best is not None:
        return str(best.fields["claim"])
    cause = _cause(line)
    return cause.reason.value if cause is not None else "interleaved_broken"


def _cause(line: _Line) -> Missed | None:
    """The newest of the misses that explain most: causes before their consequences, then what came most often."""
    times = Counter(missed.reason for missed in line.missed)

    def rank(missed: Missed) -> tuple[int, int]:
        return (RANKS.get(missed.reason, OF_ITSELF), -times[missed.reason])

    return min(reversed(line.missed), key=rank, default=None)


def _status(lines: Sequence[_Line], max_offset_s: float | None) -> int:
    values = [_value(best) if (best := _best(line)) is not None else None for line in lines]
    if max_offset_s is not None and any(value is not None and abs(value) > max_offset_s for value in values):
        return BEYOND
    return NO_ANSWER if any(value is None for value in values) else FINE


def _document(args: argparse.Namespace, lines: Sequence[_Line], status: int) -> dict[str, Any]:
    realised = {"realises": args.realises} if args.realises else {}
    return {
        "at_ns": time.time_ns(),
        "reference": args.reference,
        **realised,
        **({"tie_declared": _tie_declared(args)} if args.reference else {}),
        "max_offset_s": args.max_offset,
        "status": status,
        "targets": [_target_document(line, hidden=() if args.realises else ("realises", "claim")) for line in lines],
    }


def _target_document(line: _Line, *, hidden: Collection[str]) -> dict[str, Any]:
    """`hidden`: what would speak of a UTC(k) where none has been named."""
    best = _best(line)
    fields: Mapping[str, FieldValue] = best.fields if best is not None else {}
    names = ("offset_s", "bound_s", "delay_s", "timestamping", "mode", "stratum", "reference_id", "address")
    ptp = ("port_identity", "grandmaster", "clock_class", "timescale")
    claimed = ("time_error_s", "time_error_bound_s", "time_error_u_s", "realises", "claim")
    return {
        "target": line.target.name,
        "is_reference": line.target.tie is not None,
        **{name: fields.get(name) for name in names},
        **_named(fields),
        **{name: fields[name] for name in ptp if name in fields},
        **{name: fields[name] for name in claimed if name in fields and "realises" in fields and name not in hidden},
        "reason": _reason(line, best),
        "detail": cause.detail if best is None and (cause := _cause(line)) is not None else None,
        "polls": line.polls,
        "exchanges": [
            {"at_ns": row.at_ns, **{name: value for name, value in row.fields.items() if name not in hidden}}
            for _, row in sorted(line.rows.items())
        ],
        "missed": [
            {"at_ns": missed.at_ns, "reason": missed.reason.value, "detail": missed.detail} for missed in line.missed
        ],
    }


def _named(fields: Mapping[str, FieldValue]) -> dict[str, str | None]:
    """What the server's numbers and its reference identifier are called; None where there is no name."""
    leap, stratum, reference_id = (fields.get(name) for name in ("leap", "stratum", "reference_id"))
    return {
        "leap_text": leap_name(leap) if isinstance(leap, int) else None,
        "stratum_text": stratum_name(stratum) if isinstance(stratum, int) else None,
        "reference_name": reference_id_name(reference_id) if isinstance(reference_id, str) and stratum == 1 else None,
    }


def _source(fields: Mapping[str, FieldValue]) -> str:
    """What an NTP server says that it follows, and a leap second that it announces."""
    named = _named(fields)
    if named["stratum_text"] is None or "reference_id" not in fields:
        return ""
    parts = [named["stratum_text"], str(fields["reference_id"])]
    if named["reference_name"] is not None:
        parts[1] += f" ({named['reference_name']})"
    if fields.get("leap") in {1, 2}:
        parts.append(str(named["leap_text"]))
    return ", ".join(parts)


def _table(args: argparse.Namespace, lines: Sequence[_Line]) -> Iterator[str]:
    against = (args.realises or "REFERENCE") if args.reference else "THIS CLOCK"
    heads = ("TARGET", f"OFFSET FROM {against}", "BOUND", "DELAY", "TIMESTAMPS", "MODE", "ANSWERS", "NOTE")
    yield from aligned(heads, [_cells(args, line) for line in lines], right=heads[1:4])
    yield ""
    if args.realises:
        yield f"Target minus {args.realises}; {args.reference} is the reference."
        missing = [name for name in ("reference_bound", "reference_u") if getattr(args, name) is None]
        if missing:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
            yield f"Its tie to {args.realises} is not declared and counts as 0: give {options}."
    elif args.reference:
        yield f"Target minus {args.reference}, the reference. No tie to a UTC(k) is declared: give --realises for such a claim."
    else:
        yield "Target minus this machine's clock, which is no reference: give --reference for a claim against UTC(k)."


def _cells(args: argparse.Namespace, line: _Line) -> tuple[str, ...]:
    best = _best(line)
    answers = f"{len(line.rows)}/{len(line.rows) + len(line.missed)}"
    reason = _reason(line, best)
    if best is None:
        cause = _cause(line)
        detail = cause.detail if cause is not None else ""
        return (line.target.name, "-", "-", "-", "-", "-", answers, f"{reason}: {detail}" if detail else str(reason))
    fields, value = best.fields, _value(best)
    bound = fields.get("time_error_bound_s", fields["bound_s"])
    note = reason or ""
    if line.target.tie is not None:
        note = f"the reference; {offset_text(float(fields['offset_s']))} from this clock"
    elif value is not None and args.max_offset is not None and abs(value) > args.max_offset:
        note = f"beyond {size_text(args.max_offset)}"
    elif fields["claim"] == CLAIM_VALID and "time_error_u_s" in fields:
        note = f"u {size_text(float(fields['time_error_u_s']))}"
    return (
        line.target.name,
        offset_text(value) if value is not None else "-",
        size_text(float(bound)),
        size_text(float(fields["delay_s"])),
        str(fields["timestamping"]),
        str(fields.get("mode", "-")),
        answers,
        note or _source(fields),
    )
