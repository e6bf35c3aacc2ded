"""Target minus reference at one instant, so that the probe's own clock cancels.

Rule: a target's offset is compared with the reference's at the same instant, by a straight line between the measurements
before and after it; epochs of the probe's clock (its steps and suspends) are never bridged; without a fresh reference there is
no claim, and the record says so. What does not cancel (paths, precisions, the reference's own claim) is in the bound.

With x_T = target - probe and x_R = reference - probe, both seen by one probe at one instant, x_T - x_R is target minus
reference whatever the probe's clock does; the reference's tie adds (reference - UTC(k)), a value with a bound.

The line between two reference measurements d1 before and d2 after leaves an error of at most 2 phi d1 d2 / (d1 + d2) for a
probe's clock whose rate stays within phi of any constant. Outside all measurements the last one is held, and the error grows
with the age times the greatest rate that the measurements allow. A probe's clock that is slewed keeps no constant rate: how far
it was seen to be slewed comes on top, S1 before and S2 after the instant leaving at most (d2 S1 + d1 S2) / (d1 + d2) off the line.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, NamedTuple

from timesync.model import ClockOffset, Quality, TimeError
from timesync.reasons import Reason
from timesync.reference.carrying import Carrier, at_once
from timesync.timescale import GREATEST_RATE
from timesync.uncertainty import PHI, SQRT3, TypeA, bound_of, standard_uncertainty_s, steady

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from timesync.reference.carrying import Learn
    from timesync.settings import Tie
    from timesync.uncertainty import Slewed

__all__ = ["Differencer", "LocalReference"]

# Reference measurements kept of one epoch: enough for any bracket within the greatest age, however dense the polls.
KEPT = 4096
# Completed in one go by a measurement; the next one, or `overdue`, goes on. Some ms of work.
SHARE = 32
# Epochs kept: exchanges of the one before still come in after a step (interleaved mode tells a poll later).
EPOCHS_KEPT = 2


@dataclass(slots=True)
class _Waiting:
    """A target's offset whose reference has not been measured after it yet."""

    offset: ClockOffset
    since_ns: int
    told: bool = False

    def waited(self, now_ns: int, span_ns: int) -> bool:
        """Whether it has waited that long; a clock that was set back cannot tell, and then it has."""
        return not 0 <= now_ns - self.since_ns < span_ns


class _AtInstant(NamedTuple):
    """The reference minus probe at a target's instant, with what that costs."""

    offset_s: float
    path_s: float
    timestamping_s: float
    oscillator_s: float
    upstream_s: float
    interpolation_s: float
    quality: Quality
    asymmetry_s: float
    u_asymmetry_s: float
    u_carried_s: float | None = None


def _at_ns(offset: ClockOffset) -> int:
    return offset.at_ns


class Differencer:
    """One reference, and the targets that are compared with it.

    Push every offset, the reference's by `reference`, a target's by `target`; both give the time errors that became complete.
    `overdue` gives those that will wait no longer. Instants are ns on the probe's clock; `now_ns` may be stepped with it.
    `slewed` tells how far that clock was slewed between two instants; `learn` learns it when the reference is lost. `late_ns`, to
    be set, is how long after its instant an offset may be handed in (in interleaved mode some polls later).
    """

    def __init__(
        self,
        name: str,
        tie: Tie,
        *,
        max_age_s: float,
        phi: float = PHI,
        slewed: Slewed = steady,
        carry_s: float = 0.0,
        learn: Learn = at_once,
    ) -> None:
        self.name = name
        self.tie = self.declared = tie
        self._max_age_ns = round(max_age_s * 1e9)
        self._phi = phi
        self._slewed = slewed
        self._carrier = Carrier(carry_s, phi, slewed, learn)
        self._references: dict[int, list[ClockOffset]] = {}
        self._waiting: list[_Waiting] = []
        self._ready: deque[ClockOffset] = deque()
        self._scatter: dict[str, TypeA] = {}
        self.late_ns = 2**63
        # A majority of the other references says that this one is wrong: nothing is claimed by it.
        self.outvoted = False

    def same_rules(self, other: Differencer) -> bool:
        """Whether another would make the same of the same measurements."""
        mine = (self.name, self.declared, self._max_age_ns, self._phi, self._carrier.carry_s)
        return mine == (other.name, other.declared, other._max_age_ns, other._phi, other._carrier.carry_s)

    @property
    def waiting(self) -> int:
        """How many offsets wait for the reference."""
        return len(self._waiting) + len(self._ready)

    def reference(self, offset: ClockOffset) -> Sequence[TimeError]:
        """A measurement of the reference: completes the targets before it, and is itself the realisation of UTC(k).

        Of very many targets that become complete, `SHARE` are given now and the others by the calls that follow.
        """
        epoch = offset.clock_epoch
        same = self._references.setdefault(epoch, [])
        insort(same, offset, key=_at_ns)
        self._carrier.reference(offset, self.tie)
        # What waits is no older than the greatest age, and its bracket begins no earlier than that before it.
        useless = bisect_left(same, same[-1].at_ns - 2 * self._max_age_ns - self.late_ns, key=_at_ns)
        del same[: max(useless, len(same) - KEPT)]
        while len(self._references) > EPOCHS_KEPT:
            del self._references[min(self._references)]
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if self._may_improve(each.offset):
                self._waiting.append(each)
            else:
                self._ready.append(each.offset)
        return [self._itself(offset), *self._share()]

    def _share(self) -> list[TimeError]:
        """The next of those that are complete, oldest first: a thousand at once would hold up the polls of all others."""
        ready = self._ready
        return [self._difference(ready.popleft()) for _ in range(min(SHARE, len(ready)))]

    def _all_ready(self) -> list[TimeError]:
        ready, self._ready = self._ready, deque()
        return [self._difference(offset) for offset in ready]

    def _may_improve(self, offset: ClockOffset) -> bool:
        """Whether a measurement of the reference can still come that is later than `offset` and of the same epoch."""
        if not self._references:
            return True
        newest = max(self._references)
        if newest != offset.clock_epoch:
            return newest < offset.clock_epoch
        return self._references[newest][-1].at_ns < offset.at_ns

    def target(self, offset: ClockOffset, now_ns: int) -> Sequence[TimeError]:
        """A measurement of a target: complete at once if the reference was measured after it, else it waits."""
        if self._may_improve(offset):
            self._waiting.append(_Waiting(offset, now_ns))
        else:
            self._ready.append(offset)
        return self._share()

    def provisional(self, now_ns: int, after_s: float) -> Sequence[TimeError]:
        """What can be claimed now for offsets that have waited longer than `after_s`, each told once.

        They wait on: a later measurement of the reference gives the same record again, with a better claim.
        """
        after_ns = round(after_s * 1e9)
        untold = [waiting for waiting in self._waiting if waiting.waited(now_ns, after_ns) and not waiting.told]
        for waiting in untold:
            waiting.told = True
        return [self._claim(waiting.offset, self._at(waiting.offset)) for waiting in untold]

    def overdue(self, now_ns: int) -> Sequence[TimeError]:
        """The offsets that have waited longer than the greatest age, with the best claim there is; and all that are complete."""
        late = [waiting for waiting in self._waiting if waiting.waited(now_ns, self._max_age_ns)]
        if late:
            self._waiting = [waiting for waiting in self._waiting if not waiting.waited(now_ns, self._max_age_ns)]
        return [*self._all_ready(), *(self._difference(waiting.offset) for waiting in late)]

    def flush(self) -> Sequence[TimeError]:
        """Everything that still waits, with the best claim there is: at the end of the daemon."""
        waiting, self._waiting = self._waiting, []
        return [*self._all_ready(), *(self._difference(each.offset) for each in waiting)]

    @property
    def newest(self) -> ClockOffset | None:
        """The latest measurement of the reference, of its newest epoch."""
        return self._references[max(self._references)][-1] if self._references else None

    def interval(self, epoch: int, at_ns: int) -> tuple[float, float] | None:
        """UTC(k) minus the probe's clock at an instant, s, and the hard bound of that; None without a measurement near it."""
        newest = self.newest
        known = None if newest is None else self._at(newest._replace(clock_epoch=epoch, at_ns=at_ns))
        if known is None:
            return None
        parts = [known.path_s, known.timestamping_s, known.oscillator_s, known.upstream_s, known.interpolation_s]
        return known.offset_s, fsum([*parts, known.asymmetry_s, self.tie.bound_s])

    def release(self, target: str) -> Sequence[TimeError]:
        """What waits of a target that goes over to another reference, with the best claim there is by this one."""
        ready = [offset for offset in self._ready if offset.target == target]
        ready += [waiting.offset for waiting in self._waiting if waiting.offset.target == target]
        rows = [self._difference(offset) for offset in ready]
        self.forget(target)
        return rows

    def forget(self, target: str) -> None:
        """A target that is no longer measured."""
        self._scatter.pop(target, None)
        self._waiting = [waiting for waiting in self._waiting if waiting.offset.target != target]
        self._ready = deque(offset for offset in self._ready if offset.target != target)

    def _itself(self, offset: ClockOffset) -> TimeError:
        """The reference against UTC(k): what its tie says, with its own claim and tie as bound."""
        untied = Reason.REFERENCE_OUTVOTED if self.outvoted else self.tie.why_not(offset.at_ns)
        if untied is not None:
            return TimeError(offset, self.name, self.tie.realises, no_claim=untied)
        bound = {"upstream": offset.upstream_s, "tie": self.tie.bound_s}
        return _claimed(offset, self.name, self.tie, 0.0, bound, _standard_parts(bound, self.tie, None), Quality.ITSELF)

    def _difference(self, offset: ClockOffset) -> TimeError:
        """The claim for an offset in its final form: its scatter is counted."""
        reference = self._at(offset)
        scatter = self._scatter.setdefault(offset.target, TypeA())
        if reference is None:
            scatter.restart()
        else:
            scatter.push(offset.clock_epoch, offset.at_ns, offset.offset_s - reference.offset_s)
        return self._claim(offset, reference)

    def _claim(self, offset: ClockOffset, reference: _AtInstant | None) -> TimeError:
        untied = Reason.REFERENCE_OUTVOTED if self.outvoted else self.tie.why_not(offset.at_ns)
        if untied is not None or reference is None:
            return TimeError(offset, self.name, self.tie.realises, no_claim=untied or Reason.REFERENCE_STALE)
        bound = {
            "path": offset.bound_path_s,
            "timestamping": offset.bound_timestamping_s,
            "oscillator": offset.bound_oscillator_s,
            "interpolation": reference.interpolation_s,
            "reference_path": reference.path_s,
            "reference_timestamping": reference.timestamping_s,
            "reference_oscillator": reference.oscillator_s,
            "reference_upstream": reference.upstream_s,
            "tie": self.tie.bound_s,
        }
        u = _standard_parts(bound, self.tie, self._scatter.get(offset.target))
        if reference.u_carried_s is not None:
            u["interpolation"] = reference.u_carried_s
        _add_asymmetry(bound, u, "asymmetry", offset.bound_asymmetry_s, offset.u_asymmetry_s)
        _add_asymmetry(bound, u, "reference_asymmetry", reference.asymmetry_s, reference.u_asymmetry_s)
        return _claimed(offset, self.name, self.tie, offset.offset_s - reference.offset_s, bound, u, reference.quality)

    def _at(self, offset: ClockOffset) -> _AtInstant | None:
        """The reference at the offset's instant, or None if no measurement of it in the same epoch is near enough."""
        at_ns = offset.at_ns
        references = self._references.get(offset.clock_epoch, [])
        after = bisect_right(references, at_ns, key=_at_ns)
        earlier = self._fresh(references[after - 1], at_ns) if after > 0 else None
        later = self._fresh(references[after], at_ns) if after < len(references) else None
        if earlier is None and later is None:
            return self._carried(offset)
        if earlier is None or later is None:
            return self._held(references, after - 1 if earlier is not None else after, at_ns)
        d1_s, d2_s = (at_ns - earlier.at_ns) / 1e9, (later.at_ns - at_ns) / 1e9
        gap_s = d1_s + d2_s
        w2 = d1_s / gap_s if gap_s > 0 else 0.0
        w1 = 1.0 - w2
        slew_s = w1 * self._slewed(offset.clock_epoch, earlier.at_ns, at_ns)
        slew_s += w2 * self._slewed(offset.clock_epoch, at_ns, later.at_ns)
        return _AtInstant(
            earlier.offset_s + (later.offset_s - earlier.offset_s) * w2,
            w1 * earlier.bound_path_s + w2 * later.bound_path_s,
            w1 * earlier.bound_timestamping_s + w2 * later.bound_timestamping_s,
            w1 * earlier.bound_oscillator_s + w2 * later.bound_oscillator_s,
            w1 * earlier.upstream_s + w2 * later.upstream_s,
            2.0 * self._phi * d1_s * d2_s / gap_s + slew_s if gap_s > 0 else 0.0,
            Quality.INTERPOLATED,
            # One path, known alike before and after: no mean makes it better.
            max(earlier.bound_asymmetry_s, later.bound_asymmetry_s),
            max(earlier.u_asymmetry_s, later.u_asymmetry_s),
        )

    def _carried(self, offset: ClockOffset) -> _AtInstant | None:
        """The reference that was lost, carried on by the probe's own clock; None where that is not wanted, or no more."""
        found = self._carrier.at(offset)
        if found is None:
            return None
        last = found.last
        return _AtInstant(
            found.offset_s,
            last.bound_path_s,
            last.bound_timestamping_s,
            last.bound_oscillator_s,
            last.upstream_s,
            found.bound_s,
            Quality.CARRIED,
            last.bound_asymmetry_s,
            last.u_asymmetry_s,
            found.u_s,
        )

    def _held(self, references: Sequence[ClockOffset], index: int, at_ns: int) -> _AtInstant:
        """One measurement of the reference, held until or from the instant."""
        single = references[index]
        age_s = abs(at_ns - single.at_ns) / 1e9
        slew_s = self._slewed(single.clock_epoch, min(at_ns, single.at_ns), max(at_ns, single.at_ns))
        return _AtInstant(
            single.offset_s,
            single.bound_path_s,
            single.bound_timestamping_s,
            single.bound_oscillator_s,
            single.upstream_s,
            self._greatest_rate(references, index) * age_s + slew_s,
            Quality.HELD,
            single.bound_asymmetry_s,
            single.u_asymmetry_s,
        )

    def _greatest_rate(self, references: Sequence[ClockOffset], index: int) -> float:
        """The largest rate of the probe's clock against the reference near a measurement, s/s.

        Its mean rate to the neighbouring measurement is known within both their bounds, and the rate at any instant lies within
        2 phi of that mean, slews left out of both. Without a neighbour only the greatest frequency correction is known.
        """
        neighbour = index - 1 if index > 0 else index + 1
        if neighbour >= len(references):
            return GREATEST_RATE
        one, other = references[index], references[neighbour]
        gap_s = abs(one.at_ns - other.at_ns) / 1e9
        if gap_s == 0.0:
            return GREATEST_RATE
        change_s = abs(one.offset_s - other.offset_s) + one.bound_s + other.bound_s
        change_s += self._slewed(one.clock_epoch, min(one.at_ns, other.at_ns), max(one.at_ns, other.at_ns))
        return min(GREATEST_RATE, change_s / gap_s + 2.0 * self._phi)

    def _fresh(self, reference: ClockOffset, at_ns: int) -> ClockOffset | None:
        """The measurement of the reference, if it is not too old or too far ahead."""
        return reference if abs(reference.at_ns - at_ns) <= self._max_age_ns else None


class LocalReference:
    """The probe's host clock as the reference, declared to realise UTC(k): a time error is the offset itself, plus the tie.

    A step is out of keeping with the declaration: for `settle_s` after it nothing is claimed. `epoch` is the clock's, now.
    """

    def __init__(self, tie: Tie, name: str = "local", *, settle_s: float = 300.0, epoch: int = 0) -> None:
        self.name = name
        self.tie = self.declared = tie
        self.settle_s = settle_s
        self._epoch = epoch
        self._settled_ns: int | None = None
        self._scatter: dict[str, TypeA] = {}

    def stepped(self, epoch: int, at_ns: int, *, settled: bool = False) -> None:
        """The clock was stepped, or its machine slept: the epoch that began with it, and an instant of that (Unix ns).

        `settled`: in keeping with the declaration all the same, as a leap second is.
        """
        self._epoch = epoch
        if not settled:
            self._settled_ns = at_ns + round(self.settle_s * 1e9)

    def resume(self, other: LocalReference) -> None:
        """Take over from the same clock under another declaration: it is no more settled than it was."""
        self._epoch, self._settled_ns = other._epoch, other._settled_ns

    def unusable(self, now_ns: int, epoch: int) -> Reason | None:
        """Why nothing can be claimed by it now; None if something can."""
        unsettled = self._settled_ns is not None and epoch == self._epoch and now_ns < self._settled_ns
        return self.tie.why_not(now_ns) or (Reason.LOCAL_CLOCK_STEPPED if unsettled else None)

    def _no_claim(self, offset: ClockOffset) -> Reason | None:
        untied = self.tie.why_not(offset.at_ns)
        if untied is not None:
            return untied
        if self._settled_ns is not None and offset.clock_epoch == self._epoch and offset.at_ns < self._settled_ns:
            return Reason.LOCAL_CLOCK_STEPPED
        return None

    def target(self, offset: ClockOffset) -> TimeError:
        """A measurement of a target: complete at once."""
        if offset.clock_epoch > self._epoch:
            self.stepped(offset.clock_epoch, offset.at_ns)
        no_claim = self._no_claim(offset)
        if no_claim is not None:
            return TimeError(offset, self.name, self.tie.realises, no_claim=no_claim)
        bound = {
            "path": offset.bound_path_s,
            "timestamping": offset.bound_timestamping_s,
            "oscillator": offset.bound_oscillator_s,
            "tie": self.tie.bound_s,
        }
        scatter = self._scatter.setdefault(offset.target, TypeA())
        scatter.push(offset.clock_epoch, offset.at_ns, offset.offset_s)
        u = _standard_parts(bound, self.tie, scatter)
        _add_asymmetry(bound, u, "asymmetry", offset.bound_asymmetry_s, offset.u_asymmetry_s)
        return _claimed(offset, self.name, self.tie, offset.offset_s, bound, u, Quality.LOCAL)

    def forget(self, target: str) -> None:
        """A target that is no longer measured."""
        self._scatter.pop(target, None)


def _standard_parts(bound: Mapping[str, float], tie: Tie, scatter: TypeA | None) -> dict[str, float]:
    """The parts of u: each part of the bound as a rectangular distribution, the tie as declared, the scatter as it is seen."""
    parts = {name: value / SQRT3 for name, value in bound.items() if name != "tie"}
    parts["tie"] = tie.u_s
    type_a_s = None if scatter is None else scatter.u_s
    if type_a_s is not None:
        parts["type_a"] = type_a_s
    return parts


def _add_asymmetry(bound: dict[str, float], u: dict[str, float], name: str, bound_s: float, u_s: float) -> None:
    """A declared asymmetry's own uncertainty, where one is declared."""
    if bound_s or u_s:
        bound[name] = bound_s
        u[name] = u_s


def _claimed(
    offset: ClockOffset,
    reference: str,
    tie: Tie,
    x_s: float,
    bound: dict[str, float],
    u: dict[str, float],
    quality: Quality,
) -> TimeError:
    """A time error with its parts summed: target minus reference `x_s`, plus reference minus UTC(k) by the tie."""
    bound_s = bound_of(bound)
    u_s = standard_uncertainty_s(u, bound_s)
    return TimeError(offset, reference, tie.realises, x_s + tie.value_s, bound_s, u_s, None, bound, u, quality, tie)
