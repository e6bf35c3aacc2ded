"""`timesync backup INTO`: a copy of what a probe keeps, also while it runs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from timesync.commands.history import add_place_options, place
from timesync.errors import DataError

__all__ = ["add_parser", "run"]

EPILOG = """\
examples:
  timesync backup /var/backups/timesync --config /etc/timesync/site.toml --keep 14
  timesync export ntp1 --directory /var/backups/timesync/timesync-20261128T020000Z/state    a look into one

INTO/timesync-INSTANT holds state/ (history, spool, published values, alerts, stability) and the configuration; keys, tokens and
certificates are not in it. How to restore one: deploy/README.md.

Exit status: 0 fine, 2 usage, nothing to copy, or it could not be copied.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `backup` to the command line."""
    parser = subparsers.add_parser(
        "backup",
        help="copy what a probe keeps, also while it runs",
        description="Copy what a probe keeps into a new folder, also while it runs; each file is checked before the copy counts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("into", metavar="INTO", type=Path, help="the folder that holds the backups; made if missing")
    parser.add_argument("--keep", metavar="N", type=_count, help="then remove all backups there but the newest N")
    add_place_options(parser.add_argument_group("what is copied"))
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of backups: 1 or more")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Copy, then remove what is too old. Raises ConfigError, DataError for nothing to copy, StoreError where it fails."""
    from timesync.store.backup import back_up, prune  # noqa: PLC0415 - sqlite, which --help does not need

    directory, into = place(args), args.into.absolute()
    if not any(directory.glob("*.sqlite3")):
        raise DataError(
            f"a probe keeps nothing in {directory}; name its spool with --directory, or its configuration with --config"
        )
    if directory.absolute() in (into, *into.parents):
        raise DataError(
            f"{into} is within {directory}: a backup would copy the backups; name another folder, on another disk"
        )
    instant = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    copied = back_up(directory, into, instant, args.config)
    print(f"{copied.folder}: {copied.files} files, {copied.size_bytes / 1e6:.1f} MB")
    for path in prune(into, args.keep) if args.keep is not None else ():
        print(f"removed {path}")
    return 0
