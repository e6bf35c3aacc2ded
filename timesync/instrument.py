"""An instrument kept at arm's length: what it raises, and what it returns that is no outcome.

Rule: an instrument is foreign code. Whatever it does, each poll gets an account of itself and the daemon goes on: what cannot be
used becomes a fault in words, which the caller stores as `probe_failed`, and the log has the trace. Nothing that is not a number
gets past here.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from timesync.errors import TimesyncError
from timesync.model import ClockOffset, Exchange, Missed, Part, PtpFacts, Reported, ServerFacts, Timestamping
from timesync.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from timesync.model import Outcome
    from timesync.plugin import Prober

__all__ = ["CLOSE_S", "OPEN_S", "InstrumentError", "Told", "Unopened", "ask", "fault_text"]

log = logging.getLogger(__name__)

# An instrument must not wait for the network to open or close (see timesync/plugin.py): after this long it has failed.
OPEN_S = 10.0
CLOSE_S = 5.0
LONGEST_TEXT = 300
# Instants are stored as 64-bit integers.
INSTANTS = range(-(2**63), 2**63)
# What timesync itself writes: no report is mixed with it.
OWN_MEASUREMENTS = {"time_error", "event", "stability"}


class InstrumentError(TimesyncError):
    """An instrument did what its contract does not allow."""


class Told(NamedTuple):
    """What an instrument told that can be used, and what is wrong with the rest ("" if nothing is)."""

    outcomes: Sequence[Outcome]
    fault: str = ""


def fault_text(error: BaseException) -> str:
    """An error in one line that a row can hold."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_TEXT]


async def ask(name: str, call: Callable[[], Awaitable[object]]) -> Told:
    """What the instrument `name` says when it is asked to poll or to close; a fault instead of any exception of its own."""
    try:
        told = await call()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # we are the ones who end it
        log.exception("%s: the instrument cancelled its own call", name)
        return Told((), fault_text(error))
    except Exception as error:
        log.exception("%s: the instrument failed", name)
        return Told((), fault_text(error))
    return _sifted(name, told)


def _sifted(name: str, told: object) -> Told:
    if not isinstance(told, Sequence) or isinstance(told, str | bytes):
        fault = f"the instrument returned {_shown(told)}, not a list of outcomes"
        log.error("%s: %s", name, fault)
        return Told((), fault)
    faults = [_fault(outcome) for outcome in told]
    if not any(faults):
        return Told(told)
    first = next(fault for fault in faults if fault)
    log.error("%s: an outcome of the instrument cannot be used: %s", name, first)
    return Told([outcome for outcome, fault in zip(told, faults, strict=True) if not fault], first)


def _shown(value: object) -> str:
    """Foreign values may fail to show themselves as well."""
    try:
        return repr(value)[:80]
    except Exception:  # noqa: BLE001 - the type is told instead
        return f"a {type(value).__name__}"


def _fault(outcome: Any) -> str:
    """What is wrong with an outcome; "" if it can be used."""
    look = LOOKS.get(type(outcome))
    if look is None:
        return f"{_shown(outcome)} is no Exchange, ClockOffset, Missed or Reported"
    try:
        return look(outcome) or _common_fault(outcome)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return fault_text(error)


def _common_fault(outcome: Outcome) -> str:
    if type(outcome.target) is not str or not outcome.target:
        return f"target is {_shown(outcome.target)}, not a name"
    if type(outcome.protocol) is not str or not outcome.protocol:
        return f"protocol is {_shown(outcome.protocol)}, not a name"
    if type(outcome.clock_epoch) is not int:
        return "clock_epoch is not an integer"
    facts = getattr(outcome, "facts", None)
    return "" if facts is None else _facts_fault(facts)


def _facts_fault(facts: ServerFacts | PtpFacts) -> str:
    if type(facts) not in (ServerFacts, PtpFacts):
        return f"facts are {_shown(facts)}"
    return _magnitude_fault("facts.upstream_s", float(facts.upstream_s)) or _magnitude_fault(
        "facts.precision_s", float(facts.precision_s or 0.0)
    )


def _instant_fault(name: str, value: object) -> str:
    if type(value) is int and value in INSTANTS:
        return ""
    return f"{name} is {_shown(value)}, not an instant in integer ns"


def _magnitude_fault(name: str, value: float) -> str:
    if type(value) is float and math.isfinite(value) and value >= 0.0:
        return ""
    return f"{name} is {_shown(value)}, not a finite float of 0 or more"


def _exchange_fault(exchange: Exchange) -> str:
    instants = (exchange.t1_ns, exchange.t2_ns, exchange.t3_ns, exchange.t4_ns)
    for value in instants:
        if type(value) is not int or value not in INSTANTS:
            return _instant_fault(f"t{instants.index(value) + 1}_ns", value)
    if type(exchange.tx_timestamping) is not Timestamping or type(exchange.rx_timestamping) is not Timestamping:
        return "its timestamping is none that is known"
    if (
        type(exchange.facts) not in (ServerFacts, PtpFacts)
        or type(exchange.address) is not str
        or type(exchange.mode) is not str
    ):
        return "facts, address or mode is missing"
    return ""


def _offset_fault(offset: ClockOffset) -> str:
    if type(offset.offset_s) is not float or not math.isfinite(offset.offset_s):
        return f"offset_s is {_shown(offset.offset_s)}, not a finite float"
    if type(offset.delay_s) is not float or not math.isfinite(offset.delay_s):
        return f"delay_s is {_shown(offset.delay_s)}, not a finite float"
    for name in ("bound_path_s", "bound_timestamping_s", "bound_oscillator_s", "upstream_s"):
        fault = _magnitude_fault(name, getattr(offset, name))
        if fault:
            return fault
    if type(offset.timestamping) is not Timestamping:
        return "its timestamping is none that is known"
    return _instant_fault("at_ns", offset.at_ns) or ("" if offset.exchange is None else _fault(offset.exchange))


def _missed_fault(missed: Missed) -> str:
    if type(missed.reason) is not Reason:
        return f"{_shown(missed.reason)} is no reason that is known"
    if type(missed.polls) is not int or missed.polls < 1:
        return f"polls is {_shown(missed.polls)}, not a number of polls"
    if type(missed.detail) is not str or type(missed.address) is not str or type(missed.sent) is not bool:
        return "detail, address or sent is of another type"
    return _instant_fault("at_ns", missed.at_ns)


def _reported_fault(reported: Reported) -> str:
    if type(reported.address) is not str or not isinstance(reported.parts, tuple):
        return "address or parts are of another type"
    for part in reported.parts:
        if type(part) is not Part or type(part.measurement) is not str or part.measurement in OWN_MEASUREMENTS:
            return f"{_shown(part)} is no row of a report"
        if not all(type(name) is str and type(text) is str and text for name, text in part.tags.items()):
            return f"a tag of {part.measurement} is no text"
        for name, value in part.fields.items():
            if type(value) not in (str, bool, int, float) or (type(value) is float and not math.isfinite(value)):
                return f"{name} is {_shown(value)}, which cannot be stored"
            if type(value) is int and value not in INSTANTS:
                return f"{name} does not fit 64 bits"
    return _instant_fault("at_ns", reported.at_ns)


# By type: what is looked at in each kind of outcome.
LOOKS: dict[type, Callable[..., str]] = {
    Exchange: _exchange_fault,
    ClockOffset: _offset_fault,
    Missed: _missed_fault,
    Reported: _reported_fault,
}


class Unopened:
    """Stands in for an instrument that failed when it was opened: each poll tries to open it again."""

    def __init__(self, open_it: Callable[[], Awaitable[Prober]]) -> None:
        self._open = open_it
        self._prober: Prober | None = None

    async def poll(self) -> Sequence[Outcome]:
        """Raises what opening it raises."""
        if self._prober is None:
            self._prober = await self._open()
        return await self._prober.poll()

    async def close(self) -> Sequence[Outcome]:
        """Close it if it could be opened meanwhile."""
        return () if self._prober is None else await self._prober.close()
