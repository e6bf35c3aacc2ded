"""Start a real program for a test, wait until it is ready, and end exactly it.

Rules. No program under test may touch the host's clock: it runs without the capability to set the time, also as root. It
is waited for by a condition, never by a sleep of fixed length. What it printed is in the failure message. It is ended by its
own pid, and the kernel ends it if the test process dies first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Self

from support.debian import binary, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Program", "ProgramError", "wait_until"]

HARMLESS = ("setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time", "--pdeathsig=KILL")
"""Root keeps everything but the right to set the clock."""


class ProgramError(AssertionError):
    """A program did not do what the test needs; the text carries what it printed."""


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = 20.0, every_s: float = 0.02) -> None:
    """Return as soon as `condition()` is true; raises ProgramError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ProgramError(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)


class Program:
    """One running program. A context manager: left, the program is ended and waited for.

    `namespace` names a network namespace to run in. Start it from a thread that outlives it (the main thread, as a rule): the
    kernel ends it with the thread that started it.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        namespace: str | None = None,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        end_signal: signal.Signals = signal.SIGTERM,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.argv = [str(word) for word in argv]
        self._end_signal = end_signal
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        prefix: list[str] = []
        if namespace is not None:
            prefix += [str(binary("ip")), "netns", "exec", namespace]
        if os.geteuid() == 0:
            prefix += HARMLESS
        self._process = subprocess.Popen(
            [*prefix, *self.argv],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**environment(), **(environ or {})},
            start_new_session=True,
            pass_fds=pass_fds,
        )

    @property
    def pid(self) -> int:
        """The program's own process id (namespace and capability tools exec it, so it is theirs too)."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """All it has printed so far, both streams in order."""
        return os.pread(self._output.fileno(), 1 << 24, 0).decode("utf-8", "replace")

    def wait_ready(
        self, condition: Callable[[], object], what: str, *, timeout_s: float = 20.0, every_s: float = 0.02
    ) -> Self:
        """Wait for `condition()`; raises ProgramError with the program's output if it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if not self.running:
                raise ProgramError(self._story(f"ended with {self._process.returncode} before {what}"))
            if time.monotonic() > deadline:
                raise ProgramError(self._story(f"was not ready within {timeout_s:g} s: {what}"))
            time.sleep(every_s)
        return self

    def wait_for_output(self, text: str, *, timeout_s: float = 20.0) -> Self:
        """Wait until `text` has been printed."""
        return self.wait_ready(lambda: text in self.output, f"it printed {text!r}", timeout_s=timeout_s)

    def _story(self, what: str) -> str:
        return f"{self.argv[0]} {what}\ncommand: {' '.join(self.argv)}\noutput:\n{self.output or '(none)'}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to exactly this program."""
        self._process.send_signal(number)

    def wait(self, *, timeout_s: float = 20.0) -> int:
        """Wait for its own end; returns its exit status."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProgramError(self._story(f"did not end within {timeout_s:g} s")) from None

    def end(self, *, timeout_s: float = 10.0) -> None:
        """End it, by force if it does not heed the signal. Harmless if it has ended."""
        if self.running:
            self._process.send_signal(self._end_signal)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()
        self._output.close()
