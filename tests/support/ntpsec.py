"""A real ntpd (ntpsec) in a network namespace: it serves port 123 only.

With `tos orphan` it is its own source. Until it has chosen itself (some 6 s) it answers with stratum 0, LI=3 and INIT: a server
that is not synchronised yet, which is a test of its own. `source` names another one: then ntpd follows that (from some 8 s on, its
root dispersion settled some 8 s later), and is its own only if `orphan` says so.

ntpd's default restrictions limit the rate at which it answers an address, whatever `restrict default` adds to them: after some 25
polls in a few seconds it is silent. That is taken away here, unless `restrict` asks for it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.debian import binary
from support.process import Program
from support.scripted import ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.netns import Host

__all__ = ["Ntpd"]

STRATUM = 3


class Ntpd:
    """One server, entered when it answers at all; `wait_synchronised` when it serves time."""

    def __init__(
        self,
        inside: Host,
        *,
        restrict: str = "default nomodify noquery",
        keys: Mapping[int, tuple[str, str]] | None = None,
        options: Sequence[str] = (),
        source: str | None = None,
        orphan: bool | None = None,
    ) -> None:
        self._inside = inside
        self._source = source
        self._orphan = source is None if orphan is None else orphan
        self._restrict = restrict
        self._keys = dict(keys or {})
        self._options = tuple(options)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._program: Program | None = None

    def _configuration(self, folder: Path) -> str:
        lines = [f"restrict {self._restrict}", *self._options]
        if "limited" not in self._restrict.split():
            lines.append("unrestrict default limited")
        if self._orphan:
            lines.append(f"tos orphan {STRATUM} orphanwait 1")
        if self._source is not None:
            lines.append(f"server {self._source} minpoll 0 maxpoll 0 iburst")
        if self._keys:
            secrets = folder / "keys"
            secrets.touch(mode=0o600)
            secrets.write_text("".join(f"{number} {kind} {secret}\n" for number, (kind, secret) in self._keys.items()))
            lines += [f"keys {secrets}", f"trustedkey {' '.join(map(str, self._keys))}"]
        return "\n".join(lines) + "\n"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="ntpsec-")
        folder = Path(self._folder.name)
        file = folder / "ntp.conf"
        file.write_text(self._configuration(folder))
        argv: list[str | Path] = [
            binary("ntpd"),
            "-n",
            "-N",
            "-g",
            "-c",
            file,
            "-f",
            folder / "drift",
            "-p",
            folder / "pid",
        ]
        self._program = Program(argv, namespace=self._inside.name, cwd=folder)
        try:
            self._program.wait_ready(lambda: self._answer() is not None, "it answered on port 123")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answer(self) -> bytes | None:
        return self._inside.call(lambda: ask("127.0.0.1", 123, timeout_s=0.2))

    def wait_synchronised(self) -> Self:
        """Wait until it serves its own clock as stratum 3 (about 6 s after its start)."""
        assert self._program is not None

        def synchronised() -> bool:
            reply = self._answer()
            return reply is not None and reply[0] >> 6 != 3 and reply[1] == STRATUM

        self._program.wait_ready(synchronised, f"it serves stratum {STRATUM}", timeout_s=40.0, every_s=0.1)
        return self

    def wait_following(self) -> Self:
        """Wait until it follows its source, and its root dispersion has settled below 2 ms (some 16 s after its start)."""
        assert self._program is not None

        def follows() -> bool:
            reply = self._answer()
            if reply is None or reply[0] >> 6 == 3 or reply[12] == 127:
                return False
            return int.from_bytes(reply[8:12], "big") / 65536 < 2e-3

        self._program.wait_ready(follows, "it follows its source", timeout_s=60.0, every_s=0.1)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._program is not None:
            self._program.__exit__()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def output(self) -> str:
        """What ntpd has printed."""
        assert self._program is not None
        return self._program.output
