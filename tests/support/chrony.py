"""A real chronyd with a clock that the test sets: an offset and a frequency of its own, without touching the host's.

chronyd runs with -x (it never disciplines a clock) and serves its own idea of the time. `doffset` and `dfreq` change that idea at
once; chronyc's signs are the opposite of what is then served, and are turned here. Kernel timestamps stay true.
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.debian import binary, environment
from support.process import Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.netns import Host

__all__ = ["Chronyd", "free_port"]


def free_port(family: int = socket.AF_INET) -> int:
    """A UDP port of the loopback that nothing uses now."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Chronyd:
    """One server, ready when entered. Several live on one host by their ports, or one in each namespace.

    `keys` maps a key number to (type, secret), for example {1: ("SHA256", "HEX:...")}. `options` are further lines of chrony.conf
    (`noclientlog` makes a server that knows no interleaved mode).
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        address: str | None = None,
        stratum: int = 1,
        keys: Mapping[int, tuple[str, str]] | None = None,
        options: Sequence[str] = (),
        inside: Host | None = None,
    ) -> None:
        self.address = address or "127.0.0.1"
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.port = port or (123 if inside else free_port(family))
        self._bind = address is not None or inside is None
        self._stratum = stratum
        self._keys = dict(keys or {})
        self._options = tuple(options)
        self._inside = inside
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._program: Program | None = None

    def _configuration(self, folder: Path) -> str:
        lines = [
            f"local stratum {self._stratum}",
            "allow all",
            f"port {self.port}",
            "cmdport 0",
            f"bindcmdaddress {folder}/s.sock",
            f"pidfile {folder}/pid",
            f"user {pwd.getpwuid(os.geteuid()).pw_name}",
            *self._options,
        ]
        if self._bind:
            lines.append(f"bindaddress {self.address}")
        if self._keys:
            secrets = folder / "keys"
            secrets.touch(mode=0o600)
            secrets.write_text("".join(f"{number} {kind} {secret}\n" for number, (kind, secret) in self._keys.items()))
            lines.append(f"keyfile {secrets}")
        return "\n".join(lines) + "\n"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="chrony-")
        folder = Path(self._folder.name)
        folder.chmod(0o750)
        file = folder / "chrony.conf"
        file.write_text(self._configuration(folder))
        argv: list[str | Path] = [binary("chronyd"), "-d", "-x", "-f", file]
        if os.geteuid() != 0:
            argv.insert(1, "-U")
        self._program = Program(argv, namespace=self._inside.name if self._inside else None)
        try:
            self._program.wait_ready(self._answers, "it answered chronyc")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._program is not None:
            self._program.__exit__()
        if self._folder is not None:
            self._folder.cleanup()

    def _answers(self) -> bool:
        return self._chronyc("tracking").returncode == 0

    def _chronyc(self, *words: str) -> subprocess.CompletedProcess[str]:
        assert self._folder is not None
        argv = [str(binary("chronyc")), "-h", f"{self._folder.name}/s.sock", *words]
        return subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False, timeout=20)

    def command(self, *words: str) -> str:
        """What chronyc says to a command; raises RuntimeError if it fails."""
        done = self._chronyc(*words)
        if done.returncode:
            raise RuntimeError(f"chronyc {' '.join(words)}: {done.stdout.strip()} {done.stderr.strip()}")
        return done.stdout

    def step(self, ahead_s: float) -> None:
        """Move the served time by `ahead_s` (positive: ahead), at once."""
        self.command("doffset", f"{-ahead_s:.9f}")

    def change_frequency(self, fast_ppm: float) -> None:
        """Change the served clock's frequency by `fast_ppm` (positive: it gains), at once."""
        self.command("dfreq", f"{-fast_ppm:.6f}")

    @property
    def output(self) -> str:
        """What chronyd has printed."""
        assert self._program is not None
        return self._program.output
