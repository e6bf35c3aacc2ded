"""What is allowed in a configuration and still worth a thought.

Rule: a remark never refuses anything; it says what will follow. The present instant is a parameter.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from timesync.config.wording import number_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ipaddress import IPv4Address, IPv6Address

    from timesync.settings import ProbeSettings, TargetSettings, Tie

__all__ = ["Remark", "remarks"]

# RFC 5905 section 7.2: the shortest poll of a client that follows the standard is 2^4 s.
SHORTEST_STANDARD_POLL_S = 16.0
NS = 1_000_000_000
# What a row takes in the spool, measured with those of the demonstration network: 1.97 kB in a full file, 2.2 kB until it is full.
RECORD_BYTES = 2200
LEAST_SPOOL_HOURS = 24.0


@dataclass(frozen=True, slots=True)
class Remark:
    """Something worth a thought: where, and what follows from it."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def remarks(settings: ProbeSettings, now_ns: int) -> tuple[Remark, ...]:
    """Everything worth a thought in good settings. `now_ns` is the present (Unix ns)."""
    found = [remark for look in LOOKS for remark in look(settings)]
    return (*found, *_ended_ties(settings, now_ns))


def _named(targets: Iterable[TargetSettings]) -> str:
    names = [target.name for target in targets]
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _no_claim(settings: ProbeSettings) -> Iterator[Remark]:
    alone = [target for target in settings.targets if target.reference is None and target.tie is None]
    if alone:
        text = f"no reference for {_named(alone)}: offsets of this machine's clock, without a UTC(k) claim"
        yield Remark("[[target]]", f"{text}; give a target realises, or declare [local_reference]")


def _often(settings: ProbeSettings) -> Iterator[Remark]:
    often = [
        t for t in settings.targets if t.interval_s / t.burst < SHORTEST_STANDARD_POLL_S and not _is_own(t.address)
    ]
    if often:
        text = f"{_named(often)}: asked more often than every {number_text(SHORTEST_STANDARD_POLL_S)} s"
        yield Remark("[[target]]", f"{text}; do so only where the server's operator agrees")


def _same_clock(settings: ProbeSettings) -> Iterator[Remark]:
    same: dict[tuple[str, str, str], list[TargetSettings]] = defaultdict(list)
    for target in settings.targets:
        same[target.kind, target.address, repr(sorted(target.options.items()))].append(target)
    for targets in same.values():
        if len(targets) > 1:
            yield Remark(
                "[[target]]", f"{_named(targets)} have one address and the same options: it is asked that often"
            )


def _stale_after_one_loss(settings: ProbeSettings) -> Iterator[Remark]:
    for target in settings.targets:
        if target.tie is not None and 2 * target.interval_s > settings.reference_max_age_s:
            age = number_text(settings.reference_max_age_s)
            yield Remark(
                f'[[target]] "{target.name}"', f"one lost reply makes this reference stale (max_age_s is {age})"
            )


def _secrets_in_the_clear(settings: ProbeSettings) -> Iterator[Remark]:
    for sink in settings.influx:
        parts = urlsplit(sink.url)
        where = f'[[influxdb]] "{sink.name}"'
        has_secret = sink.token_file is not None or sink.password_file is not None
        if parts.scheme == "http" and has_secret and not _is_loopback(parts.hostname or ""):
            yield Remark(where, "the secret travels over http, readable on the way; use https")
        if parts.scheme == "https" and not sink.verify_tls:
            yield Remark(where, "the server's certificate is not checked: whoever answers gets the secret; use ca_file")


def _nowhere_to_go(settings: ProbeSettings) -> Iterator[Remark]:
    if not settings.influx and not settings.history.enabled:
        yield Remark("[history]", "neither a history nor a database: nothing that is measured is kept")


def _small_spool(settings: ProbeSettings) -> Iterator[Remark]:
    rate_hz = sum(target.burst / target.interval_s for target in settings.targets)
    hours = settings.spool.max_bytes / (RECORD_BYTES * rate_hz) / 3600.0
    if hours < LEAST_SPOOL_HOURS:
        text = f"max_bytes holds the records of {number_text(round(hours, 1))} hours ({number_text(round(rate_hz, 1))} a second)"
        yield Remark("[spool]", f"{text}: what a database away for longer has not got is dropped, and counted")


def _ended_ties(settings: ProbeSettings, now_ns: int) -> Iterator[Remark]:
    ties: list[tuple[str, Tie]] = [(f'[[target]] "{t.name}"', t.tie) for t in settings.targets if t.tie is not None]
    if settings.local_reference is not None:
        ties.append(("[local_reference]", settings.local_reference.tie))
    for where, tie in ties:
        if tie.valid_until_ns is not None and tie.valid_until_ns <= now_ns:
            days = (now_ns - tie.valid_until_ns) // (86_400 * NS)
            yield Remark(
                where, f"its tie to {tie.realises} ended {days} days ago: no claim is made until it is renewed"
            )


def _is_loopback(address: str) -> bool:
    """Whether an address, with or without a port, is this machine itself."""
    host = _host(address)
    literal = _literal(host)
    return host == "localhost" or host.endswith(".localhost") or (literal is not None and literal.is_loopback)


def _is_own(address: str) -> bool:
    """Whether an address is this machine's or in a private network: a server of the site's own."""
    literal = _literal(_host(address))
    return _is_loopback(address) or (literal is not None and literal.is_private)


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].split("]", maxsplit=1)[0]
    return address.split(":", maxsplit=1)[0] if address.count(":") == 1 else address


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


LOOKS: tuple[Callable[[ProbeSettings], Iterator[Remark]], ...] = (
    _no_claim,
    _often,
    _same_clock,
    _stale_after_one_loss,
    _secrets_in_the_clear,
    _nowhere_to_go,
    _small_spool,
)
