"""What the PTP messages of a capture come to, at its end: masters, domains, streams, questions, offsets.

Rule: a clock's offset is given as UTC only where its own Announce, or its domain's one master's, says how; otherwise as it
stands, with the time scale's name beside it.

Sources: IEEE 1588-2019 clauses 7.2.4 (time scales), 9.3.4 (data set comparison), 13.3.2.8 (flags); IEEE 802.1AS-2020 clause
11.2 (a port's peer-delay timestamps are its local clock's).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from timesync.capture.exchanges import UNIT_S, UNITS_PER_NS, Pair
from timesync.capture.findings import FindingName
from timesync.capture.profiles import Traits, recognise
from timesync.capture.ptp import ANNOUNCE_TIMEOUT, rank
from timesync.capture.report import Corrections, Domain, Master, Requester, TwoWay
from timesync.capture.streams import type_name
from timesync.capture.syncs import leftovers
from timesync.timescale import NS_PER_S
from timesync.wire.ptp.header import Flag, MessageType, identity_text

if TYPE_CHECKING:
    from timesync.capture.ports import Port, PortKey
    from timesync.capture.ptp import DomainKey, DomainState, PtpWatch
    from timesync.timescale import LeapTable

__all__ = ["PtpSummary"]

# What still waits at the end is told as missing only if it is older.
PATIENCE_NS = NS_PER_S
KNOWN_SCALE = Flag.CURRENT_UTC_OFFSET_VALID | Flag.PTP_TIMESCALE
MECHANISMS = {MessageType.DELAY_REQ: "e2e", MessageType.PDELAY_REQ: "p2p"}
# An offset this near to a whole TAI - UTC is one of scale.
SCALE_ERROR_S = 0.5


class PtpSummary:
    """Reads a watch at the end of its capture; what it finds on the way goes to the watch's findings."""

    def __init__(
        self, watch: PtpWatch, end_ns: int, timescale: str, leaps: LeapTable | None, resolution_ns: int
    ) -> None:
        self._watch, self._end_ns = watch, end_ns
        self._declared, self._leaps, self._resolution_ns = timescale, leaps, resolution_ns
        ports = list(watch.ports.values())
        for port in ports:
            leftovers(port, end_ns, PATIENCE_NS, watch.findings)
        for port in ports:
            watch.questions.finish(port, end_ns, PATIENCE_NS)
            for stream in port.streams.values():
                stream.judge(str(port), watch.findings)
        best = self._judge_masters()
        self.exchanges = self._exchanges()
        self.streams = tuple(
            stream.report(str(port), port.key.domain) for port in ports for _, stream in sorted(port.streams.items())
        )
        self.masters = tuple(self._master(port, best=port.key in best) for port in watch.master_ports())
        self.requesters = tuple(
            self._requester(port, kind) for port in ports for kind in MECHANISMS if port.questions.get(kind)
        )
        self.domains = tuple(self._domain(key, state) for key, state in watch.domains.items())

    def _judge_masters(self) -> set[PortKey]:
        """Who is best in each domain; several at once, silent ones, and what they say of UTC."""
        findings = self._watch.findings
        best: dict[DomainKey, Port] = {}
        together: dict[DomainKey, list[Port]] = {}
        for port in self._watch.master_ports():
            if port.announce is None:
                findings.add(FindingName.SYNC_WITHOUT_ANNOUNCE, str(port), port.first_ns)
                continue
            self._judge_utc(port)
            if port.announce_flags & Flag.ALTERNATE_MASTER:
                continue
            key = port.key[:4]
            if key not in best or rank(port) < rank(best[key]):
                best[key] = port
            if port.group_master:
                together.setdefault(key, []).append(port)
        for masters in together.values():
            for one, other in combinations(masters[:8], 2):
                self._judge_overlap(one, other)
            newest_ns = max(port.last_announce_ns for port in masters)
            for port in masters:
                limit_ns = ANNOUNCE_TIMEOUT * (port.announce_ns or 0)
                succeeded = newest_ns > port.last_announce_ns
                if limit_ns and self._end_ns - port.last_announce_ns > limit_ns and not succeeded:
                    silent_s = (self._end_ns - port.last_announce_ns) * 1e-9
                    detail = f"for {silent_s:.3f} s, to the end of the capture"
                    findings.add(FindingName.MASTER_SILENT, str(port), port.last_announce_ns, detail)
        return {port.key for port in best.values()}

    def _judge_overlap(self, one: Port, other: Port) -> None:
        begin_ns = max(one.first_announce_ns, other.first_announce_ns)
        end_ns = min(one.last_announce_ns, other.last_announce_ns)
        interval_ns = max(one.announce_ns or NS_PER_S, other.announce_ns or NS_PER_S)
        if end_ns - begin_ns > ANNOUNCE_TIMEOUT * interval_ns:
            detail = f"{one.key.port} and {other.key.port}"
            subject = f"domain {one.key.domain} on {one.key.transport}"
            self._watch.findings.add(FindingName.SEVERAL_MASTERS, subject, begin_ns, detail)

    def _judge_utc(self, port: Port) -> None:
        announce, leaps = port.announce, self._leaps
        if announce is None or leaps is None or port.announce_flags & KNOWN_SCALE != KNOWN_SCALE:
            return
        at_ns = port.last_announce_ns
        if leaps.is_expired(at_ns) or at_ns < leaps.rows[0].at_ns:
            return
        true_s = leaps.tai_minus_utc_s(at_ns)
        if announce.current_utc_offset_s != true_s:
            detail = f"{announce.current_utc_offset_s} s announced, {true_s} s in the table"
            self._watch.findings.add(FindingName.UTC_OFFSET_WRONG, str(port), at_ns, detail)

    def _scale(self, port: Port, mechanism: str) -> tuple[str, int]:
        """The time scale of a clock's timestamps, and the shift (units) that makes them UTC."""
        if mechanism == "p2p" and port.key.sdo >> 8 == 1:
            return "local", 0
        teller = port
        if port.announce is None:
            masters = [each for each in self._watch.master_ports() if each.announce and each.key[:4] == port.key[:4]]
            if len(masters) == 1:
                teller = masters[0]
        announce = teller.announce
        if announce is not None and teller.announce_flags & KNOWN_SCALE == KNOWN_SCALE:
            return "ptp", -announce.current_utc_offset_s * NS_PER_S * UNITS_PER_NS
        if self._declared == "utc":
            return "utc", 0
        if self._declared == "tai" and self._leaps is not None and self._end_ns >= self._leaps.rows[0].at_ns:
            return "tai", -self._leaps.tai_minus_utc_s(self._end_ns) * NS_PER_S * UNITS_PER_NS
        return "arbitrary", 0

    def _exchanges(self) -> tuple[TwoWay, ...]:
        found = []
        for (key, mechanism, _), pair in self._watch.questions.pairs.items():
            port = self._watch.ports[key]
            timescale, shift = self._scale(port, mechanism)
            note = "the peer's local clock, which follows nobody" if timescale == "local" else ""
            told = pair.report(timescale, shift, self._resolution_ns, note)
            if told is not None:
                found.append(told)
                self._judge_scale(pair, told, port)
        return tuple(found)

    def _judge_scale(self, pair: Pair, told: TwoWay, port: Port) -> None:
        """37 s off on a scale that is said to be UTC's: a clock that serves UTC as TAI, or a capture stamped in TAI."""
        if told.best_offset_s is None or told.timescale == "local" or self._leaps is None:
            return
        if not self._leaps.rows[0].at_ns <= told.best_at_ns:
            return
        tai_minus_utc_s = self._leaps.tai_minus_utc_s(told.best_at_ns)
        if abs(abs(told.best_offset_s) - tai_minus_utc_s) < SCALE_ERROR_S:
            detail = f"{told.best_offset_s:+.3f} s on the {told.timescale} scale"
            self._watch.findings.add(FindingName.SCALE_NOT_AS_ANNOUNCED, str(port), pair.best_at_ns, detail)

    def _master(self, port: Port, *, best: bool) -> Master:
        announce, flags = port.announce, port.announce_flags
        timescale, shift = self._scale(port, "e2e")
        has = (lambda flag: bool(flags & flag)) if announce is not None else (lambda _flag: None)
        return Master(
            str(port.key.port),
            port.key.domain,
            port.key.sdo,
            port.key.transport,
            port.key.vlans,
            tuple(port.addresses),
            tuple(port.versions),
            best,
            port.announces,
            port.syncs,
            port.two_step,
            port.unicast,
            identity_text(announce.grandmaster) if announce else None,
            announce.clock_class if announce else None,
            announce.clock_accuracy if announce else None,
            announce.offset_scaled_log_variance if announce else None,
            announce.priority1 if announce else None,
            announce.priority2 if announce else None,
            announce.steps_removed if announce else None,
            announce.time_source if announce else None,
            announce.current_utc_offset_s if announce else None,
            has(Flag.CURRENT_UTC_OFFSET_VALID),
            has(Flag.PTP_TIMESCALE),
            has(Flag.TIME_TRACEABLE),
            has(Flag.FREQUENCY_TRACEABLE),
            tuple(identity_text(each) for each in port.path),
            timescale,
            tuple(port.changes),
            port.one_way.limits(shift),
            _corrections(port),
            port.sync_times.bins(1.0),
            port.loss_times.bins(1.0),
            port.first_ns,
            port.last_ns,
        )

    def _requester(self, port: Port, kind: int) -> Requester:
        streams = [stream for (each, _), stream in port.streams.items() if each == kind]
        interval_ns = streams[0].interval_ns if len(streams) == 1 else None
        return Requester(
            str(port.key.port),
            port.key.domain,
            MECHANISMS[MessageType(kind)],
            tuple(port.addresses),
            port.questions[kind],
            port.answered.get(kind, 0),
            port.unanswered.get(kind, 0),
            tuple(str(each) for each in port.answered_by.get(kind, ())),
            interval_ns * 1e-9 if interval_ns is not None else None,
        )

    def _domain(self, key: DomainKey, state: DomainState) -> Domain:
        transport, vlans, sdo, number = key
        ports = [port for port in self._watch.ports.values() if port.key[:4] == key]
        asking = {kind for port in ports for kind in port.questions}
        traits = Traits(
            transport,
            number,
            sdo,
            vlans,
            end_to_end=MessageType.DELAY_REQ in asking,
            peer_to_peer=MessageType.PDELAY_REQ in asking,
            multicast=state.multicast,
            unicast=state.unicast,
            negotiated=state.negotiated,
            destinations=set(state.destinations),
            announce_logs=set(state.logs.get(MessageType.ANNOUNCE, ())),
            sync_logs=set(state.logs.get(MessageType.SYNC, ())),
            peer_logs=set(state.logs.get(MessageType.PDELAY_REQ, ())),
            classes=set(state.classes),
            priorities_1=set(state.priorities_1),
            organisations=set(state.organisations),
        )
        return Domain(
            number,
            sdo,
            transport,
            vlans,
            sum(1 for port in ports if port.announces or port.syncs),
            sum(1 for port in ports if port.questions),
            tuple(name for kind, name in MECHANISMS.items() if kind in asking),
            recognise(traits),
            dict(state.messages),
            dict(state.tlvs),
        )


def _corrections(port: Port) -> tuple[Corrections, ...]:
    found = []
    for kind, (spread, not_zero) in sorted(port.corrections.items()):
        values = spread.summary(UNIT_S)
        if values is not None:
            found.append(Corrections(type_name(kind), not_zero[0], values))
    return tuple(found)
