"""What happens to an outcome: exchange -> clock offset -> time error -> row, and the current state of every target.

Rule: each outcome becomes at least one row, in every case. A measurement that waits for its reference is a row after a second
at the latest (without the better claim that may follow), so that nothing measured lives in memory only. Pure: time is a parameter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from timesync.attribution.watch import Attribution
from timesync.model import ClockOffset, Event, Exchange, Missed, Reported, Severity, TimeError, Timestamping
from timesync.reasons import Reason
from timesync.records import Recorder
from timesync.reference.carrying import at_once
from timesync.reference.differencing import Differencer, LocalReference
from timesync.reference.references import References, changed_event
from timesync.uncertainty import HARDWARE_SPAN_NS, clock_offset, contradicts, steady, with_known_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from timesync.model import Outcome, Record
    from timesync.reference.carrying import Learn
    from timesync.reference.published import UtcBook
    from timesync.settings import KnownPath, LocalReferenceSettings, ProbeSettings, TargetSettings, Tie
    from timesync.timescale import LeapTable
    from timesync.uncertainty import Slewed

__all__ = ["LOCAL", "Pipeline", "TargetState", "reference_of"]

LOCAL = "local"
# A measurement that waits longer than this for its reference is stored with what can be claimed so far.
TELL_AFTER_S = 1.0
CHILDREN_LIMIT = 256
# A kernel takes a leap second at its instant; it is seen within a second or so, and to within what reading clocks costs.
LEAP_TAKEN_NS = 60_000_000_000
LEAP_STEP_NEAR_S = 0.01
# In interleaved mode an exchange is told by the reply to a later poll, the eighth at the latest (timesync/exchange/ntp.py).
POLLS_LATE = 10
REGISTER_BITS = 8
REGISTER_MASK = (1 << REGISTER_BITS) - 1


def reference_of(settings: ProbeSettings, target: TargetSettings) -> str | None:
    """The name of the reference that a target is compared with: its own choice, else the site's first reference, else the
    local clock if that is declared, else none. A reference is compared with itself.
    """
    if target.tie is not None:
        return target.name
    if target.reference is not None:
        return target.reference
    for other in settings.targets:
        if other.tie is not None:
            return other.name
    return LOCAL if settings.local_reference is not None else None


def order_of(settings: ProbeSettings, target: TargetSettings) -> tuple[str, ...]:
    """Its reference, and those that take its place where that cannot be used; empty where there is none."""
    reference = reference_of(settings, target)
    if reference is None:
        return ()
    if target.tie is not None:
        return (reference,)
    return tuple(dict.fromkeys((reference, *target.fallback)))


def _order(error: TimeError) -> tuple[int, int]:
    """What is newer: after a step back of the probe's clock the instants are lower, and its epoch is higher."""
    return (error.offset.clock_epoch, error.offset.at_ns)


def _contradiction(offset: ClockOffset, path: KnownPath) -> Event:
    text = (
        f"a round trip to {offset.target} took {offset.delay_s:.9f} s, less than minimum_delay_s, {path.minimum_delay_s:.9f} s: "
        "such exchanges are taken without what is declared of the path; correct it"
    )
    evidence = {"delay_s": offset.delay_s, "minimum_delay_s": path.minimum_delay_s}
    return Event("path_contradicted", offset.at_ns, Severity.WARNING, text, offset.target, evidence)


@dataclass(slots=True)
class TargetState:
    """What is known of a target now, for people and for health checks. Instants are Unix ns.

    `parent` is the configured target that found this one (a further PTP master on its network); None for a configured one.
    `reference` is the one in use, of those in `order`.
    """

    settings: TargetSettings
    reference: str | None
    parent: str | None = None
    order: tuple[str, ...] = ()
    polls: int = 0
    sent: int = 0
    replies: int = 0
    register: int = 0
    losses: Counter[Reason] = field(default_factory=Counter)
    last: ClockOffset | None = None
    error: TimeError | None = None
    missed: Missed | None = None

    @property
    def answering(self) -> bool:
        """Whether the newest poll was answered with a measurement."""
        return bool(self.register & 1)


class Pipeline:
    """One probe's way from outcomes to rows. Give it every outcome; store every row it returns.

    An outcome may name another target than the one that was polled: a clock that the poll has found besides. Such a child has the
    settings of its parent without its tie, and the parent's reference. `found` is told of it before its first row is returned.
    Names of children come from the network, so there are at most `CHILDREN_LIMIT` of one parent: the one that has been silent
    longest makes room, and `lost` is told of it.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        found: Callable[[TargetSettings], object] = lambda target: None,  # noqa: ARG005 - nobody asks
        slewed: Slewed = steady,
        lost: Callable[[str], object] = lambda name: None,  # noqa: ARG005 - nobody asks
        utc: UtcBook | None = None,
        linked: Callable[[TimeError], object] = lambda error: None,  # noqa: ARG005 - nobody asks
        learn: Learn = at_once,
    ) -> None:
        """`slewed` tells how far the probe's clock was slewed between two instants, `utc` what is published of UTC - UTC(k).
        `learn` learns the probe's clock when a reference is lost.

        `linked` hears what a reference with a link by the network is against the server that it is linked through.
        """
        self._utc = utc
        self._linked = linked
        self.settings = settings
        self._found = found
        self._lost = lost
        self._slewed = slewed
        self._learn = learn
        self._epoch = 0
        self.recorder = Recorder(settings.site.name, settings.site.probe, settings.coverage_factor, utc)
        self.states: dict[str, TargetState] = {}
        self._phi = settings.oscillator_ppm * 1e-6
        self._differencers: dict[str, Differencer] = {}
        self._drafts: list[Record] = []
        self._events: list[Event] = []
        self._contradicted: set[str] = set()
        self._networks: dict[str, str] = {}
        self._drafted: dict[int, tuple[ClockOffset, Record]] = {}  # by the offset's identity: what its row was made of
        self._local: LocalReference | None = None
        self.attribution = Attribution(self._phi)
        self.references = References({"site": settings.site.name, "probe": settings.site.probe})
        self.configure(settings)

    def configure(self, settings: ProbeSettings) -> Sequence[Record]:
        """Take new settings; what did not change keeps its state. Rows that waited for a reference that is gone are returned."""
        rows: list[Record] = []
        self.settings = settings
        self.recorder = Recorder(settings.site.name, settings.site.probe, settings.coverage_factor, self._utc)
        self._phi = settings.oscillator_ppm * 1e-6
        self._configure_local(settings.local_reference)
        wanted = self._new_differencers(settings)
        networks = {link.reference: link.through for link in settings.links if link.through is not None}
        for linked, through in self._networks.items():
            if networks.get(linked) != through and through in self._differencers:
                rows.extend(self._rows(self._differencers[through].release(linked)))  # while it is known as a link's
        for name, differencer in self._differencers.items():
            if name in wanted and wanted[name].same_rules(differencer):
                wanted[name] = differencer
            else:
                rows.extend(self._rows(differencer.flush()))
        self._differencers = wanted
        self._contradicted.clear()
        self._networks = networks
        longest_s = max((target.interval_s + target.timeout_s for target in settings.targets), default=0.0)
        for differencer in wanted.values():
            differencer.late_ns = round(POLLS_LATE * longest_s * 1e9)
        orders = {target.name: order_of(settings, target) for target in settings.targets}
        self.references.configure(
            wanted,
            self._local,
            list(orders.values()),
            max_age_s=settings.reference_max_age_s,
            settle_s=settings.reference_settle_s,
        )
        for name, differencer in wanted.items():
            differencer.outvoted = self.references.outvoted(
                name
            )  # a new one, too: it claims nothing until the next look
        old = self.states
        rows.extend(self._let_go({target.name: target for target in settings.targets}))
        self.states = {}
        for target in settings.targets:
            order = orders[target.name]
            reference = self.references.in_use(order)
            state = old.get(target.name)
            if state is None or state.order != order:
                state = TargetState(target, reference, order=order)
            unchanged = state.settings == target
            state.settings = target
            self.states[target.name] = state
            if unchanged:
                children = ((name, child) for name, child in old.items() if child.parent == target.name)
                self.states.update((name, child) for name, child in children if child.reference == reference)
        clocks = ((name, each.settings.interval_s, each.settings.tie is not None) for name, each in self.states.items())
        self.attribution.configure(clocks, self._phi)
        return rows

    def _configure_local(self, wanted: LocalReferenceSettings | None) -> None:
        """The host clock as a reference; one that is declared anew goes on where the old one was."""
        before = self._local
        if wanted is None:
            self._local = None
        elif before is None or (before.declared, before.settle_s) != (wanted.tie, wanted.settle_s):
            self._local = LocalReference(wanted.tie, settle_s=wanted.settle_s, epoch=self._epoch)
            if before is not None:
                self._local.resume(before)

    def _new_differencers(self, settings: ProbeSettings) -> dict[str, Differencer]:
        """One for each reference of these settings."""
        return {
            target.name: Differencer(
                target.name,
                target.tie,
                max_age_s=settings.reference_max_age_s,
                phi=self._phi,
                slewed=self._slewed,
                carry_s=settings.reference_carry_s,
                learn=self._learn,
            )
            for target in settings.targets
            if target.tie is not None
        }

    def _let_go(self, wanted: Mapping[str, TargetSettings]) -> list[Record]:
        """The rows that wait of targets that are gone or are another server now; its scatter is not theirs."""
        rows: list[Record] = []
        for name, state in self.states.items():
            owner = state if state.parent is None else self.states.get(state.parent)
            if owner is not None and wanted.get(state.parent or name) == owner.settings:
                continue
            for differencer in self._differencers.values():
                rows.extend(self._rows(differencer.release(name)))
            if self._local is not None:
                self._local.forget(name)
        return rows

    def outcomes(self, target: str, outcomes: Iterable[Outcome], now_ns: int) -> Sequence[Record]:
        """The rows that these outcomes of one poll complete: their own, and those that waited for them."""
        rows: list[Record] = []
        for outcome in outcomes:
            state = self.states.get(outcome.target) or self._child(outcome.target, self.states[target])
            if state.parent is not None:
                self.states[outcome.target] = self.states.pop(outcome.target)
            if isinstance(outcome, Missed):
                rows.append(self._missed(state, outcome))
            elif isinstance(outcome, Reported):
                self._answered(state)
                rows.extend(self.recorder.reported(outcome))
            else:
                offset = self._offset(outcome, state.settings) if isinstance(outcome, Exchange) else outcome
                rows.extend(self._measured(state, offset, now_ns))
        return rows

    def _offset(self, exchange: Exchange, target: TargetSettings) -> ClockOffset:
        """Target minus probe, with the slews of the probe's clock in between and what is known of the path."""
        begin_ns, end_ns = min(exchange.t1_ns, exchange.t4_ns), max(exchange.t1_ns, exchange.t4_ns)
        if Timestamping.HARDWARE in (exchange.tx_timestamping, exchange.rx_timestamping):
            begin_ns -= HARDWARE_SPAN_NS
        offset = clock_offset(exchange, self._phi, self._slewed(exchange.clock_epoch, begin_ns, end_ns))
        if target.path is None:
            return offset
        if contradicts(offset, target.path) and target.name not in self._contradicted:
            self._contradicted.add(target.name)
            self._events.append(_contradiction(offset, target.path))
        return with_known_path(offset, target.path)

    def _child(self, name: str, parent: TargetState) -> TargetState:
        settings = replace(parent.settings, name=name, tie=None, reference=parent.reference, path=None)
        state = self.states[name] = TargetState(settings, parent.reference, parent.settings.name, parent.order)
        self._found(settings)
        self.attribution.add(name, settings.interval_s)
        # A child is put at the end when it is heard, so the first is the one that has been silent longest.
        children = [other for other, each in self.states.items() if each.parent == parent.settings.name]
        if len(children) > CHILDREN_LIMIT:
            self._forget(children[0])
        return state

    def _forget(self, name: str) -> None:
        """A child that made room: nothing of it is kept, and what of it still waits keeps the row that it has."""
        del self.states[name]
        for differencer in self._differencers.values():
            differencer.forget(name)
        if self._local is not None:
            self._local.forget(name)
        self._drafted.clear()  # those of the others are made anew
        self.recorder.forget(name)
        self.attribution.remove(name)
        self._lost(name)

    def take_drafts(self) -> Sequence[Record]:
        """The rows of measurements that have begun to wait for their reference since the last call: to be kept on the disk at once,
        because the row with the claim comes only with the reference.
        """
        drafts, self._drafts = self._drafts, []
        return drafts

    def take_events(self) -> Sequence[Event]:
        """What has been noticed since the last call."""
        events, self._events = self._events, []
        return events

    def set_tie(self, reference: str, tie: Tie) -> None:
        """Another result of the link of a reference: it counts from now on."""
        if reference == LOCAL and self._local is not None:
            self._local.tie = tie
        elif reference in self._differencers:
            self._differencers[reference].tie = tie

    def ties(self) -> dict[str, Tie]:
        """What ties each reference to UTC(k) now, by its name."""
        local = {} if self._local is None else {LOCAL: self._local.tie}
        return {**local, **{name: each.tie for name, each in self._differencers.items()}}

    def set_leaps(self, table: LeapTable) -> None:
        """The leap-second table in use."""
        self.attribution.leaps = table

    def is_leap_second(self, at_ns: int, step_s: float) -> bool:
        """Whether a step of the probe's clock is a leap second of the table: by a second the other way, as it is over."""
        table = self.attribution.leaps
        leap = None if table is None else table.next_leap(at_ns - LEAP_TAKEN_NS)
        is_then = leap is not None and abs(leap.at_ns - at_ns) <= LEAP_TAKEN_NS
        return leap is not None and is_then and abs(step_s + leap.step_s) < LEAP_STEP_NEAR_S

    def clock_stepped(self, epoch: int, at_ns: int, step_s: float = 0.0) -> Event | None:
        """The probe's clock was stepped by `step_s`, or its machine slept: its new epoch, and the instant by it.

        An event if claims are withheld because of it.
        """
        self._epoch = epoch
        leap = self.is_leap_second(at_ns, step_s)
        self.attribution.clock_changed(epoch, at_ns, step_s, leap=leap)
        self.references.clock_stepped(epoch, at_ns)
        local = self._local
        if local is None:
            return None
        local.stepped(epoch, at_ns, settled=leap)
        withheld = sum(state.reference == LOCAL for state in self.states.values())
        if leap or not withheld or not local.settle_s:
            return None
        text = f"the host clock, the reference of {withheld} targets, was stepped: no claims by it for {local.settle_s:g} s"
        evidence = {"settle_s": local.settle_s, "targets": withheld, "clock_epoch": epoch}
        return Event("local_reference_withheld", at_ns, Severity.WARNING, text, None, evidence)

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Once a second or so: rows of measurements that have waited long enough for their reference."""
        rows: list[Record] = []
        for differencer in self._differencers.values():
            rows.extend(self._rows(differencer.provisional(now_ns, TELL_AFTER_S)))
            rows.extend(self._rows(differencer.overdue(now_ns)))
        rows.extend(self._look_at_references(now_ns))
        self._events.extend(self.attribution.tick(now_ns))
        return rows

    def _look_at_references(self, now_ns: int) -> list[Record]:
        changed, events, rows = self.references.look(now_ns)
        self._events.extend(events)
        for preference, change in changed:
            former = self._differencers.get(change.former)
            targets = [name for name, state in self.states.items() if state.order == preference.names]
            for name in targets:
                if former is not None:
                    rows.extend(self._rows(former.release(name)))
                self.states[name].reference = change.chosen
            self._events.append(changed_event(change, preference.changes, targets, now_ns))
        for name, differencer in self._differencers.items():
            differencer.outvoted = self.references.outvoted(name)
        return rows

    def flush(self) -> Sequence[Record]:
        """At the end: the rows of everything that still waits."""
        rows: list[Record] = []
        for differencer in self._differencers.values():
            rows.extend(self._rows(differencer.flush()))
        return rows

    def _missed(self, state: TargetState, missed: Missed) -> Record:
        state.polls += missed.polls
        state.sent += missed.polls if missed.sent else 0
        state.register = (state.register << min(missed.polls, REGISTER_BITS)) & REGISTER_MASK
        state.losses[missed.reason] += missed.polls
        state.missed = missed
        self.attribution.take(missed)
        return self.recorder.missed(missed, state.reference)

    def _answered(self, state: TargetState) -> None:
        state.polls += 1
        state.sent += 1
        state.replies += 1
        state.register = (state.register << 1 | 1) & REGISTER_MASK

    def _measured(self, state: TargetState, offset: ClockOffset, now_ns: int) -> Sequence[Record]:
        self._answered(state)
        state.last = offset
        self.attribution.take(offset)
        return self._rows(self._claims(state, offset, now_ns))

    def _claims(self, state: TargetState, offset: ClockOffset, now_ns: int) -> Sequence[TimeError]:
        reference = state.reference
        if offset.no_claim is not None:
            return [TimeError(offset, reference, None, no_claim=offset.no_claim)]
        if reference == LOCAL and self._local is not None:
            return [self._local.target(offset)]
        differencer = self._differencers.get(reference) if reference is not None else None
        if differencer is None:
            return [TimeError(offset, reference, None, no_claim=Reason.NO_REFERENCE)]
        if reference == state.settings.name:
            through = self._differencers.get(self._networks.get(reference, ""))
            # What it is against the laboratory's server is no row: it makes the tie.
            linked = through.target(offset, now_ns) if through is not None else ()
            return [*differencer.reference(offset), *linked]
        complete = differencer.target(offset, now_ns)
        if not any(error.offset is offset for error in complete):
            waiting = TimeError(offset, reference, differencer.tie.realises, no_claim=Reason.REFERENCE_PENDING)
            draft = self._by_reference(state, waiting, self.recorder.time_error(waiting))
            self._drafts.append(draft)
            self._drafted[id(offset)] = (offset, draft)
        return complete

    def _rows(self, errors: Iterable[TimeError]) -> list[Record]:
        rows = []
        for error in errors:
            drafted = self._drafted.pop(id(error.offset), None)
            state = self.states.get(error.offset.target)
            if self._networks and error.reference != error.offset.target and error.offset.target in self._networks:
                self._linked(error)
                continue
            if state is not None and (state.error is None or _order(error) >= _order(state.error)):
                state.error = error
            draft = drafted[1] if drafted is not None and drafted[0] is error.offset else None
            rows.append(self._by_reference(state, error, self.recorder.time_error(error, draft)))
        return rows

    def _by_reference(self, state: TargetState | None, error: TimeError, row: Record) -> Record:
        """The row, with how often the reference had changed before; as it is, where it cannot change."""
        if state is None or len(state.order) < 2:
            return row
        changes = self.references.changes(state.order, error.reference)
        return row._replace(fields={**row.fields, "reference_changes": changes})
