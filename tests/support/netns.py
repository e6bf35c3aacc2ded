"""Network namespaces for a test: hosts of its own, joined by cables of its own, gone when the test is.

Rule: nothing outside the namespaces made here is touched, and what an earlier test process left behind when it was killed is
removed by name. Needs root.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from support.debian import binary, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Host", "Pair", "bridged_hosts", "bridged_pair", "cabled_pair", "host", "hosts", "remove_abandoned"]

Result = TypeVar("Result")

_NAMED = "timesync-{pid}-{number}"
_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


def _ip(*words: str) -> str:
    argv = [str(binary("ip")), *words]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _enter(path: Path) -> None:
    """Move the calling thread into the namespace (setns(2)); os.setns is new in Python 3.12."""
    with path.open("rb") as handle:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter {path}: {os.strerror(number)}")


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace: a host with its own interfaces, addresses and ports."""

    name: str

    def ip(self, *words: str) -> str:
        """Run `ip WORDS` inside; returns what it printed, raises RuntimeError with its complaint."""
        return _ip("-n", self.name, *words)

    def add_address(self, interface: str, address: str) -> None:
        """Give an interface an address such as 10.0.0.1/24 or fd00::1/64, and set it up."""
        self.ip("address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", interface, "up")

    def call(self, function: Callable[[], Result]) -> Result:
        """`function()` in a thread inside this namespace; sockets it opens stay there, also after it has returned.

        A whole asyncio.run() may go in: threads that it starts inherit the namespace.
        """
        results: list[Result] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                _enter(_FOLDER / self.name)
                results.append(function())
            except BaseException as error:  # noqa: BLE001  # it is raised again in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=inside, name=f"in {self.name}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        """A socket that lives in this namespace."""
        return self.call(lambda: socket.socket(family, kind))


def remove_abandoned() -> None:
    """Remove namespaces whose test process is no more."""
    for entry in _FOLDER.glob(_NAMED.format(pid="*", number="*")):
        pid = entry.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            _ip("netns", "delete", entry.name)


@contextmanager
def host() -> Iterator[Host]:
    """One new namespace with its loopback up."""
    made = Host(_NAMED.format(pid=os.getpid(), number=next(_numbers)))
    _ip("netns", "add", made.name)
    try:
        made.ip("link", "set", "lo", "up")
        yield made
    finally:
        _ip("netns", "delete", made.name)


@contextmanager
def hosts(count: int) -> Iterator[Sequence[Host]]:
    """`count` new namespaces, not connected."""
    if count == 0:
        yield ()
        return
    with host() as first, hosts(count - 1) as others:
        yield (first, *others)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two hosts and their addresses on what joins them: a probe's side and a server's side."""

    client: Host
    server: Host
    client_ipv4: str = "10.123.0.1"
    server_ipv4: str = "10.123.0.2"
    client_ipv6: str = "fd00:123::1"
    server_ipv6: str = "fd00:123::2"

    def give_addresses(self, interface: str) -> None:
        """Give each end's `interface` its addresses and set it up."""
        for end, addresses in (
            (self.client, (self.client_ipv4, self.client_ipv6)),
            (self.server, (self.server_ipv4, self.server_ipv6)),
        ):
            for address in addresses:
                end.add_address(interface, f"{address}/{64 if ':' in address else 24}")


@contextmanager
def cabled_pair(interface: str = "cable") -> Iterator[Pair]:
    """Two hosts joined by a veth pair, with IPv4 and IPv6 addresses; the interface has the same name on both."""
    with hosts(2) as (client, server):
        client.ip("link", "add", interface, "type", "veth", "peer", "name", interface, "netns", server.name)
        pair = Pair(client, server)
        pair.give_addresses(interface)
        yield pair


@contextmanager
def bridged_hosts(count: int, interface: str = "cable") -> Iterator[Sequence[Host]]:
    """`count` hosts on one bridge, which is a namespace of its own; they have the addresses 10.123.0.1 and fd00:123::1 and so on.

    The bridge floods all multicast, and forwards 01-80-C2-00-00-0E too, which a real one keeps to itself: it is a wire with more
    than two ends.
    """
    with hosts(count + 1) as (bridge, *ends):
        bridge.ip("link", "add", "bridge", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        bridge.ip("link", "set", "bridge", "type", "bridge", "group_fwd_mask", "0x4000")
        bridge.ip("link", "set", "bridge", "up")
        for number, end in enumerate(ends, 1):
            port = f"port{number}"
            bridge.ip("link", "add", port, "type", "veth", "peer", "name", interface, "netns", end.name)
            bridge.ip("link", "set", port, "master", "bridge")
            bridge.ip("link", "set", port, "up")
            end.add_address(interface, f"10.123.0.{number}/24")
            end.add_address(interface, f"fd00:123::{number}/64")
        yield ends


@contextmanager
def bridged_pair() -> Iterator[Pair]:
    """Two hosts on a bridge, with the addresses of a cabled pair."""
    with bridged_hosts(2) as (client, server):
        yield Pair(client, server)
