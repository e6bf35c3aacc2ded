"""A capture's report as tables for a terminal.

Rule: every number has its unit and its sign; what is not known is "-"; what was found comes last, worst first, each with what
to do.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from timesync.capture.findings import MEANINGS, Severity
from timesync.text import aligned, offset_text, size_text
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from timesync.capture.report import CaptureReport, Domain, Limits, Master, Stream, TwoWay

__all__ = ["report_lines"]

ROWS = 40
TRANSPORTS = {"l2": "Ethernet", "udp4": "UDP/IPv4", "udp6": "UDP/IPv6"}
PASSED_OVER = {
    "other": "neither PTP nor NTP",
    "unknown_link_type": "of a link type that is not read",
    "cut_off": "cut off by the capture",
    "fragment": "fragments",
    "malformed": "malformed",
    "no_timestamp": "without a time",
}


def report_lines(report: CaptureReport) -> Iterator[str]:
    """The whole report, a line at a time."""
    yield from _head(report)
    if report.domains:
        yield from _table("PTP domains", _domains(report.domains))
        yield from _profiles(report.domains)
    if report.masters:
        yield from _table("PTP masters", _masters(report.masters))
    if report.streams:
        yield from _table("PTP messages", _streams(report.streams))
    if report.requesters:
        yield from _table("PTP questions", _requesters(report))
    if any(each.not_zero for master in report.masters for each in master.corrections):
        yield from _table("Corrections by transparent clocks", _corrections(report.masters))
    if report.ntp_servers:
        yield from _table("NTP servers", _servers(report))
    if report.associations:
        yield from _table("NTP clients", _associations(report))
    yield from _offsets(report)
    yield from _found(report)


def _table(title: str, content: tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]) -> Iterator[str]:
    heads, rows, right = content
    yield ""
    yield title
    for line in aligned(heads, rows[:ROWS], right=right):
        yield f"  {line}".rstrip()
    if len(rows) > ROWS:
        yield f"  ... and {len(rows) - ROWS} more: --json has all"


def _head(report: CaptureReport) -> Iterator[str]:
    if report.first_at_ns is None or report.last_at_ns is None:
        yield f"{report.source}: no frame with a time"
    else:
        span_s = (report.last_at_ns - report.first_at_ns) * 1e-9
        unit = f", stamped to {size_text(report.resolution_s)}" if report.resolution_s else ""
        yield f"{report.source}: {format_utc(report.first_at_ns)}, {span_s:.3f} s{unit}"
    yield f"{report.frames} frames: {report.ptp_messages} PTP messages, {report.ntp_packets} NTP packets"
    others = [f"{count} {PASSED_OVER.get(name, name)}" for name, count in report.passed_over.items() if count]
    if others:
        yield f"passed over: {', '.join(others)}"
    if report.kernel_dropped:
        yield f"dropped by the kernel before they were read: {report.kernel_dropped}"
    for note in report.notes:
        yield f"note: {note}"


def _where(transport: str, vlans: Sequence[int]) -> str:
    return TRANSPORTS.get(transport, transport) + "".join(f" VLAN {vlan}" for vlan in vlans)


def _domains(domains: Sequence[Domain]) -> tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]:
    heads = ("DOMAIN", "SDOID", "TRANSPORT", "MASTERS", "ASKING", "DELAY", "MESSAGES", "TLVS")
    rows = [
        (
            str(each.domain),
            f"{each.sdo:#05x}",
            _where(each.transport, each.vlans),
            str(each.masters),
            str(each.requesters),
            ", ".join(each.mechanisms) or "-",
            str(sum(each.messages.values())),
            ", ".join(f"{name} {count}" for name, count in each.tlvs.items()) or "-",
        )
        for each in domains
    ]
    return heads, rows, ("MASTERS", "ASKING", "MESSAGES")


def _profiles(domains: Sequence[Domain]) -> Iterator[str]:
    for domain in domains:
        where = f"domain {domain.domain} on {_where(domain.transport, domain.vlans)}"
        if not domain.profiles:
            yield f"  {where}: no profile recognised"
        for profile in domain.profiles:
            yield f"  {where}: {profile.name} ({profile.certainty}: {'; '.join(profile.evidence)})"


def _masters(masters: Sequence[Master]) -> tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]:
    heads = (
        "PORT",
        "DOMAIN",
        "GRANDMASTER",
        "CLASS",
        "ACCURACY",
        "PRIORITY",
        "STEPS",
        "UTC OFFSET",
        "SYNC",
        "ADDRESS",
        "",
    )
    rows = []
    for each in masters:
        known = each.utc_offset_valid and each.ptp_timescale
        utc = "-" if each.utc_offset_s is None else f"{each.utc_offset_s} s" + ("" if known else ", not valid")
        step = "-" if each.two_step is None else "two-step" if each.two_step else "one-step"
        rows.append(
            (
                each.port,
                str(each.domain),
                each.grandmaster or "-",
                _number(each.clock_class),
                "-" if each.clock_accuracy is None else f"{each.clock_accuracy:#04x}",
                "-" if each.priority1 is None else f"{each.priority1}/{each.priority2}",
                _number(each.steps_removed),
                utc,
                step,
                ", ".join(each.addresses[:2]),
                "best" if each.best else "",
            )
        )
    return heads, rows, ("DOMAIN", "CLASS", "STEPS")


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _streams(streams: Sequence[Stream]) -> tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]:
    heads = (
        *("FROM", "DOMAIN", "MESSAGE", "TO", "COUNT", "INTERVAL", "ANNOUNCED", "JITTER"),
        *("LONGEST", "LOST", "TWICE", "LATE"),
    )
    rows = [
        (
            each.source.partition(" ")[0],
            str(each.domain),
            each.message,
            each.destination or "-",
            str(each.count),
            "-" if each.interval_s is None else size_text(each.interval_s),
            "-" if each.announced_interval_s is None else size_text(each.announced_interval_s),
            "-" if each.spacing is None or each.spacing.sd_s is None else size_text(each.spacing.sd_s),
            size_text(each.longest_silence_s) if each.count > 1 else "-",
            str(each.lost),
            str(each.repeated),
            str(each.out_of_order),
        )
        for each in streams
    ]
    return heads, rows, ("DOMAIN", *heads[4:])


def _requesters(report: CaptureReport) -> tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]:
    heads = ("PORT", "DOMAIN", "DELAY", "QUESTIONS", "ANSWERED", "UNANSWERED", "BY")
    rows = [
        (
            each.port,
            str(each.domain),
            each.mechanism,
            str(each.requests),
            str(each.answered),
            str(each.unanswered),
            ", ".join(each.answered_by[:3]) or "nobody that was seen",
        )
        for each in report.requesters
    ]
    return heads, rows, ("DOMAIN", "QUESTIONS", "ANSWERED", "UNANSWERED")


def _corrections(masters: Sequence[Master]) -> tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]:
    heads = ("FROM", "DOMAIN", "MESSAGE", "COUNT", "NOT ZERO", "MEAN", "SMALLEST", "LARGEST")
    rows = [
        (
            master.port,
            str(master.domain),
            each.message,
            str(each.values.count),
            str(each.not_zero),
            *(size_text(value) for value in (each.values.mean_s, each.values.min_s, each.values.max_s)),
        )
        for master in masters
        for each in master.corrections
        if each.not_zero
    ]
    return heads, rows, ("DOMAIN", *heads[3:])


def _servers(report: CaptureReport) -> tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]:
    heads = (
        "SERVER",
        "VERSION",
        "LEAP",
        "STRATUM",
        "REFERENCE",
        "ROOT DELAY",
        "ROOT DISPERSION",
        "REPLIES",
        "CLIENTS",
        "AUTHENTICATION",
    )
    rows = [
        (
            each.server,
            str(each.version),
            str(each.leap),
            str(each.stratum),
            each.reference_id or "-",
            size_text(each.root_delay_s),
            size_text(each.root_dispersion_s),
            str(each.replies),
            str(each.clients),
            ", ".join(each.authentication) or "-",
        )
        for each in report.ntp_servers
    ]
    return heads, rows, ("VERSION", "LEAP", "STRATUM", "ROOT DELAY", "ROOT DISPERSION", "REPLIES", "CLIENTS")


def _associations(report: CaptureReport) -> tuple[Sequence[str], Sequence[tuple[str, ...]], Sequence[str]]:
    heads = (
        "CLIENT",
        "SERVER",
        "REQUESTS",
        "REPLIES",
        "UNANSWERED",
        "BASIC",
        "INTERLEAVED",
        "POLL",
        "INTERVAL",
        "CLIENT'S CLOCK",
    )
    rows = [
        (
            each.client,
            each.server,
            str(each.requests),
            str(each.replies),
            str(each.unanswered),
            str(each.basic),
            str(each.interleaved),
            "-" if each.poll_s is None else f"{each.poll_s:g} s",
            "-" if each.interval_s is None else size_text(each.interval_s),
            _limits(each.client_offset_limits) if each.client_clock == "told" else each.client_clock or "-",
        )
        for each in report.associations
    ]
    return heads, rows, heads[2:9]


def _limits(limits: Limits) -> str:
    low, high = limits.at_least_s, limits.at_most_s
    if low is not None and high is not None and low <= high:
        return f"{offset_text(low)} to {offset_text(high)}"
    if low is not None and high is None:
        return f"at least {offset_text(low)}"
    return f"at most {offset_text(high)}" if high is not None and low is None else "-"


SCALES = {
    "ptp": "UTC, as announced",
    "utc": "UTC",
    "tai": "TAI, as declared",
    "arbitrary": "arbitrary",
    "local": "local",
}


def _offset_row(each: TwoWay) -> tuple[str, ...]:
    mean, spread = "-", "-"
    if each.offset is not None:
        mean = offset_text(each.offset.mean_s)
        spread = "-" if each.offset.sd_s is None else size_text(each.offset.sd_s)
    return (
        each.clock,
        each.mechanism,
        each.requester,
        str(each.exchanges),
        mean,
        spread,
        "-" if each.best_offset_s is None else offset_text(each.best_offset_s),
        "-" if each.best_bound_s is None else size_text(each.best_bound_s),
        size_text(each.round_trip.min_s),
        size_text(each.round_trip.mean_s),
        SCALES.get(each.timescale, each.timescale) if each.offset is not None else each.note,
    )


def _offsets(report: CaptureReport) -> Iterator[str]:
    heads = (
        *("CLOCK", "BY", "ASKED BY", "N", "OFFSET (MEAN)", "SD", "OFFSET (BEST)", "BOUND"),
        *("ROUND TRIP (MIN)", "(MEAN)", "SCALE"),
    )
    rows = [_offset_row(each) for each in report.exchanges]
    if rows:
        yield from _table("Two-way offsets: clock minus the capture's clock", (heads, rows, heads[3:10]))
        yield "  Best: the exchange with the shortest round trip between the capture point and the clock. The bound holds at the"
        yield "  capture point; what the capture's own clock is wrong by is not in it, and cancels in the difference of two."
    both = {each.clock.partition(" ")[0] for each in report.exchanges if each.offset is not None}
    alone = [each for each in report.masters if each.port not in both and _limits(each.offset_limits) != "-"]
    if alone:
        yield ""
        yield "One direction only: limits of a master's offset from the capture's clock"
        for each in alone:
            scale = SCALES.get(each.timescale, each.timescale)
            yield f"  {each.port} domain {each.domain}: {_limits(each.offset_limits)} ({scale})"


def _found(report: CaptureReport) -> Iterator[str]:
    yield ""
    if not report.findings:
        yield "Nothing wrong was found."
        return
    counts = Counter(each.severity for each in report.findings)
    yield f"Found: {counts[Severity.FAULT]} kinds of faults, {counts[Severity.NOTICE]} of notices"
    for each in report.findings[:ROWS]:
        meaning = MEANINGS[each.name]
        detail = f" ({each.detail})" if each.detail else ""
        yield f"  {each.severity}: {each.name}, {each.count} times, {each.subject}{detail}"
        yield f"      {meaning.text}: {meaning.remedy}"
    if len(report.findings) > ROWS:
        yield f"  ... and {len(report.findings) - ROWS} more: --json has all"
