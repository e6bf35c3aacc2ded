"""Two receivers' CGGTTS tracks -> the difference of the clocks behind them: reference A minus reference B, epoch by epoch.

Rule: by common view a difference is taken satellite by satellite and then averaged, so that the satellite's clock, and most of the
orbit and the ionosphere, cancel; by all in view each receiver's satellites are averaged first. Only full tracks (780 s) count.
What is rejected is counted.

Rejection, the same for both: of all values (differences, or REFSYS of one receiver) of an epoch the median is taken away; what is
further than `REJECT` times 1.4826 times the median absolute residual from 0, and further than 1 ns, is rejected, once. With fewer
than `FEW` values nothing is rejected.

Sources: D. Allan and M. Weiss, "Accurate time and frequency transfer during common-view of a GPS satellite", Proc. 34th FCS (1980);
Z. Jiang and G. Petit, "Time transfer with GPS satellites all in view", ATF (2004).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from timesync.reference.cggtts import Track

__all__ = ["METHODS", "Comparison", "Epoch", "all_in_view", "best_code", "common_view", "fit_last"]

REJECT = 5.0
FEW = 8
LEAST_REJECTED_S = 1e-9
MAD_TO_SD = 1.4826
FULL_TRACK_S = 780  # shorter tracks belong to a satellite that rose or set, and scatter more
# Ionosphere-free combinations first, then the codes of one frequency.
CODES = ("L3P", "L3E", "L3Q", "L3B", "L1P", "L1C", "E1", "L2P", "L2C")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One instant (Unix ns) and A minus B there, s, of so many satellites."""

    at_ns: int
    value_s: float
    satellites: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """All epochs in order, and how many values were compared and rejected."""

    epochs: tuple[Epoch, ...]
    compared: int
    rejected: int

    @property
    def mean_s(self) -> float:
        """The mean over the epochs."""
        return fsum(each.value_s for each in self.epochs) / len(self.epochs)

    @property
    def sd_s(self) -> float:
        """The standard deviation of the epochs; 0 of one."""
        if len(self.epochs) < 2:
            return 0.0
        mean = self.mean_s
        return sqrt(fsum((each.value_s - mean) ** 2 for each in self.epochs) / (len(self.epochs) - 1))


def best_code(a: Iterable[Track], b: Iterable[Track]) -> str | None:
    """The code of observation that both have, the one least disturbed by the ionosphere; None where they share none."""
    shared = {track.frc for track in a} & {track.frc for track in b}
    return next((code for code in (*CODES, *sorted(shared)) if code in shared), None)


def common_view(a: Sequence[Track], b: Sequence[Track], code: str, least_elevation_deg: float = 0.0) -> Comparison:
    """A minus B over the tracks that both have: same date, start, satellite and code."""
    other = {(t.mjd, t.start_s, t.sat): t for t in _good(b, code, least_elevation_deg)}
    by_epoch: dict[int, list[float]] = defaultdict(list)
    for track in _good(a, code, least_elevation_deg):
        match = other.get((track.mjd, track.start_s, track.sat))
        if match is not None:
            by_epoch[track.at_ns].append(track.refsys_s - match.refsys_s)
    kept, compared, rejected = _without_outliers(by_epoch)
    epochs = [Epoch(at_ns, fsum(values) / len(values), len(values)) for at_ns, values in sorted(kept.items())]
    return Comparison(tuple(epochs), compared, rejected)


def all_in_view(a: Sequence[Track], b: Sequence[Track], code: str, least_elevation_deg: float = 0.0) -> Comparison:
    """Mean of all of A's satellites minus mean of all of B's, at the epochs that both have."""
    sides, compared, rejected = [], 0, 0
    for tracks in (a, b):
        by_epoch: dict[int, list[float]] = defaultdict(list)
        for track in _good(tracks, code, least_elevation_deg):
            by_epoch[track.at_ns].append(track.refsys_s)
        kept, number, out = _without_outliers(by_epoch)
        sides.append(kept)
        compared, rejected = compared + number, rejected + out
    ours, theirs = sides
    epochs = [
        Epoch(at_ns, _mean(ours[at_ns]) - _mean(theirs[at_ns]), min(len(ours[at_ns]), len(theirs[at_ns])))
        for at_ns in sorted(ours.keys() & theirs.keys())
    ]
    return Comparison(tuple(epochs), compared, rejected)


METHODS: Mapping[str, Callable[[Sequence[Track], Sequence[Track], str, float], Comparison]] = {
    "common_view": common_view,
    "all_in_view": all_in_view,
}
"""Each method by its name in the configuration."""


def fit_last(epochs: Sequence[Epoch], span_ns: int) -> tuple[int, float, float] | None:
    """The newest instant (Unix ns), the value there (s) by a straight line through the last `span_ns`, and its u (s), type A.

    u is the scatter of single epochs about the line, not divided by their number: the noise of such links is not white. None with
    fewer than three epochs, about which no line says anything.
    """
    last_ns = epochs[-1].at_ns if epochs else 0
    points = [((each.at_ns - last_ns) / 1e9, each.value_s) for each in epochs if last_ns - each.at_ns <= span_ns]
    if len(points) < 3:
        return None
    mean_t, mean_x = _mean([t for t, _ in points]), _mean([x for _, x in points])
    square = fsum((t - mean_t) ** 2 for t, _ in points)
    rate = fsum((t - mean_t) * (x - mean_x) for t, x in points) / square if square else 0.0
    scatter = fsum((x - mean_x - rate * (t - mean_t)) ** 2 for t, x in points) / (len(points) - 2)
    return last_ns, mean_x - rate * mean_t, sqrt(scatter)


def _good(tracks: Iterable[Track], code: str, least_elevation_deg: float) -> Iterable[Track]:
    return (
        track
        for track in tracks
        if track.frc == code and track.length_s >= FULL_TRACK_S and track.elevation_deg >= least_elevation_deg
    )


def _without_outliers(by_epoch: Mapping[int, list[float]]) -> tuple[dict[int, list[float]], int, int]:
    """The values kept, how many there were, and how many were rejected."""
    middle = {at_ns: median(values) for at_ns, values in by_epoch.items()}
    residuals = [
        abs(value - middle[at_ns]) for at_ns, values in by_epoch.items() for value in values if len(values) > 2
    ]
    count = sum(map(len, by_epoch.values()))
    if len(residuals) < FEW:
        return dict(by_epoch), count, 0
    limit = max(LEAST_REJECTED_S, REJECT * MAD_TO_SD * median(residuals))
    kept = {
        at_ns: good
        for at_ns, values in by_epoch.items()
        if (good := [value for value in values if abs(value - middle[at_ns]) <= limit])
    }
    return kept, count, count - sum(map(len, kept.values()))


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
