"""timesync: a distributed monitor of UTC.

Probes measure NTP and PTP servers against a UTC(k) reference; see the project's README for how the parts fit.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("timesync")
