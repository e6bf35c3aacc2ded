"""Watches all clocks of a probe together, and says whose fault a change is.

Rule: samples are only put aside when they come (`take`); the work is done by `tick`, about once a second. What one clock does
is judged only when all others have had their chance to do the same. Known steps of the probe's clock are taken out of all
series, on both axes, so that a step that its kernel tells is a fact and not a mystery. Pure: time is a parameter.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from timesync.attribution.detector import AFTER, COARSER, KNOWN
from timesync.attribution.judge import PROBE, Fault, Finding, Kind, Stand, judge
from timesync.attribution.ledger import SCATTERING, Ledger
from timesync.attribution.member import Member
from timesync.attribution.scatter import ScatterWatch, is_delayed, is_restless
from timesync.attribution.silence import SilenceWatch
from timesync.attribution.tracker import TELLING
from timesync.model import Missed
from timesync.reasons import REASONS, Whose

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from timesync.attribution.detector import Change
    from timesync.model import ClockOffset, Event
    from timesync.timescale import LeapTable

__all__ = ["Attribution"]

# A clock that has had no point for so many of its periods has no vote, and is no pivot.
LIVE_PERIODS = 4.0
# A step of the probe's clock below this is not told from its oscillator (as in timesync/clockwatch.py), s.
PROBE_STEP_S = 10e-6
# A change of the probe's rate beyond this share of phi is told.
PROBE_RATE_SHARE = 1.0 / 3.0
# Between two ticks no more is put aside: who never ticks (a measurement of some minutes by hand) asks for no verdict.
FRESH_AT_MOST = 100_000
# So long after a leap second a move by a second is about it.
LEAP_NEWS_NS = 86_400 * 10**9
# A slower clock than this many times is not waited for.
SLOWER = 4.0


class Attribution:
    """Give it every clock (`configure`, `add`), every outcome (`take`) and known steps; `tick` gives the events."""

    def __init__(self, phi: float) -> None:
        """`phi`: how far the probe's rate may stray unnoticed, s/s."""
        self.phi = phi
        self.members: dict[str, Member] = {}
        self.ledger = Ledger()
        self.judged = 0
        self._fresh: deque[ClockOffset | Missed] = deque(maxlen=FRESH_AT_MOST)
        self.take = self._fresh.append
        self._pivot: Member | None = None
        self._pivot_until_s = float("-inf")
        self._waiting: list[Change] = []
        self._scatter = ScatterWatch(self.ledger)
        self._silence = SilenceWatch(self.ledger)
        self._told: list[tuple[float, float]] = []
        self._origin_ns: int | None = None
        self._epoch = 0
        # By epoch: what the probe's clock was stepped by, and what of that moved its offsets, ns.
        self._steps_ns = {0: (0, 0)}
        self.leaps: LeapTable | None = None
        self._now_s = 0.0

    def configure(self, clocks: Iterable[tuple[str, float, bool]], phi: float) -> None:
        """The clocks to watch: name, poll interval (s), whether it is a reference. What does not change goes on."""
        self.phi = phi
        wanted = {name: (interval_s, is_reference) for name, interval_s, is_reference in clocks}
        for name in [name for name in self.members if name not in wanted]:
            self.remove(name)
        old = self.members
        # In this order a pivot is chosen: references first.
        order = sorted(wanted.items(), key=lambda item: not item[1][1])
        self.members = {}
        for name, (interval_s, is_reference) in order:
            member = old.get(name)
            if member is None or (member.interval_s, member.is_reference) != (interval_s, is_reference):
                member = Member(name, interval_s, is_reference=is_reference)
            self.members[name] = member
        if self._pivot is not None and self.members.get(self._pivot.name) is not self._pivot:
            self._take_pivot(None)

    def add(self, name: str, interval_s: float) -> None:
        """One more clock, found besides."""
        self.members.setdefault(name, Member(name, interval_s, is_reference=False))

    def remove(self, name: str) -> None:
        """A clock that is no longer measured; faults that are its alone are over."""
        member = self.members.pop(name, None)
        if member is None:
            return
        self._waiting = [change for change in self._waiting if change.member != name]
        self._scatter.forget(name)
        if member is self._pivot:
            self._take_pivot(None)
        self.ledger.remove(name)

    def clock_changed(self, epoch: int, at_ns: int, step_s: float, *, leap: bool = False) -> None:
        """The probe's kernel tells that its clock was stepped by `step_s` (0: it slept) as `epoch` began, at `at_ns` of it.

        `leap`: it took a leap second, as every clock that keeps UTC does, so no offset moves.
        """
        size_ns = round(step_s * 1e9)
        steps_ns, moved_ns = self._steps_ns.get(self._epoch, (0, 0))
        steps_ns += size_ns
        self._epoch = epoch
        self._steps_ns[epoch] = (steps_ns, moved_ns if leap else moved_ns + size_ns)
        while len(self._steps_ns) > 8:
            del self._steps_ns[min(self._steps_ns)]
        if step_s and not leap and self._origin_ns is not None:
            self._told.append(((at_ns - steps_ns - self._origin_ns) / 1e9, step_s))

    # Samples to points

    def tick(self, now_ns: int) -> Sequence[Event]:
        """Work off what has come; `now_ns` is the probe's clock (Unix ns). The events, in the order they were found."""
        if self._origin_ns is None:
            self._origin_ns = now_ns
        self._now_s = (now_ns - self._steps_ns.get(self._epoch, (0, 0))[0] - self._origin_ns) / 1e9
        self._ingest()
        self._close_blocks()
        self._look_at_pivot()
        self._difference()
        self.ledger.now_s, self.ledger.now_ns = self._now_s, now_ns
        self._judge_waiting()
        if self._pivot is not None:
            for finding in self._scatter.look(self.members, self._pivot, self._live):
                self._tell(finding)
        for finding in self._silence.look(self.members):
            self._tell(finding)
        self._judge_told()
        for active, why in self.ledger.ended():
            if why == "settled" and active.finding.kind in SCATTERING:
                for name in active.finding.members:  # this scatter is the usual one from now on
                    if name in self.members:
                        self.members[name].begin_again()
        return self.ledger.take_events()

    def _ingest(self) -> None:
        fresh = list(self._fresh)
        self._fresh.clear()
        members, steps_ns, origin_ns = self.members, self._steps_ns, self._origin_ns
        assert origin_ns is not None
        for each in fresh:
            member = members.get(each.target)
            if member is None:
                continue
            if isinstance(each, Missed):
                if REASONS[each.reason].whose is not Whose.PROBE:
                    member.missed += each.polls
                    member.missed_reason = each.reason.value
                continue
            step = steps_ns.get(each.clock_epoch)
            if step is None:
                continue  # of an epoch long gone
            t_s = (each.at_ns - step[0] - origin_ns) / 1e9
            point = member.take(t_s, each.offset_s + step[1] / 1e9, each)
            if point is not None:
                member.wait(point)

    def _close_blocks(self) -> None:
        for member in self.members.values():
            if member.due(self._now_s):
                point = member.close()
                if point is not None:
                    member.wait(point)

    def _live(self, member: Member) -> bool:
        return self._now_s - member.last_s <= LIVE_PERIODS * member.period_s

    # Points to changes

    def _look_at_pivot(self) -> None:
        """Keep the pivot while it answers; else the first that does, references first."""
        if self._pivot is not None and self._live(self._pivot):
            return
        for member in self.members.values():
            if not member.points and self._now_s < LIVE_PERIODS * member.period_s:
                return  # it has just begun: it may be better than those that came first
            if member.points and self._live(member):
                if member is not self._pivot:
                    self._take_pivot(member)
                return

    def _take_pivot(self, member: Member | None) -> None:
        before, self._pivot = self._pivot, member
        for each in (before, member):
            if each is not None:
                each.be_pivot(is_pivot=each is member)
        self._pivot_until_s = float("-inf")
        self._waiting = []
        for each in self.members.values():
            if before is not None or each is member:
                each.begin_again()
        self._scatter.forget()

    def _difference(self) -> None:
        pivot = self._pivot
        if pivot is None or not pivot.points:
            return
        until_s = pivot.points[-1].t_s
        if until_s > self._pivot_until_s:
            self._pivot_until_s = until_s
            while pivot.waiting:
                self._take_changes(pivot, pivot.feed(pivot.waiting.pop(0), with_raw=True))
        for member in self.members.values():
            waiting = member.waiting
            while waiting and waiting[0].t_s <= until_s and member is not pivot:
                point = waiting.pop(0)
                pivot_s = pivot.at(point.t_s)
                if pivot_s is not None:
                    point = point._replace(difference_s=point.raw_s - pivot_s)
                    self._take_changes(member, member.feed(point, with_raw=False))

    def _take_changes(self, member: Member, changes: list[Change]) -> None:
        self._waiting.extend(changes)
        self._scatter.note(member)

    # Changes to verdicts

    def _judge_waiting(self) -> None:
        while self._waiting:
            first = min(self._waiting, key=lambda change: change.first_s)
            group = [each for each in self._waiting if each.first_s <= first.last_s]
            if not self._all_seen(group):
                return
            self._waiting = [each for each in self._waiting if each.first_s > first.last_s]
            self._verdict(group)

    def _all_seen(self, group: Sequence[Change]) -> bool:
        """Whether every clock that is fast enough has had its chance to change too, or has kept us waiting for too long."""
        last_s = max(change.last_s for change in group)
        scale = max(change.scale for change in group)
        slowest_s = max(self._period_s(change.member) for change in group)
        changed = {change.member for change in group}
        awaited = {change.member for change in self._waiting}
        patient_until_s = last_s
        seen = True
        for member in self.members.values():
            if member.name in changed or not self._live(member) or member.period_s > SLOWER * slowest_s:
                continue
            detector = member.detectors[scale]
            patient_until_s = max(patient_until_s, last_s + (AFTER + 2) * member.period_s * COARSER**scale)
            if member.name not in awaited and (
                detector.last_s < last_s or detector.suspecting or member.detectors[0].suspecting
            ):
                seen = False
        return seen or self._now_s > patient_until_s

    def _period_s(self, name: str) -> float:
        member = self.members.get(name)
        return member.period_s if member is not None else 0.0

    def _verdict(self, group: Sequence[Change]) -> None:
        pivot = self._pivot
        if pivot is None:
            return
        self.judged += 1
        at_s = max(change.last_s for change in group)
        since_s = max(change.first_s for change in group)
        scale = min(change.scale for change in group)
        changes = {change.member: change for change in sorted(group, key=lambda each: -each.scale)}
        size_s = max(abs(change.difference.by(at_s)) for change in group)
        raw = changes[pivot.name].raw if pivot.name in changes else None
        raw_s = raw.by(at_s) if raw is not None else 0.0
        size_s = max(size_s, abs(raw_s))
        stands = []
        for member in self.members.values():
            stand = self._stand(member, changes.get(member.name), size_s, at_s, since_s, scale)
            if stand is not None:
                stands.append(stand)
        probe = self._probe_stand(changes.get(pivot.name), size_s, at_s, scale, group)
        others = [member for member in self.members.values() if member.name not in changes and self._live(member)]
        unsure = sum(member.detectors[0].suspecting for member in others)
        # Where half of the others are restless as well, it is scatter that grows, and that has its own verdict.
        findings = [] if unsure and 2 * unsure >= len(others) else self._worth_telling(judge(stands, probe))
        self._follow(findings, pivot, {stand.name for stand in stands}, at_s)
        for change in group:
            member = self.members[change.member]
            member.settle(change, with_raw=member is pivot)
        for finding in findings:
            self._tell(finding, min(change.usual_until_s for change in group))

    def _stand(
        self, member: Member, change: Change | None, size_s: float, at_s: float, since_s: float, scale: int
    ) -> Stand | None:
        """How far a clock moved against the pivot; None where it could not have seen a change of that size."""
        is_pivot = member is self._pivot
        if change is not None:
            difference, delay = change.difference, change.delay
            delay_s, delay_tolerance_s = delay.by(at_s), delay.tolerance_s
            if difference.happened or is_pivot:
                rate = difference.rate
                tolerance_s = self._tolerance_s(member, change.scale) if is_pivot else difference.tolerance_s
                return Stand(
                    member.name, difference.by(at_s), tolerance_s, rate, delay_s, delay_tolerance_s,
                    member.bound_s, member.is_reference,
                )  # fmt: skip
            tolerance_s = self._tolerance_s(member, change.scale)
            return Stand(
                member.name, 0.0, tolerance_s, 0.0, delay_s, delay_tolerance_s, member.bound_s, member.is_reference
            )
        detector = member.detectors[scale]
        if not self._live(member) or not (is_pivot or detector.difference.ready) or detector.noisy:
            return None
        if not is_pivot and (detector.suspecting or detector.last_s < since_s):
            return None  # it may have changed, or not yet been able to
        tolerance_s = self._tolerance_s(member, scale)
        if not is_pivot and size_s < TELLING / KNOWN * tolerance_s and size_s > 0.0:
            return None
        return Stand(member.name, 0.0, tolerance_s, bound_s=member.bound_s, is_reference=member.is_reference)

    def _tolerance_s(self, member: Member, scale: int) -> float:
        if member is self._pivot:
            return 0.0  # it is the origin: what the others know is their own tolerance
        return KNOWN * member.detectors[scale].difference.sigma_s

    def _probe_stand(
        self, change: Change | None, size_s: float, at_s: float, scale: int, group: Sequence[Change]
    ) -> Stand | None:
        """How far the probe's clock moved against the pivot; None where its oscillator could have done it unnoticed."""
        pivot = self._pivot
        assert pivot is not None
        raw = change.raw if change is not None else None
        if raw is not None and raw.happened:
            limit_s = PROBE_STEP_S + self.phi * pivot.period_s * COARSER**scale
            if raw.rate and abs(raw.rate) < PROBE_RATE_SHARE * self.phi and abs(raw.step_s) < limit_s:
                return None
            if not raw.rate and abs(raw.step_s) < limit_s:
                return None
            return Stand(PROBE, -raw.by(at_s), raw.tolerance_s + PROBE_STEP_S, -raw.rate)
        tracker = pivot.detectors[scale].raw
        rates = [abs(each.difference.rate) for each in group if each.difference.rate]
        span_s = max(each.last_s - each.usual_until_s for each in group) if rates else pivot.period_s * COARSER**scale
        tolerance_s = KNOWN * tracker.sigma_s
        if not tracker.ready or size_s < 2.0 * max(TELLING * tracker.sigma_s, PROBE_STEP_S + self.phi * span_s):
            return None
        return Stand(PROBE, 0.0, tolerance_s + PROBE_STEP_S)

    def _worth_telling(self, findings: Iterable[Finding]) -> list[Finding]:
        """Not what is undecided and small: a wander of the probe's clock that no vote accused, scatter that grows just now."""
        pivot = self._pivot
        kept = []
        for finding in findings:
            if finding.fault is Fault.UNDECIDED:
                members = [self.members[name] for name in finding.members if name in self.members]
                scattering = any(is_restless(m) or (m is pivot and is_delayed(m)) for m in members)
                if finding.moved_s == 0.0 or scattering:
                    continue
            kept.append(finding)
        return kept

    def _follow(self, findings: Iterable[Finding], pivot: Member, voted: Collection[str], at_s: float) -> None:
        """Where the pivot itself moved, those who were too noisy to see it have moved against it all the same."""
        for finding in findings:
            if pivot.name in finding.members and finding.fault in (Fault.SERVER, Fault.REFERENCE, Fault.PATH):
                for member in self.members.values():
                    if member.name not in voted:
                        for detector in member.detectors:
                            detector.difference.shift(-finding.moved_s, -finding.rate, max(at_s, detector.last_s))

    def _judge_told(self) -> None:
        """Steps that the kernel told, once the pivot has been measured twice since and agrees."""
        pivot = self._pivot
        for told in list(self._told):
            at_s, step_s = told
            after = sum(point.t_s > at_s for point in pivot.points) if pivot is not None else 0
            if after < 2 and self._now_s - at_s < 600.0:
                continue
            self._told.remove(told)
            agrees = pivot is not None and after >= 2 and not pivot.detectors[0].after
            live = tuple(member.name for member in self.members.values() if self._live(member))
            note = (
                "its kernel tells so, and all that is measured agrees"
                if agrees
                else "its kernel tells so; the measurements do not confirm it yet"
            )
            finding = Finding(
                Fault.PROBE,
                Kind.STEP,
                (),
                live if agrees else (),
                len(live),
                0.98 if agrees else 0.7,
                step_s,
                note=note,
            )
            self._tell(finding)

    def _tell(self, finding: Finding, since_s: float | None = None) -> None:
        """A finding about a change since then."""
        since_s = self._now_s if since_s is None else since_s
        members = [self.members[name] for name in finding.members if name in self.members]
        told = "; ".join(said for member in members if (said := member.told(since_s)))
        periods = [member.period_s for member in members]
        if self._pivot is not None:
            periods.append(self._pivot.period_s)
        if self._missed_leap(finding):
            finding = replace(finding, note=f"{finding.note}; a leap second that it did not take".lstrip("; "))
        self.ledger.tell(finding, told, max(periods, default=0.0))

    def _missed_leap(self, finding: Finding) -> bool:
        """Whether a move is by a second, just after a leap second."""
        if self.leaps is None or finding.kind is not Kind.STEP:
            return False
        leap = self.leaps.next_leap(self.ledger.now_ns - LEAP_NEWS_NS)
        is_past = leap is not None and leap.at_ns <= self.ledger.now_ns
        return leap is not None and is_past and abs(finding.moved_s - leap.step_s) < 0.01
