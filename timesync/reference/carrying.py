"""A reference that is lost, carried on by the probe's own clock: for as long as is configured, and ever less certain.

Rule: the bound stays hard. What it rests on is what every bound here rests on: that the rate of the probe's clock stays within phi
of a constant, so that any rate is within 2 phi of any mean, and that what it is slewed beyond that is seen. The mean rate is known
from two measurements of the reference a time W apart to within b1 + b2 over W, the bounds of both from UTC(k): of the measurement,
of what the reference claims of itself, and of its tie as it was then; how far the tie moved meanwhile is added. A measurement
without a tie says nothing of UTC(k). Of all pairs that end with the last measurement the one that knows it best is taken. After an
age A the reference is on the line through the two within
((b1 + b2) / W + 2 phi) A, and what slews add.

The standard uncertainty is that of the three-state model of the probe's clock (timesync.holdover.carry), which is learned when the
reference is lost, and so is the value: the model's, kept within the bound of the line; how far the two differ is added to the
bound. Who learns is told from outside (`Learn`), for it takes some ms: until the model is there the line is claimed with its bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from timesync.errors import DataError

if TYPE_CHECKING:
    from timesync.holdover.carry import Carried
    from timesync.model import ClockOffset
    from timesync.settings import Tie
    from timesync.uncertainty import Slewed

__all__ = ["CarriedOn", "Carrier", "Learn", "at_once", "learned"]

KEPT = 512  # measurements of the reference: what the model is learned from
SQRT3 = 3.0**0.5

# Takes instants (s, increasing) and offsets (s); what it gives is asked for the model: None as long as there is none.
Learn = Callable[[Sequence[float], Sequence[float]], Callable[[], "Carried | None"]]


def learned(t_s: Sequence[float], offset_s: Sequence[float]) -> Carried | None:
    """The model, with its offset at the last measurement; None where there is too little to learn from. 15 ms of work."""
    from timesync.holdover.carry import foresee  # noqa: PLC0415 - numpy takes 30 MB, and most references are never lost

    try:
        return foresee(t_s, offset_s)
    except DataError:
        return None


def at_once(t_s: Sequence[float], offset_s: Sequence[float]) -> Callable[[], Carried | None]:
    """Learn while the caller waits: where nothing else is held up by it."""
    model = learned(t_s, offset_s)
    return lambda: model


def _no_model() -> Carried | None:
    return None


class CarriedOn(NamedTuple):
    """The reference minus probe at an instant: its value, the bound of that beyond the last measurement's own, and u."""

    last: ClockOffset
    offset_s: float
    bound_s: float
    u_s: float


class Carrier:
    """The newest measurements of a reference in one epoch of the probe's clock. carry_s: the longest age; 0: nothing is carried."""

    def __init__(self, carry_s: float, phi: float, slewed: Slewed, learn: Learn = at_once) -> None:
        self.carry_s = carry_s
        self._carry_ns = round(carry_s * 1e9)
        self._phi = phi
        self._slewed = slewed
        self._learn = learn
        self._past: deque[ClockOffset] = deque(maxlen=KEPT)
        self._ties: deque[Tie] = deque(maxlen=KEPT)  # as each was when its measurement was made
        self._ready: ClockOffset | None = None  # the last measurement that the three below are for
        self._rate = self._rate_bound = 0.0
        self._model: Callable[[], Carried | None] = _no_model

    def reference(self, offset: ClockOffset, tie: Tie) -> None:
        """A measurement of the reference, and what ties that to UTC(k) then."""
        past = self._past
        if self._carry_ns == 0 or (
            past and (past[-1].clock_epoch, past[-1].at_ns) >= (offset.clock_epoch, offset.at_ns)
        ):
            return
        if past and past[-1].clock_epoch != offset.clock_epoch:
            past.clear()
            self._ties.clear()
        past.append(offset)
        self._ties.append(tie)

    def at(self, offset: ClockOffset) -> CarriedOn | None:
        """The reference at a target's instant, after the last measurement of it; None where it cannot be said."""
        if len(self._past) < 2:
            return None
        last = self._past[-1]
        age_ns = offset.at_ns - last.at_ns
        if offset.clock_epoch != last.clock_epoch or not 0 < age_ns <= self._carry_ns:
            return None
        if self._ready is not last:
            self._prepare(last)
        if self._rate_bound == float("inf"):
            return None
        age_s = age_ns / 1e9
        line_s = last.offset_s + self._rate * age_s
        bound_s = self._rate_bound * age_s + self._slewed(last.clock_epoch, last.at_ns, offset.at_ns)
        model = self._model()
        if model is None:
            return CarriedOn(last, line_s, bound_s, bound_s / SQRT3)
        value_s, u_s = model.at(age_s)
        value_s = min(max(value_s, line_s - bound_s), line_s + bound_s)
        return CarriedOn(last, value_s, bound_s + abs(value_s - line_s), u_s)

    def _prepare(self, last: ClockOffset) -> None:
        """Once for each loss: the best known mean rate; and the model is asked for."""
        self._ready = last
        self._rate_bound = float("inf")
        now = self._ties[-1]
        for one, tie in zip(self._past, self._ties, strict=True):
            gap_s = (last.at_ns - one.at_ns) / 1e9
            if gap_s <= 0.0 or tie.no_claim is not None or now.no_claim is not None:
                continue
            unsure_s = one.bound_s + last.bound_s + one.upstream_s + last.upstream_s
            unsure_s += tie.bound_s + now.bound_s + abs(now.value_s - tie.value_s)
            unsure_s += self._slewed(one.clock_epoch, one.at_ns, last.at_ns)
            unsure = unsure_s / gap_s + 2.0 * self._phi
            if unsure < self._rate_bound:
                self._rate, self._rate_bound = (last.offset_s - one.offset_s) / gap_s, unsure
        if self._rate_bound == float("inf"):
            return  # nothing will be claimed, so there is nothing to learn for
        begin_ns = self._past[0].at_ns
        times = [(each.at_ns - begin_ns) / 1e9 for each in self._past]
        self._model = self._learn(times, [each.offset_s for each in self._past])
