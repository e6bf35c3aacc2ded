"""What a benchmark measured: told to a person, with PASS or MISS beside each promise, and written for the runner.

Rule: every figure that was measured is shown, a missed promise too; nothing is rounded into keeping it. A figure without a
limit promises nothing and is there to be compared with.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Figure", "Figures", "options", "quantile", "robust_sd", "text_table"]


def options(description: str | None) -> argparse.ArgumentParser:
    """The command line that every benchmark has: --quick and --output FILE."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a shorter run, for a look")
    parser.add_argument("--output", metavar="FILE", help="write the figures there as JSON")
    return parser


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of them lie: an order statistic, not interpolated."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1 if share > 0 else 0)]


def robust_sd(values: Sequence[float]) -> float:
    """1.4826 times the median absolute deviation: the standard deviation of a normal core, whatever the tails."""
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - middle) for value in values)


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, its limit (None: none is promised), and which way is better."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    better: str = "lower"

    @property
    def verdict(self) -> str:
        """PASS, MISS, or nothing where nothing is promised."""
        if self.limit is None:
            return ""
        kept = self.value >= self.limit if self.better == "higher" else self.value <= self.limit
        return "PASS" if kept else "MISS"


class Figures:
    """The figures of one benchmark, in the order they were measured."""

    def __init__(self) -> None:
        self._figures: list[Figure] = []

    def add(
        self, name: str, value: float, unit: str = "", *, limit: float | None = None, better: str = "lower"
    ) -> None:
        """Take in one figure."""
        self._figures.append(Figure(name, value, unit, limit, better))

    def finish(self, output: str | None, details: Mapping[str, object] | None = None) -> None:
        """Print all figures and write them, with `details` beside them."""
        rows = [("figure", "value", "limit", "")]
        for each in self._figures:
            sign = ">=" if each.better == "higher" else "<="
            limit = "" if each.limit is None else f"{sign} {each.limit:g}"
            rows.append((each.name, f"{each.value:.6g} {each.unit}".strip(), limit, each.verdict))
        print(f"\n{text_table(rows)}", flush=True)
        if output is not None:
            figures = [
                {"name": f.name, "value": f.value, "unit": f.unit, "limit": f.limit, "better": f.better}
                for f in self._figures
            ]
            with open(output, "w", encoding="utf-8") as file:  # noqa: PTH123 - one file, named on the command line
                json.dump({"figures": figures, **(details or {})}, file, indent=2)
                file.write("\n")
