"""timesync: a distributed monitor of UTC.

Probes measure NTP and PTP servers against a UTC(k) reference; see the project's README for how the parts fit.
"""

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    # Reading the installed version takes longer than all else that a short command does: only when asked for.
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - see above

        return version("timesync")
    raise AttributeError(f"module 'timesync' has no attribute {name!r}")
