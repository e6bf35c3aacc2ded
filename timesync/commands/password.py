"""`timesync password NAME`: a line for the password file of the probe's page, with the password hashed."""

from __future__ import annotations

import argparse
import getpass
import sys

from timesync.errors import TimesyncError
from timesync.web.passwords import make_line

__all__ = ["add_parser", "run"]

EPILOG = """\
examples:
  timesync password anna >> page.passwords && chmod 600 page.passwords
  printf '%s\\n' "$PASSWORD" | timesync password anna >> page.passwords

The file is named by password_file in [http]. The password is asked for twice, or read from standard input.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `password` to the command line."""
    parser = subparsers.add_parser(
        "password",
        help="a line for the password file of the page",
        description="Print a line for the password file of the probe's page: the name, and the password hashed by scrypt.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="who: letters, digits and . _ @ -")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the line; returns the exit status."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Again: "):
            raise TimesyncError("the two are not the same: try again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    print(make_line(args.name, password))
    return 0
