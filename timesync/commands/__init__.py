"""The subcommands of `timesync`: one module each, with `add_parser(subparsers)` and `run(args) -> int`.

Rule: importing a subcommand is cheap; what only a run needs (rich, aiohttp, numpy) is imported by the run.
"""
