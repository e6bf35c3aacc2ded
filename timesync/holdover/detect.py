"""Is a clock locked to its source, or coasting? The state of one target from what it says of itself and from its phase.

Rule: two independent signs at least, seen again and again, make a holdover; leaving it takes the signs to be gone and the phase to
have come back, or to have settled somewhere. A transition names its signs. Pure: instants come with the observations.

Signs (IEEE 1588-2019 7.6.2.5 and 8.2.4; RFC 5905 7.3, 11.1; ITU-T G.8275.1 table 2):

    clock_class   clockClass is one of holdover or of degraded quality
    traceable     timeTraceable or frequencyTraceable was set while locked, and is not
    accuracy      clockAccuracy is worse than while locked
    unsynchronised  leap indicator 3, or stratum 0 or 16
    source        the reference identifier names the clock itself as it never did, or the stratum is higher than while locked
    frozen        the reference timestamp stands still for much longer than it ever did while locked
    dispersion    the root dispersion climbs beyond all that was seen while locked, at a rate that a stack adds (0.5 to 1000 ppm)
    phase         the phase has left where it was while locked, by far more than it scatters
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Detector", "Observation", "Rules", "State", "Transition"]


class State(StrEnum):
    """What a target is doing."""

    UNKNOWN = "unknown"  # nothing is known (yet, or any more)
    FREERUN = "freerun"  # it has no source, and was not seen to have had one
    ACQUIRING = "acquiring"  # it has a source, and its phase is still on the way
    LOCKED = "locked"
    HOLDOVER = "holdover"  # it has lost its source, and is within its specification
    HOLDOVER_OUT = "holdover_out"  # beyond it

    @property
    def coasting(self) -> bool:
        """Whether it has lost its source."""
        return self in (State.HOLDOVER, State.HOLDOVER_OUT)

    @property
    def free(self) -> bool:
        """Whether it runs without a source, lost or never had: then it goes on as a clock does, and not as a servo."""
        return self.coasting or self is State.FREERUN


@dataclass(frozen=True, slots=True)
class Observation:
    """One poll: what the target said (None: not said) and its phase against the reference (None: no claim).

    answered False: the poll gave no usable answer at all. accuracy_unknown: it says that it has no limit to its accuracy.
    """

    at_ns: int
    answered: bool = True
    x_s: float | None = None
    leap: int | None = None
    stratum: int | None = None
    reference_id: str | None = None
    reference_time_ns: int | None = None
    root_dispersion_s: float | None = None
    clock_class: int | None = None
    accuracy_s: float | None = None
    time_traceable: bool | None = None
    frequency_traceable: bool | None = None
    accuracy_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """signs: how many make a holdover. confirm, clear: polls in a row that begin and end it. settle: polls of steady phase after
    which a new place is accepted. lost: polls without an answer after which nothing is known. limit_s: the time error beyond which
    a holdover is out of specification, None for what the target says only.
    """

    signs: int = 2
    confirm: int = 3
    clear: int = 5
    settle: int = 16
    lost: int = 8
    limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """From one state to another: at the instant of the poll that decided it; since_ns: of the first poll that spoke for it."""

    at_ns: int
    since_ns: int
    before: State
    after: State
    signs: tuple[str, ...]
    evidence: Mapping[str, float | int | str | bool]


HOLDOVER_CLASSES = frozenset({7, 14, 135})
DEGRADED_CLASSES = frozenset({52, 58, 140, 150, 160, 165, 187, 193})
FREE_CLASSES = frozenset({248})
OWN_NAMES = ("127.127.1.", "127.0.0.1", "LOCL", "LCL", "ORPH")
LONGER = 3.0  # times the longest interval of the reference timestamp while locked
UNSEEN_S = 4096.0  # that interval where it was not seen: four of the longest usual polls (RFC 5905 7.2, 2^10 s)
LEAST_POLLS = 4  # and at least so many of ours
REMEMBERED = (
    16  # updates whose root dispersion is what is usual: ntpd begins with 0.9 s, and is down to 1 ms four updates later
)
CLIMBS = (
    0.5e-6,
    1000e-6,
)  # s/s, at which root dispersion grows between updates: chrony 1 ppm and its skew, ntpd 15 ppm
SLOW, FAST = 1 / 64, 1 / 4  # weights of the exponential means of phase
AWAY = 3.0  # scatters between the fast and the slow mean (white noise scatters the fast by 0.4)
NEAR = 1.5
LEARNED = 12  # samples before the scatter is believed


@dataclass(slots=True)
class _Phase:
    """Where the phase is while all is well, and where it has been lately."""

    place: float = 0.0
    scatter: float = 0.0
    lately: float = 0.0
    known: int = 0
    steady: int = 0
    last: float = 0.0

    def push(self, x: float, *, learn: bool) -> None:
        if self.known == 0:
            self.place = self.lately = self.last = x
            self.known = 1
            return
        self.lately += (x - self.lately) * FAST
        step = abs(x - self.last)
        self.last = x
        if not learn:
            return
        self.known += 1
        weight = max(SLOW, 1 / self.known)
        if self.known > LEARNED:  # a lone outlier does not move what is usual
            step = min(step, 5 * self.scatter)
            x = self.place + max(-4 * self.scatter, min(4 * self.scatter, x - self.place))
        # the mean size of a difference of two samples of white noise is 2 / sqrt(pi) of its standard deviation
        self.scatter += (max(step * 0.886, abs(x - self.place) * 0.5) - self.scatter) * weight
        self.place += (x - self.place) * weight

    def away(self) -> float:
        """How far it is from its place, in scatters."""
        return abs(self.lately - self.place) / max(self.scatter, 1e-12)

    def begin(self) -> None:
        """Learn a new place from here, keeping the scatter."""
        self.place = self.lately
        self.known = min(self.known, LEARNED)


@dataclass(slots=True)
class _Usual:
    """What was seen while the target was locked."""

    traceable: bool = False
    accuracy_s: float | None = None
    stratum: int | None = None
    longest_s: float = 0.0
    updates: int = 0
    dispersions_s: deque[float] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED)
    )  # the largest after each update
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class Detector:
    """One target. Give it each poll in the order of time; it returns a transition where there is one."""

    rules: Rules = field(default_factory=Rules)
    state: State = State.UNKNOWN
    since_ns: int | None = None
    signs: tuple[str, ...] = ()
    _usual: _Usual = field(default_factory=_Usual)
    _phase: _Phase = field(default_factory=_Phase)
    _updated: tuple[int, int, float] | None = None  # reference timestamp, when it was first seen, root dispersion then
    _polls_since: int = 0
    _for: int = 0  # polls in a row that speak for a holdover, or for its end
    _against: int = 0
    _first_ns: int | None = None
    _missed: int = 0
    _steady: int = 0

    @property
    def ending(self) -> bool:
        """Whether it coasts, but the signs of that have begun to be gone."""
        return self.state.coasting and self._against > 0

    def observe(self, seen: Observation) -> Transition | None:
        """Take in one poll."""
        if not seen.answered:
            return self._unanswered(seen)
        self._missed = 0
        self._follow_updates(seen)
        if seen.x_s is not None:
            # While a holdover is suspected nothing is learned: its place is the last one before.
            self._phase.push(seen.x_s, learn=not self.state.coasting and self._for == 0)
        self.signs = tuple(self._signs(seen))
        wanted = self._wanted(seen)
        if wanted is None or wanted is self.state:
            self._learn(seen)
            return None
        return self._enter(wanted, seen)

    def _unanswered(self, seen: Observation) -> Transition | None:
        self._missed += 1
        if self._missed < self.rules.lost or self.state is State.UNKNOWN:
            return None
        self.signs = ("no_answer",)
        self._first_ns = seen.at_ns
        return self._enter(State.UNKNOWN, seen)

    def _follow_updates(self, seen: Observation) -> None:
        if seen.reference_time_ns is None:
            return
        dispersion_s = seen.root_dispersion_s or 0.0
        if self._updated is None or seen.reference_time_ns != self._updated[0]:
            if self._updated is not None and not self.state.coasting:
                if self._usual.updates:
                    self._usual.longest_s = max(self._usual.longest_s, (seen.at_ns - self._updated[1]) / 1e9)
                self._usual.updates += 1
            self._updated = (seen.reference_time_ns, seen.at_ns, dispersion_s)
            self._polls_since = 0
        else:
            self._polls_since += 1

    # --- signs -----------------------------------------------------------------------------------------------------

    def _signs(self, seen: Observation) -> list[str]:
        usual = self._usual
        found = []
        if seen.clock_class in HOLDOVER_CLASSES or seen.clock_class in DEGRADED_CLASSES:
            found.append("clock_class")
        if usual.traceable and (seen.time_traceable is False or seen.frequency_traceable is False):
            found.append("traceable")
        if usual.accuracy_s is not None and (seen.accuracy_unknown or (seen.accuracy_s or 0.0) > usual.accuracy_s):
            found.append("accuracy")
        if seen.leap == 3 or seen.stratum in (0, 16):
            found.append("unsynchronised")
        name = seen.reference_id
        own = name is not None and name.startswith(OWN_NAMES) and name not in usual.names
        if usual.stratum is not None and (own or (seen.stratum or 0) > usual.stratum):
            found.append("source")
        found += self._stale(seen)
        if self._phase.known > LEARNED and self._phase.away() > AWAY:
            found.append("phase")
        return found

    def _stale(self, seen: Observation) -> list[str]:
        """What a reference timestamp that stands still tells, and a root dispersion that climbs meanwhile."""
        if self._updated is None or self._polls_since < LEAST_POLLS:
            return []
        _, at_ns, dispersion_s = self._updated
        still_s = (seen.at_ns - at_ns) / 1e9
        usual_s = self._usual.longest_s if self._usual.updates > 2 else UNSEEN_S
        if still_s <= LONGER * usual_s:
            return []
        found = ["frozen"]
        climb_s = (seen.root_dispersion_s or 0.0) - dispersion_s
        beyond = (seen.root_dispersion_s or 0.0) > max(self._usual.dispersions_s, default=0.0)
        if beyond and CLIMBS[0] <= climb_s / still_s <= CLIMBS[1]:
            found.append("dispersion")
        return found

    # --- states ----------------------------------------------------------------------------------------------------

    def _wanted(self, seen: Observation) -> State | None:
        """The state that this poll completes the case for; None where it stays as it is."""
        rules = self.rules
        told = [sign for sign in self.signs if sign != "phase"]
        if len(self.signs) >= rules.signs and told:
            self._for, self._against = self._for + 1, 0
            if self._for == 1:
                self._first_ns = seen.at_ns
            return self._lost(seen) if self._for >= rules.confirm else None
        if not told:
            self._for = 0
            self._against += 1
            if self._against == 1:
                self._first_ns = seen.at_ns
            return self._found(seen)
        self._for = self._against = 0
        # one sign alone: a target that never had a source and says so
        if self.state is State.UNKNOWN and seen.clock_class in FREE_CLASSES:
            return State.FREERUN
        return None

    def _lost(self, seen: Observation) -> State | None:
        if self.state is State.UNKNOWN or self.state is State.FREERUN:
            return State.FREERUN
        beyond = self.rules.limit_s is not None and seen.x_s is not None and abs(seen.x_s) > self.rules.limit_s
        return State.HOLDOVER_OUT if beyond or seen.clock_class in DEGRADED_CLASSES else State.HOLDOVER

    def _found(self, seen: Observation) -> State | None:
        """Nothing that the target says speaks against it."""
        if self._against < self.rules.clear:
            return None
        if seen.clock_class in FREE_CLASSES:
            return State.FREERUN
        if self.state is State.LOCKED:
            return None
        if self.state is not State.ACQUIRING:
            return State.ACQUIRING
        if seen.x_s is None:
            return State.LOCKED if self._against >= self.rules.settle else None
        near = self._phase.away() <= NEAR
        self._steady = self._steady + 1 if near else 0
        if not near and self._phase.known > LEARNED and self._against % self.rules.settle == 0:
            self._phase.begin()  # it will not come back to where it was: learn where it is
        return State.LOCKED if self._steady >= self.rules.clear and self._phase.known > self.rules.clear else None

    def _learn(self, seen: Observation) -> None:
        if self.state is not State.LOCKED or self._for or self.signs:
            return
        usual = self._usual
        usual.traceable |= seen.time_traceable is True and seen.frequency_traceable is not False
        if seen.accuracy_s is not None and (usual.accuracy_s is None or seen.accuracy_s < usual.accuracy_s):
            usual.accuracy_s = seen.accuracy_s
        if seen.stratum:
            usual.stratum = seen.stratum
        if seen.reference_id is not None and seen.reference_id not in usual.names:
            usual.names = (*usual.names[-7:], seen.reference_id)  # a server has several sources
        if seen.root_dispersion_s is not None:
            if self._polls_since == 0 or not usual.dispersions_s:
                usual.dispersions_s.append(seen.root_dispersion_s)
            usual.dispersions_s[-1] = max(usual.dispersions_s[-1], seen.root_dispersion_s)

    def _enter(self, state: State, seen: Observation) -> Transition:
        before, self.state = self.state, state
        since_ns = self._first_ns if self._first_ns is not None else seen.at_ns
        self.since_ns = since_ns
        self._steady = 0
        if state in (State.ACQUIRING, State.LOCKED):
            self._for = 0
        return Transition(seen.at_ns, since_ns, before, state, self.signs, self._evidence(seen))

    def _evidence(self, seen: Observation) -> dict[str, float | int | str | bool]:
        names: tuple[str, ...] = (
            "leap",
            "stratum",
            "reference_id",
            "reference_time_ns",
            "root_dispersion_s",
            "clock_class",
        )
        names += ("accuracy_s", "time_traceable", "frequency_traceable", "x_s")
        told = {name: getattr(seen, name) for name in names}
        found = {name: value for name, value in told.items() if value is not None}
        if self._phase.known > LEARNED:
            found["phase_away"] = round(self._phase.away(), 2)
        return found
