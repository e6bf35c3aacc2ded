"""The daemon's links: folders of CGGTTS files are taken in, network links are kept, and each reference's tie is brought up to date.

Rule: a file is read once for each version of it; one that is bad is told once, with its line and the remedy, and costs only itself.
A link that is lost or found again is an event. Each new result is a row under the measurement `link`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from timesync.errors import DataError
from timesync.model import Event, Record, Severity
from timesync.reasons import REASONS
from timesync.reference.cggtts import parse_cggtts
from timesync.reference.common_view import METHODS, best_code
from timesync.reference.link import CALIBRATED, GNSS, NETWORK, NetworkLink, gnss_tie, initial_tie

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from timesync.model import FieldValue, TimeError
    from timesync.reference.cggtts import Track
    from timesync.reference.common_view import Comparison
    from timesync.settings import LinkSettings, ProbeSettings, Tie

__all__ = ["LINK", "LINK_FIELDS", "Folder", "LinkService"]

LINK = "link"
LINK_FIELDS: Mapping[str, tuple[str, str, str]] = {
    "value_s": ("float", "s", "reference minus UTC(k)"),
    "bound_s": ("float", "s", "its hard bound"),
    "u_s": ("float", "s", "its standard uncertainty (coverage factor 1)"),
    "claim": ("str", "", '"valid", or the reason why nothing is claimed by the link'),
    "realises": ("str", "", "the UTC(k)"),
    "source": ("str", "", "what it rests on"),
    "epochs": ("int", "", "gnss: epochs that were compared"),
    "rejected": ("int", "", "gnss: values rejected as outliers, of all files kept"),
}
"""The fields of a `link` row: type, unit, meaning. Tags: site, probe, link, reference."""
EVERY_S = 60.0
DAYS_KEPT = 5
LARGEST_BYTES = 20_000_000


@dataclass(slots=True)
class Folder:
    """The CGGTTS files of one receiver: tracks of the last days, file by file."""

    path: Path
    receiver: str = ""
    troubles: dict[Path, str] = field(default_factory=dict)
    _files: dict[Path, tuple[tuple[int, int], Sequence[Track]]] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read what is new or has changed. Blocks: call it in a thread. Raises OSError where the folder cannot be read."""
        found = {path: path.stat() for path in sorted(self.path.iterdir()) if path.is_file() and path.name[0] != "."}
        self._files = {path: kept for path, kept in self._files.items() if path in found}
        self.troubles = {path: text for path, text in self.troubles.items() if path in found}
        for path, state in found.items():
            version = (state.st_mtime_ns, state.st_size)
            if self._files.get(path, (None,))[0] != version:
                self.troubles.pop(path, None)
                self._files[path] = (version, self._read(path, state.st_size))

    def _read(self, path: Path, size: int) -> Sequence[Track]:
        if size > LARGEST_BYTES:
            self.troubles[path] = f"{path}: {size} bytes are no daily file; remove it"
            return ()
        try:
            whole = parse_cggtts(path.read_bytes(), str(path))
        except (DataError, OSError) as error:
            self.troubles[path] = str(error)
            return ()
        if whole.refused:
            first = whole.refused[0]
            counts = f"{len(whole.refused)} of its rows are left out, {len(whole.tracks)} are taken"
            self.troubles[path] = f"{path} line {first.line}: {first.why}; {counts}"
        self.receiver = whole.header.receiver or whole.header.lab or path.name
        return whole.tracks

    def tracks(self) -> list[Track]:
        """The tracks of the last days for which there are any."""
        every = [track for _, tracks in self._files.values() for track in tracks]
        newest = max((track.mjd for track in every), default=0)
        return [track for track in every if track.mjd > newest - DAYS_KEPT]


class LinkService:
    """`set_tie` gets each reference's tie when there is another, `store` the rows, `report` the events."""

    def __init__(
        self,
        settings: ProbeSettings,
        set_tie: Callable[[str, Tie], object],
        store: Callable[[Sequence[Record]], object],
        report: Callable[[Event], object],
        *,
        clock_ns: Callable[[], int],
    ) -> None:
        self._set_tie = set_tie
        self._store = store
        self._report = report
        self._clock_ns = clock_ns
        self._told: dict[Path, str] = {}
        self._networks: dict[str, NetworkLink] = {}
        self._links: list[LinkSettings] = []
        self._ties: dict[str, Tie] = {}
        self.configure(settings)

    def configure(self, settings: ProbeSettings) -> None:
        """Take new settings; a link that has not changed keeps its tie, that of another comes with the next turn."""
        self._tags = {"site": settings.site.name, "probe": settings.site.probe}
        ties = {target.name: target.tie for target in settings.targets if target.tie is not None}
        if settings.local_reference is not None:
            ties["local"] = settings.local_reference.tie
        before = {link: self._ties[link.name] for link in self._links}
        self._links = [link for link in settings.links if link.kind != CALIBRATED]
        self._ties = {}
        for link in self._links:
            tie = before.get(link)
            if tie is not None and tie.realises == ties[link.reference].realises:
                self._set_tie(link.reference, tie)  # the references were made with what the configuration says
            else:
                tie = initial_tie(link, ties[link.reference].realises)
            self._ties[link.name] = tie
        kept = {network.link: network for network in self._networks.values()}
        self._networks = {
            link.reference: kept.get(link) or NetworkLink(link, self._ties[link.name].realises)
            for link in self._links
            if link.kind == NETWORK
        }
        self._folders = {
            path: Folder(path)
            for link in self._links
            for path in (link.folder, link.laboratory_folder)
            if path is not None
        }

    @property
    def idle(self) -> bool:
        """Whether there is nothing to keep."""
        return not self._links

    def observe(self, error: TimeError) -> None:
        """What a reference is against the laboratory's server, as it was just measured."""
        network = self._networks.get(error.offset.target)
        if network is not None and network.link.through == error.reference:
            network.push(error)
            self._network(network, self._clock_ns())

    async def run(self) -> None:
        """For ever: look at the folders, and let what is old age."""
        while True:
            await self.turn()
            await asyncio.sleep(EVERY_S)

    async def turn(self) -> None:
        """One look."""
        for folder in list(self._folders.values()):
            try:
                await asyncio.to_thread(folder.refresh)
            except OSError as error:
                folder.troubles[folder.path] = (
                    f"{folder.path} cannot be read: {error.strerror}; correct the folder in [[link]]"
                )
        self._tell_troubles()
        now_ns = self._clock_ns()
        for network in self._networks.values():
            self._network(network, now_ns)
        for link in list(self._links):
            if link.kind == GNSS and link in self._links:
                await self._gnss(link)

    def _network(self, network: NetworkLink, now_ns: int) -> None:
        self._take(network.link, network.tie(now_ns), {})

    async def _gnss(self, link: LinkSettings) -> None:
        assert link.folder is not None
        assert link.laboratory_folder is not None
        ours, theirs = self._folders[link.folder], self._folders[link.laboratory_folder]
        comparison = await asyncio.to_thread(_compared, link, ours.tracks(), theirs.tracks())
        if link not in self._links:
            return  # taken out by a reload meanwhile
        realises = self._ties[link.name].realises
        tie = gnss_tie(link, realises, comparison, (ours.receiver, theirs.receiver), self._clock_ns())
        more: dict[str, FieldValue] = {}
        if comparison is not None:
            more = {"epochs": len(comparison.epochs), "rejected": comparison.rejected}
        self._take(link, tie, more)

    def _take(self, link: LinkSettings, tie: Tie, more: Mapping[str, FieldValue]) -> None:
        """Another tie, if it is one: set, stored, and told where the link is lost or found."""
        before = self._ties[link.name]
        self._set_tie(link.reference, tie)
        self._ties[link.name] = tie
        now_ns = self._clock_ns()
        if before.no_claim is not tie.no_claim:
            self._report(_change(link, tie, now_ns))
        if (before.no_claim, before.value_s, before.source) != (tie.no_claim, tie.value_s, tie.source):
            self._store([self._row(link, tie, more, now_ns)])

    def _row(self, link: LinkSettings, tie: Tie, more: Mapping[str, FieldValue], now_ns: int) -> Record:
        fields: dict[str, FieldValue] = {
            "realises": tie.realises,
            "claim": tie.no_claim.value if tie.no_claim else "valid",
        }
        if tie.no_claim is None:
            fields |= {"value_s": tie.value_s, "bound_s": tie.bound_s, "u_s": tie.u_s, "source": tie.source, **more}
        return Record(LINK, now_ns, {**self._tags, "link": link.name, "reference": link.reference}, fields)

    def _tell_troubles(self) -> None:
        troubles = {path: text for folder in self._folders.values() for path, text in folder.troubles.items()}
        for path, text in troubles.items():
            if self._told.get(path) != text:
                self._report(Event("link_file_refused", self._clock_ns(), Severity.WARNING, text))
        self._told = troubles


def _compared(link: LinkSettings, ours: Sequence[Track], theirs: Sequence[Track]) -> Comparison | None:
    code = link.code or best_code(ours, theirs)
    if code is None:
        return None
    return METHODS[link.method](ours, theirs, code, link.least_elevation_deg)


def _change(link: LinkSettings, tie: Tie, now_ns: int) -> Event:
    evidence: dict[str, FieldValue] = {"link": link.name, "reference": link.reference}
    if tie.no_claim is None:
        value = f"{tie.value_s * 1e9:+.1f} ns, bound {tie.bound_s * 1e9:.1f} ns"
        text = f"{link.reference} is tied to {tie.realises} by {tie.source}: {value}"
        return Event("link_found", now_ns, Severity.INFO, text, None, evidence)
    meaning = REASONS[tie.no_claim]
    text = f"{link.reference} is no longer tied to {tie.realises}: {meaning.text}; {meaning.remedy}"
    return Event("link_lost", now_ns, Severity.WARNING, text, None, {**evidence, "reason": tie.no_claim.value})
