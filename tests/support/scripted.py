"""An NTP server that does what a script says, request by request: the faults that no real server can be asked for.

Rule: its packets are written here with struct, after RFC 5905 section 7.3, and not by timesync's codec, so that it can judge
it. It serves the host's clock with a known error; T2 is the kernel's receive stamp. A `Behaviour` is honest by default.

`python scripted.py FILE.json` serves on loopback: {"port": 11123, "script": [{"offset_s": 0.025}, {"origin": "wrong"}]}; the last
behaviour stays. The port it listens on is printed.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Behaviour", "ScriptedServer", "ask"]

_SO_TIMESTAMPNS = 35
_HEADER = struct.Struct(">BBbbIII")
_EPOCH_S = 2208988800  # 1900-01-01 to 1970-01-01 (RFC 5905 figure 4)
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is answered. Times in seconds, positive: the served clock is ahead of the host's."""

    # The served clock: constant, rate, a step or a linear smear some time after the server's start, a sine.
    offset_s: float = 0.0
    rate_ppm: float = 0.0
    step_s: float = 0.0
    step_after_s: float = 0.0
    smear_s: float = 0.0
    smear_over_s: float = 1.0
    wander_s: float = 0.0
    wander_period_s: float = 1.0
    # The header.
    leap: int = 0
    version: int | None = None  # None: the request's
    mode: int = 4
    stratum: int = 1
    precision: int = -24
    root_delay_s: float = 0.0
    root_dispersion_s: float = 0.0
    reference_id: str = "TEST"
    origin: str = "echo"  # or wrong, zero, previous (the request before this one's)
    receive: str = "now"  # or zero
    transmit: str = "now"  # or zero, before_receive
    claimed_hold_s: float = 0.0  # T3 - T2 is claimed to be longer by this
    # The datagram and its way.
    length: int | None = None  # truncated to so many bytes
    append_hex: str = ""  # after the header: extension fields, nonsense
    mac: str = "none"  # or good, bad, other_key, nak
    silent: bool = False
    from_other_port: bool = False
    copies: int = 1
    forged_first: int = 0  # so many forgeries with a guessed origin before the answer
    late_s: float = 0.0

    def clock_error_s(self, elapsed_s: float) -> float:
        """Served clock minus host clock, `elapsed_s` after the server's start."""
        error = self.offset_s + 1e-6 * self.rate_ppm * elapsed_s
        error += self.step_s if elapsed_s >= self.step_after_s else 0.0
        error += self.smear_s * min(1.0, elapsed_s / self.smear_over_s)
        return error + self.wander_s * math.sin(2 * math.pi * elapsed_s / self.wander_period_s)


def _ntp_time(unix_ns: int) -> int:
    seconds, ns = divmod(unix_ns, 1_000_000_000)
    return (((seconds + _EPOCH_S) << 32) | ((ns << 32) // 1_000_000_000)) & _MASK


def ask(host: str, port: int, *, timeout_s: float = 1.0) -> bytes | None:
    """A plain client's single question (RFC 4330 form); the reply, or None if none came."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect((host, port))
            sock.send(struct.pack(">B39xQ", 0x23, secrets.randbits(64)))
            return sock.recv(2048)
        except OSError:  # silence, or nobody there yet
            return None


class ScriptedServer:
    """A context manager: entered, it answers on `address`:`port` from a thread of its own.

    Request number i is answered by `script[i]`; the last behaviour stays, and `set` replaces the script from the next request
    on. `keys` maps key numbers to (hashlib's name, secret). `sock` and `other_sock` are sockets inside a namespace, not yet
    bound, where the server is to live there.
    """

    def __init__(
        self,
        *script: Behaviour,
        address: str = "127.0.0.1",
        port: int = 0,
        keys: Mapping[int, tuple[str, bytes]] | None = None,
        sock: socket.socket | None = None,
        other_sock: socket.socket | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._sock = sock or socket.socket(family, socket.SOCK_DGRAM)
        self._other = other_sock or socket.socket(family, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.bind((address, port))
        self._other.bind((address, 0))
        self.address = address
        self.port: int = self._sock.getsockname()[1]
        self.requests: list[bytes] = []
        self._script: Sequence[Behaviour] = script or (Behaviour(),)
        self._next = 0
        self._keys = dict(keys or {})
        self.began_ns = time.time_ns()
        self._previous_nonce = b"\x01" * 8
        self._lock = threading.Lock()
        self._timers: list[threading.Timer] = []
        self._stop = threading.Event()
        self._sock.settimeout(0.1)
        self._thread = threading.Thread(target=self._serve, name=f"scripted NTP {self.port}", daemon=True)

    @property
    def target(self) -> str:
        """The address as a target is written."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def set(self, *script: Behaviour) -> None:
        """From the next request on, do this."""
        with self._lock:
            self._script, self._next = script, 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self._sock.close()
        self._other.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                request, control, _flags, client = self._sock.recvmsg(2048, 64)
            except TimeoutError:
                continue
            seconds, ns = struct.unpack("qq", control[0][2])
            if len(request) < 48:
                continue
            with self._lock:
                behaviour = self._script[min(self._next, len(self._script) - 1)]
                self._next += 1
            self.requests.append(request)
            self._answer(behaviour, request, seconds * 1_000_000_000 + ns, client)
            self._previous_nonce = request[40:48]

    def _answer(self, behaviour: Behaviour, request: bytes, received_ns: int, client: tuple[object, ...]) -> None:
        if behaviour.silent:
            return
        send = (self._other if behaviour.from_other_port else self._sock).sendto
        for _ in range(behaviour.forged_first):
            forged = self._packet(Behaviour(origin="wrong", offset_s=1000.0), request, received_ns)
            send(forged, client)
        reply = self._packet(behaviour, request, received_ns)
        if behaviour.late_s:
            timer = threading.Timer(behaviour.late_s, send, (reply, client))
            timer.start()
            self._timers.append(timer)
            return
        for _ in range(behaviour.copies):
            send(reply, client)

    def _packet(self, behaviour: Behaviour, request: bytes, received_ns: int) -> bytes:
        """The reply's bytes. T3 is read as late as can be."""

        def served(host_ns: int) -> int:
            return host_ns + round(1e9 * behaviour.clock_error_s((host_ns - self.began_ns) / 1e9))

        version = behaviour.version if behaviour.version is not None else (request[0] >> 3) & 7
        header = _HEADER.pack(
            behaviour.leap << 6 | version << 3 | behaviour.mode,
            behaviour.stratum,
            6,
            behaviour.precision,
            round(behaviour.root_delay_s * 65536),
            round(behaviour.root_dispersion_s * 65536),
            int.from_bytes(behaviour.reference_id.encode().ljust(4, b"\0")[:4], "big"),
        )
        origin = {
            "echo": request[40:48],
            "wrong": secrets.token_bytes(8),
            "zero": bytes(8),
            "previous": self._previous_nonce,
        }[behaviour.origin]
        received = {"now": _ntp_time(served(received_ns)), "zero": 0}[behaviour.receive]
        reference = _ntp_time(served(received_ns) - 1_000_000_000)
        hold_ns = round(1e9 * behaviour.claimed_hold_s)
        sent = {
            "now": _ntp_time(served(time.time_ns()) + hold_ns),
            "zero": 0,
            "before_receive": _ntp_time(served(received_ns) - 1_000_000),
        }[behaviour.transmit]
        packet = header + struct.pack(">Q8sQQ", reference, origin, received, sent) + bytes.fromhex(behaviour.append_hex)
        return (packet + self._trailer(behaviour.mac, request, packet))[: behaviour.length]

    def _trailer(self, mac: str, request: bytes, packet: bytes) -> bytes:
        """The MAC: key number and H(secret || packet), or the crypto-NAK's lone zero (RFC 5905 section 7.3 and 9.2)."""
        if mac in {"none", "nak"}:
            return bytes(4) if mac == "nak" else b""
        number = int.from_bytes(request[48:52], "big")
        name, secret = self._keys[number]
        digest = hashlib.new(name, secret + packet).digest()[:20]
        if mac == "bad":
            digest = bytes([digest[0] ^ 1]) + digest[1:]
        return struct.pack(">I", number + (mac == "other_key")) + digest


def main() -> None:
    """Serve what a JSON file says until interrupted."""
    told = json.loads(Path(sys.argv[1]).read_text())
    with ScriptedServer(*(Behaviour(**step) for step in told["script"]), port=told.get("port", 0)) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
