"""deploy/METRICS.md, made from the table of metrics: `python -m timesync.export.document > deploy/METRICS.md`.

Rule: the page is never edited by hand; a test compares it with the table. Pure, but for the last two lines.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from timesync.attribution.judge import Kind
from timesync.attribution.verdicts import SPECIAL, VERDICTS
from timesync.export.current import GRACE_S, LIFE_INTERVALS
from timesync.export.events import EVENTS
from timesync.export.families import SUBJECT_LABELS, Life, Subject
from timesync.export.metrics import METRICS
from timesync.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from timesync.export.families import Metric

__all__ = ["EXPRESSIONS", "metrics_page"]

EXPRESSIONS = {
    "How old the newest measurement is, seconds": "time() - timesync_last_sample_timestamp_seconds",
    "Targets without a measurement for 5 minutes": (
        "time() - timesync_last_sample_timestamp_seconds > 300"
        " or timesync_polls_total unless timesync_last_sample_timestamp_seconds"
    ),
    "Polled targets without a UTC(k) claim, each with the reason": (
        "timesync_utc_claim_absent_info and ignoring(reason) timesync_utc_claim == 0"
    ),
    "Share of polls without any reply": (
        'rate(timesync_losses_total{reason="timeout"}[15m]) / ignoring(reason) rate(timesync_polls_total[15m])'
    ),
    "Age of the oldest record that is not delivered, seconds": "time() - timesync_spool_oldest_timestamp_seconds",
}
"""What an operator asks first, in PromQL; a test runs each against a real Prometheus."""

_INTRODUCTION = f"""# Metrics

`GET /metrics` in Prometheus' text format 0.0.4. This page is made from the table in `timesync/export/metrics.py` by
`python -m timesync.export.document > deploy/METRICS.md`.

- Seconds, bytes and counts; no sentinel values. A value that is not known is a series that is not there.
- Signs: clock minus reference (ITU-T G.810). Positive: the target is ahead.
- *Bound*: the error cannot exceed it. *Uncertainty*: GUM standard uncertainty, coverage factor 1.
- A target's gauges go away when they are no longer news: after {LIFE_INTERVALS:g} poll intervals and {GRACE_S:g} s without a new
  measurement, answer or poll, as the column *goes after* says. Prometheus then marks the series stale at its next scrape.
- Counters, and the time of the last sample, stay while the target is configured. `timesync_polls_total` is always the sum of
  `timesync_replies_total` and of `timesync_losses_total` over all reasons.
"""

_HEADINGS = {
    Subject.TARGET: "Targets",
    Subject.PROBE: "The probe",
    Subject.PROCESS: "The process",
}

_GOES_AFTER = {
    Life.MEASUREMENT: "no measurement",
    Life.ANSWER: "no answer",
    Life.POLL: "no poll",
    Life.STABILITY: "no result",
    Life.FAULT: "its end",
    Life.KEPT: "-",
}


def metrics_page() -> str:
    """The whole page, Markdown."""
    sections = (_expressions(), _sections(METRICS.values()), _verdicts(), _events(), _reasons())
    return "\n".join([_INTRODUCTION, *(line for section in sections for line in section), ""])


def _expressions() -> Iterator[str]:
    yield "| question | PromQL |"
    yield "|---|---|"
    for question, expression in EXPRESSIONS.items():
        yield f"| {question} | `{expression}` |"
    yield ""


def _sections(table: Iterable[Metric]) -> Iterator[str]:
    entries = list(table)
    for subject, heading in _HEADINGS.items():
        labels = ", ".join(f"`{label}`" for label in SUBJECT_LABELS[subject])
        yield f"## {heading}\n"
        yield f"Labels of every series: {labels}.\n" if labels else "Without labels of our own.\n"
        yield "| metric | type | further labels | goes after | meaning |"
        yield "|---|---|---|---|---|"
        for entry in entries:
            if entry.subject is subject:
                own = ", ".join(f"`{label}`" for label in entry.own_labels)
                yield f"| `{entry.name}` | {entry.kind} | {own} | {_GOES_AFTER[entry.life]} | {entry.help} |"
        yield ""


def _verdicts() -> Iterator[str]:
    yield "## Faults\n"
    yield "Values of the label `fault`. Each is an event of the kind `fault_NAME` when it is found and `fault_NAME_over` when it is"
    yield "over, with what led to it (`moved_s`, `rate`, `delay_change_s`, `members`, `witnesses`, `confidence`). Values of"
    yield f"`change`: {', '.join(f'`{kind}`' for kind in Kind)}.\n"
    yield "| fault | change | meaning | remedy |"
    yield "|---|---|---|---|"
    for fault, verdict in VERDICTS.items():
        special = [kind for of, kind in SPECIAL if of is fault]
        yield f"| `{fault}` | {'other' if special else 'any'} | {verdict.says} | {verdict.remedy} |"
        for kind in special:
            words = SPECIAL[fault, kind]
            yield f"| `{fault}` | `{kind}` | {words.says} | {words.remedy} |"
    yield ""


def _events() -> Iterator[str]:
    yield "## Events of references, leap seconds and time scales\n"
    yield "| event | meaning | remedy |"
    yield "|---|---|---|"
    for kind, words in EVENTS.items():
        yield f"| `{kind}` | {words.text} | {words.remedy} |"
    yield ""


def _reasons() -> Iterator[str]:
    yield "## Reasons\n"
    yield "Values of the label `reason`.\n"
    yield "| reason | points at | meaning | remedy |"
    yield "|---|---|---|---|"
    for reason, meaning in REASONS.items():
        yield f"| `{reason}` | {meaning.whose} | {meaning.text} | {meaning.remedy} |"


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
