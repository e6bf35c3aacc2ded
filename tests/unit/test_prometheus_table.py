"""The table of metrics keeps Prometheus' conventions, and its page is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from timesync.export.document import metrics_page
from timesync.export.events import EVENTS
from timesync.export.families import Kind, Subject
from timesync.export.metrics import METRICS

PACKAGE = Path(__file__).resolve().parents[2] / "timesync"
PAGE = Path(__file__).resolve().parents[2] / "deploy" / "METRICS.md"
BASE_UNITS = ("_seconds", "_bytes", "_ratio", "_total", "_info", "_records")
WITHOUT_UNIT = {
    "timesync_holdover_state",
    *(
        f"timesync_{name}{end}"
        for name in ("adev", "oadev", "mdev", "hdev", "ohdev")
        for end in ("", "_lower", "_upper")
    ),
    "timesync_reference_standing",
    "timesync_alerts_firing",
    "timesync_leap_disagreement",
    "timesync_stratum",
    "timesync_leap",
    "timesync_ptp_clock_class",
    "timesync_ptp_clock_accuracy",
    "timesync_ptp_offset_scaled_log_variance",
    "timesync_ptp_priority1",
    "timesync_ptp_priority2",
    "timesync_ptp_steps_removed",
    "timesync_ptp_utc_offset_valid",
    "timesync_ptp_time_traceable",
    "timesync_ptp_frequency_traceable",
    *(
        f"timesync_ptp_stack_{name}"
        for name in ("steps_removed", "clock_class", "grandmaster_class", "grandmaster_present", "utc_offset_valid")
    ),
    *(
        f"timesync_ptp_stack_{name}"
        for name in (
            "ptp_timescale",
            "time_traceable",
            "frequency_traceable",
            "clock_state",
            "port_state",
            "as_capable",
        )
    ),
    "timesync_timestamping",
    "timesync_utc_claim",
    "timesync_utc_status",
    "timesync_tie_claim",
    "timesync_utc_claim_carried",
    "timesync_authenticated",
    "timesync_spool_writable",
    "timesync_sink_available",
    "timesync_targets",
    "timesync_stability_targets",
    "process_open_fds",
    "process_max_fds",
}


def test_the_page_of_metrics_is_made_from_the_table():
    made = metrics_page()
    assert PAGE.read_text(encoding="utf-8") == made, "run: python -m timesync.export.document > deploy/METRICS.md"


@pytest.mark.parametrize("entry", METRICS.values(), ids=lambda entry: entry.name)
def test_a_metric_keeps_the_naming_conventions(entry):
    assert (entry.kind is Kind.COUNTER) == entry.name.endswith("_total")
    assert entry.name.endswith(BASE_UNITS) or entry.name in WITHOUT_UNIT
    assert entry.name.startswith("process_" if entry.subject is Subject.PROCESS else "timesync_")
    assert entry.help.endswith(".")
    assert len(entry.labels) == len(set(entry.labels))
    # Prometheus adds these itself; facts of the server are values, never labels.
    assert not {"job", "instance", "le", "quantile", "stratum", "leap"} & set(entry.labels)


def test_a_table_cell_of_the_page_holds_no_column_mark():
    assert all("|" not in entry.help for entry in METRICS.values())


def test_each_event_of_the_leap_service_and_of_references_has_its_words():
    told = {
        found
        for name in ("leapservice.py", "leapwatch.py", "reference/references.py", "reference/agreement.py")
        for found in re.findall(
            r'"((?:leap|utc_offset|time_scale|references?)_[a-z_]+)"', (PACKAGE / name).read_text(encoding="utf-8")
        )
        if found != "reference_difference"
    }
    ends = {"utc_offset_right", "time_scale_right", "reference_outvoted_over", "references_disagree_over"}
    assert told - ends - {"utc_offset_s", "utc_offset_valid"} <= set(EVENTS)
    assert all("|" not in text for words in EVENTS.values() for text in words)
