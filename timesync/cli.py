"""The command line: `timesync COMMAND ...`.

Rule: a command's module is imported only when that command runs, so that `timesync --help` answers at once. Exit status: what the
command says; 2 for a mistake in the command line, 130 when interrupted. Errors that a user can mend are one message, no traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from timesync.errors import TimesyncError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "up": "measure now, without a configuration: a live table, history and metrics",
    "probe": "run the daemon on a configuration",
    "measure": "measure servers once and print a table",
    "ptp4l": "ask PTP stacks what they say of themselves",
    "capture": "watch PTP and NTP as they pass an interface, or in a capture file",
    "health": "ask a running probe on this machine whether it is well",
    "check": "check a configuration: every problem at once, or a summary",
    "export": "give what has been measured as CSV, JSON lines or Parquet",
    "backup": "copy what a probe keeps, also while it runs",
    "explain": "how do you know? the chain from a result to UTC, and its uncertainty budget",
    "circular-t": "import and show what the BIPM publishes of UTC - UTC(k), and compute UTC - X from it",
    "stability": "Allan deviation and its kin, MTIE and masks, of files or of what has been measured",
    "password": "a line for the password file of the probe's page",
    "holdover": "how long a clock stays within a limit when its source is lost, of a file or of what has been measured",
}

EPILOG = """\
examples:
  timesync up                                       a demonstration network on loopback, measured live
  timesync measure ntp.example.org                  one server against this machine's clock
  timesync measure a.example b.example --reference utc.example --realises "UTC(NIM)"
  timesync check site.toml && timesync probe --config site.toml

timesync COMMAND --help tells more of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = make_parser(arguments)
    args = parser.parse_args(arguments)
    if "run" not in args:
        parser.print_help()
        return 2
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except TimesyncError as error:
        print(f"timesync: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has gone (`timesync export ... | head`): nothing more to say, and no second complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def make_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the options of the one command that is asked for."""
    parser = argparse.ArgumentParser(
        prog="timesync",
        description="A distributed monitor of UTC: measures time servers against a UTC(k) reference.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, line in COMMANDS.items():
        if name == wanted:
            import_module(f"timesync.commands.{name.replace('-', '_')}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=line)
    return parser


class _Version(argparse.Action):
    """Reading the installed version costs more than all the rest, so it waits until it is asked for."""

    def __call__(self, *_: object) -> None:
        from timesync import __version__  # noqa: PLC0415 - see above

        print(f"timesync {__version__}")
        sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
