"""Sync and Follow_Up as they pass: matched by destination and number, in whichever order they come.

Rule: a Sync is used once its time of departure is known; a two-step one whose Follow_Up has not come when eight later ones have is
told as missing it. A Follow_Up of a Sync that said to be one-step shows that its flag is wrong.

Source: IEEE 1588-2019 clauses 9.5.9, 9.5.10, 11.2, 13.3.2.8 (twoStepFlag).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.capture.exchanges import UNITS_PER_NS, SyncPoint
from timesync.capture.findings import FindingName, Findings
from timesync.capture.ports import Half, Port, bound_dict
from timesync.capture.tally import Step
from timesync.wire.ptp.header import Flag, Timestamp

if TYPE_CHECKING:
    from timesync.wire.ptp.header import Header

__all__ = ["follow_up", "leftovers", "sync"]

WAITING = 8
# The flag octets interchanged make twoStepFlag (0x0200) look like leap59 (0x0002).
SWAPPED_TWO_STEP = 0x0002


def sync(port: Port, at_ns: int, header: Header, stamp: Timestamp, destination: str, findings: Findings) -> None:
    """A Sync that is no repetition."""
    port.syncs += 1
    half = Half(at_ns, stamp, header.correction, header.flags)
    key = (destination, header.sequence_id)
    early = port.early.pop(key, None)
    if header.flags & Flag.TWO_STEP:
        port.two_step = True
        if early is not None:
            findings.add(FindingName.FOLLOW_UP_BEFORE_SYNC, str(port), at_ns, f"sequenceId {header.sequence_id}")
            _complete(port, half, early, findings)
            return
        port.waiting[key] = half
        lost = bound_dict(port.waiting, WAITING)
        if lost is not None:
            _missing(port, lost, findings)
        return
    port.two_step = bool(port.two_step)
    if early is not None:
        _flag_is_wrong(port, half, header.sequence_id, findings)
        _complete(port, half, early, findings)
        return
    port.one_steps[key] = half
    older = bound_dict(port.one_steps, 1)
    if older is not None:
        _use_one_step(port, older, findings)


def follow_up(
    port: Port, at_ns: int, header: Header, stamp: Timestamp, destination: str, step: Step, findings: Findings
) -> None:
    """A Follow_Up; `step` says what its number is to those before it."""
    half = Half(at_ns, stamp, header.correction, header.flags)
    key = (destination, header.sequence_id)
    begun = port.waiting.pop(key, None)
    if begun is not None:
        _complete(port, begun, half, findings)
        return
    one_step = port.one_steps.pop(key, None)
    if one_step is not None:
        _flag_is_wrong(port, one_step, header.sequence_id, findings)
        _complete(port, one_step, half, findings)
        return
    if step is Step.REPEATED:
        return
    port.early[key] = half
    lost = bound_dict(port.early, WAITING)
    if lost is not None:
        findings.add(FindingName.FOLLOW_UP_WITHOUT_SYNC, str(port), lost.at_ns)


def leftovers(port: Port, end_ns: int, patience_ns: int, findings: Findings) -> None:
    """At the end: what still waits and is older than `patience_ns`."""
    for half in port.waiting.values():
        if end_ns - half.at_ns > patience_ns:
            _missing(port, half, findings)
    for half in port.early.values():
        # The capture may have begun between a Sync and its Follow_Up.
        if end_ns - half.at_ns > patience_ns and half.at_ns > port.first_ns:
            findings.add(FindingName.FOLLOW_UP_WITHOUT_SYNC, str(port), half.at_ns)
    for half in port.one_steps.values():
        _use_one_step(port, half, findings)
    port.waiting.clear()
    port.early.clear()
    port.one_steps.clear()


def _missing(port: Port, half: Half, findings: Findings) -> None:
    findings.add(FindingName.FOLLOW_UP_MISSING, str(port), half.at_ns)
    port.loss_times.add(half.at_ns, 1)


def _flag_is_wrong(port: Port, half: Half, number: int, findings: Findings) -> None:
    swapped = half.flags & SWAPPED_TWO_STEP
    name = FindingName.FLAG_OCTETS_SWAPPED if swapped else FindingName.TWO_STEP_FLAG_MISSING
    findings.add(name, f"Sync of {port}", half.at_ns, f"sequenceId {number}, flags {half.flags:#06x}")


def _use_one_step(port: Port, half: Half, findings: Findings) -> None:
    if half.stamp.seconds or half.stamp.nanoseconds:
        _complete(port, half, None, findings)


def _complete(port: Port, begun: Half, told: Half | None, findings: Findings) -> None:
    """A Sync whose departure is known: by its Follow_Up, or by itself."""
    stamp = told.stamp if told is not None else begun.stamp
    if not stamp.is_valid:
        findings.add(FindingName.INVALID_TIMESTAMP, str(port), begun.at_ns, f"{stamp.nanoseconds} ns")
        return
    correction = begun.correction + (told.correction if told is not None else 0)
    point = SyncPoint(begun.at_ns * UNITS_PER_NS, stamp.at_ns * UNITS_PER_NS + correction)
    port.latest = point
    port.one_way.left(point.left, point.passed)
