"""What a probe kind is to the rest of timesync: the contract between the daemon and an instrument.

A kind is found by its name in the entry point group `timesync.probes`; the entry point gives an object with the
attributes of `ProbeKind`. The daemon opens one `Engine` per kind in use and one `Prober` per target, and asks each prober
to poll when its schedule says so. Nothing else is asked of an instrument.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple, Protocol

from timesync.errors import Problem, TimesyncError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from timesync.model import Event, Outcome
    from timesync.settings import ProbeSettings, TargetSettings

__all__ = [
    "Capture",
    "Demonstration",
    "Engine",
    "EngineContext",
    "EngineCounts",
    "Frame",
    "Frames",
    "ProbeKind",
    "Prober",
    "Recorder",
    "UnknownProbeKindError",
    "kinds",
    "load_capture",
    "load_demonstration",
    "load_kind",
]

GROUP = "timesync.probes"
DEMONSTRATIONS = "timesync.demonstrations"
CAPTURES = "timesync.captures"


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What an engine gets from the daemon: the settings, where events go, and the epoch of the probe's clock."""

    settings: ProbeSettings
    emit: Callable[[Event], None]
    clock_epoch: Callable[[], int]


@dataclass(frozen=True, slots=True)
class EngineCounts:
    """What an engine has seen since it was opened: packets it did not believe, by reason, and what became of timestamps."""

    refused: Mapping[str, int]
    sockets: Mapping[str, int]


class Prober(Protocol):
    """One target being measured."""

    async def poll(self) -> Sequence[Outcome]:
        """Ask once and return what was learned: usually one record, in time order, each poll accounted for.

        A miss is a `Missed` with its reason, not an exception. An exception is a fault of the instrument: the daemon logs
        it, records `probe_failed` and polls again at the next turn.
        """
        ...

    async def close(self) -> Sequence[Outcome]:
        """Let go of sockets and devices; returns what was still in flight, if it can be told."""
        ...


class Engine(Protocol):
    """All targets of one kind in this process: the place for shared sockets and devices."""

    async def open_target(self, target: TargetSettings) -> Prober:
        """Begin to measure a target. Must not block on the network."""
        ...

    def reconfigure(self, settings: ProbeSettings) -> Collection[str]:
        """Take new settings (keys, say); the names of open targets that must be opened again to follow them.

        Raises ConfigError if they cannot be taken; nothing has changed then.
        """
        ...

    def counts(self) -> EngineCounts:
        """What has been seen so far; asked about once a second."""
        ...

    async def close(self) -> None:
        """Let go of what the engine shares."""
        ...


class ProbeKind(Protocol):
    """One way of measuring a clock: "ntp", "ptp", a laboratory's own time-interval counter."""

    name: str
    protocol: str

    def check(self, target: TargetSettings, where: str) -> Sequence[Problem]:
        """Everything wrong with the target's address and options; empty if it is good. `where` names the table."""
        ...

    def open(self, context: EngineContext) -> Engine:
        """Make the engine for this process."""
        ...

    @property
    def options(self) -> Mapping[str, str]:
        """The option names this kind knows, each with a one-line meaning."""
        ...


class Demonstration(Protocol):
    """A simulated network to measure when there is no configuration yet: real packets, made-up clocks."""

    @property
    def legend(self) -> Mapping[str, str]:
        """What each target simulates, in a few words."""
        ...

    async def start(self) -> Sequence[TargetSettings]:
        """Start the servers on loopback; the targets to measure."""
        ...

    def true_x_s(self, target: str, at_ns: int) -> float | None:
        """The simulated clock's true time error at a true instant (Unix ns); None for a name that is not simulated."""
        ...

    async def stop(self) -> None:
        """Stop the servers."""
        ...


class Frame(NamedTuple):
    """A frame as it was captured: when (Unix ns of the capture's clock, None: not told), pcap's link type, its octets, how long it
    was on the wire, and the unit of its time stamp."""

    at_ns: int | None
    link_type: int
    data: bytes
    wire_octets: int
    resolution_ns: int


class Frames(Protocol):
    """Frames in the order of their capture; None where an interface has nothing for a while."""

    notes: list[str]
    dropped: int | None

    @property
    def share(self) -> float | None:
        """How much of a file has been read, 0 to 1; None where that cannot be told."""
        ...

    @property
    def complete(self) -> bool:
        """False where a file ends before its end."""
        ...

    def __iter__(self) -> Iterator[Frame | None]: ...

    def close(self) -> None:
        """Let go of the file or interface; `dropped` is final then."""
        ...


class Recorder(Protocol):
    """A capture file that is written."""

    written: int
    left_out: int

    def write(self, frame: Frame) -> None:
        """Add a frame."""
        ...

    def close(self) -> None:
        """End the file."""
        ...


class Capture(Protocol):
    """What reads frames from interfaces and capture files."""

    def interfaces(self) -> Sequence[str]:
        """The interfaces of this machine."""
        ...

    def open_file(self, name: str) -> Frames:
        """The frames of a file ("-": standard input). Raises DataError."""
        ...

    def open_interface(self, name: str, *, filter_text: str, ntp_ports: Sequence[int], promiscuous: bool) -> Frames:
        """The frames that pass an interface. Raises DataError."""
        ...

    def open_writer(self, path: Path) -> Recorder:
        """A capture file to write. Raises DataError."""
        ...


class UnknownProbeKindError(TimesyncError):
    """No installed package offers a probe kind of that name."""


def kinds() -> Sequence[str]:
    """The names of all installed probe kinds, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


@cache
def load_kind(name: str) -> ProbeKind:
    """The probe kind of that name. Looked for once: reading what all packages offer takes tens of ms, and a site has a
    thousand targets. One that is not there is looked for again the next time.

    Raises `UnknownProbeKindError` naming the kinds that are installed.
    """
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            kind: ProbeKind = entry.load()
            return kind
    installed = ", ".join(kinds()) or "none"
    raise UnknownProbeKindError(f"no probe kind {name!r} is installed (installed: {installed}); install its package")


def load_demonstration() -> Demonstration:
    """The demonstration network that is installed.

    Raises `UnknownProbeKindError` if none is.
    """
    for entry in entry_points(group=DEMONSTRATIONS):
        make: Callable[[], Demonstration] = entry.load()
        return make()
    raise UnknownProbeKindError("no demonstration network is installed; give a configuration with --config")


def load_capture() -> Capture:
    """What reads frames. Raises `UnknownProbeKindError` if nothing that is installed does."""
    for entry in entry_points(group=CAPTURES):
        found: Capture = entry.load()
        return found
    raise UnknownProbeKindError(
        "nothing that reads captures is installed; install timesync anew: pip install 'timesync[capture]'"
    )
