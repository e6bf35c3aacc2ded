"""What a PTP stack says of itself, as rows: one of its clock (`ptp_clock`) and one of each port (`ptp_port`).

Rule: these are the stack's claims. They stand beside what the probe measures, in measurements of their own, and never become a
time error. Signs and units are converted here, once: the stack's offset is its clock minus its master, ours master minus clock, as
`offset_s` is; TimeIntervals become seconds. What the stack did not say is an absent field. Pure.

Sources: IEEE 1588-2019 tables 9 (delayMechanism), 20 (portState), clause 8.2 (data sets); linuxptp's pmc(8) for the sets named _NP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesync.exchange.ptp_facts import CLOCK_ACCURACY_S, leap_of
from timesync.model import Part
from timesync.records import Field
from timesync.wire.ptp.header import Flag, MessageType, identity_text
from timesync.wire.ptp.management import (
    CurrentDataSet,
    DefaultDataSet,
    ManagementId,
    ParentDataSet,
    PortDataSet,
    PortDataSetNp,
    PortProperties,
    PortStats,
    TimePropertiesDataSet,
    TimeStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from timesync.exchange.ptp_management import ClockReport
    from timesync.model import FieldValue
    from timesync.wire.ptp.management import DataSet

__all__ = ["CLOCK_FIELDS", "CLOCK_STATES", "PORT_FIELDS", "PORT_STATES", "PTP_CLOCK", "PTP_PORT", "parts_of"]

PTP_CLOCK, PTP_PORT = "ptp_clock", "ptp_port"

PORT_STATES: Mapping[int, str] = {
    1: "initializing",
    2: "faulty",
    3: "disabled",
    4: "listening",
    5: "pre_master",
    6: "master",
    7: "passive",
    8: "uncalibrated",
    9: "slave",
}
"""portState (table 20)."""

CLOCK_STATES = ("slave", "uncalibrated", "grandmaster", "passive", "listening", "faulty")
"""What a clock is, by its ports: the first that applies. `grandmaster`: a port is master, and it names itself as grandmaster;
`uncalibrated`: a client that runs free stays so for ever; `faulty`: no port is any of the others."""

DELAY_MECHANISMS = {1: "e2e", 2: "p2p", 3: "common_p2p", 4: "special", 0xFE: "none"}
STAMPINGS = {0: "software", 1: "hardware", 2: "legacy", 3: "onestep", 4: "p2p1step"}
COUNTED = {kind: kind.name.lower() for kind in MessageType}


def _s(meaning: str) -> Field:
    return Field("float", "s", meaning)


def _int(meaning: str, unit: str = "") -> Field:
    return Field("int", unit, meaning)


def _str(meaning: str) -> Field:
    return Field("str", "", meaning)


def _bool(meaning: str) -> Field:
    return Field("bool", "", meaning)


CLOCK_FIELDS: Mapping[str, Field] = {
    "clock_state": _str(f"what the clock is, by its ports, the first that applies of: {', '.join(CLOCK_STATES)}"),
    "master_offset_s": _s(
        "its master minus the clock, the sign of offset_s (the stack's offsetFromMaster is the opposite)"
    ),
    "mean_path_delay_s": _s("path delay to its master (end-to-end)"),
    "steps_removed": _int("communication paths between the clock and its grandmaster"),
    "parent_port": _str("the port that the clock follows"),
    "grandmaster": _str("clock identity of its grandmaster"),
    "grandmaster_class": _int("clockClass of its grandmaster"),
    "grandmaster_accuracy": _int("clockAccuracy of its grandmaster, its code"),
    "grandmaster_accuracy_s": _s("the same as a limit; absent where the code names none"),
    "grandmaster_variance": _int("offsetScaledLogVariance of its grandmaster"),
    "grandmaster_priority1": _int("priority1 of its grandmaster"),
    "grandmaster_priority2": _int("priority2 of its grandmaster"),
    "clock_class": _int("its own clockClass"),
    "clock_accuracy": _int("its own clockAccuracy, its code"),
    "offset_scaled_log_variance": _int("its own offsetScaledLogVariance"),
    "priority1": _int("its own priority1"),
    "priority2": _int("its own priority2"),
    "slave_only": _bool("whether it never becomes master"),
    "number_ports": _int("ports that it has"),
    "domain": _int("its domain"),
    "utc_offset_s": _int("currentUtcOffset, TAI minus UTC", "s"),
    "utc_offset_valid": _bool("currentUtcOffsetValid"),
    "ptp_timescale": _bool("whether the time scale is PTP's"),
    "time_traceable": _bool("timeTraceable"),
    "frequency_traceable": _bool("frequencyTraceable"),
    "leap": _int("1 leap61, 2 leap59, 0 neither"),
    "time_source": _int("timeSource, its code"),
    "grandmaster_present": _bool("whether it follows a grandmaster that is another clock (TIME_STATUS_NP)"),
    "ingress_time_ns": _int("when its newest Sync came, on the stack's own time scale (TIME_STATUS_NP)", "ns"),
    "gm_time_base_indicator": _int("gPTP: changes with each step of the grandmaster (TIME_STATUS_NP)"),
    "last_gm_phase_change_s": _s("gPTP: the grandmaster's newest step (TIME_STATUS_NP)"),
    "cumulative_rate_offset": Field("float", "", "gPTP: grandmaster's rate over the clock's, minus 1 (TIME_STATUS_NP)"),
    "not_offered": _str("data sets that the clock says it does not have"),
    "address": _str("where it was asked"),
    "reason": _str("why a poll gave no report; absent where it did"),
    "detail": _str("the reason's particulars, for a person"),
    "sent": _bool("whether a question was sent for a poll that gave no report"),
    "polls": _int("how many polls without a report this row tells of"),
    "claim": _str("as reason: nothing is claimed by a poll that gave no report"),
    "clock_epoch": _int("count of steps and suspends of the probe's clock since the probe began"),
}

PORT_FIELDS: Mapping[str, Field] = {
    "port_state": _str(f"portState: {', '.join(PORT_STATES.values())}"),
    "interface": _str("its network interface (PORT_PROPERTIES_NP)"),
    "timestamping": _str(
        "where it takes its stamps: software, hardware, legacy, onestep, p2p1step (PORT_PROPERTIES_NP)"
    ),
    "delay_mechanism": _str("e2e, p2p, common_p2p, special or none"),
    "peer_mean_path_delay_s": _s("delay of its link (peer-to-peer)"),
    "log_announce_interval": _int("log2 of the Announce interval in s"),
    "announce_receipt_timeout": _int("Announce intervals of silence before a master is given up"),
    "log_sync_interval": _int("log2 of the Sync interval in s"),
    "log_min_delay_req_interval": _int("log2 of the least interval of Delay_Req in s"),
    "log_min_pdelay_req_interval": _int("log2 of the least interval of Pdelay_Req in s"),
    "version": _int("PTP version"),
    "as_capable": _bool("gPTP: whether the neighbour can run it (PORT_DATA_SET_NP)"),
    "neighbor_delay_threshold_s": _s("gPTP: greatest delay of its link (PORT_DATA_SET_NP)"),
    **{
        f"rx_{name}": _int(f"{name} messages received since the stack began (PORT_STATS_NP)")
        for name in COUNTED.values()
    },
    **{f"tx_{name}": _int(f"{name} messages sent since the stack began (PORT_STATS_NP)") for name in COUNTED.values()},
    "address": _str("where it was asked"),
    "clock_epoch": _int("count of steps and suspends of the probe's clock since the probe began"),
}


def _interval_s(scaled: int) -> float:
    """A TimeInterval (2^-16 ns) in seconds."""
    return scaled / 65536e9


def _default(data: DefaultDataSet) -> Mapping[str, FieldValue | None]:
    return {
        "clock_class": data.clock_class,
        "clock_accuracy": data.clock_accuracy,
        "offset_scaled_log_variance": data.offset_scaled_log_variance,
        "priority1": data.priority1,
        "priority2": data.priority2,
        "slave_only": bool(data.flags & 2),
        "number_ports": data.number_ports,
        "domain": data.domain,
    }


def _current(data: CurrentDataSet) -> Mapping[str, FieldValue | None]:
    return {
        "steps_removed": data.steps_removed,
        # Of a clock that follows nobody these two are remains, or zeros that nobody measured.
        "master_offset_s": -_interval_s(data.offset_from_master) if data.steps_removed else None,
        "mean_path_delay_s": _interval_s(data.mean_path_delay) if data.steps_removed else None,
    }


def _parent(data: ParentDataSet) -> Mapping[str, FieldValue | None]:
    return {
        "parent_port": str(data.parent),
        "grandmaster": identity_text(data.grandmaster),
        "grandmaster_class": data.clock_class,
        "grandmaster_accuracy": data.clock_accuracy,
        "grandmaster_accuracy_s": CLOCK_ACCURACY_S.get(data.clock_accuracy),
        "grandmaster_variance": data.offset_scaled_log_variance,
        "grandmaster_priority1": data.priority1,
        "grandmaster_priority2": data.priority2,
    }


def _time_properties(data: TimePropertiesDataSet) -> Mapping[str, FieldValue | None]:
    return {
        "utc_offset_s": data.current_utc_offset_s,
        "utc_offset_valid": bool(data.flags & Flag.CURRENT_UTC_OFFSET_VALID),
        "ptp_timescale": bool(data.flags & Flag.PTP_TIMESCALE),
        "time_traceable": bool(data.flags & Flag.TIME_TRACEABLE),
        "frequency_traceable": bool(data.flags & Flag.FREQUENCY_TRACEABLE),
        "leap": leap_of(data.flags),
        "time_source": data.time_source,
    }


def _time_status(data: TimeStatus) -> Mapping[str, FieldValue | None]:
    present = bool(data.gm_present)
    upper = data.last_gm_phase_change_upper
    phase = (
        upper - (upper >> 15 << 16) << 64 | data.last_gm_phase_change_ns
    ) << 16 | data.last_gm_phase_change_fraction
    return {
        "grandmaster_present": present,
        "ingress_time_ns": data.ingress_time_ns if present else None,
        "gm_time_base_indicator": data.gm_time_base_indicator,
        "last_gm_phase_change_s": _interval_s(phase),
        "cumulative_rate_offset": data.cumulative_scaled_rate_offset / 2.0**41 if present else None,
    }


def _port(data: PortDataSet) -> Mapping[str, FieldValue | None]:
    mechanism = DELAY_MECHANISMS.get(data.delay_mechanism, str(data.delay_mechanism))
    return {
        "port_state": PORT_STATES.get(data.state, str(data.state)),
        "delay_mechanism": mechanism,
        "peer_mean_path_delay_s": _interval_s(data.peer_mean_path_delay) if mechanism == "p2p" else None,
        "log_announce_interval": data.log_announce_interval,
        "announce_receipt_timeout": data.announce_receipt_timeout,
        "log_sync_interval": data.log_sync_interval,
        "log_min_delay_req_interval": data.log_min_delay_req_interval,
        "log_min_pdelay_req_interval": data.log_min_pdelay_req_interval,
        "version": data.version & 0x0F,
    }


def _port_np(data: PortDataSetNp) -> Mapping[str, FieldValue | None]:
    return {
        "as_capable": bool(data.as_capable),
        "neighbor_delay_threshold_s": data.neighbor_prop_delay_threshold_ns / 1e9,
    }


def _properties(data: PortProperties) -> Mapping[str, FieldValue | None]:
    return {
        "interface": printable(data.interface),
        "timestamping": STAMPINGS.get(data.timestamping, str(data.timestamping)),
    }


def printable(octets: bytes) -> str:
    """A name from the network as text that can be stored and shown: what is not printable becomes a question mark."""
    return "".join(each if each.isprintable() else "?" for each in octets.decode("utf-8", "replace"))


def _stats(data: PortStats) -> Mapping[str, FieldValue | None]:
    # 64-bit counters are stored as signed integers.
    counted = {f"rx_{name}": data.received[kind] for kind, name in COUNTED.items()}
    counted |= {f"tx_{name}": data.sent[kind] for kind, name in COUNTED.items()}
    return {name: count if count < 1 << 63 else None for name, count in counted.items()}


READERS: Mapping[ManagementId, Callable[..., Mapping[str, FieldValue | None]]] = {
    ManagementId.DEFAULT_DATA_SET: _default,
    ManagementId.CURRENT_DATA_SET: _current,
    ManagementId.PARENT_DATA_SET: _parent,
    ManagementId.TIME_PROPERTIES_DATA_SET: _time_properties,
    ManagementId.TIME_STATUS_NP: _time_status,
    ManagementId.PORT_DATA_SET: _port,
    ManagementId.PORT_DATA_SET_NP: _port_np,
    ManagementId.PORT_PROPERTIES_NP: _properties,
    ManagementId.PORT_STATS_NP: _stats,
}


def _fields(sets: Mapping[ManagementId, DataSet]) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {}
    for identifier, data in sets.items():
        reader = READERS.get(identifier)
        if reader is not None:
            fields.update((name, value) for name, value in reader(data).items() if value is not None)
    return fields


def _clock_state(report: ClockReport) -> str:
    ports = [sets.get(ManagementId.PORT_DATA_SET) for sets in report.ports.values()]
    states = {PORT_STATES.get(port.state) for port in ports if isinstance(port, PortDataSet)}
    parent = report.sets.get(ManagementId.PARENT_DATA_SET)
    if "master" in states and isinstance(parent, ParentDataSet) and parent.grandmaster == report.clock:
        states.add("grandmaster")
    return next((state for state in CLOCK_STATES if state in states), "faulty")


def parts_of(report: ClockReport) -> Sequence[Part]:
    """The rows of one clock: its own, then those of its ports by their numbers."""
    identity = identity_text(report.clock)
    fields = _fields(report.sets)
    if report.ports:
        fields["clock_state"] = _clock_state(report)
    if report.refused:
        fields["not_offered"] = ", ".join(sorted(each.name for each in report.refused))
    parts = [Part(PTP_CLOCK, {"clock": identity}, fields)]
    for number, sets in sorted(report.ports.items()):
        parts.append(Part(PTP_PORT, {"clock": identity, "port": str(number)}, _fields(sets)))
    return parts
