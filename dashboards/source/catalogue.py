"""The seven dashboards, in their order."""

from __future__ import annotations

from dashboards.source.holdover import HOLDOVER
from dashboards.source.network import NETWORK
from dashboards.source.pipeline import PIPELINE
from dashboards.source.ptp import PTP
from dashboards.source.stability import STABILITY
from dashboards.source.target import TARGET
from dashboards.source.traceability import TRACEABILITY

__all__ = ["DASHBOARDS"]

DASHBOARDS = (NETWORK, TARGET, PTP, STABILITY, HOLDOVER, TRACEABILITY, PIPELINE)
