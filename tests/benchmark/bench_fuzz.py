"""A million random and mutated packets each through the NTP and the PTP decoder and client, and through the passive observer: no
exception, no accepted forgery.

Rule: a forgery that is believed, or an exception, ends the benchmark with its packet and a failure; the speed is beside it.
"""

from __future__ import annotations

import sys

from support.capturefuzz import fuzz_capture
from support.figures import Figures, options
from support.ntpfuzz import fuzz
from support.ptpfuzz import fuzz_ptp

FULL, QUICK = 1_000_000, 50_000
ROUND = 50_000


def fuzz_both(figures: Figures, count: int, first_seed: int) -> None:
    """So many packets through each protocol; a failure is an exception."""
    for name, feed, answers in (("NTP", fuzz, "believed"), ("PTP", fuzz_ptp, "measured")):
        packets = believed = 0
        seconds = 0.0
        seed = first_seed
        while packets < count:
            result = feed(min(ROUND, count - packets), seed)  # type: ignore[operator]  # both take a count and a seed
            packets, seconds = packets + result.packets, seconds + result.seconds
            believed += getattr(result, answers)
            seed += 1
        figures.add(f"{name}: packets", packets, "packets", limit=count, better="higher")
        figures.add(f"{name}: true answers believed", believed, "packets")
        figures.add(f"{name}: speed, generator and judge included", packets / seconds, "packets/s")


def fuzz_observer(figures: Figures, count: int, first_seed: int) -> None:
    """So many mutated frames of real stacks past the observer; a failure is an exception."""
    packets = read = 0
    seconds, seed = 0.0, first_seed
    while packets < count:
        result = fuzz_capture(min(ROUND, count - packets), seed)
        packets, read, seconds = packets + result.packets, read + result.read, seconds + result.seconds
        seed += 1
    figures.add("observer: frames", packets, "frames", limit=count, better="higher")
    figures.add("observer: messages that could still be read", read, "messages")
    figures.add("observer: speed, generator included", packets / seconds, "frames/s")


def main() -> int:
    """Run, print and write the figures."""
    parser = options(__doc__)
    parser.add_argument("--count", type=int, help=f"how many packets of each protocol (default {FULL})")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each round takes the next")
    arguments = parser.parse_args()
    figures = Figures()
    count = arguments.count or (QUICK if arguments.quick else FULL)
    fuzz_both(figures, count, arguments.seed)
    fuzz_observer(figures, count, arguments.seed)
    figures.finish(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
