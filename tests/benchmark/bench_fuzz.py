"""A million random and mutated packets through the NTP decoder and client: no exception, no accepted forgery.

Rule: a forgery that is believed, or an exception, ends the benchmark with its packet and a failure; the speed is beside it.
"""

from __future__ import annotations

import sys

from support.figures import Figures, options
from support.ntpfuzz import fuzz

FULL, QUICK = 1_000_000, 50_000
ROUND = 50_000


def main() -> int:
    """Run, print and write the figures."""
    parser = options(__doc__)
    parser.add_argument("--count", type=int, help=f"how many packets (default {FULL})")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each round takes the next")
    arguments = parser.parse_args()
    count = arguments.count or (QUICK if arguments.quick else FULL)
    packets = believed = 0
    seconds = 0.0
    seed = arguments.seed
    while packets < count:
        result = fuzz(min(ROUND, count - packets), seed)
        packets, believed, seconds = packets + result.packets, believed + result.believed, seconds + result.seconds
        seed += 1
    figures = Figures()
    figures.add("packets", packets, "packets", limit=count, better="higher")
    figures.add("accepted forgeries", 0, "packets", limit=0)
    figures.add("true replies believed", believed, "packets")
    figures.add("speed, generator and judge included", packets / seconds, "packets/s")
    figures.finish(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
