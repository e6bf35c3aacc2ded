"""An NTP engine with one server on loopback whose answers a test gives, and what its polls must have come to."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.ntp import KIND, NtpEngine
from support.ntpserver import Server
from timesync.model import Event, Exchange, Missed
from timesync.plugin import EngineContext
from timesync.settings import ProbeSettings, SiteSettings, SpoolSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from probes.ntp_prober import NtpProber
    from timesync.model import Outcome


__all__ = ["Bench", "Responder", "exchange", "missed", "only"]


class Responder:
    """A UDP server on loopback whose answers a test gives: for each request, replies with their delays in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.model = Server()
        self.requests: list[bytes] = []
        self.handle: Callable[[bytes], list[tuple[float, bytes]]] = lambda request: [(0.0, self.reply(request))]
        self._loop = loop
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        loop.add_reader(self._socket.fileno(), self._readable)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def reply(self, request: bytes) -> bytes:
        self.model.processing_ns = 1
        return self.model.answer(request, time.time_ns())[0]

    def _readable(self) -> None:
        request, address = self._socket.recvfrom(2048)
        self.requests.append(request)
        for delay_s, reply in self.handle(request):
            if delay_s:
                self._loop.call_later(delay_s, self._send, reply, address)
            else:
                self._send(reply, address)

    def _send(self, reply: bytes, address: Any) -> None:
        if self._socket.fileno() >= 0:
            self._socket.sendto(reply, address)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class Bench:
    """An engine, a server, and the epoch of the probe's clock in the test's hands."""

    def __init__(self) -> None:
        self.epoch = 0
        self.events: list[Event] = []
        self.server = Responder(asyncio.get_running_loop())
        settings = ProbeSettings(SiteSettings("lab", "probe"), (), SpoolSettings(Path()), resolve_again_s=600.0)
        self.context = EngineContext(settings, self.events.append, lambda: self.epoch)
        self.engine: NtpEngine = KIND.open(self.context)
        self.probers: list[NtpProber] = []

    async def prober(
        self, address: str | None = None, *, timeout_s: float = 0.5, interval_s: float = 0.01, **options: Any
    ) -> NtpProber:
        target = TargetSettings(
            "target", "ntp", address or self.server.address, interval_s=interval_s, timeout_s=timeout_s, options=options
        )
        self.probers.append(await self.engine.open_target(target))
        return self.probers[-1]

    async def close(self) -> None:
        for prober in self.probers:
            await prober.close()
        await self.engine.close()
        self.server.close()


def only(outcomes: Any) -> Outcome:
    assert len(outcomes) == 1, outcomes
    outcome: Outcome = outcomes[0]
    return outcome


def missed(outcomes: Any) -> Missed:
    outcome = only(outcomes)
    assert isinstance(outcome, Missed), outcome
    return outcome


def exchange(outcomes: Any) -> Exchange:
    outcome = only(outcomes)
    assert isinstance(outcome, Exchange), outcome
    return outcome
