"""What a service tells systemd: ready, reloading, stopping, still alive, and a line of status.

Rule: messages are made by pure functions and sent by one small object; without systemd everything is a no-op that says so.
Nothing here waits: a notification that cannot be sent at once is reported as not sent.
Sources: sd_notify(3), sd_watchdog_enabled(3).

    notifier = Notifier.from_environment(os.environ)
    notifier.send(ready("measuring 12 targets"))
    every = watchdog_period_s(os.environ, os.getpid())                # None: no watchdog; else send watchdog() this often
    notifier.send(reloading(time.monotonic_ns() // 1000))             # then ready(...) again when the reload is done
    notifier.send(stopping())
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Notifier", "ready", "reloading", "status", "stopping", "watchdog", "watchdog_period_s"]


def status(text: str) -> str:
    """The line that `systemctl status` shows. Line ends would begin another assignment, so they become spaces."""
    return "STATUS=" + " ".join(text.split())


def ready(text: str = "") -> str:
    """Start-up, or a reload, is complete."""
    return "READY=1" if not text else f"READY=1\n{status(text)}"


def reloading(monotonic_usec: int) -> str:
    """A reload begins now, at CLOCK_MONOTONIC microseconds; both assignments must be in one message (sd_notify(3))."""
    return f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}"


def stopping(text: str = "") -> str:
    """The service is going down."""
    return "STOPPING=1" if not text else f"STOPPING=1\n{status(text)}"


def watchdog() -> str:
    """Still alive."""
    return "WATCHDOG=1"


def watchdog_period_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How often to send `watchdog()`, seconds: half the time that systemd waits. None if it does not wait for us.

    WATCHDOG_PID names the process that is meant; a child that inherited the environment is not.
    """
    meant = environ.get("WATCHDOG_PID")
    if meant is not None and meant != str(pid):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 2e6


class Notifier:
    """The way to the service manager; `address` None: there is none."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Notifier:
        """By NOTIFY_SOCKET: a path, or @ and the name of an abstract socket; other kinds (vsock) are not used."""
        address = environ.get("NOTIFY_SOCKET", "")
        if address.startswith("@"):
            return cls("\0" + address[1:])
        return cls(address if address.startswith("/") else None)

    @property
    def enabled(self) -> bool:
        """Whether anyone listens."""
        return self._address is not None

    def send(self, message: str) -> bool:
        """Send a message; false if there is nobody to send it to, or it could not be sent at once."""
        if self._address is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.settimeout(0.0)
            try:
                line.sendto(message.encode(), self._address)
            except OSError:  # also BlockingIOError: systemd's queue is full
                return False
        return True
