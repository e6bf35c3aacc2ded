"""`timesync ptp4l ADDRESS`: what PTP stacks say of themselves, once, for a person or a script.

Rule: what is shown is the stack's own claim, by the same questions as the daemon's kind `ptp4l`; nothing is measured or stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesync.commands.numbers import interval
from timesync.errors import ConfigError
from timesync.model import Missed, Reported
from timesync.plugin import EngineContext, load_kind
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings
from timesync.text import aligned, offset_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from timesync.model import Event, FieldValue, Outcome, Part

__all__ = ["add_parser", "run"]

FINE, NO_ANSWER = 0, 3
SOCKET = "/var/run/ptp4l"
EPILOG = """\
examples:
  timesync ptp4l                                  the ptp4l of this machine
  timesync ptp4l /var/run/ptp4l --domain 24       one whose domainNumber is 24
  timesync ptp4l eth0 --transport l2              every clock of the domain that answers on that network
  timesync ptp4l eth0 --json | jq '.clocks[].clock_state'

MASTER OFFSET is what the stack holds its master to be ahead of its clock: + means that the master is ahead.
Exit status: 0 answered, 2 usage, 3 no answer.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ptp4l` to the command line."""
    parser = subparsers.add_parser(
        "ptp4l",
        help="ask PTP stacks what they say of themselves",
        description="Ask PTP clocks what they say of themselves, by management messages (only GET is ever sent).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "address",
        metavar="SOCKET|IFACE",
        nargs="?",
        default=SOCKET,
        help=f"ptp4l's UNIX socket ({SOCKET}), or an interface",
    )
    parser.add_argument("--domain", metavar="N", type=int, help="PTP domain of the clocks (0)")
    parser.add_argument("--transport", choices=("udp4", "udp6", "l2"), help="for an interface (udp4)")
    parser.add_argument(
        "--major-sdo-id", metavar="N", type=int, help="majorSdoId of the clocks: 1 for IEEE 802.1AS (0)"
    )
    parser.add_argument("--hops", metavar="N", type=int, help="boundary clocks that the questions may pass (0)")
    parser.add_argument("--timeout", metavar="S", type=interval, default=1.0, help="seconds to wait for answers (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and print; returns the exit status. Raises ConfigError for what cannot be asked."""
    names = ("domain", "transport", "major_sdo_id", "hops")
    options = {name: value for name in names if (value := getattr(args, name)) is not None}
    target = TargetSettings(args.address, "ptp4l", args.address, timeout_s=args.timeout, options=options)
    problems = tuple(load_kind("ptp4l").check(target, "command line"))
    if problems:
        raise ConfigError("command line", problems)
    outcome = asyncio.run(_ask(target))
    parts = outcome.parts if isinstance(outcome, Reported) else ()
    if args.json:
        print(json.dumps(_document(outcome, parts), indent=2))
    else:
        print("\n".join(_tables(parts) if parts else [_complaint(outcome)]))
    return FINE if parts else NO_ANSWER


async def _ask(target: TargetSettings) -> Outcome:
    settings = ProbeSettings(SiteSettings("here", "ptp4l"), (target,), SpoolSettings(Path()), source="command line")
    engine = load_kind("ptp4l").open(EngineContext(settings, _ignore, lambda: 0))
    prober = await engine.open_target(target)
    (outcome,) = await prober.poll()
    await prober.close()
    await engine.close()
    return outcome


def _ignore(_: Event) -> None:
    """A single poll tells no event that its answer does not."""


def _complaint(outcome: Outcome) -> str:
    assert isinstance(outcome, Missed)
    return f"{outcome.reason.value}: {outcome.detail}"


def _document(outcome: Outcome, parts: Sequence[Part]) -> Mapping[str, Any]:
    missed = {"reason": outcome.reason.value, "detail": outcome.detail} if isinstance(outcome, Missed) else {}
    clocks: dict[str, dict[str, Any]] = {}
    for part in parts:
        if "port" in part.tags:
            port = {"port": int(part.tags["port"]), **part.fields}
            clocks[part.tags["clock"]]["ports"].append(port)
        else:
            clocks[part.tags["clock"]] = {"clock": part.tags["clock"], **part.fields, "ports": []}
    return {"at_ns": time.time_ns(), **missed, "clocks": list(clocks.values())}


def _tables(parts: Sequence[Part]) -> Iterator[str]:
    heads = (
        "CLOCK",
        "STATE",
        "MASTER OFFSET",
        "PATH DELAY",
        "STEPS",
        "GRANDMASTER",
        "CLASS",
        "UTC OFFSET",
        "TRACEABLE",
    )
    rows = [_clock_row(part) for part in parts if "port" not in part.tags]
    yield from aligned(heads, rows, right=("MASTER OFFSET", "PATH DELAY", "STEPS", "CLASS"))
    yield ""
    heads = ("PORT", "STATE", "INTERFACE", "STAMPS", "DELAY", "LINK DELAY", "RX SYNC", "TX SYNC", "RX ANNOUNCE")
    rows = [_port_row(part) for part in parts if "port" in part.tags]
    yield from aligned(heads, rows, right=("LINK DELAY", "RX SYNC", "TX SYNC", "RX ANNOUNCE"))
    yield ""
    yield "As the stacks themselves have it; nothing here is measured."


def _cell(fields: Mapping[str, FieldValue], name: str) -> str:
    return str(fields.get(name, "-"))


def _clock_row(part: Part) -> tuple[str, ...]:
    fields = part.fields
    offset, delay = fields.get("master_offset_s"), fields.get("mean_path_delay_s")
    valid = "" if fields.get("utc_offset_valid") else " (not valid)"
    traceable = [word for word in ("time", "frequency") if fields.get(f"{word}_traceable")]
    return (
        part.tags["clock"],
        _cell(fields, "clock_state"),
        offset_text(offset) if isinstance(offset, float) else "-",
        size_text(delay) if isinstance(delay, float) else "-",
        _cell(fields, "steps_removed"),
        _cell(fields, "grandmaster"),
        _cell(fields, "grandmaster_class"),
        f"{_cell(fields, 'utc_offset_s')} s{valid}",
        ", ".join(traceable) or "no",
    )


def _port_row(part: Part) -> tuple[str, ...]:
    fields = part.fields
    delay = fields.get("peer_mean_path_delay_s")
    return (
        f"{part.tags['clock']}-{part.tags['port']}",
        *(_cell(fields, name) for name in ("port_state", "interface", "timestamping", "delay_mechanism")),
        size_text(delay) if isinstance(delay, float) else "-",
        *(_cell(fields, name) for name in ("rx_sync", "tx_sync", "rx_announce")),
    )
