"""One target's holdover as its rows come: state, forecast, score, and the account of each episode.

Rule: fed in the order of time with rows that are final; pure but for what it is given. What is learned while the target is locked
foresees a clock that goes on like that (`basis` "locked"): how its oscillator runs when it is left alone is seen only when it is,
and from then on the forecast is from that alone (`basis` "holdover").
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from timesync.alerts.kinds import KIND_OF
from timesync.holdover.detect import Detector, Observation, Rules, Transition
from timesync.holdover.episodes import Episode, episode
from timesync.holdover.fit import LEAST, Belief, fit
from timesync.holdover.forecast import clock, draw, measured, passage
from timesync.holdover.kalman import carried, run
from timesync.holdover.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from timesync.alerts.limits import Limit
    from timesync.holdover.forecast import Forecast, Paths
    from timesync.model import FieldValue, Record
    from timesync.settings import HoldoverSettings

__all__ = ["Watch", "observation"]

NS = 1_000_000_000
HOUR_S, DAY_S = 3600.0, 86_400.0
SCORED = 100
FAR_S = (
    KIND_OF["forecast_breach"].clear * HOUR_S
)  # who knows that a limit is kept for so long knows enough for the alert
GAP = 3  # poll intervals without a sample after which a forecast is not from the newest one but from now
PATHS, POINTS, SETS = 512, 24, 32
GROWN = 1.5  # the noises are learned anew when there are so many times more samples
AGAIN_S = 6 * HOUR_S  # or after so long
MOST = 2000  # samples of an episode that are kept, the newest thinned first


def observation(record: Record) -> Observation:
    """What a row of `time_error` tells the detector. A target that is the reference itself has no phase of its own."""
    get = record.fields.get
    answered = "reason" not in record.fields or "stratum" in record.fields or "clock_class" in record.fields
    itself = record.tags.get("target") == record.tags.get("reference")
    named: dict[str, object] = {
        name: get(name)
        for name in (
            *("leap", "stratum", "reference_id", "reference_time_ns", "root_dispersion_s"),
            *("clock_class", "time_traceable", "frequency_traceable"),
        )
    }
    x_s = None if itself or get("quality") == "carried" else get("time_error_s")
    accuracy_s = get("clock_accuracy_s")
    named["accuracy_unknown"] = accuracy_s is None and "clock_accuracy" in record.fields
    return Observation(record.at_ns, answered, x_s=x_s, accuracy_s=accuracy_s, **named)  # type: ignore[arg-type] # a row's fields


@dataclass(frozen=True, slots=True)
class _Due:
    """A forecast that waits to be judged: what was said of an instant."""

    at_ns: int
    low_s: float
    high_s: float


@dataclass(slots=True)
class Watch:
    """One target. interval_s: its poll interval; tags: of its rows; limit: its own, if it has one. within_s: how long that is kept,
    by the newest forecast of a clock that runs free; leaves_ns: until when, None where it is kept for the whole horizon.
    foreseen_from: what the newest forecast is from, carried on to when it was made.
    """

    interval_s: float
    tags: Mapping[str, str]
    rules: Rules
    limit: Limit | None = None
    detector: Detector = field(init=False)
    within_s: float | None = None
    leaves_ns: int | None = None
    last_ns: int = 0
    told_ns: int = 0
    origin_ns: int = 0
    belief: Belief | None = None
    foreseen_from: Belief | None = None
    learned_at: int = 0
    learned_ns: int = 0
    _tail: Tail = field(init=False)
    _entry_ns: int | None = None
    _coasted: list[tuple[float, float]] = field(default_factory=list)
    _promise: tuple[float, Forecast] | None = None
    _due: deque[_Due] = field(default_factory=deque)
    _hits: deque[bool] = field(default_factory=lambda: deque(maxlen=SCORED))
    _newest_x: float | None = None

    def __post_init__(self) -> None:
        self.detector = Detector(self.rules)
        self._tail = Tail(self.interval_s)

    @property
    def basis(self) -> str:
        """What the forecast is learned from."""
        return "holdover" if self._entry_ns is not None else "locked"

    @property
    def score(self) -> float | None:
        """Share of the forecasts whose interval held; None before there is one."""
        return sum(self._hits) / len(self._hits) if self._hits else None

    def take(self, record: Record) -> Iterator[Transition | Episode]:
        """A final row; what it brings about."""
        seen = observation(record)
        if seen.at_ns <= self.last_ns:
            return
        self.last_ns = seen.at_ns
        transition = self.detector.observe(seen)
        if seen.x_s is not None:
            self._sample(seen.at_ns, seen.x_s)
        if transition is not None:
            yield transition
            yield from self._turned(transition, seen)

    def _sample(self, at_ns: int, x_s: float) -> None:
        if not self.origin_ns:
            self.origin_ns = at_ns
        self._tail.push((at_ns - self.origin_ns) / NS, x_s)
        self._newest_x = x_s
        if self._entry_ns is not None:
            self._coasted.append(((at_ns - self._entry_ns) / NS, x_s))
            if len(self._coasted) > MOST:
                del self._coasted[MOST // 2 :: 2]
        while self._due and self._due[0].at_ns <= at_ns:
            due = self._due.popleft()
            if at_ns - due.at_ns <= 3 * self.interval_s * NS:
                self._hits.append(due.low_s <= x_s <= due.high_s)

    def _turned(self, transition: Transition, seen: Observation) -> Iterator[Episode]:
        began = transition.after.coasting and not transition.before.coasting
        ended = transition.before.coasting and not transition.after.coasting
        if began:
            self._entry_ns = transition.since_ns
            self._begin(self._tail.since((transition.since_ns - self.origin_ns) / NS - self.interval_s))
        elif ended and self._entry_ns is not None:
            yield self._account(transition.since_ns, seen)
            self._entry_ns = None
            self._begin()

    def _begin(self, samples: object = None) -> None:
        """Learn anew, from these samples on."""
        self._tail = Tail(self.interval_s)
        self._coasted, self._promise, self.belief, self.foreseen_from = [], None, None, None
        if samples is not None and self._entry_ns is not None:
            for t_s, x_s in zip(samples.centre_s.tolist(), samples.x_s.tolist(), strict=True):  # type: ignore[attr-defined] # Samples
                self._tail.push(t_s, x_s)
                self._coasted.append((t_s - (self._entry_ns - self.origin_ns) / NS, x_s))

    def _account(self, exit_ns: int, seen: Observation) -> Episode:
        assert self._entry_ns is not None
        before = [each for each in self._coasted if each[0] < (exit_ns - self._entry_ns) / NS]
        t, x = np.array(before, dtype=float).reshape(-1, 2).T
        made_at, forecast = self._promise if self._promise is not None else (0.0, None)
        return episode(self._entry_ns, exit_ns, t, x, after_s=seen.x_s, forecast=forecast, forecast_at_s=made_at)

    # --- forecasts -------------------------------------------------------------------------------------------------

    def foresee(self, settings: HoldoverSettings, now_ns: int | None = None) -> dict[str, dict[str, FieldValue]]:
        """The newest forecast: the fields of the target's row under "", of each limit's under its size in s; state at least.

        From now on, where now_ns is given and there has been no sample for some time: what was known then is carried on.
        """
        self.within_s = self.leaves_ns = self.foreseen_from = None
        found: dict[str, FieldValue] = {
            "state": self.detector.state.value,
            "every_s": settings.every_s,
            "basis": self.basis,
        }
        if self.detector.signs:
            found["signs"] = " ".join(self.detector.signs)
        rows = {"": found}
        if self.detector.ending:
            found["reason"] = "holdover_ending"  # it may have been set already: not the clock that coasted
            return rows
        if len(self._tail) < LEAST:
            found["reason"] = "too_few_samples"
            found["samples"] = self._tail.samples
            return rows
        belief = self._believed()
        if belief is None:
            found["reason"] = "too_uneven"
            return rows
        age_s = 0.0 if now_ns is None else (now_ns - self.origin_ns) / NS - belief.states.at_s
        if age_s > GAP * self.interval_s:
            states = carried(belief.states, belief.q, belief.states.at_s + age_s)
            belief = replace(belief, states=states)
            found["sample_age_s"] = age_s
        self.foreseen_from = belief
        marks = [each for each in (HOUR_S, DAY_S) if each <= settings.horizon_s]
        first_s = min(self.interval_s, settings.horizon_s / 2)
        ahead = np.union1d(np.geomspace(first_s, settings.horizon_s, POINTS), marks)
        paths = draw(belief, ahead, paths=PATHS)
        future, seen = clock(belief, paths, settings.confidence), measured(belief, paths, settings.confidence)
        for mark, name in ((HOUR_S, "1h"), (DAY_S, "24h")):
            if mark in marks:
                k = int(np.searchsorted(ahead, mark))
                found |= {
                    f"predicted_{name}_s": float(future.mean_s[k]),
                    f"predicted_{name}_u_s": float(future.u_s[k]),
                    f"predicted_{name}_low_s": float(future.band_low_s[k]),
                    f"predicted_{name}_high_s": float(future.band_high_s[k]),
                }
        noise = belief.noise
        found |= {"samples": self._tail.samples, "confidence": settings.confidence, "white_pm_s": float(noise.r**0.5)}
        found |= {
            "frequency": float(np.mean(belief.states.mean[1])),
            "drift_per_s": float(np.mean(belief.states.mean[2])),
        }
        if self.score is not None:
            found["score"] = self.score
        rows |= self._limits(paths, settings, belief.states.at_s)
        self._remember(belief, seen, settings)
        return rows

    def to_limit_s(self, now_ns: int) -> float | None:
        """How long its own limit is still kept, by the newest forecast; None where it is not known. A horizon does not run out."""
        if self.within_s is None or self.leaves_ns is None:
            return self.within_s
        return min(self.within_s, max(0.0, (self.leaves_ns - now_ns) / NS))

    def _limits(self, paths: Paths, settings: HoldoverSettings, at_s: float) -> dict[str, dict[str, FieldValue]]:
        """The fields of each limit's row, by its size in s: those of the settings, and the target's own. at_s: the paths' begin."""
        own = self.limit
        rows = {}
        for limit_s in dict.fromkeys((*settings.limits_s, *(() if own is None else (own.error_s,)))):
            passing = passage(paths, limit_s)
            within, middle = passing.quantile_s(1 - settings.confidence), passing.quantile_s(0.5)
            row: dict[str, FieldValue] = {
                "limit_s": limit_s,
                "within_s": settings.horizon_s if within is None else within,
                "beyond_horizon": within is None,
                "left_by_horizon": float(passing.probability[-1]),
                "every_s": settings.every_s,
            }
            if middle is not None:
                row["median_s"] = middle
            short = (
                within is None and settings.horizon_s < FAR_S
            )  # so the alert would take the horizon for the limit's end
            if own is not None and limit_s == own.error_s and not short:
                row["own"] = own.name
                if self.detector.state.free:
                    self.within_s = float(row["within_s"])
                    self.leaves_ns = None if within is None else self.origin_ns + round((at_s + within) * NS)
            rows[f"{limit_s:.6g}"] = row
        return rows

    def _believed(self) -> Belief | None:
        """What is known now: learned anew where there is much more to learn from, else carried on through the new samples."""
        tail, belief = self._tail, self.belief
        if belief is None or tail.samples >= GROWN * self.learned_at or self.last_ns - self.learned_ns > AGAIN_S * NS:
            try:
                self.belief = fit(tail.since(float("-inf")), sets=SETS)
            except ValueError:  # DataError: no usual interval
                self.belief = None
            self.learned_at, self.learned_ns = tail.samples, self.last_ns
            return self.belief
        fresh = tail.since(belief.states.at_s)
        if len(fresh):
            states = run(fresh, belief.states, belief.r, belief.q).states
            self.belief = Belief(belief.r, belief.q, states, belief.begin_s, tail.samples, belief.notes)
        return self.belief

    def _remember(self, belief: Belief, seen: Forecast, settings: HoldoverSettings) -> None:
        """Keep what was said, to be judged: of an hour ahead always, of all that comes where a holdover has begun."""
        mark_s = min(HOUR_S, settings.horizon_s)
        low, high = (float(np.interp(mark_s, seen.t_s, each)) for each in (seen.low_s, seen.high_s))
        due_ns = self.origin_ns + round((belief.states.at_s + mark_s) * NS)
        if not self._due or due_ns > self._due[-1].at_ns:
            self._due.append(_Due(due_ns, low, high))
        if self._entry_ns is not None and self._promise is None:
            self._promise = (belief.states.at_s - (self._entry_ns - self.origin_ns) / NS, seen)
