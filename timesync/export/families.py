"""What a metric is: its type, what it speaks of, when its series go away.

Rule: the labels of a series are those of its subject and the metric's own; timesync/export/metrics.py is the table of them all.
Source: Prometheus documentation, "Metric types"; OpenMetrics 1.0. Pure: nothing here reads a clock, a file or a socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["SUBJECT_LABELS", "Kind", "Life", "Metric", "Subject"]


class Kind(StrEnum):
    """The Prometheus type of a metric."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Subject(StrEnum):
    """What a metric speaks of: it decides the labels that every one of its series carries."""

    TARGET = "target"
    PROBE = "probe"
    PROCESS = "process"


class Life(StrEnum):
    """When a series goes away by itself (all of a target's series go when the target is removed)."""

    MEASUREMENT = "no measurement for its life"
    ANSWER = "no answer, measured or refused, for its life"
    POLL = "no poll at all for its life"
    STABILITY = "no result for twice the time from one to the next"
    FAULT = "the fault is over"
    KEPT = "never"


SUBJECT_LABELS: dict[Subject, tuple[str, ...]] = {
    Subject.TARGET: ("site", "probe", "target", "protocol"),
    Subject.PROBE: ("site", "probe"),
    Subject.PROCESS: (),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `own_labels` come on top of those of its subject."""

    name: str
    kind: Kind
    subject: Subject
    life: Life
    help: str
    own_labels: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that a series of this metric may carry."""
        return SUBJECT_LABELS[self.subject] + self.own_labels
